"""Fit in passes of plans that learn from windows: the artifact and the features of all rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.execute import large_shares, stage_work
from fastfeat.io.budget import Budget
from fastfeat.keep.artifact import artifact_bytes

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")

EXAMPLES = max(settings().max_examples // 3, 1)  # each fits three times
CARD = ff.window(40, by="card", time="t")
CARD_SHOP = ff.window(rows=3, by=["card", "shop"], time="t")
SHOP = ff.window(25, by="shop", time="t", closed="both", tie="row")
CODE = col("card").ordinal_encode()
FEATURES = {
    "mean": col("x").mean(over=CARD).standard_scale(),
    "rank": col("x").sum(over=SHOP).qcut(4),
    "both": (col("x").mean(over=CARD) - col("x").mean(over=SHOP)).robust_scale(),
    "across": (col("x") - col("x").mean(over=CARD)).max(over=SHOP).impute("median"),
    "scaled": col("x").standard_scale().sum(over=CARD).min_max_scale(),
    "code": CODE.lag(1, over=SHOP).target_encode("y", folds=3),
    "before": col("name").lag(1, over=CARD_SHOP).ordinal_encode(),
    "encoded": col("shop").target_encode("y", folds=4),
    "within": col("x").mean(over=CARD) - col("x").mean(over=CARD).mean(by="shop"),
    "every": col("x").sum(over=ff.window(15, time="t")).standard_scale(),
    "x": col("x"),
}
PLAN = ff.Plan(FEATURES, label="y", keep=["row", "name"], dtype="float32")


def rows(n_rows: int, seed: int, start: int = 0) -> pa.Table:
    """Return rows of few cards, the first of which has half of them, with ties and missing keys."""
    drawn = np.random.default_rng(seed)
    card = np.where(drawn.random(n_rows) < 0.5, 0, drawn.integers(0, 9, n_rows))
    return pa.table(
        {
            "t": np.sort(drawn.integers(start, start + 200, n_rows)),
            "card": np.array([*"abcdefgh", None])[card].tolist(),
            "shop": pa.array(drawn.integers(0, 4, n_rows), mask=drawn.random(n_rows) < 0.1),
            "name": [f"n{k}" for k in drawn.integers(0, 6, n_rows)],
            "x": pa.array(drawn.standard_normal(n_rows), mask=drawn.random(n_rows) < 0.2),
            "y": drawn.integers(0, 2, n_rows),
            "row": np.arange(n_rows),
        }
    )


EARLIER = rows(120, 1)


def in_parts(patch: pytest.MonkeyPatch, n_shares: int, sizes: list[int]) -> None:
    """Have rows read in tables of some bytes each, and computed in some shares."""
    n_bytes = iter(cycle(sizes))
    patch.setattr(Budget, "table_bytes", lambda self, *_: next(n_bytes))
    patch.setattr(stage_work, "_n_shares", lambda *_: n_shares)
    patch.setattr(large_shares, "LARGE", 0 if len(sizes) > 1 else large_shares.LARGE)
    patch.setattr(large_shares, "_TABLE_BYTES", sizes[0])


@settings(max_examples=EXAMPLES)
@given(
    n_rows=st.integers(8, 250),
    n_shares=st.integers(1, 6),
    sizes=st.lists(st.integers(200, 1 << 14), min_size=1, max_size=3),
    history=st.sampled_from([None, "rows"]),
    seed=st.integers(0, 99),
)
def test_artifact_and_features_are_those_of_all_rows(
    tmp_path_factory: pytest.TempPathFactory,
    n_rows: int,
    n_shares: int,
    sizes: list[int],
    history: str | None,
    seed: int,
) -> None:
    data, past = rows(n_rows, seed, 200), None if history is None else EARLIER
    expected, features = PLAN.fit_transform(data, history=past)
    folder = tmp_path_factory.mktemp("of")
    with pytest.MonkeyPatch.context() as patch:
        in_parts(patch, n_shares, sizes)
        fitted, manifest = PLAN.fit_transform_to(data, folder / "out", history=past, part_rows=70)
        alone = PLAN.fit(data, history=past, memory="64GiB")
    assert manifest.n_rows == n_rows
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    assert artifact_bytes(alone.record) == artifact_bytes(expected.record)
    assert ds.dataset(folder / "out").to_table().equals(features)


SOON = ff.ahead(20, time="t", by="card")
AHEAD = ff.Plan(
    {
        **{name: FEATURES[name] for name in ("mean", "both", "scaled", "x")},
        "encoded": col("shop").target_encode("more", folds=3, fold_by="card"),
        "by_time": col("shop").target_encode("more", time="t", folds=3),
        "n": ff.count(over=CARD),
    },
    label={"more": col("x").sum(over=SOON) > 0.3},
    keep=["row", "name"],
)


@settings(max_examples=EXAMPLES)
@given(
    n_rows=st.integers(30, 250),
    n_shares=st.integers(1, 4),
    sizes=st.lists(st.integers(200, 1 << 14), min_size=1, max_size=3),
    history=st.sampled_from([None, "rows"]),
    some=st.booleans(),
    plan=st.sampled_from([PLAN, AHEAD]),
    seed=st.integers(0, 99),
)
def test_some_rows_are_learnt_from(
    tmp_path_factory: pytest.TempPathFactory,
    n_rows: int,
    n_shares: int,
    sizes: list[int],
    history: str | None,
    some: bool,
    plan: ff.Plan,
    seed: int,
) -> None:
    data, past = rows(n_rows, seed, 200), None if history is None else EARLIER
    given = np.random.default_rng(seed).random(n_rows) < 0.6 if some else None
    try:
        expected, features = plan.fit_transform(data, rows=given, history=past)
    except ff.errors.InvalidData as error:
        expected, features = error, None
    out = tmp_path_factory.mktemp("of") / "out"
    options: Any = {"history": past, "rows": given}
    with pytest.MonkeyPatch.context() as patch:
        in_parts(patch, n_shares, sizes)
        if isinstance(expected, ff.errors.InvalidData):
            with pytest.raises(ff.errors.InvalidData, match="has a label: "):
                plan.fit_transform_to(data, out, **options)
            return
        fitted, _ = plan.fit_transform_to(data, out, part_rows=70, **options)
        numbers = None if given is None else np.flatnonzero(given)
        alone = plan.fit(data, rows=numbers, history=past, memory="64GiB")
    assert (fitted.n_rows, fitted.record.n_rows_without_label) == (
        expected.n_rows,
        expected.record.n_rows_without_label,
    )
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    assert artifact_bytes(alone.record) == artifact_bytes(expected.record)
    assert ds.dataset(out).to_table().equals(features)


def test_a_reader_that_is_read_once_is_refused() -> None:
    data = rows(30, 1)
    plan = ff.Plan({"mean": FEATURES["mean"]})
    assert plan.fit(lambda: data.to_batches(7), memory="64GiB") == plan.fit(data)
    with pytest.raises(ff.errors.InvalidData, match="its rows are needed 2 times"):
        plan.fit(data.to_reader(7), memory="64GiB")
    fitted = plan.fit(data)
    with pytest.raises(ff.errors.InvalidData, match="its rows are needed 2 times"):
        fitted.transform_batches(data.to_reader(7), history="batch")


@pytest.mark.parametrize("large", [0, 1 << 20])
def test_a_share_without_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    data = rows(300, 6, 200)
    backwards = data.take(np.arange(300)[::-1])
    monkeypatch.setattr(stage_work, "_WORK_BYTES", 1 << 40)
    monkeypatch.setattr(large_shares, "LARGE", large)  # 0: read in order of time, as far as it is
    plan = ff.Plan({"mean": FEATURES["mean"]})
    told = r"all rows of one card must .* take \d+\.\d+ KiB, .* Give memory=\"\d+MiB\" or more"
    with pytest.raises(ff.errors.OutOfMemory, match=told):
        plan.fit(backwards, memory="64GiB")
    monkeypatch.setattr(stage_work, "_WORK_BYTES", 3)
    fitted = plan.fit(backwards, memory="64GiB")
    monkeypatch.setattr(stage_work, "_WORK_BYTES", 1 << 40)
    with pytest.raises(ff.errors.OutOfMemory, match=told):
        fitted.transform_to(backwards, tmp_path / "out", memory="64GiB", history="batch")
    with pytest.raises(ff.errors.OutOfMemory, match="must be in memory together"):
        AHEAD.fit(backwards, memory="64GiB")


def test_files_of_both_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = rows(300, 6, 200)
    for name, table in {"data": data, "earlier": EARLIER}.items():
        options: Any = {"max_rows_per_file": 70, "max_rows_per_group": 30}
        ds.write_dataset(ds.dataset(table), tmp_path / name, format="parquet", **options)
    monkeypatch.chdir(tmp_path)
    expected, features = PLAN.fit_transform(data, history=EARLIER)
    fitted, _ = PLAN.fit_transform_to("data", "out", history="earlier", part_rows=100)
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    assert ds.dataset("out").to_table().equals(features)


def test_tables_are_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prices = pa.table({"shop": range(3), "price": [1.0, 5.0, 2.0]})
    ds.write_dataset(prices, "prices", format="parquet", max_rows_per_file=2, max_rows_per_group=2)
    price = ff.lookup("prices", by="shop").col("price")
    plan = ff.Plan({"mean": price.mean(over=CARD).standard_scale(), "price": price})
    data = rows(100, 3)
    expected, features = plan.fit_transform(data, tables={"prices": prices})
    fitted, _ = plan.fit_transform_to(data, "out", tables={"prices": "prices/*.parquet"})
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    assert ds.dataset("out").to_table().equals(features)


def ties_told(work: Callable[[], Any]) -> list[str]:
    """Return the warnings of rows of one entity and one moment."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        work()
    return [str(one.message) for one in found if one.category is ff.errors.TiesInOrder]


@pytest.mark.parametrize("by", ["card", None])
@pytest.mark.parametrize(("n_shares", "sizes"), [(1, [900]), (4, [1 << 14]), (2, [300, 2000])])
@pytest.mark.parametrize("history", [None, EARLIER])
def test_rows_of_one_moment_are_told_as_in_memory(
    by: str | None,
    n_shares: int,
    sizes: list[int],
    history: pa.Table | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = ff.window(30, by=by, time="t", closed="right")
    plan = ff.Plan({"scaled": col("x").sum(over=over).standard_scale(), "n": ff.count(over=over)})
    data = rows(150, 3, 200)
    expected = ties_told(lambda: plan.fit(data, history=history))
    assert len(expected) == 1
    in_parts(monkeypatch, n_shares, sizes)
    assert ties_told(lambda: plan.fit(data, history=history, memory="64GiB")) == expected
    out = tmp_path / "out"
    assert ties_told(lambda: plan.fit_transform_to(data, out, history=history)) == expected


def test_rows_that_a_column_orders_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    over = ff.window(30, by="card", time="t", tie="row")
    plan = ff.Plan({"scaled": col("x").sum(over=over).standard_scale()})
    in_parts(monkeypatch, 3, [900])
    assert ties_told(lambda: plan.fit(rows(150, 3), memory="64GiB")) == []


def test_a_share_that_is_not_in_order_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    over = ff.window(30, by="card", time="t", closed="right")
    plan = ff.Plan({"scaled": col("x").sum(over=over).standard_scale()})
    data = rows(150, 3)
    mixed = pa.concat_tables([data.slice(0, 140), data.slice(0, 10), data.slice(140)])
    expected = ties_told(lambda: plan.fit(mixed))
    assert len(expected) == 1
    in_parts(monkeypatch, 1, [900, 901])
    assert ties_told(lambda: plan.fit(mixed, memory="64GiB")) == expected
