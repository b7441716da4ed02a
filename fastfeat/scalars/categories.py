"""Functions of category codes: the count of a category in training, and one-hot columns.

A code is the number that an encoder gives to a category: 0 missing, 1 unseen or rare, 2 the most
frequent one and so on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from fastfeat.ir.dtypes import CROSS, FLOAT64, INT64, ONE_HOT, UINT8, VOCABULARY, DType
from fastfeat.ir.node import Aggregate, Call, Node, Params
from fastfeat.ir.node import Literal as Constant
from fastfeat.ir.parameters import Parameter, TextChoice
from fastfeat.ir.writing import PLAIN, Texts
from fastfeat.scalars import op
from fastfeat.scalars.value import ScalarFunction, TableKey, Value

Drop = Literal["first", "if_binary"]
"""Which indicator column is left out."""
MissingOption = Literal["zeros", "column"]
"""Which indicator columns a missing category has."""
MISSING = Parameter(
    "missing",
    TextChoice(get_args(MissingOption)),
    "`zeros` gives zeros for a missing value; `column` adds a column for it",
    "zeros",
    hidden=True,
)


def _count_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    assert types[1] == VOCABULARY
    return INT64


def _share_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    assert types[1] == VOCABULARY
    return FLOAT64


def _count(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return the number of training rows with the category that a code stands for."""
    code, learnt = values
    assert learnt.node is not None
    counts = op.table(TableKey(learnt.node, "category_counts", 0))
    return Value(INT64, op.load_i64(counts, code.op), code.ok, code.status)


def _share(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    count = _count(values, params)
    learnt = values[1].node
    assert learnt is not None
    n_rows = op.table(TableKey(learnt, "category_rows", 0))
    share = op.to_f64(count.op) / op.to_f64(op.load_i64(n_rows, 0))
    return Value(FLOAT64, share, status=count.status)


def _one_hot_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    return ONE_HOT


def _one_hot(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    raise AssertionError("the columns of one_hot_encode are made after fit")


def _is_code_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    return UINT8


def _is_code(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return 1 if a code equals another code, else 0: a column of `one_hot_encode`."""
    code, wanted = values
    return Value(UINT8, op.from_bool(code.op.eq(wanted.op)), status=code.status)


def _cross_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    return CROSS


def _cross(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    raise AssertionError("an encoder takes the parts of a cross")


def _cross_text(node: Call, texts: Texts) -> str:
    return f"ff.cross({', '.join(texts[part] for part in node.args)})"


def _is_code_text(node: Call, texts: Texts) -> str:
    match node.args:
        case (codes, Constant(code)):
            return f"({texts[codes]} == {code})"
        case _:
            return f"is_code({', '.join(map(texts.bare, node.args))})"


def has_min_rows(learnt: Params) -> bool:
    """Return whether no category is left out, or only those with fewer rows than a fixed number."""
    given = dict(learnt)
    return given["max_categories"] is None and type(given["min_frequency"]) in (int, type(None))


def _is_of_category(call: Call) -> bool:
    codes, learnt = call.args
    return (
        _counts_in_one_unseen(codes)
        and codes.args[-1] == learnt
        and isinstance(learnt, Aggregate)
        and has_min_rows(learnt.params)
    )


def _is_one_hot(call: Call) -> bool:
    (codes,) = call.args
    if _are_codes_of_lists(codes):
        return dict(call.params)["drop"] is None
    return _counts_in_one_unseen(codes)


def _is_of_code(call: Call) -> bool:
    """Return whether a code is compared with a constant code, as in a one-hot column."""
    codes, one = call.args
    is_number = isinstance(one, Constant) and type(one.value) is int and one.value >= 0
    return is_number and _counts_in_one_unseen(codes)


def _counts_in_one_unseen(codes: Node) -> bool:
    """Return whether codes come from a learnt vocabulary with a single code for unseen keys."""
    return (
        isinstance(codes, Call)
        and codes.function == "encode"
        and dict(codes.params)["n_unseen"] == 1
        and isinstance(codes.args[-1], Aggregate)
    )


def _are_codes_of_lists(node: Node) -> bool:
    return isinstance(node, Call) and node.function == "list.encode"


FUNCTIONS: dict[str, ScalarFunction] = {
    "category_count": ScalarFunction(
        _count_type, _count, n_args=2, belongs=_is_of_category, of_keys=True, written=PLAIN
    ),
    "category_share": ScalarFunction(
        _share_type, _share, n_args=2, belongs=_is_of_category, of_keys=True, written=PLAIN
    ),
    "cross": ScalarFunction(
        _cross_type, _cross, n_args=None, least_args=2, written=_cross_text, tells_apart=True
    ),
    "is_code": ScalarFunction(
        _is_code_type,
        _is_code,
        n_args=2,
        belongs=_is_of_code,
        written=_is_code_text,
        names_categories=True,
    ),
    "one_hot": ScalarFunction(
        _one_hot_type,
        _one_hot,
        parameters=(
            Parameter(
                "drop",
                TextChoice(get_args(Drop)),
                "`first` leaves out the first column; `if_binary` does so only if there are two",
                None,
                or_none=True,
                hidden=True,
            ),
            MISSING,
        ),
        belongs=_is_one_hot,
        written=PLAIN,
    ),
}
