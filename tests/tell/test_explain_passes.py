"""`explain("passes")`: what fit reads of a data set, before it reads any row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan, TypeMismatch, UnknownColumn
from fastfeat.learn.kinds import KINDS
from fastfeat.learn.part_state import task_learner
from fastfeat.tell import explain_passes

ROWS = pa.table(
    {
        "x": [0.5 * k for k in range(40)],
        "shop": [f"s{k % 3}" for k in range(40)],
        "y": [k % 2 for k in range(40)],
        "unread": list(range(40)),
    }
)
PLAN = ff.Plan(
    {
        "scaled": col("x").standard_scale(),
        "robust": col("x").impute("median").robust_scale(),
        "mean": col("x").mean(by="shop"),
        "shop": col("shop").target_encode("y", folds=2),
    },
    label="y",
)


@pytest.fixture
def files(tmp_path: Path) -> str:
    for k in range(2):
        pq.write_table(ROWS.slice(20 * k, 20), tmp_path / f"{k}.parquet")
    return str(tmp_path)


def test_the_passes_of_files_are_told_before_any_row_is_read(
    files: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_plan = "keys", "statistics", "target", "groups"
    monkeypatch.setattr(explain_passes, "gettempdir", lambda: "/tmp")
    monkeypatch.setattr(explain_passes, "room_for_copy", lambda _: 3 << 30)
    told = re.sub(r"about [0-9.]+ (B|KiB)", "about N B", PLAN.explain("passes", schema=files))
    assert told.splitlines() == [
        "data: 40 rows in 2 files; the plan reads 3 of 4 columns, about N B in memory",
        "",
        "fit over data in parts: at most 6 passes; if a learnt value is not finite, 2 more passes "
        "to find its row",
        "  pass 1 reads shop, x: 2 columns, about N B",
        "    keys: 1 value",
        "    statistics: 3 values",
        "  pass 2 reads x, shop, y: 3 columns, about N B",
        "    statistics: 1 value",
        "    target: 1 value",
        "    groups: 1 value",
        "  pass 3 reads x: 1 column, about N B",
        "    statistics: 1 value",
        "  pass 4 reads x: 1 column, about N B",
        "    statistics: 3 values",
        "  pass 5 reads x: 1 column, about N B",
        "    statistics: 3 values",
        "  pass 6 reads x: 1 column, about N B",
        "    statistics: 3 values",
        "  later passes read a copy of x: 1 column, about N B in /tmp, which may take up to 3 GiB",
        "",
        "memory for intermediate results, by kind of task",
        *(f"  {kind}: {task_learner(kind).learner.takes}" for kind in of_plan),
        "",
        "features of the training rows, if they are requested",
        "  1 more pass reads shop, x: 2 columns, about N B",
    ]


def test_a_pass_reads_no_column_that_is_not_told(files: str) -> None:
    told = re.findall(r"pass \d+ reads (.*):", PLAN.explain("passes", schema=files))
    learning, n = PLAN.learning(files, profile=False), 0
    while learning.round is not None:
        assert set(learning.columns) <= set(told[n].split(", "))
        learning = learning.next(learning.partial(ROWS, range(40)))
        n += 1
    assert 2 <= n <= len(told) <= learning.most_rounds


@pytest.mark.parametrize("data", [ROWS, ROWS.schema, lambda: iter([ROWS])])
def test_other_data_tells_what_is_known_of_it(data: Any) -> None:
    told = PLAN.explain("passes", schema=data)
    n_rows = "40 rows" if isinstance(data, pa.Table) else "an unknown number of rows"
    assert told.startswith(f"data: {n_rows}; the plan reads 3 of 4 columns\n")
    assert "\n  pass 1 reads shop, x: 2 columns\n" in told


@pytest.mark.parametrize(
    ("room", "why"), [(0, "the folder is in memory"), (7, "it is larger than 7 B, half")]
)
def test_a_copy_that_has_no_disk_is_told(
    files: str, room: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_passes, "room_for_copy", lambda _: room)
    told = PLAN.explain("passes", schema=files)
    assert re.search(rf"\n  no pass reads a copy of x: 1 column, .*: {why}", told)


def test_tables_in_memory_are_not_copied() -> None:
    assert "a copy of" not in PLAN.explain("passes", schema=ROWS)


def test_a_plan_that_learns_nothing_counts_rows() -> None:
    told = ff.Plan({"y": col("x") + 1}).explain("passes", schema=ROWS)
    assert "1 pass\n  pass 1 reads no columns and only counts rows\n" in told


def test_windows_take_passes_more() -> None:
    past = col("x").mean(over=ff.window(3, by="shop", time="unread"))
    told = ff.Plan({"scaled": past.standard_scale()}).explain("passes", schema=ROWS)
    assert "  1 more pass over the rows that windows or labels ahead combine\n" in told


def test_what_has_no_passes_is_told(files: str) -> None:
    with pytest.raises(InvalidPlan, match=r"plan.explain\('passes', schema=files\)"):
        PLAN.explain("passes")
    with pytest.raises(InvalidPlan, match=r"plan.explain\('passes', schema=files\)"):
        PLAN.fit(ROWS).explain("passes")
    with pytest.raises(UnknownColumn, match="lacks the column 'x'"):
        PLAN.explain("passes", schema=ROWS.drop_columns("x"))
    texts = ROWS.set_column(0, "x", pa.array([str(k) for k in range(40)]))
    with pytest.raises(TypeMismatch, match=r"col\('x'\)"):
        PLAN.explain("passes", schema=texts)


def test_every_kind_of_state_says_what_it_takes() -> None:
    assert all(task_learner(kind).learner.takes for kind in KINDS)
