"""XGBoost: the features of a fitted plan as its matrices, whole or piece by piece.

Names and types arrive, and codes of categories as categories: missing is category 0, unseen and
rare ones category 1. Floats that are missing are missing to XGBoost, which computes in float32. A
category that it has not trained on, such as unseen where none was rare, goes with those that a
split does not name.

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
from fastfeat.calls.arguments import explaining_as
from fastfeat.calls.checks import whole_number
from fastfeat.errors import InvalidData, InvalidPlan, UnknownColumn, counted
from fastfeat.execute.call_rows import call_rows
from fastfeat.execute.guard import columns_judged
from fastfeat.integrations.batches.pieces import ParquetPieces, Pieces, pieces_of
from fastfeat.integrations.handover import (
    Label,
    categorical,
    check_names,
    count_missing,
    hand_over,
    is_float,
    without_kept,
)
from fastfeat.integrations.library import library
from fastfeat.io.arrow import DataType, Table, pa

__all__ = ["dmatrix", "dmatrix_by_pieces", "feature_types"]

_xgboost = library("xgboost")
_REFUSED = "[]<"


@explaining_as("xgboost.", {})
def feature_types(fitted: FittedPlan, *, categories: Sequence[str] | None = None) -> list[str]:
    """Return the type of each feature as XGBoost names it: "float", "int", "i" (bool), "c" (codes).

    It is what `XGBClassifier(feature_types=..., enable_categorical=True)` takes beside a matrix.

    Args:
        fitted: the plan.
        categories: the features that are codes of categories to XGBoost; None for all that have
            codes, [] for none: codes are numbers then.

    Raises:
        InvalidPlan: one of `categories` has no codes.

    Example:
        >>> plan = ff.Plan({"x": col("x").log1p(), "city": col("city").ordinal_encode()})
        >>> feature_types(plan.fit({"x": [1.0, 2.0], "city": ["Bern", "Basel"]}))
        ['float', 'c']
    """
    coded = categorical(fitted, categories)
    return ["c" if field.name in coded else _type(field.type) for field in fitted.schema]


def _type(kind: DataType) -> str:
    """Return the type of a feature, as XGBoost names it, that is no code."""
    if is_float(kind):
        return "float"
    return "i" if pa.types.is_boolean(kind) else "int"


@explaining_as("xgboost.", {})
def dmatrix(
    fitted: FittedPlan,
    data: Any = None,
    *,
    features: Any = None,
    label: Label = None,
    categories: Sequence[str] | None = None,
    history: Any = None,
    tables: Any = None,
    rows: Any = None,
    quantile: bool = False,
    **options: Any,
) -> Any:
    """Return the features of rows as a matrix of XGBoost, by Arrow, with names and types.

    Args:
        fitted: the plan.
        data: the rows, as in `FittedPlan.transform`. Those that `fit` has put into an encoding of
            the label are not for training: pass what `fit_transform` has given as `features`.
        features: instead of data, features that are computed already, such as those of
            `fit_transform` or of a fold: a table, or a matrix of shape (n_rows, n_features).
        label: one number a row; None for the label of the plan, False for none.
        categories: as in `feature_types`.
        history: as in `FittedPlan.transform`.
        tables: as in `FittedPlan.transform`.
        rows: as in `FittedPlan.transform`.
        quantile: whether it is a QuantileDMatrix, for training alone: it holds no values, but bins,
            and takes a fraction of the memory. Rows to validate with take its bins by `ref=`, and
            rows to predict are a DMatrix: of bins of their own XGBoost predicts something else.
        **options: what XGBoost takes beside: weight, base_margin, group, qid, max_bin,
            ref, nthread.

    Raises:
        InvalidData: labels are missing, or not as many as rows.
        InvalidPlan: XGBoost does not take the name of a feature.
        TypeMismatch: a feature or the label is no number.
        FastfeatError: as `FittedPlan.transform`.
    """
    rows_of_call = call_rows(data, rows, history, tables)
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


@explaining_as("xgboost.", {})
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

    It is for training. No more than a piece is in memory at a time, beside the bins of XGBoost,
    which reads the pieces several times; they are transformed each time.

    Args:
        fitted: the plan. A plan with windows needs `history=`, for no piece sees another; the rows
            that an encoding of the label was learnt from are not for training.
        data: Parquet files, a path, several, or a folder, of which a row group is a piece; a table
            of any kind, which is cut; or a function without arguments, called for each pass, that
            opens a reader of record batches, or gives tables one after another.
        label: the name of a column; None for the label of the plan, False for none.
        categories: as in `feature_types`.
        history: as in `FittedPlan.transform`.
        tables: as in `FittedPlan.transform`.
        piece_rows: how many rows of a table are a piece.
        cache_prefix: of the files in which XGBoost keeps the bins (an ExtMemQuantileDMatrix); None
            for a QuantileDMatrix, whose bins are in memory.
        weight: the name of a column of the data.
        base_margin: the name of a column of the data.
        qid: the name of a column of the data, in whose order the rows are; a group is in one piece.
        **options: what XGBoost takes beside: max_bin, ref, nthread.

    Raises:
        InvalidData: there are no rows, labels are missing, or pieces are others in a later pass.
        InvalidPlan: windows, or a label that looks ahead, would see rows of other pieces; or
            XGBoost does not take the name of a feature.
        TypeMismatch: the data can be read once only.
        FastfeatError: as `FittedPlan.transform`.
    """
    check_names(fitted.feature_names, _REFUSED, "XGBoost")
    named = {"label": label, "weight": weight, "base_margin": base_margin, "qid": qid}
    columns = {name: column for name, column in named.items() if isinstance(column, str)}
    of_plan = label is None and fitted.plan.label is not None
    _check_alone(fitted, history, label=of_plan)
    needed, if_there = _read_of_a_piece(fitted, label=of_plan)
    needed += columns.values()
    n_rows = whole_number("dmatrix_by_pieces", "piece_rows", piece_rows, 1)
    pieces = pieces_of(data, [*needed, *if_there], n_rows)
    if isinstance(pieces, ParquetPieces):
        pieces.check(needed)
    if not any(pieces.sizes):
        raise InvalidData("the data has no rows, and XGBoost takes its bins from some")
    types = feature_types(fitted, categories=categories)
    bare = without_kept(fitted)

    def given(piece: Table) -> dict[str, Any]:
        of_piece = {name: _column(piece, column) for name, column in columns.items()}
        values = of_piece.pop("label", None if of_plan else False)
        rows = call_rows(piece, None, history, tables)
        hand = hand_over(bare, rows, None, values, categories)
        labelled = {} if hand.label is None else {"label": hand.label}
        return {"data": hand.features, "feature_types": types, **labelled, **of_piece}

    iterator = _Iterator(pieces, [*needed, *if_there], given, cache_prefix)
    made = _xgboost.QuantileDMatrix if cache_prefix is None else _xgboost.ExtMemQuantileDMatrix
    return made(iterator, enable_categorical=True, **options)


def _check_alone(fitted: FittedPlan, history: Any, *, label: bool) -> None:
    """Raise where what is computed of a piece needs rows of other pieces.

    Args:
        fitted: the plan.
        history: earlier rows, which each piece is given.
        label: whether the label of the plan is computed.

    Raises:
        InvalidPlan: windows see earlier rows, and there is no history; or the label looks ahead.
    """
    if history is None and fitted.plan.declaration.past_columns:
        raise InvalidPlan(
            "windows of the plan see earlier rows, and a piece does not hold them. Pass history= "
            "with all rows, and row_id= in the plan; or transform at once, by dmatrix"
        )
    if label and fitted.plan.declaration.looks_ahead:
        raise InvalidPlan(
            "the label looks ahead, at rows that a piece does not hold. Put fitted.label(data) "
            "into a column of the data, and pass its name: label='y'"
        )


def _read_of_a_piece(fitted: FittedPlan, *, label: bool) -> tuple[list[str], list[str]]:
    """Return the columns that a fitted plan reads of rows, and those that it reads if there.

    Args:
        fitted: the plan.
        label: whether its label is computed too.
    """
    plan = fitted.plan
    needed = [*dict.fromkeys([*plan.declaration.row_columns, *columns_judged(fitted.record)])]
    needed += [name for name in plan.declaration.label_sources if label and name not in needed]
    return needed, [
        name
        for name in (*plan.declaration.past_columns, *plan.declaration.row_ids)
        if name not in needed
    ]


def _column(piece: Table, name: str) -> Any:
    """Return a column of the data that XGBoost is given beside the features."""
    if name not in piece.column_names:
        raise UnknownColumn(
            f"the data lacks the column {name!r}, which label=, weight=, base_margin= or qid= names"
        )
    column = piece.column(name)
    if n_missing := count_missing(column):
        raise InvalidData(
            f"the column {name!r}, of which XGBoost takes a value a row, is missing in "
            f"{counted(n_missing, 'row')}"
        )
    return column.to_numpy()


class _Iterator(_xgboost.DataIter):  # pyright: ignore[reportUntypedBaseClass]  # see `library`
    """An iterator of pieces for XGBoost, in each pass; it raises what a piece raises.

    Args:
        pieces: the data.
        columns: which are read of it.
        given: what XGBoost takes of a piece.
        cache_prefix: of files; None for none.
    """

    def __init__(
        self,
        pieces: Pieces,
        columns: list[str],
        given: Callable[[Table], dict[str, Any]],
        cache_prefix: str | None,
    ) -> None:
        self._pieces, self._columns, self._given = pieces, columns, given
        self.reset()
        super().__init__(cache_prefix=cache_prefix)  # pyright: ignore[reportUnknownMemberType]  # as above

    def reset(self) -> None:
        """Begin a pass."""
        self._numbers = iter([k for k, size in enumerate(self._pieces.sizes) if size > 0])
        self._read = self._pieces.reader(self._columns)
        self._group: Any = None

    def next(self, input_data: Callable[..., None]) -> bool:
        """Hand a piece over; False after the last."""
        piece = next(self._numbers, None)
        if piece is None:
            return False
        given = self._given(self._read(piece))
        self._check_group(given.get("qid"))
        input_data(**given)
        return True

    def _check_group(self, groups: Any) -> None:
        """Raise where a group goes on in the next piece: XGBoost would make two of it."""
        if groups is None:
            return
        if self._group == groups[0]:
            raise InvalidData(
                f"the group {groups[0]} of qid= has rows in two pieces, of which XGBoost makes two "
                "groups. Divide the data between groups, or take it at once, by dmatrix"
            )
        self._group = groups[-1]
