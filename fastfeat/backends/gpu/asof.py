"""As-of joins on a device: the rows of a table in order, those of the data looked up in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat_kernels.asof import cuda

from fastfeat.aggregates.vocabulary import Vocabulary
from fastfeat.backends.gpu.columns import word_bytes
from fastfeat.backends.gpu.kernels import launch_rows, on_device
from fastfeat.backends.gpu.launch import settled
from fastfeat.backends.gpu.pieces import room_of_pieces
from fastfeat.backends.gpu.runtime import Buffer, Runtime
from fastfeat.backends.gpu.vocabulary import count_keys, encode
from fastfeat.backends.gpu.window_kernels import room
from fastfeat.backends.gpu.window_order import (
    ORDER_BYTES,
    SORT_BYTES,
    Entities,
    Order,
    ordered,
    placed_times,
)
from fastfeat.dtypes import INT64, VOCABULARY, DType
from fastfeat.errors import OutOfDeviceMemory
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray
from fastfeat.io.keys import comparable, table_keys_as
from fastfeat.steps import Argument
from fastfeat.steps.asof import parts_of, rule_of

_ANY_SIZE = 1 << 62
_FIRST_KEY = 2  # codes 0 and 1 are those of missing and unseen keys
_CODES = {"n_unseen": 1, "missing": "key"}
_ROW_BYTES = 4 + 8 + 8 + 1 / 8
"""Of a row of the data: code, time, and the row that is found."""


def asof_rows(
    runtime: Runtime, args: Sequence[Argument], params: Mapping[str, Any], n_rows: int
) -> Any:
    """Return the row of the table that was known at the moment of each row; see `steps.asof`.

    Raises:
        OutOfDeviceMemory: the rows do not fit the device.
    """
    time, keys, right, right_keys = parts_of(args)
    if not n_rows:
        return pa.chunked_array([], pa.int64())
    dtypes = [comparable(key.dtype) for key in keys]
    with settled(runtime):
        _check_room(runtime, len(right.values.array), n_rows)
        known = _known(runtime, right, right_keys, dtypes) if keys else None
        table = _in_order(runtime, right, right_keys, dtypes, known)
        codes = None if known is None else _codes(runtime, known, keys, dtypes, n_rows)
        out, present = room(runtime, n_rows, 8), room(runtime, word_bytes(n_rows), 1)
        times = placed_times(runtime, time.values, time.dtype)
        words = {
            **times.words,
            **{name: table.words[name] for name in ("STARTS", "TIMES", "ROWS")},
            **cuda.rule_words(rule_of(time.dtype, right.dtype, params)),
            "CODES": 0 if codes is None else codes.address,
            "FIRST_CODE": _FIRST_KEY,
            "FOUND": out.address,
            "FOUND_BITS": present.address,
        }
        module = runtime.module(cuda.text(runtime.geometry.block))
        launch_rows(runtime, module, cuda.KERNEL, cuda.table_words(words), 0, n_rows)
        return DeviceArray(
            INT64, n_rows, out.address, validity=present.address, owner=(out, present)
        )


def _check_room(runtime: Runtime, n_right: int, n_rows: int) -> None:
    """Raise where the rows do not fit the device.

    Raises:
        OutOfDeviceMemory: says what they need.
    """
    needed = n_right * (ORDER_BYTES + SORT_BYTES) + n_rows * _ROW_BYTES
    if needed > room_of_pieces(runtime):
        runtime.give_back()
    if needed > room_of_pieces(runtime):
        free, _ = runtime.memory()
        raise OutOfDeviceMemory(
            f"an as-of join of {n_rows:,} rows with a table of {n_right:,} needs {needed:,.0f} "
            f"bytes of device memory, {free:,} are free. Use backend='cpu', transform fewer rows "
            "at a time, or free memory"
        )


def _known(
    runtime: Runtime, right: Argument, keys: Sequence[Argument], dtypes: Sequence[DType]
) -> Vocabulary:
    """Return the distinct keys of a table; found on first use."""
    name = ("keys of an as-of join", tuple(key.values.name for key in keys), tuple(dtypes))
    found: Vocabulary | None = right.values.cache.get(name)
    if found is None:
        counted = count_keys(runtime, _parts(keys, dtypes), dtypes, "key", _ANY_SIZE)
        found = Vocabulary(counted.parts, counted.counts, counted.n_missing)
        right.values.cache[name] = found
    return found


def _parts(keys: Sequence[Argument], dtypes: Sequence[DType]) -> list[Any]:
    """Return the keys of a table in the types of those of the data."""
    return table_keys_as([key.values.array for key in keys], [key.dtype for key in keys], dtypes)


def _in_order(
    runtime: Runtime,
    right: Argument,
    keys: Sequence[Argument],
    dtypes: Sequence[DType],
    known: Vocabulary | None,
) -> Order:
    """Return the rows of a table by key and time, of equal times the last one last."""
    n = len(right.values.array)
    entities = Entities(None, 0, 1)
    if known is not None:
        parts = [
            Argument(part, dtype) for part, dtype in zip(_parts(keys, dtypes), dtypes, strict=True)
        ]
        codes = _codes(runtime, known, parts, dtypes, n)
        entities = Entities(codes, _FIRST_KEY, len(known))
    return ordered(runtime, n, placed_times(runtime, right.values.array, right.dtype), entities)


def _codes(
    runtime: Runtime,
    known: Vocabulary,
    keys: Sequence[Argument],
    dtypes: Sequence[DType],
    n_rows: int,
) -> Buffer:
    """Return the code of the key of each row on the device."""
    parts = [replace(key, dtype=dtype) for key, dtype in zip(keys, dtypes, strict=True)]
    codes = encode(runtime, [*parts, Argument(known, VOCABULARY)], _CODES, n_rows)
    if isinstance(codes, DeviceArray):
        return runtime.adopt(codes.values, 4 * n_rows, codes.owner)
    whole = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    return on_device(runtime, whole.to_numpy(zero_copy_only=False))
