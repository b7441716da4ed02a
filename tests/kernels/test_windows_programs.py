"""Programs of passes that are kept from one batch of rows to the next."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels.windows.programs import Dealt, WindowProgram, passes_of, prepared, program_of
from fastfeat_kernels.windows.requests import WantedStatistic, WindowBounds

ELEMENTS = ("float64", "uint64", "int64", "bool")
NAMES: list[str] = ["sum", "std", "min", "first", "last", "lag", "n_unique", "rank", "slope"]
WANTED = tuple(
    WantedStatistic(window, column, name)
    for column in range(len(ELEMENTS))
    for window in (WindowBounds(), WindowBounds(low=-5, own=True))
    for name in NAMES
)


def dealt_columns(read: frozenset[int], n_rows: int) -> dict[int, Dealt]:
    """Return columns of new memory: the third is that of the times, integers lack values."""
    found: dict[int, Dealt] = {}
    for k in sorted(read):
        words = None if k == 2 else np.zeros(n_rows, np.int64)
        found[k] = Dealt(ELEMENTS[k], words, np.ones(n_rows, np.uint8) if k in (1, 3) else None)
    return found


def fields_of(program: WindowProgram) -> dict[str, Any]:
    values = {field.name: getattr(program, field.name) for field in fields(program)}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def test_a_program_that_is_kept_equals_one_that_is_made() -> None:
    for places, read in passes_of(WANTED, ELEMENTS):
        for n_rows in (3, 30):  # the second is kept
            dealt = dealt_columns(read, n_rows)
            found = prepared(places, WANTED, ELEMENTS, dealt, 4096)
            assert fields_of(found) == fields_of(program_of(places, WANTED, ELEMENTS, dealt, 4096))


@pytest.mark.parametrize("max_rows", [1, 2049, 4097, 131_073, 10**9 + 1])
def test_a_program_that_is_kept_has_memory_for_all_rows(max_rows: int) -> None:
    (places, read), *_ = passes_of(WANTED, ELEMENTS)
    dealt = dealt_columns(read, 3)
    found = prepared(places, WANTED, ELEMENTS, dealt, max_rows)
    least = program_of(places, WANTED, ELEMENTS, dealt, max_rows)
    assert found.n_spare_words >= least.n_spare_words
    assert least.n_scratch_bytes <= found.n_scratch_bytes <= 1.13 * least.n_scratch_bytes + 4096
