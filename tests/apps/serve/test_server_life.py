"""A server from its begin to its end: access, limits, overload, artifacts that change, a state."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.apps.serve import run
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.trust.quality.golden.golden_rows import GoldenRows
from fastfeat_tests.apps.serve.served_plan import (
    ARROW,
    ASKED,
    DAY,
    FEATURES,
    HISTORY,
    OPTIONS,
    PLAN,
    SHOPS,
    Files,
    Server,
    fitted,
    json_rows,
    rows,
    server,
    stream,
    table_of,
)
from fastfeat_tests.patience import PATIENCE_S, until

TOKEN = "correct-horse"


def features(found: Server, table: pa.Table, *, update: bool = False) -> Any:
    answer = found.post("/v1/features", {"rows": json_rows(table), "update": update})
    assert answer.status == 200, answer.body
    return answer.json["features"]


def test_events_stand_in_a_state_that_outlives_the_server(files: Files, tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    events = rows(30, 200, 2).drop_columns(["y"])
    late = rows(200, 0).select(["id", "y"]).slice(190)
    live = fitted().online(HISTORY.drop_columns(["y"]), tables={"shops": SHOPS})
    with server(artifact=files.artifact, tables=files.options["tables"], state=state) as found:
        found.wait_for("ready with")
        given = HISTORY.drop_columns(["y"])
        answer = found.post("/v1/update", stream(given), ARROW)
        assert answer.json["rows"] == given.num_rows
        links = {answer.json["audit"]["link"]}
        wanted = live.process(events.slice(0, 20)).to_pylist()
        assert features(found, events.slice(0, 20), update=True) == [[*r.values()] for r in wanted]
        shop = {"rows": [{"shop": 3, "size": 40}]}
        for path, body in (
            ("/v1/outcomes", {"rows": late.to_pylist()}), ("/v1/tables/shops", shop),
            ("/v1/features", {"rows": json_rows(events.slice(19, 1)), "update": True}),
        ):  # fmt: skip
            answer = found.post(path, body)
            assert answer.status == 200, answer.body
            links.add(answer.json["audit"]["link"])
        assert len(links) == 4  # each in the chain of the audit
        assert found.stop() == 0
    live.outcomes(late)
    live.update_table("shops", shop["rows"])
    with server(**files.options, state=state) as again:  # as a supervisor starts it again
        again.wait_for("ready with")
        again.wait_for("the state already exists")
        rest = events.slice(20)
        wanted = live.process(rest).to_pylist()
        assert features(again, rest, update=True) == [[*row.values()] for row in wanted]
        assert any(row["big"] == 40 for row in wanted)
        early = json_rows(rest.slice(0, 1).set_column(0, "id", pa.array(["early"])))
        error = again.post("/v1/features", {"rows": early, "update": True}).error
        assert (error["kind"], error["row"]) == ("LateRow", 0)
        error = again.post("/v1/outcomes", {"rows": [{"id": "none", "y": 1.0}]}).error
        assert error["kind"] == "InvalidData"
        assert "state.db" not in json.dumps(error)
        assert again.stop() == 0


def test_callers_without_the_token_are_refused(
    files: Files, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    secret = tmp_path / "token"
    secret.write_text(TOKEN + "\n")
    cert, key = certificate
    with server(
        **files.options, token_file=secret, tls_cert=cert, tls_key=key, flight_port=0
    ) as found:
        found.wait_for("ready with")
        assert "https://" in found.wait_for("listening at")
        context = ssl.create_default_context(cafile=str(cert))

        def ask(method: str, path: str, token: str | None) -> tuple[int, bytes]:
            caller = http.client.HTTPSConnection("localhost", found.port, context=context)
            kind = {"content-type": "application/json"}
            given = {**kind, "authorization": token} if token is not None else kind
            caller.request(method, path, b'{"rows":[]}' if method == "POST" else None, given)
            answer = caller.getresponse()
            body = answer.read()
            caller.close()
            return answer.status, body

        for token in (None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
            for method, path in (
                ("POST", "/v1/features"), ("GET", "/v1/plan"), ("GET", "/metrics"),
                ("POST", "/v1/artifact"), ("GET", "/openapi.json"), ("GET", "/v2/models/cards"),
            ):  # fmt: skip
                status, body = ask(method, path, token)
                assert (status, json.loads(body)["error"]["kind"]) == (401, "Unauthorized"), path
        assert ask("POST", "/v1/features", f"Bearer {TOKEN}")[0] == 200
        assert [ask("GET", path, None)[0] for path in ("/", "/v2/health/live", "/v2/health/ready")]
        plain = http.client.HTTPConnection("127.0.0.1", found.port, timeout=PATIENCE_S)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            _asked_plainly(plain)
        root = cert.read_bytes()
        with flight.connect(f"grpc+tls://localhost:{found.flight_port}", tls_root_certs=root) as c:
            for token, passes in (("wrong", False), (TOKEN, True)):
                options = flight.FlightCallOptions(
                    headers=[(b"authorization", f"Bearer {token}".encode())]
                )
                if passes:
                    assert _exchanged(c, options).num_rows == ASKED.num_rows
                else:
                    with pytest.raises(flight.FlightUnauthenticatedError):
                        _exchanged(c, options)
        assert found.stop() == 0


def _asked_plainly(caller: http.client.HTTPConnection) -> None:
    caller.request("GET", "/v2/health/live")
    caller.getresponse()


def _exchanged(client: Any, options: Any) -> pa.Table:
    descriptor = flight.FlightDescriptor.for_command(b"features")
    writer, reader = client.do_exchange(descriptor, options)
    with writer:
        writer.begin(ASKED.schema)
        writer.write_table(ASKED)
        writer.done_writing()
        return reader.read_all()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [
        *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *(
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ),
        *("-keyout", str(key), "-out", str(cert)),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
    return cert, key


def test_a_unix_socket_is_for_its_user_and_taken_away(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "server.socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # as a server leaves it that was killed
    with server(**files.options, uds=path) as found:
        found.wait_for("ready with")
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
            caller.sendall(b"GET /v2/health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            answered = b""
            while part := caller.recv(10_000):
                answered += part
            assert b'{"ready":true}' in answered
        with pytest.raises(InvalidPlan, match="another server is listening there"):
            run(files.artifact, uds=path)
        assert found.stop() == 0
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(InvalidPlan, match="not a socket"):
        run(files.artifact, uds=path)
    assert path.read_text() == "mine"


def test_large_bodies_and_many_callers_are_refused(files: Files) -> None:
    with server(**files.options, max_body=100_000, max_rows=1000, max_waiting=2) as found:
        found.wait_for("ready with")
        answer = found.post("/v1/features", b" " * 100_001)
        assert (answer.status, answer.error["kind"]) == (413, "BodyTooLarge")
        answer = found.post("/v1/features", {"rows": [{}] * 1001})
        assert (answer.status, answer.error["kind"]) == (413, "TooManyRows")
        with socket.create_connection(
            ("127.0.0.1", found.port), PATIENCE_S
        ) as caller:  # no end to it
            head = b"POST /v1/features HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            caller.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
            for _ in range(-(-100_001 // 4096)):  # until it is too large
                caller.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
            assert b"413" in caller.recv(1000)
        body = stream(rows(1000, 200, 3).drop_columns(["y"]))

        def ask(k: int) -> Any:
            while True:
                try:
                    return found.post("/v1/features", body, ARROW)
                except ConnectionError:  # refused, and too slow to send the rest in a second
                    continue

        answers: list[Any] = []
        with ThreadPoolExecutor(12) as callers:

            def are_some_refused() -> bool:  # a busy machine may let few ask at once
                answers.extend(callers.map(ask, range(60)))
                return {answer.status for answer in answers} == {200, 429}

            until(are_some_refused)
        refused = next(answer for answer in answers if answer.status == 429)
        assert refused.headers["retry-after"] == "1"
        assert refused.error["kind"] == "Overloaded"
        wanted = table_of(next(answer for answer in answers if answer.status == 200).body)
        for answer in answers:
            assert answer.status == 429 or table_of(answer.body).equals(wanted)
        assert found.get("/v2/health/live").status == 200
        assert 'kind="Overloaded"' in found.get("/metrics").body.decode()


LONGER = col("x").sum(over=ff.window("5d", by="card", time="t"))
BETTER = ff.Plan(
    {**{name: FEATURES[name] for name in FEATURES if name != "odd"}, "longer": LONGER}, **OPTIONS
)
OTHERS = {
    "unread": ff.Plan({"new": col("new") + 1}, row_id="id"),
    "unlike": ff.Plan({"n": ff.count(over=DAY)}),
}


def artifact(plan: ff.Plan, path: Path) -> bytes:
    data = HISTORY.append_column("new", pa.array([1.0] * HISTORY.num_rows))
    plan.fit(data, tables={"shops": SHOPS}).save(path)
    return path.read_bytes()


def with_another_golden_row(content: bytes) -> bytes:
    """Return an artifact of which one golden row has another feature, and right digests."""
    record = fitted_of(content).record
    kept = GoldenRows.from_bytes(record.golden or b"")
    names, place = kept.features.column_names, 3
    values = kept.features["log"].to_pylist()
    values[place] = 0.125
    features = kept.features.set_column(names.index("log"), "log", pa.array(values))
    golden = GoldenRows(kept.made_up, features).to_bytes()
    return artifact_bytes(dataclasses.replace(record, golden=golden))


def test_an_artifact_with_another_golden_row_is_not_served(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "altered.fastfeat"
    path.write_bytes(with_another_golden_row(files.artifact.read_bytes()))
    state = tmp_path / "state.db"
    with pytest.raises(ff.errors.ArtifactError, match="golden rows: feature 'log', row 3"):
        run(path, state=state, tables={"shops": SHOPS}, port=0)
    assert not state.exists()


@pytest.mark.parametrize("durable", [False, True])
def test_another_artifact_takes_the_place_or_is_refused(
    files: Files, tmp_path: Path, durable: bool
) -> None:
    kind = "application/octet-stream"
    more = {"state": tmp_path / "state.db"} if durable else {}
    with server(**files.options, **more) as found:
        found.wait_for("ready with")
        first = found.get("/v1/plan").json["artifact"]
        before = features(found, ASKED)
        good = artifact(BETTER, tmp_path / "better.fastfeat")
        for name, content, told in (
            ("flipped", good[:200] + bytes([good[200] ^ 1]) + good[201:], ""),
            ("cut", good[:-5], ""),
            ("none", b"hello", ""),
            ("unread", artifact(OTHERS["unread"], tmp_path / "a"), "'new'"),
            ("unlike", artifact(OTHERS["unlike"], tmp_path / "b"), "row_id"),
            ("golden", with_another_golden_row(good), "golden rows: feature 'log', row 3"),
        ):
            answer = found.post("/v1/artifact", content, kind)
            assert answer.status == 400, name
            assert answer.error["kind"] == "ArtifactError", name
            assert told in answer.error["message"]
            assert str(tmp_path) not in answer.body.decode()
            assert found.get("/v1/status").json["refused"] == answer.error["message"]
        assert features(found, ASKED) == before
        same = found.post("/v1/artifact", files.artifact.read_bytes(), kind).json
        assert (same["changed"], same["artifact"]) == (False, first)
        taken = found.post("/v1/artifact", good, kind)
        assert taken.status == 200, taken.body
        told = taken.json
        assert (told["changed"], told["was"]) == (True, first)
        assert told["added"] == ["longer"]
        assert told["removed"] == ["odd"]
        assert "5d" in json.dumps(told["reach"])
        assert "further back" in told["missing"] or "need 5d" in told["missing"]
        assert [row[:7] for row in features(found, ASKED)] == [row[:7] for row in before]
        assert found.get("/v1/plan").json["artifact"] == told["artifact"] != first
        found.wait_for("artifact refused")
        metrics = found.get("/metrics").body.decode()
        assert 'fastfeat_artifact_swaps_total{result="refused"} 6' in metrics
        assert 'fastfeat_artifact_swaps_total{result="taken"} 1' in metrics
        assert found.stop() == 0


@pytest.mark.parametrize("is_kept", [True, False])
def test_an_archive_keeps_what_another_artifact_replaces(
    files: Files, tmp_path: Path, is_kept: bool
) -> None:
    state, archive = tmp_path / "state.db", tmp_path / "archive"
    options = {**files.options, "state": state, **({"archive": archive} if is_kept else {})}
    parts = [ASKED.slice(0, 8), ASKED.slice(8)]
    with server(**options) as found:
        found.wait_for("ready with")
        features(found, parts[0], update=True)
        better = artifact(BETTER, tmp_path / "better.fastfeat")
        assert found.post("/v1/artifact", better, "application/octet-stream").status == 200
        wanted = features(found, parts[1], update=True)
        assert found.stop() == 0
    report = ff.replay(state, to=tmp_path / "served.parquet", partial=not is_kept)
    assert report.ok, report
    assert report.served is not None
    served = pq.read_table(tmp_path / "served.parquet").select([*BETTER.features])
    assert [[*row.values()] for row in served.to_pylist()] == wanted
    assert report.served.n_of_others == (parts[0].num_rows if is_kept else 0)
    assert (report.not_covered.n_changes == 0) == is_kept
    assert len(list(archive.glob("*"))) == int(is_kept)


def test_a_swap_is_between_two_batches(files: Files, tmp_path: Path) -> None:
    kind = "application/octet-stream"
    contents = [files.artifact.read_bytes(), artifact(BETTER, tmp_path / "better.fastfeat")]
    widths = [len(PLAN.features), len(BETTER.features)]
    body = {"rows": json_rows(ASKED.slice(0, 2))}
    seen: set[tuple[str, int]] = set()
    with server(**files.options) as found, ThreadPoolExecutor(3) as callers:
        found.wait_for("ready with")
        is_over = threading.Event()

        def ask(_: int) -> None:
            while not is_over.is_set():
                answer = found.post("/v1/features", body)
                assert answer.status == 200, answer.body
                told = answer.json
                assert {len(row) for row in told["features"]} == {len(told["names"])}
                assert len(told["names"]) in widths
                seen.add((told["artifact"], len(told["names"])))

        asking = [callers.submit(ask, k) for k in range(3)]
        try:
            for k in range(4):
                answer = found.post("/v1/artifact", contents[(k + 1) % 2], kind)
                assert answer.json["changed"], answer.body
                until(lambda: len(seen) == 2 or any(one.done() for one in asking))
        finally:
            is_over.set()
        for one in asking:
            one.result()
    assert len(seen) == 2  # each artifact has features of its own alone


def test_an_artifact_is_taken_when_its_file_changes(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "cards.fastfeat"
    path.write_bytes(files.artifact.read_bytes())
    with server(**files.options | {"artifact": path}, watch=True) as found:
        found.wait_for("ready with")
        path.write_bytes(b"nothing")
        found.wait_for("artifact refused")
        found.get("/v1/plan")
        swapped = tmp_path / "new"
        artifact(BETTER, swapped)
        os.replace(swapped, path)
        found.wait_for("is served")
        assert found.get("/v1/plan").json["names"] == [*BETTER.features]
        assert found.stop() == 0


def test_a_server_that_is_told_to_end_answers_what_has_come(files: Files) -> None:
    with server(**files.options) as found, ThreadPoolExecutor(1) as caller:
        found.wait_for("ready with")
        many = pa.concat_tables([rows(50, 200, k).drop_columns(["y"]) for k in range(40)])
        ids = pa.array([str(k) for k in range(many.num_rows)])
        body = stream(many.set_column(0, "id", ids))
        asked = caller.submit(found.post, "/v1/features", body, ARROW)
        until(lambda: asked.done() or found.get("/v1/status").json["waiting"])
        assert found.stop() == 0
        answer = asked.result()
        assert (answer.status, table_of(answer.body).num_rows) == (200, many.num_rows)
        with pytest.raises(ConnectionRefusedError):
            found.get("/v2/health/live")


def test_a_server_that_is_told_to_end_before_it_begins_ends(files: Files) -> None:
    """Between its first line and the loop the signal had been lost, most times."""
    for _ in range(2):
        with server(**files.options) as found:
            found.wait_for("listening at")
            assert found.stop() == 0


def test_hands_that_are_not_shaken_do_not_keep_a_server_from_its_end(
    files: Files, certificate: tuple[Path, Path]
) -> None:
    """With uvloop it never ended."""
    cert, key = certificate
    with server(**files.options, tls_cert=cert, tls_key=key) as found:
        found.wait_for("ready with")
        callers = [
            socket.create_connection(("127.0.0.1", found.port), PATIENCE_S) for _ in range(20)
        ]
        for caller in callers[::2]:
            caller.sendall(b"\x16\x03\x01")
        assert found.stop() == 0
        for caller in callers:
            caller.close()


@pytest.mark.slow
def test_callers_who_say_nothing_do_not_keep_a_server_from_its_end(files: Files) -> None:
    with server(**files.options, flight_port=0) as found:
        found.wait_for("ready with")
        head = b"POST /v1/features HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        silent = socket.create_connection(("127.0.0.1", found.port), PATIENCE_S)
        half = socket.create_connection(("127.0.0.1", found.port), PATIENCE_S)
        half.sendall(head + b"content-length: 100\r\n\r\n{")
        client = flight.connect(f"grpc://127.0.0.1:{found.flight_port}")
        command = flight.FlightDescriptor.for_command(b"features")
        writer, reader = client.do_exchange(command)
        writer.begin(ASKED.schema)
        writer.write_table(ASKED)
        assert reader.read_chunk().data.num_rows == ASKED.num_rows
        idle = socket.create_connection(("127.0.0.1", found.port), PATIENCE_S)
        assert idle.recv(1000).startswith(b"HTTP/1.1 408")  # it asked for nothing
        assert found.stop() == 0
        with pytest.raises(flight.FlightError):
            writer.close()
        for caller in (silent, half, idle):
            caller.close()


def test_what_cannot_be_served_ends_the_server_by_name(files: Files, tmp_path: Path) -> None:
    broken = tmp_path / "state.db"
    broken.write_bytes(b"no state" * 100)
    with server(artifact=files.artifact, state=broken) as found:
        assert found.process.wait(PATIENCE_S) == 1
        assert "StateError" in found.lines[-1]
    table = {"shops": str(tmp_path / "none.parquet")}
    with server(**files.options | {"tables": table}) as found:
        assert found.process.wait(PATIENCE_S) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"port": 70_000}, "port"),
        ({"port": True}, "port"),
        ({"host": "no.such.host.invalid"}, "cannot listen"),
        ({"max_body": 0}, "max_body"),
        ({"max_rows": 1.5}, "max_rows"),
        ({"max_waiting": True}, "max_waiting"),
        ({"token": ""}, "token"),
        ({"token": "a b"}, "token"),
        ({"token": "a", "token_file": "b"}, "token= or token_file=, not both"),
        ({"token_file": "/nowhere/token"}, "token_file"),
        ({"tls_cert": "a.pem"}, "both"),
        ({"tls_cert": "/nowhere/a.pem", "tls_key": "/nowhere/b.pem"}, "tls_cert"),
        ({"follow": True}, "state="),
        ({"follow": True, "state": "a", "watch": True}, "watch"),
    ],
)
def test_options_that_are_wrong_are_told(files: Files, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidPlan, match=re.escape(told)):
        run(files.artifact, **options)


def test_arguments_that_are_unknown_are_told(files: Files) -> None:
    with pytest.raises(TypeMismatch, match="Did you mean 'port'"):
        run(files.artifact, ports=1)  # pyright: ignore[reportCallIssue]
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InvalidPlan, match="cannot listen"),
    ):
        run(files.artifact, port=taken.getsockname()[1])
