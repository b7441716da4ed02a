"""`stable=`: categories keep the codes that an earlier fit gave them, by every way of fitting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.aggregates.keys import KeyCounts, drop_rare_keys, keep_earlier_codes
from fastfeat.api.learning import Learning
from fastfeat.errors import ArtifactError, InvalidPlan, TypeMismatch
from fastfeat.keep.artifact import artifact_bytes, fitted_digest, fitted_of_bytes
from fastfeat.operators import OPERATORS
from fastfeat.operators.operator import Case

OLD: dict[str, list[Any]] = {"k": list("aaabbbcc"), "x": [1.0] * 8}
NEW: dict[str, list[Any]] = {"k": list("ddddbbbcce"), "x": [2.0] * 10}
ROWS: dict[str, list[Any]] = {"k": [*"abcdez", None], "x": [0.0] * 7}
CODES = ff.Plan({"k": col("k").ordinal_encode(), "rows": col("k").count_encode()})


def fit(features: dict[str, Any], rows: dict[str, list[Any]], **options: Any) -> ff.FittedPlan:
    return ff.Plan(features).fit(rows, backend="reference", profile=False, **options)


def values(fitted: ff.FittedPlan, column: str) -> list[Any]:
    return fitted.transform(ROWS, backend="reference")[column].to_pylist()


def refitted(features: dict[str, Any], **changed: Any) -> ff.FittedPlan:
    """Return features fitted on the old rows, and on the new ones with the same codes."""
    return fit({**features, **changed}, NEW, stable=fit(features, OLD))


def test_old_categories_keep_their_codes_and_new_ones_come_after() -> None:
    fitted = refitted({"k": col("k").ordinal_encode()})
    assert values(fitted, "k") == [2, 3, 4, 5, 6, 1, 0]
    assert fitted.vocabulary("k")["count"].to_pylist() == [0, 0, 0, 3, 2, 4, 1]


def test_rare_categories_keep_their_codes_and_rare_new_ones_get_none() -> None:
    fitted = refitted({"k": col("k").ordinal_encode(min_frequency=3)})
    assert values(fitted, "k") == [2, 3, 1, 4, 1, 1, 0]
    assert values(refitted({"k": col("k").ordinal_encode(min_frequency=0.35)}), "k")[:4] == [
        2,
        3,
        1,
        4,
    ]


def test_new_categories_get_codes_while_there_is_room() -> None:
    fitted = refitted({"k": col("k").ordinal_encode(max_categories=5)})
    assert values(fitted, "k") == [2, 3, 4, 5, 6, 1, 0]
    fitted = refitted({"k": col("k").ordinal_encode(max_categories=4)})
    assert values(fitted, "k") == [2, 3, 4, 1, 1, 1, 0]
    assert fitted.vocabulary("k")["count"].to_pylist()[1] == 5


def test_other_bounds_may_be_written_and_too_few_are_refused() -> None:
    k = {"k": col("k").ordinal_encode()}
    assert values(refitted(k, k=col("k").ordinal_encode(min_frequency=4)), "k")[:4] == [2, 3, 4, 5]
    with pytest.raises(InvalidPlan, match="max_categories=2, but 3 categories have a code"):
        refitted(k, k=col("k").ordinal_encode(max_categories=2))
    with pytest.raises(InvalidPlan, match="unseen categories is 2, but was 1"):
        refitted(k, k=col("k").ordinal_encode(n_unseen_buckets=2))


def test_one_hot_columns_stay_those_of_absent_and_rare_categories_too() -> None:
    rare = {"k": col("k").one_hot_encode(min_frequency=3)}
    assert fit(rare, OLD).feature_names == ["k_a", "k_b", "k__other"]
    old, rows = fit(rare, OLD), {**NEW, "k": list("aaabbbbddd")}
    fitted = fit(rare, rows, stable=old)
    assert fitted.feature_names == ["k_a", "k_b", "k_d", "k__other"]
    assert fit(rare, rows).feature_names == ["k_b", "k_a", "k_d"]
    assert ff.diff(old, fit(rare, {**OLD, "k": list("aaabbbbb")}, stable=old)).verdict == "refit"


def test_which_column_of_two_is_left_out_stays() -> None:
    binary = {"k": col("k").one_hot_encode(drop="if_binary")}
    old = fit(binary, {**OLD, "k": list("aaaaabbb")})
    assert old.feature_names == ["k_b"]
    fitted = fit(binary, NEW, stable=old)
    assert fitted.feature_names == ["k_b", "k_d", "k_c", "k_e"]
    again = fit(binary, OLD, stable=fitted)
    assert again.feature_names == ["k_b", "k_d", "k_c", "k_e"]


def test_groups_learn_as_ever_and_absent_keys_are_as_unseen() -> None:
    features = {
        "k": col("k").ordinal_encode(),
        "sum": col("x").sum(by="k"),
        "rows": col("k").count_encode(),
    }
    fitted, plain = refitted(features), fit(features, NEW)
    for name in ("sum", "rows"):
        assert values(fitted, name) == values(plain, name)
    assert values(fitted, "sum") == [None, 6.0, 4.0, 8.0, 2.0, None, None]


def test_what_groups_rows_by_a_vocabulary_of_codes_leaves_rare_keys_out_as_ever() -> None:
    features = {
        "k": col("k").ordinal_encode(min_frequency=3),
        "sum": col("x").sum(by="k", min_rows=3),
        "rows": col("k").count_encode(min_rows=3),
    }
    rows = {"k": list("ddddbbaae"), "x": [2.0] * 9}
    fitted, plain = fit(features, rows, stable=fit(features, OLD)), fit(features, rows)
    assert values(fitted, "k") == [2, 3, 1, 4, 1, 1, 0]
    assert values(plain, "sum") == [None, None, None, 8.0, None, None, None]
    for name in ("sum", "rows"):
        assert values(fitted, name) == values(plain, name)


def test_what_only_groups_rows_is_numbered_anew() -> None:
    features = {"sum": col("x").sum(by="k")}
    assert refitted(features) == fit(features, NEW)


def test_combinations_and_lists_keep_their_codes() -> None:
    cross = {"k": ff.cross("k", "x").ordinal_encode()}
    assert values(refitted(cross), "k") == [1] * 7
    assert fit(cross, NEW, stable=fit(cross, OLD)).vocabulary("k").num_rows == 2 + 3 + 4
    lists = {"k": col("k").list.multi_hot_encode()}
    old = fit(lists, {"k": [["a", "b"], ["a"]]})
    assert fit(lists, {"k": [["b", "c"], ["b"]]}, stable=old).feature_names == ["k_a", "k_b", "k_c"]


def test_a_fit_on_equal_rows_gives_what_was_there() -> None:
    old = fit({"k": col("k").one_hot_encode(drop="if_binary", min_frequency=3)}, OLD)
    assert old.refit(OLD, backend="reference") == old
    assert old.refit(OLD, backend="reference", stable=False) == old


def test_every_way_of_fitting_gives_the_same_codes(tmp_path: Path) -> None:
    old, rows = CODES.fit(OLD, profile=False), pa.table(NEW)
    wanted = CODES.fit(NEW, backend="reference", stable=old, profile=False)
    pq.write_table(rows, tmp_path / "rows.parquet")
    learning = CODES.learning(rows.schema, stable=old, profile=False)
    while learning.round:
        learning = Learning.from_bytes(learning.to_bytes())
        state = learning.partial(rows.slice(6), range(6, 10))
        learning = learning.next(state.merge(learning.partial(rows.slice(0, 6), range(6))))
    found = [
        CODES.fit(NEW, stable=old, profile=False),
        CODES.fit(tmp_path / "rows.parquet", memory="64GiB", stable=old, profile=False),
        CODES.fit_transform_to(rows, tmp_path / "out.parquet", stable=old, profile=False)[0],
        CODES.fit_transform(NEW, stable=old, profile=False)[0],
        learning.finish(),
        old.refit(NEW),
    ]
    for fitted in found:
        assert artifact_bytes(fitted.record) == artifact_bytes(wanted.record)
    features = CODES.fit_transform(NEW, stable=old, profile=False)[1]
    assert features.equals(wanted.transform(NEW))
    assert features["k"].to_pylist() == [5, 5, 5, 5, 3, 3, 3, 4, 4, 6]


def test_the_artifact_keeps_them() -> None:
    fitted = CODES.fit(NEW, backend="reference", stable=CODES.fit(OLD, backend="reference"))
    content = artifact_bytes(fitted.record)
    again = fitted_of_bytes(content)
    assert fitted_digest(again) == fitted_digest(fitted.record)
    assert artifact_bytes(again) == content


def test_inspect_tells_of_keys_that_no_row_has(tmp_path: Path) -> None:
    old = CODES.fit(OLD, backend="reference")
    CODES.fit(NEW, backend="reference", stable=old).save(tmp_path / "plan.fastfeat")
    told = [one.told for part in ff.inspect(tmp_path / "plan.fastfeat").parts for one in part.held]
    assert "1 of 5 keys occurred in no row, and kept a code" in told


OF_TEXT = [
    (name, case)
    for name, operator in OPERATORS.items()
    for case in operator.cases
    if case.on == ("text",) and hasattr(ff.Expr, name)
]


@pytest.mark.parametrize(("name", "case"), OF_TEXT, ids=[name for name, _ in OF_TEXT])
def test_no_operator_gives_a_category_another_code(name: str, case: Case) -> None:
    features = {"f": getattr(col("k"), name)(**case.params)}
    old = fit(features, OLD)
    found = ff.diff(old, fit(features, NEW, stable=old))
    assert not found.of_kind("codes reassigned")
    assert not found.of_kind("column removed")
    assert old.refit(OLD, backend="reference") == old


KEYS = st.lists(st.sampled_from("abcdefgh"), max_size=12)
PARAMS = st.fixed_dictionaries(
    {
        "min_frequency": st.sampled_from([None, 1, 2, 3, 0.2, 0.5]),
        "max_categories": st.sampled_from([None, 1, 2, 4, 6]),
    }
)


@given(old=KEYS, new=KEYS, params=PARAMS, before=PARAMS)
def test_codes_are_those_of_the_definition(
    old: list[str], new: list[str], params: dict[str, Any], before: dict[str, Any]
) -> None:
    held = drop_rare_keys(counted(old), tuple(before.items()))
    found = keep_earlier_codes(counted(new), tuple(params.items()), held)
    known = held.parts[0].to_pylist()
    least = params["min_frequency"] or 0
    least = least * len(new) if isinstance(least, float) else least
    others = [key for key in ranked(new) if key not in known]
    kept = [key for key in others if new.count(key) >= least]
    most = params["max_categories"]
    if most is not None and len(known) + len(kept) + (len(kept) < len(others)) > most:
        kept = kept[: max(most - len(known) - 1, 0)]
    assert found.parts[0].to_pylist() == known + kept
    assert found.counts.tolist() == [new.count(key) for key in known + kept]
    assert found.n_rows == len(new)
    again = keep_earlier_codes(counted(old), tuple(before.items()), held)
    assert (again.held, again.parts[0]) == (None, held.parts[0])


def ranked(keys: list[str]) -> list[str]:
    return sorted(set(keys), key=lambda key: (-keys.count(key), key))


def counted(keys: list[str]) -> KeyCounts:
    """Return the keys of rows, in the order of codes."""
    distinct = ranked(keys)
    counts = np.array([keys.count(key) for key in distinct], np.int64)
    return KeyCounts((pa.array(distinct, pa.large_string()),), counts, 0)


@pytest.mark.parametrize("written", ["9 3 0 0", "-1 3 0 0", "3 3 2 0", "3 3 0 -1", "3 3 0", "x"])
def test_an_artifact_that_holds_codes_of_no_keys_is_refused(written: str) -> None:
    from fastfeat.aggregates.keys import Vocabulary
    from fastfeat.ir.dtypes import UTF8
    from fastfeat.keep.state import key_table, vocabulary_of

    fitted = CODES.fit(NEW, backend="reference", stable=CODES.fit(OLD, backend="reference"))
    (vocabulary,) = (v for v in fitted.record.learnt.values() if isinstance(v, Vocabulary))
    table = pa.ipc.open_file(b"".join(key_table(vocabulary))).read_all()
    metadata = {**table.schema.metadata, b"held": written.encode()}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema.with_metadata(metadata)) as writer:
        writer.write_table(table.replace_schema_metadata(metadata))
    with pytest.raises((ArtifactError, ValueError)):
        vocabulary_of(sink.getvalue(), [UTF8], "key")


def test_keys_of_another_type_and_what_is_no_fitted_plan_are_refused() -> None:
    k = {"k": col("k").ordinal_encode()}
    with pytest.raises(TypeMismatch, match=r"col\('k'\) is int64, .* were learnt as utf8"):
        fit(k, {"k": [1, 2]}, stable=fit(k, OLD))
    plan: Any = CODES
    with pytest.raises(TypeMismatch, match=r"stable= takes a fitted plan"):
        fit(k, OLD, stable=plan)
