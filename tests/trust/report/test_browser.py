"""The report in a real browser: light, dark and narrow; nothing runs, nothing is asked for."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fastfeat_tests.patience import PATIENCE_S
from fastfeat_tests.trust.report.reported import CONTRACT, EVIL, PLAN, profiled, rows

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(13, 17, 23)"
LOOK = """
const frame = document.querySelector("iframe"), page = frame.contentDocument;
const style = of => frame.contentWindow.getComputedStyle(of);
const found = {
  title: page.title, scripts: page.scripts.length, images: page.images.length,
  ground: style(page.body).backgroundColor,
  rows: page.querySelectorAll("table.rows tbody tr").length,
  row: style(page.querySelector("table.rows tbody tr")).display,
  wide: page.documentElement.scrollWidth > frame.clientWidth,
  pictures: page.querySelectorAll("svg:not(.plan)").length,
  boxes: page.querySelectorAll("svg.plan text").length,
  drawn: [...page.querySelectorAll("svg path.then")].every(one => one.getTotalLength() > 0),
};
document.getElementById("found").textContent = JSON.stringify(found);
"""


@pytest.fixture(scope="module")
def report() -> str:
    fitted = profiled(PLAN, rows(), contract=CONTRACT)
    later = rows(seed=1, shift=2.0)
    return fitted.report(later, None, history="batch", title=EVIL).html


class _Pages(BaseHTTPRequestHandler):
    """Gives pages by their name, and notes what is asked for."""

    def __init__(self, *args: Any, pages: dict[str, str], asked: list[str]) -> None:
        self.pages, self.asked = pages, asked
        super().__init__(*args)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        page = self.pages.get(self.path)
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write((page or "").encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def served(pages: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Give the address of a server of pages, and what it is asked for."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, pages=pages, asked=asked))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def in_browser(address: str, user: Path, *options: str) -> dict[str, Any]:
    """Return what the script of a page has found, once a browser has shown it."""
    assert CHROMIUM is not None
    quiet = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    )
    command = [CHROMIUM, *quiet, f"--user-data-dir={user}", *options, "--dump-dom", address]
    shown = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    ).stdout
    found = re.search('<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert found is not None
    return json.loads(html.unescape(found[1]))


@needs_browser
@pytest.mark.parametrize(
    ("width", "options", "ground", "row"),
    [
        (1200, (), LIGHT, "table-row"),
        (1200, ("--force-dark-mode",), DARK, "table-row"),
        (390, (), LIGHT, "block"),
    ],
    ids=["light", "dark", "narrow"],
)
def test_a_browser_shows_the_report(
    report: str, width: int, options: tuple[str, ...], ground: str, row: str, tmp_path: Path
) -> None:
    around = (
        f'<!doctype html><link rel="icon" href="data:,"><iframe src="/report" width="{width}" '
        f'height="900"></iframe><pre id="found"></pre>'
        f"<script>onload = () => {{{LOOK}}}</script>"
    )
    with served({"/": around, "/report": report}) as (address, asked):
        found = in_browser(f"{address}/", tmp_path / "user", *options)
    assert asked == ["/", "/report"]  # nothing else
    assert found == {
        "title": EVIL, "scripts": 0, "images": 0, "ground": ground, "row": row, "wide": False,
        "rows": 10, "pictures": 10, "drawn": True, "boxes": found["boxes"],
    }  # fmt: skip
    assert found["boxes"] >= 10


@needs_browser
def test_a_browser_takes_a_picture_of_the_file(report: str, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    (tmp_path / "report.html").write_text(report, "utf-8")
    picture = tmp_path / "report.png"
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *(f"--user-data-dir={tmp_path / 'user'}", "--window-size=1200,900"),
        *(f"--screenshot={picture}", (tmp_path / "report.html").as_uri()),
    ]
    subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
