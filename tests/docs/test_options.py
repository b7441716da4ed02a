"""The page of options is what rows say, and every row says enough."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from fastfeat.apps.cli.commands import app
from fastfeat.apps.serve import run
from fastfeat.apps.serve.options import ServeOptions
from fastfeat.apps.stream import config
from fastfeat.calls.options import (
    REQUIRED,
    PythonValue,
    Section,
    flag_of,
    options_of,
    read_value,
    type_of,
    words_of,
)
from fastfeat.ir.parameters import TextChoice
from fastfeat.live.state.changes import Durability, LateRule
from fastfeat_tests.docs import options
from fastfeat_tests.docs.pages import text_of

RECORDS = [
    ServeOptions,
    config.Config,
    config.DeadLetterOut,
    config.Kafka,
    config.KafkaOut,
    config.LookupTable,
    config.MicroBatchLimits,
    config.FeatureOutputs,
    config.ParquetOut,
    config.Topic,
    config.ValkeyOut,
]


def test_the_page_is_up_to_date() -> None:
    assert text_of("docs/options.md") == options.page(), "run python tests/docs/options.py"


@pytest.mark.parametrize("record", RECORDS)
def test_each_row_has_a_sentence_and_a_default_that_it_takes(record: type[Any]) -> None:
    for name, row in options_of(record).items():
        kind = type_of(row)
        assert row.about.endswith("."), name
        assert words_of(kind), name
        is_plain = isinstance(row.default, str | bool | int)
        if is_plain and not isinstance(kind, Section) and record is ServeOptions:
            assert read_value(kind, row.default, name) == row.default


def test_late_rules_and_durability_are_those_of_states() -> None:
    rows = options_of(ServeOptions)
    assert type_of(rows["late"]) == TextChoice(get_args(LateRule))
    assert type_of(rows["durability"]) == TextChoice(get_args(Durability))


def test_the_function_and_the_command_have_the_rows() -> None:
    rows = options_of(ServeOptions)
    given = dict(inspect.signature(run).parameters)
    assert list(given) == ["artifact", *rows]
    for name, row in rows.items():
        assert row.default is not REQUIRED
        assert given[name].default == row.default
        assert f"\n    {name}: " in (run.__doc__ or "")
        assert row.flag is not None or isinstance(type_of(row), PythonValue) or name == "token"
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "400"}).stdout
    for name, row in rows.items():
        flag = flag_of(name, row)
        if flag is not None:
            assert f"{flag} " in shown
            assert row.about.partition("`")[0] in " ".join(shown.split())
