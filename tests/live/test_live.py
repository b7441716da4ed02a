"""`Live`: what a user gives and gets, in every form, and what is said where it cannot be."""

from __future__ import annotations

import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_records
from fastfeat.errors import (
    FastfeatError,
    InvalidData,
    InvalidPlan,
    Overflow,
    StateError,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat.live.lower.live_plan import lower
from fastfeat.live.state.arrivals import ArrivalRequest
from fastfeat.live.state.changes import Base, Entry, Settings, StateChange
from fastfeat.live.state.state import LiveState

MINUTE = datetime.timedelta(minutes=1)
START = datetime.datetime(2026, 11, 27, 12)
OVER = ff.window("1h", time="ts", by="card")
SHOPS = pa.table({"shop": ["x", "y"], "size": [10, 20]})
FEATURES = {
    "n": ff.count(over=OVER),
    "mean": col("x").mean(over=OVER),
    "last_shop": col("shop").last(over=OVER) == "x",
    "tags": col("tags").list.len().sum(over=OVER),
    "x": col("x") * 2,
    "size": ff.lookup("shops", by="shop").col("size"),
}


def rows(n: int, first: int = 0) -> pa.Table:
    """Return payments of two cards, one a minute."""
    numbers = range(first, first + n)
    return pa.table(
        {
            "ts": pa.array([START + k * MINUTE for k in numbers], pa.timestamp("us")),
            "card": ["ab"[k % 2] for k in numbers],
            "shop": [["x", "y", None, "z"][k % 4] for k in numbers],
            "x": [None if k % 5 == 4 else float(k) for k in numbers],
            "tags": [["u", "v"][: k % 3] for k in numbers],
            "note": [f"n{k}" for k in numbers],
        }
    )


PLAN = ff.Plan(FEATURES, keep=["note"]).fit(rows(20), tables={"shops": SHOPS})
WHOLE = PLAN.transform(rows(20), history="batch", tables={"shops": SHOPS})


def live(n_history: int = 10, **options: Any) -> ff.Live:
    """Return a state that begins with the first rows."""
    return PLAN.online(rows(n_history), tables={"shops": SHOPS}, **options)


@pytest.mark.parametrize("way", ["arrow", "batches", "reader", "pandas", "polars", "dict", "dicts"])
def test_rows_come_in_every_form_that_transform_takes(way: str) -> None:
    given = rows(5, 10)
    forms = {
        "arrow": lambda: given,
        "batches": lambda: given.to_batches(max_chunksize=2),
        "reader": lambda: pa.RecordBatchReader.from_batches(given.schema, given.to_batches()),
        "pandas": lambda: given.to_pandas(),
        "polars": lambda: pytest.importorskip("polars").from_arrow(given),
        "dict": lambda: {
            name: column.to_pylist()
            for name, column in zip(given.column_names, given.columns, strict=True)
        },
        "dicts": given.to_pylist,
    }
    found = live().process(forms[way]())
    note = WHOLE.schema.field("note")
    found = found.set_column(6, note, found.column("note").cast(note.type))
    assert found.equals(WHOLE.slice(10, 5).combine_chunks())


def test_features_come_in_every_form_that_transform_gives() -> None:
    frame = rows(5, 10).to_pandas().set_index(np.arange(7, 12))
    numbers = [name for name in WHOLE.column_names if name != "note"]
    wanted = PLAN.transform(rows(20), history="batch", tables={"shops": SHOPS}, to="numpy")[10:15]
    found = live().process(frame, to="numpy")
    assert found.tobytes("F") == np.asfortranarray(wanted).tobytes("F")
    pandas = live().process(frame, to="pandas")
    assert pandas.index.tolist() == [7, 8, 9, 10, 11]
    assert pandas["note"].tolist() == ["n10", "n11", "n12", "n13", "n14"]
    assert live().process(frame, to="polars").columns == [*numbers, "note"]
    if find_spec("torch"):
        assert live().process(frame, to="torch").numpy().tobytes() == wanted.tobytes("C")
    out = np.zeros((5, len(numbers)))
    assert live().process(frame, to="numpy", out=out) is out
    assert out.tobytes() == wanted.tobytes("C")
    asked = live(15).features(rows(1, 15), to="numpy", out=out[:1])
    assert asked.tobytes() == PLAN.transform(
        rows(16), history="batch", tables={"shops": SHOPS}, to="numpy"
    )[15:].tobytes("C")


def test_one_row_is_a_dict_in_and_an_array_out() -> None:
    state = live()
    wanted = PLAN.transform(rows(20), history="batch", tables={"shops": SHOPS}, to="numpy")
    for k, row in enumerate(rows(10, 10).to_pylist()):
        asked = state.features(row)
        found = state.process(row)
        assert found.shape == (6,)
        assert found.dtype == np.float64
        assert found.flags.owndata or found.base is not None
        assert found.tobytes() == asked.tobytes() == np.ascontiguousarray(wanted[10 + k]).tobytes()


@pytest.mark.parametrize("n", [1, 7])
def test_asked_rows_do_not_see_each_other_and_leave_no_trace(n: int) -> None:
    state = live()
    before = state.history()
    asked = pa.concat_tables([rows(1, 10)] * n)
    found = state.features(asked)
    assert state.history() == before
    assert found == pa.concat_tables([WHOLE.slice(10, 1)] * n).combine_chunks()


def test_time_of_all_rows_is_given_beside_them() -> None:
    state, row = live(), rows(1, 10).to_pylist()[0]
    wanted = state.features(row)
    moment = row.pop("ts")
    assert state.features(row, at=moment).tobytes() == wanted.tobytes()
    many = state.features(rows(1, 10).drop_columns(["ts"]), at=np.datetime64(moment), to="numpy")
    assert many[0].tobytes() == wanted.tobytes()
    with pytest.raises(InvalidData, match=r"at=.*these rows have 'ts'"):
        state.features(rows(1, 10), at=moment)
    with pytest.raises(TypeMismatch, match="ts"):
        state.features(row, at="noon")


def test_history_is_the_proof() -> None:
    state = live(0)
    assert state.history() is not None or state.history() is None
    for k in range(0, 20, 4):
        history = state.history()
        batch = rows(4, k)
        expected = PLAN.transform(
            batch,
            history=rows(0) if history is None else history,
            tables={"shops": SHOPS},
        )
        assert state.process(batch).equals(expected.combine_chunks())
    history = state.history()
    assert history is not None
    assert history.num_rows == 20
    assert set(history.column_names) == {"ts", "card", "x", "shop", "tags"}


def test_rows_out_of_reach_leave_the_history() -> None:
    state = live(0)
    state.process(rows(2))
    state.process(rows(1, 100))  # of card a, more than an hour later
    history = state.history()
    assert history is not None
    assert history.column("card").to_pylist() == ["b", "a"]


def test_several_plans_over_one_log_answer_by_name() -> None:
    other = ff.Plan({"max": col("x").max(over=ff.window("2h", time="ts"))}).fit(rows(20))
    state = ff.online({"one": PLAN, "two": other}, rows(10), tables={"shops": SHOPS})
    found = state.process(rows(5, 10))
    assert found["one"].equals(WHOLE.slice(10, 5).combine_chunks())
    wanted = other.transform(rows(20), history="batch")
    assert found["two"].equals(wanted.slice(10, 5).combine_chunks())
    row = rows(1, 15).to_pylist()[0]
    assert {name: array.shape for name, array in state.features(row).items()} == {
        "one": (6,),
        "two": (1,),
    }
    out = {"one": np.zeros((1, 6)), "two": np.zeros((1, 1))}
    assert state.process(rows(1, 15), to="numpy", out=out) is out
    assert out["two"][0, 0] == wanted["max"][15].as_py()
    with pytest.raises(InvalidPlan, match=r"out= must be a dict .*'one', 'two'"):
        state.process(rows(1, 16), to="numpy", out=out["one"])
    assert "one, two" in repr(state)


def test_plan_without_windows_is_served_too() -> None:
    plan = ff.Plan({"x": col("x") + 1, "shop": col("shop").ordinal_encode()}).fit(rows(20))
    state = plan.online()
    assert state.process(rows(5)).equals(plan.transform(rows(5)))
    assert (
        state.process(rows(1).to_pylist()[0]).tolist()
        == plan.transform_row(rows(1).to_pylist()[0]).tolist()
    )
    assert state.history() is None
    state.update(rows(3))


def test_tables_are_updated_by_key_and_others_grow() -> None:
    over = ff.window("1h", time="ts", by="card", table="visits")
    plan = ff.Plan(
        {
            "size": ff.lookup("shops", by="shop").col("size"),
            "rate": ff.asof("rates", time="ts", by="shop").col("rate"),
            "visits": col("x").sum(over=over),
        }
    )
    moments = pa.array([START, START + MINUTE], pa.timestamp("us"))
    tables = {
        "shops": SHOPS,
        "rates": pa.table({"ts": moments, "shop": ["x", "x"], "rate": [1.0, 2.0]}),
        "visits": pa.table({"ts": moments, "card": ["a", "a"], "x": [1.0, 2.0]}),
    }
    fitted = plan.fit(rows(20), tables=tables)
    state = fitted.online(tables=tables)
    row = {**rows(1, 8).to_pylist()[0], "shop": "x"}
    assert state.features(row).tolist() == [10, 2.0, 3.0]
    state.update_table("shops", {"shop": ["x", "w", "x"], "size": [11, 12, 13]})
    late = START + 2 * MINUTE
    state.update_table("rates", {"ts": late, "shop": "x", "rate": 5.0})
    state.update_table("visits", pa.table({"ts": [late], "card": ["a"], "x": [4.0]}))
    assert state.features(row).tolist() == [13, 5.0, 7.0]
    assert state.tables["shops"].to_pydict() == {"shop": ["x", "y", "w"], "size": [13, 20, 12]}
    assert {name: table.num_rows for name, table in state.tables.items()} == {
        "shops": 3,
        "rates": 3,
        "visits": 3,
    }
    assert fitted.transform([row], tables=state.tables, to="numpy").tolist() == [[13, 5.0, 7.0]]
    with pytest.raises(UnknownColumn, match=r"no plan reads a table 'shop'.*'shops'"):
        state.update_table("shop", SHOPS)
    with pytest.raises(UnknownColumn, match="size"):
        state.update_table("shops", {"shop": ["x"]})
    with pytest.raises(TypeMismatch, match="size"):
        state.update_table("shops", {"shop": ["x"], "size": ["big"]})
    assert state.tables["shops"].num_rows == 3


def test_table_that_was_never_given_is_asked_for() -> None:
    state = PLAN.online()
    with pytest.raises(UnknownColumn, match="shops"):
        state.process(rows(3))
    assert state.history() is None or len(state.history()) == 0  # pyright: ignore[reportArgumentType]
    state.update_table("shops", SHOPS)
    assert state.process(rows(3)).equals(WHOLE.slice(0, 3).combine_chunks())


def test_corrections_are_seen_by_later_rows() -> None:
    over = ff.window(10, time="t", by="card")
    data = {"id": [1, 2, 3], "t": [1, 2, 3], "card": ["a", "a", "b"], "x": [1.0, 2.0, 3.0]}
    fitted = ff.Plan({"sum": col("x").sum(over=over)}, row_id="id").fit(data)
    state = fitted.online(data)
    state.correct({"id": [1, 2], "x": [10.0, 20.0]})
    assert state.features({"t": 4, "card": "a", "x": 0.0}).tolist() == [30.0]
    state.correct({"id": 1, "card": "b"})
    assert state.features({"t": 4, "card": "b", "x": 0.0}).tolist() == [13.0]
    state.correct({"id": [2, 2], "x": [5.0, None]})
    assert state.features({"t": 4, "card": "a", "x": 0.0}).tolist() == [0.0]
    state.correct({"id": 3, "t": -20})
    assert state.features({"t": 4, "card": "b", "x": 0.0}).tolist() == [10.0]
    assert state.counts == {"corrected": 5}
    before = state.history()
    with pytest.raises(InvalidData, match="the state has no row with id = 9"):
        state.correct({"id": [1, 9], "x": [1.0, 1.0]})
    with pytest.raises(TypeMismatch, match="x"):
        state.correct({"id": 1, "x": "much"})
    assert state.history() == before


def test_forgotten_rows_were_never_there() -> None:
    kept = rows(20).filter(pa.array([card == "a" for card in rows(20)["card"].to_pylist()]))
    state = live(0)
    state.process(rows(20))
    assert state.forget("card", "b") == 10
    never = live(0)
    never.process(kept)
    assert state.history() == never.history()
    later = rows(6, 3)  # earlier than what card b had
    of_b = later.filter(pa.array([card == "b" for card in later["card"].to_pylist()]))
    assert state.process(of_b).equals(never.process(of_b))
    assert state.forget("shop", None) > 0
    assert state.forget("shop", "nowhere") == 0
    with pytest.raises(UnknownColumn, match="no column 'note'"):
        state.forget("note", "n1")
    with pytest.raises(TypeMismatch, match="card"):
        state.forget("card", 7)


def test_offsets_say_what_was_applied_and_refuse_it_again() -> None:
    state = live()
    state.process(rows(2, 10), source="events:0", first=100, end=102)
    state.update(rows(2, 12), source="events:0", first=102, end=104)
    state.update_table("shops", SHOPS, source="shops:0", first=0, end=2)
    assert state.offsets == {"events:0": 104, "shops:0": 2}
    with pytest.raises(StateError, match=r"'events:0': rows from offset 103 .* up to 104"):
        state.process(rows(2, 14), source="events:0", first=103, end=105)
    state.process(rows(2, 14), source="events:0", first=110, end=112)  # some were left out
    assert state.offsets["events:0"] == 112


class Failing:
    """A journal that fails from some call on.

    Args:
        error: what it raises.
    """

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException | None = error
        self.entries: list[Entry] = []

    def write(self, entries: Any) -> None:
        """Keep changes, or fail."""
        if self.error is not None:
            raise self.error
        self.entries += entries

    def settle(self, base: Any, *, erases: bool = False) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""


def begun(journal: Any, late: Any = "insert") -> tuple[ff.Live, LiveState]:
    """Return a state whose changes a journal keeps."""
    state = LiveState(lower(fitted_records({"": IDS})), Settings(late), Base(), journal)
    return ff.Live({"": IDS}, state), state


IDS = ff.Plan(
    {"n": ff.count(over=OVER), "y": col("y").sum(over=ff.window("1h", time="ts", by="card"))},
    row_id="id",
    outcomes=["y"],
).fit(rows(3).append_column("id", [[1, 2, 3]]).append_column("y", [[1.0, 2.0, 3.0]]))


def with_ids(table: pa.Table, first: int, y: float | None = None) -> pa.Table:
    """Return rows with ids, and a late column."""
    ids = pa.array(range(first, first + table.num_rows))
    return table.append_column("id", ids).append_column(
        "y", pa.array([y] * table.num_rows, pa.float64())
    )


CALLS: dict[str, Any] = {
    "process": lambda it: it.process(with_ids(rows(4, 10), 10)),
    "one row": lambda it: it.process(with_ids(rows(1, 10), 10).to_pylist()[0]),
    "late rows": lambda it: it.process(with_ids(rows(4, 3), 10)),
    "again": lambda it: it.process(pa.concat_tables([with_ids(rows(4, 10), 10)] * 2)),
    "update": lambda it: it.update(with_ids(rows(4, 10), 10)),
    "outcomes": lambda it: it.outcomes({"id": [8, 9], "y": [1.0, 2.0]}),
    "correct": lambda it: it.correct({"id": [8], "card": ["b"]}),
    "forget": lambda it: it.forget("card", "a"),
}


@pytest.mark.parametrize("call", CALLS)
def test_call_whose_journal_fails_has_not_happened(call: str) -> None:
    journal = Failing(StateError("the disk is full"))
    journal.error = None
    state, _ = begun(journal)
    state.process(with_ids(rows(10), 0))
    before, counts, entries = state.history(), state.counts, list(journal.entries)
    asked = state.features(rows(2, 20))
    journal.error = StateError("the disk is full")
    with pytest.raises(StateError, match="the disk is full"):
        CALLS[call](state)
    assert state.history() == before
    assert state.counts == counts
    assert state.offsets == {}
    assert state.features(rows(2, 20)) == asked
    assert journal.entries == entries
    journal.error = None
    CALLS[call](state)
    assert state.history() != before
    assert len(journal.entries) == len(entries) + 1


@pytest.mark.parametrize("call", CALLS)
def test_state_is_restored_from_what_was_kept(call: str) -> None:
    journal = Failing(ValueError())
    journal.error = None
    state, _ = begun(journal)
    state.process(with_ids(rows(10), 0), source="events:0", first=0, end=10)
    CALLS[call](state)
    state.process(with_ids(rows(3, 30), 30))
    again = LiveState(lower(fitted_records({"": IDS})), Settings("insert"), Base())
    again.restore(journal.entries)
    assert again.history() == state.history()
    assert (
        again.base()
        == LiveState(lower(fitted_records({"": IDS})), Settings("insert"), again.base()).base()
    )
    assert again.offsets == state.offsets
    asked, other = rows(2, 33), ff.Live({"": IDS}, again)
    assert other.features(asked) == state.features(asked)
    assert other.counts == {}


def test_interrupt_while_a_change_is_written_ends_the_state() -> None:
    journal = Failing(KeyboardInterrupt())
    journal.error = None
    state, _ = begun(journal)
    state.process(with_ids(rows(10), 0))
    journal.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        state.process(with_ids(rows(4, 10), 10))
    with pytest.raises(StateError, match=r"interrupted by KeyboardInterrupt.*Open it again"):
        state.process(with_ids(rows(4, 10), 10))


def test_overflow_in_the_last_row_leaves_the_state() -> None:
    over = ff.window(10, time="t")
    plan = ff.Plan({"sum": col("n").sum(over=over)})
    fitted = plan.fit({"t": [0], "n": [1]})
    state = fitted.online()
    big = 2**62
    with pytest.raises(Overflow, match="row 2"):
        state.process({"t": [1, 2, 3], "n": [big, big, 1]})
    assert state.history() is None
    state.process({"t": [1, 2], "n": [big, big]})
    with pytest.raises(Overflow):
        state.process({"t": 3, "n": 1})
    assert len(state.history()) == 2  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"card": "a"}, UnknownColumn, "'ts'"),
        ([{"card": "a"}], UnknownColumn, "'ts'"),
        ({"ts": START, "card": 5, "shop": "x", "x": 1.0, "tags": [], "note": ""}, None, "card"),
        ({"ts": "noon", "card": "a", "shop": "x", "x": 1.0, "tags": [], "note": ""}, None, "ts"),
        ({"ts": START, "card": "a", "shop": "x", "x": "1", "tags": [], "note": ""}, None, "x"),
        ({"ts": START, "card": "a", "shop": "x", "x": 1.0, "tags": "u", "note": ""}, None, "tags"),
        (7, TypeMismatch, "int"),
        ("nowhere.parquet", FastfeatError, "nowhere.parquet"),
    ],
)
def test_rows_that_are_none_are_refused_and_the_state_stays(
    given: Any, error: Any, told: str
) -> None:
    state = live()
    before = state.history()
    for call in (state.process, state.features, state.update):
        if call == state.update and told == "note":
            continue
        with pytest.raises(error or TypeMismatch, match=told):
            call(given)
    assert state.history() == before


def test_forms_that_are_none_are_refused_before_anything_changes() -> None:
    state = live()
    before = state.history()
    refused: list[dict[str, Any]] = [
        {"to": "excel"},
        {"to": "cupy"},
        {"to": "arrow", "out": np.zeros((1, 6))},
    ]
    for options in refused:
        with pytest.raises(InvalidPlan):
            state.process(rows(1, 10), **options)
    with pytest.raises(FastfeatError):
        state.process(rows(1, 10), to="numpy", out=np.zeros((2, 6)))
    assert state.history() == before


def test_plans_that_are_none_are_refused() -> None:
    with pytest.raises(TypeMismatch, match=r"\{'fraud': fitted\}.*fitted.online"):
        ff.online(PLAN)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidPlan, match="no plans"):
        ff.online({})
    with pytest.raises(InvalidPlan, match="late must be"):
        PLAN.online(late="ignore")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidPlan, match="durability"):
        PLAN.online(durability="never")  # pyright: ignore[reportArgumentType]
    with pytest.raises(FastfeatError, match=r"history=: .*'card'"):
        PLAN.online(rows(3).drop_columns(["card"]))
    with pytest.raises(InvalidData, match=r"history=, row 1: id = 1 .* x is"):
        IDS_OF_X.online({"id": [1, 1], "ts": [START, START], "card": ["a", "a"], "x": [1.0, 2.0]})


IDS_OF_X = ff.Plan({"x": col("x").sum(over=OVER)}, row_id="id").fit(
    rows(3).append_column("id", [[1, 2, 3]])
)


def test_closed_state_says_so() -> None:
    with live() as state:
        state.process(rows(1, 10))
    for call in (
        lambda: state.process(rows(1, 11)),
        lambda: state.features(rows(1, 11)),
        state.history,
        state.checkpoint,
        lambda: state.forget("card", "a"),
    ):
        with pytest.raises(StateError, match="closed"):
            call()
    state.close()  # again


def test_state_says_what_it_is() -> None:
    assert repr(live()) == "Live(one plan: 10 rows)"
    assert live().plans[""] is PLAN
    assert live(late="drop").late == "drop"


def test_state_with_a_file_is_opened_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "payments.state"
    with IDS.online(path=path, late="insert", keep="2h") as state:
        state.process(with_ids(rows(10), 0), source="events:0", first=0, end=10)
        state.outcomes({"id": 9, "y": 1.0})
        history, asked = state.history(), state.features(rows(2, 20))
    with IDS.online(path=path) as state:
        assert state.late == "insert"
        assert state.history() == history
        assert state.offsets == {"events:0": 10}
        assert state.features(rows(2, 20)) == asked
    with pytest.raises(StateError, match="keep"):
        IDS.online(path=path, keep="3h")


def test_state_keeps_answers_of_windows_in_windows(tmp_path: Path) -> None:
    path = tmp_path / "nested.state"
    inner = col("x").sum(over=OVER)
    plan = ff.Plan({"f": inner.max(over=OVER)}).fit(rows(20))
    wanted = plan.transform(rows(20), history="batch")
    with plan.online(rows(6), path=path) as state:
        first = state.process(rows(5, 6))
    with plan.online(path=path) as state:
        second = state.process(rows(9, 11))
    assert (
        pa.concat_tables([first, second]).combine_chunks().equals(wanted.slice(6).combine_chunks())
    )


def test_wanted_features_of_other_changes_are_none() -> None:
    _, state = begun(None)
    applied, results = state.apply(
        StateChange("update", with_ids(rows(2), 0)), ArrivalRequest("numpy")
    )
    assert applied.stored.tolist() == [True, True]
    assert results == {}
