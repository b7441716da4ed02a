"""The page of options is what rows say, and every row says enough."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from fastfeat.apps.cli.command_options import COMMANDS
from fastfeat.apps.cli.commands import app
from fastfeat.apps.serve import run
from fastfeat.apps.serve.options import ServeOptions
from fastfeat.apps.stream import config
from fastfeat.calls.options import (
    REQUIRED,
    PythonValue,
    flags_of,
    options_of,
    read_value,
    type_of,
    words_of,
)
from fastfeat.ir.parameters import TextChoice
from fastfeat.live.state.changes import Durability, LateRule
from fastfeat_tests.docs import options
from fastfeat_tests.docs.pages import text_of

RECORDS: list[type[Any]] = [
    *{record: None for records in COMMANDS.values() for record in records},
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
        is_record = record.__module__ == config.__name__
        if isinstance(row.default, str | bool | int) and not is_record:
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
        for flag in flags_of(name, row):
            assert f"{flag} " in shown
            assert row.about.partition("`")[0] in " ".join(shown.split())


def test_every_command_has_the_options_of_its_rows() -> None:
    for command, records in COMMANDS.items():
        result = CliRunner().invoke(app, [*command.split(), "--help"], env={"COLUMNS": "400"})
        shown = " ".join(result.stdout.split())
        written = set(
            re.findall(r"(?<![\w-])--[a-z][a-z-]+(?=[ ,])", re.sub(r"`[^`]*`", "", shown))
        )
        flags = {
            flag
            for record in records
            for name, row in options_of(record).items()
            for flag in flags_of(name, row)
        }
        assert {flag for flag in flags if flag.startswith("--")} <= written, command
        for record in records:
            for row in options_of(record).values():
                assert row.about.partition("`")[0] in shown, command
