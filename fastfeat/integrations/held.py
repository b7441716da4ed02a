"""`Held`: data beside the rows, such as a history, that copies and processes share.

Scikit-learn copies the parameters of a transformer for each fold, pickles them for each task of a
worker, and slices what is passed beside rows if it is as long. What is held is none of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat.arguments import explaining_methods
from fastfeat.backends import backend_named
from fastfeat.errors import (
    FastfeatError,
    InvalidData,
    InvalidPlan,
    PurgeOff,
    TypeMismatch,
    UnknownColumn,
    counted,
    warn,
)
from fastfeat.io.arrow import Table, call, options_of, pa
from fastfeat.io.decode import decoded, plain
from fastfeat.io.read import read_table
from fastfeat.ir.node import Node
from fastfeat.ir.scope import is_over_window
from fastfeat.ir.show import show
from fastfeat.ir.walk import postorder
from fastfeat.plan.border import read_columns
from fastfeat.plan.folds_given import Split
from fastfeat.plan.history import is_batch
from fastfeat.plan.plan import Plan
from fastfeat.plan.purge import left_after_purging, moments_of, purging_given
from fastfeat.plan.row_identity import identified


class Stream(NamedTuple):
    """A table as pickle keeps it.

    Args:
        content: an Arrow IPC stream, shape (n_bytes,). As an array, joblib writes it to a file once
            for all workers, which map it, and removes the file itself.
    """

    content: NDArray[np.uint8]


@explaining_methods(lambda _: "held.", {"__init__": {}})
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


def past_given(plan: Plan, given: Any) -> Any:
    """Return the history that the windows of a plan see; None where it has none.

    A split, such as a fold, leaves out rows that windows see: a history of all rows has them.

    Args:
        plan: what is fitted.
        given: a handle, a path or "batch"; None where nothing is said.

    Raises:
        InvalidData: the plan has windows, and nothing is said of a history.
        InvalidPlan: rows of a history and of a split cannot be told apart.
        TypeMismatch: the history is in no handle.
    """
    if (
        given is not None
        and not isinstance(given, (Held, str))
        and not hasattr(given, "__fspath__")
    ):
        raise TypeMismatch(
            f"history= is a {type(given).__name__}, which scikit-learn slices where it is as long "
            "as X. Hold it: history=Held(frame), or Features(plan, history=frame)"
        )
    past = content_of(given)
    if not plan.training_past_columns or is_batch(past):
        return past
    if past is None:
        raise InvalidData(
            f"{show(_first_window(plan))} sees earlier rows, and a split of the rows, such as a "
            "fold, would leave some out. Give all rows, Features(plan, history=all_rows), and "
            "a column that tells them apart, Plan(row_id='id'). Only where X always holds all "
            "earlier rows of its entities, and so in no cross-validation, say history='batch'"
        )
    if plan.row_id is None:
        raise InvalidPlan(
            "history= has rows of X too, which would count twice, or those of a split would lack "
            "the rows that it leaves out. Say which column tells rows apart: Plan(row_id='id')"
        )
    return past


def check_whole(plan: Plan, data: Any, past: Any) -> None:
    """Raise where training rows are not in the history: it does not have all rows then.

    Args:
        plan: has a row_id where the history is of rows.
        data: the training rows.
        past: as `past_given` returns it.

    Warns:
        PurgeOff: labels of training rows share time with those of rows that a split leaves out.
    """
    if past is None or is_batch(past) or plan.row_id is None or not plan.training_past_columns:
        return
    rows = read_columns(data, [plan.row_id])
    try:
        history = read_columns(past, [plan.row_id])
    except UnknownColumn as error:
        raise UnknownColumn(f"history=: {error}") from None
    found = identified(plan.row_id, history, rows)
    own = found.places[found.rows[found.places] == found.of_history[found.places]]
    if len(own):
        raise InvalidData(
            f"history= lacks {counted(len(own), 'row')} of X, and is to have all rows: windows of "
            "a split would lack those that it leaves out. Give it the rows of X too"
        )
    train = found.of_history[found.places]
    _warn_unpurged(plan, past, Split(train, np.setdiff1d(found.of_history, train)))


def _warn_unpurged(plan: Plan, past: Any, split: Split) -> None:
    """Warn of training rows that `cross_fit` would purge, which scikit-learn's splitters keep."""
    purging = purging_given(plan, None, None)
    if not purging or not len(split.test):
        return
    table = read_columns(past, purging.columns, plan.label_sources)
    has_label = np.ones(table.num_rows, np.bool_)  # and a moment: rows without are in no fold
    for column in table.columns:
        has_label &= _is_there(column)
    split = Split(*(numbers[has_label[numbers]] for numbers in split))
    moments = moments_of(purging, table, [split], backend_named("cpu"))
    n_near = len(split.train) - len(left_after_purging(moments, split))
    if n_near:
        warn(
            f"{n_near:,} of {counted(len(split.train), 'training row')} have a label that shares "
            "time with that of a row which this split leaves out: "
            f"{', and '.join(one.reach.told for one in moments)}. Scikit-learn keeps such rows, so "
            "that a model is asked for labels that it has learnt in part. Take the score from "
            "plan.cross_fit(data, cv), which purges them, or leave a gap: TimeSeriesSplit(gap=)",
            PurgeOff,
        )


def _is_there(column: Any) -> NDArray[np.bool_]:
    """Return which values of a column are not missing: NaN is."""
    values = plain(decoded(column))
    is_missing = call("is_null", values, options=options_of("NullOptions", nan_is_null=True))
    return ~is_missing.to_numpy()


def _first_window(plan: Plan) -> Node:
    return next(node for node in postorder(list(plan.nodes.values())) if is_over_window(node))


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
    return Stream(_stream(data)) if isinstance(data, pa.Table) else data


def _stream(table: Table) -> NDArray[np.uint8]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.uint8)


def _unpacked_held(packed: Any) -> Held:
    """Return a handle that was pickled; it stays packed, should it go on to another process."""
    made = Held(_unpacked(packed))
    made._packed = packed  # pyright: ignore[reportPrivateUsage]  # of this module
    return made


def _unpacked(packed: Any) -> Any:
    """Return data with its streams as tables, in place."""
    match packed:
        case Stream(content):
            with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
                return reader.read_all()
        case dict():
            parts = cast("dict[Any, Any]", packed)
            return {name: _unpacked(part) for name, part in parts.items()}
        case _:
            return packed


def _summary(data: Any) -> str:
    """Return how many rows and columns there are, by the name of each table."""
    if isinstance(data, pa.Table):
        return f"{data.num_rows:,} rows x {data.num_columns} columns"
    if isinstance(data, dict):
        parts = cast("dict[Any, Any]", data)
        return ", ".join(f"{name}: {_summary(part)}" for name, part in parts.items())
    is_path = isinstance(data, str) or hasattr(data, "__fspath__")
    return repr(data) if is_path else type(data).__name__
