"""One row that asks over a log, with buffers and tables that are made once for a thread.

Of plans whose windows are over columns as they are, ordered by columns, with nothing made in
between: `ask.one_row` and `ask.features` have the general way, and give the same bits. What is not
as usual, of the plans, the log or the row, is left to them, and so is each error.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastfeat.dtypes import DType
from fastfeat.engine.float_environment import in_ieee
from fastfeat.errors import FastfeatError
from fastfeat.ir.node import Call, Column, Node
from fastfeat.online.log.log import Log, RowsOfOne
from fastfeat.online.lower.live_plan import LivePlan, Order
from fastfeat.online.lower.schedules import PlanSchedules, Round
from fastfeat.online.row.definitions import RowKernel
from fastfeat.online.row.kernel import row_kernel_after_windows
from fastfeat.online.row.prepared import Reading, reading_of, values_as_stored
from fastfeat.plan.run.lookup_tables import TableReader, table_reader
from fastfeat.scalars.zones import using
from fastfeat.steps.windows.cpu import LastRowOver, last_row_over
from fastfeat.steps.windows.rows import WindowRequest

UNREADABLE = (FastfeatError, ArithmeticError, LookupError, TypeError, ValueError, struct.error)
"""The errors of a value that is not of its column, or lacks: the general way says what is wrong."""
MOST_ROWS = 1 << 11
"""Rows of an entity that are seen, and the one that asks: of more, tables cost little."""
_FLOAT32 = struct.Struct("<f")


class _Windows(NamedTuple):
    """Functions over windows of one order of the rows.

    Args:
        order: its place.
        columns: by column that the functions are of, its name and the place of its own value; None
            for that of the times.
        over: computes them.
        calls: the functions.
    """

    order: int
    columns: Sequence[tuple[str, int] | None]
    over: LastRowOver
    calls: Sequence[Call]


class _Placed(NamedTuple):
    """The places of the time and the keys of a row in an order."""

    time: int
    keys: Sequence[int]


class _Asked(NamedTuple):
    """A plan that is asked: its windows, its kernel, and what reads its tables."""

    name: str
    windows: Sequence[_Windows]
    kernel: RowKernel
    tables: TableReader | None


class SeenRow(NamedTuple):
    """A row that asks, as it stands in a log, and what it sees there.

    Args:
        values: of each column that plans read, as it is stored, by name.
        keys: of its entities, by order, as `Numbering.number_of` takes them.
        times: in ticks, by order.
        seen: the rows in reach, by order.
    """

    values: Mapping[str, Any]
    keys: Sequence[Any]
    times: Sequence[int]
    seen: Sequence[RowsOfOne]


@dataclass(frozen=True, slots=True)
class PreparedAsk:
    """The memory and functions by which a thread asks for one row; nobody else uses it then.

    Args:
        gather: takes what a row sees from a log.
        answer: gives the features of that row, by plan. Both give None where the general way is
            needed.
    """

    gather: Callable[[Mapping[str, Any], Log], SeenRow | None]
    answer: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, NDArray[Any]] | None]


def can_be_prepared(lowered: LivePlan) -> bool:
    """Return whether one row can be asked for without the general way."""
    return (
        lowered.row_id not in [name for one in _rounds(lowered) for name in one.columns]
        and len(lowered.stages) == 1
        and len(lowered.orders) > 0
        and not lowered.kept
        and all(_is_plain_order(order, lowered) for order in lowered.orders)
        and all(_is_plain_round(one, lowered) for one in _rounds(lowered))
    )


def _rounds(lowered: LivePlan) -> list[Round]:
    return [one for prepared in lowered.prepared.values() for one in prepared.rounds]


def _is_plain_order(order: Order, lowered: LivePlan) -> bool:
    """Return whether rows are ordered by columns as they are."""
    columns = [node.name for node in (order.time, *order.keys) if isinstance(node, Column)]
    if order.tie is not None or len(columns) < 1 + len(order.keys):
        return False
    keys = [lowered.columns[name] for name in columns[1:]]
    return all(dtype.holds_bytes or dtype.is_integer or dtype.name == "float64" for dtype in keys)


def _is_plain_round(one: Round, lowered: LivePlan) -> bool:
    """Return whether functions over windows are of columns of numbers or times as they are."""
    if one.tie is not None or one.kept or one.schedule.tasks or one.expressions:
        return False
    return all(
        isinstance(statistic.value, Column)
        and not statistic.is_of_text
        and _is_fixed(lowered.columns[statistic.value.name])
        for statistic in one.statistics
    )


def _is_fixed(dtype: DType) -> bool:
    """Return whether values of a type are words that kernels read as the log has them."""
    return dtype.is_temporal or (dtype.is_number and dtype.name not in ("uint64", "null"))


def prepared_ask(lowered: LivePlan) -> PreparedAsk:
    """Return the memory and functions to ask for one row of plans that `can_be_prepared`."""
    types = {**lowered.columns, **lowered.asked}
    if lowered.row_id is not None:
        types.pop(lowered.row_id, None)
    names = list(types)
    place_of = {name: k for k, name in enumerate(names)}
    reading = _reading(names, types)
    narrow = [k for k, name in enumerate(names) if types[name].name == "float32"]
    lacking = dict.fromkeys(lowered.late)
    placed = [_placed(order, place_of) for order in lowered.orders]
    asked = [_asked(name, one, lowered, place_of) for name, one in lowered.prepared.items()]
    windows = [own for one in asked for own in one.windows]
    n_rows: list[int] = [0] * len(placed)

    def gather(row: Mapping[str, Any], log: Log) -> SeenRow | None:
        try:
            values = values_as_stored(reading, {**lacking, **row} if lacking else row)
        except UNREADABLE:
            return None
        if any(not _is_float32(values[k]) for k in narrow):
            return None
        seen: list[RowsOfOne] = []
        keys: list[Any] = []
        times: list[int] = []
        for k, one in enumerate(placed):
            time, key = values[one.time], _key([values[at] for at in one.keys])
            if time is None or key is None:
                return None
            found = log.seen_of_key(k, key, time)
            if found is None or len(found.places) >= MOST_ROWS:
                return None
            n_rows[k] = len(found.places)
            seen.append(found)
            keys.append(key)
            times.append(time)
        for own in windows:
            found, time = seen[own.order], times[own.order]
            n = len(found.places)
            own.over.times[:n] = found.times
            own.over.times[n] = time
            for column, target in zip(own.columns, own.over.columns, strict=True):
                if column is None or target is None:
                    continue
                name, at = column
                if values[at] is None or not log.fill(name, found.places, target[:n]):
                    return None
                target[n] = values[at]
        return SeenRow(dict(zip(names, values, strict=True)), keys, times, seen)

    def answer(row: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, NDArray[Any]] | None:
        found: dict[str, NDArray[Any]] = {}
        for one in asked:
            known: dict[Any, Any] = {**row}
            for own in one.windows:
                values = own.over.compute(n_rows[own.order] + 1)
                if values is None:
                    return None
                known.update(zip(own.calls, values, strict=True))
            try:
                if one.tables is not None:
                    known.update(one.tables(tables))
                found[one.name] = one.kernel(known)
            except FastfeatError:  # the general way may have another one to tell first
                return None
        return found

    return PreparedAsk(in_ieee(gather), answer)


def _reading(names: Sequence[str], types: Mapping[str, DType]) -> Reading:
    nodes: list[Node] = [Column(name) for name in names]
    return reading_of(nodes, dict(zip(nodes, types.values(), strict=True)), nodes)


def _placed(order: Order, place_of: Mapping[str, int]) -> _Placed:
    time, *keys = (node.name for node in (order.time, *order.keys) if isinstance(node, Column))
    return _Placed(place_of[time], [place_of[key] for key in keys])


def _key(values: Sequence[Any]) -> Any:
    """Return the key of an entity as a log numbers it; None where a part is missing."""
    parts = [value.encode() if isinstance(value, str) else value for value in values]
    if any(part is None or part != part for part in parts):
        return None
    return parts[0] if len(parts) == 1 else tuple(parts)


def _is_float32(value: float) -> bool:
    return value != value or _FLOAT32.unpack(_FLOAT32.pack(value))[0] == value


def _asked(
    name: str, prepared: PlanSchedules, lowered: LivePlan, place_of: Mapping[str, int]
) -> _Asked:
    fitted = prepared.fitted
    with using(fitted.zones):
        windows = [_windows(one, lowered, place_of) for one in prepared.rounds]
        kernel = row_kernel_after_windows(fitted)
    tables = table_reader(fitted.table_columns) if fitted.table_columns else None
    return _Asked(name, windows, kernel, tables)


def _windows(one: Round, lowered: LivePlan, place_of: Mapping[str, int]) -> _Windows:
    types, values = lowered.columns, [statistic.value for statistic in one.statistics]
    columns = [node for node in dict.fromkeys(values) if isinstance(node, Column)]
    dtypes = [types[node.name] for node in columns]
    asked = [
        WindowRequest(s.function, s.params, None, types[node.name], s.window, s.kept)
        for s in one.statistics
        if isinstance(node := s.value, Column)
    ]
    assert isinstance(one.time, Column)
    time = types[one.time.name]
    are_times = [node is one.time and _has_words(time) for node in columns]
    places = [columns.index(node) for node in values if isinstance(node, Column)]
    over = last_row_over(asked, places, dtypes, time, are_times, MOST_ROWS)
    named = [
        None if is_time else (node.name, place_of[node.name])
        for node, is_time in zip(columns, are_times, strict=True)
    ]
    return _Windows(one.order, named, over, [statistic.call for statistic in one.statistics])


def _has_words(time: DType) -> bool:
    """Return whether times of a type are words as a column has them."""
    return time.name in ("int64", "timestamp")
