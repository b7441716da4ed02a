"""The results as a picture: how many times faster than each peer, on a logarithmic axis.

A bar ends at the best peer; a dot stands for the best of each library, a tick for a target.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from bench import results, units
from bench.results import Entry, Results

WIDTH = 920
LEFT, RIGHT = 272, 212  # text on both sides of the plot
TOP, ROW, BOTTOM = 96, 26, 46
COLOURS = {
    "polars": "#2b8cff",
    "pandas": "#8a63d2",
    "scikit-learn": "#f08c2e",
    "scipy": "#4c6ef5",
    "numpy": "#17a2a2",
    "duckdb": "#d4a900",
    "pyarrow": "#d6336c",
    "category_encoders": "#7f5539",
    "coreforecast": "#5c940d",
    "xgboost": "#c92a2a",
    "lightgbm": "#0b7285",
    "catboost": "#862e9c",
    "pandera": "#364fc7",
    "dataframely": "#a61e4d",
}
# The card brings its own background, so that text is readable whatever the page looks like.
STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; }
  text { font: 12px -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif; }
  text { fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .muted { fill: #656d76; }
  .figure { font-weight: 600; }
  .grid { stroke: #d8dee4; }
  .one { stroke: #8c959f; stroke-width: 1.5; }
  .faster { fill: #2da44e; fill-opacity: 0.28; }
  .slower { fill: #cf222e; fill-opacity: 0.28; }
  .hand { fill: none; stroke: #8c959f; stroke-width: 1.8; }
  .target { stroke-width: 2.4; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d; }
    text { fill: #e6edf3; }
    .muted { fill: #8d96a0; }
    .grid { stroke: #262c34; }
    .one { stroke: #6e7681; }
    .faster { fill: #3fb950; fill-opacity: 0.32; }
    .slower { fill: #f85149; fill-opacity: 0.32; }
  }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the chart.

    Args:
        label: what was done.
        n_rows: as text.
        best: ratio to the best peer.
        peer: its name.
        dots: library (or "" for what is written by hand) and ratio.
        targets: library and ratio.
    """

    label: str
    n_rows: str
    best: float
    peer: str
    dots: tuple[tuple[str, float], ...]
    targets: tuple[tuple[str, float], ...]


def rows_of(found: Results) -> list[Row]:
    """Return a row for every way in which fastfeat did a workload; sweeps have their own tables."""
    rows: list[Row] = []
    for entry in found["workloads"].values():
        peer = None if results.failed(entry) else results.best_peer(entry)
        if peer is None or entry["group"] in results.SWEEPS:
            continue
        ours = [name for name, one in entry["contenders"].items() if one["library"] == "fastfeat"]
        rows += [_row(entry, name, peer) for name in ours]
    return rows


def _row(entry: Entry, contender: str, peer: str) -> Row:
    dots = [
        (library, results.ratio(entry, name, contender))
        for library, name in results.peers(entry).items()
    ]
    dots += [
        ("", results.ratio(entry, name, contender))
        for name, one in entry["contenders"].items()
        if one["by_hand"]
    ]
    return Row(
        label=entry["label"] + contender.removeprefix("fastfeat").replace(" ", ", ", 1),
        n_rows="1" if entry["kind"] == "latency" else _short(entry["rows"]),
        best=results.ratio(entry, peer, contender),
        peer=peer,
        dots=tuple(dots),
        targets=tuple(
            (target["library"], target["value"])
            for target in entry["targets"]
            if target["quantity"] == "ratio" and target["contender"] == contender
        ),
    )


def _short(n_rows: int) -> str:
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if n_rows >= size:
            return f"{n_rows / size:g}{unit}"
    return str(n_rows)


def render(found: Results) -> str:
    """Return the chart as SVG text."""
    rows = rows_of(found)
    height = TOP + ROW * len(rows) + BOTTOM
    values = [1.0] + [ratio for row in rows for _, ratio in (*row.dots, *row.targets)]
    low, high = min(values) / 1.25, max(10.0, *values) * 1.25
    body = [
        *_head(rows),
        *_axis(low, high, height),
        *(line for at, row in enumerate(rows) for line in _drawn(row, at, low, high)),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" '
            'aria-label="How many times faster fastfeat is than each library">',
            f"<style>{STYLE}</style>",
            f'<rect class="card" x="0.5" y="0.5" rx="8" width="{WIDTH - 1}" '
            f'height="{height - 1}"/>',
            *body,
            "</svg>\n",
        ]
    )


def _x(ratio: float, low: float, high: float) -> float:
    share = math.log(ratio / low) / math.log(high / low)
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _head(rows: list[Row]) -> Iterator[str]:
    yield _text(24, 32, "Times faster than each library", "title")
    yield _text(24, 51, "same outputs, same threads, side by side; bar: best peer", "muted")
    x = 24.0
    shown = [name for name in COLOURS if any(name == dot for row in rows for dot, _ in row.dots)]
    for library in shown:
        yield f'<circle cx="{x + 4}" cy="70" r="4.5" fill="{COLOURS[library]}"/>'
        yield _text(x + 14, 74, results.NAMES[library])
        x += 34 + 6.6 * len(results.NAMES[library])
    yield f'<circle class="hand" cx="{x + 4}" cy="70" r="4"/>'
    yield _text(x + 14, 74, "written by hand")
    x += 34 + 6.6 * len("written by hand")
    yield f'<line class="target" x1="{x + 4}" x2="{x + 4}" y1="62" y2="78" stroke="#8c959f"/>'
    yield _text(x + 14, 74, "target, in the colour of its library")


def _axis(low: float, high: float, height: int) -> Iterator[str]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for power in range(first, last + 1):
        for digit in (1, 2, 5):
            value = digit * 10.0**power
            if not low <= value <= high:
                continue
            x = _x(value, low, high)
            kind = "one" if value == 1 else "grid"
            yield f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - 36}"/>'
            if digit == 1 or high / low < 100:
                yield _text(x, height - 18, f"{value:,g}×", "muted", "middle")


def _drawn(row: Row, at: int, low: float, high: float) -> Iterator[str]:
    middle = TOP + ROW * at + ROW / 2
    yield _text(24, middle + 4, row.label)
    yield _text(LEFT - 16, middle + 4, row.n_rows, "muted", "end")
    left, right = sorted((_x(1, low, high), _x(row.best, low, high)))
    kind = "faster" if row.best >= 1 else "slower"
    yield (
        f'<rect class="{kind}" x="{left}" y="{middle - 7}" width="{right - left:.1f}" '
        'height="14" rx="2"/>'
    )
    for library, ratio in row.targets:
        x, colour = _x(ratio, low, high), COLOURS[library]
        yield (
            f'<line class="target" x1="{x}" x2="{x}" y1="{middle - 9}" y2="{middle + 9}" '
            f'stroke="{colour}"/>'
        )
    for library, ratio in row.dots:
        x = _x(ratio, low, high)
        if library:
            yield f'<circle cx="{x}" cy="{middle}" r="4.5" fill="{COLOURS[library]}"/>'
        else:
            yield f'<circle class="hand" cx="{x}" cy="{middle}" r="4"/>'
    x = WIDTH - RIGHT + 62
    yield _text(x, middle + 4, units.times(row.best), "figure", "end")
    yield _text(x + 8, middle + 4, row.peer, "muted")


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
