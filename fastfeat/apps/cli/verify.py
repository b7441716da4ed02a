"""`fastfeat verify`: compare all ways to compute a plan's features on a sample of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastfeat.apps.cli.command_options import VerifyOptions
from fastfeat.apps.cli.gate_result import CaseResult, GateCase, GateResult
from fastfeat.apps.cli.options import (
    JudgedDataFile,
    JudgedPlanFile,
    with_options_of,
)
from fastfeat.errors import counted
from fastfeat.progress import show_progress

if TYPE_CHECKING:
    from fastfeat.trust.verify.comparison import Check


@with_options_of(VerifyOptions)
def verify(
    fitted_file: JudgedPlanFile, data: JudgedDataFile, *, options: VerifyOptions
) -> GateResult:
    """Check on a sample that every way to compute the features gives the same bits.

    The exit code is 1 if one differs.
    """
    from fastfeat.api.plan import load
    from fastfeat.apps.cli.plans import parse_tables

    with show_progress("Reading the fitted plan", at_once=True) as step:
        fitted = load(fitted_file)
        step(f"Computing {counted(options.rows, 'row')} in several ways")
        backends = ("cpu", "reference", *(options.backend or ()))
        report = fitted.verify(
            data,
            history=options.history,
            tables=parse_tables(options.tables),
            n_rows=options.rows,
            backends=backends,
            memory=options.memory,
        )
    return GateResult("checks", tuple(map(_case_of, report.checks)), str(report))


def _case_of(check: Check) -> GateCase:
    """Return one comparison of the verification as a case."""
    if check.skipped:
        return GateCase(check.name, "skipped", check.skipped)
    result: CaseResult = "ok" if check.difference is None else "finding"
    return GateCase(check.name, result, check.difference or "", {"n_rows": check.n_rows})
