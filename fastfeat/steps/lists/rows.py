"""The steps list.*: functions of each row's list, with their definitions.

Aggregates skip missing elements. A missing list gives missing. For an empty list the sum is 0;
other aggregates are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastfeat_kernels.lists.requests import REQUESTS, Request

from fastfeat.aggregates import AGGREGATES
from fastfeat.errors import InvalidData, Overflow, TypeMismatch
from fastfeat.io.columns import conversions
from fastfeat.io.columns.keys import comparable
from fastfeat.ir.dtypes import BOOL, INT32, INT64, UINT8, UTF8, DType, list_of
from fastfeat.ir.node import TRAINING, Aggregate, Call
from fastfeat.ir.parameters import (
    FARTHEST_ELEMENT,
    BoolChoice,
    Parameter,
    TextChoice,
    Whole,
)
from fastfeat.steps.keys.rows import places_of
from fastfeat.steps.step import Argument, ReferenceValues, StepFailed, StepFunction
from fastfeat.steps.tables.rows import comparable_values

AGGREGATES_OF_LISTS = ("sum", "mean", "min", "max", "var", "std")
OUT_OF_BOUNDS = "the list has no element {index}. With null_on_oob=True the result is missing"
SUM_TOO_LARGE = "the sum of the list does not fit into int64"


def element_type(types: Sequence[DType]) -> DType:
    """Return the type of a list's elements as kernels read them.

    Types that are read as float64 give float64.
    """
    if types[0].of is None:
        raise TypeMismatch(f"needs a list, got {types[0]}")
    return comparable(types[0].of)


def elements_of(value: Sequence[Any] | None) -> list[Any] | None:
    """Return a list as Python values; None for a missing list."""
    if value is None:
        return None
    return [None if element != element else element for element in value]


def params_of_aggregate(function: str, params: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return the parameters of a list aggregate as the aggregate over training rows takes them."""
    return tuple(sorted(params.items()))


def _aggregate(function: str) -> StepFunction:
    """Return the step that applies an aggregate of training rows to each row's list instead."""

    def result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
        return AGGREGATES[function].result(
            element_type(types), params_of_aggregate(function, params)
        )

    def reference(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
        dtype, given = element_type([args[0].dtype]), params_of_aggregate(function, params)
        values: list[Any] = []
        for row, value in enumerate(args[0].values):
            elements = elements_of(value)
            try:
                values.append(
                    None
                    if elements is None
                    else AGGREGATES[function].reference(elements, given, dtype)
                )
            except Overflow:
                raise StepFailed(row, SUM_TOO_LARGE, Overflow) from None
        return [None if value != value else value for value in values]

    row, request = AGGREGATES[function], REQUESTS.get(function)
    return StepFunction(result, reference, parameters=row.parameters, request=request)


def _each(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return a column function that applies `function` to each list.

    A missing list gives missing.
    """

    def reference(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
        found: list[Any] = []
        for row, value in enumerate(args[0].values):
            elements = elements_of(value)
            found.append(None if elements is None else function(elements, row, **params))
        return found

    return reference


def _len(elements: ReferenceValues, row: int) -> int:
    return len(elements)


def _get(elements: ReferenceValues, row: int, index: int, null_on_oob: bool = True) -> Any:
    if -len(elements) <= index < len(elements):
        return elements[index]
    if null_on_oob:
        return None
    raise StepFailed(row, OUT_OF_BOUNDS.format(index=index), InvalidData)


def _slice(
    elements: ReferenceValues, row: int, offset: int, length: int | None = None
) -> list[Any]:
    start = offset if offset >= 0 else len(elements) + offset
    stop = len(elements) if length is None else start + length
    return list(elements[max(start, 0) : max(stop, 0)])


def _contains(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    lists, items = args
    assert lists.dtype.of is not None
    wanted = comparable_values(items.values, items.dtype)
    return [
        None
        if value is None or item is None
        else item
        in comparable_values([e for e in elements_of(value) or () if e is not None], lists.dtype.of)
        for value, item in zip(lists.values, wanted, strict=True)
    ]


def _explode(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    return [element for value in args[0].values for element in elements_of(value) or ()]


def _encode(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    places, n_before = places_of(args[1].values), 1 + params["n_unseen"]

    def code(element: Any) -> int:
        return 0 if element is None else n_before + places.get((element,), -1)

    lists = map(elements_of, args[0].values)
    return [None if elements is None else [*map(code, elements)] for elements in lists]


def _has_code(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    code = params["code"]
    return [
        int(codes is None if code is None else code in (codes or ())) for codes in args[0].values
    ]


def _len_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    element_type(types)
    return INT64


def _get_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    return element_type(types)


def _slice_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    element_type(types)
    return types[0]


def _contains_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    element, item = element_type(types), types[1]
    if item != element and (
        item.is_list or conversions.conversion(comparable(item), element) is None
    ):
        raise TypeMismatch(f"a list of {element} cannot contain {item}. Cast one of them first")
    return BOOL


def _explode_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    dtype = element_type(types)
    if not (dtype == UTF8 or dtype.is_number or dtype.is_temporal):
        raise TypeMismatch(f"needs a list of text, numbers, dates or times, got {types[0]}")
    return dtype


def _encode_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    _explode_result(types, params)
    return list_of(INT32)


def _has_code_result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    assert types[0] == list_of(INT32)
    return UINT8


def _is_list_encode(call: Call) -> bool:
    """Return whether the vocabulary of "list.encode" has all elements of the lists to encode."""
    lists, known = call.args
    match known:
        case Aggregate("vocabulary", (Call("list.explode", exploded),), params, frame):
            return exploded == (lists,) and frame == TRAINING and dict(params)["missing"] == "key"
        case _:
            return False


def _is_has_code(call: Call) -> bool:
    (codes, *_) = call.args
    return isinstance(codes, Call) and codes.function == "list.encode"


_PLACE = Whole(-FARTHEST_ELEMENT, FARTHEST_ELEMENT)

LISTS: dict[str, StepFunction] = {
    **{f"list.{function}": _aggregate(function) for function in AGGREGATES_OF_LISTS},
    "list.contains": StepFunction(
        _contains_result, _contains, n_args=2, request=REQUESTS["contains"], tells_apart=True
    ),
    "list.encode": StepFunction(
        _encode_result,
        _encode,
        of_keys=True,
        belongs=_is_list_encode,
        n_args=2,
        tells_apart=True,
        parameters=(
            Parameter("n_unseen", Whole(1, 1), user_name=None),
            Parameter("missing", TextChoice(("key",)), user_name=None),
        ),
    ),
    # one row per element
    "list.explode": StepFunction(_explode_result, _explode, of_all_rows=True),
    "list.get": StepFunction(
        _get_result,
        _each(_get),
        parameters=(
            Parameter(
                "index", _PLACE, "Position of the element, from 0; negative counts from the end"
            ),
            Parameter(
                "null_on_oob",
                BoolChoice((False,)),
                "Whether a list that is too short gives missing; False makes it an error",
                True,
                is_optional=True,
            ),
        ),
        request=REQUESTS["get"],
    ),
    "list.has_code": StepFunction(
        _has_code_result,
        _has_code,
        always_present=True,
        belongs=_is_has_code,
        parameters=(Parameter("code", Whole(0), or_none=True, user_name=None),),
        names_categories=True,
    ),
    "list.len": StepFunction(_len_result, _each(_len), request=REQUESTS["len"]),
    "list.slice": StepFunction(
        _slice_result,
        _each(_slice),
        parameters=(
            Parameter(
                "offset",
                _PLACE,
                "Position of the first element, from 0; negative counts from the end",
            ),
            Parameter(
                "length",
                Whole(0, FARTHEST_ELEMENT),
                "Maximum number of elements; None takes all that follow",
                None,
                is_optional=True,
            ),
        ),
        request=REQUESTS["slice"],
    ),
}
"""The functions of a list.

"list.explode" has one row per element, and serves vocabularies only. "list.encode" gives the codes
of the elements in a vocabulary, with one code for unseen elements. "list.has_code" says whether a
code is among the codes of a row or, for None, whether the list is missing.
"""
REQUESTED: dict[str, Request] = {
    name: row.request for name, row in LISTS.items() if isinstance(row.request, Request)
}
"""Requests of the functions of lists to the kernels, by the names of the steps."""
