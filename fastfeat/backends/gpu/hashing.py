"""Hashes of rows of several columns on a device; those of one column of text are with text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.hashing import cuda

from fastfeat.backends.gpu.kernels import launch_rows
from fastfeat.backends.gpu.key_columns import key_rows
from fastfeat.backends.gpu.key_steps import numbers_by
from fastfeat.backends.gpu.launch import settled
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.scalars.hashing import hash_type
from fastfeat.steps import Argument


def hash_cross(
    runtime: Runtime, args: Sequence[Argument], params: Mapping[str, Any], n_rows: int
) -> Any:
    """Return the hash of each row of some columns, or its bucket; see `steps.hashing`."""
    columns, dtypes = [arg.values for arg in args], [arg.dtype for arg in args]
    module = runtime.module(cuda.text(runtime.geometry.block))

    def write(start: int, n: int, target: int) -> None:
        pairs = zip(columns, dtypes, strict=True)
        rows = [key_rows(runtime, column, dtype, start, n) for column, dtype in pairs]
        header = [len(rows), params["seed"], target, params["n_buckets"] or 0]
        words = [*header, *(word for column in rows for word in column.words())]
        table = np.array([word % 2**64 for word in words], np.uint64)
        launch_rows(runtime, module, cuda.KERNELS["mixed"], table, 0, n)

    with settled(runtime):
        return numbers_by(runtime, columns, dtypes, hash_type(params), n_rows, write)
