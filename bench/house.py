"""Figures of the code itself: `python -m bench.house [--json]`.

Lines of code are lines with a token, without docstrings, comments and blank lines. Demos are a
separate part, so that the other figures do not depend on their place.
"""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
PARTS = {
    "fastfeat": "fastfeat",
    "kernels": "kernels/fastfeat_kernels",
    "demos": "docs/demos",
    "bench": "bench",
    "tests": "tests",
}
"""The folder of each part; demos in the package count as demos, too."""
MANY_PARAMETERS = 10
BINDING = "bind_constants"
CALL_ROWS = {"history", "tables"}
"""Parameters for the rows of a call, which functions take one by one."""

Functions = ast.FunctionDef | ast.AsyncFunctionDef
_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}


@dataclass(frozen=True, slots=True)
class Module:
    """Counts for one file.

    Args:
        code: Lines of code.
        imports: Lines of code with imports.
        docstrings: Lines of docstrings, including those of constants.
        functions: All functions, at any depth.
        splats: Calls by `**name` of a variable that the same function annotates with `Any`.
        types: Names of classes and type aliases at the top of the module.
        calls: Names of the called functions.
    """

    code: int
    imports: int
    docstrings: int
    functions: Sequence[Functions]
    splats: int
    types: frozenset[str]
    calls: frozenset[str]


def module_of(source: str) -> Module:
    """Return the counts for a file's text."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    docstrings = _lines(node for node in nodes if _is_docstring(node))
    code = _lines_of_tokens(source) - docstrings
    functions = [node for node in nodes if isinstance(node, Functions)]
    return Module(
        code=len(code),
        imports=len(code & _lines(n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom))),
        docstrings=len(docstrings),
        functions=functions,
        splats=sum(_n_splats(function) for function in functions),
        types=frozenset(_types_of(tree)),
        calls=frozenset(
            node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            for node in nodes
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
        ),
    )


def _is_docstring(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Constant(str())):
            return True
        case _:
            return False


def _lines(nodes: Iterator[ast.AST]) -> set[int]:
    """Return the line numbers of some nodes."""
    places = (node for node in nodes if isinstance(node, ast.stmt))
    return {line for node in places for line in range(node.lineno, (node.end_lineno or 0) + 1)}


def _lines_of_tokens(source: str) -> set[int]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        line
        for token in tokens
        if token.type not in _NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }


def _n_splats(function: Functions) -> int:
    """Return the number of calls in a function that unpack a variable of type `Any` by `**`."""
    nodes = list(_own_nodes(function))
    untyped = {
        node.target.id
        for node in nodes
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if _is_any(node.annotation)
    }
    splats = [node.value for node in nodes if isinstance(node, ast.keyword) and node.arg is None]
    return sum(isinstance(value, ast.Name) and value.id in untyped for value in splats)


def _own_nodes(function: Functions) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without those of nested functions."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, Functions):
            pending.extend(ast.iter_child_nodes(node))


def _types_of(tree: ast.Module) -> Iterator[str]:
    """Yield the names of classes and of aliases such as `Int64Array`, without type variables."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name):
                yield name
            case ast.Assign([ast.Name(name)], value) if not _makes_type_variable(value):
                if re.fullmatch("_?[A-Z][a-zA-Z0-9]*[a-z][a-zA-Z0-9]*", name):
                    yield name
            case _:
                pass


def _makes_type_variable(value: ast.expr) -> bool:
    match value:
        case ast.Call(ast.Name("TypeVar" | "ParamSpec")):
            return True
        case _:
            return False


def parameters_of(function: Functions) -> list[ast.arg]:
    """Return the parameters of a function, without `self` and `cls`."""
    given = function.args
    found = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return [one for one in found if one.arg not in ("self", "cls")]


def figures(sources: Mapping[str, str]) -> dict[str, float]:
    """Return the figures of some files, by name of the figure; `sources` has their text by path."""
    modules = [module_of(source) for source in sources.values()]
    functions = [function for module in modules for function in module.functions]
    parameters = [parameters_of(function) for function in functions]
    annotations = [one.annotation for found in parameters for one in found if one.annotation]
    homes = Counter(name for module in modules for name in module.types)
    code = sum(module.code for module in modules)
    return {
        "files": len(modules),
        "lines of code": code,
        "lines of code in the median file": median(module.code for module in modules or [_NONE]),
        "lines of docstrings": sum(module.docstrings for module in modules),
        "imports, % of code": _percent(sum(module.imports for module in modules), code),
        f"modules that call {BINDING}": sum(BINDING in module.calls for module in modules),
        "functions with history and tables": sum(
            {one.arg for one in found} >= CALL_ROWS for found in parameters
        ),
        "calls by ** of a variable of type Any": sum(module.splats for module in modules),
        f"functions of {MANY_PARAMETERS} parameters or more": sum(
            len(found) >= MANY_PARAMETERS for found in parameters
        ),
        "parameters with Any, %": _percent(sum(map(_has_any, annotations)), len(annotations)),
        "type names of several modules, %": _percent(
            sum(n > 1 for n in homes.values()), len(homes)
        ),
    }


_NONE = module_of("")


def _is_any(annotation: ast.expr) -> bool:
    return isinstance(annotation, ast.Name) and annotation.id == "Any"


def _has_any(annotation: ast.expr) -> bool:
    return any(_is_any(node) for node in ast.walk(annotation) if isinstance(node, ast.expr))


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def n_public_names() -> int:
    """Return the number of names that users see: in the package, its errors and its classes."""
    import fastfeat as ff
    from fastfeat.operators import NAMESPACES

    classes = [one for name in ff.__all__ if isinstance(one := getattr(ff, name), type)]
    classes += [type(getattr(ff.col("x"), name)) for name in NAMESPACES]
    errors = [one for one in vars(ff.errors).values() if _is_raised(one)]
    members = [name for kind in classes if not _is_raised(kind) for name in _public(kind)]
    return len({*ff.__all__, *(error.__name__ for error in errors)}) + len(members)


def _is_raised(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _public(kind: type) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_")]


def sources_of(root: Path = ROOT) -> dict[str, dict[str, str]]:
    """Return the text of each file by its path, for each part of the repository."""
    found: dict[str, dict[str, str]] = {part: {} for part in PARTS}
    for part, folder in PARTS.items():
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            is_demo = part == "fastfeat" and "demo" in name
            found["demos" if is_demo else part][name] = path.read_text("utf-8")
    return found


def main(arguments: Sequence[str]) -> int:
    """Print the figures of each part, as a table or as JSON."""
    if unknown := [argument for argument in arguments if argument != "--json"]:
        raise SystemExit(f"unknown: {' '.join(unknown)}. The one option is --json")
    found = {part: figures(sources) for part, sources in sources_of().items()}
    found["fastfeat"]["public names"] = n_public_names()
    if arguments:
        print(json.dumps(found, indent=1))
    else:
        print(table(found))
    return 0


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return a row for each figure, with a column for each part."""
    rows = list(dict.fromkeys(name for of_part in found.values() for name in of_part))
    width = max(map(len, rows))
    lines = [" ".join([" " * width, *(f"{part:>9}" for part in found)])]
    for row in rows:
        cells = (of_part.get(row) for of_part in found.values())
        told = ("" if cell is None else f"{cell:,}" for cell in cells)
        lines.append(" ".join([f"{row:{width}}", *(f"{cell:>9}" for cell in told)]))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
