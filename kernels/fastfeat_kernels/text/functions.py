"""Functions of text columns in chunks, on the caller's threads: what `fastfeat_kernels.text` says.

Every function takes the chunks of the column, its own arguments, `run`, which runs sequences of
calls of `cpu.ENTRIES`, `n_parts`: into how many runs of rows to divide the work, and `allocate`,
which makes the memory of results. Results do not depend on chunks and parts. A missing row is
missing in the result; its value there is 0 or empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import Run, TextChunk
from fastfeat_kernels.text.layout import (
    CONTAINS,
    ENDS_WITH,
    IN_PLACE,
    LOWERCASE,
    NO_LENGTH,
    SLICE,
    STARTS_WITH,
    STRIP,
    STRIP_END,
    STRIP_START,
    TABLE_CELLS,
    TABLE_FUNCTION,
    TABLE_LENGTH,
    TABLE_N_BUCKETS,
    TABLE_OFFSET,
    TABLE_OUT,
    TABLE_PAGES,
    TABLE_PASS,
    TABLE_PATTERN,
    TABLE_PATTERN_BYTES,
    TABLE_SEED,
    UPPERCASE,
)
from fastfeat_kernels.text.state import (
    Allocate,
    Bytes,
    Int64s,
    TextColumn,
    Texts,
    Words,
    bitmap,
    column_of,
    empty_texts,
    fresh_bytes,
    missing_of,
    pieces_of_texts,
    run_entry,
    sizes_of_input,
    written_texts,
)
from fastfeat_kernels.text.tables import (
    CodePointTable,
    lowercase_table,
    set_of,
    uppercase_table,
    white_space_table,
)

Chunks = Sequence[TextChunk]
MOST_BYTES = 4  # of a code point


class Integers(NamedTuple):
    """Values `(n_rows,)`; bits as Arrow's, None where no row is missing; how many are missing."""

    values: Int64s
    validity: Bytes | None
    n_missing: int


class BucketCounts(NamedTuple):
    """Counts `(n_rows, n_buckets)`; bits as Arrow's, None where no row is missing; how many are."""

    counts: npt.NDArray[np.int32]
    validity: Bytes | None
    n_missing: int


class Flags(NamedTuple):
    """Bits as Arrow's, of whole words, and the same of which rows are present."""

    bits: Bytes
    validity: Bytes | None
    n_missing: int


def len_bytes(
    chunks: Chunks, run: Run, n_parts: int = 1, allocate: Allocate = fresh_bytes
) -> Integers:
    """Return the number of bytes of each row."""
    return _integers(column_of(chunks, run, n_parts, allocate), "len_bytes")


def len_chars(
    chunks: Chunks, run: Run, n_parts: int = 1, allocate: Allocate = fresh_bytes
) -> Integers:
    """Return the number of code points of each row.

    Raises:
        InvalidUtf8: a row is not UTF-8.
    """
    return _integers(column_of(chunks, run, n_parts, allocate), "len_chars")


def token_count(
    chunks: Chunks, run: Run, n_parts: int = 1, allocate: Allocate = fresh_bytes
) -> Integers:
    """Return the number of tokens of each row: maximal runs of code points without white space.

    Raises:
        InvalidUtf8: a row is not UTF-8.
    """
    table = white_space_table()
    return _integers(
        column_of(chunks, run, n_parts, allocate), "token_count", _table_words(table), table
    )


def count_matches(
    chunks: Chunks, literal: bytes, run: Run, n_parts: int = 1, allocate: Allocate = fresh_bytes
) -> Integers:
    """Return how often a literal stands in each row: from the left, without overlap.

    Raises:
        ValueError: the literal is empty.
    """
    if not literal:
        raise ValueError("an empty literal cannot be counted")
    words, owner = _pattern(literal)
    return _integers(column_of(chunks, run, n_parts, allocate), "count_matches", words, owner)


def starts_with(
    chunks: Chunks, literal: bytes, run: Run, n_parts: int = 1, allocate: Allocate = fresh_bytes
) -> Flags:
    """Return whether each row starts with a literal."""
    return _find(column_of(chunks, run, n_parts, allocate), literal, STARTS_WITH)


def ends_with(
    chunks: Chunks, literal: bytes, run: Run, n_parts: int = 1, allocate: Allocate = fresh_bytes
) -> Flags:
    """Return whether each row ends with a literal."""
    return _find(column_of(chunks, run, n_parts, allocate), literal, ENDS_WITH)


def contains(
    chunks: Chunks, literal: bytes, run: Run, n_parts: int = 1, allocate: Allocate = fresh_bytes
) -> Flags:
    """Return whether a literal stands in each row. Time is rows' bytes times, at worst, its own."""
    return _find(
        column_of(chunks, run, n_parts, allocate), literal, CONTAINS if literal else STARTS_WITH
    )


def to_lowercase(
    chunks: Chunks, run: Run, n_parts: int = 1, allocate: Allocate = fresh_bytes
) -> Texts:
    """Return each row in lower case, by the simple mapping: code point for code point.

    Raises:
        InvalidUtf8: a row is not UTF-8.
    """
    return _case(column_of(chunks, run, n_parts, allocate), LOWERCASE, lowercase_table())


def to_uppercase(
    chunks: Chunks, run: Run, n_parts: int = 1, allocate: Allocate = fresh_bytes
) -> Texts:
    """Return each row in upper case, by the simple mapping: code point for code point.

    Raises:
        InvalidUtf8: a row is not UTF-8.
    """
    return _case(column_of(chunks, run, n_parts, allocate), UPPERCASE, uppercase_table())


def slice_chars(
    chunks: Chunks,
    offset: int,
    length: int | None,
    run: Run,
    n_parts: int = 1,
    allocate: Allocate = fresh_bytes,
) -> list[Texts]:
    """Return code points [offset, offset + length) of each row, the rows in several pieces.

    Args:
        chunks: the column.
        offset: where the slice starts; negative from the end, perhaps before the start.
        length: how many code points it spans; None up to the end.
        run: runs the kernel.
        n_parts: number of parts.
        allocate: makes memory.

    Raises:
        InvalidUtf8: a row is not UTF-8.
        ValueError: the length is negative.
    """
    if length is not None and length < 0:
        raise ValueError(f"the length of a slice is {length}; it must not be negative")
    words = {
        TABLE_FUNCTION: SLICE,
        TABLE_OFFSET: max(min(offset, NO_LENGTH), -NO_LENGTH),
        TABLE_LENGTH: NO_LENGTH if length is None else min(length, NO_LENGTH),
    }
    longest = MOST_BYTES * words[TABLE_LENGTH]
    return pieces_of_texts(column_of(chunks, run, n_parts, allocate), words, None, longest)


def strip_chars(
    chunks: Chunks,
    characters: str | None,
    run: Run,
    n_parts: int = 1,
    allocate: Allocate = fresh_bytes,
) -> list[Texts]:
    """Return each row without the characters at its ends that are in a set, in several pieces.

    Args:
        chunks: the column.
        characters: the set; None for white space.
        run: runs the kernel.
        n_parts: number of parts.
        allocate: makes memory.

    Raises:
        InvalidUtf8: a row is not UTF-8.
    """
    return _strip(column_of(chunks, run, n_parts, allocate), characters, STRIP)


def strip_chars_start(
    chunks: Chunks,
    characters: str | None,
    run: Run,
    n_parts: int = 1,
    allocate: Allocate = fresh_bytes,
) -> list[Texts]:
    """Return the same, stripped at the start only."""
    return _strip(column_of(chunks, run, n_parts, allocate), characters, STRIP_START)


def strip_chars_end(
    chunks: Chunks,
    characters: str | None,
    run: Run,
    n_parts: int = 1,
    allocate: Allocate = fresh_bytes,
) -> list[Texts]:
    """Return the same, stripped at the end only."""
    return _strip(column_of(chunks, run, n_parts, allocate), characters, STRIP_END)


def ngram_hash_counts(
    chunks: Chunks,
    n: int,
    n_buckets: int,
    seed: int,
    run: Run,
    n_parts: int = 1,
    allocate: Allocate = fresh_bytes,
) -> BucketCounts:
    """Return per row how many of its n-grams fall into each bucket.

    An n-gram is n code points in a row; its bucket is floor(h n_buckets / 2**64),
    where h is XXH64 of its bytes.

    Args:
        chunks: the column.
        n: code points of an n-gram; a shorter row has none.
        n_buckets: number of buckets.
        seed: of the hash, in [0, 2**64).
        run: runs the kernel.
        n_parts: number of parts.
        allocate: makes memory.

    Raises:
        InvalidUtf8: a row is not UTF-8.
        ValueError: n or n_buckets is not positive.
    """
    if n < 1:
        raise ValueError(f"n is {n}; an n-gram has at least one code point")
    words = {TABLE_LENGTH: min(n, NO_LENGTH)}
    return _hash_counts(column_of(chunks, run, n_parts, allocate), "ngrams", words, n_buckets, seed)


def token_hash_counts(
    chunks: Chunks,
    n_buckets: int,
    seed: int,
    run: Run,
    n_parts: int = 1,
    allocate: Allocate = fresh_bytes,
) -> BucketCounts:
    """Return the same of the tokens of each row: of what `token_count` counts.

    Raises:
        InvalidUtf8: a row is not UTF-8.
        ValueError: n_buckets is not positive.
    """
    words = _table_words(white_space_table())
    return _hash_counts(column_of(chunks, run, n_parts, allocate), "tokens", words, n_buckets, seed)


def _hash_counts(
    column: TextColumn, entry: str, words: Words, n_buckets: int, seed: int
) -> BucketCounts:
    if n_buckets < 1:
        raise ValueError(f"the number of buckets is {n_buckets}; there must be at least one")
    counts = np.zeros((column.n_rows, n_buckets), np.int32)
    signed_seed = (seed + 2**63) % 2**64 - 2**63
    own = {TABLE_OUT: counts.ctypes.data, TABLE_N_BUCKETS: n_buckets, TABLE_SEED: signed_seed}
    run_entry(column, entry, {**words, **own}, counts)
    return BucketCounts(counts, *missing_of(column))


def _integers(
    column: TextColumn, entry: str, words: Words | None = None, owners: object = None
) -> Integers:
    values = column.allocate(8 * column.n_rows).view(np.int64)
    run_entry(column, entry, {**(words or {}), TABLE_OUT: values.ctypes.data}, (values, owners))
    return Integers(values, *missing_of(column))


def _find(column: TextColumn, literal: bytes, function: int) -> Flags:
    bits, (words, owner) = bitmap(column.n_rows), _pattern(literal)
    words = {**words, TABLE_OUT: bits.ctypes.data, TABLE_FUNCTION: function}
    run_entry(column, "find", words, (bits, owner))
    return Flags(bits, *missing_of(column))


def _case(column: TextColumn, function: int, table: CodePointTable) -> Texts:
    words = {**_table_words(table), TABLE_FUNCTION: function}
    texts, places = empty_texts(column, sizes_of_input(column))
    found = run_entry(column, "case", {**words, **places, TABLE_PASS: IN_PLACE}, (texts, table))
    if (found >= 0).all():
        return texts
    return written_texts(column, "case", words, table)


def _strip(column: TextColumn, characters: str | None, function: int) -> list[Texts]:
    table = white_space_table() if characters is None else set_of(map(ord, characters))
    words = {**_table_words(table), TABLE_FUNCTION: function}
    return pieces_of_texts(column, words, table, NO_LENGTH)


def _pattern(literal: bytes) -> tuple[dict[int, int], npt.NDArray[np.uint8]]:
    memory = np.frombuffer(literal + b"\0", np.uint8)
    return {TABLE_PATTERN: memory.ctypes.data, TABLE_PATTERN_BYTES: len(literal)}, memory


def _table_words(table: CodePointTable) -> dict[int, int]:
    return {TABLE_PAGES: table.pages.ctypes.data, TABLE_CELLS: table.cells.ctypes.data}
