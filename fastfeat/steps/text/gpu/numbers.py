"""Parse numbers from text on a device.

The host parses the texts that the kernel cannot: decimals of many digits, close to the middle
between two floats.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np
from fastfeat_kernels.text import OUT_OF_RANGE, TABLE_OUT, TABLE_STATUS, UNDECIDED
from fastfeat_kernels.text.cuda import TABLE_OUT_VALIDITY
from fastfeat_kernels.text.requests import Request

from fastfeat.engine.gpu.columns.memory import word_bytes
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.io.arrow import ChunkedArray
from fastfeat.io.columns.strings import content_at
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import DType
from fastfeat.ir.parameters import ParameterValues
from fastfeat.steps.on_device import DeviceStep
from fastfeat.steps.text.gpu.columns import (
    PieceReport,
    TextPiece,
    cost_of,
    placed_words,
    run_rows,
    text_step,
    values_of_text,
)
from fastfeat.steps.text.rows import NUMBERS, not_parseable, number_text, out_of_range


class _Parsed(NamedTuple):
    """The numbers that a kernel parsed from a piece, their validity bitmap, a status per row."""

    piece: TextPiece
    values: Buffer
    statuses: Buffer
    validity: Buffer


def numbers(request: Request) -> DeviceStep:
    """Return the function that computes a step: it parses a number from each row's text."""
    dtype = NUMBERS[request.gives]

    def work(runtime: Runtime, column: ChunkedArray, params: ParameterValues) -> Any:
        words, _held = placed_words(runtime, request, params)

        def of_piece(piece: TextPiece) -> DeviceArray:
            parsed, report = _parse(runtime, request, piece, words)
            failed = report.failed
            if report.found & (1 << UNDECIDED):
                failed = _decide(runtime, parsed, failed)
            if failed is not None and params["strict"]:
                _raise(runtime, parsed, failed, dtype, number_text(request, params))
            owner, validity = tuple(parsed), parsed.validity.address
            n, values = piece.n_rows, parsed.values.address
            return DeviceArray(dtype, n, values, validity=validity, owner=owner)

        cost = cost_of(request, 8 + 1 + 1 / 8)
        return values_of_text(runtime, column, dtype, cost, of_piece, request.reads)

    return text_step(work)


def _parse(
    runtime: Runtime, request: Request, piece: TextPiece, words: dict[int, int]
) -> tuple[_Parsed, PieceReport]:
    n = piece.n_rows
    values, statuses = runtime.allocate(8 * n), runtime.allocate(n)
    validity = runtime.allocate(word_bytes(n))
    places = {
        TABLE_OUT: values.address,
        TABLE_STATUS: statuses.address,
        TABLE_OUT_VALIDITY: validity.address,
    }
    report = run_rows(runtime, request.subject, request.entry, piece, {**words, **places})
    return _Parsed(piece, values, statuses, validity), report


def _decide(runtime: Runtime, parsed: _Parsed, failed: int | None) -> int | None:
    """Parse on the host the texts that the kernel could not.

    Return the first row of the piece that is not a number, or None.
    """
    piece, n = parsed.piece, parsed.piece.n_rows
    statuses, values = np.empty(n, np.uint8), np.empty(n, np.float64)
    bits = np.empty(word_bytes(n), np.uint8)
    for buffer, array in ((parsed.statuses, statuses), (parsed.values, values)):
        runtime.download(buffer, array)
    runtime.download(parsed.validity, bits)
    runtime.synchronize()
    rows = np.flatnonzero(statuses == UNDECIDED)
    values[rows] = [float(content_at(piece.rows, row)) for row in rows.tolist()]
    wrong = rows[np.isinf(values[rows])]
    values[wrong], statuses[wrong] = 0, OUT_OF_RANGE
    for row in wrong.tolist():
        bits[row >> 3] &= ~(1 << (row & 7)) & 0xFF
    for buffer, array in ((parsed.statuses, statuses), (parsed.values, values)):
        runtime.upload(array, buffer)
    runtime.upload(bits, parsed.validity)
    return min([*wrong.tolist()[:1], *([] if failed is None else [failed])], default=None)


def _raise(runtime: Runtime, parsed: _Parsed, row: int, dtype: DType, what: str) -> NoReturn:
    """Raise StepFailed for row `row` of a piece, with text that is not a number."""
    status = np.zeros(1, np.uint8)
    runtime.download(parsed.statuses, status, row)
    runtime.synchronize()
    text, row_of_column = content_at(parsed.piece.rows, row), parsed.piece.start + row
    if status[0] == OUT_OF_RANGE:
        raise out_of_range(row_of_column, text, dtype.name)
    raise not_parseable(row_of_column, text, what)
