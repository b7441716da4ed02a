"""`fastfeat verify`: compare all ways to compute a plan's features on a sample of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fastfeat.apps.cli.judged import Case, Judged, Result
from fastfeat.apps.cli.options import History, JudgedDataFile, JudgedPlanFile, LookupTables, Memory
from fastfeat.errors import counted
from fastfeat.progress import doing

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
    table: LookupTables = None,
    memory: Memory = None,
) -> Judged:
    """Check on a sample that every way to compute the features gives the same bits.

    The exit code is 1 if one differs.
    """
    from fastfeat.api.plan import load
    from fastfeat.apps.cli.plans import tables_named

    with doing("Reading the fitted plan", at_once=True) as step:
        fitted = load(fitted_file)
        step(f"Computing {counted(rows, 'row')} in several ways")
        backends = ("cpu", "reference", *(backend or ()))
        report = fitted.verify(
            data,
            history=history,
            tables=tables_named(table),
            n_rows=rows,
            backends=backends,
            memory=memory,
        )
    return Judged("checks", tuple(map(_case_of, report.checks)), str(report))


def _case_of(check: Check) -> Case:
    """Return one comparison of the verification as a case."""
    if check.skipped:
        return Case(check.name, "skipped", check.skipped)
    result: Result = "ok" if check.difference is None else "finding"
    return Case(check.name, result, check.difference or "", {"n_rows": check.n_rows})
