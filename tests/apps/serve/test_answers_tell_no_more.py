"""What no answer tells: rows of others, paths of the machine, where a server failed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.serve.app import Answer, App, HttpRequest, Load, RequestLimits, Route
from fastfeat.apps.serve.refusals import refusal_of, without_others
from fastfeat.errors import InvalidData, KernelFailed, StateError
from fastfeat_tests.apps.serve.served_plan import HISTORY, Server, json_rows, server

MINE = {"id": "mine", "card": 4, "x": 1.0, "country": "at", "shop": 1}
LIMITS = RequestLimits(1000, 10, 8000)


def test_the_row_of_another_is_not_told(asked: Server) -> None:
    theirs = json_rows(HISTORY.slice(199, 1))[0]
    assert theirs["x"] is not None
    same = {**MINE, **{name: theirs[name] for name in ("id", "t", "card")}}
    for path, body in (
        (
            "/v1/features",
            {"rows": [same], "update": True},
        ),
        ("/v1/update", {"rows": [same]}),
        ("/v1/outcomes", {"rows": [{"id": theirs["id"], "y": 77.5}]}),
    ):
        answer = asked.post(path, body)
        text = answer.body.decode()
        assert (answer.status, answer.error["kind"]) == (400, "InvalidData"), text
        assert answer.error["row"] == 0
        for name in ("x", "y"):
            assert str(theirs[name]) not in text
        assert "another" in text
    late = {**MINE, "t": json_rows(HISTORY.slice(0, 1))[0]["t"]}
    answer = asked.post("/v1/update", {"rows": [late]})
    assert answer.error["kind"] == "LateRow"
    for row in json_rows(HISTORY):
        assert row["t"] == late["t"] or row["t"][:19].replace("T", " ") not in answer.body.decode()


def test_values_of_others_are_taken_out_of_messages() -> None:
    evil = "x is 'a here and b' here and 'c there. d' there. To change"
    assert without_others(evil) == "x is 'a here and another value there. To change"
    told = "y is 1, but the state has 'a. To change'. To change a wrong value"
    told_less = "y is 1, but the state has another value. To change a wrong value"
    assert without_others(told) == told_less
    assert without_others("nothing here and there") == "nothing here and there"


def test_errors_of_the_server_tell_their_kind(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (StateError("/var/state.db: full"), KernelFailed("in /tmp/x.c")):
        refusal = refusal_of(error, "features")
        assert (refusal.status, refusal.kind) == (500, type(error).__name__)
        assert "/" not in json.dumps(refusal.document)
        assert str(error) in capsys.readouterr().err
    refusal = refusal_of(ZeroDivisionError("secret"), "features")
    assert (refusal.status, refusal.kind) == (500, "Internal")
    assert "secret" not in json.dumps(refusal.document)
    assert "secret" in capsys.readouterr().err
    refusal = refusal_of(InvalidData('row 1,234: col("a\'b") is wrong'), "features")
    assert (refusal.error["row"], refusal.error["column"]) == (1234, "a'b")


def test_what_python_would_do_with_rows_that_break_a_rule_is_no_part_of_an_answer() -> None:
    rule = ff.Rule(col("x") > 0, on_violation="quarantine")
    fitted = ff.Plan({"y": col("x") + 1}).fit({"x": [1.0]}, contract=ff.Contract({"good": rule}))
    with pytest.raises(ff.errors.ContractBroken, match="sets such rows apart") as error:
        fitted.transform({"x": [1.0, -1.0]})
    refusal = refusal_of(error.value, "features")
    assert (refusal.status, refusal.error["row"]) == (400, 1)
    assert refusal.error["message"].endswith("row 1 (x=-1.0)")


async def served(
    handler: Callable[[HttpRequest], Awaitable[Answer]],
    messages: list[dict[str, Any]],
    *,
    ready: bool = True,
    seconds: float = 0,
) -> tuple[dict[str, Any], bytes]:
    """Return what an application answers to a request that comes in parts."""

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(seconds)
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def nothing(*_: Any) -> None:
        raise AssertionError

    counted: list[Any] = []
    load = Load()
    route = Route("features", {"POST": handler})
    app = App(
        lambda _: (route, ""), LIMITS, None, lambda: ready,
        lambda *told: counted.append(told), load, lambda n: None, nothing,
    )  # fmt: skip
    scope = {
        "type": "http", "method": "POST", "path": "/", "query_string": b"",
        "headers": [(b"transfer-encoding", b"chunked")],
    }  # fmt: skip
    await app(scope, receive, send)
    assert len(counted) == 1
    assert (load.requests, load.n_bytes) == (0, 0)
    if not sent:
        return {"status": counted[0][1]}, b""
    return sent[0], b"".join(one.get("body", b"") for one in sent[1:])


async def echo(request: HttpRequest) -> Answer:
    return Answer(request.body)


def part(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_what_the_application_does_with_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    run = asyncio.run
    assert run(served(echo, [part(b"a", True), part(b"b")]))[1] == b"ab"
    head, body = run(served(echo, [part(b"a" * 600, True), part(b"a" * 600, True), part(b"a")]))
    assert head["status"] == 413
    assert (b"connection", b"close") in head["headers"]
    assert json.loads(body)["error"]["kind"] == "BodyTooLarge"
    assert run(served(echo, [part(b"a", True)]))[0]["status"] == 499  # gone
    head, body = run(served(echo, [part(b"a")], ready=False))
    assert (head["status"], json.loads(body)["error"]["kind"]) == (503, "NotReady")
    assert (b"retry-after", b"1") in head["headers"]
    monkeypatch.setattr("fastfeat.apps.serve.app._BODY_SECONDS", 0.05)
    monkeypatch.setattr("fastfeat.apps.serve.app._DRAIN_SECONDS", 0.01)
    head, body = run(served(echo, [part(b"a", True)] * 20, seconds=0.02))
    assert (head["status"], json.loads(body)["error"]["kind"]) == (408, "BodyTooSlow")
    head, body = run(served(echo, [part(b"a")], seconds=1.0))  # none of it comes
    assert (head["status"], json.loads(body)["error"]["kind"]) == (408, "BodyTooSlow")


def test_a_defect_is_told_without_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    async def fails(request: HttpRequest) -> Answer:
        raise ZeroDivisionError("secret")

    head, body = asyncio.run(served(fails, [part(b"")]))
    assert head["status"] == 500
    assert json.loads(body)["error"]["kind"] == "Internal"
    assert b"secret" not in body
    assert "secret" in capsys.readouterr().err


def test_the_package_of_the_server_holds_its_page() -> None:
    import fastfeat.apps.serve

    assert (Path(fastfeat.apps.serve.__file__).parent / "page.html").is_file()


def test_a_state_that_lacks_columns_tells_no_path(tmp_path: Path) -> None:
    rows = {"t": [0, 1], "card": ["a", "a"], "x": [1.0, 2.0]}
    day = ff.window(24, time="t", by="card")
    old = ff.Plan({"n": ff.count(over=day), "x": col("x")}).fit(rows)
    new = ff.Plan({"n": col("x").sum(over=day)}).fit(rows)
    artifact, content = tmp_path / "old.fastfeat", tmp_path / "new.fastfeat"
    old.save(artifact)
    new.save(content)
    with server(artifact=artifact, state=tmp_path / "s.state") as found:
        found.wait_for("ready with")
        answer = found.post("/v1/artifact", content.read_bytes(), "application/octet-stream")
    assert answer.status == 400
    assert answer.error["kind"] == "UnknownColumn"
    assert "'x'" in answer.error["message"]
    assert str(tmp_path) not in answer.body.decode()
