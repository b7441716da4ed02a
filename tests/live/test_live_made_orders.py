"""Windows whose time, key or tie another window makes: rows are put into their orders in stages."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_records
from fastfeat.errors import InvalidData, InvalidPlan, LateRow
from fastfeat.io.arrow import call
from fastfeat.live.lower.live_plan import lower
from fastfeat.live.state import memory as memory_module
from fastfeat.live.state import state as state_module
from fastfeat_tests.live.random_plans import OF_NUMBERS, OF_ROWS, TABLES, events
from fastfeat_tests.live.test_live_random import check_equal, check_row

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")
FEW = settings(max_examples=max(4, settings().max_examples // 6))
HOUR = 3_600_000_000
X, WHOLE, DEVICE = col("x"), col("whole"), col("device")


class Made(NamedTuple):
    """An order of rows, and numbers by which the definition tells who is late in it.

    Args:
        time: what is ordered by.
        hours: the same in hours.
        keys: of the entity.
        tie: what orders rows of one instant; None for nothing.
    """

    time: ff.Expr
    hours: ff.Expr
    keys: tuple[ff.Expr, ...]
    tie: ff.Expr | None

    def window(self, last: str | None, **more: Any) -> Any:
        return ff.window(last, time=self.time, by=[*self.keys], tie=self.tie, **more)

    def told(self, name: str) -> dict[str, ff.Expr]:
        """Return what tells its entities, times and ties, as features."""
        found = {f"{name} time": self.hours}
        for k, key in enumerate(self.keys):
            found |= {f"{name} key {k}": key.hash(1 << 30), f"{name} none {k}": key.is_null()}
        return found if self.tie is None else {**found, f"{name} tie": self.tie}


PLAIN = [
    Made(col("ts"), col("t"), (col("card"),), None),
    Made(col("ts"), col("t"), (col("card"), col("shop")), None),
]


@st.composite
def made_orders(draw: st.DrawFn) -> list[Made]:
    """Return some orders, of which each may be made by windows over those before it."""
    found = [draw(st.sampled_from(PLAIN))]
    for _ in range(draw(st.integers(1, 3))):
        inner = draw(st.sampled_from([found[-1], found[-1], *found]))
        ever = inner.window(None)
        time, hours, keys, tie = inner
        match draw(st.sampled_from(["session", "session", "text", "flag", "time", "time", "tie"])):
            case "session":
                keys = (*keys, ff.session_id("2h", over=inner.window(None)))
            case "text":
                value = DEVICE.lag(1, over=ever)
                keys = draw(st.sampled_from([(*keys, value), (value,)]))
            case "flag":
                past = X.max(
                    over=inner.window("3h", closed=draw(st.sampled_from(["left", "both"])))
                )
                keys = (keys[0], past > 1)
            case "time":
                over = inner.window(None, closed=draw(st.sampled_from(["left", "right"])))
                time, hours = col("ts").lag(1, over=over), col("t").lag(1, over=over)
                keys = draw(st.sampled_from([keys, (*keys[1:], col("shop"))]))
            case _:
                tie = draw(st.sampled_from([col("tie").count(over=ever), WHOLE.lag(1, over=ever)]))
        found.append(Made(time, hours, keys, tie))
    return found


@st.composite
def plans(draw: st.DrawFn, orders: list[Made]) -> dict[str, ff.Expr]:
    """Return features over windows of orders, and over windows of what these give."""
    found: dict[str, ff.Expr] = {}
    for k, order in enumerate(orders):
        last = draw(st.sampled_from(["1h", "4h"]))
        closed = draw(st.sampled_from(["left", "right", "both", "neither"]))
        function = OF_NUMBERS[draw(st.sampled_from(sorted(OF_NUMBERS)))]
        one = function(X, order.window(last, closed=closed))
        if draw(st.booleans()):
            outer = draw(st.sampled_from(orders)).window("3h")
            one = one.cast("float64").sum(over=outer)
        found[f"f{k}"] = one
    for name in draw(st.lists(st.sampled_from(sorted(OF_ROWS)), max_size=1)):
        found[name] = OF_ROWS[name]
    return found


def begun(plan: ff.FittedPlan, **options: Any) -> ff.Live:
    """Return a live state; of a plan that sees all rows of an entity, one that keeps all."""
    try:
        return plan.online(tables=TABLES, **options)
    except InvalidPlan as error:
        if "sees all rows" not in str(error):
            raise
        return plan.online(tables=TABLES, keep="everything", **options)


def late_rows(told: pa.Table, n_known: int, orders: list[Made]) -> list[int]:
    """Return the rows from a number on that are late, as the definition says.

    Args:
        told: of each row what its orders are told by.
        n_known: how many of them stand in the log.
        orders: the orders.
    """
    rows, late = told.to_pylist(), set[int]()
    for k, order in enumerate(orders):
        latest: dict[Any, Any] = {}
        for n, row in enumerate(rows):
            time = row[f"o{k} time"]
            each = range(len(order.keys))
            if time is None or any(row[f"o{k} none {i}"] for i in each):
                continue
            entity = tuple(row[f"o{k} key {i}"] for i in each)
            tie = None if order.tie is None else row[f"o{k} tie"]
            moment = (time, tie is not None, tie or 0)
            if n >= n_known and entity in latest and moment < latest[entity]:
                late.add(n - n_known)
            latest[entity] = max(moment, latest.get(entity, moment))
    return sorted(late)


def in_order(rows: pa.Table) -> pa.Table:
    """Return rows by their time and tie, missing ones first."""
    pairs = enumerate(zip(rows["t"].to_pylist(), rows["tie"].to_pylist(), strict=True))
    keys = [(t is not None, t or 0, tie is not None, tie or 0, k) for k, (t, tie) in pairs]
    return rows.take(pa.array([key[-1] for key in sorted(keys)]))


@FEW
@given(st.data())
def test_pieces_of_rows_have_the_bits_of_transform(data: st.DataObject) -> None:
    rows = in_order(data.draw(events(in_order=True)))
    orders = data.draw(made_orders())
    plan = ff.Plan(data.draw(plans(orders)), row_id="id").fit(rows, tables=TABLES)
    told = {key: v for k, order in enumerate(orders) for key, v in order.told(f"o{k}").items()}
    witness = ff.Plan(told, row_id="id").fit(rows)
    used = [k for k in range(len(orders)) if _is_in(plan, orders[k])]
    backend = data.draw(st.sampled_from(["cpu", "reference"]))
    n_history = data.draw(st.integers(0, rows.num_rows // 2))
    known, left = rows.slice(0, n_history), rows.slice(n_history)
    with tempfile.TemporaryDirectory() as folder:
        path = data.draw(st.sampled_from([None, Path(folder) / "state.db"]))
        live = begun(plan, history=known, path=path)
        while left.num_rows:
            n = data.draw(st.integers(1, 5))
            batch, left = left.slice(0, n), left.slice(n)
            if path is not None and data.draw(st.integers(0, 2)) == 0:
                live.close()
                live = plan.online(path=path)
            _check_features(live, plan, batch, known)
            after = pa.concat_tables([known, batch])
            late = late_rows(witness.transform(after, history="batch"), known.num_rows, orders)
            expected = plan.transform(batch, history=known, tables=TABLES, backend=backend)
            before, counts = live.history(), live.counts
            if late and len(used) == len(orders):
                with pytest.raises(LateRow, match=rf"^row {late[0]} " if len(late) == 1 else "row"):
                    live.process(batch)
                assert live.history() == before
                assert live.counts == counts
                continue
            try:
                if batch.num_rows == 1 and data.draw(st.booleans()):
                    check_row(live.process(batch.to_pylist()[0]), live, expected)
                else:
                    check_equal(live.process(batch), expected, "process")
            except LateRow:
                assert late, "none is late by the definition"
                assert live.history() == before
                continue
            known = after
        live.close()
        if path is not None:
            report = ff.replay(path, plan)
            assert report.ok, report


def _is_in(plan: ff.FittedPlan, order: Made) -> bool:
    """Return whether rows of a plan are put into an order."""
    nodes = [order.time.node, *(key.node for key in order.keys)]
    nodes += [] if order.tie is None else [order.tie.node]
    return any(list(one.values) == nodes for one in lower(fitted_records({"": plan})).orders)


def _check_features(live: ff.Live, plan: ff.FittedPlan, batch: pa.Table, known: pa.Table) -> None:
    """Check rows that ask alone: their features, and what these came from."""
    before = live.history()
    for k in range(batch.num_rows):
        row = batch.slice(k, 1)
        expected = plan.transform(row, history=known, tables=TABLES)
        try:
            found = live.features(row)
        except LateRow:
            continue
        check_equal(found, expected, "features")
        if k == 0:
            check_row(live.features(row.to_pylist()[0]), live, expected)
            again = live.explain(row).recompute().select(expected.column_names)
            check_equal(again, expected, "recomputed")
    assert live.history() == before


# --- one plan ----------------------------------------------------------------------------------

CARD = ff.window(time="t", by="card")
SESSION = ff.session_id(3, over=CARD)
BEFORE = col("t").lag(1, over=CARD)
SHOP_BEFORE = ff.window(9, time=BEFORE, by="shop")
FEATURES = {
    "spent": X.sum(over=ff.window(9, time="t", by=["card", SESSION])),
    "deep": X.sum(
        over=ff.window(
            9, time="t", by=ff.session_id(1, over=ff.window(time="t", by=["card", SESSION]))
        )
    ),
    "before": X.max(over=SHOP_BEFORE),
}
N_ROWS = 40


def some_rows() -> pa.Table:
    random = np.random.default_rng(7)
    times = np.cumsum(random.integers(0, 3, N_ROWS))
    return pa.table(
        {
            "id": np.arange(N_ROWS),
            "t": times,
            "card": pa.array(random.choice([*"abc"], N_ROWS)),
            "shop": pa.array([f"shop of {card}" for card in random.choice([*"abc"], N_ROWS)]),
            "x": random.normal(size=N_ROWS),
        }
    )


ROWS = some_rows()
ROWS = ROWS.set_column(
    3, "shop", call("binary_join_element_wise", pa.scalar("of "), ROWS["card"], pa.scalar(""))
)
PLAN = ff.Plan(FEATURES, row_id="id").fit(ROWS)
WANTED = PLAN.transform(ROWS, history="batch")


def live_with(n: int, **options: Any) -> ff.Live:
    live = PLAN.online(keep="everything", **options)
    for k in range(0, n, 7):
        live.process(ROWS.slice(k, min(7, n - k)))
    return live


def row_like(row: int, **more: Any) -> dict[str, Any]:
    return {**ROWS.slice(row, 1).to_pylist()[0], **more}


def test_a_row_that_is_late_in_an_order_that_a_window_makes_leaves_no_trace() -> None:
    live = live_with(30)
    history, sizes, counts = live.history(), live.sizes, live.counts
    last = {
        card: max(r["t"] for r in ROWS.slice(0, 30).to_pylist() if r["card"] == card)
        for card in "abc"
    }
    now = int(ROWS["t"][29].as_py())
    # each is the latest of its card; that of another card, whose row before is older, comes late
    card, other = sorted(last, key=last.__getitem__)[::2]
    late = pa.Table.from_pylist(
        [
            row_like(0, id=900, t=now + 1, card=other, shop="s", x=1.0),
            row_like(0, id=901, t=now + 1, card=card, shop="s", x=2.0),
        ],
        ROWS.schema,
    )
    before = re.escape(repr(BEFORE))
    told = rf"^row 1 \({before} = \d+, shop = 's'\) is earlier than the latest row"
    for take in (live.process, live.update):
        with pytest.raises(LateRow, match=told):
            take(late)
    again = pa.concat_tables([ROWS.slice(2, 1), late])
    with pytest.raises(LateRow, match=rf"^row 2 \({before}"):  # after one that came before
        live.process(again)
    assert (live.history(), live.counts) == (history, counts)
    assert live.sizes.rows == sizes.rows
    check_equal(live.process(ROWS.slice(30)), WANTED.slice(30), "after that")


def test_rows_that_come_again_are_answered_at_their_place() -> None:
    live = live_with(30)
    batch = pa.concat_tables([ROWS.slice(30, 3), ROWS.slice(5, 2), ROWS.slice(31, 4)])
    found = live.process(batch)
    wanted = pa.concat_tables([WANTED.slice(30, 3), WANTED.slice(5, 2), WANTED.slice(31, 4)])
    check_equal(found, wanted, "again")
    assert live.counts == {"repeated": 4}
    check_equal(live.process(ROWS.slice(35)), WANTED.slice(35), "after that")
    other = ROWS.slice(33, 1).set_column(4, "x", pa.array([9.0]))
    with pytest.raises(InvalidData, match=r"^row 0: id = 33 is the id of an earlier row"):
        live.process(other)


def test_a_state_is_opened_without_computing(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "state.db"
    with live_with(20, path=path) as live:
        live.compact()
        live.process(ROWS.slice(20, 10))

    def fails(*args: object, **options: object) -> None:
        raise AssertionError("what was kept stands in the file")

    with monkeypatch.context() as patched:
        for name in ("begin", "make_stage", "answer"):
            patched.setattr(memory_module, name, fails)
        live = PLAN.online(path=path)
    check_equal(live.process(ROWS.slice(30)), WANTED.slice(30), "opened again")
    live.close()
    more = ff.Plan({**FEATURES, "n": ff.count(over=SHOP_BEFORE)}, row_id="id").fit(ROWS)
    with more.online(path=path) as other:
        asked = ROWS.slice(39).set_column(0, "id", pa.array([99]))
        expected = more.transform(asked, history=ROWS)
        check_equal(other.features(asked), expected, "another version of the plan")
        other.export(tmp_path / "rows.parquet")
        taken = more.online(tmp_path / "rows.parquet", keep="everything")
        check_equal(taken.features(asked), expected, "taken elsewhere")


def test_several_plans_share_what_orders_rows() -> None:
    plain = ff.Plan({"n": ff.count(over=ff.window(5, time="t", by="shop"))}, row_id="id").fit(ROWS)
    short = ff.Plan({"spent": FEATURES["spent"] * 2}, row_id="id").fit(ROWS)
    live = ff.online({"a": plain, "b": PLAN, "c": short}, keep="everything")
    for k in range(0, N_ROWS, 9):
        found = live.process(ROWS.slice(k, 9))
        for name, plan in live.plans.items():
            wanted = plan.transform(ROWS.slice(k, 9), history=ROWS.slice(0, k))
            check_equal(found[name], wanted, name)
    row = row_like(39, id=99, t=int(ROWS["t"][39].as_py()) + 1)
    found = live.features(row)
    asked = pa.Table.from_pylist([row], ROWS.schema)
    for name, plan in live.plans.items():
        wanted = plan.transform(asked, history=ROWS, to="numpy")[0]
        assert np.array_equal(found[name], wanted, equal_nan=True)
        report = live.explain(row)[name]
        check_equal(report.recompute(), plan.transform(asked, history=ROWS), name)


def test_rows_of_an_entity_that_a_window_makes_go_when_they_are_out_of_reach() -> None:
    before = ff.window(4, time=X.max(over=ff.window(3, time="t", by="card")), by="card")
    rows = ROWS.set_column(4, "x", pa.array(np.arange(N_ROWS, dtype=np.int64)))
    plan = ff.Plan({"n": ff.count(over=before)}, row_id="id").fit(rows)
    wanted, live = plan.transform(rows, history="batch"), plan.online()
    for k in range(0, N_ROWS, 4):
        check_equal(live.process(rows.slice(k, 4)), wanted.slice(k, 4), "process")
    seen = live.history()
    assert seen is not None
    assert seen.num_rows < N_ROWS // 2
    assert live.forget("card", "a") > 0
    left = live.history()
    assert left is not None
    assert "a" not in left["card"].to_pylist()
    asked = rows.slice(N_ROWS - 1).set_column(0, "id", pa.array([99]))
    others = rows.filter(call("not_equal", rows["card"], pa.scalar("a")))
    if asked["card"][0].as_py() != "a":
        check_equal(live.features(asked), plan.transform(asked, history=others), "forgotten")


def test_silent_entities_that_a_window_makes_are_swept(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(state_module, "SWEPT_AT", 8)
    before = ff.window(4, time=X.max(over=ff.window(3, time="t", by="card")), by="card")
    numbers = np.arange(120)
    rows = pa.table(
        {"id": numbers, "t": numbers, "card": numbers // 6 % 17 * 10 + numbers % 2, "x": numbers}
    )
    plan = ff.Plan({"n": ff.count(over=before)}, row_id="id").fit(rows)
    wanted, path = plan.transform(rows, history="batch"), tmp_path / "state.db"
    live = plan.online(path=path)
    for k in range(0, 120, 5):
        check_equal(live.process(rows.slice(k, 5)), wanted.slice(k, 5), "process")
        if k == 60:
            assert live.counts["swept"] > 0
            live.close()
            live = plan.online(path=path)
    live.close()
    assert call("max", wanted["n"]).as_py() > 0
    assert ff.replay(path, plan).ok


def test_verify_has_rows_arrive_in_such_orders() -> None:
    chosen = {name: FEATURES[name] for name in ("spent", "deep")}
    found = ff.Plan(chosen, row_id="id").fit(ROWS).verify(ROWS, history="batch")
    (live,) = [check for check in found.checks if "live" in check.name]
    assert (live.n_rows, live.difference) == (N_ROWS, None)


def test_no_row_and_no_log_yet() -> None:
    live = PLAN.online(keep="everything")
    assert live.process(ROWS.slice(0, 0)).num_rows == 0
    asked = ROWS.slice(0, 1)
    check_equal(live.features(asked), WANTED.slice(0, 1), "alone")
    check_equal(live.process(ROWS), WANTED, "process")
