"""As-of joins on the CPU: the rows of the table in order once, the data's looked up among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.asof.state import MAX_ROWS, InOrder, as_given, find, in_order

from fastfeat.aggregates.vocabulary import Vocabulary
from fastfeat.backends.cpu.kernels import n_parts, runner
from fastfeat.backends.cpu.vocabulary import count_keys, encode
from fastfeat.dtypes import DType
from fastfeat.errors import InvalidData
from fastfeat.io.arrow import Array, pa
from fastfeat.io.column import physical_chunks
from fastfeat.io.keys import comparable, table_keys_as
from fastfeat.io.ticks import ticks_column
from fastfeat.io.write import empty_bytes
from fastfeat.steps import Argument
from fastfeat.steps.asof import parts_of, rule_of

_RUN = "asof"
_ANY_SIZE = 1 << 62
_FIRST_KEY = 2  # codes 0 and 1 are those of missing and unseen keys


class _Ordered(NamedTuple):
    """The rows of a table by key and time.

    Args:
        keys: the distinct keys; None where all rows have one.
        rows: the rows in order.
    """

    keys: Vocabulary | None
    rows: InOrder


def asof_rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Array:
    """Return the row of the table that was known at the moment of each row; see `steps.asof`."""
    time, keys, right, right_keys = parts_of(args)
    dtypes = [comparable(key.dtype) for key in keys]
    table = _ordered(right, right_keys, dtypes)
    codes = None
    if table.keys is not None:
        encoded = encode(table.keys, [key.values for key in keys], dtypes, "key", 1)
        codes = encoded.to_numpy(zero_copy_only=False)
    times = physical_chunks(ticks_column(time.values, time.dtype))
    rule = rule_of(time.dtype, right.dtype, params)
    memory = empty_bytes(8 * n_rows).view(np.int64)
    run, parts = runner(_RUN), n_parts(n_rows)
    found = find(table.rows, codes, times, rule, run, parts, _FIRST_KEY, memory)
    buffers = [pa.py_buffer(found.bitmap), pa.py_buffer(found.rows)]
    return pa.Array.from_buffers(pa.int64(), n_rows, buffers)


def _ordered(right: Argument, keys: Sequence[Argument], dtypes: Sequence[DType]) -> _Ordered:
    """Return the rows of a table in order; made on first use."""
    name = ("asof", tuple(key.values.name for key in keys), tuple(dtypes))
    found: _Ordered | None = right.values.cache.get(name)
    if found is None:
        found = right.values.cache[name] = _in_order(right, keys, dtypes)
    return found


def _in_order(right: Argument, keys: Sequence[Argument], dtypes: Sequence[DType]) -> _Ordered:
    times = ticks_column(right.values.array, right.dtype)
    n_rows, known = len(times), None
    if n_rows > MAX_ROWS:
        raise InvalidData(
            f"the table {right.values.table!r} has {n_rows:,} rows: an as-of join takes "
            f"{MAX_ROWS:,} at most. Pass fewer, such as those of the time that the data is of"
        )
    chunks, parts_of_rows = physical_chunks(times), n_parts(n_rows)
    codes, n_keys = np.zeros(n_rows, np.int32), 1
    if not keys:
        rows = as_given(chunks, runner(_RUN), parts_of_rows)
        if rows is not None:
            return _Ordered(None, rows)
    else:
        own = [key.dtype for key in keys]
        parts = table_keys_as([key.values.array for key in keys], own, dtypes)
        counted = count_keys(parts, dtypes, "key", _ANY_SIZE, with_rows=True)
        known = Vocabulary(counted.parts, counted.counts, counted.n_missing)
        n_keys = len(known)
        assert counted.of_rows is not None, "it was asked for"
        codes = counted.of_rows(np.arange(n_keys, dtype=np.int32), -1)
    return _Ordered(known, in_order(codes, chunks, n_keys, runner("windows"), parts_of_rows))
