"""`min_rows=`: keys of few training rows are as unseen ones, and stand in no artifact."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import ArtifactError, InvalidPlan
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.operators.targets import OPERATORS
from fastfeat.trust.verify.comparison import first_difference
from fastfeat_tests.steps.keys.key_tables import key_tables

EXAMPLES = settings(max_examples=8 + settings().max_examples // 20)
FEW = settings(max_examples=3 + settings().max_examples // 100)
pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
K, X, TEXT, Z, W = (col(name) for name in ("k", "x", "text", "z", "w"))
BY: dict[str, Callable[..., ff.Expr]] = {
    "count": partial(Z.count, by="text"),
    "null": partial(Z.null_count, by="text"),
    "sum": partial(W.sum, by=["i8", "flag"]),
    "mean": partial(Z.mean, by="f64"),
    "var": partial(Z.var, by="u64"),
    "std": partial(Z.std, by="large"),
    "skew": partial(Z.skew, by="i8", bias=False),
    "kurtosis": partial(Z.kurtosis, by="flag"),
    "min": partial(Z.min, by="dict"),
    "max": partial(W.max, by="view"),
    "quantile": partial(Z.quantile, 0.3, by="i64"),
    "median": partial(W.median, by="day"),
    "mode": partial(W.mode, by="text"),
    "unique": partial(W.n_unique, by="text"),
    "standard": partial(Z.standard_scale, by="text"),
    "min max": partial(Z.min_max_scale, by="text"),
    "max abs": partial(Z.max_abs_scale, by="text"),
    "robust": partial(Z.robust_scale, by="text"),
}
KEY_OF = {"sum": ["i8", "flag"], "mean": ["f64"], "var": ["u64"], "std": ["large"],
          "skew": ["i8"], "kurtosis": ["flag"],
          "min": ["dict"], "max": ["view"], "quantile": ["i64"], "median": ["day"]}  # fmt: skip
TARGETS: dict[str, Callable[..., ff.Expr]] = {
    "auto": partial(TEXT.target_encode, "y"),
    "smooth": partial(col("f64").target_encode, "y", smooth=2, folds=2),
    "var": partial(TEXT.target_encode, "y", smooth=3, stat="var"),
    "median": partial(TEXT.target_encode, "y", smooth=3, stat="quantile"),
    "time": partial(TEXT.target_encode, "y", smooth=1, time="day", folds=3),
    "cross": partial(ff.cross("text", "i8").target_encode, "y", smooth=1),
    "woe": partial(TEXT.woe_encode, "y"),
}


@cache
def plan(n: int | None) -> ff.Plan:
    """Return every operator that has `min_rows`."""
    features = {name: of(min_rows=n) for name, of in {**BY, **TARGETS}.items()}
    features["n"] = ff.cross("text", "flag").count_encode(min_rows=n)
    features["share"] = col("i8").count_encode(normalize=True, min_rows=n)
    features["filled"] = Z.impute("mean", by="text", min_rows=n)
    return ff.Plan(features, outcomes=["y"])


def tables() -> Any:
    """Return tables whose target has a value."""
    return key_tables(min_rows=5).filter(lambda t: t["y"].null_count < t.num_rows)


def assert_same(left: pa.Table, right: pa.Table) -> None:
    assert left.schema == right.schema
    for name in left.column_names:
        columns = left[name].combine_chunks(), right[name].combine_chunks()
        assert first_difference(*columns) is None, name


@EXAMPLES
@given(train=tables(), rows=key_tables(), n=st.integers(1, 4))
def test_the_backends_and_all_paths_agree(train: pa.Table, rows: pa.Table, n: int) -> None:
    chosen = ff.Plan.from_json(plan(n).to_json())
    assert chosen.to_json() == plan(n).to_json()
    fitted, features = plan(n).fit_transform(train)
    by_reference, expected = chosen.fit_transform(train, backend="reference")
    assert artifact_bytes(fitted.record) == artifact_bytes(by_reference.record)
    assert artifact_bytes(fitted.record) == artifact_bytes(
        chosen.fit(train.combine_chunks()).record
    )
    assert_same(features, expected)
    report = fitted.verify(rows)
    assert report.ok, report


@pytest.mark.emulator
@FEW
@given(train=tables(), n=st.integers(2, 3))
def test_a_device_learns_the_same(train: pa.Table, n: int) -> None:
    fitted, features = plan(n).fit_transform(train)
    found, on_device = plan(n).fit_transform(train, backend="emulated")
    assert artifact_bytes(found.record) == artifact_bytes(fitted.record)
    assert_same(on_device, features)


@EXAMPLES
@given(train=key_tables(), rows=key_tables(), n=st.integers(1, 4))
def test_keys_of_few_rows_are_missing_and_others_as_they_are(
    train: pa.Table, rows: pa.Table, n: int
) -> None:
    every = ff.Plan({name: of() for name, of in BY.items()}).fit(train).transform(rows)
    found = ff.Plan({name: of(min_rows=n) for name, of in BY.items()}).fit(train).transform(rows)
    for name in BY:
        keys = KEY_OF.get(name, ["text"])
        is_rare = few(train, rows, keys, n)
        expected = [
            None if rare else x for rare, x in zip(is_rare, every[name].to_pylist(), strict=True)
        ]
        assert [repr(x) for x in found[name].to_pylist()] == [repr(x) for x in expected], name


def few(train: pa.Table, rows: pa.Table, keys: list[str], n: int) -> list[bool]:
    """Return whether the key of a row has fewer than n training rows."""

    def of(table: pa.Table) -> list[tuple[Any, ...]]:
        columns = [[None if x != x else x for x in table[key].to_pylist()] for key in keys]
        return [*zip(*columns, strict=True)]

    counts = Counter(of(train))
    return [counts[key] < n for key in of(rows)]


ROWS = {
    "k": [*"aaaaabbbc", None],
    "fold": [0, 0, 1, 1, 2, 0, 1, 2, 0, 1],
    "y": [1, 0, 1, None, 1, 0, 0, 1, 1, 0],
}


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("name", ["target_encode", "woe_encode"])
def test_a_category_is_unseen_where_few_rows_are_learnt_from(name: str, n: int) -> None:
    smooth = {"smooth": 2} if name == "target_encode" else {}
    encode = partial(getattr(K, name), "y", min_rows=n, **smooth)
    fitted, in_training = ff.Plan({"f": encode(fold="fold")}, label="y").fit_transform(ROWS)
    reference = OPERATORS[name].reference
    rows = [*zip(ROWS["k"], ROWS["fold"], ROWS["y"], strict=True)]

    def learnt(seen: list[tuple[Any, Any, Any]], key: Any) -> Any:
        train = [k for k, *_ in seen], [y for *_, y in seen]
        return reference(train, ([key],), min_rows=n, **smooth)[0]

    of_others = [learnt([r for r in rows if r[1] != fold], key) for key, fold, _ in rows]
    assert in_training["f"].to_pylist() == pytest.approx(of_others, rel=1e-14, abs=1e-15)
    of_all = [learnt(rows, key) for key in [*"abcz", None]]
    found = fitted.transform({"k": [*"abcz", None]})["f"].to_pylist()
    assert found == pytest.approx(of_all, rel=1e-14, abs=1e-15)
    is_few = [key for key, m in {"a": 4, "b": 3, "c": 1, None: 1}.items() if m < n]
    unseen = fitted.transform({"k": ["z"]})["f"].to_pylist()
    assert fitted.transform({"k": is_few})["f"].to_pylist() == unseen * len(is_few)


def test_counts_of_few_rows_are_0_and_missing_keeps_its_own() -> None:
    features = {"n": K.count_encode(min_rows=3), "s": K.count_encode(normalize=True, min_rows=3)}
    fitted = ff.Plan(features).fit(ROWS)
    found = fitted.transform({"k": [*"abcz", None]}).to_pydict()
    assert found == {"n": [5, 3, 0, 0, 1], "s": [0.5, 0.3, 0.0, 0.0, 0.1]}
    assert fitted.transform_row({"k": "c"}).tolist() == [0.0, 0.0]
    assert fitted.vocabulary("n")["count"].to_pylist() == [1, 1, 5, 3]


KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), "categories"]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_keys_that_are_left_out_do_not_stand_in_the_saved_file(
    kind: Any, backend: str, tmp_path: Path
) -> None:
    keys: Any = pa.array(["kept by rows"] * 3 + ["rare by rows"])
    if kind == "categories":
        entries = ["kept by rows", "rare by rows", "never used at all"]
        keys = pa.DictionaryArray.from_arrays(pa.array([0, 0, 0, 1], pa.int8()), entries)
    number = int.from_bytes(b"a number", "little")
    rows = pa.table(
        {"k": keys if kind == "categories" else keys.cast(kind),
         "j": [1, 1, 1, number], "x": [1.0, 2.0, 3.0, 12345.0625], "y": [1, 0, 1, 0]}
    )  # fmt: skip
    features = {
        "mean": X.mean(by="k", min_rows=2),
        "scaled": X.robust_scale(by=["k", "j"], min_rows=2),
        "count": K.count_encode(min_rows=2),
        "cross": ff.cross("k", "j").count_encode(min_rows=2),
        "target": K.target_encode("y", min_rows=2),
        "woe": col("j").woe_encode("y", min_rows=2),
    }
    fitted = ff.Plan(features, label="y").fit(rows, backend=backend)
    fitted.save(tmp_path / "f.fastfeat")
    saved = (tmp_path / "f.fastfeat").read_bytes()
    statistic = pa.array([12345.0625]).buffers()[1].to_pybytes()
    assert b"kept by rows" in saved
    assert [x for x in (b"rare by", b"never used", b"a number", statistic) if x in saved] == []
    every = artifact_bytes(
        ff.Plan({"mean": X.mean(by=["k", "j"])}).fit(rows, backend=backend).record
    )
    assert all(x in every for x in (b"rare by", b"a number", statistic))
    assert b"never used" not in every  # nor does a category that no row has


def test_rows_without_a_kept_key_may_have_a_sum_that_does_not_fit() -> None:
    rows = {"i": [2**62, 2**62, 1, 2, 2**62, 2**62], "k": [None, None, "a", "a", "b", "c"]}
    features = {"s": col("i").sum(by="k", min_rows=2), "t": col("i").sum(by="k")}
    for backend in ("cpu", "reference"):
        found = ff.Plan(features).fit(rows, backend=backend).transform(rows)
        assert found["s"].to_pylist() == [None, None, 3, 3, None, None]
        assert found["t"].to_pylist() == [None, None, 3, 3, 2**62, 2**62]


def test_min_rows_is_printed_and_one_row_is_every_key() -> None:
    shown = {
        "col('x').mean(by=col('k'), min_rows=3)": X.mean(by="k", min_rows=3),
        "col('x').std(ddof=1, by=[col('k'), col('j')], min_rows=2)": X.std(
            by=["k", "j"], min_rows=2
        ),
        "col('k').count_encode(min_rows=3)": K.count_encode(min_rows=3),
        "ff.cross(col('k'), col('j')).count_encode(normalize=True, min_rows=3)": ff.cross(
            "k", "j"
        ).count_encode(normalize=True, min_rows=3),
        "col('k').target_encode(col('y'), folds=5, smooth='auto', min_rows=3)": K.target_encode(
            "y", min_rows=3
        ),
        "col('k').woe_encode(col('y'), folds=5, regularization=1.0, min_rows=9)": K.woe_encode(
            "y", min_rows=9
        ),
        "col('x').mean(by=col('k').ordinal_encode(min_frequency=3), min_rows=2)": X.mean(
            by=K.ordinal_encode(min_frequency=3), min_rows=2
        ),
    }
    assert [repr(expression) for expression in shown.values()] == list(shown)
    assert X.mean(by="k", min_rows=1).node is X.mean(by="k").node
    assert K.target_encode("y", min_rows=1).node is K.target_encode("y").node


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: X.mean(by="k", min_rows=0), r"mean\(min_rows=0\): takes a whole number from 1"),
        (lambda: X.median(by="k", min_rows=cast("Any", 2.5)), "takes a whole number from 1"),
        (lambda: X.mode(by="k", min_rows=True), "takes a whole number from 1"),
        (
            lambda: K.count_encode(min_rows=cast("Any", "3")),
            r"count_encode\(min_rows='3'\): takes a whole",
        ),
        (lambda: K.target_encode("y", min_rows=-1), "takes a whole number from 1"),
        (
            lambda: K.woe_encode("y", min_rows=cast("Any", float("nan"))),
            "takes a whole number from 1",
        ),
        (lambda: X.mean(min_rows=3), r"by= is missing. Write mean\(by='key', min_rows=3\)"),
        (lambda: X.standard_scale(min_rows=3), "by= is missing. Write "),
        (lambda: X.impute("mean", min_rows=3), r"by= is missing. Write impute\('median', by='key'"),
        (lambda: X.impute(0, min_rows=3), "by= is missing. Write "),
        (
            lambda: X.mean(min_rows=3, over=ff.window("7d", time="t")),
            r"min_rows= applies only with by=\. .* min_samples=5",
        ),
    ],
)
def test_what_min_rows_cannot_be(make: Callable[[], ff.Expr], message: str) -> None:
    with pytest.raises(InvalidPlan, match=message):
        make()


def altered(function: str, name: str, value: Any) -> str:
    """Return a plan with another parameter of what is learnt by a function."""
    features = {"m": X.mean(by="k", min_rows=2), "n": col("j").count_encode(min_rows=2)}
    target = {"t": col("i").target_encode("y", min_rows=2)}
    chosen = target if function == "target_mean" else {"m": features["m"]}
    document = json.loads(ff.Plan(features if function == "both" else chosen, label="y").to_json())
    names = ("vocabulary",) if function in ("both", "vocabulary") else (function,)
    for node in document["nodes"]:
        if node.get("aggregate") in names:
            next(one for one in node["params"] if one[0] == name)[1] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [
        ("vocabulary", "min_frequency", 0),
        ("vocabulary", "min_frequency", -3),
        ("vocabulary", "min_frequency", 1.5),
        ("vocabulary", "min_frequency", True),
        ("vocabulary", "min_frequency", 0.5),
        ("vocabulary", "max_categories", 3),
        ("both", "min_frequency", 0.5),
        ("target_mean", "min_rows", 1),
        ("target_mean", "min_rows", 3),
        ("target_mean", "min_rows", 2.0),
        ("target_mean", "min_rows", None),
    ],
)
def test_min_rows_that_no_operator_gives_are_refused(function: str, name: str, value: Any) -> None:
    with pytest.raises(ArtifactError):
        ff.Plan.from_json(altered(function, name, value))
