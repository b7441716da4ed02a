"""Operations evaluated in plain Python, by the Python functions in the table of primitives.

A graph becomes a flat list of steps once; each row is then one pass over the list. Calls of
elementary functions run the steps of their bodies, so the bits equal those of a kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.ir.node import postorder
from fastfeat.scalars.op import EXACT, Op
from fastfeat.scalars.primitives import PRIMITIVES


@dataclass(frozen=True, slots=True)
class Steps:
    """A graph of operations as a flat program on one list of values.

    The values of leaves and literals come first; then each step appends one value.

    Args:
        leaves: The operations whose values the caller provides, in order.
        literals: Values of the graph's literals.
        steps: For each step, its function and the positions of the operands in the list.
        results: The positions of the results in the list.
    """

    leaves: tuple[Op, ...]
    literals: tuple[Any, ...]
    steps: tuple[tuple[Callable[..., Any], tuple[int, ...]], ...]
    results: tuple[int, ...]


def steps_of(ops: Sequence[Op], leaves: Sequence[Op] = ()) -> Steps:
    """Return the steps that compute some operations; `leaves` come first in the list of values."""
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
    """Return the result of each operation for one row.

    `leaf_values` has a float, int or bool for each leaf of the steps, or a list for a table.
    """
    values = [*leaf_values, *steps.literals]
    append = values.append
    for function, operands in steps.steps:
        append(function(*[values[k] for k in operands]))
    return [values[k] for k in steps.results]


def run_steps_over(
    steps: Steps, leaf_values: Sequence[Sequence[Any]], n_rows: int
) -> list[Sequence[Any]]:
    """Return, for each operation, the list of its results for all rows.

    `leaf_values` has a list of `n_rows` values for each leaf of the steps.
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
    """Return the value of each operation; `leaf` gives the value of an input or other leaf."""
    steps = steps_of(ops)
    return run_steps(steps, [leaf(op) for op in steps.leaves])


@dataclass(frozen=True, slots=True)
class _Elementary:
    """An elementary function, such as exp, as a callable on Python floats.

    Args:
        body: The steps of its body.
    """

    body: Steps

    def __call__(self, *arguments: float) -> float:
        """Return the value for these arguments."""
        return run_steps(self.body, arguments)[0]


@cache
def elementary_function(name: str) -> Callable[..., float]:
    """Return an elementary function by its name, as a callable on Python floats."""
    from fastfeat.scalars.elementary import body_of  # few programs have a constant call of one

    inputs, result = body_of(name)
    return _Elementary(steps_of([result], inputs))


def _function(node: Op) -> Callable[..., Any]:
    if node.name == "call":  # rows are not retried here: always take the exact form
        return elementary_function(EXACT.get(node.value, node.value))
    return PRIMITIVES[node.name].python
