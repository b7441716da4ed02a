"""Constants of a run: computed once, by the reference, from literals and learnt aggregates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard, cast

from fastfeat.dtypes import NEVER_COLUMNS
from fastfeat.engine.failure import error_of_status
from fastfeat.engine.program import Constants, Output, Program, program_of
from fastfeat.engine.reference.run import evaluate_row, leaf_reader
from fastfeat.errors import FastfeatWarning, warn
from fastfeat.ir.node import Aggregate, Call, Literal, Node, postorder
from fastfeat.ir.show import show
from fastfeat.plan.lower.lower import Constant, Types, constant_nodes, parameter_value
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.scalars import SCALARS
from fastfeat.scalars.value import LARGE_ARGUMENT, Value

Learnt = dict[Node, Constant]


def constant_roots(roots: Sequence[Node]) -> list[Node]:
    """Return the largest constant expressions that are to be computed before the rows."""
    constant = constant_nodes(roots)
    used: dict[Node, None] = dict.fromkeys(root for root in roots if root in constant)
    for node in postorder(list(roots)):
        if node not in constant:
            used.update(dict.fromkeys(argument for argument in node.args if argument in constant))
    return [node for node in used if not isinstance(node, Literal)]


def evaluate_constants(
    roots: Iterable[Node], types: Types, learnt: Mapping[Node, Constant]
) -> Learnt:
    """Return the values of constant expressions, from those of the aggregates in them.

    Args:
        roots: what `constant_roots` returned.
        types: type of every node.
        learnt: value of each aggregate; None is missing, a tuple is a table.

    Raises:
        Overflow: a constant does not fit its type.
    """
    values: Learnt = dict(learnt)
    calls = [node for node in roots if isinstance(node, Call) and types[node] not in NEVER_COLUMNS]
    outputs = outputs_of([("", node) for node in calls], types, _output, hoist=False)
    program = program_of(outputs)
    results = evaluate_row(program, leaf_reader(program, {}, bind(program, values)))
    for node, (result, ok, status) in zip(calls, results, strict=True):
        if status & ~LARGE_ARGUMENT:
            raise error_of_status(status, f"the constant {show(node)}")
        values[node] = result if ok and result == result else None
    return values


def _output(name: str, value: Value) -> Output:
    """Return the output of a constant, in its own type."""
    return Output(name, value.dtype, value.op, value.ok, value.status)


def bind(program: Program, values: Mapping[Node, Constant]) -> Constants:
    """Return the constants that a program reads, from the values of its constant expressions."""
    parameters = {
        key: parameter_value(key, physical, values) for key, physical in program.parameters
    }
    return Constants(parameters, {key: _elements(key.node, values) for key in program.tables})


def _elements(node: Node, values: Mapping[Node, Constant]) -> Sequence[Any]:
    elements = node.value if isinstance(node, Literal) else values[node]
    return () if elements is None else cast("Sequence[Any]", elements)  # the type is a table's


def warn_constants(roots: Sequence[Node], types: Types, learnt: Mapping[Node, Constant]) -> None:
    """Warn of what a user should know of the learnt, such as the scale of a constant column."""
    calls = [node for node in postorder(list(roots)) if _warns(node)]
    parts = list(dict.fromkeys(part for node in calls for part in node.args))
    constant = constant_nodes(parts)
    unknown = [part for part in parts if part in constant and part not in learnt]
    values = evaluate_constants(unknown, types, learnt)
    for node in calls:
        known = [_known(part, values) for part in node.args if part in constant]
        warning = _warning(node, known) if known else None  # what is learnt per key is no constant
        if warning is not None:
            subject = next((n for n in postorder([node]) if isinstance(n, Aggregate)), node)
            shown = show(subject.args[0]) if subject.args else show(node)
            warn(f"{shown} {warning}", type(warning))


def _warns(node: Node) -> TypeGuard[Call]:
    row = SCALARS.get(node.function) if isinstance(node, Call) else None
    return row is not None and row.warning is not None


def _warning(node: Call, known: Sequence[Constant]) -> FastfeatWarning | None:
    warning = SCALARS[node.function].warning
    assert warning is not None
    return warning(known, dict(node.params))


def _known(node: Node, values: Mapping[Node, Constant]) -> Constant:
    return node.value if isinstance(node, Literal) else values[node]
