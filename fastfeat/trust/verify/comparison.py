"""Features compared by their bits: what `verify` reports of two ways to the same table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastfeat.errors import counted
from fastfeat.io.columns.differences import first_difference


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: two ways to the same features.

    Args:
        name: what was compared.
        n_rows: on how many rows.
        difference: the first feature and row that differ; None where all bits agree.
        skipped: why nothing was compared, or "".
        note: what is to be said of those rows, after their number, or "".
    """

    name: str
    n_rows: int
    difference: str | None
    skipped: str = ""
    note: str = ""

    def __str__(self) -> str:
        """Return one line."""
        if self.skipped:
            return f"skip {self.name}: {self.skipped}"
        of_rows = f"{self.name} ({counted(self.n_rows, 'row')}{self.note})"
        return f"FAIL {of_rows}: {self.difference}" if self.difference else f"ok   {of_rows}"


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """The results of `verify`; prints as one line a check, and what the checks leave out.

    Args:
        checks: the comparisons.
        on_word: what the check without later rows leaves out, since you say that it is known, or
            since no one moment can judge it.
        cannot_see: what that check cannot show.
    """

    checks: tuple[Check, ...]
    on_word: tuple[str, ...] = ()
    cannot_see: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all bits agreed."""
        return all(check.difference is None for check in self.checks)

    def __repr__(self) -> str:
        """Return one line a check, then what is left out."""
        return "\n".join([*map(str, self.checks), *left_out(self.on_word, self.cannot_see)])


def left_out(on_word: Sequence[str], cannot_see: Sequence[str]) -> Iterator[str]:
    """Yield the lines about what the check without later rows leaves out, and cannot show."""
    if on_word:
        yield "on your word, not checked without later rows:"
        yield from (f"  {text}" for text in on_word)
    if cannot_see:
        yield "the check without later rows cannot see:"
        yield from (f"  {text}" for text in cannot_see)


def compare(name: str, left: Any, right: Any) -> Check:
    """Return the comparison of two tables of features, column by column."""
    for feature, one, other in zip(left.column_names, left.columns, right.columns, strict=True):
        row = first_difference(one.combine_chunks(), other.combine_chunks())
        if row is not None:
            found = (
                f"feature {feature!r}, row {row}: {one[row].as_py()!r} and {other[row].as_py()!r}"
            )
            return Check(name, left.num_rows, found)
    return Check(name, left.num_rows, None)
