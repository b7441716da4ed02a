"""Inspection: every part of an artifact with its size, and the values of single rows in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import ArtifactError, InvalidPlan
from fastfeat.keep import artifact

FIXTURES = Path(__file__).resolve().parents[2] / "compatibility" / "fixtures" / "artifacts"
K = [*("a" * 300), *("b" * 5), "only", "alone"]
ROWS: dict[str, Any] = {
    "k": K,
    "x": np.linspace(-1.0, 1.0, len(K)),
    "y": [0, 1] * (len(K) // 2) + [1],
}
FEATURES = {
    "code": col("k").ordinal_encode(),
    "mean": col("x").mean(by="k"),
    "most": col("x").max(by="k", min_rows=10),
    "bin": col("x").qcut(4),
    "scaled": col("x").standard_scale(),
    "spread": col("x").min_max_scale(),
    "rate": col("k").target_encode("y", min_rows=20),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("inspected") / "plan.fastfeat"
    contract = ff.Contract({"positive": col("x") > -2})
    ff.Plan(FEATURES, label="y").fit(ROWS, contract=contract).save(found)
    return found


def parts_by_text(found: Any) -> dict[str, Any]:
    return {part.says: part for part in found.parts}


def test_every_part_stands_there_with_its_size(path: Path) -> None:
    found = ff.inspect(path)
    assert sum(part.n_bytes for part in found.parts) == found.n_bytes == path.stat().st_size
    manifest = artifact._open(path.read_bytes())[0]
    listed = {name: n_bytes for name, n_bytes, _ in manifest["parts"]}
    assert {part.name: part.n_bytes for part in found.parts[1:]} == listed
    assert (found.format, found.written_by, found.n_rows) == (2, ff.__version__, len(K))
    assert {"manifest", "plan", "state", "zones", "contract", "golden"} <= {
        part.name for part in found.parts
    }
    assert all(part.says for part in found.parts)


def test_keys_of_one_row_and_of_few_are_told(path: Path) -> None:
    parts = parts_by_text(ff.inspect(path))
    keys = parts["the keys of col('k')"]
    of_means = parts["one value per key, col('x').mean(by=col('k'))"]
    assert [of.n_values for of in of_means.held] == [2, 3]
    assert "its value is of that row alone" in of_means.held[0].told
    assert {of.remedy for of in of_means.held} == {"min_rows=10 leaves such keys out"}
    assert keys.says in str(keys)


@pytest.mark.parametrize(
    ("feature", "bound"),
    [
        (col("k").ordinal_encode(), "min_frequency"),
        (col("k").one_hot_encode(), "min_frequency"),
        (col("k").count_encode(), "min_rows"),
        (col("x").mean(by="k"), "min_rows"),
    ],
)
def test_what_leaves_keys_out_is_a_parameter_of_what_learns_them(
    feature: ff.Expr, bound: str, tmp_path: Path
) -> None:
    rows = {"k": [*"aab"], "x": [1.0, 2.0, 3.0]}
    ff.Plan({"f": feature}).fit(rows).save(tmp_path / "f")
    keys = ff.inspect(tmp_path / "f", few=2)["table 0"]
    assert {of.remedy for of in keys.held} == {f"{bound}=2 leaves such keys out"}


def test_min_rows_leaves_keys_out_and_is_told(path: Path) -> None:
    parts = parts_by_text(ff.inspect(path))
    rate = next(part for says, part in parts.items() if "target_encode" in says)
    assert not rate.holds_rows
    assert rate.notes == ("keys with fewer than 20 rows were left out",)
    most = next(part for says, part in parts.items() if "max(by" in says)
    assert [of.told for of in most.held] == [
        "each value is from a row with the key, or between the values of two"
    ]
    assert b"alone" in path.read_bytes()


def test_ends_and_quantiles_of_all_rows_are_values_of_rows(path: Path) -> None:
    held = {of.of: of.told for of in ff.inspect(path)["state"].held}
    assert held["col('x').min()"] == "the least value of all rows"
    assert held["col('x').max()"] == "the greatest value of all rows"
    assert any("3 quantiles" in told for told in held.values())
    assert not any("mean" in of for of in held)


def test_what_few_rows_have_taught_is_told(tmp_path: Path) -> None:
    ff.Plan({"x": col("x") - col("x").mean()}).fit({"x": [1.0, 2.0]}).save(tmp_path / "few")
    assert ff.inspect(tmp_path / "few")["state"].held[0].told == "learnt from 2 rows"
    assert not ff.inspect(tmp_path / "few", few=2)["state"].holds_rows


@pytest.mark.parametrize("file", sorted(FIXTURES.glob("*.fastfeat")), ids=lambda file: file.stem)
def test_artifacts_of_format_1_are_inspected(file: Path) -> None:
    found = ff.inspect(file)
    assert found.format == 1
    assert str(found).count("\n") >= len(found.parts)
    json.dumps([part.name for part in found.parts])


def test_golden_rows_and_contracts_say_what_they_are(path: Path) -> None:
    found = ff.inspect(path)
    assert found["golden"].notes[0].startswith("64 rows, generated")
    assert not found["golden"].holds_rows
    assert found["contract"].notes
    assert found.holds_rows
    assert "fitted on 307 rows" in found.summary


@pytest.mark.parametrize("few", [0, -1, True, 2.0, "10", None])
def test_another_number_is_refused(path: Path, few: Any) -> None:
    with pytest.raises(InvalidPlan, match="must be a whole number of rows"):
        ff.inspect(path, few=few)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match="other: this is not a fastfeat artifact"):
        ff.inspect(tmp_path / "other")
    with pytest.raises(ArtifactError, match="cannot read"):
        ff.inspect(tmp_path / "none")


@pytest.mark.parametrize("part", ["profile", "golden"])
def test_a_damaged_part_with_a_right_digest_is_refused(
    path: Path, tmp_path: Path, part: str
) -> None:
    record = dataclasses.replace(ff.load(path).record, **{part: b"{}"})
    (tmp_path / "odd").write_bytes(artifact.artifact_bytes(record))
    with pytest.raises(ArtifactError, match=r"odd: .*(profile|golden)"):
        ff.inspect(tmp_path / "odd")


def test_edges_and_rare_categories_of_a_profile_are_told(tmp_path: Path) -> None:
    plan = ff.Plan({"scaled": col("x").standard_scale(), "code": col("k").hash(n_buckets=9)})
    plan.fit(ROWS, profile=True).save(tmp_path / "profiled")
    held = {of.of: of for of in ff.inspect(tmp_path / "profiled")["profile"].held}
    assert "bin edges" in held["input x"].told
    assert "bin edges" in held["feature scaled"].told
    assert {of.remedy for of in held.values()} == {"fit without profile= leaves the profile out"}
    plan.fit(ROWS, profile=False).save(tmp_path / "bare")
    assert "profile" not in {part.name for part in ff.inspect(tmp_path / "bare").parts}


def test_a_part_that_is_not_there_is_an_error(path: Path) -> None:
    with pytest.raises(InvalidPlan, match="no part 'code'"):
        ff.inspect(path)["code"]
