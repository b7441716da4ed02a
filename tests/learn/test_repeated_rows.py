"""`RowsRepeated` of training data without ids: copies of rows give it, clean tables do not."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import RowsRepeated
from fastfeat.learn import duplicate_rows

Table = dict[str, Any]


def of_library(name: str) -> Callable[[Generator], Table]:
    def load(rng: Generator) -> Table:
        from sklearn import datasets

        frame: Any = getattr(datasets, f"load_{name}")(as_frame=True).frame
        label = frame["target"] > frame["target"].median()
        return {"y": label.to_numpy(), **frame.drop(columns="target").to_dict("list")}

    return load


def survey(rng: Generator) -> Table:
    return {f"q{k}": rng.integers(1, 6, 3000) for k in range(12)}


def flags(rng: Generator) -> Table:
    return {f"f{k}": rng.random(2000) < 0.1 for k in range(8)}


def key_and_label(rng: Generator) -> Table:
    return {"k": rng.integers(0, 300, 2000)}


def log_of_seconds(rng: Generator) -> Table:
    t = np.sort(rng.integers(0, 500, 4000))
    return {"t": t, "host": rng.integers(0, 20, 4000), "code": rng.choice([200, 404], 4000)}


def sales(rng: Generator) -> Table:
    day, item = np.divmod(np.arange(5000), 50)
    return {"day": day, "item": item, "sold": rng.poisson(2, 5000)}


def grid(rng: Generator) -> Table:
    return {"row": np.arange(4096) // 64, "column": np.arange(4096) % 64}


def ledger(rng: Generator) -> Table:
    n = 3000
    return {"id": np.arange(n), "account": rng.integers(0, 90, n), "cents": rng.integers(1, 99, n)}


def texts(rng: Generator) -> Table:
    words = np.array([f"w{k}" for k in range(40)])
    return {"a": rng.choice(words, 2500), "b": rng.choice(words, 2500)}


def sparse(rng: Generator) -> Table:
    return {f"x{k}": rng.normal(size=1500) * (rng.random(1500) < 0.05) for k in range(6)}


def customers(rng: Generator) -> Table:
    n = 1500
    income = np.where(rng.random(n) < 0.2, np.nan, rng.lognormal(10, 1, n).round(-3))
    return {"age": rng.integers(18, 90, n), "income": income, "city": rng.integers(0, 30, n)}


CLEAN = [
    *map(of_library, ["iris", "wine", "breast_cancer", "diabetes", "digits"]),
    *(survey, flags, key_and_label, log_of_seconds, sales, grid, ledger, texts, sparse, customers),
]
WIDE = [of_library("wine"), of_library("diabetes")]


def rows_of(make: Callable[[Generator], Table]) -> tuple[ff.Plan, pa.Table]:
    rng = np.random.default_rng(1)
    columns = make(rng)
    n = len(next(iter(columns.values())))
    table = pa.table(columns | {"y": columns.get("y", rng.integers(0, 2, n))})
    key = next(name for name in table.column_names if name != "y")
    return ff.Plan({"risk": col(key).target_encode("y")}, label="y"), table


def told_by(call: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return [str(one.message) for one in found if one.category is RowsRepeated]


@pytest.mark.parametrize("few", [50, 100_000])
@pytest.mark.parametrize("make", CLEAN)
def test_clean_tables_give_no_warning(
    make: Callable[[Generator], Table], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicate_rows, "FEW_ROWS", few)
    plan, table = rows_of(make)
    assert told_by(lambda: plan.fit(table)) == []


def bootstrap(n: int) -> Any:
    return np.random.default_rng(2).integers(0, n, n)


def twice(n: int) -> Any:
    return np.append(np.arange(n), np.arange(n // 2))


def four_times(n: int) -> Any:
    return np.concatenate([np.arange(n), *[np.arange(n // 5)] * 3])


@pytest.mark.parametrize("way", [bootstrap, twice, four_times])
@pytest.mark.parametrize("make", WIDE)
def test_rows_that_repeat_give_one_warning(make: Any, way: Callable[[int], Any]) -> None:
    plan, table = rows_of(make)
    rows = way(table.num_rows)
    share = 1 - len(np.unique(rows)) / len(rows)
    for call in (plan.fit, plan.fit_transform, lambda data: [*plan.cross_fit(data, cv=3)]):
        (told,) = told_by(lambda call=call: call(table.take(pa.array(rows))))
        assert told.startswith(f"data: {share:.0%} of {len(rows):,} rows equal an earlier row in ")


WAYS = {
    "file twice": lambda n: np.tile(np.arange(n), 2),
    "each twice": lambda n: np.repeat(np.arange(n), 2),
    "five times": lambda n: np.tile(np.arange(n), 5),
    "bootstrap": bootstrap,
    "some": lambda n: np.append(np.arange(n), np.arange(n // 20)),
}
KINDS: dict[str, Callable[[Generator, int], Any]] = {
    "measures": lambda rng, n: rng.normal(size=n),
    "texts": lambda rng, n: [f"customer {k}" for k in rng.integers(0, 3 * n, n).tolist()],
    "long texts": lambda rng, n: [f"{k}" * 20 for k in rng.integers(10**6, 10**7, n).tolist()],
    "categories": lambda rng, n: pa.array(rng.integers(0, 3 * n, n)).dictionary_encode(),
    "in pieces": lambda rng, n: pa.chunked_array(
        [rng.normal(size=k) for k in (n // 3, n - n // 3)]
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_sample_tells_the_share(way: str, kind: str) -> None:
    n, make, rng = 8_000, KINDS[kind], np.random.default_rng(3)
    columns = {name: make(rng, n) for name in "abc"}
    plan, table = rows_of(lambda rng: {"k": rng.integers(0, 9, n), **columns})
    assert told_by(lambda: plan.fit(table)) == []
    rows = WAYS[way](n)
    share = 1 - len(np.unique(rows)) / len(rows)
    copied = table.take(pa.array(rows))
    if kind != "in pieces":
        copied = copied.combine_chunks()
    (told,) = told_by(lambda: plan.fit(copied))
    assert told.startswith("data: by a sample, about ")
    found = float(told.split("about ")[1].split("%")[0]) / 100
    # Long texts have no words, and pairs of the sample are counted: those of five are ten.
    assert abs(found - share) < 0.05 if kind != "long texts" else 0.5 * share < found <= 1


@pytest.mark.parametrize("is_copied", [False, True])
def test_codes_of_many_rows_are_told_from_copies(is_copied: bool) -> None:
    n, rng = 12_000, np.random.default_rng(4)
    values = [30_000, 20_000, 40, 9] if is_copied else [300, 50, 9]
    plan, table = rows_of(
        lambda rng: {f"c{k}": rng.integers(0, v, n) for k, v in enumerate(values)}
    )
    table = table.take(pa.array(rng.integers(0, n, n))) if is_copied else table
    told = told_by(lambda: plan.fit(table))
    assert len(told) == is_copied, told


def test_hashes_of_rows_tell_small_numbers_apart() -> None:
    row, column = np.divmod(np.arange(64 * 64), 64)
    texts = pa.array(row.astype(str).tolist())
    columns = [row, column, texts, row.astype(float), column.astype(np.int8)]
    words = [words_of(pa.chunked_array([pa.array(column)])) for column in columns]
    for first, second in [(0, 1), (1, 0), (2, 1), (1, 2), (3, 1), (4, 3), (2, 4)]:
        pair = [words[first], words[second]]
        assert len(np.unique(duplicate_rows._row_hashes(pair))) == 64 * 64  # pyright: ignore[reportPrivateUsage]


def words_of(column: pa.ChunkedArray, rows: Any = None) -> Any:
    rows = np.arange(len(column)) if rows is None else rows
    return duplicate_rows._words(column, rows)  # pyright: ignore[reportPrivateUsage]


VALUES: dict[Any, Any] = {
    pa.string(): st.text(max_size=40),
    pa.large_binary(): st.binary(max_size=20),
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-3, 3),
    pa.uint64(): st.sampled_from([0, 1, 2**63, 2**64 - 1]),
    pa.float32(): st.sampled_from([0.5, 1.0, -2.0]),
    pa.date32(): st.dates(),
    pa.dictionary(pa.int8(), pa.string()): st.sampled_from(["a", "b", "", "longer"]),
    pa.decimal128(9): st.integers(0, 9).map(Decimal),
}


def test_texts_of_pieces_are_equal_whatever_else_is_there() -> None:
    pieces = [["a", "", "one that is longer"], ["", "a and no more", "a"], ["b" * 9, "one that"]]
    words = words_of(pa.chunked_array(pieces))
    assert words[0] == words[5]
    assert words[1] == words[3]
    assert len({*words.tolist()}) == 6


@given(
    of=st.sampled_from([*VALUES]),
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 12), max_size=3),
    data=st.data(),
)
def test_words_are_equal_where_values_are(of: Any, seed: int, cuts: list[int], data: Any) -> None:
    values = data.draw(st.lists(st.none() | VALUES[of], min_size=3, max_size=12))
    values += random.Random(seed).sample(values, 2)
    whole = pa.array(values, of)
    ends = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    column = pa.chunked_array([whole[a:b] for a, b in pairwise(ends)], of)
    rows = np.arange(1, len(values))
    for found, own in ((words_of(column), values), (words_of(column, rows), values[1:])):
        assert len(found) == len(own)
        for k, x in enumerate(own):
            for j, y in enumerate(own):
                assert (found[k] == found[j]) == (x == y), (x, y)


def test_other_folds_and_plans_give_none() -> None:
    _, table = rows_of(of_library("wine"))
    both = pa.concat_tables([table, table]).append_column("g", pa.array(np.arange(356) % 5))
    table = pa.concat_tables([table, table])
    x = col("alcohol")
    for feature in (
        x.target_encode("y", fold_by="hue"),
        x.target_encode("y", time="hue"),
        x.standard_scale(),
    ):
        assert told_by(lambda feature=feature: ff.Plan({"x": feature}, label="y").fit(table)) == []
    folded = ff.Plan({"x": x.target_encode("y", fold="g")}, label="y")
    assert told_by(lambda: folded.fit(both)) == []


def test_columns_that_no_feature_reads_are_looked_at_too(tmp_path: Path) -> None:
    plan, table = rows_of(of_library("wine"))
    both = pa.concat_tables([table, table])
    numbered = both.append_column("number", pa.array(np.arange(both.num_rows)))
    pq.write_table(both, tmp_path / "both.parquet")
    pq.write_table(numbered, tmp_path / "numbered.parquet")
    many = (both.to_pandas(), {name: both[name].to_numpy() for name in both.column_names})
    for data in (both, *many, tmp_path / "both.parquet"):
        assert len(told_by(lambda data=data: plan.fit(data))) == 1
    for data in (numbered, numbered.to_pandas(), tmp_path / "numbered.parquet"):
        assert told_by(lambda data=data: plan.fit(data)) == []


def test_it_is_silent_where_it_cannot_look() -> None:
    plan, table = rows_of(of_library("wine"))
    both = pa.concat_tables([table, table])
    assert told_by(lambda: plan.fit(both.to_reader())) == []  # what it has is read once
    wine = plan
    for narrow in (key_and_label, ledger, grid):  # of which one column or two tell rows apart
        plan, rows = rows_of(narrow)
        assert told_by(lambda plan=plan, rows=rows: plan.fit(pa.concat_tables([rows] * 2))) == []
    few = table.slice(0, 30)
    assert told_by(lambda: wine.fit(pa.concat_tables([few, few]))) == []


def test_rows_that_differ_in_a_list_alone_are_not_told() -> None:
    rng = np.random.default_rng(0)
    x, other = np.repeat(rng.normal(size=(2, 500)), 2, axis=1)
    vectors = pa.array(rng.normal(size=(1000, 3)).tolist())
    data = pa.table({"k": rng.integers(0, 9, 500).repeat(2), "x": x, "other": other})
    data = data.append_column("y", pa.array((rng.random(500) < 0.5).repeat(2)))
    plan = ff.Plan({"k": col("k").target_encode("y")}, label="y")
    with pytest.warns(RowsRepeated):
        plan.fit(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RowsRepeated)
        plan.fit(data.append_column("vector", vectors))
