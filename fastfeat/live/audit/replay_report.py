"""`Replay`: the result of doing all changes of a state again, and what it does not cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from fastfeat import pickles
from fastfeat.errors import counted
from fastfeat.live.audit.recompute import (
    Difference,
    moment_text,
)
from fastfeat.live.audit.served_features import ServedCounts

Noted = Literal["known and verified", "known, no longer recomputable", "unknown: rewritten"]
"""The three things that a file can say of a link that was noted elsewhere."""
VERIFIED, KNOWN, UNKNOWN = get_args(Noted)


@dataclass(frozen=True, slots=True)
class NotCovered:
    """The changes of a state that cannot be done again any more: their links alone are kept.

    Args:
        n_changes: how many changes.
        n_rows: how many rows they have; None where an earlier version did not note it.
        since_ns: when the last of them were replaced, in nanoseconds since 1970; None where there
            is none, or an earlier version did not note it.
    """

    n_changes: int = 0
    n_rows: int | None = 0
    since_ns: int | None = None

    def __str__(self) -> str:
        """Return the numbers, and since when they are so."""
        rows = "rows that were not counted" if self.n_rows is None else counted(self.n_rows, "row")
        since = "" if self.since_ns is None else f" since {moment_text(self.since_ns)}"
        return f"{counted(self.n_changes, 'change')} of {rows}, no longer recomputable{since}"

    def and_also(self, n_changes: int, n_rows: int | None, since_ns: int | None) -> NotCovered:
        """Return these changes and others."""
        rows = None if self.n_rows is None or n_rows is None else self.n_rows + n_rows
        times = [one for one in (self.since_ns, since_ns) if one is not None]
        return NotCovered(
            self.n_changes + n_changes,
            rows,
            max(times, default=None),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Replay:
    """The result of `ff.replay`; prints as some lines.

    Args:
        n_changes: how many changes were done again and found as they were noted.
        n_rows: how many rows they have.
        head: the last link that fits: noted elsewhere, it is what `head=` takes.
        difference: the first one; None where there is none.
        served: what was written to the file of features; None for none.
        not_covered: the changes that can no longer be done again: with those that were, all that
            the state ever had.
        noted: what is known of the link that `head=` names: "known and verified", "known, no longer
            recomputable" or "unknown: rewritten"; None without `head=`, and after a difference.
        noted_since_ns: of "known, no longer recomputable" since when, in nanoseconds since 1970;
            None where an earlier version did not note it.
        is_withheld: whether there is no such file because it would lack rows; see `partial=`.
    """

    n_changes: int
    n_rows: int
    head: bytes
    difference: Difference | None
    served: ServedCounts | None = None
    not_covered: NotCovered = NotCovered()
    noted: Noted | None = None
    noted_since_ns: int | None = None
    is_withheld: bool = False
    __setstate__ = pickles.set_fields

    @property
    def ok(self) -> bool:
        """Whether all that can be done again is as it was noted."""
        return self.difference is None

    @property
    def is_whole(self) -> bool:
        """Whether every change that the state ever had was done again."""
        return self.not_covered.n_changes == 0

    @property
    def withheld_text(self) -> str:
        """The error of `to=` where rows are not covered; the caller adds the option to write."""
        return (
            f"what was served would lack {self.not_covered}. Nothing was written. To write the "
            "rows that are there"
        )

    @property
    def noted_text(self) -> str:
        """The standing of the link that was noted elsewhere, as text; "" without such a link."""
        since = "" if self.noted_since_ns is None else f" since {moment_text(self.noted_since_ns)}"
        return f"{self.noted or ''}{since}"

    def __repr__(self) -> str:
        """Return a line, and one more for each further thing."""
        done = f"{counted(self.n_changes, 'change')} of {counted(self.n_rows, 'row')}"
        if self.difference is None:
            lines = [f"ok   {done}: every bit and every link; the last one is {self.head.hex()}"]
        else:
            lines = [f"FAIL {self.difference}", f"     {done} before it as they were noted"]
        if not self.is_whole:
            lines.append(f"     not covered: {self.not_covered}")
        if self.noted is not None:
            lines.append(f"     the link that was noted: {self.noted_text}")
        if self.served is not None:
            lines.append(f"     served: {self.served}")
        return "\n".join(lines)
