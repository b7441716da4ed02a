"""`memory=` is kept, or refused before a row is read with a budget that then has room."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import OutOfMemory
from fastfeat.execute import large_shares, lookup_tables, stage_work, time_ordered_stage
from fastfeat.io.budget import Budget
from fastfeat.io.sources import file_parts
from fastfeat.io.sources.dataset import dataset_of

N_ROWS, N_EVENTS = 300, 4000
SEEN = ff.window("7d", by="k", time="t", table="events")
OF_TABLE = ff.Plan({"mean": col("x").mean(over=SEEN), "y": col("y").standard_scale()})
_MIB = 1 << 20


def events(n_rows: int, name: str) -> pa.Table:
    random = np.random.default_rng(n_rows)
    times = np.sort(random.integers(0, 30 * 86_400, n_rows)).astype("datetime64[s]")
    return pa.table(
        {"k": random.integers(0, 9, n_rows), "t": times, name: random.normal(size=n_rows)}
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    rows, seen = str(tmp_path / "rows.parquet"), str(tmp_path / "events.parquet")
    pq.write_table(events(N_ROWS, "y"), rows)
    pq.write_table(events(N_EVENTS, "x"), seen)
    return rows, seen


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Give a budget so many bytes that are left to plan with."""

    def give(n_bytes: int) -> None:
        monkeypatch.setattr(Budget, "spare", lambda self: n_bytes)

    return give


def calls(rows: str, tables: Any, out: Path) -> dict[str, Callable[[], Any]]:
    fitted = OF_TABLE.fit(rows, tables=tables)
    options: Any = {"tables": tables, "memory": "64GiB"}
    return {
        "fit": lambda: OF_TABLE.fit(rows, **options),
        "fit_transform_to": lambda: OF_TABLE.fit_transform_to(rows, out / "a", **options),
        "transform_to": lambda: fitted.transform_to(rows, out / "b", **options),
        "transform_batches": lambda: list(fitted.transform_batches(rows, **options)),
        "verify": lambda: fitted.verify(rows, **options),
    }


@pytest.mark.parametrize(
    "name", ["fit", "fit_transform_to", "transform_to", "transform_batches", "verify"]
)
def test_large_tables_are_refused_before_they_are_read(
    name: str,
    files: tuple[str, str],
    small: Callable[[int], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, seen = files
    call = calls(rows, {"events": seen}, tmp_path)[name]
    calls_of_read: list[object] = []
    read_table = lookup_tables.read_table

    def counting(*given: Any) -> Any:
        calls_of_read.append(given)
        return read_table(*given)

    monkeypatch.setattr(lookup_tables, "read_table", counting)
    needed = N_EVENTS * (2 * 24 + 16)  # columns of 24 bytes twice, and the order of the rows
    small(needed - 1)
    told = r"the table 'events', .*, takes about 25\d KiB.* Give memory=\"\d+MiB\" or more"
    with pytest.raises(OutOfMemory, match=told):
        call()
    assert not calls_of_read
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()


def test_many_columns_are_refused_before_they_are_read(
    tmp_path: Path, small: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    n, names = 5000, [f"c{k}" for k in range(40)]
    path = str(tmp_path / "wide.parquet")
    pq.write_table(pa.table({name: random.normal(size=n) for name in names}), path)
    plan = ff.Plan({name: col(name).impute("median") for name in names})
    of_reader = dataset_of(path).bytes_of_reader(names)
    assert 40 * 8 * n * 2 < of_reader < 40 * 8 * n * 6  # dictionaries are decoded as a whole
    needed = of_reader + 40 * (8 * n + 16)

    def nothing(*_: object) -> Any:
        raise AssertionError("rows are read")

    small(needed - 41 * 16)
    with monkeypatch.context() as patched:
        patched.setattr(file_parts, "_TABLES", dict.fromkeys(file_parts._TABLES, nothing))  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(OutOfMemory, match="reading 40 columns of the data takes about"):
            plan.fit(path, memory="64GiB")


def test_the_budget_that_is_named_has_room(
    tmp_path: Path, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, seen = files
    taken = 300 * _MIB
    monkeypatch.setattr(Budget, "room", lambda self: self.n_bytes - taken)
    monkeypatch.setattr("fastfeat.execute.memory_needs._INDEX_BYTES", 60_000)  # as of a large one
    tables = {"events": seen}
    with pytest.raises(OutOfMemory) as refused:
        OF_TABLE.fit(rows, tables=tables, memory="400MiB")
    found = re.search(r'Give memory="(\d+MiB)"', str(refused.value))
    assert found
    assert OF_TABLE.fit(rows, tables=tables, memory=found[1]) == OF_TABLE.fit(rows, tables=tables)


def test_an_entity_of_most_rows_is_read_in_tables_that_have_room(
    files: tuple[str, str], small: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, seen = files
    plan = ff.Plan({"mean": col("x").mean(over=ff.window("7d", by="k", time="t"))})
    fitted = plan.fit(seen)
    whole = fitted.transform(seen, history="batch", to="arrow")
    n_rows: list[int] = []
    functions_of = time_ordered_stage.compute_stage

    def counting(work: Any, rows: pa.Table, *given: Any, **options: Any) -> Any:
        n_rows.append(rows.num_rows)
        return functions_of(work, rows, *given, **options)

    monkeypatch.setattr(time_ordered_stage, "compute_stage", counting)
    monkeypatch.setattr(large_shares, "LARGE", 0)
    monkeypatch.setattr(large_shares, "_FEWEST_ROWS", 700)
    small(0)
    parts = list(fitted.transform_batches(seen, history="batch", memory="64GiB"))
    assert pa.concat_tables(parts).equals(whole)
    assert len(n_rows) > N_EVENTS // 700
    assert max(n_rows) <= 710  # rows of the latest moment wait for the next table


def test_the_budget_that_is_named_has_room_for_an_entity(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, seen = files
    plan = ff.Plan({"mean": col("x").mean(over=ff.window("7d", by="k", time="t")).standard_scale()})
    monkeypatch.setattr(Budget, "room", lambda self: self.n_bytes - 300 * _MIB)
    monkeypatch.setattr(stage_work, "_WORK_BYTES", 2000)  # as of a large entity
    with pytest.raises(OutOfMemory, match="must be in memory together") as refused:
        plan.fit(seen, memory="380MiB")
    found = re.search(r'Give memory="(\d+MiB)"', str(refused.value))
    assert found
    assert plan.fit(seen, memory=found[1]) == plan.fit(seen)
