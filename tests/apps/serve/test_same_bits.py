"""Features over the wire: of every protocol the bits that `transform` gives."""

from __future__ import annotations

import json
import struct
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
import pytest

from fastfeat_tests.apps.serve.served_plan import (
    ARROW,
    ASKED,
    HISTORY,
    Server,
    alone,
    fitted,
    json_rows,
    stream,
    table_of,
)

NAMES = ["spent", "n", "mean", "log", "country", "bad", "big", "odd"]


@pytest.fixture(scope="module")
def wanted() -> pa.Table:
    found = alone(fitted(), ASKED, HISTORY)
    assert found.column("bad").null_count < found.num_rows  # windows see outcomes of the history
    assert 0 < found.column("log").null_count < found.num_rows
    return found


def bits(value: Any) -> Any:
    """Return what equal values of equal bits have in common."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def same(rows: list[list[Any]], wanted: pa.Table) -> None:
    expected = [list(row.values()) for row in wanted.to_pylist()]
    assert [list(map(bits, row)) for row in rows] == [list(map(bits, row)) for row in expected]
    assert [list(map(type, row)) for row in rows] == [list(map(type, row)) for row in expected]


def as_floats(wanted: pa.Table) -> list[list[Any]]:
    return [
        [None if value is None else float(value) for value in row.values()]
        for row in wanted.to_pylist()
    ]


def test_rows_of_json_have_the_bits_of_transform(asked: Server, wanted: pa.Table) -> None:
    answer = asked.post("/v1/features", {"rows": json_rows(ASKED)})
    assert answer.status == 200, answer.body
    assert answer.json["names"] == wanted.column_names == NAMES
    same(answer.json["features"], wanted)
    for k, row in enumerate(json_rows(ASKED)):
        found = asked.post("/v1/features", {"rows": [row]})
        assert found.status == 200, found.body
        same(found.json["features"], wanted.slice(k, 1))
    one = asked.post("/v1/features", {"rows": json_rows(ASKED)[3:4], "names": ["log", "n"]})
    assert one.json["names"] == ["log", "n"]
    same(one.json["features"], wanted.select(["log", "n"]).slice(3, 1))


def test_an_arrow_stream_has_the_bits_of_transform(asked: Server, wanted: pa.Table) -> None:
    answer = asked.post("/v1/features", stream(ASKED), ARROW)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == ARROW
    assert table_of(answer.body).equals(wanted)
    some = asked.post("/v1/features?names=log,n&update=false", stream(ASKED), ARROW)
    assert table_of(some.body).equals(wanted.select(["log", "n"]))


def test_tensors_have_the_bits_of_transform(asked: Server, wanted: pa.Table) -> None:
    told = asked.get("/v2/models/cards").json
    datatypes = {one["name"]: one["datatype"] for one in told["inputs"]}
    assert datatypes["x"] == "FP64"
    assert datatypes["country"] == "BYTES"
    assert datatypes["t"] == "INT64"
    columns = {name: ASKED.column(name).to_pylist() for name in ASKED.column_names}
    columns["t"] = ASKED.column("t").cast(pa.int64()).to_pylist()
    inputs = [
        {
            "name": name,
            "shape": [ASKED.num_rows],
            "datatype": datatypes.get(name, "BYTES"),
            "data": values,
        }
        for name, values in columns.items()
    ]
    inputs[0]["shape"] = [ASKED.num_rows, 1]
    answer = asked.post("/v2/models/cards/infer", {"id": "a", "inputs": inputs})
    assert answer.status == 200, answer.body
    found = answer.json
    (output,) = found["outputs"]
    assert (found["id"], found["model_name"], found["model_version"]) == (
        "a", "cards", told["versions"][0],
    )  # fmt: skip
    assert (output["datatype"], output["shape"]) == ("FP64", [ASKED.num_rows, len(NAMES)])
    k = len(NAMES)
    data = [output["data"][at : at + k] for at in range(0, len(output["data"]), k)]
    assert [list(map(bits, row)) for row in data] == [
        list(map(bits, row)) for row in as_floats(wanted)
    ]


def test_frames_of_mlflow_have_the_bits_of_transform(asked: Server, wanted: pa.Table) -> None:
    given = json_rows(ASKED)
    split = {"columns": list(given[0]), "data": [list(row.values()) for row in given]}
    for frame in ({"dataframe_split": split}, {"dataframe_records": given}):
        answer = asked.post("/invocations", frame)
        assert answer.status == 200, answer.body
        predictions = answer.json["predictions"]
        assert [list(row) for row in predictions] == [NAMES] * ASKED.num_rows
        same([list(row.values()) for row in predictions], wanted)


def test_batches_of_flight_have_the_bits_of_transform(asked: Server, wanted: pa.Table) -> None:
    with flight.connect(f"grpc://127.0.0.1:{asked.flight_port}") as client:
        descriptor = flight.FlightDescriptor.for_command(b"features")
        writer, reader = client.do_exchange(descriptor)
        with writer:
            writer.begin(ASKED.schema)
            for first in range(0, ASKED.num_rows, 7):
                for batch in ASKED.slice(first, 7).to_batches():
                    writer.write_batch(batch)
            writer.done_writing()
            found = reader.read_all()
    assert found.combine_chunks().equals(wanted)


def test_the_artifact_is_named_alike(asked: Server) -> None:
    artifact = asked.get("/v1/plan").json["artifact"]
    answer = asked.post("/v1/features", stream(ASKED), ARROW)
    assert answer.headers["fastfeat-artifact"] == artifact
    assert asked.post("/v1/features", {"rows": []}).json == {
        "artifact": artifact, "names": NAMES, "features": [], "audit": None,
    }  # fmt: skip
    assert f'artifact="{artifact}"' in asked.get("/metrics").body.decode()
    assert json.loads(asked.get("/v2/models/cards").body)["versions"] == [artifact]
