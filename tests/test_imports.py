"""Imports run one way, with no circle of modules; tests import one another by one name.

Imports in functions and for type checkers count as all others do.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"fastfeat": ROOT / "fastfeat", "fastfeat_kernels": ROOT / "kernels/fastfeat_kernels"}
TYPED_METHODS = "fastfeat.expr", "fastfeat.operators."
"""`Expr` has the operators as methods, with their types; an operator takes and gives an `Expr`."""


def modules() -> dict[str, Path]:
    """Return the files of our packages by the name of their module."""
    found: dict[str, Path] = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path, known: Mapping[str, Path]) -> set[str]:
    """Return the modules that one imports anywhere: at its top, in functions, for type checkers."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        for target in _targets(node, name, is_folder=path.name == "__init__.py"):
            while target and target not in known:
                target = target.rpartition(".")[0]
            found.add(target)
    return found - {"", name}


def _targets(node: ast.AST, name: str, *, is_folder: bool) -> Iterator[str]:
    """Yield what a statement imports, as dotted names of modules or of what is in them."""
    match node:
        case ast.Import(names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module, names, level):
            parts = name.split(".")
            base = parts[: len(parts) + is_folder - level] if level else []
            start = ".".join([*base, *([module] if module else [])])
            yield from (f"{start}.{alias.name}" for alias in names)
        case _:
            pass


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the sets of modules, of two and more, in which each imports each other in the end."""
    order: list[str] = []
    seen: set[str] = set()
    for start in edges:
        for name in _after_those_below(start, edges, seen):
            order.append(name)
    above: dict[str, set[str]] = {name: set() for name in edges}
    for name, below in edges.items():
        for other in below:
            above[other].add(name)
    found: list[list[str]] = []
    seen = set()
    for start in reversed(order):
        together = sorted(_after_those_below(start, above, seen))
        if len(together) > 1:
            found.append(together)
    return found


def _after_those_below(start: str, edges: Mapping[str, set[str]], seen: set[str]) -> Iterator[str]:
    """Yield what is reached and not yet seen, each after what it leads to."""
    if start in seen:
        return
    seen.add(start)
    pending = [(start, iter(sorted(edges[start])))]
    while pending:
        name, others = pending[-1]
        following = next((other for other in others if other not in seen), None)
        if following is None:
            pending.pop()
            yield name
        else:
            seen.add(following)
            pending.append((following, iter(sorted(edges[following]))))


@pytest.fixture(scope="module")
def edges() -> dict[str, set[str]]:
    known = modules()
    return {name: imported(name, path, known) for name, path in known.items()}


def test_no_modules_import_each_other_but_expressions_and_their_operators(
    edges: dict[str, set[str]],
) -> None:
    assert len(edges) > 300
    found = circles(edges)
    odd = [circle for circle in found if not all(n.startswith(TYPED_METHODS) for n in circle)]
    assert odd == []


@pytest.mark.parametrize(
    ("above", "below"),
    [("fastfeat.api.plan", "fastfeat.plan.declare.declaration"), ("fastfeat", "fastfeat.expr")],
)
def test_one_import_upwards_makes_a_circle(
    edges: dict[str, set[str]], above: str, below: str
) -> None:
    """Args: a module, and one that it imports, through others or not."""
    closed = {**edges, below: edges[below] | {above}}
    assert any({above, below} <= set(circle) for circle in circles(closed))


def test_modules_of_tests_import_one_another_by_the_name_of_their_link() -> None:
    """`tests` may be a package of an installed library, and a bare name depends on the path."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    link = ROOT / ".paths" / "fastfeat_tests"
    assert link.resolve() == ROOT / "tests"
    bare = {"tests": link, **{path.stem: path for path in files}}
    found = {path.relative_to(ROOT).as_posix(): imported("", path, bare) for path in files}
    assert {name: targets for name, targets in found.items() if targets} == {}
    dotted = {
        ".".join(["fastfeat_tests", *path.relative_to(ROOT / "tests").with_suffix("").parts]): path
        for path in files
    }
    assert len(set().union(*(imported("", path, dotted) for path in files))) > 50


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a.b", {"a.b"}),
        ("from a import b, c", {"a.b", "a"}),
        ("def f():\n    from a.b import c", {"a.b"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a", {"a"}),
        ("from . import b", {"a.b"}),
        ("from ..e import g", {"e"}),
        ("import numpy", set()),
    ],
)
def test_every_way_to_import_is_seen(text: str, expected: set[str], tmp_path: Path) -> None:
    names: list[str] = ["a", "a.b", "a.d", "e"]
    known = dict.fromkeys(names, tmp_path)
    path = tmp_path / "d.py"
    path.write_text(text)
    assert imported("a.d", path, known) == expected
