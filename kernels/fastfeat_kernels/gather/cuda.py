"""The kernel that gathers values on a device: its text, and the words of its table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.cuda import column_text, definitions, named_words, word_places
from fastfeat_kernels.gather import DEVICE_WORDS

BLOCK: Final = 256
KERNEL: Final = "gathered_values"


@cache
def text(block: int = BLOCK) -> str:
    """Return the CUDA text of the kernel, without the prelude, for blocks of `block` threads."""
    words = word_places(DEVICE_WORDS) | {"BLOCK": block}
    own = Path(__file__).with_name("gather.cu").read_text()
    return "\n".join([definitions(words), column_text(), own])


def table_words(words: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return the words of a launch by name, 0 for names not given; KeyError for an unknown name."""
    return named_words(DEVICE_WORDS, words)
