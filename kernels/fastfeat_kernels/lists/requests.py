"""The functions of lists that kernels compute, a row each: what they ask, on the CPU and a device.

On the CPU a function may be quicker without a kernel: its row says what it gives all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from fastfeat_kernels.lists import FARTHEST, MAX, MEAN, MIN, SUM

Params = Mapping[str, Any]
Words = Mapping[str, int]
"""Words of a table by name, those of `cuda`."""
Gives = Literal["length", "element", "slice", "flag", "end", "sum", "mean"]
"""What a function gives of a list: how many elements, one of them, some of them, whether an item is
among them, the one that is least or greatest, their sum, their mean."""
Elements = Literal["any", "values", "numbers", "integers and floats"]
"""Of which elements a device computes it: all, numbers and times, numbers and bools, or those."""


def _no_words(params: Params) -> Words:
    return {}


@dataclass(frozen=True, slots=True)
class Request:
    """A row of the table of functions of lists.

    Args:
        name: of the function.
        gives: what it gives of a list.
        kernel: its name on a device. What gives slices has two, "measure_" and "write_" before it.
        words: from the parameters to the words of the table that say what a kernel does.
        elements: which ones a device takes; lists of others are the host's.
        of_integers: the kernel on a device where elements are integers, if that is another one.
        reads_elements: whether it reads elements, not only how many there are.
    """

    name: str
    gives: Gives
    kernel: str
    words: Callable[[Params], Words] = _no_words
    elements: Elements = "any"
    of_integers: str | None = None
    reads_elements: bool = True


def within_reach(index: int) -> int:
    """Return an index that no list reaches instead of one that int64 does not hold, or nearly."""
    return max(min(index, FARTHEST), -FARTHEST)


def _index(params: Params) -> Words:
    return {"INDEX": within_reach(params["index"])}


def _slice(params: Params) -> Words:
    length = params.get("length")
    return {
        "INDEX": within_reach(params["offset"]),
        "LENGTH": FARTHEST if length is None else within_reach(length),
    }


def _function(function: int) -> Callable[[Params], Words]:
    return lambda params: {"FUNCTION": function}


_ROWS: Final = (
    Request("len", "length", "list_lengths", reads_elements=False),
    Request("get", "element", "list_get", _index, "values"),
    Request("slice", "slice", "slices", _slice, "values"),
    Request("contains", "flag", "list_contains", elements="values"),
    Request("min", "end", "list_ends", _function(MIN), "integers and floats"),
    Request("max", "end", "list_ends", _function(MAX), "integers and floats"),
    Request(
        "sum", "sum", "list_float_sums", _function(SUM), "numbers", of_integers="list_integer_sums"
    ),
    Request(
        "mean",
        "mean",
        "list_float_sums",
        _function(MEAN),
        "numbers",
        of_integers="list_integer_means",
    ),
)
REQUESTS: Final[Mapping[str, Request]] = {row.name: row for row in _ROWS}
"""The functions by name."""
