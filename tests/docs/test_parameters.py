"""The page of parameters is what rows say, and operators have the defaults that it tells."""

from __future__ import annotations

import inspect

from fastfeat.aggregates import AGGREGATES
from fastfeat.ir.parameters import REQUIRED, is_valid
from fastfeat.operators import OPERATORS
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import OF_CONTENT, STEPS
from fastfeat_tests.docs import parameters
from fastfeat_tests.docs.pages import text_of

ROWS = {**AGGREGATES, **STEPS, **OF_CONTENT, **SCALARS}


def test_the_page_is_up_to_date() -> None:
    assert text_of("docs/parameters.md") == parameters.page(), "run python tests/docs/parameters.py"


def test_every_parameter_is_told_of() -> None:
    for name, row in {**ROWS, **OPERATORS}.items():
        names = [parameter.name for parameter in row.parameters]
        assert len(set(names)) == len(names), name
        for parameter in row.parameters:
            assert parameter.about or parameter.user_name is None, (name, parameter.name)
            assert not parameter.about.endswith("."), (name, parameter.name)


def test_defaults_of_functions_are_values_that_they_take() -> None:
    for name, row in ROWS.items():
        for parameter in row.parameters:
            if parameter.default is not REQUIRED and not parameter.is_optional:
                assert is_valid(parameter, parameter.default), (name, parameter.name)


def test_defaults_of_operators_are_those_of_their_signatures() -> None:
    n_compared = 0
    for name, operator in OPERATORS.items():
        given = inspect.signature(operator.define).parameters
        for parameter in [*operator.parameters, *getattr(ROWS.get(name), "parameters", ())]:
            written = parameter.user_name or parameter.name
            if written not in given or parameter.default is REQUIRED:
                continue
            default = given[written].default
            if default not in (inspect.Parameter.empty, ...):
                assert default == parameter.default, (name, written)
                n_compared += 1
    assert n_compared > 30
