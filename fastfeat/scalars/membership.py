"""Looking a value up in what the user wrote down: `is_in`, `is_between`, `replace_strict`, and bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastfeat.dtypes import BOOL, FLOAT64, INT32, INT64, UTF8, DType
from fastfeat.errors import TypeMismatch
from fastfeat.ir.node import Aggregate, Literal, Node
from fastfeat.scalars import op, text
from fastfeat.scalars.arithmetic import require_numbers
from fastfeat.scalars.op import Op
from fastfeat.scalars.table import count_not_above, padded_length
from fastfeat.scalars.value import (
    NOT_IN_MAPPING,
    ScalarFunction,
    TableKey,
    Value,
    as_f64,
    as_i64,
    missing,
)


def _require_literals(dtype: DType, elements: Sequence[Any], what: str) -> None:
    """Raise unless the elements can be compared with the column's type."""
    if dtype == UTF8:
        wrong = [e for e in elements if not isinstance(e, str)]
    elif dtype.is_number:
        wrong = [e for e in elements if isinstance(e, str)]
    else:
        raise TypeMismatch(f"{what} needs numbers or text, got {dtype}")
    if wrong:
        raise TypeMismatch(f"{what} of {dtype} cannot hold {wrong[0]!r}")


def _is_in_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    _require_literals(types[0], params["values"], "is_in")
    return BOOL


def numeric_keys(value: Value, elements: Sequence[Any]) -> tuple[Op, tuple[Any, ...]]:
    """Return the value as it is searched, and the distinct elements that it could equal."""
    if value.op.physical == "f64" or any(isinstance(e, float) and e != int(e) for e in elements):
        return as_f64(value), tuple(sorted({float(e) + 0.0 for e in elements if e == e}))
    whole = {int(e) for e in elements if -(1 << 63) <= e < 1 << 63}
    return as_i64(value).op, tuple(sorted(whole))


def find(searched: Op, keys: tuple[Any, ...]) -> tuple[Op, Op]:
    """Return the position of a value among sorted keys, and whether it is there."""
    length = padded_length(len(keys))
    table = op.table(TableKey(Literal(keys), "keys", length))
    count = count_not_above(table, length, searched)
    position = op.select(count > 0, count - 1, 0)
    load = op.load_f64 if searched.physical == "f64" else op.load_i64
    return position, load(table, position).eq(searched)


def _is_in(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    elements = params["values"]
    if value.dtype == UTF8:
        found = text.codes(value, elements)
        return Value(BOOL, found.op >= 0, found.ok)
    searched, keys = numeric_keys(value, elements)
    if not keys:
        return Value(BOOL, op.FALSE, value.present, value.status)
    _, there = find(searched, keys)
    return Value(BOOL, there, value.present, value.status)


def _replace_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    pairs = params["mapping"]
    _require_literals(types[0], [key for key, _ in pairs], "replace_strict")
    results = [value for _, value in pairs if value is not None]
    if "default" in params and params["default"] is not None:
        results.append(params["default"])
    if all(isinstance(value, bool) for value in results) and results:
        return BOOL
    if all(isinstance(value, int) for value in results) and results:
        return INT64
    if all(isinstance(value, int | float) for value in results):
        return FLOAT64
    raise TypeMismatch(
        f"replace_strict gives numbers or bools, got {results[0]!r}. Encode categories instead"
    )


def _replace(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    (value,) = values
    dtype = _replace_type([value.dtype], params)
    position, there, pairs = _locate(value, params["mapping"])
    if not pairs:
        found = missing(dtype)
    else:
        found = _pick(dtype, position, [result for _, result in pairs])
    present = _present(value)
    if "default" not in params:
        found = replace(found, ok=found.ok & there, status=value.status)
        unknown = op.select(present & ~there, op.literal(NOT_IN_MAPPING, "i64"), 0)
        masked = op.select(there, found.op, op.NAN) if dtype == FLOAT64 else found.op
        return replace(found, op=masked, status=value.status | unknown)
    default = _constant(dtype, params["default"])
    chosen = op.select(there, found.op, default.op)
    ok = op.select(there, found.ok, default.ok) & present
    if dtype == FLOAT64:
        return Value(dtype, op.select(present, chosen, op.NAN), status=value.status)
    return Value(dtype, chosen, ok, value.status)


def _present(value: Value) -> Op:
    return text.codes(value, ("",)).ok if value.dtype == UTF8 else value.present


def _locate(
    value: Value, mapping: Sequence[tuple[Any, Any]]
) -> tuple[Op, Op, Sequence[tuple[Any, Any]]]:
    """Return the position among the (key, result) pairs, whether it is there, and the pairs in that order."""
    if value.dtype == UTF8:
        found = text.codes(value, tuple(key for key, _ in mapping))
        return op.select(found.op >= 0, found.op, 0), (found.op >= 0) & found.ok, mapping
    searched, keys = numeric_keys(value, [key for key, _ in mapping])
    if not keys:
        return op.literal(0, "i64"), op.FALSE, ()
    results = {float(key): result for key, result in mapping}
    position, there = find(searched, keys)
    return position, there & value.present, [(key, results[float(key)]) for key in keys]


def _pick(dtype: DType, position: Op, results: Sequence[Any]) -> Value:
    """Return the result at a position; None among them is missing."""
    if dtype == FLOAT64:
        elements = tuple(float("nan") if r is None else float(r) for r in results)
        table = op.table(TableKey(Literal(elements), "plain", len(elements)))
        return Value(dtype, op.load_f64(table, position))
    elements = tuple(0 if r is None else int(r) for r in results)
    table = op.table(TableKey(Literal(elements), "plain", len(elements)))
    ok = op.TRUE
    if None in results:
        known = op.table(
            TableKey(Literal(tuple(int(r is not None) for r in results)), "plain", len(results))
        )
        ok = op.load_i64(known, position).ne(0)
    loaded = op.load_i64(table, position)
    return Value(dtype, loaded.ne(0) if dtype == BOOL else loaded, ok)


def _constant(dtype: DType, value: Any) -> Value:
    return missing(dtype) if value is None else Value(dtype, op.literal(value, dtype.physical))


def _between_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    from fastfeat.scalars.comparison import comparison_type

    comparison_type("le", types[:2])
    return comparison_type("le", [types[0], types[2]])


def _between(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    from fastfeat.scalars import boolean, comparison

    value, lower, upper = values
    closed = params["closed"]
    above = comparison.FUNCTIONS["ge" if closed in ("both", "left") else "gt"]
    below = comparison.FUNCTIONS["le" if closed in ("both", "right") else "lt"]
    sides = [above.lower([value, lower], {}), below.lower([value, upper], {})]
    return boolean.FUNCTIONS["and"].lower(sides, {})


def _bin_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    require_numbers(types[:1])
    return INT32


def edge_count(node: Node) -> int:
    """Return how many edges a table node can hold, before any value is known."""
    match node:
        case Literal(value):
            return len(value)
        case Aggregate(_, _, params, _):
            return len(dict(params)["probabilities"])
        case _:
            raise AssertionError(f"{type(node).__name__} is not a table")


def _bin(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return how many distinct edges are not above the value: bin i is [edge i-1, edge i)."""
    value, table = values
    assert table.node is not None
    length = padded_length(max(1, edge_count(table.node)))
    address = op.table(TableKey(table.node, "edges", length))
    x = as_f64(value)
    return Value(INT32, count_not_above(address, length, x), op.is_number(x), value.status)


FUNCTIONS: dict[str, ScalarFunction] = {
    "is_in": ScalarFunction(_is_in_type, _is_in),
    "is_between": ScalarFunction(_between_type, _between),
    "replace_strict": ScalarFunction(_replace_type, _replace),
    "bin": ScalarFunction(_bin_type, _bin),
}
