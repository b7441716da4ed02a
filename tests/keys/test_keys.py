"""What is learnt per key: the same bits on every backend, by any way that rows come."""

from __future__ import annotations

import datetime
import hashlib
import math
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from key_tables import KEYS, key_tables, one_chunk

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import ArtifactError, InvalidData, InvalidPlan, TypeMismatch
from fastfeat.plan import artifact, canonical
from fastfeat.plan.artifact import artifact_bytes, fitted_of
from fastfeat.plan.verify import first_difference

EXAMPLES = settings(max_examples=10 + settings().max_examples // 10)
pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
Table = Any


@pytest.fixture(autouse=True, scope="module")
def several_parts() -> Any:
    """Divide a few rows among threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("fastfeat.backends.cpu.kernels"), "SERIAL_BELOW", 1)
        yield


@cache
def plan() -> ff.Plan:
    """Return encoders and aggregates of every kind of key."""
    features: dict[str, ff.Expr] = {}
    for name in KEYS:
        key = col(name)
        features[f"code {name}"] = key.ordinal_encode()
        features[f"few {name}"] = key.ordinal_encode(min_frequency=2, max_categories=3)
        features[f"count {name}"] = key.count_encode()
        features[f"mean {name}"] = col("z").mean(by=name)
    z, w = col("z"), col("w")
    features |= {
        "std": z.std(by=["text", "flag"]),
        "var": z.var(ddof=0, by="i8"),
        "sum": w.sum(by="f64"),
        "sum z": z.sum(by="f64"),
        "min": w.min(by="text"),
        "max": z.max(by="flag"),
        "low": z.quantile(0.25, interpolation="lower", by="day"),
        "median": w.median(by=col("i8") % 2),
        "n": z.count(by="dict"),
        "null": z.null_count(by="u64"),
        "mode": w.mode(by="view"),
        "unique": z.n_unique(by="large"),
        "any": col("text").count(by="i64"),
        "scaled": z.standard_scale(by="text"),
        "filled": z.impute("median", by="text"),
        "either": z.mean(by="text").fill_null(z.mean()),
        "cross": ff.cross("text", "i8", "flag").ordinal_encode(),
        "share": ff.cross("dict", "f64").count_encode(normalize=True),
        "nested": z.mean(by="text").max(),
        "of code": col("text").ordinal_encode().mean(by="flag"),
    }
    return ff.Plan(features)


def assert_same(left: Table, right: Table) -> None:
    assert left.schema == right.schema
    for name in left.column_names:
        columns = left[name].combine_chunks(), right[name].combine_chunks()
        assert first_difference(*columns) is None, name


@EXAMPLES
@given(train=key_tables(), rows=key_tables())
def test_backends_agree(train: Table, rows: Table) -> None:
    on_cpu = plan().fit(train)
    by_reference = plan().fit(train, backend="reference")
    assert artifact_bytes(on_cpu) == artifact_bytes(by_reference)
    assert_same(on_cpu.transform(rows), on_cpu.transform(rows, backend="reference"))


@EXAMPLES
@given(train=key_tables(min_rows=2), rows=key_tables(min_rows=2))
def test_chunks_threads_rows_and_the_artifact_change_no_bit(train: Table, rows: Table) -> None:
    fitted = plan().fit(train)
    with_threads = artifact_bytes(fitted)
    ff.set_num_threads(3)
    try:
        assert artifact_bytes(plan().fit(one_chunk(train))) == with_threads
        expected = fitted.transform(rows)
        assert_same(fitted.transform(one_chunk(rows)), expected)
    finally:
        ff.set_num_threads(None)
    assert_same(fitted_of(with_threads).transform(rows), expected)
    halves = [fitted.transform(rows.slice(0, 1)), fitted.transform(rows.slice(1))]
    assert_same(pa.concat_tables(halves), expected)
    matrix = fitted.transform(rows, to="numpy")
    for row, values in zip(rows.to_pylist(), matrix, strict=True):
        assert fitted.transform_row(row).tobytes() == np.ascontiguousarray(values).tobytes()


@EXAMPLES
@given(train=key_tables(min_rows=2))
def test_the_order_of_training_rows_changes_no_bit(train: Table) -> None:
    backwards = pa.table(
        {
            name: pa.array(column.to_pylist()[::-1], column.type, from_pandas=False)
            for name, column in zip(train.column_names, train.columns, strict=True)
        }
    )
    assert artifact_bytes(plan().fit(train)) == artifact_bytes(plan().fit(backwards))


@pytest.mark.parametrize("aggregate", ["sum", "mean", "var", "median", "mode"])
def test_infinities_of_a_key_leave_the_same_artifact_on_every_backend(aggregate: str) -> None:
    train = {"k": [1, 1, 2, 3], "x": [math.inf, -math.inf, math.inf, 1.0]}
    plan = ff.Plan({"a": getattr(col("x"), aggregate)(by="k")})
    by_reference = plan.fit(train, backend="reference")
    assert artifact_bytes(plan.fit(train)) == artifact_bytes(by_reference)


def test_codes_are_by_count_and_then_by_value() -> None:
    fitted = ff.Plan({"k": col("k").ordinal_encode()}).fit({"k": [*"bbaacéz", None, None]})
    assert fitted.vocabulary("k").to_pydict() == {
        "code": [0, 1, 2, 3, 4, 5, 6],
        "k": [None, None, "a", "b", "c", "z", "é"],
        "count": [2, 0, 2, 2, 1, 1, 1],
    }
    assert fitted.inverse("k", [6, 2, 0, 1]).to_pylist() == ["é", "a", None, None]
    with pytest.raises(InvalidData, match="7 is not a code"):
        fitted.inverse("k", [7])
    with pytest.raises(InvalidPlan, match="no feature 'q'"):
        fitted.vocabulary("q")


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("value", ["a", 3, 2.5, -0.0, True, datetime.date(2024, 5, 1), None])
def test_a_literal_is_a_key_as_any(value: Any, backend: str) -> None:
    key, x = ff.lit(value), col("x")
    features = {
        "code": key.ordinal_encode(),
        "count": key.count_encode(),
        "hot": key.one_hot_encode(missing="column"),
        "cross": ff.cross(key, "k").ordinal_encode(),
        "mean": x.mean(by=[key, "k"]),
        "seen": x.count(by=key),
    }
    rows = {"k": ["p", "q", "p"], "x": [1.0, 2.0, 3.0]}
    fitted = ff.Plan(features).fit(rows, backend=backend)
    found = fitted.transform(rows, backend=backend).to_pydict()
    missing = value is None
    assert found["code"] == [0 if missing else 2] * 3
    assert found["count"] == [3] * 3
    assert found["cross"] == [2, 3, 2]
    assert found["mean"] == ([None] * 3 if missing else [2.0, 2.0, 2.0])
    assert found["seen"] == [None if missing else 3] * 3
    assert fitted.verify(rows).ok
    assert fitted_of(artifact_bytes(fitted)).transform(rows).to_pydict() == found


def test_codes_are_turned_back_from_any_form_of_them() -> None:
    rows = {"k": ["a", "b", "a"], "j": [1, 2, 1]}
    features = {"k": col("k").ordinal_encode(), "c": ff.cross("k", "j").ordinal_encode()}
    fitted, found = ff.Plan(features).fit_transform(rows)
    for codes in ([2, 3], np.array([2.0, 3.0]), pa.chunked_array([[2], [3]]), (2, 3)):
        assert fitted.inverse("k", codes).to_pylist() == ["a", "b"]
    assert fitted.inverse("c", found["c"]).to_pylist() == [
        {"k": k, "j": j} for k, j in zip(*rows.values(), strict=True)
    ]
    assert fitted.inverse("k", []).to_pylist() == []
    assert fitted.inverse("k", [None]).to_pylist() == [None]
    for codes in ([2.5], ["a"], 2, [True], [2**70]):
        with pytest.raises(TypeMismatch, match="inverse takes codes"):
            fitted.inverse("k", codes)


def test_inverse_of_a_cross_tells_missing_parts_from_no_category() -> None:
    fitted = ff.Plan({"c": ff.cross("k", "j").ordinal_encode()}).fit(
        {"k": ["a", None], "j": [1, None]}
    )
    codes = [0, 1, 2, 3, None]
    parts = [{"k": None, "j": None}, {"k": "a", "j": 1}]
    assert fitted.inverse("c", codes).to_pylist() == [None, None, *parts, None]


def test_what_is_learnt_per_key_stands_beside_the_key_whatever_its_name() -> None:
    x, k = col("x"), col("k")
    rows = {"k": ["A", "b", "a"], "value": [5, 5, 6], "key": ["p", "q", "q"], "x": [1.0, 2.0, 3.0]}
    keyed = {
        "expression": x.mean(by=k.str.to_lowercase()),
        "value": x.mean(by="value"),
        "both": x.mean(by=[k.str.to_lowercase(), "key"]),
    }
    learnt = ff.Plan(keyed).fit(rows).learnt()
    tables = [table.to_pydict() for text, table in learnt.items() if text.startswith("col('x')")]
    assert tables == [
        {"key": [None, None, "a", "b"], "value": [None, None, 2.0, 2.0]},
        {"value_": [None, None, 5, 6], "value": [None, None, 1.5, 3.0]},
        {
            "key": [None, None, "a", "a", "b"],
            "key_": [None, None, "p", "q", "q"],
            "value": [None, None, 1.0, 3.0, 2.0],
        },
    ]


def test_a_feature_of_several_columns_has_one_vocabulary() -> None:
    features = {
        "t": col("t").list.ordinal_encode(width=2),
        "y": col("k").target_encode("y", classes=[0, 1]),
        "h": col("x").cyclical(24),
    }
    rows = {"t": [["a"], ["a", "b"]], "k": ["p", "q"], "x": [1.0, 2.0], "y": [0, 1]}
    fitted = ff.Plan(features, label="y").fit(rows)
    for name in ("t", "t_0", "t_1"):
        assert fitted.vocabulary(name)["value"].to_pylist() == [None, None, "a", "b"]
        assert fitted.inverse(name, [3]).to_pylist() == ["b"]
    assert fitted.vocabulary("y")["k"].to_pylist() == [None, None, "p", "q"]
    with pytest.raises(InvalidPlan, match="'h' has no categories"):
        fitted.vocabulary("h")
    with pytest.raises(InvalidPlan, match=r"no feature 'zz'\. There are: 't_0', 't_1', 'y_0'"):
        fitted.vocabulary("zz")


def test_the_count_of_a_code_that_rare_keys_may_have_is_missing() -> None:
    code = col("k").ordinal_encode(min_frequency=2, n_unseen_buckets=3)
    for keys, counts in (("aabcd", [0, None, None, None, 2]), ("aabb", [0, 0, 0, 0, 2, 2])):
        fitted = ff.Plan({"k": code}).fit({"k": [*keys]})
        assert fitted.vocabulary("k")["count"].to_pylist() == counts


def test_a_vocabulary_may_be_an_array_of_pyarrow() -> None:
    fitted = ff.Plan({"k": col("k").ordinal_encode()}).fit({"k": [*"abb"]})
    listed = fitted.vocabulary("k")["k"].slice(2)
    again = ff.Plan({"k": col("k").ordinal_encode(vocabulary=listed)}).fit({"k": ["z"]})
    assert again.transform({"k": ["a", "b", "z"]})["k"].to_pylist() == [3, 2, 1]


def test_the_schema_says_how_many_codes_there_are() -> None:
    code = col("k").ordinal_encode(n_unseen_buckets=1)
    fitted = ff.Plan({"k": code, "n": col("k").count_encode()}).fit({"k": [*"bbaac", None]})
    assert fitted.n_codes == {"k": 5}
    field = fitted.transform({"k": ["a"]}).schema.field("k")
    assert field.metadata == {b"n_codes": b"5"}
    assert fitted.schema.field("k").equals(field, check_metadata=True)


def test_rare_keys_share_the_code_of_unseen_ones() -> None:
    fitted = ff.Plan(
        {
            "least": col("k").ordinal_encode(min_frequency=2),
            "share": col("k").ordinal_encode(min_frequency=0.3),
            "most": col("k").ordinal_encode(max_categories=2),
            "all": col("k").ordinal_encode(max_categories=3),
        }
    ).fit({"k": [*"aaabbc"]})
    rows = fitted.transform({"k": ["a", "b", "c", "d"]}).to_pydict()
    assert rows == {
        "least": [2, 3, 1, 1],
        "share": [2, 3, 1, 1],
        "most": [2, 1, 1, 1],
        "all": [2, 3, 4, 1],
    }


def test_missing_unseen_and_rare_are_as_the_table_of_the_design_says() -> None:
    k, x = col("k"), col("x")
    fitted = ff.Plan(
        {
            "hot": k.one_hot_encode(min_frequency=2, missing="column"),
            "plain": k.one_hot_encode(),
            "n": k.count_encode(),
            "mean": x.mean(by="k"),
            "cross": ff.cross("k", "x").ordinal_encode(),
        }
    ).fit({"k": ["a", "a", "b", None], "x": [1, 3, 5, 7]})
    rows = fitted.transform({"k": ["a", "b", "c", None], "x": [1, 5, 1, 7]})
    assert rows.to_pydict() == {
        "hot_a": [1, 0, 0, 0],
        "hot__missing": [0, 0, 0, 1],
        "hot__other": [0, 1, 1, 0],
        "plain_a": [1, 0, 0, 0],
        "plain_b": [0, 1, 0, 0],
        "n": [2, 1, 0, 1],
        "mean": [2.0, 5.0, None, None],
        "cross": [3, 5, 1, 2],
    }


def test_a_vocabulary_beyond_the_memory_allowed_is_an_error() -> None:
    data = {"k": np.arange(100_000)}
    with pytest.raises(InvalidData, match=r"max_memory=1,000. Allow more"):
        ff.Plan({"k": col("k").ordinal_encode(max_memory=1000)}).fit(data)
    hot = ff.Plan({"k": col("k").one_hot_encode(max_memory=1_000_000)})
    with pytest.raises(InvalidData, match=r"columns of 2,000 rows take 4,000,000 bytes"):
        hot.fit({"k": np.arange(2000)})


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: col("x").mean(by=ff.cross("a", "b") + 1), TypeMismatch, "needs"),
        (lambda: ff.cross("a", "b"), TypeMismatch, "is a cross"),
        (lambda: col("x") + ff.cross("a", "b"), TypeMismatch, "got cross"),
        (lambda: col("x") + col("a").one_hot_encode(), TypeMismatch, "got one_hot"),
        (lambda: col("a").n_unique(by="b"), TypeMismatch, "Encode the text first"),
        (lambda: col("a").mean(by="b"), TypeMismatch, "needs a number"),
        (lambda: col("x").ordinal_encode(vocabulary=["a"]), TypeMismatch, "'a'"),
        (lambda: col("x").ordinal_encode(vocabulary=[0.0, -0.0]), InvalidPlan, "the same"),
        (lambda: col("x").ordinal_encode(vocabulary=[1, 1.0]), InvalidPlan, "the same"),
        (lambda: ff.cross("a", "b").count(), TypeMismatch, "got cross"),
        (lambda: ff.cross("a", "b").n_unique(), TypeMismatch, "got cross"),
        (lambda: ff.cross("a", "b").is_null(), TypeMismatch, "got cross"),
        (lambda: ff.cross("a", "b").count(by="a"), TypeMismatch, "got cross"),
        (lambda: col("a").one_hot_encode().count(by="b"), TypeMismatch, "got one_hot"),
    ],
)
def test_what_makes_no_sense_of_keys_is_refused(build: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        ff.Plan({"f": build()}).fit({"x": [1.0, 2.0], "a": ["p", "q"], "b": [1, 2]})


def test_columns_after_fit_are_not_known_before() -> None:
    before = ff.Plan({"k": col("k").one_hot_encode()})
    with pytest.raises(InvalidPlan, match="known once the plan is fitted"):
        before.schema({"k": pa.string()})
    fitted = before.fit({"k": ["a", "b"]})
    assert fitted.schema.names == fitted.feature_names == ["k_a", "k_b"]
    assert fitted.select("k_b").transform({"k": ["b"]}).to_pydict() == {"k_b": [1]}


TIMES: list[tuple[pa.DataType, list[int], list[str]]] = [
    (pa.date32(), [3_000_000, 0, -800_000], ["-221-09-04", "1970-01-01", "10183-09-21"]),
    (pa.date64(), [86_400_000], ["1970-01-02"]),
    (
        pa.timestamp("ns"),
        [1, 2, 1000],
        [f"1970-01-01 00:00:00.{n}" for n in ("000000001", "000000002", "000001")],
    ),
    (
        pa.timestamp("us"),
        [-1, 500_000],
        ["1969-12-31 23:59:59.999999", "1970-01-01 00:00:00.500000"],
    ),
    (pa.timestamp("s", "Europe/Berlin"), [0], ["1970-01-01 00:00:00+00:00"]),
    (pa.timestamp("s"), [2**40], ["36812-02-20 00:36:16"]),
    (pa.duration("ms"), [-1, 90_061_000], ["-1 day, 23:59:59.999000", "1 day, 1:01:01"]),
    (pa.duration("s"), [2**40], ["12725829 days, 0:36:16"]),
    (pa.time64("ns"), [1, 2], ["00:00:00.000000001", "00:00:00.000000002"]),
    (pa.time32("s"), [86_399], ["23:59:59"]),
]


@pytest.mark.parametrize(("kind", "ticks", "texts"), TIMES)
def test_columns_are_named_by_times_that_python_lacks_too(
    kind: pa.DataType, ticks: list[int], texts: list[str]
) -> None:
    width = pa.int32() if kind.bit_width == 32 else pa.int64()
    times = pa.array(ticks, width).view(kind)
    fitted = ff.Plan({"k": col("k").one_hot_encode()}).fit({"k": times})
    assert fitted.feature_names == [f"k_{text}" for text in texts]
    assert fitted.transform({"k": times}, to="numpy").sum(axis=1).tolist() == [1] * len(ticks)


def test_a_key_of_a_lookup_table_that_is_there_twice_is_told_whatever_time_it_is() -> None:
    days = pa.array([3_000_000, 3_000_000], pa.int32()).view(pa.date32())
    tables = {"t": pa.table({"k": days, "v": [1, 2]})}
    plan = ff.Plan({"v": ff.lookup("t", by="k").col("v")})
    with pytest.raises(InvalidData, match="the key k=10183-09-21 in the rows 0 and 1"):
        plan.fit({"k": days}, tables=tables).transform({"k": days}, tables=tables)


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        (["_missing", "a", None], {"missing": "column"}),
        (["_other", "_other", "a"], {"min_frequency": 2}),
    ],
)
def test_categories_that_are_written_alike_are_refused(keys: Any, options: Any) -> None:
    with pytest.raises(InvalidPlan, match=r"column 'k__\w+' twice: two of its categories"):
        ff.Plan({"k": col("k").one_hot_encode(**options)}).fit({"k": keys})
    rows = {"a": ["a b", "a"], "b": ["c", "b c"]}
    with pytest.raises(InvalidPlan, match="column 'k_a b c' twice"):
        ff.Plan({"k": ff.cross("a", "b").one_hot_encode()}).fit(rows)
    two = {"k": col("a").one_hot_encode(), "k_a": col("b").hash()}
    with pytest.raises(InvalidPlan, match="two features give the column 'k_a'"):
        ff.Plan(two).fit(rows)


def test_explain_tells_how_wide_an_indicator_is() -> None:
    features = {
        "k": col("k").one_hot_encode(min_frequency=2),
        "k_": col("k").one_hot_encode(),
        "l": col("l").list.multi_hot_encode(),
    }
    before = ff.Plan(features)
    assert "k: one_hot = " in before.explain("bound", schema={"k": "utf8", "l": "list[utf8]"})
    fitted = before.fit({"k": [*"abbcd"], "l": [["a"], ["b"], [], [], []]})
    told = fitted.explain("bound")
    assert "  k: 2 columns of uint8 (k_b, k__other) = col('k').one_hot_encode(min_freq" in told
    assert "  k_: 4 columns of uint8 (k__b, k__a, k__c, ...) = col('k').one_hot_encode()" in told
    assert "  l: 2 columns of uint8 (l_a, l_b) = col('l').list.multi_hot_encode()" in told


@pytest.mark.emulator
@pytest.mark.parametrize("backend", ["cpu", "reference", "emulated"])
@pytest.mark.parametrize("kind", [pa.string(), pa.int64(), pa.null()])
def test_an_indicator_of_no_category_has_no_column_but_its_rows(
    kind: pa.DataType, backend: str
) -> None:
    train = pa.table({"k": pa.nulls(2, kind), "l": pa.nulls(2, pa.list_(pa.string()))})
    features = {
        "hot": col("k").one_hot_encode(),
        "several": col("l").list.multi_hot_encode(),
    }
    with pytest.warns(
        ff.FastfeatWarning, match=r"'hot', col\('k'\).one_hot_encode\(\), has no col"
    ):
        fitted = ff.Plan(features).fit(train, backend=backend)
    rows = pa.table({"k": pa.nulls(3, kind), "l": [["a"], [], None]})
    assert fitted.feature_names == []
    assert fitted.transform(rows, backend=backend).shape == (3, 0)
    assert fitted.transform(rows, to="numpy", backend=backend).shape == (3, 0)
    assert fitted.transform(rows.slice(0, 0), backend=backend).shape == (0, 0)
    assert fitted.transform_row({"k": None, "l": ["a"]}).shape == (0,)
    assert fitted_of(artifact_bytes(fitted)).transform(rows).shape == (3, 0)
    with_missing = ff.Plan({"hot": col("k").one_hot_encode(missing="column")})
    found = with_missing.fit(train, backend=backend).transform(rows, backend=backend)
    assert found.schema == pa.schema({"hot__missing": pa.uint8()})
    assert found.to_pydict() == {"hot__missing": [1, 1, 1]}
    with pytest.raises(InvalidData, match="no rows to learn"):
        ff.Plan(features).fit(train.slice(0, 0), backend=backend)


def test_an_altered_state_of_keys_is_refused() -> None:
    fitted = ff.Plan({"m": col("x").mean(by="k")}).fit({"k": [*"aab"], "x": [1.0, 2.0, 3.0]})
    other = ff.Plan({"m": col("x").mean(by="k")}).fit({"k": [*"abc"], "x": [1.0, 2.0, 3.0]})
    nodes = list(fitted.constants)
    mixed = {**fitted.constants, nodes[-1]: other.constants[nodes[-1]]}
    object.__setattr__(fitted, "constants", mixed)
    with pytest.raises(ArtifactError, match="5 groups for the 4"):
        fitted_of(artifact_bytes(fitted))


def altered(fitted: ff.FittedPlan, name: str, change: Any) -> bytes:
    """Return an artifact in which a table of the state is another one, its digests renewed."""
    manifest, parts = artifact._open(artifact_bytes(fitted))  # pyright: ignore[reportPrivateUsage]
    table = pa.ipc.open_file(parts[name]).read_all()
    sink, new = pa.BufferOutputStream(), change(table)
    with pa.ipc.new_file(sink, new.schema) as writer:
        writer.write_table(new)
    parts = {**parts, name: sink.getvalue().to_pybytes()}
    listed = [[part, len(b), hashlib.sha256(b).hexdigest()] for part, b in parts.items()]
    head = canonical.dump({**manifest, "parts": listed}).encode()
    content = artifact.MAGIC + len(head).to_bytes(8, "little") + head + b"".join(parts.values())
    return content + hashlib.sha256(content).digest()


def with_first_key(table: pa.Table, key: Any) -> pa.Table:
    column = table["key_0"]
    keys = pa.array([key, *column.to_pylist()[1:]], column.type, from_pandas=False)
    return table.set_column(0, table.schema.field("key_0"), keys)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("k", lambda t: t.take([0, 0, 1]), "a key twice"),
        ("k", lambda t: with_first_key(t, None), "no key"),
        ("f", lambda t: with_first_key(t, math.nan), "no key"),
        ("f", lambda t: with_first_key(t, -0.0), "no key"),
        (["k", "f"], lambda t: t.take([0, 1, 2, 0]), "a key twice"),
        ("k", lambda t: t.take([1, 0]), "not in the order of codes"),
        ("f", lambda t: t.take([0, 2, 1]), "not in the order of codes"),
        (["k", "f"], lambda t: t.take([0, 2, 1]), "not in the order of codes"),
        (["k", "f"], lambda t: t.take([1, 0, 2]), "not in the order of codes"),
        ("k", lambda t: t.replace_schema_metadata({"n_missing": "9" * 30, "n_rare": "0"}), "rows"),
        ("k", lambda t: t.replace_schema_metadata({"n_missing": "-1", "n_rare": "0"}), "below 0"),
        ("k", lambda t: t.replace_schema_metadata({}), "do not fit together"),
    ],
)
def test_a_vocabulary_that_fit_cannot_learn_is_refused(key: Any, change: Any, message: str) -> None:
    plan = ff.Plan(
        {"c": ff.cross(*key).count_encode() if key == ["k", "f"] else col(key).count_encode()}
    )
    fitted = plan.fit({"k": [*"aab"], "f": [1.0, 2.0, 3.0]})
    assert fitted_of(altered(fitted, "table 0", lambda table: table)).n_rows == 3
    with pytest.raises(ArtifactError, match=message):
        fitted_of(altered(fitted, "table 0", change))


def test_text_that_is_not_utf8_is_a_key_in_an_artifact_too() -> None:
    content = pa.array([b"a", b"\xff", b"\xff"], pa.large_binary())
    text = pa.Array.from_buffers(pa.large_string(), 3, content.buffers())
    features = {"o": col("k").ordinal_encode(), "h": col("k").one_hot_encode()}
    fitted = ff.Plan(features).fit({"k": text})
    loaded = fitted_of(artifact_bytes(fitted))
    expected = {"o": [3, 2, 2], "h_\\xff": [0, 1, 1], "h_a": [1, 0, 0]}
    assert loaded.transform({"k": text}).to_pydict() == expected
    with pytest.raises(InvalidData, match="most frequent text is not UTF-8"):
        ff.Plan({"m": col("k") == col("k").mode()}).fit({"k": text})


@pytest.mark.parametrize("kind", [pa.float16(), pa.null(), pa.decimal128(5, 1)])
def test_keys_that_are_read_as_floats_are_listed_as_such(kind: pa.DataType) -> None:
    values = pa.array([1, 2, 1]).cast(pa.float64()).cast(kind) if kind != pa.null() else pa.nulls(3)
    fitted = ff.Plan({"o": col("k").ordinal_encode()}).fit({"k": values})
    assert fitted.vocabulary("o")["k"].to_pylist()[2:] == ([] if kind == pa.null() else [1.0, 2.0])


@EXAMPLES
@given(train=key_tables(min_rows=2))
def test_training_rows_have_the_codes_that_transform_gives_them(train: Table) -> None:
    fitted, features = plan().fit_transform(train)
    assert_same(features, fitted.transform(train))
    matrix = plan().fit_transform(train, to="numpy")[1]
    np.testing.assert_array_equal(matrix, fitted.transform(train, to="numpy"))


def test_dictionaries_are_read_as_the_text_that_they_stand_for() -> None:
    entries = pa.array(["b", "a", None, "unused", "b", "c"])
    indices = pa.array([0, 1, 2, 4, 5, None, 4, 0], pa.int16())
    first = pa.DictionaryArray.from_arrays(indices, entries)
    second = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int16()), pa.array(["c", "d"]))
    coded = pa.table({"k": pa.chunked_array([first, second.slice(1), first.slice(3, 4)])})
    plain = pa.table({"k": coded["k"].cast(pa.string())})
    k = col("k")
    features = {
        "code": k.ordinal_encode(),
        "few": k.ordinal_encode(max_categories=3),
        "count": k.count_encode(),
        "crossed": ff.cross("k", k.count_encode()).ordinal_encode(),
        "n": k.count(by="k"),
    }
    expected = ff.Plan(features).fit(plain)
    fitted, of_rows = ff.Plan(features).fit_transform(coded)
    assert fitted.vocabulary("code").equals(expected.vocabulary("code"))
    for found in (of_rows, fitted.transform(coded), fitted.transform(plain)):
        assert_same(found, expected.transform(plain))
    assert_same(expected.transform(coded, backend="reference"), of_rows)


def test_a_selected_indicator_goes_through_an_artifact() -> None:
    fitted = ff.Plan({"k": col("k").one_hot_encode()}).fit({"k": ["a", "b"]}).select("k_b")
    assert fitted_of(artifact_bytes(fitted)).transform({"k": ["b"]}).to_pydict() == {"k_b": [1]}


@pytest.mark.parametrize("options", [{"keep": ["k_a"]}, {"label": "k_a"}])
def test_an_indicator_with_the_name_of_something_else_is_refused(options: Any) -> None:
    with pytest.raises(InvalidPlan, match="'k_a', which is the name of"):
        ff.Plan({"k": col("k").one_hot_encode()}, **options).fit({"k": ["a"], "k_a": [1]})


def test_elements_that_are_not_utf8_are_keys_on_every_backend() -> None:
    content = pa.array([b"a", b"\xff", b"\xff"])
    texts = pa.Array.from_buffers(pa.string(), 3, content.buffers())
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 3, 3]), texts)
    fitted = ff.Plan({"o": col("l").list.ordinal_encode(width=2)}).fit({"l": lists})
    expected = {"o_0": [3, 2, 0], "o_1": [2, 0, 0]}
    for backend in ("cpu", "reference"):
        assert fitted.transform({"l": lists}, backend=backend).to_pydict() == expected
        sliced = fitted.transform({"l": lists.slice(1)}, backend=backend).to_pydict()
        assert sliced == {name: values[1:] for name, values in expected.items()}
