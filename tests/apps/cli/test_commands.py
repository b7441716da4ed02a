"""Commands that go well: what they write is what the library gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.gpu.compile import cache as modules
from fastfeat.tell.explain import TYPED, UNTYPED
from fastfeat.trust.verify.comparison import Check, VerifyReport
from fastfeat_tests.apps.cli.small_plan import TABLE, Run


def read(path: Path) -> pa.Table:
    match path.suffix:
        case ".parquet":
            return pq.read_table(path)
        case ".arrow":
            return pa.ipc.open_file(path).read_all()
        case _:
            return pa_csv.read_csv(path)


@pytest.fixture
def fitted_file(run: Run, folder: Path) -> Path:
    result = run("fit", "plan.py", "data.parquet", "-o", "plan.fastfeat")
    assert result.exit_code == 0, result.stderr
    return folder / "plan.fastfeat"


def test_fit_reports_what_it_did(run: Run) -> None:
    result = run("fit", "plan.py", "data.parquet", "-o", "plan.fastfeat")
    assert result.stdout.startswith("plan.fastfeat: 3 features, fitted on 100 rows in ")
    assert result.stderr == ""


def test_fit_of_json_equals_fit_of_python(run: Run, folder: Path, fitted_file: Path) -> None:
    (folder / "plan.json").write_text(ff.load(fitted_file).plan.to_json())
    assert run("fit", "plan.json", "data.parquet", "-o", "json.fastfeat").exit_code == 0
    assert (folder / "json.fastfeat").read_bytes() == fitted_file.read_bytes()


def test_fit_writes_the_features_of_its_rows_out_of_fold(run: Run, folder: Path) -> None:
    plan = ff.Plan({"kind": col("k").target_encode("x", folds=2)}, outcomes=["x"])
    (folder / "encoded.json").write_text(plan.to_json())
    named = ("fit", "encoded.json", "data.parquet", "-o", "encoded.fastfeat", "--features")
    assert run(*named, "training.parquet").exit_code == 0
    fitted, wanted = plan.fit_transform(pq.read_table(folder / "data.parquet"))
    assert read(folder / "training.parquet").equals(wanted)
    assert ff.load(folder / "encoded.fastfeat").learnt() == fitted.learnt()
    refused = run(*named, "more.parquet", "--backend", "reference")
    assert refused.exit_code == 2
    assert "only the CPU writes features" in refused.stderr


def test_fit_within_memory_equals_fit(run: Run, folder: Path, fitted_file: Path) -> None:
    args = ("fit", "plan.py", "data.par*", "--memory", "64GiB", "-o", "within.fastfeat")
    assert run(*args).exit_code == 0
    assert (folder / "within.fastfeat").read_bytes() == fitted_file.read_bytes()
    few = run("fit", "plan.py", "data.parquet", "--memory", "1MiB", "-o", "few.fastfeat")
    assert few.exit_code == 2
    assert "Give --memory" in few.stderr


def test_plan_file_imports_its_neighbours(run: Run, folder: Path) -> None:
    (folder / "plans").mkdir()
    (folder / "plans" / "shared_columns.py").write_text("NAME = 'x'\n")
    text = "from shared_columns import NAME\nfrom fastfeat import *\nplan = Plan({'y': col(NAME)})"
    (folder / "plans" / "plan.py").write_text(text)
    assert run("fit", "plans/plan.py", "data.parquet", "-o", "out.fastfeat").exit_code == 0


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", ["out.parquet", "out.arrow"])
def test_transform_writes_what_the_library_computes(
    run: Run, folder: Path, fitted_file: Path, name: str, backend: str
) -> None:
    args = ("transform", fitted_file.name, "data.parquet", "-o", name, "--backend", backend)
    result = run(*args)
    assert result.stdout.startswith(f"{name}: 4 columns, 100 rows in ")
    assert read(folder / name).equals(ff.load(fitted_file).transform(TABLE))


def test_transform_reads_and_writes_csv(run: Run, folder: Path, fitted_file: Path) -> None:
    pa_csv.write_csv(TABLE, folder / "data.csv")
    assert run("transform", fitted_file.name, "data.csv", "-o", "out.csv").exit_code == 0
    written, expected = read(folder / "out.csv"), ff.load(fitted_file).transform(TABLE)
    assert written.column_names == ["size", "is_big", "kind", "id"]
    for name in ("is_big", "kind", "id"):
        assert written[name].to_pylist() == expected[name].to_pylist()


def test_explain_shows_a_fitted_plan_at_each_stage(run: Run, fitted_file: Path) -> None:
    fitted = ff.load(fitted_file)
    for stage in ("plan", "bound", "optimized", "physical", "cpu", "cuda", "leakage", "live"):
        assert (
            run("explain", fitted_file.name, "--stage", stage).stdout
            == fitted.explain(stage) + "\n"
        )


def test_explain_takes_no_types_for_a_fitted_plan(run: Run, fitted_file: Path) -> None:
    result = run("explain", fitted_file.name, "--data", "data.parquet")
    assert result.exit_code == 2
    assert "'--data': a fitted plan already has its column types" in result.stderr
    passes = ("explain", fitted_file.name, "--stage", "passes")
    assert "needs an unfitted plan: give PLAN.py" in run(*passes, "--data", "data.parquet").stderr
    assert "Use explain PLAN.py --stage passes --data FILES" in run(*passes).stderr


def test_explain_shows_a_plan_that_is_not_fitted(run: Run, folder: Path, fitted_file: Path) -> None:
    plan = ff.load(fitted_file).plan
    assert run("explain", "plan.py").stdout == plan.explain() + "\n"
    bound = run("explain", "plan.py", "--stage", "bound", "--data", "data.parquet").stdout
    assert bound == plan.explain("bound", schema=TABLE.schema) + "\n"


def test_explain_reads_types_of_a_pattern_and_of_tables(run: Run, folder: Path) -> None:
    text = """
import fastfeat as ff
plan = ff.Plan({"d": ff.col("x") - ff.lookup("means", by="k").col("mean")})
"""
    (folder / "looking.py").write_text(text)
    means = pa.table({"k": ["a"], "mean": [1.0]})
    pq.write_table(means, folder / "means.parquet")
    plan = ff.Plan({"d": ff.col("x") - ff.lookup("means", by="k").col("mean")})
    expected = plan.explain("schedule", schema=TABLE.schema, tables={"means": means})
    for option in ("--data", "--schema"):
        stage = ("--stage", "schedule", option, "data*.parquet", "--table", "means=means.parquet")
        assert run("explain", "looking.py", *stage).stdout == expected + "\n"


def test_explain_names_each_stage(run: Run) -> None:
    shown = run("explain", "--help").stdout
    assert all(stage in shown for stage in (*TYPED, *UNTYPED))


def test_verify_reports_and_exits_with_zero(run: Run, fitted_file: Path) -> None:
    result = run("verify", fitted_file.name, "data.parquet", "--rows", "20")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{ff.load(fitted_file).verify(TABLE, n_rows=20)}\n"


def test_verify_exits_with_one_where_bits_differ(
    run: Run, fitted_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    differs = VerifyReport((Check("chunks", 20, "'size', row 3"),))
    monkeypatch.setattr(ff.FittedPlan, "verify", lambda *args, **options: differs)
    result = run("verify", fitted_file.name, "data.parquet")
    assert result.exit_code == 1
    assert result.stdout == f"{differs}\n"


def test_version_names_what_results_depend_on(run: Run) -> None:
    names = [line.split()[0] for line in run("version").stdout.splitlines()]
    assert names == ["fastfeat", "numba", "llvmlite", "numpy", "pyarrow", "python"]


def test_cache_clear_leaves_what_is_not_ours(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(folder / "kept"))
    assert run("cache", "info").stdout == f"{folder / 'kept'}: 0 kernels, 0.0 MiB\n"
    # A plan that no other test uses: what this process has loaded is not written again.
    table = {"x": [1.0, 2.0]}
    ff.Plan({"y": col("x") * 12.5 + 3.25}).fit(table).transform(table)
    key = "0123456789" * 4
    others = ["mine.py", "notes.partial", f"{key}.txt", f"{key}1.kernel", "module.so", f"{key}.so"]
    for name in others:
        (folder / "kept" / name).write_text("")
    (folder / "kept" / f"{key}.kernel").mkdir()
    assert " 0 kernels" not in run("cache", "info").stdout
    assert run("cache", "clear").stdout.startswith("removed ")
    left = {path.name for path in (folder / "kept").iterdir()}
    assert left == {*others, f"{key}.kernel"}
    assert " 0 kernels" in run("cache", "info").stdout


def test_cache_counts_and_clears_all_that_it_holds(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(folder / "all"))
    module = modules.cached_file(modules.key_of("text"), ".so", lambda: bytes(3 << 20))

    def killed(*paths: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        patched.setattr(os, "replace", killed)
        with pytest.raises(SystemExit):
            modules.cached_file(modules.key_of("other text"), ".cubin", lambda: bytes(2 << 20))
    assert len(list((folder / "all").iterdir())) == 3
    assert module.parent == folder / "all"
    assert run("cache", "info").stdout == f"{folder / 'all'}: 1 kernel, 5.0 MiB\n"
    assert run("cache", "clear").stdout == "removed 3 files\n"
    assert list((folder / "all").iterdir()) == []


def test_lookup_tables_are_named(run: Run, folder: Path) -> None:
    text = "import fastfeat as ff\nplan = ff.Plan({'y': ff.lookup('t', by='x').col('y')})"
    (folder / "lookup.py").write_text(text)
    pq.write_table(pa.table({"x": [0, 1]}), folder / "rows.parquet")
    pq.write_table(pa.table({"x": [1], "y": [7]}), folder / "table.parquet")
    option = ("--table", "t=table.parquet")
    assert run("fit", "lookup.py", "rows.parquet", "-o", "p.fastfeat", *option).exit_code == 0
    files = "p.fastfeat", "rows.parquet"
    assert run("transform", *files, "-o", "out.parquet", *option).exit_code == 0
    assert read(folder / "out.parquet").to_pydict() == {"y": [None, 7]}
    assert run("verify", *files, *option).exit_code == 0
    refused = run("verify", *files, "--table", "table.parquet")
    assert refused.exit_code == 2
    assert "NAME=FILE" in refused.stderr


@pytest.mark.parametrize(("args", "code"), [(["version"], 0), (["fitt"], 2)])
def test_the_package_runs_as_the_command(run: Run, args: list[str], code: int) -> None:
    command = [sys.executable, "-m", "fastfeat", *args]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    expected = run(*args)
    assert result.returncode == expected.exit_code == code
    assert result.stdout == expected.stdout
    assert result.stderr.splitlines()[:1] == expected.stderr.splitlines()[:1]
