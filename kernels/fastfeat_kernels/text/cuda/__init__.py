"""The text kernels on a device: their text by subject.

`steps.text` imports it.

The words of their tables are those of the package, with 64-bit offsets, and the address of a bitmap
for parsed results. TABLE_FAILED is the address of the first invalid row. TABLE_FOUND is the address
of the statuses that occur, other than PARSED, as bits.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels import text as layout
from fastfeat_kernels.cuda import definitions
from fastfeat_kernels.hashing import cuda as hashing
from fastfeat_kernels.text.requests import REQUESTS
from fastfeat_kernels.text.tables import HIGHEST_POWER, LOWEST_POWER

BLOCK: Final = 256
SUBJECTS: Final = tuple(dict.fromkeys(row.subject for row in REQUESTS.values()))
TABLE_OUT_VALIDITY: Final = layout.N_TABLE_WORDS
N_TABLE_WORDS: Final = TABLE_OUT_VALIDITY + 1
NO_ROW: Final = 2**63 - 1  # if every row is valid


@cache
def text(subject: str, block: int = BLOCK) -> str:
    """Return the CUDA text of the kernels of a subject, without the prelude.

    `subject` is one of SUBJECTS; blocks have `block` threads.
    """
    words = {name: value for name, value in vars(layout).items() if isinstance(value, int)}
    words |= {"BLOCK": block, "TABLE_OUT_VALIDITY": TABLE_OUT_VALIDITY}
    words |= {"LOWEST_POWER": LOWEST_POWER, "HIGHEST_POWER": HIGHEST_POWER}
    used = [hashing.xxh64_text()] if subject == "ngrams" else []
    files = (Path(__file__).with_name(name) for name in ("rows.cuh", f"{subject}.cu"))
    return "\n".join([definitions(words), *used, *(file.read_text() for file in files)])


def table_words(words: dict[int, int]) -> npt.NDArray[np.int64]:
    """Return the words of a launch, 0 where none is given."""
    table = np.zeros(N_TABLE_WORDS, np.int64)
    table[[*words]] = [*words.values()]
    return table
