"""Layers: the core names no module of the wings, in imports or in text."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "fastfeat"
CORE = [
    *("aggregates", "backends", "calls", "engine", "execute", "io", "ir", "keep", "learn"),
    *("operators", "plan", "scalars", "steps", "tell"),
]
WING = re.compile(r"(?:fastfeat\.|\"\.)(?:api|apps|integrations|live|trust)\b")


def test_the_core_names_no_wing() -> None:
    files = [file for folder in CORE for file in (PACKAGE / folder).rglob("*.py")]
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
    assert not WING.search("live.update(rows)")
