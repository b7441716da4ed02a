"""`fastfeat verify`: compare all ways to compute a plan's features on a sample of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fastfeat.apps.cli.gate_result import CaseResult, GateCase, GateResult
from fastfeat.apps.cli.options import (
    History,
    JudgedDataFile,
    JudgedPlanFile,
    LookupTablesOption,
    MemoryOption,
)
from fastfeat.errors import counted
from fastfeat.progress import show_progress

if TYPE_CHECKING:
    from fastfeat.trust.verify.comparison import Check


def verify(
    fitted_file: JudgedPlanFile,
    data: JudgedDataFile,
    rows: Annotated[
        int,
        typer.Option(
            min=1,
            help="Sample size: evenly spaced rows, or whole entities if the plan has windows.",
        ),
    ] = 1000,
    backend: Annotated[
        list[str] | None, typer.Option(help="A further backend to compare: gpu; may be repeated.")
    ] = None,
    history: History = None,
    table: LookupTablesOption = None,
    memory: MemoryOption = None,
) -> GateResult:
    """Check on a sample that every way to compute the features gives the same bits.

    The exit code is 1 if one differs.
    """
    from fastfeat.api.plan import load
    from fastfeat.apps.cli.plans import parse_tables

    with show_progress("Reading the fitted plan", at_once=True) as step:
        fitted = load(fitted_file)
        step(f"Computing {counted(rows, 'row')} in several ways")
        backends = ("cpu", "reference", *(backend or ()))
        report = fitted.verify(
            data,
            history=history,
            tables=parse_tables(table),
            n_rows=rows,
            backends=backends,
            memory=memory,
        )
    return GateResult("checks", tuple(map(_case_of, report.checks)), str(report))


def _case_of(check: Check) -> GateCase:
    """Return one comparison of the verification as a case."""
    if check.skipped:
        return GateCase(check.name, "skipped", check.skipped)
    result: CaseResult = "ok" if check.difference is None else "finding"
    return GateCase(check.name, result, check.difference or "", {"n_rows": check.n_rows})
