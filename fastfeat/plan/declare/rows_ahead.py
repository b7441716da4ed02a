"""Rules against leakage for a label that looks ahead: no feature may see a later row.

Every row after a row's own moment counts as late, whichever of its columns is read. Windows, as-of
joins and folds by time must order rows by the label's clock (its time column), or by one that is
never after it. A statistic learned per key has seen all rows, so its key must not reveal the entity
or the moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from fastfeat.aggregates import AGGREGATES
from fastfeat.errors import Leakage
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Aggregate, Call, Column, GroupFrame, Node, TableColumn, postorder
from fastfeat.ir.scope import (
    is_of_table,
    is_over,
    is_over_table,
    is_over_window,
    order_of,
    query_of,
    table_columns_of,
    takes_rows_in_order,
    window_of,
)
from fastfeat.ir.show import show
from fastfeat.plan.declare import clocks
from fastfeat.plan.declare.late_columns import Ahead, LateColumns, without_targets
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.scalars import SCALARS

if TYPE_CHECKING:
    from fastfeat.plan.declare.late_windows import BoundTypes

MAY_TURN = "this expression may be later than the row, or run backwards"


def check_clocks_ahead(
    features: Mapping[str, Node], late: LateColumns, ahead: Ahead, types: BoundTypes | None
) -> None:
    """Raise Leakage if a feature sees rows by a clock that may be later than the label's clock."""
    for node in without_targets(features.values()):
        match node:
            case Call() if is_over_window(node):
                time, *_ = order_of(node).args
                if _has_clock(node, time, late, ahead, types):
                    _check_same_moment(node, ahead, types)
                    _check_turning(node, time, types)
            case Call() if is_over_table(node):
                order, window = order_of(node), dict(window_of(node).params)
                wait = "offset=", window["offset"], window["unit"]
                _check_table(node, order.args[0], table_columns_of(order)[0], wait, late, types)
            case Call("asof_row", (time, *_)):
                params, right = dict(node.params), _time_of_table(node)
                wait = "delay=", params["delay"], params["unit"]
                _check_table(node, time, right, wait, late, types)
            case Call("lookup_value", (Call("lookup_row"), TableColumn() as column)):
                _refuse_lookup(node, column, late, ahead)
            case Aggregate(_, (_, _, Call("time_fold", (time, *_)), *_)):
                _has_clock(node, time, late, ahead, types)
            case _:
                pass


def window_time_columns(features: Iterable[Node]) -> set[str]:
    """Return the time columns by which features see other rows, in the data and in tables."""
    names = set[str]()
    for node in postorder(list(features)):
        match node:
            case Call("time_fold", (time, *_)):
                names.update(columns_of([time]))
            case Call("asof_row", (time, *_)):
                names.update((*columns_of([time]), _time_of_table(node).name))
            case Call() if is_over(node):
                order = order_of(node)
                names.update(columns_of(query_of(order)[:1]))
                names |= {n.name for n in table_columns_of(order)[:1] if is_of_table(order)}
            case _:
                pass
    return names


def _time_of_table(asof: Call) -> TableColumn:
    """Return the time column of the table in an as-of join."""
    # the first half of the arguments are the row's time and keys
    right = asof.args[len(asof.args) // 2]
    assert isinstance(right, TableColumn)
    return right


def _has_clock(
    node: Node, time: Node, late: LateColumns, ahead: Ahead, types: BoundTypes | None
) -> bool:
    """Return True if rows of the data are ordered by the label's clock, False if by a known clock.

    Raises Leakage if they are ordered by neither.
    """
    if is_known(time, late, types):
        return False
    for other in ahead.times:
        if not clocks.rises_with(time, other, types):
            raise _other_clock(node, time, other, types)
    return True


def is_known(time: Node, late: LateColumns, types: BoundTypes | None) -> bool:
    """Return whether the user has declared a time's column in `known_clocks=`."""
    clock = clocks.clock_of(time, types)
    return clock is not None and clock.column in late.known_clocks


def _other_clock(node: Node, time: Node, other: Node, types: BoundTypes | None) -> Leakage:
    clock = clocks.clock_of(time, types)
    if clock is None:
        why, known = f", and {MAY_TURN}", ""
    else:
        why = f". A row that is earlier by one time may be later by {show(other)}"
        known = (
            ". Or, if the rows that it sees are known at the moment of prediction, declare that: "
            f"Plan(..., known_clocks=[{clock.column!r}])"
        )
    return Leakage(
        f"{show(node)}: the time here is {show(time)}, but the label reads later rows by the time "
        f"{show(other)}{why}. Use time={_written(other)}, or round that down: .dt.truncate(), "
        f".dt.date(){known}"
    )


def _written(time: Node) -> str:
    """Return a time as text that an option accepts."""
    return repr(time.name) if isinstance(time, Column) else show(time)


def _check_same_moment(over: Call, ahead: Ahead, types: BoundTypes | None) -> None:
    """Raise if a window with a rounded time may include later rows with the same rounded time."""
    order = order_of(over)
    time = order.args[0]
    if not takes_rows_in_order(over):
        return
    ties = order.args[len(query_of(order)) :]
    for other in ahead.times:
        if not clocks.determines_time(time, other, types) and not any(
            clocks.determines_time(tie, other, types) for tie in ties
        ):
            raise Leakage(
                f"{show(over)}: the label reads later rows by the time {show(other)}, but rows "
                f"with different values of it may have the same time here, {show(time)}, so the "
                f"window may include later rows. Order rows of equal time, tie={_written(other)}, "
                "or leave them out: closed='left'"
            )


def _check_turning(over: Call, time: Node, types: BoundTypes | None) -> None:
    """Raise if clocks that are set back let a window see later rows of the data."""
    clock, window = clocks.clock_of(time, types), dict(window_of(over).params)
    holds_end = window["closed"] in ("right", "both")
    if clock is None or not clock.turns:
        return
    if clocks.youngest(clock, window["offset"], holds_end=holds_end) < 0:
        needed = length_text(clocks.offset_for(clock, 0, holds_end=holds_end), clock.unit)
        raise Leakage(
            f"{show(over)}: the time of the window, {show(time)}, is rounded in a time zone. When "
            "clocks are set back, a later row may have an earlier time, so the window may see "
            f"later rows, which the label reads. Set offset={needed}, or truncate the time in UTC"
        )


def _check_table(
    node: Call,
    time: Node,
    right: TableColumn,
    wait: tuple[str, int, str | None],
    late: LateColumns,
    types: BoundTypes | None,
) -> None:
    """Raise Leakage if `node` sees rows of a table that may come after the moment of the row.

    Args:
        node: The window function or as-of join.
        time: The time of the row.
        right: The time column of the table.
        wait: The option that makes its rows end earlier ("offset=" or "delay="), its length and
            the unit of that length.
        late: The columns known too late.
        types: Types of all nodes, once they are bound.
    """
    ahead = late.ahead
    assert ahead is not None
    option, length, unit = wait
    seen = ahead.tables.get(right.table)
    if seen is not None and right.name not in seen and right.name not in late.known_clocks:
        raise Leakage(
            f"{show(node)}: selects rows of the table {right.table!r} by the time {right.name!r}, "
            f"but the label reads later rows of that table by the time {min(seen)!r}. Use "
            f"right_time={min(seen)!r}. Or, if the selected rows are known at the moment of "
            f"prediction, declare that: Plan(..., known_clocks=[{right.name!r}])"
        )
    known = is_known(time, late, types)
    for other in ahead.times:
        clock = clocks.clock_of(time, types, other) or clocks.clock_of(time, types)
        lead = clock.lead if known and clock is not None else clocks.lead_over(time, other, types)
        if clock is None or lead is None:
            raise _other_clock(node, time, other, types)
        if lead > length * (clock.step or 1):
            needed = length_text(-(-lead // (clock.step or 1)), _unit(unit, clock.unit))
            raise Leakage(
                f"{show(node)}: the time here, {show(time)}, is up to {needed} after "
                f"{show(other)}, the time by which the label reads later rows, so rows of the "
                f"table {right.table!r} are seen before they exist. Use time={_written(other)}, or "
                f"set {option}{needed}"
            )


def _unit(given: str | None, of_clock: str | None) -> str:
    return of_clock or given or "time"


def _refuse_lookup(node: Call, column: TableColumn, late: LateColumns, ahead: Ahead) -> None:
    """Raise if a lookup reads a table with rows that the label sees: the row may be a later one."""
    table, name = column.table, column.name
    if table in ahead.tables and name not in late.known_tables.get(table, ()):
        raise Leakage(
            f"{show(node)}: looks up a row of the table {table!r}. The label is computed from "
            "later rows of that table, so the row found may be from after the moment of "
            "prediction. Look up the latest earlier row instead: "
            f"ff.asof({table!r}, time=..., by=...). Or, if the values of {name!r} are known at the "
            "moment of prediction, declare that: "
            f"Plan(..., known_tables={{{table!r}: [{name!r}]}})"
        )


def refuse_rows_ahead(node: Aggregate | Call, ahead: Ahead) -> None:
    """Raise Leakage if a statistic is learned per key and the label sees later rows of that key.

    The statistic has seen these rows too; with such features, models predict labels of pure noise.
    `node` is an aggregate per key, the keys themselves, or the frequency of a key.
    """
    match node:
        case Aggregate(
            function, (argument, Call("encode", (*keys, vocabulary)), *_), _, GroupFrame()
        ):
            read = ahead.arguments.intersection(columns_of([argument]))
            counts = AGGREGATES[function].grows_with_rows or not _keeps_all(vocabulary)
        case Aggregate(function, (argument, *keys), _, GroupFrame()):
            read = ahead.arguments.intersection(columns_of([argument]))
            counts = AGGREGATES[function].grows_with_rows
        case Call(_, (Call("encode", keys), *_)):
            read, counts = frozenset[str](), True
        case _:
            return
    of_entity = ahead.entity_columns.intersection(columns_of(keys))
    for column in sorted(read | of_entity):
        is_key = column in of_entity
        of_value = "which the label reads in later rows"
        seen = "whose later rows the label reads" if is_key else of_value
        raise Leakage(
            f"{show(node)}: learns per key from {column!r}, {seen}, so what it learns depends on "
            "the same rows as the label. Use a window of earlier rows: "
            "over=ff.window(by=..., time=...)"
        )
    column = clock_in(keys, ahead, counts=counts)
    if column is not None:
        raise Leakage(
            f"{show(node)}: learns per key from {column!r}, the time by which the label reads "
            "later rows, so what it learns depends on the same rows as the label. "
            f"{_instead_of_clock(counts=counts)}, or use a window of earlier rows: "
            "over=ff.window(by=..., time=...)"
        )


def _instead_of_clock(*, counts: bool) -> str:
    parts = ".dt.hour(), .dt.minute(), .dt.weekday()"
    more = "" if counts else ", .dt.month(), .dt.quarter()"
    return f"Use a part of it that recurs, {parts}{more}"


def clock_in(keys: Iterable[Node], ahead: Ahead, *, counts: bool) -> str | None:
    """Return the column of the label's clock that a key reveals; None if it reveals no moment.

    A part of a time that recurs reveals none: on noise, a count by weekday over a year, or by hour,
    has an AUC of .50 to .53. By month or quarter, of one store, it has .62 to .69. So counts are
    refused by month or quarter, while a mean, which does not grow with the rows, is allowed.
    `counts` says whether the learnt statistic grows with the number of rows.
    """
    pending, reached = [*keys], set[Node]()
    while pending:
        node = pending.pop()
        if node in reached:
            continue
        reached.add(node)
        match node:
            case Column(name) if name in ahead.time_columns:
                return name
            case Call(function) if function in SCALARS and _recurs(function, counts=counts):
                pass
            case Call() if is_over(node):
                pending.append(node.args[0])  # its time only selects the rows that it sees
            case _:
                pending.extend(node.args)
    return None


def _recurs(function: str, *, counts: bool) -> bool:
    row = SCALARS[function]
    return bool(row.repeats_s or (row.repeats_yearly and not counts))


def refuse_ranks(features: Mapping[str, Node], ahead: Ahead) -> None:
    """Raise Leakage if a feature is an ordinal code of an entity or a moment.

    This rule is for labels that count later rows. Such codes are numbered by the frequency of their
    key, which includes these rows. With them, too, models predict labels of pure noise.
    """
    for node, keys in counted_keys(features).items():
        if isinstance(node, Call) and node.function in ("encode", "list.encode"):
            _refuse_ranks_of(node, keys, ahead)


def counted_keys(features: Mapping[str, Node]) -> dict[Call | Aggregate, tuple[Node, ...]]:
    """Return the parts of features that reveal how often a key occurs, with the key's expressions.

    These parts are counts, sums, and ordinal codes in the order of frequency. A code that is only
    the key of a target encoder or of a mean reveals no count.

    Returns:
        dict of the counting node to the expressions of its key.
    """
    found: dict[Call | Aggregate, tuple[Node, ...]] = {}
    pending, reached = [*features.values()], set[Node]()
    while pending:
        node = pending.pop()
        if node in reached:
            continue
        reached.add(node)
        match node:
            case Aggregate(function, (argument, codes, *_), _, GroupFrame()):
                pending.append(argument)
                if AGGREGATES[function].grows_with_rows and isinstance(codes, Call):
                    found[node] = codes.args[:-1]
            case Call("category_count" | "category_share", (Call("encode", (*keys, _)), *_)):
                found[node] = tuple(keys)
            case Call(
                "one_hot" | "is_code" | "list.has_code",
                (Call("encode" | "list.encode", (*_, vocabulary)), *_),
            ) if _keeps_all(vocabulary):
                pass
            case Call("encode" | "list.encode", (*keys, Aggregate())):
                found[node] = tuple(keys)
            case _:
                pending.extend(node.args)
    return found


def repeats_s(keys: Iterable[Node], column: str) -> int:
    """Return the longest period in seconds after which a part of the time in a key recurs.

    The hour of a time recurs after a day, its weekday after a week. 0 if no part of the key recurs.
    """
    found = 0
    for node in postorder(list(keys)):
        if isinstance(node, Call) and node.function in SCALARS and column in columns_of([node]):
            found = max(found, SCALARS[node.function].repeats_s)
    return found


def _refuse_ranks_of(node: Call, keys: Sequence[Node], ahead: Ahead) -> None:
    instead = (
        "List the values in your own order, .ordinal_encode(vocabulary=[...]), or use "
        ".hash(n_buckets=...)"
    )
    for column in sorted(ahead.entity_columns.intersection(columns_of(keys))):
        raise Leakage(
            f"{show(node)}: numbers the values of {column!r} by how often they occur, "
            f"including in the later rows that the label counts. {instead}"
        )
    column = clock_in(keys, ahead, counts=True)
    if column is not None:
        raise Leakage(
            f"{show(node)}: numbers values computed from {column!r}, the time by which the label "
            "reads later rows, by how often they occur, including in the later rows that the "
            f"label counts. {instead}"
        )


def _keeps_all(vocabulary: Node) -> bool:
    """Return whether a vocabulary keeps every key, however rare."""
    if not isinstance(vocabulary, Aggregate):
        return True
    params = dict(vocabulary.params)
    return params.get("min_frequency") is None and params.get("max_categories") is None
