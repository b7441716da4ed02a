"""Features compared by their bits: what `verify` reports of two ways to the same table."""

from __future__ import annotations

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
    """The results of `verify`; prints as one line a check."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all bits agreed."""
        return all(check.difference is None for check in self.checks)

    def __repr__(self) -> str:
        """Return one line a check."""
        return "\n".join(map(str, self.checks))


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
