"""Late columns, known only after the moment of their row, and windows over later rows.

A delay says how long after its row a late column is known. "Ahead" means in later rows of the same
entity: `ff.ahead` in a label. A clock is the time column, or expression of it, that a length counts
by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import cast

from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import is_target
from fastfeat.errors import InvalidPlan, Leakage, did_you_mean
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Call, Column, Node, TableColumn, postorder
from fastfeat.ir.scope import (
    OVER,
    is_of_table,
    is_over,
    is_over_ahead,
    order_of,
    query_of,
    table_columns_of,
    table_of,
    window_of,
)
from fastfeat.ir.show import show
from fastfeat.operators.durations import resolve_duration
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.steps.windows import rows as window_rows


def windows_ahead(roots: Iterable[Node]) -> list[Call]:
    """Return the functions over later rows that expressions contain."""
    return [node for node in postorder(list(roots)) if is_over_ahead(node)]


def own_row_nodes(roots: Iterable[Node]) -> list[Node]:
    """Return the nodes that expressions read from their own row, arguments first.

    Nodes below functions over later rows are left out: such a function reads the row's own time and
    key, which are known at its moment, and the column that it aggregates may be known there too.
    """
    return _reached(roots, lambda node: () if is_over_ahead(node) else node.args)


def without_targets(roots: Iterable[Node]) -> list[Node]:
    """Return the nodes of features, arguments first, except those below targets of encoders."""
    return _reached(roots, _without_target)


def _without_target(node: Node) -> tuple[Node, ...]:
    return node.args[1:] if is_target(node) else node.args


def _reached(roots: Iterable[Node], below: Callable[[Node], tuple[Node, ...]]) -> list[Node]:
    """Return the nodes that `below`, a function from node to arguments, reaches from `roots`.

    Arguments come before the nodes that read them.
    """
    roots, reached = list(roots), set[Node]()
    pending = [*roots]
    while pending:
        node = pending.pop()
        if node not in reached:
            reached.add(node)
            pending += below(node)
    return [node for node in postorder(roots) if node in reached]


def late_columns(label: Iterable[Node]) -> list[str]:
    """Return the columns that a label reads from its own row: they are late."""
    names = [node.name for node in own_row_nodes(label) if isinstance(node, Column)]
    return list(dict.fromkeys(names))


def check_label(name: str, label: Node) -> None:
    """Raise InvalidPlan if a label nests windows over later rows, or looks up rows of a table."""
    for node in postorder([label]):
        inner = windows_ahead(node.args) if is_over(node) else []
        if inner:
            raise InvalidPlan(
                f"the label {name!r}: the window {show(node)} reads {show(inner[0])}, a window "
                "over later rows, and a label cannot nest these. Use the values that the inner "
                "window reads"
            )
    looked_up = [node for node in own_row_nodes([label]) if isinstance(node, TableColumn)]
    if looked_up:
        raise InvalidPlan(
            f"the label {name!r} looks rows up in the table {looked_up[0].table!r}, but a label "
            "may only read the data. Join the table to the data first"
        )


def check_features(features: Mapping[str, Node], label: Sequence[Node]) -> None:
    """Raise Leakage if a feature sees later rows, except as the target of an encoder.

    In `features`, targets that name the label must already be replaced by its expression.
    """
    if not windows_ahead(features.values()):
        return
    of_label = set(windows_ahead(label))
    for name, root in features.items():
        for node in postorder([root]):
            if is_over_ahead(node) and node not in of_label:
                raise _sees_ahead(name, node)
        for node in without_targets([root]):
            if is_over_ahead(node):
                raise _sees_ahead(name, node)


def _sees_ahead(name: str, node: Call) -> Leakage:
    return Leakage(
        f"feature {name!r} reads {show(node)}, which is known only after the prediction: "
        "aggregates over ff.ahead are for label= only. Features look back: use ff.window(...)"
    )


Length = tuple[int, str]
"""A length: nanoseconds and "time", or whole steps and "steps"."""

DelayText = str | int
"""A length as a plan stores it: a duration such as "30d", or a number of steps."""

GivenDelay = DelayText | Mapping[str, DelayText] | None

NO_NAMES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Delay:
    """How long after its row a late column is known.

    Args:
        default_length: The length by any clock; None if not given.
        by_clock: The length by each named clock (time column).
        said_by: The option that gives the delay, for messages: "label_delay=".
        time: If a window over later rows implies the delay, the time of that window.
        seen: Outcomes inside such a window, with their own delays.
    """

    default_length: Length | None = None
    by_clock: Mapping[str, Length] = field(default_factory=dict[str, Length])
    said_by: str = "label_delay="
    time: Node | None = None
    seen: Mapping[str, Sequence[Delay]] = field(default_factory=dict[str, "Sequence[Delay]"])

    def __bool__(self) -> bool:
        """Return whether any delay is given."""
        return self.default_length is not None or bool(self.by_clock)

    @property
    def texts_by_clock(self) -> list[str]:
        """The delays by clock, as text: "30 by 'day'"."""
        return [f"{length_text(*n)} by {clock!r}" for clock, n in self.by_clock.items()]


@dataclass(frozen=True, slots=True)
class Ahead:
    """The later rows and columns that a label sees.

    Args:
        entity: Keys of its windows, as expressions over the data.
        arguments: Columns of the data that it aggregates.
        counts: Whether the label reveals the number of later rows, as most aggregates do.
        times: Time expressions of a row, at which its windows begin.
        tables: Names of the tables with rows that it sees, each with its time columns.
    """

    entity: frozenset[Node]
    arguments: frozenset[str]
    counts: bool
    times: tuple[Node, ...]
    tables: Mapping[str, frozenset[str]]

    @property
    def entity_columns(self) -> frozenset[str]:
        """The columns that the keys read."""
        return frozenset(columns_of(self.entity))

    @property
    def time_columns(self) -> frozenset[str]:
        """The columns that the times read."""
        return frozenset(columns_of(self.times))


@dataclass(frozen=True, slots=True)
class LateColumns:
    """The columns that a plan declares to be known only after their row, with their delays.

    Args:
        of_label: The label's name and the late columns that it is computed from.
        outcomes: Further late columns.
        label: Expressions of the label. An encoder's target equal to one of them is allowed.
        names: Names of the label.
        delays: Delays of each late column; a column without an entry is known at once.
        known: Columns that the label's expression reads and that are declared as known.
        may_be_known: Columns that the user might declare as known by `known=`.
        known_tables: For each table, the columns that are known although a late column has the
            same name.
        ahead: The later rows and columns that the label sees; None if it does not look ahead.
        known_clocks: Further time columns; rows that windows select by them are known in time.
    """

    of_label: frozenset[str] = NO_NAMES
    outcomes: frozenset[str] = NO_NAMES
    label: frozenset[Node] = frozenset()
    names: frozenset[str] = NO_NAMES
    delays: Mapping[str, Sequence[Delay]] = field(default_factory=dict[str, Sequence[Delay]])
    known: frozenset[str] = NO_NAMES
    may_be_known: frozenset[str] = NO_NAMES
    known_tables: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    ahead: Ahead | None = None
    known_clocks: frozenset[str] = NO_NAMES

    @property
    def columns(self) -> frozenset[str]:
        """The names of all late columns: of the label, and outcomes."""
        return self.of_label | self.outcomes

    def holds(self, column: Column | TableColumn) -> bool:
        """Return whether a column has the name of a late one; False if it is in `known_tables`."""
        name = column.name
        if isinstance(column, TableColumn) and name in self.known_tables.get(column.table, ()):
            return False
        return name in self.columns


def resolve_late_columns(
    label: Mapping[str, Node],
    outcomes: Iterable[str] | Mapping[str, GivenDelay],
    label_delay: GivenDelay,
    known: Sequence[str],
    known_tables: Mapping[str, Sequence[str]],
    known_clocks: Sequence[str],
) -> LateColumns:
    """Return a plan's late columns and delays, from its checked arguments."""
    of_own_row = frozenset(late_columns(label.values()))
    ahead = ahead_of(label.values())
    _check_known(known, label, list(outcomes), of_own_row, has_ahead=ahead is not None)
    of_label = (of_own_row - set(known)) | set(label)
    everywhere = delay_of(label_delay, "label_delay=")
    delays: dict[str, list[Delay]] = {name: [everywhere] for name in of_label if everywhere}
    own: Mapping[str, GivenDelay] = (
        cast("Mapping[str, GivenDelay]", outcomes)
        if isinstance(outcomes, Mapping)
        else dict.fromkeys(outcomes)
    )
    for name, given in own.items():
        delay = everywhere if given is None else delay_of(given, "outcomes=")
        if delay:
            delays.setdefault(name, []).append(delay)
    later = {
        name: ahead_delays(node, {n: delays[n] for n in own if n in delays})
        for name, node in label.items()
    }
    read = [delay for name in own if name in of_own_row for delay in delays.get(name, ())]
    for name in label:
        # a label is known only once everything that it reads is known
        found = delays.setdefault(name, [])
        found += [delay for delay in [*later[name], *read] if delay not in found]
    late = LateColumns(
        frozenset(of_label),
        frozenset(own),
        frozenset(label.values()),
        frozenset(label),
        {name: tuple(found) for name, found in delays.items() if found},
        frozenset(known),
        of_own_row - frozenset(label),
        {table: frozenset(names) for table, names in known_tables.items()},
        ahead,
        frozenset(known_clocks),
    )
    _check_known_tables(late)
    _check_known_clocks(known_clocks, ahead)
    return late


def delay_of(given: GivenDelay, said_by: str) -> Delay:
    match given:
        case None:
            return Delay(said_by=said_by)
        case str() | int():
            return Delay(_length(given), said_by=said_by)
        case _:
            by_clock = {clock: _length(text) for clock, text in given.items()}
            return Delay(None, by_clock, said_by)


def _length(text: DelayText) -> Length:
    length, unit = resolve_duration("delay", text)
    assert length is not None
    assert unit is not None
    return length, unit


def ahead_of(label: Iterable[Node]) -> Ahead | None:
    """Return a record of the later rows that a label sees; None if it does not look ahead."""
    calls = windows_ahead(label)
    if not calls:
        return None
    keys = [frozenset(_entity_of(call)) for call in calls]
    together = keys[0].intersection(*keys[1:])  # entities that differ in these keys share no window
    arguments = frozenset(columns_of(call.args[0] for call in calls))
    functions = [window_rows.OVER_FUNCTIONS[call.function.removeprefix(OVER)] for call in calls]
    counts = any(function.tells_number for function in functions)
    orders = [order_of(call) for call in calls]
    times = tuple(dict.fromkeys(query_of(order)[0] for order in orders))
    seen = {table_of(order): set[str]() for order in orders if is_of_table(order)}
    for order in orders:
        if is_of_table(order):
            seen[table_of(order)].add(table_columns_of(order)[0].name)
    tables = {table: frozenset(names) for table, names in seen.items()}
    return Ahead(together, arguments, counts, times, tables)


def _entity_of(call: Call) -> tuple[Node, ...]:
    return query_of(order_of(call))[1:]


def ahead_delays(label: Node, outcomes: Mapping[str, Sequence[Delay]]) -> list[Delay]:
    """Return the delay that each window over later rows in a label implies.

    `outcomes` gives the delays of outcomes; such a window may contain them.
    """
    found: list[Delay] = []
    for call in windows_ahead([label]):
        params, (time, *_) = dict(window_of(call).params), query_of(order_of(call))
        values = [n.name for n in postorder([call.args[0]]) if isinstance(n, Column | TableColumn)]
        seen = {name: tuple(outcomes[name]) for name in values if name in outcomes}
        length = params["gap"] + params["next"], params["unit"]
        delay = Delay(length, said_by="ff.ahead", time=time, seen=seen)
        if delay not in found:
            found.append(delay)
    return found


def _check_known(
    known: Sequence[str],
    label: Mapping[str, Node],
    outcomes: Sequence[str],
    of_own_row: frozenset[str],
    *,
    has_ahead: bool,
) -> None:
    """Raise if `known=` names a column that must be late, or that is not late anyway."""
    for name in known:
        told = f"Plan(known=[{name!r}])"
        if name in label:
            raise InvalidPlan(
                f"{told}: is the label itself, which is not known at the moment of prediction. "
                "Leave it out"
            )
        if name in outcomes:
            raise InvalidPlan(
                f"{told}: {name!r} is in outcomes= too, which says that it is known only after the "
                "prediction. Remove it from known= or from outcomes="
            )
        if name not in of_own_row:
            hint = did_you_mean(name, of_own_row - set(label))
            raise InvalidPlan(
                f"{told}: known= is only for columns that the label is computed from. {name!r} is "
                f"not one of them, so it counts as known anyway.{hint or ' Leave it out'}"
            )
    if known and not has_ahead and of_own_row <= set(known):
        raise InvalidPlan(
            f"Plan(known={list(known)!r}): names every column that the label is computed from, so "
            "the label would be known at the moment of prediction. Leave out the columns that are "
            "known only later"
        )


def _check_known_tables(late: LateColumns) -> None:
    """Raise if `known_tables` names a column and no late column has its name.

    A table in which the label looks ahead is exempt: any of its rows may be a later one.
    """
    for table, names in late.known_tables.items():
        if late.ahead is not None and table in late.ahead.tables:
            continue
        for name in names:
            if name not in late.columns:
                hint = did_you_mean(name, late.columns)
                raise InvalidPlan(
                    f"Plan(known_tables={{{table!r}: [{name!r}]}}): no column known only after the "
                    "prediction has that name, so it counts as known anyway."
                    f"{hint or ' Leave it out'}"
                )


def _check_known_clocks(known: Sequence[str], ahead: Ahead | None) -> None:
    """Raise if a clock in `known_clocks=` does not need to be listed."""
    for name in known:
        told = f"Plan(known_clocks=[{name!r}])"
        if ahead is None:
            raise InvalidPlan(
                f"{told}: no label is computed from later rows (ff.ahead), so windows may use any "
                "time column. Leave out known_clocks="
            )
        if Column(name) in ahead.times:
            raise InvalidPlan(
                f"{told}: {name!r} is the time column by which the label reads later rows, and "
                "windows may use it anyway. Leave it out"
            )


def add_label_column(late: LateColumns, column: str | None) -> LateColumns:
    """Return `late` with the column in which the label is supplied added; unchanged without one."""
    if column is None:
        return late
    label = late.label | {Column(column)}
    return replace(late, of_label=late.of_label | {column}, label=label)
