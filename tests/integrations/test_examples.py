"""The examples in docstrings of what stands on large libraries, all of which are installed here."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import fastfeat as ff
from fastfeat import integrations

ENGINES = {"ray", "spark"}


def marked(name: str) -> object:
    """Return the name of a module for the profile that has its library."""
    of_engine = name.split("_")[0] in ENGINES
    mark = pytest.mark.engines if of_engine else pytest.mark.large
    return pytest.param(name, marks=mark)


@pytest.mark.parametrize(
    "name", [marked(found.name) for found in pkgutil.iter_modules(integrations.__path__)]
)
def test_module_is_imported_and_its_examples_run(name: str) -> None:
    module = import_module(f"{integrations.__name__}.{name}")
    result = doctest.testmod(module, extraglobs={"ff": ff, "col": ff.col})
    assert result.failed == 0
