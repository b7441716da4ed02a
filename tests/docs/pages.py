"""The pages that users read: the README and what stands in docs/, with the code in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """Return the path of a page within the repository, for test names."""
    return page.relative_to(ROOT).as_posix()


def text_of(name: str) -> str:
    """Return the text of a page, by its path within the repository."""
    return (ROOT / name).read_text("utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a language on a page, in order."""
    found: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    return found


def files(found: list[str]) -> dict[str, str]:
    """Return the blocks that are files, which begin with `# name.py`, by name."""
    named = {block: re.match(r"# (\w+\.py)\n", block) for block in found}
    return {match[1]: block for block, match in named.items() if match}


def run_blocks(page: Path, found: list[str]) -> dict[str, Any]:
    """Return the names that the code of a page leaves, run in the current folder."""
    names: dict[str, Any] = {"__name__": page.stem}
    for block in found:
        exec(compile(block, name_of(page), "exec"), names)
    return names


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as a viewer of Markdown makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9_ -]", "", title.lower()).replace(" ", "-") for title in titles}
