"""The picture of a plan: its boxes, its lines, and that it stays small and inert."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.markup.html import short
from fastfeat.trust.report.picture import MOST, plan_picture
from fastfeat.trust.selfcheck.past_plans import past_plans
from fastfeat.trust.selfcheck.plans import contract_plans

DAY = ff.window("1d", by="k", time="t")
EVIL = "</text><script>x()"


def texts(picture: str) -> list[str]:
    """Return the texts of the boxes, without what they tell where one points at them."""
    root = ElementTree.fromstring(picture)
    return [text.text or "" for text in root.iter("text")]


def n_lines(picture: str) -> int:
    """Return how many lines there are."""
    return picture.count("<path")


def test_columns_steps_and_features_stand_from_left_to_right() -> None:
    plan = ff.Plan(
        {
            "scaled": col("x").standard_scale(),
            "past": col("x").mean(over=DAY),
            "sum": col("x") + col("y"),
            "seats": ff.lookup("planes", by="k").col("seats"),
        }
    )
    found = texts(plan_picture(plan.declaration.nodes, {"x": "bad"}, {"past": "warn"}))
    assert sorted(found[:6]) == ["k", "planes.k", "planes.seats", "t", "x", "y"]
    assert found[6:9] == ["mean, std", "mean over 1d", "lookup in planes"]
    assert found[9:] == ["scaled", "past", "sum", "seats"]


def test_lines_are_drawn_once_and_not_beside_a_step() -> None:
    plan = ff.Plan({"scaled": col("x").standard_scale(), "same": col("x").standard_scale()})
    # from x to the box of mean and std, and from there to both
    assert n_lines(plan_picture(plan.declaration.nodes, {}, {})) == 3


def test_a_line_past_all_steps_passes_between_their_boxes() -> None:
    plan = ff.Plan(
        {
            **{f"f{k}": col(f"x{k}").standard_scale() + col(f"z{k}").mean() for k in range(7)},
            **{f"own{k}": col(f"x{k}") + col("y") for k in range(7)},
        }
    )
    picture = plan_picture(plan.declaration.nodes, {}, {})
    root = ElementTree.fromstring(picture)
    boxes = [float(box.get("y", "")) for box in root.iter("rect")]
    ways = [line.get("d", "") for line in root.iter("path") if line.get("class") == "own"]
    levels = [float(re.findall(r" (\d+)H", way)[0]) for way in ways]
    assert len(boxes) > 5
    assert len(levels) == 14
    assert all(not top < level < top + 16 for top in boxes for level in levels)
    assert all(0 <= level <= float(root.get("viewBox", "").split()[3]) for level in levels)


def test_levels_are_classes() -> None:
    plan = ff.Plan({"a": col("x") + 1, "b": col("x") + 2})
    root = ElementTree.fromstring(plan_picture(plan.declaration.nodes, {"x": "ok"}, {"b": "bad"}))
    assert [text.get("class") for text in root.iter("text")] == [None, None, "bad"]


@pytest.mark.parametrize("n", [MOST, MOST + 1, 1000])
def test_a_large_plan_is_put_together(n: int) -> None:
    plan = ff.Plan({f"f{k}": col(f"x{k}").standard_scale() for k in range(n)})
    picture = plan_picture(plan.declaration.nodes, {}, {"f999": "bad"})
    assert len(texts(picture)) == (3 * n if n == MOST else 3)
    assert len(picture) < 40_000
    if n == 1000:
        assert texts(picture)[2] == "f0 and 999 more"
        assert 'class="bad"' in picture


def test_names_are_inert() -> None:
    plan = ff.Plan({EVIL: col(EVIL).standard_scale(), "line\n\u202e": col("&amp;")})
    picture = plan_picture(plan.declaration.nodes, {}, {})
    assert "<script" not in picture
    assert "\u202e" not in picture
    assert EVIL in texts(picture)
    assert "&amp;" in texts(picture)


def test_a_plan_of_nothing_but_literals_has_a_picture() -> None:
    assert texts(plan_picture(ff.Plan({"one": ff.lit(1)}).declaration.nodes, {}, {})) == ["one"]


def test_plans_of_every_operator_have_a_picture() -> None:
    for plan in (*contract_plans().values(), *past_plans().values()):
        names = list(plan.declaration.nodes)
        found = texts(plan_picture(plan.declaration.nodes, {}, {}))
        assert len(names) > MOST or [short(name, 30) for name in names] == found[-len(names) :]
