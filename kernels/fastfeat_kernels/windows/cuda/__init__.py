"""The kernels of windows on a device: their text, and the words of their table.

`steps.windows` imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.column import ELEMENTS
from fastfeat_kernels.cuda import column_text, definitions, named_words, search_text, word_places
from fastfeat_kernels.windows.statistics import STATISTICS

Subject = Literal["scans", "order", "picks", "sums"]
SUBJECTS: Final[tuple[Subject, ...]] = ("scans", "order", "picks", "sums")
"""The modules: prefix sums, the order of rows, and two for statistics."""

BLOCK: Final = 256
TILE_ROWS: Final = 8
"""Rows of a tile per thread of a block."""
N_DIGITS: Final = 256
DIGIT_BITS: Final = 8
FAN: Final = 8
"""Keys combined into one key of the next level in a tree of minima."""
SUM_WORDS: Final = 2
SQUARE_WORDS: Final = 4
WIDTHS: Final = (1, SUM_WORDS, SQUARE_WORDS)
"""Words of the integers that are scanned."""
SUM_BITS, SQUARE_BITS = 64 * SUM_WORDS, 64 * SQUARE_WORDS
NO_ROW: Final = 2**63 - 1

KEY_VALUE, KEY_PRESENT, KEY_ENTITY = range(3)
COUNT_VALUES, COUNT_MISSING = range(2)
SEEN_INFINITE: Final = 1

_WORDS: Final = (
    # a column
    *("VALUES", "VALUE_BIT_OFFSET", "VALIDITY", "BIT_OFFSET", "ELEMENT"),
    # data to scan, or a level of keys and the one above it
    *("DATA", "TOTALS"),
    # sorting
    *("CODES", "FIRST_CODE", "N_ENTITIES", "SHIFT", "KEYS", "KEYS_OUT", "ROWS_OUT"),
    # the order of rows
    *("ROWS", "STARTS", "ENTITIES", "TIMES", "N_ROWS"),
    # a window
    *("LOW", "HIGH", "OWN", "WINDOW_ROWS", "BEGINS", "ENDS"),
    # a column in order: its values, value counts before each place, places with a value
    *("WORDS", "COUNTS", "PRESENT"),
    # sums before each place
    *("SUM_ENDS", "SUMS", "SQUARES", "INFINITE"),
    # requests and results
    *("KIND", "N", "MIN_SAMPLES", "FACTOR", "PARTS", "FIRST_ROW"),
    *("OUT", "OUT_PRESENT", "STATE"),
)


def _constants(block: int) -> dict[str, int]:
    words = word_places(_WORDS) | {"BLOCK": block, "TILE_ROWS": TILE_ROWS, "TILE": tile_of(block)}
    words |= {"N_DIGITS": N_DIGITS, "FAN": FAN}
    words |= {"SUM_WORDS": SUM_WORDS, "SQUARE_WORDS": SQUARE_WORDS}
    words |= {"UINT64": ELEMENTS.index("uint64"), "BOOL": ELEMENTS.index("bool")}
    words |= {"SEEN_INFINITE": SEEN_INFINITE}
    words |= {"KEY_PRESENT": KEY_PRESENT, "KEY_ENTITY": KEY_ENTITY}
    words |= {"COUNT_MISSING": COUNT_MISSING}
    of_device = (row for row in STATISTICS.values() if row.family.on_device)
    return words | {f"STATISTIC_{row.name.upper()}": row.number for row in of_device}


@cache
def text(subject: Subject, block: int = BLOCK) -> str:
    """Return the CUDA text of a module, without the prelude, for blocks of `block` threads."""
    defined = definitions(_constants(block))
    own = _file(f"{subject}.cu")
    match subject:
        case "scans":
            return "\n".join([defined, *(own.replace("WIDTH", str(n)) for n in WIDTHS)])
        case "order":
            return "\n".join([defined, column_text(), own])
        case "picks":
            parts = _file("window.cuh"), search_text()
            return "\n".join([defined, column_text(), *parts, own])
        case "sums":
            return "\n".join([defined, column_text(), _file("window.cuh"), own])


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def table_words(words: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return the words of a launch by name, 0 for names not given; KeyError for an unknown name."""
    return named_words(_WORDS, words)


def tile_of(block: int) -> int:
    """Return the rows of a tile for blocks of `block` threads."""
    return block * TILE_ROWS


def level_sizes(n: int) -> list[int]:
    """Return the number of keys on each level of a tree, from n keys down to one.

    >>> level_sizes(100)
    [100, 13, 2, 1]
    """
    sizes = [n]
    while sizes[-1] > 1:
        sizes.append(-(-sizes[-1] // FAN))
    return sizes


def digit_shifts(differing: int) -> list[int]:
    """Return the first bits of the digits to sort by, if keys differ only in some bits.

    >>> digit_shifts(0), digit_shifts(0xFF << 12), digit_shifts(1 | 1 << 20)
    ([], [12], [0, 20])
    """
    shifts: list[int] = []
    at = 0
    while differing >> at:
        if differing >> at & 1:
            shifts.append(at)
            at += DIGIT_BITS
        else:
            at += 1
    return shifts
