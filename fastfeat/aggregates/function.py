"""Aggregates: the primitives that kernels accumulate, and the value computed from them.

A backend runs the moments kernel at `level_of` the aggregates of an expression. If an aggregate has
ranks, it also runs the selection kernel; if one needs sums of powers, the powers kernel. `finalize`
then computes the value exactly from that `Summary`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fastfeat_kernels.column import value_of_key
from fastfeat_kernels.moments.state import Level, Moments
from fastfeat_kernels.powers.state import NO_POWERS, PowerSums

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import FLOAT64, INT64, TABLE, DType
from fastfeat.ir.node import Aggregate, Params
from fastfeat.ir.parameters import Parameters
from fastfeat.ir.writing import Form

if TYPE_CHECKING:
    from fastfeat_kernels.moments.many import ManyMoments

Primitive = Literal[
    "count",
    "min",
    "max",
    "sum",
    "sum_of_squares",
    "powers",
    "order",
    "likelihood",
    "keys",
    "target",
]
Number = float | int | bool
Learnt = Number | str | None | tuple[float, ...]
"""A learnt value: None if no values, NaN if infinities have no result, a tuple for a table."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of one expression over all rows, as kernels compute it.

    Args:
        dtype: Type of the expression.
        moments: Exact moments, at the level that the aggregates need or above.
        order: Values by rank, at least the ranks that the aggregates need.
        powers: Sums of powers, if an aggregate needs them.
        likeliest: The power with the largest likelihood, by the name of the method; None if there
            are no values. Only methods that an aggregate needs.
    """

    dtype: DType
    moments: Moments
    order: Mapping[int, Number]
    powers: PowerSums = NO_POWERS
    likeliest: Mapping[str, float | None] = field(default_factory=dict[str, "float | None"])


def no_ranks(count: int, n_rows: int, params: Params) -> Iterable[int]:
    """Return the ranks of an aggregate that needs no order statistics."""
    return ()


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """A row of the registry: one aggregate.

    Args:
        name: Its name in a plan.
        primitives: The quantities that kernels accumulate for it.
        result: Type of the value, from the argument's type and the parameters; raises TypeMismatch
            if the argument does not fit.
        finalize: The value, from the summary that the kernels computed.
        reference: The value by its definition, from the list of all values (None if missing), the
            parameters and the argument's type.
        ranks: The ranks in [0, number of values) that `finalize` reads, from the number of values
            (at least 1), the number of rows and the parameters.
        parameters: The parameters of each call.
        is_of_parts: Whether it is learnt from the parts of a key, and over all training rows only.
        belongs: For a statistic per category that is learnt in folds: whether its folds are those
            that its parameters name.
        written: How a call is written in Python.
        called: The user's word for the learnt value, if `name` is not one; empty for `name`.
        tells_number: Whether its value reveals the number of values.
        grows: Whether its value grows with the number of rows.
        of_many: `finalize` for many columns at once, from their moments, type and parameters; None
            if each column is finalized alone.
        n_rounds: Greatest number of passes over all rows when it is learnt from rows in parts.
    """

    name: str
    primitives: frozenset[Primitive]
    result: Callable[[DType, Params], DType]
    finalize: Callable[[Summary, Params], Learnt]
    reference: Callable[[Sequence[Any], Params, DType], Learnt]
    ranks: Callable[[int, int, Params], Iterable[int]] = no_ranks
    parameters: Parameters = ()
    is_of_parts: bool = False
    belongs: Callable[[Aggregate], bool] | None = None
    written: Form = None
    called: str = ""
    tells_number: bool = True
    grows: bool = False
    of_many: Callable[[ManyMoments, DType, Params], Sequence[Learnt]] | None = None
    n_rounds: int = 1


def result_per_key(function: AggregateFunction, dtype: DType, params: Params) -> DType:
    """Return the type of an aggregate per key; TypeMismatch if it needs keys of text values."""
    if dtype.holds_bytes and "keys" in function.primitives:
        raise TypeMismatch(
            f"needs a number per key, got {dtype}. Encode the text first: .ordinal_encode()"
        )
    return function.result(dtype, params)


def level_of(functions: Iterable[AggregateFunction]) -> Level:
    """Return the level at which the moments kernel serves all these aggregates."""
    primitives = frozenset[Primitive]().union(*(function.primitives for function in functions))
    if "sum_of_squares" in primitives:
        return 2
    return 1 if "sum" in primitives else 0


def needs_moments(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether the moments kernel is needed: selection and powers also count values."""
    primitives = frozenset[Primitive]().union(*(function.primitives for function in functions))
    others = primitives & {"order", "powers", "likelihood"}
    return not primitives <= (others | {"count"} if others & {"order", "powers"} else others)


def needs_order(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether an aggregate needs the selection kernel."""
    return any("order" in function.primitives for function in functions)


def needs_powers(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether an aggregate needs the powers kernel."""
    return any("powers" in function.primitives for function in functions)


def needs_likelihood(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether an aggregate needs the likeliest power."""
    return any("likelihood" in function.primitives for function in functions)


def ranks_of(
    wanted: Sequence[tuple[AggregateFunction, Params]], count: int, n_rows: int
) -> set[int]:
    """Return the ranks that the aggregates of one expression read.

    `count` is the number of values, at least 1; `n_rows` includes missing ones.
    """
    ranks = [function.ranks(count, n_rows, params) for function, params in wanted]
    return {rank for some in ranks for rank in some}


def key_element(dtype: DType) -> str:
    """Return the element type whose keys order the values of a type.

    >>> from fastfeat.ir import dtypes
    >>> key_element(dtypes.DATE32), key_element(dtypes.FLOAT32), key_element(dtypes.UINT64)
    ('int64', 'float64', 'uint64')
    """
    match dtype.physical:
        case "f64":
            return "float64"
        case "b1":
            return "bool"
        case "i64":
            return "uint64" if dtype.name == "uint64" else "int64"


def value_of(summary: Summary, key: int) -> Number | None:
    """Return the value behind an ordering key of the moments; None if there are no values."""
    if summary.moments.count == 0:
        return None
    return value_of_key(key_element(summary.dtype), key)


def parameter(params: Params, name: str) -> Any:
    """Return the value of a parameter."""
    return dict(params)[name]


def any_to_integer(dtype: DType, params: Params) -> DType:
    """Return int64, for any type."""
    return INT64


def same(dtype: DType, params: Params) -> DType:
    """Return the argument's type (number, bool, date or time); float64 for decimals."""
    if dtype.is_number or dtype.is_temporal:
        return FLOAT64 if dtype.name == "decimal" else dtype
    raise TypeMismatch(f"needs a number, date or time, got {dtype}{_advice(dtype)}")


def to_sum(dtype: DType, params: Params) -> DType:
    """Return int64 for integers and bools, float64 for floats, duration for durations."""
    if dtype.name == "duration":
        return dtype
    _require_number(dtype, "a number or a duration")
    return INT64 if dtype.is_integer or dtype.name == "bool" else FLOAT64


def to_level(dtype: DType, params: Params) -> DType:
    """Return float64 for numbers, duration for durations."""
    if dtype.name == "duration":
        return dtype
    _require_number(dtype, "a number or a duration")
    return FLOAT64


def to_float64(dtype: DType, params: Params) -> DType:
    """Return float64, for numbers."""
    _require_number(dtype, "a number")
    return FLOAT64


def to_table(dtype: DType, params: Params) -> DType:
    """Return the table type, for numbers."""
    _require_number(dtype, "a number")
    return TABLE


def _require_number(dtype: DType, what: str) -> None:
    if not dtype.is_number:
        raise TypeMismatch(f"needs {what}, got {dtype}{_advice(dtype)}")


def _advice(dtype: DType) -> str:
    if dtype.holds_bytes:
        return (
            ". Text that spells numbers becomes numbers by .str.to_float(); other text by "
            ".ordinal_encode(), .str.len_bytes(), .hash(), replace_strict({...}), is_in([...]) or "
            "== 'text'"
        )
    if dtype.is_temporal:
        return ". Take a number of it first: .dt.epoch('s'), .dt.hour(), .dt.total_seconds()"
    return ""
