"""Learning of keys on the CPU: rows come at once or in parts, and parts merge.

Rows are counted into a table that stays open, and so are the keys of states that merge. Rows that
are expected to come at once are counted by threads, and kept with what gives them the number of
their key; should others come, the table is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fastfeat_kernels.column import TEXT
from fastfeat_kernels.vocabulary.growing import bound_of, drop_slots, make_room

from fastfeat.aggregates.keys import KeyCounts
from fastfeat.engine.cpu.kernels import runner
from fastfeat.engine.learner import Learner, Learnt, Packed, Rows
from fastfeat.io.arrow import call, pa
from fastfeat.steps.keys import cpu_spilled as spilled
from fastfeat.steps.keys.cpu_counting import (
    Counted,
    check_room,
    counted,
    counted_before,
    element_of,
    in_order,
    key_counts,
    key_counts_in_no_order,
)
from fastfeat.steps.keys.cpu_open_keys import (
    KeysSpec,
    Open,
    count_rows,
    count_tables,
    opened,
    weighted_of,
)
from fastfeat.steps.keys.cpu_spilled import Weighted
from fastfeat.steps.keys.tasks import KeysTask

_RUN = "vocabulary"
_MOST_WAITING = 4
"""Keys of others wait until they are so many times those of the table: each is then hashed seldom,
and a state is at most so many times larger than it must be."""
_FEW_WAITING = 1 << 16


@dataclass(slots=True)
class KeysState:
    """The keys of the rows so far.

    Args:
        spec: what the task is told.
        first: the keys of rows that came at once.
        open: the table of keys.
        waiting: keys of others, that are not in the table yet.
        files: further keys.
        n_rows: how many rows there were.
        n_missing: how many of them have no key, those of `first` not counted.
    """

    spec: KeysSpec
    first: Counted | None = None
    open: Open | None = None
    waiting: list[Weighted | Open] = field(default_factory=list["Weighted | Open"])
    files: list[Path] = field(default_factory=list[Path])
    n_rows: int = 0
    n_missing: int = 0


def count_keys(task: KeysTask) -> KeyCounts:
    """Return the distinct keys of some rows.

    Raises:
        InvalidData: they take more memory than they may.
    """
    how = {"at_once": True, "with_rows": task.with_rows, "in_order": task.in_order}
    spec = KeysSpec(tuple(task.dtypes), task.missing, task.max_memory, **how)
    state = start(spec, None)
    add(state, dict(enumerate(task.columns)), range(len(task.columns[0])))
    return finished(state).values[0]


def start(spec: KeysSpec, hint: Any) -> KeysState:
    """Return the state of no rows."""
    return KeysState(spec)


def add(state: KeysState, columns: Mapping[Any, Any], rows: Rows) -> None:
    """Count the keys of rows.

    Raises:
        InvalidData: they take more memory than they may.
    """
    spec = state.spec
    parts = [columns[k] for k in range(len(spec.dtypes))]
    n_before, n_rows = state.n_rows, len(parts[0])
    state.n_rows += n_rows
    if n_before == 0 and spec.at_once:
        state.first = counted(
            *(parts, spec.dtypes, spec.missing, spec.max_memory),
            with_rows=spec.with_rows,
            in_order=spec.in_order,
        )
    elif n_rows:
        _close_first(state)
        state.open = state.open or opened(spec, 0)
        state.n_missing += count_rows(spec, state.open, parts, None)


def merge(a: KeysState, b: KeysState) -> KeysState:
    """Return the state of the rows of two."""
    if a.n_rows == 0 or b.n_rows == 0:
        return b if a.n_rows == 0 else a
    for state in (a, b):
        _close_first(state)
    if _n_open(a) < _n_open(b):
        a, b = b, a
    if b.open is not None:
        for table in b.open.all:
            drop_slots(table)
        b.waiting.append(b.open)
    a.waiting += b.waiting
    a.files += b.files
    a.n_rows += b.n_rows
    a.n_missing += b.n_missing
    sizes = [_n_keys(keys) for keys in a.waiting]
    if sum(sizes) > _MOST_WAITING * max([_n_open(a), *sizes]) + _FEW_WAITING:
        _take_waiting(a)
    return a


def finished(state: KeysState) -> Learnt:
    """Return the keys of all rows, with what numbers rows added at once."""
    spec = state.spec
    if state.first is not None:
        if spec.in_order:
            return Learnt((key_counts(state.first),))
        how = spec.dtypes, spec.missing, spec.max_memory
        return Learnt((key_counts_in_no_order(state.first, *how),))
    found = _all(state)
    if spec.is_column:
        column = counted_before(found.parts[0], spec.dtypes[0], found.counts, state.n_missing)
        return Learnt((key_counts(column),))
    order = in_order(found.parts, spec.dtypes, found.counts, spec.missing, spec.max_memory)
    places = pa.array(order)
    parts = tuple(call("array_take", part, places) for part in found.parts)
    return Learnt((KeyCounts(parts, found.counts[order], state.n_missing),))


def pack(state: KeysState) -> Packed:
    """Return a state as data."""
    n_missing = state.n_missing + (0 if state.first is None else state.first.found.n_missing)
    numbers = {"n_rows": state.n_rows, "n_missing": n_missing}
    return Packed(numbers, {"keys": spilled.table_of(_all(state))})


def unpack(spec: KeysSpec, hint: Any, packed: Packed) -> KeysState:
    """Return the state of its data."""
    state = KeysState(spec, **packed.numbers)
    state.waiting.append(spilled.keys_of_table(packed.tables["keys"], spec.dtypes))
    return state


def spill(state: KeysState, folder: Path) -> None:
    """Write the keys so far to a file, and begin anew."""
    _close_first(state)
    keys = _in_memory(state)
    state.files.append(
        spilled.write(folder, keys, state.spec.dtypes, is_cross=not state.spec.is_column)
    )
    state.open, state.waiting = None, []


def size(state: KeysState) -> int:
    """Return the bytes that a state takes."""
    n_bytes = 0 if state.first is None else state.first.n_bytes
    for keys in (*state.waiting, *([] if state.open is None else [state.open])):
        if isinstance(keys, Open):
            n_bytes += sum(table.n_bytes for table in keys.all)
        else:
            n_bytes += keys.counts.nbytes + sum(part.nbytes for part in keys.parts)
    return n_bytes


def bound(spec: KeysSpec, n_rows: int) -> int:
    """Return the most bytes that a state may take: of text, as much as it is allowed."""
    tables = [element_of(spec.dtypes[0])]
    if not spec.is_column:
        tables = [element_of(dtype) for dtype in spec.dtypes] + ["int64"] * len(spec.dtypes)
    in_tables = sum(bound_of(element, n_rows) for element in tables)
    waiting = 24 * len(tables) * ((_MOST_WAITING + 1) * n_rows + _FEW_WAITING)
    text = (2 + _MOST_WAITING) * spec.max_memory if TEXT in tables else 0
    return in_tables + waiting + text


LEARNER = Learner(
    "keys",
    start=start,
    add=add,
    merge=merge,
    next=finished,
    pack=pack,
    unpack=unpack,
    size=size,
    bound=bound,
    spill=spill,
)


def _close_first(state: KeysState) -> None:
    """Let the keys of the first rows wait with others."""
    if state.first is not None:
        state.waiting.append(_weighted(state.first))
        state.n_missing += state.first.found.n_missing
        state.first = None


def _weighted(of: Counted) -> Weighted:
    """Return the keys that rows have."""
    counts, parts = of.found.counts, of.parts_of(of.found.keys)
    if not counts.all():
        used = np.flatnonzero(counts)
        places = pa.array(used)
        parts, counts = tuple(call("array_take", part, places) for part in parts), counts[used]
    return Weighted(parts, counts)


def _all(state: KeysState) -> Weighted:
    """Return the keys of all rows."""
    if state.first is not None:
        return _weighted(state.first)
    return _of_files(state) if state.files else _in_memory(state)


def _of_files(state: KeysState) -> Weighted:
    """Return the keys of all rows, some of which stand in files: counted a part at a time."""
    spec = state.spec
    if state.open is not None or state.waiting:
        spill(state, state.files[0].parent)
    found: list[Weighted] = []
    for pieces in spilled.partitions(state.files, spec.dtypes):
        found.append(_in_memory(KeysState(spec, waiting=list(pieces))))
    parts = tuple(
        pa.concat_arrays(part) for part in zip(*(one.parts for one in found), strict=True)
    )
    counts = np.concatenate([one.counts for one in found])
    if spec.is_column:  # of several parts, they are looked at when they are put in order
        check_room(parts[0], spec.dtypes[0], spec.max_memory)
    return Weighted(parts, counts)


def _in_memory(state: KeysState) -> Weighted:
    """Return the keys that are in memory."""
    if state.open is None and len(state.waiting) == 1 and isinstance(state.waiting[0], Weighted):
        return state.waiting[0]
    return weighted_of(state.spec, _take_waiting(state))


def _n_open(state: KeysState) -> int:
    return 0 if state.open is None else len(state.open.keys)


def _n_keys(keys: Weighted | Open) -> int:
    return len(keys.keys) if isinstance(keys, Open) else len(keys.counts)


def _take_waiting(state: KeysState) -> Open:
    """Return the table of all keys, into which those are counted that wait."""
    spec, waiting = state.spec, sorted(state.waiting, key=_n_keys, reverse=True)
    n_left = sum(map(_n_keys, waiting))
    tables = state.open or opened(spec, _n_keys(waiting[0]) if waiting else 0)
    state.open, state.waiting = tables, []
    for keys in waiting:
        n_before, n = len(tables.keys), _n_keys(keys)
        if isinstance(keys, Open):
            count_tables(spec, tables, keys)
        else:
            columns = [pa.chunked_array([part]) for part in keys.parts]
            count_rows(spec, tables, columns, keys.counts)
        n_left -= n
        if n_before and n:  # as many of the others will be new
            n_new = n_left * (len(tables.keys) - n_before) // n
            make_room(tables.keys, len(tables.keys) + n_new, runner(_RUN))
    return tables
