"""Comparison of features bit by bit, and the report of `verify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.errors import counted
from fastfeat.io.columns.differences import first_difference


@dataclass(frozen=True, slots=True)
class Check:
    """A comparison of two ways to compute the same features.

    Args:
        name: The two ways.
        n_rows: Number of rows compared.
        difference: First feature and row that differ; None if all bits agree.
        skipped: Why nothing was compared; "" if it was.
        note: Text to add after the number of rows, or "".
    """

    name: str
    n_rows: int
    difference: str | None
    skipped: str = ""
    note: str = ""

    def __str__(self) -> str:
        """Return the result, the name and the first difference on one line."""
        if self.skipped:
            return f"skip {self.name}: {self.skipped}"
        of_rows = f"{self.name} ({counted(self.n_rows, 'row')}{self.note})"
        return f"FAIL {of_rows}: {self.difference}" if self.difference else f"ok   {of_rows}"


@dataclass(frozen=True, slots=True, repr=False)
class VerifyReport:
    """The results of `verify`; prints a line per check, then the limits of the checks.

    Args:
        checks: The comparisons.
        on_word: Features and tables, as lines of text, that the check for later rows leaves out:
            the user declared them known, or no single clock can judge them.
        cannot_see: Leaks that the check for later rows cannot detect, as lines of text.
    """

    checks: tuple[Check, ...]
    on_word: tuple[str, ...] = ()
    cannot_see: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all bits agree in every check."""
        return all(check.difference is None for check in self.checks)

    def __repr__(self) -> str:
        """Return one line per check, then the limits of the checks."""
        return "\n".join([*map(str, self.checks), *lines_left_out(self.on_word, self.cannot_see)])


def lines_left_out(on_word: Sequence[str], cannot_see: Sequence[str]) -> Iterator[str]:
    """Yield lines on the features that the check for later rows leaves out, and its limits."""
    if on_word:
        yield "left out of the check without later rows:"
        yield from (f"  {text}" for text in on_word)
    if cannot_see:
        yield "the check without later rows cannot detect:"
        yield from (f"  {text}" for text in cannot_see)


def compare(name: str, left: Any, right: Any) -> Check:
    """Return the comparison of two tables of features, up to the first difference.

    `name` says which two ways of computing them are compared.
    """
    for feature, one, other in zip(left.column_names, left.columns, right.columns, strict=True):
        row = first_difference(one.combine_chunks(), other.combine_chunks())
        if row is not None:
            found = (
                f"feature {feature!r}, row {row}: {one[row].as_py()!r} and {other[row].as_py()!r}"
            )
            return Check(name, left.num_rows, found)
    return Check(name, left.num_rows, None)
