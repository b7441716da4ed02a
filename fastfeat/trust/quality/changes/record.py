"""`Change` and `Diff`: the differences between two fitted plans, with a verdict.

`KINDS` gives the verdict of each kind of change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Literal

from fastfeat_kernels.records import dataclass

from fastfeat.calls.completion import with_completion
from fastfeat.errors import counted
from fastfeat.tell.summary import shorten_middle

ChangeVerdict = Literal["major", "minor", "refit", "same"]
VERDICTS: Final[tuple[ChangeVerdict, ...]] = ("major", "minor", "refit", "same")
"""The verdicts, from the most serious to none."""

KINDS: Final[Mapping[str, ChangeVerdict]] = {
    "feature removed": "major",
    "feature changed": "major",
    "feature retyped": "major",
    "matrix retyped": "major",
    "column removed": "major",
    "columns moved": "major",
    "kept column removed": "major",
    "codes reassigned": "major",
    "input added": "major",
    "input retyped": "major",
    "label changed": "major",
    "option changed": "major",
    "sample refused": "major",
    "feature added": "minor",
    "column added": "minor",
    "kept column added": "minor",
    "categories added": "minor",
    "input removed": "minor",
    "declaration changed": "minor",
    "rule added": "minor",
    "rule removed": "minor",
    "rule changed": "minor",
    "training input changed": "refit",
    "learnt value changed": "refit",
    "learnt keys changed": "refit",
    "time zone changed": "refit",
    "profile changed": "refit",
    "outputs changed": "refit",
}
"""The verdict of each kind of change.

Major: code that reads the features or sends rows may break, or misread a number. Minor: there are
additions, or rows may be rejected that were accepted; everything else means the same. Refit: the
same features with other learnt values.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between two fitted plans.

    Args:
        kind: Kind of change, a key of `KINDS`, such as "feature added".
        name: Name of the changed feature, column, learnt value or rule.
        before: The old value; None if it did not exist. For codes, a dict of category to code of up
            to 1,000 changed categories, the most frequent ones.
        after: The new value; None if it no longer exists.
        told: The change in words, without kind and name.
    """

    kind: str
    name: str
    before: Any
    after: Any
    told: str

    @property
    def verdict(self) -> ChangeVerdict:
        """The verdict: "major", "minor" or "refit"."""
        return KINDS[self.kind]

    def __str__(self) -> str:
        """Return the verdict, kind, name and description on one line."""
        return f"{self.verdict:5} {self.kind} {shown(self.name)}: {self.told}"


@with_completion("verdict", "changes", "same")
@dataclass(frozen=True, slots=True, repr=False)
class Diff:
    """The changes from one fitted plan to another; prints one line per change.

    Args:
        changes: The changes, most serious first.
        n_rows: Number of rows each plan was fitted on.
        n_compared: Number of sample rows that both plans computed; 0 without a sample.
    """

    changes: tuple[Change, ...]
    n_rows: tuple[int, int]
    n_compared: int = 0

    @property
    def verdict(self) -> ChangeVerdict:
        """The most serious verdict: "major", "minor" or "refit"; "same" if nothing changed."""
        found = (VERDICTS.index(change.verdict) for change in self.changes)
        return VERDICTS[min(found, default=-1)]

    @property
    def same(self) -> bool:
        """Whether nothing has changed."""
        return not self.changes

    def of_kind(self, kind: str) -> tuple[Change, ...]:
        """Return the changes of one kind, in order.

        Args:
            kind: Kind of change, such as "codes reassigned".
        """
        return tuple(change for change in self.changes if change.kind == kind)

    @property
    def summary(self) -> str:
        """The verdict, the number of changes, and the number of training rows of each plan."""
        found = counted(len(self.changes), "change") if self.changes else "no changes"
        before, after = self.n_rows
        learnt = f"fitted on {before:,} rows, then on {after:,}"
        sample = f"; outputs of {counted(self.n_compared, 'row')} compared"
        return f"{self.verdict}: {found}; {learnt}{sample if self.n_compared else ''}"

    def __repr__(self) -> str:
        """Return the summary and one line per change; of many of one kind only the first ones."""
        lines, n_told = [self.summary], Counter[str]()
        for change in self.changes:
            n_told[change.kind] += 1
            if change.verdict == "major" or n_told[change.kind] <= _MOST_TOLD:
                lines.append(str(change))
        for kind, n in n_told.items():
            if KINDS[kind] != "major" and n > _MOST_TOLD:
                lines.append(f"{KINDS[kind]:5} {kind}: {n - _MOST_TOLD:,} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return a table of the changes, for notebooks."""
        from fastfeat.trust.quality.html import changes_html  # seldom needed

        told = [(of.verdict, of.kind, of.name, of.told) for of in self.changes]
        return changes_html(self.summary, told)


def shown(value: object) -> str:
    """Return the repr of a value, shortened to fit in a line."""
    return shorten_middle(repr(value), _LONGEST)


_MOST_TOLD = 10
_LONGEST = 60


def ordered(changes: list[Change]) -> tuple[Change, ...]:
    """Return the changes, most serious first, otherwise in the order given."""
    return tuple(sorted(changes, key=lambda change: VERDICTS.index(change.verdict)))
