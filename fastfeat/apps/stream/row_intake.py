"""Rows into a state: all at once, or where that fails each that can be taken, by halving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

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
"""Errors that are a row's: without it the others are taken."""


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that the state does not take.

    Args:
        row: its number.
        error: says why.
    """

    row: int
    error: FastfeatError


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of a source, and the offsets that they stand between.

    Args:
        source: such as "events:0".
        rows: the rows.
        offsets: of each row that of its message.
        first: the offset that they begin with.
        end: the offset after all of them.
    """

    source: str
    rows: Table
    offsets: Sequence[int]
    first: int
    end: int


def processed(live: Live, span: Span) -> tuple[Table, list[int], list[RefusedRow]]:
    """Return the features of the rows that are taken, which rows these are, and the others.

    Args:
        live: the state, which takes them.
        span: the rows.
    """
    pieces: list[Table] = []
    taken: list[int] = []

    def take(piece: Span, at: int) -> None:
        given = live.process(piece.rows, source=piece.source, first=piece.first, end=piece.end)
        pieces.append(one_table(given))
        taken.extend(range(at, at + piece.rows.num_rows))

    refused = _halved(take, span, 0)
    if not pieces or live.offsets.get(span.source, 0) < span.end:
        take(_rest(span, live), 0)
    return pa.concat_tables(pieces), taken, refused


def applied(live: Live, call: Callable[..., None], span: Span) -> list[RefusedRow]:
    """Return the rows that are not taken; the others are.

    Args:
        live: the state.
        call: takes rows: `live.outcomes`, or `live.update_table` of one table.
        span: the rows.
    """

    def take(piece: Span, at: int) -> None:
        call(piece.rows, source=piece.source, first=piece.first, end=piece.end)

    refused = _halved(take, span, 0)
    if live.offsets.get(span.source, 0) < span.end:
        take(_rest(span, live), 0)
    return refused


def one_table(given: Any) -> Table:
    """Return features of some plans as one table, whose columns have the plan before their name."""
    if not isinstance(given, Mapping):
        return given
    by_plan = cast("Mapping[str, Table]", given)
    columns: dict[str, Any] = {}
    for name, table in by_plan.items():
        columns |= {f"{name}.{feature}": table.column(feature) for feature in table.column_names}
    return pa.table(columns)


def kind_of(error: FastfeatError) -> Reason:
    """Return the reason why a row is refused, in a word."""
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


def _halved(take: Callable[[Span, int], None], span: Span, at: int) -> list[RefusedRow]:
    """Return the rows that are not taken; the others are, in order.

    A piece that ends within a message ends at its offset: the rest of it is still to come.
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
        left = Span(span.source, rows.slice(0, n_left), offsets[:n_left], span.first, between)
        right = Span(span.source, rows.slice(n_left), offsets[n_left:], between, span.end)
        return _halved(take, left, at) + _halved(take, right, at + n_left)
    return []


def _rest(span: Span, live: Live) -> Span:
    """Return no rows, up to the end: the state goes on after those that it does not take."""
    first = max(span.first, live.offsets.get(span.source, 0))
    return Span(span.source, span.rows.slice(0, 0), (), first, span.end)
