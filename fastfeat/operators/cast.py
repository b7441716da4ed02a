"""`cast`: the values of a column as another type."""

from __future__ import annotations

import math
import struct
from typing import Any

from fastfeat.errors import TypeMismatch
from fastfeat.expr import Expr, call
from fastfeat.ir import dtypes
from fastfeat.operators.operator import Case, Operator, check_parameters, each, parameters_of


def cast(x: Expr, dtype: object, *, strict: bool = True) -> Expr:
    """Return the values as another type: exactly, or rounded once to a float type.

    A float loses its fraction when cast to an integer. Any number except zero becomes True.

    Args:
        x: Numbers, dates or times. Missing stays missing.
        dtype: The type, as text: "int64", "float32", "bool", "timestamp[us, Europe/Berlin]"; also a
            pyarrow or NumPy type, or Python's int, float, bool.
        strict: Whether a value that the type cannot hold is an error. False makes it missing.

    Raises:
        TypeMismatch: `dtype` is not a type that can be cast to.
        InvalidPlan: `strict` is neither True nor False.
        Overflow: At transform, with strict=True, if a value is out of range.

    Example:
        >>> col("x").cast("int32", strict=False)
        col('x').cast(dtype='int32', strict=False)
    """
    from fastfeat.io.sources.schema import (
        as_dtype,  # imports PyArrow, which no other operator needs
    )

    wanted = as_dtype(dtype)
    if wanted.is_list:
        raise TypeMismatch(
            f"cast(dtype={dtype!r}): cannot cast to a list. Cast the elements of the list instead, "
            "such as .list.get(0)"
        )
    return call(
        "cast", x, dtype=wanted, **check_parameters("cast", parameters_of("cast"), strict=strict)
    )


def as_float(x: Expr) -> Expr:
    """Return x cast to float64.

    Differences of the results cannot overflow int64.
    """
    return call("cast", x, dtype=dtypes.FLOAT64, strict=True)


def _cast(x: Any, dtype: str, strict: bool) -> Any:
    """Return x cast to a number type; missing if it is out of range. For the generic test."""
    match dtype:
        case "bool":
            return x != 0
        case "float64":
            return float(x)
        case "float32":
            return _as_float32(x)
        case _:
            bits = int(dtype.strip("uint"))
            low, high = (0, 2**bits) if dtype[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1))
            whole = math.trunc(x) if math.isfinite(x) else high
            return whole if low <= whole < high else None


def _as_float32(x: float) -> float | None:
    if isinstance(x, int) and x.bit_length() > 24:
        unit = 2 ** (x.bit_length() - 24)
        from fractions import Fraction

        x = round(Fraction(x, unit)) * float(unit)
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return None


OPERATORS: dict[str, Operator] = {
    "cast": Operator(
        cast,
        each(_cast),
        tuple(
            Case(params={"dtype": name, "strict": False})
            for name in ("int8", "int64", "uint8", "uint64", "bool", "float32", "float64")
        ),
    ),
}
