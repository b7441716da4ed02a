"""Warnings for a label that looks ahead: features that may reveal rows after their own row.

A label looks ahead if it is computed from later rows. Counts may have seen these rows. A clock (a
time column) may have been declared as known by the user, which nothing can check. A key may stand
for the entity, such as an email next to its user: that shows only in the rows, not in the plan. On
labels of pure noise a count by an email had an AUC of .69, by a session .65.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int64Array

from fastfeat.backends import backend_named
from fastfeat.errors import (
    ClocksOnYourWord,
    CountsSeeAhead,
    FastfeatError,
    counted,
    shortened,
    warn,
)
from fastfeat.execute.batch import Batch
from fastfeat.execute.inputs import column_in_host, used_schema
from fastfeat.execute.steps import make
from fastfeat.execute.values import compute_columns, key_values, times_in_ticks, values_of
from fastfeat.io.arrow import Table, call, pa
from fastfeat.io.columns.decode import decode_column, plain
from fastfeat.io.columns.types import tick_of
from fastfeat.ir.durations import duration_text
from fastfeat.ir.node import Aggregate, Call, Column, Node, postorder
from fastfeat.ir.scope import is_over
from fastfeat.ir.show import show
from fastfeat.plan.declare.bind import bind
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.rows_ahead import counted_keys, repeats_s
from fastfeat.plan.declare.source_columns import columns_of

MOST_ROWS = 1 << 20
"""Highest number of rows to inspect in data that is read in passes: the first ones."""

_FEW_ROWS, _MORE_ROWS, _SHARE = 1 << 14, 1 << 16, 32
"""Rows to inspect: a first number, then a larger number, or one row in `_SHARE` if that is more.

For most keys the first rows show that they do not stand for the entity. More rows are inspected
only for the other keys. With 2 M rows this takes 6 % of the CPU time of a fit that counts emails;
inspecting a million rows would take a fifth.
"""

_ENTITIES_PER_KEY = 1.1
"""Highest number of entities per value of a key that stands for the entity.

Also the least number of rows per value of a key if its count is to matter.
"""

_FEWEST_REPEATS = 26
"""Number of repetitions of a part of a time at which its count reveals little about a row.

For one store, a count by weekday had an AUC of .67 in a week, .61 in four, .55 in thirteen, .53 in
a year.
"""

CountsByKey = Mapping[Call | Aggregate, tuple[Node, ...]]
"""Expressions that count rows per key, each with the parts of its key."""


class _Learnt(NamedTuple):
    """Training rows to learn from: all rows of a table, or some of them by number."""

    table: Table
    numbers: Int64Array | None

    @property
    def n_rows(self) -> int:
        """Number of rows to learn from."""
        return self.table.num_rows if self.numbers is None else len(self.numbers)

    def first(self, n_rows: int, columns: Sequence[str]) -> Table:
        """Return the given columns of the first `n_rows` rows to learn from."""
        table = self.table.select(list(columns))
        if self.numbers is None:
            return table.slice(0, n_rows)
        return table.take(pa.array(self.numbers[:n_rows]))


class _Numbered(NamedTuple):
    """Integer codes of the key and of the entity, for the rows that have both, shape (n_rows,)."""

    keys: Int64Array
    entities: Int64Array

    def n_keys(self) -> tuple[int, int]:
        """Return the number of distinct keys, and of distinct pairs of key and entity."""
        pairs = self.keys * (int(self.entities.max(initial=0)) + 1) + self.entities
        return int(np.count_nonzero(np.bincount(self.keys))), len(np.unique(pairs))


def warn_ahead(
    plan: Declaration, table: Table, numbers: Int64Array | None = None, *, is_whole: bool = True
) -> None:
    """Warn of clocks that only the user vouches for, and of counts that reveal later rows.

    `table` has the columns of the features and of the label. `numbers` are the rows to learn from,
    shape (n_learnt,); None for all. `is_whole` says that these are all the training rows.

    ClocksOnYourWord is for a clock that the plan declares as known. CountsSeeAhead is for a counted
    key that stands for the label's entity, and for a counted part of a time that repeats too
    seldom.
    """
    ahead = plan.known_late.ahead
    if plan.known_clocks:
        clocks = shortened(plan.known_clocks)
        times = ", ".join(map(show, ahead.times if ahead else ()))
        warn(
            f"features read rows that are earlier by {clocks}, but the label is computed from rows "
            f"that are later by {times}. With known_clocks= you declare that a row which is "
            f"earlier by {clocks} is not later by {times}. This is not checked: if it is wrong, "
            "features see values of the label",
            ClocksOnYourWord,
        )
    if ahead is None or not ahead.counts:
        return
    counts = counted_keys(plan.nodes)
    if ahead.entity:
        _warn_entities(counts, list(ahead.entity), _Learnt(table, numbers))
    if is_whole:
        times = {name for name in ahead.time_columns if Column(name) in ahead.times}
        _warn_repeats(counts, times, _Learnt(table, numbers))


def _warn_entities(counts: CountsByKey, entity: Sequence[Node], learnt: _Learnt) -> None:
    """Warn about the first count by a key that stands for the entity, with the number of others."""
    found: dict[Node, str] = {}
    for node, keys in counts.items():
        if any(isinstance(part, Aggregate) or is_over(part) for part in postorder(list(keys))):
            continue  # of keys that are computed from other rows nothing is known yet
        told = _stands_for(keys, entity, learnt)
        if told is not None:
            found[node] = told
    if found:
        node, told = next(iter(found.items()))
        more = f" (and {counted(len(found) - 1, 'more count')})" if len(found) > 1 else ""
        by = ", ".join(map(show, entity))
        warn(
            f"{show(node)}{more}: counts the rows of a key that stands for the entity of the "
            f"label, {by}: {told}. The count includes the later rows from which the label is "
            "computed. Use a window of earlier rows, ff.count(over=ff.window(by=..., time=...)), "
            "or, if only the name of the key matters, .hash(n_buckets=...)",
            CountsSeeAhead,
        )


def _stands_for(keys: Sequence[Node], entity: Sequence[Node], learnt: _Learnt) -> str | None:
    """Return a text with the numbers of keys and pairs if almost every key value has one entity.

    Otherwise None. With more rows, a key value occurs with more entities: a few rows can rule a key
    out, but not confirm it.
    """
    told = None
    for most in (_FEW_ROWS, max(_MORE_ROWS, learnt.n_rows // _SHARE)):
        rows = _numbered(keys, entity, learnt, most)
        if rows is None:
            return None
        n_keys, n_pairs = rows.n_keys()
        if n_pairs > _ENTITIES_PER_KEY * n_keys:
            return None
        repeats = len(rows.keys) >= _ENTITIES_PER_KEY * n_keys
        n_values = counted(n_keys, "different value")
        told = (
            f"the key has {n_values}, and {n_pairs:,} together with the entity" if repeats else None
        )
        if most >= learnt.n_rows:
            break
    return told


def _numbered(
    keys: Sequence[Node], entity: Sequence[Node], learnt: _Learnt, n_rows: int
) -> _Numbered | None:
    """Return codes of key and entity for the first rows; None if these rows cannot give them."""
    nodes = [*keys, *entity]
    try:
        columns = columns_of(nodes)
        table = learnt.first(n_rows, columns)
        types = bind(nodes, used_schema(table, columns))
        batch = Batch(table, types, backend_named("cpu"), {}, {})
        make(batch, nodes)
        compute_columns(batch, nodes)
        codes = [_codes(batch, node) for node in nodes]
    except (FastfeatError, pa.ArrowNotImplementedError):  # fit raises the error of a bad key
        return None
    present = np.logical_and.reduce([column >= 0 for column in codes])
    of_keys, of_entity = codes[: len(keys)], codes[len(keys) :]
    return _Numbered(_together(of_keys)[present], _together(of_entity)[present])


def _codes(batch: Batch, node: Node) -> Int64Array:
    """Return an integer code for the key part in each row, -1 if missing, shape (n_rows,)."""
    column = plain(
        decode_column(column_in_host(key_values(batch, node, narrow=False), batch.backend))
    )
    coded = call("dictionary_encode", column.combine_chunks())
    codes = call("coalesce", coded.indices, pa.scalar(-1, pa.int32()))
    return codes.to_numpy(zero_copy_only=False).astype(np.int64)


def _together(columns: Sequence[Int64Array]) -> Int64Array:
    """Return one integer code per row for the combination of the codes in all columns."""
    found = columns[0]
    for column in columns[1:]:
        found = found * (int(column.max(initial=0)) + 1) + column
        found = np.unique(found, return_inverse=True)[1].astype(np.int64)
    return found


def _warn_repeats(counts: CountsByKey, times: set[str], learnt: _Learnt) -> None:
    """Warn of counts by a part of the label's time, such as its month, that recurs too seldom."""
    for name in sorted(times):
        periods = {node: repeats_s(keys, name) for node, keys in counts.items()}
        periods = {node: seconds for node, seconds in periods.items() if seconds}
        span = _span_s(learnt, name) if periods else None
        seldom = [n for n, s in periods.items() if span is not None and span < _FEWEST_REPEATS * s]
        if seldom and span is not None:
            length = duration_text(round(span) * 10**9)
            warn(
                f"{show(seldom[0])}: counts by a part of the time {name!r}, and the label is "
                f"computed from rows that are later by {name!r}. The rows span only {length!r}, so "
                "each value of the part recurs too seldom, and its count reveals later rows. Use "
                "rows of a longer time, or the part without counting",
                CountsSeeAhead,
            )


def _span_s(learnt: _Learnt, name: str) -> float | None:
    """Return the seconds from the first to the last time of a column; None if it has no times."""
    time, table = Column(name), learnt.first(learnt.n_rows, [name])
    batch = Batch(table, bind([time], used_schema(table, [name])), backend_named("cpu"), {}, {})
    if not batch.types[time].is_temporal:
        return None
    ticks, present, dtype = times_in_ticks(batch, *values_of(batch, time))
    if not present.any():
        return None
    known = ticks[present]
    return (int(known.max()) - int(known.min())) * tick_of(dtype) / 1e9
