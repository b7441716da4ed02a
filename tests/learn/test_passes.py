"""Fit within a budget of memory: the artifact of `fit` on all rows, whatever the tables are."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.api import fit_to_files, out_of_core
from fastfeat.errors import (
    InvalidConfig,
    InvalidData,
    InvalidPlan,
    LargerThanMemory,
    OutOfMemory,
    StatesOnDisk,
)
from fastfeat.io import budget as budgets
from fastfeat.io.budget import Budget
from fastfeat.io.host_memory import bytes_of, peak_memory, resident_memory
from fastfeat.io.sources import read
from fastfeat.io.sources.dataset import Dataset
from fastfeat.io.sources.file_parts import FilePart
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.learn import passes
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat.trust.selfcheck.tables import training_table
from fastfeat_tests.plan.scheduled_plans import CASES, rows, tables

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")

TRAINING, SCHEDULED, TABLES = training_table(150), rows(), tables()
SCALED = ff.Plan({"x": col("x").standard_scale(), "q": col("x").qcut(3)})


def fits() -> dict[str, tuple[ff.Plan, Any, Any]]:
    found: dict[str, Any] = {
        name: (plan, TRAINING, None) for name, plan in contract_plans().items()
    }
    for name, case in CASES.items():
        plan, read = case()
        found[name] = plan, SCHEDULED, {table: TABLES[table] for table in read} or None
    return found


FITS = fits()


@cache
def in_memory(name: str) -> bytes:
    plan, table, tables = FITS[name]
    with pa.BufferOutputStream() as sink:
        pq.write_table(table, sink)  # Parquet has no seconds: they come back as milliseconds
    return artifact_bytes(plan.fit(pq.read_table(sink.getvalue()), tables=tables).record)


def files_of(table: Any, folder: Path, sizes: Sequence[int], of_group: int = 7) -> Path:
    """Write rows as files of some sizes, in turn, in groups of rows, each of which is a piece."""
    folder.mkdir()
    first = 0
    for number, size in enumerate(cycle(sizes)):
        pq.write_table(
            table.slice(first, size), folder / f"{number:04}.parquet", row_group_size=of_group
        )
        first += size
        if first >= table.num_rows:
            return folder
    raise AssertionError


@given(name=st.sampled_from(sorted(FITS)), data=st.data())
def test_fit_in_passes_gives_the_artifact_of_fit(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    plan, table, tables = FITS[name]
    sizes = data.draw(st.lists(st.integers(20, 200), min_size=1, max_size=4))
    n_bytes = iter(cycle(data.draw(st.lists(st.integers(1, 1 << 14), min_size=1, max_size=4))))
    of_group = data.draw(st.sampled_from([7, 40, 200]))
    folder = files_of(table, tmp_path_factory.mktemp("files") / "of", sizes, of_group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Budget, "table_bytes", lambda self, n_growing=0: next(n_bytes))
        fitted = plan.fit(folder, tables=tables, memory="64GiB")
    assert artifact_bytes(fitted.record) == in_memory(name)


def test_budget_that_the_process_has_already_is_an_error() -> None:
    told = r'processing even a few rows .* takes about 64 MiB.*Give memory="\d+MiB" or more$'
    with pytest.raises(OutOfMemory, match=told):
        SCALED.fit({"x": [1.0]}, memory="1MiB")
    with pytest.raises(InvalidConfig, match="takes bytes with a unit"):
        SCALED.fit({"x": [1.0]}, memory="much")


def test_what_the_process_has_already_is_no_part_of_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"x": [1.0, 2.0, 5.0]})
    folder = files_of(table, tmp_path / "of", [2])
    resident = resident_memory() or pytest.skip("the system does not say")
    free = max(resident, 100 << 20)
    monkeypatch.setattr(out_of_core, "free_memory", lambda: free)
    monkeypatch.setattr(fit_to_files, "free_memory", lambda: free)
    monkeypatch.setattr(read, "host_memory", SimpleNamespace(free_memory=lambda: 1))
    monkeypatch.setattr(Dataset, "bytes_of", lambda self, columns: free)
    with pytest.warns(LargerThanMemory):
        fitted = SCALED.fit(folder)
    assert artifact_bytes(fitted.record) == artifact_bytes(SCALED.fit(table).record)
    fitted, _ = SCALED.fit_transform_to(folder, tmp_path / "features")
    assert artifact_bytes(fitted.record) == artifact_bytes(SCALED.fit(table).record)


def test_what_needs_all_rows_in_memory_is_an_error() -> None:
    with pytest.raises(InvalidPlan, match="Leave out backend="):
        SCALED.fit({"x": [1.0]}, memory="64GiB", backend="reference")


def test_reader_is_refused_where_rows_are_read_again() -> None:
    table = pa.table({"x": [1.0, 2.0, 5.0]})
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(1))
    with pytest.raises(InvalidData, match=r"can be read once, but its rows are needed \d times"):
        SCALED.fit(reader, memory="64GiB")
    scaled = ff.Plan({"x": col("x").standard_scale()})
    fitted = scaled.fit(reader, memory="64GiB")
    assert fitted == scaled.fit(table)
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(1))
    with pytest.raises(InvalidData, match="can be read once, but its rows are needed 3 times"):
        scaled.fit(reader, memory="64GiB", profile=True)
    assert reader.read_all().num_rows == 3  # none was read
    many = SCALED.fit(lambda: table.to_batches(1), memory="64GiB")
    assert artifact_bytes(many.record) == artifact_bytes(SCALED.fit(table).record)


def test_infinite_value_of_a_reader_that_is_read_once_is_told() -> None:
    table = pa.table({"x": [1.0, float("inf"), 2.0]})
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    plan = ff.Plan({"x": col("x") - col("x").mean()})
    with pytest.raises(InvalidData, match=r"mean\(\) is not finite: a value is infinite or too"):
        plan.fit(reader, memory="64GiB")
    with pytest.raises(InvalidData, match="first infinite value is inf in row 1"):
        plan.fit(lambda: table.to_batches(), memory="64GiB")


def test_failing_row_is_told_with_its_file(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2, 2**62, 4, 2**62]})
    folder = files_of(table, tmp_path / "of", [2])
    plan = ff.Plan({"n": (col("n") * 4).standard_scale()})
    with pytest.raises(ff.errors.Overflow, match=r"row 2.* \(that is .*0001\.parquet, row 0\)"):
        plan.fit(folder, memory="64GiB")


def test_states_beyond_the_budget_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ff.Plan({"x": col("x").standard_scale(), "k": col("k").ordinal_encode()})
    table = pa.table({"x": [1.0] * 1000, "k": [f"key {k}" for k in range(1000)]})
    monkeypatch.setattr(Budget, "room", lambda self: -(1 << 20))
    monkeypatch.setattr("fastfeat.api.out_of_core.budget_of", lambda *_: Budget(1 << 20))
    told = r"after 1,000 rows of pass 1.*of which vocabulary.*Give memory=\"\d+MiB\" or more"
    with pytest.raises(OutOfMemory, match=told):
        plan.fit(table, memory="1MiB")


LIMITED = """
import sys
import fastfeat as ff
from fastfeat import col
from fastfeat.io.host_memory import peak_memory
features = {f"x{k}": col(f"x{k}").robust_scale() for k in range(12)}
features["k"] = col("k").target_encode("y")
plan = ff.Plan(features, label="y")
plan.fit(sys.argv[1], memory=sys.argv[2]).save(sys.argv[3])
print(peak_memory())
"""


def test_peak_is_within_the_budget(tmp_path: Path) -> None:
    if peak_memory() is None:
        pytest.skip("the system does not say")
    n = 500_000
    random = np.random.default_rng(1)
    columns = {f"x{k}": random.normal(size=n) for k in range(12)}
    table = pa.table({**columns, "k": random.integers(0, 1000, n), "y": random.integers(0, 2, n)})
    (tmp_path / "rows").mkdir()
    first = tmp_path / "rows" / "0.parquet"
    pq.write_table(table, first, row_group_size=100_000, compression="none", use_dictionary=False)
    for part in range(1, 6):  # 336 MB in all
        (tmp_path / "rows" / f"{part}.parquet").hardlink_to(first)
    for budget in ("400MiB", "2GiB"):
        command = [sys.executable, "-c", LIMITED, tmp_path / "rows", budget, tmp_path / budget]
        run = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
        assert int(run.stdout) < bytes_of(budget)
    assert (tmp_path / "400MiB").read_bytes() == (tmp_path / "2GiB").read_bytes()


def test_columns_that_are_read_often_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 40_000
    table = pa.table({"x": np.arange(n) % 977 / 7, "y": np.arange(n) % 3 / 2})
    folder = files_of(table, tmp_path / "of", [n // 2], of_group=3000)
    decoded: list[list[str]] = []
    tables = FilePart.tables

    def counted(self: FilePart, columns: list[str], *args: Any) -> Any:
        decoded.append([*columns])
        return tables(self, columns, *args)

    monkeypatch.setattr(FilePart, "tables", counted)
    monkeypatch.setattr("fastfeat.io.sources.scratch._MOUNTS", Path("/nowhere"))
    plan = ff.Plan({"x": col("x").impute("median").qcut(4), "y": col("y").standard_scale()})
    fitted = plan.fit(folder, memory="64GiB")
    assert decoded == [["x", "y"]] * 2  # once each of both files
    assert artifact_bytes(fitted.record) == artifact_bytes(plan.fit(table).record)
    decoded.clear()
    plan.fit_transform_to(folder, tmp_path / "features", memory="64GiB")
    assert decoded == [["x", "y"]] * 2  # y is read once more, from a copy in memory that is free
    monkeypatch.setattr("fastfeat.learn.passes.free_memory", lambda: 0)
    decoded.clear()
    plan.fit_transform_to(folder, tmp_path / "again", memory="64GiB", profile=False)
    assert decoded == [["x", "y"]] * 2 + [["y"]] * 2  # y is read twice in all: no copy pays


KEYED = ff.Plan(
    {
        "mean": col("x").mean(by="k"),
        "median": col("x").median(by="k"),
        "count": col("k").count_encode(),
        "n": col("k").n_unique(),
        "text": col("t").ordinal_encode(),
        "pair": ff.cross(col("k"), col("t")).ordinal_encode(),
        "target": col("k").target_encode("y", folds=3),
        "middle": col("t").target_encode("y", folds=3, stat="quantile", smooth=1),
        "above": col("k").target_encode("y", folds=3).standard_scale(),
    },
    label="y",
)


def keyed_rows(n: int) -> Any:
    random = np.random.default_rng(n)
    k = random.permutation(n) % (n // 2)
    columns = {"k": k, "t": [f"key {i}" for i in k], "x": random.normal(size=n)}
    return pa.table({**columns, "y": random.integers(0, 2, n).astype(float)})


def test_states_that_have_no_room_give_the_artifact_of_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = keyed_rows(1500)
    folder = files_of(table, tmp_path / "of", [500], of_group=100)
    fitted, features = KEYED.fit_transform(table)
    monkeypatch.setattr(Budget, "spare", lambda self: 1 << 12)
    monkeypatch.setattr(passes, "check_room", lambda *given: None)
    monkeypatch.setattr(passes, "_WORTH_WRITING", 1 << 10)
    monkeypatch.setattr(passes, "_FEWEST_ROWS", 100)
    monkeypatch.setattr(Budget, "table_bytes", lambda self, n_growing=0: 1 << 12)
    monkeypatch.setattr(budgets, "_LARGE_SHARE", 1 << 20)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.warns(StatesOnDisk, match=r"had no room for \d+ learnt values: .* went to"):
        learnt = KEYED.fit(folder, memory="64GiB")
    assert artifact_bytes(learnt.record) == artifact_bytes(fitted.record)
    learnt, _ = KEYED.fit_transform_to(folder, tmp_path / "out.parquet", memory="64GiB")
    assert artifact_bytes(learnt.record) == artifact_bytes(fitted.record)
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == features.to_pylist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of", "out.parquet"]


def test_what_cannot_leave_memory_is_refused_before_its_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = keyed_rows(3000)
    plan = ff.Plan({"mean": col("x").mean(by="k"), "k": col("k").ordinal_encode()})
    # groups take 9 bytes each when the index of keys, 8 bytes each, is freed
    monkeypatch.setattr(Budget, "spare", lambda self: 1_517)
    monkeypatch.setattr(passes, "_WORTH_WRITING", 1 << 30)
    told = (
        r"is too small: learning col\('x'\).mean\(by=col\('k'\)\) of 1,502 groups, in pass 2, "
        r"takes about 13.2 KiB, and the process already uses .* Give memory=\"\d+MiB\" or more"
    )
    with pytest.raises(OutOfMemory, match=told):
        plan.fit(table, memory="64GiB")
    wide = ff.Plan({f"q{k}": (col("x") + k).median() for k in range(3)})
    many = {"x": np.arange(70_000.0)}
    with pytest.raises(OutOfMemory, match=r"quantiles of 3 expressions takes about 3.09 MiB"):
        wide.fit(many, memory="64GiB")
    monkeypatch.setattr(Budget, "spare", lambda self: 1_518)
    plan.fit(table, memory="64GiB")


def test_rounds_have_an_upper_bound() -> None:
    nothing = pa.table({"x": [1.0, float("inf")], "y": pa.nulls(2, pa.float64()), "k": [1, 2]})
    features = {"t": col("k").target_encode("y", folds=2), "x": col("x") - col("x").mean()}

    def learn(learning: Any, rounds: list[int]) -> None:
        while learning.round is not None:
            rounds.append(learning.round)
            learning = learning.next(learning.partial(nothing, range(2)))

    learning, rounds = (
        ff.Plan(features, label="y").learning(nothing.schema, profile=False),
        list[int](),
    )
    with pytest.raises(InvalidData, match="first infinite value is inf in row 1"):
        learn(learning, rounds)
    assert len(rounds) <= learning.most_rounds
    learning, rounds = (
        ff.Plan({"t": features["t"]}, label="y").learning(nothing.schema, profile=False),
        list[int](),
    )
    learn(learning, rounds)
    assert len(rounds) == learning.most_rounds == 3
