"""`Replay`: the report of a replay, which applies all changes of a state again.

A link is the hash of a change in the audit chain.
"""

from __future__ import annotations

from typing import Literal, get_args

from fastfeat_kernels.records import dataclass

from fastfeat import pickles
from fastfeat.errors import counted
from fastfeat.live.audit.recompute import (
    Difference,
    moment_text,
)
from fastfeat.live.audit.served_features import ServedCounts

LinkVerdict = Literal["known and verified", "known, no longer recomputable", "unknown: rewritten"]
"""The possible verdicts on a hash that a user noted elsewhere, and passed as `head=`."""
VERIFIED, KNOWN, UNKNOWN = get_args(LinkVerdict)


@dataclass(frozen=True, slots=True)
class NotCovered:
    """The changes that a replay cannot apply again, since the file keeps only their hashes.

    Args:
        n_changes: Number of changes.
        n_rows: Total number of rows in these changes; None if an earlier version did not record it.
        since_ns: When the last of them were replaced, in nanoseconds since 1970; None if there are
            none, or an earlier version did not record it.
    """

    n_changes: int = 0
    n_rows: int | None = 0
    since_ns: int | None = None

    def __str__(self) -> str:
        """Return the numbers and the time as text."""
        rows = "an unknown number of rows"
        if self.n_rows is not None:
            rows = counted(self.n_rows, "row")
        since = "" if self.since_ns is None else f" since {moment_text(self.since_ns)}"
        return f"{counted(self.n_changes, 'change')} with {rows}, no longer recomputable{since}"

    def and_also(self, n_changes: int, n_rows: int | None, since_ns: int | None) -> NotCovered:
        """Return a record of these changes together with further ones."""
        rows = None if self.n_rows is None or n_rows is None else self.n_rows + n_rows
        times = [one for one in (self.since_ns, since_ns) if one is not None]
        return NotCovered(
            self.n_changes + n_changes,
            rows,
            max(times, default=None),
        )


@dataclass(frozen=True, slots=True, repr=False)
class Replay:
    """The result of `ff.replay`; prints as a few lines.

    Args:
        n_changes: Number of changes that were applied again and match the record.
        n_rows: Total number of rows in these changes.
        head: Hash of the last change that matches; note it elsewhere, and pass it as `head=` later.
        difference: First difference; None if there is none.
        served: Numbers of rows written to the file of features, or left out; None for no file.
        not_covered: Changes that can no longer be applied again. Together with the applied ones
            they are all changes of the state.
        noted: Verdict on the hash passed as `head=`: "known and verified", "known, no longer
            recomputable" or "unknown: rewritten"; None without `head=`, and after a difference.
        noted_since_ns: For "known, no longer recomputable", the time since when, in nanoseconds
            since 1970; None if an earlier version did not record it.
        is_withheld: Whether no file was written because it would lack rows; see `partial=`.
    """

    n_changes: int
    n_rows: int
    head: bytes
    difference: Difference | None
    served: ServedCounts | None = None
    not_covered: NotCovered = NotCovered()
    noted: LinkVerdict | None = None
    noted_since_ns: int | None = None
    is_withheld: bool = False
    __setstate__ = pickles.set_fields

    @property
    def ok(self) -> bool:
        """Whether all changes that can be applied again match the record."""
        return self.difference is None

    @property
    def is_whole(self) -> bool:
        """Whether every change that the state ever had was applied again."""
        return self.not_covered.n_changes == 0

    @property
    def withheld_text(self) -> str:
        """The error message if the file `to=` would lack rows.

        The caller adds the name of the option that allows this.
        """
        return (
            f"the served features would lack {self.not_covered}. Nothing was written. To write "
            "the other rows"
        )

    @property
    def noted_text(self) -> str:
        """The verdict on the hash passed as `head=`, as text; "" without such a hash."""
        since = "" if self.noted_since_ns is None else f" since {moment_text(self.noted_since_ns)}"
        return f"{self.noted or ''}{since}"

    def __repr__(self) -> str:
        """Return one line for the result, and one for each further fact."""
        done = f"{counted(self.n_changes, 'change')} with {counted(self.n_rows, 'row')}"
        if self.difference is None:
            lines = [f"ok   {done}: all bits and links match; the last link is {self.head.hex()}"]
        else:
            lines = [f"FAIL {self.difference}", f"     matched before it: {done}"]
        if not self.is_whole:
            lines.append(f"     not covered: {self.not_covered}")
        if self.noted is not None:
            lines.append(f"     the noted link: {self.noted_text}")
        if self.served is not None:
            lines.append(f"     served: {self.served}")
        return "\n".join(lines)
