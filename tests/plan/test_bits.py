"""A feature depends on its row and on what fit learnt; every path gives the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.io.columns import column
from fastfeat.keep.artifact import artifact_bytes
from fastfeat_tests.plan.plan_tables import cut_differently, cuts, differing, row_of, table_of

# One example runs a plan of 25 features on thousands of rows, each of which is a search of its own.
EXAMPLES = 7 + settings().max_examples // 20
pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
ROWS = 3000


@pytest.fixture(autouse=True, scope="module")
def many_small_tasks() -> Iterator[None]:
    """Let a few thousand rows run in many tasks, on several threads, with a seam at each chunk."""
    run, learn, kernels = (
        import_module(f"fastfeat.engine.cpu.{name}") for name in ("run", "learn", "kernels")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "ROWS_PER_TASK", 320)
        patch.setattr(run, "SERIAL_BELOW", 1)
        patch.setattr(learn, "ROWS_PER_PIECE", 1000)
        patch.setattr(kernels, "SERIAL_BELOW", 1)
        patch.setattr(column, "_TINY_ROWS", 0)
        yield
        ff.set_num_threads(None)


PLAN = ff.Plan(
    {
        "log": col("x").log1p(),
        "sin": (col("x") * 1e14).sin(),
        "ratio": col("y") / col("whole"),
        "power": col("full") ** col("f"),
        "narrow": col("f").exp() * 3,
        "filled": col("x").fill_null(0.5).clip(-2, 2),
        "sum": col("i") + col("small") * 3,
        "modulo": col("i") % col("u"),
        "byte": col("i").cast("int8", strict=False),
        "both": col("flag") & (col("x") > 0),
        "flags": col("other"),
        "missing": col("y").is_null(),
        "hour": col("t").dt.hour(),
        "late": col("naive").dt.truncate("1d"),
        "since": col("t") - col("t").min(),
        "month": col("day").dt.month().cyclical(12),
        "code": col("s").replace_strict({"a": 1, "b": 2.5}, default=None),
        "is_a": col("s") == "a",
        "scaled": col("y").standard_scale(),
        "twice": col("x").clip(-5, 5).robust_scale().standard_scale(),
        "imputed": col("y").impute("median"),
        "bin": col("y").qcut(7),
        "rank": col("full").quantile_transform(n_quantiles=50),
        "even": col("y").k_bins_discretize(strategy="uniform"),
        "normal": col("full").power_transform(),
        "spline": col("y").spline_transform(knots="quantile", extrapolation="linear"),
        "product": ff.polynomial_features("x", "y"),
        "above": col("i") > col("i").mean(),
        "largest": col("small").max() - col("small"),
    }
)
NUMBERS = [name for name in PLAN.features if name not in ("late", "since")]


def fitted_on(seed: int, n_rows: int = 500) -> ff.FittedPlan:
    return PLAN.fit(table_of(n_rows, seed, finite=True))


FITTED = fitted_on(0)


@settings(max_examples=EXAMPLES)
@given(
    st.integers(0, ROWS).flatmap(lambda n: st.tuples(st.just(n), cuts(n))),
    st.integers(0, 70),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 2**31),
)
def test_chunks_and_threads_do_not_change_a_bit(rows_and_cuts, offset, n_threads, seed):
    n_rows, edges = rows_and_cuts
    whole = table_of(n_rows, seed)
    ff.set_num_threads(1)
    expected = FITTED.transform(whole)
    ff.set_num_threads(n_threads)
    assert differing(FITTED.transform(cut_differently(whole, edges, offset)), expected) == {}
    assert expected.num_rows == n_rows


@settings(max_examples=EXAMPLES)
@given(st.integers(0, ROWS), st.integers(0, ROWS), st.integers(0, 2**31))
def test_a_batch_does_not_change_its_rows(n_first, n_second, seed):
    a, b = table_of(n_first, seed), table_of(n_second, seed + 1)
    together = FITTED.transform(pa.concat_tables([a, b]))
    apart = pa.concat_tables([FITTED.transform(a), FITTED.transform(b)])
    assert differing(together, apart) == {}


@settings(max_examples=EXAMPLES // 2)
@given(st.integers(0, 200), st.integers(0, 2**31), st.floats(0, 1))
def test_the_reference_has_the_same_bits(n_rows, seed, missing):
    rows = table_of(n_rows, seed, missing=missing)
    by_reference = FITTED.transform(rows, backend="reference")
    assert differing(FITTED.transform(rows), by_reference) == {}
    numbers = FITTED.select(NUMBERS)
    matrix = numbers.transform(rows, to="numpy", backend="reference")
    assert matrix.tobytes() == numbers.transform(rows, to="numpy").tobytes()
    finite = table_of(n_rows, seed, finite=True, missing=missing)
    narrow = NARROW.transform(finite, backend="reference")
    assert differing(NARROW.transform(finite), narrow) == {}


@settings(max_examples=EXAMPLES)
@given(st.integers(0, 2**31), st.floats(0, 1))
def test_one_row_has_the_bits_of_the_batch(seed, missing):
    rows = table_of(30, seed, missing=missing)
    numbers = FITTED.select(NUMBERS)
    matrix = np.ascontiguousarray(numbers.transform(rows, to="numpy"))
    for row in range(rows.num_rows):
        assert numbers.transform_row(row_of(rows, row)).tobytes() == matrix[row].tobytes(), row


@settings(max_examples=EXAMPLES)
@given(st.integers(0, ROWS), st.integers(0, 2**31))
def test_a_matrix_holds_the_bits_of_the_table(n_rows, seed):
    rows = table_of(n_rows, seed)
    numbers = FITTED.select(NUMBERS)
    table, matrix = numbers.transform(rows), numbers.transform(rows, to="numpy")
    assert matrix.shape == (n_rows, table.num_columns)
    assert matrix.flags.f_contiguous
    for k, name in enumerate(table.column_names):
        values = table.column(name).cast("float64").combine_chunks()
        expected = np.asarray(values.fill_null(float("nan")))
        assert matrix[:, k].tobytes() == expected.tobytes(), name


@settings(max_examples=EXAMPLES)
@given(
    st.integers(0, ROWS).flatmap(lambda n: st.tuples(st.just(n), cuts(n))),
    st.sampled_from(["C", "F", "columns apart", "rows apart", "upside down", "right to left"]),
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 2**31),
)
def test_memory_given_for_a_matrix_gets_the_same_bits(rows_and_cuts, layout, dtype, seed):
    n_rows, edges = rows_and_cuts
    rows = table_of(n_rows, seed, finite=True)
    fitted = (FITTED if dtype == "float64" else NARROW).select(NUMBERS)
    expected = fitted.transform(rows, to="numpy")
    shape = expected.shape
    memory = {
        "C": lambda: np.empty(shape, dtype),
        "F": lambda: np.empty(shape, dtype, order="F"),
        "columns apart": lambda: np.empty((n_rows, 3 * shape[1]), dtype)[:, 1::3],
        "rows apart": lambda: np.empty((2 * n_rows, shape[1]), dtype, order="F")[1::2],
        "upside down": lambda: np.empty(shape, dtype)[::-1],
        "right to left": lambda: np.empty(shape, dtype, order="F")[:, ::-1],
    }[layout]()
    around = memory.base
    if around is not None:
        around.fill(7.0)
    result = fitted.transform(cut_differently(rows, edges, 5), to="numpy", out=memory)
    assert result is memory
    assert memory.tobytes() == expected.tobytes()
    if around is not None and around.size == 3 * memory.size:
        assert (around[:, 0::3] == 7).all()
        assert (around[:, 2::3] == 7).all()


NARROW = ff.Plan(dict(PLAN.features), dtype="float32").fit(table_of(500, 0, finite=True))


@settings(max_examples=EXAMPLES)
@given(
    st.integers(1, ROWS).flatmap(lambda n: st.tuples(st.just(n), cuts(n))),
    st.integers(0, 70),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 2**31),
)
def test_what_fit_learns_does_not_depend_on_split_or_order(rows_and_cuts, offset, n_threads, seed):
    n_rows, edges = rows_and_cuts
    rows = table_of(n_rows, seed, finite=True)
    ff.set_num_threads(1)
    expected = artifact_bytes(LEARNS.fit(rows).record)
    ff.set_num_threads(n_threads)
    assert artifact_bytes(LEARNS.fit(cut_differently(rows, edges, offset)).record) == expected
    shuffled = rows.take(np.random.default_rng(seed).permutation(n_rows))
    assert artifact_bytes(LEARNS.fit(shuffled).record) == expected


@settings(max_examples=EXAMPLES // 2)
@given(st.integers(1, 300), st.integers(0, 2**31), st.floats(0, 1))
def test_the_reference_learns_the_same(n_rows, seed, missing):
    rows = table_of(n_rows, seed, finite=True, missing=missing)
    assert artifact_bytes(LEARNS.fit(rows).record) == artifact_bytes(
        LEARNS.fit(rows, backend="reference").record
    )


def _statistics() -> dict[str, ff.Expr]:
    features: dict[str, ff.Expr] = {}
    for name in ("x", "y", "whole", "f", "full", "i", "small", "u", "flag", "t", "day"):
        column_ = col(name)
        features[f"{name} count"] = column_.count() + column_.null_count()
        features[f"{name} min"] = column_.min()
        features[f"{name} max"] = column_.max()
        if name not in ("t", "day"):
            features[f"{name} sum"] = column_.sum()
            features[f"{name} mean"] = column_.mean()
            features[f"{name} std"] = column_.std()
            features[f"{name} var"] = column_.var(ddof=0)
        if name not in ("t", "day", "flag"):
            features[f"{name} median"] = column_.median()
            features[f"{name} low"] = column_.quantile(0.1, interpolation="lower")
    features["s count"] = col("s").count()
    features["f filled"] = col("f").fill_null(0.1).mean()
    features["f imputed"] = col("f").impute("mean").std()
    features["nested"] = (col("y") - col("y").mean()).abs().median()
    features["deeper"] = col("y").impute("median").standard_scale().quantile(0.9)
    return features


LEARNS = ff.Plan(_statistics())
