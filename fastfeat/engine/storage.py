"""The types in which columns are stored in memory when programs read and write them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.program import Constants, Output, leaves_of
from fastfeat.io.columns.types import memory_type
from fastfeat.ir.dtypes import FLOAT_FORMATS, DType
from fastfeat.ir.node import Literal
from fastfeat.scalars import LAYOUTS, op
from fastfeat.scalars.value import InputSlot, TableKey


@cache
def storage(dtype: DType) -> str:
    """Return the name of the type of a column's elements in a loop; a bool takes a byte there."""
    if dtype.name == "bool":
        return "bool"
    return "float64" if dtype.name == "float16" else memory_type(dtype).name


@cache
def output_storage(dtype: DType) -> str:
    """Return the name of the type of the elements that a loop writes; a bool takes a byte."""
    return dtype.name if dtype.name in FLOAT_FORMATS else storage(dtype)


def column_of(output: Output) -> InputSlot | None:
    """Return the input slot that an output copies unchanged, missing values included, or None."""
    if output.op.name != "input":
        return None
    always = output.op.physical == "f64" or output.ok is op.TRUE
    same_missing = always or output.ok is op.input_ok(output.op.value)
    slot: InputSlot = leaves_of(output)[0][1]
    return slot if same_missing and storage(slot.dtype) == output_storage(output.dtype) else None


def table_array(key: TableKey, constants: Constants) -> NDArray[Any]:
    """Return a learnt or literal table as an array of 8-byte floats or integers, for kernels."""
    if isinstance(key.node, Literal):
        return _literal_array(key, key.node)
    return _array(key, constants.tables[key])


@lru_cache(maxsize=128)
def _literal_array(key: TableKey, literal: Literal) -> NDArray[Any]:
    """Return the table of a literal, such as a time zone; cached, since that takes 2 ms."""
    return _array(key, literal.value)


def _array(key: TableKey, elements: Sequence[Any]) -> NDArray[Any]:
    laid_out = LAYOUTS[key.layout](elements, key.length)
    if isinstance(laid_out, np.ndarray):  # has 8-byte elements
        return np.ascontiguousarray(laid_out)
    is_float = any(isinstance(element, float) for element in laid_out)
    return np.array(laid_out, dtype=np.float64 if is_float else np.int64)


def parameter_bits(value: float | int | bool, physical: str) -> int:
    """Return a parameter as the 64-bit integer that stands for it in a kernel's table."""
    if physical == "f64":
        return struct.unpack("<q", struct.pack("<d", value))[0]
    return int(value)
