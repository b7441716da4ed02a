"""Docstrings of every module: their examples run, and their first noun is what is returned."""

from __future__ import annotations

import ast
import doctest
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import fastfeat_kernels
import pytest

import bench
import fastfeat as ff

_NO_NOUN = re.compile(
    r"(?:Return|Yield|Give|Say)(?:, [^,]*,)? (?:(?:as|at|by|for|from|in|of|on|to) )?"
    r"(?:what|where|which|when|why|that|those|the same)\b"
    r"|(?:What|Where|Which|When|Why|Who|Those|How(?! (?:many|much|long|far)))\b"
)
"""Beginnings of docstrings that withhold the noun: what is returned, or what a module holds."""

_NAMED = ["kernels/fastfeat_kernels", "fastfeat", "docs/demos"]
"""Folders in which every docstring begins with its noun."""


def _modules() -> Iterator[str]:
    """Yield the names of all modules whose text has an example."""
    for package in (ff, fastfeat_kernels, bench):
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):  # which runs when it is imported
                yield found.name


def _has_example(name: str) -> bool:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return ">>> " in Path(spec.origin).read_text("utf-8")


def _imported(name: str) -> ModuleType | None:
    """Return a module; None where it is for a library that is not installed.

    Of such libraries `tests/integrations/test_examples.py` runs the examples.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        of_library = not (error.name or "fastfeat").startswith("fastfeat")
        if name.startswith("fastfeat.integrations.") and of_library:
            return None
        raise


def test_every_module_can_be_imported() -> None:
    for name in _modules():
        _imported(name)


@pytest.mark.parametrize("name", [*filter(_has_example, _modules())])
def test_examples_in_docstrings_run(name: str) -> None:
    module = _imported(name)
    if module is None:
        pytest.skip("its library is not installed")
    result = doctest.testmod(module, extraglobs={"ff": ff, "col": ff.col})
    assert result.attempted > 0
    assert result.failed == 0


def _beginnings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the first line of text of each docstring in a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text.partition("\n")[0]


@pytest.mark.parametrize("folder", _NAMED)
def test_docstrings_begin_with_a_noun(folder: str) -> None:
    files = [*(Path(__file__).resolve().parents[1] / folder).rglob("*.py")]
    assert files
    withheld = [
        f"{file}:{line}: {text}"
        for file in files
        for line, text in _beginnings(file)
        if _NO_NOUN.match(text)
    ]
    assert not withheld, "\n".join(withheld)


@pytest.mark.parametrize(
    "text",
    [
        "Return what is asked, of a column as a list.",
        "Return those that are not over.",
        "Return, of a plan, which columns it reads.",
        "Return the same, stripped at the start only.",
        "Say in what a table is wrong.",
        "What fit learns.",
        "How it runs.",
    ],
)
def test_beginnings_that_withhold_the_noun_are_found(text: str) -> None:
    assert _NO_NOUN.match(text)


@pytest.mark.parametrize(
    "text", ["Return how many rows there are.", "Return the column.", "Whether it holds text."]
)
def test_beginnings_with_a_noun_are_not_found(text: str) -> None:
    assert not _NO_NOUN.match(text)


_FLOORS = (
    "aggregates|apps|backends|calls|engine|execute|io|ir|keep|learn|operators|scalars|steps|tell"
)
"""Folders of fastfeat that docstrings name without their package."""
_NAMES = (
    rf"`((?:{_FLOORS}|trust)(?:\.\w+)+"
    r"|live\.(?:ask|audit|file|log|lower|opening|row|state)(?:\.\w+)*"
    r"|plan\.(?:run|tell)(?:\.\w+)*)`"  # which have left it
)
"""Modules in a text: `live` and `plan` are words, too."""


def _is_there(name: str) -> bool:
    """Whether a module is there, or something in one."""
    folder = Path(__file__).resolve().parents[1] / "fastfeat"
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = folder.joinpath(*parts[:length])
        if path.with_suffix(".py").exists() or path.is_dir():
            found = import_module(f"fastfeat.{'.'.join(parts[:length])}")
            return length == len(parts) or hasattr(found, parts[length])
    return False


def test_modules_that_a_text_names_exist() -> None:
    files = [*(Path(__file__).resolve().parents[1] / "fastfeat").rglob("*.py")]
    named = [
        (file.name, name) for file in files for name in re.findall(_NAMES, file.read_text("utf-8"))
    ]
    assert len(named) >= 20
    assert [(file, name) for file, name in named if not _is_there(name)] == []


_DIALECT = re.compile(
    r"\b(?:what|that of|those of|as of|as in|none where|of which|whose|which there are|is none)\b",
    re.IGNORECASE,
)
"""Words that withhold a noun."""


def test_docstrings_name_their_nouns() -> None:
    n_words, n_odd = 0, 0
    for folder in _NAMED:
        for file in (Path(__file__).resolve().parents[1] / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                    text = node.value.value
                    if isinstance(text, str):
                        prose = re.sub(r"``?[^`]*``?|>>>.*", " ", text)
                        n_words += len(re.findall(r"[A-Za-z]+", prose))
                        n_odd += len(_DIALECT.findall(prose))
    assert n_words > 100_000
    assert 1000 * n_odd / n_words <= 2, (n_odd, n_words)
