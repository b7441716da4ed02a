"""`fastfeat inspect`: list the parts of an artifact, and the values of single rows in them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from fastfeat.apps.cli.command_options import InspectOptions
from fastfeat.apps.cli.gate_result import CaseResult, GateCase, GateResult
from fastfeat.apps.cli.options import JudgedPlanFile, with_options_of
from fastfeat.progress import show_progress

if TYPE_CHECKING:
    from fastfeat.trust.quality.inspection import PartReport


@with_options_of(InspectOptions)
def inspect(fitted_file: JudgedPlanFile, *, options: InspectOptions) -> GateResult:
    """List the parts of a fitted plan, their sizes, and values of single rows in them."""
    from fastfeat.trust.quality.golden.golden_rows import checked_artifact
    from fastfeat.trust.quality.inspection import inspect as inspected

    with show_progress("Reading the fitted plan", at_once=True) as step:
        found = inspected(fitted_file, few=options.few)
        if options.golden:
            step("Computing the golden rows")
            checked_artifact(fitted_file)
    facts = {
        "format": found.format,
        "fastfeat": found.written_by,
        "n_bytes": found.n_bytes,
        "n_rows": found.n_rows,
        "holds_rows": found.holds_rows,
    }
    held: CaseResult = "finding" if options.strict else "warning"
    return GateResult(
        "parts", tuple(_case_of(part, held) for part in found.parts), str(found), facts
    )


def _case_of(part: PartReport, held: CaseResult) -> GateCase:
    """Return a part of the artifact as a case with this result."""
    details = {
        "n_bytes": part.n_bytes,
        "says": part.says,
        "holds_rows": part.holds_rows,
        "held": [asdict(of) for of in part.held],
        "notes": list(part.notes),
    }
    told = "; ".join(f"{of.of}: {of.told}" for of in part.held)
    return GateCase(part.name, held if part.holds_rows else "ok", told, details)
