"""Profiles: counted exactly, merged without loss, kept as bytes; damaged ones are refused."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import ArtifactError, InvalidData, InvalidPlan, TypeMismatch
from fastfeat.execute.call_rows import CallRows
from fastfeat.integrations.sklearn import Features
from fastfeat.ir.dtypes import BOOL, FLOAT64, INT64, UTF8
from fastfeat.learn.row_sample import are_sampled, numbers_of_sample, stride_of_sample
from fastfeat.trust.quality import many_columns
from fastfeat.trust.quality.counting import (
    LEAST_ROWS,
    _of_keys,  # pyright: ignore[reportPrivateUsage]
    count_column,
    count_columns,
    count_with_numpy,
)
from fastfeat.trust.quality.later_rows import profile_of
from fastfeat.trust.quality.layout import MOST_CATEGORIES, N_BINS, edges_of, kind_of, layout_of
from fastfeat.trust.quality.many_columns import (
    MOST_ROWS,
    BinnedColumnHead,
    count_binned_columns,
    layouts_of_columns,
)
from fastfeat.trust.quality.profile import (
    POSITIONS,
    ColumnProfile,
    Profile,
    add_exact,
    merge_column_profiles,
    normal,
    profile_of_columns,
)
from fastfeat.trust.quality.profiling import fit_profiled, profile_face


def _column(values: Any, dtype: Any = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, dtype)])


def _counted(values: Any, dtype: Any = FLOAT64, sample: Any = None) -> ColumnProfile:
    column = _column(values)
    of = column if sample is None else _column(sample)
    return count_column(layout_of("x", dtype, kind_of(dtype), of), column)


def _value(exact: tuple[int, int]) -> Fraction:
    return Fraction(exact[0]) * Fraction(2) ** exact[1]


floats = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(st.lists(floats | st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1.7e308, -1.7e308]), max_size=80))
def test_numbers_are_counted_in_their_bins_and_summed_exactly(values: list[float]) -> None:
    column = _counted(values)
    finite = [x for x in values if math.isfinite(x)]
    edges = column.edges
    for j in range(len(edges) + 1):
        low = edges[j - 1] if j else -math.inf
        high = edges[j] if j < len(edges) else math.inf
        inside = [x for x in finite if low <= x < high]
        assert column.counts[j] == len(inside)
        if 0 < j < len(edges) and not column.is_atom[j]:
            width = Fraction(high) - Fraction(low)
            places = sum((Fraction(x) - Fraction(low)) / width for x in inside) * POSITIONS
            if width > Fraction(2) ** -1000:
                assert abs(places - int(column.offsets[j])) <= len(inside)
        if column.is_atom[j]:
            assert len(set(inside)) <= 1
    assert column.n_missing == sum(math.isnan(x) for x in values)
    assert (column.n_low, column.n_high) == (values.count(-math.inf), values.count(math.inf))
    assert _value(column.sum) == sum(map(Fraction, finite))
    assert _value(column.squares) == sum(Fraction(x) ** 2 for x in finite)
    tails = (
        [x for x in finite if len(edges) and x < edges[0]],
        [x for x in finite if x >= edges[-1]],
    )
    assert [_value(tail) for tail in column.tails] == [sum(map(Fraction, tail)) for tail in tails]
    if finite:
        assert (column.least, column.greatest) == (min(finite), max(finite))
        assert column.mean == pytest.approx(
            float(sum(map(Fraction, finite)) / len(finite)), rel=1e-15
        )


@given(st.lists(floats, max_size=60), st.lists(floats, max_size=60), st.integers(0, 60))
def test_profiles_of_parts_merge_to_that_of_the_whole(
    sample: list[float], values: list[float], at: int
) -> None:
    layout = layout_of("x", FLOAT64, "number", _column(sample, pa.float64()))
    parts = [
        count_column(layout, _column(some, pa.float64())) for some in (values[:at], values[at:])
    ]
    whole = count_column(layout, _column(values, pa.float64()))
    assert (
        _bytes(merge_column_profiles(*parts))
        == _bytes(merge_column_profiles(*parts[::-1]))
        == _bytes(whole)
    )


def _bytes(*columns: ColumnProfile) -> bytes:
    n_rows = columns[0].n_rows
    return profile_of_columns({c.name: c for c in columns}, {}, n_rows).to_bytes()


def test_a_frequent_value_has_a_bin_of_its_own_and_no_other_bin_is_large() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=30_000).astype(np.float64)
    values[rng.random(30_000) < 0.8] = 0
    edges, is_atom = edges_of(values)
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    assert is_atom.sum() == 1
    assert edges[np.flatnonzero(is_atom)[0] - 1] == 0
    assert counts[~is_atom].max() <= len(values) / N_BINS
    assert len(edges) < 2 * N_BINS
    assert counts[0] == counts[-1] == 0


def test_few_values_have_a_bin_each() -> None:
    edges, is_atom = edges_of(np.repeat(np.arange(N_BINS) * 1.5, 3).astype(np.float64))
    assert is_atom.sum() == N_BINS
    assert edges[0] == 0


def test_bins_are_never_wider_than_the_greatest_float() -> None:
    edges, _ = edges_of(np.concatenate([np.full(9, -1.7e308), np.full(9, 1.7e308)]))
    assert np.isfinite(np.diff(edges)).all()
    assert 0.0 in edges


def test_integers_are_summed_as_they_are_and_binned_as_floats() -> None:
    values = [2**62 + 1, -(2**62), None, 5]
    column = _counted(values, INT64)
    assert _value(column.sum) == 6
    assert column.n_missing == 1
    assert _value(column.squares) == (2**62 + 1) ** 2 + 2**124 + 25
    assert column.counts.sum() == 3
    assert column.greatest == 2.0**62


def test_categories_stand_by_count_and_value_and_the_others_are_counted() -> None:
    sample = ["b", "a", "a", "b", "c", None]
    column = _counted(["a", "x", "c", None, "a", "y"], UTF8, sample)
    assert column.categories == ("a", "b", "c")
    assert column.counts.tolist() == [2, 0, 1]
    assert (column.n_other, column.n_missing) == (2, 1)
    many = _counted([f"{k:04}" for k in range(400)], UTF8)
    assert len(many.categories) == MOST_CATEGORIES
    assert many.n_other == 400 - MOST_CATEGORIES
    assert many.categories[0] == "0000"


@pytest.mark.parametrize(
    "make",
    [
        lambda c: c,
        lambda c: c.dictionary_encode(),
        lambda c: c.cast(pa.large_string()),
        lambda c: c.cast(pa.string_view()),
    ],
)
def test_text_is_counted_alike_in_every_form(make: Any) -> None:
    column = make(_column(["a", "", None, "é", "a"]))
    made = count_column(layout_of("x", UTF8, "category", column), column)
    assert dict(zip(made.categories, made.counts.tolist(), strict=True)) == {"a": 2, "": 1, "é": 1}
    assert made.n_missing == 1


def test_moments_of_columns_say_mean_and_deviation() -> None:
    values = np.random.default_rng(1).normal(1e6, 1, 1000)
    column = _counted(values)
    assert column.mean == pytest.approx(values.mean(), rel=1e-15)
    assert column.std == pytest.approx(values.std(), rel=1e-9)
    assert math.isnan(_counted([None, None]).mean)
    assert _counted([2.0]).std == 0


@given(st.integers(-(2**70), 2**70), st.integers(-99, 99), st.integers(-(2**70), 2**70))
def test_exact_sums_have_one_form(a: int, exponent: int, b: int) -> None:
    total = add_exact(normal(a, exponent), normal(b, 0))
    assert _value(total) == Fraction(a) * Fraction(2) ** exponent + b
    assert total == normal(*total)
    assert total[0] % 2 or total == (0, 0)


def _profile() -> Profile:
    columns = [
        _counted([1.0, 2.0, None, math.inf]),
        replace(_counted(["a", None, "\ud83d\ude00"[:0]], UTF8), name="<b>"),
        count_column(
            layout_of("y", UTF8, "category", _column([b"\xff", b"a"])), _column([b"\xff", b"a"])
        ),
        replace(_counted([True, False]), name="z"),
    ]
    return profile_of_columns({c.name: c for c in columns}, {}, 4, "why")


def test_a_profile_comes_back_from_its_bytes() -> None:
    profile = _profile()
    again = Profile.from_bytes(profile.to_bytes())
    assert again == profile
    assert again.to_bytes() == profile.to_bytes()
    assert hash(again) == hash(profile)
    assert again.no_features == "why"
    assert again.inputs["y"].categories[0] in (b"\xff", b"a")
    assert "4 rows, 4 inputs" in repr(again)


@settings(max_examples=50)
@given(st.data())
def test_a_damaged_profile_is_refused(data: st.DataObject) -> None:
    content = bytearray(_profile().to_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ArtifactError):
        Profile.from_bytes(bytes(content))
    with pytest.raises(ArtifactError):
        Profile.from_bytes(bytes(content[:at]))


def test_a_profile_that_contradicts_itself_is_refused() -> None:
    column = _counted([1.0, 2.0])
    bad: Mapping[str, ColumnProfile] = {
        "counts": replace(column, n_rows=7),
        "edges": replace(column, edges=column.edges[::-1].copy()),
        "offsets": replace(column, offsets=column.offsets[1:]),
        "kind": replace(column, kind="category"),
    }
    for one in bad.values():
        content = profile_of_columns({"x": one}, {}, 2).to_bytes()
        with pytest.raises(ArtifactError, match="do not add up"):
            Profile.from_bytes(content)


def test_profiles_of_other_layouts_do_not_merge() -> None:
    a, b = _counted([1.0, 2.0]), _counted([1.0, 3.0])
    with pytest.raises(InvalidData, match="bins or categories"):
        merge_column_profiles(a, b)
    one = profile_of_columns({"x": a}, {}, 2)
    with pytest.raises(InvalidData, match="different columns"):
        one.merge(profile_of_columns({}, {}, 2))


def test_a_plan_has_the_profile_of_its_training_rows() -> None:
    rng = np.random.default_rng(0)
    data = {
        "x": rng.normal(size=500),
        "c": rng.choice(["a", "b"], 500),
        "y": rng.integers(0, 2, 500),
    }
    plan = ff.Plan(
        {
            "x": col("x").standard_scale(),
            "c": col("c").target_encode("y", folds=2),
            "o": col("c").one_hot_encode(),
        },
        label="y",
    ).declaration
    fitted = fit_profiled(plan, CallRows(data), profile=True)
    profile = profile_face(fitted)
    assert profile is not None
    assert set(profile.inputs) == {"x", "c", "y"}
    assert list(profile.features) == ["x", "c", "o_a", "o_b"]
    assert profile.features["o_a"].categories in ((0, 1), (1, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert profile_of(fitted, CallRows(data)) == profile  # as later rows, and not out of fold
    table = pa.table({**data, "x": data["x"] + 1}).slice(1)
    first, rest = (profile_of(fitted, CallRows(table.slice(at, 123))) for at in (0, 123))
    assert first.merge(rest) == profile_of(fitted, CallRows(table.slice(0, 246)))
    assert list(profile_of(fitted, CallRows(table.select(["x", "c"]))).inputs) == ["x", "c"]
    inputs = fit_profiled(plan, CallRows(data), profile="inputs")
    assert profile_face(inputs).no_features  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint64", "int8", "times"])
def test_kernels_count_as_numpy_does(dtype: str) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 30, 2 * LEAST_ROWS)
    if dtype == "float64":
        values = np.where(rng.random(len(values)) < 0.3, 0.0, np.sinh(values))
        values[:9] = [np.nan, np.inf, -np.inf, -0.0, 5e-324, 1e300, -1e300, np.nan, np.inf]
    is_missing = rng.random(len(values)) < 0.1
    if dtype == "times":
        stored = pa.array(rng.integers(17 * 10**17, 18 * 10**17, len(values)), mask=is_missing)
    else:
        stored = pa.array(np.clip(values, 0, 99).astype(dtype) if dtype != "float64" else values)
        stored = pa.array(stored.to_pandas(), mask=is_missing) if dtype == "float32" else stored
    column = pa.chunked_array([stored.slice(0, 999), stored.slice(999)])
    layout = layout_of("x", FLOAT64, "number", column.slice(10, 2000))
    assert _bytes(count_column(layout, column)) == _bytes(count_with_numpy(layout, column))


def test_columns_counted_together_are_each_counted_as_alone(monkeypatch: Any) -> None:
    rng = np.random.default_rng(4)
    x, n = rng.normal(0, 30, LEAST_ROWS), LEAST_ROWS
    given = [x, np.where(x > 0, np.nan, x), np.where(x > 9, 0.0, x), np.full(n, 7.0), x > 0]
    columns = [pa.chunked_array([one[:99], one[99:]]) for one in given]
    columns += [_column(pa.array(x, mask=x < 5)), _column(np.full(n, math.nan))]
    layouts = [
        layout_of(f"x{k}", BOOL if k == 4 else FLOAT64, "category" if k == 4 else "number", one)
        for k, one in enumerate(columns)
    ]
    monkeypatch.setattr("fastfeat.trust.quality.counting._MOST_AT_ONCE", 3)
    found = count_columns(list(zip(layouts, columns, strict=True)))
    for one, layout, column in zip(found, layouts, columns, strict=True):
        assert _bytes(one) == _bytes(count_column(layout, column))
        if layout.has_bins:
            assert _bytes(one) == _bytes(count_with_numpy(layout, column))
    assert count_columns([]) == []


def _wide_columns(n: int, seed: int, scale: float, at: float) -> list[pa.ChunkedArray]:
    """Return columns of one length: of other spreads, ties, ends, types, with rows missing."""
    rng = np.random.default_rng(seed)
    x, spread = at + rng.normal(0, 1, n), rng.normal(0, 1, n)
    middle, some = np.arange(n) == n // 2, rng.random(n) < 0.3
    values: list[Any] = [
        *(spread * scale, np.sinh(x % 40), np.sinh(x % 700), np.where(middle, np.inf, x)),
        *(np.where(middle, np.nan, x), np.where(x > at, -0.0, x), x.astype(np.float32)),
        *(rng.permutation(n), rng.permutation(n) * 2**52 + 1, rng.integers(0, 9, n)),
        *(rng.permutation(n).astype(np.int16), 1 + np.arange(n) * 2.0**-52),
        *(np.round(x, 1), np.round(x), np.where(some, 1.0, x), np.where(some, -np.inf, x)),
        *(1 + rng.integers(0, 70, n) * 2.0**-52, np.where(some, np.finfo(float).max, x)),
        *(rng.integers(-(2**63), 2**63 - 1, n), rng.integers(0, 2**64, n, np.uint64)),
        *(pa.array(x, mask=middle), pa.array(x, mask=some), pa.array(np.round(x, 2), mask=some)),
        *(pa.array(rng.permutation(n), mask=some), pa.array(x, mask=np.ones(n, np.bool_))),
        pa.array(np.append(x, 7.0)).slice(1),
    ]
    return [_column(one) for one in values]


@given(
    st.sampled_from([1, 64, 65, 66, 127, 128, 130, 900, MOST_ROWS]),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 5e-322, 1e-300, 1.0, 3e5, 1e300, 1e307]),
    st.sampled_from([0.0, 1.0, 1e9]),
)
@settings(max_examples=20)
def test_many_columns_at_once_are_counted_as_one_is(
    n: int, seed: int, scale: float, at: float
) -> None:
    columns = _wide_columns(n, seed, scale, at)
    types = [INT64 if pa.types.is_integer(one.type) else FLOAT64 for one in columns]
    named = [BinnedColumnHead("x", str(one), "number") for one in types]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many_columns, "MANY", 1)
        found = count_binned_columns(named, columns)
    layouts = layouts_of_columns(named, columns)
    assert set(found) == set(layouts)
    assert {0, 3, 4, 12, 13, 14, 20, 21, 22} <= set(found) or scale > 1e100 or n == 1
    for k, one in found.items():
        layout = layout_of("x", types[k], "number", columns[k])
        assert _bytes(layouts[k]) == _bytes(layout)
        assert _bytes(one) == _bytes(count_with_numpy(layout, columns[k]))


def test_columns_without_values_are_left_to_one_by_one() -> None:
    columns = [_column([None, math.nan], pa.float64()), _column([None, None], pa.int64())]
    heads = [BinnedColumnHead("x", "float64", "number"), BinnedColumnHead("x", "int64", "number")]
    assert layouts_of_columns(heads, columns) == {} == layouts_of_columns([], [])


INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


@given(
    st.sampled_from(["bool", *INTEGERS]),
    st.lists(st.integers(0, 400) | st.none(), max_size=60),
    st.integers(0, 400),
    st.sampled_from([0, -7, 2**31, 2**40, -(2**63)]),
    st.integers(0, 60),
)
def test_bools_and_codes_are_counted_as_keys_are(
    dtype: str, values: list[int | None], most: int, base: int, split: int
) -> None:
    kind: Any = pa.bool_() if dtype == "bool" else pa.type_for_alias(dtype)
    low, high = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    most = min(most, high - low)
    base = min(max(base, low), high - most)
    given = [None if v is None else base + min(v, most) for v in values]
    whole = pa.array(
        [v if v is None else bool(v) for v in given] if dtype == "bool" else given, kind
    )
    column = pa.chunked_array([whole.slice(split), whole.slice(0, split)], kind)
    if any(v is not None and v >= 2**63 for v in given):
        return  # no category
    layout = layout_of("x", INT64, "category", column.slice(0, 20))
    assert _bytes(count_column(layout, column)) == _bytes(_of_keys(layout, column))


def test_kept_columns_and_plans_of_literals_have_a_profile() -> None:
    rows = {"x": [1.0, 2.0], "id": [1, 2], "y": [0, 1]}
    kept = ff.Plan({"x": col("x") + 1}, label="y", keep=["id"]).fit(rows, profile=True)
    assert list(ff.quality.profile(kept).features) == ["x"]
    many = {name: np.repeat(values, 100_000) for name, values in rows.items()}
    large = ff.Plan({"x": col("x") + 1}, label="y", keep=["id"]).fit(many, profile=True)
    assert list(ff.quality.profile(large).features) == ["x"]
    literal = ff.quality.profile(ff.Plan({"one": ff.lit(1.0)}).fit({"x": [1.0]}, profile=True))
    assert literal is not None
    assert literal.features["one"].counts.sum() == 1


def test_columns_of_any_encoding_are_profiled() -> None:
    pieces = [pa.array(texts).dictionary_encode() for texts in (["a", "b"], ["c", None])]
    runs = pa.RunEndEncodedArray.from_arrays([2, 3, 4], [1.0, 2.0, None])
    rows = pa.table({"x": runs, "s": pa.chunked_array(pieces)})
    plan = ff.Plan({"x": col("x").standard_scale(), "s": col("s").ordinal_encode()})
    plain = pa.table({"x": [1.0, 1.0, 2.0, None], "s": ["a", "b", "c", None]})
    found, expected = (ff.quality.profile(plan.fit(one, profile=True)) for one in (rows, plain))
    assert found is not None
    assert expected is not None
    assert found.to_bytes() == expected.to_bytes()


ROWS = {
    "x": np.where(np.arange(40_000) % 7 == 0, np.nan, np.sin(np.arange(40_000.0)) * 50),
    "k": np.arange(40_000) % 11,
    "t": np.arange(40_000) // 3,
    "s": np.array([f"s{k % 300}" for k in range(40_000)]),
    "y": np.arange(40_000) % 2,
}
SEEN = ff.Plan(
    {
        "x": col("x").standard_scale(),
        "w": col("x").mean(over=ff.window(50, by="k", time="t")),
        "s": col("s").target_encode("y", folds=3),
    },
    label="y",
)


def test_rows_in_passes_have_the_profile_of_rows_in_memory(tmp_path: Path) -> None:
    table = pa.table(ROWS)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=9_000)
    is_given = np.arange(40_000) % 5 > 0
    for rows in (None, is_given):
        expected = ff.quality.profile(SEEN.fit(table, rows=rows, profile=True))
        options = {"rows": rows, "memory": "64GiB", "profile": True}
        found = ff.quality.profile(SEEN.fit(tmp_path / "rows.parquet", **options))
        assert expected is not None
        assert expected.no_features == ""
        assert found == expected
    later = table.set_column(0, "x", pa.array(ROWS["x"] * 2))
    pq.write_table(later, tmp_path / "later.parquet", row_group_size=7_000)
    fitted = SEEN.fit(table, profile=True)
    expected = ff.quality.profile(fitted, later, history="batch")
    found = ff.quality.profile(fitted, tmp_path / "later.parquet", history="batch", memory="64GiB")
    assert found == expected


@pytest.mark.parametrize("choice", [None, 1, "features"])
def test_another_choice_of_profile_is_refused(choice: Any) -> None:
    plan, told = ff.Plan({"x": col("x") + 1}), "profile= takes True, False or 'inputs'"
    for make in (
        lambda: plan.fit({"x": [1.0]}, profile=choice),
        lambda: plan.fit_transform({"x": [1.0]}, profile=choice),
        lambda: plan.fit({"x": [1.0]}, profile=choice, memory="64GiB"),
        lambda: plan.learning({"x": "float64"}, profile=choice),
        lambda: plan.compile({"x": "float64"}, profile=choice),
    ):
        with pytest.raises(TypeMismatch, match=told):
            make()


def test_no_profile_is_made_where_nobody_asks(tmp_path: Path) -> None:
    rows = pa.table({"x": [1.0, 2.0, 5.0], "y": [0, 1, 0]})
    plan = ff.Plan({"x": col("x").standard_scale()}, label="y")
    learning = plan.learning(rows.schema)
    while learning.round is not None:
        learning = learning.next(learning.partial(rows.select(learning.columns), range(3)))
    for fitted in (
        plan.fit(rows),
        plan.fit_transform(rows)[0],
        plan.fit(rows, memory="64GiB"),
        plan.fit_transform_to(rows, tmp_path / "out")[0],
        next(iter(plan.cross_fit(rows, [([0, 1], [2])]))).fitted,
        Features(plan).fit(rows.to_pandas()[["x"]], [0, 1, 0]).fitted_,
        learning.finish(),
    ):
        assert fitted.record.profile is None
        with pytest.raises(InvalidPlan, match=r"fit it with profile=True$") as error:
            fitted.drift(rows)
        assert "\n" not in str(error.value)
        with pytest.raises(InvalidPlan, match=r"fit it with profile=True$"):
            fitted.report(rows)
        with pytest.raises(InvalidPlan, match=r"fit it with profile=True$"):
            fitted.online().watch()
        assert "fit it with profile=True" in fitted.report().html


def test_a_profile_of_another_plan_is_refused() -> None:
    x = {"x": [1.0, 2.0]}
    fitted = ff.Plan({"f": col("x") * 2}).fit(x).record
    others = (
        ({"f": col("x").is_null()}, x, "'f' is bool in the profile, but float64 in the plan"),
        ({"g": col("x") * 2}, x, "it lacks the feature 'f'"),
        (
            {"f": col("x").ordinal_encode()},
            {"x": ["a"]},
            "'x' is utf8 in the profile, but float64 in the plan",
        ),
    )
    for features, data, told in others:
        other = ff.quality.profile(ff.Plan(features).fit(data, profile=True))
        assert other is not None
        with pytest.raises(ArtifactError, match=f"the profile belongs to another plan: {told}"):
            profile_face(replace(fitted, profile=other.to_bytes()))


@given(
    st.sampled_from([0, 1, 5, 6, 99, 1 << 14, (1 << 14) + 1, 3 * (1 << 14) - 7, 1 << 17]),
    st.sampled_from([1, 5, 100, 8192]),
)
def test_the_rows_of_a_sample_are_those_that_are_sampled_one_by_one(n: int, most: int) -> None:
    stride, found = stride_of_sample(n, most), numbers_of_sample(n, most)
    assert found.tolist() == np.flatnonzero(are_sampled(np.arange(n), stride)).tolist()
    assert len(found) <= most
