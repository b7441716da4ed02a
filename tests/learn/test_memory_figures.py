"""A budget that is too small is refused once, before the first row of output.

The budget that the refusal names suffices, whatever the plan, the call and the budget were.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import OutOfMemory
from fastfeat.execute import memory_needs, stage_work
from fastfeat.io import host_memory
from fastfeat.io.sources.dataset import Dataset

N_ROWS, N_COLUMNS = 400, 6
_MIB = 1 << 20
_BY_KEY, _BY_USER = (ff.window("7d", by=key, time="t") for key in ("k", "u"))
FEATURES = {
    "row": col("c0") + col("c1"),
    "scale": col("c0").standard_scale(),
    "median": col("c1").impute("median"),
    "count": col("k").count_encode(),
    "mean": col("c0").mean(by=col("k")),
    "target": col("u").target_encode("y", folds=2),
    "window": col("c0").mean(over=_BY_KEY).standard_scale(),
    "of_user": col("c1").max(over=_BY_USER),
    "table": col("x").mean(over=ff.window("7d", by="k", time="t", table="events")),
} | {f"c{k}": col(f"c{k}") for k in range(N_COLUMNS)}
CALLS = ("fit", "transform_to", "fit_transform_to", "transform_batches")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, random = tmp_path_factory.mktemp("figures"), np.random.default_rng(1)
    times = np.sort(random.integers(0, 30 * 86_400, N_ROWS)).astype("datetime64[s]")
    keys = {"k": random.integers(0, 9, N_ROWS), "u": random.integers(0, 90, N_ROWS), "t": times}
    numbers = {f"c{k}": random.normal(size=N_ROWS) for k in range(N_COLUMNS)}
    rows = pa.table({**keys, **numbers, "y": random.integers(0, 2, N_ROWS)})
    pq.write_table(rows, folder / "rows.parquet")
    events = pa.table({"k": keys["k"], "t": times, "x": random.normal(size=N_ROWS)})
    pq.write_table(events, folder / "events.parquet")
    return folder


class Process:
    """A process of a made-up size, in which kernels are compiled as it works.

    Args:
        n_bytes: Bytes that it has in memory at first.
    """

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self.n_questions = 0

    def resident(self) -> int:
        """Return more each time, up to what compiled kernels were measured to take."""
        self.n_questions += 1
        return self.n_bytes + min(self.n_questions * _MIB, 60 * _MIB)


@contextmanager
def scaled(taken: int, of_column: int, of_table_row: int, of_share: int = 3) -> Iterator[None]:
    """Let few rows need as many bytes as very many, in a process that has some MiB in memory."""

    def of_reader(self: Dataset, columns: Sequence[str]) -> int:
        return of_column * len(columns)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(host_memory, "resident_memory", Process(taken * _MIB).resident)
        patched.setattr(Dataset, "bytes_of_reader", of_reader)
        patched.setattr(memory_needs, "_INDEX_BYTES", of_table_row)
        patched.setattr(stage_work, "_WORK_BYTES", of_share)
        yield


def called(
    name: str, plan: ff.Plan, fitted: ff.FittedPlan, folder: Path, memory: Any
) -> Iterator[Any]:
    """Yield what a call gives: for features in batches one after the other."""
    rows, out = str(folder / "rows.parquet"), Path(mkdtemp(dir=folder)) / "out.parquet"
    options: Any = {"tables": {"events": str(folder / "events.parquet")}, "memory": memory}
    later: Any = {"history": "batch"} if {"window", "of_user"} & {*fitted.feature_names} else {}
    match name:
        case "fit":
            yield plan.fit(rows, **options)
        case "transform_to":
            fitted.transform_to(rows, out, **options, **later)
            yield out
        case "fit_transform_to":
            plan.fit_transform_to(rows, out, **options)
            yield out
        case _:
            yield from fitted.transform_batches(rows, **options, **later)


def refusal(calls: Iterator[Any]) -> str | None:
    """Return the budget that a refusal names; None if the call gives all that it should."""
    n_given = 0
    try:
        for _ in calls:
            n_given += 1
    except OutOfMemory as error:
        refused = str(error)
    else:
        return None
    assert n_given == 0
    found = re.search(r'Give memory="(\d+MiB)" or more', refused)
    assert found, refused
    return found[1]


@pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
@given(
    names=st.lists(st.sampled_from(sorted(FEATURES)), min_size=1, max_size=3, unique=True),
    name=st.sampled_from(CALLS),
    taken=st.integers(50, 900),
    more=st.integers(-40, 400),
    of_column=st.sampled_from([0, 1 << 16, 30 * _MIB]),
    of_table_row=st.sampled_from([16, 1 << 20]),
)
def test_the_budget_that_a_refusal_names_suffices(
    folder: Path,
    names: list[str],
    name: str,
    taken: int,
    more: int,
    of_column: int,
    of_table_row: int,
) -> None:
    plan = ff.Plan({feature: FEATURES[feature] for feature in names}, label="y")
    tables = {"events": str(folder / "events.parquet")}
    fitted = plan.fit(str(folder / "rows.parquet"), tables=tables)
    needs = taken, of_column, of_table_row
    with scaled(*needs):
        enough = refusal(called(name, plan, fitted, folder, (taken + more) * _MIB))
    if enough is not None:
        with scaled(*needs):
            assert refusal(called(name, plan, fitted, folder, enough)) is None


@pytest.mark.parametrize("name", CALLS)
def test_rows_of_an_entity_are_counted_before_the_first_row_of_output(
    name: str, folder: Path
) -> None:
    plan = ff.Plan({feature: FEATURES[feature] for feature in ("row", "window")}, label="y")
    fitted = plan.fit(str(folder / "rows.parquet"))
    with scaled(300, 0, 16, of_share=50_000):
        enough = refusal(called(name, plan, fitted, folder, "400MiB"))
    assert enough is not None
    with scaled(300, 0, 16, of_share=50_000):
        assert refusal(called(name, plan, fitted, folder, enough)) is None


OF_A_PROCESS = """
import sys
import fastfeat as ff
from fastfeat import col
rows, events, memory, out = sys.argv[1:]
window = ff.window("7d", by="k", time="t", table="events")
features = {"x": col("x").mean(over=window), "c": col("c0").impute("median")}
plan = ff.Plan({**features, "k": col("k").count_encode()})
try:
    plan.fit_transform_to(rows, out, tables={"events": events}, memory=memory)
except ff.errors.OutOfMemory as error:
    print(str(error).split('Give memory="')[1].split('"')[0])
"""


def test_a_process_that_follows_the_refusal_is_not_refused_again(folder: Path) -> None:
    files = [str(folder / f"{name}.parquet") for name in ("rows", "events")]
    memory = "50MiB"
    out = Path(mkdtemp(dir=folder)) / "out.parquet"
    for has_refused in (True, False):
        command = [sys.executable, "-c", OF_A_PROCESS, *files, memory, str(out)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        memory = run.stdout.strip()
        assert bool(memory) is has_refused, run
    assert pq.read_metadata(out).num_rows == N_ROWS
