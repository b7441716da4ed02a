"""Bars: no text of the picture stands over another one, or beyond the edge."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from fastfeat.markup.bars import Bar, bars_svg

_WIDEST = 7.2

RATIOS = st.floats(1e-6, 1e6)
BARS = st.lists(st.builds(Bar, st.text(max_size=60), RATIOS, st.text(max_size=60)), max_size=30)


def boxes(svg: str) -> list[tuple[float, float, float, float]]:
    """Return the rectangle that each text takes at most: left, top, right, bottom."""
    found: list[tuple[float, float, float, float]] = []
    for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        size = 1.25 if text.attrib.get("class") == "title" else 1.0
        width = _WIDEST * size * len(text.text or "")
        found.append((x, y - 12 * size, x + width, y + 3 * size))
    return found


@given(BARS)
def test_no_text_stands_over_another_one(bars: list[Bar]) -> None:
    printable = [
        Bar(re.sub(r"[^ -~]", "x", b.label), b.ratio, re.sub(r"[^ -~]", "x", b.told)) for b in bars
    ]
    svg = bars_svg("How many times faster", "same outputs", printable)
    width = float(ElementTree.fromstring(svg).attrib["width"])
    found = boxes(svg)
    assert all(left >= 0 and right <= width for left, _, right, _ in found)
    for (a, b, c, d), (e, f, g, h) in combinations(found, 2):
        assert c <= e or g <= a or d <= f or h <= b


def test_what_is_slower_is_drawn_as_slower() -> None:
    svg = bars_svg("t", "s", [Bar("a", 2.0, "2x"), Bar("b", 0.5, "0.5x")])
    assert svg.count('class="faster"') == svg.count('class="slower"') == 1


def test_texts_are_escaped() -> None:
    svg = bars_svg("<t>", "s", [Bar('a"<b>', 2.0, "&")])
    assert "<b>" not in svg
    assert "<t>" not in svg
    ElementTree.fromstring(svg)
