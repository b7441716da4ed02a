"""Passes and their programs, kept from one batch of rows to the next: only addresses change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.programs import Dealt, Program, check_wanted, passes, program_of
from fastfeat_kernels.windows.requests import Wanted
from fastfeat_kernels.windows.statistics import STATISTICS

Asked = tuple[Wanted, ...]
Elements = tuple[str, ...]
Places = tuple[int, ...]
Kind = tuple[int, bool, bool]  # of a column: its number, whether it has words, whether flags
_NO_WORDS, _NO_FLAGS = np.zeros(0, np.int64), np.zeros(0, np.uint8)


@lru_cache(maxsize=128)
def check_once(wanted: Asked, elements: Elements) -> None:
    """Raise ValueError where the kernel cannot compute what is asked for."""
    check_wanted(wanted, elements)


@lru_cache(maxsize=128)
def passes_of(
    wanted: Asked, elements: Elements, is_cut: bool = False
) -> tuple[tuple[Places, frozenset[int]], ...]:
    """Return the outputs of each pass, as `passes` does, and the columns that they read."""
    return tuple(
        (tuple(places), frozenset(wanted[k].column for k in places if _reads(wanted[k])))
        for places in passes(wanted, elements, is_cut)
    )


def _reads(wanted: Wanted) -> bool:
    return STATISTICS[wanted.statistic].reads_values


def prepared(
    places: Places, wanted: Asked, elements: Elements, dealt: Mapping[int, Dealt], max_rows: int
) -> Program:
    """Return the program of one pass, as `program_of` does; its memory may hold a few rows more."""
    kinds = tuple([(k, one.words is not None, one.present is not None) for k, one in dealt.items()])
    program = _program(places, wanted, elements, kinds, _rounded(max_rows))
    columns = program.columns.copy()
    for words, one in zip(columns, dealt.values(), strict=False):  # without any there is one of 0
        words[layout.COLUMN_VALUES] = 0 if one.words is None else one.words.ctypes.data
        words[layout.COLUMN_PRESENT] = 0 if one.present is None else one.present.ctypes.data
    return replace(program, columns=columns)


@lru_cache(maxsize=128)
def _program(
    places: Places, wanted: Asked, elements: Elements, kinds: tuple[Kind, ...], max_rows: int
) -> Program:
    dealt = {
        k: Dealt(elements[k], _NO_WORDS if has_words else None, _NO_FLAGS if has_flags else None)
        for k, has_words, has_flags in kinds
    }
    return program_of(places, wanted, elements, dealt, max_rows)


def _rounded(n_rows: int) -> int:
    """Return at most an eighth more, so that batches of other rows have the same program."""
    step = 1 << max(n_rows.bit_length() - 4, 0)
    return -(-n_rows // step) * step
