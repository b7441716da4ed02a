"""Comparison of a plan's features with those of the same plan written for pandas or Polars.

A peer is that other library. The comparison tells which features agree, and how far floats differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.io.arrow import Array, Table, call, pa

MOST_ULP = {"double": 1 << 22, "float": 4}
"""Largest allowed distance of floats: about 1e-9 for float64, since peers add in another order."""
LEAST_SIZE = 2.0**-10
"""Floats smaller than this, and than their column's median, are compared at that size."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The comparison of one feature.

    Args:
        feature: Name of the feature.
        n_rows: Number of rows compared.
        n_different: Number of rows that differ by more than is allowed.
        max_ulp: Largest distance of floats in units in the last place; 0 for other types.
        row: First row that differs; None if all agree.
        expected: The value of fastfeat in that row.
        found: The value of the peer in that row.
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
        """Whether all rows agree."""
        return self.n_different == 0

    def __str__(self) -> str:
        """Return the comparison on one line."""
        if self.ok:
            return f"{self.feature!r}: {self.n_rows:,} rows, within {self.max_ulp:g} ulp"
        return (
            f"{self.feature!r}: differs in {self.n_different:,} of {self.n_rows:,} rows, first in "
            f"row {self.row}: fastfeat gives {self.expected!r}, the other library {self.found!r}"
        )


def arrow_of(frame: Any) -> Table:
    """Return the features that a peer computed, as a pandas or Polars frame, as an Arrow table."""
    if hasattr(frame, "to_arrow"):
        return frame.to_arrow()
    return pa.Table.from_pandas(frame, preserve_index=False)


def compare_features(expected: Table, found: Table) -> list[Agreement]:
    """Return a comparison of each column of `expected` with the column of that name in `found`."""
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
    """Return the distance of each pair of floats, in units in the last place of `expected`."""
    one = expected.to_numpy(zero_copy_only=False)
    other = found.to_numpy(zero_copy_only=False)
    sizes = np.abs(one[np.isfinite(one) & (one != 0)])
    least = max(float(np.median(sizes)) if len(sizes) else 0.0, LEAST_SIZE)
    with np.errstate(all="ignore"):
        last_place = np.spacing(np.maximum(np.abs(one), one.dtype.type(least)))
        apart = np.abs(one - other) / last_place
    apart[one == other] = 0.0  # including equal infinities
    apart[np.isinf(one) & (one != other)] = np.inf
    return np.asarray(np.where(np.isnan(apart), np.inf, apart), np.float64)
