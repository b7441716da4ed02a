"""The pages of the site: `docs/` and the reference, with links that stay within the site."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from docs.publish.reference import reference_pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
ITEM = re.compile(r"(?:[-*] |\d+\. |\|)")


def stage(folder: Path) -> int:
    """Write all pages and the files that they link to; return the number of pages."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = {page: page.relative_to(DOCS).as_posix() for page in sorted(DOCS.rglob("*.md"))}
    pages |= {ROOT / "CHANGELOG.md": "changelog.md", ROOT / "README.md": "index.md"}
    waiting = [page for page in pages if page != ROOT / "README.md"]
    while waiting:
        page = waiting.pop(0)
        known = set(pages)
        text = _linked(page, pages, folder)
        _write(folder / pages[page], _spaced(text))
        waiting += [linked for linked in pages if linked not in known]
    shutil.copy(Path(__file__).with_name("style.css"), folder)
    texts = reference_pages()
    for name, text in texts.items():
        _write(folder / name, text)
    return len(pages) - 1 + len(texts)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def _linked(page: Path, pages: dict[Path, str], folder: Path) -> str:
    """Return a page with links to pages and to copies of files; folders lose their link.

    A linked page outside of `docs/` joins the pages.
    """

    def link(match: re.Match[str]) -> str:
        label, address = match[1], match[2]
        path, _, anchor = address.partition("#")
        if re.match(r"[a-z]+:", address) or not path:
            return match[0]
        target = (page.parent / path).resolve()
        if target.is_dir():
            return label if label.startswith("`") else f"`{label}`"
        name = f"files/{target.relative_to(ROOT).as_posix()}"
        if target.suffix == ".md":
            name = pages.setdefault(target, name)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(target, folder / name)
        relative = Path(os.path.relpath(name, Path(pages[page]).parent)).as_posix()
        return f"[{label}]({relative}{'#' if anchor else ''}{anchor})"

    return LINK.sub(link, page.read_text("utf-8"))


def _spaced(text: str) -> str:
    """Return a page with an empty line before each list and table, as Python-Markdown needs it."""
    parts: list[str] = []
    end = 0
    for match in [*FENCED.finditer(text), None]:
        parts.append(_spaced_prose(text[end : match.start() if match else len(text)]))
        if match:
            parts.append(match[0])
            end = match.end()
    return "".join(parts)


def _spaced_prose(text: str) -> str:
    found: list[str] = []
    for line in text.split("\n"):
        before = found[-1] if found else ""
        begins = ITEM.match(line) and before.strip() and not ITEM.match(before)
        if begins and not before.startswith(" "):
            found.append("")
        found.append(line.replace(r"\|", "&#124;") if line.startswith("|") else line)
    return "\n".join(found)
