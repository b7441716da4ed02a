"""Quarantine: both halves make up the rows, in order, of tables and of data in files alike."""

from __future__ import annotations

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
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.io.sources.scan import scan
from fastfeat.io.sources.selected_rows import chosen_rows, flags_of

CONTRACT = ff.Contract(
    {
        "positive": ff.Rule(col("x") > 0, on_violation="quarantine"),
        "known": col("k").is_in(["a", "b"]) | col("k").is_null(),
        "small": ff.Rule(col("x") < 90, on_violation="warn"),
        "few": col("x").is_null().mean() < 0.9,  # of all rows, and judges none
    }
)
ROWS = pa.table(
    {
        "x": pa.array([k % 13 - 1 if k % 9 else None for k in range(200)], pa.int64()),
        "k": ["a" if k % 2 else "c" if k % 17 == 0 else "b" for k in range(200)],
        "t": range(200),
        "tags": [[k] for k in range(200)],  # which rules and plans do not read
    }
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    for part in range(3):
        rows = ROWS.slice(part * 70, 70)
        pq.write_table(rows, folder / f"{part}.parquet", row_group_size=32)
    return folder


def _plain(table: pa.Table) -> dict[str, Any]:
    return table.to_pydict()


def test_both_halves_are_those_in_memory(files: Path, tmp_path: Path) -> None:
    accepted, apart = CONTRACT.quarantine(ROWS)
    good, bad = CONTRACT.quarantine_to(files, tmp_path / "good", tmp_path / "bad.parquet")
    assert (good.n_rows, bad.n_rows) == (accepted.num_rows, apart.num_rows)
    assert pq.read_table(tmp_path / "good").equals(accepted)
    assert _plain(pq.read_table(tmp_path / "bad.parquet")) == _plain(apart)
    reasons = [["positive", "known", "small"], ["positive"], ["positive", "small"]]
    assert apart["violations"].to_pylist()[:3] == reasons
    both = sorted([*accepted["t"].to_pylist(), *apart["t"].to_pylist()])
    assert both == ROWS["t"].to_pylist()
    assert apart["row"].to_pylist() == apart["t"].to_pylist()


def test_files_of_text_have_reasons_in_one_text(tmp_path: Path) -> None:
    rows = {"x": [1, -1], "k": ["a", "c"]}
    CONTRACT.quarantine_to(rows, tmp_path / "good.csv", tmp_path / "bad.csv")
    told = (tmp_path / "bad.csv").read_text().splitlines()
    assert [line.replace('"', "") for line in told] == [
        "row,x,k,violations",
        "1,-1,c,positive, known",
    ]


def test_data_without_violations_is_accepted_whole(tmp_path: Path) -> None:
    rows = {"x": [1, 2], "k": ["a", "b"]}
    out = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    good, bad = CONTRACT.quarantine_to(rows, *out, memory="64GiB")
    assert (good.n_rows, bad.n_rows) == (2, 0)
    assert pq.read_table(out[1]).column_names == ["row", "x", "k", "violations"]
    of_all = ff.Contract({"few": col("x").max() < 9})  # no rule judges a row by itself
    assert [half.n_rows for half in of_all.quarantine_to(rows, *out)] == [2, 0]


@pytest.mark.parametrize("window", [False, True])
def test_features_in_files_are_those_of_the_accepted_rows(
    files: Path, tmp_path: Path, window: bool
) -> None:
    past = ff.window(30, by="k", time="t")
    features: dict[str, Any] = {"x": col("x").standard_scale()}
    if window:
        features["mean"] = col("x").mean(over=past)
    accepted, _ = CONTRACT.quarantine(ROWS)
    fitted = ff.Plan(features).fit(accepted, contract=CONTRACT)
    options: Any = {"history": "batch"} if window else {}
    expected, apart = fitted.transform(ROWS, on_violation="quarantine", **options)
    out, aside = tmp_path / "features", tmp_path / "apart"
    options |= {"on_violation": "quarantine", "quarantined": aside}
    written = fitted.transform_to(files, out, part_rows=50, **options)
    assert written.quarantined is not None
    assert written.quarantined.n_rows == apart.num_rows
    assert _plain(pq.read_table(out)) == _plain(expected)
    assert _plain(pq.read_table(aside)) == _plain(apart)
    for path in sorted(out.glob("part-*"))[1:]:
        assert path.stat().st_size
    again = fitted.transform_to(files, out, part_rows=50, **options)
    assert again.files == written.files


def test_where_rows_go_that_are_set_apart_must_be_said(files: Path, tmp_path: Path) -> None:
    fitted = ff.Plan({"x": col("x") + 1}).fit(ROWS)
    out = tmp_path / "out.parquet"
    for options in ({"on_violation": "quarantine"}, {"quarantined": tmp_path / "b.parquet"}):
        with pytest.raises(ff.errors.InvalidPlan, match=r" needs (quarantined|on_violation)="):
            fitted.transform_to(files, out, **options)  # pyright: ignore[reportArgumentType]
    aside: Any = {"on_violation": "quarantine", "quarantined": tmp_path / "b.parquet"}
    with pytest.raises(ff.errors.InvalidPlan, match="the plan has no contract"):
        fitted.transform_to(files, out, **aside)
    with pytest.raises(ff.errors.OutputError, match="must differ"):
        CONTRACT.quarantine_to(files, out, out)
    with pytest.raises(ff.errors.OutputError, match="file of the data"):
        CONTRACT.quarantine_to(files / "0.parquet", out, files / "0.parquet")
    reader = pa.RecordBatchReader.from_batches(ROWS.schema, ROWS.to_batches())
    with pytest.raises(ff.errors.InvalidData, match="can be read once"):
        CONTRACT.quarantine_to(reader, out, tmp_path / "b.parquet")


def test_a_rule_that_only_warns_tells_the_rows(tmp_path: Path) -> None:
    rows = {"x": [1, 95, -5, 99], "k": ["a"] * 4}
    with pytest.warns(ff.errors.RowsBreakRule, match=r"'small': 2 of 4 rows break .* row 1 "):
        CONTRACT.quarantine_to(rows, tmp_path / "a.parquet", tmp_path / "b.parquet")


@settings(deadline=None)
@given(st.lists(st.lists(st.booleans(), max_size=9), min_size=1, max_size=4), st.integers(0, 12))
def test_chosen_rows_are_a_data_set(chosen: list[list[bool]], start: int) -> None:
    kept = [flag for flags in chosen for flag in flags]
    table = pa.table({"n": pa.array(range(len(kept)), pa.int64())})
    flags = flags_of([np.array(of, np.bool_) for of in chosen])
    rows = chosen_rows(dataset_of(lambda: table.to_batches(3) or [table]), flags, "some")
    expected = [k for k, flag in enumerate(kept) if flag]
    assert rows.n_rows == flags.n_chosen == len(expected)
    found = [
        (of.first_row + k, n)
        for of in scan(rows, ["n"], most_bytes=20, start=start)
        for k, n in enumerate(of.table["n"].to_pylist())
    ]
    assert found == list(enumerate(expected))[start:]
    assert flags.numbers(start, 3).tolist() == expected[start : start + 3]
    assert flags.invert().n_chosen == len(kept) - len(expected)
