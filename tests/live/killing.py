"""Workers over one state that are killed at random points, run by test_kill_live.py as a program.

    python killing.py FOLDER KILLS SEED DURABILITY

One process imports all and forks the workers: a kill costs no imports. A worker goes on from
`live.offsets` and writes what it was answered to a file, until it is killed: after some time, at a
statement of SQLite, or in the middle of one. At the end one worker is left alone. With durability
"checkpoint" the answers are written before the state says that they were given, and none is lost.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import StateError
from fastfeat.live.file import journal as journal_module
from fastfeat.live.file import state_file, state_writer

N_EVENTS = 1500
SOURCE = "events:0"
_LONGEST = 0.25


def events() -> pa.Table:
    """Return events of 20 entities, in order of time."""
    numbers = np.random.default_rng(7)
    return pa.table(
        {
            "t": pa.array(np.cumsum(numbers.integers(0, 3_000_000, N_EVENTS)), pa.timestamp("us")),
            "card": [f"card {k}" for k in numbers.integers(0, 20, N_EVENTS)],
            "x": pa.array(numbers.normal(size=N_EVENTS), mask=numbers.random(N_EVENTS) < 0.1),
        }
    )


def fitted_plan() -> ff.FittedPlan:
    """Return a plan with windows by time and by rows."""
    minute = ff.window("5m", time="t", by="card")
    return ff.Plan(
        {
            "n": ff.count(over=minute),
            "mean": col("x").mean(over=minute),
            "std": col("x").std(over=minute),
            "median": col("x").quantile(0.5, over=minute),
            "lag": col("x").lag(1, over=ff.window(time="t", by="card")),
        }
    ).fit(events())


def work(folder: Path, fitted: ff.FittedPlan, rows: pa.Table, seed: int, durability: Any) -> None:
    """Answer events from where the state stands, and write the answers, until the end."""
    numbers = random.Random(seed)
    live = fitted.online(path=folder / "state.db", durability=durability)
    begin = live.offsets.get(SOURCE, 0)
    answers = os.open(folder / "answers", os.O_CREAT | os.O_RDWR)
    record = 8 * (1 + len(fitted.feature_names))
    os.lseek(answers, os.fstat(answers).st_size // record * record, os.SEEK_SET)
    while begin < rows.num_rows:
        end = min(begin + numbers.choice([1, 2, 5, 20, 60]), rows.num_rows)
        part = rows.slice(begin, end - begin)
        features = live.process(part, to="numpy", source=SOURCE, first=begin, end=end)
        offsets = np.arange(begin, end, dtype=np.float64)
        os.write(answers, np.column_stack([offsets, features]).tobytes())
        if numbers.random() < 0.7:
            live.checkpoint()
        if numbers.random() < 0.1:
            live.forget("card", "nobody's")  # the file is written anew
        begin = end
    live.close()


def answered(folder: Path, n_features: int) -> np.ndarray:
    """Return what workers have written: an offset and the features of it, a row each."""
    content = (folder / "answers").read_bytes()
    whole = np.frombuffer(content[: len(content) // 8 * 8], np.float64)
    return whole[: len(whole) // (1 + n_features) * (1 + n_features)].reshape(-1, 1 + n_features)


def killed(child: Any, numbers: random.Random) -> str:
    """Run a function in a child that is killed at a random point; return how it ended."""
    how = numbers.choice(["time", "time", "statement", "inside"])
    at = numbers.uniform(0.0, _LONGEST) ** 2 / _LONGEST
    pid = os.fork()
    if pid == 0:
        status = 3
        try:
            if how != "time":
                _kill_in_sqlite(how, numbers)
            child()
            status = 0
        except StateError as error:
            print("a worker met", error, flush=True)
        finally:
            os._exit(status)
    if how == "time":
        time.sleep(at)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return how
    assert os.WEXITSTATUS(status) == 0, "a worker failed"
    return "not at all"


def _kill_in_sqlite(how: str, numbers: random.Random) -> None:
    """Have this process killed at some statement of SQLite, or in the middle of one."""
    left = (
        int(numbers.uniform(0, 12) ** 2) if how == "statement" else int(numbers.uniform(1, 40) ** 2)
    )
    connect = sqlite3.connect

    def die(*_: object) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def connected(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        if how == "statement":
            connection.set_trace_callback(die)
        else:
            connection.set_progress_handler(die, 1)
        return connection

    state_file.sqlite3.connect = state_writer.sqlite3.connect = connected


def main(folder: Path, n_kills: int, seed: int, durability: Any) -> None:
    """Kill workers, then let one end; kill some that make a new state, too."""
    journal_module.SMALLEST_COMPACTION = 20_000
    journal_module.INTERVAL = 0.02
    numbers = random.Random(seed)
    rows, fitted = events(), fitted_plan()
    half = N_EVENTS // 3
    history, stream = rows.slice(0, half), rows.slice(half)
    path = folder / "state.db"
    ends: dict[str, int] = {}

    def make() -> None:
        fitted.online(history=history, path=path, durability="checkpoint").close()

    while not path.exists():
        how = "made, " + killed(make, numbers)
        ends[how] = ends.get(how, 0) + 1
        _check_whole_or_not(folder)
    for _ in range(n_kills):
        seed = numbers.randrange(1 << 30)
        how = killed(lambda seed=seed: work(folder, fitted, stream, seed, durability), numbers)
        ends[how] = ends.get(how, 0) + 1
        if how == "not at all":
            _check(folder, fitted, history, stream, durability)
            for file in folder.iterdir():
                file.unlink()
            make()
    work(folder, fitted, stream, 0, durability)
    _check(folder, fitted, history, stream, durability)
    print(ends)


def _check_whole_or_not(folder: Path) -> None:
    there = {file.name for file in folder.iterdir()}
    beside = {"state.db", "state.db-lock", "state.db-wal", "state.db-shm"}
    assert there <= beside | {f"state.db-new{end}" for end in ("", "-wal", "-shm", "-journal")}, (
        there
    )


def _check(
    folder: Path, fitted: ff.FittedPlan, history: pa.Table, stream: pa.Table, durability: str
) -> None:
    """Check that the answers, repeats dropped, are those of one transform, and so is the state."""
    expected = fitted.transform(stream, history=history, to="numpy")
    found = answered(folder, len(fitted.feature_names))
    offsets = found[:, 0].astype(np.int64)
    if durability == "checkpoint":
        assert set(offsets.tolist()) == set(range(len(expected))), "an answer is missing"
    assert (found[:, 1:].view(np.int64) == expected[offsets].view(np.int64)).all(), "other bits"
    alone = fitted.online(history=history)
    alone.update(stream)
    with fitted.online(path=folder / "state.db") as live:
        assert live.offsets == {SOURCE: len(expected)}, live.offsets
        assert live.history() == alone.history(), "another state"
    print(len(offsets) - len(set(offsets.tolist())), "repeats")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
