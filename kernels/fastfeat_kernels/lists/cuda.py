"""The kernels of lists on a device: their text, and the words of their table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.cuda import column_text, definitions, named_words, word_places
from fastfeat_kernels.lists import MAX, MEAN, MIN, SUM

BLOCK: Final = 256
NO_ROW: Final = 2**63 - 1

_WORDS: Final = (
    # the elements
    *("VALUES", "VALUE_BIT_OFFSET", "VALIDITY", "BIT_OFFSET", "ELEMENT", "WIDTH"),
    # the lists: offsets of 64 bits, the bitmap of those that are there
    *("OFFSETS", "LISTS"),
    # results: of each row, or elements of slices from their offsets on; rows that are left
    *("OUT", "OUT_VALIDITY", "OUT_OFFSETS", "LEFT", "REPORT"),
    # arguments
    *("FUNCTION", "INDEX", "LENGTH", "ITEMS", "HAS_ITEM"),
)


@cache
def text(block: int = BLOCK) -> str:
    """Return the CUDA text of the kernels, less the prelude, for blocks of so many threads."""
    words = word_places(_WORDS)
    words |= {"BLOCK": block, "SUM": SUM, "MEAN": MEAN, "MIN": MIN, "MAX": MAX}
    own = Path(__file__).with_name("lists.cu").read_text()
    return "\n".join([definitions(words), column_text(), own])


def table_words(words: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return the words of a launch by name, 0 where none is given.

    Raises:
        KeyError: there is no such word.
    """
    return named_words(_WORDS, words)
