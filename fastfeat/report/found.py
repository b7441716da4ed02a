"""Facts of a report, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastfeat.errors import counted
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.step_costs import StepCost
from fastfeat.quality.drift import Drift
from fastfeat.quality.profile import Profile
from fastfeat.quality.report import CheckReport
from fastfeat.report.energy import Energy
from fastfeat.report.smaller import SmallerFloats


@dataclass(frozen=True, slots=True)
class Costs:
    """Times and energy of the run that computed features of the rows and counted their values.

    Args:
        steps: of the plan.
        wall_s: seconds that passed, in all.
        cpu_s: seconds of processors, of all threads.
        n_rows: how many rows there were.
        n_compiled: how many kernels were compiled meanwhile.
        energy: of the machine.
    """

    steps: Sequence[StepCost]
    wall_s: float
    cpu_s: float
    n_rows: int
    n_compiled: int
    energy: Energy


@dataclass(frozen=True, slots=True)
class Found:
    """Facts that a report shows.

    Args:
        fitted: the plan.
        then: the profile of training rows; None where the plan has none.
        now: that of the rows that were given; None without.
        drift: of these; None where there is nothing to compare.
        no_drift: why, in words.
        check: of the contract; None without rows or contract.
        costs: None without rows.
        smaller: roundings to smaller floats; None without rows.
    """

    fitted: Fitted
    then: Profile | None = None
    now: Profile | None = None
    drift: Drift | None = None
    no_drift: str = ""
    check: CheckReport | None = None
    costs: Costs | None = None
    smaller: SmallerFloats | None = None


def judged(found: Found) -> tuple[str, str]:
    """Return the level of the verdict, and the verdict in a line."""
    if found.costs is None:
        return "none", "No rows were given: this tells what the plan is, and what it was fitted on"
    said: list[str] = []
    level = "ok"
    if found.drift is not None:
        n_features, n_inputs = len(found.drift.drifted), len(found.drift.drifted_inputs)
        if n_features:
            level = "bad"
            has = "has" if n_features == 1 else "have"
            said.append(f"{counted(n_features, 'feature')} of {_n_judged(found)} {has} drifted")
        elif n_inputs:
            level = "warn"
            said.append(f"no feature has drifted, {counted(n_inputs, 'input')} did")
        else:
            said.append("no drift")
    if found.check is not None:
        levels = [result.level for result in found.check.results]
        n_broken, n_warn = levels.count("bad"), levels.count("warn")
        n_rules = len(levels)
        if n_broken:
            level = "bad"
            said.append(f"{n_broken:,} of {counted(n_rules, 'rule')} broken")
        elif n_warn:
            level = "warn" if level == "ok" else level
            said.append(f"{n_warn:,} of {counted(n_rules, 'rule')} broken, which only warn")
        else:
            said.append(f"all {counted(n_rules, 'rule')} hold")
    if not said:
        return "none", f"Nothing is compared: {found.no_drift}"
    text = "; ".join(said)
    return level, text[0].upper() + text[1:]


def _n_judged(found: Found) -> int:
    assert found.drift is not None
    return len(found.drift.features)
