"""Layers: the core names no module of the wings, in imports or in text."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "fastfeat"
WINGS = {"api", "apps", "demo", "export", "integrations", "live", "trust"}
_NAMES = "|".join(sorted(WINGS - {"demo"}))
WING = re.compile(rf"(?:fastfeat\.|\"\.)(?:{_NAMES})\b|from fastfeat import .*\b(?:{_NAMES})\b")


def test_the_core_names_no_wing() -> None:
    folders = {path.parent for path in PACKAGE.glob("*/__init__.py")}
    core = [folder for folder in folders if folder.name not in WINGS]
    files = [file for folder in core for file in folder.rglob("*.py")]
    assert len(core) > 10
    assert len(files) > 300
    named = [
        f"{file.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for file in files
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if WING.search(line)
    ]
    assert not named, "\n".join(named)


def test_names_of_wings_are_found() -> None:
    assert WING.search('import_module("fastfeat.live.live")')
    assert WING.search('if ".integrations." in made.__module__:')
    assert WING.search("from fastfeat import errors, live")
    assert not WING.search("live.update(rows)")
