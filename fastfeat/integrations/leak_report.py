"""The report of `leak_test`: how well output columns, and a model, predict permuted labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from fastfeat_kernels.records import dataclass

from fastfeat import pickles
from fastfeat.errors import counted, shortened
from fastfeat.trust.verify.comparison import lines_left_out
from fastfeat.trust.verify.later_rows import LaterRows

LEAST = 0.03
"""The AUC deviation that counts as a leak: the folds of an encoding alone cause about this much."""
N_ERRORS = 4
"""The number of standard errors by which a score must deviate."""
ALMOST = 0.98
"""The score for the real label at which the report lists a column that sees nothing late."""
MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class Score:
    """The score of an output column, or of a model, at predicting labels that are random.

    Args:
        name: The name of the column, or "model".
        sees_late: Whether it is computed from permuted columns, of its own row or others.
        score: The mean over the permutations. For a model: its gain over the same model without the
            features that see late columns.
        error: One standard error of the score.
        is_leak: Whether the score deviates by more than `LEAST` and by more than `N_ERRORS` errors.
    """

    name: str
    sees_late: bool
    score: float
    error: float
    is_leak: bool
    __setstate__ = pickles.set_fields


@dataclass(frozen=True, slots=True)
class LeakReport:
    """The scores of features and of a model for permuted labels.

    Args:
        measure: "AUC", with .5 for no signal, or "rank correlation", with 0 for no signal.
        features: The score of each output column with the labels of the training rows.
        model: The model's out-of-fold score, minus its score without the features that see late
            columns.
        with_late: The score of the model with all features.
        without_late: The score of the model without the features that see late columns, for the
            same permutations.
        permuted: The columns that were permuted, together.
        within: The description of the groups of rows within which values were permuted.
        n_rows: The number of rows with a label.
        n_permutations: The number of permutations.
        almost_label: Output columns that read nothing late, but have a score of `ALMOST` or more
            for the real, unpermuted label. They may be known later than declared.
        cannot_find: The leaks that the permutations cannot find, as texts.
        later_rows: The comparison of features with and without later rows: its `checks`, `changes`,
            `on_word` (left out because you vouch for it) and `cannot_see`.
    """

    measure: str
    features: tuple[Score, ...]
    model: Score
    with_late: float
    without_late: float
    permuted: tuple[str, ...]
    within: str
    n_rows: int
    n_permutations: int
    almost_label: tuple[str, ...]
    cannot_find: tuple[str, ...]
    later_rows: LaterRows = field(default_factory=LaterRows)
    __setstate__ = pickles.set_fields

    @property
    def leaks(self) -> list[str]:
        """The names of leaking output columns, and "model" if features let it predict the label."""
        later = {change.column for change in self.later_rows.changes}
        scores = [*self.features, self.model]
        return [score.name for score in scores if score.is_leak or score.name in later]

    @property
    def ok(self) -> bool:
        """Whether there are no leaks."""
        return not self.leaks

    def __repr__(self) -> str:
        """Return text: scores of the model and of the worst features, and limits of the test."""
        return "\n".join(_lines(self))


def _lines(report: LeakReport) -> Iterator[str]:
    """Yield the lines of a report: the model, then the columns with the highest scores."""
    none = 0.5 if report.measure == "AUC" else 0.0
    verdict = "no leak found" if report.ok else f"leaks: {shortened(report.leaks)}"
    yield (
        f"LeakReport: {verdict}. {counted(report.n_permutations, 'permutation')} of "
        f"{shortened(report.permuted)} within {report.within}, {counted(report.n_rows, 'row')}"
    )
    if report.almost_label:
        yield (
            "  not permuted, but almost equal to the label; are they known at the moment of "
            f"prediction? {shortened(report.almost_label)}"
        )
    least = LEAST if report.measure == "AUC" else 2 * LEAST
    yield (
        f"  {report.measure}: {none:g} if a column says nothing about the label; a leak deviates "
        f"from it by more than {least:g}, and by more than {N_ERRORS} standard errors:"
    )
    yield (
        f"    model  {report.with_late:.3f} with the features that see late columns, "
        f"{report.without_late:.3f} without: {report.model.score:+.3f}{_error(report.model)}"
    )
    most = sorted(report.features, key=lambda score: -abs(score.score - none))
    for score in most[:MOST_LINES]:
        sees = "sees late columns" if score.sees_late else "sees no late columns"
        yield f"    {score.name}  {score.score:.3f}{_error(score)}, {sees}"
    if len(most) > MOST_LINES:
        yield f"    ... and {len(most) - MOST_LINES:,} more, closer to {none:g}"
    yield "  this test cannot find:"
    yield from (f"    {text}" for text in report.cannot_find)
    later = report.later_rows
    yield from (f"  {line}" for line in map(str, later.checks))
    yield from (f"  {line}" for line in lines_left_out(later.on_word, later.cannot_see))


def _error(score: Score) -> str:
    return f" ± {score.error:.3f}{', a leak' if score.is_leak else ''}"
