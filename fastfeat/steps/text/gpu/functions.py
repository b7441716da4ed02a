"""Functions of text on a device: lengths, literals, case, pieces.

Counts and flags stay there; text comes back to the host. Its bytes are measured, then written where
the running sum of their lengths says, which the host adds up: it needs it anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.text.layout import (
    CONTAINS,
    ENDS_WITH,
    NO_LENGTH,
    SLICE,
    STARTS_WITH,
    STRIP,
    STRIP_END,
    STRIP_START,
    TABLE_CELLS,
    TABLE_FUNCTION,
    TABLE_LENGTH,
    TABLE_OFFSET,
    TABLE_OUT,
    TABLE_OUT_DATA,
    TABLE_PAGES,
    TABLE_PATTERN,
    TABLE_PATTERN_BYTES,
)
from fastfeat_kernels.text.tables import (
    CodePointTable,
    lowercase_table,
    set_of,
    uppercase_table,
    white_space_table,
)

from fastfeat.dtypes import BOOL, INT64, DType
from fastfeat.engine.gpu.columns.kernels import on_device
from fastfeat.engine.gpu.columns.memory import word_bytes
from fastfeat.engine.gpu.pieces.ragged import Cost, array_on_host, over_spans
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.io.arrow import Array, ChunkedArray, pa
from fastfeat.io.columns.bits import pack, validity_of
from fastfeat.io.device import DeviceArray
from fastfeat.steps.entries import content_column, over_entries
from fastfeat.steps.on_device import DeviceStep, Params
from fastfeat.steps.step import Argument, StepFailed
from fastfeat.steps.text.gpu.columns import (
    Reads,
    TextPiece,
    host_texts,
    placed,
    run_rows,
    values_of_text,
)
from fastfeat.steps.text.rows import NOT_UTF8

Work = Callable[[Runtime, ChunkedArray, Params], Any]
FunctionWords = tuple[dict[int, int], tuple[Buffer, ...]]
"""Words of a table that say what a function does, and what they point to on the device."""


_COUNT = Cost(8, 1)


def text_step(work: Work, brought: Callable[[Runtime, Any], Array] = array_on_host) -> DeviceStep:
    """Return a step of text: of a dictionary it works on the entries, which the host looks up.

    Args:
        work: makes a column of one without dictionary, on the device or as a chunked array.
        brought: gives what was made on the device as an array of the host.
    """

    def step(runtime: Runtime, args: Sequence[Argument], params: Params, n_rows: int) -> Any:
        def of_entries(entries: ChunkedArray) -> Array:
            made = work(runtime, entries, params)
            is_there = isinstance(made, pa.ChunkedArray)
            return made.combine_chunks() if is_there else brought(runtime, made)

        column = content_column(args[0])
        if not pa.types.is_dictionary(column.type):
            return work(runtime, column, params)
        return over_entries(column, of_entries)

    return step


def checked(piece: TextPiece, failed: int | None) -> None:
    """Raise StepFailed where a row of a piece is not UTF-8."""
    if failed is not None:
        raise StepFailed(piece.start + failed, NOT_UTF8)


def made_array(piece: TextPiece, dtype: DType, values: Buffer, start: int = 0) -> DeviceArray:
    """Return what was made of a piece, missing where its text is.

    Args:
        piece: the rows.
        dtype: of the values.
        values: holds them.
        start: byte of it where they begin.
    """
    owner, (validity, bit) = (values, piece.owners), piece.validity
    return DeviceArray(dtype, piece.n_rows, values.address + start, 0, validity, bit, owner=owner)


def _no_words(runtime: Runtime, params: Params) -> FunctionWords:
    return {}, ()


def _pattern(runtime: Runtime, params: Params) -> FunctionWords:
    literal = params["pattern"].encode()
    held = on_device(runtime, np.frombuffer(literal + b"\0", np.uint8))
    return {TABLE_PATTERN: held.address, TABLE_PATTERN_BYTES: len(literal)}, (held,)


def code_points(runtime: Runtime, table: CodePointTable) -> FunctionWords:
    """Return a table of code points on the device."""
    pages, cells = on_device(runtime, table.pages), on_device(runtime, table.cells)
    return {TABLE_PAGES: pages.address, TABLE_CELLS: cells.address}, (pages, cells)


def _white_space(runtime: Runtime, params: Params) -> FunctionWords:
    return code_points(runtime, white_space_table())


def _counts(
    subject: str,
    kernel: str,
    words_of: Callable[[Runtime, Params], FunctionWords] = _no_words,
    cost: Cost = _COUNT,
    reads: Reads = "bytes",
) -> Work:
    """Return what gives an int64 of each row."""

    def work(runtime: Runtime, column: ChunkedArray, params: Params) -> Any:
        words, _held = words_of(runtime, params)

        def of_piece(piece: TextPiece) -> DeviceArray:
            out = runtime.allocate(8 * piece.n_rows)
            report = run_rows(runtime, subject, kernel, piece, {**words, TABLE_OUT: out.address})
            checked(piece, report.failed)
            return made_array(piece, INT64, out)

        return values_of_text(runtime, column, INT64, cost, of_piece, reads)

    return work


def _flags(function: int) -> Work:
    """Return what tells whether a literal is found in each row."""

    def work(runtime: Runtime, column: ChunkedArray, params: Params) -> Any:
        words, _held = _pattern(runtime, params)
        words[TABLE_FUNCTION] = function

        def of_piece(piece: TextPiece) -> DeviceArray:
            out = runtime.allocate(word_bytes(piece.n_rows))
            run_rows(runtime, "search", "find", piece, {**words, TABLE_OUT: out.address})
            return made_array(piece, BOOL, out)

        return values_of_text(runtime, column, BOOL, Cost(1 / 8, 1), of_piece)

    return work


def _texts(
    subject: str, growth: float, words_of: Callable[[Runtime, Params], FunctionWords]
) -> Work:
    """Return what gives text of each row.

    Args:
        subject: of the kernels, one of `cuda.SUBJECTS`.
        growth: most bytes of the result for one of the text.
        words_of: says what they do.
    """

    def work(runtime: Runtime, column: ChunkedArray, params: Params) -> Any:
        words, _held = words_of(runtime, params)

        def of_piece(piece: TextPiece) -> Array:
            return _written(runtime, subject, piece, words)

        texts, cost = host_texts(column), Cost(16, 1 + growth)
        made = over_spans(runtime, texts.offsets, cost, placed(runtime, texts, of_piece))
        return pa.chunked_array(made, pa.large_string())

    return work


def _written(runtime: Runtime, subject: str, piece: TextPiece, words: Mapping[int, int]) -> Array:
    """Return the text that two kernels make of a piece: one measures it, the other writes it."""
    lengths, offsets = runtime.allocate(8 * piece.n_rows), np.zeros(piece.n_rows + 1, np.int64)
    report = run_rows(
        runtime, subject, f"measure_{subject}", piece, {**words, TABLE_OUT: lengths.address}
    )
    checked(piece, report.failed)
    runtime.download(lengths, offsets[1:])
    runtime.synchronize()
    np.cumsum(offsets, out=offsets)
    data, starts = np.empty(int(offsets[-1]), np.uint8), on_device(runtime, offsets)
    written = runtime.allocate(max(1, data.nbytes))
    places = {TABLE_OUT: starts.address, TABLE_OUT_DATA: written.address}
    run_rows(runtime, subject, f"write_{subject}", piece, {**words, **places})
    runtime.download(written, data)
    runtime.synchronize()
    buffers = [_bitmap(piece.rows), pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), piece.n_rows, buffers)


def _bitmap(rows: ChunkedArray) -> Any:
    return pack(validity_of(rows).to_numpy()) if rows.null_count else None


def _case(table: Callable[[], CodePointTable]) -> Work:
    return _texts("case", 1.5, lambda runtime, params: code_points(runtime, table()))


def _slice_words(runtime: Runtime, params: Params) -> FunctionWords:
    offset, length = params["offset"], params["length"]
    return {
        TABLE_FUNCTION: SLICE,
        TABLE_OFFSET: max(min(offset, NO_LENGTH), -NO_LENGTH),
        TABLE_LENGTH: NO_LENGTH if length is None else min(length, NO_LENGTH),
    }, ()


def _strip(function: int) -> Work:
    def words_of(runtime: Runtime, params: Params) -> FunctionWords:
        characters = params["characters"]
        table = white_space_table() if characters is None else set_of(map(ord, characters))
        words, held = code_points(runtime, table)
        return {**words, TABLE_FUNCTION: function}, held

    return _texts("pieces", 1, words_of)


KERNELS: dict[str, DeviceStep] = {
    "str.contains_literal": text_step(_flags(CONTAINS)),
    "str.count_matches_literal": text_step(_counts("search", "count_matches", _pattern)),
    "str.ends_with": text_step(_flags(ENDS_WITH)),
    "str.len_bytes": text_step(_counts("lengths", "len_bytes", cost=Cost(8, 0), reads="offsets")),
    "str.len_chars": text_step(_counts("lengths", "len_chars")),
    "str.slice": text_step(_texts("pieces", 1, _slice_words)),
    "str.starts_with": text_step(_flags(STARTS_WITH)),
    "str.strip_chars": text_step(_strip(STRIP)),
    "str.strip_chars_end": text_step(_strip(STRIP_END)),
    "str.strip_chars_start": text_step(_strip(STRIP_START)),
    "str.to_lowercase": text_step(_case(lowercase_table)),
    "str.to_uppercase": text_step(_case(uppercase_table)),
    "str.token_count": text_step(_counts("lengths", "token_count", _white_space)),
}
