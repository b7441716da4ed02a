"""Operators as users meet them: methods that type checkers see, and what docstrings tell."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import fastfeat as ff
from fastfeat import expr
from fastfeat.operators import OPERATORS, missing, trends, windows


def _typed_methods() -> dict[str, str]:
    """Return the lines `name = module.function` of Expr that type checkers see."""
    tree = ast.parse(Path(expr.__file__).read_text(encoding="utf-8"))
    body = next(n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Expr")
    block = next(node for node in body if isinstance(node, ast.If))
    lines = [ast.unparse(line).split(" = ") for line in block.body if isinstance(line, ast.Assign)]
    return dict(lines)  # type: ignore[arg-type]


def test_every_method_has_its_line_for_type_checkers() -> None:
    defined = {name: op.define for name, op in OPERATORS.items() if op.method}
    defined |= {**missing.REFUSED, **windows.METHODS, **trends.METHODS}
    expected = {
        name: f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        for name, function in defined.items()
    }
    namespaces = {"dt": "calendar.dt", "list": "lists.elements", "str": "text.str_"}
    assert _typed_methods() == {**namespaces, **expected}
    methods = {name: inspect.unwrap(getattr(ff.Expr, name)) for name in defined}
    assert methods == defined


@pytest.mark.parametrize("name", OPERATORS)
def test_operator_is_documented(name: str) -> None:
    function = OPERATORS[name].define
    text = inspect.getdoc(function) or ""
    assert text.startswith("Return ")
    parameters = [p for p in inspect.signature(function).parameters if p != "self"]
    for section in ("Args:", "Example:", ">>> ")[0 if parameters else 1 :]:
        assert section in text, section
    for parameter in parameters:
        assert f"{parameter}: " in text, parameter


def test_only_the_first_argument_is_positional_beside_the_values_it_is_about() -> None:
    positional = {"lower_bound", "upper_bound", "lower", "upper", "lat2", "lon1", "lon2"}
    positional |= {"length", "group_index", "value", "n_buckets"}
    for name, operator in OPERATORS.items():
        parameters = list(inspect.signature(operator.define).parameters.values())[2:]
        for parameter in parameters:
            allowed = parameter.kind is parameter.KEYWORD_ONLY or parameter.name in positional
            assert allowed, f"{name}({parameter.name})"
