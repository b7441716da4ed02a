"""Warnings about folds that leak labels: windows that see other folds, and many or small folds.

A late value is known only after the moment of its row, such as a label. Unequal folds reveal the
labels of their own rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from fastfeat_kernels.arrays import BoolArray
from numpy.typing import NDArray

from fastfeat.aggregates import is_fold_by_number, is_target
from fastfeat.backends import Backend, run_task
from fastfeat.errors import (
    FoldsLeak,
    FoldsSplitEntities,
    WarningHistory,
    counted,
    shortened,
    warn,
)
from fastfeat.execute import values
from fastfeat.execute.batch import Batch
from fastfeat.execute.inputs import used_schema
from fastfeat.execute.steps import make
from fastfeat.expr import Expr, col
from fastfeat.io.arrow import pa
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import INT32
from fastfeat.ir.node import Aggregate, Call, Column, Node, fold, params_of
from fastfeat.ir.scope import order_of, query_of, row_order, window_nodes, window_of
from fastfeat.ir.show import show
from fastfeat.operators import windows as window_operators
from fastfeat.plan.declare.bind import bind
from fastfeat.plan.declare.late_columns import LateColumns
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.plan.lower import codes as code_plans
from fastfeat.steps.keys import tasks as key_tasks

if TYPE_CHECKING:
    from fastfeat.learn.folds import Split
    from fastfeat.operators.windows import Window


def warn_split(
    features: dict[str, Node],
    late: LateColumns,
    table: Any,
    splits: Sequence[Split],
    backend: Backend,
) -> None:
    """Warn about the first fold in which windows show training rows late values of test rows.

    `features` are the expressions by name. `late` says which columns are known too late. `table`
    has the columns that windows read. `splits` are the folds after purging.
    """
    windows = _late_windows(features.values(), late)
    if not windows:
        return
    times = [_ticks(table, time, backend) for time in {order_of(w).args[0] for w in windows}]
    for k, split in enumerate(splits):
        if all(_is_before(*time, split) for time in times):
            continue  # like TimeSeriesSplit: no training row is later than a test row
        n_seeing = int(_rows_seeing(windows, late, table, split, backend)[split.train].sum())
        if n_seeing:
            which = f"in fold {k + 1} of {len(splits)}"
            told = f"{which}, {n_seeing:,} of {len(split.train):,} training rows"
            warn(_message(features, windows, told), FoldsSplitEntities)
            return


def _late_windows(features: Iterable[Node], late: LateColumns) -> list[Call]:
    """Return the window functions over the data's rows that read late columns, nested first."""
    over = window_nodes(features)
    return [call for call in over if not late.columns.isdisjoint(columns_of([call.args[0]]))]


def _ticks(table: Any, time: Node, backend: Backend) -> tuple[NDArray[np.int64], BoolArray]:
    """Return the times of rows in ticks, 0 if missing, and flags of the rows with a time."""
    batch = _made(table, time, backend)
    return values.times_in_ticks(batch, *values.values_of(batch, time))[:2]


def _made(table: Any, node: Node, backend: Backend) -> Batch:
    """Return a batch of the table in which the steps that an expression reads are computed."""
    types = bind([node], used_schema(table, columns_of([node])))
    batch = Batch(table, types, backend, {}, {})
    make(batch, [node])
    return batch


def _is_before(ticks: NDArray[np.int64], present: BoolArray, split: Split) -> bool:
    """Return whether no training row of a fold is later than the earliest of its test rows."""
    train, test = (ticks[numbers[present[numbers]]] for numbers in split)
    return not len(train) or not len(test) or bool(train.max() <= test.min())


def _rows_seeing(
    windows: Sequence[Call], late: LateColumns, table: Any, split: Split, backend: Backend
) -> BoolArray:
    """Return flags of rows with windows that hold late values of a test row, shape (n_rows,)."""
    is_tested = np.zeros(table.num_rows, np.bool_)
    is_tested[split.test] = True
    name = "tested"
    while name in table.column_names:
        name += "_"
    seeing: dict[Node, Expr] = {}
    for call in windows:  # among the inputs of a window, the late values of a test row
        read = row_order([call.args[0]])
        parts = [seeing[node] for node in read if node in seeing]
        if any(isinstance(node, Column) and late.holds(node) for node in read):
            parts.append(col(name))
        seeing[call] = _either(parts).any(over=_window_read_by(call)).fill_null(False)
    (wanted,) = _either(seeing.values()).nodes
    batch = _made(table.append_column(name, pa.array(is_tested)), wanted, backend)
    return values.values_of(batch, wanted)[1].to_numpy(zero_copy_only=False)


def _either(parts: Iterable[Expr]) -> Expr:
    """Return the expression that is true if any of the expressions is true."""
    first, *others = parts
    for other in others:
        first = first | other
    return first


def _window_read_by(over: Call) -> Window:
    """Return the part of a window that its function reads: for `lag(n)`, the latest n rows."""
    window, n_rows = window_of(over), dict(over.params).get("n")
    params = dict(window.params)
    if n_rows is not None and params["rows"] is None:
        params["rows"] = n_rows
    return window_operators.Window(Call(window.function, window.args, params_of(**params)))


def _message(features: dict[str, Node], windows: Sequence[Call], told: str) -> str:
    """Return the text of the warning that training rows of a fold see late values of test rows.

    `windows` are the functions over late columns; `told` is a text with the fold and the number of
    rows.
    """
    late = set(windows)
    names = [name for name, node in features.items() if not late.isdisjoint(window_nodes([node]))]
    keys = dict.fromkeys(show(key) for w in windows for key in query_of(order_of(w))[1:])
    entity = f" ({', '.join(keys)})" if keys else ""
    return (
        f"folds split the time of an entity{entity}: {told} come after test rows of their entity, "
        f"and their windows have seen late values of these test rows ({shortened(names, 3)}). The "
        "features of a test row do not contain its own label, but the score measures how well gaps "
        "are filled, not how well the future is predicted. Use folds in order of time "
        "(TimeSeriesSplit), whole entities (groups=), or an embargo= as long as the windows"
    )


MOST_FOLDS = 10

FEWEST_ROWS = 20
"""A fold with fewer rows counts as small."""

MANY_ENCODINGS = 20
"""Number of out-of-fold encodings that together reveal a row's own label to a model."""

_BY_ENCODINGS = (
    "on random labels, a logistic regression with 20, 80 and 200 such columns in 5 folds had an "
    "AUC of .53, .58 and .59"
)

_SMALL_SHARE = 0.01
"""Highest share of rows in small folds without a warning."""

_SURELY_LARGE = 100
"""Rows per fold, for folds by row number, at which folds are surely large and not counted."""


class FoldedEncodings(NamedTuple):
    """The target encodings that use one column of fold numbers.

    Args:
        encodings: Each encoding once.
        features: Names of the features that read them.
    """

    encodings: tuple[Aggregate, ...]
    features: tuple[str, ...]


def folded_encodings(features: Mapping[str, Node]) -> dict[Node, FoldedEncodings]:
    """Return the target encodings by their column of fold numbers, except folds by time.

    With folds by time no row learns from later rows. `features` are the expressions by name.
    """

    def below(node: Node, args: list[tuple[Aggregate, ...]]) -> tuple[Aggregate, ...]:
        own = [node] if is_target(node) and not dict(node.params)["ordered"] else []
        return tuple(dict.fromkeys((*chain.from_iterable(args), *own)))

    read = fold(features.values(), below)
    found: dict[Node, FoldedEncodings] = {}
    for name, root in features.items():
        for folds in dict.fromkeys(encoding.args[2] for encoding in read[root]):
            known = found.get(folds, FoldedEncodings((), ()))
            found[folds] = FoldedEncodings(known.encodings, (*known.features, name))
    encodings = dict.fromkeys(node for root in features.values() for node in read[root])
    return {
        folds: of._replace(encodings=tuple(e for e in encodings if e.args[2] is folds))
        for folds, of in found.items()
    }


FoldSizes = Mapping[Node, "NDArray[np.int64] | int"]
"""For each column of fold numbers, the number of rows per fold, shape (n_folds,).

An int instead is the number of folds, if each fold surely has many rows.
"""


def sizes_of_folds(batch: Batch, columns: Iterable[Node]) -> FoldSizes:
    """Return the number of training rows per fold, for each column of fold numbers.

    Folds on a device are counted there.
    """
    found: dict[Node, NDArray[np.int64] | int] = {}
    for folds in columns:
        n_folds = n_large_folds(folds, batch.n_rows)
        found[folds] = _sizes(batch, folds) if n_folds is None else n_folds
    return found


def _sizes(batch: Batch, folds: Node) -> NDArray[np.int64]:
    """Return the number of training rows per fold, shape (n_folds,)."""
    column = batch.made[folds]
    if not isinstance(column, DeviceArray):
        return sizes_in(column)
    assert isinstance(folds, Call)
    n_folds = dict(folds.params).get("n_folds") or code_plans.n_codes(folds, batch.learnt)
    task = key_tasks.GroupsTask([("count", ())], column, INT32, column, n_folds)
    (counts,) = run_task(batch.backend, task)
    return counts.values


def n_large_folds(folds: Node, n_rows: int) -> int | None:
    """Return the number of folds if the number of rows alone shows that all are large; or None."""
    assert isinstance(folds, Call)
    n_folds: int = dict(folds.params).get("n_folds", 0)
    are_large = is_fold_by_number(folds) and n_rows >= _SURELY_LARGE * n_folds
    return n_folds if are_large else None


def warn_of_folds(
    sizes: FoldSizes, folded: Mapping[Node, FoldedEncodings], told: WarningHistory | None = None
) -> None:
    """Give one warning about small folds, more than `MOST_FOLDS` folds, and many target encodings.

    `sizes` are the fold sizes of the training rows. `folded` comes from `folded_encodings`. `told`
    are the warnings that these rows gave so far.
    """
    faults: dict[str, list[str]] = {}
    for folds, of in folded.items():
        fault = _fault_of_folds(sizes[folds])
        if fault:
            faults.setdefault(fault, []).extend(of.features)
    texts = [f"{_named(names)}: {fault}" for fault, names in faults.items()]
    if texts:
        texts = [
            f"{'; '.join(texts)}. The smaller the folds, the more they reveal to a model about a "
            "row's own label: use few folds with many rows, or time=, which reveals nothing"
        ]
    n_encodings = sum(len(of.encodings) for of in folded.values())
    if n_encodings >= MANY_ENCODINGS:
        names = _named(name for of in folded.values() for name in of.features)
        texts.append(
            f"{n_encodings} target encodings out of fold, {names}. Each reveals a little about a "
            f"row's own label to a model, and many reveal more: {_BY_ENCODINGS}. Use fewer, or "
            "time=, which reveals nothing"
        )
    if texts:
        warn(". ".join(texts), FoldsLeak, told)


def _named(names: Iterable[str]) -> str:
    return ", ".join(map(repr, dict.fromkeys(names)))


def _fault_of_folds(sizes: NDArray[np.int64] | int) -> str:
    """Return a text that says in what folds are too many or too small; "" if they are neither."""
    if isinstance(sizes, int):
        return f"{sizes} folds" if sizes > MOST_FOLDS else ""
    sizes = sizes[sizes > 0]
    n_rows, n_small = int(sizes.sum()), int(sizes[sizes < FEWEST_ROWS].sum())
    told = [counted(len(sizes), "fold")] if len(sizes) > MOST_FOLDS else []
    if n_small > _SMALL_SHARE * n_rows:
        told.append(f"{n_small:,} of {counted(n_rows, 'row')} in folds of fewer than {FEWEST_ROWS}")
    return ", ".join(told)


def sizes_in(folds: Any) -> NDArray[np.int64]:
    """Return the number of rows per fold number in a column, shape (n_folds,)."""
    counts = np.zeros(0, np.int64)
    for chunk in folds.chunks:
        found = np.bincount(chunk.to_numpy(zero_copy_only=False), minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return counts
