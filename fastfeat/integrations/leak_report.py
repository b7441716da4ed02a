"""Report of `leak_test`: how much each output column, and a model, tells of permuted labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fastfeat import pickles
from fastfeat.errors import counted, shortened
from fastfeat.trust.verify.comparison import left_out
from fastfeat.trust.verify.later_rows import LaterRows

LEAST = 0.03
"""Of an AUC, what counts as a leak: k folds of an encoding alone show about that much."""
N_ERRORS = 4
"""By how many errors a score must be away from none."""
ALMOST = 0.98
"""What a column that sees nothing late tells of the real label, for a user to be asked about it."""
MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class Score:
    """The score of an output column, or a model, for a label of which nothing can be told.

    Args:
        name: of the column, or of the model.
        sees_late: whether it is computed from permuted columns, of whichever rows.
        score: the mean over the permutations, of a model less that of the same model without the
            features that see late columns.
        error: one standard error of it.
        is_leak: whether it is further from none than `LEAST` and `N_ERRORS` errors.
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
        measure: "AUC", of which .5 says nothing, or "rank correlation", of which 0 does.
        features: the score of each output column with the labels of the training rows.
        model: by how much its score out of fold gains from features that see late columns.
        with_late: the score of the model with all features.
        without_late: its score without those that see late columns, for the same permutations.
        permuted: the columns that were permuted, together.
        within: among which rows.
        n_rows: how many rows have a label.
        n_permutations: how often.
        almost_label: columns that read nothing late, and tell the real label, not permuted, almost
            alone: with AUC or correlation of `ALMOST`. They may be known later than they are said
            to be.
        cannot_find: which leaks the permutations do not find.
        later_rows: the features of training rows with and without the rows that come after them:
            its `checks`, `changes`, `on_word` (left out, since you say that it is known), and
            `cannot_see`.
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
        """The output columns that tell of the label or see later rows, and "model" if it does."""
        later = {change.column for change in self.later_rows.changes}
        scores = [*self.features, self.model]
        return [score.name for score in scores if score.is_leak or score.name in later]

    @property
    def ok(self) -> bool:
        """Whether nothing tells of the label, or sees later rows."""
        return not self.leaks

    def __repr__(self) -> str:
        """Return the model's scores, a line for each feature that tells most, what was left out."""
        return "\n".join(_lines(self))


def _lines(report: LeakReport) -> Iterator[str]:
    """Yield the lines of a report: the model, then the columns that tell most."""
    none = 0.5 if report.measure == "AUC" else 0.0
    verdict = "no leak found" if report.ok else f"leaks: {shortened(report.leaks)}"
    yield (
        f"LeakReport: {verdict}. {counted(report.n_permutations, 'permutation')} of "
        f"{shortened(report.permuted)} within {report.within}, {counted(report.n_rows, 'row')}"
    )
    if report.almost_label:
        yield (
            "  not permuted, and almost the label by themselves; are they known at the moment of "
            f"prediction? {shortened(report.almost_label)}"
        )
    least = LEAST if report.measure == "AUC" else 2 * LEAST
    yield (
        f"  {report.measure}, {none:g} where a column tells nothing of the label; a leak is more "
        f"than {least:g} from it, and more than {N_ERRORS} errors:"
    )
    yield (
        f"    model  {report.with_late:.3f} with the features that see late columns, "
        f"{report.without_late:.3f} without: {report.model.score:+.3f}{_error(report.model)}"
    )
    most = sorted(report.features, key=lambda score: -abs(score.score - none))
    for score in most[:MOST_LINES]:
        sees = "sees late columns" if score.sees_late else "sees none"
        yield f"    {score.name}  {score.score:.3f}{_error(score)}, {sees}"
    if len(most) > MOST_LINES:
        yield f"    ... and {len(most) - MOST_LINES:,} more, nearer to {none:g}"
    yield "  it cannot find:"
    yield from (f"    {text}" for text in report.cannot_find)
    later = report.later_rows
    yield from (f"  {line}" for line in map(str, later.checks))
    yield from (f"  {line}" for line in left_out(later.on_word, later.cannot_see))


def _error(score: Score) -> str:
    return f" ± {score.error:.3f}{', a leak' if score.is_leak else ''}"
