"""Tables that the text kernels read: code point mappings, powers of ten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.records import dataclass
from fastfeat_kernels.text.unicode_table import LOWERCASE, UPPERCASE, WHITE_SPACE, Runs

PAGE: Final = 256  # code points
N_PAGES: Final = 0x110000 // PAGE
LOWEST_POWER: Final = -342  # power of ten; times 19 digits it is below half of the smallest float64
HIGHEST_POWER: Final = 308


@dataclass(frozen=True, slots=True)
class CodePointTable:
    """An int32 for each code point, 0 for nearly all.

    Args:
        pages: By code point // 256: the start of its page in `cells`.
        cells: Pages of 256; the first contains zeros.
    """

    pages: npt.NDArray[np.int32]
    cells: npt.NDArray[np.int32]


def table_of(values: Mapping[int, int]) -> CodePointTable:
    """Return the table of some code points and their values."""
    numbers = sorted({code // PAGE for code in values})
    pages = np.zeros(N_PAGES, np.int32)
    pages[numbers] = np.arange(1, len(numbers) + 1) * PAGE
    cells = np.zeros((len(numbers) + 1) * PAGE, np.int32)
    for code, value in values.items():
        cells[pages[code // PAGE] + code % PAGE] = value
    return CodePointTable(pages, cells)


def set_of(codes: Iterable[int]) -> CodePointTable:
    """Return the table of a set of code points."""
    return table_of(dict.fromkeys(codes, 1))


def mapping_of(runs: Runs) -> dict[int, int]:
    """Return the difference to add to each code point of some runs."""
    return {
        code: difference
        for first, last, step, difference in runs
        for code in range(first, last + 1, step)
    }


@cache
def lowercase_table() -> CodePointTable:
    """Return the table of differences from code points to their lower case."""
    return table_of(mapping_of(LOWERCASE))


@cache
def uppercase_table() -> CodePointTable:
    """Return the table of differences from code points to their upper case."""
    return table_of(mapping_of(UPPERCASE))


@cache
def white_space_table() -> CodePointTable:
    """Return the set of white space."""
    return set_of(WHITE_SPACE)


@cache
def powers_table() -> npt.NDArray[np.uint64]:
    """Return the upper 128 bits of powers of five, high word first, and 10**0 to 10**8.

    Source: D. Lemire, Number parsing at a gigabyte per second (2021), section 5. Positive powers
    are truncated, reciprocals rounded up.
    """
    powers = range(LOWEST_POWER, HIGHEST_POWER + 1)
    words = [word for power in powers for word in divmod(_upper_bits(power), 1 << 64)]
    tens = np.array([10**power for power in range(9)], np.uint64)
    return np.concatenate([np.array(words, np.uint64), tens])


def _upper_bits(power: int) -> int:
    if power >= 0:
        five = 5**power
        n_bits = five.bit_length()
        return five << (128 - n_bits) if n_bits <= 128 else five >> (n_bits - 128)
    n_bits = (5**-power - 1).bit_length()
    inverse = (1 << (n_bits + 127 if power >= -27 else 2 * n_bits + 128)) // 5**-power + 1
    return inverse >> max(inverse.bit_length() - 128, 0)
