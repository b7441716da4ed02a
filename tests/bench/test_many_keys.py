"""The benchmark of many keys: its rows, and a row of its table."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench import many_keys


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "rows.parquet"
    many_keys.write_rows(path, 300)
    return path


def test_each_row_has_a_key_of_its_own(rows: Path) -> None:
    table = pq.read_table(rows)
    for key in (["key"], ["text"], ["first", "second"]):
        assert table.group_by(key).aggregate([]).num_rows == 300


@pytest.mark.parametrize("work", ["fit", "transform_to", "load, transform_to"])
def test_a_feature_is_measured(work: str, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_keys, "BUDGET", "64GiB")
    feature = next(iter(many_keys.FEATURES))
    if work.startswith("load"):
        many_keys.measure(feature, "transform_to", str(rows), rows.parent)
    cells = many_keys.measure(feature, work, str(rows), rows.parent).strip("| ").split(" | ")
    assert cells[:2] == [feature, work]
    assert cells[2].endswith("MiB")
    (rows.parent / f"{work}.parquet").unlink(missing_ok=True)


def test_a_budget_that_does_not_do_is_told(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_keys, "BUDGET", "1MiB")
    told = many_keys.measure(next(iter(many_keys.FEATURES)), "fit", str(rows), rows.parent)
    assert "refused: memory=1 MiB is too small" in told
