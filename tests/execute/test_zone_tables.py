"""A fitted plan keeps the zone tables that it was built with."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.scalars import zone_files
from fastfeat.scalars.zone_files import ZoneTable
from fastfeat.scalars.zones import table_for


@pytest.fixture
def fitted() -> ff.FittedPlan:
    """Return a plan over a zoned column that takes a part in another zone too."""
    features = {
        "here": col("t").dt.hour(),
        "there": col("t").dt.hour(tz="Asia/Tokyo"),
        "day": col("t").dt.truncate("1d"),
        "late": (col("t").dt.hour() - col("t").dt.hour().mean()).abs(),
    }
    return ff.Plan(features).fit(times())


def times() -> pa.Table:
    """Return instants around a change of the clocks in Berlin."""
    seconds = [1_585_443_600 + 1800 * k for k in range(-4, 5)]
    return pa.table({"t": pa.array(seconds).cast(pa.timestamp("s", "Europe/Berlin"))})


def test_a_fitted_plan_has_the_tables_of_its_zones(fitted: ff.FittedPlan) -> None:
    assert fitted.record.zones == {
        name: table_for(name) for name in ("Europe/Berlin", "Asia/Tokyo")
    }
    assert fitted.select(["here"]).record.zones["Europe/Berlin"] == table_for("Europe/Berlin")


def test_a_loaded_plan_computes_with_the_zones_of_the_day_it_was_fitted(
    fitted: ff.FittedPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fitted.transform(times())
    fitted.save(tmp_path / "plan.fastfeat")

    def changed(name: str) -> ZoneTable:
        return ZoneTable((), (12 * 3600,))

    monkeypatch.setattr(zone_files, "machine_table", changed)
    loaded = ff.load(tmp_path / "plan.fastfeat")
    assert loaded.record.zones == fitted.record.zones
    for backend in ("cpu", "reference"):
        assert loaded.transform(times(), backend=backend).equals(expected)
    numbers = loaded.select(["here", "there", "late"])
    row = numbers.transform_row({"t": times()["t"][0].as_py()})
    assert list(row[:2]) == [expected["here"][0].as_py(), expected["there"][0].as_py()]
    assert loaded.verify(times()).ok
