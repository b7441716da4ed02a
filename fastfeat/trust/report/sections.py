"""The sections of a report other than its columns: verdict, contract, plan, costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from fastfeat.errors import counted, shortened
from fastfeat.execute import step_costs
from fastfeat.ir.node import Call, Node, postorder
from fastfeat.ir.show import show_all
from fastfeat.markup.html import details_block, lines, short, shorten_middle, table
from fastfeat.tell.explain_live import order_text
from fastfeat.trust.quality.column_drift import worst_first
from fastfeat.trust.quality.html import RULE_TITLES, level_of, rule_cells
from fastfeat.trust.quality.report import CheckReport
from fastfeat.trust.report.columns import anchors
from fastfeat.trust.report.page import cards, section, verdict
from fastfeat.trust.report.picture import plan_picture
from fastfeat.trust.report.report_data import Costs, ReportData, verdict_of

if TYPE_CHECKING:
    from fastfeat.execute.step_costs import StepCost

_MOST_POINTS = 8
_MOST_SERVED = 6


def head(found: ReportData, title: str) -> str:
    """Return the title, the verdict and the main figures as HTML."""
    fitted, (level, headline) = found.fitted, verdict_of(found)
    told = f"{counted(len(fitted.nodes), 'feature')}, fitted on {counted(fitted.n_rows, 'row')}"
    if found.costs is not None:
        told += f"; compared with {counted(found.costs.n_rows, 'row')}"
    if found.drift is not None and found.drift.smallest_shift:
        told += f"; {found.drift.smallest_shift}"
    name = f'<h1>{escape(short(title, 200))}</h1><p class="soft">{escape(told)}</p>'
    return name + verdict(level, headline, _points(found)) + cards(_cards(found))


def _points(found: ReportData) -> list[str]:
    """Return the reasons of the verdict as HTML: broken rules first, then drift, worst first."""
    points: list[str] = []
    if found.drift is not None:
        anchor_of = anchors(found.fitted)
        for column in worst_first(found.drift.features.values()):
            if column.is_drifted:
                name = f'<a href="#{anchor_of[column.name]}">{escape(short(column.name))}</a>'
                points.append(f"{name}: {escape(column.reason)}")
        if found.drift.drifted_inputs:
            names = shortened(map(short, found.drift.drifted_inputs), _MOST_SERVED)
            points.insert(min(len(points), _MOST_POINTS), f"drifted inputs: {escape(names)}")
    if found.check is not None:
        broken = [r for r in found.check.worst_first if r.is_finding]
        points = [
            *(
                f"{escape(short(r.name))}: {escape(shorten_middle(r.told(), 200))}"
                for r in broken[:3]
            ),
            *points,
        ]
    if found.costs is not None and found.no_drift:
        what = "drift" if found.drift is None else "feature drift"
        points.append(f"{what} was not measured: {escape(found.no_drift)}")
    more = len(points) - _MOST_POINTS
    return [*points[:_MOST_POINTS], *([f"and {more:,} more"] if more > 0 else [])]


def _cards(found: ReportData) -> list[tuple[str, str, str]]:
    facts: list[tuple[str, str, str]] = []
    if found.drift is not None:
        n_features, n_inputs = len(found.drift.drifted), len(found.drift.drifted_inputs)
        facts += [
            (f"{n_features:,}", "features drifted", "bad" if n_features else "ok"),
            (f"{n_inputs:,}", "inputs drifted", "warn" if n_inputs else "ok"),
        ]
    if found.check is not None:
        n_broken = sum(result.level == "bad" for result in found.check.results)
        facts.append((f"{n_broken:,}", "rules broken", "bad" if n_broken else "ok"))
    plan = found.fitted.declaration
    facts += [
        (f"{len(found.fitted.nodes):,}", "features", ""),
        (f"{len(plan.columns):,}", "columns read", ""),
    ]
    if plan.late:
        column = "late column" if len(plan.late) == 1 else "late columns"
        facts.append((f"{len(plan.late):,}", f"{column} (no row sees its own value)", ""))
    if found.costs is not None and found.costs.n_rows:
        per_row = found.costs.cpu_s / found.costs.n_rows
        facts.append((_seconds(per_row), "CPU time per row", ""))
    return facts


def contract_section(found: ReportData) -> str:
    """Return the section on the contract as HTML: its rules, with rows that break them.

    "" without a contract.
    """
    contract = found.fitted.contract
    if contract is None:
        return ""
    if found.check is not None:
        return section("Contract", found.check.summary, *_rules(found.check))
    declared = contract.declaration
    rows = [
        [f"<b>{escape(short(name))}</b>", f"<code>{escape(shorten_middle(repr(rule), 400))}</code>"]
        for name, rule in declared.rules.items()
    ]
    types = [
        [f"<b>{escape(short(name))}</b>", f"is {escape(str(dtype))}"]
        for name, dtype in declared.types.items()
    ]
    told = "Rules for later rows. They were not checked: this report has no rows."
    return section("Contract", told, table(("rule", "definition"), [*rows, *types]))


def _rules(check: CheckReport) -> Iterator[str]:
    """Yield HTML: a table of broken or undecided rules, and a collapsed table of other rules."""
    broken = [result for result in check.results if result.is_finding]
    others = [result for result in check.results if not result.is_finding]
    if broken:
        ordered = [result for result in check.worst_first if result.is_finding]
        yield _wide(table(RULE_TITLES, [rule_cells(check.shown(result)) for result in ordered]))
    if others:
        rows = table(RULE_TITLES, [rule_cells(check.shown(result)) for result in others])
        yield details_block(f"Held or not judged: {counted(len(others), 'rule')}", _wide(rows))


def _wide(content: str) -> str:
    """Return content in an HTML block that scrolls sideways on narrow screens."""
    return f'<div class="wide">{content}</div>'


def plan_section(found: ReportData) -> str:
    """Return the section on the plan as HTML, with its picture."""
    inputs: dict[str, str] = {}
    features: dict[str, str] = {}
    if found.drift is not None:
        inputs = {name: level_of(of) for name, of in found.drift.inputs.items()}
        features = {name: level_of(of) for name, of in found.drift.features.items()}
    picture = plan_picture(found.fitted.nodes, inputs, features)
    told = "From left to right: input columns, learnt values and windows, features."
    return section("The plan", told, _wide(picture))


def costs_section(found: ReportData) -> str:
    """Return the section on costs as HTML: the times of each step in the run over the given rows.

    "" without rows.
    """
    costs = found.costs
    if costs is None:
        return ""
    steps = sorted(costs.steps, key=lambda step: -step.cpu_s)
    in_steps = sum(step.wall_s for step in steps), sum(step.cpu_s for step in steps)
    others = (
        "reading, converting and counting rows",
        max(costs.wall_s - in_steps[0], 0.0),
        max(costs.cpu_s - in_steps[1], 0.0),
    )
    texts = show_all([node for step in steps for node in step.nodes])
    served = _features_served(found.fitted.nodes, steps)
    rows = [
        [
            escape(step.kind),
            lines(_step_text(step, texts), 110),
            escape(_features_text(step, features)),
            *_times(step.wall_s, step.cpu_s, costs),
        ]
        for step, features in zip(steps, served, strict=True)
    ]
    rows.append([others[0], "", "", *_times(others[1], others[2], costs)])
    compiled = (
        f" {counted(costs.n_compiled, 'kernel')} compiled meanwhile, not included in these times."
        if costs.n_compiled
        else ""
    )
    told = (
        f"Measured in the run over {counted(costs.n_rows, 'row')} that this report is based on: "
        f"{_seconds(costs.wall_s)} elapsed, {_seconds(costs.cpu_s)} of CPU time.{compiled} "
        f"Energy: {costs.energy}."
    )
    titles = ("step", "computes", "for", "time", "CPU time", "per row", "share")
    return section("Costs by step", told, _wide(table(titles, rows)))


def _step_text(step: StepCost, texts: Mapping[Node, str]) -> list[str]:
    """Return lines that say what a step computes; `texts` has the text of each expression."""
    if step.kind == step_costs.FEATURES:
        return ["row functions, fused into loops"]
    order = [order_text(step.order)] if isinstance(step.order, Call) else []
    shown = [texts[node] for node in step.nodes[:3]]
    more = [f"and {len(step.nodes) - 3:,} more"] if len(step.nodes) > 3 else []
    return [*order, *shown, *more]


def _features_text(step: StepCost, features: Sequence[str]) -> str:
    if step.kind == step_costs.FEATURES:
        return "all features"
    return shortened(map(short, features), _MOST_SERVED) if features else "other steps"


def _features_served(nodes: Mapping[str, Node], steps: Sequence[StepCost]) -> list[list[str]]:
    """Return a list per step: the names of the features that use its results.

    Empty for the step that computes all features.
    """
    read = {name: set(postorder([node])) for name, node in nodes.items()}
    return [
        []
        if step.kind == step_costs.FEATURES
        else [n for n, of in read.items() if of & set(step.nodes)]
        for step in steps
    ]


def _times(wall_s: float, cpu_s: float, costs: Costs) -> list[str]:
    share = cpu_s / costs.cpu_s if costs.cpu_s else 0.0
    a_row = _seconds(cpu_s / costs.n_rows) if costs.n_rows else "–"
    texts = [_seconds(wall_s), _seconds(cpu_s), a_row, f"{share:.0%}"]
    return [f'<span class="n">{text}</span>' for text in texts]


def _seconds(seconds: float) -> str:
    """Return a time as text with three digits and a unit from s to ns."""
    for unit, length in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
