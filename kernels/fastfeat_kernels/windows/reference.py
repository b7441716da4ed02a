"""Reference of the windows kernel: plain Python over lists of the rows in each window."""

from __future__ import annotations

from collections.abc import Sequence

from fastfeat_kernels.windows.requests import NO_BOUND, WantedStatistic, WindowBounds
from fastfeat_kernels.windows.statistic import WindowValue, WindowView
from fastfeat_kernels.windows.statistics import STATISTICS


def over(
    codes: Sequence[int],
    times: Sequence[WindowValue],
    ties: Sequence[WindowValue] | None,
    columns: Sequence[tuple[str, Sequence[WindowValue]]],
    wanted: Sequence[WantedStatistic],
    first_row: int = 0,
    query: tuple[Sequence[int], Sequence[WindowValue]] | None = None,
) -> list[list[WindowValue]]:
    """Return each statistic for each row from `first_row` on; None if missing.

    Args:
        codes: Entity of each row, negative for none.
        times: Time of each row.
        ties: Values that order rows of the same time.
        columns: Pairs of a type from `column.ELEMENTS` and the values.
        wanted: The statistics. Sums of integers may exceed int64.
        first_row: First row that asks.
        query: Entities and times of other rows that ask; None if the rows ask themselves.
    """
    asks_of, asks_at = (codes, times) if query is None else query
    order = _rows_in_order(codes, times, ties)
    found: list[list[WindowValue]] = []
    no_column: tuple[str, Sequence[WindowValue]] = ("int8", [])
    for one in wanted:
        element, values = columns[one.column] if columns else no_column
        results: list[WindowValue] = []
        for row in range(first_row, len(asks_of)):
            if asks_of[row] < 0 or asks_at[row] is None:
                results.append(None)
                continue
            own = [other for other in order if codes[other] == asks_of[row]]
            if one.window.own:
                own = own[: own.index(row) + 1]
            rows = _rows_in_window(one.window, times, own, _time(asks_at, row))
            view = WindowView(
                [values[other] for other in rows] if len(values) else [None] * len(rows),
                [_time(times, other) for other in rows],
                _time(asks_at, row),
                values[row] if row < len(values) else None,
                rows.index(row) if row in rows else None,
            )
            results.append(value_in_window(one, element, view))
        found.append(results)
    return found


def _rows_in_order(
    codes: Sequence[int], times: Sequence[WindowValue], ties: Sequence[WindowValue] | None
) -> list[int]:
    rows = [row for row, code in enumerate(codes) if code >= 0 and times[row] is not None]

    def place(row: int) -> tuple[int, bool, float, int]:
        tie = None if ties is None else ties[row]
        is_value = tie is not None and tie == tie
        return _time(times, row), is_value, tie if is_value and tie is not None else 0, row

    return sorted(rows, key=place)


def _rows_in_window(
    window: WindowBounds, times: Sequence[WindowValue], own: Sequence[int], time: int
) -> Sequence[int]:
    """Return the rows of an entity, in order, that are in the window of a row at a time."""
    if not window.own and window.high != NO_BOUND:
        own = [other for other in own if _time(times, other) <= time + window.high]
    if window.low != NO_BOUND:
        own = [other for other in own if _time(times, other) >= time + window.low]
    return own[-window.rows :] if window.rows else own


def _time(times: Sequence[WindowValue], row: int) -> int:
    time = times[row]
    assert time is not None
    return int(time)


def value_in_window(wanted: WantedStatistic, element: str, view: WindowView) -> WindowValue:
    """Return a statistic of a row's window, by the definition; None if missing."""
    row = STATISTICS[wanted.statistic]
    if row.gives != "count" and len(view.known) < wanted.window.min_samples:
        return None
    value = row.definition(wanted, element, view)
    if value is None or not wanted.since:
        return value
    factor, parts = wanted.since
    ticks = view.time - int(value)
    return float(ticks * factor) / float(parts) if parts else ticks
