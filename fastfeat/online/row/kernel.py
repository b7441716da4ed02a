"""One row: a dict in, an array out, through the kernel that computes the batch.

Values of exactly the expected Python types are packed at once; others are converted one by one, by
the rules of the border. The result has the bits that the batch has.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.cpu.row import RowProgram, row_program
from fastfeat.engine.failure import failure_of
from fastfeat.engine.float_environment import in_ieee
from fastfeat.engine.reference.run import leaf_reader
from fastfeat.errors import InvalidPlan, TypeMismatch, UnknownColumn, did_you_mean
from fastfeat.io.columns.row_values import is_missing, plain_value
from fastfeat.ir.node import Column
from fastfeat.ir.scope import row_order, window_nodes
from fastfeat.online.row.steps import has_row_steps, row_key, row_maker, slot_value
from fastfeat.plan.lower.outputs import matrix_dtype
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.inputs import FIT_ON_VALUES, ONLY_MISSING
from fastfeat.scalars.value import InputSlot

RowKernel = Callable[[Mapping[str, Any]], NDArray[Any]]
NAN = float("nan")


def row_kernel(fitted: Fitted) -> RowKernel:
    """Return the function that computes one row; it belongs to the thread that asks for it."""
    if fitted.declaration.past_columns:
        name = next(name for name, node in fitted.nodes.items() if window_nodes([node]))
        raise InvalidPlan(
            f"transform_row has one row, and the feature {name!r} reads earlier ones. Keep them in "
            "a live state: live = fitted.online(history=earlier), then live.process(row); or pass "
            "them, transform([row], history=earlier)"
        )
    return row_kernel_after_windows(fitted)


def row_kernel_after_windows(fitted: Fitted) -> RowKernel:
    """Return the function that computes one row of which windows are made; see `row_kernel`.

    The row has, beside its columns, the value of each function over a window by its call, as it is
    stored.
    """
    program = fitted.matrix_program
    dtype = np.dtype(matrix_dtype(fitted.declaration).name)
    ready = row_program(program, fitted.matrix_constants, dtype)
    names = [row_key(slot.sources[0]) for slot in program.inputs]
    plain = bool(names) and all(slot.kind == "column" for slot in program.inputs)
    expected = [_expected(slot) for slot in program.inputs]
    get = _getter(names)
    pack, run, result = ready.pack, ready.run, ready.result
    copy = result.copy
    # packing a float as float32 rounds; anything else is copied, and the kernel guards itself
    rounds = [k for k, slot in enumerate(program.inputs) if slot.dtype.name == "float32"]
    pick, rounded, bits = _getter(rounds), ready.rounded, struct.Struct(f"<{len(rounds)}d").pack

    def compute(row: Mapping[str, Any]) -> NDArray[Any]:
        if plain:
            try:
                values = get(row)
                if [*map(type, values)] != expected:
                    values = tuple([NAN if value is None else value for value in values])
                    if [*map(type, values)] != expected:
                        return _convert_and_run(fitted, ready, row)
                pack(*values)
                if rounds:
                    given, packed = pick(values), rounded()
                    if packed != given and bits(*packed) != bits(*given):  # bits: NaN is not NaN
                        return _convert_and_run(fitted, ready, row)
                status = run()
                return copy() if not status else _fail(fitted, row, values)
            except (KeyError, TypeError, struct.error, OverflowError):
                pass  # found again below, where the message is made
        return _convert_and_run(fitted, ready, row)

    ready_to_run = in_ieee(compute) if rounds else compute
    if has_row_steps(fitted):
        ready_to_run = _with_steps(ready_to_run, fitted)
    return _checked(ready_to_run, fitted.never_seen)


def joined(row: Mapping[str, Any], made: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a row with what was made for it."""
    try:
        return {**row, **made}
    except TypeError:
        raise _no_row(row) from None


def _with_steps(compute: RowKernel, fitted: Fitted) -> RowKernel:
    """Return a kernel that computes a row after its steps have been made."""
    make = row_maker(fitted)
    columns = tuple(dict.fromkeys(
        node.name for node in row_order(fitted.nodes.values()) if isinstance(node, Column)
    ))  # fmt: skip

    def compute_with_steps(row: Mapping[str, Any]) -> NDArray[Any]:
        _given(row, columns)
        return compute(make(row))

    return compute_with_steps


def _checked(compute: RowKernel, never_seen: tuple[str, ...]) -> RowKernel:
    """Return a kernel that first looks at the columns that had no value in fit."""
    if not never_seen:
        return compute

    def checked(row: Mapping[str, Any]) -> NDArray[Any]:
        for name, value in zip(never_seen, _given(row, never_seen), strict=True):
            if not is_missing(plain_value(value)):
                raise TypeMismatch(
                    f"column {name!r}: fit saw {ONLY_MISSING}, got {value!r}. {FIT_ON_VALUES}"
                )
        return compute(row)

    return checked


def _getter(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a getter of the values at some keys, as a tuple even of one."""
    return itemgetter(*keys) if len(keys) > 1 else (lambda row: (row[keys[0]],))


def _expected(slot: InputSlot) -> type | None:
    """Return the Python type that a value is packed from as it is."""
    if slot.dtype.is_float:
        return float if slot.dtype.name in ("float64", "float32") else None
    if slot.dtype.is_integer:
        return int
    return bool if slot.dtype.name == "bool" else None


@in_ieee
def _convert_and_run(fitted: Fitted, ready: RowProgram, row: Mapping[str, Any]) -> NDArray[Any]:
    """Compute a row whose values must be converted, or are missing."""
    slots = fitted.matrix_program.inputs
    sources = [source for slot in slots for source in slot.sources]
    _given(row, tuple(source.name for source in sources if isinstance(source, Column)))
    values = [slot_value(slot, row) for slot in slots]
    ready.pack(*[_stored(slot, value) for slot, value in zip(slots, values, strict=True)])
    for k, value in enumerate(values):
        ready.present[k] = value is not None
    status = ready.run()
    ready.present[:] = 1
    return ready.result.copy() if not status else _fail(fitted, row, values)


def _stored(slot: InputSlot, value: Any) -> Any:
    if value is not None:
        return value
    return {"f64": NAN, "i64": 0, "b1": False}[slot.dtype.physical]


def _given(row: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    """Return the values that a row has in some columns."""
    try:
        return [row[name] for name in names]
    except KeyError as error:
        lacking = error.args[0]
        raise UnknownColumn(
            f"the row lacks the column {lacking!r}, which the plan reads."
            + did_you_mean(str(lacking), map(str, row))
        ) from None
    except TypeError:
        raise _no_row(row) from None


def _no_row(given: object) -> TypeMismatch:
    return TypeMismatch(f"a row is a dict of values by column, got {given!r}")


def _fail(fitted: Fitted, row: Mapping[str, Any], values: Any) -> NDArray[Any]:
    program, constants = fitted.matrix_program, fitted.matrix_constants
    inputs = dict(zip(program.inputs, values, strict=True))
    leaf = leaf_reader(program, inputs, constants)
    raise failure_of(program, 0, leaf, lambda slot: row[row_key(slot.sources[0])])
