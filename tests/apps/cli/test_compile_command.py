"""`fastfeat compile`: kernels made ready from a plan and the types of some data."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc
import pyarrow.parquet as pq

import fastfeat as ff
from fastfeat.engine.kernel_cache import cache_folder
from fastfeat_tests.apps.cli.small_plan import TABLE, Run


def test_a_plan_is_compiled_for_the_types_of_a_file(run: Run, folder: Path) -> None:
    with pa.ipc.new_file(folder / "data.arrow", TABLE.schema) as file:
        file.write_table(TABLE)
    pa_csv.write_csv(TABLE, folder / "data.csv")
    pq.write_table(TABLE.slice(0, 0), folder / "empty.parquet")
    for data in ("data.parquet", "data.arrow", "data.csv", "empty.parquet"):
        result = run("compile", "plan.py", "--schema", data)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.startswith(f"{cache_folder()}: ")
        assert " already in the cache, in " in result.stdout
        assert result.stdout.count("\n") == 1  # no note
        assert result.stderr == ""
    assert ": 0 kernels compiled, " in result.stdout


def test_json_and_a_fitted_plan_are_compiled_too(run: Run, folder: Path) -> None:
    assert run("fit", "plan.py", "data.parquet", "-o", "plan.fastfeat").exit_code == 0
    (folder / "plan.json").write_text(ff.load(folder / "plan.fastfeat").plan.to_json())
    assert run("compile", "plan.json", "--schema", "data.parquet").exit_code == 0
    of_fitted = run("compile", "plan.fastfeat")
    assert of_fitted.exit_code == 0
    assert ": 0 kernels compiled, " in of_fitted.stdout
    assert "note" not in of_fitted.stdout


def test_lookup_tables_are_named(run: Run, folder: Path) -> None:
    text = "import fastfeat as ff\nplan = ff.Plan({'y': ff.lookup('t', by='x').col('y')})"
    (folder / "lookup.py").write_text(text)
    pq.write_table(pa.table({"x": [1], "y": [7]}), folder / "table.parquet")
    files = ("compile", "lookup.py", "--schema", "data.parquet")
    lacking = run(*files)
    assert lacking.exit_code == 2
    assert "'t'" in lacking.stderr
    pq.write_table(pa.table({"x": [0, 1]}), folder / "data.parquet")
    assert run(*files, "--table", "t=table.parquet").exit_code == 0


def test_what_is_lacking_or_too_much_is_said(run: Run) -> None:
    unknown = run("compile", "plan.py")
    assert unknown.exit_code == 2
    assert "'--schema': an unfitted plan does not know its column types" in unknown.stderr
    assert run("fit", "plan.py", "data.parquet", "-o", "plan.fastfeat").exit_code == 0
    known = run("compile", "plan.fastfeat", "--schema", "data.parquet")
    assert known.exit_code == 2
    assert "'--schema': a fitted plan already has its column types" in known.stderr
    missing = run("compile", "plan.py", "--schema", "absent.parquet")
    assert missing.exit_code == 2
    assert "no such file: absent.parquet" in missing.stderr
    backend = run("compile", "plan.py", "--schema", "data.parquet", "--backend", "tpu")
    assert backend.exit_code == 2
    assert "no backend 'tpu'" in backend.stderr
