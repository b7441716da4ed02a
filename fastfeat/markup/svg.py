"""Distributions as inline SVG: bars of the former, below a line of the current, without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 192, 40
"""Size of a picture in its own units, which are CSS pixels by default."""


def distribution_svg(
    then: Sequence[float],
    now: Sequence[float] | None = None,
    *,
    apart: bool = False,
    told: str = "",
) -> str:
    """Return a picture of two distributions: `then` as bars, and `now` as a line over them.

    Args:
        then: Share of each cell, from left to right, shape (n_cells,).
        now: Shares of other rows, shape (n_cells,); None if there are none.
        apart: Whether to draw gaps between cells, for categories; bars of values touch.
        told: Description for screen readers.

    Example:
        >>> distribution_svg([0.5, 0.25])
        '<svg viewBox="0 0 192 40"><path class="then" d="M0 40V2H96V21H192V40z"/></svg>'
    """
    most = max([*then, *(now or ())], default=0.0)
    draw = _separate_bars_path if apart else _touching_bars_path
    parts = [f'<path class="then" d="{draw(_tops(then, most), closed=True)}"/>']
    if now is not None:
        parts.append(f'<path class="now" d="{draw(_tops(now, most), closed=False)}"/>')
    label = f' role="img" aria-label="{escape(told)}"' if told else ""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}"{label}>{"".join(parts)}</svg>'


def _tops(shares: Sequence[float], most: float) -> list[int]:
    """Return the distance of each bar's top from the upper edge; non-zero shares stay visible."""
    room = HEIGHT - 2
    return [
        HEIGHT - max(1, round(share / most * room)) if share > 0 else HEIGHT for share in shares
    ]


def _touching_bars_path(tops: Sequence[int], *, closed: bool) -> str:
    """Return the path of touching bars; a closed path goes down to the base."""
    steps: list[str] = [f"M0 {HEIGHT}" if closed else f"M0 {tops[0] if tops else HEIGHT}"]
    at = HEIGHT if closed else (tops[0] if tops else HEIGHT)
    for k, top in enumerate(tops):
        steps += [f"V{top}"] if top != at else []
        at, end = top, round((k + 1) * WIDTH / len(tops))
        if k + 1 == len(tops) or tops[k + 1] != top:
            steps.append(f"H{end}")
    return "".join(steps) + (f"V{HEIGHT}z" if closed else "")


def _separate_bars_path(tops: Sequence[int], *, closed: bool) -> str:
    """Return the path of separate bars; if not closed, only their tops."""
    cell = WIDTH / max(len(tops), 1)
    gap = min(2.0, cell / 5)
    steps: list[str] = []
    for k, top in enumerate(tops):
        left, width = round(k * cell + gap / 2, 1), round(cell - gap, 1)
        if closed:
            steps += [f"M{left:g} {HEIGHT}V{top}h{width:g}V{HEIGHT}z"] if top < HEIGHT else []
        else:
            steps.append(f"M{left:g} {top}h{width:g}")
    return "".join(steps)
