"""`explain("leakage")`: the data that each feature can see, by which clock, and its age.

A column is late if its value is not yet known at the time of its row, such as the label. A clock is
a column of times by which a feature sees earlier rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fastfeat.aggregates import is_target
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Aggregate, Call, Node, TableColumn, postorder
from fastfeat.ir.scope import is_asof, is_over_table, is_over_window, window_nodes
from fastfeat.ir.show import show_all
from fastfeat.plan.declare.late_columns import NO_NAMES, Delay, LateColumns
from fastfeat.plan.declare.late_windows import age_text
from fastfeat.plan.declare.source_columns import own_columns, past_columns


def describe_leakage(features: Mapping[str, Node], late: LateColumns) -> str:
    """Return lines on the data that each feature sees.

    These are columns of its own row, earlier rows, tables, and learnt values.
    """
    lines = [f"late columns (label, outcomes): {_late_columns_text(late)}"]
    if late.known:
        lines.append(f"label inputs that are declared as known: {', '.join(sorted(late.known))}")
    if late.known_clocks:
        clocks = ", ".join(sorted(late.known_clocks))
        lines.append(f"clocks that are declared as known, which is not checked: {clocks}")
    lines.append("")
    undeclared: dict[str, None] = {}
    tables: dict[str, dict[str, None]] = {}
    for name, root in features.items():
        own = own_columns([root])
        undeclared.update(dict.fromkeys(own))
        learnt = [n for n in postorder([root]) if isinstance(n, Aggregate)]
        lines.append(f"{name}")
        lines.append(f"  own row: {', '.join(own) or 'nothing'}")
        looked_up = [n for n in postorder([root]) if isinstance(n, TableColumn)]
        if looked_up:
            named = (f"{n.table}[{n.name!r}]" for n in looked_up)
            lines.append(f"  lookup tables: {', '.join(named)}")
            for column in looked_up:
                tables.setdefault(column.table, {})[column.name] = None
        lines += _window_lines(root)
        lines += _learnt_lines("learnt from the training rows", learnt, lambda n: not is_target(n))
        lines += _learnt_lines("learnt out of fold from the target", learnt, is_target)
    lines += ["", "columns of the row itself, which must be known at the moment of prediction:"]
    lines.append(f"  {', '.join(undeclared) or 'none'}")
    if tables:
        lines += ["", "columns of tables, assumed to be known then, which is not checked:"]
        for table, names in tables.items():  # the label's own clock needs no declaration
            own = NO_NAMES if late.ahead is None else late.ahead.tables.get(table, NO_NAMES)
            named = [name for name in names if name not in own]
            lines.append(f"  {table}: {', '.join(named)}")
    return "\n".join([*lines, *_past_column_lines(features, late)])


def _late_columns_text(late: LateColumns) -> str:
    """Return the names of the late columns, with the delay until each is known, as text."""
    told = (f"{name}{_delay_text(late.delays.get(name, ()))}" for name in sorted(late.columns))
    return ", ".join(told) or "none declared"


def _delay_text(delays: Sequence[Delay]) -> str:
    """Return the delay until a column is known, as text; "" if it has none.

    Of several delays in one unit, the longest is shown.
    """
    longest: dict[str, int] = {}
    for delay in delays:
        if delay.default_length is not None:
            length, unit = delay.default_length
            longest[unit] = max(length, longest.get(unit, 0))
    told = [length_text(length, unit) for unit, length in longest.items()]
    told += [text for delay in delays for text in delay.texts_by_clock]
    return f" (known {' and '.join(dict.fromkeys(told))} later)" if told else ""


def _learnt_lines(
    told: str, learnt: Sequence[Aggregate], chosen: Callable[[Aggregate], bool]
) -> list[str]:
    found = [node for node in learnt if chosen(node)]
    return [f"  {told}: {'; '.join(show_all(found).values())}"] if found else []


def _window_lines(root: Node) -> list[str]:
    """Return a line for each window or as-of join of a feature, with the age of rows it sees."""
    found: dict[str, Sequence[Call]] = {
        "earlier rows": window_nodes([root]),
        "rows of tables": [node for node in postorder([root]) if is_over_table(node)],
        "latest row of a table": [node for node in postorder([root]) if is_asof(node)],
    }
    lines = [
        f"  {told}: {text} ({age_text(over)})"
        for told, calls in found.items()
        for over, text in zip(calls, show_all(calls).values(), strict=True)
    ]
    return list(dict.fromkeys(lines))


def _past_column_lines(features: Mapping[str, Node], late: LateColumns) -> list[str]:
    """Return lines on the late columns that windows read in earlier rows; empty without any.

    Earlier rows that arrive without these columns are in none of these windows, so features change.
    """
    nodes = postorder(list(features.values()))
    if not any(is_over_window(node) for node in nodes):
        return []
    read = [name for name in past_columns(features.values()) if name in late.columns]
    if not read:
        return []
    return [
        "",
        "late columns that windows read in earlier rows. If the data lacks such a column, windows",
        "skip its rows, and features differ from features of data with the column:",
        f"  {', '.join(read)}",
    ]
