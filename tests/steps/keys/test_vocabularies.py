"""Vocabularies: what is told of the categories, and how they come back from an artifact."""

from __future__ import annotations

import hashlib
import math
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.backends.cpu import BACKEND
from fastfeat.errors import ArtifactError, InvalidData, InvalidPlan, TypeMismatch
from fastfeat.keep import artifact, canonical
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.steps.keys.tasks import KeysTask
from fastfeat.steps.step import StepTask

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
Table = Any


def test_codes_are_turned_back_from_any_form_of_them() -> None:
    rows = {"k": ["a", "b", "a"], "j": [1, 2, 1]}
    features = {"k": col("k").ordinal_encode(), "c": ff.cross("k", "j").ordinal_encode()}
    fitted, found = ff.Plan(features).fit_transform(rows)
    for codes in ([2, 3], np.array([2.0, 3.0]), pa.chunked_array([[2], [3]]), (2, 3)):
        assert fitted.encoding("k").inverse(codes).to_pylist() == ["a", "b"]
    assert fitted.encoding("c").inverse(found["c"]).to_pylist() == [
        {"k": k, "j": j} for k, j in zip(*rows.values(), strict=True)
    ]
    assert fitted.encoding("k").inverse([]).to_pylist() == []
    assert fitted.encoding("k").inverse([None]).to_pylist() == [None]
    for codes in ([2.5], ["a"], 2, [True], [2**70]):
        with pytest.raises(TypeMismatch, match=r"inverse\(\) takes codes"):
            fitted.encoding("k").inverse(codes)


def test_inverse_of_a_cross_tells_missing_parts_from_no_category() -> None:
    fitted = ff.Plan({"c": ff.cross("k", "j").ordinal_encode()}).fit(
        {"k": ["a", None], "j": [1, None]}
    )
    codes = [0, 1, 2, 3, None]
    parts = [{"k": None, "j": None}, {"k": "a", "j": 1}]
    assert fitted.encoding("c").inverse(codes).to_pylist() == [None, None, *parts, None]


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
        assert fitted.encoding(name).inverse([3]).to_pylist() == ["b"]
    assert fitted.vocabulary("y")["k"].to_pylist() == [None, None, "p", "q"]
    with pytest.raises(InvalidPlan, match="'h' has no categories"):
        fitted.vocabulary("h")
    with pytest.raises(InvalidPlan, match=r"no feature 'zz'\. The features are: 't_0', 't_1'"):
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
    assert fitted.encoding("k").n_codes == 5
    field = fitted.transform({"k": ["a"]}).schema.field("k")
    assert field.metadata == {b"n_codes": b"5"}
    assert fitted.schema.field("k").equals(field, check_metadata=True)


def test_an_altered_state_of_keys_is_refused() -> None:
    fitted = ff.Plan({"m": col("x").mean(by="k")}).fit({"k": [*"aab"], "x": [1.0, 2.0, 3.0]})
    other = ff.Plan({"m": col("x").mean(by="k")}).fit({"k": [*"abc"], "x": [1.0, 2.0, 3.0]})
    nodes = list(fitted.record.constants)
    mixed = {**fitted.record.constants, nodes[-1]: other.record.constants[nodes[-1]]}
    object.__setattr__(fitted.record, "constants", mixed)
    with pytest.raises(ArtifactError, match="5 groups, but its key has 4"):
        fitted_of(artifact_bytes(fitted.record))


def altered(fitted: ff.FittedPlan, name: str, change: Any) -> bytes:
    """Return an artifact in which a table of the state is another one, its digests renewed."""
    manifest, parts = artifact._open(artifact_bytes(fitted.record))  # pyright: ignore[reportPrivateUsage]
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
        ("k", lambda t: with_first_key(t, None), "cannot be a key"),
        ("f", lambda t: with_first_key(t, math.nan), "cannot be a key"),
        ("f", lambda t: with_first_key(t, -0.0), "cannot be a key"),
        (["k", "f"], lambda t: t.take([0, 1, 2, 0]), "a key twice"),
        ("k", lambda t: t.take([1, 0]), "not in order: by count"),
        ("f", lambda t: t.take([0, 2, 1]), "not in order: by count"),
        (["k", "f"], lambda t: t.take([0, 2, 1]), "not in order: by count"),
        (["k", "f"], lambda t: t.take([1, 0, 2]), "not in order: by count"),
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
    loaded = fitted_of(artifact_bytes(fitted.record))
    expected = {"o": [3, 2, 2], "h_\\xff": [0, 1, 1], "h_a": [1, 0, 0]}
    assert loaded.transform({"k": text}).to_pydict() == expected
    with pytest.raises(InvalidData, match="most frequent text is not UTF-8"):
        ff.Plan({"m": col("k") == col("k").mode()}).fit({"k": text})


@pytest.mark.parametrize("kind", [pa.float16(), pa.null()])
def test_keys_that_are_read_as_floats_are_listed_as_such(kind: pa.DataType) -> None:
    values = pa.array([1, 2, 1]).cast(pa.float64()).cast(kind) if kind != pa.null() else pa.nulls(3)
    fitted = ff.Plan({"o": col("k").ordinal_encode()}).fit({"k": values})
    assert fitted.vocabulary("o")["k"].to_pylist()[2:] == ([] if kind == pa.null() else [1.0, 2.0])


def test_distinct_text_in_a_dictionary_is_counted_as_text_is() -> None:
    texts = pa.array(["a", None, "b", "a", "c"])
    plan = ff.Plan({"n": col("s").n_unique()})
    for column in (texts, texts.dictionary_encode()):
        rows = pa.table({"s": column})
        assert plan.fit(rows).transform(rows)["n"].to_pylist() == [3] * 5


def test_keys_that_several_read_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever reads a column's keys, fit_transform hashes them once, to the same artifact."""
    codes = {"all": col("k").ordinal_encode(), "some": col("k").ordinal_encode(min_frequency=3)}
    features = {
        **codes,
        "few": col("k").one_hot_encode(max_categories=3),
        "count": col("k").count_encode(),
        "different": col("k").n_unique() + col("x"),
        "most": col("k").fill_null(col("k").mode()).ordinal_encode(),
        "mean": col("x").mean(by="k"),
        "target": col("k").target_encode("y"),
    }
    rows = {
        "k": ["a", "b", "a", None, "c", "b", "a", "d"] * 9,
        "x": [float(k) for k in range(72)],
        "y": [k % 3 == 0 for k in range(72)],
    }
    alone = {name: ff.Plan({name: one}, label="y").fit(rows) for name, one in features.items()}
    ran: list[str] = []

    def counted(kind: type[Any], told: Any) -> None:
        run = BACKEND.functions[kind]

        def count(task: Any) -> Any:
            ran.append(told(task))
            return run(task)

        monkeypatch.setitem(cast("dict[Any, Any]", BACKEND.functions), kind, count)

    counted(KeysTask, lambda task: f"keys of {len(task.columns)}")
    counted(StepTask, lambda task: task.call.function)
    fitted, found = ff.Plan(features, label="y").fit_transform(rows)
    assert ran.count("keys of 1") == 2  # of k, and of k without missing values
    assert "encode" not in ran
    for name, one in alone.items():
        of_one, of_all = one.learnt(), fitted.learnt()
        assert all(str(of_all[text]) == str(value) for text, value in of_one.items())
        if name != "target":  # which is out of fold
            assert found.select(one.transform(rows).column_names) == one.transform(rows)
