"""What columns of lists refuse, and what they say should be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import (
    ArtifactError,
    FastfeatError,
    InvalidData,
    InvalidPlan,
    TypeMismatch,
)

X: Any = col("x").list


def _fit(expression: ff.Expr, **columns: Any) -> Any:
    return ff.Plan({"f": expression}).fit(columns)


LISTS = pa.array([[1, 2], None], pa.list_(pa.int8()))


BAD: list[tuple[Callable[[], Any], type[FastfeatError], str]] = [
    (lambda: _fit(col("x"), x=LISTS), TypeMismatch, "is a list, col('x'): features must be"),
    (lambda: _fit(X.slice(1), x=LISTS), TypeMismatch, "features must be numbers"),
    (lambda: _fit(col("x") + 1, x=LISTS), TypeMismatch, "lists have their own operators"),
    (lambda: _fit(col("x").is_null(), x=LISTS), TypeMismatch, ".list.len()"),
    (lambda: _fit(col("x").count(), x=LISTS), TypeMismatch, "lists have their own operators"),
    (lambda: _fit(col("y").mean(by="x"), x=LISTS, y=[1, 2]), TypeMismatch, "list[int8]"),
    (lambda: _fit(X.len(), x=[1, 2]), TypeMismatch, "col('x').list.len(): needs a list, got int64"),
    (lambda: _fit(X.sum(), x=[["a"]]), TypeMismatch, "needs a number or a duration, got utf8"),
    (lambda: _fit(X.min(), x=[["a"]]), TypeMismatch, "got utf8"),
    (lambda: _fit(X.contains("a"), x=LISTS), TypeMismatch, "a list of int8 cannot contain utf8"),
    (lambda: _fit(X.contains(col("x")), x=LISTS), TypeMismatch, "cannot contain list[int8]"),
    (lambda: _fit(X.len(), x=[[[1]]]), TypeMismatch, "cannot be read by an expression"),
    (lambda: X.contains(None), TypeMismatch, "cannot look for a missing value"),
    (lambda: X.get(1.5), InvalidPlan, "list.get(index=1.5)"),
    (lambda: X.get(0, null_on_oob="no"), InvalidPlan, "null_on_oob='no'"),
    (lambda: X.slice(0, -1), InvalidPlan, "list.slice(length=-1)"),
    (lambda: X.pad(0), InvalidPlan, "list.pad(width=0)"),
    (lambda: X.std(ddof=-1), InvalidPlan, "list.std(ddof=-1)"),
    (lambda: X.hash_encode(width=1, n_buckets=0), InvalidPlan, "list.hash_encode(n_buckets=0)"),
    (lambda: X.multi_hot_encode(missing="x"), InvalidPlan, "list.multi_hot_encode(missing='x')"),
    (lambda: X.multi_hot_encode(max_categories=0), InvalidPlan, "max_categories=0"),
    (lambda: _fit(X.multi_hot_encode() + 1, x=LISTS), TypeMismatch, "got one_hot"),
    (lambda: _fit(X.multi_hot_encode(), x=[1]), TypeMismatch, "needs a list, got int64"),
    (lambda: X.ordinal_encode(width=0), InvalidPlan, "list.ordinal_encode(width=0)"),
    (lambda: X.ordinal_encode(width=2, vocabulary=[]), InvalidPlan, "list of categories is empty"),
    (lambda: X.pad(2) + 1, InvalidPlan, "must be the last"),
    (lambda: col("x").cast("list[int64]"), TypeMismatch, "cannot cast to a list"),
    (lambda: _fit(X.sum(), x=LISTS).transform({"x": [1]}), TypeMismatch, "fit saw list[int8], got"),
    (lambda: _fit(X.sum(), x=LISTS).transform({"x": [[300]]}), InvalidData, "300 in row 0 is not"),
    (lambda: _fit(X.sum(), x=LISTS).transform({"x": [["a"]]}), TypeMismatch, "elements of all"),
    (lambda: _fit(X.sum(), x=LISTS).transform_row({"x": "ab"}), TypeMismatch, "expected a list"),
    (lambda: _fit(X.sum(), x=LISTS).transform_row({"x": 1}), TypeMismatch, "expected a list"),
    (lambda: _fit(X.sum(), x=LISTS).transform_row({"x": [300]}), TypeMismatch, "outside the range"),
    (lambda: _fit(X.sum(), x=LISTS).transform_row({"x": [1.5]}), TypeMismatch, "1.5"),
]


@pytest.mark.parametrize(("run", "kind", "told"), BAD)
def test_what_lists_refuse(run: Callable[[], Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind) as caught:
        run()
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lengths", "Write .list.len()"),
        ("head", ".list.slice(0, n)"),
        ("to_struct", ".list.pad(width)"),
        ("explode", "one row for each row"),
        ("eval", "cannot run a Python function"),
        ("n_unique", "This version does not have this list function"),
        ("slize", "Did you mean 'slice'?"),
        ("wholly_other", "There are: contains, first"),
    ],
)
def test_other_names_are_told_what_to_write(name: str, told: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(X, name)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [('["index",0]', '["index","a"]'), ('["index",0]', '["place",0]'), ("list.get", "list.got")],
)
def test_altered_plans_are_refused(old: str, new: str) -> None:
    text = ff.Plan({"f": X.get(0)}).to_json()
    assert old in text
    with pytest.raises((ArtifactError, InvalidPlan)):
        ff.Plan.from_json(text.replace(old, new)).fit({"x": LISTS})
