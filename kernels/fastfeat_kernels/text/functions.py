"""Functions of text columns in chunks on threads; `fastfeat_kernels.text` has the spec.

A function's requests to the kernels are in its row of `requests`; this module builds each kind of
result. Results do not depend on chunks and parts. A missing row is missing in the result, where its
value is 0 or empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Float64Array, Int64Array, Uint8Array
from fastfeat_kernels.column import ArrowTextChunk, CallRunner
from fastfeat_kernels.text import (
    IN_PLACE,
    IS_NAN,
    MEASURE,
    NO_LENGTH,
    OUT_OF_RANGE,
    PARSED,
    TABLE_LENGTH,
    TABLE_MOST_BYTES,
    TABLE_N_BUCKETS,
    TABLE_OUT,
    TABLE_PASS,
    TABLE_STATUS,
    UNDECIDED,
)
from fastfeat_kernels.text.requests import Gives, Request, TextParams
from fastfeat_kernels.text.state import (
    Allocate,
    MissingRows,
    TextInput,
    TextRows,
    TextTableWords,
    bitmap,
    column_of,
    empty_texts,
    fresh_bytes,
    missing_of,
    pieces_of_texts,
    run_entry,
    sizes_of_input,
    text_at,
    written_texts,
)


class ParsedIntegers(NamedTuple):
    """Rows of text as integers.

    Args:
        values: `(n_rows,)`; 0 if the row is missing or was not parsed.
        status: For each row PARSED, NOT_PARSEABLE or OUT_OF_RANGE of the package.
        all_parsed: Whether all rows have the status PARSED.
        validity: Bits in Arrow's order; None if no row is missing.
        n_missing: Number of missing rows.
    """

    values: Int64Array
    status: Uint8Array
    all_parsed: bool
    validity: Uint8Array | None
    n_missing: int


class ParsedFloats(NamedTuple):
    """Rows of text as float64, like `ParsedIntegers`, but infinite if out of range."""

    values: Float64Array
    status: Uint8Array
    all_parsed: bool
    validity: Uint8Array | None
    n_missing: int


def parsed_integers(
    column: TextInput, entry: str, words: TextTableWords, owners: object
) -> ParsedIntegers:
    """Return the int64 in each row: an optional sign, then digits, and nothing else."""
    values = column.allocate(8 * column.n_rows).view(np.int64)
    status = column.allocate(column.n_rows)
    found = run_entry(column, entry, {**words, **_places(values, status)}, (values, status, owners))
    all_parsed = bool((found == 1 << PARSED).all())
    return ParsedIntegers(values, status, all_parsed, *missing_of(column))


def parsed_floats(
    column: TextInput, entry: str, words: TextTableWords, owners: object
) -> ParsedFloats:
    """Return the float64 nearest to the number in each row, ties to even.

    A row is an optional sign and ASCII digits, at least one, with an optional point, optionally
    followed by "e", a sign and digits; or it is "inf", "infinity" or "nan". Letters may have either
    case. "nan" is missing. A decimal is out of range if its nearest float64 is infinite.
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


def _places(values: npt.NDArray[np.generic], status: Uint8Array) -> dict[int, int]:
    return {TABLE_OUT: values.ctypes.data, TABLE_STATUS: status.ctypes.data}


def _decide(column: TextInput, values: Float64Array, status: Uint8Array) -> None:
    """Parse the rows that the kernel left undecided: decimals of many digits, near a tie."""
    for row in np.flatnonzero(status == UNDECIDED).tolist():
        values[row] = float(text_at(column, row))
        status[row] = OUT_OF_RANGE if np.isinf(values[row]) else PARSED


def _with_nan(missing: MissingRows, status: Uint8Array) -> MissingRows:
    """Return the missing rows and the NaN rows, which get the status PARSED."""
    is_nan = status == IS_NAN
    bits = bitmap(len(status))
    kept = np.packbits(~is_nan, bitorder="little")
    bits[: len(kept)] = kept
    if missing.validity is not None:
        bits &= missing.validity
    status[is_nan] = PARSED
    return MissingRows(bits, missing.n_missing + int(is_nan.sum()))


MOST_BYTES: Final = 4  # bytes of a code point


class IntegerColumn(NamedTuple):
    """Values `(n_rows,)`; validity bits in Arrow's order or None; number of missing rows."""

    values: Int64Array
    validity: Uint8Array | None
    n_missing: int


class BucketCounts(NamedTuple):
    """Counts `(n_rows, n_buckets)`; validity bits in Arrow's order or None; number missing."""

    counts: npt.NDArray[np.int32]
    validity: Uint8Array | None
    n_missing: int


class FlagColumn(NamedTuple):
    """Bits in Arrow's order, in whole words, and likewise the bits of present rows."""

    bits: Uint8Array
    validity: Uint8Array | None
    n_missing: int


def computed(
    request: Request,
    params: TextParams,
    chunks: Sequence[ArrowTextChunk],
    run: CallRunner,
    n_parts: int = 1,
    allocate: Allocate = fresh_bytes,
) -> Any:
    """Return the results of a function for each row.

    The type depends on the function: Integers, Flags, BucketCounts, ParsedIntegers or ParsedFloats.
    For a text or a piece it is a list of Texts with consecutive rows.
    """
    held = request.words(params)
    words = {k: word if isinstance(word, int) else word.ctypes.data for k, word in held.items()}
    column = column_of(chunks, run, n_parts, allocate)
    return _RESULTS[request.gives](column, request.entry, words, held)


def _integers(
    column: TextInput, entry: str, words: TextTableWords, owners: object
) -> IntegerColumn:
    values = column.allocate(8 * column.n_rows).view(np.int64)
    run_entry(column, entry, {**words, TABLE_OUT: values.ctypes.data}, (values, owners))
    return IntegerColumn(values, *missing_of(column))


def _flags(column: TextInput, entry: str, words: TextTableWords, owners: object) -> FlagColumn:
    bits = bitmap(column.n_rows)
    run_entry(column, entry, {**words, TABLE_OUT: bits.ctypes.data}, (bits, owners))
    return FlagColumn(bits, *missing_of(column))


def _texts(column: TextInput, entry: str, words: TextTableWords, owners: object) -> list[TextRows]:
    texts, places = empty_texts(column, sizes_of_input(column))
    found = run_entry(column, entry, {**words, **places, TABLE_PASS: IN_PLACE}, (texts, owners))
    if (found >= 0).all():
        return [texts]
    sizes = run_entry(column, entry, {**words, TABLE_PASS: MEASURE}, owners)
    return [written_texts(column, entry, words, owners, sizes)]


def _pieces(column: TextInput, entry: str, words: TextTableWords, owners: object) -> list[TextRows]:
    longest = MOST_BYTES * int(words.get(TABLE_LENGTH, NO_LENGTH))
    return pieces_of_texts(column, entry, words, owners, longest)


class TextTooLong(ValueError):
    """The new text has `n_bytes` bytes in all, more than it may have."""

    def __init__(self, n_bytes: int) -> None:
        super().__init__(f"the new text would have {n_bytes} bytes")
        self.n_bytes = n_bytes


def _grown_texts(
    column: TextInput, entry: str, words: TextTableWords, owners: object
) -> list[TextRows]:
    sizes = run_entry(column, entry, {**words, TABLE_PASS: MEASURE}, owners)
    if sizes.sum() > words[TABLE_MOST_BYTES]:
        raise TextTooLong(int(sizes.sum()))
    return [written_texts(column, entry, words, owners, sizes)]


def _bucket_counts(
    column: TextInput, entry: str, words: TextTableWords, owners: object
) -> BucketCounts:
    counts = np.zeros((column.n_rows, int(words[TABLE_N_BUCKETS])), np.int32)
    run_entry(column, entry, {**words, TABLE_OUT: counts.ctypes.data}, (counts, owners))
    return BucketCounts(counts, *missing_of(column))


_RESULTS: Final[Mapping[Gives, Callable[[TextInput, str, TextTableWords, object], Any]]] = {
    "count": _integers,
    "flag": _flags,
    "text": _texts,
    "piece": _pieces,
    "grown_text": _grown_texts,
    "bucket_counts": _bucket_counts,
    "parsed_integer": parsed_integers,
    "parsed_float": parsed_floats,
}
