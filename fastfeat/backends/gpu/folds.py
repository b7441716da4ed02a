"""Folds of training rows on a device, by the number of the row or by a key; see `steps.fold`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.hashing import cuda, layout

from fastfeat.backends.gpu.hashing import hash_cross
from fastfeat.backends.gpu.kernels import launch_rows
from fastfeat.backends.gpu.key_steps import numbers_by
from fastfeat.backends.gpu.launch import settled
from fastfeat.backends.gpu.runtime import Runtime
from fastfeat.dtypes import INT32
from fastfeat.steps import Argument

FOLD_BYTES = 4


def fold(runtime: Runtime, args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> Any:
    """Return the fold of each row."""
    n_folds = params["n_folds"]
    if args:
        return hash_cross(runtime, args, {"seed": 0, "n_buckets": n_folds}, n_rows)
    module = runtime.module(cuda.text(runtime.geometry.block))

    def write(start: int, n: int, target: int) -> None:
        words = np.zeros(layout.N_HEADER_WORDS, np.int64)
        words[layout.HASHES], words[cuda.N_BUCKETS] = target - FOLD_BYTES * start, n_folds
        launch_rows(runtime, module, cuda.ROW_NUMBERS, words, start, n)

    with settled(runtime):
        return numbers_by(runtime, [], [], INT32, n_rows, write)
