"""The facts that a report shows, and the verdict on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastfeat_kernels.records import dataclass

from fastfeat.errors import counted
from fastfeat.execute.fitted import Fitted
from fastfeat.trust.quality.drift import Drift
from fastfeat.trust.quality.profile import Profile
from fastfeat.trust.quality.report import CheckReport
from fastfeat.trust.report.energy import Energy
from fastfeat.trust.report.smaller_floats import SmallerFloats

if TYPE_CHECKING:
    from fastfeat.execute.step_costs import StepCost


@dataclass(frozen=True, slots=True)
class Costs:
    """Times and energy of the run over the given rows, which computed and counted the features.

    Args:
        steps: Cost of each step of the plan.
        wall_s: Elapsed seconds, without preparation of kernels.
        cpu_s: Processor seconds of all threads, without preparation of kernels.
        n_rows: Number of rows.
        n_compiled: Number of kernels compiled during the run.
        energy: Energy of the machine.
    """

    steps: Sequence[StepCost]
    wall_s: float
    cpu_s: float
    n_rows: int
    n_compiled: int
    energy: Energy


@dataclass(frozen=True, slots=True)
class ReportData:
    """The facts that a report shows.

    Args:
        fitted: The plan.
        then: Training profile; None if the plan has none.
        now: Profile of the given rows; None without rows.
        drift: Drift of the given rows; None if they are not compared.
        no_drift: Why nothing, or no feature, is compared; "" if everything is.
        check: Result of the contract; None without rows or contract.
        costs: Costs of the run; None without rows.
        smaller: Rounding errors of the features in smaller float types; None without rows.
    """

    fitted: Fitted
    then: Profile | None = None
    now: Profile | None = None
    drift: Drift | None = None
    no_drift: str = ""
    check: CheckReport | None = None
    costs: Costs | None = None
    smaller: SmallerFloats | None = None


LEVELS = ("none", "ok", "warn", "bad")
ReportVerdict = tuple[str, str]
"""A level, and the finding in words."""


def verdict_of(found: ReportData) -> ReportVerdict:
    """Return the level ("ok", "bad", ...), and the verdict as one line of text."""
    if found.costs is None:
        return "none", "No rows to compare: this report covers only the plan and its training rows"
    said = [
        *([] if found.drift is None else [_of_drift(found.drift)]),
        *([] if found.check is None else [_of_rules(found.check)]),
    ]
    if not said:
        return "none", f"Nothing was compared: {found.no_drift}"
    level = max((level for level, _ in said), key=LEVELS.index)
    text = "; ".join(told for _, told in said)
    if found.drift is None:
        text += f"; drift was not judged: {found.no_drift}"
    return level, text[0].upper() + text[1:]


def _of_drift(drift: Drift) -> ReportVerdict:
    n_features, n_inputs = len(drift.drifted), len(drift.drifted_inputs)
    if not drift.n_now:
        return "ok", "there are no rows to compare"
    if n_features:
        has = "has" if n_features == 1 else "have"
        told = f"{n_features:,} of {counted(len(drift.features), 'feature')} {has} drifted"
        return "bad", told
    if n_inputs:
        has = "has" if n_inputs == 1 else "have"
        inputs = f"{n_inputs:,} of {counted(len(drift.inputs), 'input')} {has}"
        return "warn", f"no feature has drifted, but {inputs}" if drift.features else (
            f"{inputs} drifted; features were not compared"
        )
    if not drift.features:
        return "ok", "no input has drifted; features were not compared"
    return "ok", "no drift"


def _of_rules(check: CheckReport) -> ReportVerdict:
    levels = [result.level for result in check.results]
    n_broken, n_warn, n_held = (levels.count(level) for level in ("bad", "warn", "ok"))
    of_all = f"of {counted(len(levels), 'rule')} broken"
    if n_broken:
        return "bad", f"{n_broken:,} {of_all}"
    if n_warn:
        return "warn", f"{n_warn:,} {of_all} (warnings only)"
    if n_held == len(levels):
        return "ok", "the rule holds" if n_held == 1 else f"all {n_held:,} rules hold"
    return "ok", f"{n_held:,} of {counted(len(levels), 'rule')} hold; the others were not judged"
