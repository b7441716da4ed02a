"""The type rules that aggregates share."""

from __future__ import annotations

from fastfeat.dtypes import FLOAT64, INT64, TABLE, DType
from fastfeat.errors import TypeMismatch
from fastfeat.ir.node import Params


def any_to_integer(dtype: DType, params: Params) -> DType:
    """Return int64, of any type."""
    return INT64


def same(dtype: DType, params: Params) -> DType:
    """Return the type of the argument: numbers, bools, dates and times; decimals are float64."""
    if dtype.is_number or dtype.is_temporal:
        return FLOAT64 if dtype.name == "decimal" else dtype
    raise TypeMismatch(f"needs a number, date or time, got {dtype}{_advice(dtype)}")


def to_sum(dtype: DType, params: Params) -> DType:
    """Return int64 of integers and bools, float64 of floats, a duration of durations."""
    if dtype.name == "duration":
        return dtype
    _require_number(dtype, "a number or a duration")
    return INT64 if dtype.is_integer or dtype.name == "bool" else FLOAT64


def to_level(dtype: DType, params: Params) -> DType:
    """Return float64 of numbers, a duration of durations."""
    if dtype.name == "duration":
        return dtype
    _require_number(dtype, "a number or a duration")
    return FLOAT64


def to_float64(dtype: DType, params: Params) -> DType:
    """Return float64 of numbers."""
    _require_number(dtype, "a number")
    return FLOAT64


def to_table(dtype: DType, params: Params) -> DType:
    """Return a table, of numbers."""
    _require_number(dtype, "a number")
    return TABLE


def _require_number(dtype: DType, what: str) -> None:
    if not dtype.is_number:
        raise TypeMismatch(f"needs {what}, got {dtype}{_advice(dtype)}")


def _advice(dtype: DType) -> str:
    if dtype.holds_bytes:
        return (
            ". Turn text into numbers first: .ordinal_encode(), .str.to_float(), "
            ".str.len_bytes(), .hash(), replace_strict({...}), is_in([...]) or == 'text'"
        )
    if dtype.is_temporal:
        return ". Take a number of it first: .dt.epoch('s'), .dt.hour(), .dt.total_seconds()"
    return ""
