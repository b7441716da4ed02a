"""Windows over data that is read in pieces: the bits of all rows at once, by shares of entities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.execute import large_shares, stage_work
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.layout import layout_of
from fastfeat.execute.pieces import pieces_of_later_rows
from fastfeat.execute.stage_work import RowSource, share_bytes
from fastfeat.execute.to_files import write_later_rows
from fastfeat.io.sources.dataset import dataset_of

CARD = ff.window(40, by="card", time="t")
CARD_SHOP = ff.window(rows=3, by=["card", "shop"], time="t")
SHOP = ff.window(25, by="shop", time="t", closed="both", tie="row")
LATE = ff.window(60, by=col("card").fill_null("none"), time="t")
FEATURES = {
    "mean": col("x").mean(over=CARD),
    "last": col("x").lag(1, over=CARD_SHOP),
    "x": col("x").standard_scale(),
    "per_shop": col("y").sum(over=SHOP),
    "of_card": ff.count(over=LATE) + 1,
    "nested": (col("x") - col("x").mean(over=CARD)).max(over=CARD_SHOP),
    "shop": col("shop").ordinal_encode(),
    "both": col("x").mean(over=CARD) - col("x").mean(over=SHOP),
    "across": (col("x") - col("x").mean(over=CARD)).max(over=SHOP),
    "further": col("card").lag(1, over=SHOP).n_unique(over=CARD),
    "every": col("x").mean(over=ff.window(9, time="t")) + ff.count(over=ff.window(5, time="t")),
    "latest": col("y").sum(over=ff.window(rows=4, time="t", tie="row")),
    "in_all": col("x").mean(over=CARD).max(over=ff.window(11, time="t", closed="both", tie="row")),
    "by_rank": col("y").sum(over=ff.window(6, time="t", offset=3)).lag(1, over=CARD),
    "before": col("card").lag(1, over=CARD_SHOP).ordinal_encode(),
}


def rows(n_rows: int, seed: int, start: int = 0) -> pa.Table:
    """Return rows of few cards, the first of which has half of them, with ties and missing keys."""
    drawn = np.random.default_rng(seed)
    card = np.where(drawn.random(n_rows) < 0.5, 0, drawn.integers(0, 9, n_rows))
    names = np.array([*"abcdefgh", None])
    return pa.table(
        {
            "t": pa.array(np.sort(drawn.integers(start, start + 200, n_rows))),
            "card": pa.array(names[card].tolist(), pa.string()).dictionary_encode(),
            "shop": pa.array(drawn.integers(0, 4, n_rows), mask=drawn.random(n_rows) < 0.1),
            "x": pa.array(drawn.standard_normal(n_rows), mask=drawn.random(n_rows) < 0.2),
            "y": pa.array(drawn.integers(-5, 5, n_rows)),
            "row": pa.array(np.arange(n_rows)),
        }
    )


EARLIER = rows(300, 1)
EARLIER_BIG = EARLIER.append_column("big", pa.array(np.zeros(300, np.int64)))
FITTED = ff.Plan(FEATURES, keep=["row", "card"], dtype="float32").fit(EARLIER, history="batch")
OF_KEYS = FITTED.select([n for n in FEATURES if n not in ("every", "latest", "in_all", "by_rank")])


@given(
    n_rows=st.integers(0, 300),
    n_shares=st.integers(1, 7),
    most_bytes=st.sampled_from([500, 3_000, 1 << 20]),
    history=st.sampled_from(["batch", "rows"]),
    large=st.sampled_from([0, 1 << 30]),
    seed=st.integers(0, 99),
)
def test_features_are_those_of_all_rows_at_once(
    n_rows: int, n_shares: int, most_bytes: int, history: Any, large: int, seed: int
) -> None:
    data, past = rows(n_rows, seed, 200), EARLIER if history == "rows" else history
    pieces = pieces_of_later_rows(
        FITTED.record, CallRows(data, history=past), n_shares=n_shares, most_bytes=most_bytes
    )
    with pytest.MonkeyPatch.context() as patch:  # shares that are read a table after another
        patch.setattr(large_shares, "LARGE", large)
        patch.setattr(large_shares, "_TABLE_BYTES", most_bytes)
        found = pa.concat_tables(pieces.of_all())
    assert found.equals(FITTED.transform(data, history=past), check_metadata=True)


def test_rows_may_start_anywhere() -> None:
    data = rows(300, 5, 200)
    pieces = pieces_of_later_rows(
        FITTED.record, CallRows(data, history=EARLIER), n_shares=3, most_bytes=999
    )
    found = pa.concat_tables(pieces.of_all(start=123))
    assert found.equals(FITTED.transform(data, history=EARLIER).slice(123))


def test_files_of_both_are_written_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = rows(300, 6, 200)
    for name, table in {"data": data, "earlier": EARLIER}.items():
        parts = ds.dataset(table)
        ds.write_dataset(
            parts, tmp_path / name, format="parquet", max_rows_per_file=70, max_rows_per_group=30
        )
    monkeypatch.chdir(tmp_path)
    given = CallRows("data", history="earlier")

    def write(**patches: Any) -> None:
        with monkeypatch.context() as patched:
            for name, value in patches.items():
                patched.setattr(f"fastfeat.execute.to_files.{name}", value)
            layout = layout_of("out", part_rows=100)
            write_later_rows(FITTED.record, given, layout, "digest", n_shares=3, most_bytes=1_000)

    with pytest.raises(ZeroDivisionError):
        write(publish=lambda *_: 1 / 0)
    parts = {path.name: path.stat().st_ino for path in Path(".out.unfinished").glob("part*")}
    write()
    there = {path.name: path.stat().st_ino for path in Path("out").glob("part*")}
    assert there == parts
    found = ds.dataset("out").to_table()
    expected = FITTED.transform(data, history=EARLIER)
    assert found.drop_columns(["card"]).equals(expected.drop_columns(["card"]))
    assert found["card"].to_pylist() == expected["card"].to_pylist()
    pq.write_table(EARLIER.slice(1), "earlier/part-0.parquet")
    with pytest.raises(ff.errors.OutputError, match="other data, or from files that have changed"):
        write()


def test_the_public_calls_take_a_history() -> None:
    data = rows(300, 7, 200)
    expected = FITTED.transform(data, history=EARLIER)
    found = pa.concat_tables(FITTED.transform_batches(data, history=EARLIER))
    assert found.equals(expected)
    (frame,) = FITTED.transform_batches(data, history=EARLIER, to="pandas", categories=True)
    assert frame.equals(FITTED.transform(data, history=EARLIER, to="pandas", categories=True))
    fitted = ff.Plan({"mean": FEATURES["mean"]}).fit(EARLIER, history="batch")
    with pytest.warns(ff.errors.HistoryMissing):
        next(fitted.transform_batches(data))


@pytest.mark.parametrize("large", [0, 1 << 30])
def test_columns_may_have_any_names(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_shares, "LARGE", large)
    names = ["0", "given 0"]
    data = rows(200, 3).rename_columns(["t", "card", "shop", *names, "row"])
    seen = {n: (col(n) - col(n).mean(over=CARD) + col("row")).max(over=SHOP) for n in names}
    fitted = ff.Plan(seen).fit(data, history="batch")
    given = CallRows(data, history="batch")
    pieces = pieces_of_later_rows(fitted.record, given, n_shares=3, most_bytes=1_000)
    found = pa.concat_tables(pieces.of_all())
    assert found.equals(fitted.transform(data, history="batch"))


def test_a_feature_of_all_rows_is_refused() -> None:
    every = col("x").mean(over=ff.window(time="t"))
    fitted = ff.Plan({"every": every}).fit(EARLIER, history="batch")
    with pytest.raises(ff.errors.InvalidPlan, match=r"'every' needs all rows at once: col"):
        fitted.transform_batches(EARLIER)


def test_rows_that_are_not_in_order_of_time_are_told() -> None:
    data = rows(300, 12, 200)
    every = ff.Plan({"every": col("x").mean(over=ff.window(5, time="t"))})
    fitted = every.fit(data.slice(0, 5))
    times = np.asarray(data["t"]).copy()
    times[250] = 199
    turned = data.set_column(0, "t", pa.array(times))
    pieces = pieces_of_later_rows(
        fitted.record, CallRows(turned, history="batch"), most_bytes=1_000
    )
    with pytest.raises(ff.errors.InvalidData, match=r"^row 250: col\('t'\) is earlier than in a"):
        list(pieces.of_all())
    pieces = pieces_of_later_rows(fitted.record, CallRows(data.slice(0, 9), history=turned))
    with pytest.raises(ff.errors.InvalidData, match=r"^history=, row 250: "):
        list(pieces.of_all())


def test_what_is_not_there_yet_is_refused() -> None:
    fitted = ff.Plan({"mean": FEATURES["mean"]}, row_id="row").fit(EARLIER, history="batch")
    with pytest.raises(ff.errors.InvalidPlan, match="row_id= of a plan with windows"):
        fitted.transform_batches(EARLIER, history="batch")


def test_features_come_in_any_form() -> None:
    data = rows(300, 11, 200)
    (found,) = FITTED.transform_batches(data, history="batch", to="numpy")
    np.testing.assert_array_equal(found, FITTED.transform(data, history="batch", to="numpy"))


def test_a_row_that_fails_is_told_by_its_number_in_the_data() -> None:
    data = rows(300, 8, 200)
    total = (col("y") * 2**61).sum(over=CARD)
    fitted = ff.Plan({"total": total}).fit(EARLIER.slice(0, 1), history="batch")
    with pytest.raises(ff.errors.Overflow) as expected:
        fitted.transform(data, history="batch")
    number = int(str(expected.value).partition("row ")[2].partition(":")[0].partition(" ")[0])
    pieces = pieces_of_later_rows(fitted.record, CallRows(data, history="batch"), n_shares=3)
    with pytest.raises(ff.errors.Overflow, match=r"row \d+\b.*") as found:
        list(pieces.of_all())
    told = int(str(found.value).partition("row ")[2].partition(":")[0].partition(" ")[0])
    assert data["y"][told].as_py() != 0
    assert told >= number


@pytest.mark.parametrize("of", ["history", "data", "window"])
def test_a_row_that_fails_beside_a_history_is_told_by_its_number_where_it_stands(of: str) -> None:
    past, data, row = rows(300, 8), rows(200, 9, 200), 123
    value = np.zeros(300 if of == "history" else 200, np.int64)
    value[row] = 2**62 + 7 if of != "window" else 2**63 - 5
    if of == "window":  # the row itself is one too many for its sum
        cards = data["card"].to_pylist()
        value[cards.index(cards[row])] = 2**62 if cards.index(cards[row]) != row else 0
    both = {
        "history": past.append_column("big", pa.array(np.zeros(300, np.int64))),
        "data": data.append_column("big", pa.array(np.zeros(200, np.int64))),
    }
    name = "history" if of == "history" else "data"
    both[name] = both[name].set_column(6, "big", pa.array(value))
    everything = ff.window(by="card", time="t", closed="both", tie="row")
    feature = col("big") if of == "window" else col("big") * 2
    fitted = ff.Plan({"sum": feature.sum(over=everything)}).fit(EARLIER_BIG, history="batch")
    pieces = pieces_of_later_rows(
        fitted.record, CallRows(both["data"], history=both["history"]), n_shares=5
    )
    with pytest.raises(ff.errors.Overflow) as found:
        list(pieces.of_all())
    told = str(found.value)
    assert f"row {row}" in told
    assert told.startswith("history=: ") == (of == "history")
    assert ("that is the table, row 123" in told) == (of != "history")


def test_a_history_that_is_later_is_told_by_its_row() -> None:
    data, past = rows(300, 8, 200), rows(200, 9)
    later = np.asarray(past["t"]).copy()
    row = 199 - past["card"].to_pylist()[::-1].index("a")
    later[row] = 1_000
    past = past.set_column(0, "t", pa.array(later))
    pieces = pieces_of_later_rows(OF_KEYS.record, CallRows(data, history=past), n_shares=5)
    with pytest.raises(ff.errors.InvalidData, match=rf"^history=, row {row}: .* is later than"):
        list(pieces.of_all())


def test_a_history_that_is_later_is_told() -> None:
    data = rows(300, 8, 0)
    later = rows(50, 9, 500)
    with pytest.raises(ff.errors.InvalidData, match="history="):
        list(OF_KEYS.transform_batches(data, history=later))


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ("bach", "history=: no such file: bach. Did you mean 'batch'"),
        ({"t": [1]}, "history=: the data lacks the columns '"),
    ],
)
def test_a_history_that_is_none_is_told(history: Any, told: str) -> None:
    with pytest.raises(ff.errors.FastfeatError, match=told):
        next(OF_KEYS.transform_batches(EARLIER, history=history))


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> Any:
        return open("/dev/full", "r+b", buffering=0)

    monkeypatch.setattr("fastfeat.io.temporary_files.TemporaryFile", full)
    told = "parts of the rows cannot be written to .*: No space left on device"
    with pytest.raises(ff.errors.OutputError, match=told):
        next(FITTED.transform_batches(EARLIER, history="batch"))
    with pytest.raises(ff.errors.OutputError, match=told):
        FITTED.transform_to(EARLIER, tmp_path / "out", history="batch")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("table", "n_shares"), [(1, 4), (1 << 19, 4), (1 << 20, 2), (1 << 24, 1)])
def test_shares_are_smaller_where_tables_are(table: int, n_shares: int) -> None:
    n = 1 << 18
    dataset = dataset_of(pa.table({"t": np.zeros(n, np.int64), "x": np.zeros(n), "y": [0.0] * n}))
    for most_bytes in (table, lambda: table):
        source = RowSource(dataset, None, most_bytes)
        assert stage_work._n_shares(source, ["t", "x"]) == n_shares
    assert share_bytes(RowSource(dataset, None, 1 << 26)) == 32 << 20
