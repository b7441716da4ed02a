"""Features and inputs in a report, worst first: their values in training and in the given rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from html import escape

from fastfeat_kernels.records import dataclass

from fastfeat.execute.fitted import Fitted
from fastfeat.markup.html import details_block, details_list, short, shorten_middle
from fastfeat.tell.fitted_tables import feature_map
from fastfeat.tell.html import FORMULAS, details_of, facts_of, learnt_lines
from fastfeat.trust.quality.column_drift import ColumnDrift, worst_first
from fastfeat.trust.quality.distribution import distribution, length_text, value_text
from fastfeat.trust.quality.html import TITLES, drift_figures, level_of, share_text
from fastfeat.trust.quality.later_rows import NO_PROFILE
from fastfeat.trust.quality.profile import ColumnProfile
from fastfeat.trust.report.page import cell, figure, rows_table, section
from fastfeat.trust.report.report_data import ReportData

_LONGEST_FORMULA = 80


def anchors(fitted: Fitted) -> dict[str, str]:
    """Return the HTML id of each output column's table row, by the name of the column."""
    return {name: f"f{k}" for k, name in enumerate(fitted.nodes)}


_TITLES_ALONE = ("mean", "std", "missing")


@dataclass(frozen=True, slots=True)
class _Columns:
    """All features, or all inputs, with their profiles and drift.

    Args:
        then: Profile of each column in training, by name; empty without a profile.
        now: Profile of each column in the given rows, by name.
        drift: Drift of each column by name; None if nothing is compared.
    """

    then: Mapping[str, ColumnProfile]
    now: Mapping[str, ColumnProfile]
    drift: Mapping[str, ColumnDrift] | None

    @property
    def titles(self) -> list[str]:
        """The titles of the table columns with figures; empty without a profile."""
        if not self.then:
            return []
        return ["distribution", *(_TITLES_ALONE if self.drift is None else TITLES)]

    def worst_first(self, names: Iterable[str]) -> list[str]:
        """Return the given names of columns, those with drift first."""
        ordered = () if self.drift is None else worst_first(self.drift.values())
        return list(dict.fromkeys([*(column.name for column in ordered), *names]))

    def drift_of(self, name: str) -> ColumnDrift | None:
        """Return the drift of a column; None if it is not compared."""
        return None if self.drift is None else self.drift.get(name)

    def cells(self, name: str) -> list[str]:
        """Return the HTML table cells with the figures of a column."""
        then, drift = self.then.get(name), self.drift_of(name)
        if then is None:
            return [cell("") for _ in self.titles]
        picture = distribution(then, self.now.get(name))
        shown = cell("" if picture is None else picture.html())
        if self.drift is None:
            return [shown, *_figures_alone(then)]
        if drift is None:
            return [shown, *(cell("") for _ in TITLES)]
        figures = drift_figures(drift, partial(length_text, then))
        return [shown, *(figure(f.text, f.title, "bad" if f.is_beyond else "") for f in figures)]


def _figures_alone(then: ColumnProfile) -> list[str]:
    share = then.n_missing / then.n_rows if then.n_rows else 0.0
    std = value_text(then, then.std) if then.kind == "number" else ""
    texts = (value_text(then, then.mean), std, share_text(share))
    return [figure(text, name) for name, text in zip(_TITLES_ALONE, texts, strict=True)]


def features_section(found: ReportData) -> str:
    """Return the section on features as HTML: values, formula, learnt values and windows.

    Features with drift come first.
    """
    columns = _Columns(
        {} if found.then is None else found.then.features,
        {} if found.now is None else found.now.features,
        found.drift.features if found.drift is not None and found.drift.features else None,
    )
    told = ""
    if found.then is None:
        told = f"{NO_PROFILE[0].upper()}{NO_PROFILE[1:]}."
    elif not columns.then:
        told = f"The features have no profile: {found.then.no_features}"
    elif columns.drift is not None:
        told = (
            "Worst first. Profiles are compared, not rows, so distances have bounds: 'moved' is "
            "the smallest possible Wasserstein distance, and KS shows its smallest and greatest "
            "possible values."
        )
    shown = rows_table(["feature", *columns.titles, "how"], _feature_rows(found.fitted, columns))
    return section(_title("Features", columns), told, _key(columns), shown)


def _title(name: str, columns: _Columns) -> str:
    return name if columns.drift is None else f"{name}, then and now"


def _key(columns: _Columns) -> str:
    """Return the legend of the small charts as HTML; "" without a profile."""
    if not columns.then:
        return ""
    now = "<i></i> these rows" if columns.now else ""
    return f'<p class="key soft"><i></i> training{now}</p>'


def _feature_rows(fitted: Fitted, columns: _Columns) -> Iterator[tuple[str, list[str]]]:
    """Yield the HTML id and the table cells of each feature, those with drift first."""
    anchor_of, told = anchors(fitted), dict[str, tuple[str, str]]()
    features = {row["column"]: row["feature"] for row in feature_map(fitted).to_pylist()}
    for name in columns.worst_first(fitted.nodes):
        feature = features[name]
        if feature not in told:
            told[feature] = _formula(fitted, feature), _learns_and_sees(fitted, feature)
        formula, how = told[feature]
        named = cell(f"{_named(name, columns.drift_of(name))}{formula}")
        yield anchor_of[name], [named, *columns.cells(name), how]


def _learns_and_sees(fitted: Fitted, feature: str) -> str:
    learns, sees, _ = facts_of(fitted.declaration, feature)
    told = {"learns": learns.replace("<br>", ", "), "sees": sees.replace("<br>", ", ")}
    texts = (f"{verb} {what}" for verb, what in told.items() if what != "nothing")
    return cell(f"<small>{'<br>'.join(texts)}</small>")


def _named(name: str, drift: ColumnDrift | None) -> str:
    """Return the name of a column as HTML, marked if it has drifted.

    If the column is not judged, the reason follows.
    """
    shown = escape(short(name))
    if drift is None:
        return f"<b>{shown}</b>"
    named = f'<b class="bad">● {shown}</b>' if level_of(drift) == "bad" else f"<b>{shown}</b>"
    if drift.is_judged or not drift.reason:
        return named
    return f"{named}<br><small>not judged: {escape(drift.reason)}</small>"


def _formula(fitted: Fitted, feature: str) -> str:
    """Return a formula as HTML that unfolds to its details: inputs and learnt values."""
    details = {**details_of(fitted.declaration, feature), "learnt": learnt_lines(fitted, feature)}
    (formula,) = details["formula"]
    start = shorten_middle(formula, _LONGEST_FORMULA)
    more = {title: texts for title, texts in details.items() if [*texts] != [start]}
    return details_block(f"<code>{escape(start)}</code>", details_list(more, FORMULAS))


def inputs_section(found: ReportData) -> str:
    """Return the section on input columns as HTML, those with drift first; "" without a profile."""
    if found.then is None or not found.then.inputs:
        return ""
    columns = _Columns(
        found.then.inputs,
        {} if found.now is None else found.now.inputs,
        None if found.drift is None else found.drift.inputs,
    )
    shown = rows_table(["input", *columns.titles], _input_rows(columns))
    return section(_title("Inputs", columns), "", shown)


def _input_rows(columns: _Columns) -> Iterator[tuple[str, list[str]]]:
    """Yield an empty HTML id and the table cells of each input, those with drift first."""
    for name in columns.worst_first(columns.then):
        kind = f"<br><small>{escape(columns.then[name].dtype)}</small>"
        yield "", [cell(_named(name, columns.drift_of(name)) + kind), *columns.cells(name)]
