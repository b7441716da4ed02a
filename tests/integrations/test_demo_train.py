"""The training demo, whole, on a part of the flights."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from docs.demos import train
from docs.demos.commands import app
from fastfeat.demo.flights import read_flights

pytestmark = [pytest.mark.large, pytest.mark.filterwarnings("ignore")]
for library in ("torch", "xgboost", "lightgbm", "catboost", "mlflow"):
    pytest.importorskip(library)


def test_five_models_learn_and_are_served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from docs.demos import models

    flights = read_flights()
    some = flights.take(pa.array(range(0, flights.num_rows, 20)))
    monkeypatch.setattr(train, "read_flights", lambda: some)
    monkeypatch.setattr(train, "N_PERMUTATIONS", 2)
    monkeypatch.setattr(models, "N_TREES", 5)
    result = CliRunner().invoke(app, ["train", "--dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    for told in (*(model.name for model in models.MODELS), "no leak found", "the same bits for"):
        assert told in result.output
    assert (tmp_path / "model" / "MLmodel").is_file()
