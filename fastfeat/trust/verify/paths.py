"""`verify`: on a user's own rows, every path must give the same bits.

A path is a way to compute features: a backend, a batch, single rows, chunks, pieces of files, or a
live state. The reference is the slow backend in plain Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.engine.cpu import threads
from fastfeat.errors import InvalidData, InvalidPlan, LateRow, Overflow, counted
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.feature_subset import select_features
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import BATCH, id_columns
from fastfeat.execute.lookup_tables import read_tables
from fastfeat.execute.memory_needs import needs_of_call
from fastfeat.execute.pieces import pieces_of_later_rows
from fastfeat.execute.row.one_row import transform_row
from fastfeat.execute.row_identity import one_table
from fastfeat.io.arrow import pa
from fastfeat.io.budget import budget_of
from fastfeat.io.columns.decode import plain_table
from fastfeat.io.columns.types import memory_type
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.ir.dtypes import ONE_HOT, UINT8, DType
from fastfeat.ir.node import Node
from fastfeat.ir.scope import window_nodes
from fastfeat.plan.declare.window_reach import live_functions
from fastfeat.progress import ProgressStep, show_progress
from fastfeat.trust.verify.clocks import runs_of
from fastfeat.trust.verify.comparison import Check, VerifyReport, compare
from fastfeat.trust.verify.later_rows import (
    VerifySample,
    check_later_rows,
    clock_columns,
    sample_of,
)
from fastfeat.trust.verify.orders import (
    WindowRowOrder,
    as_history,
    join_rows,
    orders_of,
    shuffled_order,
    split_in_time,
    take_rows,
    time_order,
)
from fastfeat.trust.verify.rows import (
    SideInputs,
    VerifiedRows,
    needs_of_reference,
    rows_in_memory,
    rows_of_parts,
)

BackendNames = Sequence[str]
ROWS_ONE_BY_ONE = 100
ROWS_AFTER_THEIR_PAST = 20
_N_PIECES, _N_SHARES = 7, 3
"""Numbers of pieces of the rows, and of shares of the entities, for data read in pieces."""


StartLive = Callable[..., Any]
"""Starts a live state from a plan and a history, with the options of `FittedPlan.online`."""


def verify(
    fitted: Fitted, rows: CallRows, n_rows: int, backends: Sequence[str], begin: StartLive
) -> VerifyReport:
    """Return the report of all checks, for a public `verify` that has the same arguments.

    The reference is compared on a sample of `n_rows` rows, other paths on many rows. `rows` must
    cover the whole data; with a memory budget they are read in pieces. `begin` starts a live state.
    """
    fitted = replace(fitted, encoded=None)  # no model trains on these features
    names = _checked_names(backends)
    if isinstance(n_rows, bool) or n_rows < 1:
        raise InvalidPlan(f"n_rows must be at least 1, got {n_rows!r}: there is nothing to verify")
    columns = fitted.declaration.past_columns
    ids = id_columns(fitted.declaration.row_id, rows.history, columns)
    wanted = [*fitted.declaration.row_columns, *ids]
    of_tables = fitted.declaration.row_table_columns
    budget, memory = None, rows.memory
    if memory is not None:
        rows = rows._replace(data=dataset_of(rows.data))
        needs = needs_of_call(rows.data, wanted, rows.tables, of_tables)
        needs = [*needs, *needs_of_reference(fitted)]
        budget = budget_of(memory, needs, "or verify fewer features")
    read = read_tables(rows.tables, of_tables)
    rows = rows._replace(tables=read)
    has_past = len(window_nodes(fitted.nodes.values())) > 0
    runs = runs_of(fitted)
    clocks = clock_columns(runs)
    if budget is None:
        compared = rows_in_memory(fitted, rows, wanted, n_rows, clocks)
    else:
        of_history = [*columns, *ids]
        compared = rows_of_parts(fitted, rows, wanted, of_history, n_rows, budget, clocks)
    if compared.many.num_rows == 0:
        raise InvalidData("the data has no rows, so there is nothing to verify")
    side = SideInputs(read, BATCH if compared.earlier is None else compared.earlier)
    expected = select_features(fitted, list(fitted.declaration.features), keeps_ids=bool(ids))
    many = plain_table(compared.many)
    orders = orders_of(expected, many, compared.earlier, read) if has_past else []
    sample = sample_of(orders, many, compared.earlier, side, n_rows)
    checks = partial(_checks_of_past, orders, sample, begin) if has_past else _checks_of_rows
    with show_progress("verifying") as step:
        found = [*checks(expected, compared, side, names, step)]
        later = check_later_rows(expected, runs, sample, step)
        found += later.checks
        if budget is not None:
            found.append(_in_pieces(expected, compared, side, step))
        return VerifyReport(tuple(found), later.on_word, later.cannot_see)


def _checks_of_rows(
    fitted: Fitted, rows: VerifiedRows, side: SideInputs, backends: BackendNames, step: ProgressStep
) -> Iterator[Check]:
    """Yield the checks of a plan without windows.

    `side` is the tables and history for each call; `step` is called with the name of each check.
    """
    many, sample = rows.many, rows.sample
    yield from _checks_of_backends(fitted, many, side, sample, side, "", backends, step)
    features = side.transform(fitted, many)
    yield from _checks_of_pieces(fitted, many, side, features, step)
    name = _announce(step, "all rows = first half + second half")
    halves = compare(name, features, _in_halves(many, partial(side.transform, fitted)))
    if halves.difference is None:
        again = _in_halves(many, partial(side.transform_again, fitted))
        halves = compare(name, features, again)
    yield halves
    _announce(step, "batch = one row at a time")
    yield _check_rows(fitted, sample.slice(0, ROWS_ONE_BY_ONE), side)


def _checks_of_past(
    orders: Sequence[WindowRowOrder],
    chosen: VerifySample,
    begin: StartLive,
    fitted: Fitted,
    rows: VerifiedRows,
    side: SideInputs,
    backends: BackendNames,
    step: ProgressStep,
) -> Iterator[Check]:
    """Yield the checks of a plan with windows; see `_checks_of_rows`.

    `orders` are the row orders of the windows, over the history followed by the rows, and `chosen`
    is the sample.
    """
    many = plain_table(rows.many)
    n_earlier = len(orders[0].times) - many.num_rows
    sample, of_sample, numbers = chosen
    note = ""
    if rows.earlier is not None:
        n_known = counted(n_earlier, "row")
        note = f", after {of_sample.history.num_rows:,} of {n_known} of history"
    yield from _checks_of_backends(fitted, many, side, sample, of_sample, note, backends, step)
    features = side.transform(fitted, many)
    yield from _checks_of_pieces(fitted, rows.many, side, features, step)
    own = [order.rows(slice(n_earlier, None)) for order in orders]
    yield _rows_moved(fitted, own, many, side, features, step)
    yield _halves_in_time(fitted, own, many, side, step)
    own = [order.rows(numbers) for order in own]
    yield _row_after_row(fitted, own, sample, of_sample, note, step)
    yield _live(fitted, own, sample, of_sample, note, step, begin)


def _announce(step: ProgressStep, name: str) -> str:
    """Call `step` with the name of the check that begins, and return the name."""
    step(f"verifying {name}")
    return name


def _checks_of_backends(
    fitted: Fitted,
    many: Any,
    side: SideInputs,
    sample: Any,
    of_sample: SideInputs,
    note: str,
    backends: BackendNames,
    step: ProgressStep,
) -> Iterator[Check]:
    """Yield the comparison of the first backend with each other one.

    The reference computes only the sample, since it is slow. `note` is appended to its results.
    """
    first, *others = backends
    for other in others:
        name = _announce(step, f"{first} = {other}")
        is_slow = "reference" in (first, other)
        rows, passed = (sample, of_sample) if is_slow else (many, side)
        left, right = (
            passed.transform(fitted, rows, backend=backend) for backend in (first, other)
        )
        yield replace(compare(name, left, right), note=note if is_slow else "")


def _checks_of_pieces(
    fitted: Fitted, rows: Any, side: SideInputs, features: Any, step: ProgressStep
) -> Iterator[Check]:
    """Yield two comparisons of `features`: with rows in many Arrow chunks, and with one thread."""
    name = _announce(step, "one chunk = many chunks")
    yield compare(name, features, side.transform(fitted, _rechunked(rows)))
    name = _announce(step, "all threads = 1 thread")
    yield compare(name, features, _with_one_thread(fitted, rows, side))


def _in_pieces(fitted: Fitted, rows: VerifiedRows, side: SideInputs, step: ProgressStep) -> Check:
    """Return the comparison of rows in memory with rows read in pieces."""
    name = _announce(step, "all rows = pieces of the data")
    n_rows, n_bytes = rows.many.num_rows, max(1, rows.many.nbytes // _N_PIECES)
    pieces: list[Any] = []
    try:
        data = plain_table(rows.many) if rows.again is None else rows.again
        of_data = pieces_of_later_rows(
            fitted, side.of(data), most_bytes=n_bytes, n_shares=_N_SHARES
        )
        with closing(of_data.of_all()) as made:
            for piece in made:
                pieces.append(piece.slice(0, n_rows - sum(of.num_rows for of in pieces)))
                if sum(of.num_rows for of in pieces) == n_rows:
                    break
    except InvalidPlan as error:
        return Check(name, 0, None, str(error))
    return compare(name, side.transform(fitted, rows.many), pa.concat_tables(pieces))


def _rows_moved(
    fitted: Fitted,
    orders: Sequence[WindowRowOrder],
    rows: Any,
    side: SideInputs,
    features: Any,
    step: ProgressStep,
) -> Check:
    """Return the comparison of rows in the given order with the same rows shuffled."""
    name = _announce(step, "rows in another order")
    order = shuffled_order(orders)
    if order is None:
        return Check(name, 0, None, "all rows have one entity and time, so their order matters")
    return compare(name, take_rows(features, order), side.transform(fitted, take_rows(rows, order)))


def _halves_in_time(
    fitted: Fitted,
    orders: Sequence[WindowRowOrder],
    rows: Any,
    side: SideInputs,
    step: ProgressStep,
) -> Check:
    """Return the comparison of all rows at once with two calls: earlier rows, then later rows.

    The second call has the earlier rows as its history.
    """
    name = _announce(step, "all rows = earlier half, then later half")
    early, late = split_in_time(orders)
    if not len(early) or not len(late):
        reason = "no moment divides the rows into earlier and later ones by every time"
        return Check(name, 0, None, reason)
    earlier, later = take_rows(rows, early), take_rows(rows, late)
    histories = _histories_of_halves(fitted, earlier, later, side.history)
    parts = [
        side._replace(history=history).transform(fitted, half)
        for half, history in zip((earlier, later), histories, strict=True)
    ]
    whole = side.transform(fitted, pa.concat_tables([earlier, later]))
    n_left_out = rows.num_rows - len(early) - len(late)
    between = f", without {n_left_out:,} that are earlier by one time and later by another"
    note = between if n_left_out else ""
    return replace(compare(name, whole, pa.concat_tables(parts)), note=note)


def _row_after_row(
    fitted: Fitted,
    orders: Sequence[WindowRowOrder],
    rows: Any,
    side: SideInputs,
    note: str,
    step: ProgressStep,
) -> Check:
    """Return the comparison of a batch with single rows, each with the rows before it as history.

    Only the last rows of the batch are compared.
    """
    name = _announce(step, "batch = one row at a time, with its history")
    order = time_order(orders)
    if order is None:
        return Check(name, 0, None, "windows have several times, so the rows have no single order")
    rows = take_rows(rows, order)
    first = max(0, rows.num_rows - ROWS_AFTER_THEIR_PAST)
    alone: list[Any] = []
    for k in range(first, rows.num_rows):
        row = rows.slice(k, 1)
        _, history = _histories_of_halves(fitted, rows.slice(0, k), row, side.history)
        alone.append(side._replace(history=history).transform(fitted, row))
    expected = side.transform(fitted, rows).slice(first)
    found = compare(name, expected, pa.concat_tables(alone))
    return replace(found, note=f", the last of {counted(rows.num_rows, 'row')}{note}")


def _live(
    fitted: Fitted,
    orders: Sequence[WindowRowOrder],
    rows: Any,
    side: SideInputs,
    note: str,
    step: ProgressStep,
    begin: StartLive,
) -> Check:
    """Return the comparison of a batch with a live state that receives its rows in parts.

    `begin` starts the live state.
    """
    name = _announce(step, "batch = live, as rows arrive")
    order = time_order(orders)
    if order is None:
        return Check(name, 0, None, "windows have several times, so the rows have no single order")
    rows = take_rows(rows, order)
    history, _ = _histories_of_halves(fitted, rows, rows.slice(0, 0), side.history)
    earlier = None if isinstance(history, str) else history
    functions = live_functions(fitted.nodes.items())
    sees_all = any(one.reach.is_everything for one in functions)
    has_tie = any(dict(one.order.params)["has_tie"] for one in functions)
    pieces: list[Any] = []
    try:
        live = begin(
            fitted,
            earlier,
            tables=side.tables,
            keep="everything" if sees_all else None,
        )
        pieces = [live.process(rows.slice(first, n)) for first, n in _growing(rows.num_rows)]
    except InvalidPlan as error:
        return Check(name, 0, None, str(error))
    except LateRow:  # the history continues after the rows
        if has_tie or any(one.is_kept for one in functions):
            return Check(name, 0, None, "the rows are not in an order in which they could arrive")
        live = begin(fitted, earlier, tables=side.tables, late="insert", keep="everything")
        pieces = [live.process(rows.slice(first, n)) for first, n in _growing(rows.num_rows)]
    expected = side._replace(history=history).transform(fitted, rows)
    return replace(compare(name, expected, pa.concat_tables(pieces)), note=note)


def _growing(n_rows: int) -> Iterator[tuple[int, int]]:
    """Yield consecutive parts of rows, each larger than the last.

    A part is a pair of its first row and its number of rows.
    """
    first, n = 0, 1
    while first < n_rows:
        yield first, min(n, n_rows - first)
        first, n = first + n, n * 3 // 2 + 1


def _histories_of_halves(fitted: Fitted, earlier: Any, later: Any, known: Any) -> tuple[Any, Any]:
    """Return the history for the earlier and for the later half of some rows.

    The earlier half's history has no rows of the later half; the later half's history includes the
    earlier half. `known` is the history of all rows: a table, or "batch" without any.
    """
    columns, row_id = fitted.declaration.past_columns, fitted.declaration.row_id
    if isinstance(known, str):
        return known, as_history(earlier, columns)
    if row_id is None:
        return known, join_rows(known, as_history(earlier, columns))
    known, _ = one_table(row_id, plain_table(known), earlier)
    known, places = one_table(row_id, known, later)
    before: NDArray[np.int64] = np.setdiff1d(np.arange(int(known.num_rows)), places)
    return known.take(pa.array(before)), known


def _checked_names(backends: Sequence[str]) -> list[str]:
    """Return the backend names without repeats; raises InvalidPlan for fewer than two."""
    if isinstance(backends, str) or len(set(backends)) < 2:
        raise InvalidPlan(
            f"backends= needs at least two names to compare, such as ('cpu', 'reference'), got "
            f"{backends!r}"
        )
    for name in backends:
        backend_named(name)
    return list(dict.fromkeys(backends))


def _check_rows(fitted: Fitted, rows: Any, side: SideInputs) -> Check:
    """Return the comparison of a batch with single rows, computed one at a time."""
    name = "batch = one row at a time"
    held = _features_of_a_matrix(fitted, rows, side)
    by_name = _python_rows(rows)
    if not held:
        return Check(name, 0, None, "no feature is a number that fits in a matrix")
    if by_name is None:
        return Check(name, 0, None, "the rows have times that Python's datetime cannot represent")
    return _row_check(name, select_features(fitted, held), rows, by_name, side)


def _python_rows(table: Any) -> list[dict[str, Any]] | None:
    """Return rows as dicts for `transform_row`; None if Python cannot represent a time."""
    try:
        rows = table.to_pylist()
    except (ValueError, OverflowError):
        return None
    kinds = {type(value).__name__ for row in rows for value in row.values()}
    if "NaTType" in kinds or any(map(_loses_nanoseconds, table.columns)):
        return None  # pandas gives NaT for the first instant of int64
    return rows


def _loses_nanoseconds(column: Any) -> bool:
    """Return whether a column has times of day with nanoseconds, which Python would cut off."""
    if not column.type.equals(pa.time64("ns")):
        return False
    ticks = column.cast(pa.int64()).combine_chunks().drop_null().to_numpy(zero_copy_only=False)
    return bool((ticks % 1000 != 0).any())


def _features_of_a_matrix(fitted: Fitted, rows: Any, side: SideInputs) -> list[str]:
    """Return the names of the numeric features, which a float matrix can hold.

    Integer features are left out if their values in these rows are too large for floats.
    """
    numbers = _features_of(fitted, lambda dtype: dtype.is_number)
    try:
        if numbers:
            side.transform(select_features(fitted, numbers), rows, to="numpy")
    except Overflow:
        return _features_of(fitted, lambda dtype: dtype.is_float or dtype.name == "bool")
    return numbers


def _features_of(fitted: Fitted, holds: Callable[[DType], bool]) -> list[str]:
    nodes = fitted.declaration.nodes
    return [
        name
        for name, expression in fitted.declaration.features.items()
        if all(holds(_column_type(fitted, nodes[name + s])) for s in expression.suffixes)
    ]


def _column_type(fitted: Fitted, node: Node) -> DType:
    """Return the type of a feature's output columns, which is uint8 for one-hot columns."""
    return UINT8 if fitted.types[node] == ONE_HOT else fitted.types[node]


def _rechunked(table: Any) -> Any:
    step = max(1, table.num_rows // 7)
    starts = range(0, table.num_rows, step)
    return pa.concat_tables([table.slice(s, step) for s in starts]) if len(starts) else table


def _in_halves(table: Any, compute: Callable[[Any], Any]) -> Any:
    half = table.num_rows // 2
    parts = table.slice(0, half), table.slice(half)
    return pa.concat_tables([compute(part) for part in parts])


def _with_one_thread(fitted: Fitted, table: Any, side: SideInputs) -> Any:
    with threads.using_threads(1):
        return side.transform(fitted, table)


def _row_check(
    name: str, fitted: Fitted, table: Any, rows: list[dict[str, Any]], side: SideInputs
) -> Check:
    matrix = np.ascontiguousarray(side.transform(fitted, table, to="numpy"))
    integer = f"i{memory_type(fitted.matrix_dtype).itemsize}"
    for k, row in enumerate(rows):
        differ = transform_row(fitted, row, tables=side.tables).view(integer) != matrix[k].view(
            integer
        )
        if differ.any():
            feature = fitted.feature_names[int(np.flatnonzero(differ)[0])]
            return Check(name, len(rows), f"feature {feature!r}, row {k}")
    return Check(name, len(rows), None)
