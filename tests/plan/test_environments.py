"""The same bits in another environment: flush-to-zero switched on, machine code for another CPU."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine import float_environment as environment
from fastfeat.keep.artifact import artifact_bytes
from fastfeat_tests.patience import PATIENCE_S
from fastfeat_tests.plan.plan_tables import differing, row_of, table_of

FLUSHING = {"x86_64": 0x9FC0, "aarch64": 1 << 24}  # MXCSR: FTZ and DAZ; FPCR: FZ
TINY = 2.0**-1060

PLAN = ff.Plan(
    {
        "tiny": col("x") * TINY,
        "back": (col("x") * TINY) / TINY,
        "exp": (col("y") - 740.0).exp(),
        "power": col("full") ** 3.5,
        "sine": (col("full") * TINY).sin(),
        "narrow": (col("f") * 2.0**-140).cast("float32"),
        "mean": col("full") * TINY - (col("full") * TINY).mean(),
        "std": (col("full") * TINY).std(),
        "median": (col("full") * TINY).median() * col("y"),
        "constant": col("y").max() * TINY / TINY,
        "small": col("tiny").sum() + col("tiny"),
        "scaled": col("tiny").standard_scale(),
        "whole": col("i") * TINY,
        "width": col("narrow") * 2.0**140,
    }
)


def rows_of(n_rows: int, seed: int) -> pa.Table:
    """Return a table with a column of subnormal numbers too."""
    rows = table_of(n_rows, seed, finite=True)
    bits = np.random.default_rng(seed).integers(0, 2**52, n_rows)
    narrow = (bits >> 29).astype(np.int32).view(np.float32)
    rows = rows.append_column("tiny", pa.array(bits.view(np.float64)))
    return rows.append_column("narrow", pa.array(narrow))


@contextmanager
def flush_to_zero() -> Iterator[None]:
    """Switch flush-to-zero on in this thread, as libraries linked with -ffast-math do."""
    from fastfeat_kernels.intrinsics import IEEE_CONTROL_WORD, swap_float_environment
    from numba import njit

    swap = njit(lambda word: swap_float_environment(word))
    swap(IEEE_CONTROL_WORD)  # compiles
    before = swap(FLUSHING[platform.machine()])
    try:
        yield
    finally:
        swap(before)


needs_flushing = pytest.mark.skipif(
    platform.machine() not in FLUSHING, reason="no known control word of this machine"
)


@needs_flushing
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_flush_to_zero_changes_no_bit(backend):
    train, rows = rows_of(200, 0), rows_of(100, 1)
    learnt = artifact_bytes(PLAN.fit(train).record)
    fitted = PLAN.fit(train)
    expected = fitted.transform(rows)
    some_rows = [row_of(rows, k) for k in range(20)]
    by_row = [fitted.transform_row(row).tobytes() for row in some_rows]
    with flush_to_zero():
        half = float("2.5e-308") * float("0.5")  # computed now, not by the compiler of Python
        again = PLAN.fit(train, backend=backend)
        features = again.transform(rows, backend=backend)
        rows_again = [again.transform_row(row).tobytes() for row in some_rows]
    assert half == 0.0
    assert differing(features, expected) == {}
    assert artifact_bytes(again.record) == learnt
    assert rows_again == by_row


def test_where_it_cannot_be_undone_the_user_is_warned_at_the_line_of_the_call(monkeypatch):
    monkeypatch.setattr(environment, "is_ieee", lambda: False)
    monkeypatch.setattr(environment, "_c_environment", lambda: (None, None))
    plan = ff.Plan({"a": col("x") + 1})
    with pytest.warns(ff.FastfeatWarning, match="flush-to-zero") as caught:
        plan.fit({"x": [1.0]})
    assert {warning.filename for warning in caught} == {__file__}


@needs_flushing
def test_flush_to_zero_changes_no_literal():
    plan = ff.Plan({"a": col("x") + 5e-324, "b": col("x").clip(-1e-310, 2.0**-1030)})
    text = plan.to_json()
    with flush_to_zero():
        again = plan.to_json()
        read = ff.Plan.from_json(text)
    assert again == text
    assert read.to_json() == text


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
import pyarrow as pa
from fastfeat_tests.plan import test_environments as environments
train, rows = (pa.ipc.open_file(path).read_all() for path in sys.argv[1:3])
with environments.{environment}():
    fitted = environments.PLAN.fit(train)
    features = fitted.transform(rows)
fitted.save(sys.argv[3], golden=False)
with pa.ipc.new_file(sys.argv[4], features.schema) as writer:
    writer.write_table(features)
"""


@contextmanager
def as_it_is() -> Iterator[None]:
    """Change nothing."""
    yield


def assert_same_elsewhere(folder: Path, environment: str, variables: dict[str, str]) -> str:
    """Assert that a process that compiles its kernels anew, elsewhere, gives the same bits.

    Return what it wrote to stderr.
    """
    train, rows = rows_of(200, 0), rows_of(100, 1)
    paths = [folder / name for name in ("train", "rows", "fitted", "features")]
    for path, table in zip(paths, (train, rows), strict=False):
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    program = PROGRAM.format(
        root=str(Path(__file__).resolve().parents[2] / ".paths"), environment=environment
    )
    run = subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)],
        env={**os.environ, "FASTFEAT_CACHE_DIR": str(folder / "cache"), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert run.returncode == 0, run.stderr
    fitted = PLAN.fit(train)
    assert paths[2].read_bytes() == artifact_bytes(fitted.record)
    assert differing(pa.ipc.open_file(paths[3]).read_all(), fitted.transform(rows)) == {}
    return run.stderr


@needs_flushing
def test_kernels_compiled_under_flush_to_zero_give_the_same_bits(tmp_path):
    assert_same_elsewhere(tmp_path, "flush_to_zero", {})


@pytest.mark.sampled  # all is compiled anew, which takes seconds
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names processors of x86-64")
@pytest.mark.parametrize("features", ["", "+avx,+avx2,+fma,+bmi,+bmi2,+popcnt,+sse4.1,+sse4.2"])
def test_machine_code_for_another_cpu_gives_the_same_bits(tmp_path, features):
    target = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
    told = assert_same_elsewhere(tmp_path, "as_it_is", target)
    # without the instruction, fma is a function of libm: such code cannot be loaded elsewhere
    assert told.count("compiled kernels cannot be kept for other processes") == (not features)
    assert ("needs fma" in told) == (not features)
