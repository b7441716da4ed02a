"""Learning of keys on the CPU: rows come at once or in parts, and parts merge.

Rows are counted into a table that stays open, and so are the keys of states that merge. Rows that
are expected to come at once are counted by threads, and kept with what gives them the number of
their key; should others come, the table is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fastfeat_kernels.column import TEXT
from fastfeat_kernels.vocabulary.growing import (
    Growing,
    bound_of,
    count_into,
    count_keys_of,
    distinct_keys,
    drop_slots,
    growing,
    make_room,
)
from fastfeat_kernels.vocabulary.tables import VocabularyTooLarge
from numpy.typing import NDArray

from fastfeat.aggregates.keys import Counts, KeyCounts
from fastfeat.dtypes import DType
from fastfeat.engine.cpu.kernels import runner
from fastfeat.engine.learner import Learner, Learnt, Packed, Rows
from fastfeat.io.arrow import Array, ChunkedArray, call, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.io.columns.column import physical_chunks
from fastfeat.steps.keys import cpu_spilled as spilled
from fastfeat.steps.keys.cpu_counting import (
    Counted,
    Places,
    array_of,
    check_room,
    chunks_of,
    counted,
    counted_before,
    element_of,
    in_order,
    key_counts,
    of_codes,
    refused,
    taken,
    uses_of,
)
from fastfeat.steps.keys.cpu_spilled import Weighted
from fastfeat.steps.keys.tasks import KeysTask

_RUN = "vocabulary"
_MOST_WAITING = 4
"""Keys of others wait until they are so many times those of the table: each is then hashed seldom,
and a state is at most so many times larger than it must be."""
_FEW_WAITING = 1 << 16
_LOW = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class KeysSpec:
    """The task of learning the keys of rows, as its learner is told it.

    Args:
        dtypes: the types of the parts of the key; `add` takes their columns by number, as
            `io.columns.keys` stores them.
        missing: "key" where one missing part makes the key missing, "value" where it is a value.
        max_memory: bytes that the keys may take.
        at_once: whether all rows are expected in one call, which then divides the work.
        with_rows: whether rows that come at once get the number of their key.
    """

    dtypes: tuple[DType, ...]
    missing: str
    max_memory: int
    at_once: bool = False
    with_rows: bool = False

    @property
    def is_column(self) -> bool:
        """Whether a key is a value of one column."""
        return len(self.dtypes) == 1 and self.missing == "key"


@dataclass(slots=True)
class Open:
    """Tables that rows are counted into.

    A key of several parts is a number of two halves: the number of what its first parts are, and of
    the last one; that of a value is its place + 1, and 0 that of a missing one.

    Args:
        keys: values of one column, or numbers of keys.
        values: those of each part, where keys are numbers.
        heads: numbers of the first two parts, of the first three and so on.
    """

    keys: Growing
    values: tuple[Growing, ...]
    heads: tuple[Growing, ...]

    @property
    def all(self) -> tuple[Growing, ...]:
        """All tables."""
        return (self.keys, *self.values, *self.heads)


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
    """Return the distinct keys of some rows in order.

    Raises:
        InvalidData: they take more memory than they may.
    """
    how = {"at_once": True, "with_rows": task.with_rows}
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
            parts, spec.dtypes, spec.missing, spec.max_memory, with_rows=spec.with_rows
        )
    elif n_rows:
        _close_first(state)
        state.n_missing += _count(state, parts, None)


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
    """Return the keys of all rows in the order of codes, with what numbers rows added at once."""
    if state.first is not None:
        return Learnt((key_counts(state.first),))
    spec, found = state.spec, _all(state)
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
    return _closed(state.spec, _take_waiting(state))


def _n_open(state: KeysState) -> int:
    return 0 if state.open is None else len(state.open.keys)


def _n_keys(keys: Weighted | Open) -> int:
    return len(keys.keys) if isinstance(keys, Open) else len(keys.counts)


def _take_waiting(state: KeysState) -> Open:
    """Return the table of all keys, into which those are counted that wait."""
    n_left = sum(_n_keys(keys) for keys in state.waiting)
    for keys in sorted(state.waiting, key=_n_keys, reverse=True):
        n_before, n = _n_open(state), _n_keys(keys)
        if isinstance(keys, Open):
            _count_open(state, keys)
        else:
            _count(state, [pa.chunked_array([part]) for part in keys.parts], keys.counts)
        n_left -= n
        if n_before and n and state.open is not None:  # as many of the others will be new
            n_new = n_left * (_n_open(state) - n_before) // n
            make_room(state.open.keys, _n_open(state) + n_new, runner(_RUN))
    state.waiting = []
    return state.open or _opened(state.spec, 0)


def _opened(spec: KeysSpec, n_keys: int) -> Open:
    """Return tables of no keys.

    Args:
        spec: what the task is told.
        n_keys: how many to have room for.
    """
    if spec.is_column:
        return Open(growing(element_of(spec.dtypes[0]), n_keys), (), ())
    return Open(
        growing("int64", n_keys),
        tuple(growing(element_of(dtype)) for dtype in spec.dtypes),
        tuple(growing("int64") for _ in spec.dtypes[2:]),
    )


def _count(state: KeysState, columns: Sequence[ChunkedArray], weights: Counts | None) -> int:
    """Count the keys of rows in the open table, and return how many rows have none.

    Args:
        state: takes the keys.
        columns: the parts of the key; no dictionary where there are weights.
        weights: how often each row counts; each once by default.
    """
    spec = state.spec
    if state.open is None:
        state.open = _opened(spec, 0 if weights is None else len(weights))
    try:
        if spec.is_column and pa.types.is_dictionary(columns[0].type):
            return _count_dictionary(spec, state.open.keys, columns[0])
        if not spec.is_column:
            columns = [_numbers_of_keys(spec, state.open, columns)]
        keys = state.open.keys
        n_before = keys.table.n_missing
        chunks = (
            chunks_of(columns[0], spec.dtypes[0]) if spec.is_column else physical_chunks(columns[0])
        )
        count_into(keys, chunks, runner(_RUN), weights=weights, limit_bytes=spec.max_memory)
        return keys.table.n_missing - n_before
    except VocabularyTooLarge as error:
        raise refused(error, spec.max_memory) from None


def _count_open(state: KeysState, keys: Open) -> None:
    """Count the keys of another state's tables in those of this one."""
    spec, run = state.spec, runner(_RUN)
    tables = state.open or _opened(spec, len(keys.keys))
    state.open, limit = tables, spec.max_memory
    try:
        if spec.is_column:
            count_keys_of(keys.keys, tables.keys, run, limit_bytes=limit)
            return
        numbers: list[Places] = []
        for own, others, part in zip(tables.values, keys.values, _parts_of(keys), strict=True):
            places = count_keys_of(others, own, run, limit_bytes=limit, with_places=True)
            assert places is not None
            numbers.append(np.append(np.int32(0), places + np.int32(1))[part])
        chunks = physical_chunks(_numbers_of_parts(spec, tables, numbers))
        weights = keys.keys.table.counts[: len(keys.keys)]
        count_into(tables.keys, chunks, run, weights=weights, limit_bytes=limit)
    except VocabularyTooLarge as error:
        raise refused(error, limit) from None


def _count_dictionary(spec: KeysSpec, keys: Growing, column: ChunkedArray) -> int:
    """Count the entries of a dictionary that rows have; return how many rows have no value."""
    n_present = 0
    for chunk in column.chunks:
        entries, uses = _used(chunk)
        present = entries.is_valid().to_numpy(zero_copy_only=False)
        n_present += int(uses[present].sum())
        chunks = chunks_of(pa.chunked_array([entries]), spec.dtypes[0])
        count_into(keys, chunks, runner(_RUN), weights=uses, limit_bytes=spec.max_memory)
    return len(column) - n_present


def _used(chunk: Array) -> tuple[Array, Counts]:
    """Return the entries of a dictionary that rows have, and how many have each."""
    uses = uses_of(chunk)
    if uses.all():
        return chunk.dictionary, uses
    used = np.flatnonzero(uses)
    return chunk.dictionary.take(pa.array(used)), uses[used]


def _numbers_of_keys(spec: KeysSpec, tables: Open, columns: Sequence[ChunkedArray]) -> ChunkedArray:
    """Return the number of the key of each row."""
    numbers = [
        _numbers_of_values(values, column, dtype, spec.max_memory)
        for values, column, dtype in zip(tables.values, columns, spec.dtypes, strict=True)
    ]
    return _numbers_of_parts(spec, tables, numbers)


def _numbers_of_parts(spec: KeysSpec, tables: Open, numbers: Sequence[Places]) -> ChunkedArray:
    """Return the number of each key, from those of its parts."""
    limit, run = spec.max_memory, runner(_RUN)
    present = None
    if spec.missing == "key":
        present = np.logical_and.reduce([part != 0 for part in numbers])
    found = numbers[0].astype(np.int64)
    for k, part in enumerate(numbers[1:]):
        if k:
            chunks = physical_chunks(pa.chunked_array([array_of_values(found, None, pa.int64())]))
            places = count_into(
                tables.heads[k - 1], chunks, run, limit_bytes=limit, with_places=True
            )
            assert places is not None
            found = places.astype(np.int64)
        found = found << 32 | part
    return pa.chunked_array([array_of_values(found, present, pa.int64())])


def _numbers_of_values(values: Growing, column: ChunkedArray, dtype: DType, limit: int) -> Places:
    """Return the place of the value of each row + 1, 0 where it is missing."""
    if pa.types.is_dictionary(column.type):
        pieces = [_numbers_of_entries(values, chunk, dtype, limit) for chunk in column.chunks]
        return np.concatenate([np.zeros(0, np.int32), *pieces])
    chunks = chunks_of(column, dtype)
    places = count_into(values, chunks, runner(_RUN), limit_bytes=limit, with_places=True)
    assert places is not None
    return places + np.int32(1)


def _numbers_of_entries(values: Growing, chunk: Array, dtype: DType, limit: int) -> Places:
    entries, _ = _used(chunk)
    numbers = _numbers_of_values(values, pa.chunked_array([entries]), dtype, limit)
    if len(entries) < len(chunk.dictionary):
        of_used, numbers = numbers, np.zeros(len(chunk.dictionary), np.int32)
        numbers[np.flatnonzero(uses_of(chunk))] = of_used
    return of_codes(chunk, numbers, 0)


def _closed(spec: KeysSpec, tables: Open) -> Weighted:
    """Return the keys of open tables, as they are now."""
    found = distinct_keys(tables.keys, runner(_RUN))
    if spec.is_column:
        return Weighted((array_of(found.keys, spec.dtypes[0]),), found.counts)
    parts = tuple(
        taken(array_of(distinct_keys(values, runner(_RUN)).keys, dtype), part)
        for values, dtype, part in zip(tables.values, spec.dtypes, _parts_of(tables), strict=True)
    )
    return Weighted(parts, found.counts)


def _parts_of(tables: Open) -> list[NDArray[np.int64]]:
    """Return for each part the numbers of its values in the keys."""
    numbers = tables.keys.table.keys[: len(tables.keys), 0]
    found: list[NDArray[np.int64]] = []
    for k in range(len(tables.values) - 1, 0, -1):
        found.append(numbers & _LOW)
        numbers = numbers >> 32
        if k > 1:
            numbers = tables.heads[k - 2].table.keys[numbers, 0]
    return [*found, numbers][::-1]
