"""What the kernel computes in one pass: words of columns, windows and outputs, and its memory."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.requests import NO_BOUND, Wanted, Window

Words = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]

MIN_ROW_WORDS = 4  # of the results of a row: half a line of the cache
MAX_ROW_WORDS = 8
ALIGNMENT = 64
NAN_BITS = 0x7FF8 << 48
_SAME_TYPE = ("min", "max", "first", "last", "lag", "mode")
_SUMS = ("sum", "mean", "var", "std")
_ORDERED = ("quantile", "n_unique", "mode")
_RANKED = ("rank", "percentile")
_DECAYING = ("ewm_mean", "ewm_mean_by")
_TRENDS = (*_RANKED, *_DECAYING, "slope", "streak")
_ALWAYS_FLOAT = ("mean", "var", "std", "quantile", *_RANKED, *_DECAYING, "slope")


@dataclass(frozen=True, slots=True)
class Dealt:
    """The values of a column by dealt row.

    Args:
        element: type of the column.
        words: float64 with NaN for missing, or keys.
        present: whether an integer is there; None where all are.
    """

    element: str
    words: Words
    present: Flags | None


@dataclass(frozen=True, slots=True)
class Program:
    """What is computed in one pass over the rows.

    Args:
        entry: of `cpu.ENTRIES`.
        wanted: places of the outputs among all that are wanted; output k is word k of a row.
        columns: words of the columns.
        windows: words of the windows.
        outputs: words of the outputs.
        row_words: how many words the results of a row have.
        flags: which of them says what is there; -1 if none does.
        absent: the results of a row that is in no window.
        n_scratch_bytes: memory that one call needs.
        n_spare_words: memory for sorting that one call needs.
    """

    entry: str
    wanted: Sequence[int]
    columns: Words
    windows: Words
    outputs: Words
    row_words: int
    flags: int
    absent: Words
    n_scratch_bytes: int
    n_spare_words: int


def check_wanted(wanted: Sequence[Wanted], n_columns: int) -> None:
    """Raise ValueError where the kernel cannot compute what is asked for."""
    for one in wanted:
        is_known = one.statistic == "n_rows" or 0 <= one.column < n_columns
        is_counted = one.window.rows >= 0 and one.ddof >= 0 and one.n >= 1
        is_weighed = 0 <= one.decay < 1 and one.half_life > 0 and _is_of_all_past(one)
        is_scaled = all(1 <= number < 1 << 31 for number in one.per)
        if not (is_known and is_counted and 0 <= one.q <= 1 and is_weighed and is_scaled):
            raise ValueError(f"out of range, of {n_columns} columns: {one}")


def _is_of_all_past(wanted: Wanted) -> bool:
    """Return whether a window holds all before its end, where the statistic needs that."""
    is_open = wanted.window.low == NO_BOUND and wanted.window.rows == 0
    return is_open or wanted.statistic not in _DECAYING


def passes(wanted: Sequence[Wanted], elements: Sequence[str]) -> list[list[int]]:
    """Return the outputs of each pass, by place: those of one column and window together."""
    windows = list(dict.fromkeys(one.window for one in wanted))
    place = {window: k for k, window in enumerate(windows)}
    order = sorted(range(len(wanted)), key=lambda k: (wanted[k].column, place[wanted[k].window], k))
    found: list[list[int]] = []
    n_words = MAX_ROW_WORDS  # of the last pass, the flags among them
    is_marked = False
    for k in order:
        flagged = is_flagged(element_of(wanted[k], elements), wanted[k])
        n_more = 1 + (flagged and not is_marked)
        if n_words + n_more > MAX_ROW_WORDS:
            found.append([])
            n_words, is_marked, n_more = 0, False, 1 + flagged
        found[-1].append(k)
        n_words, is_marked = n_words + n_more, is_marked or flagged
    return found


def element_of(wanted: Wanted, elements: Sequence[str]) -> str:
    """Return the type of the column of a statistic; any where it reads none."""
    return "int8" if wanted.statistic == "n_rows" else elements[wanted.column]


def is_float(element: str, wanted: Wanted) -> bool:
    """Return whether NaN says that a result is missing."""
    if wanted.statistic in ("n_rows", "count", "n_unique"):
        return False
    return wanted.statistic in _ALWAYS_FLOAT or (
        element.startswith("float") and wanted.statistic != "streak"
    )


def is_flagged(element: str, wanted: Wanted) -> bool:
    """Return whether a bit must say that a result is missing."""
    if is_float(element, wanted) or wanted.statistic in ("n_rows", "count"):
        return False
    return wanted.statistic in _SAME_TYPE or wanted.window.min_samples > 0


def nothing_of(element: str, wanted: Wanted) -> int:
    """Return the word that stands where a result is missing."""
    if is_float(element, wanted):
        return NAN_BITS
    return -(2**63) if element == "uint64" and wanted.statistic in _SAME_TYPE else 0


def program_of(
    places: Sequence[int],
    wanted: Sequence[Wanted],
    elements: Sequence[str],
    dealt: Mapping[int, Dealt],
    max_rows: int,
) -> Program:
    """Return the program of one pass.

    Args:
        places: which of the wanted statistics it computes.
        wanted: all of them.
        elements: types of the columns.
        dealt: the columns that it reads.
        max_rows: how many rows a batch has at most.
    """
    chosen = [wanted[k] for k in places]
    windows = list(dict.fromkeys(one.window for one in chosen))
    memory = _Memory(layout.FIXED_BYTES)
    columns = [
        _column_words(
            dealt[k], {one.statistic for one in chosen if one.column == k}, memory, max_rows
        )
        for k in dealt
    ]
    numbers = {column: k for k, column in enumerate(dealt)}
    outputs: list[list[int]] = []
    before: object = None
    for slot, one in enumerate(chosen):
        element = element_of(one, elements)
        counted = one.window, one.column, one.statistic == "n_rows"
        words = _output_words(one, element, memory, max_rows)
        words[layout.OUTPUT_WINDOW] = windows.index(one.window)
        words[layout.OUTPUT_COLUMN] = numbers.get(one.column, 0)
        words[layout.OUTPUT_SLOT] = slot
        words[layout.OUTPUT_COUNTED] = int(counted == before)
        outputs.append(words)
        before = counted
    is_marked = any(words[layout.OUTPUT_FLAGGED] for words in outputs)
    absent = [nothing_of(element_of(one, elements), one) for one in chosen]
    row_words = MAX_ROW_WORDS if len(chosen) + is_marked > MIN_ROW_WORDS else MIN_ROW_WORDS
    window_words = [_window_words(window, memory) for window in windows]
    is_ordered = any(one.statistic in (*_ORDERED, *_RANKED) for one in chosen)
    has_trends = any(one.statistic in _TRENDS for one in chosen)
    return Program(
        "compute_any" if has_trends else "compute_ordered" if is_ordered else "compute",
        places,
        np.array(columns or [[0] * layout.N_COLUMN_WORDS], np.int64),
        np.array(window_words, np.int64),
        np.array(outputs, np.int64),
        row_words,
        len(chosen) if is_marked else -1,
        np.array(absent + [0] * (row_words - len(absent)), np.int64),
        memory.n_bytes,
        layout.N_DIGITS + (4 * max_rows if is_ordered else 0),
    )


@dataclass(slots=True)
class _Memory:
    """Scratch memory, as it is given away."""

    n_bytes: int

    def take(self, n_bytes: int) -> int:
        """Return the offset of some bytes more."""
        offset = -(-self.n_bytes // ALIGNMENT) * ALIGNMENT
        self.n_bytes = offset + n_bytes
        return offset


def _column_words(
    dealt: Dealt, statistics: Iterable[str], memory: _Memory, max_rows: int
) -> list[int]:
    words = [0] * layout.N_COLUMN_WORDS
    has, n, is_float = set(statistics), max_rows + 1, dealt.element.startswith("float")
    integer = layout.UNSIGNED if dealt.element == "uint64" else layout.INTEGER
    words[layout.COLUMN_KIND] = layout.FLOAT if is_float else integer
    words[layout.COLUMN_VALUES] = dealt.words.ctypes.data
    words[layout.COLUMN_PRESENT] = 0 if dealt.present is None else dealt.present.ctypes.data
    words[layout.COLUMN_STATE] = memory.take(8 * layout.N_STATE_WORDS)
    sizes = {
        layout.COLUMN_WORDS: 8,
        layout.COLUMN_COUNTS: 4 if is_float or dealt.present is not None else 0,
        layout.COLUMN_INFINITE: 8 if is_float and has & {*_SUMS} else 0,
        layout.COLUMN_SUMS: 16 if has & {*_SUMS} else 0,
        layout.COLUMN_SQUARES: 32 if has & {"var", "std"} else 0,
        layout.COLUMN_MIN_KEYS: 8 if "min" in has else 0,
        layout.COLUMN_MAX_KEYS: 8 if "max" in has else 0,
        layout.COLUMN_NEXT: 4 if "first" in has else 0,
        layout.COLUMN_LAST: 4 if "last" in has else 0,
        layout.COLUMN_RANKS: 4 if "quantile" in has else 0,
        layout.COLUMN_RANK_KEYS: 8 if "quantile" in has else 0,
        layout.COLUMN_MERGED_RANKS: 4 if has & {"n_unique", "mode", *_RANKED} else 0,
        layout.COLUMN_MERGED_KEYS: 8 if has & {"n_unique", "mode", *_RANKED} else 0,
    }
    for place, size in sizes.items():
        words[place] = memory.take(size * n) if size else 0
    return words


def _window_words(window: Window, memory: _Memory) -> list[int]:
    words = [0] * layout.N_WINDOW_WORDS
    words[layout.WINDOW_LOW], words[layout.WINDOW_HIGH] = window.low, window.high
    words[layout.WINDOW_OWN], words[layout.WINDOW_ROWS] = int(window.own), window.rows
    words[layout.WINDOW_BEGINS] = memory.take(4 * layout.ASKS)
    words[layout.WINDOW_ENDS] = memory.take(4 * layout.ASKS)
    words[layout.WINDOW_STATE] = memory.take(16)
    return words


def _output_words(wanted: Wanted, element: str, memory: _Memory, max_rows: int) -> list[int]:
    words = [0] * layout.N_OUTPUT_WORDS
    words[layout.OUTPUT_STATISTIC] = layout.STATISTICS.index(wanted.statistic)
    words[layout.OUTPUT_INTERPOLATION] = layout.INTERPOLATIONS.index(wanted.interpolation)
    words[layout.OUTPUT_MIN_SAMPLES] = wanted.window.min_samples
    words[layout.OUTPUT_FLAGGED] = int(is_flagged(element, wanted))
    words[layout.OUTPUT_STATE] = memory.take(8 * layout.N_OUTPUT_STATE_WORDS)
    match wanted.statistic:
        case "sum" | "mean" | "var" | "std":
            words[layout.OUTPUT_PARAMETER] = wanted.ddof
            words[layout.OUTPUT_MEMORY] = memory.take(8 * layout.N_WIDE_WORDS)
        case "min" | "max":
            words[layout.OUTPUT_MEMORY] = memory.take(8 * max_rows)
        case "quantile" | "n_unique" | "mode":
            words[layout.OUTPUT_PARAMETER] = _bits_of(wanted.q)
            words[layout.OUTPUT_MEMORY] = memory.take(8 * _n_leaves(max_rows))
        case "rank" | "percentile":
            words[layout.OUTPUT_PARAMETER] = layout.RANK_METHODS.index(wanted.method)
            words[layout.OUTPUT_MEMORY] = memory.take(8 * _n_leaves(max_rows))
        case "ewm_mean" | "ewm_mean_by":
            is_by_rows = wanted.statistic == "ewm_mean"
            words[layout.OUTPUT_PARAMETER] = _bits_of(
                wanted.decay if is_by_rows else wanted.half_life
            )
            words[layout.OUTPUT_MEMORY] = memory.take(8 * layout.N_AVERAGE_WORDS)
        case "slope":
            words[layout.OUTPUT_PARAMETER], words[layout.OUTPUT_DIVISOR] = wanted.per
            words[layout.OUTPUT_MEMORY] = memory.take(8 * layout.N_SLOPE_WORDS)
        case "lag":
            words[layout.OUTPUT_PARAMETER] = wanted.n
        case _:
            pass
    return words


def _bits_of(number: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


def _n_leaves(n_rows: int) -> int:
    """Return how many leaves a tree over the ranks of so many rows has, at most."""
    return 1 << max(n_rows - 1, 1).bit_length()
