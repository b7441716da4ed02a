"""What the tests of the pages share: a small demo folder."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat.demo.plan
from fastfeat.demo.flights import read_flights, read_weather, split


@pytest.fixture
def demo_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with a hundredth of what the demo leaves in demo/."""
    flights = read_flights()
    thinned = flights.take(pa.array(range(0, flights.num_rows, 100)))
    folder = tmp_path / "demo"
    folder.mkdir()
    tables = *split(thinned), read_weather()
    for name, table in zip(("train", "test", "weather"), tables, strict=True):
        pq.write_table(table, folder / f"{name}.parquet")
    (folder / "plan.py").write_text(Path(fastfeat.demo.plan.__file__).read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path
