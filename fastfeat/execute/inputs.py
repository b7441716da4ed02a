"""Inputs of a run: the column for each input slot of a program, and hints about absent columns.

An input slot is one column that a compiled program reads, in a given type.

Rows in the memory of a device are copied to the host for a message, a table, or a host step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.backends import DEVICE_NAMES, Backend, string_codes
from fastfeat.engine.columns import WideColumns
from fastfeat.engine.program import Program
from fastfeat.errors import (
    ColumnAbsent,
    InvalidData,
    TypeMismatch,
    UnknownColumn,
    did_you_mean,
    shortened,
    warn,
)
from fastfeat.execute import text_slots
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.columns import column_addresses as wide_columns
from fastfeat.io.columns import conform, conversions
from fastfeat.io.columns.types import (
    UnsupportedType,
    column_text,
    is_read_unconverted,
    schema_of,
    storage_type,
)
from fastfeat.io.device import DeviceArray, DeviceTable, holds_device_memory
from fastfeat.io.sources import locations
from fastfeat.io.sources.frames import columns_table
from fastfeat.io.sources.read import column_names, read_table
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Column, Node
from fastfeat.ir.show import names_of
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.scalars.value import InputSlot

SlotColumns = Mapping[InputSlot, Any]
"""The column for each input slot: an Arrow chunked array, or a DeviceArray."""

LiteralCodes = Callable[[Any, str, tuple[str, ...]], Any]
"""Function `(column, name, literals) -> codes`: the index of each text among the literals."""

MANY = 64
"""From this number of columns on, the addresses of all columns are read in one call."""

ONLY_MISSING = "only missing values (type null)"

FIT_ON_VALUES = "Fit on rows in which the column has values, or give it a type before fit"


def read_columns(
    data: Any,
    names: Iterable[str],
    if_there: Iterable[str] = (),
    *,
    features: Mapping[str, Node] | None = None,
    label: Mapping[str, Node] | None = None,
) -> Any:
    """Return a table with the named columns of the data; a DeviceTable if any is on a device."""
    wanted = list(dict.fromkeys(names))
    asked = list(dict.fromkeys([*wanted, *if_there]))
    if holds_device_memory(data, asked):
        from fastfeat.io.device.table import device_table  # seldom needed

        table = device_table(data, asked)
    else:
        table = read_table(data, asked, _run_tasks)
        if not asked:  # the plan reads no column
            table = columns_table({}, table.num_rows)
    there = set(table.column_names)
    lacking = [name for name in wanted if name not in there]
    if lacking:
        columns = "column" if len(lacking) == 1 else "columns"
        hint = absence_hint(lacking[0], data, features, label)
        raise UnknownColumn(
            f"the data lacks the {columns} {shortened(lacking)}, which the plan reads.{hint}"
        )
    return table


def used_schema(
    table: Any, columns: Sequence[str], earlier: Any = None
) -> dict[str, DType | UnsupportedType]:
    """Return the type of each given column; if the table lacks it, its type in the history."""
    types = schema_of(table) if earlier is None else {**schema_of(earlier), **schema_of(table)}
    return {name: types[name] for name in columns}


def warn_absent(data: Any, declared: Mapping[str, Iterable[str]]) -> None:
    """Warn about declared columns that the training data lacks, since they may be misspelled.

    `declared` holds column names by the option that names them.
    """
    if not any(declared.values()):
        return
    there = column_names(data)
    if there is None:
        return
    for option, names in declared.items():
        lacking = [name for name in names if name not in there]
        if lacking:
            near = next(filter(None, (did_you_mean(name, there) for name in lacking)), "")
            column = "column" if len(lacking) == 1 else "columns"
            warn(
                f"the training data has no {column} {shortened(lacking)}, which {option} names."
                + near,
                ColumnAbsent,
            )


def slot_columns(
    program: Program,
    table: Any,
    made: Mapping[Node, Any] | None = None,
    first_row: int = 0,
    literal_codes: LiteralCodes = string_codes,
) -> SlotColumns:
    """Return the column for each input slot of a program, in the Arrow type that kernels read.

    A DeviceArray is returned unchanged: the backend converts it. `made` holds the results of steps
    by their call; `first_row` is the number of the first row in messages.
    """
    wide = None if made and any(isinstance(n, Column) for n in made) else _wide(program, table)
    if wide is not None:
        return wide
    given: dict[Node, Any] = {
        Column(name): column for name, column in zip(table.column_names, table.columns, strict=True)
    }
    given.update(made or {})
    return {slot: slot_column(slot, given, first_row, literal_codes) for slot in program.inputs}


def _wide(program: Program, table: Any) -> WideColumns | None:
    """Return the input columns of a program with many inputs; locating them takes one call.

    None if a column needs a conversion, if the inputs are few, or if the table has several chunks.
    """
    if len(program.inputs) < MANY or not isinstance(table, pa.Table):
        return None
    kept, schema = _kept_places(program), table.schema
    last = kept.places  # read once: another thread may have a table of another schema
    if last is None or not last[0].equals(schema):
        last = kept.places = schema, _places(program, schema)
    _, known = last
    batches = table.to_batches() if known is not None else ()
    if known is None or len(batches) != 1:
        return None
    numbers, bits, places = known
    found = wide_columns.columns_in_place(batches[0], numbers, bits)
    return None if found is None else WideColumns(program, table, places, found)


_Places = tuple[NDArray[np.int64], NDArray[np.int64], Mapping[InputSlot, int]]


@dataclass(slots=True)
class _Kept:
    """A cache: the last table schema, and the column position and bit width of each input in it."""

    places: tuple[Schema, _Places | None] | None = None


@lru_cache(maxsize=16)
def _kept_places(program: Program) -> _Kept:
    return _Kept()


def _places(program: Program, schema: Schema) -> _Places | None:
    """Return the column position and bit width of each input; None if one needs a conversion."""
    place_of, types = {name: k for k, name in enumerate(schema.names)}, schema.types
    places: list[int] = []
    for slot in program.inputs:
        source = slot.sources[0]
        if slot.kind != "column" or not isinstance(source, Column):
            return None
        place = place_of[source.name]
        given = types[place]
        if not is_read_unconverted(given, slot.dtype) or storage_type(slot.dtype) != given:
            return None
        places.append(place)
    bits = [types[place].bit_width for place in places]
    place_of_slot = dict(zip(program.inputs, places, strict=True))
    return np.array(places, np.int64), np.array(bits, np.int64), place_of_slot


def slot_column(
    slot: InputSlot,
    given: Mapping[Node, Any],
    first_row: int = 0,
    literal_codes: LiteralCodes = string_codes,
) -> Any:
    """Return the column for one input slot of a program, in the Arrow type that kernels read.

    `given` holds the columns of the data and the results of steps; `first_row` is the number of the
    first row in messages.
    """
    columns = [given[source] for source in slot.sources]
    if any(isinstance(column, DeviceArray) for column in columns):
        return _device_column(slot, columns)
    if slot.kind != "column":
        return text_slots.TEXT_SLOTS[slot.kind].columns(slot, columns, literal_codes)
    stored = conform.in_storage(columns[0], slot.dtype)
    if stored is not None:  # no name is needed, and that of a step is slow to write
        return stored
    return conform.conform(columns[0], names_of(slot.sources)[0], slot.dtype, first_row)


def _device_column(slot: InputSlot, columns: Sequence[Any]) -> DeviceArray:
    """Return a device column for an input slot; raise if its type differs from the one fit saw.

    A type that can be converted on the device is accepted.
    """
    column = columns[0]
    if slot.kind == "column" and (
        column.dtype == slot.dtype or conversions.conversion(column.dtype, slot.dtype) is not None
    ):
        return column
    wanted = str(slot.dtype) if slot.kind == "column" else "text"
    name, found = next(
        (name, column)
        for name, column in zip(names_of(slot.sources), columns, strict=True)
        if isinstance(column, DeviceArray)
    )
    raise device_type_error(name, wanted, found)


def device_type_error(name: str, wanted: str, found: DeviceArray) -> TypeMismatch:
    """Return the error for a device column with another type than in fit."""
    return TypeMismatch(
        f"{column_text(name)}: fit saw {wanted}, got {found.dtype} in device memory. Convert it on "
        "the device, for example x.astype('float64'), or pass the column in host memory"
    )


def column_in_host(column: Any, backend: Backend | None) -> Any:
    """Return a device column as an Arrow chunked array, and any other column unchanged."""
    if not isinstance(column, DeviceArray):
        return column
    assert backend is not None
    return pa.chunked_array([backend.to_host(column, column.name)])


def check_place(table: Any, backend: str) -> None:
    """Raise InvalidData if data is on a device but the backend reads host memory."""
    if not isinstance(table, DeviceTable) or backend in DEVICE_NAMES:
        return
    for name in table.on_device():
        raise InvalidData(
            f"{column_text(name)} is in device memory, but backend={backend!r} reads host memory. "
            "Use backend='gpu', or copy the data to the host first: cupy.asnumpy(x), x.cpu()"
        )


def check_still_missing(table: Any, names: Iterable[str]) -> None:
    """Raise TypeMismatch if a column that had no value in fit has one now: the plan ignores it.

    `names` are the columns that had type null in fit.
    """
    for name in names:
        column = table.column(name)
        if isinstance(column, DeviceArray):
            raise TypeMismatch(
                f"{column_text(name)}: fit saw {ONLY_MISSING}, got {column.dtype} in device "
                f"memory. {FIT_ON_VALUES}"
            )
        if not conform.all_missing(column):
            conform.mismatch(column, name, ONLY_MISSING, FIT_ON_VALUES)


def shown_value(slot: InputSlot, table: Any, row: int) -> object:
    """Return the value that a slot reads in one row, for a message."""
    scalar = table.column(names_of(slot.sources)[0])[row]
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):  # a date or nanoseconds that Python's datetime cannot hold
        return f"{scalar.value} ({scalar.type})"


_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def absence_hint(
    name: str,
    data: Any,
    features: Mapping[str, Node] | None = None,
    label: Mapping[str, Node] | None = None,
) -> str:
    """Return the end of a message about an absent column: a likely cause, or all columns."""
    names = column_names(data) or []
    of_folders = locations.hint_of_folders(name, locations.paths_of(data))
    return (of_folders and f"{of_folders}.") + (
        _pandas_hint(name, data)
        or _separator_hint(names)
        or _made_hint(name, features or {}, "a feature")
        or _made_hint(name, label or {}, "the label")
        or did_you_mean(name, names)
        or (f" The columns are: {_listed(names)}" if names else "")
    )


def _listed(names: Collection[object]) -> str:
    shown = ", ".join(map(repr, islice(names, 10)))
    return shown + (", ..." if len(names) > 10 else "")


def _pandas_hint(name: str, data: Any) -> str:
    """Return a hint about the index or the column labels of a pandas frame."""
    labels: Any = getattr(data, "columns", None)
    index: Any = getattr(data, "index", None)
    if not hasattr(labels, "nlevels") or not hasattr(index, "names"):
        return ""
    if name in index.names:
        return f" {name!r} is the index of the frame, which is not read: pass frame.reset_index()"
    if labels.nlevels > 1:
        return (
            " The frame's columns have several levels. Flatten them: frame.columns = "
            "['_'.join(map(str, label)) for label in frame.columns]"
        )
    if any(str(label) == name for label in labels):
        return (
            " The frame has a column with this label, but the label is not text. Pass "
            "frame.rename(columns=str)"
        )
    if len(labels) and not any(isinstance(label, str) for label in labels):
        return (
            f" The labels of the frame's columns are not text: {_listed(labels)}. "
            "Pass frame.rename(columns=str)"
        )
    return ""


def _separator_hint(names: list[str]) -> str:
    """Return a hint if a file has one column with separators in its name, such as "a;b"."""
    found = [word for mark, word in _SEPARATORS.items() if len(names) == 1 and mark in names[0]]
    if not found:
        return ""
    return (
        f" The only column is {names[0]!r}: its fields seem to be separated by {found[0]}. A .csv "
        "file must have commas, a .tsv file tabs. Read other files yourself, for example with "
        "pandas.read_csv(..., sep=...)"
    )


def _made_hint(name: str, made: Mapping[str, Node], what: str) -> str:
    """Return a hint that the missing column is a feature or label; "" if that reads this column."""
    if name not in made or name in columns_of([made[name]]):
        return ""
    return (
        f" {name!r} is {what} of this plan, but an expression can only read columns of the data. "
        "Assign its expression to a variable, and use the variable"
    )


def rows_on_host(table: DeviceTable, start: int, n: int, backend: Backend) -> Any:
    """Return `n` rows of a table that is partly on a device, as an Arrow table in host memory."""
    sliced = {name: column.slice(start, n) for name, column in table.given.items()}
    return on_host(DeviceTable(sliced, n), backend)


def on_host(table: DeviceTable, backend: Backend) -> Any:
    """Return a device table as an Arrow table in host memory; NaN becomes null."""
    columns = [
        backend.to_host(column, name) if isinstance(column, DeviceArray) else column
        for name, column in table.given.items()
    ]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _run_tasks(tasks: Iterable[Callable[[], None]]) -> None:
    """Run tasks on the threads of the CPU backend, which is imported now."""
    from fastfeat.engine.cpu.threads import run_tasks

    run_tasks(tasks)
