"""Features and inputs on a report, the worst first: what each is, then and now."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from html import escape

from fastfeat.markup.html import capped, folded, listed, short
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.tell.fitted_tables import feature_map
from fastfeat.plan.tell.html import FORMULAS, details_of, facts_of, learnt_of
from fastfeat.quality.column_drift import ColumnDrift, worst_first
from fastfeat.quality.distribution import distribution, length_text, value_text
from fastfeat.quality.html import TITLES, drift_figures, level_of, share_text
from fastfeat.quality.profile import ColumnProfile
from fastfeat.report.found import Found
from fastfeat.report.page import cell, figure, rows_table, section

_LONGEST_FORMULA = 80


def anchors(fitted: Fitted) -> dict[str, str]:
    """Return the anchor of the row of each feature."""
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
    fitted, anchor_of = found.fitted, anchors(found.fitted)
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
        yield anchor_of[name], [cell(f"{_named(name, drift)}{formula}"), *shown, both]


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
