"""Choosing between texts: `when`, `coalesce`, `fill_null`.

Rows of numbers are chosen by scalar functions of the same names; `scalars.choice` has the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.dtypes import NULL, DType
from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import ChunkedArray, call, pa
from fastfeat.io.bits import array_of_values
from fastfeat.steps.entries import is_content, without_dictionary
from fastfeat.steps.step import Argument, StepFunction

Params = Mapping[str, Any]


def _common(types: Sequence[DType]) -> DType:
    known = [dtype for dtype in dict.fromkeys(types) if dtype != NULL]
    if len(known) != 1:
        raise TypeMismatch(f"needs values of one type, got {' and '.join(map(str, known))}")
    return known[0]


def _when_type(types: Sequence[DType], params: Params) -> DType:
    if types[0].name not in ("bool", "null"):
        raise TypeMismatch(f"when(...) needs a bool, got {types[0]}. Compare first: col('x') > 0")
    return _common(types[1:])


def _coalesce_type(types: Sequence[DType], params: Params) -> DType:
    return _common(types)


def _when(args: Sequence[Argument], params: Params, n_rows: int) -> list[Any]:
    rows = zip(*(argument.values for argument in args), strict=True)
    return [yes if condition else no for condition, yes, no in rows]


def _coalesce(args: Sequence[Argument], params: Params, n_rows: int) -> list[Any]:
    rows = zip(*(argument.values for argument in args), strict=True)
    return [next((value for value in row if value is not None), None) for row in rows]


def _host_when(args: Sequence[Argument], params: Params, n_rows: int) -> Any:
    holds = args[0].values.to_numpy() == 1  # of bools as keys: a missing one is NaN
    return call("if_else", array_of_values(holds, None, pa.bool_()), *_plain(args[1:]))


def _host_coalesce(args: Sequence[Argument], params: Params, n_rows: int) -> Any:
    return call("coalesce", *_plain(args))


def _plain(args: Sequence[Argument]) -> list[ChunkedArray]:
    """Return arguments as columns of one type: those of type null too."""
    columns = [without_dictionary(argument.values) for argument in args]
    kind = next(column.type for column in columns if is_content(column.type))
    return [
        column if column.type == kind else pa.chunked_array([pa.nulls(len(column), kind)])
        for column in columns
    ]


OF_CONTENT: dict[str, StepFunction] = {
    "coalesce": StepFunction(_coalesce_type, _coalesce, host=_host_coalesce),
    "fill_null": StepFunction(_coalesce_type, _coalesce, host=_host_coalesce),
    "when": StepFunction(_when_type, _when, host=_host_when),
}
