"""Folds as the user gives them to `cross_fit`, checked: the training and test rows of each fold.

Folds from a number, a splitter or a column are made of the rows with a label only. From pairs of
row numbers, the rows without a label are removed afterwards.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array
from numpy.typing import NDArray

from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch, counted
from fastfeat.io.arrow import ChunkedArray, call, pa
from fastfeat.io.columns.decode import decode_column, plain
from fastfeat.io.sources.arrays import column_array
from fastfeat.ir.literals import python_value

ReadColumn = Callable[[str], ChunkedArray]
"""Function from the name of a data column to the column."""

_CV = "cross_fit(cv=)"
_GROUPS = "cross_fit(groups=)"
_FORMS = (
    "Pass the number of folds, a scikit-learn splitter, pairs of row numbers (train, test), the "
    "name of a column with the fold of each row, or an array of these"
)


class Split(NamedTuple):
    """The rows of one fold, each once.

    Args:
        train: Numbers of the training rows, in the order given, shape (n_train,).
        test: Numbers of the test rows, in the order given, shape (n_test,).
    """

    train: Int64Array
    test: Int64Array


class FoldRows(NamedTuple):
    """The rows that are divided into folds.

    Args:
        n_rows: Number of rows of the data.
        known: Whether a row has a label, shape (n_rows,); all True for plans without a label.
        label: Label of each row; None for plans without one.
        column: Reads a column of the data.
        row_id: The column of row ids; None without one.
        ids: An integer for the id of each row, equal for equal ids, shape (n_rows,); None if all
            ids differ.
    """

    n_rows: int
    known: BoolArray
    label: ChunkedArray | None
    column: ReadColumn
    row_id: str | None = None
    ids: NDArray[np.int64] | None = None


def columns_named(cv: Any, groups: Any) -> list[str]:
    """Return the names of data columns among the arguments `cv` and `groups`."""
    return [given for given in (cv, groups) if isinstance(given, str)]


def splits_of(cv: Any, groups: Any, rows: FoldRows) -> list[Split]:
    """Return the training and test rows of each fold; `cv`, `groups`: see `Plan.cross_fit`.

    Raises InvalidPlan for fewer than two folds, for the label as folds, and for groups that nothing
    reads. Raises TypeMismatch for masks, and for a `cv` that is not a form of folds. Raises
    InvalidData for more folds than rows or groups, for row numbers that are out of range or
    repeated, for a row or a row id in both halves of a fold, and for a fold without training rows
    or without test rows.
    """
    splits = [_with_label(split, rows) for split in _splits(cv, groups, rows)]
    if not splits:
        raise InvalidData(
            f"{_CV}: has no folds. A generator has its folds only once: create it again"
        )
    for k, split in enumerate(splits):
        for what, numbers in (("learn from", split.train), ("test", split.test)):
            if not len(numbers):
                with_label = "" if rows.known.all() else " with a label"
                told = f"fold {k + 1} of {len(splits)} has no row{with_label} to {what}"
                raise InvalidData(f"{_CV}: {told}. Use fewer folds, or different ones")
    _check_ids_apart(splits, rows)
    return splits


def _check_ids_apart(splits: Sequence[Split], rows: FoldRows) -> None:
    """Raise InvalidData if a fold has rows of the same id in both halves."""
    ids = rows.ids
    if ids is None:
        return
    for k, (train, test) in enumerate(splits):
        is_tested = np.zeros(int(ids.max()) + 1, np.bool_)
        is_tested[ids[test]] = True
        both = train[is_tested[ids[train]]]
        if len(both):
            raise InvalidData(
                f"{_CV}: fold {k + 1} of {len(splits)} has {counted(len(both), 'training row')} "
                f"with the {rows.row_id!r} of a test row, first row {both[0]}. By row_id= they are "
                "one row, so the test would be on training data. A number of folds, cv=5, keeps "
                "equal ids together, and so does a splitter by group: GroupKFold(5), "
                f"groups={rows.row_id!r}"
            )


def _splits(cv: Any, groups: Any, rows: FoldRows) -> Iterable[Split]:
    """Return the rows of each fold; pairs of row numbers still include rows without a label."""
    number = python_value(cv)
    if isinstance(number, int) and not isinstance(number, bool):
        return _numbered(number, groups, rows)
    is_column = isinstance(cv, str) or _is_column(cv)
    if not is_column and callable(getattr(cv, "split", None)):
        return _of_splitter(cv, groups, rows)
    if groups is not None:
        raise InvalidPlan(
            f"{_GROUPS}: is only for a number of folds, cv=5, or a splitter. Leave it out: these "
            "folds already determine the place of each row"
        )
    if is_column:
        column = column_of(cv, _CV, rows)
        _check_no_label(column, rows)
        return _by_value(column)
    if hasattr(cv, "__iter__") and not isinstance(cv, bytes | Mapping):
        return _pairs(cv, rows.n_rows)
    raise TypeMismatch(f"{_CV}: got {type(cast('object', cv)).__name__}. {_FORMS}")


def _check_no_label(column: ChunkedArray, rows: FoldRows) -> None:
    """Raise InvalidPlan if `cv` is the label, `cross_fit(X, y)`: a fold would test one value."""
    if rows.label is None:
        return
    there = pa.array(rows.known)
    given, label = (plain(decode_column(one)).filter(there) for one in (column, rows.label))
    try:
        is_label = len(given) > 0 and label.cast(given.type).equals(given)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return
    if is_label:
        raise InvalidPlan(
            f"{_CV}: has the values of the label, so each fold would test only one value. The "
            f"label is a column of the data, and Plan(label=) names it. {_FORMS}"
        )


def _is_column(given: Any) -> bool:
    """Return whether a value is an array with one item per row, not a sequence of pairs."""
    if isinstance(given, list | tuple):
        values = cast("Sequence[Any]", given)
        return len(values) > 0 and (
            isinstance(values[0], str) or not isinstance(values[0], Iterable)
        )
    if isinstance(given, np.ndarray):
        array = cast("NDArray[Any]", given)
        return array.ndim == 1 and (array.dtype != object or _is_column(array[:1].tolist()))
    is_arrow = isinstance(given, pa.Array | pa.ChunkedArray)
    return is_arrow or hasattr(given, "__array__") or hasattr(given, "__arrow_c_stream__")


def column_of(given: Any, told: str, rows: FoldRows) -> ChunkedArray:
    """Return a column that is given by its name in the data, or as an array.

    `told` is the argument's name for messages. Raises InvalidData if its length differs from the
    data, and TypeMismatch if it is not a column, or has values that cannot be compared.
    """
    if isinstance(given, str):
        column = rows.column(given)
    else:
        array: Any = column_array(given, told)
        column = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    if len(column) != rows.n_rows:
        n_values, n_rows = counted(len(column), "value"), counted(rows.n_rows, "row")
        raise InvalidData(
            f"{told}: has {n_values}, but the data has {n_rows}. Give one value per row"
        )
    values = plain(decode_column(column))
    if pa.types.is_nested(values.type):
        raise TypeMismatch(f"{told}: its values are {values.type}, which cannot be compared")
    if pa.types.is_floating(values.type):  # NaN is missing, as everywhere
        values = call("if_else", call("is_nan", values), pa.scalar(None, values.type), values)
    return values


def codes_of(column: ChunkedArray) -> tuple[NDArray[np.int64], int]:
    """Return an integer per row for its value, in sorted order of the values, and their number.

    Codes count from 0; -1 is missing; shape (n_rows,).
    """
    if pa.types.is_null(column.type):
        return np.full(len(column), -1, np.int64), 0
    found = column.dictionary_encode().combine_chunks()
    order = call("sort_indices", found.dictionary).to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    indices = found.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.where(indices < 0, -1, place[indices] if len(place) else -1), len(place)


def _numbered(n_folds: int, groups: Any, rows: FoldRows) -> Iterator[Split]:
    """Return `n_folds` folds of the rows with a label: consecutive rows, or whole groups."""
    if n_folds < 2:
        raise InvalidPlan(f"cross_fit(cv={n_folds}): needs two folds or more, such as cv=5")
    labelled = np.flatnonzero(rows.known)
    if groups is not None:
        return _of_folds(labelled, _folds_of_groups(n_folds, groups, rows))
    places, n_different = _places_of_ids(labelled, rows.ids)
    if n_folds > n_different:
        different = "" if n_different == len(labelled) else "different "
        raise InvalidData(
            f"cross_fit(cv={n_folds}): the data has only {counted(n_different, different + 'row')}"
            f"{'' if rows.label is None else ' with a label'}. Use fewer folds"
        )
    sizes = np.full(n_folds, n_different // n_folds)
    sizes[: n_different % n_folds] += 1
    return _of_folds(labelled, np.repeat(np.arange(n_folds), sizes)[places])


def _places_of_ids(labelled: Int64Array, ids: NDArray[np.int64] | None) -> tuple[Int64Array, int]:
    """Return a position for each row with a label, and the number of positions.

    Rows with the same id share a position, in the order of their first rows. `labelled` are
    ascending row numbers. `ids` covers all rows; None if all ids differ.
    """
    if ids is None:
        return np.arange(len(labelled)), len(labelled)
    _, firsts, of_rows = np.unique(ids[labelled], return_index=True, return_inverse=True)
    place = np.empty(len(firsts), np.int64)
    place[np.argsort(firsts)] = np.arange(len(firsts))
    return place[of_rows], len(firsts)


def _folds_of_groups(n_folds: int, groups: Any, rows: FoldRows) -> NDArray[np.int64]:
    """Return the fold of each row with a label, with each group in one fold.

    The largest group comes first, and goes to the fold with the fewest rows, like in scikit-learn's
    `GroupKFold`.
    """
    codes, _ = codes_of(_groups_given(groups, rows))
    there, of_rows = np.unique(codes[rows.known], return_inverse=True)
    if n_folds > len(there):
        raise InvalidData(
            f"cross_fit(cv={n_folds}): the data has only {counted(len(there), 'group')}, and each "
            "group stays in one fold. Use fewer folds"
        )
    sizes = np.bincount(of_rows)
    fold_of_group = np.empty(len(there), np.int64)
    smallest = [(0, fold) for fold in range(n_folds)]
    for group in np.argsort(sizes, kind="stable")[::-1].tolist():
        n_rows, fold = smallest[0]
        fold_of_group[group] = fold
        heapq.heapreplace(smallest, (n_rows + int(sizes[group]), fold))
    return fold_of_group[of_rows]


def _groups_given(groups: Any, rows: FoldRows) -> ChunkedArray:
    column = column_of(groups, _GROUPS, rows)
    lacking = np.flatnonzero(call("is_null", column).to_numpy(zero_copy_only=False) & rows.known)
    if len(lacking):
        raise InvalidData(
            f"{_GROUPS}: has no group for {counted(len(lacking), 'row')}, first row {lacking[0]}. "
            "Fill in the missing groups: with one value for all of them, or a value for each"
        )
    return column


def _by_value(column: ChunkedArray) -> Iterator[Split]:
    """Return one fold per distinct value, in sorted order; it tests the rows with that value.

    Rows with a missing value are never tested.
    """
    codes, _ = codes_of(column)
    return _of_folds(np.arange(len(codes)), codes)


def _of_folds(numbers: Int64Array, folds: NDArray[np.int64]) -> Iterator[Split]:
    """Yield for each fold its test rows and, as training rows, all others.

    `folds` has the fold that tests each of the rows `numbers`, from 0 on; -1 for none.
    """
    for fold in range(int(folds.max(initial=-1)) + 1):
        is_tested = folds == fold
        yield Split(numbers[~is_tested], numbers[is_tested])


def _of_splitter(splitter: Any, groups: Any, rows: FoldRows) -> Iterator[Split]:
    """Yield the folds that a scikit-learn splitter makes of the rows with a label."""
    labelled = np.flatnonzero(rows.known)
    told = f"cross_fit(cv={type(splitter).__name__})"

    def given(column: ChunkedArray | None) -> NDArray[Any] | None:
        if column is None:
            return None
        return plain(decode_column(column)).take(pa.array(labelled)).to_numpy()

    of_groups = None if groups is None else _groups_given(groups, rows)
    label = given(rows.label)
    try:
        pairs = list(splitter.split(np.zeros((len(labelled), 1)), label, given(of_groups)))
    except ValueError as error:
        raise InvalidData(f"{told}: {error}") from error
    lacking = "" if rows.known.all() else " with a label, and a splitter gets only these"
    for train, test in _pairs(pairs, len(labelled), told, lacking):
        yield Split(labelled[train], labelled[test])


def _pairs(
    pairs: Iterable[Any], n_rows: int, told: str = _CV, of_rows: str = ""
) -> Iterator[Split]:
    """Yield the folds that the user gives as pairs of row numbers, after checks.

    `told` is the argument's name, and `of_rows` a description of the rows, for messages.
    """
    for k, pair in enumerate(pairs):
        halves = list(cast("Iterable[Any]", pair)) if isinstance(pair, Iterable) else []
        if isinstance(pair, str) or len(halves) != 2:
            raise TypeMismatch(f"{told}: fold {k + 1} is not a pair (train, test). {_FORMS}")
        train, test = (
            _row_numbers(half, n_rows, f"{told}, fold {k + 1}, {which}", of_rows)
            for half, which in zip(halves, ("train", "test"), strict=True)
        )
        _check_apart(train, test, n_rows, f"{told}, fold {k + 1}")
        yield Split(train, test)


def _row_numbers(given: Any, n_rows: int, told: str, of_rows: str) -> Int64Array:
    """Return the user's row numbers as int64, after a check that each is valid and unique.

    Raises TypeMismatch if they are not whole numbers, and InvalidData if one is out of range or
    repeated.
    """
    numbers = np.asarray(given)
    if numbers.dtype == np.bool_:
        raise TypeMismatch(
            f"{told}: is a mask, but folds are row numbers. Use numpy.flatnonzero(mask)"
        )
    if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iu"):
        raise TypeMismatch(f"{told}: takes an array of row numbers, got {_kind(given, numbers)}")
    outside = numbers[(numbers < 0) | (numbers >= n_rows)]
    if len(outside):
        raise InvalidData(
            f"{told}: has the row number {outside[0]}, but there are {counted(n_rows, 'row')}"
            f"{of_rows}. Row numbers begin at 0"
        )
    rows = numbers.astype(np.int64)
    times = np.bincount(rows, minlength=1)
    if times.max(initial=0) > 1:
        raise InvalidData(f"{told}: has row {int(times.argmax())} more than once")
    return rows


def _kind(given: object, numbers: NDArray[Any]) -> str:
    """Return a description of a value that should be row numbers, for messages."""
    if numbers.ndim != 1:
        return f"an array of shape {numbers.shape}" if numbers.ndim else repr(given)
    return f"an array of {numbers.dtype}"


def _check_apart(train: Int64Array, test: Int64Array, n_rows: int, told: str) -> None:
    """Raise InvalidData if a row is in both halves of a fold."""
    is_tested = np.zeros(n_rows, np.bool_)
    is_tested[test] = True
    both = train[is_tested[train]]
    if len(both):
        raise InvalidData(
            f"{told}: has {counted(len(both), 'row')} in both train and test, first row {both[0]}, "
            "so the test would be on training data. Remove them from one of the two"
        )


def _with_label(split: Split, rows: FoldRows) -> Split:
    """Return a fold without its rows that have no label."""
    if rows.known.all():
        return split
    return Split(*(numbers[rows.known[numbers]] for numbers in split))
