"""The functions of lists that kernels compute, a row each: their requests, for CPU and device.

On the CPU a function may be faster without a kernel; its row gives the kind of result anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from fastfeat_kernels.lists import FARTHEST, MAX, MEAN, MIN, SUM
from fastfeat_kernels.records import dataclass

ListParams = Mapping[str, Any]
ListRequestWords = Mapping[str, int]
"""Words of a table by name, from `cuda`."""
Gives = Literal["length", "element", "slice", "flag", "end", "sum", "mean"]
"""The result for a list: its number of elements, one element, several elements, whether it contains
an item, the minimum or maximum, the sum, or the mean.
"""
Elements = Literal["any", "values", "numbers", "integers and floats"]
"""The element types that a device supports: all, numbers and times, numbers and bools, or numbers
without bools.
"""


def _no_words(params: ListParams) -> ListRequestWords:
    return {}


@dataclass(frozen=True, slots=True)
class Request:
    """A row of the table of functions of lists.

    Args:
        name: Name of the function.
        gives: Kind of the result for a list.
        kernel: Name on a device. A function that returns slices has two, prefixed "measure_" and
            "write_".
        words: Function from the parameters to their words in the table.
        elements: Element types that a device takes; other lists are computed on the host.
        of_integers: Kernel on a device for integer elements, if it is another one.
        reads_elements: Whether it reads elements, not only their number.
    """

    name: str
    gives: Gives
    kernel: str
    words: Callable[[ListParams], ListRequestWords] = _no_words
    elements: Elements = "any"
    of_integers: str | None = None
    reads_elements: bool = True


def within_reach(index: int) -> int:
    """Return an index; indices near the ends of int64 become one that no list reaches."""
    return max(min(index, FARTHEST), -FARTHEST)


def _index(params: ListParams) -> ListRequestWords:
    return {"INDEX": within_reach(params["index"])}


def _slice(params: ListParams) -> ListRequestWords:
    length = params.get("length")
    return {
        "INDEX": within_reach(params["offset"]),
        "LENGTH": FARTHEST if length is None else within_reach(length),
    }


def _function(function: int) -> Callable[[ListParams], ListRequestWords]:
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
