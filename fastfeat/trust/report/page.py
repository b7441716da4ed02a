"""The page of a report: one HTML file, light and dark, without scripts or external addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from fastfeat.markup.html import DARK, LIGHT

SAFE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content security policy: a browser loads nothing and runs nothing."""

STYLE = f"""\
:root{{color-scheme:light dark;--bg:#fff;{LIGHT}}}
@media(prefers-color-scheme:dark){{:root{{--bg:#0d1117;{DARK}}}}}
*{{box-sizing:border-box}}
body{{font:14px/1.5 system-ui,sans-serif;background:var(--bg);color:var(--fg);max-width:1200px;\
margin:2rem auto;padding:0 1rem}}
h1{{font-size:1.35rem;margin:0 0 .2rem;overflow-wrap:anywhere}}
h2{{font-size:1.05rem;margin:2.2rem 0 .5rem}}
p{{margin:.3rem 0;max-width:90ch}}
small,.soft{{color:var(--soft)}}
a{{color:inherit}}
.ok{{color:var(--ok)}}.warn{{color:var(--warn)}}.bad{{color:var(--bad)}}
.verdict{{border:1px solid var(--line);border-left:6px solid currentColor;border-radius:6px;\
padding:.7rem 1rem;margin:1rem 0;background:var(--head)}}
.verdict b{{font-size:1.15rem}}
.verdict ul{{margin:.4rem 0 0;padding-left:1.2rem;color:var(--fg)}}
.cards{{display:flex;flex-wrap:wrap;gap:.6rem}}
.cards div{{border:1px solid var(--line);border-radius:6px;padding:.5rem .8rem;flex:1 1 7rem}}
.cards b{{display:block;font-size:1.2rem;font-variant-numeric:tabular-nums}}
table{{border-collapse:collapse;width:100%}}
th{{text-align:left;font-size:12px;font-weight:500;color:var(--soft);white-space:nowrap}}
th,td{{padding:.4rem .6rem .4rem 0;border-bottom:1px solid var(--line);vertical-align:top}}
td{{overflow-wrap:anywhere}}
.rows td:last-child{{overflow-wrap:normal;min-width:9rem}}
.rows td:first-child{{min-width:14rem}}
.wide{{overflow-x:auto}}
.wide td{{overflow-wrap:break-word}}.wide td:first-child{{min-width:6rem}}
.n{{white-space:nowrap;font-variant-numeric:tabular-nums}}
code{{font:12px/1.4 ui-monospace,monospace;color:var(--code);white-space:pre-wrap;\
overflow-wrap:anywhere}}
summary{{cursor:pointer}}
dl{{margin:.3rem 0 .3rem 1rem;display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem}}
dt{{color:var(--soft)}}dd{{margin:0}}
svg{{display:block;width:192px;height:40px}}
svg+small{{display:block;max-width:192px}}
path.then{{fill:var(--then)}}
path.now{{fill:none;stroke:var(--now);stroke-width:1.6}}
svg.plan{{width:100%;min-width:700px;height:auto}}
.plan text{{font:11px system-ui,sans-serif;fill:currentColor}}
.plan path{{fill:none;stroke:var(--then);stroke-opacity:.7}}
.plan path.own{{stroke-opacity:.35}}
.plan rect{{fill:var(--head);stroke:var(--line)}}
.key i{{display:inline-block;width:1.6em;height:.7em;margin:0 .3em 0 .8em;background:var(--then)}}
.key i+i{{height:0;border-top:2px solid var(--now);background:none;vertical-align:.2em}}
@media(max-width:760px){{.rows thead{{display:none}}.rows tr{{display:block;padding:.5rem 0;\
border-bottom:1px solid var(--line)}}.rows td{{display:block;border:0;padding:.1rem 0;min-width:0}}\
.rows td.n{{display:inline-block;margin-right:1.2rem;white-space:normal}}\
.rows td[title]::before{{content:attr(title) " ";color:var(--soft)}}}}"""


def page(title: str, parts: Iterable[str]) -> str:
    """Return the HTML page, from its title as text and its sections as HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{SAFE}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"</head><body>{''.join(parts)}</body></html>\n"
    )


def section(title: str, told: str, *parts: str) -> str:
    """Return a section as HTML; the title and the description `told` are text, the parts HTML."""
    said = f'<p class="soft">{escape(told)}</p>' if told else ""
    return f"<h2>{escape(title)}</h2>{said}{''.join(parts)}"


def verdict(level: str, headline: str, points: Sequence[str]) -> str:
    """Return the verdict as HTML: the headline in the colour of its level, then a list of points.

    The headline is text, the points are HTML.
    """
    listed = "".join(f"<li>{point}</li>" for point in points)
    more = f"<ul>{listed}</ul>" if listed else ""
    return f'<div class="verdict {level}"><b>{escape(headline)}</b>{more}</div>'


def cards(facts: Sequence[tuple[str, str, str]]) -> str:
    """Return HTML that shows facts side by side; each is a tuple (figure, name, CSS class)."""
    shown = (
        f"<div><b{_class_of(level)}>{escape(figure)}</b>{escape(name)}</div>"
        for figure, name, level in facts
    )
    return f'<div class="cards">{"".join(shown)}</div>'


def rows_table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return an HTML table in which rows become blocks on a narrow screen.

    Args:
        head: Column titles. On narrow screens, figures show their own titles instead.
        rows: HTML id (or "") and HTML cells of each row.
    """
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(f"<tr{_anchor(anchor)}>{''.join(cells)}</tr>" for anchor, cells in rows)
    return f'<table class="rows"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'


def _anchor(name: str) -> str:
    return f' id="{name}"' if name else ""


def cell(content: str) -> str:
    """Return a table cell, given its content as HTML."""
    return f"<td>{content}</td>"


def figure(text: str, title: str = "", level: str = "") -> str:
    """Return a table cell with a figure, given as text; narrow screens show `title` before it."""
    named = f' title="{escape(title)}"' if title else ""
    kind = f"n {level}" if level in ("ok", "warn", "bad") else "n"
    return f'<td class="{kind}"{named}>{escape(text)}</td>'


def _class_of(level: str) -> str:
    return f' class="{level}"' if level in ("ok", "warn", "bad") else ""
