"""Binding: each node of an expression gets a type, given the types of columns.

All type errors of users arise here.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar, assert_never

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates import function as aggregate_rows
from fastfeat.errors import NaiveTimes, TypeMismatch, UnknownColumn, counted, did_you_mean, warn
from fastfeat.io.columns.types import UnsupportedType, supported
from fastfeat.ir import dtypes
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import (
    Aggregate,
    Call,
    Column,
    GroupFrame,
    Literal,
    Node,
    TableColumn,
    fold,
    params_of,
)
from fastfeat.ir.show import show
from fastfeat.scalars import SCALARS, calendar
from fastfeat.steps.registry import OF_CONTENT, STEPS, step_function
from fastfeat.steps.windows import rows as window_rows

ColumnTypes = Mapping[str, DType | UnsupportedType]
TableTypes = Mapping[str, ColumnTypes]
"""The schema of each lookup table, by its name."""
R = TypeVar("R")
_WHOLE_WINDOW = {
    "last": None,
    "rows": None,
    "offset": 0,
    "closed": "left",
    "min_samples": 0,
    "unit": None,
}
_IF_SKIPPED = {"ambiguous": "raise", "non_existent": "raise"}
_NO_VALUES = dtypes.NEVER_COLUMNS - {dtypes.TABLE}


def bind(
    roots: Sequence[Node], schema: ColumnTypes, tables: TableTypes | None = None
) -> dict[Node, DType]:
    """Return the type of every node of the expressions `roots`.

    `schema` has the types of the data's columns, `tables` those of each lookup table.
    """

    def visit(node: Node, types: list[DType]) -> DType:
        match node:
            case Column(name):
                return column_type(name, schema)
            case TableColumn(table, name):
                return table_column_type(table, name, tables or {})
            case Literal(value):
                return literal_type(value)
            case Call(function, _, params) if function in STEPS or (
                function in OF_CONTENT and any(dtype.holds_bytes for dtype in types)
            ):
                step = step_function(node)
                return _name_expression_in_error(node, lambda: step.result(types, dict(params)))
            case Call(function) | Aggregate(function) if function != "one_hot" and any(
                dtype.is_list for dtype in types
            ):
                raise TypeMismatch(
                    f"{show(node)}: got {next(t for t in types if t.is_list)}, and lists have "
                    "their own operators, such as .list.len(), .list.mean(), .list.get(0)"
                )
            case Call() | Aggregate() if not (_NO_VALUES.isdisjoint(types) or _is_of_keys(node)):
                made = next(dtype for dtype in types if dtype in _NO_VALUES)
                raise TypeMismatch(
                    f"{show(node)}: needs one value per row, got {made}. Encode a cross with "
                    ".ordinal_encode(); no operator can follow .one_hot_encode() or "
                    ".list.multi_hot_encode()"
                )
            case Call(function, args, params):
                row = SCALARS[function]
                dtype = _name_expression_in_error(node, lambda: row.result(types, dict(params)))
                if row.check is not None:
                    check = row.check
                    _name_expression_in_error(node, lambda: check(types, args))
                return dtype
            case Aggregate(function, _, params, GroupFrame()):
                learnt = AGGREGATES[function]
                return _name_expression_in_error(
                    node, lambda: aggregate_rows.result_per_key(learnt, types[0], params)
                )
            case Aggregate(function, _, params, _):
                learnt = AGGREGATES[function]
                of = types if function == "vocabulary" else types[:1]
                return [
                    _name_expression_in_error(node, partial(learnt.result, t, params)) for t in of
                ][-1]
            case _:
                assert_never(node)

    types = fold(roots, visit)
    for node in types:
        if not isinstance(node, Call):
            continue
        row = STEPS.get(node.function)
        if row is not None and row.check is not None:
            _name_expression_in_error(node, partial(row.check, node, types))
    return types


def check_new_plan(types: Mapping[Node, DType]) -> None:
    """Raise if an expression is ambiguous, or would round a key.

    Loaded plans are not checked: a plan that was saved before these were errors keeps its meaning.
    """
    for told in _naive_times(types):
        raise TypeMismatch(told)
    _check_exact_keys(types)


def warn_of_naive_times(types: Mapping[Node, DType]) -> None:
    """Warn (NaiveTimes) about `tz=` for timestamps without a zone, an error in new plans."""
    told = list(_naive_times(types))
    if told:
        more = f" (also in {counted(len(told) - 1, 'more call')})" if len(told) > 1 else ""
        warn(f"{told[0]}. Until you rewrite it, the plan reads them as UTC{more}", NaiveTimes)


def _naive_times(types: Mapping[Node, DType]) -> Iterator[str]:
    """Yield an error text for each call that reads a timestamp without a zone as one in a zone."""
    for node in types:
        if not isinstance(node, Call) or "tz" not in (params := dict(node.params)):
            continue
        given = types[node.args[0]]
        if calendar.has_two_readings(given, params):
            tz = params.pop("tz")
            aware = Call("dt.replace_time_zone", node.args, params_of(zone=tz, **_IF_SKIPPED))
            local = Call(node.function, (aware,), params_of(**params))
            of_utc = Call(node.function, node.args, params_of(**params, tz=tz, naive="UTC"))
            yield (
                f"{show(node)}: {given} has no time zone, so tz={tz!r} can mean two things. For "
                f"local times in that zone write {show(local)}; for UTC times write {show(of_utc)}"
            )


def _check_exact_keys(types: Mapping[Node, DType]) -> None:
    """Raise if decimals with digits after the point are compared for equality or used as a key.

    Such decimals are read as float64 and rounded, so two different ones may become equal.
    """
    for node in types:
        if not depends_on_equality(node):
            continue
        for arg in node.args:
            if _is_decimal(arg, types):
                raise TypeMismatch(
                    f"{show(arg)}: decimals with digits after the point cannot be keys or be "
                    "compared by ==, because they are rounded to float64, and two different ones "
                    "may become equal. Cast the column beforehand, to text or to whole units such "
                    f'as cents. Or write {show(arg)}.cast("float64") to use the rounded values'
                )


def depends_on_equality(node: Node) -> bool:
    """Return whether the result of a node depends on equality between values of its arguments."""
    match node:
        case Call(function) if function in STEPS:
            return STEPS[function].tells_apart
        case Call(function):
            return SCALARS[function].tells_apart
        case Aggregate(function):
            return AGGREGATES[function].takes_key_parts
        case _:
            return False


def _is_decimal(node: Node, types: Mapping[Node, DType]) -> bool:
    """Return whether a node holds decimals as read from the data, or lists of them."""
    match node:
        # their results are float64
        case Call("lookup_value", (_, values)) | Call("list.get", (values,)):
            return _is_decimal(values, types)
        case _:
            dtype = types[node]
            return dtypes.DECIMAL in (dtype, dtype.of)


def _is_of_keys(node: Call | Aggregate) -> bool:
    """Return whether a function takes keys or their vocabulary, not one plain value per row."""
    if isinstance(node, Aggregate):
        return AGGREGATES[node.function].takes_key_parts
    return SCALARS[node.function].of_keys


def _name_expression_in_error(node: Node, rule: Callable[[], R]) -> R:
    """Return `rule()`; a TypeMismatch that it raises gets the expression in front of its text."""
    try:
        return rule()
    except TypeMismatch as error:
        raise TypeMismatch(f"{show(_user_form(node))}: {error}") from None


def _user_form(node: Node) -> Node:
    """Return a window around an internal order node, as users write it; other nodes unchanged."""
    if not isinstance(node, Call) or node.function not in window_rows.ORDERS:
        return node
    return Call("window", (node,), tuple(_WHOLE_WINDOW.items()))


def column_type(name: str, schema: ColumnTypes) -> DType:
    """Return the type of an input column."""
    if name not in schema:
        hint = did_you_mean(name, schema) or (
            f" There are: {list_names(schema)}." if schema else ""
        )
        raise UnknownColumn(f"no column {name!r} in the data.{hint}")
    return supported(schema[name], name)


def table_column_type(table: str, name: str, tables: TableTypes) -> DType:
    """Return the type of a column of a lookup table."""
    if table not in tables:
        raise missing_table_error(table, tables)
    schema = tables[table]
    if name not in schema:
        hint = did_you_mean(name, schema) or f" There are: {list_names(schema)}."
        raise UnknownColumn(f"the table {table!r} has no column {name!r}.{hint}")
    try:
        return supported(schema[name], name)
    except TypeMismatch as error:
        raise TypeMismatch(f"the table {table!r}: {error}") from None


def missing_table_error(name: str, tables: Collection[str]) -> UnknownColumn:
    """Return the error for a lookup table that is not in `tables=`."""
    hint = did_you_mean(name, tables)
    return UnknownColumn(
        f"the plan reads the table {name!r}, which is not in tables=.{hint} Pass it with the "
        f"data: tables={{{name!r}: table}}"
    )


def list_names(names: Collection[str]) -> str:
    """Return the first ten names as text, for a message."""
    shown = [repr(name) for name in islice(names, 10)]
    return ", ".join(shown) + (", ..." if len(names) > 10 else "")


def literal_type(value: Any) -> DType:
    """Return the type of a Python value that stands in an expression."""
    match value:
        case bool():
            return dtypes.BOOL
        case int():
            return _integer_type(value)
        case float():
            return dtypes.FLOAT64
        case str():
            return dtypes.UTF8
        case None:
            return dtypes.NULL
        case tuple():
            return dtypes.TABLE
        case datetime.datetime():
            return dtypes.timestamp("us", None if value.tzinfo is None else "UTC")
        case datetime.date():
            return dtypes.DATE32
        case datetime.timedelta():
            return dtypes.duration("us")
        case datetime.time():
            return dtypes.time("us")
        case _:
            raise TypeMismatch(f"{value!r} cannot be part of an expression")


def _integer_type(value: int) -> DType:
    if -(1 << 63) <= value < 1 << 63:
        return dtypes.INT64
    if 0 <= value < 1 << 64:
        return dtypes.UINT64
    raise TypeMismatch(
        f"an integer of {value.bit_length()} bits does not fit into 64 bits. Write it as a float"
    )
