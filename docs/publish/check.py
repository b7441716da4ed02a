"""The built site: every link and anchor leads somewhere, and no file comes from another host."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
"""Elements that load a file, and the attribute with its address."""
NOT_LOADED = {"canonical", "alternate", "next", "prev", "edit"}
"""Relations of `link` that only name an address."""
OF_STYLES = re.compile(r"@import\s+[\"']?([^\"';]+)|url\(\s*[\"']?([^\"')]+)")


class _Page(HTMLParser):
    """The links, the loaded files and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        names_only = tag == "link" and NOT_LOADED & set(given.get("rel", "").split())
        if LOADS.get(tag, "") in given and not names_only:
            self.loads.append(given[LOADS[tag]])
        self.loads += _of_style(given.get("style", ""))


def problems(folder: Path) -> tuple[int, list[str]]:
    """Return the number of pages of a built site, and its broken links and foreign files."""
    folder = folder.resolve()
    pages = {file: _Page(file.read_text("utf-8")) for file in sorted(folder.rglob("*.html"))}
    found: list[str] = []
    for file, page in pages.items():
        name = file.relative_to(folder).as_posix()
        if name == "404.html":  # its addresses begin at the root of the site, which is not known
            page.links, page.loads = [], [load for load in page.loads if urlsplit(load).netloc]
        found += [f"{name}: loads {load}" for load in page.loads if _is_foreign(load)]
        here = [link for link in page.links + page.loads if not _is_foreign(link)]
        found += [f"{name}: broken link {link}" for link in here if not _leads(link, file, pages)]
    for file in sorted(folder.rglob("*.css")):
        loads = _of_style(file.read_text("utf-8"))
        name = file.relative_to(folder).as_posix()
        found += [f"{name}: loads {load}" for load in loads if _is_foreign(load)]
    return len(pages), found


def _of_style(text: str) -> list[str]:
    return [first or second for first, second in OF_STYLES.findall(text)]


def _is_foreign(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def _leads(link: str, file: Path, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme == "data":
        return True
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if target.is_dir():
        target = target / "index.html"
    if target not in pages:
        return target.exists() and not parts.fragment
    return not parts.fragment or unquote(parts.fragment) in pages[target].anchors
