"""Prepared transforms: cached work for small batches, so that a second batch is faster.

A preparation belongs to one schema of the data and one form of the result. A fitted plan keeps a
few preparations per form. Each keeps memory for as many calls as ran at the same time. Cases that a
preparation does not support, and all errors, are left to the general path in `execute.transform`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.backends import backend_named
from fastfeat.engine.kernel_cache import is_observed
from fastfeat.errors import EncodedInFold
from fastfeat.execute import encoded_rows as rows_encoded
from fastfeat.execute import step_costs
from fastfeat.execute.batch import Batch, ComputedColumns
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.input_positions import columns_named, read_batch, reading_of
from fastfeat.execute.inputs import slot_column
from fastfeat.execute.lookup_tables import Tables, table_values
from fastfeat.execute.prepared_steps import SchemaSteps, slot_step, steps_of_schema
from fastfeat.execute.steps import run
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.columns.types import memory_type
from fastfeat.io.sinks import write
from fastfeat.ir.dtypes import NULL
from fastfeat.ir.node import Column, Node
from fastfeat.plan.lower.schedule import Schedule
from fastfeat.progress import is_progress_shown

Make = Callable[[Any, Tables], Mapping[Node, Any]]
"""Function `(table, lookup_tables) -> columns` that runs the tasks before the features."""
FinishFeatures = Callable[[Any, Mapping[Node, Any], Any], Any]
"""Function `(table, computed_columns, out) -> features`; None if it does not support the batch."""

SMALL = 1 << 16
"""Number of rows from which several threads may share a batch."""
FEW = 1 << 12
"""Number of rows up to which the call itself runs the steps, in memory that it keeps."""
_N_SCHEMAS = 8
_NONE: Mapping[Node, Any] = {}


@dataclass(frozen=True, slots=True)
class PreparedFunctions:
    """Functions that compute the features of a prepared batch.

    Args:
        finish: Computes the features of a table; None if only the general path can.
        make: Computes the columns of tasks that run before `finish`; None without such tasks.
    """

    finish: FinishFeatures | None
    make: Make | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The preparation for tables of one schema.

    Args:
        schema: The schema of the tables.
        few: Functions for batches of at most `FEW` rows.
        more: Functions for larger batches, of less than `SMALL` rows.
        is_whole: Whether these functions do all the work; False if windows must run before.
        warn: Warns about training rows whose labels an encoding knows; None without encodings.
    """

    schema: Schema
    few: PreparedFunctions
    more: PreparedFunctions
    is_whole: bool
    warn: Callable[[Any], None] | None = None


def prepared_features(fitted: Fitted, data: Any, tables: Tables, to: str, out: Any) -> Any:
    """Return the features of a small batch, or None if its schema was not prepared."""
    if (one := _prepared(fitted, data, to)) is None or not one.is_whole:
        return None
    way = one.few if data.num_rows <= FEW else one.more
    if way.finish is None:
        return None
    features = way.finish(data, _NONE if way.make is None else way.make(data, tables), out)
    if one.warn is not None and features is not None:
        one.warn(data)
    return features


def finish_features(fitted: Fitted, table: Any, made: Mapping[Node, Any], to: str, out: Any) -> Any:
    """Return the features of a small batch with its tasks run; None if it was not prepared."""
    if (one := _prepared(fitted, table, to)) is None or one.is_whole:
        return None
    finish = one.more.finish
    return None if finish is None else finish(table, made, out)


def _prepared(fitted: Fitted, data: Any, to: str) -> Prepared | None:
    """Return the preparation for a small batch's schema; None if there is none to use."""
    prepared: tuple[Prepared, ...] | None = fitted.prepared.get(to)
    if prepared is None or not isinstance(data, (pa.Table, pa.RecordBatch)):
        return None
    if data.num_rows >= SMALL or is_progress_shown() or is_observed() or step_costs.is_measured():
        return None
    schema = data.schema
    for one in prepared:
        if one.schema == schema:
            return one
    return None


def is_prepared_first(fitted: Fitted, to: str) -> bool:
    """Return whether a first batch is prepared before its features are computed, not after.

    Only if no task runs before the program: it would run, and read a table, twice after a refusal.
    """
    is_alone = all(task.kind == "features" for task in fitted.schedule.tasks)
    return is_alone and to not in fitted.prepared and to in _FORMS and _is_compiled(to)


def prepare(fitted: Fitted, data: Any, to: str) -> None:
    """Store a preparation in the fitted plan for more batches of a schema, after the first batch.

    If this needs a compilation, it waits for the second batch, so that a single transform does not
    wait. It does nothing if the schema is prepared already, unless kernels are being observed.
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
    forms[to] = (_prepared_for(fitted, data.schema, to), *others)[:_N_SCHEMAS]


def _is_compiled(to: str) -> bool:
    from fastfeat.engine.cpu.kernels import is_written_kernel_compiled  # imports the CPU backend

    return is_written_kernel_compiled("rows", _FORMS[to].entry)


def _prepared_for(fitted: Fitted, schema: Schema, to: str) -> Prepared:
    """Return the preparation for tables of one schema."""
    is_whole, nowhere = not fitted.declaration.past_columns, PreparedFunctions(None, None)
    if any(schema.field(name).type != pa.null() for name in fitted.never_seen):
        return Prepared(schema, nowhere, nowhere, is_whole)
    none = SchemaSteps({}, fitted.schedule, is_any=False)
    steps = steps_of_schema(fitted, schema) if is_whole else none
    finish = _FORMS[to].finish
    few = PreparedFunctions(
        finish(fitted, schema, steps), _maker(fitted, steps.schedule) if steps.has_others else None
    )
    if not is_whole:
        return Prepared(schema, few, few, is_whole)
    program = fitted.matrix_program if to == "numpy" else fitted.arrow_program
    more = few
    if steps.of_columns or any(slot.kind != "column" for slot in program.inputs):
        maker = _maker(fitted, none.schedule) if none.has_others else None
        more = PreparedFunctions(finish(fitted, schema, none), maker)
    return Prepared(schema, few, more, is_whole, _warning(fitted))


def _maker(fitted: Fitted, schedule: Schedule) -> Make:
    """Return a function that runs the tasks of a schedule. It keeps no reference to the plan."""
    learnt, names = dict(fitted.constants), fitted.declaration.row_columns
    types, programs = fitted.types, fitted.programs
    table_columns = fitted.table_columns

    def make(table: Any, tables: Tables) -> Mapping[Node, Any]:
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        made: ComputedColumns = {**table_values(table_columns, tables)}
        engine, rows = backend_named("cpu"), table.select(names)
        batch = Batch(rows, types, engine, learnt, made, programs=programs)
        run(batch, schedule, frees=True)
        return made

    return make


def _warning(fitted: Fitted) -> Callable[[Any], None] | None:
    """Return a function that warns about training rows with labels that an encoding knows."""
    encoded, told = fitted.encoded, fitted.told
    if encoded is None:
        return None

    def warn(rows: Any) -> None:
        if EncodedInFold not in told.kinds:  # else no table is made of a batch
            table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
            rows_encoded.warn_encoded(encoded, table, None, told)

    return warn


def _matrix(fitted: Fitted, schema: Schema, steps: SchemaSteps) -> FinishFeatures | None:
    """Return a function that computes features as a matrix; None if the schema is not supported."""
    from fastfeat.engine.cpu import prepared as engine  # imports the CPU backend

    program, constants = fitted.matrix_program, fitted.matrix_constants
    if not program.inputs or not program.outputs:
        return None
    reading = reading_of(program, schema, steps)
    dtype = memory_type(fitted.matrix_dtype)
    n_columns = len(program.outputs)
    children = reading.sources.children
    read = [slot.sources[0] for slot in children if slot not in reading.others]
    in_place = {source.name for source in read if isinstance(source, Column)}
    before = [name for name in fitted.declaration.row_columns if name not in in_place]

    @cache
    def ready(by_rows: bool) -> Any:
        return engine.matrix_program(program, constants, reading.sources, dtype, by_rows=by_rows)

    ready(by_rows=False)
    free: tuple[list[Any], list[Any]] = [], []

    def finish(table: Any, made: Mapping[Node, Any], out: Any) -> Any:
        shape = table.num_rows, n_columns
        if out is None:
            n_bytes = shape[0] * n_columns * dtype.itemsize
            small = n_bytes < write.LARGE  # saves .5 us
            out = np.empty(shape, dtype, "F") if small else write.empty_matrix(shape, dtype)
        elif (
            type(out) is not np.ndarray
            or out.shape != shape
            or out.dtype != dtype
            # the kernel itself checks columns that it reads in place
            or (before and write.overlaps(out, columns_named(table, before)))
        ):
            return None
        by_rows = not out.flags.f_contiguous
        address = _address(out if by_rows else out.T, dtype.itemsize)
        if address is None or (batch := read_batch(reading, table, made)) is None:
            return None
        calls = free[by_rows]
        try:
            call = calls.pop()
        except IndexError:
            call = engine.matrix_call(ready(by_rows=by_rows))
        status = call(batch, address)
        calls.append(call)
        return None if status else out

    return finish


def _arrow(fitted: Fitted, schema: Schema, steps: SchemaSteps) -> FinishFeatures | None:
    """Return a function that computes a table of features with the kept columns.

    None if tables of this schema are not supported. A feature that a step has made, and that is not
    changed afterwards, is not copied.
    """
    from fastfeat.backends.cpu import as_output, split_program

    whole, keep, of_features = fitted.arrow_program, fitted.declaration.keep, fitted.schema
    made, program = split_program(whole)
    if any(output.dtype == NULL for output in whole.outputs):
        return None
    if not program.inputs and not steps.is_any:
        return None
    from fastfeat.engine.cpu import prepared as engine  # imports the CPU backend

    reading = reading_of(program, schema, steps, made.values())
    step_of = reading.sources.made
    copied = {k: step_of[slot] for k, slot in made.items() if slot in step_of}
    made = {k: slot for k, slot in made.items() if k not in copied}
    if not program.inputs and not copied:
        return None
    places = [k for k in range(len(whole.outputs)) if k not in made]
    own = [k - sum(j < k for j in made) for k in places]
    of_program = [place for place, k in zip(own, places, strict=True) if k not in copied]
    of_steps = {place: copied[k] for place, k in zip(own, places, strict=True) if k in copied}
    ready = engine.arrow_program(
        program, fitted.arrow_constants, reading.sources, of_program, of_steps
    )
    computed = pa.schema([of_features.field(k) for k in places])
    sources = dict.fromkeys(source for slot in made.values() for source in slot.sources)
    compared = [source for source in sources if isinstance(source, Column)]  # with a learned text
    free: list[Any] = []

    def finish(table: Any, given: Mapping[Node, Any], out: Any) -> Any:
        batch = None if out is not None else read_batch(reading, table, given)
        if batch is None:
            return None
        try:
            call = free.pop()
        except IndexError:
            call = engine.arrow_call(ready, computed)
        features = call(batch)
        free.append(call)
        if features is None:
            return None
        if made:
            columns = features.columns
            if compared:
                named = columns_named(table, [column.name for column in compared])
                given = {**given, **{column: named[column.name] for column in compared}}
            for k, slot in made.items():  # in order: the others are already in place
                columns.insert(k, as_output(slot_column(slot, given), whole.outputs[k]))
            if any(column is None for column in columns):
                return None
            features = pa.Table.from_arrays(columns, schema=of_features)
        else:
            features = pa.Table.from_batches([features])
        for name in keep:
            place = schema.get_field_index(name)
            features = features.append_column(table.schema.field(place), table.column(place))
        return features

    return finish


def _own_columns(fitted: Fitted, schema: Schema, steps: SchemaSteps) -> FinishFeatures | None:
    """Return a function that computes a table of features, each in memory of its own.

    None if a feature could share memory with a column that a task has made.
    """
    from fastfeat.backends.cpu import split_program  # imports the CPU backend

    slots = split_program(fitted.arrow_program)[0].values()
    if any(slot_step(slot, steps, schema) is None for slot in slots):
        return None
    return _arrow(fitted, schema, steps)


def _address(matrix: Any, alignment: int) -> int | None:
    """Return the address of a matrix in C order; None if kernels cannot write to it."""
    try:
        address = ctypes.addressof(ctypes.c_char.from_buffer(matrix))
    except (TypeError, ValueError):  # not contiguous, not writeable, or empty
        return None
    return None if address % alignment else address


class _Form(NamedTuple):
    """A form of the result that can be prepared.

    Args:
        finish: Returns the function that computes features for tables of a schema; None if
            unsupported.
        entry: Entry point of its kernel.
    """

    finish: Callable[[Fitted, Schema, SchemaSteps], FinishFeatures | None]
    entry: str


_FORMS = {
    "arrow": _Form(_arrow, "into_arrow"),
    "columns": _Form(_own_columns, "into_arrow"),
    "numpy": _Form(_matrix, "into_matrix"),
}
