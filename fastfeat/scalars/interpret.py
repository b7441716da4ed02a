"""Evaluates operations in plain Python, by the reference column of the table of primitives.

A graph becomes a flat list of steps once; a row is then one pass over it. Calls of elementary
functions run the steps of their bodies, so the bits are those of a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fastfeat.ir.node import postorder
from fastfeat.scalars.op import EXACT, Op
from fastfeat.scalars.primitives import PRIMITIVES


@dataclass(frozen=True, slots=True)
class Steps:
    """A graph as a list: the values of leaves come first, then each step appends one.

    Args:
        leaves: the operations whose values the caller gives, in order.
        literals: the values that follow them.
        steps: functions, with the positions of their operands.
        results: the positions of the results.
    """

    leaves: tuple[Op, ...]
    literals: tuple[Any, ...]
    steps: tuple[tuple[Callable[..., Any], tuple[int, ...]], ...]
    results: tuple[int, ...]


def steps_of(ops: Sequence[Op], leaves: Sequence[Op] = ()) -> Steps:
    """Return the steps that compute some operations.

    Args:
        ops: what is to be computed.
        leaves: the leaves that come first, in this order; others follow as they are met.
    """
    order = postorder(ops)
    found = [node for node in order if not node.args and node.name != "literal"]
    leaves = tuple(dict.fromkeys([*leaves, *found]))
    literals = tuple(node for node in order if node.name == "literal")
    position = {node: k for k, node in enumerate([*leaves, *literals])}
    steps: list[tuple[Callable[..., Any], tuple[int, ...]]] = []
    for node in order:
        if node not in position:
            position[node] = len(position)
            steps.append((_function(node), tuple(position[arg] for arg in node.args)))
    values = tuple(node.value for node in literals)
    return Steps(leaves, values, tuple(steps), tuple(position[op] for op in ops))


def run_steps(steps: Steps, leaf_values: Sequence[Any]) -> list[Any]:
    """Return the results for one row.

    Args:
        steps: what `steps_of` returned.
        leaf_values: float, int or bool for each of its leaves; a list for a table.
    """
    values = [*leaf_values, *steps.literals]
    append = values.append
    for function, operands in steps.steps:
        append(function(*[values[k] for k in operands]))
    return [values[k] for k in steps.results]


def run_steps_over(
    steps: Steps, leaf_values: Sequence[Sequence[Any]], n_rows: int
) -> list[Sequence[Any]]:
    """Return the results of many rows, a list for each result.

    Args:
        steps: what `steps_of` returned.
        leaf_values: a list of `n_rows` values for each of its leaves.
        n_rows: how many rows.
    """
    values = [*leaf_values, *([literal] * n_rows for literal in steps.literals)]
    append = values.append
    for function, operands in steps.steps:
        columns = [values[k] for k in operands]
        if isinstance(function, _Elementary):
            append(run_steps_over(function.body, columns, n_rows)[0])
        else:
            append(list(map(function, *columns)))
    return [values[k] for k in steps.results]


def evaluate(ops: Sequence[Op], leaf: Callable[[Op], Any]) -> list[Any]:
    """Return the values of some operations.

    Args:
        ops: what is to be computed.
        leaf: gives the value of an input, parameter or table.
    """
    steps = steps_of(ops)
    return run_steps(steps, [leaf(op) for op in steps.leaves])


@dataclass(frozen=True, slots=True)
class _Elementary:
    """An elementary function, on Python floats.

    Args:
        body: its steps.
    """

    body: Steps

    def __call__(self, *arguments: float) -> float:
        """Return the value for some arguments."""
        return run_steps(self.body, arguments)[0]


@cache
def elementary_function(name: str) -> Callable[..., float]:
    """Return an elementary function, on Python floats."""
    from fastfeat.scalars.elementary import body_of  # few programs have a constant call of one

    inputs, result = body_of(name)
    return _Elementary(steps_of([result], inputs))


def _function(node: Op) -> Callable[..., Any]:
    if node.name == "call":  # rows have no second chance here: always the form for every argument
        return elementary_function(EXACT.get(node.value, node.value))
    return PRIMITIVES[node.name].python
