"""What the features of a row came from as a table: of notebooks, and of the page of the server.

All that is not made here is escaped, there is no script, and the style is that of plans.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from fastfeat.plan.tell.html import MOST_FEATURES, STYLE
from fastfeat.plan.tell.summary import capped, short

if TYPE_CHECKING:
    from fastfeat.online.state.explanation import Explained, FeatureExplained, RowsSeen

_LONGEST = 90


def explained_html(explained: Explained) -> str:
    """Return a table of features as HTML: each opens to the rows that it came from."""
    features = explained.features[:MOST_FEATURES]
    left = len(explained.features) - len(features)
    head = "".join(f"<th>{title}</th>" for title in ("feature", "value", "came from"))
    body = "".join(map(_feature_row, features))
    more = f"<p>... and {left:,} more</p>" if left else ""
    return (
        f'<div class="fastfeat-plan"><style>{STYLE}</style><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>{more}</div>"
    )


def _feature_row(feature: FeatureExplained) -> str:
    from fastfeat.online.state.explanation import shown

    read = [f"{name} = {shown(value)}" for name, value in feature.columns.items()]
    learnt = [f"{text} = {value}" for text, value in feature.learnt.items()]
    titled = {"formula": [feature.formula], "of the row": read, "learnt": learnt}
    parts = "".join(
        f"<dt>{title}</dt><dd>{_codes(texts)}</dd>" for title, texts in titled.items() if texts
    )
    seen = "".join(map(_seen, feature.seen))
    start = escape(capped(feature.formula, _LONGEST))
    came_from = f"<details><summary><code>{start}</code></summary><dl>{parts}</dl>{seen}</details>"
    cells = (f"<b>{escape(short(feature.name))}</b>", escape(shown(feature.value)), came_from)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _codes(texts: Iterable[str]) -> str:
    return "<br>".join(f"<code>{escape(text)}</code>" for text in texts)


def _seen(seen: RowsSeen) -> str:
    """Return the rows that a function read as a table of their own."""
    from fastfeat.online.state.explanation import MOST_ROWS, shown

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
