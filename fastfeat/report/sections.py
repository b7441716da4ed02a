"""The sections of a report: verdict, features, inputs, contract, plan, costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

from fastfeat.errors import counted, shortened
from fastfeat.ir.node import Call, Node, postorder
from fastfeat.ir.show import show_all
from fastfeat.markup.html import capped, folded, lines, listed, short, table
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.step_costs import FEATURES, StepCost
from fastfeat.plan.tell.explain_live import order_text
from fastfeat.plan.tell.fitted_tables import feature_map
from fastfeat.plan.tell.html import FORMULAS, details_of, facts_of, learnt_of
from fastfeat.quality.column_drift import ColumnDrift, worst_first
from fastfeat.quality.distribution import distribution, length_text, value_text
from fastfeat.quality.drift import Drift
from fastfeat.quality.html import (
    RULE_TITLES,
    TITLES,
    drift_figures,
    level_of,
    rule_cells,
    share_text,
)
from fastfeat.quality.profile import ColumnProfile, Profile
from fastfeat.quality.report import CheckReport
from fastfeat.report.energy import Energy
from fastfeat.report.page import cards, cell, figure, rows_table, section, verdict
from fastfeat.report.picture import plan_picture

_MOST_POINTS = 8
_LONGEST_FORMULA = 80
_MOST_SERVED = 6


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
    """

    fitted: Fitted
    then: Profile | None = None
    now: Profile | None = None
    drift: Drift | None = None
    no_drift: str = ""
    check: CheckReport | None = None
    costs: Costs | None = None


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


def head(found: Found, title: str) -> str:
    """Return the title, the verdict, and the figures that one asks for first."""
    fitted, (level, headline) = found.fitted, judged(found)
    told = f"{counted(len(fitted.nodes), 'feature')}, fitted on {counted(fitted.n_rows, 'row')}"
    if found.costs is not None:
        told += f"; compared with {counted(found.costs.n_rows, 'row')}"
    name = f'<h1>{escape(short(title, 200))}</h1><p class="soft">{escape(told)}</p>'
    return name + verdict(level, headline, _points(found)) + cards(_cards(found))


def _points(found: Found) -> list[str]:
    """Return the reasons of the verdict as HTML, the worst first."""
    points: list[str] = []
    if found.drift is not None:
        anchors = _anchors(found.fitted)
        for column in worst_first(found.drift.features.values()):
            if column.is_drifted:
                name = f'<a href="#{anchors[column.name]}">{escape(short(column.name))}</a>'
                points.append(f"{name}: {escape(column.reason)}")
        if found.drift.drifted_inputs:
            names = shortened(map(short, found.drift.drifted_inputs), _MOST_SERVED)
            points.insert(min(len(points), _MOST_POINTS), f"inputs that drifted: {escape(names)}")
    if found.check is not None:
        broken = [r for r in found.check.worst_first if r.is_finding]
        points = [
            *(f"{escape(short(r.name))}: {escape(capped(r.told(), 200))}" for r in broken[:3]),
            *points,
        ]
    if found.costs is not None and found.drift is None and found.no_drift:
        points.append(f"drift is not told: {escape(found.no_drift)}")
    more = len(points) - _MOST_POINTS
    return [*points[:_MOST_POINTS], *([f"and {more:,} more"] if more > 0 else [])]


def _cards(found: Found) -> list[tuple[str, str, str]]:
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
        facts.append((f"{len(plan.late):,}", "late columns, which no row sees of itself", ""))
    if found.costs is not None and found.costs.n_rows:
        per_row = found.costs.cpu_s / found.costs.n_rows
        facts.append((_seconds(per_row), "of a processor, a row", ""))
    return facts


def _anchors(fitted: Fitted) -> dict[str, str]:
    return {name: f"f{k}" for k, name in enumerate(fitted.nodes)}


def features_section(found: Found) -> str:
    """Return the features, worst first: what each is, then and now, learns and sees."""
    told = ""
    if found.then is None:
        told = "The plan has no profile of its training rows: it was fitted with profile=False."
    elif found.then.no_features:
        told = f"Of the features there is no profile: {found.then.no_features}"
    elif found.drift is not None:
        told = (
            "Worst first. KS and Wasserstein are told as the least and the greatest value that "
            "they can have: profiles are compared, no rows are kept."
        )
    rows = _feature_rows(found)
    return section(_title("Features", found), told, _key(found), rows_table(_head(found), rows))


def _title(name: str, found: Found) -> str:
    return f"{name}, then and now" if found.drift is not None else name


def _key(found: Found) -> str:
    """Return the key of bars and lines."""
    if found.then is None:
        return ""
    now = "<i></i> these rows" if found.now is not None else ""
    return f'<p class="key soft"><i></i> training{now}</p>'


def _head(found: Found) -> list[str]:
    figures = TITLES if found.drift is not None else _TITLES_ALONE
    shown = ["distribution", *figures] if found.then is not None else []
    return ["feature", *shown, "how"]


_TITLES_ALONE = ("mean", "std", "missing")


def _feature_rows(found: Found) -> Iterator[tuple[str, list[str]]]:
    fitted, anchors = found.fitted, _anchors(found.fitted)
    features = {row["column"]: row["feature"] for row in feature_map(fitted).to_pylist()}
    facts: dict[str, tuple[str, str]] = {}
    for name in _names(found):
        feature = features[name]
        if feature not in facts:
            learns, sees, _ = facts_of(fitted.declaration, feature)
            told = {"learns": learns.replace("<br>", ", "), "sees": sees.replace("<br>", ", ")}
            lines_of = (f"{verb} {what}" for verb, what in told.items() if what != "nothing")
            both = cell(f"<small>{'<br>'.join(lines_of)}</small>")
            facts[feature] = _formula(fitted, feature), both
        formula, both = facts[feature]
        drift = None if found.drift is None else found.drift.features.get(name)
        then = None if found.then is None else found.then.features.get(name)
        now = None if found.now is None else found.now.features.get(name)
        shown = [] if found.then is None else _then_and_now(then, now, drift, found)
        yield anchors[name], [cell(f"{_named(name, drift)}{formula}"), *shown, both]


def _names(found: Found) -> list[str]:
    if found.drift is None:
        return list(found.fitted.nodes)
    ordered = [column.name for column in worst_first(found.drift.features.values())]
    return list(dict.fromkeys([*ordered, *found.fitted.nodes]))


def _named(name: str, drift: ColumnDrift | None) -> str:
    level = "" if drift is None else level_of(drift)
    mark = {"bad": "● ", "ok": ""}.get(level, "")
    named = f'<b class="{level}">' if level == "bad" else "<b>"
    reason = ""
    if drift is not None and not drift.is_judged and drift.reason:
        reason = f"<br><small>not judged: {escape(drift.reason)}</small>"
    return f"{named}{mark}{escape(short(name))}</b>{reason}"


def _formula(fitted: Fitted, feature: str) -> str:
    """Return a formula, which opens to the whole of it, what it reads and what fit has learnt."""
    details = {**details_of(fitted.declaration, feature), "learnt": learnt_of(fitted, feature)}
    (formula,) = details["formula"]
    start = capped(formula, _LONGEST_FORMULA)
    more = {title: texts for title, texts in details.items() if [*texts] != [start]}
    return folded(f"<code>{escape(start)}</code>", listed(more, FORMULAS))


def _then_and_now(
    then: ColumnProfile | None,
    now: ColumnProfile | None,
    drift: ColumnDrift | None,
    found: Found,
) -> list[str]:
    """Return the cells of a distribution and its figures."""
    picture = None if then is None else distribution(then, now)
    shown = cell("" if picture is None else picture.html())
    if found.drift is None:
        return [shown, *_figures_alone(then)]
    if drift is None:
        return [shown, *(cell("") for _ in TITLES)]
    length = None if then is None else partial(length_text, then)
    figures = drift_figures(drift, length)
    return [shown, *(figure(f.text, f.title, "bad" if f.is_beyond else "") for f in figures)]


def _figures_alone(then: ColumnProfile | None) -> list[str]:
    if then is None:
        return [cell("")] * len(_TITLES_ALONE)
    share = then.n_missing / then.n_rows if then.n_rows else 0.0
    std = value_text(then, then.std) if then.kind == "number" else ""
    texts = (value_text(then, then.mean), std, share_text(share))
    return [figure(text, name) for name, text in zip(_TITLES_ALONE, texts, strict=True)]


def inputs_section(found: Found) -> str:
    """Return the columns of the data, worst first; nothing where there is no profile."""
    if found.then is None or not found.then.inputs:
        return ""
    figures = TITLES if found.drift is not None else _TITLES_ALONE
    rows = _input_rows(found)
    return section(
        _title("Inputs", found), "", rows_table(["input", "distribution", *figures], rows)
    )


def _input_rows(found: Found) -> Iterator[tuple[str, list[str]]]:
    assert found.then is not None
    names = list(found.then.inputs)
    if found.drift is not None:
        names = list(
            dict.fromkeys([*(c.name for c in worst_first(found.drift.inputs.values())), *names])
        )
    for name in names:
        drift = None if found.drift is None else found.drift.inputs.get(name)
        then = found.then.inputs[name]
        now = None if found.now is None else found.now.inputs.get(name)
        kind = f"<br><small>{escape(then.dtype)}</small>"
        yield "", [cell(_named(name, drift) + kind), *_then_and_now(then, now, drift, found)]


def contract_section(found: Found) -> str:
    """Return the rules of the contract, with the rows that break each; nothing without one."""
    contract = found.fitted.contract
    if contract is None:
        return ""
    if found.check is not None:
        return section("Contract", found.check.summary, *_rules(found.check))
    declared = contract.declaration
    rows = [
        [f"<b>{escape(short(name))}</b>", f"<code>{escape(capped(repr(rule), 400))}</code>"]
        for name, rule in declared.rules.items()
    ]
    types = [
        [f"<b>{escape(short(name))}</b>", f"is {escape(str(dtype))}"]
        for name, dtype in declared.types.items()
    ]
    told = "Rules that later rows must hold; no rows were given that they could be counted on."
    return section("Contract", told, table(("rule", "what it says"), [*rows, *types]))


def _rules(check: CheckReport) -> Iterator[str]:
    """Yield a table of the rules that are broken, and those that hold, folded up."""
    broken = [result for result in check.results if result.is_finding]
    others = [result for result in check.results if not result.is_finding]
    if broken:
        ordered = [result for result in check.worst_first if result.is_finding]
        yield _wide(table(RULE_TITLES, [rule_cells(check.shown(result)) for result in ordered]))
    if others:
        rows = table(RULE_TITLES, [rule_cells(check.shown(result)) for result in others])
        yield folded(f"{counted(len(others), 'rule')} held, or not judged", _wide(rows))


def _wide(content: str) -> str:
    """Return HTML that is scrolled where the screen is narrow."""
    return f'<div class="wide">{content}</div>'


def plan_section(found: Found) -> str:
    """Return the plan as a picture."""
    inputs: dict[str, str] = {}
    features: dict[str, str] = {}
    if found.drift is not None:
        inputs = {name: level_of(of) for name, of in found.drift.inputs.items()}
        features = {name: level_of(of) for name, of in found.drift.features.items()}
    picture = plan_picture(found.fitted.nodes, inputs, features)
    told = "Columns, what fit learns of them or windows see, features."
    return section("The plan", told, _wide(picture))


def costs_section(found: Found) -> str:
    """Return the cost of each step in the run that this report rests on; nothing without rows."""
    costs = found.costs
    if costs is None:
        return ""
    steps = sorted(costs.steps, key=lambda step: -step.cpu_s)
    in_steps = sum(step.wall_s for step in steps), sum(step.cpu_s for step in steps)
    others = (
        "rows read, converted, counted",
        max(costs.wall_s - in_steps[0], 0.0),
        max(costs.cpu_s - in_steps[1], 0.0),
    )
    texts = show_all([node for step in steps for node in step.nodes])
    served = _served(found.fitted.nodes, steps)
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
        f" {counted(costs.n_compiled, 'kernel')} were compiled meanwhile, which these times hold."
        if costs.n_compiled
        else ""
    )
    told = (
        f"Measured in the one run over {counted(costs.n_rows, 'row')} that this report rests on: "
        f"{_seconds(costs.wall_s)}, of processors {_seconds(costs.cpu_s)}.{compiled} "
        f"Energy: {costs.energy}."
    )
    titles = ("step", "what it computes", "for", "time", "processors", "a row", "share")
    return section("Costs by step", told, _wide(table(titles, rows)))


def _step_text(step: StepCost, texts: Mapping[Node, str]) -> list[str]:
    """Return lines that say what a step computes."""
    if step.kind == FEATURES:
        return ["functions of a row, fused into loops"]
    order = [order_text(step.order)] if isinstance(step.order, Call) else []
    shown = [texts[node] for node in step.nodes[:3]]
    more = [f"and {len(step.nodes) - 3:,} more"] if len(step.nodes) > 3 else []
    return [*order, *shown, *more]


def _features_text(step: StepCost, features: Sequence[str]) -> str:
    if step.kind == FEATURES:
        return "all features"
    return shortened(map(short, features), _MOST_SERVED) if features else "other steps"


def _served(nodes: Mapping[str, Node], steps: Sequence[StepCost]) -> list[list[str]]:
    """Return the features that each step is for."""
    read = {name: set(postorder([node])) for name, node in nodes.items()}
    return [
        [] if step.kind == FEATURES else [n for n, of in read.items() if of & set(step.nodes)]
        for step in steps
    ]


def _times(wall_s: float, cpu_s: float, costs: Costs) -> list[str]:
    share = cpu_s / costs.cpu_s if costs.cpu_s else 0.0
    a_row = _seconds(cpu_s / costs.n_rows) if costs.n_rows else "–"
    return [_seconds(wall_s), _seconds(cpu_s), a_row, f"{share:.0%}"]


def _seconds(seconds: float) -> str:
    """Return a time as text, with three digits and a unit."""
    for unit, length in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
