"""The page of Dask is true: on two workers its code gives what one machine does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fastfeat.keep.artifact import artifact_bytes
from fastfeat_tests.docs.pages import ROOT, blocks, run_blocks

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("ignore")]  # Dask's own
pytest.importorskip("dask.dataframe")
PAGE = ROOT / "docs" / "dask.md"
N_ROWS = 2_000


def flights(seed: int) -> pd.DataFrame:
    """Return rows with the columns that the page reads."""
    rng = np.random.default_rng(seed)
    delay = np.where(rng.random(N_ROWS) < 0.1, np.nan, rng.normal(10, 30, N_ROWS).round())
    return pd.DataFrame(
        {
            "distance": rng.integers(100, 3_000, N_ROWS),
            "dep_delay": delay,
            "arr_delay": delay + rng.normal(0, 10, N_ROWS).round(),
            "carrier": rng.choice(["AA", "B6", "UA"], N_ROWS),
            "dest": rng.choice([f"d{k}" for k in range(20)], N_ROWS),
        }
    )


@pytest.mark.smoke
def test_the_code_of_the_page_gives_what_one_machine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    rows, later = flights(seed=1), flights(seed=2)
    rows.to_parquet(tmp_path / "demo" / "train.parquet", row_group_size=300)
    later.to_parquet(tmp_path / "demo" / "test.parquet")
    monkeypatch.chdir(tmp_path)
    names = run_blocks(PAGE, blocks(PAGE, "py"))
    expected, features = names["plan"].fit_transform(rows, to="pandas")
    assert artifact_bytes(names["fitted"].record) == artifact_bytes(expected.record)
    found = names["training"].compute().reset_index(drop=True)
    names["client"].close()
    pd.testing.assert_frame_equal(found, features, check_exact=True)
    found = pd.read_parquet("dask_features").reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected.transform(later, to="pandas"), check_exact=True)
