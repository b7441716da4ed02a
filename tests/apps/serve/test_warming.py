"""Every plan is served: what warms it is golden rows, or rows made for it, and else it says so."""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import as_fitted_plan
from fastfeat.apps.serve import warming
from fastfeat.apps.serve.app import RequestLimits
from fastfeat.apps.serve.artifacts import ArtifactReplacer
from fastfeat.apps.serve.options import ServeOptions
from fastfeat.apps.serve.served_plan import served_plan
from fastfeat.apps.serve.service import Service
from fastfeat.apps.serve.state_opening import StateOpening
from fastfeat.apps.serve.warming import warm
from fastfeat.apps.stream.config import Config, Kafka, Topic
from fastfeat.apps.stream.job import job_of
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.trust.quality.golden.golden_rows import with_golden
from fastfeat.trust.selfcheck.plans import operator_features, plan_of
from fastfeat.trust.selfcheck.tables import check_table, training_table
from fastfeat_tests.apps.serve.served_plan import server

FAMILIES = operator_features()
TRAINING = training_table()
STRICT = {
    "time": col("d").str.to_datetime("%m/%d/%Y").dt.month(),
    "map": col("k").replace_strict({"a": 0, "b": 1}),
    "number": col("n").str.to_integer(),
    "cast": col("f").cast("int8"),
}
"""Features that refuse most values."""
ROWS = {
    "d": ["01/02/2020", "03/04/2021"] * 3,
    "k": ["a", "b"] * 3,
    "n": ["1", "22"] * 3,
    "f": [1.0, 2.0] * 3,
}


def fitted_on(n_rows: int, family: str) -> ff.FittedPlan:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return plan_of(FAMILIES[family]).fit(TRAINING.slice(0, n_rows))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_operator_is_warmed_served_and_swapped(family: str) -> None:
    first, other = (fitted_on(n, family) for n in (TRAINING.num_rows, TRAINING.num_rows - 1))
    assert warm(first, {}) == ""
    golden = as_fitted_plan(with_golden(other.record))
    assert golden.record.golden is not None
    assert warm(golden, {}) == ""
    rows = check_table().slice(0, 3)
    service = Service(RequestLimits(1 << 20, 9, 1 << 20), name="m", durable=False, read_only=False)
    opening, said = StateOpening(ServeOptions()), list[str]()
    service.served = served_plan(opening.open(first), first, 100)
    swapped = asyncio.run(
        ArtifactReplacer(service, opening, said.append).take(artifact_bytes(other.record))
    )
    service.work.close()
    assert swapped["note"] == ""
    assert service.now.columns == (*other.feature_names,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = service.now.own(service.now.live.features(rows))
        assert found.equals(other.transform(rows))


@pytest.mark.parametrize("is_golden", [True, False])
def test_strict_plans_are_served(tmp_path: Path, is_golden: bool) -> None:
    path = tmp_path / "strict.fastfeat"
    fitted = ff.Plan(STRICT).fit(ROWS)
    fitted.save(path, golden=is_golden)
    assert warm(ff.load(path), {}) == ""
    job = job_of(Config({"": path}, tmp_path, "g", Kafka("b"), Topic("e")))
    live = job.open(0)
    assert live.features([{name: values[0] for name, values in ROWS.items()}]).num_rows == 1
    live.close()


def test_a_server_starts_with_a_strict_plan_and_takes_another(tmp_path: Path) -> None:
    path, row = tmp_path / "strict.fastfeat", {name: values[0] for name, values in ROWS.items()}
    ff.Plan(STRICT).fit(ROWS).save(path, golden=False)
    with server(artifact=path) as found:
        found.wait_for("ready with")
        assert found.post("/v1/features", {"rows": [row]}).json["features"] == [[1, 0, 1, 1]]
        other = ff.Plan({**STRICT, "more": col("k").ordinal_encode()}).fit(ROWS)
        content = artifact_bytes(other.record)
        taken = found.post("/v1/artifact", content, "application/octet-stream")
        assert (taken.status, taken.json["changed"], taken.json["note"]) == (200, True, "")
        assert found.stop() == 0


def test_a_plan_that_no_made_row_suits_is_served_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise ff.errors.InvalidData("no row suits\nor so")

    fitted = ff.Plan({"x": col("x") + 1}).fit({"x": [1.0]})
    monkeypatch.setattr(warming, "_compute", fail)
    told = (
        "the first answers may wait for the compiler: computing made-up rows to compile the "
        "kernels failed (InvalidData: no row suits)"
    )
    assert warm(fitted, {}) == told
    service = Service(RequestLimits(1 << 20, 9, 1 << 20), name="m", durable=False, read_only=False)
    opening, said = StateOpening(ServeOptions()), list[str]()
    service.served = served_plan(opening.open(fitted), fitted, 100)
    other = ff.Plan({"x": col("x") + 2}).fit({"x": [1.0]})
    content = artifact_bytes(replace(other.record, golden=None))
    found = asyncio.run(ArtifactReplacer(service, opening, said.append).take(content))
    service.work.close()
    assert (found["changed"], found["note"]) == (True, told)
    assert said[0] == told
