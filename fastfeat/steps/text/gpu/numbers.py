"""Numbers that rows of text are, parsed on a device.

The host parses what the kernel leaves undecided: decimals of many digits, near to a tie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np
from fastfeat_kernels.text.cuda import TABLE_OUT_VALIDITY
from fastfeat_kernels.text.layout import (
    OUT_OF_RANGE,
    TABLE_BASE,
    TABLE_OUT,
    TABLE_POWERS,
    TABLE_STATUS,
    UNDECIDED,
)
from fastfeat_kernels.text.tables import powers_table

from fastfeat.dtypes import FLOAT64, INT64, DType
from fastfeat.engine.gpu.columns.kernels import on_device
from fastfeat.engine.gpu.columns.memory import word_bytes
from fastfeat.engine.gpu.pieces.ragged import Cost
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.io.arrow import ChunkedArray
from fastfeat.io.columns.strings import content_at
from fastfeat.io.device import DeviceArray
from fastfeat.steps.on_device import DeviceStep, Params
from fastfeat.steps.text.gpu.columns import Report, TextPiece, run_rows, values_of_text
from fastfeat.steps.text.gpu.functions import FunctionWords, text_step
from fastfeat.steps.text.rows import integer_text, not_parseable, out_of_range

_COST = Cost(8 + 1 + 1 / 8, 1)


class _Parsed(NamedTuple):
    """What a kernel has made of a piece: numbers, statuses and a bitmap on the device."""

    piece: TextPiece
    values: Buffer
    statuses: Buffer
    validity: Buffer


def _numbers(
    kernel: str,
    dtype: DType,
    words_of: Callable[[Runtime, Params], FunctionWords],
    what: Callable[[Params], str],
) -> DeviceStep:
    """Return the step that parses numbers.

    Args:
        kernel: its name.
        dtype: of the numbers.
        words_of: says what it does.
        what: names such numbers, for messages.
    """

    def work(runtime: Runtime, column: ChunkedArray, params: Params) -> Any:
        words, _held = words_of(runtime, params)

        def of_piece(piece: TextPiece) -> DeviceArray:
            parsed, report = _parse(runtime, kernel, piece, words)
            failed = report.failed
            if report.found & (1 << UNDECIDED):
                failed = _decide(runtime, parsed, failed)
            if failed is not None and params["strict"]:
                _raise(runtime, parsed, failed, dtype, what(params))
            owner, validity = tuple(parsed), parsed.validity.address
            n, values = piece.n_rows, parsed.values.address
            return DeviceArray(dtype, n, values, validity=validity, owner=owner)

        return values_of_text(runtime, column, dtype, _COST, of_piece)

    return text_step(work)


def _parse(
    runtime: Runtime, kernel: str, piece: TextPiece, words: dict[int, int]
) -> tuple[_Parsed, Report]:
    n = piece.n_rows
    values, statuses = runtime.allocate(8 * n), runtime.allocate(n)
    validity = runtime.allocate(word_bytes(n))
    places = {
        TABLE_OUT: values.address,
        TABLE_STATUS: statuses.address,
        TABLE_OUT_VALIDITY: validity.address,
    }
    report = run_rows(runtime, "numbers", kernel, piece, {**words, **places})
    return _Parsed(piece, values, statuses, validity), report


def _decide(runtime: Runtime, parsed: _Parsed, failed: int | None) -> int | None:
    """Parse what is undecided; return the first row of the piece that is no number, if any."""
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
    """Raise StepFailed for a row of a piece that is no number."""
    status = np.zeros(1, np.uint8)
    runtime.download(parsed.statuses, status, row)
    runtime.synchronize()
    text, row_of_column = content_at(parsed.piece.rows, row), parsed.piece.start + row
    if status[0] == OUT_OF_RANGE:
        raise out_of_range(row_of_column, text, dtype.name)
    raise not_parseable(row_of_column, text, what)


def _base(runtime: Runtime, params: Params) -> FunctionWords:
    return {TABLE_BASE: params["base"]}, ()


def _powers(runtime: Runtime, params: Params) -> FunctionWords:
    held = on_device(runtime, powers_table())
    return {TABLE_POWERS: held.address}, (held,)


def _integer(params: Params) -> str:
    return integer_text(params["base"])


KERNELS: dict[str, DeviceStep] = {
    "str.to_float": _numbers("to_float", FLOAT64, _powers, lambda params: "a number"),
    "str.to_integer": _numbers("to_integer", INT64, _base, _integer),
}
