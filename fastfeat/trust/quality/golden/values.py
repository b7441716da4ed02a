"""Values to generate for a column: those where results of a plan change, and those of its type.

A plan distinguishes values by the constants that it compares a column with, such as the edges of
bins, and by its learnt values. A pool is the set of values to draw from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import pa
from fastfeat.io.columns.types import UnsupportedType, arrow_type
from fastfeat.ir.dtypes import FLOAT_FORMATS, INTEGER_RANGE, PER_SECOND, DType
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, postorder

ValueType = DType | UnsupportedType


@dataclass(frozen=True, slots=True)
class ValuePool:
    """Possible values of a column, as Python values; times are integers.

    Args:
        ordinary: Values within the training range and at its edges.
        odd: Missing and unseen values, and the ends of the type.
    """

    ordinary: tuple[Any, ...]
    odd: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ValuesInPlan:
    """The nodes of a plan and its contract that read each column, and the learnt values.

    Args:
        learnt: Learnt values by aggregate.
        by_column: The nodes that have a column as a direct argument, by the column's name.
        largest: Largest finite float to generate, so that outputs fit a narrow float type.
    """

    learnt: Mapping[Node, Any]
    by_column: Mapping[str, Sequence[Node]]
    largest: float


def reads_of(fitted: Fitted) -> ValuesInPlan:
    """Return the nodes that read each column in a plan and its contract, and the learnt values."""
    contract = () if fitted.contract is None else fitted.contract.declaration.nodes.values()
    found: dict[str, list[Node]] = {}
    for node in postorder([*fitted.declaration.nodes.values(), *contract]):
        for name in {arg.name for arg in node.args if isinstance(arg, Column)}:
            found.setdefault(name, []).append(node)
    dtype = fitted.declaration.dtype
    narrow = dtype is not None and dtype != "float64"
    exponent = FLOAT_FORMATS[dtype or ""].largest_exponent if narrow else 0
    largest = 2.0 ** (exponent - exponent // _ROOM) if narrow else math.inf
    return ValuesInPlan(fitted.learnt, found, largest)


def pool_of(reads: ValuesInPlan, name: str, dtype: ValueType) -> ValuePool:
    """Return the pool of a column: values that the plan distinguishes, and values of its type."""
    pool = pool_of_type(dtype)
    if not isinstance(dtype, DType) or dtype.is_list or not pool.ordinary:
        return pool
    pool = within(pool, reads.largest)
    told = list(_distinguished_values(reads, name, dtype))
    if told and dtype.holds_bytes:
        return ValuePool(tuple(dict.fromkeys(told)), pool.odd)
    edges = [edge for value in told for edge in _around(value, dtype)]
    return ValuePool(tuple(dict.fromkeys([*told, *edges, *pool.ordinary])), pool.odd)


def plain_pool(pool: ValuePool, dtype: ValueType) -> ValuePool:
    """Return a pool without odd values; text is limited to digits unless the plan names texts."""
    ordinary = pool.ordinary
    if isinstance(dtype, DType) and dtype.name == "utf8" and ordinary == _TEXTS:
        ordinary = tuple(text for text in _TEXTS if text.isdigit())
    return ValuePool(ordinary, ())


def within(pool: ValuePool, largest: float) -> ValuePool:
    """Return a pool with the finite floats among its odd values limited in magnitude.

    `largest` is the limit; infinities stay.
    """
    return ValuePool(pool.ordinary, tuple(_bounded(value, largest) for value in pool.odd))


def _bounded(value: Any, largest: float) -> Any:
    if not isinstance(value, float) or math.isinf(value) or abs(value) <= largest:
        return value
    return math.copysign(largest, value)


def _distinguished_values(reads: ValuesInPlan, name: str, dtype: DType) -> Iterable[Any]:
    """Yield the values of a column at which results of the plan or its contract may change.

    These come from constants, date formats and learnt values.
    """
    column, learnt = Column(name), reads.learnt
    for node in reads.by_column.get(name, ()):
        for param in node.params if dtype.name == "utf8" and isinstance(node, Call) else ():
            if isinstance(param[1], str) and "%" in param[1]:  # a date format
                times = [datetime.fromtimestamp(seconds, UTC) for seconds in _MOMENTS]
                yield from (time.strftime(param[1]) for time in times)
        for other in node.args:
            match other:
                case Literal(value):
                    yield from _literals(value, dtype)
                case Aggregate("vocabulary") if isinstance(learnt.get(other), Vocabulary):
                    yield from _common_keys(learnt[other], node.args.index(column), dtype)
                case _:
                    pass
        if isinstance(node, Aggregate) and node in learnt:
            yield from _literals(learnt[node], dtype)


def _common_keys(vocabulary: Any, part: int, dtype: DType) -> list[Any]:
    """Return the most frequent values of part number `part` of a learnt key.

    Rare ones are left out, because they could reveal training rows.
    """
    if part >= len(vocabulary.parts):
        return []
    n = min(_MOST_KEYS, int(np.searchsorted(-vocabulary.counts, -_COMMON, side="right")))
    keys = vocabulary.parts[part][:n]
    if dtype.is_temporal:
        keys = keys.cast(pa.int64())
    found = [key for key in keys.to_pylist() if key is not None]
    return [key for key in found if is_of(key, dtype)]


def _literals(value: Any, dtype: DType) -> Iterable[Any]:
    """Yield the values in a literal or learnt value that a column of this type can hold."""
    if isinstance(value, tuple):
        elements: tuple[Any, ...] = value  # pyright: ignore[reportUnknownVariableType]
        for element in elements[:: max(1, len(elements) // _MOST_EDGES)]:
            yield from _literals(element, dtype)
        return
    if value is None or dtype.is_list:
        return
    if dtype.is_temporal and not isinstance(value, int | float | str | bytes):
        try:
            scalar = pa.scalar(value, arrow_type(dtype))
            yield scalar.cast(pa.int64() if scalar.type.bit_width == 64 else pa.int32()).as_py()
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return
    elif is_of(value, dtype):
        yield float(value) if dtype.is_float else value


def is_of(value: Any, dtype: DType) -> bool:
    """Return whether a column of a type can hold a value."""
    match dtype.name:
        case "utf8":
            return isinstance(value, str)
        case "binary":
            return isinstance(value, bytes)
        case "bool":
            return isinstance(value, bool)
        case _ if dtype.is_integer:
            low, high = INTEGER_RANGE[dtype.name]
            return type(value) is int and low <= value <= high
        case _ if dtype.is_float:
            return type(value) in (int, float) and math.isfinite(value)
        case _:
            return dtype.is_temporal and type(value) is int


def _around(value: Any, dtype: DType) -> list[Any]:
    """Return the next smaller and the next larger value of the type; empty for text and bools."""
    if dtype.name == "float32":
        near = np.float32(value)
        return [float(np.nextafter(near, np.float32(to))) for to in (-math.inf, math.inf)]
    if dtype.is_float:
        return [math.nextafter(value, -math.inf), math.nextafter(value, math.inf)]
    if dtype.is_integer or dtype.is_temporal:
        near = [value - 1, value + 1]
        return [other for other in near if dtype.is_temporal or is_of(other, dtype)]
    return []


def pool_of_type(dtype: ValueType) -> ValuePool:
    """Return the pool of a type; empty for types that expressions cannot read."""
    if not isinstance(dtype, DType) or dtype.name == "null":
        return ValuePool((), ())
    match dtype.name:
        case "bool":
            return ValuePool((True, False), (None,))
        case "utf8":
            return ValuePool(_TEXTS, (None, *_ODD_TEXTS))
        case "binary":
            return ValuePool(
                tuple(text.encode() for text in _TEXTS), (None, b"", b"\xff\x00", b"\xc3")
            )
        case "list":
            assert dtype.of is not None
            some = pool_of_type(dtype.of)
            lists = tuple(list(some.ordinary[:k]) for k in (1, 2, 3))
            return ValuePool(lists, (None, [], *([value] for value in some.odd)))
        case _ if dtype.is_float:
            return _floats(dtype)
        case _ if dtype.is_integer:
            low, high = INTEGER_RANGE[dtype.name]
            large = [value for value in (2**24 + 1, 2**53 + 1) if value < high]
            some = (0, 1, 2, 3, 7, 10, 60, 100)
            return ValuePool((*some, -1) if low else some, (None, low, high, *large))
        case _:
            return _times(dtype)


def _floats(dtype: DType) -> ValuePool:
    """Return the pool of a float type; decimals have at most 15 digits."""
    ordinary = (0.0, 1.0, 2.0, 3.0, -1.0, 0.5, 0.25, 10.0, 100.0)
    if dtype.name == "decimal":
        return ValuePool(ordinary, (None, -1e15, 1e15))
    of_width = np.finfo(dtype.name)
    largest, least = float(of_width.max), float(of_width.tiny)
    return ValuePool(ordinary, (None, -0.0, math.inf, -math.inf, largest, -largest, least))


def _times(dtype: DType) -> ValuePool:
    """Return the pool of a type of timestamps, dates, durations or times of day, as integers."""
    second = 1 if dtype.unit is None else PER_SECOND[dtype.unit]
    match dtype.name:
        case "date32" | "date64":
            step = 1 if dtype.name == "date32" else _MS_OF_DAY
            days = tuple(seconds // _SECONDS_OF_DAY * step for seconds in _MOMENTS)
            return ValuePool(days, (None, 0, -step, 2_932_896 * step))
        case "timestamp":
            some = tuple(seconds * second for seconds in _MOMENTS)
            return ValuePool(some, (None, 0, -1, 4_102_444_799 * second))
        case "duration":
            return ValuePool(tuple(k * second for k in (0, 1, 60, 3_600, 86_400)), (None, -second))
        case _:
            last = _SECONDS_OF_DAY * second - 1
            return ValuePool(tuple(k * second for k in (0, 1, 3_600, 43_200)), (None, last))


def moments(dtype: ValueType, span: Mapping[str, int]) -> ValuePool:
    """Return the pool of a column that orders rows in time.

    The distances between its values are shorter and longer than the windows of the plan. The first
    half of the values is for rows of the history. `span` is how far windows reach back: nanoseconds
    for "time", steps for an integer clock's "steps".
    """
    if not isinstance(dtype, DType) or not (dtype.is_integer or dtype.is_temporal):
        return pool_of_type(dtype)
    if dtype.is_integer:
        most = INTEGER_RANGE[dtype.name][1]
        first, reach, whole = min(_FIRST_STEP, most // 2), min(span["steps"], most // 5), 1
    else:
        whole, unit = _MS_OF_DAY if dtype.name == "date64" else 1, unit_of(dtype)
        first, reach = _MOMENTS[0] * 10**9 // unit, max(1, span["time"] // unit)
    step = (2 * reach) ** (1 / _N_MOMENTS)
    offsets = sorted({max(1, int(step**k)) for k in range(1, _N_MOMENTS + 1)})
    times = [first - offset for offset in reversed(offsets)] + [first + each for each in offsets]
    return ValuePool(tuple(time // whole * whole for time in times), (None,))


def unit_of(dtype: DType) -> int:
    """Return the nanoseconds per tick of a temporal type."""
    of_days = {"date32": _SECONDS_OF_DAY * 10**9, "date64": 10**6}
    return of_days.get(dtype.name, 10**9 // PER_SECOND[dtype.unit or "s"])


_MOST_KEYS, _COMMON = 8, 10
"""At most 8 categories are used, each with at least 10 training rows."""
_MOST_EDGES = 8
_ROOM = 8
"""One in eight powers of two is left as headroom: values grow before they become narrow floats."""
_N_MOMENTS = 12
_FIRST_STEP = 1_000_000
_SECONDS_OF_DAY, _MS_OF_DAY = 86_400, 86_400_000
_MOMENTS = (
    1_711_845_000,  # 2024-03-31T00:30 UTC, half an hour before clocks change in Europe
    1_709_164_799,  # last second of 2024-02-28 in UTC, in a leap year
    1_709_251_199,
    1_704_067_199,  # last second of 2023 in UTC
    1_730_599_200,  # 2024-11-03T02:00 UTC
    1_721_044_800,
)
_TEXTS = ("1", "2", "3", "a", "b")
_ODD_TEXTS = ("", " ", "__never seen", "été Ω", "0", "-1.5", "x" * 100)
