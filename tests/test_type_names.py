"""A public type name is defined in one module of the package: the name says which type it is."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "fastfeat"


def types_of(source: str) -> Iterator[str]:
    """Yield the names of classes and type aliases at the top of a module.

    An alias is an assignment to a name in the form of a class name.
    """
    for node in ast.parse(source).body:
        match node:
            case ast.ClassDef(name) | ast.AnnAssign(ast.Name(name), ast.Name("TypeAlias")):
                yield name
            case ast.Assign([ast.Name(name)]) if name[:1].isupper() and not name.isupper():
                yield name
            case _:
                pass


def test_types_of_a_module_are_found() -> None:
    source = (
        "class First: pass\nSecond = dict[str, int]\nThird: TypeAlias = int\n"
        "LIMIT = 1\n_private = 2\nlower: int = 3\n"
    )
    assert list(types_of(source)) == ["First", "Second", "Third"]


def test_no_public_type_name_is_defined_twice() -> None:
    modules: dict[str, list[str]] = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for name in types_of(path.read_text()):
            if not name.startswith("_"):
                modules[name].append(str(path.relative_to(PACKAGE)))
    assert {name: paths for name, paths in modules.items() if len(paths) > 1} == {}
