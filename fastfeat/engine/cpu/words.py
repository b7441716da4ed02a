"""The words of a loop: the addresses and numbers that its machine code reads, in order.

The driver in `fastfeat_kernels.rows` passes a loop the address of its words:

    for each input:  address of its values, address of its flags
    for each output: address of its values, address of its flags
    the parameters, the addresses of tables, and the strides of tables of groups
"""

from __future__ import annotations

from functools import cache

from fastfeat.engine.layout import Shape, ShapeStep, Store
from fastfeat.scalars import table as search_tables
from fastfeat.scalars.primitives import PRIMITIVES

ENTRY = "entry"
"""The name of the function that the driver calls."""


def reads(shape: Shape) -> tuple[set[int], set[int]]:
    """Return the numbers of the inputs with values that a loop reads, and of those with flags.

    A flag tells whether a value is present. Flags of floats are read too, because the loop itself
    turns missing floats into NaN (copying floats to scratch first cost 3 of 17 ns a row).
    """
    values: set[int] = {step.detail for step in shape.steps if step.name == "input"}
    floats = {j for j in values if shape.inputs[j].physical == "f64"}
    return values, floats | {step.detail for step in shape.steps if step.name == "input_ok"}


MOST_STEPS = 24
"""Steps of a loop that computes 64 rows at a time: vectors of so many rows need many registers."""
_LEAVES = ("literal", "input", "input_ok", "parameter")
NO_STATUS = ShapeStep("literal", (), 0, "i64")


@cache
def gives_bits(shape: Shape) -> bool:
    """Return whether a loop computes 64 rows at a time, and writes bools and flags as bits.

    Its outputs are bools, or bools as numbers, and no row fails. It looks up nothing and calls no
    function.
    """
    steps = [step for step in shape.steps if step.name not in _LEAVES]
    return (
        len(steps) <= MOST_STEPS
        and all(_is_vector_step(step) for step in steps)
        and all(
            bool_of(store, shape) is not None and shape.steps[store.status] == NO_STATUS
            for store in shape.stores
        )
    )


def _is_vector_step(step: ShapeStep) -> bool:
    """Return whether processors compute a step in vectors; of integers they divide one by one."""
    row = PRIMITIVES.get(step.name)
    is_one = row is None or row.reads_memory or row.loops
    return not is_one and step.name not in ("quotient_i64", "remainder_i64", "mulhi_u64")


def bool_of(store: Store, shape: Shape) -> int | None:
    """Return the step with the bool that an output stores, as a bit or a byte; None without one."""
    if store.dtype.name == "bool":
        return store.value
    step = shape.steps[store.value]
    return step.args[0] if store.dtype.name == "uint8" and step.name == "i64_from_b1" else None


def n_arguments(shape: Shape) -> int:
    """Return the number of words that a loop reads."""
    columns = len(shape.inputs) + len(shape.stores)
    constants = len(shape.parameters) + len(shape.tables) + n_strides(shape)
    return 2 * columns + constants


@cache
def interleaved(shape: Shape) -> dict[int, int]:
    """Return, for each table with an entry per group, the number of its stride.

    Tables that are read at the same group number form one array with one stride: a row then reads
    one cache line, instead of one per table.
    """
    places: dict[int, int] = {}
    found: dict[int, int] = {}
    for step in shape.steps:
        if is_of_group(step, shape):
            table = shape.steps[step.args[0]].detail
            found[table] = places.setdefault(step.args[1], len(places))
    return found


def n_strides(shape: Shape) -> int:
    """Return the number of different strides that a loop reads."""
    return len(set(interleaved(shape).values()))


def is_of_group(step: ShapeStep, shape: Shape) -> bool:
    """Return whether a step of a loop loads a value learned for a group."""
    if step.name not in ("load_f64", "load_i64"):
        return False
    source = shape.steps[step.args[0]]
    return source.name == "table" and shape.tables[source.detail] in search_tables.OF_GROUPS
