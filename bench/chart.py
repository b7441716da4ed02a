"""The results as a picture: the speedup over each peer, on a logarithmic axis.

It shows one workload of each family. A bar ends at the best peer; a dot is the best of each
library, a tick a target.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from bench import results, units
from bench.results import Entry, Results

WIDTH = 960
LEFT, RIGHT = 272, 260  # text on both sides of the plot
LEGEND, LINE, ROW, BOTTOM = 70, 22, 26, 46
_LONGEST = 26  # characters of a name
CHARACTER = 6.6  # largest width of a character in the legend
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
# The card has its own background, so that text is readable on any page.
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


FAMILIES = {
    "row_features_12": "12 row features",
    "small_batches_1000": "12 row features, small batch",
    "one_row": "12 row features of one row",
    "mixed_540": "540 mixed features",
    "wide_10000": "10,000 columns scaled",
    "statistics_20": "statistics of 20 columns",
    "quantiles_9": "9 exact quantiles",
    "scaler_standard": "standard scale",
    "scaler_robust": "robust scale",
    "calendar_parts": "9 calendar parts, zoned",
    "ordinal_text": "codes of short text",
    "ordinal_int64": "codes of int64",
    "one_hot": "one-hot, 1,000 categories",
    "keyed_100k": "mean and std by key",
    "target_encode": "target encoding, 5 folds",
    "asof_keyed": "as-of join, by key",
    "windows_100k": "16 windows",
    "windows_median": "medians of windows",
    "windows_retail_by_series": "retail lags and windows",
    "windows_sessions": "sessions",
    "text_lowercase_short_other": "lower-case text",
    "list_sum_float64": "sums of lists",
    "contract": "42 rules counted",
    "drift": "drift of 1,000 features",
    "first_result": "first result of a process",
}
"""The workloads that represent their families, and their labels in the picture."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the chart.

    Args:
        label: The work.
        n_rows: Number of rows, as text.
        best: Ratio to the best peer.
        peer: Its name.
        dots: Library (or "" for code by hand) and ratio.
        targets: Library and ratio.
    """

    label: str
    n_rows: str
    best: float
    peer: str
    dots: tuple[tuple[str, float], ...]
    targets: tuple[tuple[str, float], ...]


def rows_of(found: Results, families: Mapping[str, str] = FAMILIES) -> list[Row]:
    """Return a row for each of `families` (workload: label) that was measured beside a peer."""
    measured = found["workloads"]
    entries = {name: measured[name] for name in families if name in measured}
    return [
        _row(entry, families[name], peer)
        for name, entry in entries.items()
        if not results.failed(entry)
        and "fastfeat" in entry["contenders"]
        and (peer := results.best_peer(entry)) is not None
    ]


def _row(entry: Entry, label: str, peer: str) -> Row:
    contender = "fastfeat"
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
        label=label,
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


def render(found: Results, families: Mapping[str, str] = FAMILIES) -> str:
    """Return the chart as SVG text; `families` has the label of each workload to show."""
    rows = rows_of(found, families)
    legend, n_lines = _legend(rows)
    top = LEGEND + LINE * n_lines + 4
    height = top + ROW * len(rows) + BOTTOM
    values = [1.0] + [ratio for row in rows for _, ratio in (*row.dots, *row.targets)]
    low, high = min(values) / 1.25, max(10.0, *values) * 1.25
    body = [
        _text(24, 32, "Times faster than each library", "title"),
        _text(24, 51, "same outputs, same threads, side by side; bar: best peer", "muted"),
        *legend,
        *_axis(low, high, top, height),
        *(
            line
            for at, row in enumerate(rows)
            for line in _drawn(row, top + ROW * at + ROW / 2, low, high)
        ),
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


def _legend(rows: list[Row]) -> tuple[list[str], int]:
    """Return the legend's marks and texts, and its number of lines."""
    shown = [name for name in COLOURS if any(name == dot for row in rows for dot, _ in row.dots)]
    marks = [
        (f'<circle cx="{{x}}" cy="{{y}}" r="4.5" fill="{COLOURS[name]}"/>', results.NAMES[name])
        for name in shown
    ]
    tick = '<line class="target" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}" stroke="#8c959f"/>'
    marks.append(('<circle class="hand" cx="{x}" cy="{y}" r="4"/>', "written by hand"))
    marks.append((tick, "target, in the colour of its library"))
    drawn: list[str] = []
    x, line = 24.0, 0
    for mark, text in marks:
        wide = 14 + CHARACTER * len(text)
        if x + wide > WIDTH - 24:
            x, line = 24.0, line + 1
        y = LEGEND + LINE * line
        drawn.append(mark.format(x=f"{x + 4:g}", y=y, top=y - 8, bottom=y + 8))
        drawn.append(_text(x + 14, y + 4, text))
        x += wide + 20
    return drawn, line + 1


def _axis(low: float, high: float, top: int, height: int) -> Iterator[str]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for power in range(first, last + 1):
        for digit in (1, 2, 5):
            value = digit * 10.0**power
            if not low <= value <= high:
                continue
            x = _x(value, low, high)
            kind = "one" if value == 1 else "grid"
            yield f'<line class="{kind}" x1="{x}" x2="{x}" y1="{top - 6}" y2="{height - 36}"/>'
            if digit == 1 or high / low < 100:
                yield _text(x, height - 18, f"{value:,g}×", "muted", "middle")


def _drawn(row: Row, middle: float, low: float, high: float) -> Iterator[str]:
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
    yield _text(x + 8, middle + 4, _cut(row.peer), "muted")


def _cut(name: str) -> str:
    """Return a name shortened to fit beside its figure."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1].rstrip(', ')}…"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
