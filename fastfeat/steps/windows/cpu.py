"""Windows on the CPU: rows are sorted once, and all functions over them are computed together.

The order of windows: rows are sorted by entity (the rows with one key), then by time, then by the
tie column, then by input order. Values are computed for the rows from `first_row` on; earlier rows
are history, which windows only see. A function is computed from one or more statistics of the
kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Uint64Array
from fastfeat_kernels.windows import last_row
from fastfeat_kernels.windows.requests import StatisticColumn, Wanteds, WantedStatistic, WindowInput
from fastfeat_kernels.windows.state import WindowOrder, late_row, ordered
from fastfeat_kernels.windows.state import n_tied as n_tied_in_order
from fastfeat_kernels.windows.state import over as statistics_over
from numpy.typing import NDArray

from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.engine.storage import storage
from fastfeat.errors import Overflow
from fastfeat.io.arrow import Array, ChunkedArray, DataType
from fastfeat.io.columns.bits import array_with_bits
from fastfeat.io.columns.column import physical_chunks, plain_chunks
from fastfeat.io.columns.times import ticks_column
from fastfeat.io.columns.types import arrow_type, storage_type
from fastfeat.ir.dtypes import DType
from fastfeat.steps.keys import cpu_counting
from fastfeat.steps.windows.function import ticks_window
from fastfeat.steps.windows.rows import (
    OVER_FUNCTIONS,
    HistoryOverlaps,
    OverFailed,
    RowOrder,
    WindowRequest,
    result_over,
)

_HALF, _LOW = np.uint64(32), np.uint64((1 << 32) - 1)

_PRECISION = 53


def shares(counts: NDArray[np.int64], q: float, interpolation: str) -> NDArray[np.float64]:
    """Return the position of each row's quantile between its two neighbours, from 0 to below 1.

    `counts` has the number of values in each row's window, shape (n_rows,). The result for a count
    of 0 is meaningless.
    """
    index = (counts - 1).astype(np.float64) * q
    share: NDArray[np.float64] = index - np.floor(index)
    return share if interpolation == "linear" else np.where(share > 0, 0.5, 0.0)


def durations_between(
    low: NDArray[np.int64], high: NDArray[np.int64], share: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return `low + (high - low) * share` in ticks, exact, rounded toward zero.

    All arrays have shape (n_rows,). `high` is never below `low`; `share` is in [0, 1).
    """
    mantissa, exponent = np.frexp(share)
    digits = np.ldexp(mantissa, _PRECISION).astype(np.uint64)
    top, bottom = _product(high.view(np.uint64) - low.view(np.uint64), digits)
    whole, rest = _shifted(top, bottom, _PRECISION - exponent)
    found = (low.view(np.uint64) + whole).view(np.int64)
    return found + ((found < 0) & (rest != 0))  # up to here the result is rounded down


def _product(x: Uint64Array, y: Uint64Array) -> tuple[Uint64Array, Uint64Array]:
    """Return the upper and lower 64 bits of the products x * y, for y below 2**53."""
    x_top, x_low, y_top, y_low = x >> _HALF, x & _LOW, y >> _HALF, y & _LOW
    low = x_low * y_low
    middle = x_top * y_low + (low >> _HALF)
    cross = x_low * y_top + (middle & _LOW)
    top = x_top * y_top + (middle >> _HALF) + (cross >> _HALF)
    return top, (cross << _HALF) | (low & _LOW)


def _shifted(
    top: Uint64Array, bottom: Uint64Array, by: NDArray[Any]
) -> tuple[Uint64Array, Uint64Array]:
    """Return 128-bit numbers below 2**117 divided by 2**by, rounded down, and remainders.

    A number is `top * 2**64 + bottom`. A remainder is 0 if the division is exact. `by` is at least
    53, and large enough that each quotient fits 64 bits.
    """
    one, word = np.uint64(1), np.uint64(64)
    near = np.clip(by, _PRECISION, 63).astype(np.uint64)
    far = np.clip(by - 64, 0, _PRECISION).astype(np.uint64)
    is_near = by < 64
    whole = np.where(is_near, (top << (word - near)) | (bottom >> near), top >> far)
    rest = np.where(is_near, bottom & ((one << near) - one), bottom | (top & ((one << far) - one)))
    return whole, rest


RUN = "windows"
_ORDER = "order on the CPU"


def over(past: RowOrder, asked: Sequence[WindowRequest], first_row: int) -> list[Array]:
    """Return the results of each function as an Arrow array; see `steps.windows.tasks.over`."""
    return arrays_over(_ordered(past, first_row), asked, past.dtype, first_row=first_row)


def n_tied(past: RowOrder, first_row: int) -> int:
    """Return the number of rows that share their time with another row of their entity."""
    return n_tied_in_order(_ordered(past, 0), runner(RUN), first_row)


def values_over(past: RowOrder, asked: Sequence[WindowRequest]) -> list[Any]:
    """Return the value of each function for the last row, as a stored Python value.

    A missing value is None. For the arguments see `steps.windows.tasks.over`.
    """
    last = len(past.times) - 1
    found = kernel_results(_ordered(past, last), asked, past.dtype, first_row=last)
    return [_value(one, *several) for one, several in zip(asked, found, strict=True)]


class LastRowOver(NamedTuple):
    """Functions over windows for the last of some rows of one entity, in buffers that are reused.

    Args:
        times: The caller writes the times of the rows here, in ticks and in order.
        columns: The caller writes the values of each column here: as 64-bit integers, or as floats
            with NaN for missing. None for the column of times.
        present: One buffer per column of integers: 1 byte per row, whether the value is present;
            None for other columns.
        compute: `n_rows -> stored value of each function`, None for a missing one. Returns None
            instead of a list if a value does not fit its type.
    """

    times: NDArray[np.int64]
    columns: Sequence[NDArray[Any] | None]
    present: Sequence[NDArray[np.uint8] | None]
    compute: Callable[[int], list[Any] | None]


def last_row_over(
    asked: Sequence[WindowRequest],
    places: list[int],
    dtypes: Sequence[DType],
    time: DType,
    are_times: Sequence[bool],
    most: int,
) -> LastRowOver:
    """Return functions over windows, prepared for at most `most` rows; use it in one thread only.

    The columns in `asked` are not read. `places` has the column number of each function; `dtypes`
    and `are_times` have one item per column.
    """
    requests = _requests(asked, places, time)
    elements = [storage(dtype) for dtype in dtypes]
    prepared = last_row.last_row(requests.wanted, elements, are_times, most, runner(RUN))
    columns = [
        words.view(np.float64) if words is not None and element.startswith("float") else words
        for words, element in zip(prepared.columns, elements, strict=True)
    ]
    of_bools = [k for k, one in enumerate(asked) if _result(one).name == "bool"]

    def compute(n: int) -> list[Any] | None:
        found = prepared.compute(n)
        if found is None:
            return None
        if len(found) > len(asked):
            results = iter(found)
            found = [
                _value_of([*islice(results, n_names)], one)
                for one, n_names in zip(asked, requests.n_names, strict=True)
            ]
        for k in of_bools:
            found[k] = None if found[k] is None else bool(found[k])
        return found

    return LastRowOver(prepared.times, columns, prepared.present, compute)


def _value_of(values: Sequence[Any], asked: WindowRequest) -> Any:
    """Return the value of a function for one row, from the values of its statistics."""
    if len(values) == 1:
        return values[0]
    found, *others = [
        StatisticColumn(np.array([value or 0]), np.array([value is not None], np.uint8))
        for value in values
    ]
    return _value(asked, found, others)


def _ordered(past: RowOrder, first_row: int) -> WindowOrder:
    """Return rows in the order of windows; cached in `past.cache`.

    Raises HistoryOverlaps if a history row is later than a data row of its entity.
    """
    kept = {} if past.cache is None else past.cache
    order: WindowOrder | None = kept.get(_ORDER)
    if order is None:
        times = ticks_column(past.times, past.dtype)
        codes, n_entities = _entities(past, len(times))
        order = kept[_ORDER] = in_order(codes, times, n_entities, past)
    if first_row and not past.is_mixed:
        _check_history(order, first_row)
    return order


def arrays_over(
    order: WindowOrder,
    asked: Sequence[WindowRequest],
    time: DType,
    *,
    first_row: int = 0,
    query: WindowOrder | None = None,
) -> list[Array]:
    """Return the results of each function over windows as an Arrow array.

    `order` has the rows that windows see. `query` has the rows to compute values for, if these are
    different rows. Times of both are in ticks of the type `time`. Raises OverFailed if a value does
    not fit its type.
    """
    found = kernel_results(order, asked, time, first_row=first_row, query=query)
    return [_array(one, *several) for one, several in zip(asked, found, strict=True)]


def kernel_results(
    order: WindowOrder,
    asked: Sequence[WindowRequest],
    time: DType,
    *,
    first_row: int = 0,
    query: WindowOrder | None = None,
) -> list[tuple[StatisticColumn, list[StatisticColumn]]]:
    """Return, for each function, the kernel's results of its first statistic and of the others.

    The arguments are described in `arrays_over`.
    """
    run, parts = runner(RUN), n_parts(len(order.codes) if query is None else len(query.codes))
    columns, places = _columns(asked)
    requests = _requests(asked, places, time)
    wanted: Sequence[WantedStatistic] = requests.wanted
    # Rows that ask are in no window, so a window ends with all rows of a moment.
    if query is not None:
        wanted = [one._replace(window=one.window._replace(own=False)) for one in wanted]
    results = iter(statistics_over(order, columns, wanted, run, parts, first_row, query))
    every: list[tuple[StatisticColumn, list[StatisticColumn]]] = []
    for k, n_names in enumerate(requests.n_names):
        found, *others = islice(results, n_names)
        if found.overflow_row >= 0:
            text = OVER_FUNCTIONS[asked[k].function].too_large or ""
            raise OverFailed(k, found.overflow_row - first_row, text, Overflow)
        every.append((found, others))
    return every


class _Requests(NamedTuple):
    """The requests to the kernel for some functions.

    Args:
        places: Column number of each function.
        time: Type of the times.
        wanted: The statistics of all functions, one function after the other.
        n_names: Number of statistics of each function.
    """

    places: list[int]
    time: DType
    wanted: Wanteds
    n_names: list[int]


def _requests(asked: Sequence[WindowRequest], places: list[int], time: DType) -> _Requests:
    """Return the kernel requests for functions; cached if functions are requested again."""
    kept = asked[0].kept if asked else None
    known: _Requests | None = None if kept is None else kept.get("cpu")
    if known is not None and (known.places, known.time) == (places, time):
        return known
    wanted = [_wanted(one, place, time) for one, place in zip(asked, places, strict=True)]
    every = Wanteds(one for several in wanted for one in several)
    found = _Requests(places, time, every, [len(several) for several in wanted])
    if kept is not None:
        kept["cpu"] = found
    return found


def _entities(past: RowOrder, n_rows: int) -> tuple[NDArray[np.int32], int]:
    """Return the entity number of each row, negative if it has none, and the number of entities."""
    if past.codes is not None:
        return past.codes, int(past.codes.max(initial=-1)) + 1
    if not past.keys:
        return np.zeros(n_rows, np.int32), 1
    return cpu_counting.number_rows_by_key(past.keys, past.key_dtypes)


def in_order(
    codes: NDArray[np.int32],
    times: ChunkedArray,
    n_entities: int,
    past: RowOrder,
    shift: int | None = None,
) -> WindowOrder:
    """Return rows in the order of windows.

    `codes` has the entity of each row, negative if it has none; `times` is int64. The tie column
    comes from `past`. `shift` says how the kernel partitions entities: 2**shift to a partition;
    None lets it choose.
    """
    chunks, parts = physical_chunks(times), n_parts(len(codes))
    return ordered(codes, chunks, _tie(past), n_entities, runner(RUN), parts, shift)


def _tie(past: RowOrder) -> WindowInput | None:
    if past.tie is None:
        return None
    chunks = physical_chunks(past.tie)
    return WindowInput(str(past.tie.type).replace("double", "float64"), chunks)


def _check_history(order: WindowOrder, first_row: int) -> None:
    """Raise HistoryOverlaps if a history row is later than a data row of its entity."""
    row = late_row(order, first_row, runner(RUN))
    if row >= 0:
        raise HistoryOverlaps(row)


def _columns(asked: Sequence[WindowRequest]) -> tuple[list[WindowInput], list[int]]:
    """Return the distinct columns that functions read, and the column number of each function."""
    known: dict[int, int] = {}
    columns: list[WindowInput] = []
    places: list[int] = []
    for one in asked:
        if id(one.values) not in known:
            known[id(one.values)] = len(columns)
            columns.append(WindowInput(storage(one.dtype), plain_chunks(one.values, one.dtype)))
        places.append(known[id(one.values)])
    return columns, places


def _wanted(asked: WindowRequest, column: int, time: DType) -> list[WantedStatistic]:
    """Return the kernel statistics that a function is computed from: usually one."""
    window = ticks_window(asked.window, time)
    requests = OVER_FUNCTIONS[asked.function].requests(asked.params, asked.dtype, time)
    return [WantedStatistic(window, column, name, **given) for name, given in requests]


def _array(
    asked: WindowRequest, found: StatisticColumn, others: Sequence[StatisticColumn]
) -> Array:
    """Return the results of a function as an Arrow array of its type.

    `found` has the results of its first statistic, `others` the results of the rest.
    """
    values = found.values
    joined = OVER_FUNCTIONS[asked.function].joined
    if others and joined is not None:
        values = _JOINED[joined](values, *(other.values for other in others), params=asked.params)
    return _typed_array(values, found.validity, _result(asked))


def _difference(
    count: NDArray[Any], n_rows: NDArray[Any], params: Mapping[str, Any]
) -> NDArray[Any]:
    return n_rows - count


def _between(
    low: NDArray[Any], high: NDArray[Any], count: NDArray[Any], params: Mapping[str, Any]
) -> NDArray[Any]:
    share = shares(count, params["q"], params["interpolation"])
    return durations_between(low, high, share)


_JOINED: dict[str, Callable[..., NDArray[Any]]] = {"difference": _difference, "between": _between}
"""Functions that join several statistics into one value, by `WindowFunction.joined`."""


def _value(asked: WindowRequest, found: StatisticColumn, others: Sequence[StatisticColumn]) -> Any:
    """Return the result of a function for one row as a stored Python value; None if missing."""
    if others:
        array, dtype = _array(asked, found, others), _result(asked)
        return (array.view(storage_type(dtype)) if dtype.is_temporal else array)[0].as_py()
    if found.validity is not None and not found.validity[0] & 1:
        return None
    value = found.values[0].item()
    return bool(value) if _result(asked).name == "bool" else value


def _result(asked: WindowRequest) -> DType:
    if asked.kept is None:
        return result_over(asked)
    known = asked.kept.get("result")
    if known is None:
        known = asked.kept["result"] = result_over(asked)
    return known


def _typed_array(values: NDArray[Any], validity: NDArray[np.uint8] | None, dtype: DType) -> Array:
    """Return 8-byte values, or bools, as an Arrow array of `dtype`."""
    plain, wanted, stored = _stored_as(dtype)
    if dtype.name == "bool":
        return array_with_bits(values.astype(np.bool_), validity, plain)
    narrow = np.ascontiguousarray(values, stored)
    array = array_with_bits(narrow, validity, plain)
    return array if plain is wanted else array.view(wanted)


@lru_cache(maxsize=64)
def _stored_as(dtype: DType) -> tuple[DataType, DataType, Any]:
    """Return a type's Arrow storage type, its Arrow column type, and its NumPy storage type."""
    plain = storage_type(dtype)
    return plain, arrow_type(dtype), plain.to_pandas_dtype()
