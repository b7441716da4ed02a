"""Live states with a file: opened again, under other plans, and taken elsewhere as Parquet."""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import HistoryMissing, StateError, TypeMismatch, UnknownColumn
from fastfeat.live.file import journal as journal_module
from fastfeat.live.file.journal import Journal
from fastfeat.live.live import Live
from fastfeat_tests.live.file.journal_entries import bits_of, write_plainly

N_EVENTS = 240
_DAY = ff.window("1d", time="t", by="card")


@pytest.fixture
def plain(monkeypatch) -> None:
    """Have rows written as they are, not compressed."""
    write_plainly(monkeypatch)


def _events(first: int = 0, n_rows: int = N_EVENTS, unit: str = "us") -> pa.Table:
    """Return events of 6 cards, one every 40 minutes, told apart by a number."""
    numbers = np.arange(first, first + n_rows)
    made = np.random.default_rng(3).normal(size=(5000, 2))[numbers]
    times = pa.array(numbers * 2400, pa.int64()).cast(pa.timestamp("s"))
    return pa.table(
        {
            "id": pa.array(numbers),
            "t": times.cast(pa.timestamp(unit, "UTC")),
            "card": [None if n % 17 == 3 else f"card {n * n % 6}" for n in numbers.tolist()],
            "x": pa.array(made[:, 0], mask=numbers % 11 == 5),
            "y": made[:, 1] > 0,
            "tags": [[f"tag {n % 3}"] if n % 5 else None for n in numbers.tolist()],
            "place": pa.array((numbers % 3).astype(np.int64)),
        }
    )


_PLACES = pa.table({"place": [0, 1, 2], "level": [1.5, None, 3.0]})


def _plan(last: str = "1d", **more: Any) -> ff.Plan:
    """Return a plan with windows, windows in windows, late columns, lists, and a lookup."""
    window = ff.window(last, time="t", by="card")
    level = ff.lookup("places", by="place").col("level")
    return ff.Plan(
        {
            "mean": col("x").mean(over=window),
            "n": ff.count(over=window),
            "won": col("y").cast("float64").mean(over=window),
            "level": level,
            **more,
        },
        label="y",
        row_id="id",
    )


def _fitted(plan: ff.Plan) -> ff.FittedPlan:
    return plan.fit(_events(0, 100), tables={"places": _PLACES})


def _nested() -> ff.FittedPlan:
    inner = col("x").mean(over=_DAY)
    return _fitted(_plan(nested=(col("x") - inner).abs().max(over=_DAY)))


def _fed(live: Live, events: pa.Table, size: int = 7) -> list[Any]:
    return [
        live.process(events.slice(begin, size), source="e:0", first=begin, end=begin + size)
        for begin in range(0, events.num_rows, size)
    ]


def _bits(pieces: list[pa.Table]) -> Any:
    return bits_of(pa.concat_tables(pieces).combine_chunks())


@pytest.mark.parametrize("durability", ["commit", "interval", "checkpoint"])
def test_a_state_that_is_opened_again_answers_with_the_same_bits(tmp_path, monkeypatch, durability):
    monkeypatch.setattr(journal_module, "SMALLEST_COMPACTION", 9_000)
    fitted, events = _nested(), _events()
    alone = fitted.online(tables={"places": _PLACES})
    expected = _fed(alone, events)
    path, found, begin = tmp_path / "state.db", [], 0
    live = fitted.online(path=path, tables={"places": _PLACES}, durability=durability)
    for k in range(0, events.num_rows, 7):
        part = events.slice(k, 7)
        found.append(live.process(part, source="e:0", first=k, end=k + part.num_rows))
        if k % 28 == 0:
            live.close()
            live = fitted.online(path=path, durability=durability)
            begin = live.offsets["e:0"]
            assert begin == k + part.num_rows
    assert _bits(found) == _bits(expected)
    assert live.history() == alone.history()
    assert live.tables["places"].equals(alone.tables["places"])
    live.close()


def test_outcomes_corrections_and_what_is_forgotten_come_back(tmp_path, plain):
    fitted, path = _fitted(_plan()), tmp_path / "state.db"
    pair = [
        fitted.online(tables={"places": _PLACES}, late="insert", keep="3d", path=where)
        for where in (None, path)
    ]
    events = _events().drop_columns(["y"])
    for live in pair:
        live.process(events.slice(0, 100))
        known = _events(0, 90).filter(_events(0, 90).column("card").is_valid())
        live.outcomes(known.select(["id", "y"]))
        live.correct(pa.table({"id": [50, 51], "x": [5.0, None]}))
        live.update(events.slice(120, 20))
        live.process(events.slice(110, 5))
        live.forget("card", "card 1")
        live.update_table("places", pa.table({"place": [1], "level": [9.0]}))
    alone, kept = pair
    kept.close()
    content = path.read_bytes()
    assert b"card 1" not in content
    assert b"card 3" in content
    kept = fitted.online(path=path, late="insert", keep="3d")
    assert kept.history() == alone.history()
    ask = events.slice(200, 5)
    assert bits_of(kept.features(ask)) == bits_of(alone.features(ask))
    assert bits_of(kept.process(ask)) == bits_of(alone.process(ask))
    kept.close()
    with pytest.raises(StateError, match=r"has keep='3d', but keep='4d' was passed"):
        fitted.online(path=path, keep="4d")


def test_a_failed_write_leaves_the_state_as_it_was(tmp_path):
    fitted, path = _fitted(_plan()), tmp_path / "state.db"
    live = fitted.online(tables={"places": _PLACES}, path=path)
    events = _events()
    _fed(live, events.slice(0, 14))
    before = live.history()
    journal = live._state.journal
    assert isinstance(journal, Journal)
    execute = journal._file.connection.execute
    execute(f"PRAGMA max_page_count = {execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StateError, match="everything up to the last commit is safe"):
        live.process(events.slice(14, 200), source="e:0", first=14, end=214)
    assert live.history() == before
    assert live.offsets == {"e:0": 14}
    execute("PRAGMA max_page_count = 4294967294")
    found = live.process(events.slice(14, 7), source="e:0", first=14, end=21)
    expected = fitted.transform(
        events.slice(14, 7), history=events.slice(0, 14), tables={"places": _PLACES}
    )
    assert bits_of(found) == bits_of(expected)
    live.close()


def test_a_state_of_which_all_is_on_disk_closes_where_there_is_no_room(tmp_path, monkeypatch):
    fitted, path = _fitted(_plan()), tmp_path / "state.db"
    live = fitted.online(tables={"places": _PLACES}, path=path)
    _fed(live, _events().slice(0, 14))
    history = live.history()

    def full(*_: Any, **__: Any) -> bool:
        raise StateError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "compact", full)
        with pytest.raises(StateError, match="the disk is full"):
            live.compact()
        live.close()
    with fitted.online(path=path) as again:
        assert again.history() == history


@pytest.mark.parametrize("durability", ["commit", "interval", "checkpoint"])
def test_what_is_forgotten_is_gone_once_it_is_on_disk(tmp_path, plain, durability):
    fitted, path = _fitted(_plan()), tmp_path / "state.db"
    live = fitted.online(tables={"places": _PLACES}, path=path, durability=durability)
    live.update(_events())
    live.checkpoint()
    assert b"card 1" in _bytes_of(path)
    live.forget("card", "card 1")
    live.checkpoint()
    assert b"card 1" not in _bytes_of(path)
    assert b"card 3" in _bytes_of(path)
    live.close()
    assert b"card 1" not in path.read_bytes()


def test_what_was_forgotten_before_a_kill_is_gone_at_the_end(tmp_path, plain, monkeypatch):
    fitted, path = _fitted(_plan()), tmp_path / "state.db"
    live = fitted.online(tables={"places": _PLACES}, path=path)
    live.update(_events())
    with monkeypatch.context() as patched:
        patched.setattr(journal_module.Journal, "settle", lambda *args, **options: None)
        live.forget("card", "card 1")
        history = live.history()
        live.close()
    assert b"card 1" in path.read_bytes()
    live = fitted.online(path=path)
    live.close()
    assert b"card 1" not in path.read_bytes()
    live = fitted.online(path=path)
    assert live.history() == history
    live.close()


def _bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


# --- other plans --------------------------------------------------------------------------------


def _state(fitted: ff.FittedPlan, path: Path, n_rows: int = N_EVENTS) -> None:
    with fitted.online(tables={"places": _PLACES}, path=path) as live:
        _fed(live, _events(0, n_rows))


def test_another_plan_that_sees_no_further_answers_as_transform_does(tmp_path):
    path = tmp_path / "state.db"
    _state(_fitted(_plan()), path)
    inner = col("x").max(over=ff.window("6h", time="t", by="card"))
    other = _fitted(_plan("12h", nested=inner.mean(over=ff.window("6h", time="t", by="card"))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        live = other.online(path=path)
    history = _events()
    events = _events(N_EVENTS, 30)
    expected = other.transform(events, history=history, tables={"places": _PLACES})
    for begin in (0, 15):
        assert live.offsets["e:0"] >= N_EVENTS
        found = live.process(events.slice(begin, 15))
        assert bits_of(found) == bits_of(expected.slice(begin, 15).combine_chunks())
        live.close()
        live = other.online(path=path)
    live.close()


def test_another_plan_that_sees_further_is_told_how_far_the_log_reaches(tmp_path):
    path = tmp_path / "state.db"
    _state(_fitted(_plan()), path)
    other = _fitted(_plan("3d"))
    latest = _events().column("t")[-1].as_py()
    with pytest.warns(HistoryMissing) as told:
        live = other.online(path=path)
    text = str(told[0].message)
    begin, whole = text.split("go back to ")[1].split(". Features of rows from ")
    whole = whole.removesuffix(" on are complete")
    assert begin == str(latest.replace(day=latest.day - 1))
    late = (np.datetime64(whole[:19]) - np.datetime64("1970-01-01T00:00:00")).astype(
        int
    ) // 2400 + 1
    between = _events(N_EVENTS, int(late) - N_EVENTS)
    live.update(between)
    events = _events(late, 20)
    past = pa.concat_tables([_events(), between])
    expected = other.transform(events, history=past, tables={"places": _PLACES})
    assert bits_of(live.process(events)) == bits_of(expected)
    live.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.online(path=path).close()


def test_another_plan_over_rows_is_told_when_they_are_whole(tmp_path):
    path = tmp_path / "state.db"
    _state(_fitted(_plan()), path)
    other = _fitted(_plan(lag=col("x").lag(4, over=ff.window(time="t", by="card"))))
    with pytest.warns(HistoryMissing, match="rows are complete after 4 more rows of their"):
        other.online(path=path).close()


def test_another_plan_of_another_name_is_told_how_far_the_log_reaches(tmp_path):
    path = tmp_path / "state.db"
    _state(_fitted(_plan()), path)
    with pytest.warns(HistoryMissing, match="go back to .* Features of rows from .* are complete"):
        ff.online({"other": _fitted(_plan("3d"))}, path=path).close()


def test_a_key_that_cannot_be_deleted_stays(tmp_path):
    path = tmp_path / "state.db"
    live = _fitted(_plan()).online(tables={"places": _PLACES}, path=path)
    live.update(_events(0, 10))
    journal = live._state.journal
    assert isinstance(journal, Journal)
    journal._file.connection.execute("PRAGMA busy_timeout = 50")
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="another process has kept the file locked"):
            live.delete_audit_key()
    live.update(_events(10, 10))
    live.close()
    assert ff.replay(path).ok


def test_another_plan_whose_columns_lack_or_differ_is_refused(tmp_path):
    path = tmp_path / "state.db"
    _state(_fitted(_plan()), path)
    before = _content(path)
    lacking = _fitted(_plan(tags=col("tags").list.len().max(over=_DAY)))
    with pytest.raises(UnknownColumn, match=r"the state lacks 'tags', which the plans read"):
        lacking.online(path=path)
    rows = _events(0, 100)
    whole = rows.set_column(3, "x", rows.column("place"))
    other = _plan().fit(whole, tables={"places": _PLACES})
    with pytest.raises(TypeMismatch, match=r"the state has 'x' as float64, but .* saw int64"):
        other.online(path=path)
    renamed = rows.rename_columns({"id": "key"})
    other_id = ff.Plan({"n": ff.count(over=_DAY)}, row_id="key").fit(renamed)
    with pytest.raises(
        UnknownColumn, match=r"the state lacks 'key'|row_id='id', but the plans have"
    ):
        other_id.online(path=path)
    assert _content(path) == before
    _fitted(_plan()).online(path=path).close()


def _content(path: Path) -> Any:
    follower = journal_module.Journal.follow(path)
    news, plans = follower.news(), follower.plans
    follower.close()
    assert news.base is not None
    return news.base.rows, [one.seq for one in news.entries], plans


# --- Parquet ------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_state_taken_elsewhere_answers_with_the_same_bits(tmp_path, unit):
    events = _events(0, N_EVENTS + 20, unit)
    plan = _plan(nested=(col("x") - col("x").mean(over=_DAY)).max(over=_DAY))
    fitted = plan.fit(events.slice(0, 100), tables={"places": _PLACES})
    live = fitted.online(tables={"places": _PLACES})
    _fed(live, events.slice(0, N_EVENTS))
    live.export(tmp_path / "rows.parquet")
    again = fitted.online(tmp_path / "rows.parquet", tables=live.tables)
    assert again.history() == live.history()
    assert again.offsets == live.offsets
    ask = events.slice(N_EVENTS)
    assert bits_of(again.process(ask)) == bits_of(live.process(ask))
    again.export(str(tmp_path / "rows.parquet"))
    with_file = fitted.online(
        str(tmp_path / "rows.parquet"), tables=live.tables, path=tmp_path / "state.db"
    )
    assert with_file.history() == live.history()
    with_file.close()


def test_an_exported_state_is_a_history_for_other_plans(tmp_path):
    live = _nested().online(tables={"places": _PLACES})
    _fed(live, _events())
    live.export(tmp_path / "rows.parquet")
    other = _fitted(_plan("6h", nested=(col("x") - col("x").mean(over=_DAY)).max(over=_DAY)))
    found = other.online(tmp_path / "rows.parquet", tables=live.tables)
    rows = live.history()
    beside = other.online(rows, tables=live.tables)
    assert found.history() == beside.history()
    ask = _events(N_EVENTS, 9)
    assert bits_of(found.process(ask)) == bits_of(beside.process(ask))


def test_what_cannot_be_exported_or_read_is_told(tmp_path):
    fitted = _fitted(_plan())
    live = fitted.online(tables={"places": _PLACES})
    with pytest.raises(StateError, match="the state has no rows yet"):
        live.export(tmp_path / "rows.parquet")
    live.update(_events())
    number: Any = 3
    for call in (lambda: live.export(number), lambda: fitted.online(path=number)):
        with pytest.raises(TypeMismatch, match=r"path= takes the path of a file.*got 3"):
            call()
    with pytest.raises(StateError, match="the file cannot be written: No such file or directory"):
        live.export(tmp_path / "missing" / "rows.parquet")
    assert list(tmp_path.iterdir()) == []
    path = tmp_path / "rows.parquet"
    live.export(path)
    content = path.read_bytes()
    rows = pq.read_table(path)
    told = rows.schema.metadata[b"fastfeat.state"].replace(b'"format": 1', b'"format": 2')
    pq.write_table(rows.replace_schema_metadata({b"fastfeat.state": told}), path)
    with pytest.raises(StateError, match=r"this file has format 2, .* Update fastfeat"):
        fitted.online(path, tables=live.tables)
    path.write_bytes(content[:-300])
    with pytest.raises(ff.errors.FastfeatError, match=r"rows\.parquet: cannot be read"):
        fitted.online(path, tables=live.tables)
