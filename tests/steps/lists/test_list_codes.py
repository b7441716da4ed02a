"""Codes of the elements of lists, and a column for each category among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.preprocessing import MultiLabelBinarizer

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    InvalidData,
    InvalidPlan,
    Leakage,
)

X: Any = col("x").list

BACKENDS = ("cpu", "reference")


def test_codes_of_elements_share_a_vocabulary() -> None:
    train = pa.table({"x": pa.array([["b", "a", None], ["a"], None, [], ["a", "c", "b"]])})
    rows = pa.table({"x": pa.array([["a", "c"], ["z", "b", "a"], [None, "c"], [], None])})
    fitted = ff.Plan({"t": X.ordinal_encode(width=2)}).fit(train)
    assert fitted.transform(rows).to_pydict() == {"t_0": [2, 1, 0, 0, 0], "t_1": [4, 3, 4, 0, 0]}
    few = ff.Plan({"t": X.ordinal_encode(width=1, min_frequency=2)}).fit(train)
    assert few.transform(rows)["t_0"].to_pylist() == [2, 1, 0, 0, 0]
    given_codes = ff.Plan({"t": X.ordinal_encode(width=1, vocabulary=["c", "z"])}).fit(train)
    assert given_codes.transform(rows)["t_0"].to_pylist() == [1, 3, 0, 0, 0]
    last = ff.Plan({"t": X.slice(-1).list.ordinal_encode(width=1)}).fit(train)
    assert last.transform(rows)["t_0"].to_pylist() == [1, 2, 1, 0, 0]
    assert fitted.transform_row({"x": ["a", "c"]}).tolist() == [2, 4]


def test_hashed_codes_of_elements_are_those_of_their_hash() -> None:
    rows = pa.table({"x": pa.array([["a", "b"], [None, "a"], [], None, ["b"] * 3])})
    encoded = X.hash_encode(width=2, n_buckets=1000, seed=7)
    found = ff.Plan({"t": encoded}).fit(rows).transform(rows)
    buckets = ff.Plan({"b": col("x").hash(1000, seed=7)}).fit({"x": ["a"]})
    a, b = (1 + bucket for bucket in buckets.transform({"x": ["a", "b"]})["b"].to_pylist())
    assert found.to_pydict() == {"t_0": [a, 0, 0, 0, b], "t_1": [b, a, 0, 0, b]}
    assert found.schema.types == [pa.int32()] * 2
    with pytest.raises(InvalidPlan, match="number of buckets"):
        X.hash_encode(width=2, n_buckets=None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_categories_of_lists_have_a_column_each(backend: str) -> None:
    train = pa.table({"x": pa.array([["b", "a", None], ["a", "a"], None, [], ["d", "c", "b"]])})
    rows = pa.table({"x": pa.array([["a", "b", "a"], ["z"], [None, "c"], [], None])})
    plan = ff.Plan(
        {
            "all": X.multi_hot_encode(),
            "few": X.multi_hot_encode(min_frequency=2, missing="column"),
            "most": X.slice(0, 1).list.multi_hot_encode(max_categories=2),
        }
    )
    fitted = plan.fit(train, backend=backend)
    found = fitted.transform(rows, backend=backend)
    assert found.to_pydict() == {
        "all_a": [1, 0, 0, 0, 0],
        "all_b": [1, 0, 0, 0, 0],
        "all_c": [0, 0, 1, 0, 0],
        "all_d": [0, 0, 0, 0, 0],
        "few_a": [1, 0, 0, 0, 0],
        "few_b": [1, 0, 0, 0, 0],
        "few__missing": [0, 0, 0, 0, 1],
        "few__other": [0, 1, 1, 0, 0],
        "most_a": [1, 0, 0, 0, 0],
        "most__other": [0, 1, 0, 0, 0],
    }
    assert set(found.schema.types) == {pa.uint8()}
    assert fitted.vocabulary("all")["count"].to_pylist() == [1, 0, 3, 2, 1, 1]
    assert fitted.encoding("all").inverse([3]).to_pylist() == ["b"]
    assert fitted.select("few__other").transform(rows)["few__other"].to_pylist() == [0, 1, 1, 0, 0]
    assert fitted.verify(rows).ok


def test_columns_of_categories_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(3)
    lists = [random.choice([*"abcdefgh"], random.integers(0, 6)).tolist() for _ in range(300)]
    fitted = ff.Plan({"x": X.multi_hot_encode()}).fit({"x": lists[:200]})
    binarizer = MultiLabelBinarizer().fit(lists[:200])
    expected = binarizer.transform(lists[200:])
    found = fitted.transform({"x": lists[200:]})
    for k, name in enumerate(binarizer.classes_):
        assert found[f"x_{name}"].to_pylist() == expected[:, k].tolist()


def test_columns_of_categories_that_are_too_many_are_refused() -> None:
    lists = [[k, k + 1] for k in range(1000)]
    with pytest.raises(InvalidData, match="1,001 columns of 1,000 rows take 1,001,000 bytes"):
        ff.Plan({"x": X.multi_hot_encode(max_memory=1_000_000)}).fit({"x": lists})


def test_categories_of_lists_that_are_known_too_late_are_refused() -> None:
    with pytest.raises(Leakage, match="reads 'x' in its own row"):
        ff.Plan({"f": X.multi_hot_encode()}, outcomes=["x"])
