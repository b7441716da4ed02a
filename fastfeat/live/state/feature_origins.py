"""Records of the origins of one row's features, as text and as HTML.

The HTML is for notebooks and the server's page. All text from outside is escaped, there are no
scripts, and the style matches the HTML of plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from html import escape
from typing import Any

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.records import dataclass

from fastfeat.errors import counted
from fastfeat.io.arrow import Table
from fastfeat.markup.html import details_block, in_notebook, short, shorten_middle, table
from fastfeat.tell.html import MOST_FEATURES

MOST_ROWS = 8
_LONGEST = 90
_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True, repr=False)
class RowsSeen:
    """The rows that one window function, lookup or as-of join read.

    Args:
        what: Text of the function.
        table: Name of the lookup table; "" for rows of the state.
        rows: The rows as a table: their id or number, their time, and the columns that were read.
        n_own: 1 if the last of these rows is the explained row itself, else 0.
    """

    what: str
    table: str
    rows: Table
    n_own: int = 0

    def __repr__(self) -> str:
        """Return one line for the function, and one for each of the latest rows."""
        return "\n".join([self.head, *(f"  {line}" for line in self.lines)])

    @property
    def head(self) -> str:
        """The function, and the number of rows."""
        of_table = f" of table {self.table!r}" if self.table else ""
        own = ", including this row" if self.n_own else ""
        return f"{self.what}: {counted(self.rows.num_rows, 'row')}{of_table}{own}"

    @property
    def lines(self) -> list[str]:
        """One line for each of the latest rows."""
        left = max(0, self.rows.num_rows - MOST_ROWS)
        rows = self.rows.slice(left).to_pylist()
        told = [", ".join(f"{n}={shown(v)}" for n, v in row.items()) for row in rows]
        return [*([f"... {counted(left, 'earlier row')}"] if left else []), *told]


@dataclass(frozen=True, slots=True, repr=False)
class FeatureExplained:
    """A feature of one row, and the data from which it was computed.

    Args:
        name: Name of the feature; for a feature of several columns, of the column.
        value: Its value for the row, as a Python object; None if missing.
        formula: Its expression, as text.
        columns: Column name to value, for the columns of the row itself that it read.
        learnt: Learnt values that it read: text of the expression to text of the value.
        seen: Rows that its windows, lookups and as-of joins read.
        rows: Indices into `Explained.rows` of the rows that it needs, ascending.
        tables: Lookup table name to the indices of the rows that it needs.
    """

    name: str
    value: Any
    formula: str
    columns: Mapping[str, Any]
    learnt: Mapping[str, str]
    seen: tuple[RowsSeen, ...]
    rows: Int64Array = field(compare=False)
    tables: Mapping[str, Int64Array] = field(compare=False)

    def __repr__(self) -> str:
        """Return the value, the formula, and the origins."""
        learnt = [f"  learnt {text} = {value}" for text, value in self.learnt.items()]
        read = ", ".join(f"{name}={shown(value)}" for name, value in self.columns.items())
        return "\n".join(
            [
                f"{self.name} = {shown(self.value)}",
                f"  {self.formula}",
                *([f"  from the row: {read}"] if read else []),
                *learnt,
                *(f"  {line}" for one in self.seen for line in repr(one).splitlines()),
            ]
        )


def explained_html(features: Sequence[FeatureExplained]) -> str:
    """Return features as an HTML table, in which each row opens to show its origins."""
    first = features[:MOST_FEATURES]
    left = len(features) - len(first)
    rows = table(("feature", "value", "came from"), map(_feature_cells, first))
    return in_notebook("", rows + (f"<p>... and {left:,} more</p>" if left else ""))


def _feature_cells(feature: FeatureExplained) -> list[str]:
    read = [f"{name} = {shown(value)}" for name, value in feature.columns.items()]
    learnt = [f"{text} = {value}" for text, value in feature.learnt.items()]
    titled = {"formula": [feature.formula], "from the row": read, "learnt": learnt}
    parts = "".join(
        f"<dt>{title}</dt><dd>{_codes(texts)}</dd>" for title, texts in titled.items() if texts
    )
    seen = "".join(map(_seen, feature.seen))
    start = escape(shorten_middle(feature.formula, _LONGEST))
    came_from = details_block(f"<code>{start}</code>", f"<dl>{parts}</dl>{seen}")
    return [f"<b>{escape(short(feature.name))}</b>", escape(shown(feature.value)), came_from]


def _codes(texts: Iterable[str]) -> str:
    return "<br>".join(f"<code>{escape(text)}</code>" for text in texts)


def _seen(seen: RowsSeen) -> str:
    """Return the rows that a function read as an HTML table."""
    left = max(0, seen.rows.num_rows - MOST_ROWS)
    rows = seen.rows.slice(left).to_pylist()
    head = "".join(f"<th>{escape(short(name))}</th>" for name in seen.rows.column_names)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(shown(value))}</td>' for value in row.values())}</tr>"
        for row in rows
    )
    earlier = f"<p>... {left:,} earlier</p>" if left else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
    return f"<p><code>{escape(seen.head)}</code></p>{earlier}{table}"


def shown(value: Any) -> str:
    return shorten_middle(
        repr(value) if value is None or isinstance(value, str) else str(value), _LONGEST_VALUE
    )
