"""The large demo on few rows, in real processes under a real limit; and what is in its way."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from docs.demos import large, memory_limit
from docs.demos.commands import app
from docs.demos.large_digest import digest_of_features
from docs.demos.large_rows import payments, write_rows
from fastfeat.errors import FastfeatError
from fastfeat_tests.patience import PATIENCE_S, halted

MAIN = "from docs.demos.commands import app; app()"
MADE = {"rows", "plan.py", "payments.fastfeat"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def ignored(_text: str) -> None:
    """Tell nobody."""


def test_the_demo_on_few_rows(tmp_path: Path) -> None:
    options = ["--dir", str(tmp_path), "--size", "2MiB", "--memory", "600MiB"]
    result = CliRunner().invoke(app, ["large", *options])
    assert result.exit_code == 0, result.output
    assert "the same bits" in result.stdout
    assert "enforced by" in result.stdout or sys.platform != "linux"
    assert names(tmp_path / "large") == MADE
    assert not list(memory_limit.GROUPS.rglob(f"fastfeat-demo-{os.getpid()}"))


def interrupted(folder: Path, place: str, nth: int, when: str, begun: str) -> None:
    """Interrupt a demo at a call, as Ctrl-C does, when there is a file of what was begun."""
    command = ["large", "--dir", str(folder), "--size", "2MiB"]
    pipe: Any = {"stderr": subprocess.PIPE}
    with halted(place, MAIN, *command, nth=nth, when=when, **pipe) as demo:
        assert (folder / "large" / begun).is_file()
        demo.send_signal(signal.SIGINT)
    _, told = demo.communicate(timeout=PATIENCE_S)
    assert (demo.returncode, told) == (130, "interrupted\n")


def test_a_demo_that_is_interrupted_leaves_nothing_that_is_half(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    payments, started = "docs.demos.large_rows.payments", "docs.demos.large.started"
    interrupted(tmp_path, payments, 3, "before", ".rows.unfinished/part-000.parquet")
    assert names(folder) == set()
    interrupted(tmp_path, started, 1, "after", "work/log")
    assert names(folder) == {"rows"}
    processes = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [command for command in processes if str(folder).encode() in command]


def test_too_little_memory_is_told_with_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(FastfeatError, match=r"has ended with 1: memory=120 MiB .*Give memory="):
        large.run(tmp_path, ignored, "1MiB", "120MiB")


ALLOCATES = [sys.executable, "-c", "held = b'x' * (300 << 20)"]


def test_a_process_above_the_limit_is_stopped() -> None:
    with memory_limit.memory_limit(200 << 20) as limit:
        done = subprocess.run(limit.command(ALLOCATES), capture_output=True)
        if not limit.how:
            pytest.skip("nothing enforces a limit on this system")
        assert done.returncode != 0
        assert (limit.group is not None) == limit.has_killed()
    with memory_limit.memory_limit(400 << 20) as limit:
        assert subprocess.run(limit.command(ALLOCATES)).returncode == 0
        assert not limit.has_killed()


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits nothing elsewhere")
def test_without_a_control_group_the_system_limits_what_is_allocated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_limit, "GROUPS", Path("/nowhere"))
    with memory_limit.memory_limit(200 << 20) as limit:
        assert limit.how == "RLIMIT_DATA"
        done = subprocess.run(limit.command(ALLOCATES), capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "MemoryError"


@pytest.mark.parametrize(
    ("groups", "files", "how"),
    [
        ("0::/a/b\n", {"a/b/cgroup.subtree_control": "cpu\n",
                       "a/cgroup.subtree_control": "cpu memory\n"}, "a memory.max"),
        ("0::/\n", {"cgroup.subtree_control": "memory\n"}, ". memory.max"),
        ("4:cpu,memory:/x\n0::/\n", {"memory/x/memory.limit_in_bytes": ""},
         "memory/x memory.limit_in_bytes"),
    ],
)  # fmt: skip
def test_groups_are_made_where_they_can_limit_memory(
    groups: str, files: dict[str, str], how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(groups)
    monkeypatch.setattr(memory_limit, "GROUPS", tmp_path)
    monkeypatch.setattr(memory_limit, "OWN_GROUPS", tmp_path / "own")
    folder, (file, _) = next(iter(memory_limit.parents_of_groups()))
    assert f"{folder.relative_to(tmp_path)} {file}" == how


def test_rows_are_the_same_wherever_they_are_made(tmp_path: Path) -> None:
    assert write_rows(tmp_path / "rows", 130_000, ignored)
    table = pq.read_table(tmp_path / "rows")
    assert table.num_rows == 130_000
    assert table.slice(125_000).equals(payments(1, 5_000))
    assert 200 < table.nbytes / table.num_rows < 260
    assert 0.04 < table["signal_21"].null_count / table.num_rows < 0.06
    assert not write_rows(tmp_path / "rows", 130_000, ignored)
    assert write_rows(tmp_path / "rows", 10, ignored)
    assert pq.read_table(tmp_path / "rows").num_rows == 10


def test_the_digest_is_of_bits_and_not_of_the_order_of_rows(tmp_path: Path) -> None:
    one = pa.table(
        {
            "id": [3, 1, 2],
            "x": pa.array([0.0, None, -1.5], pa.float32()),
            "code": pa.array([1, 2, None], pa.uint8()),
        }
    )

    def digest(*tables: pa.Table) -> tuple[int, str]:
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        for number, table in enumerate(tables):
            pq.write_table(table, tmp_path / f"{number}.parquet")
        return digest_of_features(tmp_path)

    expected = digest(one)
    assert expected[0] == 3
    assert digest(one.take(pa.array([2, 0, 1]))) == expected
    assert digest(one.slice(1), one.slice(0, 1)) == expected
    in_spark = one.set_column(2, "code", one["code"].cast(pa.int16()))
    assert digest(in_spark) == expected
    others = [
        pa.array([np.float32("-0.0"), None, np.float32(-1.5)], pa.float32()),
        pa.array([0.0, 0.0, -1.5], pa.float32()),
        pa.array([0.0, -1.5, None], pa.float32()),
    ]
    assert expected not in [digest(one.set_column(1, "x", x)) for x in others]
    assert digest(one.slice(0, 2)) != expected


def test_two_demos_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FastfeatError, match="another demo runs in"):
            large.run(tmp_path, ignored, "1MiB", "600MiB")


def test_a_small_disk_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")(5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)  # type: ignore[misc]
    with pytest.raises(FastfeatError, match=r"has 5 MiB free, and the demo takes up to 20 MiB"):
        large.run(tmp_path, ignored, "10MiB", "600MiB")
    assert names(tmp_path) == set()


def test_an_engine_that_is_not_installed_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "find_spec", lambda name: None)
    with pytest.raises(FastfeatError, match="pyspark is not installed: pip install 'fastfeat"):
        large.run(tmp_path, ignored, "10MiB", "600MiB", "spark")
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--engine", "dask"], "'--engine': got 'dask': ray or spark"),
        (["--size", "large"], "--size='large': takes bytes with a unit"),
        (["--memory", "0"], "--memory '0': takes bytes with a unit"),
    ],
)
def test_wrong_options_are_told(option: list[str], told: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["large", "--dir", str(tmp_path), *option])
    assert result.exit_code == 2
    assert told in result.stderr
