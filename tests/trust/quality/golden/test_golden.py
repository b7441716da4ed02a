"""Golden rows: made up, the same each time, and found wherever a bit of their features differs."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import as_fitted_plan
from fastfeat.errors import ArtifactError, InvalidPlan
from fastfeat.execute.fitted import Fitted
from fastfeat.keep.artifact import artifact_bytes, fitted_digest
from fastfeat.trust.quality.golden import golden_rows as golden
from fastfeat.trust.quality.golden.golden_rows import GoldenRows

FIXTURES = Path(__file__).resolve().parents[3] / "compatibility" / "fixtures" / "artifacts"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.fastfeat"))
ROWS = pa.table(
    {
        "t": pa.array(np.arange(200) * 3_600_000_000, pa.timestamp("us", "UTC")),
        "card": [f"card {k % 4}" for k in range(200)],
        "shop": [*(["a"] * 100), *(["b"] * 99), "seen once"],
        "x": np.linspace(0.0, 10.0, 200),
    }
)
FEATURES = {
    "scaled": col("x").standard_scale(),
    "bin": col("x").qcut(4),
    "shop": col("shop").ordinal_encode(),
    "day": col("x").mean(over=ff.window("1d", by="card", time="t")),
}


@cache
def record(name: str) -> Fitted:
    return ff.load(FIXTURES / f"{name}.fastfeat").record


@cache
def made(name: str) -> GoldenRows:
    found = golden.golden_rows(record(name))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def fitted() -> ff.FittedPlan:
    return ff.Plan(FEATURES, keep=["note"]).fit(ROWS.append_column("note", pa.nulls(200)))


@pytest.fixture(scope="module")
def path(fitted: ff.FittedPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("golden") / "plan.fastfeat"
    fitted.save(found)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_plan_has_golden_rows_that_it_computes_again(name: str) -> None:
    found = made(name)
    assert len(found) >= 48
    assert any(column.null_count < len(found) for column in found.features.columns)
    content = found.to_bytes()
    assert GoldenRows.from_bytes(content).to_bytes() == content
    kept = dataclasses.replace(record(name), golden=content)
    assert golden.check_golden(kept) == golden.check_golden(kept, "reference") == len(found)


def test_golden_rows_are_the_same_each_time() -> None:
    again = golden.golden_rows(record("encoders"))
    assert again is not None
    assert again.to_bytes() == made("encoders").to_bytes()


def test_rows_have_what_is_odd_and_windows_see_some(fitted: ff.FittedPlan) -> None:
    found = golden.golden_rows(fitted.record)
    assert found is not None
    columns = {name: found.made_up.rows[name].to_pylist() for name in ("x", "shop", "t")}
    assert {None, float("inf"), -float("inf"), 0.0} <= set(columns["x"])
    assert {None, "", "a", "b"} <= set(columns["shop"])
    assert "__never seen" in columns["shop"]
    assert None in columns["t"]
    assert found.features["day"].null_count < len(found) // 2
    assert set(found.features["bin"].to_pylist()) == {None, 0, 1, 2, 3}


def test_edges_of_bins_stand_on_both_sides(fitted: ff.FittedPlan) -> None:
    edges = next(v for v in fitted.record.learnt.values() if isinstance(v, tuple))
    found = golden.golden_rows(fitted.record)
    assert found is not None
    values = set(found.made_up.rows["x"].to_pylist())
    near = {float(np.nextafter(edge, to)) for edge in edges for to in (-np.inf, np.inf)}
    assert values & set(edges)
    assert values & near


def test_no_key_of_few_rows_stands_in_golden_rows(fitted: ff.FittedPlan) -> None:
    found = golden.golden_rows(fitted.record)
    assert found is not None
    assert b"seen once" not in found.to_bytes()
    assert b"seen once" in artifact_bytes(fitted.record)


def test_no_golden_row_is_a_row_of_training(fitted: ff.FittedPlan) -> None:
    found = golden.golden_rows(fitted.record)
    assert found is not None
    assert found.made_up.history is not None
    for rows in (found.made_up.rows, found.made_up.history):
        names = [name for name in rows.column_names if name in ROWS.column_names]
        assert len(names) >= 3
        known = {tuple(row.values()) for row in ROWS.select(names).to_pylist()}
        assert not known & {tuple(row.values()) for row in rows.select(names).to_pylist()}


def test_golden_rows_do_not_depend_on_the_order_of_training_rows() -> None:
    plan = ff.Plan({name: FEATURES[name] for name in ("scaled", "bin", "shop")})
    there, back = (
        plan.fit(rows).record for rows in (ROWS, ROWS.take(pa.array(range(199, -1, -1))))
    )
    assert golden.with_golden(there).golden == golden.with_golden(back).golden


def test_an_artifact_is_checked_where_it_is_loaded(fitted: ff.FittedPlan, path: Path) -> None:
    again = ff.load(path, check="golden")
    assert (
        ff.quality.check_golden(again) == ff.quality.check_golden(again, backend="reference") == 64
    )
    assert artifact_bytes(again.record) == path.read_bytes()
    assert fitted_digest(again.record) == fitted_digest(fitted.record)
    assert again == fitted


@pytest.mark.emulator
def test_a_device_computes_golden_rows_again() -> None:
    plan = ff.Plan({"scaled": FEATURES["scaled"], "shop": FEATURES["shop"]}).fit(ROWS)
    assert golden.check_golden(golden.with_golden(plan.record), "emulated") == 64


def test_a_plan_that_is_saved_again_keeps_its_golden_rows(path: Path, tmp_path: Path) -> None:
    ff.load(path).save(tmp_path / "again.fastfeat")
    assert (tmp_path / "again.fastfeat").read_bytes() == path.read_bytes()
    ff.load(path).save(tmp_path / "bare.fastfeat", golden=False)
    assert ff.load(tmp_path / "bare.fastfeat").record.golden is None


def with_features(fitted: Fitted, **changed: Any) -> Fitted:
    """Return a plan whose golden rows have other features."""
    kept = GoldenRows.from_bytes(fitted.golden or b"")
    features = kept.features
    for name, column in changed.items():
        features = features.set_column(features.schema.get_field_index(name), name, column)
    return dataclasses.replace(fitted, golden=GoldenRows(kept.made_up, features).to_bytes())


def test_a_bit_that_differs_names_feature_row_and_bits(path: Path, tmp_path: Path) -> None:
    loaded = ff.load(path)
    assert loaded.record.golden is not None
    kept = GoldenRows.from_bytes(loaded.record.golden).features["scaled"].to_pylist()
    row = next(k for k, value in enumerate(kept) if k > 9 and value is not None)
    kept[row] = float(np.nextafter(kept[row], 9e9))
    altered = as_fitted_plan(with_features(loaded.record, scaled=pa.array(kept)))
    altered.save(tmp_path / "altered.fastfeat")
    bits = np.float64(kept[row]).view(np.uint64)
    told = rf"altered.fastfeat: golden rows: feature 'scaled', row {row}: .*0x{bits:016x}\)"
    with pytest.raises(ArtifactError, match=told):
        ff.load(tmp_path / "altered.fastfeat", check="golden")
    assert ff.load(tmp_path / "altered.fastfeat").feature_names == loaded.feature_names


def test_other_learnt_values_are_found(path: Path) -> None:
    loaded = ff.load(path).record
    moved = {
        node: float(np.nextafter(value, 9e9)) if isinstance(value, float) else value
        for node, value in loaded.constants.items()
    }
    with pytest.raises(ArtifactError, match="golden rows: feature 'scaled', row"):
        golden.check_golden(dataclasses.replace(loaded, constants=moved))


def test_other_features_and_types_are_refused(path: Path) -> None:
    loaded = ff.load(path).record
    narrow = with_features(loaded, scaled=pa.array([1.0] * 64, pa.float32()))
    with pytest.raises(ArtifactError, match="feature 'scaled' is double here, but was float"):
        golden.check_golden(narrow)
    kept = GoldenRows.from_bytes(loaded.golden or b"")
    fewer = GoldenRows(kept.made_up, kept.features.select(["bin"]))
    with pytest.raises(ArtifactError, match="have other features"):
        golden.check_golden(dataclasses.replace(loaded, golden=fewer.to_bytes()))


def test_rows_that_raise_are_an_error_of_the_artifact(path: Path) -> None:
    loaded = ff.load(path).record
    kept = GoldenRows.from_bytes(loaded.golden or b"")
    odd = dataclasses.replace(kept.made_up, rows=kept.made_up.rows.drop_columns(["x"]))
    broken = GoldenRows(odd, kept.features).to_bytes()
    with pytest.raises(ArtifactError, match=r"golden rows cannot be computed: .*'x'"):
        golden.check_golden(dataclasses.replace(loaded, golden=broken))


def test_damaged_golden_rows_are_refused(path: Path) -> None:
    content = ff.load(path).record.golden
    assert content is not None
    rng = np.random.default_rng(0)
    for length in [*range(0, 400, 7), len(content) - 1]:
        with pytest.raises(ArtifactError, match="golden rows"):
            GoldenRows.from_bytes(content[:length])
    with pytest.raises(ArtifactError, match="followed by extra bytes"):
        GoldenRows.from_bytes(content + b"\0")
    for place in rng.integers(0, len(content), 300).tolist():
        other = bytearray(content)
        other[place] ^= int(rng.integers(1, 256))
        with suppress(ArtifactError):  # a value may differ, and is found by `check_golden`
            GoldenRows.from_bytes(bytes(other))


def test_newer_golden_rows_ask_for_an_update(path: Path) -> None:
    content = ff.load(path).record.golden
    assert content is not None
    newer = content.replace(b'{"golden":1', b'{"golden":7')
    with pytest.raises(ArtifactError, match=r"format 7, .* Update fastfeat"):
        GoldenRows.from_bytes(newer)


def test_a_file_without_golden_rows_is_not_checked(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"numbers.fastfeat: there are no golden rows"):
        ff.load(FIXTURES / "numbers.fastfeat", check="golden")
    with pytest.raises(ArtifactError, match="there are no golden rows"):
        ff.quality.check_golden(ff.load(FIXTURES / "numbers.fastfeat"))


@pytest.mark.parametrize("word", ["gold", True, 1, "", ["golden"]])
def test_another_word_is_refused(path: Path, word: Any) -> None:
    with pytest.raises(InvalidPlan, match="write check="):
        ff.load(path, check=word)


def test_text_is_made_up_as_the_plan_parses_it() -> None:
    plan = ff.Plan({"n": col("s").str.to_datetime("%Y/%m/%d").dt.year()})
    found = golden.golden_rows(plan.fit({"s": ["2024/01/31"]}).record)
    assert found is not None
    assert {2023, 2024} <= set(found.features["n"].to_pylist())


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of rows of which features are tried to be computed, as they are."""
    found: list[int] = []
    compute = golden._features  # pyright: ignore[reportPrivateUsage]

    def counting(fitted: Fitted, made_up: Any, backend: str) -> Any:
        found.append(made_up.rows.num_rows)
        return compute(fitted, made_up, backend)

    monkeypatch.setattr(golden, "_features", counting)
    return found


def test_rows_that_fail_are_left_out_in_few_tries(tried: list[int]) -> None:
    strict = {"a": 0, "b": 1, "seen once": 2}
    plan = ff.Plan({**FEATURES, "strict": col("shop").replace_strict(strict)})
    found = golden.golden_rows(plan.fit(ROWS, profile=False).record)
    assert found is not None
    assert tried == [64, len(found)]
    assert 32 <= len(found) < 64


def test_history_that_cannot_be_computed_is_made_up_without_what_is_odd(tried: list[int]) -> None:
    day = ff.window("1d", by="card", time="t")
    plan = ff.Plan({"twice": (col("n") * 2).sum(over=day)})
    fitted = plan.fit(ROWS.append_column("n", pa.array(range(200))), profile=False)
    found = golden.golden_rows(fitted.record)
    assert found is not None
    assert len(found) >= 16
    assert len(tried) <= 8


def test_many_columns_of_strict_text_have_rows_of_digits() -> None:
    names = [f"s{k}" for k in range(20)]
    plan = ff.Plan({name: col(name).str.to_integer() for name in names})
    found = golden.golden_rows(plan.fit({name: ["7"] for name in names}).record)
    assert found is not None
    assert len(found) == 64
    assert {1, 2, 3} == set(found.features["s0"].to_pylist())


def test_a_plan_that_no_row_fits_is_saved_without(
    fitted: ff.FittedPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise ff.errors.Overflow("too large")

    monkeypatch.setattr(golden, "_features", fails)
    with pytest.warns(ff.errors.NoGoldenRows, match="golden=False"):
        fitted.save(tmp_path / "strict.fastfeat")
    assert ff.load(tmp_path / "strict.fastfeat").record.golden is None


def test_a_defect_of_what_makes_rows_up_does_not_keep_a_plan_from_its_file(
    fitted: ff.FittedPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(golden, "generate_rows", fails)
    with pytest.warns(ff.errors.NoGoldenRows, match="ZeroDivisionError: of ours"):
        fitted.save(tmp_path / "plan.fastfeat")
    assert ff.load(tmp_path / "plan.fastfeat") == fitted


def test_many_keys_are_not_looked_up_for_a_few_rows(
    fitted: ff.FittedPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = golden.work_of(fitted.record)
    assert work % 64 == 0  # rows
    monkeypatch.setattr(golden, "MOST_WORK", work)
    assert golden.with_golden(fitted.record).golden is not None
    monkeypatch.setattr(golden, "MOST_WORK", work - 1)
    assert golden.with_golden(fitted.record).golden is None
    asked = golden.with_golden(fitted.record, True)
    assert golden.check_golden(asked) == 64


def test_a_selection_has_no_golden_rows_of_other_features(path: Path) -> None:
    assert ff.load(path).select(["bin"]).record.golden is None


def test_wide_plans_have_fewer_rows() -> None:
    names = [f"x{k}" for k in range(1024)]
    plan = ff.Plan({name: col(name) for name in names})
    found = golden.golden_rows(plan.fit({name: [1.0] for name in names}).record)
    assert found is not None
    assert len(found) == 16
    assert sys.getsizeof(found.to_bytes()) < 3_000 * len(names)


def test_golden_rows_are_the_same_with_and_without_a_profile(fitted: ff.FittedPlan) -> None:
    profiled = fitted.plan.fit(ROWS.append_column("note", pa.nulls(200)), profile=True)
    assert profiled.record.profile is not None
    found, expected = (golden.golden_rows(one.record) for one in (profiled, fitted))
    assert found is not None
    assert expected is not None
    assert found.to_bytes() == expected.to_bytes()
