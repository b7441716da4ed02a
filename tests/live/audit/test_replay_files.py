"""Replay of files: of what live states of all kinds wrote, and of what was altered there."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.online import replay
from fastfeat.errors import InvalidPlan, StateError
from fastfeat.live.audit.replay_report import Replay
from fastfeat.live.file.entries import table_bytes, table_of
from fastfeat.live.live import Live
from fastfeat.live.state import state as state_module

SECOND = 10**6


def rows(n: int, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "id": np.arange(n) + seed * 10**6,
            "card": [f"card {k}" for k in random.integers(0, 9, n)],
            "t": pa.array((np.arange(n) + seed * 10**5) * 60 * SECOND, pa.timestamp("us")),
            "x": pa.array(random.normal(size=n), mask=random.random(n) < 0.1),
            "bad": pa.array(random.random(n) < 0.5),
            "shop": random.integers(0, 3, n),
        }
    )


SHOPS = pa.table({"shop": [0, 1, 2], "size": [1.0, 2.0, 3.0]})
DAY = ff.window("1d", by="card", time="t")
PLAN = ff.Plan(
    {
        "sum": col("x").sum(over=DAY),
        "n": ff.count(over=DAY),
        "bad_1d": col("bad").mean(over=ff.window("1d", by="card", time="t", offset="1h")),
        "size": ff.lookup("shops", by="shop").col("size"),
        "x": col("x").standard_scale(),
    },
    label="bad",
    row_id="id",
    label_delay="1h",
)
NESTED = ff.Plan({"z": (col("x") - col("x").mean(over=DAY)).max(over=DAY)})


def fitted(plan: ff.Plan = PLAN) -> ff.FittedPlan:
    return plan.fit(rows(200), tables={"shops": SHOPS}, history="batch")


FITTED = fitted()


def begin(path: Path, **options: Any) -> Live:
    return FITTED.online(history=rows(50, 1), path=path, tables={"shops": SHOPS}, **options)


def work(path: Path) -> bytes:
    """Write a state in which everything happens; return its last link."""
    data = rows(200, 2)
    early = data.drop_columns(["bad"])
    with begin(path) as live:
        live.process(early.slice(0, 60), source="events:0", first=0, end=60)
        live.process(
            {
                name: column[60].as_py()
                for name, column in zip(early.column_names, early.columns, strict=True)
            }
        )
        live.update(data.slice(61, 20), source="events:1", first=10, end=30)
        live.outcomes(data.select(["id", "bad"]).slice(0, 60), source="outcomes:0", first=0, end=60)
        live.update_table("shops", {"shop": [1], "size": [7.5]})
        live.process(early.slice(81, 40), source="events:0", first=60, end=100)
        live.correct({"id": [2_000_000 + 85], "x": [123.0]})
        live.process(
            data.slice(81, 2)
            .drop_columns(["x"])
            .append_column("x", data["x"].slice(81, 2))
            .slice(0, 0)
        )
        live.process(early.slice(121, 40), source="events:0", first=100, end=140)
        return live.head


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("written") / "state.db"
    work(path)
    return path


@pytest.fixture
def state(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(written, tmp_path / "state.db"))


def change_file(path: Path, change: Callable[[sqlite3.Connection], object]) -> Replay:
    """Return the replay of a file in which a hand has written."""
    connection = sqlite3.connect(path)
    change(connection)
    connection.commit()
    connection.close()
    return replay(path, FITTED)


def test_a_state_in_which_everything_happened_is_as_it_was_noted(state: Path) -> None:
    report = replay(state, FITTED)
    assert report.ok, report
    assert report.n_changes >= 8
    assert replay(state).head == report.head
    assert replay(state, head=report.head.hex()).ok


def test_windows_in_windows_are_done_again(tmp_path: Path) -> None:
    live = fitted(NESTED).online(path=tmp_path / "nested.db")
    with live:
        for begin_ in range(0, 120, 17):
            live.process(rows(120, 3).slice(begin_, 17))
    report = replay(tmp_path / "nested.db")
    assert report.ok, report
    assert report.n_rows == 120


def test_a_changed_value_is_named_by_offset_row_and_column(state: Path) -> None:
    def change(connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT seq, rows FROM segments WHERE source = 'events:0'")
        seq, content = found.fetchall()[1]
        table = table_of(content)
        values = table["x"].to_pylist()
        values[5] = float(np.nextafter(values[5], 99))
        at = table.column_names.index("x")
        changed = table_bytes(table.set_column(at, "x", pa.array(values)), "lz4")
        connection.execute("UPDATE segments SET rows = ? WHERE seq = ?", (changed, seq))

    report = change_file(state, change)
    found = report.difference
    assert found is not None
    assert (found.source, found.offset, found.row, found.column) == ("events:0", 65, 5, "x")


def test_dropped_changes_are_found_at_the_end_and_in_between(state: Path) -> None:
    report = change_file(
        state,
        lambda c: c.execute("DELETE FROM segments WHERE seq = (SELECT max(seq) FROM segments)"),
    )
    assert "missing at the end: 1 change of" in str(report)
    report = change_file(state, lambda c: c.execute("DELETE FROM segments WHERE seq = 3"))
    assert report.difference is not None
    assert report.difference.segment == 4


def test_a_file_that_was_written_anew_does_not_have_the_link_that_was_noted(
    written: Path, tmp_path: Path
) -> None:
    noted = replay(written).head
    work(tmp_path / "anew.db")
    assert replay(tmp_path / "anew.db").ok
    report = replay(tmp_path / "anew.db", head=noted)
    assert "the noted link is not in the chain" in str(report)


def test_a_cut_tail_is_found_by_the_link_that_was_noted(written: Path, tmp_path: Path) -> None:
    noted = replay(written).head
    path = tmp_path / "cut.db"
    with begin(path) as live:
        live.process(rows(200, 2).slice(0, 60), source="events:0", first=0, end=60)
    assert replay(path).ok
    assert not replay(path, head=noted).ok


@pytest.mark.parametrize("table", ["rows", "table"])
def test_a_changed_base_is_found(state: Path, table: str) -> None:
    def change(connection: sqlite3.Connection) -> None:
        found = connection.execute("SELECT id, content FROM parts WHERE kind = ?", (table,))
        number, content = found.fetchone()
        rows_of = table_of(content)
        at = rows_of.column_names.index("x" if table == "rows" else "size")
        values = rows_of.column(at).to_pylist()
        values[2] = 1e9
        name = rows_of.column_names[at]
        changed = table_bytes(rows_of.set_column(at, name, pa.array(values)), "zstd")
        connection.execute("UPDATE parts SET content = ? WHERE id = ?", (changed, number))

    report = change_file(state, change)
    assert report.difference is not None
    assert "the snapshot" in report.difference.what
    if table == "rows":
        assert (report.difference.row, report.difference.column) == (2, "x")


def test_another_artifact_than_the_one_that_answered_is_found(state: Path) -> None:
    other = PLAN.fit(rows(150), tables={"shops": SHOPS}, history="batch")
    report = replay(state, other)
    assert "a different plan artifact" in str(report)
    with pytest.raises(InvalidPlan, match="has the plans 'a', but the state"):
        replay(state, {"a": FITTED})


def test_other_plans_over_the_log_are_noted(state: Path) -> None:
    other = fitted(ff.Plan({"sum": col("x").sum(over=DAY)}, row_id="id"))
    with other.online(path=state) as live:
        live.process(rows(200, 2).slice(161, 20).drop_columns(["bad"]))
    report = replay(state, other)
    assert report.ok, report
    assert not replay(state, FITTED).ok


def test_a_state_that_is_compacted_or_forgets_is_as_it_was_noted(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with begin(path) as live:
        live.process(rows(200, 2).slice(0, 60))
        assert live.forget("card", "card 3") > 0
        live.process(rows(200, 2).slice(60, 60))
    report = replay(path, FITTED)
    assert report.ok, report
    assert report.n_rows == 60


def test_what_is_no_state_or_no_link_is_refused(tmp_path: Path, state: Path) -> None:
    with pytest.raises(StateError, match=r"nothing\.db"):
        replay(tmp_path / "nothing.db")
    with pytest.raises(StateError, match="has 32 bytes or 64 hexadecimal digits"):
        replay(state, head="no link")


@pytest.mark.parametrize("seed", range(12))
def test_a_byte_changed_anywhere_is_found_or_says_nothing(state: Path, seed: int) -> None:
    """A flipped byte is a difference or an error, or no bit of what was noted depends on it."""
    random = np.random.default_rng(seed)
    expected = replay(state).head
    content = bytearray(state.read_bytes())
    at = int(random.integers(4096, len(content)))
    content[at] ^= 1 << int(random.integers(8))
    state.write_bytes(bytes(content))
    try:
        report = replay(state)
    except StateError:
        return
    assert not report.ok or report.head == expected


def test_sweeps_are_changes_that_are_done_again_where_they_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "SWEPT_AT", 20)
    fitted = ff.Plan({"sum": col("x").sum(over=ff.window("1h", by="card", time="t"))}).fit(
        rows(200), history="batch"
    )
    data = rows(600, 4)
    names = pa.array([f"card {k // 3}" for k in range(600)])  # each is silent after three rows
    data = data.set_column(data.column_names.index("card"), "card", names)
    with fitted.online(path=tmp_path / "state.db") as live:
        for k in range(0, 600, 50):
            live.process(data.slice(k, 50))
        assert live.counts["swept"] > 0
    monkeypatch.setattr(state_module, "SWEPT_AT", 1 << 30)
    report = replay(tmp_path / "state.db", fitted)
    assert report.ok, report
    assert report.n_changes > 12


def test_a_plan_where_the_state_belongs_is_told(tmp_path: Path) -> None:
    plan = fitted(NESTED)
    path, saved = tmp_path / "s.state", tmp_path / "p.fastfeat"
    plan.save(saved)
    plan.online(path=path).close()
    for first, shown in ((str(saved), repr(str(saved))), (plan, "fitted")):
        with pytest.raises(InvalidPlan, match="must be the first argument") as told:
            replay(first, str(path))  # pyright: ignore[reportArgumentType]  # wrong on purpose
        assert str(told.value).endswith(f"Write ff.replay({str(path)!r}, {shown})")
    assert replay(path, saved).ok
