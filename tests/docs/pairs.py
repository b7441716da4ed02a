"""Pairs of a page in `docs/coming_from`: an expression of a library, and ours, row by row."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fastfeat as ff
from fastfeat_tests.docs.pages import ROOT, blocks, run_blocks

FOLDER = ROOT / "docs" / "coming_from"


def names_of(page: Path) -> dict[str, Any]:
    """Return the names that the first block of a page leaves: the frame, windows and tables."""
    return run_blocks(page, blocks(page, "python")[:1])


def pairs_of(page: Path) -> list[tuple[str, str]]:
    """Return the rows of the tables with two columns, the right one fastfeat's."""
    found: list[tuple[str, str]] = []
    ours = False
    for line in page.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 2:
            ours = False
        elif cells[1] == "fastfeat":
            ours = True
        elif ours and not set(cells[0]) <= {"-", ":"}:
            found.append((_code(cells[0]), _code(cells[1])))
    return found


def _code(cell: str) -> str:
    match = re.fullmatch(r"`+ ?(.+?) ?`+", cell)
    assert match is not None, f"not one piece of code: {cell}"
    return match[1].replace(r"\|", "|")


def ours(code: str, names: dict[str, Any]) -> list[list[Any]]:
    """Return the columns of a feature of the frame `df`, `None` for missing."""
    feature = eval(code, names)
    plan = ff.Plan({"f": feature}, label="bought" if "bought" in names["df"] else None)
    fitted = plan.fit(names["df"], history="batch", tables=names.get("tables"))
    table = fitted.transform(names["df"], history="batch", tables=names.get("tables"))
    return [[_value(value) for value in column.to_pylist()] for column in table.columns]


def columns(found: Any) -> list[list[Any]]:
    """Return the columns of a Series, a frame or an array, `None` for missing."""
    if hasattr(found, "toarray"):
        found = found.toarray()
    if hasattr(found, "columns"):
        return [_values(found[name]) for name in found.columns]
    if getattr(found, "ndim", 1) == 2:
        return [_values(column) for column in found.T]
    return [_values(found)]


def _values(column: Iterable[Any]) -> list[Any]:
    return [_value(value) for value in getattr(column, "tolist", lambda: list(column))()]


def _value(value: Any) -> Any:
    if value is None or type(value).__name__ in ("NAType", "NaTType") or value != value:
        return None
    return float(value)


def differences(theirs: list[list[Any]], found: list[list[Any]], digits: int = 9) -> list[Any]:
    """Return the values that differ by more than rounding, or the shapes."""
    if [len(column) for column in theirs] != [len(column) for column in found]:
        return [theirs, found]
    both = [(a, b) for pair in zip(theirs, found, strict=True) for a, b in zip(*pair, strict=True)]
    return [(a, b) for a, b in both if not _same(a, b, digits)]


def _same(a: float | None, b: float | None, digits: int) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=10**-digits, abs_tol=1e-12)


def check(page: Path, code: tuple[str, str], theirs: Callable[[str, dict[str, Any]], Any]) -> None:
    """Fail if the two sides of a row differ."""
    names = names_of(page)
    expected = columns(theirs(code[0], names))
    found = ours(code[1], names)
    digits = 6 if "power_transform" in code[1] else 9
    assert differences(expected, found, digits) == [], f"{code}: {expected} {found}"
