"""The pages for users of other libraries: each pair gives the same values, in both libraries."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from fastfeat_tests.docs.pages import ROOT, blocks, run_blocks
from fastfeat_tests.docs.pairs import FOLDER, check, names_of, ours, pairs_of
from fastfeat_tests.patience import PATIENCE_S

SKLEARN, FEATURE_ENGINE = FOLDER / "scikit_learn.md", FOLDER / "feature_engine.md"
FEAST = Path(os.environ.get("FEAST_PYTHON") or ROOT / ".venv-feast" / "bin" / "python")
PANDAS, POLARS, SQL = FOLDER / "pandas.md", FOLDER / "polars.md", FOLDER / "sql.md"


def told(pair: tuple[str, str]) -> str:
    return pair[0]


@pytest.mark.parametrize("pair", pairs_of(PANDAS), ids=told)
def test_pandas_has_the_same_values(pair: tuple[str, str]) -> None:
    check(PANDAS, pair, eval)


@pytest.mark.filterwarnings("ignore:.*cut. is deprecated:DeprecationWarning")  # said on the page
@pytest.mark.parametrize("pair", pairs_of(POLARS), ids=told)
def test_polars_has_the_same_values(pair: tuple[str, str]) -> None:
    def values(code: str, names: dict[str, Any]) -> Any:
        found = eval(code, names)
        return names["df"].select(found).to_series() if isinstance(found, pl.Expr) else found

    check(POLARS, pair, values)


def transformed(code: tuple[str, str], names: dict[str, Any]) -> Any:
    """Return the output of a transformer, fitted on the columns that our side names."""
    inputs = [name for name in names["df"].columns if re.search(rf'"{name}"', code[1])]
    rows = names["df"][[name for name in inputs if name != "bought"]]
    made = eval(code[0], names)
    return made.fit(rows, names["df"]["bought"]).transform(rows)


@pytest.mark.filterwarnings("ignore::fastfeat.errors.EncodedInFold")  # as scikit-learn does it
@pytest.mark.parametrize("pair", pairs_of(SKLEARN), ids=told)
def test_scikit_learn_has_the_same_values(pair: tuple[str, str]) -> None:
    check(SKLEARN, pair, lambda _, names: transformed(pair, names))


@pytest.mark.large
@pytest.mark.filterwarnings("ignore")  # of a library that is behind pandas
@pytest.mark.parametrize("pair", pairs_of(FEATURE_ENGINE), ids=told)
def test_feature_engine_has_the_same_values(pair: tuple[str, str]) -> None:
    pytest.importorskip("feature_engine")
    parts = "creation datetime discretisation encoding imputation outliers timeseries.forecasting"
    parts += " transformation"
    of_library: dict[str, Any] = {}
    for part in parts.split():
        of_library |= vars(importlib.import_module(f"feature_engine.{part}"))
    names = names_of(FEATURE_ENGINE)
    n_columns = len(ours(pair[1], names))  # a transformer may return its inputs before them

    def values(code: str, names: dict[str, Any]) -> Any:
        return transformed((code, pair[1]), of_library | names).iloc[:, -n_columns:]

    check(FEATURE_ENGINE, pair, values)


@pytest.mark.filterwarnings("ignore::fastfeat.errors.EncodedInFold")
@pytest.mark.parametrize("pair", pairs_of(FEATURE_ENGINE), ids=told)
def test_our_side_of_feature_engine_runs(pair: tuple[str, str]) -> None:
    names = names_of(FEATURE_ENGINE)
    assert all(len(column) == len(names["df"]) for column in ours(pair[1], names))


@pytest.mark.parametrize("pair", pairs_of(SQL), ids=told)
def test_duckdb_has_the_same_values(pair: tuple[str, str]) -> None:
    def values(code: str, names: dict[str, Any]) -> Any:
        with duckdb.connect() as connection:
            connection.sql("set timezone = 'UTC'")
            for name in ("df", "rates", "shops"):
                connection.register(name, names[name])
            whole = code if code.startswith("select ") else f"select {code} from df order by t"
            return [row[0] for row in connection.sql(whole).fetchall()]

    check(SQL, pair, values)


@pytest.mark.large
def test_feast_joins_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not FEAST.exists():
        pytest.skip(f"there is no {FEAST}: make {FEAST.parents[1].name}/feast.installed")
    monkeypatch.chdir(tmp_path)
    page = FOLDER / "feast.md"
    names = run_blocks(page, blocks(page, "python")[:1])
    names["stats"].to_parquet("stats.parquet")
    names["orders"].to_parquet("orders.parquet")
    (theirs,) = blocks(page, "py")
    script = "import pandas as pd\n\norders = pd.read_parquet('orders.parquet')\n" + theirs
    script += "\njoined.sort_values('order').to_json('joined.json', orient='records')\n"
    Path("script.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": "", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [FEAST, "script.py"], capture_output=True, text=True, env=environment, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    joined = {row["order"]: row for row in json.loads(Path("joined.json").read_text())}
    found = {row["order"]: row for row in names["joined"].to_pylist()}
    assert set(found) - set(joined) == {4}, "the page says which row Feast drops"
    for order, row in joined.items():
        assert {name: row[name] for name in found[order]} == found[order]
