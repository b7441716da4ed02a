"""The picture of the benchmark: one row a family, no text over another or beyond the edge."""

from __future__ import annotations

from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import chart, results
from bench.workloads import WORKLOADS

_WIDEST = 6.7  # of a character at 12 pixels
_SVG = "{http://www.w3.org/2000/svg}"


def boxes(svg: str) -> dict[str, tuple[float, float, float, float]]:
    """Return the rectangle of each text: left, top, right, bottom."""
    found: dict[str, tuple[float, float, float, float]] = {}
    for k, text in enumerate(ElementTree.fromstring(svg).iter(f"{_SVG}text")):
        x, y, anchor = float(text.attrib["x"]), float(text.attrib["y"]), text.attrib["text-anchor"]
        width = (
            _WIDEST * len(text.text or "") * (1.25 if text.attrib.get("class") == "title" else 1)
        )
        left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
        found[f"{k} {text.text}"] = (left, y - 10, left + width, y + 3)
    return found


def measured(least: float, most: float) -> dict[str, Any]:
    """Return results of every workload, whose ratios lie between two bounds."""
    libraries = [name for name in chart.COLOURS if name != "fastfeat"]
    workloads: dict[str, Any] = {}
    for k, workload in enumerate(WORKLOADS):
        ratio = least * (most / least) ** (k / len(WORKLOADS))
        contenders = {"fastfeat": {"library": "fastfeat", "by_hand": False, "median_seconds": 1.0}}
        for library in libraries:
            name = f"{library}, streaming, eager, by row and over"
            contenders[name] = {"library": library, "by_hand": False, "median_seconds": ratio}
        workloads[workload.name] = {
            "name": workload.name, "rows": 10_000_000, "kind": workload.kind, "targets": [],
            "group": workload.group, "contenders": contenders,
        }  # fmt: skip
    return {"workloads": workloads}


@pytest.mark.parametrize(("least", "most"), [(0.5, 20.0), (0.001, 5000.0), (1.0, 1.0)])
def test_no_text_stands_over_another_or_is_cut_off(least: float, most: float) -> None:
    svg = chart.render(measured(least, most))
    drawn = ElementTree.fromstring(svg).attrib
    found = boxes(svg)
    for name, (left, top, right, bottom) in found.items():
        assert left >= 0, name
        assert right <= float(drawn["width"]), name
        assert top >= 0, name
        assert bottom <= float(drawn["height"]), name
    for (one, a), (other, b) in combinations(found.items(), 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (one, other)


def test_each_family_is_a_workload_and_has_a_label_of_its_own() -> None:
    assert set(chart.FAMILIES) <= {workload.name for workload in WORKLOADS}
    assert len(chart.FAMILIES) == len(set(chart.FAMILIES.values())) == 25
    rows = chart.rows_of(measured(0.5, 20.0))
    assert [row.label for row in rows] == list(chart.FAMILIES.values())


def test_the_picture_is_that_of_the_committed_results() -> None:
    found = results.load(results.FOLDER)
    assert (results.FOLDER / "results.svg").read_text() == chart.render(found)
