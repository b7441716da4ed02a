"""Vocabularies on a device: distinct keys of the training rows, and the codes of later rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import Int32Array
from fastfeat_kernels.vocabulary import cuda

from fastfeat.aggregates.keys import KeyCounts, Vocabulary
from fastfeat.engine.gpu.columns.kernels import on_device, zeros_on_device
from fastfeat.engine.gpu.programs.launch import settle_on_error
from fastfeat.engine.gpu.runtime import Buffer, Runtime
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import INT32, DType
from fastfeat.steps.keys.cpu_counting import in_order
from fastfeat.steps.keys.gpu.columns import KeyRows, key_rows, numbers_by
from fastfeat.steps.keys.gpu.distinct_keys import (
    Distinct,
    distinct,
    launch,
    missing_word,
    n_distinct,
)
from fastfeat.steps.keys.tasks import DistinctTask, KeysTask
from fastfeat.steps.step import Argument


def count_keys(runtime: Runtime, task: KeysTask) -> KeyCounts:
    """Return the distinct keys of a task's rows with their counts, the most frequent first.

    Raises InvalidData if the keys exceed the memory limit, and OutOfDeviceMemory if not even 64
    rows, or not the distinct keys, fit.
    """
    return runtime.computations.run(partial(_count, runtime, task))


def count_distinct(runtime: Runtime, task: DistinctTask) -> int:
    """Return the number of distinct keys in the rows of a task.

    Raises OutOfDeviceMemory if a hash table for all rows does not fit.
    """

    def work() -> int:
        with settle_on_error(runtime):
            return n_distinct(runtime, task.columns, task.dtypes, task.missing)

    return runtime.computations.run(work)


def _count(runtime: Runtime, task: KeysTask) -> KeyCounts:
    with settle_on_error(runtime):
        found = distinct(runtime, task.columns, task.dtypes, task.missing)
    order = in_order(found.parts, task.dtypes, found.counts, task.missing, task.max_memory)
    n_rows, with_rows = len(task.columns[0]), task.with_rows

    def of_rows(numbers: Int32Array, missing: int) -> DeviceArray | Int32Array:
        work = partial(_of_rows, runtime, found, order, n_rows, numbers, missing)
        return runtime.computations.run(work)

    parts = tuple(part.take(pa.array(order)) for part in found.parts)
    return KeyCounts(parts, found.counts[order], found.n_missing, of_rows if with_rows else None)


def _of_rows(
    runtime: Runtime,
    found: Distinct,
    order: np.ndarray[Any, np.dtype[np.int64]],
    n_rows: int,
    numbers: Int32Array,
    missing: int,
) -> DeviceArray | Int32Array:
    """Return one number per row, looked up by the row's key.

    `order` has the positions of the keys in their final order, and `numbers` one number per key in
    that order; rows without a key get `missing`. The result is on the device if `found` has the key
    number of each row there.
    """
    of_keys = np.empty(len(order) + 1, np.int32)
    of_keys[order], of_keys[-1] = numbers, missing
    if not isinstance(found.rows, Buffer):
        return of_keys[found.rows]
    values, target = on_device(runtime, of_keys), runtime.allocate(max(4 * n_rows, 8))
    words = cuda.value_words(found.rows.address, values.address, missing, target.address)
    launch(runtime, "read_values", words, [], n_rows)
    return DeviceArray(INT32, n_rows, target.address, owner=target)


class _DeviceVocabulary(NamedTuple):
    """The keys of a vocabulary and their hash table on a device, with the words for kernels."""

    parts: Sequence[KeyRows]
    slots: Buffer
    words: cuda.KeyTable


def encode(
    runtime: Runtime, args: Sequence[Argument], params: Mapping[str, Any], n_rows: int
) -> Any:
    """Return the code of each row's key, int32, on the device if there is room.

    The codes are defined in `steps.keys.rows`.
    """
    *parts, learnt = args
    columns, dtypes = [part.values for part in parts], [part.dtype for part in parts]
    missing = params["missing"]
    with settle_on_error(runtime):
        known = _device_vocabulary(runtime, learnt.values, dtypes, missing)
        is_cross = int(len(parts) > 1 or missing != "key")
        wanted = replace(known.words, n_unseen=params["n_unseen"], is_cross=is_cross)

        def write(start: int, n: int, target: int) -> None:
            rows = [
                key_rows(runtime, column, dtype, start, n)
                for column, dtype in zip(columns, dtypes, strict=True)
            ]
            words = replace(wanted, rows=target).words()
            launch(runtime, "look_up_keys", words, [*rows, *known.parts], n)

        return numbers_by(runtime, columns, dtypes, INT32, n_rows, write)


def _device_vocabulary(
    runtime: Runtime, vocabulary: Vocabulary, dtypes: Sequence[DType], missing: str
) -> _DeviceVocabulary:
    """Copy the keys of a vocabulary to the device and insert them into a hash table."""
    n_keys = len(vocabulary)
    pairs = zip(vocabulary.parts, dtypes, strict=True)
    parts = [key_rows(runtime, pa.chunked_array([part]), d, 0, n_keys) for part, d in pairs]
    n_slots = cuda.n_slots_for(n_keys)
    slots = zeros_on_device(runtime, 8 * n_slots)
    state = zeros_on_device(runtime, 8 * cuda.N_STATE_WORDS)
    words = cuda.KeyTable(
        len(parts), missing_word(missing), slots.address, n_slots, state.address, limit=n_slots
    )
    launch(runtime, "insert_keys", words.words(), parts, n_keys)
    return _DeviceVocabulary(parts, slots, words)
