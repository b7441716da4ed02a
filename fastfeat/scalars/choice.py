"""Choosing between values: `when`, `coalesce`, `fill_null`, `is_null`, horizontal aggregates.

Unlike other functions, their results are not simply missing if an argument is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat.errors import TypeMismatch
from fastfeat.ir.dtypes import BOOL, FLOAT64, INT64, NULL, UTF8, DType
from fastfeat.ir.node import Call, Literal
from fastfeat.ir.writing import PUBLIC, Texts
from fastfeat.scalars import op, temporal
from fastfeat.scalars.arithmetic import float_type, number_type
from fastfeat.scalars.integers import add_overflows
from fastfeat.scalars.op import FALSE, TRUE, Op
from fastfeat.scalars.value import (
    OVERFLOW,
    InputSlot,
    LargestCode,
    ScalarFunction,
    Value,
    as_f64,
    as_i64,
    join_status,
    missing,
    raise_status,
)


def common_type(types: Sequence[DType]) -> DType:
    """Return the type that holds values of all these types; a null type does not count."""
    known = [dtype for dtype in dict.fromkeys(types) if dtype != NULL]
    if not known:
        return FLOAT64
    if len(known) == 1 and known[0] != UTF8:
        return known[0]
    if all(dtype.is_number for dtype in known):
        return FLOAT64 if any(dtype.physical == "f64" for dtype in known) else INT64
    if all(dtype.is_temporal for dtype in known):
        return temporal.common_type(known)
    names = " and ".join(str(dtype) for dtype in known)
    if known == [UTF8]:
        raise TypeMismatch(
            f"the result cannot be text, got {names}. Map text to numbers first: "
            "replace_strict({'a': 1, None: 0}). The key None is for missing text"
        )
    raise TypeMismatch(f"needs values of one type, got {names}")


def convert(value: Value, dtype: DType) -> Value:
    """Return a value converted to the common type of the choice that it belongs to."""
    if value.dtype == dtype:
        return value
    if value.dtype == NULL:
        return replace(missing(dtype), status=value.status)
    if dtype.is_temporal:
        return temporal.convert(value, dtype)
    if dtype.physical == "f64":
        return Value(dtype, as_f64(value), status=value.status)
    return replace(as_i64(value), dtype=dtype)


def choose(condition: Op, yes: Value, no: Value) -> Value:
    """Return `yes` if the condition holds, else `no`, with the errors of the chosen value only."""
    return Value(
        yes.dtype,
        op.select(condition, yes.op, no.op),
        op.select(condition, yes.ok, no.ok),
        op.select(condition, yes.status, no.status),
    )


def _when_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    if types[0].name not in ("bool", "null"):
        raise TypeMismatch(f"when(...) needs a bool, got {types[0]}. Compare first: col('x') > 0")
    return common_type(types[1:])


def _when(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    condition, yes, no = values
    dtype = common_type([yes.dtype, no.dtype])
    holds = FALSE if condition.dtype == NULL else condition.op & condition.ok
    chosen = choose(holds, convert(yes, dtype), convert(no, dtype))
    return replace(chosen, status=chosen.status | condition.status)


def _coalesce(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    dtype = common_type([value.dtype for value in values])
    converted = [convert(value, dtype) for value in values]
    result = converted[-1]
    for value in reversed(converted[:-1]):
        result = choose(value.present, value, result)
    return result


def _fill_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    return _keep_float32(types, common_type(types))


def _keep_float32(types: Sequence[DType], common: DType) -> DType:
    """Return the result type of `fill_null`: a float column keeps its type if filled by float64."""
    return types[0] if types[0].is_float and common == FLOAT64 else common


def _fill_null(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    dtype = _keep_float32([v.dtype for v in values], common_type([v.dtype for v in values]))
    value, fill = (convert(v, dtype) for v in values)
    return choose(value.present, value, fill)


def _is_null_of(value: Value) -> Op:
    if value.dtype == NULL:
        return TRUE
    if value.dtype.holds_bytes:
        return ~presence_of_text(value)
    return ~value.present


def presence_of_text(value: Value) -> Op:
    """Return whether a text is present, from an input of the kernel; TRUE for a literal."""
    match value.node:
        case Literal():
            return TRUE
        case None:
            raise AssertionError("text is a column, a step or a literal")
        case source:
            kind = "valid" if value.dtype == UTF8 else "valid_bytes"
            return op.input_value(InputSlot(kind, (source,), BOOL), "b1")


def _bool_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    return BOOL


def _is_null(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    return Value(BOOL, _is_null_of(values[0]), status=values[0].status)


def _is_not_null(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    return Value(BOOL, ~_is_null_of(values[0]), status=values[0].status)


def total_order_less(x: Op, y: Op) -> Op:
    """Return x < y for floats that are not NaN, with -0.0 below 0.0."""
    if x.physical == "i64":
        return x < y
    tie = x.eq(y) & (op.bits_of(x) < op.bits_of(y))
    return (x < y) | tie


def _extreme_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    dtype = common_type(types)
    return INT64 if dtype.name == "uint64" else dtype


def _extreme(values: Sequence[Value], *, largest: bool) -> Value:
    dtype = _extreme_type([value.dtype for value in values], {})
    converted = [convert(value, dtype) for value in values]
    result = converted[0]
    for value in converted[1:]:
        x, y = result.op, value.op
        if dtype.name == "bool":
            better = (y & ~x) if largest else (x & ~y)
        else:
            better = total_order_less(x, y) if largest else total_order_less(y, x)
        take = value.present & (~result.present | better)
        result = replace(choose(take, value, result), status=join_status(result, value))
    return result


def _min_horizontal(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    return _extreme(values, largest=False)


def _max_horizontal(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    return _extreme(values, largest=True)


def _sum_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    if types[0].name == "duration" and all(dtype == types[0] for dtype in types):
        return types[0]
    return number_type(types, params)


def _sum_horizontal(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    dtype = _sum_type([value.dtype for value in values], {})
    if dtype == FLOAT64:
        total = op.literal(0.0, "f64")
        for value in values:
            x = as_f64(value)
            total = total + op.select(op.is_nan(x), 0.0, x)
        return Value(FLOAT64, total, status=join_status(*values))
    return _sum_integers([as_i64(value) if dtype == INT64 else value for value in values], dtype)


def _sum_integers(values: Sequence[Value], dtype: DType) -> Value:
    """Return the sum of the present integers; OVERFLOW only if the total does not fit into int64.

    Sums on the way may wrap, as wraps in both directions cancel.
    """
    total, wraps = op.literal(0, "i64"), op.literal(0, "i64")
    for value in values:
        term = op.select(value.ok, value.op, 0)
        added = total + term
        turn = op.select(term < 0, op.literal(-1, "i64"), 1)
        wraps = wraps + op.select(add_overflows(total, term, added), turn, 0)
        total = added
    return raise_status(Value(dtype, total, status=join_status(*values)), wraps.ne(0), OVERFLOW)


def _mean_horizontal(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    total, count = op.literal(0.0, "f64"), op.literal(0.0, "f64")
    for value in values:
        x = as_f64(value)
        total = total + op.select(op.is_nan(x), 0.0, x)
        count = count + op.select(op.is_nan(x), 0.0, 1.0)
    return Value(FLOAT64, total / count, status=join_status(*values))


def _when_text(node: Call, texts: Texts) -> str | None:
    if len(node.args) != 3:
        return None
    condition, value, other = map(texts.bare, node.args)
    return f"ff.when({condition}).then({value}).otherwise({other})"


def _largest(first: int = 0) -> LargestCode:
    """Return the `largest` rule of a choice: the largest code among the arguments from `first` on.

    The rule gives None if an argument is not a code, or if all of them are literals.
    """

    def largest(call: Call, of_arguments: Sequence[int | None]) -> int | None:
        codes = of_arguments[first:]
        if None in codes or all(isinstance(arg, Literal) for arg in call.args[first:]):
            return None
        return max(code for code in codes if code is not None)

    return largest


FUNCTIONS: dict[str, ScalarFunction] = {
    "when": ScalarFunction(_when_type, _when, n_args=3, written=_when_text, largest=_largest(1)),
    "coalesce": ScalarFunction(
        lambda types, params: common_type(types),
        _coalesce,
        n_args=None,
        least_args=1,
        written=PUBLIC,
        largest=_largest(),
    ),
    "fill_null": ScalarFunction(_fill_type, _fill_null, n_args=2, largest=_largest()),
    "is_null": ScalarFunction(_bool_type, _is_null),
    "is_not_null": ScalarFunction(_bool_type, _is_not_null),
    "min_horizontal": ScalarFunction(
        _extreme_type, _min_horizontal, n_args=None, least_args=1, written=PUBLIC
    ),
    "max_horizontal": ScalarFunction(
        _extreme_type, _max_horizontal, n_args=None, least_args=1, written=PUBLIC
    ),
    "sum_horizontal": ScalarFunction(
        _sum_type, _sum_horizontal, n_args=None, least_args=1, written=PUBLIC
    ),
    "mean_horizontal": ScalarFunction(
        float_type, _mean_horizontal, n_args=None, least_args=1, written=PUBLIC
    ),
}
