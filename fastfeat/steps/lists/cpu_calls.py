"""Functions of lists as calls of kernels, for prepared calls, which run without Python code.

They apply to lists without missing elements. If an element is missing, or a kernel cannot compute a
row, `cpu` computes the whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels import lists as layout
from fastfeat_kernels.lists.requests import Request
from fastfeat_kernels.lists.state import FEWEST_ROWS, MAGNITUDE

from fastfeat.engine.cpu.kernels import written_kernel
from fastfeat.engine.cpu.step_calls import (
    KernelCall,
    KernelColumn,
    MemoryRequest,
    StepCalls,
    form_of,
)
from fastfeat.io.arrow import DataType, pa
from fastfeat.io.columns.types import is_read_unconverted
from fastfeat.ir.parameters import ParameterValues
from fastfeat.steps.lists.rows import REQUESTED
from fastfeat.steps.step import Argument

_RUN = "lists"
_WORD = 8  # bytes


def calls_of_lists(
    request: Request, args: Sequence[Argument], given: Sequence[DataType], params: ParameterValues
) -> StepCalls | None:
    """Return the kernel calls that compute a function of lists; None if its types prevent it."""
    form, dtype = form_of(given[0]), args[0].dtype.of
    is_list = pa.types.is_list(given[0]) or pa.types.is_large_list(given[0])
    if dtype is None or form is None or not is_list:
        return None
    if not is_read_unconverted(given[0].value_type, dtype):
        return None
    if request.gives == "length":
        return _length(form)
    if given[0].value_type != pa.float64() or not params.get("null_on_oob", True):
        return None
    entry, words = _entry(request, params)
    return None if entry is None else _of_numbers(form, entry, words, request.gives)


def _entry(request: Request, params: ParameterValues) -> tuple[str | None, Mapping[int, int]]:
    """Return the name of the kernel for a function of floats, and its parameters by table word."""
    words = request.words(params)
    match request.gives:
        case "sum" | "mean":
            return "sums", {}
        case "end":
            flip = -1 if words["FUNCTION"] == layout.MAX else 0
            return "extremes", {layout.MAGNITUDE: MAGNITUDE, layout.FLIP: flip}
        case "element":
            return "elements", {layout.INDEX: words["INDEX"]}
        case _:
            return None, {}


def _ends(form: int, rooms: Mapping[int, MemoryRequest], *, of_elements: bool) -> KernelCall:
    """Return the kernel call that reads the offsets of a column of lists."""
    lists = KernelColumn(
        0,
        form,
        offsets=layout.ENDS_GIVEN,
        validity=layout.ENDS_VALIDITY,
        validity_bit=layout.ENDS_BIT,
    )
    elements = KernelColumn(
        0,
        _WORD,
        is_of_elements=True,
        validity=layout.ENDS_OF_ELEMENTS,
        validity_bit=layout.ENDS_BIT_OF_ELEMENTS,
    )
    words = np.zeros(8, np.int64)
    words[layout.ENDS_BYTES] = -form
    columns = (lists, elements) if of_elements else (lists,)
    return KernelCall(written_kernel(_RUN, "ends"), words, columns, rooms)


def _offsets() -> MemoryRequest:
    return MemoryRequest(_WORD, _WORD * (FEWEST_ROWS + 1))


def _length(form: int) -> StepCalls:
    lengths = MemoryRequest(_WORD)
    rooms = {layout.ENDS_OFFSETS: _offsets(), layout.ENDS_LENGTHS: lengths}
    return StepCalls((_ends(form, rooms, of_elements=False),), lengths, _WORD, 0, form)


def _of_numbers(form: int, entry: str, own: Mapping[int, int], gives: str) -> StepCalls:
    """Return the kernel calls for a function of each list's float64 elements."""
    offsets, bits = _offsets(), MemoryRequest(0)
    results, counts, left = (MemoryRequest(_WORD, _WORD * FEWEST_ROWS) for _ in range(3))
    words = np.zeros(layout.N_WORDS, np.int64)
    words[list(own)] = list(own.values())
    elements = KernelColumn(0, _WORD, is_of_elements=True, values=layout.VALUES)
    rooms = {
        layout.OFFSETS: offsets,
        layout.RESULTS: results,
        layout.COUNTS: counts,
        layout.LEFT: left,
    }
    compute = KernelCall(
        written_kernel(_RUN, entry), words, (elements,), rooms, fewest_rows=FEWEST_ROWS
    )
    last = np.zeros(8, np.int64)
    last[layout.FINISH_MEANS] = gives == "mean"
    last[layout.FINISH_COUNTED] = gives != "sum"
    lists = KernelColumn(0, form, validity=layout.FINISH_VALIDITY, validity_bit=layout.FINISH_BIT)
    found = {
        layout.FINISH_RESULTS: results,
        layout.FINISH_COUNTS: counts,
        layout.FINISH_BITS: bits,
        **({layout.FINISH_LEFT: left} if entry == "sums" else {}),
    }
    finish = KernelCall(written_kernel(_RUN, "finish"), last, (lists,), found)
    ends = _ends(form, {layout.ENDS_OFFSETS: offsets}, of_elements=True)
    return StepCalls((ends, compute, finish), results, _WORD, bits)


def _calls(request: Request) -> Any:
    def calls(
        args: Sequence[Argument], given: Sequence[DataType], params: ParameterValues
    ) -> StepCalls | None:
        return calls_of_lists(request, args, given, params)

    return calls


CALLS = {name: _calls(request) for name, request in REQUESTED.items()}
"""Steps as calls of kernels, for columns of the given Arrow types; None if not possible."""
