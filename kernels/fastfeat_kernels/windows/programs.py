"""The kernel's program for one pass: words of columns, windows and outputs, and its memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from fastfeat_kernels.arrays import Int64Array, Uint8Array
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.requests import NO_BOUND, WantedStatistic, WindowBounds
from fastfeat_kernels.windows.slices import is_carried, is_sliced
from fastfeat_kernels.windows.statistic import WindowStatistic
from fastfeat_kernels.windows.statistics import (
    FAMILIES,
    STATISTICS,
)

ROW_WORDS = (4, 8, layout.MAX_ROW_WORDS)  # of results of a row: half a cache line, one, two

ALIGNMENT = 64

_COLUMN_BYTES = {
    layout.COLUMN_SUMS: 16,
    layout.COLUMN_SQUARES: 32,
    layout.COLUMN_NEXT: 4,
    layout.COLUMN_LAST: 4,
    layout.COLUMN_RANKS: 4,
    layout.COLUMN_RANK_KEYS: 8,
    layout.COLUMN_MERGED_RANKS: 4,
    layout.COLUMN_MERGED_KEYS: 8,
}
"""Bytes for each row, and for one row more, of the column words that statistics read."""

_KEYS = (layout.COLUMN_MIN_KEYS, layout.COLUMN_MAX_KEYS)

_RANKS = {layout.COLUMN_RANKS, layout.COLUMN_MERGED_RANKS}


@dataclass(frozen=True, slots=True)
class Dealt:
    """The values of a column by dealt row.

    Args:
        element: Type of the column.
        words: float64 with NaN for missing, or keys; None for the times of the rows.
        present: Whether each integer is present; None if all are.
    """

    element: str
    words: Int64Array | None
    present: Uint8Array | None


@dataclass(frozen=True, slots=True)
class WindowProgram:
    """The program of one pass over the rows.

    Args:
        entry: Name in `cpu.ENTRIES`.
        wanted: Position of each output in the whole request; output k is word k of a row.
        columns: Words of the columns.
        windows: Words of the windows.
        bounds: Window bounds that are searched by time.
        outputs: Words of the outputs.
        row_words: Number of words in the results of a row.
        flags: Word with the bits that mark present results; -1 if there is none.
        is_float: For each output, whether NaN marks a missing result.
        absent: Results of a row that is in no window.
        n_scratch_bytes: Scratch memory of one call, in bytes.
        n_spare_words: Sorting memory of one call, in words.
    """

    entry: str
    wanted: Sequence[int]
    columns: Int64Array
    windows: Int64Array
    bounds: Int64Array
    outputs: Int64Array
    row_words: int
    flags: int
    is_float: Sequence[bool]
    absent: Int64Array
    n_scratch_bytes: int
    n_spare_words: int


def check_wanted(wanted: Sequence[WantedStatistic], elements: Sequence[str]) -> None:
    """Raise ValueError if the kernel cannot compute the request."""
    for one in wanted:
        row = STATISTICS.get(one.statistic)
        is_known = row is not None and _is_known(row, one, elements)
        is_counted = one.window.rows >= 0 and one.ddof >= 0 and one.n >= 1
        is_weighed = 0 <= one.decay <= 1 and one.half_life > 0
        is_scaled = all(1 <= number < 1 << 31 for number in one.per)
        if not (is_known and is_counted and 0 <= one.q <= 1 and is_weighed and is_scaled):
            raise ValueError(f"cannot compute {one} from {len(elements)} columns: out of range")


def _is_known(row: WindowStatistic, wanted: WantedStatistic, elements: Sequence[str]) -> bool:
    """Return whether a statistic supports its column, its window and its options."""
    if row.reads_values and not 0 <= wanted.column < len(elements):
        return False
    element = element_of(wanted, elements)
    is_known = not row.of_integers or not element.startswith(("float", "uint64"))
    is_known &= wanted.interpolation in row.interpolations
    is_known &= wanted.window.is_open or not row.of_all_past
    is_time = "int" in element and element != "uint64"
    return is_known and (not wanted.since or (row.picks is not None and is_time))


def passes(
    wanted: Sequence[WantedStatistic], elements: Sequence[str], is_cut: bool = False
) -> list[list[int]]:
    """Return the places of each pass's outputs, grouped by column and window.

    With `is_cut` some entities are cut into slices; statistics that keep entities whole then get
    passes of their own.
    """
    windows = list(dict.fromkeys(one.window for one in wanted))
    place = {window: k for k, window in enumerate(windows)}
    order = sorted(range(len(wanted)), key=lambda k: (wanted[k].column, place[wanted[k].window], k))
    flagged = [is_flagged(element_of(one, elements), one) for one in wanted]
    sliced = [k for k in order if not is_cut or is_sliced(wanted[k])]
    whole = [k for k in order if k not in set(sliced)]
    return [
        half
        for chosen in (sliced, whole)
        for places in _filled(chosen, flagged, ROW_WORDS[2])
        for half in _filled(places, flagged, _width_of(_n_words(places, flagged)))
    ]


def _filled(places: Sequence[int], flagged: Sequence[bool], n_most: int) -> list[list[int]]:
    """Return outputs in passes of at most `n_most` words."""
    found: list[list[int]] = [[]]
    for k in places:
        if _n_words([*found[-1], k], flagged) > n_most:
            found.append([])
        found[-1].append(k)
    return [places for places in found if places]


def _n_words(places: Sequence[int], flagged: Sequence[bool]) -> int:
    return len(places) + any(flagged[k] for k in places)


def _width_of(n_words: int) -> int:
    """Return the width of the passes that some words are divided into, so that few stay empty."""
    return ROW_WORDS[2] if n_words > ROW_WORDS[1] + ROW_WORDS[0] else ROW_WORDS[1]


def element_of(wanted: WantedStatistic, elements: Sequence[str]) -> str:
    """Return the type of a statistic's column; an arbitrary one if it reads none."""
    return elements[wanted.column] if STATISTICS[wanted.statistic].reads_values else "int8"


def is_float(element: str, wanted: WantedStatistic) -> bool:
    """Return whether a result is float64 with NaN for missing."""
    if wanted.since:
        return wanted.since[1] > 0
    match STATISTICS[wanted.statistic].gives:
        case "number":
            return True
        case "same" | "sum":
            return element.startswith("float")
        case "count" | "whole":
            return False


def is_flagged(element: str, wanted: WantedStatistic) -> bool:
    """Return whether a bit must mark a missing result."""
    row = STATISTICS[wanted.statistic]
    if is_float(element, wanted) or row.gives == "count":
        return False
    return not row.is_zero_of_none or wanted.window.min_samples > 0


def nothing_of(element: str, wanted: WantedStatistic) -> int:
    """Return the word of a missing result."""
    if is_float(element, wanted):
        return layout.NAN_BITS
    is_same = STATISTICS[wanted.statistic].gives == "same"
    return -(2**63) if element == "uint64" and is_same else 0


def program_of(
    places: Sequence[int],
    wanted: Sequence[WantedStatistic],
    elements: Sequence[str],
    dealt: Mapping[int, Dealt],
    max_rows: int,
) -> WindowProgram:
    """Return the program of one pass.

    `places` are the positions of its statistics in `wanted`. A batch has at most `max_rows` rows.
    """
    chosen = [wanted[k] for k in places]
    windows = list(dict.fromkeys(one.window for one in chosen))
    memory = _Memory(layout.FIXED_BYTES)
    has_carries = any(map(is_carried, chosen))
    columns = [
        _column_words(
            dealt[k],
            _read({STATISTICS[one.statistic] for one in chosen if one.column == k}),
            has_carries,
            memory,
            max_rows,
        )
        for k in dealt
    ]
    numbers = {column: k for k, column in enumerate(dealt)}
    outputs: list[list[int]] = []
    before: object = None
    for slot, one in enumerate(chosen):
        element = element_of(one, elements)
        counted = one.window, one.column, STATISTICS[one.statistic].reads_values
        words = _output_words(one, element, memory, max_rows)
        words[layout.OUTPUT_WINDOW] = windows.index(one.window)
        words[layout.OUTPUT_COLUMN] = numbers.get(one.column, 0)
        words[layout.OUTPUT_SLOT] = slot
        words[layout.OUTPUT_COUNTED] = int(counted == before)
        outputs.append(words)
        before = counted
    is_marked = any(words[layout.OUTPUT_FLAGGED] for words in outputs)
    absent = [nothing_of(element_of(one, elements), one) for one in chosen]
    row_words = next(n for n in ROW_WORDS if n >= len(chosen) + is_marked)
    window_words = _window_words(windows, memory)
    families = {STATISTICS[one.statistic].family for one in chosen}
    is_ordered = not _RANKS.isdisjoint(_read(STATISTICS[one.statistic] for one in chosen))
    return WindowProgram(
        next(entry for entry, known in FAMILIES.items() if families <= known),
        places,
        np.array(columns or [[0] * layout.N_COLUMN_WORDS], np.int64),
        np.array(window_words, np.int64),
        _bounds(windows),
        np.array(outputs, np.int64),
        row_words,
        len(chosen) if is_marked else -1,
        [is_float(element_of(one, elements), one) for one in chosen],
        np.array(absent + [0] * (row_words - len(absent)), np.int64),
        memory.n_bytes,
        layout.N_DIGITS + (4 * max_rows if is_ordered else 0),
    )


@dataclass(slots=True)
class _Memory:
    """Allocator of scratch memory."""

    n_bytes: int

    def take(self, n_bytes: int) -> int:
        """Return the offset of some more bytes."""
        offset = -(-self.n_bytes // ALIGNMENT) * ALIGNMENT
        self.n_bytes = offset + n_bytes
        return offset


def _read(statistics: Iterable[WindowStatistic]) -> frozenset[int]:
    """Return the column words that statistics read."""
    return frozenset(word for row in statistics for word in row.reads)


def _column_words(
    dealt: Dealt, read: Collection[int], has_carries: bool, memory: _Memory, max_rows: int
) -> list[int]:
    words = [0] * layout.N_COLUMN_WORDS
    n, is_float = max_rows + 1, dealt.element.startswith("float")
    is_counted = is_float or dealt.present is not None or has_carries
    integer = layout.UNSIGNED if dealt.element == "uint64" else layout.INTEGER
    words[layout.COLUMN_KIND] = layout.FLOAT if is_float else integer
    words[layout.COLUMN_VALUES] = 0 if dealt.words is None else dealt.words.ctypes.data
    words[layout.COLUMN_PRESENT] = 0 if dealt.present is None else dealt.present.ctypes.data
    words[layout.COLUMN_STATE] = memory.take(8 * layout.N_STATE_WORDS)
    words[layout.COLUMN_WORDS] = memory.take(8 * n)
    words[layout.COLUMN_COUNTS] = memory.take(4 * n) if is_counted else 0
    if is_float and layout.COLUMN_SUMS in read:
        words[layout.COLUMN_INFINITE] = memory.take(8 * n)
    for word, size in _COLUMN_BYTES.items():
        words[word] = memory.take(size * n) if word in read else 0
    n_keys = max(n, layout.N_LEVELS * layout.LEVEL_ROWS)
    for word in _KEYS:
        words[word] = memory.take(8 * n_keys) if word in read else 0
    return words


def _window_words(windows: Sequence[WindowBounds], memory: _Memory) -> list[list[int]]:
    found: list[list[int]] = []
    ends: dict[tuple[int, bool], int] = {}
    for window in windows:
        words = [0] * layout.N_WINDOW_WORDS
        words[layout.WINDOW_LOW], words[layout.WINDOW_HIGH] = window.low, window.high
        words[layout.WINDOW_OWN], words[layout.WINDOW_ROWS] = int(window.own), window.rows
        words[layout.WINDOW_BEGINS] = memory.take(4 * layout.ASKS)
        if _end_of(window) not in ends:
            ends[_end_of(window)] = memory.take(4 * layout.ASKS)
        words[layout.WINDOW_ENDS] = ends[_end_of(window)]
        words[layout.WINDOW_STATE] = memory.take(8 * layout.N_WINDOW_STATE_WORDS)
        found.append(words)
    return found


def _end_of(window: WindowBounds) -> tuple[int, bool]:
    """Return the bound that ends a window."""
    return (0, True) if window.own else (window.high, False)


def _bounds(windows: Sequence[WindowBounds]) -> Int64Array:
    found: list[int] = []
    known = {(0, True), (NO_BOUND, False)}  # bounds that are not searched
    for k, window in enumerate(windows):
        found += [2 * k] if window.low != NO_BOUND else []
        found += [2 * k + 1] if _end_of(window) not in known else []
        known.add(_end_of(window))
    return np.array(found, np.int64)


def _output_words(
    wanted: WantedStatistic, element: str, memory: _Memory, max_rows: int
) -> list[int]:
    words = [0] * layout.N_OUTPUT_WORDS
    row, window = STATISTICS[wanted.statistic], wanted.window
    has_own_flags = row.flags_itself or wanted.since
    flagged = layout.FLAGGED_BY_LOOP if has_own_flags else layout.FLAGGED_BY_COUNT
    of_request = {
        layout.OUTPUT_STATISTIC: row.number,
        layout.OUTPUT_FAMILY: row.family.number,
        layout.OUTPUT_MIN_SAMPLES: window.min_samples,
        layout.OUTPUT_LEAST: max(window.min_samples, 0 if row.is_zero_of_none else 1),
        layout.OUTPUT_FLAGGED: flagged if is_flagged(element, wanted) else 0,
        layout.OUTPUT_NOTHING: nothing_of(element, wanted),
        **row.words(wanted),
    }
    for word, value in of_request.items():
        words[word] = value
    words[layout.OUTPUT_STATE] = memory.take(8 * layout.N_OUTPUT_STATE_WORDS)
    if row.family.memory is not None:
        words[layout.OUTPUT_MEMORY] = memory.take(row.family.memory(max_rows))
    return words


WantedTuple = tuple[WantedStatistic, ...]

Elements = tuple[str, ...]

ColumnPlaces = tuple[int, ...]

ColumnLayout = tuple[
    int, bool, bool
]  # of a column: its number, whether it has words, whether flags

_NO_WORDS, _NO_FLAGS = np.zeros(0, np.int64), np.zeros(0, np.uint8)


@lru_cache(maxsize=128)
def check_wanted_once(wanted: WantedTuple, elements: Elements) -> None:
    """Raise ValueError if the kernel cannot compute the request."""
    check_wanted(wanted, elements)


@lru_cache(maxsize=128)
def passes_of(
    wanted: WantedTuple, elements: Elements, is_cut: bool = False
) -> tuple[tuple[ColumnPlaces, frozenset[int]], ...]:
    """Return the outputs of each pass, like `passes`, and the columns that they read."""
    return tuple(
        (tuple(places), frozenset(wanted[k].column for k in places if _reads(wanted[k])))
        for places in passes(wanted, elements, is_cut)
    )


def _reads(wanted: WantedStatistic) -> bool:
    return STATISTICS[wanted.statistic].reads_values


def prepared(
    places: ColumnPlaces,
    wanted: WantedTuple,
    elements: Elements,
    dealt: Mapping[int, Dealt],
    max_rows: int,
) -> WindowProgram:
    """Return the cached `program_of` one pass; its memory may be for a few rows more."""
    kinds = tuple([(k, one.words is not None, one.present is not None) for k, one in dealt.items()])
    program = _program(places, wanted, elements, kinds, _rounded(max_rows))
    columns = program.columns.copy()
    for words, one in zip(columns, dealt.values(), strict=False):  # without any there is one of 0
        words[layout.COLUMN_VALUES] = 0 if one.words is None else one.words.ctypes.data
        words[layout.COLUMN_PRESENT] = 0 if one.present is None else one.present.ctypes.data
    return replace(program, columns=columns)


@lru_cache(maxsize=128)
def _program(
    places: ColumnPlaces,
    wanted: WantedTuple,
    elements: Elements,
    kinds: tuple[ColumnLayout, ...],
    max_rows: int,
) -> WindowProgram:
    dealt = {
        k: Dealt(elements[k], _NO_WORDS if has_words else None, _NO_FLAGS if has_flags else None)
        for k, has_words, has_flags in kinds
    }
    return program_of(places, wanted, elements, dealt, max_rows)


def _rounded(n_rows: int) -> int:
    """Return a number at most an eighth larger: batches of similar sizes share a program."""
    step = 1 << max(n_rows.bit_length() - 4, 0)
    return -(-n_rows // step) * step
