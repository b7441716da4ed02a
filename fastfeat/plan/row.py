"""One row: a dict in, an array out, through the kernel that computes the batch.

Values of exactly the expected Python types are packed at once; others are converted one by one, by
the rules of the border. The result has the bits that the batch has.
"""

from __future__ import annotations

import datetime
import math
import struct
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends.cpu.row import RowProgram, row_program
from fastfeat.backends.failure import failure_of
from fastfeat.backends.reference.run import leaf_reader
from fastfeat.dtypes import INTEGER_RANGE, DType
from fastfeat.errors import TypeMismatch, UnknownColumn, did_you_mean
from fastfeat.io.arrow import pa
from fastfeat.io.types import arrow_type
from fastfeat.plan.border import FIT_ON_VALUES, ONLY_MISSING
from fastfeat.plan.environment import in_ieee
from fastfeat.plan.outputs import matrix_dtype
from fastfeat.scalars.value import InputSlot

if TYPE_CHECKING:
    from fastfeat.plan.fitted import FittedPlan

RowKernel = Callable[[Mapping[str, Any]], NDArray[Any]]
NAN = float("nan")
_NARROW = {"float16": "<e", "float32": "<f"}


def row_kernel(fitted: FittedPlan) -> RowKernel:
    """Return the function that computes one row; it belongs to the thread that asks for it."""
    program = fitted.matrix_program
    dtype = np.dtype(matrix_dtype(fitted.plan).name)
    ready = row_program(program, fitted.matrix_constants, dtype)
    names = [slot.columns[0] for slot in program.inputs]
    plain = bool(names) and all(slot.kind == "column" for slot in program.inputs)
    expected = [_expected(slot) for slot in program.inputs]
    get = _getter(names)
    pack, run, result = ready.pack, ready.run, ready.result
    copy = result.copy

    def compute(row: Mapping[str, Any]) -> NDArray[Any]:
        if plain:
            try:
                values = get(row)
                if [*map(type, values)] != expected:
                    values = _with_nan(values, expected)
                if [*map(type, values)] == expected:
                    pack(*values)
                    status = run()
                    return copy() if not status else _fail(fitted, row, values)
            except (KeyError, TypeError, struct.error, OverflowError):
                pass  # found again below, where the message is made
        return _convert_and_run(fitted, ready, row)

    # packing a float as float32 computes; anything else is copied, and the kernel guards itself
    packs_float32 = any(slot.dtype.name == "float32" for slot in program.inputs)
    return _checked(in_ieee(compute) if packs_float32 else compute, fitted.never_seen)


def _checked(compute: RowKernel, never_seen: tuple[str, ...]) -> RowKernel:
    """Return what computes a row after a look at the columns that had no value in fit."""
    if not never_seen:
        return compute

    def checked(row: Mapping[str, Any]) -> NDArray[Any]:
        for name, value in zip(never_seen, _given(row, never_seen), strict=True):
            if not is_missing(value):
                raise TypeMismatch(
                    f"column {name!r}: fit saw {ONLY_MISSING}, got {value!r}. {FIT_ON_VALUES}"
                )
        return compute(row)

    return checked


def _getter(names: list[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return what takes the values of some columns from a row."""
    return itemgetter(*names) if len(names) > 1 else (lambda row: (row[names[0]],))


def _with_nan(values: tuple[Any, ...], expected: list[type | None]) -> tuple[Any, ...]:
    """Return the values of a row with NaN for each float that is None."""
    return tuple(
        NAN if value is None and kind is float else value
        for value, kind in zip(values, expected, strict=True)
    )


def _expected(slot: InputSlot) -> type | None:
    """Return the Python type that a value is packed from as it is."""
    if slot.dtype.is_float:
        return float if slot.dtype.name in ("float64", "float32") else None
    if slot.dtype.is_integer:
        return int
    return bool if slot.dtype.name == "bool" else None


@in_ieee
def _convert_and_run(fitted: FittedPlan, ready: RowProgram, row: Mapping[str, Any]) -> NDArray[Any]:
    """Compute a row whose values must be converted, or are missing."""
    slots = fitted.matrix_program.inputs
    values = [_slot_value(slot, row) for slot in slots]
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


def _slot_value(slot: InputSlot, row: Mapping[str, Any]) -> Any:
    """Return the value of a slot as it is stored, None where missing."""
    given = _given(row, slot.columns)
    value = given[0]
    match slot.kind:
        case "column":
            return convert(value, slot.dtype, slot.columns[0])
        case "valid":
            return not is_missing(value)
        case "codes":
            text = _text(value, slot.columns[0])
            return None if text is None else _position(text, slot.literals)
        case _:
            left, right = (_text(v, n) for v, n in zip(given, slot.columns, strict=True))
            return None if left is None or right is None else left == right


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
        raise TypeMismatch(f"a row is a dict of values by column, got {row!r}") from None


def is_missing(value: Any) -> bool:
    """Return whether a Python value is missing: None, NaN, NaT, pandas' NA."""
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and value != value)
    )


def _text(value: Any, name: str) -> str | None:
    if is_missing(value):
        return None
    if isinstance(value, str):
        return value
    raise TypeMismatch(f"column {name!r}: expected text, got {value!r}")


def _position(text: str, literals: tuple[str, ...]) -> int:
    return literals.index(text) if text in literals else -1


def convert(value: Any, dtype: DType, name: str) -> Any:
    """Return a value as a column of a type stores it, None where missing.

    A Python float for a float32 or float16 column is rounded to it, as the column would be.

    Raises:
        TypeMismatch: it is of another type, or does not convert exactly.
    """
    if isinstance(value, np.generic):
        value = cast("Any", value).item()
    if is_missing(value):
        return None
    if dtype.is_temporal:
        return _ticks(value, dtype, name)
    if (dtype.is_float and isinstance(value, int | float)) or _is_decimal(value):
        return _float(value, dtype, name)
    if dtype.name == "bool" and isinstance(value, bool):
        return value
    if dtype.is_integer and isinstance(value, int | float) and not isinstance(value, bool):
        return _integer(value, dtype, name)
    raise TypeMismatch(f"column {name!r}: expected {dtype}, got {value!r}")


def _is_decimal(value: Any) -> bool:
    return type(value).__name__ == "Decimal"


def _float(value: Any, dtype: DType, name: str) -> float:
    try:
        number = float(value)
    except (OverflowError, ValueError):  # an int beyond the floats, a signalling NaN
        raise TypeMismatch(f"column {name!r}: {value!r} is no {dtype}") from None
    if isinstance(value, int) and number != value:
        raise TypeMismatch(f"column {name!r}: {value} has no exact float64")
    code = _NARROW.get(dtype.name)
    if code is not None:
        try:
            return struct.unpack(code, struct.pack(code, number))[0]
        except OverflowError:
            raise TypeMismatch(f"column {name!r}: {value!r} is beyond {dtype}") from None
    return number


def _integer(value: int | float, dtype: DType, name: str) -> int:
    low, high = INTEGER_RANGE[dtype.name]
    if value != value or value in (math.inf, -math.inf) or value != int(value):
        raise TypeMismatch(f"column {name!r}: expected {dtype}, got {value!r}")
    if not low <= value <= high:
        raise TypeMismatch(f"column {name!r}: {value!r} is outside the range of {dtype}")
    return int(value)


def _ticks(value: Any, dtype: DType, name: str) -> int:
    aware = isinstance(value, datetime.datetime) and value.tzinfo is not None
    if dtype.name == "timestamp" and aware != (dtype.tz is not None):
        raise TypeMismatch(
            f"column {name!r}: expected {dtype}, got {value!r}. Give instants with a zone where "
            "the training data had one, and without where it had none"
        )
    try:
        scalar = pa.scalar(value, type=arrow_type(dtype))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise TypeMismatch(f"column {name!r}: expected {dtype}, got {value!r} ({error})") from None
    return scalar.value


def _fail(fitted: FittedPlan, row: Mapping[str, Any], values: Any) -> NDArray[Any]:
    program, constants = fitted.matrix_program, fitted.matrix_constants
    inputs = dict(zip(program.inputs, values, strict=True))
    leaf = leaf_reader(program, inputs, constants)
    raise failure_of(program, 0, leaf, lambda slot: row[slot.columns[0]])
