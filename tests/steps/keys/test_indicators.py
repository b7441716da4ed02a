"""Indicators: a column a category, whose names and number are known after fit."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.errors import InvalidData, InvalidPlan
from fastfeat.keep.artifact import artifact_bytes

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
Table = Any


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


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        (["_missing", "a", None], {"missing": "column"}),
        (["_other", "_other", "a"], {"min_frequency": 2}),
    ],
)
def test_categories_that_are_written_alike_are_refused(keys: Any, options: Any) -> None:
    with pytest.raises(InvalidPlan, match=r"two columns named 'k__\w+': two categories"):
        ff.Plan({"k": col("k").one_hot_encode(**options)}).fit({"k": keys})
    rows = {"a": ["a b", "a"], "b": ["c", "b c"]}
    with pytest.raises(InvalidPlan, match="two columns named 'k_a b c'"):
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
    assert fitted_of(artifact_bytes(fitted.record)).transform(rows).shape == (3, 0)
    with_missing = ff.Plan({"hot": col("k").one_hot_encode(missing="column")})
    found = with_missing.fit(train, backend=backend).transform(rows, backend=backend)
    assert found.schema == pa.schema({"hot__missing": pa.uint8()})
    assert found.to_pydict() == {"hot__missing": [1, 1, 1]}
    with pytest.raises(InvalidData, match="no rows to learn"):
        ff.Plan(features).fit(train.slice(0, 0), backend=backend)


def test_a_selected_indicator_goes_through_an_artifact() -> None:
    fitted = ff.Plan({"k": col("k").one_hot_encode()}).fit({"k": ["a", "b"]}).select("k_b")
    assert fitted_of(artifact_bytes(fitted.record)).transform({"k": ["b"]}).to_pydict() == {
        "k_b": [1]
    }


@pytest.mark.parametrize("options", [{"keep": ["k_a"]}, {"label": "k_a"}])
def test_an_indicator_with_the_name_of_something_else_is_refused(options: Any) -> None:
    with pytest.raises(InvalidPlan, match="'k_a', which is also the name of"):
        ff.Plan({"k": col("k").one_hot_encode()}, **options).fit({"k": ["a"], "k_a": [1]})
