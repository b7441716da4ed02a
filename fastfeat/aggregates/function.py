"""Aggregates: the primitives that kernels accumulate, and the value that is made from them.

A backend runs the moments kernel at `level_of` the aggregates of an expression and, where one of
them has ranks, the selection kernel, where one needs sums of powers, that of powers; `finalize`
makes the value from that `Summary`, exactly.
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
"""A learnt value: None of no values, NaN where infinities leave none, a tuple for a table."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of one expression over all rows, as kernels find it.

    Args:
        dtype: type of the expression.
        moments: exact, of at least the level that the aggregates need.
        order: values by rank, at least those that the aggregates need.
        powers: sums of powers, where one of the aggregates needs them.
        likeliest: the power of the largest likelihood of each method that one of them needs, by its
            name; None of no values.
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
        name: as it stands in a plan.
        primitives: what is accumulated for it.
        result: type of the value, from the type of the argument and the parameters; raises
            TypeMismatch where the argument cannot be taken.
        finalize: the value, from what the kernels found.
        reference: the value by its definition, from the list of all values with None where missing,
            the parameters and the type of the argument.
        ranks: from the number of values (at least 1), the number of rows and the parameters, the
            ranks in [0, number of values) that `finalize` reads.
        parameters: those of each call.
        is_of_parts: whether it is learnt of the parts of a key, over all training rows alone.
        belongs: of one that is learnt per category in folds, whether its folds are those that its
            parameters tell of.
        written: how one is written in Python.
        called: what users call what is learnt, where it is no word of theirs; empty for its name.
        tells_number: whether its value tells how many values there are.
        grows: whether its value grows with the number of rows.
        of_many: `finalize` of many columns, from their moments, their type and the parameters;
            None where each is finalized alone.
        n_rounds: in how many passes over all rows it is learnt, at most, where these come in parts.
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
    """Return the type of an aggregate of the rows of each key.

    Raises:
        TypeMismatch: the argument cannot be taken; text, where its values are told apart.
    """
    if dtype.holds_bytes and "keys" in function.primitives:
        raise TypeMismatch(
            f"needs a number per key, got {dtype}. Encode the text first: .ordinal_encode()"
        )
    return function.result(dtype, params)


def level_of(functions: Iterable[AggregateFunction]) -> Level:
    """Return the level at which the moments kernel serves some aggregates."""
    primitives = frozenset[Primitive]().union(*(function.primitives for function in functions))
    if "sum_of_squares" in primitives:
        return 2
    return 1 if "sum" in primitives else 0


def needs_moments(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether the moments kernel is needed: selection and sums of powers count too."""
    primitives = frozenset[Primitive]().union(*(function.primitives for function in functions))
    others = primitives & {"order", "powers", "likelihood"}
    return not primitives <= (others | {"count"} if others & {"order", "powers"} else others)


def needs_order(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether the selection kernel is needed for some aggregates."""
    return any("order" in function.primitives for function in functions)


def needs_powers(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether the kernel of powers is needed for some aggregates."""
    return any("powers" in function.primitives for function in functions)


def needs_likelihood(functions: Iterable[AggregateFunction]) -> bool:
    """Return whether the likeliest power is needed for some aggregates."""
    return any("likelihood" in function.primitives for function in functions)


def ranks_of(
    wanted: Sequence[tuple[AggregateFunction, Params]], count: int, n_rows: int
) -> set[int]:
    """Return the ranks that some aggregates of one expression read.

    Args:
        wanted: the aggregates with their parameters.
        count: number of values, at least 1.
        n_rows: number of rows, missing ones included.
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
    """Return the value that a key of the moments orders; None where there are no values."""
    if summary.moments.count == 0:
        return None
    return value_of_key(key_element(summary.dtype), key)


def parameter(params: Params, name: str) -> Any:
    """Return the value of a parameter."""
    return dict(params)[name]


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
            ". Text that spells numbers becomes numbers by .str.to_float(); other text by "
            ".ordinal_encode(), .str.len_bytes(), .hash(), replace_strict({...}), is_in([...]) or "
            "== 'text'"
        )
    if dtype.is_temporal:
        return ". Take a number of it first: .dt.epoch('s'), .dt.hour(), .dt.total_seconds()"
    return ""
