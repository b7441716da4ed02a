"""A server that reads the state which another process writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

import fastfeat as ff
from fastfeat_tests.apps.serve.served_plan import (
    FEATURES,
    HISTORY,
    OPTIONS,
    SHOPS,
    Files,
    Server,
    fitted,
    json_rows,
    rows,
    server,
)
from fastfeat_tests.patience import PATIENCE_S, until

LATER = rows(20, 260, 1).drop_columns(["y"])


def until_answered(found: Server, wanted: list[list[Any]]) -> None:
    """Wait until a server answers as wanted."""

    def is_answered() -> bool:
        answer = found.post("/v1/features", {"rows": json_rows(LATER)})
        return answer.status == 200 and answer.json["features"] == wanted

    until(is_answered)


def answered(live: ff.Live) -> list[list[Any]]:
    return [[*row.values()] for row in live.features(LATER).to_pylist()]


def test_a_server_follows_what_another_process_writes(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    live = fitted().online(HISTORY, path=path, tables={"shops": SHOPS})
    with server(artifact=files.artifact, state=path, follow=True) as found:
        found.wait_for("ready with")
        until_answered(found, answered(live))
        live.process(rows(30, 200, 2).drop_columns(["y"]).slice(0, 10))
        live.update_table("shops", {"shop": [3], "size": [40]})
        changed = answered(live)
        until_answered(found, changed)
        for path_of, body in (
            ("/v1/features", {"rows": json_rows(LATER), "update": True}),
            ("/v1/update", {"rows": json_rows(LATER)}),
            ("/v1/outcomes", {"rows": [{"id": "r1", "y": 1.0}]}),
            ("/v1/tables/shops", {"rows": [{"shop": 9, "size": 9}]}),
        ):
            answer = found.post(path_of, body)
            assert (answer.status, answer.error["kind"]) == (403, "ReadOnly"), path_of
        content = files.artifact.read_bytes()
        answer = found.post("/v1/artifact", content, "application/octet-stream")
        assert (answer.status, answer.error["kind"]) == (403, "ReadOnly")
        assert answered(live) == changed
        live.close()  # its writer takes another plan
        fewer = {name: FEATURES[name] for name in ("n", "spent")}
        other = ff.Plan(fewer, **OPTIONS).fit(HISTORY, tables={"shops": SHOPS})
        live = other.online(path=path)
        live.update(pa.concat_tables([rows(31, 200, 2).drop_columns(["y"]).slice(30)]))
        until_answered(found, answered(live))
        assert found.get("/v1/plan").json["names"] == ["n", "spent"]
        found.wait_for("is served")
        assert found.get("/v1/status").json["read_only"] is True
        live.close()
        assert found.stop() == 0


def test_a_followed_plan_without_a_profile_is_told_and_answers_on(
    files: Files, tmp_path: Path
) -> None:
    path, artifact = tmp_path / "state.db", tmp_path / "profiled.fastfeat"
    both = {name: FEATURES[name] for name in ("n", "spent")}
    profiled = ff.Plan(both, **OPTIONS).fit(HISTORY, profile=True)
    profiled.save(artifact)
    live = profiled.online(HISTORY, path=path)
    with server(artifact=artifact, state=path, follow=True, drift="1h") as found:
        found.wait_for("ready with")
        until_answered(found, answered(live))
        assert b"fastfeat_drift_watched 1\n" in found.get("/metrics").body
        live.close()  # its writer takes another plan, whose profile is in no state
        other = ff.Plan({"n": FEATURES["n"]}, **OPTIONS).fit(HISTORY, profile=True)
        live = other.online(path=path)
        live.update(rows(31, 200, 2).drop_columns(["y"]).slice(30))
        told = "drift is no longer measured: the plan has no profile of its training rows"
        found.wait_for(told)
        until_answered(found, answered(live))
        live.close()
        assert found.stop() == 0


def test_another_artifact_than_that_of_the_state_is_refused(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    other = ff.Plan({"n": FEATURES["n"]}, **OPTIONS).fit(HISTORY)
    other.online(HISTORY, path=path).close()
    with server(artifact=files.artifact, state=path, follow=True) as found:
        assert found.process.wait(PATIENCE_S) == 1
        assert "plan differs from the served artifact" in found.lines[-1]


def test_a_state_that_was_made_again_is_read_anew(files: Files, tmp_path: Path) -> None:
    path, beside = tmp_path / "state.db", tmp_path / "again.db"
    fitted().online(HISTORY, path=path, tables={"shops": SHOPS}).close()
    with server(artifact=files.artifact, state=path, follow=True) as found:
        found.wait_for("ready with")
        path.unlink()
        found.wait_for("cannot be read")
        assert found.get("/v2/health/ready").status == 503
        live = fitted().online(HISTORY.slice(100), path=beside, tables={"shops": SHOPS})
        live.close()
        beside.rename(path)
        until_answered(
            found, answered(fitted().online(HISTORY.slice(100), tables={"shops": SHOPS}))
        )
        assert found.get("/v2/health/ready").status == 200
        assert found.stop() == 0
