"""The functions of text, a row each: their definitions, and their requests to the kernels.

Both sides read the rows: `functions`, which runs the CPU loops, and the code that launches device
kernels. The rows are their only source of knowledge about a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.records import dataclass
from fastfeat_kernels.text import (
    CONTAINS,
    ENDS_WITH,
    LOWERCASE,
    NO_LENGTH,
    SLICE,
    STARTS_WITH,
    STRIP,
    STRIP_END,
    STRIP_START,
    TABLE_BASE,
    TABLE_CELLS,
    TABLE_FUNCTION,
    TABLE_LENGTH,
    TABLE_MOST_BYTES,
    TABLE_N_BUCKETS,
    TABLE_OFFSET,
    TABLE_PAGES,
    TABLE_PATTERN,
    TABLE_PATTERN_BYTES,
    TABLE_POWERS,
    TABLE_SEED,
    TABLE_VALUE,
    TABLE_VALUE_BYTES,
    UPPERCASE,
    reference,
)
from fastfeat_kernels.text.tables import (
    CodePointTable,
    lowercase_table,
    powers_table,
    set_of,
    uppercase_table,
    white_space_table,
)

TextParams = Mapping[str, Any]
"""Parameters by name, for the reference."""
TextRequestWords = Mapping[int, int | npt.NDArray[Any]]
"""Words of a table: a number, or memory that the word gets the address of."""
Gives = Literal[
    "count",
    "flag",
    "text",
    "piece",
    "grown_text",
    "bucket_counts",
    "parsed_integer",
    "parsed_float",
]
"""The kind of result for a row: an int64, a bool, a text, a contiguous piece of the row, a text of
any length, the number of its parts in each bucket, or a parsed number.
"""
VECTOR_BYTES: Final = 64  # a replacement is copied in pieces of so many bytes
Takes = Literal["characters", "bytes"]
TextAccess = Literal["offsets", "bytes", "words"]
"""The parts of a text that a device kernel reads: none, the bytes, or aligned words around them."""


def _no_words(params: TextParams) -> TextRequestWords:
    return {}


@dataclass(frozen=True, slots=True)
class Request:
    """A row of the table of functions of text.

    Args:
        name: Name of the function: its step's name without "str.".
        reference: Definition: function from the bytes of a row, and parameters by name, to the
            result.
        gives: Kind of the result.
        kernel: File of device kernels, one of `cuda.SUBJECTS`, and the entry in it, which has the
            same name on the CPU. A function with text results has two on a device, prefixed
            "measure_" and "write_".
        words: Function from the parameters to their words in the table; raises ValueError for
            invalid ones.
        takes: Whether rows must be UTF-8, or may be any bytes.
        literals: Parameters that are texts to a user and bytes here.
        reads: The parts of a text that a device kernel reads.
        growth: Largest number of result bytes per byte of a row.
    """

    name: str
    reference: Callable[..., Any]
    gives: Gives
    kernel: str
    words: Callable[[TextParams], TextRequestWords] = _no_words
    takes: Takes = "characters"
    literals: tuple[str, ...] = ()
    reads: TextAccess = "bytes"
    growth: float = 1

    @property
    def subject(self) -> str:
        """File of the kernel on a device."""
        return self.kernel.partition(".")[0]

    @property
    def entry(self) -> str:
        """Name of the kernel."""
        return self.kernel.partition(".")[2]


def _literal(params: TextParams) -> TextRequestWords:
    literal: bytes = params["pattern"]
    memory = np.frombuffer(literal + b"\0", np.uint8)
    return {TABLE_PATTERN: memory, TABLE_PATTERN_BYTES: len(literal)}


def _counted_literal(params: TextParams) -> TextRequestWords:
    if not params["pattern"]:
        raise ValueError("an empty literal cannot be counted")
    return _literal(params)


def _replacement(params: TextParams) -> TextRequestWords:
    if not params["pattern"]:
        raise ValueError("an empty literal cannot be replaced")
    n, value = params["n"], params["value"]
    return {
        **_literal(params),
        TABLE_VALUE: np.frombuffer(value + bytes(VECTOR_BYTES), np.uint8),
        TABLE_VALUE_BYTES: len(value),
        TABLE_LENGTH: NO_LENGTH if n < 0 else min(n, NO_LENGTH),
        TABLE_MOST_BYTES: params.get("most_bytes", NO_LENGTH),
    }


def _prefix(params: TextParams) -> TextRequestWords:
    return {**_literal(params), TABLE_FUNCTION: STARTS_WITH}


def _suffix(params: TextParams) -> TextRequestWords:
    return {**_literal(params), TABLE_FUNCTION: ENDS_WITH}


def _inner(params: TextParams) -> TextRequestWords:
    return {**_literal(params), TABLE_FUNCTION: CONTAINS if params["pattern"] else STARTS_WITH}


def _code_points(table: CodePointTable) -> TextRequestWords:
    return {TABLE_PAGES: table.pages, TABLE_CELLS: table.cells}


def _white_space(params: TextParams) -> TextRequestWords:
    return _code_points(white_space_table())


def _lower(params: TextParams) -> TextRequestWords:
    return {**_code_points(lowercase_table()), TABLE_FUNCTION: LOWERCASE}


def _upper(params: TextParams) -> TextRequestWords:
    return {**_code_points(uppercase_table()), TABLE_FUNCTION: UPPERCASE}


def _slice(params: TextParams) -> TextRequestWords:
    offset, length = params["offset"], params["length"]
    if length is not None and length < 0:
        raise ValueError(f"the length of a slice is {length}; it must not be negative")
    return {
        TABLE_FUNCTION: SLICE,
        TABLE_OFFSET: max(min(offset, NO_LENGTH), -NO_LENGTH),
        TABLE_LENGTH: NO_LENGTH if length is None else min(length, NO_LENGTH),
    }


def _strip(ends: int) -> Callable[[TextParams], TextRequestWords]:
    def words(params: TextParams) -> TextRequestWords:
        characters: str | None = params["characters"]
        table = white_space_table() if characters is None else set_of(map(ord, characters))
        return {**_code_points(table), TABLE_FUNCTION: ends}

    return words


def signed_seed(seed: int) -> int:
    """Return a seed in [0, 2**64) as a word of a table: the signed integer of the same bits."""
    return (seed + 2**63) % 2**64 - 2**63


def _buckets(params: TextParams) -> TextRequestWords:
    n_buckets, seed = params["n_buckets"], params["seed"]
    if n_buckets < 1:
        raise ValueError(f"the number of buckets is {n_buckets}; there must be at least one")
    return {TABLE_N_BUCKETS: n_buckets, TABLE_SEED: signed_seed(seed)}


def _ngrams(params: TextParams) -> TextRequestWords:
    n = params["n"]
    if n < 1:
        raise ValueError(f"n is {n}; an n-gram has at least one code point")
    return {**_buckets(params), TABLE_LENGTH: min(n, NO_LENGTH)}


def _tokens(params: TextParams) -> TextRequestWords:
    return {**_buckets(params), **_white_space(params)}


def _base(params: TextParams) -> TextRequestWords:
    base = params["base"]
    if not 2 <= base <= 36:
        raise ValueError(f"the base is {base}; it must be from 2 to 36")
    return {TABLE_BASE: base}


def _powers(params: TextParams) -> TextRequestWords:
    return {TABLE_POWERS: powers_table()}


_ROWS: Final = (
    Request(
        "len_bytes",
        reference.len_bytes,
        "count",
        "lengths.len_bytes",
        takes="bytes",
        reads="offsets",
    ),
    Request("len_chars", reference.len_chars, "count", "lengths.len_chars"),
    Request("token_count", reference.token_count, "count", "lengths.token_count", _white_space),
    Request(
        "count_matches_literal",
        reference.count_matches,
        "count",
        "search.count_matches",
        _counted_literal,
        "bytes",
        ("pattern",),
    ),
    Request(
        "starts_with", reference.starts_with, "flag", "search.find", _prefix, "bytes", ("pattern",)
    ),
    Request(
        "ends_with", reference.ends_with, "flag", "search.find", _suffix, "bytes", ("pattern",)
    ),
    Request(
        "contains_literal", reference.contains, "flag", "search.find", _inner, "bytes", ("pattern",)
    ),
    Request(
        "find_literal",
        reference.find,
        "count",
        "search.find_first",
        _literal,
        "bytes",
        ("pattern",),
    ),
    Request(
        "replace",
        reference.replace,
        "grown_text",
        "search.replace",
        _replacement,
        literals=("pattern", "value"),
    ),
    Request("to_lowercase", reference.to_lowercase, "text", "case.case", _lower, growth=1.5),
    Request("to_uppercase", reference.to_uppercase, "text", "case.case", _upper, growth=1.5),
    Request("slice", reference.slice_chars, "piece", "pieces.pieces", _slice),
    Request("strip_chars", reference.strip_chars, "piece", "pieces.pieces", _strip(STRIP)),
    Request(
        "strip_chars_start",
        reference.strip_chars_start,
        "piece",
        "pieces.pieces",
        _strip(STRIP_START),
    ),
    Request(
        "strip_chars_end", reference.strip_chars_end, "piece", "pieces.pieces", _strip(STRIP_END)
    ),
    Request("to_integer", reference.to_integer, "parsed_integer", "numbers.to_integer", _base),
    Request("to_float", reference.to_float, "parsed_float", "numbers.to_float", _powers),
    Request(
        "hash_ngrams",
        reference.ngram_hash_counts,
        "bucket_counts",
        "ngrams.ngrams",
        _ngrams,
        reads="words",
    ),
    Request(
        "hash_tokens",
        reference.token_hash_counts,
        "bucket_counts",
        "ngrams.tokens",
        _tokens,
        reads="words",
    ),
)
REQUESTS: Final[Mapping[str, Request]] = {row.name: row for row in _ROWS}
"""The functions by name."""
