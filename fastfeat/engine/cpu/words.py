"""The words of a loop: which addresses and numbers its machine code reads, and in which order.

The driver in `fastfeat_kernels.rows` gives a loop the address of its words:

    for each input:  address of its values, address of its flags
    for each output: address of its values, address of its flags
    the parameters, the addresses of tables, and the strides of tables of groups
"""

from __future__ import annotations

from functools import cache

from fastfeat.engine.layout import Shape, Step
from fastfeat.scalars import table as search_tables

ENTRY = "entry"
"""The name of the function that the driver calls."""


def reads(shape: Shape) -> tuple[set[int], set[int]]:
    """Return the inputs of which a loop reads values, and those of which it reads flags.

    A missing float is a NaN in the loop: its flag is read with the value, so that the memory of
    both streams into the computation (copying floats to scratch first cost 3 of 17 ns a row).
    """
    values: set[int] = {step.detail for step in shape.steps if step.name == "input"}
    floats = {j for j in values if shape.inputs[j].physical == "f64"}
    return values, floats | {step.detail for step in shape.steps if step.name == "input_ok"}


def n_arguments(shape: Shape) -> int:
    """Return how many words the arguments of a loop take."""
    columns = len(shape.inputs) + len(shape.stores)
    constants = len(shape.parameters) + len(shape.tables) + n_strides(shape)
    return 2 * columns + constants


@cache
def interleaved(shape: Shape) -> dict[int, int]:
    """Return the tables with an entry for each group, and the number of the stride of each.

    Those that are read at one number of a group are one array and have one stride: a row reads one
    line of the cache, not one a table.
    """
    places: dict[int, int] = {}
    found: dict[int, int] = {}
    for step in shape.steps:
        if is_of_group(step, shape):
            table = shape.steps[step.args[0]].detail
            found[table] = places.setdefault(step.args[1], len(places))
    return found


def n_strides(shape: Shape) -> int:
    """Return how many strides a loop reads."""
    return len(set(interleaved(shape).values()))


def is_of_group(step: Step, shape: Shape) -> bool:
    """Return whether a step loads what is learnt of a group."""
    if step.name not in ("load_f64", "load_i64"):
        return False
    source = shape.steps[step.args[0]]
    return source.name == "table" and shape.tables[source.detail] in search_tables.OF_GROUPS
