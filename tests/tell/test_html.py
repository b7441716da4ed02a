"""The table of a plan in a notebook: what it tells, that it runs nothing, and its colours."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.patience import PATIENCE_S

EVIL = "<script>document.title='run'</script>"
ATTRIBUTE = '"><img src=x onerror="document.title=\'run\'">'
DAY = ff.window("7d", by=EVIL, time="t")
PLAN = ff.Plan(
    {
        "scaled": col("x").log1p().standard_scale(),
        EVIL: col(ATTRIBUTE).ordinal_encode(),
        "rate": col(EVIL).target_encode("late", smooth=20),
        "past": col("y").mean(over=DAY),
        "text": col(EVIL).str.extract("(<b>[a-z]+)") == "<b>bold</b>",
        "&lt;b&gt;": col("x").cyclical(24),
        "line\n\u202ebreak": col("x") + 1,
        "seats": ff.lookup("<i>planes", by=EVIL).col("seats"),
    },
    label={"late": col("y") > 15},
    keep=[ATTRIBUTE],
)
ROWS = pa.table(
    {
        "x": [1.0, 2.0, 4.0],
        ATTRIBUTE: ["</td>", "b", "b"],
        EVIL: ["a", "a", "b"],
        "y": [1.0, 20.0, 30.0],
        "t": pa.array([1, 2, 3], pa.timestamp("s")),
    }
)
TABLES = {"<i>planes": pa.table({EVIL: ["a"], "seats": [3]})}
FITTED = PLAN.fit(ROWS, tables=TABLES, backend="reference")
SHOWN = {"plan": PLAN._repr_html_(), "fitted": FITTED._repr_html_()}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EMPTY = {"br", "img", "meta", "link", "input", "hr"}


class Page(HTMLParser):
    """What an HTML text holds: its elements, which must be closed in order, and its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in EMPTY:
            self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data


@pytest.mark.parametrize("name", SHOWN)
def test_the_table_holds_no_element_of_a_user(name: str) -> None:
    page = Page(SHOWN[name])
    assert set(page.tags) <= {
        *("div", "style", "p", "table", "thead", "tbody", "tr", "th", "td", "b", "br", "code"),
        *("details", "summary", "dl", "dt", "dd"),
    }
    assert page.attributes == {"class"}
    assert "://" not in SHOWN[name]  # nothing is fetched
    assert "\u202e" not in SHOWN[name]


def test_a_row_says_what_a_feature_is() -> None:
    head, *rows = Page(SHOWN["fitted"]).rows
    assert head == ["feature", "type", "formula", "learns", "sees", "runs on"]
    assert Page(SHOWN["plan"]).rows[0] == ["feature", "formula", "learns", "sees", "runs on"]
    found = {row[0]: row[1:] for row in rows}
    assert [*found] == ["scaled", EVIL, "rate", "past", "text", "&lt;b&gt;", *[*found][6:]]
    assert [row[0] for row in Page(SHOWN["plan"]).rows[1:]] == [*found]
    assert [*found][6] == r"'line\n\u202ebreak'"
    kind, formula, *facts = found["scaled"]
    assert (kind, facts) == ("float64", ["meanstd", "its own row", "kernel"])
    assert formula.startswith("col('x').log1p().standard_scale()reads")
    value = FITTED.learnt()["col('x').log1p().mean()"]
    assert f"col('x').log1p().mean() = {value!r}" in formula
    assert found[EVIL][2:] == ["categories", "its own row", "kernel"]
    assert "= 2 keys" in found[EVIL][1]
    assert found["rate"][2] == "categoriesmean of the label by key"
    assert found["rate"][3] == "the label, out of fold"
    assert "= 4 values, one per key" in found["rate"][1]
    assert found["past"][3] == f"earlier rows of {EVIL}: 7d"
    assert "windowsff.window('7d', by=" in found["past"][1]
    assert found["text"][4] == "kernelhost: str.extract"
    assert found["&lt;b&gt;"][0] == "2 columns of float64"
    assert "columns&lt;b&gt;_sin, &lt;b&gt;_cos" in found["&lt;b&gt;"][1]
    assert found["seats"][3] == "table <i>planes"


def test_the_options_are_told_and_closed() -> None:
    told = html.unescape(re.sub("<[^>]*>", "", SHOWN["plan"].replace("</dt>", ": ")))
    assert "Plan of 8 features, label='late', keep=" in told
    assert "fitted on 3 rows" in SHOWN["fitted"]
    assert "label: late = (col('y') > 15)late columns: ykeep: " in told
    assert "reads: x, " in told
    assert "<details open" not in SHOWN["plan"]
    assert "options" not in ff.Plan({"x": ff.lit(1)})._repr_html_()


def test_a_wide_plan_is_shown_by_its_first_features() -> None:
    long = "long " * 100
    features = {f"{k} {long}": col(f"{k} {long}").standard_scale() for k in range(10_000)}
    shown = ff.Plan(features, keep=[f"kept {k}" for k in range(1000)])._repr_html_()
    assert shown.count("<tr>") == 51
    assert "... and 9,950 more. explain() shows all of them" in shown
    assert len(shown) < 300_000


def test_a_feature_of_many_columns_and_windows_is_bounded() -> None:
    many = ff.polynomial_features(*(f"x{k}" for k in range(60)))
    windows = [col("x").mean(over=ff.window(f"{k}d", time="t")) for k in range(1, 200)]
    shown = ff.Plan({"many": many, "sum": ff.sum_horizontal(windows)})._repr_html_()
    assert len(shown) < 40_000
    assert "... and 187 more" in shown


PAGE = """<!doctype html><html><head><meta charset="utf-8"><title>kept</title></head><body>
<div id="plain">{shown}</div>
<div data-jp-theme-light="true" id="light">{shown}</div>
<div data-jp-theme-light="false" id="dark">{shown}</div>
<div data-vscode-theme-kind="vscode-dark" id="code">{shown}</div>
<pre id="found"></pre>
<script>
const found = {{title: document.title, scripts: document.scripts.length,
               images: document.images.length, opened: []}};
for (const one of ["plain", "light", "dark", "code"])
  found[one] = getComputedStyle(document.querySelector("#" + one + " td")).color;
const details = document.querySelector("#plain td details");
found.opened.push(details.querySelector("dl").checkVisibility());
details.querySelector("summary").click();
found.opened.push(details.querySelector("dl").checkVisibility());
document.getElementById("found").textContent = JSON.stringify(found);
</script></body></html>"""
LIGHT, DARK = "rgb(31, 35, 40)", "rgb(230, 237, 243)"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(("options", "plain"), [((), LIGHT), (("--force-dark-mode",), DARK)])
def test_a_browser_shows_the_table_in_the_colours_of_the_page(
    options: tuple[str, ...], plain: str, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(shown=SHOWN["fitted"]))
    found = in_browser(page, tmp_path / "user", options)
    assert found == {
        "title": "kept", "scripts": 1, "images": 0, "opened": [False, True],
        "plain": plain, "light": LIGHT, "dark": DARK, "code": DARK,
    }  # fmt: skip


def in_browser(page: Path, user: Path, options: tuple[str, ...]) -> dict[str, object]:
    """Return what the script of a page has found, once a browser has shown it."""
    assert CHROMIUM is not None
    user.mkdir()
    quiet = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    )
    command = [CHROMIUM, *quiet, f"--user-data-dir={user}", *options, "--dump-dom", page.as_uri()]
    shown = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    ).stdout
    found = re.search('<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert found is not None
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize("name", ["LIGHT", "DARK"])
def test_the_colours_can_be_read(name: str) -> None:
    from fastfeat.markup import html as shown

    colours = dict(re.findall(r"--(\w+):(#\w{6})", getattr(shown, name)))
    page = "#ffffff" if name == "LIGHT" else "#111111"
    for text in ("fg", "soft", "code"):
        for ground in (page, colours["head"]):
            assert contrast(colours[text], ground) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as the guidelines for web content define it."""

    def light(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    brighter, darker = sorted((light(one), light(other)), reverse=True)
    return brighter / darker
