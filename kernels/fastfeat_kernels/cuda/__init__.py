"""CUDA C++ for all kernels: the prelude of their text, and the emulator that runs it with g++.

The `cuda` modules of kernels import it, and `engine.gpu` compiles their text.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt


@cache
def column_text() -> str:
    """Return the functions that read columns; they need definitions of a table's words."""
    return _file("column.cuh")


@cache
def search_text() -> str:
    """Return the function that searches times in order; it needs only the prelude."""
    return _file("search.cuh")


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def definitions(constants: Mapping[str, int]) -> str:
    r"""Return the lines that define the constants of a text.

    >>> definitions({"BLOCK": 256, "FAN": 8})
    '#define BLOCK 256\n#define FAN 8'
    """
    return "\n".join(f"#define {name} {value}" for name, value in constants.items())


def word_places(names: Sequence[str]) -> dict[str, int]:
    """Return the place of each word of a table, by its name in the text of a kernel.

    >>> word_places(["VALUES", "OUT"])
    {'TABLE_VALUES': 0, 'TABLE_OUT': 1}
    """
    return {f"TABLE_{name}": place for place, name in enumerate(names)}


def named_words(names: Sequence[str], words: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Return the words of a table in the order of all `names`, 0 where none is given.

    Raises:
        KeyError: `words` has a name that is not in `names`.

    >>> named_words(["VALUES", "OUT"], {"OUT": 7})
    array([0, 7])
    """
    table, places = np.zeros(len(names), np.int64), {name: k for k, name in enumerate(names)}
    for name, word in words.items():
        table[places[name]] = word
    return table
