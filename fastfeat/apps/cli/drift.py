"""`fastfeat drift`: compare data with the training rows of a plan, with an exit code for CI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastfeat.apps.cli.command_options import DriftOptions
from fastfeat.apps.cli.gate_result import CaseResult, GateCase, GateResult
from fastfeat.apps.cli.options import (
    JudgedDataFile,
    JudgedPlanFile,
    with_options_of,
)
from fastfeat.progress import show_progress

if TYPE_CHECKING:
    from fastfeat.trust.quality.column_drift import ColumnDrift
    from fastfeat.trust.quality.drift import Drift


@with_options_of(DriftOptions)
def drift(
    fitted_file: JudgedPlanFile, data: JudgedDataFile, *, options: DriftOptions
) -> GateResult:
    """Compare data with the training rows. The exit code is 1 if a feature or input has drifted."""
    from fastfeat.api.plan import load
    from fastfeat.apps.cli.plans import parse_tables

    with show_progress("Reading the fitted plan", at_once=True) as step:
        fitted = load(fitted_file)
        step(f"Comparing {data}")
        found = fitted.drift(
            data,
            by=options.by or None,
            reference=options.reference,
            reference_history=options.reference_history,
            thresholds=options.thresholds,
            history=options.history,
            tables=parse_tables(options.tables),
            backend=options.backend,
            memory=options.memory,
        )
    facts = {"n_rows": found.n_now, "n_then": found.n_then, "no_features": found.no_features}
    return GateResult("columns", tuple(_cases_of(found)), str(found), facts)


def _cases_of(found: Drift, segment: str = "") -> list[GateCase]:
    """Return one case per compared column, named with the segment if there is one.

    `segment` is the value that the rows of a segment share; "" for all rows.
    """
    cases: list[GateCase] = []
    for prefix, columns in (("", found.features), ("input ", found.inputs)):
        for name, one in columns.items():
            result: CaseResult = "ok" if one.is_judged else "skipped"
            result = "finding" if one.is_drifted else result
            details = {"column": name, "is_input": bool(prefix), **figures_of(one)}
            if segment:
                details["segment"] = segment
            cases.append(
                GateCase(
                    f"{prefix}{name}{segment and f' of {segment}'}", result, one.reason, details
                )
            )
    for value, of_segment in found.segments.items():
        cases += _cases_of(of_segment, str(value))
    return cases


def figures_of(one: ColumnDrift) -> dict[str, Any]:
    """Return the drift figures of a column as a dict that JSON can represent."""
    return {
        "psi": one.psi,
        "psi_threshold": one.psi_threshold,
        "ks": one.ks,
        "wasserstein": one.wasserstein,
        "shift": one.shift,
        "shift_threshold": one.shift_threshold,
        "smallest_shift": one.smallest_shift,
        "jensen_shannon": one.jensen_shannon,
        "chi2": one.chi2._asdict(),
        "missing": one.missing,
        "missing_threshold": one.missing_threshold,
        "unseen": one.unseen,
        "unseen_threshold": one.unseen_threshold,
    }
