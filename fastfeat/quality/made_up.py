"""Rows that are made up for golden rows: values at the edges of what a plan reads, by a seed.

Each column has a pool of values: ordinary ones, between and at the edges of what the plan, its
contract and what it has learnt tell apart, and odd ones: missing, unseen, the ends of its type. A
row is drawn column by column, so that none is a row that somebody recorded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import numpy as np

from fastfeat.aggregates.keys import Vocabulary
from fastfeat.dtypes import INT64, INTEGER_RANGE, PER_SECOND, DType
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.columns.types import UnsupportedType, arrow_type
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, TableColumn, postorder
from fastfeat.ir.scope import is_over, order_of, query_of
from fastfeat.plan.declare.columns_read import columns_of
from fastfeat.plan.declare.window_reach import history_reach
from fastfeat.plan.run.fitted import Fitted

Type = DType | UnsupportedType


@dataclass(frozen=True, slots=True)
class Pool:
    """Values that a column may have, as Python values; those of times are their integers.

    Args:
        ordinary: values in the midst of what the plan was fitted on, and at its edges.
        odd: missing, unseen, and the ends of the type.
    """

    ordinary: tuple[Any, ...]
    odd: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class MadeUp:
    """Rows that are made up, with all that their features read.

    Args:
        rows: the data.
        history: earlier rows; None where no window sees any.
        tables: the lookup tables.
    """

    rows: Table
    history: Table | None
    tables: dict[str, Table]


def made_up_rows(fitted: Fitted, n_rows: int, seed: int, *, with_odd: bool = True) -> MadeUp:
    """Return rows on which a fitted plan can be tried.

    Args:
        fitted: the plan.
        n_rows: how many.
        seed: of the draws: the same one gives the same rows.
        with_odd: whether earlier rows and tables have odd values, too.
    """
    drawn, plan, roles = Random(seed), fitted.declaration, _roles_of(fitted)
    pools = {name: _pool(fitted, roles, name, dtype) for name, dtype in _types_of(fitted).items()}
    if plan.row_id is not None and plan.row_id not in pools:
        pools[plan.row_id] = Pool((), ())
    types = {**dict.fromkeys(plan.row_ids, INT64), **_types_of(fitted)}
    late = set(plan.late)
    of_rows = [name for name in plan.row_columns if name not in late]
    of_rows += [name for name in plan.row_ids if name not in of_rows]
    odd = _odd_ones(drawn, of_rows, pools, n_rows)
    rows = {
        name: _array(types[name], _values(drawn, roles, name, pools[name], n_rows, odd.get(name)))
        for name in of_rows
    }
    rows |= {name: pa.nulls(n_rows) for name in plan.keep if name not in rows}
    history = None
    if plan.past_columns:
        names = list(dict.fromkeys([*plan.past_columns, *plan.row_ids]))
        odd = _odd_ones(drawn, names, pools, _N_EARLIER) if with_odd else {}
        earlier = partial(_values, drawn, roles, is_earlier=True)
        history = pa.table(
            {
                name: _array(types[name], earlier(name, pools[name], _N_EARLIER, odd.get(name)))
                for name in names
            }
        )
    tables = {
        name: _table(fitted, roles, pools, drawn, name, with_odd=with_odd) for name in fitted.tables
    }
    return MadeUp(_of_columns(rows, n_rows), history, tables)


def _of_columns(columns: Mapping[str, Array], n_rows: int) -> Table:
    """Return a table that has its rows without a column, too."""
    return pa.table(dict(columns)) if columns else pa.table({"": pa.nulls(n_rows)}).select([])


def _types_of(fitted: Fitted) -> dict[str, Type]:
    """Return the types of the columns that features read of their own row, and of earlier ones."""
    plan = fitted.declaration
    read = {*plan.row_columns, *plan.past_columns, *plan.row_ids}
    return {name: dtype for name, dtype in fitted.inputs.items() if name in read}


@dataclass(frozen=True, slots=True)
class _Roles:
    """The columns that are more than values.

    Args:
        clocks: columns that order rows in time, and the unit of their windows, "time" or "steps".
        keys: columns that tell entities apart, or that rows of tables are looked up by.
        ids: columns of which no value comes twice.
        span: how far windows reach back, in nanoseconds, and in steps.
        asked: of each column of a table that rows ask for, the column that they ask by.
        unique: columns of tables of which no value comes twice: keys of lookups.
        moments: columns of tables that order their rows in time.
    """

    clocks: frozenset[str]
    keys: frozenset[str]
    ids: frozenset[str]
    span: Mapping[str, int]
    asked: Mapping[TableColumn, str]
    unique: frozenset[TableColumn]
    moments: frozenset[TableColumn]


def _roles_of(fitted: Fitted) -> _Roles:
    plan = fitted.declaration
    roots = list(plan.nodes.values())
    clocks, keys = list[Node](), list[Node]()
    asked, unique, moments = dict[TableColumn, str](), set[TableColumn](), set[TableColumn]()
    for node in postorder(roots):
        if is_over(node):
            time, *by = query_of(order_of(node))
            clocks.append(time)
            keys += by
        match node:
            case Call("lookup_row" | "asof_row" | "table_order", args):
                is_lookup = node.function == "lookup_row"
                is_order = node.function == "table_order"
                half = len(query_of(node)) if is_order else len(args) // 2
                for k, (own, other) in enumerate(zip(args[:half], args[half:], strict=False)):
                    if not isinstance(other, TableColumn):
                        continue
                    is_time = not is_lookup and k == 0
                    (moments if is_time else unique if is_lookup else set[TableColumn]()).add(other)
                    (clocks if is_time else keys).append(own)
                    if isinstance(own, Column) and not is_time:
                        asked[other] = own.name
            case _:
                pass
    span = {"time": 86_400 * 10**9, "steps": 10}
    for reach in history_reach(roots).values():
        if reach.span:
            span[reach.unit] = max(span[reach.unit] * (reach.unit == "time"), reach.span)
    return _Roles(
        frozenset(columns_of(clocks)),
        frozenset(columns_of(keys)),
        frozenset(plan.row_ids),
        span,
        asked,
        frozenset(unique),
        frozenset(moments),
    )


def _odd_ones(
    drawn: Random, names: Sequence[str], pools: Mapping[str, Pool], n_rows: int
) -> dict[str, dict[int, Any]]:
    """Return the odd values of each column, by row: every one in turn, a few columns a row.

    The first rows have none: of them at least the features can be computed. Those of a column stand
    in rows that follow each other, which fail together if they do.
    """
    columns = list(names)
    _shuffle(drawn, columns)
    every = [(name, value) for name in columns for value in pools[name].odd]
    first = min(n_rows, max(2, n_rows // 4)) if n_rows > 1 else 0
    n_odd = n_rows - first
    found: dict[str, dict[int, Any]] = {}
    for k in range(n_odd * (1 + len(names) // _COLUMNS_OF_ONE_ODD) if every else 0):
        name, value = every[k % len(every)]
        found.setdefault(name, {})[first + k % n_odd] = value
    return found


def _shuffle(drawn: Random, values: list[str]) -> None:
    """Put values in an order that depends on `random()` alone, which every Python gives alike."""
    for k in range(len(values) - 1, 0, -1):
        other = _below(drawn, k + 1)
        values[k], values[other] = values[other], values[k]


def _below(drawn: Random, n: int) -> int:
    return min(n - 1, int(drawn.random() * n))


def _values(
    drawn: Random,
    roles: _Roles,
    name: str,
    pool: Pool,
    n_rows: int,
    odd: Mapping[int, Any] | None,
    *,
    is_earlier: bool = False,
) -> list[Any]:
    """Return the values of a column.

    Args:
        drawn: the draws.
        roles: the columns that are more than values.
        name: of the column.
        pool: its values.
        n_rows: how many rows there are.
        odd: values of some rows.
        is_earlier: whether the rows are of the history.
    """
    if name in roles.ids:
        return [k + 1 + n_rows * _FAR_IDS * is_earlier for k in range(n_rows)]
    n = min(len(pool.ordinary), _N_KEYS) if name in roles.keys else len(pool.ordinary)
    if name in roles.clocks and n:
        half = n // 2  # the first half is before the moment at which rows begin
        begin, n = (0, half) if is_earlier else (half, n - half)
    else:
        begin = 0
    found = [pool.ordinary[begin + _below(drawn, n)] if n else None for _ in range(n_rows)]
    for row, value in (odd or {}).items():
        found[row] = value
    return found


def _table(
    fitted: Fitted,
    roles: _Roles,
    pools: Mapping[str, Pool],
    drawn: Random,
    table: str,
    *,
    with_odd: bool,
) -> Table:
    """Return rows of a lookup table; keys of lookups come once."""
    columns = {TableColumn(table, name): dtype for name, dtype in fitted.tables[table].items()}
    of = {column: _pool_of_table(roles, pools, column, dtype) for column, dtype in columns.items()}
    unique = [column for column in columns if column in roles.unique]
    n_rows = min([_N_OF_TABLE, *(len(of[column].ordinary) for column in unique)])
    found: dict[str, Array] = {}
    for column, dtype in columns.items():
        ordinary, n = of[column].ordinary, len(of[column].ordinary)
        if column in unique:
            values = list(ordinary[:n_rows])
        elif column in roles.asked:
            values = [ordinary[k % min(n, _N_KEYS)] if n else None for k in range(n_rows)]
        else:
            values = [ordinary[_below(drawn, n)] if n else None for _ in range(n_rows)]
            odd = of[column].odd if with_odd and column not in roles.moments else ()
            for k, value in enumerate(odd[: n_rows // 3]):
                values[3 * k] = value
        found[column.name] = _array(dtype, values)
    return _of_columns(found, n_rows)


def _pool_of_table(
    roles: _Roles, pools: Mapping[str, Pool], column: TableColumn, dtype: Type
) -> Pool:
    if column in roles.asked and roles.asked[column] in pools:
        return Pool(tuple(dict.fromkeys(pools[roles.asked[column]].ordinary)), ())
    if column in roles.moments:
        return Pool(_moments(dtype, roles.span), ())
    return Pool(*map(tuple[Any, ...], _of_type(dtype)))


def _pool(fitted: Fitted, roles: _Roles, name: str, dtype: Type) -> Pool:
    """Return the values of a column: of its type, and those that the plan tells apart."""
    ordinary, odd = _of_type(dtype)
    if not isinstance(dtype, DType) or dtype.name == "null":
        return Pool((), ())
    told = [*_told_apart(fitted, name, dtype)]
    if name in roles.clocks:
        return Pool(_moments(dtype, roles.span), (None,))
    if told and (dtype.holds_bytes or name in roles.keys):
        return Pool(tuple(dict.fromkeys(told)), tuple(odd))
    if dtype.is_list:
        return Pool(tuple(ordinary), tuple(odd))
    edges = [edge for value in told for edge in _around(value, dtype)]
    return Pool(tuple(dict.fromkeys([*told, *edges, *ordinary])), tuple(odd))


def _told_apart(fitted: Fitted, name: str, dtype: DType) -> Iterable[Any]:
    """Yield values that a plan, its contract and what it has learnt tell apart in a column."""
    column, learnt = Column(name), fitted.learnt
    contract = () if fitted.contract is None else fitted.contract.declaration.nodes.values()
    for node in postorder([*fitted.declaration.nodes.values(), *contract]):
        if column not in node.args:
            continue
        for other in node.args:
            match other:
                case Literal(value):
                    yield from _literals(value, dtype)
                case Aggregate("vocabulary") if isinstance(learnt.get(other), Vocabulary):
                    yield from _common_keys(learnt[other], node.args.index(column), dtype)
                case _:
                    pass
        if isinstance(node, Aggregate) and node in learnt:
            yield from _literals(learnt[node], dtype)


def _common_keys(vocabulary: Any, part: int, dtype: DType) -> list[Any]:
    """Return the most frequent keys: one that few rows have tells of these."""
    if part >= len(vocabulary.parts):
        return []
    n = min(_MOST_KEYS, int(np.searchsorted(-vocabulary.counts, -_COMMON, side="right")))
    keys = vocabulary.parts[part][:n]
    if dtype.is_temporal:
        keys = keys.cast(pa.int64())
    found = [key for key in keys.to_pylist() if key is not None]
    return [key for key in found if _is_of(key, dtype)]


def _literals(value: Any, dtype: DType) -> Iterable[Any]:
    """Yield values that a column of a type may have, of a literal or of what was learnt."""
    if isinstance(value, tuple):
        elements: tuple[Any, ...] = value  # pyright: ignore[reportUnknownVariableType]
        for element in elements[:: max(1, len(elements) // _MOST_EDGES)]:
            yield from _literals(element, dtype)
        return
    if value is None or dtype.is_list:
        return
    if dtype.is_temporal and not isinstance(value, int | float | str | bytes):
        try:
            scalar = pa.scalar(value, arrow_type(dtype))
            yield scalar.cast(pa.int64() if scalar.type.bit_width == 64 else pa.int32()).as_py()
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return
    elif _is_of(value, dtype):
        yield float(value) if dtype.is_float else value


def _is_of(value: Any, dtype: DType) -> bool:
    """Return whether a column of a type may have a value."""
    match dtype.name:
        case "utf8":
            return isinstance(value, str)
        case "binary":
            return isinstance(value, bytes)
        case "bool":
            return isinstance(value, bool)
        case _ if dtype.is_integer:
            low, high = INTEGER_RANGE[dtype.name]
            return type(value) is int and low <= value <= high
        case _ if dtype.is_float:
            return type(value) in (int, float) and math.isfinite(value)
        case _:
            return dtype.is_temporal and type(value) is int


def _around(value: Any, dtype: DType) -> list[Any]:
    """Return the neighbours of an edge."""
    if dtype.name == "float32":
        near = np.float32(value)
        return [float(np.nextafter(near, np.float32(to))) for to in (-math.inf, math.inf)]
    if dtype.is_float:
        return [math.nextafter(value, -math.inf), math.nextafter(value, math.inf)]
    if dtype.is_integer or dtype.is_temporal:
        near = [value - 1, value + 1]
        return [other for other in near if dtype.is_temporal or _is_of(other, dtype)]
    return []


def _of_type(dtype: Type) -> tuple[list[Any], list[Any]]:
    """Return ordinary values of a type, and odd ones."""
    if not isinstance(dtype, DType) or dtype.name == "null":
        return [], []
    match dtype.name:
        case "bool":
            return [True, False], [None]
        case "utf8":
            return list(_TEXTS), [None, *_ODD_TEXTS]
        case "binary":
            return [text.encode() for text in _TEXTS], [None, b"", b"\xff\x00", b"\xc3"]
        case "list":
            assert dtype.of is not None
            some, odd = _of_type(dtype.of)
            lists = [some[:k] for k in (1, 2, 3)]
            return lists, [None, [], odd[:1], *([value] for value in odd[1:])]
        case _ if dtype.is_float:
            largest = float(np.finfo(dtype.name if dtype.name != "decimal" else "float64").max)
            least = float(np.finfo(np.float32 if dtype.name == "float32" else np.float64).tiny)
            odd = [-0.0, math.inf, -math.inf, largest, -largest, least]
            if dtype.name == "decimal":
                odd = [-1e15, 1e15]
            elif dtype.name == "float16":
                odd = odd[:-1]
            return [0.0, 1.0, 2.0, 3.0, -1.0, 0.5, 0.25, 10.0, 100.0], [None, *odd]
        case _ if dtype.is_integer:
            low, high = INTEGER_RANGE[dtype.name]
            some = [0, 1, 2, 3, 7, 10, 60, 100, *([-1] if low else [])]
            large = [value for value in (2**24 + 1, 2**53 + 1) if value < high]
            return some, [None, low, high, *large]
        case _:
            return _times(dtype)


def _times(dtype: DType) -> tuple[list[Any], list[Any]]:
    """Return moments, days, durations and times of day as integers of their unit."""
    second = 1 if dtype.unit is None else PER_SECOND[dtype.unit]
    match dtype.name:
        case "date32" | "date64":
            step = 1 if dtype.name == "date32" else 86_400_000
            days = [seconds // 86_400 * step for seconds in _MOMENTS]
            return days, [None, 0, -step, 2_932_896 * step]
        case "timestamp":
            some = [seconds * second for seconds in _MOMENTS]
            return some, [None, 0, -1, 4_102_444_799 * second]
        case "duration":
            return [k * second for k in (0, 1, 60, 3_600, 86_400)], [None, -second]
        case _:
            return [k * second for k in (0, 1, 3_600, 43_200)], [None, 86_400 * second - 1]


def _moments(dtype: Type, span: Mapping[str, int]) -> tuple[Any, ...]:
    """Return moments on a clock, as far apart as windows tell: half of them before rows begin."""
    if not isinstance(dtype, DType) or not (dtype.is_integer or dtype.is_temporal):
        return tuple(_of_type(dtype)[0])
    if dtype.is_integer:
        reach, first, least = span["steps"], _FIRST_STEP, 1
        most = INTEGER_RANGE[dtype.name][1]
        first = min(first, most // 2)
        reach = min(reach, most // 5)
    else:
        per_second = 1 if dtype.unit is None else PER_SECOND[dtype.unit]
        days = {"date32": 86_400, "date64": 86.4}.get(dtype.name)
        to_unit = per_second / 1e9 if days is None else 1 / (days * 1e9)
        reach, least = max(1, int(span["time"] * to_unit)), 1
        first = int(_MOMENTS[0] * (per_second if days is None else 1 / days))
    step = (2 * reach / least) ** (1 / _N_MOMENTS)
    offsets = sorted({max(least, int(least * step**k)) for k in range(1, _N_MOMENTS + 1)})
    whole = 86_400_000 if dtype.name == "date64" else 1
    before = [(first - offset) // whole * whole for offset in reversed(offsets)]
    after = [(first + offset) // whole * whole for offset in offsets]
    return (*before, *after)


def _array(dtype: Type, values: list[Any]) -> Array:
    """Return values as Arrow has them."""
    if not isinstance(dtype, DType) or dtype.name == "null":
        return pa.nulls(len(values))
    kind = arrow_type(dtype)
    if dtype.is_float:
        present = np.array([value is not None for value in values], dtype=np.bool_)
        name = "float64" if dtype.name == "decimal" else dtype.name
        with np.errstate(over="ignore"):
            content = np.array([0.0 if v is None else v for v in values]).astype(name)
        return pa.array(content, kind, mask=~present)
    if dtype.holds_bytes:
        values = [value if value is None else _content(value, dtype) for value in values]
    return pa.array(values, kind)


def _content(value: Any, dtype: DType) -> Any:
    return str(value) if dtype.name == "utf8" else value


_N_EARLIER = 40
_N_OF_TABLE = 12
_N_KEYS = 3
"""Keys that come often: rows see one another."""
_COLUMNS_OF_ONE_ODD = 8
_FAR_IDS = 1000
_MOST_KEYS, _COMMON = 8, 10
"""The keys of a vocabulary that rows have: so many, each of so many training rows."""
_MOST_EDGES = 8
_N_MOMENTS = 12
_FIRST_STEP = 1_000_000
_MOMENTS = (
    1_711_845_000,  # 2024-03-31T00:30 UTC, half an hour before clocks change in Europe
    1_709_164_799,  # the last second of 2024-02-28, a leap year
    1_709_251_199,
    1_704_067_199,  # the last second of 2023
    1_730_599_200,  # 2024-11-03T02:00 UTC
    1_721_044_800,
)
_TEXTS = ("1", "2", "3", "a", "b")
_ODD_TEXTS = ("", " ", "__never seen", "été Ω", "0", "-1.5", "x" * 100)
