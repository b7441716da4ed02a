"""`FeatureReport`: one page on a fitted plan, with later rows compared to training."""

from __future__ import annotations

import os
from dataclasses import field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat.calls.completion import with_completion
from fastfeat.engine.kernel_cache import observe_kernels
from fastfeat.errors import counted
from fastfeat.execute import step_costs
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import as_rereadable
from fastfeat.io.arrow import Table
from fastfeat.io.sinks import atomic
from fastfeat.progress import ProgressStep, show_progress
from fastfeat.trust.quality.checking import check_rows
from fastfeat.trust.quality.drift import Drift, compare_profiles
from fastfeat.trust.quality.later_rows import NO_PROFILE, each_piece, known_profile
from fastfeat.trust.quality.profile import ColumnProfile, Profile, profile_of_columns
from fastfeat.trust.quality.profiling import profile_face
from fastfeat.trust.quality.report import CheckReport
from fastfeat.trust.quality.row_drift import limits_of
from fastfeat.trust.quality.table_profiles import counted_tables
from fastfeat.trust.quality.thresholds import GateThresholds
from fastfeat.trust.report.columns import features_section, inputs_section
from fastfeat.trust.report.energy import energy_meter
from fastfeat.trust.report.page import page
from fastfeat.trust.report.report_data import Costs, ReportData, verdict_of
from fastfeat.trust.report.sections import contract_section, costs_section, head, plan_section
from fastfeat.trust.report.smaller_floats import smaller_floats, smaller_section

if TYPE_CHECKING:
    from fastfeat.execute.step_costs import StepCost


@with_completion("verdict", "level", "html", "path", "drift", "check", "steps")
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class FeatureReport:
    """The report on a fitted plan, and on later rows if given; notebooks show its page.

    Args:
        level: One of four words: "ok" if nothing has drifted and no rule is broken; "warn" if only
            inputs have drifted, or only rules that warn are broken; "bad" if features have drifted,
            or other rules are broken or undecided; "none" without rows, or if nothing could be
            compared.
        verdict: The level and its reasons, as one line of text.
        html: The page.
        path: File with the page; None if none was written.
        drift: Drift of the rows; None if they are not compared.
        check: Result of the plan's contract on the rows; None without contract or rows.
        steps: Measured cost of each step; empty without rows.
    """

    level: str
    verdict: str
    html: str = field(repr=False)
    path: Path | None = None
    drift: Drift | None = None
    check: CheckReport | None = None
    steps: tuple[StepCost, ...] = ()

    def __repr__(self) -> str:
        """Return the verdict, and the file with the page."""
        where = (
            "" if self.path is None else f"\n{self.path}: {counted(len(self.html), 'character')}"
        )
        return f"{self.verdict}{where}"

    def _repr_html_(self) -> str:
        """Return the page in its own frame, for notebooks."""
        return (
            '<iframe sandbox="" style="width:100%;height:70vh;border:1px solid #8884" '
            f'srcdoc="{escape(self.html)}"></iframe>'
        )


def report(
    fitted: Fitted,
    rows: CallRows,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    clock: Any = None,
    thresholds: Any = None,
) -> FeatureReport:
    """Return the report on a fitted plan; arguments and errors match `FittedPlan.report`."""
    limits = limits_of(thresholds)
    with show_progress("making a report") as step:
        found = ReportData(fitted, profile_face(fitted))
        if rows.data is not None:
            if fitted.contract is None:  # with a contract, rules can be judged without one
                known_profile(fitted)
            if rows.memory is None:
                rows = rows._replace(data=as_rereadable(rows.data))
            found = _with_row_facts(found, rows, clock, limits, step)
        step("writing the page")
        level, told = verdict_of(found)
        html = _page(found, title or _title(fitted))
        if path is not None:
            atomic.write_bytes(Path(path), html.encode("utf-8", "replace"), durable=False)
    steps = () if found.costs is None else tuple(found.costs.steps)
    where = None if path is None else Path(path)
    return FeatureReport(level, told, html, where, found.drift, found.check, steps)


def _with_row_facts(
    found: ReportData, rows: CallRows, clock: Any, limits: GateThresholds, step: ProgressStep
) -> ReportData:
    """Return the facts of a report, with facts on the given rows added: drift, rules and costs.

    `step` is called with a description of each step of the work.
    """
    fitted, then = found.fitted, found.then
    step("computing features")
    features, now, costs = _measure_run(fitted, then, rows)
    smaller = smaller_floats(fitted, features)
    found = replace(found, now=now, costs=costs, smaller=smaller)
    if then is None or now is None:
        found = replace(found, no_drift=NO_PROFILE)
    elif not (then.inputs or then.features):
        found = replace(found, no_drift=then.no_features or NO_PROFILE)
    else:
        drift = compare_profiles(fitted, now, then, limits=limits)
        found = replace(found, drift=drift, no_drift=then.no_features)
    if fitted.contract is None:
        return found
    step("checking rules")
    contract, late = fitted.contract.declaration, fitted.declaration.late
    return replace(found, check=check_rows(contract, rows, clock=clock, late=late)[1])


def _measure_run(
    fitted: Fitted, then: Profile | None, rows: CallRows
) -> tuple[Table, Profile | None, Costs]:
    """Compute the features of rows and measure the costs.

    Return the features of the first piece of the rows, the profile of all rows, and the costs. The
    profile is None if training has none.
    """
    first, counted_rows, n_rows = list[Table](), list[Profile](), 0

    def take(inputs: Table, features: Table | None) -> None:
        nonlocal n_rows
        assert features is not None
        n_rows += features.num_rows
        first[:] = first or [features]
        if then is not None:
            part = counted_tables(then, fitted, inputs, features if then.features else None)
            counted_rows[:] = [counted_rows[0].merge(part) if counted_rows else part]

    taken = energy_meter()
    begin = step_costs.times_without_kernels()
    with observe_kernels() as used, step_costs.measure_steps() as costs:
        each_piece(fitted, _wanted_profile(fitted, then), rows, (), take)
    wall, cpu = (
        now - then for now, then in zip(step_costs.times_without_kernels(), begin, strict=True)
    )
    n_compiled = sum(kernel.is_compiled for kernel in used.values())
    measured = Costs(costs.steps, wall, cpu, n_rows, n_compiled, taken())
    return first[0], counted_rows[0] if counted_rows else None, measured


def _wanted_profile(fitted: Fitted, then: Profile | None) -> Profile:
    """Return a profile that names the inputs and features to compute; it has no counts to use.

    It includes features even if the training profile has none, since the report measures their
    cost.
    """
    if then is not None and then.features:
        return then
    features = {name: ColumnProfile(name, "", "other") for name in fitted.nodes}
    return profile_of_columns({} if then is None else then.inputs, features, 0)


def _page(found: ReportData, title: str) -> str:
    sections = (features_section, inputs_section, contract_section, plan_section, costs_section)
    smaller = smaller_section(found.smaller, found.then, found.now)
    return page(title, [head(found, title), *(section(found) for section in sections), smaller])


def _title(fitted: Fitted) -> str:
    label = ", ".join(fitted.declaration.label_nodes)
    return f"Features for {label}" if label else "Features"
