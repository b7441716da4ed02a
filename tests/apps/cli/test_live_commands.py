"""The commands of live plans, on states that a test wrote."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.apps.cli.small_plan import Run
from fastfeat_tests.patience import PATIENCE_S

DAY = ff.window("1d", by="card", time="t")
PLAN = ff.Plan({"n": ff.count(over=DAY), "sum": col("x").sum(over=DAY)}, row_id="id")
COMMANDS = ["serve", "stream", "replay", "state show", "state export", "state compact"]


def rows(n: int = 40) -> pa.Table:
    minutes = np.arange(n) * 60 * 10**6
    return pa.table(
        {
            "id": np.arange(n),
            "card": [f"card {k % 5}" for k in range(n)],
            "t": pa.array(minutes, pa.timestamp("us")),
            "x": np.arange(n) / 7,
        }
    )


@pytest.fixture
def state(folder: Path) -> Path:
    """Return a state of 40 rows, the last 20 of which were answered, beside its plan."""
    fitted = PLAN.fit(rows(), history="batch")
    fitted.save(folder / "live.fastfeat")
    with fitted.online(history=rows().slice(0, 20), path=folder / "state.db") as live:
        live.process(rows().slice(20, 12), source="events:0", first=20, end=32)
        live.process(rows().slice(32), source="events:0", first=32, end=40)
    return folder / "state.db"


def test_replay_says_ok_and_the_last_link(run: Run, state: Path) -> None:
    result = run("replay", "state.db", "live.fastfeat")
    assert result.exit_code == 0, result.stderr
    link = re.search(r"[0-9a-f]{64}", result.stdout)
    assert link is not None
    assert result.stdout.startswith("ok   2 changes with 20 rows: all bits and links match")
    assert run("replay", "state.db", "--head", link[0]).exit_code == 0


def test_replay_ends_with_1_and_says_where(run: Run, state: Path) -> None:
    other = ff.Plan({"n": ff.count(over=DAY)}, row_id="id")
    other.fit(rows(), history="batch").save("other.fastfeat")
    result = run("replay", "state.db", "other.fastfeat")
    assert result.exit_code == 1
    assert "a different plan artifact" in result.stdout
    result = run("replay", "state.db", "--head", "00" * 32)
    assert result.exit_code == 1
    assert "FAIL the noted link is not in the chain" in result.stdout


def test_replay_writes_what_was_served(run: Run, state: Path) -> None:
    result = run("replay", "state.db", "--to", "served.parquet")
    assert result.exit_code == 0, result.stderr
    served = pq.read_table("served.parquet")
    assert served["offset"].to_pylist() == list(range(20, 40))
    expected = ff.load("live.fastfeat").transform(rows().slice(20), history=rows().slice(0, 20))
    assert served["sum"].to_pylist() == expected["sum"].to_pylist()


def test_a_tail_of_what_was_served_ends_with_1(run: Run, state: Path) -> None:
    assert run("state", "compact", "state.db").exit_code == 0
    with ff.load("live.fastfeat").online(path="state.db") as live:
        live.process(rows(45).slice(40))
    told = "2 changes with 20 rows, no longer recomputable since "
    result = run("replay", "state.db", "--to", "served.parquet", "--junit", "replay.xml", "--json")
    assert result.exit_code == 1
    assert not Path("served.parquet").exists()
    found = json.loads(result.stdout)
    assert (found["n_rows"], found["not_covered"]["n_rows"], found["n_served"]) == (5, 20, None)
    assert found["findings"] == ["served"]
    assert {case["name"]: case["result"] for case in found["changes"]} == {
        "changes": "ok",
        "not covered": "warning",
        "served": "finding",
    }
    assert told in Path("replay.xml").read_text("utf-8")
    result = run("replay", "state.db", "--to", "served.parquet")
    assert told in result.stdout
    assert result.stdout.rstrip().endswith("To write the other rows: --partial")
    result = run("replay", "state.db", "--to", "served.parquet", "--partial")
    assert result.exit_code == 0, result.stderr
    assert "served: 5 rows" in result.stdout
    assert run("replay", "state.db").exit_code == 0


def test_show_tells_what_a_state_holds(run: Run, state: Path) -> None:
    text = run("state", "show", "state.db").stdout
    assert "2 features, fitted on 40 rows" in text
    assert "card: 1d" in text
    assert "a snapshot with 20 rows, then 2 changes with 20 rows (2 process)" in text
    assert re.search(r"offset events:0 +40\n", text)
    assert re.search(r"last link +[0-9a-f]{64}\n", text)


def test_export_gives_the_history(run: Run, state: Path) -> None:
    result = run("state", "export", "state.db", "-o", "rows.parquet")
    assert result.exit_code == 0, result.stderr
    with ff.load("live.fastfeat").online(path="state.db") as live:
        history = live.history()
        assert history is not None
        assert pq.read_table("rows.parquet").to_pylist() == history.to_pylist()


def test_compact_keeps_the_state_and_ends_the_record(run: Run, state: Path) -> None:
    before = run("state", "export", "state.db", "-o", "before.parquet")
    assert before.exit_code == 0
    result = run("state", "compact", "state.db")
    assert result.exit_code == 0, result.stderr
    assert re.fullmatch(r"state\.db: [\d.]+ MiB, was [\d.]+ MiB\n", result.stdout)
    assert run("replay", "state.db").stdout.startswith("ok   0 changes with 0 rows")
    run("state", "export", "state.db", "-o", "after.parquet")
    assert pq.read_table("after.parquet") == pq.read_table("before.parquet")


def test_without_the_key_nothing_can_be_replayed(run: Run, state: Path) -> None:
    assert run("state", "delete-key", "state.db").exit_code == 0
    result = run("replay", "state.db")
    assert result.exit_code == 3
    assert "the state has no audit key, or the key was deleted" in result.stderr
    assert "none: the audit key was deleted" in run("state", "show", "state.db").stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("replay none.db", "no such file: none.db"),
        ("replay state.db --head 12", "an audit link has 64 hexadecimal digits"),
        ("replay state.db none.fastfeat", "no such file: none.fastfeat"),
        ("replay state.db --to served.csv", "are written as Parquet"),
        ("replay state.db --to served.parquet --plan a", "there is no plan='a'"),
        ("state show none.db", "none.db"),
        ("state export state.db", "Missing option '-o' / '--out'."),
        ("state export state.db -o rows.parquet --table shops", "the state has no table 'shops'"),
        ("state export state.db -o rows.xyz", "unknown suffix"),
        ("state compact none.db", "none.db"),
        ("serve none.fastfeat", "none.fastfeat"),
        ("serve live.fastfeat --late sometimes", "must be 'error', 'insert' or 'drop', got"),
        ("serve live.fastfeat --port 70000", "Invalid value for '--port'"),
        ("stream none.toml", "none.toml"),
    ],
)
def test_what_goes_wrong_is_one_line(run: Run, state: Path, command: str, message: str) -> None:
    result = run(*command.split())
    lines = result.stderr.splitlines()
    assert result.exit_code == 2
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert all(line.startswith("hint: ") for line in lines[1:])
    assert result.stdout == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help_text(run: Run, command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_a_state_in_use_can_be_shown_and_replayed(run: Run, state: Path) -> None:
    with ff.load("live.fastfeat").online(path="state.db"):
        assert run("state", "show", "state.db").exit_code == 0
        assert run("replay", "state.db").exit_code == 0
        result = run("state", "compact", "state.db")
        assert result.exit_code == 2
        assert "is in use by this process" in result.stderr


def test_serve_listens_until_it_is_told_to_end(state: Path) -> None:
    command = [sys.executable, "-m", "fastfeat", "serve", "live.fastfeat", "--state", "state.db"]
    server = subprocess.Popen(
        [*command, "--port", "0"], stderr=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        assert server.stderr is not None
        assert "http://127.0.0.1:" in server.stderr.readline()
        assert any("ready" in line for line in server.stderr)
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_S) == 0
    finally:
        server.kill()
        server.wait(PATIENCE_S)
        assert server.stderr is not None
        server.stderr.close()
