"""Generated rows for golden rows: values at the edges of a plan's inputs, drawn by a seed.

Each column has a pool of values. Ordinary values lie between and at the edges that the plan, its
contract and its learnt values distinguish. Odd values are missing, unseen, or at the ends of the
type. Rows are drawn column by column, so none is a recorded row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Literal

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir.dtypes import INT64, PER_SECOND, DType
from fastfeat.ir.node import TableColumn
from fastfeat.trust.quality.golden.roles import Roles, roles_of
from fastfeat.trust.quality.golden.values import (
    ValuePool,
    ValuesInPlan,
    ValueType,
    is_of,
    moments,
    plain_pool,
    pool_of,
    pool_of_type,
    reads_of,
    unit_of,
    within,
)


@dataclass(frozen=True, slots=True)
class GeneratedRows:
    """Generated rows, with everything that their features read.

    Args:
        rows: The data.
        history: Earlier rows; None if no window sees any.
        tables: The lookup tables by name.
    """

    rows: Table
    history: Table | None
    tables: dict[str, Table]


Odd = Literal["everywhere", "in rows", "nowhere"]
"""Placement of odd values: in the rows, history and tables; in the rows only; or nowhere."""


def generate_rows(fitted: Fitted, n_rows: int, seed: int, odd: Odd = "everywhere") -> GeneratedRows:
    """Return generated rows to try a plan on, with history and tables.

    Equal seeds give equal rows.

    `odd` says where odd values may occur. With "nowhere", text consists of digits, which functions
    that parse numbers accept.
    """
    drawn, plan, roles = Random(seed), fitted.declaration, roles_of(fitted)
    types = {**dict.fromkeys(plan.row_ids, INT64), **_types_of(fitted)}
    reads = reads_of(fitted)
    pools = {name: _pool(reads, roles, name, dtype) for name, dtype in types.items()}
    if odd == "nowhere":
        pools = {name: plain_pool(pool, types[name]) for name, pool in pools.items()}
    late = set(plan.late)
    own = dict.fromkeys([*(n for n in plan.row_columns if n not in late), *plan.row_ids])
    values = _columns(drawn, roles, pools, list(own), n_rows, with_odd=odd != "nowhere")
    rows = {name: _array(types[name], column) for name, column in values.items()}
    rows |= {name: pa.nulls(n_rows) for name in plan.keep if name not in rows}
    history = None
    if plan.past_columns:
        names = list(dict.fromkeys([*plan.past_columns, *plan.row_ids]))
        with_odd = odd == "everywhere"
        earlier = _columns(
            drawn, roles, pools, names, _N_EARLIER, with_odd=with_odd, is_earlier=True
        )
        history = pa.table({name: _array(types[name], earlier[name]) for name in names})
    asking = _Asking(roles, types, pools, values, reads.largest)
    table = partial(_table, fitted, asking, drawn, with_odd=odd == "everywhere")
    tables = {name: table(name) for name in fitted.tables}
    return GeneratedRows(_of_columns(rows, n_rows), history, tables)


def _columns(
    drawn: Random,
    roles: Roles,
    pools: Mapping[str, ValuePool],
    names: Sequence[str],
    n_rows: int,
    *,
    with_odd: bool,
    is_earlier: bool = False,
) -> dict[str, list[Any]]:
    """Return the values of columns of the data, or of the history if `is_earlier`."""
    odd = _odd_rows(drawn, names, pools, n_rows) if with_odd else {}
    values = partial(_values, drawn, roles, is_earlier=is_earlier)
    return {name: values(name, pools[name], n_rows, odd.get(name)) for name in names}


def _of_columns(columns: Mapping[str, Array], n_rows: int) -> Table:
    """Return a table of columns; it has `n_rows` rows even without columns."""
    return pa.table(dict(columns)) if columns else pa.table({"": pa.nulls(n_rows)}).select([])


def _types_of(fitted: Fitted) -> dict[str, ValueType]:
    """Return the types of the columns that features read from their own row or earlier rows."""
    plan = fitted.declaration
    read = {*plan.row_columns, *plan.past_columns, *plan.row_ids}
    return {name: dtype for name, dtype in fitted.inputs.items() if name in read}


def _odd_rows(
    drawn: Random, names: Sequence[str], pools: Mapping[str, ValuePool], n_rows: int
) -> dict[str, dict[int, Any]]:
    """Return the odd values to put into columns: by column name, then by row number.

    All odd values take turns, and a row has them in a few columns only. The first rows have none,
    so that at least their features can be computed. Odd values of one column are in consecutive
    rows, so that failing rows are adjacent.
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
    """Shuffle values by `random()` alone, which draws alike in every Python version."""
    for k in range(len(values) - 1, 0, -1):
        other = _below(drawn, k + 1)
        values[k], values[other] = values[other], values[k]


def _below(drawn: Random, n: int) -> int:
    return min(n - 1, int(drawn.random() * n))


def _values(
    drawn: Random,
    roles: Roles,
    name: str,
    pool: ValuePool,
    n_rows: int,
    odd: Mapping[int, Any] | None,
    *,
    is_earlier: bool = False,
) -> list[Any]:
    """Return `n_rows` values of a column, drawn from its pool; `odd` has values by row number."""
    if name in roles.ids:
        return [k + 1 + n_rows * _FAR_IDS * is_earlier for k in range(n_rows)]
    n = min(len(pool.ordinary), _N_KEYS) if name in roles.keys else len(pool.ordinary)
    if name in roles.clocks and n:
        half = n // 2  # values of the first half come before the rows begin
        begin, n = (0, half) if is_earlier else (half, n - half)
    else:
        begin = 0
    found = [pool.ordinary[begin + _below(drawn, n)] if n else None for _ in range(n_rows)]
    for row, value in (odd or {}).items():
        found[row] = value
    return found


@dataclass(frozen=True, slots=True)
class _Asking:
    """The generated rows of the data; tables take keys from them, so that lookups find matches.

    Args:
        roles: Roles of the columns.
        types: Types of the columns of the data.
        pools: Possible values of each column.
        values: Values of each column in the rows.
        largest: Largest finite float (see `ValuesInPlan`).
    """

    roles: Roles
    types: Mapping[str, ValueType]
    pools: Mapping[str, ValuePool]
    values: Mapping[str, Sequence[Any]]
    largest: float


def _table(fitted: Fitted, asking: _Asking, drawn: Random, table: str, *, with_odd: bool) -> Table:
    """Return rows of a table; lookup keys are unique, and half of the rows find a match."""
    roles = asking.roles
    columns = {TableColumn(table, name): dtype for name, dtype in fitted.tables[table].items()}
    of = {column: _pool_of_table(asking, column, dtype) for column, dtype in columns.items()}
    unique = {column: dtype for column, dtype in columns.items() if column in roles.unique}
    keys = _keys_of_rows(asking, unique)
    if not keys:
        keys = list(zip(*(of[column].ordinary for column in unique), strict=False))
    n_rows = min(_N_OF_TABLE, len(keys)) if unique else _N_OF_TABLE
    known = dict(zip(unique, zip(*keys[:n_rows], strict=True), strict=True)) if keys else {}
    found: dict[str, Array] = {}
    for column, dtype in columns.items():
        ordinary, n = of[column].ordinary, len(of[column].ordinary)
        if column in known:
            values = list(known[column])
        elif column in roles.asked:
            asked = _of_rows(asking, column, dtype)
            values = [asked[k % len(asked)] if asked else None for k in range(n_rows)]
            values = [ordinary[k % n] if v is None and n else v for k, v in enumerate(values)]
        else:
            values = [ordinary[_below(drawn, n)] if n else None for _ in range(n_rows)]
            odd = of[column].odd if with_odd and column not in roles.moments else ()
            for k, value in enumerate(odd[: n_rows // 3]):
                values[3 * k] = value
        found[column.name] = _array(dtype, values)
    return _of_columns(found, n_rows)


def _keys_of_rows(
    asking: _Asking, columns: Mapping[TableColumn, ValueType]
) -> list[tuple[Any, ...]]:
    """Return the distinct keys that rows look up in a table; empty if keys are computed."""
    parts = [_of_rows(asking, column, dtype) for column, dtype in columns.items()]
    keys = dict.fromkeys(zip(*parts, strict=True)) if all(parts) else {}
    return [key for key in keys if None not in key]


def _of_rows(asking: _Asking, column: TableColumn, dtype: ValueType) -> list[Any]:
    """Return the values that every second row looks up in a column of a table, in its type."""
    name = asking.roles.asked.get(column)
    if name is None or name not in asking.values:
        return []
    known = [_as_in_table(value, asking.types[name], dtype) for value in asking.values[name][::2]]
    delay = asking.roles.moments.get(column)
    if not delay:
        return known
    ticks = delay // unit_of(dtype) if isinstance(dtype, DType) and dtype.is_temporal else delay
    return [None if value is None else value - ticks for value in known]


def _as_in_table(value: Any, own: ValueType, other: ValueType) -> Any:
    """Return a row's value in the type of a table's column; None if that type cannot hold it."""
    if value is None or not isinstance(own, DType) or not isinstance(other, DType):
        return None
    if own.name == other.name and own.unit != other.unit:
        value = value * PER_SECOND[other.unit or "s"] // PER_SECOND[own.unit or "s"]
    return value if is_of(value, other) else None


def _pool_of_table(asking: _Asking, column: TableColumn, dtype: ValueType) -> ValuePool:
    name = asking.roles.asked.get(column)
    is_moment = column in asking.roles.moments
    if name is not None and name in asking.pools and isinstance(dtype, DType) and not is_moment:
        values = (_as_in_table(v, asking.types[name], dtype) for v in asking.pools[name].ordinary)
        known = tuple(value for value in dict.fromkeys(values) if value is not None)
        if known:
            return ValuePool(known, ())
    if is_moment:
        return moments(dtype, asking.roles.span)
    return within(pool_of_type(dtype), asking.largest)


def _pool(reads: ValuesInPlan, roles: Roles, name: str, dtype: ValueType) -> ValuePool:
    if name in roles.ids:
        return ValuePool((), ())
    if name in roles.clocks:
        return moments(dtype, roles.span)
    return pool_of(reads, name, dtype)


def _array(dtype: ValueType, values: list[Any]) -> Array:
    """Return values as an Arrow array."""
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
_N_OF_TABLE = 24
_N_KEYS = 3
"""Number of frequent keys, so that rows share entities."""
_COLUMNS_OF_ONE_ODD = 8
_FAR_IDS = 1000
