"""Bins: the position of a value among sorted edges, given by the user or learnt in `fit`.

The edges are a table, an array that kernels search (see `scalars.table`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from fastfeat.errors import BinsMerged, FastfeatWarning, counted
from fastfeat.ir import node as ir
from fastfeat.ir.dtypes import INT32, INTEGER_RANGE, DType
from fastfeat.ir.node import TRAINING, Aggregate, Call, Node
from fastfeat.ir.parameters import Parameter, Real, Several, TextChoice, is_of_type
from fastfeat.ir.writing import PLAIN
from fastfeat.scalars import op
from fastfeat.scalars.arithmetic import require_numbers
from fastfeat.scalars.table import count_below, count_not_above, padded_length
from fastfeat.scalars.value import ScalarFunction, TableKey, Value, as_f64

BinClosed = Literal["left", "right"]
CLOSED = Parameter(
    "closed",
    TextChoice(get_args(BinClosed)),
    "Edge that belongs to a bin: `left` for [a, b), `right` for (a, b]",
    "left",
    is_optional=True,
)


EDGE = Real(or_whole=True)
"""A user's edge: a float, or a 64-bit integer that is not exact in float64."""
_EXACT = 2**53
"""Integers below this size are exact in float64."""


def _bin_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    require_numbers(types[:1])
    return INT32


def has_table(call: Call) -> bool:
    """Return whether the second argument of a call is a table of numbers, literal or learnt."""
    match call.args[1]:
        case ir.Literal(value):
            is_table = is_of_type(Several(EDGE, least=1), value)
            return is_table and all(-(1 << 63) <= e < 1 << 64 for e in value if type(e) is int)
        case Aggregate("even_quantiles" | "evenly_spaced" | "quantiles", frame=frame):
            return frame == TRAINING
        case _:
            return False


def table_size(node: Node) -> int:
    """Return the largest possible number of elements of a table, known before `fit`."""
    match node:
        case ir.Literal(value):
            return len(value)
        case Aggregate("even_quantiles", _, params, _):
            return dict(params)["n_quantiles"]
        case Aggregate("evenly_spaced", _, params, _):
            return dict(params)["n_points"]
        case Aggregate(_, _, params, _):
            return len(dict(params)["probabilities"])
        case _:
            raise AssertionError(f"{type(node).__name__} is not a table")


def is_right(params: Mapping[str, Any]) -> bool:
    """Return whether a bin includes its upper edge instead of its lower one."""
    return params.get("closed") == "right"


def _bin(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return the bin of a value: the number of distinct edges not above it.

    Bin i is [edge i-1, edge i). With `closed="right"` it is the number of edges below the value,
    and bin i is (edge i-1, edge i]. If `fit` learnt no edges, the bin is missing.
    """
    value, table = values
    right = is_right(params)
    count = count_below if right else count_not_above
    if isinstance(table.node, ir.Literal) and any(abs(e) >= _EXACT for e in table.node.value):
        if value.dtype.name in ("int64", "uint64"):
            return _code_of_whole(value, table.node.value, right)
        edges = tuple(_nearest_float_at_edge(e, above=not right) for e in table.node.value)
        return _code([value, replace(table, node=ir.Literal(edges))], "knots", count)
    return _code(values, "edges", count)


def _nearest_float_at_edge(edge: float, *, above: bool) -> float:
    """Return a float that compares with floats like an integer edge that is not exact as a float.

    It is the nearest float at or above the edge if `above`, otherwise at or below.
    """
    found = float(edge)
    if above and found < edge:
        return math.nextafter(found, math.inf)
    return math.nextafter(found, -math.inf) if not above and found > edge else found


def _code_of_whole(value: Value, edges: Sequence[float], right: bool) -> Value:
    """Return the bin of an int64 or uint64, which may not be exact in float64.

    Edges are replaced by the first integer of each bin. Unsigned values and edges are compared with
    the sign bit flipped, which keeps the order.
    """
    low, high = INTEGER_RANGE[value.dtype.name]
    known = [e for e in edges if e <= high]  # no integer is above the other edges
    first = [low if e < low else math.floor(e) + 1 if right else math.ceil(e) for e in known]
    n_below = sum(k <= low for k in first)
    is_unsigned = low == 0
    keys = tuple(k - (1 << 63) if is_unsigned else k for k in first if low < k <= high)
    code = op.literal(n_below, "i64")
    if keys:
        length = padded_length(len(keys))
        searched = value.op ^ -(1 << 63) if is_unsigned else value.op
        table = op.table(TableKey(ir.Literal(keys), "padded", length))
        count = count_not_above(table, length, searched)
        code = code + op.select(count < len(keys), count, len(keys))  # padding repeats the last key
    return Value(INT32, code, value.present, value.status)


def _bin_inside(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return the bin of a value, where values beyond the ends belong to the first and last bin.

    The bin is the number of distinct edges not above the value, not counting the first and the last
    edge.
    """
    return _code(values, "inner_edges", count_not_above)


def _code(
    values: Sequence[Value], layout: str, count: Callable[[op.Op, int, op.Op], op.Op]
) -> Value:
    value, table = values
    assert table.node is not None
    size = max(1, table_size(table.node))
    length = padded_length(size)
    address = op.table(TableKey(table.node, layout, length))
    first = op.load_f64(op.table(TableKey(table.node, "edges", length)), 0)
    x = as_f64(value)
    present = op.is_number(x) & op.is_number(first)
    code = Value(INT32, count(address, length, x), present)
    return replace(code, status=value.status)


def _warn_merged(values: Sequence[Any], params: Mapping[str, Any]) -> FastfeatWarning | None:
    """Return a warning if some of the learnt edges are equal; None if not.

    `values` has one element: the edges.
    """
    elements = values[-1]
    if elements is None:
        return None
    n_equal = len(elements) - len(set(elements))
    if not n_equal:
        return None
    last = len(elements) - n_equal
    return BinsMerged(
        f"has equal quantiles in the training data: {n_equal} of {counted(len(elements), 'edge')} "
        f"repeat another edge, which leaves {counted(last + 1, 'bin')}, codes 0 to {last}; "
        f"code 0 is for values below {min(elements)!r}"
    )


def _warn_merged_bins(values: Sequence[Any], params: Mapping[str, Any]) -> FastfeatWarning | None:
    """Return a warning if some bins have no width because their edges are equal; None if not.

    `values` has one element: the edges.
    """
    elements = values[-1]
    if elements is None:
        return None
    n_bins, n_wanted = max(1, len({float(edge) for edge in elements}) - 1), len(elements) - 1
    if n_bins == n_wanted:
        return None
    if n_bins == 1:
        return BinsMerged(
            f"has only one bin, code 0, instead of {n_wanted}: the others have no width"
        )
    return BinsMerged(
        f"has bins with equal edges in the training data: {n_wanted - n_bins} of {n_wanted} bins "
        f"have no width and are merged, which leaves codes 0 to {n_bins - 1}"
    )


FUNCTIONS: dict[str, ScalarFunction] = {
    "bin": ScalarFunction(
        _bin_type,
        _bin,
        _warn_merged,
        parameters=(CLOSED,),
        n_args=2,
        belongs=has_table,
        written=PLAIN,
        largest=lambda call, of_arguments: table_size(call.args[1]),
    ),
    "bin_inside": ScalarFunction(
        _bin_type,
        _bin_inside,
        _warn_merged_bins,
        n_args=2,
        belongs=has_table,
        written=PLAIN,
        largest=lambda call, of_arguments: max(table_size(call.args[1]) - 2, 0),
    ),
}
