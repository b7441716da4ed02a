"""The examples in docstrings, of every module."""

from __future__ import annotations

import doctest
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import fastfeat_kernels
import pytest

import bench
import fastfeat as ff


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
        if name.startswith(("fastfeat.integrations.", "fastfeat.demo.")) and of_library:
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
