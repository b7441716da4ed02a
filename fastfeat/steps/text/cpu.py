"""Steps of text on the CPU: by the text and hashing kernels, over entries of dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.text import functions, parsing
from fastfeat_kernels.text.layout import NOT_PARSEABLE, OUT_OF_RANGE, PARSED
from fastfeat_kernels.text.state import InvalidUtf8, Texts

from fastfeat.engine.cpu.kernels import n_parts, runner
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns.strings import content_at, text_chunks
from fastfeat.io.sinks.write import empty_bytes
from fastfeat.steps.entries import content_column, over_entries
from fastfeat.steps.step import Argument, StepFailed
from fastfeat.steps.text.rows import NOT_UTF8, integer_text, not_parseable, out_of_range

Kernel = Callable[[Sequence[Argument], Mapping[str, Any], int], Any]
Params = Mapping[str, Any]
_RUN = "text"
_NO_TEXT = pa.nulls(0, pa.large_string())


def _step(work: Callable[..., Array], *literals: str) -> Kernel:
    """Return a step: `work` is given a column and the parameters.

    Args:
        work: the function.
        literals: the parameters that are texts, of which a kernel takes the bytes.
    """

    def step(args: Sequence[Argument], params: Params, n_rows: int) -> Any:
        given = {k: v.encode() if k in literals else v for k, v in params.items()}
        return over_entries(content_column(args[0]), lambda column: work(column, **given))

    return step


def _checked(function: Callable[..., Any], column: ChunkedArray, *args: Any) -> Any:
    """Return what a kernel gives for a column."""
    try:
        parts = n_parts(len(column))
        return function(text_chunks(column), *args, runner(_RUN), parts, empty_bytes)
    except InvalidUtf8 as error:
        raise StepFailed(error.row, NOT_UTF8) from None


def _integers(function: Callable[..., Any]) -> Callable[..., Array]:
    def work(column: ChunkedArray, **params: Any) -> Array:
        found = _checked(function, column, *params.values())
        return _array(pa.int64(), len(column), found.values, found)

    return work


def _flags(function: Callable[..., Any]) -> Callable[..., Array]:
    def work(column: ChunkedArray, pattern: bytes) -> Array:
        found = _checked(function, column, pattern)
        return _array(pa.bool_(), len(column), found.bits, found)

    return work


def _texts(function: Callable[..., Any], *names: str) -> Callable[..., Array]:
    """Return what gives text; `names` are the parameters in the order of the kernel."""

    def work(column: ChunkedArray, **params: Any) -> Any:
        found = _checked(function, column, *(params[name] for name in names))
        pieces: list[Texts] = [found] if isinstance(found, Texts) else found
        return pa.chunked_array([_text(piece) for piece in pieces] or [_NO_TEXT])

    return work


def _text(piece: Texts) -> Array:
    kind = pa.string() if piece.offsets.itemsize == 4 else pa.large_string()
    buffers = [_bitmap(piece), pa.py_buffer(piece.offsets), pa.py_buffer(piece.data)]
    n_rows = len(piece.offsets) - 1 - piece.lead
    return pa.Array.from_buffers(kind, n_rows, buffers, piece.n_missing, piece.lead)


def _array(kind: Any, n_rows: int, values: Any, found: Any) -> Array:
    """Return values and validity of a kernel as an Arrow array."""
    return pa.Array.from_buffers(
        kind, n_rows, [_bitmap(found), pa.py_buffer(values)], found.n_missing
    )


def _bitmap(found: Any) -> Any:
    return None if found.validity is None else pa.py_buffer(found.validity)


def _to_integer(column: ChunkedArray, base: int, strict: bool) -> Array:
    found = _checked(parsing.to_integer, column, base)
    return _parsed(column, found, pa.int64(), strict, integer_text(base))


def _to_float(column: ChunkedArray, strict: bool) -> Array:
    found = _checked(parsing.to_float, column)
    return _parsed(column, found, pa.float64(), strict, "a number")


def _parsed(column: ChunkedArray, found: Any, kind: Any, strict: bool, what: str) -> Array:
    """Return numbers; what is none is missing, or an error."""
    if found.all_parsed:
        return _array(kind, len(column), found.values, found)
    wrong = found.status != PARSED
    if strict:
        row = int(np.flatnonzero(wrong)[0])
        text = content_at(column, row)
        if found.status[row] == OUT_OF_RANGE:
            raise out_of_range(row, text, "int64" if kind == pa.int64() else "float64")
        assert found.status[row] == NOT_PARSEABLE
        raise not_parseable(row, text, what)
    kept = np.packbits(~wrong, bitorder="little")
    if found.validity is not None:
        kept &= found.validity[: len(kept)]
    n_rows = len(column)
    found.values[wrong] = 0
    return pa.Array.from_buffers(kind, n_rows, [pa.py_buffer(kept), pa.py_buffer(found.values)])


def _counts(function: Callable[..., Any], *names: str) -> Kernel:
    """Return a step that counts pieces of text into buckets: a column each, shared by entries."""

    def step(args: Sequence[Argument], params: Params, n_rows: int) -> Any:
        column = content_column(args[0])

        def work(plain: ChunkedArray) -> Array:
            found = _checked(function, plain, *(params[name] for name in names))
            by_bucket = np.ascontiguousarray(found.counts.T)
            columns = [_array(pa.int32(), len(plain), counts, found) for counts in by_bucket]
            return pa.StructArray.from_arrays(columns, [str(k) for k in range(len(columns))])

        return over_entries(column, work)

    return step


def _bucket_count(args: Sequence[Argument], params: Params, n_rows: int) -> Any:
    counts = args[0].values
    chunks = counts.chunks if isinstance(counts, pa.ChunkedArray) else [counts]
    pieces = [chunk.field(params["bucket"]) for chunk in chunks]
    return pa.chunked_array(pieces, pa.int32())


KERNELS: dict[str, Kernel] = {
    "bucket_count": _bucket_count,
    "str.contains_literal": _step(_flags(functions.contains), "pattern"),
    "str.count_matches_literal": _step(_integers(functions.count_matches), "pattern"),
    "str.ends_with": _step(_flags(functions.ends_with), "pattern"),
    "str.hash_ngrams": _counts(functions.ngram_hash_counts, "n", "n_buckets", "seed"),
    "str.hash_tokens": _counts(functions.token_hash_counts, "n_buckets", "seed"),
    "str.len_bytes": _step(_integers(functions.len_bytes)),
    "str.len_chars": _step(_integers(functions.len_chars)),
    "str.slice": _step(_texts(functions.slice_chars, "offset", "length")),
    "str.starts_with": _step(_flags(functions.starts_with), "pattern"),
    "str.strip_chars": _step(_texts(functions.strip_chars, "characters")),
    "str.strip_chars_end": _step(_texts(functions.strip_chars_end, "characters")),
    "str.strip_chars_start": _step(_texts(functions.strip_chars_start, "characters")),
    "str.to_float": _step(_to_float),
    "str.to_integer": _step(_to_integer),
    "str.to_lowercase": _step(_texts(functions.to_lowercase)),
    "str.to_uppercase": _step(_texts(functions.to_uppercase)),
    "str.token_count": _step(_integers(functions.token_count)),
}
