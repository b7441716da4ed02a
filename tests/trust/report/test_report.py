"""The report: its verdict, what stands first, and that names in it do nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import FittedPlan, col
from fastfeat.errors import InvalidConfig, InvalidPlan, Overflow, UnknownColumn
from fastfeat_tests.trust.report.reported import ATTRIBUTE, CONTRACT, EVIL, PLAN, profiled, rows

ALLOWED = {
    *("html", "head", "meta", "link", "title", "style", "body", "h1", "h2", "p", "div", "b", "a"),
    *("ul", "li", "small", "table", "thead", "tbody", "tr", "th", "td", "code", "details", "i"),
    *("summary", "dl", "dt", "dd", "br", "span", "svg", "path", "rect", "text"),
}
EMPTY = {"meta", "link", "br", "path", "rect", "img", "input"}


class Page(HTMLParser):
    """The elements of a page, which must be closed in order, and the rows of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.names: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in EMPTY:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-2:] == ["td", "b"]:
            self.names.append(data.removeprefix("● "))


@pytest.fixture(scope="module")
def fitted() -> FittedPlan:
    return profiled(PLAN, rows(), contract=CONTRACT)


def test_rows_like_those_of_training_are_well(fitted: FittedPlan) -> None:
    report = fitted.report(rows(seed=1), None, history="batch")
    assert (report.level, report.verdict) == ("ok", "No drift; all 3 rules hold")
    assert report.drift is not None
    assert report.drift.ok
    assert report.check is not None
    assert report.check.ok
    assert {step.kind for step in report.steps} >= {"windows", "features"}
    assert repr(report) == report.verdict


def test_drift_and_broken_rules_stand_first(fitted: FittedPlan, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    moved = rows(seed=1, shift=3.0)
    bad = pa.array([None, -200.0, *moved["x"].to_pylist()[2:]])
    report = fitted.report(moved.set_column(0, "x", bad), path, history="batch", title="A & <B>")
    assert report.level == "bad"
    assert report.verdict == "3 of 6 features have drifted; 2 of 3 rules broken"
    assert report.path == path
    text = path.read_text("utf-8")
    assert text == report.html
    assert "<title>A &amp; &lt;B&gt;</title>" in text
    page = Page(text)
    assert set(page.names[:3]) == {"scaled", EVIL, "past"}
    assert page.names[3] not in ("scaled", EVIL, "past")
    assert "row 1" in text
    # the points of the verdict lead to the rows of the table
    anchors = re.findall(r'href="#(\w+)"', text)
    assert len(anchors) == 3
    assert all(f'<tr id="{anchor}">' in text for anchor in anchors)


def test_rules_that_only_warn_do_not_make_it_bad(fitted: FittedPlan) -> None:
    later = rows(seed=1)
    keys = pa.array(["</td>", *later[EVIL].to_pylist()[1:]])
    report = fitted.report(later.set_column(1, EVIL, keys), None, history="batch")
    assert report.level == "warn"
    assert report.verdict == "No drift; 1 of 3 rules broken (warnings only)"


def test_without_rows_it_tells_the_plan_and_writes_nothing_unless_told_where(
    fitted: FittedPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = fitted.report()
    assert [*tmp_path.iterdir()] == []
    assert report.level == "none"
    assert (report.drift, report.check, report.steps) == (None, None, ())
    page = Page(report.html)
    assert {"scaled", "x", "kept"} <= set(page.names)
    assert "Costs by step" not in report.html
    assert "then and now" not in report.html


def test_names_do_nothing(fitted: FittedPlan) -> None:
    for data in (None, rows(seed=1, shift=1.0)):
        report = fitted.report(data, None, history="batch", title=EVIL)
        page = Page(report.html)
        assert page.tags <= ALLOWED
        assert "\u202e" not in report.html
        assert "://" not in report.html
        assert not any(name.startswith("on") for name in page.attributes)
        assert all(one.startswith("#") for one in page.attributes.get("href", {"#"}) - {"data:,"})
        framed = report._repr_html_()
        assert framed.count("<") == 2
        assert framed.startswith('<iframe sandbox=""')


def test_a_plan_without_profile_says_so(fitted: FittedPlan) -> None:
    bare = replace(fitted, record=replace(fitted.record, profile=None))
    report = bare.report(rows(seed=1), None, history="batch")
    assert report.level == "ok"
    assert report.verdict == (
        "All 3 rules hold; drift was not judged: the plan has no profile of its training rows: fit "
        "it with profile=True"
    )
    assert "drift was not measured: the plan has no profile" in report.html
    assert "Costs by step" in report.html
    alone = ff.Plan({"x": col("x") + 1}).fit({"x": [1.0]})
    with pytest.raises(InvalidPlan, match=r"fit it with profile=True$"):
        alone.report({"x": [2.0]}, None)


@pytest.mark.parametrize("n", [0, 1])
def test_few_rows_are_told(fitted: FittedPlan, n: int) -> None:
    report = fitted.report(rows(n), None, history="batch")
    assert report.drift is not None
    Page(report.html)


def test_bad_input_is_refused(fitted: FittedPlan, tmp_path: Path) -> None:
    with pytest.raises(UnknownColumn, match="'x'"):
        fitted.report(rows().drop_columns(["x"]), None, history="batch")
    with pytest.raises(InvalidConfig, match="pssi"):
        fitted.report(rows(), None, history="batch", thresholds={"pssi": 1})
    with pytest.raises(OSError, match=r"No such file or directory: '.*folder.html'$"):
        fitted.report(path=tmp_path / "no" / "folder.html")
    assert list(tmp_path.iterdir()) == []


def test_no_rows_are_told_to_be_none(fitted: FittedPlan) -> None:
    report = fitted.report(rows().slice(0, 0), None, history="batch")
    assert report.verdict.startswith("There are no rows to compare")


def test_thresholds_are_those_of_drift(fitted: FittedPlan) -> None:
    moved = rows(seed=1, shift=3.0)
    report = fitted.report(
        moved, None, history="batch", thresholds={"ignore": ["x", "scaled", EVIL, "past"]}
    )
    assert report.drift is not None
    assert report.drift.ok


def test_a_feature_takes_three_thousand_bytes_at_most() -> None:
    names = [f"measured {k} of many" for k in range(40)]
    table = pa.table({name: rows(seed=k)["x"] for k, name in enumerate(names)})
    plan = ff.Plan({name: col(name).impute("median").standard_scale() for name in names})
    report = profiled(plan, table).report(table.slice(100), None)
    assert len(report.html.encode()) < 3_000 * len(names)


def test_a_one_shot_reader_is_read_once() -> None:
    fitted = profiled(ff.Plan({"x": col("x") + 1}), rows().select(["x"]))
    reader = rows(seed=1).select(["x"]).to_reader()
    assert fitted.report(reader, None).verdict == "No drift"


def test_an_attribute_of_a_user_is_no_attribute(fitted: FittedPlan) -> None:
    page = Page(fitted.report().html)
    assert "src" not in page.attributes
    assert ATTRIBUTE[:30] in "".join(page.names)


def test_smaller_floats_are_told_and_judged_by_all_rows() -> None:
    n = 5_000
    values = {"small": np.linspace(1, 2, n), "large": np.zeros(n), "tiny": np.zeros(n)}
    values["large"][1] = 70_000.0  # of a row that no sample of evenly spaced ones has
    values["tiny"][0] = 1e-12
    table = pa.table(values)
    fitted = profiled(ff.Plan({name: col(name) + 0.0 for name in values}), table)
    html = unescape(fitted.report(table, None).html)
    rows = re.findall(r"<tr><td>(\w*float\w+)</td>" + "<td>([^<]*)</td>" * 4, html)
    assert [row[0] for row in rows] == ["float32", "float16", "bfloat16"]
    assert rows[0][1] == "3 of 3 features"
    assert rows[1][1] == "1 of 3 features"
    assert rows[1][4] == "'large', 'tiny'"
    assert rows[2][1] == "3 of 3 features"
    half = profiled(ff.Plan({"x": col("small") + 0.0}, dtype="float16"), table)
    narrow = re.findall(r"<tr><td>(\w*float\w+)</td>", half.report(table, None).html)
    assert narrow == ["bfloat16"]
    whole = profiled(ff.Plan({"x": col("small") > 0}), table)
    assert "Smaller floats" not in whole.report(table, None).html


def test_inputs_are_compared_where_features_are_not() -> None:
    table = pa.table({"x": [1, 2, 100], "y": [1, 2, 3]})
    fitted = profiled(ff.Plan({"x": col("x") * 10**18, "y": col("y") + 1}), table)
    report = fitted.report(table.slice(0, 2), None)
    assert report.verdict == "No input has drifted; features were not compared"
    assert "feature drift was not measured: computing them for training" in report.html
    page = Page(report.html)
    assert page.names == ["x", "y", "x", "y"]
    with pytest.raises(Overflow, match="feature 'x', row 2"):
        fitted.report(table, None)


def test_rows_in_pieces_have_the_same_figures(fitted: FittedPlan, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(rows(seed=1, shift=1.0), path, row_group_size=64)
    whole = fitted.report(path, None, history="batch")
    pieces = fitted.report(path, None, history="batch", memory="64GiB")
    assert pieces.verdict == whole.verdict
    assert repr(pieces.drift) == repr(whole.drift)
    assert {step.kind for step in pieces.steps} == {step.kind for step in whole.steps}
