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
    # the lists: 64-bit offsets, the bitmap of present lists
    *("OFFSETS", "LISTS"),
    # results: for each row, or elements of slices from their offsets on; left rows
    *("OUT", "OUT_VALIDITY", "OUT_OFFSETS", "LEFT", "REPORT"),
    # arguments
    *("FUNCTION", "INDEX", "LENGTH", "ITEMS", "HAS_ITEM"),
)


@cache
def text(block: int = BLOCK) -> str:
    """Return the CUDA text of the kernels, without the prelude, for blocks of `block` threads."""
    words = word_places(_WORDS)
    words |= {"BLOCK": block, "SUM": SUM, "MEAN": MEAN, "MIN": MIN, "MAX": MAX}
    own = Path(__file__).with_name("lists.cu").read_text()
    return "\n".join([definitions(words), column_text(), own])


def table_words(words: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return the words of a launch by name, 0 for names not given; KeyError for an unknown name."""
    return named_words(_WORDS, words)
