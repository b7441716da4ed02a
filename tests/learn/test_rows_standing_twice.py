"""Rows that stand twice in the training data: by `row_id` they share a fold, whatever the order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, RowsRepeated, UnknownColumn

Rows = NDArray[np.int64]
RISK = col("k").target_encode("y")
BY_ID = ff.Plan({"risk": RISK}, label="y", row_id="id")
BY_NUMBER = ff.Plan({"risk": RISK}, label="y")
N = 1200


def noise(seed: int, n: int = N) -> pa.Table:
    """Return rows of 300 keys, whose label nothing tells."""
    rng = np.random.default_rng(seed)
    k, y = rng.integers(0, 300, n), rng.integers(0, 2, n)
    return pa.table({"id": [f"r{i}" for i in range(n)], "k": k, "y": y, "x": rng.normal(size=n)})


def bootstrap(table: pa.Table) -> Rows:
    return np.random.default_rng(table.num_rows).integers(0, table.num_rows, table.num_rows)


def oversampled(table: pa.Table) -> Rows:
    y = table["y"].to_numpy()
    return np.concatenate([np.flatnonzero(y == 0), *[np.flatnonzero(y == 1)] * 4])


def delivered_twice(table: pa.Table) -> Rows:
    return np.append(np.arange(table.num_rows), np.arange(table.num_rows // 2))


WAYS = [bootstrap, oversampled, delivered_twice]


def auc(label: Any, score: Any) -> float:
    """Return the share of pairs of both classes that a score puts in the order of the label."""
    label, score = np.asarray(label), np.asarray(score)
    ranks = np.searchsorted(np.sort(score), score) + np.searchsorted(np.sort(score), score, "right")
    n_ones = int(label.sum())
    n_pairs = n_ones * (len(label) - n_ones)
    return float(((ranks[label == 1].sum() + n_ones) / 2 - n_ones * (n_ones + 1) / 2) / n_pairs)


def mean_auc(plan: ff.Plan, way: Callable[[pa.Table], Rows]) -> float:
    found: list[float] = []
    for seed in range(3):
        table = noise(seed)
        rows = table.take(pa.array(way(table)))
        found.append(auc(rows["y"], plan.fit_transform(rows)[1]["risk"]))
    return float(np.mean(found))


@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsRepeated")
@pytest.mark.parametrize("way", WAYS)
def test_rows_that_stand_twice_do_not_tell_of_their_label_by_row_id(way: Any) -> None:
    assert mean_auc(BY_NUMBER, way) > 0.57
    assert abs(mean_auc(BY_ID, way) - 0.5) < 0.03


@pytest.mark.parametrize("way", WAYS)
def test_repeats_by_row_id_are_counted(way: Any) -> None:
    table = noise(0)
    rows = way(table)
    n_again = len(rows) - len(np.unique(rows))
    with pytest.warns(RowsRepeated, match=f"{n_again:,} of {len(rows):,} rows, first row") as told:
        BY_ID.fit(table.take(pa.array(rows)))
    assert len(told) == 1


def test_fit_needs_the_id_where_folds_are_of_it() -> None:
    table = noise(0, 40).drop_columns(["id"])
    with pytest.raises(UnknownColumn, match="'id'"):
        BY_ID.fit(table)


@pytest.mark.filterwarnings("ignore::fastfeat.errors.ColumnAbsent")
@pytest.mark.parametrize("how", [{"fold_by": "k"}, {"fold": col("k") % 3}, {"time": "x"}])
def test_other_folds_need_no_id(how: Any) -> None:
    risk = {"risk": col("k").target_encode("y", **how)}
    table = noise(0, 60).drop_columns(["id"])
    by_id, plain = (ff.Plan(risk, label="y", row_id=name) for name in ("id", None))
    assert by_id.fit_transform(table)[1].equals(plain.fit_transform(table)[1])


ENCODED = ff.Plan(
    {
        "risk": RISK,
        "odds": col("k").woe_encode("y", folds=3),
        "scaled": RISK.standard_scale(),
        "median": col("k").target_encode("x", stat="quantile", smooth=1),
    },
    label="y",
    outcomes=["x"],
    row_id="id",
)


@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 120), max_size=3))
def test_folds_by_id_depend_on_no_order_and_no_part(random: Any, cuts: list[int]) -> None:
    table = noise(3, 120)
    fitted, expected = ENCODED.fit_transform(table)
    order = list(range(120))
    random.shuffle(order)
    moved = table.take(pa.array(order))
    again, found = ENCODED.fit_transform(moved)
    assert again == fitted
    assert found.equals(expected.take(pa.array(order)))
    learning = ENCODED.learning(table.schema)
    bounds = [0, *sorted(cuts), 120]
    parts = [moved.slice(a, b - a) for a, b in pairwise(bounds)]
    while learning.round is not None:
        state = learning.partial(parts[0], None)
        for part in parts[1:]:
            state = state.merge(learning.partial(part, None))
        learning = learning.next(state)
    assert learning.finish() == fitted
    pieces = [learning.training_features(part, None) for part in parts]
    assert pa.concat_tables(pieces).combine_chunks().equals(found.combine_chunks())


@pytest.mark.parametrize("backend", ["reference", "emulated"])
def test_folds_by_id_are_those_of_every_backend(backend: str) -> None:
    table = noise(1, 60)
    _, expected = ENCODED.fit_transform(table)
    assert ENCODED.fit_transform(table, backend=backend)[1].equals(expected)


def test_folds_by_id_depend_on_no_file(tmp_path: Path) -> None:
    table = noise(2, 300)
    fitted, expected = ENCODED.fit_transform(table)
    folder = tmp_path / "rows"
    folder.mkdir()
    for name, order in (("b", range(200)), ("a", range(200, 300))):
        pq.write_table(table.take(pa.array(order)), folder / f"{name}.parquet")
    again, _ = ENCODED.fit_transform_to(folder, tmp_path / "out.parquet", memory="64GiB")
    assert again == fitted == ENCODED.fit(folder, memory="64GiB")
    moved = [*range(200, 300), *range(200)]
    assert pq.read_table(tmp_path / "out.parquet").equals(expected.take(pa.array(moved)))


def test_rows_named_twice_may_share_a_fold_by_id() -> None:
    table = noise(0, 60)
    rows = [*range(60), 3, 3]
    with pytest.raises(InvalidData, match="has row 0 more than once"):
        BY_NUMBER.fit(table, rows=[*range(60), *range(60)])
    _, found = BY_ID.fit_transform(table, rows=rows)
    assert found["risk"][3].equals(found["risk"][60])


@pytest.mark.parametrize("column", ["k", "y"])
def test_rows_of_one_id_that_differ_are_an_error(column: str) -> None:
    table = noise(0, 40)
    two = pa.concat_tables([table, table.slice(5, 1)])
    values = two[column].to_pylist()
    values[40] += 1
    two = two.set_column(two.column_names.index(column), column, pa.array(values))
    told = rf"data, row 40: col\(\"id\"\) = 'r5' is also .* row 5, but col\(\"{column}\"\) is"
    with pytest.raises(InvalidData, match=told):
        BY_ID.fit(two)


def test_rows_of_one_id_may_differ_in_what_the_plan_does_not_read() -> None:
    table = noise(0, 40)
    two = pa.concat_tables([table, table.slice(5, 1)])
    two = two.set_column(3, "x", pa.array(np.arange(41.0)))
    with pytest.warns(RowsRepeated, match="1 of 41 rows, first row 40"):
        BY_ID.fit(two)


def test_a_missing_value_equals_a_missing_one() -> None:
    plan = ff.Plan({"x": col("x").mean()}, row_id="id")
    with pytest.warns(RowsRepeated, match="2 of 4 rows, first row 1"):
        plan.fit({"id": [1, 1, 2, 2], "x": [np.nan, np.nan, 1.0, 1.0]})


def test_a_row_without_an_id_is_an_error(tmp_path: Path) -> None:
    table = noise(0, 40)
    ids = [*table["id"].to_pylist()[:30], None, *table["id"].to_pylist()[31:]]
    table = table.set_column(0, "id", pa.array(ids))
    told = r"data, row 30: col\(\"id\"\) is missing"
    with pytest.raises(InvalidData, match=told):
        BY_ID.fit(table)
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(InvalidData, match=told):
        BY_ID.fit(tmp_path, memory="64GiB")


def blocks(n_folds: int, table: pa.Table) -> list[tuple[list[int], list[int]]]:
    return [
        (fold.train_rows.tolist(), fold.test_rows.tolist())
        for fold in BY_ID.cross_fit(table, cv=n_folds)
    ]


@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsRepeated", "ignore::UserWarning")
@pytest.mark.parametrize("way", WAYS)
def test_folds_of_a_number_keep_rows_of_one_id_on_one_side(way: Any) -> None:
    table = noise(1, 120)
    rows = way(table)
    n_tested = np.zeros(len(rows), np.int64)
    for train, test in blocks(4, table.take(pa.array(rows))):
        assert not np.isin(rows[test], rows[train]).any()
        n_tested[test] += 1
    assert (n_tested == 1).all()


@pytest.mark.filterwarnings("ignore::fastfeat.errors.FoldsLeak")
def test_folds_of_a_number_are_blocks_where_each_row_stands_once() -> None:
    table = noise(1, 50)
    assert [test for _, test in blocks(3, table)] == [
        [*range(17)],
        [*range(17, 34)],
        [*range(34, 50)],
    ]


@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsRepeated", "ignore::UserWarning")
def test_folds_that_split_rows_of_one_id_are_refused() -> None:
    from sklearn.model_selection import GroupKFold, KFold

    twice = pa.concat_tables([noise(1, 60)] * 2)
    told = r"fold 1 of \d+ has \d+ training rows with the 'id' of a test row, first row \d+\."
    pairs = [(list(range(60)), list(range(60, 120)))]
    for cv in (KFold(3), pairs, np.arange(120) // 60):
        with pytest.raises(InvalidData, match=told):
            BY_ID.cross_fit(twice, cv=cv)
    with pytest.raises(InvalidData, match="only 60 different rows with a label"):
        BY_ID.cross_fit(twice, cv=61)
    for fold in BY_ID.cross_fit(twice, cv=GroupKFold(3), groups="id"):
        assert not np.isin(fold.train_rows % 60, fold.test_rows % 60).any()


def test_ids_are_checked_in_passes_where_that_is_asked_for(tmp_path: Path) -> None:
    table, folder, out = noise(0, 300), tmp_path / "rows", tmp_path / "out.parquet"
    folder.mkdir()
    rows = table.take(pa.array([*range(300), 7, 250, 7]))
    pq.write_table(rows.slice(0, 200), folder / "a.parquet")
    pq.write_table(rows.slice(200), folder / "b.parquet")
    expected = BY_ID.fit(folder, memory="64GiB")  # without a word
    told = "3 of 303 rows, first row 300, have the 'id' of an earlier row"
    with pytest.warns(RowsRepeated, match=told):
        assert BY_ID.fit(folder, memory="64GiB", check_ids=True) == expected
    with pytest.warns(RowsRepeated, match=told):
        assert BY_ID.fit_transform_to(folder, out, memory="64GiB", check_ids=True)[0] == expected
    values = rows["k"].to_pylist()
    values[301] += 1
    other = rows.set_column(1, "k", pa.array(values))
    pq.write_table(other.slice(200), folder / "b.parquet")
    told = r"data, row 301: col\(\"id\"\) = 'r250' is also the id of row 250, but col\(\"k\"\) is"
    with pytest.raises(InvalidData, match=told):
        BY_ID.fit(folder, memory="64GiB", check_ids=True)
    with pytest.warns(RowsRepeated, match="3 of 303 rows, first row 300"):
        BY_ID.fit(rows, check_ids=True)
