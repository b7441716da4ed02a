"""Pictures of distributions: what stands how high, and that they hold nothing but numbers."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from fastfeat.markup.svg import HEIGHT, WIDTH, distribution_svg


def paths(svg: str) -> dict[str, str]:
    """Return the path of each class."""
    root = ElementTree.fromstring(svg)
    return {path.attrib["class"]: path.attrib["d"] for path in root}


def test_bars_are_as_high_as_their_shares() -> None:
    drawn = paths(distribution_svg([0.5, 0.25, 0.0, 0.25], [0.0, 0.0, 0.0, 1.0]))
    # 38 units are the share of 1; 40 is the ground
    assert drawn["then"] == "M0 40V21H48V30H96V40H144V30H192V40z"
    assert drawn["now"] == "M0 40H144V2H192"


def test_a_share_that_is_there_is_seen() -> None:
    drawn = paths(distribution_svg([1.0, 1e-9, 0.0]))["then"]
    assert drawn == "M0 40V2H64V39H128V40H192V40z"


def test_categories_stand_apart() -> None:
    drawn = paths(distribution_svg([0.75, 0.0], [0.25, 0.5], apart=True))
    assert drawn["then"] == "M1 40V2h94V40z"
    assert drawn["now"] == "M1 27h94M97 15h94"


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("shares", [[], [0.0], [1.0], [0.0] * 5, [1 / 300] * 300])
def test_a_picture_stays_in_its_frame(shares: list[float], apart: bool) -> None:
    drawn = distribution_svg(shares, shares, apart=apart)
    for path in paths(drawn).values():
        heights = [int(y) for y in re.findall(r"V(\d+)", path)]
        assert all(0 <= y <= HEIGHT for y in heights)
        assert all(float(x) <= WIDTH for x in re.findall(r"H([\d.]+)", path))


def test_a_picture_of_many_cells_is_small() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(32)).tolist()
    assert len(distribution_svg(shares, shares[::-1])) < 700


def test_what_it_tells_is_escaped() -> None:
    drawn = distribution_svg([1.0], told='"><script>')
    assert ElementTree.fromstring(drawn).attrib["aria-label"] == '"><script>'
    assert "<script" not in drawn
