"""States of live plans that an earlier version wrote: they open, answer as they did, and replay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import fastfeat as ff
from fastfeat_tests.compatibility.compatible_results import bits
from fastfeat_tests.compatibility.compatible_rows import FIXTURES, read
from fastfeat_tests.compatibility.compatible_states import (
    answers,
    arriving,
    opened,
    states,
    told_of,
)

PLANS = {name: FIXTURES / "states" / f"{name}.fastfeat" for name in ("first", "second")}
STATES = ("one", "several")


def copy_of_state(name: str, folder: Path) -> Path:
    return Path(shutil.copy(FIXTURES / "states" / f"{name}.state", folder))


def plans_of(name: str) -> dict[str, ff.FittedPlan]:
    return states({plan: ff.load(path) for plan, path in PLANS.items()})[name]


@pytest.mark.parametrize("name", STATES)
def test_a_state_opens_and_answers_as_it_did(name: str, tmp_path: Path) -> None:
    recorded = json.loads((FIXTURES / "states" / f"{name}.json").read_text("utf-8"))
    with opened(plans_of(name), copy_of_state(name, tmp_path)) as state:
        assert {**told_of(state), "head": state.head.hex()} == recorded
        found = answers(state)
    files = {plan: f"{name}.{plan}.arrow" if plan else f"{name}.arrow" for plan in found}
    assert len(found) == len(plans_of(name))
    for plan, features in found.items():
        assert bits(features) == bits(read(FIXTURES / "states" / files[plan])), plan


@pytest.mark.parametrize("name", STATES)
def test_a_state_replays(name: str, tmp_path: Path) -> None:
    head = json.loads((FIXTURES / "states" / f"{name}.json").read_text("utf-8"))["head"]
    path = copy_of_state(name, tmp_path)
    report = ff.replay(path, head=head)
    assert report.ok, str(report)
    assert str(report) == (FIXTURES / "states" / f"{name}.replay.txt").read_text("utf-8")
    artifact = PLANS["first"] if name == "one" else None
    assert ff.replay(path, artifact, head=head).ok


@pytest.mark.parametrize("name", STATES)
def test_a_state_goes_on(name: str, tmp_path: Path) -> None:
    path = copy_of_state(name, tmp_path)
    with opened(plans_of(name), path) as state:
        before = state.head
        state.process(arriving().slice(30), source="events:0", first=19, end=40)
        assert state.head != before
    assert ff.replay(path).ok
