"""Drift, checks and changes as HTML tables, for notebooks and reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import islice
from typing import NamedTuple

from fastfeat.errors import counted
from fastfeat.markup.html import in_notebook, printable, short, shorten_middle, table
from fastfeat.trust.quality.column_drift import ColumnDrift, worst_first

MOST_ROWS = 50
_LONGEST = 480


class Figure(NamedTuple):
    """A figure on the drift of a column, ready to be shown.

    Args:
        title: Name of the figure.
        text: Its value as text; for a share of rows, the share in training and the share now.
        is_beyond: Whether it exceeds its limit.
    """

    title: str
    text: str
    is_beyond: bool = False


TITLES = ("PSI / limit", "moved / limit", "KS", "missing", "new values")
"""Titles of a column's figures, in order."""


def drift_figures(
    column: ColumnDrift, length: Callable[[float], str] | None = None
) -> list[Figure]:
    """Return the figures of a compared column, in the order of `TITLES`.

    `length` formats a distance between values of the column. Without it, distances are plain
    numbers, and distances of times are omitted because `ColumnDrift` does not have their unit.
    """
    number = _number if length is None else length
    is_told = column.kind != "moment" or length is not None
    moves = (column.shift, column.shift_threshold) if is_told else (None, None)
    moved = " / ".join(number(move) for move in moves if move is not None) or "–"
    psi = f"{column.psi:.3f} / {column.psi_threshold:.2f}"
    comes = abs(column.missing.now - column.missing.then) > column.missing_threshold
    newer = column.unseen.now - column.unseen.then > column.unseen_threshold
    judged = column.is_judged
    return [
        Figure("PSI / limit", psi, judged and column.psi > column.psi_threshold),
        Figure("moved / limit", moved, judged and column.has_moved),
        Figure("KS", _bracket(column.ks, _number)),
        Figure("missing", _change(*column.missing), judged and comes),
        Figure("new values", _change(*column.unseen), judged and newer),
    ]


def drift_html(summary: str, features: Iterable[ColumnDrift], inputs: Iterable[ColumnDrift]) -> str:
    """Return the drift of features and inputs as HTML; drifted columns come first."""
    columns = [
        *(("feature", column) for column in worst_first(features)),
        *(("input", column) for column in worst_first(inputs)),
    ]
    columns.sort(key=lambda pair: not pair[1].is_drifted)
    rows = (
        [
            _with_level(short(column.name), "bad" if column.is_drifted else ""),
            kind,
            *(_with_level(of.text, "bad" if of.is_beyond else "") for of in drift_figures(column)),
            escape(column.reason),
        ]
        for kind, column in islice(columns, MOST_ROWS)
    )
    head = ("name", "", *TITLES, "reason")
    return in_notebook(summary, table(head, rows) + _more(len(columns), "column"))


def level_of(column: ColumnDrift) -> str:
    """Return the CSS class of a column: "bad" if drifted, "ok", or "" if not judged."""
    if column.is_drifted:
        return "bad"
    return "ok" if column.is_judged else ""


class RuleRow(NamedTuple):
    """A judged rule in display form.

    Args:
        name: Name of the rule.
        level: CSS class: "bad", "warn", "ok" or "".
        outcome: Outcome in a word or two.
        n_broken: Number of rows that break the rule.
        told: The condition, and the first rows that break it.
    """

    name: str
    level: str
    outcome: str
    n_broken: int
    told: str


RULE_TITLES = ("rule", "outcome", "rows", "definition, and the first rows that break it")


def rule_cells(rule: RuleRow) -> list[str]:
    """Return the cells of a rule as HTML, in the order of `RULE_TITLES`."""
    return [
        f"<b>{escape(short(rule.name))}</b>",
        _with_level(rule.outcome, rule.level),
        f'<span class="n">{rule.n_broken:,}</span>',
        f"<code>{escape(shorten_middle(printable(rule.told), _LONGEST))}</code>",
    ]


def rules_html(summary: str, rules: Sequence[RuleRow]) -> str:
    """Return the results of rules as HTML, in the order given, at most `MOST_ROWS` of them."""
    rows = map(rule_cells, islice(rules, MOST_ROWS))
    return in_notebook(summary, table(RULE_TITLES, rows) + _more(len(rules), "rule"))


_OF_VERDICT = {"major": "bad", "minor": "warn", "refit": "", "same": "ok"}
ChangeRow = tuple[str, str, str, str]
"""Verdict, kind and name of a change, and its values before and after in words."""


def changes_html(summary: str, changes: Sequence[ChangeRow]) -> str:
    """Return changes between plans as HTML, in the order given, at most `MOST_ROWS` of them."""
    rows = (
        [
            _with_level(verdict, _OF_VERDICT[verdict]),
            escape(kind),
            f"<b>{escape(short(name))}</b>",
            escape(shorten_middle(printable(told), _LONGEST)),
        ]
        for verdict, kind, name, told in islice(changes, MOST_ROWS)
    )
    shown = table(("verdict", "change", "name", "before and after"), rows) if changes else ""
    return in_notebook(summary, shown + _more(len(changes), "change"))


def _with_level(text: str, level: str) -> str:
    return f'<span class="{level}">{escape(text)}</span>' if level else escape(text)


def _more(n: int, thing: str) -> str:
    return f"<p>... and {counted(n - MOST_ROWS, f'more {thing}')}</p>" if n > MOST_ROWS else ""


_LEAST = 1e-9


def _number(value: float) -> str:
    """Return a figure as text; tiny values, which are rounding errors of sums, are shown as 0."""
    return f"{value:.3g}" if abs(value) > _LEAST else "0"


def _bracket(bracket: tuple[float, float] | None, number: Callable[[float], str]) -> str:
    """Return the least and greatest possible value as text, or one of them if both look alike."""
    if bracket is None:
        return "–"
    low, high = map(number, bracket)
    return low if low == high else f"{low} to {high}"


def _change(then: float, now: float) -> str:
    """Return two shares as text, or only one if both look alike."""
    told = [share_text(then), share_text(now)]
    return told[0] if told[0] == told[1] else " → ".join(told)


def share_text(share: float) -> str:
    """Return a share as text; only an exact zero is shown as "0".

    Example:
        >>> [share_text(share) for share in (0.0, 0.00001, 0.0123, 1.0)]
        ['0', '<0.1%', '1.2%', '100%']
    """
    if share == 0:
        return "0"
    return "100%" if share == 1 else f"{share:.1%}" if share >= 0.001 else "<0.1%"
