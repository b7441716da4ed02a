"""XGBoost: the features of a fitted plan as its matrices, whole or piece by piece.

Feature names and types are passed on, and codes of categories become categories: missing is
category 0, unseen and rare values are category 1. Missing floats are missing in XGBoost, which
computes in float32. A category that XGBoost was not trained on, such as unseen values if no value
was rare, takes the branch of the categories that a split does not list.

    from fastfeat.integrations import xgboost as ff_xgboost

    fitted, features = plan.fit_transform(train)  # encodings of the label out of fold
    label = fitted.label(train)
    training = ff_xgboost.dmatrix(fitted, features=features, label=label, quantile=True)
    booster = xgboost.train({"objective": "binary:logistic"}, training)
    booster.predict(ff_xgboost.dmatrix(fitted, test, label=False))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastfeat.api.plan import FittedPlan
from fastfeat.calls import checks
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import InvalidData, InvalidPlan, UnknownColumn, counted
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.guard import guarded_columns
from fastfeat.integrations.batches.pieces import DataPieces, ParquetPieces, pieces_of
from fastfeat.integrations.library import library
from fastfeat.integrations.library_data import (
    LabelArgument,
    categorical,
    check_names,
    count_missing,
    hand_over,
    is_float,
    without_kept,
)
from fastfeat.io.arrow import DataType, Table, pa

__all__ = ["dmatrix", "dmatrix_by_pieces", "feature_types"]

_xgboost = library("xgboost")
_REFUSED = "[]<"


@with_argument_errors_as("xgboost.", {})
def feature_types(fitted: FittedPlan, *, categories: Sequence[str] | None = None) -> list[str]:
    """Return the type of each feature as XGBoost names it: "float", "int", "i" (bool), "c" (codes).

    Pass it to `XGBClassifier(feature_types=..., enable_categorical=True)` together with a matrix.

    Args:
        fitted: The fitted plan.
        categories: The features that XGBoost should treat as categories. None for all features with
            codes, [] for none: codes are then numbers.

    Raises:
        InvalidPlan: A feature in `categories` has no codes.

    Example:
        >>> plan = ff.Plan({"x": col("x").log1p(), "city": col("city").ordinal_encode()})
        >>> feature_types(plan.fit({"x": [1.0, 2.0], "city": ["Bern", "Basel"]}))
        ['float', 'c']
    """
    coded = categorical(fitted, categories)
    return ["c" if field.name in coded else _type(field.type) for field in fitted.schema]


def _type(kind: DataType) -> str:
    """Return XGBoost's name for the type of a feature that is not a code, such as "float"."""
    if is_float(kind):
        return "float"
    return "i" if pa.types.is_boolean(kind) else "int"


@with_argument_errors_as("xgboost.", {})
def dmatrix(
    fitted: FittedPlan,
    data: Any = None,
    *,
    features: Any = None,
    label: LabelArgument = None,
    categories: Sequence[str] | None = None,
    history: Any = None,
    tables: Any = None,
    rows: Any = None,
    quantile: bool = False,
    **options: Any,
) -> Any:
    """Return the features of rows as a matrix of XGBoost, with names and types.

    Args:
        fitted: The fitted plan.
        data: The rows, in any form that `FittedPlan.transform` takes, such as a DataFrame, an Arrow
            table, a dict of arrays or a path. To train on rows whose label `fit` used in an
            encoding, pass the output of `fit_transform` as `features` instead.
        features: Computed features to use instead of `data`, such as those of `fit_transform` or of
            a fold: a table, or a matrix of shape (n_rows, n_features).
        label: One number per row, shape (n_rows,). None computes the label of the plan, if it has
            one; False means no label.
        categories: The features that XGBoost should treat as categories. None for all features with
            codes, [] for none: codes are then numbers.
        history: Earlier rows of the same entities, which windows see, with late columns if windows
            read them. "batch" declares that `data` contains its own past. Without either, a plan
            with windows warns.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that the
            plan does not read are ignored.
        rows: The rows of `data` to compute: a bool for each row, or row numbers; None for all rows.
            Windows and lookups still see all rows of the data.
        quantile: Whether to return a QuantileDMatrix, for training only: it stores bins instead of
            values, in a fraction of the memory. Validation rows take the bins of the training
            matrix by `ref=`. For prediction use a DMatrix: with bins of their own, XGBoost predicts
            something else.
        **options: Further arguments of XGBoost: weight, base_margin, group, qid, max_bin, ref,
            nthread.

    Raises:
        InvalidData: Labels are missing, or their number differs from the number of rows.
        InvalidPlan: XGBoost does not accept the name of a feature.
        TypeMismatch: A feature or the label is not a number.
        FastfeatError: Any error of `FittedPlan.transform`.
    """
    rows_of_call = CallRows(data, rows, history, tables)
    given = hand_over(fitted, rows_of_call, features, label, categories)
    check_names(given.features.column_names, _REFUSED, "XGBoost")
    made = _xgboost.QuantileDMatrix if quantile else _xgboost.DMatrix
    return made(
        given.features,
        given.label,
        feature_types=feature_types(fitted, categories=categories),
        enable_categorical=True,
        **options,
    )


@with_argument_errors_as("xgboost.", {})
def dmatrix_by_pieces(
    fitted: FittedPlan,
    data: Any,
    *,
    label: str | bool | None = None,
    categories: Sequence[str] | None = None,
    history: Any = None,
    tables: Any = None,
    piece_rows: int = 131_072,
    cache_prefix: str | None = None,
    weight: str | None = None,
    base_margin: str | None = None,
    qid: str | None = None,
    **options: Any,
) -> Any:
    """Return the features of rows as a QuantileDMatrix of XGBoost, transformed piece by piece.

    Use it for training. Only one piece is in memory at a time, in addition to the bins of XGBoost.
    XGBoost reads the pieces several times, and they are transformed each time.

    Args:
        fitted: The fitted plan. A plan with windows needs `history=`, because a piece does not see
            the rows of other pieces. Do not train on rows from whose labels an encoding was
            learned.
        data: Parquet files (a path, several, or a folder), with one piece per row group; a table in
            any form, which is cut into pieces; or a function without arguments that opens a reader
            of record batches, or returns tables one after another, and is called for each pass.
        label: The name of a column of the data. None computes the label of the plan, if it has one;
            False means no label.
        categories: The features that XGBoost should treat as categories. None for all features with
            codes, [] for none: codes are then numbers.
        history: Earlier rows of the same entities, which the windows of every piece see.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that the
            plan does not read are ignored.
        piece_rows: The number of rows per piece of a table.
        cache_prefix: The prefix of files in which XGBoost stores the bins (an
            ExtMemQuantileDMatrix). None returns a QuantileDMatrix, with bins in memory.
        weight: The name of a column of the data with weights.
        base_margin: The name of a column of the data with base margins.
        qid: The name of a column of the data with query ids. The rows must be sorted by it, and a
            group must be in one piece.
        **options: Further arguments of XGBoost: max_bin, ref, nthread.

    Raises:
        InvalidData: There are no rows, labels are missing, or a later pass gives other pieces.
        InvalidPlan: Windows, or the label, would see rows of other pieces; or
            XGBoost does not accept the name of a feature.
        TypeMismatch: The data can only be read once.
        FastfeatError: Any error of `FittedPlan.transform`.
    """
    check_names(fitted.feature_names, _REFUSED, "XGBoost")
    named = {"label": label, "weight": weight, "base_margin": base_margin, "qid": qid}
    columns = {name: column for name, column in named.items() if isinstance(column, str)}
    of_plan = label is None and fitted.plan.label is not None
    _check_alone(fitted, history, label=of_plan)
    needed, if_there = _read_of_a_piece(fitted, label=of_plan)
    needed += columns.values()
    n_rows = checks.whole_number("dmatrix_by_pieces", "piece_rows", piece_rows, 1)
    pieces = pieces_of(data, [*needed, *if_there], n_rows)
    if isinstance(pieces, ParquetPieces):
        pieces.check(needed)
    if not any(pieces.sizes):
        raise InvalidData("the data has no rows, but XGBoost computes its bins from rows")
    types = feature_types(fitted, categories=categories)
    bare = without_kept(fitted)

    def given(piece: Table) -> dict[str, Any]:
        of_piece = {name: _column(piece, column) for name, column in columns.items()}
        values = of_piece.pop("label", None if of_plan else False)
        rows = CallRows(piece, None, history, tables)
        hand = hand_over(bare, rows, None, values, categories)
        labelled = {} if hand.label is None else {"label": hand.label}
        return {"data": hand.features, "feature_types": types, **labelled, **of_piece}

    iterator = _Iterator(pieces, [*needed, *if_there], given, cache_prefix)
    made = _xgboost.QuantileDMatrix if cache_prefix is None else _xgboost.ExtMemQuantileDMatrix
    return made(iterator, enable_categorical=True, **options)


def _check_alone(fitted: FittedPlan, history: Any, *, label: bool) -> None:
    """Raise if features or the label of a piece need rows of other pieces.

    Raises:
        InvalidPlan: Windows see earlier rows, and there is no history; or the label is computed
            from later rows.
    """
    if history is None and fitted.plan.declaration.past_columns:
        raise InvalidPlan(
            "windows of the plan see earlier rows, which may be in other pieces. Pass history= "
            "with all rows, and row_id= in the plan; or transform all rows at once, with dmatrix"
        )
    if label and fitted.plan.declaration.looks_ahead:
        raise InvalidPlan(
            "the label reads later rows, which may be in other pieces. Put fitted.label(data) "
            "into a column of the data, and pass its name: label='y'"
        )


def _read_of_a_piece(fitted: FittedPlan, *, label: bool) -> tuple[list[str], list[str]]:
    """Return the columns that a piece must have, and further columns that are read if present."""
    plan = fitted.plan
    needed = [*dict.fromkeys([*plan.declaration.row_columns, *guarded_columns(fitted.record)])]
    needed += [name for name in plan.declaration.label_sources if label and name not in needed]
    return needed, [
        name
        for name in (*plan.declaration.past_columns, *plan.declaration.row_ids)
        if name not in needed
    ]


def _column(piece: Table, name: str) -> Any:
    """Return a column of a piece, such as weights, as a NumPy array."""
    if name not in piece.column_names:
        raise UnknownColumn(
            f"the data lacks the column {name!r}, which label=, weight=, base_margin= or qid= names"
        )
    column = piece.column(name)
    if n_missing := count_missing(column):
        raise InvalidData(
            f"the column {name!r} is missing in {counted(n_missing, 'row')}, but XGBoost needs "
            "its value in every row"
        )
    return column.to_numpy()


class _Iterator(_xgboost.DataIter):  # pyright: ignore[reportUntypedBaseClass]  # see `library`
    """An iterator over the pieces of the data, which XGBoost runs once per pass.

    Args:
        pieces: The data.
        columns: The columns to read.
        given: The function that turns a piece into the arguments of XGBoost's `input_data`.
        cache_prefix: The prefix of XGBoost's files; None for none.
    """

    def __init__(
        self,
        pieces: DataPieces,
        columns: list[str],
        given: Callable[[Table], dict[str, Any]],
        cache_prefix: str | None,
    ) -> None:
        self._pieces, self._columns, self._given = pieces, columns, given
        self.reset()
        super().__init__(cache_prefix=cache_prefix)  # pyright: ignore[reportUnknownMemberType]  # as above

    def reset(self) -> None:
        """Start again at the first piece."""
        self._numbers = iter([k for k, size in enumerate(self._pieces.sizes) if size > 0])
        self._read = self._pieces.reader(self._columns)
        self._group: Any = None

    def next(self, input_data: Callable[..., None]) -> bool:
        """Pass the next piece to XGBoost; return False if there is none."""
        piece = next(self._numbers, None)
        if piece is None:
            return False
        given = self._given(self._read(piece))
        self._check_group(given.get("qid"))
        input_data(**given)
        return True

    def _check_group(self, groups: Any) -> None:
        """Raise if a group continues in the next piece: XGBoost would make two groups of it."""
        if groups is None:
            return
        if self._group == groups[0]:
            raise InvalidData(
                f"the group {groups[0]} of qid= has rows in two pieces, so XGBoost would see two "
                "groups. Divide the data such that each group is in one piece, or pass all rows at "
                "once, with dmatrix"
            )
        self._group = groups[-1]
