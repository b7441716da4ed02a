"""Input of a prepared call: one record batch with all columns that its kernels read.

Columns of the user's table come first. Converted columns, and columns that earlier tasks made,
follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastfeat_kernels.records import dataclass

from fastfeat.engine.cpu import step_calls
from fastfeat.engine.program import Program
from fastfeat.execute.inputs import slot_column
from fastfeat.execute.prepared_steps import PreparedStep, SchemaSteps, slot_step
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.columns.types import is_read_unconverted
from fastfeat.ir.node import Column, Node
from fastfeat.scalars.value import InputSlot

if TYPE_CHECKING:
    from fastfeat.engine.cpu.step_calls import InputPlaces

_UNREAD = 6  # columns: exporting this many more costs as much as selecting


@dataclass(frozen=True, slots=True)
class InputPositions:
    """The columns that a program reads, as positions in the record batch, for tables of one schema.

    Args:
        sources: Position of each input slot's column; some are made by steps that the call runs.
        columns: Indices of the table columns that come first in the batch; None for all.
        others: Slots that follow them: converted columns, and columns that tasks make.
        table_columns_read: Table columns that `others` read.
    """

    sources: InputPlaces
    columns: list[int] | None
    others: tuple[InputSlot, ...]
    table_columns_read: tuple[Column, ...]


def reading_of(
    program: Program, schema: Schema, steps: SchemaSteps, outputs: Iterable[InputSlot] = ()
) -> InputPositions:
    """Return the positions at which a program finds its input columns, for tables of one schema.

    `steps` are the steps that a prepared call runs; `outputs` are inputs made by steps that become
    features unchanged.
    """
    places: dict[InputSlot, int] = {}
    for slot in program.inputs:
        source = slot.sources[0]
        if slot.kind == "column" and isinstance(source, Column):
            place = schema.get_field_index(source.name)
            if is_read_unconverted(schema.field(place).type, slot.dtype):
                places[slot] = place
    made: dict[InputSlot, PreparedStep] = {}
    for slot in (*program.inputs, *outputs):
        found = None if slot in places else slot_step(slot, steps, schema)
        if found is not None:
            made[slot] = found
    own = list({id(one.calls.calls): one for one in made.values()}.values())
    numbers = {id(one.calls.calls): k for k, one in enumerate(own)}
    by_name = [[schema.get_field_index(name) for name in one.columns] for one in own]
    others = tuple(slot for slot in program.inputs if slot not in places and slot not in made)
    read = sorted({*places.values(), *(place for of_one in by_name for place in of_one)})
    is_all = len(schema) <= len(read) + _UNREAD and not others
    child_of = {place: place if is_all else k for k, place in enumerate(read)}
    children = {slot: child_of[place] for slot, place in places.items()}
    children.update((slot, len(read) + k) for k, slot in enumerate(others))
    batch_steps = [
        step_calls.StepOfBatch(one.calls, tuple(child_of[place] for place in of_one))
        for one, of_one in zip(own, by_name, strict=True)
    ]
    step_of = {slot: (numbers[id(one.calls.calls)], one.calls.part) for slot, one in made.items()}
    sources = dict.fromkeys(source for slot in others for source in slot.sources)
    columns = tuple(source for source in sources if isinstance(source, Column))
    where = step_calls.InputPlaces(children, batch_steps, step_of)
    return InputPositions(where, None if is_all else read, others, columns)


def read_batch(reading: InputPositions, table: Any, made: Mapping[Node, Any]) -> Any:
    """Return a table as the single batch that a program reads; None if that is impossible."""
    if not reading.others:
        return _one_batch(table, reading.columns)
    if not table.num_rows:
        return None
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    direct = _one_batch(table, reading.columns) if reading.columns else None
    if direct is None and reading.columns:
        return None
    given = {**made, **{node: table.column(node.name) for node in reading.table_columns_read}}
    arrays: list[Any] = [] if direct is None else direct.columns
    arrays += [_one_array(slot_column(slot, given)) for slot in reading.others]
    return pa.RecordBatch.from_arrays(arrays, list(map(str, range(len(arrays)))))


def _one_batch(table: Any, columns: Sequence[int] | None) -> Any:
    """Return columns of a table as one record batch; None if that is impossible or has no rows."""
    if columns is not None:
        table = table.select(columns)
    if isinstance(table, pa.RecordBatch):
        return table if table.num_rows else None
    batches = table.to_batches()
    if len(batches) > 1:
        try:
            batches = table.combine_chunks().to_batches()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # dictionaries that do not unify
            return None
    return batches[0] if len(batches) == 1 and batches[0].num_rows else None


def columns_named(table: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return the named columns of a table or a record batch, as chunked arrays."""
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    return {name: table.column(name) for name in names}


def _one_array(column: Any) -> Any:
    """Return a column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
