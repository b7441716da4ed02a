"""`Plan(codes="smallest")`: the same codes in the smallest type that holds the layout."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidPlan
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import STEPS

N_ROWS = 700
_rng = np.random.default_rng(3)
START = datetime.datetime(2024, 12, 30)
DATA = pa.table(
    {
        "few": [None if k == 0 else f"k{k}" for k in _rng.integers(0, 9, N_ROWS)],
        "many": [f"k{k:03}" for k in range(350)] * 2,
        "x": _rng.normal(size=N_ROWS),
        "t": [START + datetime.timedelta(hours=7 * k, seconds=k) for k in range(N_ROWS)],
        "is": _rng.random(N_ROWS) < 0.5,
        "tags": [[f"t{k % 5}", "t0"] for k in range(N_ROWS)],
    }
)
UINT8, INT16, INT32 = pa.uint8(), pa.int16(), pa.int32()
FEATURES = {
    "few": (col("few").ordinal_encode(), UINT8),
    "many": (col("many").ordinal_encode(), INT16),
    "most": (col("few").ordinal_encode(n_unseen_buckets=40_000), INT32),
    "kept": (col("many").ordinal_encode(max_categories=200), UINT8),
    "given": (col("few").ordinal_encode(vocabulary=["k1", "k2"]), UINT8),
    "crossed": (ff.cross(col("few"), col("many")).ordinal_encode(), INT16),
    "bucket": (col("few").hash(n_buckets=256), UINT8),
    "buckets": (col("x").hash(n_buckets=257), INT16),
    "crossed_bucket": (ff.cross(col("few"), col("is")).hash(n_buckets=40_000), INT32),
    "hash": (col("few").hash(), pa.uint64()),
    "qcut": (col("x").qcut(256), UINT8),
    "more": (col("x").qcut(257), INT16),
    "cut": (col("x").cut([0.0, 1.0]), UINT8),
    "inside": (col("x").k_bins_discretize(n_bins=256), UINT8),
    "hour": (col("t").dt.hour(), UINT8),
    "day": (col("t").dt.ordinal_day(), INT16),
    "year": (col("t").dt.year(), INT32),
    "micro": (col("t").dt.microsecond(), INT32),
    "filled": (col("t").dt.hour().fill_null(0), UINT8),
    "larger": (col("t").dt.hour().fill_null(300), INT16),
    "below": (col("t").dt.hour().fill_null(-1), pa.int64()),
    "chosen": (ff.when(col("x") > 0).then(col("few").ordinal_encode()).otherwise(None), UINT8),
    "sum": (col("t").dt.hour() + 1, pa.int64()),
    "literals": (ff.when(col("x") > 0).then(1).otherwise(0), pa.int64()),
    "flag": (col("is"), pa.bool_()),
    "float": (col("x"), pa.float64()),
    "tags": (col("tags").list.ordinal_encode(width=1), UINT8),
}
EXPRESSIONS = {name: expression for name, (expression, _) in FEATURES.items()}
OF_CODES = {
    "few": EXPRESSIONS["few"],
    "cut": EXPRESSIONS["cut"].fill_null(0),
    "one": col("few").one_hot_encode(),
    "is": col("is").fill_null(False),
}


@pytest.fixture(scope="module")
def fitted() -> ff.FittedPlan:
    return ff.Plan(EXPRESSIONS, codes="smallest").fit(DATA)


@pytest.fixture(scope="module")
def of_codes() -> ff.FittedPlan:
    return ff.Plan(OF_CODES, codes="smallest").fit(DATA)


def test_codes_have_the_smallest_type_that_holds_the_layout(fitted):
    found = dict(zip(fitted.schema.names, fitted.schema.types, strict=True))
    wanted = {name: kind for name, (_, kind) in FEATURES.items() if name != "tags"}
    assert found == wanted | {"tags_0": UINT8}
    assert fitted.schema == fitted.transform(DATA).schema
    assert fitted.encoding("many").n_codes == 352


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_codes_have_the_values_of_other_types(fitted, backend):
    data = DATA.slice(0, 90)
    small = fitted.transform(data, backend=backend)
    plain = ff.Plan(EXPRESSIONS).fit(DATA).transform(data, backend=backend)
    for name in small.column_names:
        assert small[name].to_pylist() == plain[name].to_pylist(), name


@pytest.mark.parametrize("to", ["arrow", "numpy", "pandas", "cupy"])
@pytest.mark.emulator
def test_a_device_gives_the_same(of_codes, to):
    found = of_codes.transform(DATA, to=to, backend="emulated")
    if to == "arrow":
        assert found.equals(of_codes.transform(DATA))
    else:
        matrix = found.get() if to == "cupy" else np.asarray(found)
        assert np.array_equal(matrix, of_codes.transform(DATA, to="numpy"))


def test_a_matrix_of_codes_is_of_integers(of_codes):
    matrix, table = of_codes.transform(DATA, to="numpy"), of_codes.transform(DATA)
    assert matrix.dtype == np.uint8
    for k, column in enumerate(table.columns):
        assert matrix[:, k].tolist() == [int(value) for value in column.to_pylist()]
    by_rows = np.empty(matrix.shape, np.uint8, order="C")
    of_codes.transform(DATA, to="numpy", out=by_rows)
    assert np.array_equal(by_rows, matrix)
    row = DATA.slice(5, 1).to_pylist()[0]
    assert of_codes.transform_row(row).dtype == np.uint8
    assert np.array_equal(of_codes.transform_row(row), matrix[5])
    assert of_codes.verify(DATA, n_rows=50).ok
    with of_codes.online() as live:
        assert np.array_equal(live.process(DATA.slice(0, 9), to="numpy"), matrix[:9])
        assert live.features(row).tolist() == matrix[5].tolist()
    wide = ff.Plan({**OF_CODES, "many": EXPRESSIONS["many"]}, codes="smallest").fit(DATA)
    assert wide.transform(DATA, to="numpy").dtype == np.int16


def test_training_rows_have_the_types_of_later_ones(of_codes):
    plan = ff.Plan(OF_CODES, codes="smallest")
    fitted, table = plan.fit_transform(DATA)
    assert table.schema == fitted.schema == of_codes.schema
    assert plan.fit_transform(DATA, to="numpy")[1].dtype == np.uint8


@pytest.mark.parametrize(
    "feature", [col("t").dt.hour(), col("is"), col("x"), col("t").dt.hour().cast("int64")]
)
def test_a_matrix_with_what_may_be_missing_or_is_no_code_is_of_floats(feature):
    plan = ff.Plan({"few": EXPRESSIONS["few"], "more": feature}, codes="smallest")
    assert plan.fit(DATA).transform(DATA, to="numpy").dtype == np.float64


def test_a_float_type_that_is_asked_for_is_that_of_the_matrix():
    fitted = ff.Plan({"few": EXPRESSIONS["few"]}, codes="smallest", dtype="float32").fit(DATA)
    assert fitted.transform(DATA, to="numpy").dtype == np.float32
    assert fitted.schema.types == [UINT8]


def test_another_fit_may_have_another_type():
    plan = ff.Plan({"many": EXPRESSIONS["many"]}, codes="smallest")
    few, many = plan.fit(DATA.slice(0, 90)), plan.fit(DATA)
    assert (few.schema.types, many.schema.types) == ([UINT8], [INT16])
    assert few.transform(DATA)["many"].type == UINT8  # for the life of what was learnt


def test_features_alike_but_for_their_columns_have_types_of_their_own():
    names = ["few", "many", "is", "x"]
    plan = ff.Plan({name: col(name).ordinal_encode() for name in names}, codes="smallest")
    assert plan.fit(DATA).schema.types == [UINT8, INT16, UINT8, INT16]


def test_categories_are_given_for_small_codes(of_codes):
    found = of_codes.transform(DATA, categories=True)["few"].to_pylist()
    assert found == DATA["few"].to_pylist()


def test_the_option_is_kept(of_codes, tmp_path):
    of_codes.save(tmp_path / "codes.fastfeat")
    loaded = ff.load(tmp_path / "codes.fastfeat")
    assert loaded.schema == of_codes.schema
    assert loaded.plan.codes == ff.Plan.from_json(of_codes.plan.to_json()).codes == "smallest"
    assert "codes" not in ff.Plan(OF_CODES).to_json().split('"features"')[0]
    assert of_codes.select(["few"]).transform(DATA, to="numpy").dtype == np.uint8
    assert "few: uint8 = " in repr(of_codes)
    assert "getelementptr i8, ptr %y0" in of_codes.explain("cpu")


def test_the_schema_before_fit_knows_what_follows_from_the_plan():
    plan = ff.Plan({"hour": col("t").dt.hour(), "bin": col("x").qcut(4)}, codes="smallest")
    assert plan.schema(DATA.schema).types == [UINT8, UINT8]
    with pytest.raises(InvalidPlan, match=r"'few'.*known once the plan is fitted"):
        ff.Plan({"few": EXPRESSIONS["few"]}, codes="smallest").schema(DATA.schema)


def test_another_word_is_refused():
    with pytest.raises(InvalidPlan, match=r"Plan\(codes='tiny'\): takes 'smallest'"):
        ff.Plan(OF_CODES, codes="tiny")  # type: ignore[arg-type]


def test_what_gives_int32_codes_says_how_large_they_get():
    """A new function of codes must say so in its row, or stand here."""
    without = {"dt.year", "dt.date", "dt.truncate", "dt.replace_time_zone"}
    parts = {name for name, row in SCALARS.items() if name.startswith("dt.") and row.largest}
    others = {name for name in SCALARS if name.startswith("dt.")} - parts - without
    assert not {name for name in others if not name.startswith(("dt.is_", "dt.total", "dt.epoch"))}
    assert {"encode", "hash_cross"} == {name for name, row in STEPS.items() if row.largest}
