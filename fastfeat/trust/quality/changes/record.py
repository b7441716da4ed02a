"""`Change` and `Diff`: what differs between two fitted plans, and the verdict that follows.

The table of kinds says of each change how far it reaches: a change is a row of that table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from fastfeat.calls.completion import offering
from fastfeat.errors import counted
from fastfeat.tell.summary import capped

Verdict = Literal["major", "minor", "refit", "same"]
VERDICTS: Final[tuple[Verdict, ...]] = ("major", "minor", "refit", "same")
"""How far a change reaches, the farthest first."""

KINDS: Final[Mapping[str, Verdict]] = {
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

Major: what reads the features, or sends rows, may break, or take a number for another thing. Minor:
there is more, or rows may be refused that were not, and all that was there means the same. Refit:
the same features, of other learnt values.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between two fitted plans.

    Args:
        kind: what has changed, such as "feature added".
        name: of the feature, column, learnt value or rule that has.
        before: what it was; None where it was not there. Of codes, categories with their code:
            the thousand most frequent ones that have another.
        after: what it is; None where it is no more.
        told: both in words, without kind and name.
    """

    kind: str
    name: str
    before: Any
    after: Any
    told: str

    @property
    def verdict(self) -> Verdict:
        """How far it reaches, from its kind."""
        return KINDS[self.kind]

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.verdict:5} {self.kind} {shown(self.name)}: {self.told}"


@offering("verdict", "changes", "same")
@dataclass(frozen=True, slots=True, repr=False)
class Diff:
    """The changes from one fitted plan to another; prints as one line each.

    Args:
        changes: those that reach farthest first.
        n_rows: how many rows each was fitted on.
        n_compared: how many rows of a sample both have computed; 0 without one.
    """

    changes: tuple[Change, ...]
    n_rows: tuple[int, int]
    n_compared: int = 0

    @property
    def verdict(self) -> Verdict:
        """The farthest reach of a change: "major", "minor", "refit"; "same" without one."""
        found = (VERDICTS.index(change.verdict) for change in self.changes)
        return VERDICTS[min(found, default=-1)]

    @property
    def same(self) -> bool:
        """Whether nothing has changed."""
        return not self.changes

    def of_kind(self, kind: str) -> tuple[Change, ...]:
        """Return the changes of a kind, in order.

        Args:
            kind: such as "codes reassigned".
        """
        return tuple(change for change in self.changes if change.kind == kind)

    @property
    def summary(self) -> str:
        """A line: the verdict, how many changes there are, and of how many rows each has learnt."""
        found = counted(len(self.changes), "change") if self.changes else "no changes"
        before, after = self.n_rows
        learnt = f"fitted on {before:,} rows, then on {after:,}"
        sample = f"; outputs of {counted(self.n_compared, 'row')} compared"
        return f"{self.verdict}: {found}; {learnt}{sample if self.n_compared else ''}"

    def __repr__(self) -> str:
        """Return the summary, and one line a change; of many of a kind the first ones."""
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
    """Return a value as a part of a line: without line breaks, and not too long."""
    return capped(repr(value), _LONGEST)


_MOST_TOLD = 10
_LONGEST = 60


def ordered(changes: list[Change]) -> tuple[Change, ...]:
    """Return changes, those that reach farthest first, else as they were found."""
    return tuple(sorted(changes, key=lambda change: VERDICTS.index(change.verdict)))
