"""The examples in docstrings, of every module."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module
from types import ModuleType

import fastfeat_kernels
import pytest

import bench
import fastfeat as ff


def _modules(package: ModuleType) -> list[str]:
    """Return the names of a package and of all modules in it, but those that run when imported."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    names = [package.__name__, *(module.name for module in found)]
    return [name for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize("name", [n for p in (ff, fastfeat_kernels, bench) for n in _modules(p)])
def test_examples_in_docstrings_run(name: str) -> None:
    result = doctest.testmod(import_module(name), extraglobs={"ff": ff, "col": ff.col})
    assert result.failed == 0
