"""The site without a builder: its pages, its reference, and the check of built pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fastfeat as ff
from docs.publish.check import problems
from docs.publish.docstrings import markdown
from docs.publish.reference import reference_pages
from docs.publish.stage import stage
from fastfeat_tests.docs.pages import ROOT, anchors

WITHOUT_EXAMPLE = {
    *("ff.DType", "ff.Expr", "ff.FittedPlan", "ff.Fold", "ff.Learning"),  # nobody calls these
    *(f"Learning.{name}" for name in ("finish", "from_bytes", "next", "partial", "shares")),
    *(f"Learning.{name}" for name in ("state_of_bytes", "to_bytes", "training_features")),
    *(f"Live.{name}" for name in ("checkpoint", "close", "compact", "delete_audit_key")),
    *(f"Live.{name}" for name in ("discard", "drift", "explain", "export", "held_up", "profile")),
    "FittedPlan.compile",
}
"""Classes that functions return, and methods that `Plan.learning` or a page shows in use."""
CONFIG = (ROOT / ".mkdocs.yml").read_text("utf-8")
LINKS = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the pages of the site."""
    folder = tmp_path_factory.mktemp("pages")
    assert stage(folder) == len([*folder.rglob("*.md")])
    return folder


def targets(page: Path) -> set[str]:
    """Return the anchors of a page, with names that a heading gives itself."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return anchors(page) | set(re.findall(r"\{ #([\w-]+) \}$", text, re.MULTILINE))


def test_every_page_is_in_the_navigation(folder: Path) -> None:
    named = re.findall(r"(?:- |: )([\w/]+\.md)$", CONFIG, re.MULTILINE)
    pages = {page.relative_to(folder).as_posix() for page in folder.rglob("*.md")}
    assert len(named) == len(set(named))
    assert set(named) == {page for page in pages if not page.startswith("files/")}


def test_every_link_of_a_page_leads_to_a_page_and_a_heading(folder: Path) -> None:
    n_links = 0
    for page in folder.rglob("*.md"):
        for link in LINKS.findall(page.read_text("utf-8")):
            file, _, anchor = link.partition("#")
            linked = (page.parent / file).resolve() if file else page
            assert linked.is_relative_to(folder.resolve()), f"{page}: {link}"
            assert linked.is_file(), f"{page}: {link}"
            assert not anchor or anchor in targets(linked), f"{page}: {link}"
            n_links += 1
    assert n_links > 300


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(reference_pages().values())
    headings = set(re.findall(r"^#+ `([^`]+)`", text, re.MULTILINE))
    names = {f"ff.{name}" for name in ff.__all__}
    names |= {f".{name}" for name in dir(ff.Expr) if not name.startswith("_")}
    told_elsewhere = {".dt", ".str", ".list", ".name", ".node", ".nodes", ".suffixes"}
    told_elsewhere |= {".fill_nan", ".is_nan", ".is_not_nan"}  # errors that name other functions
    assert names - headings == told_elsewhere
    for name in ("Plan.fit", "FittedPlan.transform", "Live.process", ".dt.hour", ".str.find"):
        assert name in headings


def test_a_docstring_becomes_markdown() -> None:
    text = """Return a * b.

    More of it,
    in two lines.

    Args:
        x: Numbers in [0, 1]. Missing
            stays missing.

    Raises:
        InvalidPlan: `x` is no number.

    Example:
        >>> 1 + 1
        2
    """
    assert markdown(re.sub(r"^    ", "", text, flags=re.MULTILINE)).split("\n\n") == [
        r"Return a \* b.",
        "More of it, in two lines.",
        "**Args**",
        r"- `x`: Numbers in \[0, 1\]. Missing stays missing.",
        "**Raises**",
        "- `InvalidPlan`: `x` is no number.",
        "```pycon\n>>> 1 + 1\n2\n```",
    ]


@pytest.mark.parametrize(
    ("element", "told"),
    [
        ('<a href="b.html#there">b</a> <img src="a.svg">', ""),
        ('<link rel="canonical" href="https://x.y/">', ""),
        ('<a href="https://x.y/">x</a>', ""),
        ('<a href="c.html">c</a>', "broken link c.html"),
        ('<a href="b.html#gone">b</a>', "broken link b.html#gone"),
        ('<a href="#gone">b</a>', "broken link #gone"),
        ('<img src="gone.svg">', "broken link gone.svg"),
        ('<script src="https://x.y/a.js"></script>', "loads https://x.y/a.js"),
        ('<link rel="stylesheet" href="//fonts.x.y/css">', "loads //fonts.x.y/css"),
        ('<p style="background: url(https://x.y/a.png)">', "loads https://x.y/a.png"),
    ],
)
def test_the_check_finds_broken_links_and_files_of_other_hosts(
    element: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text(f"<html><body>{element}</body></html>")
    (tmp_path / "b.html").write_text('<h2 id="there">b</h2>')
    (tmp_path / "a.svg").write_text("<svg/>")
    (tmp_path / "a.css").write_text("p { background: url(data:image/png;base64,AA) }")
    assert problems(tmp_path) == (2, [f"index.html: {told}"] if told else [])


def test_the_check_reads_styles(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text('@import "https://x.y/b.css"; p { src: url("//x.y/c.woff2") }')
    assert problems(tmp_path)[1] == ["a.css: loads https://x.y/b.css", "a.css: loads //x.y/c.woff2"]


def test_the_site_has_no_address_and_no_font_of_another_host() -> None:
    assert re.search(r"^  font: false$", CONFIG, re.MULTILINE)
    assert not re.search(r"^(site_url|repo_url|extra_javascript):", CONFIG, re.MULTILINE)
    assert "://" not in CONFIG


def test_every_function_of_the_reference_has_an_example() -> None:
    text = "".join(page for name, page in reference_pages().items() if "index" not in name)
    entries = re.split(r"^##+ `", text, flags=re.MULTILINE)[1:]
    functions = [entry for entry in entries if "```python\n" in entry]
    without = {entry.partition("`")[0] for entry in functions if ">>> " not in entry}
    assert without == WITHOUT_EXAMPLE
    assert len(functions) > 200


def test_the_figure_of_the_first_page_is_measured() -> None:
    from bench import results

    measured = results.load(results.FOLDER)["workloads"]["small_batches_1"]
    seconds = measured["contenders"]["fastfeat"]["median_seconds"]
    said = f"100 calls with one row take\n{seconds * 1000:.0f} ms"
    assert said in (ROOT / "docs" / "index.md").read_text("utf-8")
