"""The kernel of as-of joins on a device: its text, and the words of its table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.asof import DEVICE_WORDS
from fastfeat_kernels.asof.reference import MatchRule
from fastfeat_kernels.cuda import column_text, definitions, named_words, search_text, word_places

BLOCK: Final = 256
KERNEL: Final = "latest_rows"


@cache
def text(block: int = BLOCK) -> str:
    """Return the CUDA text of the kernel, without the prelude, for blocks of `block` threads."""
    words = word_places(DEVICE_WORDS) | {"BLOCK": block}
    own = Path(__file__).with_name("asof.cu").read_text()
    return "\n".join([definitions(words), column_text(), search_text(), own])


def rule_words(rule: MatchRule) -> dict[str, int]:
    """Return the words for the rule of known rows, in ticks of the finer side."""
    finer, tolerance = min(rule.tick, rule.tick_of_table), rule.tolerance
    later = rule.delay + (0 if rule.exact else 1)
    return {
        "FACTOR": rule.tick // finer,
        "PARTS": rule.tick_of_table // finer,
        "DELAY": _word(-(-later // finer)),
        "IS_LIMITED": int(tolerance is not None),
        "TOO_OLD": 0 if tolerance is None else _word(-(-(tolerance + 1) // finer)),
    }


def _word(unsigned: int) -> int:
    """Return the int64 of the same bits."""
    return int(np.uint64(unsigned).astype(np.int64))


def table_words(words: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return the words of a launch by name, 0 for names not given; KeyError for an unknown name."""
    return named_words(DEVICE_WORDS, words)
