"""Features of a plan beside those of a peer: whether they agree, and how far floats are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, Table, call, pa

MOST_ULP = {"double": 1 << 22, "float": 4}
"""How far floats may be apart: about 1e-9 of float64, since peers add in another order."""
LEAST_SIZE = 2.0**-10
"""Floats below this size, and below the median of their column, are measured as if they had it."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One feature, compared.

    Args:
        feature: its name.
        n_rows: how many rows were compared.
        n_different: in how many of them the values differ by more than is allowed.
        max_ulp: the largest distance of floats, in units in the last place; 0 of other types.
        row: the first row that differs; None where none does.
        expected: the value of fastfeat there.
        found: that of the peer.
    """

    feature: str
    n_rows: int
    n_different: int
    max_ulp: float
    row: int | None = None
    expected: Any = None
    found: Any = None

    @property
    def ok(self) -> bool:
        """Whether the peer agrees."""
        return self.n_different == 0

    def __str__(self) -> str:
        """Return one line."""
        if self.ok:
            return f"{self.feature!r}: {self.n_rows:,} rows, within {self.max_ulp:g} ulp"
        return (
            f"{self.feature!r}: {self.n_different:,} of {self.n_rows:,} rows differ, the first is "
            f"row {self.row}: {self.expected!r}, and {self.found!r}"
        )


def arrow_of(frame: Any) -> Table:
    """Return the features of a peer, a frame of pandas or of Polars, as a table."""
    if hasattr(frame, "to_arrow"):
        return frame.to_arrow()
    return pa.Table.from_pandas(frame, preserve_index=False)


def agreements(expected: Table, found: Table) -> list[Agreement]:
    """Return how each feature of a table agrees with the one of that name in another table."""
    return [
        _agreement(name, column.combine_chunks(), found.column(k).combine_chunks())
        for k, (name, column) in enumerate(
            zip(expected.column_names, expected.columns, strict=True)
        )
    ]


def _agreement(name: str, expected: Array, found: Array) -> Agreement:
    if len(expected) != len(found):
        return Agreement(
            name, len(expected), max(len(expected), 1), 0.0, 0, len(expected), len(found)
        )
    kind = expected.type
    if found.type != kind:
        found = found.cast(kind, safe=not pa.types.is_floating(kind))
    missing = _missing(expected)
    differs = missing != _missing(found)
    ulp = np.zeros(len(expected))
    if pa.types.is_floating(kind):
        ulp = _ulps_apart(expected, found)
        differs |= ~missing & ~(ulp <= MOST_ULP[str(kind)])
    else:
        same = call("equal", expected, found).fill_null(True)
        differs |= ~same.to_numpy(zero_copy_only=False)
    at = int(np.argmax(differs)) if differs.any() else None
    within = ulp[~differs & ~missing]
    return Agreement(
        name,
        len(expected),
        int(differs.sum()),
        float(within.max()) if len(within) else 0.0,
        at,
        None if at is None else expected[at].as_py(),
        None if at is None else found[at].as_py(),
    )


def _missing(column: Array) -> NDArray[np.bool_]:
    return column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)


def _ulps_apart(expected: Array, found: Array) -> NDArray[np.float64]:
    """Return how far floats are apart, in units of the last place of the expected ones."""
    one = expected.to_numpy(zero_copy_only=False)
    other = found.to_numpy(zero_copy_only=False)
    sizes = np.abs(one[np.isfinite(one) & (one != 0)])
    least = max(float(np.median(sizes)) if len(sizes) else 0.0, LEAST_SIZE)
    with np.errstate(all="ignore"):
        last_place = np.spacing(np.maximum(np.abs(one), one.dtype.type(least)))
        apart = np.abs(one - other) / last_place
    apart[one == other] = 0.0  # equal infinities among them
    apart[np.isinf(one) & (one != other)] = np.inf
    return np.asarray(np.where(np.isnan(apart), np.inf, apart), np.float64)
