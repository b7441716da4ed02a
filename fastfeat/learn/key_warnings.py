"""Warnings about keys that were rounded before fit: whole numbers beyond 2**53 stored as floats.

pandas turns integers into floats if one is missing, and so do other libraries at times. This module
checks the keys that `fit` learns, and some rows of the columns of windows, joins, hashes and ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastfeat.aggregates import is_vocabulary
from fastfeat.errors import KeysRounded, WarningHistory, warn
from fastfeat.io.arrow import Array, ChunkedArray, call, pa
from fastfeat.io.columns import conversions
from fastfeat.ir.dtypes import FLOAT64
from fastfeat.ir.node import Aggregate, Call, Column, Node, TableColumn
from fastfeat.ir.show import show
from fastfeat.plan.declare.bind import depends_on_equality
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower.constants import LearntConstant
from fastfeat.plan.lower.typed import TypedPlan
from fastfeat.steps.registry import STEPS

_ROUNDED = 2.0**53
_BLOCKS, _BLOCK = 16, 4096
"""Longer columns are sampled in so many blocks of so many rows, since ids have similar sizes.

A check of 1M rows takes Arrow 5 ms, as long as a whole fit of windows without learnt values.
"""


def warn_rounded_columns(
    plan: Declaration,
    table: Any,
    tables: Mapping[str, Any],
    typed: TypedPlan,
    told: WarningHistory,
) -> None:
    """Warn about rounded float columns that serve as keys of windows, joins or hashes, or as ids.

    `table` has the training rows; its columns on a device are not checked. `typed` is the plan with
    types.
    """
    ids = [name for name in plan.row_ids if name in table.column_names]
    for column in dict.fromkeys((*typed.once(_float_columns), *map(Column, ids))):
        of = tables[column.table] if isinstance(column, TableColumn) else table
        values = of.column(column.name)
        if isinstance(values, pa.ChunkedArray):
            n_rows = len(values)
            for block in range(_BLOCKS if n_rows > _BLOCKS * _BLOCK else 1):
                first = n_rows // _BLOCKS * block
                rows = values.slice(first, _BLOCK if n_rows > _BLOCKS * _BLOCK else None)
                _warn_rounded(column, rows, told)


def warn_rounded_keys(learnt: Mapping[Node, LearntConstant], told: WarningHistory) -> None:
    """Warn about learned vocabularies with keys that were rounded before fit."""
    for node, keys in learnt.items():
        if isinstance(node, Aggregate) and is_vocabulary(keys):
            for arg, part in zip(node.args, keys.parts, strict=True):
                _warn_rounded(arg, part, told)


def _float_columns(typed: TypedPlan) -> tuple[Column | TableColumn, ...]:
    """Return the float64 columns that steps use as keys, except those whose keys fit learns."""
    return tuple(dict.fromkeys(_read_as_keys(typed)))


def _read_as_keys(typed: TypedPlan) -> Iterator[Column | TableColumn]:
    for node in typed.types:
        if isinstance(node, Call) and _has_keys(node):
            for arg in node.args:
                is_column = isinstance(arg, Column | TableColumn)
                if is_column and typed.types[arg].name == "float64":
                    yield arg


def _has_keys(node: Call) -> bool:
    """Return whether a function compares or hashes keys that fit does not learn."""
    is_step = node.function == "hash" or node.function in STEPS
    return is_step and node.function != "encode" and depends_on_equality(node)


def _warn_rounded(arg: Node, values: ChunkedArray | Array, told: WarningHistory) -> None:
    if values.type != pa.float64() or KeysRounded in told.kinds or _are_small(values):
        return
    ends = call("min_max", values)
    for end in (ends["max"].as_py(), ends["min"].as_py()):
        if end is not None and _ROUNDED <= abs(end) < float("inf"):
            of = f"the table {arg.table!r}: " if isinstance(arg, TableColumn) else ""
            warn(
                f"{of}{show(arg)}: a float key has the whole number {int(end)}, and floats beyond "
                "2**53 are rounded, so different ids may have become equal. Read the column as "
                'integers or text, in pandas with dtype="Int64", "UInt64" or str',
                KeysRounded,
                told,
            )
            return


def _are_small(values: ChunkedArray | Array) -> bool:
    """Return whether all floats are surely below 2**53 in magnitude, and none is NaN.

    NumPy does this 10 times as fast as Arrow. Bytes of missing values count too, so if the result
    is False, Arrow has to check.
    """
    pieces = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    floats = [conversions.read_values(piece, FLOAT64) for piece in pieces if len(piece)]
    return all(one.min() > -_ROUNDED and one.max() < _ROUNDED for one in floats)
