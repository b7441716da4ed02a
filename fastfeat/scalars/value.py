"""A typed value while a plan is lowered, and the row that a scalar function is in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastfeat.errors import FastfeatWarning
from fastfeat.ir.dtypes import FLOAT_FORMATS, INT64, DType
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.parameters import Belongs, Parameters, always
from fastfeat.ir.writing import Form
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


@dataclass(frozen=True, slots=True)
class InputSlot:
    """An input of a kernel: a column of the data or of a step, or one that the border makes of it.

    Args:
        kind: "column"; "codes" (position of a text among `literals`, -1 for none); "valid" (whether
            a text is present); "same" (whether two text columns are equal); "valid_bytes" and
            "same_bytes" of columns of bytes.
        sources: the columns read: input columns, and calls of steps.
        dtype: how the values are stored.
        literals: the texts that codes count in.
    """

    kind: str
    sources: tuple[Node, ...]
    dtype: DType
    literals: tuple[str, ...] = ()


def column_slot(name: str, dtype: DType) -> InputSlot:
    """Return the slot of an input column as it is."""
    return InputSlot("column", (Column(name),), dtype)


@dataclass(frozen=True, slots=True)
class TableKey:
    """A table that a kernel searches: the node that holds its elements, and their layout."""

    node: Node
    layout: str
    length: int


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a row: its operation, whether it is present, and what went wrong on the way.

    Args:
        dtype: the logical type.
        op: the value; NaN where a float is missing. Of text and tables: a literal that nothing
            reads.
        ok: whether an i64 or b1 value is present; TRUE for floats, whose NaN says it.
        status: the OR of status bits that this value raises in this row.
        node: the expression of a literal, a column, a constant or a table, for users that need to
            see it; lowering drops it from the result of a call.
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
"""Gives the largest code of a call from those of its arguments; None where it is not known.

That of a literal is its value, of a vocabulary how many keys it has.
"""


def codes_up_to(largest: int) -> LargestCode:
    """Return the rule of codes that are at most some number, whatever the arguments are."""
    return lambda call, of_arguments: largest


@dataclass(frozen=True, slots=True)
class ScalarFunction:
    """A row of the table of scalar functions.

    Args:
        result: the type rule, from the types of the arguments and the parameters; raises
            TypeMismatch with the tail of a message ("needs a number, got utf8"), to which binding
            adds the expression.
        lower: builds the primitive operations, missing values included.
        warning: given the values of all-constant arguments after fit, a warning whose text
            follows the argument, or None.
        check: given the types and the nodes of the arguments, raises TypeMismatch for a literal
            that the function cannot take of such types.
        parameters: those that each call has.
        n_args: how many arguments it has; None for any number from `least_args` on.
        least_args: see `n_args`.
        belongs: whether the arguments of a call belong together.
        of_keys: whether it takes codes and their vocabulary, which is no value of a row.
        written: how a call is written in Python.
        largest: of a function whose results are codes, from 0 on: the largest one.
        repeats_s: of a part of a time the seconds after which it comes again, a week at most; 0
            where it does not.
        repeats_yearly: whether it is a part of a time that comes again with each year, and lasts a
            month or longer.
        names_categories: whether its integers are numbers of categories, or say that a row has one.
        tells_apart: whether its result depends on which values of its arguments are equal, so that
            two that were rounded to one would be taken for one.
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
    written: Form = None
    largest: LargestCode | None = None
    repeats_s: int = 0
    repeats_yearly: bool = False
    names_categories: bool = False
    tells_apart: bool = False


def join_status(*values: Value) -> Op:
    """Return the status bits of all values together."""
    status = NO_STATUS
    for value in values:
        status = status | value.status
    return status


def raise_status(value: Value, condition: Op, bit: int) -> Value:
    """Return the value with a status bit raised where the condition holds and it is present."""
    return raise_where(value, condition & value.present, bit)


def raise_where(value: Value, condition: Op, bit: int) -> Value:
    """Return the value with a status bit raised where the condition holds, missing or not."""
    raised = op.select(condition, op.literal(bit, "i64"), 0)
    return replace(value, status=value.status | raised)


def as_f64(value: Value) -> Op:
    """Return a number as float64, rounded once; NaN where missing."""
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
    """Return an unsigned pattern as float64: halved to odd first where the sign bit is set."""
    halved = op.shift_logical(bits, 1) | (bits & 1)
    large = op.to_f64(halved) * 2.0
    return op.select(bits < 0, large, op.to_f64(bits))


def beyond(x: Op, dtype: DType) -> Op:
    """Return whether a finite float is so large that a float type rounds it to an infinity."""
    size = op.magnitude(x)
    return (size >= FLOAT_FORMATS[dtype.name].rounds_to_infinity) & (size < float("inf"))


def as_i64(value: Value) -> Value:
    """Return an integer or bool as int64, OVERFLOW raised for an unsigned one that does not fit."""
    if value.op.physical == "b1":
        return replace(value, dtype=INT64, op=op.from_bool(value.op))
    fitted = replace(value, dtype=INT64)
    return raise_status(fitted, value.op < 0, OVERFLOW) if value.dtype.name == "uint64" else fitted


def missing(dtype: DType) -> Value:
    """Return the missing value of a type."""
    physical = dtype.physical
    return Value(dtype, op.NAN if physical == "f64" else op.literal(0, physical), FALSE)
