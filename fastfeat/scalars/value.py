"""The registry entry of a scalar function, and the typed values that it combines.

While a plan is lowered to operations, a `Value` stands for one value in each row. Its status is a
bit mask of errors, such as OVERFLOW, that the kernel computes in each row. A slot is an input of a
kernel. A step computes a whole column, for example a lookup, before the kernel runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from fastfeat_kernels.records import dataclass

from fastfeat.errors import FastfeatWarning
from fastfeat.ir.dtypes import FLOAT_FORMATS, INT64, DType
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.parameters import Belongs, Parameters, always
from fastfeat.ir.writing import PrintedForm
from fastfeat.scalars import op
from fastfeat.scalars.op import FALSE, TRUE, Op

OVERFLOW = 1
CAST_OUT_OF_RANGE = 2
LARGE_ARGUMENT = 4
FLOAT_RANGE = 8
NOT_IN_MAPPING = 16
NEGATIVE_POWER = 32
MISSING_IN_ARRAY = 64
BEYOND_KNOTS = 128
NOT_POSITIVE = 256
YEAR_OUT_OF_RANGE = 512
DATE_OUT_OF_RANGE = 1024
COUNT_OUT_OF_RANGE = 2048
TIME_OUT_OF_RANGE = 4096
TIME_AMBIGUOUS = 8192
TIME_SKIPPED = 16384

NO_STATUS = op.literal(0, "i64")


class InputSlot(NamedTuple):
    """An input of a kernel: a column of the data or of a step, or an array made from one.

    Wide plans look up each slot ten times, and a tuple's hash takes a third of the time.

    Args:
        kind: "column"; "codes" (position of a text among `literals`, -1 for none); "valid" (whether
            a text is present); "same" (whether two text columns are equal); "valid_bytes" and
            "same_bytes" for columns of bytes.
        sources: Nodes of the columns read: input columns, and calls of steps.
        dtype: How the values are stored.
        literals: The texts that codes refer to.
    """

    kind: str
    sources: tuple[Node, ...]
    dtype: DType
    literals: tuple[str, ...] = ()


def column_slot(name: str, dtype: DType) -> InputSlot:
    """Return the slot of an unchanged input column."""
    return InputSlot("column", (Column(name),), dtype)


@dataclass(frozen=True, slots=True)
class TableKey:
    """A table that a kernel reads: the node with its elements, their layout and the length.

    `scalars.table` explains layouts.
    """

    node: Node
    layout: str
    length: int


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a row: the operations that compute it, its presence, and its errors.

    Args:
        dtype: The logical type.
        op: The value; NaN for a missing float. For text and tables, a literal that nothing reads.
        ok: Whether an i64 or b1 value is present; TRUE for floats, which are missing if NaN.
        status: Bits of the errors in computing this value in this row; 0 for none.
        node: The expression of a literal, column, constant or table, for functions that need to see
            it. Lowering drops it from the result of a call.
    """

    dtype: DType
    op: Op
    ok: Op = TRUE
    status: Op = NO_STATUS
    node: Node | None = None

    @property
    def present(self) -> Op:
        """Whether the value is not missing."""
        return op.is_number(self.op) if self.op.physical == "f64" else self.ok


Lower = Callable[[Sequence[Value], Mapping[str, Any]], Value]
TypeRule = Callable[[Sequence[DType], Mapping[str, Any]], DType]


LargestCode = Callable[[Call, Sequence[int | None]], int | None]
"""`(call, largest_codes_of_arguments) -> largest code of the result`; None if unknown.

The largest code of a literal is its value, that of a vocabulary its number of keys.
"""


def codes_up_to(largest: int) -> LargestCode:
    """Return a `largest` rule for a function whose largest code is fixed."""
    return lambda call, of_arguments: largest


@dataclass(frozen=True, slots=True)
class ScalarFunction:
    """The entry of one function in the registry of scalar functions.

    Args:
        result: Returns the result type, from the types of the arguments and the parameters. It
            raises TypeMismatch with the end of a message ("needs a number, got utf8"); binding adds
            the expression.
        lower: Builds the primitive operations from the arguments, and handles missing values.
        warning: Given the values of the constant arguments after `fit`, returns None or a warning
            with a text to follow the argument's name.
        check: Given the types and nodes of the arguments, raises TypeMismatch for a literal that
            the function cannot take with these types.
        parameters: The parameters of each call.
        n_args: Number of arguments; None for any number from `least_args` on.
        least_args: Least number of arguments if `n_args` is None.
        belongs: Whether the arguments of a call fit together, as operators build them.
        of_keys: Whether it takes codes and their vocabulary, which is not a value of a row.
        written: How a call is written in Python.
        largest: Returns the largest code, if the results are codes from 0 on.
        repeats_s: For a part of a time, the period in seconds after which it repeats, a week at
            most; 0 if it does not repeat.
        repeats_yearly: Whether it is a part of a time that repeats every year, and lasts a month or
            longer.
        names_categories: Whether its integers are numbers of categories, or 1 for a row that has a
            category.
        tells_apart: Whether its result depends on which argument values are equal, so that two
            values rounded to one would be mistaken for one.
    """

    result: TypeRule
    lower: Lower
    warning: Callable[[Sequence[Any], Mapping[str, Any]], FastfeatWarning | None] | None = None
    check: Callable[[Sequence[DType], Sequence[Node]], None] | None = None
    parameters: Parameters = ()
    n_args: int | None = 1
    least_args: int = 0
    belongs: Belongs = always
    of_keys: bool = False
    written: PrintedForm = None
    largest: LargestCode | None = None
    repeats_s: int = 0
    repeats_yearly: bool = False
    names_categories: bool = False
    tells_apart: bool = False


def join_status(*values: Value) -> Op:
    """Return the errors of all values, as one status."""
    status = NO_STATUS
    for value in values:
        status = status | value.status
    return status


def raise_status(value: Value, condition: Op, bit: int) -> Value:
    """Return the value with an error bit set if the condition holds and the value is present."""
    return raise_where(value, condition & value.present, bit)


def raise_where(value: Value, condition: Op, bit: int) -> Value:
    """Return the value with an error bit set if the condition holds, even for a missing value."""
    raised = op.select(condition, op.literal(bit, "i64"), 0)
    return replace(value, status=value.status | raised)


def as_f64(value: Value) -> Op:
    """Return a number as float64, rounded once; NaN if missing."""
    match value.op.physical:
        case "f64":
            return value.op
        case "i64" if value.dtype.name == "uint64":
            number = _unsigned_to_f64(value.op)
        case "i64":
            number = op.to_f64(value.op)
        case _:
            number = op.to_f64(op.from_bool(value.op))
    return op.select(value.ok, number, op.NAN)


def _unsigned_to_f64(bits: Op) -> Op:
    """Return a uint64, stored as int64 with the same bits, as float64.

    If the sign bit is set, the integer is halved first, rounded to odd, so that the result is
    rounded once.
    """
    halved = op.shift_logical(bits, 1) | (bits & 1)
    large = op.to_f64(halved) * 2.0
    return op.select(bits < 0, large, op.to_f64(bits))


def is_out_of_range(x: Op, dtype: DType) -> Op:
    """Return whether a finite float is so large that a float type rounds it to infinity."""
    size = op.magnitude(x)
    return (size >= FLOAT_FORMATS[dtype.name].rounds_to_infinity) & (size < float("inf"))


def as_i64(value: Value) -> Value:
    """Return an integer or bool as int64; a uint64 that does not fit sets the status OVERFLOW."""
    if value.op.physical == "b1":
        return replace(value, dtype=INT64, op=op.from_bool(value.op))
    fitted = replace(value, dtype=INT64)
    return raise_status(fitted, value.op < 0, OVERFLOW) if value.dtype.name == "uint64" else fitted


def missing(dtype: DType) -> Value:
    """Return the missing value of a type."""
    physical = dtype.physical
    return Value(dtype, op.NAN if physical == "f64" else op.literal(0, physical), FALSE)


def advice_on_bytes(dtype: DType) -> str:
    """Return advice for a message if a column of bytes is given where text is needed; else ""."""
    return _NOT_UTF8 if dtype.name == "binary" else ""


_NOT_UTF8 = (
    ". A CSV file that is not UTF-8 gives bytes instead of text: save it as UTF-8, or read it with "
    "pandas.read_csv(..., encoding='latin-1')"
)
