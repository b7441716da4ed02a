"""What a server tells of itself: metrics that Prometheus reads, and a description that is true."""

from __future__ import annotations

import asyncio
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.serve.app import HttpRequest, RequestLimits
from fastfeat.apps.serve.metrics import metrics_of, metrics_text
from fastfeat.apps.serve.openapi import value_of
from fastfeat.apps.serve.options import ServeOptions
from fastfeat.apps.serve.routes import route_finder
from fastfeat.apps.serve.served_plan import served_plan
from fastfeat.apps.serve.server import run
from fastfeat.apps.serve.service import Metrics, Service
from fastfeat.apps.serve.state_opening import StateOpening
from fastfeat.io.prometheus import BOUNDS, family, histogram
from fastfeat.live.drift_gauges import DriftGauges
from fastfeat_tests.apps.serve.served_plan import (
    ARROW,
    ASKED,
    Server,
    json_rows,
    stream,
)

SAMPLE = re.compile(
    r'(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>(?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)*)\})?'
    r" (?P<value>-?[0-9.e+-]+|\+Inf|NaN)"
)
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\n"])*)"')
ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


def parsed(text: str) -> dict[str, tuple[str, dict[tuple[tuple[str, str], ...], float]]]:
    """Return the type and the samples of each family, as the text format is specified."""
    found: dict[str, tuple[str, dict[tuple[tuple[str, str], ...], float]]] = {}
    name = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in found, "families stand together"
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == name
            found[name] = line.split(" ")[3], {}
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample["name"] in (name, *(f"{name}_{s}" for s in ("bucket", "sum", "count")))
            labels = tuple(
                (key, re.sub(r'\\[\\n"]', lambda m: ESCAPES[m[0]], value))
                for key, value in LABEL.findall(sample["labels"] or "")
            )
            samples = found[name][1]
            key = (("", sample["name"]), *labels) if found[name][0] == "histogram" else labels
            assert key not in samples, line
            samples[key] = float(sample["value"].replace("Inf", "inf"))
    return found


def test_metrics_are_what_was_done(asked: Server) -> None:
    def read() -> Any:
        answer = asked.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return parsed(answer.body.decode())

    before = read()
    given = json_rows(ASKED)
    for _ in range(3):
        asked.post("/v1/features", {"rows": given[:2]})
    asked.post("/v1/features", {"rows": [{"x": "a"}]})
    after = read()
    assert {name: kind for name, (kind, _) in after.items()} == {
        "fastfeat_ready": "gauge",
        "fastfeat_requests_total": "counter",
        "fastfeat_errors_total": "counter",
        "fastfeat_request_seconds": "histogram",
        "fastfeat_rows_total": "counter",
        "fastfeat_waiting_requests": "gauge",
        "fastfeat_waiting_bytes": "gauge",
        "fastfeat_artifact_swaps_total": "counter",
        "fastfeat_start_time_seconds": "gauge",
        "fastfeat_artifact_info": "gauge",
        "fastfeat_events_total": "counter",
        "fastfeat_state_rows": "gauge",
        "fastfeat_state_entities": "gauge",
    }

    def more(name: str, *labels: tuple[str, str]) -> float:
        return after[name][1][labels] - before[name][1].get(labels, 0)

    route = ("route", "features")
    assert more("fastfeat_requests_total", route, ("status", "200")) == 3
    assert more("fastfeat_requests_total", route, ("status", "400")) == 1
    assert more("fastfeat_errors_total", route, ("kind", "TypeMismatch")) == 1
    assert more("fastfeat_rows_total", ("call", "features")) == 6
    seconds = {key: n for key, n in after["fastfeat_request_seconds"][1].items() if route in key}
    counts = [n for key, n in seconds.items() if key[0][1].endswith("_bucket")]
    assert counts == sorted(counts)
    assert len(counts) == len(BOUNDS) + 1
    assert counts[-1] == seconds[("", "fastfeat_request_seconds_count"), route]
    assert 0 < seconds[("", "fastfeat_request_seconds_sum"), route] < 1000
    assert after["fastfeat_ready"][1] == {(): 1.0}
    assert after["fastfeat_state_rows"][1] == {(): 200.0}
    assert after["fastfeat_state_entities"][1][(("by", "card"),)] == 5


def test_labels_are_escaped() -> None:
    evil = 'a"b\\c\nd'
    text = family("f", "counter", 'told "\\\n', [((("kind", evil),), 1.0)])
    assert parsed(text)["f"] == ("counter", {(("kind", evil),): 1.0})
    assert text.count("\n") == 3
    metrics = Metrics()
    metrics.observed(evil, 200, 0.0005, "")
    metrics.observed(evil, 200, 99.0, "")
    found = parsed(histogram("h", "told", [((("route", evil),), metrics.seconds[evil])]))["h"][1]
    assert found[("", "h_bucket"), ("route", evil), ("le", "0.0005")] == 1
    assert found[("", "h_bucket"), ("route", evil), ("le", "0.00025")] == 0
    assert found[("", "h_bucket"), ("route", evil), ("le", "+Inf")] == 2
    assert math.isclose(found[("", "h_sum"), ("route", evil)], 99.0005)


def check(value: Any, schema: dict[str, Any], whole: dict[str, Any], at: str = "") -> None:
    """Check a value against a schema, as far as the description uses them."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        check(value, whole["components"]["schemas"][name], whole, at)
        return
    known = {"type", "properties", "required", "additionalProperties", "items", "enum", "oneOf"}
    assert set(schema) <= known | {
        *("description", "format", "minimum", "maximum", "maxItems", "pattern")
    }, schema
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if _fits(value, one, whole)]
        assert len(fitting) == 1, at
        return
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = {
        dict: "object", list: "array", str: "string", bool: "boolean", int: "integer",
        float: "number", type(None): "null",
    }[type(value)]  # fmt: skip
    assert kind in kinds or (kind == "integer" and "number" in kinds), (at, value, kinds)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        assert set(schema.get("required", ())) <= set(value), (at, set(value))
        for name, one in value.items():
            more = schema.get("additionalProperties", True)
            if name in properties:
                check(one, properties[name], whole, f"{at}.{name}")
            elif isinstance(more, dict):
                check(one, more, whole, f"{at}.{name}")
            else:
                assert more, (at, name)
    if "maxItems" in schema:
        assert len(value) <= schema["maxItems"], at
    if isinstance(value, list) and "items" in schema:
        for one in value:
            check(one, schema["items"], whole, at + "[]")
    if "pattern" in schema:
        assert isinstance(value, str), (at, value)
        assert re.search(schema["pattern"], value), (at, value)
    if "enum" in schema:
        assert value in schema["enum"], (at, value)


def _fits(value: Any, schema: dict[str, Any], whole: dict[str, Any]) -> bool:
    try:
        check(value, schema, whole)
    except AssertionError:
        return False
    return True


@pytest.fixture(scope="module")
def described(asked: Server) -> dict[str, Any]:
    return asked.get("/openapi.json").json


def test_the_description_names_what_is_there(asked: Server, described: dict[str, Any]) -> None:
    assert described["openapi"] == "3.1.0"
    operations = [
        (path, method, operation)
        for path, found in described["paths"].items()
        for method, operation in found.items()
    ]
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(set(names)) == len(names)
    for path, method, operation in operations:
        address = path.replace("{name}", "none").replace("{version}", "none")
        answer = asked.request(method.upper(), address, b"" if method == "post" else None)
        assert answer.status != 405, path
        assert answer.status != 404 or answer.error["kind"] in ("UnknownModel", "UnknownTable"), (
            path
        )
        other = asked.request("DELETE", address)
        allowed = {one.upper() for one in described["paths"][path]}
        assert (other.status, set(other.headers["allow"].split(", "))) == (405, allowed), path
        placed = set(re.findall(r"{(\w+)}", path))
        given = [one for one in operation.get("parameters", ()) if one["in"] == "path"]
        assert {one["name"] for one in given} == placed, path
        assert all(one["required"] for one in given)
        assert {"200", "default"} == set(operation["responses"])
    for name in re.findall(r"#/components/schemas/(\w+)", str(described)):
        assert name in described["components"]["schemas"]


def test_every_address_is_described(described: dict[str, Any]) -> None:
    from fastfeat.apps.serve import routes

    source = routes.routes_of(*_NOTHING)
    assert set(source) == set(described["paths"])
    for path, route in source.items():
        assert {method.lower() for method in route.handlers} == set(described["paths"][path])
    found = route_finder(source)
    assert found("/v2/models/a/versions/b/infer") == (
        source["/v2/models/{name}/versions/{version}/infer"], "a/versions/b",
    )  # fmt: skip
    assert found("/v1/tables/a/b") is None


class _Nothing:
    def handler(self) -> None:
        return None


_NOTHING: Any = (None, _Nothing())


def test_answers_are_as_they_are_described(asked: Server, described: dict[str, Any]) -> None:
    given = json_rows(ASKED)
    split = {"columns": list(given[0]), "data": [list(row.values()) for row in given]}
    tensors = [
        {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]},
        {"name": "card", "shape": [1], "datatype": "INT64", "data": [1]},
        {"name": "shop", "shape": [1], "datatype": "INT64", "data": [1]},
        {"name": "country", "shape": [1], "datatype": "BYTES", "data": ["at"]},
        {"name": "id", "shape": [1], "datatype": "BYTES", "data": ["new"]},
        {"name": "t", "shape": [1], "datatype": "BYTES", "data": ["2026-03-01T00:00:00Z"]},
    ]
    asked_for: list[tuple[str, str, str, Any]] = [
        ("post", "/v1/features", "/v1/features", {"rows": given}),
        ("post", "/invocations", "/invocations", {"dataframe_split": split}),
        ("post", "/invocations", "/invocations", {"dataframe_records": given}),
        ("post", "/v2/models/{name}/infer", "/v2/models/cards/infer", {"inputs": tensors}),
        ("post", "/v1/explain", "/v1/explain", {"row": given[0]}),
        ("get", "/v1/plan", "/v1/plan", None),
        ("get", "/v1/status", "/v1/status", None),
        ("get", "/v2", "/v2", None),
        ("get", "/v2/models/{name}", "/v2/models/cards", None),
        ("get", "/v2/models/{name}/ready", "/v2/models/cards/ready", None),
        ("get", "/v2/health/live", "/v2/health/live", None),
        ("get", "/v2/health/ready", "/v2/health/ready", None),
    ]
    for method, path, address, body in asked_for:
        operation = described["paths"][path][method]
        if body is not None:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            check(body, schema, described, path)
        answer = asked.request(method.upper(), address, body)
        assert answer.status == 200, answer.body
        told = operation["responses"]["200"]["content"]["application/json"]["schema"]
        check(answer.json, told, described, path)
    error = described["components"]["schemas"]["Error"]
    for body in (
        {"rows": 1},
        {"rows": [{**given[0], "x": "a"}]},
        {"rows": [{**given[0], "card": 2**70}]},
    ):
        check(asked.post("/v1/features", body).json, error, described)
    content = described["paths"]["/v1/features"]["post"]["requestBody"]["content"]
    assert ARROW in content
    assert asked.post("/v1/features", stream(ASKED), ARROW).status == 200


def test_a_schema_stands_for_each_type_of_column() -> None:
    from fastfeat.ir import dtypes

    for dtype in (
        dtypes.BOOL, dtypes.UINT8, dtypes.INT64, dtypes.FLOAT32, dtypes.DECIMAL, dtypes.DATE32,
        dtypes.UTF8, dtypes.BINARY, dtypes.NULL, dtypes.timestamp("us"), dtypes.time("s"),
        dtypes.duration("ns"), dtypes.list_of(dtypes.INT64),
    ):  # fmt: skip
        found = value_of(dtype)
        assert "null" in found["type"]


@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsBreakRule")
def test_metrics_tell_rows_that_break_rules_those_that_only_warn_too() -> None:
    rules = {'"odd"\n': col("x") > 0, "usual": ff.Rule(col("x") < 9, on_violation="warn")}
    fitted = ff.Plan({"y": col("x") + 1}).fit({"x": [1.0]}, contract=ff.Contract(rules))
    service = Service(RequestLimits(1 << 20, 9, 1 << 20), name="m", durable=False, read_only=False)
    service.served = served_plan(fitted.online(), fitted, 100)

    async def asked() -> None:
        await service.call("process", pa.table({"x": [1.0, 10.0]}))
        small, large = pa.table({"x": [-1.0, 10.0]}), pa.table({"x": [-1.0] * 70})
        for rows in (small, large):
            with pytest.raises(ff.errors.ContractBroken):
                await service.call("features", rows)
        together = (service.work.call("process", pa.table({"x": [x]}), alone=False) for x in (1, 2))
        await asyncio.gather(*together)
        assert await service.few([{"x": -1.0}], update=True) is None
        with pytest.raises(ff.errors.ContractBroken):
            await service.call("process", pa.table({"x": [-1.0]}))

    asyncio.run(asked())
    service.work.close()
    kind, found = parsed(metrics_text(service))["fastfeat_contract_violations_total"]
    assert kind == "counter"
    assert found == {(("rule", '"odd"\n'),): 72, (("rule", "usual"),): 2}


def test_metrics_tell_the_drift_of_the_rows_that_were_answered() -> None:
    plan = ff.Plan({"y": col("x") * 2})
    fitted = plan.fit({"x": [k / 100 for k in range(1_000)]}, profile=True)
    service = Service(RequestLimits(1 << 20, 9, 1 << 20), name="m", durable=False, read_only=False)
    service.served = served_plan(StateOpening(ServeOptions(drift="1h")).open(fitted), fitted, 100)
    service.drift = DriftGauges(3600.0)

    async def asked() -> str:
        for _ in range(200):
            assert await service.few([{"x": 11.0}], update=False) is not None
        await service.call("process", pa.table({"x": [11.0] * 50}))
        return (await metrics_of(service)(HttpRequest("", "", {}, b"", b""))).body.decode()

    found = parsed(asyncio.run(asked()))
    service.work.close()
    assert found["fastfeat_drift_rows"][1] == {(): 250.0}
    assert found["fastfeat_drifted"][1] == {
        (("kind", "feature"), ("column", "y")): 1.0,
        (("kind", "input"), ("column", "x")): 1.0,
    }
    assert found["fastfeat_drift_unseen_ratio"][1][("kind", "input"), ("column", "x")] == 1.0


def test_a_plan_without_a_profile_is_not_served_with_drift(tmp_path: Path) -> None:
    ff.Plan({"y": col("x")}).fit({"x": [1.0]}, profile=False).save(tmp_path / "plan.fastfeat")
    with pytest.raises(ff.errors.InvalidPlan, match="has no profile"):
        run(tmp_path / "plan.fastfeat", port=0, drift="1h")
    with pytest.raises(ff.errors.InvalidPlan, match="is not a duration"):
        run(tmp_path / "plan.fastfeat", port=0, drift="1x")
