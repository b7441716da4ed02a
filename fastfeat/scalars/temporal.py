"""Dates, times, timestamps and durations: arithmetic, comparison, casts and calendar parts."""

from __future__ import annotations

from collections.abc import Sequence

from fastfeat.dtypes import DType
from fastfeat.errors import TypeMismatch
from fastfeat.scalars.value import ScalarFunction, Value

FUNCTIONS: dict[str, ScalarFunction] = {}


def arithmetic_type(name: str, types: Sequence[DType]) -> DType:
    """Return the type of `left name right` where a side is temporal."""
    raise TypeMismatch(f"cannot {name} {types[0]} and {types[1]}")


def lower_arithmetic(name: str, left: Value, right: Value) -> Value:
    """Return `left name right` where a side is temporal."""
    raise AssertionError(name)


def require_comparable(left: DType, right: DType) -> None:
    """Raise unless two types, one of them temporal, can be compared."""
    raise TypeMismatch(f"cannot compare {left} and {right}")


def align(left: Value, right: Value) -> tuple[Value, Value]:
    """Return both values in one unit, for comparison."""
    raise AssertionError


def common_type(types: Sequence[DType]) -> DType:
    """Return the temporal type that holds values of all given temporal types exactly."""
    raise TypeMismatch("needs values of one type, got " + " and ".join(map(str, types)))


def convert(value: Value, dtype: DType) -> Value:
    """Return a temporal value as the common type of a choice."""
    raise AssertionError


def require_castable(source: DType, target: DType) -> None:
    """Raise unless `cast` between two types, one of them temporal, is defined."""
    raise TypeMismatch(f"cannot cast {source} to {target}")


def cast(value: Value, target: DType) -> Value:
    """Return a value cast to or from a temporal type."""
    raise AssertionError
