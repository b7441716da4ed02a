"""Numbers that the rows of a text column are; `functions` runs it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.text.layout import (
    IS_NAN,
    OUT_OF_RANGE,
    PARSED,
    TABLE_OUT,
    TABLE_STATUS,
    UNDECIDED,
)
from fastfeat_kernels.text.state import (
    Bytes,
    Int64s,
    Missing,
    TextColumn,
    Words,
    bitmap,
    missing_of,
    run_entry,
    text_at,
)

Float64s = npt.NDArray[np.float64]


class ParsedIntegers(NamedTuple):
    """Rows of text as integers.

    Args:
        values: `(n_rows,)`; 0 where the row is missing or was not parsed.
        status: per row PARSED, NOT_PARSEABLE or OUT_OF_RANGE of `layout`.
        all_parsed: whether no row has another status than PARSED.
        validity: bits as Arrow's, None where no row is missing.
        n_missing: how many rows are missing.
    """

    values: Int64s
    status: Bytes
    all_parsed: bool
    validity: Bytes | None
    n_missing: int


class ParsedFloats(NamedTuple):
    """Rows of text as float64: as `ParsedIntegers`, but infinite where out of range."""

    values: Float64s
    status: Bytes
    all_parsed: bool
    validity: Bytes | None
    n_missing: int


def parsed_integers(column: TextColumn, entry: str, words: Words, owners: object) -> ParsedIntegers:
    """Return the int64 that each row is: an optional sign, then digits, and nothing else."""
    values = column.allocate(8 * column.n_rows).view(np.int64)
    status = column.allocate(column.n_rows)
    found = run_entry(column, entry, {**words, **_places(values, status)}, (values, status, owners))
    all_parsed = bool((found == 1 << PARSED).all())
    return ParsedIntegers(values, status, all_parsed, *missing_of(column))


def parsed_floats(column: TextColumn, entry: str, words: Words, owners: object) -> ParsedFloats:
    """Return the float64 nearest to what each row is, ties to even.

    A row is an optional sign, then digits of ASCII, perhaps with a point, at least one, and perhaps
    "e", a sign and digits; or "inf", "infinity", "nan". Letters are of either case. "nan" is
    missing. A decimal whose nearest float64 is infinite is out of range.
    """
    values = column.allocate(8 * column.n_rows).view(np.float64)
    status = column.allocate(column.n_rows)
    missing = missing_of(column)
    found = run_entry(column, entry, {**words, **_places(values, status)}, (values, status, owners))
    if (found & (1 << UNDECIDED)).any():
        _decide(column, values, status)
    if (found & (1 << IS_NAN)).any():
        missing = _with_nan(missing, status)
    all_parsed = bool((found == 1 << PARSED).all()) or not status.any()
    return ParsedFloats(values, status, all_parsed, *missing)


def _places(values: npt.NDArray[np.generic], status: Bytes) -> dict[int, int]:
    return {TABLE_OUT: values.ctypes.data, TABLE_STATUS: status.ctypes.data}


def _decide(column: TextColumn, values: Float64s, status: Bytes) -> None:
    """Parse what the kernel left undecided: decimals of many digits, near to a tie."""
    for row in np.flatnonzero(status == UNDECIDED).tolist():
        values[row] = float(text_at(column, row))
        status[row] = OUT_OF_RANGE if np.isinf(values[row]) else PARSED


def _with_nan(missing: Missing, status: Bytes) -> Missing:
    """Return the missing rows and those that are NaN, whose status becomes PARSED."""
    is_nan = status == IS_NAN
    bits = bitmap(len(status))
    kept = np.packbits(~is_nan, bitorder="little")
    bits[: len(kept)] = kept
    if missing.validity is not None:
        bits &= missing.validity
    status[is_nan] = PARSED
    return Missing(bits, missing.n_missing + int(is_nan.sum()))
