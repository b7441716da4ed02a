"""Plans that an earlier version saved: loaded, they compute, print and tell the same, to the bit.

`write_fixtures.py` wrote the fixtures, and says when they are written anew.
"""

from __future__ import annotations

import json
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import fastfeat as ff
from fastfeat.keep import canonical
from fastfeat.keep.artifact import FORMAT, MAGIC
from fastfeat_tests.compatibility.compatible_plans import PLANS
from fastfeat_tests.compatibility.compatible_results import (
    bits,
    digests,
    fitted_plan,
    later_features,
    printed,
    saved,
    told,
)
from fastfeat_tests.compatibility.compatible_rows import FIXTURES, read


@cache
def loaded(name: str) -> ff.FittedPlan:
    return ff.load(FIXTURES / "artifacts" / f"{name}.fastfeat")


def recorded_features(name: str) -> dict[str, tuple[str, list[bool], bytes]]:
    return bits(read(FIXTURES / "features" / f"{name}.arrow"))


def recorded_text(name: str) -> str:
    return (FIXTURES / name).read_bytes().decode()


def test_each_plan_has_its_fixtures() -> None:
    assert {path.stem for path in FIXTURES.glob("artifacts/*.fastfeat")} == set(PLANS)
    assert {path.stem for path in FIXTURES.glob("plans/*.json")} == set(PLANS)


@pytest.mark.parametrize("name", PLANS)
def test_an_artifact_gives_the_recorded_features(name: str) -> None:
    assert bits(later_features(loaded(name))) == recorded_features(name)


@pytest.mark.parametrize("name", PLANS)
def test_an_artifact_prints_and_tells_what_was_recorded(name: str) -> None:
    for stage, text in printed(loaded(name)).items():
        assert text == recorded_text(f"printed/{name}/{stage}.txt"), stage
    assert told(loaded(name)) == json.loads(recorded_text(f"told/{name}.json"))


def manifest_and_parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the manifest of an artifact, and the bytes of its parts."""
    start = len(MAGIC) + 8
    end = start + int.from_bytes(content[len(MAGIC) : start], "little")
    return json.loads(content[start:end]), content[end:-32]


def without_calls(text: str) -> str:
    """Return the JSON of a plan without the record of calls that an earlier version wrote."""
    document = json.loads(text)
    return text if document.pop("params", None) is None else canonical.dump(document)


@pytest.mark.parametrize("name", PLANS)
def test_an_artifact_is_saved_as_it_was_in_the_newest_format(name: str, tmp_path: Path) -> None:
    written, parts = manifest_and_parts((FIXTURES / f"artifacts/{name}.fastfeat").read_bytes())
    content = saved(loaded(name), tmp_path)
    assert manifest_and_parts(content)[1] == parts
    newest = {"format": FORMAT, "fastfeat": ff.__version__}
    assert manifest_and_parts(content)[0] == written | newest
    assert written["format"] == 1
    assert saved(ff.load(tmp_path / "saved.fastfeat"), tmp_path) == content


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_the_recorded_json(name: str) -> None:
    text = recorded_text(f"plans/{name}.json")
    assert ff.Plan.from_json(text).to_json() == text
    assert PLANS[name]().to_json() == without_calls(text)
    assert loaded(name).plan.to_json() == text
    assert (without_calls(text) != text) == (name == "parameters")


@pytest.mark.parametrize("calls", [[], {"values": {}}, {"values": {}, "steps": {}}])
def test_a_record_of_calls_that_is_none_is_refused(calls: Any) -> None:
    document = json.loads(recorded_text("plans/parameters.json")) | {"params": calls}
    with pytest.raises(ff.errors.ArtifactError, match="parameters of the plan are damaged"):
        ff.Plan.from_json(canonical.dump(document))


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_of_json_learns_what_was_recorded(name: str) -> None:
    fitted, training = fitted_plan(ff.Plan.from_json(recorded_text(f"plans/{name}.json")))
    assert digests(training) == json.loads(recorded_text(f"features/{name}.training.json"))
    assert told(fitted)["learnt"] == json.loads(recorded_text(f"told/{name}.json"))["learnt"]
    assert bits(later_features(fitted)) == recorded_features(name)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_that_is_fitted_anew_prints_what_was_recorded(name: str) -> None:
    fitted = fitted_plan(PLANS[name]())[0]
    shown = printed(fitted)
    for stage in shown:
        assert shown[stage] == recorded_text(f"printed/{name}/{stage}.txt"), stage


@pytest.mark.parametrize("name", ["encoders", "tables", "late", "parameters"])
def test_a_pickle_of_the_recorded_content_is_the_plan_that_it_was(name: str) -> None:
    plan = loads_by("plan_of", recorded_text(f"plans/{name}.json"))
    assert plan.to_json() == recorded_text(f"plans/{name}.json")
    fitted = loads_by("fitted_of", (FIXTURES / f"artifacts/{name}.fastfeat").read_bytes())
    assert bits(later_features(fitted)) == recorded_features(name)
    again = pickle.loads(pickle.dumps(fitted))
    assert again.plan.to_json() == recorded_text(f"plans/{name}.json")


def loads_by(function: str, content: str | bytes) -> Any:
    """Return what a pickle gives that calls a function of `fastfeat.pickles` with a content."""
    argument = pickle.dumps((content,), 2)[2:-1]  # without the protocol, and the end
    return pickle.loads(b"\x80\x02cfastfeat.pickles\n%s\n%sR." % (function.encode(), argument))
