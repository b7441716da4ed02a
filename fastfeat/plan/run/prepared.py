"""Prepared transforms: what a second small batch of a schema need not find out again.

A fitted plan holds some for each form of the result, and each of them memory for as many calls as
were made at once. What they do not handle, and every error, is left to the way of all other rows.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastfeat.dtypes import NULL
from fastfeat.engine.kernel_cache import is_observed
from fastfeat.engine.program import Program
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.columns.conform import stands_as_stored
from fastfeat.io.sinks.write import empty_matrix
from fastfeat.ir.node import Column
from fastfeat.plan.lower.outputs import matrix_dtype
from fastfeat.plan.run.fitted import Fitted
from fastfeat.progress import is_telling
from fastfeat.scalars.value import InputSlot

Transform = Callable[[Any, Any], Any]
"""Gives the features of a table, in the memory given for them; None where it does not."""

SMALL = 1 << 16
"""Rows, from which on several threads may share them."""
_N_SCHEMAS = 8
_UNREAD = 6  # columns: to export so many more costs as much as to select those that are read


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was prepared for the tables of a schema.

    Args:
        schema: of the tables.
        transform: gives their features; None where these tables are always left to the other way.
    """

    schema: Schema
    transform: Transform | None


def prepared_features(fitted: Fitted, data: Any, to: str, out: Any) -> Any:
    """Return the features of a small batch by a prepared transform; None where there is none.

    Args:
        fitted: the plan.
        data: of any kind; tables and batches of Arrow have prepared transforms.
        to: the form.
        out: the array to write to.
    """
    prepared: tuple[Prepared, ...] | None = fitted.prepared.get(to)
    if prepared is None or not isinstance(data, (pa.Table, pa.RecordBatch)):
        return None
    if data.num_rows >= SMALL or is_telling() or is_observed():
        return None
    schema = data.schema
    for one in prepared:
        if one.schema == schema:
            return None if one.transform is None else one.transform(data, out)
    return None


def prepare(fitted: Fitted, data: Any, to: str) -> None:
    """Prepare a transform for more rows of a schema, of which features were computed.

    What would have to be compiled for it is left to the second time: who transforms once does not
    wait for it.

    Args:
        fitted: the plan; takes it.
        data: a table or batch, the schema of which has none, or whose kernels somebody looks at.
        to: the form.
    """
    is_arrow = isinstance(data, (pa.Table, pa.RecordBatch))
    if not is_arrow or data.num_rows >= SMALL or to not in _FORMS:
        return
    forms: dict[str, tuple[Prepared, ...]] = fitted.prepared
    known = forms.get(to, ())
    others = tuple(one for one in known if one.schema != data.schema)
    if len(others) < len(known) and not is_observed():
        return
    if to not in forms and not is_observed() and not _is_compiled(to):
        forms[to] = ()
        return
    forms[to] = (Prepared(data.schema, _transform(fitted, data.schema, to)), *others)[:_N_SCHEMAS]


def _is_compiled(to: str) -> bool:
    from fastfeat.engine.cpu.prepared import is_compiled  # imports the CPU backend

    return is_compiled(_FORMS[to].entry)


def _transform(fitted: Fitted, schema: Schema, to: str) -> Transform | None:
    """Return what computes features of tables of a schema; None where nothing can be prepared."""
    if any(task.kind != "features" for task in fitted.schedule.tasks):
        return None
    if any(schema.field(name).type != pa.null() for name in fitted.never_seen):
        return None
    return _FORMS[to].transform(fitted, schema)


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a program reads the tables of a schema.

    Args:
        children: the column of each of its slots, among those that a batch is made of.
        columns: these among the columns of the table; None for all.
    """

    children: dict[InputSlot, int]
    columns: list[int] | None


def _reading(program: Program, schema: Schema) -> _Reading | None:
    """Return how a program reads tables; None where columns must be converted, or it reads none."""
    places: dict[InputSlot, int] = {}
    for slot in program.inputs:
        source = slot.sources[0]
        if slot.kind != "column" or not isinstance(source, Column):
            return None
        places[slot] = schema.get_field_index(source.name)
        if not stands_as_stored(schema.field(places[slot]).type, slot.dtype):
            return None
    if not places or not program.outputs:
        return None
    read = sorted(set(places.values()))
    if len(schema) <= len(read) + _UNREAD:
        return _Reading(places, None)
    return _Reading({slot: read.index(place) for slot, place in places.items()}, read)


def _matrix(fitted: Fitted, schema: Schema) -> Transform | None:
    """Return what computes a matrix of features."""
    from fastfeat.engine.cpu import prepared as engine  # imports the CPU backend

    program, constants = fitted.matrix_program, fitted.matrix_constants
    reading = _reading(program, schema)
    if reading is None:
        return None
    dtype = np.dtype(matrix_dtype(fitted.declaration).name)
    children, n_columns = reading.children, len(program.outputs)

    @cache
    def ready(by_rows: bool) -> Any:
        return engine.matrix_program(program, constants, children, dtype, by_rows=by_rows)

    ready(by_rows=False)
    free: tuple[list[Any], list[Any]] = [], []

    def transform(table: Any, out: Any) -> Any:
        batch = _one_batch(table, reading.columns)
        if batch is None:
            return None
        shape = batch.num_rows, n_columns
        if out is None:
            out = empty_matrix(shape, dtype)
        elif type(out) is not np.ndarray or out.shape != shape or out.dtype != dtype:
            return None
        by_rows = not out.flags.f_contiguous
        address = _address(out if by_rows else out.T, dtype.itemsize)
        if address is None:
            return None
        calls = free[by_rows]
        try:
            call = calls.pop()
        except IndexError:
            call = engine.matrix_call(ready(by_rows=by_rows))
        status = call(batch, address)
        calls.append(call)
        return None if status else out

    return transform


def _arrow(fitted: Fitted, schema: Schema) -> Transform | None:
    """Return what computes a table of features, with the kept columns."""
    from fastfeat.engine.cpu import prepared as engine  # imports the CPU backend

    program, keep = fitted.arrow_program, fitted.declaration.keep
    reading = _reading(program, schema)
    if reading is None or any(output.dtype == NULL for output in program.outputs):
        return None
    ready = engine.arrow_program(program, fitted.arrow_constants, reading.children)
    made = fitted.schema
    free: list[Any] = []

    def transform(table: Any, out: Any) -> Any:
        batch = _one_batch(table, reading.columns)
        if batch is None or out is not None:
            return None
        try:
            call = free.pop()
        except IndexError:
            call = engine.arrow_call(ready, made)
        features = call(batch)
        free.append(call)
        if features is None:
            return None
        features = pa.Table.from_batches([features])
        for name in keep:
            place = schema.get_field_index(name)
            features = features.append_column(table.schema.field(place), table.column(place))
        return features

    return transform


def _one_batch(table: Any, columns: Sequence[int] | None) -> Any:
    """Return some columns of a table as one batch; None where it has no rows, or is many pieces."""
    if columns is not None:
        table = table.select(columns)
    if isinstance(table, pa.RecordBatch):
        return table if table.num_rows else None
    batches = table.to_batches()
    if len(batches) > 1:
        batches = table.combine_chunks().to_batches()
    return batches[0] if len(batches) == 1 and batches[0].num_rows else None


def _address(matrix: Any, alignment: int) -> int | None:
    """Return the address of a matrix in C order; None where nobody may write there."""
    try:
        address = ctypes.addressof(ctypes.c_char.from_buffer(matrix))
    except (TypeError, ValueError):  # not contiguous, or not writeable
        return None
    return None if address % alignment else address


class _Form(NamedTuple):
    """A form of the result that is prepared.

    Args:
        transform: returns what computes features of tables of a schema; None where it cannot be.
        entry: of its kernel.
    """

    transform: Callable[[Fitted, Schema], Transform | None]
    entry: str


_FORMS = {"arrow": _Form(_arrow, "into_arrow"), "numpy": _Form(_matrix, "into_matrix")}
