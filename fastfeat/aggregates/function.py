"""The registry entry of an aggregate: the sums that kernels accumulate, and the value from them.

For the aggregates of one expression a backend runs up to three kernels over the rows: the moments
kernel for counts, extremes and sums; the selection kernel for order statistics, if an aggregate
reads ranks; and the powers kernel for sums of powers. `finalize` then computes the value of each
aggregate exactly from the resulting `ColumnSummary`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal

from fastfeat_kernels.column import value_of_key
from fastfeat_kernels.records import dataclass

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import FLOAT64, INT64, TABLE, DType
from fastfeat.ir.node import Aggregate, Params
from fastfeat.ir.parameters import Parameters
from fastfeat.ir.writing import PrintedForm

if TYPE_CHECKING:
    from fastfeat_kernels.moments.many import ManyMoments
    from fastfeat_kernels.moments.state import Level, Moments
    from fastfeat_kernels.powers.state import PowerSums

KernelQuantity = Literal[
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
AggregateNumber = float | int | bool
LearntValue = AggregateNumber | str | None | tuple[float, ...]
"""A learnt value: None without values, NaN if infinities have no result, a tuple for a table."""


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """The summary of one expression over all rows, as kernels compute it.

    Args:
        dtype: Type of the expression.
        moments: Exact moments, with at least the sums that the aggregates need (see `level_of`).
        order: Rank (from 0, ascending) to value, for at least the ranks that the aggregates need.
        powers: Sums of powers; None if no aggregate needs them, or there are no rows.
        most_likely_powers: Transformation ("yeo-johnson" or "box-cox") to the power with the
            largest likelihood, None if there are no values. Only transformations that an aggregate
            needs.
    """

    dtype: DType
    moments: Moments
    order: Mapping[int, AggregateNumber]
    powers: PowerSums | None = None
    most_likely_powers: Mapping[str, float | None] = field(
        default_factory=dict[str, "float | None"]
    )


def no_ranks(count: int, n_rows: int, params: Params) -> Iterable[int]:
    """Return an empty tuple: an aggregate without order statistics reads no ranks."""
    return ()


@dataclass(frozen=True, slots=True)
class AggregateFunction:
    """The entry of one aggregate in the registry.

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
        takes_key_parts: Whether its arguments are the parts of a key, as for a vocabulary. Such an
            aggregate is learnt from all training rows, never per group.
        belongs: Returns whether a call's node that assigns training rows to folds fits the other
            parameters of the call. None for aggregates without folds.
        written: How a call is written in Python.
        called: The user's word for the learnt value, if `name` is not one; empty for `name`.
        tells_number: Whether its value reveals the number of values that it was learnt from.
        grows_with_rows: Whether its value grows with the number of rows.
        finalize_many: `finalize` for many columns at once, from their moments, type and parameters;
            None if each column is finalized alone.
        n_rounds: Greatest number of passes over all rows when the rows come in chunks.
    """

    name: str
    primitives: frozenset[KernelQuantity]
    result: Callable[[DType, Params], DType]
    finalize: Callable[[ColumnSummary, Params], LearntValue]
    reference: Callable[[Sequence[Any], Params, DType], LearntValue]
    ranks: Callable[[int, int, Params], Iterable[int]] = no_ranks
    parameters: Parameters = ()
    takes_key_parts: bool = False
    belongs: Callable[[Aggregate], bool] | None = None
    written: PrintedForm = None
    called: str = ""
    tells_number: bool = True
    grows_with_rows: bool = False
    finalize_many: Callable[[ManyMoments, DType, Params], Sequence[LearntValue]] | None = None
    n_rounds: int = 1


def result_per_key(function: AggregateFunction, dtype: DType, params: Params) -> DType:
    """Return the type of an aggregate's value per key.

    Raises TypeMismatch for text in aggregates that count distinct values, such as `mode`.
    """
    if dtype.holds_bytes and "keys" in function.primitives:
        raise TypeMismatch(
            f"needs a number if it is learnt per key, got {dtype}. Encode the text first: "
            ".ordinal_encode()"
        )
    return function.result(dtype, params)


def level_of(functions: Iterable[AggregateFunction]) -> Level:
    """Return the level of the moments kernel that serves all these aggregates.

    0 gives counts and extremes, 1 also sums, 2 also sums of squares.
    """
    primitives = frozenset[KernelQuantity]().union(*(function.primitives for function in functions))
    if "sum_of_squares" in primitives:
        return 2
    return 1 if "sum" in primitives else 0


def needs_moments(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether an aggregate needs the moments kernel.

    A count alone does not need it if the selection or powers kernel runs, which also counts values.
    """
    primitives = frozenset[KernelQuantity]().union(*(function.primitives for function in functions))
    others = primitives & {"order", "powers", "likelihood"}
    return not primitives <= (others | {"count"} if others & {"order", "powers"} else others)


def needs_order(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether an aggregate needs the selection kernel."""
    return any("order" in function.primitives for function in functions)


def needs_powers(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether an aggregate needs the powers kernel."""
    return any("powers" in function.primitives for function in functions)


def needs_likelihood(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether an aggregate needs the search for the power with the largest likelihood."""
    return any("likelihood" in function.primitives for function in functions)


def ranks_of(
    wanted: Sequence[tuple[AggregateFunction, Params]], count: int, n_rows: int
) -> set[int]:
    """Return the ranks, from 0, of the sorted values that the aggregates of one expression read.

    `count` is the number of present values, at least 1; `n_rows` includes missing ones.
    """
    ranks = [function.ranks(count, n_rows, params) for function, params in wanted]
    return {rank for some in ranks for rank in some}


def key_element(dtype: DType) -> str:
    """Return the array type in which kernels read values, to turn them into ordering keys.

    An ordering key is an integer; keys are in the same order as the values.

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


def value_of(summary: ColumnSummary, key: int) -> AggregateNumber | None:
    """Return the value of an ordering key (see `key_element`); None if there are no values."""
    if summary.moments.count == 0:
        return None
    return value_of_key(key_element(summary.dtype), key)


def parameter(params: Params, name: str) -> Any:
    """Return the value of a parameter by its name."""
    return dict(params)[name]


def any_to_integer(dtype: DType, params: Params) -> DType:
    """Return the result type int64, for an argument of any type."""
    return INT64


def same(dtype: DType, params: Params) -> DType:
    """Return the argument's type as the result type, for numbers, bools, dates and times.

    Decimals give float64; other types raise TypeMismatch.
    """
    if dtype.is_number or dtype.is_temporal:
        return FLOAT64 if dtype.name == "decimal" else dtype
    raise TypeMismatch(f"needs a number, date or time, got {dtype}{_advice(dtype)}")


def to_sum(dtype: DType, params: Params) -> DType:
    """Return the type of a sum: int64 for integers and bools, float64 for floats, or duration."""
    if dtype.name == "duration":
        return dtype
    _require_number(dtype, "a number or a duration")
    return INT64 if dtype.is_integer or dtype.name == "bool" else FLOAT64


def to_level(dtype: DType, params: Params) -> DType:
    """Return the type of a mean or quantile: float64 for numbers, duration for durations."""
    if dtype.name == "duration":
        return dtype
    _require_number(dtype, "a number or a duration")
    return FLOAT64


def to_float64(dtype: DType, params: Params) -> DType:
    """Return the result type float64; TypeMismatch if the argument is not a number."""
    _require_number(dtype, "a number")
    return FLOAT64


def to_table(dtype: DType, params: Params) -> DType:
    """Return the result type of a table of numbers; TypeMismatch for another argument."""
    _require_number(dtype, "a number")
    return TABLE


def _require_number(dtype: DType, what: str) -> None:
    if not dtype.is_number:
        raise TypeMismatch(f"needs {what}, got {dtype}{_advice(dtype)}")


def _advice(dtype: DType) -> str:
    if dtype.holds_bytes:
        return (
            ". For text that spells numbers use .str.to_float(); for other text use "
            ".ordinal_encode(), .str.len_bytes(), .hash(), replace_strict({...}), is_in([...]) or "
            "== 'text'"
        )
    if dtype.is_temporal:
        return ". Convert it to a number first: .dt.epoch('s'), .dt.hour(), .dt.total_seconds()"
    return ""
