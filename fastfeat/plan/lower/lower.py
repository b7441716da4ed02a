"""Lowering: nodes with types become primitive operations; features become outputs of a program.

A program is computed row by row. It sets a status bit if it cannot give a row's value; the run then
raises an error for that row.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from fastfeat.aggregates import keys as learnt_keys
from fastfeat.engine.program import Output
from fastfeat.ir.dtypes import (
    BFLOAT16,
    BOOL,
    FLOAT32,
    FLOAT64,
    FLOAT_FORMATS,
    NEVER_COLUMNS,
    NULL,
    UINT8,
    DType,
)
from fastfeat.ir.node import Aggregate, Call, Column, GroupFrame, Literal, Node, TableColumn, fold
from fastfeat.ir.scope import row_fold
from fastfeat.scalars import SCALARS, bounds, op, temporal
from fastfeat.scalars.integers import INT64_MIN
from fastfeat.scalars.op import TRUE, Op
from fastfeat.scalars.value import (
    FLOAT_RANGE,
    MISSING_IN_ARRAY,
    InputSlot,
    TableKey,
    Value,
    as_f64,
    column_slot,
    is_out_of_range,
    missing,
    raise_status,
    raise_where,
)
from fastfeat.steps.registry import is_constant_step, is_step, step_function

if TYPE_CHECKING:
    from fastfeat.aggregates.keys import Groups, Vocabulary
    from fastfeat.steps.targets.time_folds import TimeFolds

NodeTypes = Mapping[Node, DType]
LearntConstant: TypeAlias = (
    "float | int | bool | str | tuple[Any, ...] | Vocabulary | Groups | TimeFolds | None"
)
_NOTHING = op.literal(0, "i64")
_TWO_63, _TWO_64 = 2.0**63, 2.0**64


def constant_nodes(roots: Sequence[Node]) -> set[Node]:
    """Return the nodes with one value for all rows: they read columns only inside aggregates."""
    texts: set[Node] = set()

    def visit(node: Node, parts: list[bool]) -> bool:
        match node:
            case Column() | TableColumn():
                return False
            case Aggregate(_, _, _, GroupFrame()):
                return False
            case Literal() | Aggregate():
                return True
            case Call():
                return all(parts) and not is_constant_step(node, texts) and not _of_mode(node)
            case _:
                assert_never(node)

    return {node for node, constant in fold(roots, visit).items() if constant}


def _of_mode(node: Call) -> bool:
    """Return whether a call reads a learned mode, which may be text and then needs a column."""
    return any(isinstance(arg, Aggregate) and arg.function == "mode" for arg in node.args)


def lower(
    roots: Sequence[Node], types: NodeTypes, hoisted: set[Node], *, training: bool = False
) -> dict[Node, Value]:
    """Return the primitive operations of every node that features read for a row.

    `hoisted` nodes become parameters of the program: they are computed once, before the rows.
    `training` tells whether the rows are the training rows.
    """

    def visit(node: Node, parts: list[Value]) -> Value:
        dtype = types[node]
        if dtype.holds_bytes or dtype.is_list or dtype in NEVER_COLUMNS:
            return Value(dtype, _NOTHING, node=node)
        if node in hoisted:
            return _parameter(node, dtype)
        match node:
            case TableColumn():
                return Value(dtype, _NOTHING, node=node)
            case Column(name):
                return _column(node, name, dtype)
            case Call() if is_step(node, types):
                return _step_column(node, dtype, always_present=step_function(node).always_present)
            case Aggregate(_, _, _, GroupFrame()):
                return _of_group(node, dtype, parts)
            case Call(function, _, params):
                rule = SCALARS[function].lower
                value = rule(parts, dict(params))
                return replace(value, node=None)  # it is not a literal, column or table any more
            case _:
                return _parameter(node, dtype)

    return row_fold(roots, visit, training=training)


def _step_column(node: Node, dtype: DType, *, always_present: bool) -> Value:
    """Return a step's column as an input of the program."""
    slot = InputSlot("column", (node,), dtype)
    value = op.input_value(slot, dtype.physical)
    ok = TRUE if always_present or dtype.physical == "f64" else op.input_ok(slot)
    return Value(dtype, value, ok, node=node)


def _of_group(node: Node, dtype: DType, parts: Sequence[Value]) -> Value:
    """Return the lookup of the value learned for the row's group.

    A training row gets the value that was learned without the rows of its fold.
    """
    group = parts[0].op
    if len(parts) > 1:
        n_groups = op.parameter(("n_groups", node), "i64")
        outside = op.table(TableKey(node, "groups_of_folds", 0))
        return Value(dtype, op.load_f64(outside, parts[1].op * n_groups + group))
    values, present = (op.table(TableKey(node, part, 0)) for part in ("groups", "groups_present"))
    if dtype.physical == "f64":
        return Value(dtype, op.load_f64(values, group))
    loaded, ok = op.load_i64(values, group), op.load_i64(present, group).ne(0)
    return Value(dtype, loaded.ne(0) if dtype == BOOL else loaded, ok)


def _column(node: Node, name: str, dtype: DType) -> Value:
    if dtype == NULL:
        return missing(NULL)
    slot = column_slot(name, dtype)
    value = op.input_value(slot, dtype.physical)
    ok = TRUE if dtype.physical == "f64" else op.input_ok(slot)
    return Value(dtype, value, ok, node=node)


def _parameter(node: Node, dtype: DType) -> Value:
    """Return a constant of the run as a parameter of the program."""
    if dtype == NULL:
        return replace(missing(NULL), node=node)
    if isinstance(node, Literal) and dtype == BOOL:
        return Value(dtype, op.literal(node.value, "b1"), node=node)
    always = isinstance(node, Literal) or dtype.physical == "f64"
    ok = TRUE if always else op.parameter(("ok", node), "b1")
    return Value(dtype, op.parameter(("value", node), dtype.physical), ok, node=node)


def parameter_value(
    key: tuple[str, Node], physical: str, constants: Mapping[Node, LearntConstant]
) -> Any:
    """Return the value that a program's parameter has in this run, from the learned constants."""
    part, node = key
    if part == "n_groups":
        learnt = constants[node]
        assert isinstance(learnt, learnt_keys.Groups)
        return len(learnt.values)
    value = node.value if isinstance(node, Literal) else constants[node]
    if part == "ok":
        return value is not None
    if value is None:
        return {"f64": float("nan"), "i64": 0, "b1": False}[physical]
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return temporal.literal_to_i64(value)
    return op.literal_value(value, physical)  # type: ignore[arg-type]  # pyright: ignore


def stored_type(dtype: DType, floats: DType | None) -> DType:
    """Return the type in which a table stores a feature.

    `floats` is the type that floats are rounded to, or None for their own. Tables have no bfloat16,
    so its values are stored as float32.
    """
    if dtype.physical != "f64":
        return dtype
    own = dtype if dtype in (FLOAT32, FLOAT64) else FLOAT64  # float16, decimal and null
    return FLOAT32 if floats == BFLOAT16 else floats or own


def output_of(name: str, value: Value, dtype: DType | None) -> Output:
    """Return the output of a feature for an Arrow column; floats get the type `dtype` if given."""
    stored = stored_type(value.dtype, dtype)
    if value.op.physical != "f64":
        return Output(name, stored, value.op, value.ok, value.status)
    kept = _within(value, dtype or stored)
    rounded = op.round_to_type(kept.op, BFLOAT16) if dtype == BFLOAT16 else kept.op
    return Output(name, stored, rounded, kept.ok, kept.status)


def _within(value: Value, dtype: DType) -> Value:
    """Return the value, with a status bit set if it is finite but beyond the range of `dtype`."""
    if dtype == FLOAT64 or bounds.magnitude_bound(value.op) <= FLOAT_FORMATS[dtype.name].largest:
        return value
    return raise_where(value, is_out_of_range(value.op, dtype), FLOAT_RANGE)


def matrix_output(name: str, value: Value, dtype: DType) -> Output:
    """Return the output of a feature for a float matrix.

    If the matrix type cannot hold an integer exactly, a status bit of the row is set.
    """
    if value.op.physical == "f64":
        kept = _within(value, dtype)
        return Output(name, dtype, kept.op, kept.ok, kept.status)
    number = as_f64(value)
    held = op.round_to_type(number, dtype)
    inexact = op.FALSE if value.op.physical == "b1" else _differs(value, held)
    if FLOAT_FORMATS[dtype.name].largest < _TWO_64:
        inexact |= is_out_of_range(number, dtype)
    checked = raise_status(value, inexact, FLOAT_RANGE)
    return Output(name, dtype, number, TRUE, checked.status)


def code_output(name: str, value: Value, dtype: DType) -> Output:
    """Return the output of a code or bool for an integer matrix; it is never missing."""
    number = op.from_bool(value.op) if value.op.physical == "b1" else value.op
    return Output(name, dtype, number, TRUE, value.status)


def array_output(name: str, value: Value, dtype: DType | None) -> Output:
    """Return the output of a feature for an array of its own type; a bool becomes a byte.

    NaN marks missing floats. Other types cannot mark a missing value: the row's status bit is set,
    which makes the run raise an error.
    """
    if value.op.physical == "f64":
        return output_of(name, value, dtype)
    checked = raise_where(value, ~value.ok, MISSING_IN_ARRAY)
    if value.dtype == BOOL:
        return Output(name, UINT8, op.from_bool(value.op), TRUE, checked.status)
    return Output(name, value.dtype, value.op, TRUE, checked.status)


def _differs(value: Value, number: Op) -> Op:
    """Return an operation: whether an integer differs from the float that it was rounded to."""
    bits = value.op
    if value.dtype.name == "uint64":  # compare its upper half after subtracting 2**63
        large = number >= _TWO_63
        number = op.select(large, number - _TWO_63, number)
        bits = op.select(large, bits ^ INT64_MIN, bits)
    within = (number >= -_TWO_63) & (number < _TWO_63)
    return ~within | op.to_i64(op.select(within, number, 0.0)).ne(bits)
