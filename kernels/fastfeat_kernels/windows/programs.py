"""What the kernel computes in one pass: words of columns, windows and outputs, and its memory."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from fastfeat_kernels.windows import layout
from fastfeat_kernels.windows.ordering import Flags, Words
from fastfeat_kernels.windows.requests import NO_BOUND, Wanted, Window
from fastfeat_kernels.windows.slices import is_carried, is_sliced

ROW_WORDS = (4, 8, layout.MAX_ROW_WORDS)  # of results of a row: half a line of the cache, one, two

ALIGNMENT = 64

NAN_BITS = 0x7FF8 << 48

_SAME_TYPE = ("min", "max", "first", "last", "lag", "mode")

SUMS = ("sum", "mean", "whole_mean", "var", "std")

_ORDERED = ("quantile", "whole_quantile", "n_unique", "mode")

_QUANTILES = {"quantile", "whole_quantile"}

_VALUES = ("lower", "higher", "nearest")  # interpolations that give values themselves

_WHOLE = {"whole_mean": "mean", "whole_quantile": "quantile"}

_RANKED = ("rank", "percentile")

_DECAYING = ("ewm_mean", "ewm_mean_by")

_TRENDS = (*_RANKED, *_DECAYING, "slope", "streak")

_ALWAYS_FLOAT = ("mean", "var", "std", "quantile", *_RANKED, *_DECAYING, "slope")


@dataclass(frozen=True, slots=True)
class Dealt:
    """The values of a column by dealt row.

    Args:
        element: type of the column.
        words: float64 with NaN for missing, or keys; None of the times of the rows.
        present: whether an integer is there; None where all are.
    """

    element: str
    words: Words | None
    present: Flags | None


@dataclass(frozen=True, slots=True)
class Program:
    """What is computed in one pass over the rows.

    Args:
        entry: of `cpu.ENTRIES`.
        wanted: places of the outputs among all that are wanted; output k is word k of a row.
        columns: words of the columns.
        windows: words of the windows.
        bounds: those of windows that are searched by time.
        outputs: words of the outputs.
        row_words: how many words the results of a row have.
        flags: which of them says what is there; -1 if none does.
        is_float: of each output, whether NaN says that it is missing.
        absent: the results of a row that is in no window.
        n_scratch_bytes: memory that one call needs.
        n_spare_words: memory for sorting that one call needs.
    """

    entry: str
    wanted: Sequence[int]
    columns: Words
    windows: Words
    bounds: Words
    outputs: Words
    row_words: int
    flags: int
    is_float: Sequence[bool]
    absent: Words
    n_scratch_bytes: int
    n_spare_words: int


def check_wanted(wanted: Sequence[Wanted], elements: Sequence[str]) -> None:
    """Raise ValueError where the kernel cannot compute what is asked for."""
    for one in wanted:
        is_known = one.statistic == "n_rows" or 0 <= one.column < len(elements)
        element = element_of(one, elements) if is_known else ""
        is_known &= one.statistic not in _WHOLE or not element.startswith(("float", "uint64"))
        is_known &= one.statistic != "whole_quantile" or one.interpolation in _VALUES
        is_pick, is_integer = one.statistic in ("lag", "last"), "int" in element
        is_known &= not one.since or (is_pick and is_integer and element != "uint64")
        is_counted = one.window.rows >= 0 and one.ddof >= 0 and one.n >= 1
        is_weighed = 0 <= one.decay <= 1 and one.half_life > 0 and _is_of_all_past(one)
        is_scaled = all(1 <= number < 1 << 31 for number in one.per)
        if not (is_known and is_counted and 0 <= one.q <= 1 and is_weighed and is_scaled):
            raise ValueError(f"out of range, of {len(elements)} columns: {one}")


def _is_of_all_past(wanted: Wanted) -> bool:
    """Return whether a window holds all before its end, where the statistic needs that."""
    return wanted.window.is_open or wanted.statistic not in _DECAYING


def passes(
    wanted: Sequence[Wanted], elements: Sequence[str], is_cut: bool = False
) -> list[list[int]]:
    """Return the outputs of each pass, by place: those of one column and window together.

    Args:
        wanted: the statistics.
        elements: types of the columns.
        is_cut: whether some entities are cut; what keeps them whole stays apart then.
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
    """Return outputs in passes that have so many words at most."""
    found: list[list[int]] = [[]]
    for k in places:
        if _n_words([*found[-1], k], flagged) > n_most:
            found.append([])
        found[-1].append(k)
    return [places for places in found if places]


def _n_words(places: Sequence[int], flagged: Sequence[bool]) -> int:
    return len(places) + any(flagged[k] for k in places)


def _width_of(n_words: int) -> int:
    """Return into passes of how many words some words are divided: few are to stay empty."""
    return ROW_WORDS[2] if n_words > ROW_WORDS[1] + ROW_WORDS[0] else ROW_WORDS[1]


def element_of(wanted: Wanted, elements: Sequence[str]) -> str:
    """Return the type of the column of a statistic; any where it reads none."""
    return "int8" if wanted.statistic == "n_rows" else elements[wanted.column]


def is_float(element: str, wanted: Wanted) -> bool:
    """Return whether NaN says that a result is missing."""
    if wanted.statistic in ("n_rows", "count", "n_unique"):
        return False
    if wanted.since:
        return wanted.since[1] > 0
    return wanted.statistic in _ALWAYS_FLOAT or (
        element.startswith("float") and wanted.statistic != "streak"
    )


def is_flagged(element: str, wanted: Wanted) -> bool:
    """Return whether a bit must say that a result is missing."""
    if is_float(element, wanted) or wanted.statistic in ("n_rows", "count"):
        return False
    if wanted.statistic in _WHOLE:
        return True
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
    has_carries = any(map(is_carried, chosen))
    columns = [
        _column_words(
            dealt[k],
            {one.statistic for one in chosen if one.column == k},
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
    row_words = next(n for n in ROW_WORDS if n >= len(chosen) + is_marked)
    window_words = _window_words(windows, memory)
    is_ordered = any(one.statistic in (*_ORDERED, *_RANKED) for one in chosen)
    has_trends = any(one.statistic in _TRENDS for one in chosen)
    return Program(
        "compute_any" if has_trends else "compute_ordered" if is_ordered else "compute",
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
    """Scratch memory, as it is given away."""

    n_bytes: int

    def take(self, n_bytes: int) -> int:
        """Return the offset of some bytes more."""
        offset = -(-self.n_bytes // ALIGNMENT) * ALIGNMENT
        self.n_bytes = offset + n_bytes
        return offset


def _column_words(
    dealt: Dealt, statistics: Iterable[str], has_carries: bool, memory: _Memory, max_rows: int
) -> list[int]:
    words = [0] * layout.N_COLUMN_WORDS
    has, n, is_float = set(statistics), max_rows + 1, dealt.element.startswith("float")
    is_counted = is_float or dealt.present is not None or has_carries
    integer = layout.UNSIGNED if dealt.element == "uint64" else layout.INTEGER
    words[layout.COLUMN_KIND] = layout.FLOAT if is_float else integer
    words[layout.COLUMN_VALUES] = 0 if dealt.words is None else dealt.words.ctypes.data
    words[layout.COLUMN_PRESENT] = 0 if dealt.present is None else dealt.present.ctypes.data
    words[layout.COLUMN_STATE] = memory.take(8 * layout.N_STATE_WORDS)
    sizes = {
        layout.COLUMN_WORDS: 8,
        layout.COLUMN_COUNTS: 4 if is_counted else 0,
        layout.COLUMN_INFINITE: 8 if is_float and has & {*SUMS} else 0,
        layout.COLUMN_SUMS: 16 if has & {*SUMS} else 0,
        layout.COLUMN_SQUARES: 32 if has & {"var", "std"} else 0,
        layout.COLUMN_NEXT: 4 if "first" in has else 0,
        layout.COLUMN_LAST: 4 if "last" in has else 0,
        layout.COLUMN_RANKS: 4 if has & _QUANTILES else 0,
        layout.COLUMN_RANK_KEYS: 8 if has & _QUANTILES else 0,
        layout.COLUMN_MERGED_RANKS: 4 if has & {"n_unique", "mode", *_RANKED} else 0,
        layout.COLUMN_MERGED_KEYS: 8 if has & {"n_unique", "mode", *_RANKED} else 0,
    }
    for place, size in sizes.items():
        words[place] = memory.take(size * n) if size else 0
    n_keys = max(n, layout.N_LEVELS * layout.LEVEL_ROWS)
    for place, statistic in ((layout.COLUMN_MIN_KEYS, "min"), (layout.COLUMN_MAX_KEYS, "max")):
        words[place] = memory.take(8 * n_keys) if statistic in has else 0
    return words


def _window_words(windows: Sequence[Window], memory: _Memory) -> list[list[int]]:
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


def _end_of(window: Window) -> tuple[int, bool]:
    """Return what says where a window ends."""
    return (0, True) if window.own else (window.high, False)


def _bounds(windows: Sequence[Window]) -> Words:
    found: list[int] = []
    known = {(0, True), (NO_BOUND, False)}  # that are not searched
    for k, window in enumerate(windows):
        found += [2 * k] if window.low != NO_BOUND else []
        found += [2 * k + 1] if _end_of(window) not in known else []
        known.add(_end_of(window))
    return np.array(found, np.int64)


def _output_words(wanted: Wanted, element: str, memory: _Memory, max_rows: int) -> list[int]:
    words = [0] * layout.N_OUTPUT_WORDS
    name = _WHOLE.get(wanted.statistic, wanted.statistic)
    words[layout.OUTPUT_STATISTIC] = layout.STATISTICS.index(name)
    words[layout.OUTPUT_INTERPOLATION] = layout.INTERPOLATIONS.index(wanted.interpolation)
    words[layout.OUTPUT_MIN_SAMPLES] = wanted.window.min_samples
    words[layout.OUTPUT_FLAGGED] = int(is_flagged(element, wanted))
    words[layout.OUTPUT_STATE] = memory.take(8 * layout.N_OUTPUT_STATE_WORDS)
    match wanted.statistic:
        case "whole_mean":
            words[layout.OUTPUT_PARAMETER] = layout.WITHOUT_FRACTION
        case "sum" | "mean" | "var" | "std":
            is_spread = wanted.statistic in ("var", "std")
            words[layout.OUTPUT_PARAMETER] = wanted.ddof if is_spread else 0
            words[layout.OUTPUT_MEMORY] = memory.take(8 * layout.N_WIDE_WORDS)
        case "min" | "max":
            words[layout.OUTPUT_MEMORY] = memory.take(8 * max_rows)
        case "quantile" | "whole_quantile" | "n_unique" | "mode":
            is_whole = wanted.statistic == "whole_quantile"
            words[layout.OUTPUT_FACTOR] = layout.WITHOUT_FRACTION if is_whole else 0
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
        case "lag" | "last":
            words[layout.OUTPUT_PARAMETER] = wanted.n if wanted.statistic == "lag" else 1
            if wanted.since:
                words[layout.OUTPUT_FACTOR], words[layout.OUTPUT_PARTS] = wanted.since
                is_ticks = wanted.since[1] == 0
                kind = layout.SINCE_TICKS if is_ticks else layout.SINCE_SECONDS
                words[layout.OUTPUT_SINCE] = kind
        case _:
            pass
    return words


def _bits_of(number: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


def _n_leaves(n_rows: int) -> int:
    """Return how many leaves a tree over the ranks of so many rows has, at most."""
    return 1 << max(n_rows - 1, 1).bit_length()


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
    return wanted.statistic != "n_rows"


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
