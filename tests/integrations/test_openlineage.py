"""Events of OpenLineage, made of the official classes and written by the official client."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attr
import pyarrow as pa
import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import RunEvent
from openlineage.client.facet_v2 import column_lineage_dataset, data_quality_assertions_dataset
from openlineage.client.transport.file import FileConfig, FileTransport

import fastfeat as ff
from fastfeat import col
from fastfeat.integrations import openlineage

RUN = "01890f5e-0000-7000-8000-000000000000"
AT = datetime(2026, 1, 31, tzinfo=UTC)
ROWS = pa.table(
    {
        "id": [1, 2, 3],
        "x": [1.0, 2.0, 4.0],
        "k": ["a", "b", "a"],
        "t": pa.array([0, 1, 2], pa.timestamp("s", "UTC")),
    }
)
PLANES = pa.table({"k": ["a", "b"], "seats": [10, 20]})
WEEK = ff.window("7d", by="k", time="t")


@pytest.fixture(scope="module")
def fitted() -> ff.FittedPlan:
    plan = ff.Plan(
        {
            "x": col("x"),
            "scaled": col("x").standard_scale(),
            "kind": col("k").one_hot_encode(),
            "past": col("x").mean(over=WEEK),
            "seats": ff.lookup("planes", by="k").col("seats"),
        },
        keep=["id"],
    )
    return plan.fit(ROWS, history="batch", tables={"planes": PLANES})


def event_of(fitted: ff.FittedPlan, **options: Any) -> RunEvent:
    of: dict[str, Any] = {"trained_on": "/data/train.parquet", "run_id": RUN, "time": AT, **options}
    return openlineage.run_event(fitted, "s3://lake/day=1/rows.parquet", "/out", **of)


def sources(event: RunEvent, column: str) -> dict[tuple[str, str, str], list[str]]:
    """Return the transformations of each source of an output column."""
    assert event.outputs is not None
    facet: Any = (event.outputs[0].facets or {})["columnLineage"]
    assert isinstance(facet, column_lineage_dataset.ColumnLineageDatasetFacet)
    return {
        (of.namespace, of.name, of.field): [
            f"{t.type} {t.subtype}" for t in of.transformations or []
        ]
        for of in facet.fields[column].inputFields
    }


def test_each_output_column_has_its_sources(fitted: ff.FittedPlan) -> None:
    event = event_of(fitted, history="gs://other/past", tables={"planes": ("warehouse", "planes")})
    rows, past = ("s3://lake", "day=1/rows.parquet"), ("gs://other", "past")
    train = ("file", "/data/train.parquet")
    assert sources(event, "x") == {(*rows, "x"): ["DIRECT IDENTITY"]}
    assert sources(event, "id") == {(*rows, "id"): ["DIRECT IDENTITY"]}
    assert sources(event, "scaled") == {
        (*rows, "x"): ["DIRECT TRANSFORMATION"],
        (*train, "x"): ["INDIRECT AGGREGATION"],
    }
    window = ["INDIRECT WINDOW"]
    assert sources(event, "past") == {
        (*where, column): window for column in ("x", "t", "k") for where in (rows, past)
    }
    assert sources(event, "seats") == {
        (*rows, "k"): ["INDIRECT JOIN"],
        ("warehouse", "planes", "k"): ["INDIRECT JOIN"],
        ("warehouse", "planes", "seats"): ["DIRECT IDENTITY"],
    }
    schema: Any = (event.outputs or [])[0].facets
    names = [field.name for field in schema["schema"].fields]
    assert names == [*fitted.feature_names, "id"]
    assert names == list(schema["columnLineage"].fields)
    inputs = {(each.namespace, each.name) for each in event.inputs or []}
    assert inputs == {rows, past, train, ("warehouse", "planes")}


def test_the_official_client_writes_events_from_start_to_end(
    fitted: ff.FittedPlan, tmp_path: Path
) -> None:
    log = tmp_path / "events"
    config = FileConfig(log_file_path=str(log), append=True)
    client = OpenLineageClient(transport=FileTransport(config))
    of: dict[str, Any] = {"trained_on": "train.parquet", "job": "flights", "namespace": "ci"}
    with openlineage.run(fitted, "rows.parquet", "out.parquet", client, **of) as run_id:
        pass
    with (
        pytest.raises(ZeroDivisionError),
        openlineage.run(fitted, "rows.parquet", "out.parquet", client, run_id=RUN, **of),
    ):
        raise ZeroDivisionError("1 / 0")
    written = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [each["eventType"] for each in written] == ["START", "COMPLETE", "START", "FAIL"]
    assert [each["run"]["runId"] for each in written] == [run_id, run_id, RUN, RUN]
    assert written[0]["job"]["namespace"] == "ci"
    assert written[3]["run"]["facets"]["errorMessage"]["message"] == "ZeroDivisionError: 1 / 0"
    for each in written:
        assert each["schemaURL"].startswith("https://openlineage.io/spec/")
        assert each["inputs"][0]["namespace"] == "file"
        assert each["inputs"][0]["name"] == str(Path("rows.parquet").absolute())
        facets = each["outputs"][0]["facets"]
        assert facets["columnLineage"]["_producer"].startswith("urn:fastfeat:")


def test_rules_that_were_judged_are_assertions_of_the_rows() -> None:
    warned = ff.Rule(col("x") < 3, on_violation="warn")
    contract = ff.Contract({"some": col("x") > 0, "few": warned, "late": col("y") > 0})
    plan = ff.Plan({"f": col("x") + 1}, outcomes=["y"])
    with pytest.warns(ff.errors.RowsBreakRule):
        fitted = plan.fit(ROWS.append_column("y", ROWS["x"]), contract=contract)
    event = event_of(fitted, check=fitted.check(ROWS))
    facet: Any = (event.inputs or [])[0].inputFacets
    found = facet["dataQualityAssertions"]
    assert isinstance(found, data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet)
    told = {each.name: (each.success, each.severity, each.actual) for each in found.assertions}
    assert told == {"some": (True, "error", "0"), "few": (False, "warn", "1")}


def test_an_event_is_of_attrs_classes_that_hold_text_alone(fitted: ff.FittedPlan) -> None:
    def check(value: object) -> None:
        if isinstance(value, dict):
            for key, of in value.items():  # pyright: ignore[reportUnknownVariableType]
                assert isinstance(key, str)
                check(of)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, list):
            for of in value:  # pyright: ignore[reportUnknownVariableType]
                check(of)  # pyright: ignore[reportUnknownArgumentType]
        else:
            assert value is None or isinstance(value, str | int | bool), value

    def document() -> dict[str, Any]:
        plain: Any = lambda _, __, value: getattr(value, "value", value)  # noqa: E731
        return attr.asdict(event_of(fitted), value_serializer=plain)

    check(document())
    assert document() == document()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": "DONE"}, "state='DONE': must be one of START"),
        ({"run_id": "7"}, "run_id='7': must be a UUID"),
        ({"time": datetime(2026, 1, 1)}, "has no time zone"),
        ({"trained_on": 3}, "trained_on= takes a path"),
        ({"tables": {"planes": b"x"}}, r"tables\['planes'\]= takes a path"),
        ({"job_name": "x"}, "job_name"),
    ],
)
def test_odd_arguments_are_refused(
    fitted: ff.FittedPlan, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ff.errors.FastfeatError, match=message):
        event_of(fitted, **options)
    with pytest.raises(ff.errors.FastfeatError):
        openlineage.run_event(ff.Plan({"x": col("x")}), "a", "b", trained_on="c")  # pyright: ignore
