"""Constants of a run: values computed once, before the rows, from literals and learned values.

The reference interpreter computes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard, cast

from fastfeat.engine import failure
from fastfeat.engine.program import Constants, Output, Program, program_of
from fastfeat.engine.reference import run as reference
from fastfeat.errors import FastfeatWarning, InvalidData, warn
from fastfeat.ir.dtypes import NEVER_COLUMNS
from fastfeat.ir.node import Aggregate, Call, Literal, Node, postorder
from fastfeat.ir.show import show
from fastfeat.plan.lower.lower import LearntConstant, NodeTypes, constant_nodes, parameter_value
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.scalars import SCALARS
from fastfeat.scalars.value import LARGE_ARGUMENT, Value

LearntValues = dict[Node, LearntConstant]


def is_infinite(value: LearntConstant) -> bool:
    """Return whether a learned value, or an element of a learned table, is infinite or NaN."""
    if isinstance(value, tuple):
        return any(isinstance(v, float) and not math.isfinite(v) for v in value)
    return isinstance(value, float) and not math.isfinite(value)


def constant_roots(roots: Sequence[Node]) -> list[Node]:
    """Return the outermost expressions that have one value for all rows."""
    constant = constant_nodes(roots)
    used: dict[Node, None] = dict.fromkeys(root for root in roots if root in constant)
    for node in postorder(list(roots)):
        if node not in constant:
            used.update(dict.fromkeys(argument for argument in node.args if argument in constant))
    return [node for node in used if not isinstance(node, Literal)]


class ConstantCalls(NamedTuple):
    """Expressions with one value for all rows, and the program that computes them."""

    calls: tuple[Call, ...]
    program: Program


def constant_calls(roots: Iterable[Node], types: NodeTypes) -> ConstantCalls:
    """Return the program that computes the constant expressions `roots`, without learned values."""
    calls = [node for node in roots if isinstance(node, Call) and types[node] not in NEVER_COLUMNS]
    outputs = outputs_of([("", node) for node in calls], types, _output, hoist=False)
    return ConstantCalls(tuple(calls), program_of(outputs))


def evaluate_calls(constants: ConstantCalls, learnt: Mapping[Node, LearntConstant]) -> LearntValues:
    """Return the learned values together with the values of the constant expressions.

    `learnt` holds the value of each aggregate; None is missing, a tuple is a table.
    """
    values: LearntValues = dict(learnt)
    program = constants.program
    if not constants.calls:
        return values
    results = reference.evaluate_constants(program, bind(program, values))
    for node, (result, ok, status) in zip(constants.calls, results, strict=True):
        if status & ~LARGE_ARGUMENT:
            raise failure.error_of_status(status, f"the constant {show(node)}")
        values[node] = result if ok and result == result else None
    return values


def evaluate_constants(
    roots: Iterable[Node], types: NodeTypes, learnt: Mapping[Node, LearntConstant]
) -> LearntValues:
    """Return the learned values together with the values of the constant expressions in `roots`."""
    return evaluate_calls(constant_calls(roots, types), learnt)


def _output(name: str, value: Value) -> Output:
    """Return the output of a constant, in its own type."""
    return Output(name, value.dtype, value.op, value.ok, value.status)


def bind(program: Program, values: Mapping[Node, LearntConstant]) -> Constants:
    """Return the constants that a program reads, taken from `values` by expression."""
    parameters: dict[Any, float | int | bool] = {}
    for key, physical in program.parameters:
        part, node = key
        value = values.get(node) if part == "value" and physical == "f64" else None
        plain = type(value) is float
        parameters[key] = value if plain else parameter_value(key, physical, values)
    return Constants(parameters, {key: _elements(key.node, values) for key in program.tables})


def _elements(node: Node, values: Mapping[Node, LearntConstant]) -> Sequence[Any]:
    elements = node.value if isinstance(node, Literal) else values[node]
    return () if elements is None else cast("Sequence[Any]", elements)  # of type table


class ConstantWarnings(NamedTuple):
    """Functions that may warn about learned values.

    Args:
        calls: Each call with its constant arguments.
        unknown: Constant arguments that are computed only for these warnings.
    """

    calls: tuple[tuple[Call, tuple[Node, ...]], ...]
    unknown: ConstantCalls


def constant_warnings(roots: Sequence[Node], types: NodeTypes) -> ConstantWarnings:
    """Return the functions in some expressions that may warn about learned values."""
    calls = [node for node in postorder(list(roots)) if _warns(node)]
    parts = list(dict.fromkeys(part for node in calls for part in node.args))
    constant = constant_nodes(parts)
    known = set(constant_roots(roots))
    unknown = [part for part in parts if part in constant and part not in known]
    return ConstantWarnings(
        tuple((node, tuple(part for part in node.args if part in constant)) for node in calls),
        constant_calls(unknown, types),
    )


def warn_constants(warnings: ConstantWarnings, learnt: Mapping[Node, LearntConstant]) -> None:
    """Warn about notable learned values, such as the scale of a constant column."""
    values = evaluate_calls(warnings.unknown, learnt)
    for node, parts in warnings.calls:
        if not parts:  # values learned per key are not constants
            continue
        try:
            warning = _warning(node, [_known(part, values) for part in parts])
        except InvalidData as error:
            raise InvalidData(f"{_subject_text(node)} {error}") from None
        if warning is not None:
            warn(f"{_subject_text(node)} {warning}", type(warning))


def _subject_text(node: Call) -> str:
    """Return the expression that a value was learned from, as text, which takes 10 us."""
    subject = next((n for n in postorder([node]) if isinstance(n, Aggregate)), node)
    return show(subject.args[0]) if subject.args else show(node)


def _warns(node: Node) -> TypeGuard[Call]:
    row = SCALARS.get(node.function) if isinstance(node, Call) else None
    return row is not None and row.warning is not None


def _warning(node: Call, known: Sequence[LearntConstant]) -> FastfeatWarning | None:
    warning = SCALARS[node.function].warning
    assert warning is not None
    return warning(known, dict(node.params))


def _known(node: Node, values: Mapping[Node, LearntConstant]) -> LearntConstant:
    return node.value if isinstance(node, Literal) else values[node]
