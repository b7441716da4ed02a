"""Plans that read no column have as many rows as the data, on every way to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import lit
from fastfeat.apps.serve.json_rows import row_reader

TABLE = pa.table({"x": [1.0, 2.0, 3.0]})
PLAN = ff.Plan({"f": lit(6), "g": lit(1.5) + 1})
WANTED = {"f": [6] * 3, "g": [2.5] * 3}


@pytest.fixture(scope="module")
def fitted() -> ff.FittedPlan:
    return PLAN.fit(TABLE)


def _file(folder: Path) -> Path:
    pq.write_table(TABLE, folder / "rows.parquet")
    return folder / "rows.parquet"


def _written(folder: Path, write: Callable[[Path, Path], Any]) -> pa.Table:
    write(_file(folder), folder / "out")
    return pq.read_table(folder / "out")


def _joined(pieces: Any) -> pa.Table:
    return pa.concat_tables(list(pieces))


def _served(fitted: ff.FittedPlan) -> pa.Table:
    rows = row_reader({}, (), (), 10)
    of_rows, of_columns = rows.table(TABLE.to_pylist()), rows.of_columns(TABLE.to_pydict(), 3)
    assert fitted.transform(of_columns).equals(fitted.transform(of_rows))
    return fitted.transform(of_rows)


WAYS: dict[str, Callable[[ff.FittedPlan, Path], pa.Table]] = {
    "transform": lambda f, _: f.transform(TABLE),
    "reference": lambda f, _: f.transform(TABLE, backend="reference"),
    "emulated": lambda f, _: f.transform(TABLE, backend="emulated"),
    "batch": lambda f, _: f.transform(TABLE.to_batches()[0]),
    "batches": lambda f, _: f.transform(TABLE.to_batches(1)),
    "reader": lambda f, _: f.transform(TABLE.to_reader()),
    "function": lambda f, _: f.transform(TABLE.to_reader),
    "rows": lambda f, _: f.transform(TABLE.to_pylist()),
    "columns": lambda f, _: f.transform({"x": np.arange(3)}),
    "no columns": lambda f, _: f.transform(TABLE.select([])),
    "file": lambda f, at: f.transform(_file(at)),
    "history": lambda f, _: f.transform(TABLE, history=TABLE),
    "pieces": lambda f, _: _joined(f.transform_batches(iter(TABLE.to_batches(2)))),
    "live": lambda f, _: f.online(keep="everything").process(TABLE),
    "asked": lambda f, _: f.online(keep="everything").features(TABLE),
    "asked rows": lambda f, _: f.online(keep="everything").features(TABLE.to_pylist()),
    "served": lambda f, _: _served(f),
    "to files": lambda f, at: _written(at, f.transform_to),
    "fit to files": lambda f, at: _written(at, PLAN.fit_transform_to),
    "fit": lambda f, _: PLAN.fit_transform(TABLE)[1],
    "chosen": lambda f, _: PLAN.fit_transform(TABLE, rows=[2, 1, 0])[1],
    "passes": lambda f, at: PLAN.fit(_file(at), memory="64GiB").transform(TABLE),
    "folds": lambda f, _: _joined(fold.test for fold in PLAN.cross_fit(TABLE, 3)),
}


@pytest.mark.parametrize("way", WAYS)
def test_literals_have_as_many_rows_as_the_data(way: str, fitted: ff.FittedPlan, tmp_path: Path):
    assert WAYS[way](fitted, tmp_path).to_pydict() == WANTED


def test_a_matrix_of_literals_has_as_many_rows_as_the_data(fitted: ff.FittedPlan):
    matrix = fitted.transform(TABLE, to="numpy", out=np.empty((3, 2)))
    assert matrix.tolist() == [[6.0, 2.5]] * 3
    assert fitted.transform_row({"x": 1.0}).tolist() == [6.0, 2.5]
    assert fitted.verify(TABLE).ok


def test_a_profile_of_literals_counts_all_rows():
    assert PLAN.fit(TABLE, profile=True).drift(TABLE).ok
