"""Outputs of processes that are killed at random points: whole or not there, and resumed.

One process imports the package, and forks one that writes whenever it is asked.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

import fastfeat as ff
from fastfeat import col

N_OUTPUTS = 1 if settings().max_examples < 1_000 else 50
N_ROWS, PART_ROWS = 30_000, 1_500
SERVER = f"""
import importlib, os, resource, sys
import fastfeat as ff

def fit_transform_to(out):
    ff.Plan.from_json(open("plan.json").read()).fit_transform_to("data", out, part_rows={PART_ROWS})

def windows(out):
    ff.load("windows.fastfeat").transform_to("data", out, part_rows={PART_ROWS}, history="past")

def one_file(out):
    ff.load("plan.fastfeat").transform_to("data", out + ".parquet")

def full_windows(out):
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    windows(out)

def full_fit_transform_to(out):
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
    fit_transform_to(out)

def import_what_calls_import():
    pid = os.fork()
    if pid == 0:
        fit_transform_to("first")
        windows("first_windows")
        open("modules", "w").write(" ".join(sys.modules))
        os._exit(0)
    os.waitpid(pid, 0)
    for name in open("modules").read().split():
        if name.partition(".")[0] in ("fastfeat", "fastfeat_kernels", "pyarrow", "numba"):
            importlib.import_module(name)

import_what_calls_import()
for line in sys.stdin:
    call, out = line.split()
    pid = os.fork()
    if pid == 0:
        try:
            globals()[call](out)
        except BaseException as error:
            open(out + ".error", "w").write(type(error).__name__ + ": " + str(error))
            os._exit(1)
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of rows in files, earlier rows, and plans over them."""
    found, rng = tmp_path_factory.mktemp("killed"), np.random.default_rng(0)

    def rows(first: int, n: int) -> Any:
        keys = pa.array(rng.choice(["a", "b", "c"], n))
        x, y = rng.standard_normal(n), rng.integers(0, 2, n)
        return pa.table({"t": np.arange(first, first + n), "k": keys, "x": x, "y": y})

    (found / "data").mkdir()
    for number in range(3):
        n = N_ROWS // 3
        pq.write_table(rows(1_000 + number * n, n), found / "data" / f"{number}.parquet")
    pq.write_table(rows(0, 1_000), found / "past")
    plan = ff.Plan(
        {"x": col("x").standard_scale(), "e": col("k").target_encode("y", folds=3)},
        label="y",
        keep=["t", "k"],
    )
    (found / "plan.json").write_text(plan.to_json())
    fitted = plan.fit(found / "data")
    fitted.save(found / "plan.fastfeat")
    window = ff.window(50, time="t", by="k")
    windowed = ff.Plan({"m": col("x").mean(over=window), "x": col("x")}, keep=["t"])
    windowed.fit(found / "data", history="batch").save(found / "windows.fastfeat")
    return found


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-W", "ignore", "-c", SERVER]
    (folder / "temporary").mkdir()
    options: Any = {"cwd": folder, "env": {**os.environ, "TMPDIR": str(folder / "temporary")}}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, **options) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def run(server: subprocess.Popen[str], call: str, out: str, seconds: float | None = None) -> int:
    """Return the exit code of a call, which is killed after some seconds."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(f"{call} {out}\n")
    server.stdin.flush()
    pid = int(server.stdout.readline())
    if seconds is not None:
        time.sleep(seconds)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return int(server.stdout.readline())


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file that is whole, by its path; those of a manifest aside."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not path.name.startswith("_")
    }


@pytest.mark.parametrize("call", ["fit_transform_to", "windows"])
def test_a_folder_is_whole_or_not_there_and_resumed(
    folder: Path, server: subprocess.Popen[str], call: str
) -> None:
    began = time.monotonic()
    assert run(server, call, f"whole_{call}") == 0
    most = time.monotonic() - began
    expected = contents(folder / f"whole_{call}")
    assert len(expected) == N_ROWS // PART_ROWS
    seed = random.randrange(2**32)
    print(f"{seed=}")
    points = random.Random(seed)
    for number in range(N_OUTPUTS):
        out = folder / f"out_{call}_{number}"
        begun = out.with_name(f".{out.name}.unfinished")
        for _ in range(2):
            code = run(server, call, out.name, points.uniform(0, most))
            assert code in (0, -signal.SIGKILL)
            assert out.exists() or code != 0
            for name, content in contents(begun).items():
                assert name not in expected or content == expected[name]
        assert run(server, call, out.name) == 0
        assert contents(out) == expected
        assert not begun.exists()
        assert list((folder / "temporary").iterdir()) == []


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("windows", r"^OutputError: parts of the rows cannot be written to .*: File too large"),
        ("fit_transform_to", r"^OutputError: cannot write full_fit_transform_to: File too large"),
    ],
)
def test_a_file_that_may_not_grow_is_told_and_resumed(
    folder: Path, server: subprocess.Popen[str], call: str, told: str
) -> None:
    out = f"full_{call}"
    assert run(server, f"full_{call}", out) == 1
    assert re.match(told, (folder / f"{out}.error").read_text())
    assert not (folder / out).exists()
    assert run(server, call, out) == 0
    if (folder / f"whole_{call}").exists():
        assert contents(folder / out) == contents(folder / f"whole_{call}")


def test_a_file_is_whole_or_as_it_was(folder: Path, server: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    assert run(server, "one_file", "whole") == 0
    most = time.monotonic() - began
    expected = (folder / "whole.parquet").read_bytes()
    (folder / "one.parquet").write_bytes(b"as it was")
    seed = random.randrange(2**32)
    print(f"{seed=}")
    points = random.Random(seed)
    for _ in range(2 * N_OUTPUTS):
        run(server, "one_file", "one", points.uniform(0, most))
        assert (folder / "one.parquet").read_bytes() in (b"as it was", expected)
    assert run(server, "one_file", "one") == 0
    assert (folder / "one.parquet").read_bytes() == expected
