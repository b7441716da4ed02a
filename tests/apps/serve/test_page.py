"""The page of a server in a browser: what it shows, that it runs nothing of a user, its colours."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.apps.serve.served_plan import Server, server
from fastfeat_tests.patience import PATIENCE_S

PAGE = files("fastfeat.apps.serve").joinpath("page.html").read_text("utf-8")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "<script>document.title='run'</script>"
ATTRIBUTE = '"><img src=x onerror="document.title=\'run\'">'
HISTORY = pa.table(
    {EVIL: ["a", ATTRIBUTE, "a"], "t": pa.array([1, 2, 3], pa.timestamp("s")), "x": [1.0, 2.0, 4.0]}
)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("evil")
    day = ff.window("7d", by=EVIL, time="t")
    plan = ff.Plan({ATTRIBUTE: col("x").sum(over=day), EVIL: col(EVIL).ordinal_encode()})
    plan.fit(HISTORY).save(folder / "evil.fastfeat")
    pq.write_table(HISTORY, folder / "history.parquet")
    with server(
        artifact=folder / "evil.fastfeat", history=folder / "history.parquet", name=ATTRIBUTE
    ) as found:
        found.wait_for("ready with")
        yield found


class Texts(HTMLParser):
    """The texts of the elements of a page, by their id, and how many there are of each tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.by_id: dict[str, str] = {}
        self.tags: list[str] = []
        self._open: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "link", "input", "br", "img"):
            self._open.append(dict(attrs).get("id"))

    def handle_endtag(self, tag: str) -> None:
        if self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for name in filter(None, self._open):
            self.by_id[name] = self.by_id.get(name, "") + data


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_the_plan_and_explains_a_row(evil: Server, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    row = {EVIL: ATTRIBUTE, "t": "1970-01-01T00:01:00", "x": 1.5}
    evil.post("/v1/features", {"rows": [row] * 3})
    picture = tmp_path / "page.png"
    quiet = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    )
    command = [
        *(CHROMIUM, *quiet, f"--user-data-dir={tmp_path / 'user'}", "--virtual-time-budget=15000"),
        *("--window-size=1200,1600", f"--screenshot={picture}", "--dump-dom"),
        f"http://127.0.0.1:{evil.port}/#row={quote(json.dumps(row))}",
    ]
    shown = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    ).stdout
    page = Texts(shown)
    title = re.search("<title>(.*?)</title>", shown)
    assert title is not None
    assert html.unescape(title[1]) == f"{ATTRIBUTE} · fastfeat"  # no script of a user has run
    assert (page.tags.count("script"), page.tags.count("img")) == (1, 0)
    assert page.by_id["model"] == ATTRIBUTE
    assert page.by_id["state"] == "serving"
    assert page.by_id["summary"].startswith("FittedPlan of 2 features")
    assert ATTRIBUTE in page.by_id["features"]
    assert "earlier rows" in page.by_id["features"]
    assert re.search(rf"{re.escape(ATTRIBUTE)}2\.0", page.by_id["explained"])
    assert "1 row" in page.by_id["explained"]
    assert page.by_id["p50"].endswith("s")
    assert page.by_id["refused"] == "" or "refused" in page.by_id["refused"]
    assert picture.stat().st_size > 20_000


def test_the_page_is_whole_and_may_do_nothing_else(evil: Server) -> None:
    answer = evil.get("/")
    assert (answer.status, answer.body.decode()) == (200, PAGE)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.count("'sha256-") == 2
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.findall("[a-z]+://[^\"' ]+", PAGE) == ["http://www.w3.org/2000/svg"]
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", PAGE)
    assert not re.findall(r"\bon[a-z]+=|javascript:", PAGE)


def test_the_colours_can_be_read() -> None:
    for theme in re.findall(r"(--page:.*?--good: #\w{6})", PAGE, re.DOTALL):
        colours = dict(re.findall(r"--(\w+): (#\w{6})", theme))
        for text in ("fg", "soft", "accent", "bad", "good"):
            for ground in ("page", "card"):
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as the guidelines for web content define it."""

    def light(colour: str) -> float:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05

    brighter, darker = sorted((light(one), light(other)), reverse=True)
    return brighter / darker


def test_a_row_is_explained_over_the_wire(evil: Server) -> None:
    row = {EVIL: "a", "t": "1970-01-01T00:01:00", "x": 1.5}
    by_body = evil.post("/v1/explain", {"row": row})
    by_address = evil.get("/v1/explain?row=" + quote(json.dumps(row)))
    assert by_body.status == 200, by_body.body
    assert by_body.json == by_address.json
    sum_of, encoded = by_body.json["features"]
    assert (sum_of["name"], sum_of["value"]) == (ATTRIBUTE, "5.0")
    assert [one["n_rows"] for one in sum_of["seen"]] == [2]
    assert [one["x"] for one in sum_of["seen"][0]["rows"]] == ["1.0", "4.0"]
    assert encoded["columns"] == {EVIL: "'a'"}
    for wrong in ({}, {"row": 1}, {"row": {}}, {"row": {**row, "x": "a"}}, {"row": row, "rows": 1}):
        assert evil.post("/v1/explain", wrong).status == 400
    for wrong in ("", "?row=", "?row={", "?rows=1", f"?row={quote(html.escape('{}'))}"):
        assert evil.get("/v1/explain" + wrong).status == 400
