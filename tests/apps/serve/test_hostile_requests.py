"""Requests that are wrong, or meant to hurt: each a named error, and the server answers on."""

from __future__ import annotations

import math
import random
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.flight as flight
import pytest

from fastfeat.io.sources.stream_size import unpacked_bytes
from fastfeat_tests.apps.serve.served_plan import (
    ARROW,
    ASKED,
    Answered,
    Server,
    json_rows,
    stream,
    table_of,
)
from fastfeat_tests.patience import PATIENCE_S, until

ROW = json_rows(ASKED)[0]
HEAD = b"POST /v1/features HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@pytest.fixture(autouse=True)
def answers_on(asked: Server) -> Iterator[None]:
    yield
    assert asked.post("/v1/features", {"rows": [ROW]}).status == 200
    for line in asked.lines:
        assert "Traceback" not in line, "\n".join(asked.lines)


def post(asked: Server, body: bytes) -> Answered:
    answer = asked.post("/v1/features", body)
    for secret in (b"Traceback", b"fastfeat/", b".py", b"/tmp", b"/home"):
        assert secret not in answer.body
    return answer


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b"", "NotJson", "empty"),
        (b"{", "NotJson", "byte"),
        (b'{"rows": [{"x": NaN}]}', "NotJson", "Arrow stream"),
        (b'{"rows": [{"x": -Infinity}]}', "NotJson", "Arrow stream"),
        (b'{"rows": [{"x": 1e999}]}', "NotJson", "beyond float64, 1.8e308 at most"),
        (b'{"rows": [{"x": "\xff\xfe"}]}', "NotJson", "UTF-8"),
        (b'{"rows": [{"country": "\\ud800"}]}', "NotJson", "surrogate"),
        (b'{"rows": ' + b"[" * 100_000, "NotJson", "depth"),
        (b'{"a":' * 50_000, "NotJson", "depth"),
        (b'{"rows": [{"x": 1, "x": 2}]}', "NotJson", "'x' twice"),
        (b'{"rows": [{"x": 1, "\\u0078": 2}]}', "NotJson", "'x' twice"),
        (b'{"rows": [], "rows": []}', "NotJson", "'rows' twice"),
        (b'{"rows": [{"country": ":::"}, {"x": 1, "x": "\\u003a"}]}', "NotJson", "'x' twice"),
        (b"[]", "InvalidRequest", "not a JSON object"),
        (b"null", "InvalidRequest", "not a JSON object"),
        (b"{}", "InvalidRequest", "rows must be a list"),
        (b'{"rows": {}}', "InvalidRequest", "rows must be a list"),
        (b'{"rows": [1]}', "InvalidRequest", "row 0"),
        (b'{"rows": [{}]}', "UnknownColumn", "none of the columns"),
        (b'{"rows": [{"countri": "DE"}]}', "UnknownColumn", "'countri'. Did you mean 'country'"),
        (b'{"rows": [], "update": 1}', "InvalidRequest", "true or false"),
        (b'{"rows": [], "updates": true}', "InvalidRequest", "Did you mean 'update'"),
        (b'{"rows": [], "names": ["lg"]}', "UnknownFeature", "no feature 'lg'"),
        (b'{"rows": [], "names": ["log", "log"]}', "InvalidRequest", "twice"),
        (b'{"rows": [], "names": [[]]}', "InvalidRequest", "list of feature names"),
    ],
)
def test_a_body_that_is_wrong_is_a_named_error(
    asked: Server, body: bytes, kind: str, told: str
) -> None:
    answer = post(asked, body)
    assert answer.status == 400
    assert answer.error["kind"] == kind
    assert told in answer.error["message"]


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("x", "a", "TypeMismatch"),
        ("x", [], "TypeMismatch"),
        ("x", {}, "TypeMismatch"),
        ("x", 2**53 + 1, "TypeMismatch"),
        ("card", 1.5, "TypeMismatch"),
        ("card", True, "TypeMismatch"),
        ("x", True, "TypeMismatch"),
        ("card", 10**30, "TypeMismatch"),
        ("card", -(2**63) - 1, "TypeMismatch"),
        ("card", 2**63, "TypeMismatch"),
        ("card", "1", "TypeMismatch"),
        ("country", 1, "TypeMismatch"),
        ("t", "2026-01-01T00:00:00", "TypeMismatch"),
        ("t", "yesterday", "TypeMismatch"),
        ("t", 1, "TypeMismatch"),
        ("t", "2026-01-01T00:00:00.1234567Z", "TypeMismatch"),
        ("t", "999999-01-01T00:00:00Z", "TypeMismatch"),
    ],
)
def test_a_value_that_is_wrong_is_named(asked: Server, column: str, value: Any, kind: str) -> None:
    given = [*json_rows(ASKED)[:5], {**ROW, column: value, "id": "other"}]
    answer = asked.post("/v1/features", {"rows": given})
    assert answer.status == 400
    error = answer.error
    assert (error["kind"], error["row"], error["column"]) == (kind, 5, column)
    shown = error["value"]
    assert shown is not None
    if isinstance(value, str):
        assert shown == value


def test_a_row_that_lacks_a_column_is_named(asked: Server) -> None:
    lacking = {name: value for name, value in ROW.items() if name != "x"}
    error = asked.post("/v1/features", {"rows": [ROW, {**lacking, "xx": 1, "id": "b"}]}).error
    assert (error["kind"], error["row"], error["column"]) == ("UnknownColumn", 1, "x")
    assert "null" in error["message"]
    error = asked.post("/v1/features", {"rows": [lacking]}).error
    assert (error["kind"], error["column"]) == ("UnknownColumn", "x")


def test_numbers_that_are_whole_stand_for_integers(asked: Server) -> None:
    given = [{**ROW, "card": card, "x": x} for card, x in ((1, 2), (1.0, 2.0))]
    found = [asked.post("/v1/features", {"rows": [row]}).json["features"] for row in given]
    assert found[0] == found[1]
    huge = asked.post("/v1/features", {"rows": [{**ROW, "x": 10**400}]})
    assert huge.status == 400
    large = asked.post("/v1/features", {"rows": [{**ROW, "x": 10**300}]})
    assert large.status == 200


def test_an_infinite_feature_is_told_to_be_asked_by_arrow(asked: Server) -> None:
    infinite = {**ROW, "x": -1.0}
    answer = asked.post("/v1/features", {"rows": [ROW, {**infinite, "id": "b"}]})
    assert (answer.status, answer.error["kind"]) == (400, "NotInJson")
    assert (answer.error["row"], answer.error["column"]) == (1, "log")
    assert ARROW in answer.error["message"]
    table = ASKED.slice(0, 1).set_column(3, "x", pa.array([-1.0]))
    found = table_of(asked.post("/v1/features", stream(table), ARROW).body)
    assert found.column("log").to_pylist() == [-math.inf]


def test_other_addresses_and_methods_are_told(asked: Server) -> None:
    assert (asked.get("/v1/nothing").status, asked.get("/v1/nothing").error["kind"]) == (
        404, "NotFound",
    )  # fmt: skip
    answer = asked.get("/v1/features")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert asked.request("DELETE", "/metrics").status == 405
    assert asked.request("OPTIONS", "/v1/features").status == 405
    for path in ("/v1/../etc/passwd", "/v1/features/", "//v1/features", "/%00", "/v1/%2e%2e/x"):
        assert asked.get(path).status == 404, path
    head = asked.request("HEAD", "/v2/health/live")
    assert (head.status, head.body) == (200, b"")
    assert asked.post("/v1/tables/none", {"rows": []}).status == 404
    assert asked.get("/v2/models/none").error["kind"] == "UnknownModel"
    assert asked.get("/v2/models/cards/versions/none").status == 404


def test_other_types_of_content_are_told(asked: Server) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"):
        answer = asked.post("/v1/features", b"{}", kind)
        assert (answer.status, answer.error["kind"]) == (415, "UnsupportedMediaType")
    assert asked.post("/invocations", b"a,b\n1,2", "text/csv").status == 415
    assert asked.post("/v1/artifact", b"{}", "application/json").status == 415
    charset = asked.post("/v1/features", {"rows": [ROW]}, "Application/JSON; charset=utf-8")
    assert charset.status == 200


def corrupted() -> list[bytes]:
    whole = stream(ASKED)

    def texts(*offsets: int, content: bytes) -> pa.Table:
        buffers = [
            None,
            pa.py_buffer(struct.pack(f"<{len(offsets)}i", *offsets)),
            pa.py_buffer(content),
        ]
        return pa.table({"country": pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)})

    offsets = texts(0, 1 << 30, 5, content=b"a" * 8)
    text = texts(0, 2, content=b"\xff\xfe")
    codes = pa.DictionaryArray.from_arrays(pa.array([7]), pa.array(["a"]), safe=False)
    cut = [whole[:k] for k in (0, 3, 8, 100, len(whole) // 2, len(whole) - 20)]
    flipped = [
        whole[:k] + bytes([whole[k] ^ 255]) + whole[k + 1 :] for k in range(0, len(whole), 97)
    ]
    return [
        b"ARROW1\0\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff" * 100, *cut, *flipped,
        *map(stream, (offsets, text, pa.table({"country": codes}))),
    ]  # fmt: skip


def test_arrow_streams_that_are_wrong_are_named_errors(asked: Server) -> None:
    statuses = []
    for body in corrupted():
        answer = asked.post("/v1/features", body, ARROW)
        statuses.append(answer.status)
        assert answer.status in (200, 400, 413), answer.body
        if answer.status != 200:
            assert answer.error["kind"]
    assert statuses.count(400) > 10
    assert statuses[-3:] == [400, 400, 400]
    twice = pa.table([pa.array([1]), pa.array([2])], names=["card", "card"])
    assert "twice" in asked.post("/v1/features", stream(twice), ARROW).error["message"]
    nulls = pa.table({"x": pa.nulls(10**7)})
    assert asked.post("/v1/features", stream(nulls), ARROW).error["kind"] == "TooManyRows"
    answer = asked.post("/v1/features?update=maybe", stream(ASKED), ARROW)
    assert "true or false" in answer.error["message"]
    assert asked.post("/v1/features?update=true&update=true", stream(ASKED), ARROW).status == 400
    assert asked.post("/v1/features?%ff=1", stream(ASKED), ARROW).status == 400


def test_a_small_stream_that_is_large_unpacked_is_refused(asked: Server) -> None:
    table = pa.table({"country": pa.array(["a" * 10_000] * 6_000)})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    body = sink.getvalue().to_pybytes()
    assert len(body) < 100_000
    answer = asked.post("/v1/features", body, ARROW)
    assert (answer.status, answer.error["kind"]) == (413, "BodyTooLarge")
    before = memory_of(asked)
    zeros = stream_of(pa.table({"x": np.zeros(40_000_000)}), "zstd")
    assert len(zeros) < 100_000
    answer = asked.post("/v1/features", zeros, ARROW)
    assert (answer.status, answer.error["kind"]) == (413, "BodyTooLarge")
    assert memory_of(asked) < before + 100_000, "nothing of it was unpacked"


def stream_of(table: pa.Table, compression: Any) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def memory_of(found: Server) -> int:
    """Return how many kB the process of a server has had at most."""
    status = Path(f"/proc/{found.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_what_a_stream_unpacks_to_is_known_before(compression: Any) -> None:
    rng = random.Random(7)
    table = pa.table(
        {
            "x": np.zeros(1000),
            "country": ["at"] * 1000,
            "kind": pa.array(["a", "b"] * 500).dictionary_encode(),
            "tags": [["t"]] * 1000,
        }
    )
    content = stream_of(table, compression)
    known = unpacked_bytes(content)
    assert (known >= table.nbytes) if compression else (known == 0)
    for _ in range(300):
        wrong = bytearray(content)
        for _ in range(rng.choice([1, 2, 5])):
            wrong[rng.randrange(len(wrong))] = rng.randrange(256)
        with suppress(ValueError, OSError, pa.ArrowException):
            unpacked_bytes(bytes(wrong))


def test_tensors_that_are_wrong_are_named_errors(asked: Server) -> None:
    x = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}
    for inputs in (
        None, [], [1], [{}], [{**x, "shape": [2]}], [{**x, "shape": "a"}], [{**x, "datatype": "F"}],
        [{**x, "data": "a"}], [{**x, "data": ["a"]}], [{**x, "name": "z"}], [x, x],
        [x, {**x, "name": "card", "shape": [2], "data": [1, 2]}], [{**x, "datatype": []}],
        [{**x, "shape": [1, 1], "data": [[1, 2]]}],
    ):  # fmt: skip
        answer = asked.post("/v2/models/cards/infer", {"inputs": inputs})
        assert answer.status == 400, inputs
        assert answer.error["kind"]
    answer = asked.post("/v2/models/cards/infer", {"inputs": [x], "outputs": [{"name": "y"}]})
    assert "the only output" in answer.error["message"]


def test_frames_that_are_wrong_are_named_errors(asked: Server) -> None:
    for frame in (
        {}, {"inputs": []}, {"dataframe_split": 1}, {"dataframe_split": {"columns": 1, "data": []}},
        {"dataframe_split": {"columns": ["x"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["x", "x"], "data": []}},
        {"dataframe_split": {"columns": ["x"], "data": [1]}}, {"dataframe_records": 1},
        {"dataframe_records": [], "params": {"updates": 1}}, {"dataframe_records": [], "params": 1},
    ):  # fmt: skip
        answer = asked.post("/invocations", frame)
        assert answer.status == 400, frame


def test_what_is_no_http_is_told(asked: Server) -> None:
    for content in (b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"a" * 5000):
        assert b"400 Bad Request" in asked.raw(content)
    many = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 40_000
    with socket.create_connection(("127.0.0.1", asked.port), PATIENCE_S) as caller:
        try:
            caller.sendall(many)
            found = caller.recv(1000)
        except ConnectionError:
            found = b"431"  # it was closed while we wrote
    assert b"431" in found


def test_requests_one_after_the_other_are_answered_in_order(asked: Server) -> None:
    bodies = [b'{"rows":[],"names":["%b"]}' % name for name in (b"log", b"n", b"zz", b"mean")]
    requests = [HEAD + b"content-length: %d\r\n\r\n%b" % (len(b), b) for b in bodies]
    last = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    found = asked.raw(b"".join([*requests, last]))
    places = [found.index(name) for name in (b'["log"]', b'["n"]', b"'zz'", b'["mean"]')]
    assert places == sorted(places)


def test_half_a_request_and_callers_that_go_away_are_forgotten(asked: Server) -> None:
    for content in (b"POST /v1/fea", HEAD, HEAD + b"content-length: 1000\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", asked.port), PATIENCE_S) as caller:
            caller.sendall(content)
    body = b'{"rows":[]}'
    for _ in range(20):  # gone before they read
        with socket.create_connection(("127.0.0.1", asked.port), PATIENCE_S) as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.sendall(HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body))
    until(lambda: asked.get("/v1/status").json["waiting"] == 0)


def test_a_body_that_comes_in_pieces_is_taken_whole(asked: Server) -> None:
    body = b'{"rows":[],"names":["log"]}'
    pieces = b"".join(b"%x\r\n%b\r\n" % (1, body[k : k + 1]) for k in range(len(body)))
    content = (
        HEAD + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n" + pieces + b"0\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", asked.port), PATIENCE_S) as caller:
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a packet each
        for at in range(0, len(content), 60):
            caller.sendall(content[at : at + 60])
        assert b"200 OK" in caller.recv(100)


def test_requests_at_once_are_answered_each_by_its_own(asked: Server) -> None:
    given = json_rows(ASKED)
    wanted = asked.post("/v1/features", {"rows": given}).json["features"]

    def ask(k: int) -> bool:
        at = k % len(given)
        if k % 7 == 3:
            return asked.post("/v1/features", {"rows": [{**given[at], "card": "a"}]}).status == 400
        found = asked.post("/v1/features", {"rows": [given[at]]})
        return found.status == 200 and found.json["features"] == [wanted[at]]

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(ask, range(120)))


def exchange(client: Any, command: bytes, table: pa.Table) -> None:
    writer, reader = client.do_exchange(flight.FlightDescriptor.for_command(command))
    with writer:
        writer.begin(table.schema)
        writer.write_table(table)
        writer.done_writing()
        reader.read_all()


def test_batches_of_flight_that_are_wrong_are_named_errors(asked: Server) -> None:
    with flight.connect(f"grpc://127.0.0.1:{asked.flight_port}") as client:
        for command, table in (
            (b"other", ASKED), (b"features", pa.table({"z": [1]})),
            (b"features", ASKED.set_column(3, "x", pa.array(["a"] * ASKED.num_rows))),
        ):  # fmt: skip
            with pytest.raises(flight.FlightServerError) as raised:
                exchange(client, command, table)
            assert '"error"' in str(raised.value)
            assert "Traceback" not in str(raised.value)
            assert ".py" not in str(raised.value)
        with pytest.raises((flight.FlightError, NotImplementedError, pa.ArrowException)) as raised:
            list(client.list_flights())
        assert ".py" not in str(raised.value)
