"""The trust demo: flights broken in eleven ways, a month that drifts, a refit, and a report.

No rule is written by hand: the contract is inferred from nine months, and the plan keeps their
profile.
"""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docs.demos.trust_plan as plan_module
from docs.demos.trust_faults import FAULTS, KEY, Fault
from fastfeat.api.diff import diff
from fastfeat.demo.flights import read_flights
from fastfeat.errors import FastfeatError, FastfeatWarning
from fastfeat.io.arrow import Table, call, options_of, pa
from fastfeat.io.sinks.write import write_table
from fastfeat.trust.quality.infer import infer_contract

if TYPE_CHECKING:
    from fastfeat.api.plan import FittedPlan
    from fastfeat.trust.quality.changes.record import Diff
    from fastfeat.trust.quality.contract import Contract
    from fastfeat.trust.quality.drift import Drift
    from fastfeat.trust.quality.report import CheckReport, RuleResult
    from fastfeat.trust.report.report import FeatureReport

LEARNT, QUIET, CHANGED = range(1, 10), 10, 12
"""Months: training months, one without problems, and one that is made to drift."""
LIMITS = {"wasserstein": 0.3, "beyond": 0.02}
"""Limits of drift in place of the defaults. A month has other delays and weekdays than the one
before it, and counts of a plane's flights grow all year; neither is a finding here.
"""
ARTIFACT, REPORT, PLAN, RULES = "trust.fastfeat", "report.html", "trust_plan.py", "rules.json"


@dataclass(frozen=True, slots=True)
class Caught:
    """The findings of a fault.

    Args:
        fault: The planted fault.
        rules: Contract rules that its flights break.
        drifted: Features that have drifted since the month before; empty if a rule forbids
            computing them.
        first: First finding: a rule, and the number of flights that break it; or a feature and the
            reason.
    """

    fault: Fault
    rules: tuple[str, ...]
    drifted: tuple[str, ...]
    first: str

    @property
    def is_found(self) -> bool:
        """Whether anything was found."""
        return bool(self.rules or self.drifted)


@dataclass(frozen=True, slots=True)
class Month:
    """A month of flights, judged.

    Args:
        n_flights: Number of flights.
        check: Result of the rules.
        drift: Drift since the month before.
    """

    n_flights: int
    check: CheckReport
    drift: Drift


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of the demo.

    Args:
        n_learnt: Number of training flights.
        n_rules: Number of inferred rules.
        n_features: Columns of the plan.
        caught: Findings of each fault.
        quiet: The month without problems.
        changed: The month in which Newark is closed.
        refitted: Changes by a fit of eleven months.
        kept: The same, with categories keeping their codes.
        report: Report of that month.
        seconds: Total time.
        folder: Folder of the files.
    """

    n_learnt: int
    n_rules: int
    n_features: int
    caught: tuple[Caught, ...]
    quiet: Month
    changed: Month
    refitted: Diff
    kept: Diff
    report: FeatureReport
    seconds: float
    folder: Path

    @property
    def n_found(self) -> int:
        """The number of faults that were found."""
        return sum(one.is_found for one in self.caught)

    @property
    def ok(self) -> bool:
        """Whether every fault was found, and nothing in the month without problems."""
        return self.n_found == len(self.caught) and self.quiet.check.ok and self.quiet.drift.ok


def run(folder: Path, step: Callable[[str], None], *, every: int = 1) -> Outcome:
    """Run the demo and leave its files in a folder.

    Args:
        folder: Created if missing; files of an earlier run are replaced.
        step: Function that receives a line about each step.
        every: Use only every `every`-th flight, for a short run.

    Raises:
        FastfeatError: The flights are not installed, or the folder cannot be written.
    """
    started, plan = time.perf_counter(), plan_module.plan
    step("Reading the flights of a year")
    flights = read_flights()
    if every > 1:
        flights = flights.take(pa.array(range(0, flights.num_rows, every)))
    months = {
        month: _months(flights, [month]) for month in (QUIET - 1, QUIET, CHANGED - 1, CHANGED)
    }
    months[CHANGED] = without_newark(months[CHANGED])
    learnt = _months(flights, LEARNT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        step(f"Inferring rules from {learnt.num_rows:,} flights, and fitting the plan")
        contract = infer_contract(learnt, key=list(KEY))
        fitted = plan.fit(learnt, contract=contract, profile=True)
        _write(folder, fitted, contract, months)
        quiet = _judged(fitted, months[QUIET], months[QUIET - 1])
        caught: list[Caught] = []
        for number, fault in enumerate(FAULTS, 1):
            step(f"Breaking October, {number} of {len(FAULTS)}: {fault.told}")
            caught.append(_caught(fitted, fault, months[QUIET], months[QUIET - 1]))
        step("Closing Newark in December")
        changed = _judged(fitted, months[CHANGED], months[CHANGED - 1])
        step("Fitting eleven months, and comparing")
        more = _months(flights, range(1, CHANGED))
        anew = plan.fit(more, contract=contract, profile=True)
        refitted = diff(fitted, anew, data=months[CHANGED])
        kept = diff(fitted, fitted.refit(more), data=months[CHANGED])
        step("Writing the report")
        report = fitted.report(
            months[CHANGED], folder / REPORT, title="Flights of December, without Newark"
        )
    return Outcome(
        n_learnt=learnt.num_rows,
        n_rules=len(contract.rules) + len(contract.types),
        n_features=len(fitted.feature_names),
        caught=tuple(caught),
        quiet=quiet,
        changed=changed,
        refitted=refitted,
        kept=kept,
        report=report,
        seconds=time.perf_counter() - started,
        folder=folder,
    )


def without_newark(flights: Table) -> Table:
    """Return flights of a month in which Newark closes on the 10th: all then leave from LaGuardia.

    The data is correct, so no rule can detect it, but the training data no longer represents it.
    """
    of_newark = call("equal", flights["origin"], "EWR")
    is_moved = call("and", of_newark, call("greater_equal", flights["day"], 10))
    origin = call("if_else", is_moved, "LGA", flights["origin"])
    return flights.set_column(flights.schema.get_field_index("origin"), "origin", origin)


def _months(flights: Table, months: Sequence[int]) -> Table:
    among = options_of("SetLookupOptions", value_set=pa.array(months, pa.int64()))
    return flights.filter(call("is_in", flights["month"], options=among))


def _judged(fitted: FittedPlan, flights: Table, before: Table) -> Month:
    drift = fitted.drift(flights, reference=before, thresholds=LIMITS)
    return Month(flights.num_rows, fitted.check(flights), drift)


def _caught(fitted: FittedPlan, fault: Fault, flights: Table, before: Table) -> Caught:
    """Return the findings of a fault that is planted in a month."""
    flights = fault.plant(flights)
    report = fitted.check(flights)
    try:
        drift = fitted.drift(flights, reference=before, thresholds=LIMITS)
    except FastfeatError:  # a column is missing, or has another type
        drift = None
    drifted = () if drift is None else tuple(drift.drifted)
    first = ""
    if fault.found_by in report.broken:
        first = _said(report[fault.found_by])
    elif drift is not None and drifted:
        first = f"{drifted[0]}: {drift[drifted[0]].reason}"
    return Caught(fault, tuple(report.broken), drifted, first)


def _said(result: RuleResult) -> str:
    """Return the finding of a rule: its name, and the number of flights that break it, if any."""
    if result.of_table or result.outcome == "undecided":
        return result.name
    return f"{result.name}, {result.n_broken:,}"


def _write(folder: Path, fitted: FittedPlan, contract: Contract, months: dict[int, Table]) -> None:
    """Write the plan as source, the fitted plan, its rules, and the judged months."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(plan_module.__file__), folder / PLAN)
        (folder / RULES).write_text(contract.to_json(), "utf-8")
    except OSError as error:
        raise FastfeatError(f"cannot write {folder}: {error.strerror}") from error
    for name, month in (("october", QUIET), ("december", CHANGED)):
        write_table(months[month], folder / f"{name}.parquet")
    fitted.save(folder / ARTIFACT)
