"""Every parameter of every public function, given badly: the errors and texts that were recorded.

So are results, where a value is taken: what is taken today stays taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fastfeat_tests.compatibility.compatible_calls import (
    ACCEPTED,
    Outcome,
    altered_outcome,
    each_call,
    outcome,
)
from fastfeat_tests.compatibility.compatible_rows import FIXTURES

MOST_SHOWN = 20


def recorded(name: str) -> dict[str, Outcome]:
    return each_call(json.loads((FIXTURES / "errors" / f"{name}.json").read_text("utf-8")))


def differences(name: str, found: Callable[[str], Outcome]) -> str:
    """Return the first calls of a fixture of which something else comes."""
    differ = [
        f"{call}\n    was {expected}\n    is  {result}"
        for call, expected in recorded(name).items()
        if (result := found(call)) != expected
    ]
    return f"{len(differ)} of {name}:\n" + "\n".join(differ[:MOST_SHOWN]) if differ else ""


def test_calls_give_what_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # of texts that are taken for paths
    said = differences("calls", outcome)
    assert not said, said


def test_computations_raise_what_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = differences("data", outcome)
    assert not said, said


def test_altered_plans_are_refused_as_was_recorded() -> None:
    said = differences("altered", altered_outcome)
    assert not said, said


def test_there_are_errors_of_each_kind() -> None:
    of_calls = recorded("calls")
    n_errors = sum(error != ACCEPTED for error, _ in of_calls.values())
    assert n_errors > 3000
    assert n_errors < len(of_calls)
    assert {"InvalidPlan", "TypeMismatch", "Leakage", "UnknownColumn"} <= {
        error for error, _ in of_calls.values()
    }
