"""Read the plan in a user's file: Python with a variable `plan`, JSON, or an artifact."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fastfeat.errors import InvalidPlan

if TYPE_CHECKING:
    from fastfeat.api.plan import FittedPlan, Plan


def read_plan(path: Path) -> Plan:
    """Return the plan in a JSON file, or the variable `plan` of a .py file, which is run.

    Raises:
        InvalidPlan: There is no such file, it defines no plan, or it fails.
        ArtifactError: The JSON is not a plan.
    """
    if path.suffix == ".py":
        return _plan_of_python(path)
    from fastfeat.api.plan import Plan

    try:
        return Plan.from_json(path.read_bytes())
    except FileNotFoundError:
        raise InvalidPlan(f"no such file: {path}") from None


def read_plan_or_fitted(path: Path) -> Plan | FittedPlan:
    """Return a plan from .py or .json, or a fitted plan from any other file."""
    return read_plan(path) if path.suffix in (".py", ".json") else read_fitted(path)


def read_fitted(path: Path) -> FittedPlan:
    """Return the fitted plan in an artifact file."""
    from fastfeat.api.plan import load

    return load(path)


def _plan_of_python(path: Path) -> Plan:
    """Run a Python file, and return its variable `plan`. It may import modules from its folder."""
    from fastfeat.api.plan import Plan

    if not path.is_file():
        raise InvalidPlan(f"no such file: {path}")
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        plan = runpy.run_path(str(path), run_name="fastfeat_plan").get("plan")
    except Exception as error:
        raise InvalidPlan(
            f"{_error_place(path, error)}: {type(error).__name__}: {error}"
        ) from error
    finally:
        del sys.path[0]
    if not isinstance(plan, Plan):
        found = "no `plan`" if plan is None else f"a `plan` of type {type(plan).__name__}"
        raise InvalidPlan(
            f"{path} defines {found}. Write plan = fastfeat.Plan({{...}}) at its top level"
        )
    return plan


def _error_place(path: Path, error: Exception) -> str:
    """Return the text "FILE, line N" for an error that the Python file raised, or FILE alone."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return str(path) if line is None else f"{path}, line {line}"


def parse_tables(options: Sequence[str] | None) -> dict[str, str]:
    """Return the file of each lookup table by name, from the options `--table NAME=FILE`."""
    tables: dict[str, str] = {}
    for option in options or ():
        name, equals, file = option.partition("=")
        if not (name and equals and file):
            raise typer.BadParameter(f"got {option!r}: write NAME=FILE", param_hint="'--table'")
        if name in tables:
            raise typer.BadParameter(f"the table {name!r} is given twice", param_hint="'--table'")
        tables[name] = file
    return tables
