"""Files for schedulers: they compile, and at night each runs in an environment of its library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.docs.pages import ROOT
from fastfeat_tests.patience import PATIENCE_S

JOBS = ROOT / "docs" / "jobs"
OF_DAGSTER = """
import json, sys
sys.path.insert(0, {folder!r})
import dagster, dagster_assets as jobs
done = dagster.materialize([jobs.features, jobs.nothing_has_drifted])
checks = [check.passed for check in done.get_asset_check_evaluations()]
print(json.dumps([done.success, *checks]))
"""
OF_AIRFLOW = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({file!r})
print(json.dumps([bag.import_errors, {{name: dag.task_ids for name, dag in bag.dags.items()}}]))
"""
Run = Callable[..., str]


@pytest.mark.parametrize("file", sorted(JOBS.glob("*.py")), ids=lambda file: file.stem)
def test_the_files_of_schedulers_compile(file: Path) -> None:
    code = compile(file.read_text("utf-8"), file.name, "exec")
    assert "PLAN" in code.co_names or "model" in code.co_names
    assert f"[{file.name}](jobs/{file.name})" in (ROOT / "docs" / "apps.md").read_text("utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with rows and a fitted plan."""
    monkeypatch.chdir(tmp_path)
    rows = pa.table({"flight": range(3000), "delay": [float(k % 90) for k in range(3000)]})
    pq.write_table(rows, "rows.parquet")
    plan = ff.Plan({"scaled": col("delay").standard_scale()}, keep=["flight"])
    plan.fit(rows, profile=True).save("flights.fastfeat")
    return tmp_path


@pytest.fixture
def installed(project: Path) -> Callable[..., Run]:
    """Return a function that installs packages beside fastfeat, and returns a way to run them."""

    def install(*packages: str) -> Run:
        bin_of = project / "environment" / "bin"
        venv.create(project / "environment", with_pip=True)
        paths = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
        environment = os.environ | {"AIRFLOW_HOME": str(project), "PYTHONPATH": paths}

        def run(program: str, *arguments: str) -> str:
            done = subprocess.run(
                [bin_of / program, *arguments],
                cwd=project,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        run("python", "-m", "pip", "install", "--quiet", "numba", "pyarrow", *packages)
        return run

    return install


@pytest.mark.slow
def test_airflow_loads_the_graph(installed: Callable[..., Run]) -> None:
    run = installed("apache-airflow>=3")
    out = run("python", "-c", OF_AIRFLOW.format(file=str(JOBS / "airflow_dag.py")))
    assert json.loads(out.splitlines()[-1]) == [{}, {"features": ["check", "transform", "drift"]}]


@pytest.mark.slow
def test_dagster_makes_the_features(installed: Callable[..., Run]) -> None:
    run = installed("dagster")
    out = run("python", "-c", OF_DAGSTER.format(folder=str(JOBS)))
    assert json.loads(out.splitlines()[-1]) == [True, True]
    assert pq.read_table("features.parquet").column_names == ["scaled", "flight"]


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="dbt 1.11 has no build for it")
def test_dbt_makes_the_features(installed: Callable[..., Run], project: Path) -> None:
    import duckdb

    run = installed("dbt-core<1.12", "dbt-duckdb")
    (project / "models").mkdir()
    shutil.copy(JOBS / "dbt_model.py", project / "models" / "features.py")
    (project / "models" / "flights.sql").write_text("select * from 'rows.parquet'")
    (project / "dbt_project.yml").write_text("name: flights\nprofile: flights\n")
    output = "{type: duckdb, path: flights.duckdb}"
    (project / "profiles.yml").write_text(
        f"flights: {{target: here, outputs: {{here: {output}}}}}\n"
    )
    run("dbt", "run", "--profiles-dir", ".")
    with duckdb.connect("flights.duckdb") as connection:
        found = connection.sql("select scaled from features order by flight").fetchall()
    expected = ff.load("flights.fastfeat").transform("rows.parquet")["scaled"].to_pylist()
    assert [row[0] for row in found] == expected
