"""The learner of keys on the CPU: distinct keys and counts, from one batch of rows or several.

The first batch is counted by itself. If all rows are expected in one batch, several threads count
them, and the key number of each row is kept. If more batches come, they are counted in a growing
hash table. When states merge, the keys of one of them first wait in a list. Later they go into the
table. If they are very many, and all lists are sorted by hash, the lists are merged instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import numpy as np
from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import TEXT
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary import growing
from fastfeat_kernels.vocabulary.state import DistinctKeys
from fastfeat_kernels.vocabulary.tables import VocabularyTooLarge
from numpy.typing import NDArray

from fastfeat.aggregates.keys import KeyCounts
from fastfeat.engine.cpu.kernels import runner
from fastfeat.engine.learner import Learner, LearntResult, PackedState, Rows, TaskLearner
from fastfeat.io import temporary_files
from fastfeat.io.arrow import Array, ChunkedArray, call, pa
from fastfeat.ir.dtypes import INT64
from fastfeat.steps.keys import cpu_key_files as spilled
from fastfeat.steps.keys import cpu_open_keys, cpu_sorted_runs
from fastfeat.steps.keys.cpu_counting import (
    CountedKeys,
    KeysSpec,
    array_of,
    as_counted_keys,
    check_room,
    distinct_key_counts,
    element_of,
    in_order,
    key_counts,
    key_counts_in_no_order,
    keys_of,
    vocabulary_error,
)
from fastfeat.steps.keys.tasks import DistinctTask, KeysTask

if TYPE_CHECKING:
    from fastfeat.steps.keys.cpu_key_files import Weighted
    from fastfeat.steps.keys.cpu_open_keys import OpenKeys

_RUN = "vocabulary"
_MOST_WAITING = 4
"""Waiting keys go into the table once they are so many times its keys.

Each key is then hashed seldom, and a state is at most so many times larger than necessary.
"""
_FEW_WAITING = 1 << 16
_NUMBER_BYTES, _TEXT_BYTES = 100, 180
"""Bytes per key of a half-full table, plus the table of half the size from which it has grown."""
_WRITTEN_AT_ONCE = 1 << 19
"""Keys hashed and partitioned together; they take 40 bytes each, plus the keys themselves."""


@dataclass(slots=True)
class KeysState:
    """The distinct keys, with counts, of all rows added so far.

    Args:
        spec: Settings of the task.
        first: The keys of the first batch, until another comes.
        open: The growing hash tables of keys; None before they are needed.
        waiting: Keys of merged states that are not in the table yet.
        files: Keys on disk, one item per spill.
        n_rows: Number of rows.
        n_missing: Number of rows without a key, not counting the rows of `first`.
    """

    spec: KeysSpec
    first: CountedKeys | None = None
    open: OpenKeys | None = None
    waiting: list[Weighted | OpenKeys] = field(default_factory=list["Weighted | OpenKeys"])
    files: list[spilled.SpilledKeys] = field(default_factory=list["spilled.SpilledKeys"])
    n_rows: int = 0
    n_missing: int = 0


def count_keys(task: KeysTask) -> KeyCounts:
    """Return the distinct keys of some rows; raise InvalidData if they exceed the memory limit."""
    spec, columns = learner_input(task)
    spec = replace(spec, at_once=True, with_rows=task.with_rows, in_order=task.in_order)
    state = start(spec, None)
    add(state, columns, range(len(task.columns[0])))
    return finished(state).values[0]


def count_distinct(task: DistinctTask) -> int:
    """Return the number of distinct keys in the rows of a task."""
    columns, dtypes = task.columns, task.dtypes
    return len(count_keys(KeysTask(columns, dtypes, task.missing, 2**62, in_order=False)).counts)


def start(spec: KeysSpec, hint: Any) -> KeysState:
    """Return a state without rows."""
    return KeysState(spec)


def add(state: KeysState, columns: Mapping[Any, Any], rows: Rows) -> None:
    """Count the keys of a batch of rows; raise InvalidData if they exceed the memory limit."""
    spec = state.spec
    parts = [columns[k] for k in range(len(spec.dtypes))]
    n_before, n_rows = state.n_rows, len(parts[0])
    state.n_rows += n_rows
    if n_before == 0 and (spec.at_once or _is_plain(spec, parts[0])):
        state.first = distinct_key_counts(
            *(parts, spec.dtypes, spec.missing, spec.max_memory),
            with_rows=spec.with_rows,
            in_order=spec.in_order,
            are_all=spec.at_once,
        )
    elif n_rows:
        _close_first(state)
        state.open = state.open or cpu_open_keys.open_tables(spec, 0)
        state.n_missing += cpu_open_keys.count_rows(spec, state.open, parts, None)


def merge(a: KeysState, b: KeysState) -> KeysState:
    """Return the state of the rows of two states; use neither of them afterwards."""
    if a.n_rows == 0 or b.n_rows == 0:
        return b if a.n_rows == 0 else a
    for state in (a, b):
        _close_first(state)
    if _n_open(a) < _n_open(b):
        a, b = b, a
    if b.open is not None:
        for table in b.open.all:
            growing.drop_slots(table)
        b.waiting.append(b.open)
    a.waiting += b.waiting
    a.files += b.files
    a.n_rows += b.n_rows
    a.n_missing += b.n_missing
    sizes = [_n_keys(keys) for keys in a.waiting]
    if sum(sizes) > _MOST_WAITING * max([_n_open(a), *sizes]) + _FEW_WAITING:
        if _are_by_hash(a):
            a.waiting = [_joined(a)]
        else:
            _take_waiting(a)
    return a


def finished(state: KeysState) -> LearntResult:
    """Return the keys of all rows with counts; after a single batch also each row's key number."""
    spec = state.spec
    if state.first is not None:
        if spec.in_order:
            return LearntResult((key_counts(state.first),))
        how = spec.dtypes, spec.missing, spec.max_memory
        return LearntResult((key_counts_in_no_order(state.first, *how),))
    if state.files:
        found = _ordered_on_disk(state)
        return LearntResult((KeyCounts(found.parts, found.counts, state.n_missing),))
    found = _all(state)
    if spec.is_column:
        column = as_counted_keys(found.parts[0], spec.dtypes[0], found.counts, state.n_missing)
        return LearntResult((key_counts(column),))
    order = in_order(found.parts, spec.dtypes, found.counts, spec.missing, spec.max_memory)
    places = pa.array(order)
    parts = tuple(call("array_take", part, places) for part in found.parts)
    return LearntResult((KeyCounts(parts, found.counts[order], state.n_missing),))


def pack(state: KeysState) -> PackedState:
    """Return a state in serializable form."""
    n_missing = state.n_missing + (0 if state.first is None else state.first.found.n_missing)
    numbers: dict[str, Any] = {"n_rows": state.n_rows, "n_missing": n_missing}
    keys = _all(state)
    numbers["ends"] = None if keys.ends is None else keys.ends.tolist()
    return PackedState(numbers, {"keys": spilled.table_of(keys)})


def unpack(spec: KeysSpec, hint: Any, packed: PackedState) -> KeysState:
    """Return the state that `pack` serialized."""
    numbers = dict(packed.numbers)
    ends = numbers.pop("ends")
    keys = spilled.keys_of_table(packed.tables["keys"], spec.dtypes)
    keys = keys._replace(ends=None if ends is None else np.array(ends, np.int64))
    return KeysState(spec, waiting=[keys], **numbers)


def spill(state: KeysState, folder: Path) -> None:
    """Move the keys in memory to a file, so that the state continues without keys in memory."""
    _close_first(state)
    dtypes, is_cross = state.spec.dtypes, not state.spec.is_column
    file = state.files[0].file if state.files else temporary_files.unnamed_file(folder)
    state.files.append(spilled.write(file, _pieces(state), dtypes, is_cross=is_cross))
    state.open, state.waiting = None, []


def _pieces(state: KeysState) -> Iterator[Weighted]:
    """Yield the keys in memory with their counts, some at a time; a key may come more than once."""
    for keys in state.waiting:
        if isinstance(keys, cpu_open_keys.OpenKeys):
            yield from cpu_open_keys.weighted_pieces(state.spec, keys, _WRITTEN_AT_ONCE)
            continue
        for first in range(0, len(keys.counts), _WRITTEN_AT_ONCE):
            parts = tuple(part.slice(first, _WRITTEN_AT_ONCE) for part in keys.parts)
            yield spilled.Weighted(parts, keys.counts[first : first + _WRITTEN_AT_ONCE])
    if state.open is not None:
        yield from cpu_open_keys.weighted_pieces(state.spec, state.open, _WRITTEN_AT_ONCE)


def size(state: KeysState) -> int:
    """Return the bytes that a state takes."""
    n_bytes = 0 if state.first is None else state.first.n_bytes
    for keys in (*state.waiting, *([] if state.open is None else [state.open])):
        if isinstance(keys, cpu_open_keys.OpenKeys):
            n_bytes += sum(table.n_bytes for table in keys.all)
        else:
            n_bytes += keys.counts.nbytes + sum(part.nbytes for part in keys.parts)
    return n_bytes


def bound(spec: KeysSpec, n_rows: int) -> int:
    """Return an upper bound of the bytes of a state; text counts with its memory limit."""
    tables = [element_of(spec.dtypes[0])]
    if not spec.is_column:
        tables = [element_of(dtype) for dtype in spec.dtypes] + ["int64"] * len(spec.dtypes)
    in_tables = sum(growing.bound_of(element, n_rows) for element in tables)
    waiting = 24 * len(tables) * ((_MOST_WAITING + 1) * n_rows + _FEW_WAITING)
    text = (2 + _MOST_WAITING) * spec.max_memory if TEXT in tables else 0
    return in_tables + waiting + text


def row_bytes(spec: KeysSpec) -> int:
    """Return how many bytes a row with a new key may add to a state whose tables must grow."""
    parts = sum(_TEXT_BYTES if dtype.holds_bytes else _NUMBER_BYTES for dtype in spec.dtypes)
    return parts if spec.is_column else parts + _NUMBER_BYTES * (len(spec.dtypes) - 1 or 1)


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
    takes="16 bytes per key in the end, and about 60 while fit counts keys; per text key 24 and "
    "130, plus the text itself. Keys that do not fit in memory while fit counts go to disk",
    row_bytes=row_bytes,
)


def learner_input(task: KeysTask) -> tuple[KeysSpec, Mapping[Any, Any]]:
    """Return a task's settings as `KeysSpec`, and its key columns by number.

    The settings are for rows that come in several batches.
    """
    spec = KeysSpec(tuple(task.dtypes), task.missing, task.max_memory)
    return spec, dict(enumerate(task.columns))


OF_TASKS = TaskLearner(LEARNER, learner_input)


def _close_first(state: KeysState) -> None:
    """Append the keys of the first batch to the list of waiting keys."""
    if state.first is not None:
        state.waiting.append(_weighted(state.spec, state.first))
        state.n_missing += state.first.found.n_missing
        state.first = None


def _weighted(spec: KeysSpec, of: CountedKeys) -> Weighted:
    """Return the keys of `of` that occur in rows, with their counts.

    The result says that keys are sorted by hash only for keys of one column. Keys of several parts
    are sorted by numbers that differ from state to state.
    """
    counts, parts, ends = of.found.counts, of.parts_of(of.found.keys), of.found.ends
    if not counts.all():
        used = np.flatnonzero(counts)
        places = pa.array(used)
        parts, counts = tuple(call("array_take", part, places) for part in parts), counts[used]
        ends = None
    return spilled.Weighted(parts, counts, ends if spec.is_column else None)


def _all(state: KeysState) -> Weighted:
    """Return the distinct keys of all rows, with their counts, from memory and files."""
    if state.first is not None:
        return _weighted(state.spec, state.first)
    return _of_files(state) if state.files else _in_memory(state)


def _counted_in_files(state: KeysState) -> Iterator[Weighted]:
    """Yield the keys of all rows with their counts, one hash partition of the files at a time.

    Keys that are still in memory are first written to the files.
    """
    spec = state.spec
    if state.open is not None or state.waiting:
        spill(state, Path(gettempdir()))
    for pieces in spilled.partitions(state.files, spec.dtypes):
        yield _in_memory(KeysState(spec, waiting=list(pieces)))


def _ordered_on_disk(state: KeysState) -> Weighted:
    """Return the keys of all rows in the order of codes, sorted with the help of files."""
    spec = state.spec

    def order(parts: Sequence[Array], counts: Int64Array) -> NDArray[np.int64]:
        return in_order(parts, spec.dtypes, counts, spec.missing, spec.max_memory)

    folder = Path(gettempdir())
    found = cpu_sorted_runs.in_order_on_disk(_counted_in_files(state), spec.dtypes, order, folder)
    if spec.is_column:
        check_room(found.parts[0], spec.dtypes[0], spec.max_memory)
    else:
        check_room(pa.array(found.counts), INT64, spec.max_memory)
    return found


def _of_files(state: KeysState) -> Weighted:
    """Return the keys of all rows, some of which are in files, in any order."""
    spec, found = state.spec, list(_counted_in_files(state))
    parts = tuple(
        pa.concat_arrays(part) for part in zip(*(one.parts for one in found), strict=True)
    )
    counts = np.concatenate([one.counts for one in found])
    if spec.is_column:  # keys of several parts are checked when they are put in order
        check_room(parts[0], spec.dtypes[0], spec.max_memory)
    return spilled.Weighted(parts, counts)


def _in_memory(state: KeysState) -> Weighted:
    """Return the keys that are in memory, with their counts."""
    if (
        state.open is None
        and len(state.waiting) == 1
        and isinstance(state.waiting[0], spilled.Weighted)
    ):
        return state.waiting[0]
    if _are_by_hash(state):
        keys = _joined(state)
        state.waiting = [keys]
        return keys
    return cpu_open_keys.weighted_of(state.spec, _take_waiting(state))


def _is_plain(spec: KeysSpec, column: ChunkedArray) -> bool:
    """Return whether a key is a value of one column that is not a dictionary."""
    return spec.is_column and not pa.types.is_dictionary(column.type)


def _are_by_hash(state: KeysState) -> bool:
    """Return whether all keys in memory are waiting, in lists that are sorted by hash."""
    waiting = state.waiting
    are_there = state.open is None and len(waiting) > 0
    return are_there and all(
        isinstance(k, spilled.Weighted) and k.ends is not None for k in waiting
    )


def _joined(state: KeysState) -> Weighted:
    """Return the waiting lists of keys, all sorted by hash, merged into one that is sorted too."""
    spec = state.spec
    dtype, element = spec.dtypes[0], element_of(spec.dtypes[0])
    found = [
        DistinctKeys(element, keys_of(keys.parts[0], dtype), keys.counts, 0, None, keys.ends)
        for keys in state.waiting
        if isinstance(keys, spilled.Weighted)
    ]
    try:
        joined = growing.joined_by_hash(found, runner(_RUN), limit_bytes=spec.max_memory)
    except VocabularyTooLarge as error:
        raise vocabulary_error(error, spec.max_memory) from None
    return spilled.Weighted((array_of(joined.keys, dtype),), joined.counts, joined.ends)


def _n_open(state: KeysState) -> int:
    return 0 if state.open is None else len(state.open.keys)


def _n_keys(keys: Weighted | OpenKeys) -> int:
    return len(keys.keys) if isinstance(keys, cpu_open_keys.OpenKeys) else len(keys.counts)


def _take_waiting(state: KeysState) -> OpenKeys:
    """Count all waiting keys into the hash tables; return the tables."""
    spec, waiting = state.spec, sorted(state.waiting, key=_n_keys, reverse=True)
    n_left = sum(map(_n_keys, waiting))
    tables = state.open or cpu_open_keys.open_tables(spec, _n_keys(waiting[0]) if waiting else 0)
    state.open, state.waiting = tables, []
    for keys in waiting:
        n_before, n = len(tables.keys), _n_keys(keys)
        if isinstance(keys, cpu_open_keys.OpenKeys):
            cpu_open_keys.count_tables(spec, tables, keys)
        else:
            columns = [pa.chunked_array([part]) for part in keys.parts]
            cpu_open_keys.count_rows(spec, tables, columns, keys.counts)
        n_left -= n
        if n_before and n:  # assume that the same share of the others is new
            n_new = n_left * (len(tables.keys) - n_before) // n
            growing.make_room(tables.keys, len(tables.keys) + n_new, runner(_RUN))
    return tables
