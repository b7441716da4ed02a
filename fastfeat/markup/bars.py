"""Labelled bars as a self-contained SVG picture without scripts, fonts or links."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from fastfeat_kernels.records import dataclass

_WIDTH, _ROW, _TOP, _BOTTOM = 760, 26, 76, 20
_CHARACTER = 7.2
"""Upper bound of the average width of a 12-pixel character, in pixels."""
_STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; }
  text { font: 12px -apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif; }
  text { fill: #1f2328; }
  .title { font-size: 15px; font-weight: 600; }
  .muted { fill: #656d76; }
  .faster { fill: #2da44e; }
  .slower { fill: #cf222e; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d; }
    text { fill: #e6edf3; }
    .muted { fill: #8d96a0; }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Args:
        label: Text before the bar.
        ratio: Length on a logarithmic axis that starts at 1; below 1 the bar is drawn as slower.
        told: Text after the bar.
    """

    label: str
    ratio: float
    told: str


def bars_svg(title: str, subtitle: str, bars: Sequence[Bar]) -> str:
    """Return bars, from top to bottom, as an SVG picture in which no texts overlap."""
    left = 48 + _CHARACTER * min(max((len(bar.label) for bar in bars), default=0), 40)
    right = 32 + _CHARACTER * min(max((len(bar.told) for bar in bars), default=0), 40)
    height = _TOP + _ROW * len(bars) + _BOTTOM
    largest = max((abs(math.log10(bar.ratio)) for bar in bars), default=0.0) or 1.0
    room = _WIDTH - left - right
    body = [_text(24, 30, title, "title", 60), _text(24, 50, subtitle, "muted", 95)]
    for k, bar in enumerate(bars):
        middle = _TOP + _ROW * k + _ROW / 2
        length = max(2.0, room * abs(math.log10(bar.ratio)) / largest)
        kind = "faster" if bar.ratio >= 1 else "slower"
        body.append(_text(24, middle + 4, bar.label, "", 40))
        body.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{middle - 8:g}" width="{length:.1f}" '
            'height="16" rx="2"/>'
        )
        body.append(_text(left + length + 8, middle + 4, bar.told, "", 40))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'width="{_WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">',
            f"<style>{_STYLE}</style>",
            f'<rect class="card" x="0.5" y="0.5" rx="8" width="{_WIDTH - 1}" '
            f'height="{height - 1}"/>',
            *body,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, kind: str, most: int) -> str:
    shown = text if len(text) <= most else f"{text[: most - 3]}..."
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x:.1f}" y="{y:g}">{escape(shown)}</text>'
