"""HTML tables and lists: user text is escaped, and the HTML has no scripts and loads nothing.

In a notebook a table is light or dark like the page: as Jupyter or VS Code says, otherwise as the
reader's system does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

LIGHT = (
    "--fg:#1f2328;--soft:#59636e;--line:#d1d9e0;--head:#f6f8fa;--code:#0550ae;"
    "--then:#9db8e2;--now:#bc4c00;--ok:#116329;--warn:#8a5a00;--bad:#b3261e"
)
DARK = (
    "--fg:#e6edf3;--soft:#9198a1;--line:#3d444d;--head:#151b23;--code:#79c0ff;"
    "--then:#3b5b8c;--now:#ffa657;--ok:#56d364;--warn:#e3b341;--bad:#ff8a80"
)
"""Colours of text, soft text, lines, headers, code, distributions then and now, and verdicts."""

STYLE = f"""\
.fastfeat-plan{{{LIGHT};color:var(--fg);font:13px/1.45 system-ui,sans-serif;overflow-x:auto}}
@media (prefers-color-scheme:dark){{.fastfeat-plan{{{DARK}}}}}
[data-jp-theme-light="true"] .fastfeat-plan,
[data-vscode-theme-kind="vscode-light"] .fastfeat-plan{{{LIGHT}}}
[data-jp-theme-light="false"] .fastfeat-plan,
[data-vscode-theme-kind="vscode-dark"] .fastfeat-plan,
html[theme="dark"] .fastfeat-plan{{{DARK}}}
.fastfeat-plan p{{margin:.3em 0;font-weight:600}}
.fastfeat-plan table{{border-collapse:collapse;margin:.3em 0;color:inherit}}
.fastfeat-plan th,.fastfeat-plan td{{border:1px solid var(--line);padding:.25em .6em;\
text-align:left;vertical-align:top;background:transparent;color:inherit;max-width:44em}}
.fastfeat-plan th{{background:var(--head);font-weight:600}}
.fastfeat-plan code{{font:12px/1.4 ui-monospace,monospace;color:var(--code);background:none;\
padding:0;white-space:pre-wrap;overflow-wrap:anywhere}}
.fastfeat-plan summary{{cursor:pointer}}
.fastfeat-plan dl{{margin:.4em 0 .2em 1em;display:grid;grid-template-columns:max-content auto;\
gap:.15em .8em}}
.fastfeat-plan dt{{color:var(--soft);font-weight:400}}
.fastfeat-plan dd{{margin:0}}
.fastfeat-plan svg{{display:block;width:192px;height:40px}}
.fastfeat-plan path.then{{fill:var(--then)}}
.fastfeat-plan path.now{{fill:none;stroke:var(--now);stroke-width:1.5}}
.fastfeat-plan .ok{{color:var(--ok)}}
.fastfeat-plan .warn{{color:var(--warn)}}
.fastfeat-plan .bad{{color:var(--bad)}}"""
"""Style of tables in a notebook, which overrides the notebook's own styles."""
_MOST_LISTED = 12
_LONGEST_TEXT = 900


def short(text: str, length: int = 40) -> str:
    """Return a name for use in a line, shortened if long, and as its repr if not printable."""
    written = text if text.isprintable() else repr(text)
    return written if len(written) <= length else f"{written[:length]}..."


def printable(text: str) -> str:
    r"""Return a text on one line, with characters escaped that could move or colour the output.

    Example:
        >>> printable("a\x1b[31m\n\u202eb")
        'a\\x1b[31m\\n\\u202eb'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def shorten_middle(text: str, length: int) -> str:
    """Return a text of at most `length` characters, shortened in the middle."""
    half = (length - 5) // 2
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"


def lines(texts: Iterable[str], length: int = 60) -> str:
    """Return texts as HTML, one per line, each of at most `length` characters."""
    return "<br>".join(escape(shorten_middle(text, length)) for text in texts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an HTML table; titles are plain text, cells are HTML."""
    columns = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"


def details_block(summary: str, body: str) -> str:
    """Return HTML that can be expanded to more HTML."""
    return f"<details><summary>{summary}</summary>{body}</details>"


def details_list(details: Mapping[str, Sequence[str]], on_lines: Iterable[str] = ()) -> str:
    """Return titled lists of texts as HTML; empty lists are omitted, long ones cut.

    Lists with a title in `on_lines` have one text per line, others are separated by commas.
    """
    parts: list[str] = []
    for title, texts in details.items():
        if texts:
            more = [f"... and {len(texts) - _MOST_LISTED:,} more"]
            shown = [*texts[:_MOST_LISTED], *(more if len(texts) > _MOST_LISTED else [])]
            between = "<br>" if title in on_lines else ", "
            told = between.join(
                f"<code>{escape(short(text, _LONGEST_TEXT))}</code>" for text in shown
            )
            parts.append(f"<dt>{escape(title)}</dt><dd>{told}</dd>")
    return f"<dl>{''.join(parts)}</dl>"


def in_notebook(told: str, body: str) -> str:
    """Return HTML for a notebook: an optional line of text, then HTML."""
    head = f"<p>{escape(told)}</p>" if told else ""
    return f'<div class="fastfeat-plan"><style>{STYLE}</style>{head}{body}</div>'
