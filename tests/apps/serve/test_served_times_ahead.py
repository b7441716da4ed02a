"""Rows with a time ahead at the server: refused if they would be kept, answered if they ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fastfeat_tests.apps.serve.served_plan import ASKED, Files, Server, json_rows, server

ROW = json_rows(ASKED)[0]


def ahead(**more: Any) -> dict[str, Any]:
    moment = datetime.now(UTC) + timedelta(hours=3)
    return {**ROW, "id": "ahead", "t": moment.isoformat(), **more}


def test_a_row_ahead_is_refused_where_it_would_be_kept(asked: Server) -> None:
    for path, body in (
        ("/v1/features", {"rows": [ahead()], "update": True}),
        ("/v1/update", {"rows": [ahead()]}),
    ):
        answer = asked.post(path, body)
        assert (answer.status, answer.error["kind"]) == (400, "FutureRow")
        assert "max_ahead= allows only '1h'" in answer.error["message"]
    assert asked.post("/v1/features", {"rows": [ahead()]}).status == 200


def test_any_sets_no_limit(files: Files) -> None:
    with server(**files.options, max_ahead="any") as found:
        found.wait_for("ready with")
        assert found.post("/v1/update", {"rows": [ahead()]}).status == 200
        assert not any("far in the future" in line for line in found.lines)


def test_the_row_that_holds_an_entity_up_is_told(files: Files) -> None:
    with server(**files.options, max_ahead="any") as found:
        found.wait_for("ready with")
        assert found.post("/v1/update", {"rows": [ahead()]}).status == 200
        for k in range(10):
            row = {**ROW, "id": f"late {k}"}
            answer = found.post("/v1/features", {"rows": [row], "update": True})
            assert (answer.status, answer.error["kind"]) == (400, "LateRow")
        line = found.wait_for("held up by")
        assert f"entity card = {ROW['card']}: 10 late rows, held up by the event" in line
        assert "the event (id = 'ahead'" in line
        assert "live.remove('ahead') removes it" in line
        assert 'fastfeat_held_up_rows{by="card"} 10' in found.get("/metrics").body.decode()
