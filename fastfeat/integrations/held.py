"""`Held`: data beside the rows, such as a history, that copies and processes share.

Scikit-learn copies the parameters of a transformer for each fold, pickles them for each task of a
worker, and slices what is passed beside rows if it is as long. What is held is none of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat.calls.arguments import explaining_methods
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, ipc_stream, pa
from fastfeat.io.sources.read import read_table


class PackedTable(NamedTuple):
    """A table as pickle keeps it.

    Args:
        content: an Arrow IPC stream, shape (n_bytes,). As an array, joblib writes it to a file once
            for all workers, which map it, and removes the file itself.
    """

    content: NDArray[np.uint8]


@explaining_methods(lambda _: "held.", {"__init__": {}}, made_by="")
class Held:
    """Data that copies of what holds it share, never sliced.

    A copy of it is itself. Pickle keeps a path as a path, and tables as Arrow IPC streams: the
    workers of joblib map one file, which joblib removes. `joblib.hash` of equal data is equal.

    Args:
        data: of any kind that plans take, or a mapping from names to such data. A frame, or a
            reader, becomes a pyarrow Table at once: what plans make of that is kept with it.

    Example:
        >>> import copy
        >>> held = Held({"planes": {"tailnum": ["N1"], "seats": [180]}})
        >>> copy.deepcopy(held) is held
        True
    """

    __slots__ = ("__weakref__", "_packed", "data")

    def __init__(self, data: Any) -> None:
        """Hold data; see the class."""
        self.data = data.data if isinstance(data, Held) else _as_tables(data)
        self._packed: Any = None

    def __copy__(self) -> Held:
        """Return this very object: nothing changes what it holds."""
        return self

    def __deepcopy__(self, memo: object) -> Held:
        """Return this very object."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return a function and its arguments, which make it again: arrays that joblib shares."""
        if self._packed is None:
            self._packed = _packed(self.data)
        return _unpacked_held, (self._packed,)

    def __repr__(self) -> str:
        """Return the numbers of rows and columns that are held."""
        return f"Held({_summary(self.data)})"


def held(given: Any) -> Any:
    """Return data in a handle; None, text, a path, a handle and what is no data as it is."""
    is_data = isinstance(given, (Mapping, list)) or is_arrow(given)
    return Held(given) if is_data else cast("Any", given)


def content_of(given: Any) -> Any:
    """Return the data of a handle, and anything else as it is."""
    return given.data if isinstance(given, Held) else given


def is_arrow(given: Any) -> bool:
    """Return whether something gives a table by Arrow's C interface, as frames do."""
    return hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__")


def _as_tables(data: Any) -> Any:
    """Return data, or each of a mapping, as a pyarrow Table where it is a frame or a reader."""
    if isinstance(data, Mapping):
        given = cast("Mapping[Any, Any]", data)
        return {name: _as_tables(part) if is_arrow(part) else part for name, part in given.items()}
    if not is_arrow(data) or isinstance(data, pa.Table):
        return data
    try:
        return read_table(data)
    except FastfeatError:  # a column that no plan reads, perhaps
        return data


def _packed(data: Any) -> Any:
    """Return data with its tables as streams."""
    if isinstance(data, dict):
        parts = cast("dict[Any, Any]", data)
        return {name: _packed(part) for name, part in parts.items()}
    return PackedTable(_stream(data)) if isinstance(data, pa.Table) else data


def _stream(table: Table) -> NDArray[np.uint8]:
    return np.frombuffer(ipc_stream(table), np.uint8)


def _unpacked_held(packed: Any) -> Held:
    """Return a handle that was pickled; it stays packed, should it go on to another process."""
    made = Held(_unpacked(packed))
    made._packed = packed  # pyright: ignore[reportPrivateUsage]  # of this module
    return made


def _unpacked(packed: Any) -> Any:
    """Return data with its streams as tables, in place."""
    match packed:
        case PackedTable(content):
            with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
                return reader.read_all()
        case dict():
            parts = cast("dict[Any, Any]", packed)
            return {name: _unpacked(part) for name, part in parts.items()}
        case _:
            return packed


def _summary(data: Any) -> str:
    """Return the numbers of rows and columns as text, by the name of each table."""
    if isinstance(data, pa.Table):
        return f"{data.num_rows:,} rows x {data.num_columns} columns"
    if isinstance(data, dict):
        parts = cast("dict[Any, Any]", data)
        return ", ".join(f"{name}: {_summary(part)}" for name, part in parts.items())
    is_path = isinstance(data, str) or hasattr(data, "__fspath__")
    return repr(data) if is_path else type(data).__name__
