"""Fast answers to one row over a log, with buffers that are allocated once per thread.

It supports plans with rows ordered by plain columns. The general way, with the same bits, is in
`ask.one_row` for one row and `ask.features` for many. Unusual plans, logs and rows are left to the
general way, and so is every error. Stored form: a value as a column stores it, such as a time in
ticks. The asking row is the row to answer; visible rows are the log rows in reach of its windows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import FastfeatError
from fastfeat.execute.lookup_tables import TableReader, table_reader
from fastfeat.execute.row.definitions import RowKernel
from fastfeat.execute.row.kernel import row_kernel_after_windows
from fastfeat.execute.row.prepared import InputReaders, prepare_readers, read_stored_values
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Call, Column, Node
from fastfeat.live.ask.prepared_windows import (
    MOST_ROWS,
    CannotBePrepared,
    WindowsOfRow,
    windows_of_row,
)
from fastfeat.live.log.log import EntityRows, Log
from fastfeat.live.lower.live_plan import LivePlan, LogOrder
from fastfeat.live.lower.schedules import PlanSchedules
from fastfeat.scalars.zones import use_zone_tables

UNREADABLE = (FastfeatError, ArithmeticError, LookupError, TypeError, ValueError, struct.error)
"""Errors of a missing or unsuitable value: the general way runs then, and reports the problem."""
_FLOAT32 = struct.Struct("<f")


class _OrderIndices(NamedTuple):
    """The indices of an order's time and keys among a row's values.

    `has_tie` tells whether a further column sorts rows with equal times.
    """

    time: int
    keys: Sequence[int]
    has_tie: bool


class _PlanKernels(NamedTuple):
    """The functions that compute one plan, and its window functions that other windows read."""

    name: str
    windows: Sequence[WindowsOfRow]
    kernel: RowKernel
    tables: TableReader | None
    kept: Mapping[str, Call]


class RowWithHistory(NamedTuple):
    """An asking row as a log stores it, and the rows of the log that it sees.

    Args:
        values: Value of each column that plans read, in stored form, by name.
        keys: Key of the row's entity in each order, as `Numbering.number_of` takes it.
        times: Time of the row in each order, in ticks.
        seen: The visible rows in each order.
    """

    values: Mapping[str, Any]
    keys: Sequence[Any]
    times: Sequence[int]
    seen: Sequence[EntityRows]


class PreparedAnswer(NamedTuple):
    """The features of one row.

    Args:
        features: For each plan, a float array of shape (n_features,); NaN means missing.
        kept: Results of the window functions that other windows read, in stored form, by name in
            `LivePlan.kept`.
    """

    features: Mapping[str, NDArray[Any]]
    kept: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PreparedAsk:
    """The functions and buffers with which one thread answers a single row.

    Args:
        gather: `(row, log) -> row as stored, with its visible rows`.
        answer: `(row, seen row, tables) -> features`. Both return None if the general way is
            needed.
    """

    gather: Callable[[Mapping[str, Any], Log], RowWithHistory | None]
    answer: Callable[[Mapping[str, Any], RowWithHistory, Mapping[str, Any]], PreparedAnswer | None]


def _check(lowered: LivePlan) -> None:
    """Raise `CannotBePrepared` unless all orders use plain columns and are placed in one stage."""
    rounds = [one for prepared in lowered.prepared.values() for one in prepared.rounds]
    if lowered.row_id in [name for one in rounds for name in one.columns]:
        raise CannotBePrepared
    if len(lowered.stages) > 1 or not lowered.orders:
        raise CannotBePrepared
    if not all(_is_plain(order, lowered) for order in lowered.orders):
        raise CannotBePrepared


def _is_plain(order: LogOrder, lowered: LivePlan) -> bool:
    """Return whether an order's time, keys and tie are columns, with keys of a supported type."""
    if not all(isinstance(node, Column) for node in order.values):
        return False
    names = [node.name for node in order.values if isinstance(node, Column)]
    keys = [lowered.columns[name] for name in names[1 : 1 + len(order.keys)]]
    return all(dtype.holds_bytes or dtype.is_integer or dtype.name == "float64" for dtype in keys)


def prepared_ask(lowered: LivePlan) -> PreparedAsk:
    """Return new functions and buffers with which one thread answers single rows.

    Raises:
        CannotBePrepared: The plans need the general way.
    """
    _check(lowered)
    types = {**lowered.columns, **lowered.asked}
    if lowered.row_id is not None:
        types.pop(lowered.row_id, None)
    names = list(types)
    place_of = {name: k for k, name in enumerate(names)}
    reading = _reading(names, types)
    narrow = [k for k, name in enumerate(names) if types[name].name == "float32"]
    lacking = dict.fromkeys(lowered.late)
    placed = [_placed(order, place_of) for order in lowered.orders]
    asked = [_asked(name, one, lowered) for name, one in lowered.prepared.items()]
    windows = [own for one in asked for own in one.windows]

    def gather(row: Mapping[str, Any], log: Log) -> RowWithHistory | None:
        try:
            values = read_stored_values(reading, {**lacking, **row} if lacking else row)
        except UNREADABLE:
            return None
        if any(not _is_float32(values[k]) for k in narrow):
            return None
        seen: list[EntityRows] = []
        keys: list[Any] = []
        times: list[int] = []
        for k, one in enumerate(placed):
            time, key = values[one.time], _key([values[at] for at in one.keys])
            if time is None or key is None:
                return None
            found = log.visible_rows_of_key(k, key, time)
            if found is None or len(found.places) >= MOST_ROWS:
                return None
            if one.has_tie and _has_peers(found, time):
                return None
            seen.append(found)
            keys.append(key)
            times.append(time)
        for own in windows:
            own.take(seen[own.order], log)
        return RowWithHistory(dict(zip(names, values, strict=True)), keys, times, seen)

    def answer(
        row: Mapping[str, Any], seen: RowWithHistory, tables: Mapping[str, Any]
    ) -> PreparedAnswer | None:
        features: dict[str, NDArray[Any]] = {}
        kept: dict[str, Any] = {}
        for one in asked:
            stored: dict[Any, Any] = {**seen.values}
            known: dict[Any, Any] = {**row}
            for own in one.windows:
                n, time = len(seen.seen[own.order].places), seen.times[own.order]
                values = own.compute(n, time, stored)
                if values is None:
                    return None
                made = dict(zip(own.calls, values, strict=True))
                stored.update(made)
                known.update(made)
            try:
                if one.tables is not None:
                    known.update(one.tables(tables))
                features[one.name] = one.kernel(known)
            except FastfeatError:  # the general way may report another error first
                return None
            for name, call in one.kept.items():
                kept.setdefault(name, stored[call])
        return PreparedAnswer(features, kept)

    return PreparedAsk(with_ieee_arithmetic(gather), with_ieee_arithmetic(answer))


def _reading(names: Sequence[str], types: Mapping[str, DType]) -> InputReaders:
    nodes: list[Node] = [Column(name) for name in names]
    return prepare_readers(nodes, dict(zip(nodes, types.values(), strict=True)), nodes)


def _placed(order: LogOrder, place_of: Mapping[str, int]) -> _OrderIndices:
    time, *keys = (node.name for node in (order.time, *order.keys) if isinstance(node, Column))
    return _OrderIndices(place_of[time], [place_of[key] for key in keys], order.tie is not None)


def _key(values: Sequence[Any]) -> Any:
    """Return an entity's key as the log's `Numbering` takes it; None if a part is missing."""
    parts = [value.encode() if isinstance(value, str) else value for value in values]
    if any(part is None or part != part for part in parts):
        return None
    return parts[0] if len(parts) == 1 else tuple(parts)


def _is_float32(value: float) -> bool:
    return value != value or _FLOAT32.unpack(_FLOAT32.pack(value))[0] == value


def _has_peers(seen: EntityRows, time: int) -> bool:
    """Return whether two of the visible rows and the asking row may share a time."""
    times = seen.times
    if time <= seen.latest:
        return True
    return bool((times[1:] == times[:-1]).any())


def _asked(name: str, prepared: PlanSchedules, lowered: LivePlan) -> _PlanKernels:
    fitted = prepared.fitted
    kept = {text: one.call for text, one in lowered.kept.items() if name in one.plans}
    names: dict[Node, str] = {Column(column): column for column in lowered.columns}
    names.update((call, text) for text, call in kept.items())
    with use_zone_tables(fitted.zones):
        windows = [windows_of_row(one, fitted, names) for one in prepared.rounds]
        kernel = row_kernel_after_windows(fitted)
    tables = table_reader(fitted.table_columns) if fitted.table_columns else None
    return _PlanKernels(name, windows, kernel, tables, kept)
