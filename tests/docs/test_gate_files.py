"""Files of gates that people copy: a workflow whose steps run, hooks that pre-commit runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.cli.commands import GATES
from fastfeat.trust.quality.thresholds import SECTIONS, thresholds
from fastfeat_tests.docs.pages import ROOT
from fastfeat_tests.patience import PATIENCE_S

FOLDER = ROOT / "docs" / "gates"
GIT = shutil.which("git")
pytestmark = pytest.mark.skipif(GIT is None, reason="git is not installed")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository of a plan with the files of gates, and `fastfeat` in its `bin/`."""
    folder = tmp_path_factory.mktemp("gates") / "project"
    (folder / "data").mkdir(parents=True)
    (folder / ".gitignore").write_text("reports/\nbin/\nbefore.fastfeat\n")
    rows = pa.table({"dep_delay": [float(k % 90) for k in range(3000)]})
    contract = ff.Contract({"dep_delay: range": col("dep_delay") < 1000})
    (folder / "contract.json").write_text(contract.to_json())
    plan = ff.Plan({"delay": col("dep_delay").standard_scale()})
    plan.fit(rows, profile=True).save(folder / "flights.fastfeat")
    for name in ("new", "sample"):
        pq.write_table(rows, folder / "data" / f"{name}.parquet")
    shutil.copy(FOLDER / "gates.toml", folder)
    shutil.copy(FOLDER / "pre-commit-config.yaml", folder / ".pre-commit-config.yaml")
    (folder / "bin").mkdir()
    program = folder / "bin" / "fastfeat"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fastfeat "$@"\n')
    program.chmod(0o755)
    run(folder, "git init -q -b main && git add . && git commit -qm one")
    run(
        folder, "git clone -q --bare . ../origin && git remote add origin ../origin && git fetch -q"
    )
    return folder


def run(folder: Path, line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Return how a line of bash ended in a folder, as a step of a workflow runs."""
    home = folder.parent
    programs = (str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])
    set_here = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "PATH": os.pathsep.join(programs),
        "PRE_COMMIT_HOME": str(home / "pre-commit"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")]),
    }
    for who in ("AUTHOR", "COMMITTER"):
        set_here |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@b.c"}
    without = {name: of for name, of in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", line],
        cwd=folder,
        env={**without, **set_here, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def workflow() -> dict[Any, Any]:
    return yaml.safe_load((FOLDER / "workflow.yml").read_text())


def steps(found: dict[Any, Any]) -> list[dict[str, Any]]:
    (job,) = found["jobs"].values()
    return job["steps"]


def test_the_workflow_is_one_that_actions_take() -> None:
    found = workflow()
    assert set(found) == {"name", True, "env", "jobs"}  # YAML 1.1 reads the key `on` as true
    assert set(found[True]) == {"pull_request", "schedule"}
    for step in steps(found):
        assert set(step) <= {"name", "if", "run", "uses", "with"}
        assert ("run" in step) != ("uses" in step)
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/a@v1"))


def test_every_step_of_the_workflow_ends_with_0(project: Path) -> None:
    env = workflow()["env"]
    ran: list[str] = []
    for step in steps(workflow()):
        if step.get("name") == "Install":
            assert step["run"] == "pip install 'fastfeat[cli]'"
        elif "run" in step:
            done = run(project, step["run"], **env)
            assert done.returncode == 0, done.stdout + done.stderr
            ran += re.findall(r"^ *fastfeat (\w+)", step["run"], re.MULTILINE)
    written = {path.stem for path in (project / "reports").glob("*.xml")}
    assert written == set(ran)
    assert set(ran) == set(GATES) - {"replay", "certify"}  # these need a state, and an export


def test_the_first_fitted_plan_has_none_that_it_is_compared_with(
    project: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    shutil.copytree(project, first, ignore=shutil.ignore_patterns(".git", "reports", "*.xml"))
    run(first, "git init -q -b main && git add . && git rm -q --cached flights.fastfeat")
    (diffs,) = (of["run"] for of in steps(workflow()) if "fastfeat diff" in of.get("run", ""))
    hook = f"{sys.executable} -m pre_commit run fastfeat-diff --files flights.fastfeat"
    for commit in ("true", "git commit -qm one"):
        run(first, commit)
        done = run(first, f"git add flights.fastfeat && {hook}; git reset -q flights.fastfeat")
        assert "Passed" in done.stdout, done.stdout + done.stderr
    run(first, "git clone -q --bare . ../empty && git remote add origin ../empty")
    done = run(first, diffs, **workflow()["env"])
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_hooks_of_pre_commit_let_good_rows_in_and_stop_others(project: Path) -> None:
    every = run(project, f"{sys.executable} -m pre_commit run --all-files")
    assert every.returncode == 0, every.stdout + every.stderr
    n_hooks = every.stdout.count("Passed")
    assert n_hooks == (FOLDER / "pre-commit-config.yaml").read_text().count("- id: ")
    sample = project / "data" / "sample.parquet"
    good = sample.read_bytes()
    pq.write_table(pa.table({"dep_delay": [5000.0] * 10}), sample)
    committed = f"{sys.executable} -m pre_commit install && git add . && git commit -qm two"
    stopped = run(project, committed, SKIP="fastfeat-verify")
    assert stopped.returncode == 1
    told = stopped.stdout + stopped.stderr
    assert re.search("FAIL 'dep_delay: range': dep_delay is .*; 10 of 10 rows break it", told)
    run(project, "git reset -q --hard")
    assert sample.read_bytes() == good
    ff.Plan({"other": col("dep_delay") + 1}).fit(sample).save(project / "flights.fastfeat")
    stopped = run(project, "git commit -qam two", SKIP="fastfeat-verify")
    assert stopped.returncode == 1
    assert "delay" in stopped.stdout + stopped.stderr
    run(project, "git reset -q --hard && rm .git/hooks/pre-commit")


def test_the_file_of_thresholds_is_taken_by_every_gate() -> None:
    for section in SECTIONS:
        limits = thresholds(FOLDER / "gates.toml", section)
        assert limits.values or limits.named or section not in (FOLDER / "gates.toml").read_text()
