"""Adding rows to a state: all at once if it accepts them, or in halves, to find refused rows.

A span is a list of rows from one source (a topic's partition), and the range of offsets that their
messages cover. A state records the offset that it has reached, also past refused rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from fastfeat_kernels.records import dataclass

from fastfeat.apps.stream.outputs import Reason
from fastfeat.errors import (
    ContractBroken,
    FastfeatError,
    FutureRow,
    InvalidData,
    LateOutcome,
    LateRow,
    Overflow,
    TypeMismatch,
)
from fastfeat.io.arrow import Table, pa
from fastfeat.live.live import Live

OF_ROWS = (InvalidData, Overflow, TypeMismatch)
"""Errors caused by one row: without it, the other rows can be taken."""


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that the state refused, and the error.

    `row` is its index in the span's rows.
    """

    row: int
    error: FastfeatError


@dataclass(frozen=True, slots=True)
class OffsetSpan:
    """Rows of one source, and the range of offsets that their messages cover.

    Args:
        source: Name of a topic's partition, such as "events:0".
        rows: The rows.
        offsets: Message offset of each row, length n_rows.
        first: First offset of the range.
        end: Offset after the range.
    """

    source: str
    rows: Table
    offsets: Sequence[int]
    first: int
    end: int


def process_rows(live: Live, span: OffsetSpan) -> tuple[Table, list[int], list[RefusedRow]]:
    """Add events to a state; return features, the indices of accepted rows, and refused rows."""
    pieces: list[Table] = []
    taken: list[int] = []

    def take(piece: OffsetSpan, at: int) -> None:
        given = live.process(piece.rows, source=piece.source, first=piece.first, end=piece.end)
        pieces.append(one_table(given))
        taken.extend(range(at, at + piece.rows.num_rows))

    refused = _take_in_halves(take, span, 0)
    if not pieces or live.offsets.get(span.source, 0) < span.end:
        take(_span_without_rows(span, live), 0)
    return pa.concat_tables(pieces), taken, refused


def apply_rows(live: Live, call: Callable[..., None], span: OffsetSpan) -> list[RefusedRow]:
    """Apply outcomes, or rows of a lookup table, to the state; return the refused rows.

    `call` is the method of the live plan that applies rows.
    """

    def take(piece: OffsetSpan, at: int) -> None:
        call(piece.rows, source=piece.source, first=piece.first, end=piece.end)

    refused = _take_in_halves(take, span, 0)
    if live.offsets.get(span.source, 0) < span.end:
        take(_span_without_rows(span, live), 0)
    return refused


def one_table(given: Any) -> Table:
    """Return features as one table; those of several plans get column names "plan.feature"."""
    if not isinstance(given, Mapping):
        return given
    by_plan = cast("Mapping[str, Table]", given)
    columns: dict[str, Any] = {}
    for name, table in by_plan.items():
        columns |= {f"{name}.{feature}": table.column(feature) for feature in table.column_names}
    return pa.table(columns)


def kind_of(error: FastfeatError) -> Reason:
    """Return the kind of a dead letter, such as "late", for the error that refused a row."""
    match error:
        case LateRow():
            return "late"
        case FutureRow():
            return "future"
        case LateOutcome():
            return "outcome"
        case ContractBroken():
            return "contract"
        case _:
            return "refused"


def _take_in_halves(
    take: Callable[[OffsetSpan, int], None], span: OffsetSpan, at: int
) -> list[RefusedRow]:
    """Pass rows to `take`; if it raises, pass each half, down to single rows; return refused rows.

    `at` is the index of the first row. If a half ends inside a message, its range of offsets ends
    before that message, because the other rows of the message follow.
    """
    n_rows: int = span.rows.num_rows
    if not n_rows:
        return []
    try:
        take(span, at)
    except OF_ROWS as error:
        if n_rows == 1:
            return [RefusedRow(at, error)]
        n_left = n_rows // 2
        between = span.offsets[n_left]
        rows, offsets = span.rows, span.offsets
        left = OffsetSpan(span.source, rows.slice(0, n_left), offsets[:n_left], span.first, between)
        right = OffsetSpan(span.source, rows.slice(n_left), offsets[n_left:], between, span.end)
        return _take_in_halves(take, left, at) + _take_in_halves(take, right, at + n_left)
    return []


def _span_without_rows(span: OffsetSpan, live: Live) -> OffsetSpan:
    """Return a span without rows, with the same end as `span`.

    Applying it moves the offset of the state past refused rows.
    """
    first = max(span.first, live.offsets.get(span.source, 0))
    return OffsetSpan(span.source, span.rows.slice(0, 0), (), first, span.end)
