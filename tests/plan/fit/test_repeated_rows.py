"""`RowsRepeated` of training data without ids: copies of rows give it, clean tables do not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.random import Generator

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import RowsRepeated
from fastfeat.plan.fit import repeated_rows

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


@pytest.mark.parametrize("most", [50, 100_000])
@pytest.mark.parametrize("make", CLEAN)
def test_clean_tables_give_no_warning(
    make: Callable[[Generator], Table], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeated_rows, "MOST_ROWS", most)
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


@pytest.mark.parametrize("place", [np.tile, np.repeat])
def test_a_sample_tells_the_share(monkeypatch: pytest.MonkeyPatch, place: Any) -> None:
    monkeypatch.setattr(repeated_rows, "MOST_ROWS", 4_000)
    plan, table = rows_of(lambda rng: {f"x{k}": rng.normal(size=20_000) for k in range(4)})
    (told,) = told_by(lambda: plan.fit(table.take(pa.array(place(np.arange(20_000), 2)))))
    assert told.startswith("data: by a sample, about ")
    assert 0.3 < float(told.split("about ")[1].split("%")[0]) / 100 < 0.7
    assert told_by(lambda: plan.fit(table)) == []


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
    table = pa.table({"row": row, "column": column, "text": row.astype(str)})
    numbers = [*repeated_rows._every_hash(table, table, None)]  # pyright: ignore[reportPrivateUsage]
    for pair in (numbers[:2], numbers[:0:-1]):
        assert len(np.unique(repeated_rows._of_all(pair))) == 64 * 64  # pyright: ignore[reportPrivateUsage]


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
