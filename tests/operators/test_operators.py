"""Every operator of the registry: the backends agree bit for bit, and with its definition.

All cases of one family stand in one plan, so that a family is compiled once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings

import fastfeat as ff
from fastfeat.operators.hashing import xxh64
from fastfeat_tests.operators.operator_features import Feature, families, features_of, plan_of
from fastfeat_tests.operators.operator_tables import (
    as_stored,
    bits_of,
    empty_table,
    extreme_table,
    missing_table,
    small_table,
    tables,
    ulps_apart,
    values_of,
)

# Random floats are keys of these tests.
pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.KeysRounded")

# One example compares about 50 features in every row, on both backends and with their definitions:
# a fifth of the examples, or this file alone would take minutes.
examples = settings(max_examples=15 + settings().max_examples // 5)


def check(family: str, train: Any, rows: Any) -> None:
    """Fit on `train`, transform `rows` on both backends, and compare everything."""
    fitted = plan_of(family).fit(train)
    on_cpu = fitted.transform(rows, backend="cpu")
    by_reference = fitted.transform(rows, backend="reference")
    assert on_cpu.schema == by_reference.schema
    assert on_cpu.num_rows == rows.num_rows
    for name in on_cpu.column_names:
        assert bits_of(on_cpu[name]) == bits_of(by_reference[name]), name
    for name, feature in features_of(family).items():
        columns = fitted.select(name).feature_names
        _check_definition(columns, feature, train, rows, on_cpu)


def _check_definition(
    columns: list[str], feature: Feature, train: Any, rows: Any, result: Any
) -> None:
    learnt_from = [values_of(train[column]) for column in feature.columns]
    given_rows = [values_of(rows[column]) for column in feature.columns]
    expected = feature.operator.reference(learnt_from, given_rows, **feature.case.params)
    parts = expected if isinstance(expected, tuple) else (expected,)
    for column_name, values in zip(columns, parts, strict=True):
        column = result[column_name]
        if feature.operator.gives_text:
            values = [None if text is None else xxh64(text.encode()) for text in values]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        stored = as_stored(values, column.type)
        got = column.to_pylist()
        assert len(got) == len(stored)
        for row, (one, other) in enumerate(zip(got, stored, strict=True)):
            told = f"{column_name} of {[c[row] for c in given_rows]}: {one!r}, expected {other!r}"
            assert _close(one, other, column.type, feature), told


def _close(result: Any, expected: Any, kind: Any, feature: Feature) -> bool:
    if result is None or expected is None or not isinstance(result, float):
        return result == expected
    single = pa.types.is_float32(kind)
    allowed = feature.operator.ulp if feature.case.ulp is None else feature.case.ulp
    return ulps_apart(result, expected, single=single, size=feature.operator.size) <= allowed


@pytest.mark.parametrize("family", families(learnt=False))
@examples
@given(rows=tables())
@example(rows=empty_table())
@example(rows=missing_table(1))
@example(rows=missing_table(3))
@example(rows=extreme_table())
def test_operators_of_rows_agree(family: str, rows: Any) -> None:
    check(family, rows if rows.num_rows else missing_table(1), rows)


@pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")
@pytest.mark.parametrize("family", families(learnt=True))
@examples
@given(train=tables(extreme=False, min_rows=1), rows=tables())
@example(train=missing_table(2), rows=missing_table(2))
@example(train=missing_table(2), rows=empty_table())
@example(train=missing_table(1), rows=extreme_table())
def test_operators_that_learn_agree(family: str, train: Any, rows: Any) -> None:
    check(family, train, rows)


@pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")
@pytest.mark.parametrize("family", [*families(learnt=False), *families(learnt=True)])
def test_operators_survive_json_and_artifact(family: str, tmp_path: Path) -> None:
    plan = plan_of(family)
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()
    train, rows = small_table(), extreme_table()
    fitted = plan.fit(train)
    fitted.save(tmp_path / "plan.fastfeat")
    loaded = ff.load(tmp_path / "plan.fastfeat")
    before, after = fitted.transform(rows), loaded.transform(rows)
    assert before.schema == after.schema
    assert all(bits_of(before[name]) == bits_of(after[name]) for name in before.column_names)
    firsts = [name for name in features_of(family) if " 0 " in name and "64" in name]
    report = loaded.select(firsts or list(features_of(family))).verify(train)
    assert report.ok, str(report)
