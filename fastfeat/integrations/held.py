"""`Held`: data passed beside the rows, such as a history, shared by copies and processes.

Scikit-learn copies the parameters of a transformer for each fold, pickles them for each task of a
worker, and slices an argument that is as long as X. `Held` prevents the copies and the slices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat.calls.arguments import with_method_errors
from fastfeat.errors import FastfeatError, counted
from fastfeat.io.arrow import Table, ipc_stream, pa
from fastfeat.io.sources.read import read_table


class PackedTable(NamedTuple):
    """A table in the form in which it is pickled.

    Args:
        content: An Arrow IPC stream, shape (n_bytes,). Because it is an array, joblib writes it
            once to a file that all workers map, and removes the file afterwards.
    """

    content: NDArray[np.uint8]


@with_method_errors(lambda _: "held.", {"__init__": {}}, made_by="")
class Held:
    """A wrapper of data that is shared by copies of its owner, and never sliced.

    A copy of the wrapper is the same object. Pickle stores a path as a path, and tables as Arrow
    IPC streams: the workers of joblib map one file, which joblib removes afterwards. `joblib.hash`
    of equal data is equal.

    Args:
        data: Data in any form that plans take, or a dict of name to such data. A DataFrame or a
            reader is converted to a pyarrow Table at once, so that plans can cache their lookups of
            it.

    Example:
        >>> import copy
        >>> held = Held({"planes": {"tailnum": ["N1"], "seats": [180]}})
        >>> copy.deepcopy(held) is held
        True
    """

    __slots__ = ("__weakref__", "_packed", "data")

    def __init__(self, data: Any) -> None:
        """Wrap data; the class describes the argument."""
        self.data = data.data if isinstance(data, Held) else _as_tables(data)
        self._packed: Any = None

    def __copy__(self) -> Held:
        """Return this object itself: nothing changes its data."""
        return self

    def __deepcopy__(self, memo: object) -> Held:
        """Return this object itself: nothing changes its data."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the function and arguments by which pickle rebuilds it; joblib shares them."""
        if self._packed is None:
            self._packed = _packed(self.data)
        return _unpacked_held, (self._packed,)

    def __repr__(self) -> str:
        """Return text with the numbers of rows and columns."""
        return f"Held({_summary(self.data)})"


def wrap_in_held(given: Any) -> Any:
    """Return data wrapped in `Held`; None, text, paths and wrappers unchanged."""
    is_data = isinstance(given, (Mapping, list)) or is_arrow(given)
    return Held(given) if is_data else cast("Any", given)


def unwrap_held(given: Any) -> Any:
    """Return the data in a `Held`; any other object unchanged."""
    return given.data if isinstance(given, Held) else given


def is_arrow(given: Any) -> bool:
    """Return whether an object provides a table by Arrow's C interface, as DataFrames do."""
    return hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__")


def _as_tables(data: Any) -> Any:
    """Return data with each DataFrame or reader in it converted to a pyarrow Table."""
    if isinstance(data, Mapping):
        given = cast("Mapping[Any, Any]", data)
        return {name: _as_tables(part) if is_arrow(part) else part for name, part in given.items()}
    if not is_arrow(data) or isinstance(data, pa.Table):
        return data
    try:
        return read_table(data)
    except FastfeatError:  # perhaps because of a column that no plan reads
        return data


def _packed(data: Any) -> Any:
    """Return data with each table in it as an Arrow IPC stream, for pickle."""
    if isinstance(data, dict):
        parts = cast("dict[Any, Any]", data)
        return {name: _packed(part) for name, part in parts.items()}
    return PackedTable(_stream(data)) if isinstance(data, pa.Table) else data


def _stream(table: Table) -> NDArray[np.uint8]:
    return np.frombuffer(ipc_stream(table), np.uint8)


def _unpacked_held(packed: Any) -> Held:
    """Return a `Held` from its pickled form, which it keeps in case it is pickled again."""
    made = Held(_unpacked(packed))
    made._packed = packed  # pyright: ignore[reportPrivateUsage]  # of this module
    return made


def _unpacked(packed: Any) -> Any:
    """Return data with each Arrow IPC stream in it as a table, without copies."""
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
    """Return text with the number of rows and columns of each table."""
    if isinstance(data, pa.Table):
        return f"{counted(data.num_rows, 'row')} x {counted(data.num_columns, 'column')}"
    if isinstance(data, dict):
        parts = cast("dict[Any, Any]", data)
        return ", ".join(f"{name}: {_summary(part)}" for name, part in parts.items())
    is_path = isinstance(data, str) or hasattr(data, "__fspath__")
    return repr(data) if is_path else type(data).__name__
