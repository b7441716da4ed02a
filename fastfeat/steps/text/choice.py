"""Choose between texts: `when`, `coalesce`, `fill_null`.

Scalar functions of the same names choose numbers; the rules are in `scalars.choice`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import ChunkedArray, call, pa
from fastfeat.io.columns.bits import array_of_values
from fastfeat.ir.dtypes import NULL, DType
from fastfeat.ir.parameters import ParameterValues
from fastfeat.steps.entries import is_content, without_dictionary
from fastfeat.steps.step import Argument, StepFunction
from fastfeat.steps.text.growth import check_choice, content_bytes


def _common(types: Sequence[DType]) -> DType:
    known = [dtype for dtype in dict.fromkeys(types) if dtype != NULL]
    if len(known) != 1:
        raise TypeMismatch(f"needs values of one type, got {' and '.join(map(str, known))}")
    return known[0]


def _when_type(types: Sequence[DType], params: ParameterValues) -> DType:
    if types[0].name not in ("bool", "null"):
        raise TypeMismatch(f"when(...) needs a bool, got {types[0]}. Compare first: col('x') > 0")
    return _common(types[1:])


def _coalesce_type(types: Sequence[DType], params: ParameterValues) -> DType:
    return _common(types)


def _when(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> list[Any]:
    rows = zip(*(argument.values for argument in args), strict=True)
    return [yes if condition else no for condition, yes, no in rows]


def _coalesce(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> list[Any]:
    rows = zip(*(argument.values for argument in args), strict=True)
    return [next((value for value in row if value is not None), None) for row in rows]


def _when_of_row(args: Sequence[Argument], params: ParameterValues) -> Callable[..., Any]:
    def chosen(condition: bool | None, yes: Any, no: Any) -> Any:
        return yes if condition else no

    return chosen


def _coalesce_of_row(args: Sequence[Argument], params: ParameterValues) -> Callable[..., Any]:
    return lambda *row: next((value for value in row if value is not None), None)


def _host_when(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> Any:
    holds = args[0].values.to_numpy() == 1  # bools as keys are floats; a missing one is NaN
    yes, no = _plain(args[1:])
    n_yes = int(holds.sum())
    check_choice(_most(yes, n_yes) + _most(no, n_rows - n_yes), n_rows)
    return call("if_else", array_of_values(holds, None, pa.bool_()), yes, no)


def _host_coalesce(args: Sequence[Argument], params: ParameterValues, n_rows: int) -> Any:
    first, *others = _plain(args)
    if isinstance(first, pa.Scalar):
        check_choice(_most(first, n_rows), n_rows)
        first = pa.chunked_array([pa.repeat(first, n_rows)])
    n_missing = first.null_count
    check_choice(content_bytes(first) + sum(_most(x, n_missing) for x in others), n_rows)
    return call("coalesce", first, *others)


def _most(chosen: Any, n_rows: int) -> int:
    """Return the most bytes of text that `n_rows` rows of a result may take from one argument."""
    if isinstance(chosen, pa.Scalar):
        return n_rows * len(chosen.as_buffer() or b"") if chosen.is_valid else 0
    return content_bytes(chosen)


def _plain(args: Sequence[Argument]) -> list[Any]:
    """Return arguments as columns of one text type.

    An argument with a single text becomes a scalar.
    """
    columns = [_one_text(argument.values) for argument in args]
    kind = next(column.type for column in columns if is_content(column.type))
    return [column if column.type == kind else pa.scalar(None, kind) for column in columns]


def _one_text(column: ChunkedArray) -> Any:
    """Return a scalar if all rows of a column have the same text, else the column as plain text."""
    if pa.types.is_dictionary(column.type) and column.num_chunks == 1:
        (chunk,) = column.chunks
        if len(chunk.dictionary) == 1 and chunk.indices.null_count == 0:
            return chunk.dictionary[0]
    return without_dictionary(column)


OF_CONTENT: dict[str, StepFunction] = {
    "coalesce": StepFunction(
        _coalesce_type, _coalesce, host=_host_coalesce, of_row=_coalesce_of_row
    ),
    "fill_null": StepFunction(
        _coalesce_type, _coalesce, host=_host_coalesce, of_row=_coalesce_of_row
    ),
    "when": StepFunction(_when_type, _when, host=_host_when, of_row=_when_of_row),
}
