"""The registry of operators, and how they become methods of `Expr`.

An operator is a function or method with which users build expressions. Operators of one topic form
a family, which is a module here. A new operator is a function in its family's file, an entry in
that file's OPERATORS, its name in the table here, and a line in `Expr` for type checkers. Binding,
fitting, compiling and the generic test need nothing more. A family's file is imported on the first
use of one of its names.

A writer (`ir.writing`) is a function that prints a plan node as the user's code. This package
imports expressions; the top-level package, the API and `plan` import it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from fastfeat.calls.arguments import with_argument_errors
from fastfeat.expr import Expr
from fastfeat.first_use import LazyRows, OnFirstUse, import_object, import_on_call
from fastfeat.ir.node import Aggregate, GroupFrame
from fastfeat.ir.show import CALLS, COLUMNS, FRAMES
from fastfeat.ir.writing import SeveralWriter, Texts, Writer

if TYPE_CHECKING:
    from fastfeat.operators.operator import Operator

_METHODS = {
    "aggregates": "count null_count sum mean var std skew kurtosis min max quantile mode n_unique "
    "median",
    "binning": "cut qcut k_bins_discretize",
    "cast": "cast",
    "categories": "ordinal_encode count_encode binary_encode one_hot_encode",
    "cyclical": "cyclical",
    "distribution": "quantile_transform",
    "elementary": "sqrt cbrt exp expm1 log log1p log2 log10 sigmoid",
    "hashing": "hash",
    "imputation": "impute",
    "membership": "is_between is_in replace_strict",
    "missing": "is_null is_not_null fill_null eq_missing ne_missing is_finite is_infinite "
    "fill_infinite",
    "power": "power_transform",
    "rounding": "abs sign floor ceil round clip",
    "scaling": "standard_scale min_max_scale max_abs_scale robust_scale",
    "targets": "target_encode woe_encode",
    "splines": "spline_transform",
    "trigonometry": "sin cos tan arcsin arccos arctan sinh cosh tanh",
}
_FUNCTIONS = {
    "geo": "haversine",
    "horizontal": "coalesce min_horizontal max_horizontal sum_horizontal mean_horizontal",
    "lists": "list.len list.sum list.mean list.min list.max list.var list.std list.get list.first "
    "list.last list.contains list.pad list.ordinal_encode list.hash_encode list.multi_hot_encode",
    "polynomial": "polynomial_features",
    "text": "str.to_lowercase str.to_uppercase str.strip_chars str.strip_chars_start "
    "str.strip_chars_end str.slice str.extract str.replace str.replace_all str.len_bytes "
    "str.len_chars str.token_count str.starts_with str.ends_with str.contains str.count_matches "
    "str.find str.split_count str.to_integer str.to_float str.to_datetime str.hash_ngrams "
    "str.hash_tokens",
}
OPERATORS: LazyRows[Operator] = LazyRows(
    "fastfeat.operators.{}:OPERATORS", {**_METHODS, **_FUNCTIONS}
)

OTHERS: LazyRows[Callable[..., Any]] = LazyRows(
    "fastfeat.operators.{}",
    {
        "windows:METHODS": "all any diff first lag last pct_change",
        "trends:METHODS": "ewm_mean ewm_sum range rank slope streak",
        "missing:REFUSED": "is_nan is_not_nan fill_nan",
    },
)
"""Further methods of `Expr`: functions over a window, and methods that only raise with advice."""

NAMESPACES = {"dt": "calendar:dt", "list": "lists:elements", "str": "text:str_"}
_NAMESPACE_CLASSES = {
    "dt": "calendar:DatetimeParts",
    "list": "lists:ListElements",
    "str": "text:TextFunctions",
}
_SPECIAL_METHODS = {
    "__dir__": "completion_names",
    "__array_ufunc__": "array_ufunc",
    "__array_function__": "refuse_array_function",
    "__array__": "refuse_array",
    "__getattr__": "raise_missing_attribute",
    "__setattr__": "refuse_assignment",
}
"""Special methods of `Expr` besides its operators, with their functions in `other_libraries`."""
"""The namespaces of `Expr`, each with its property."""

FAMILIES = (
    *(*_METHODS, *_FUNCTIONS, "ahead", "calendar", "columns", "keys", "lookup", "trends"),
    "windows",
)
"""The modules with operators or with functions of the package."""

WRITTEN = {
    "power": "box_cox div yeo_johnson",  # before "scaling": it ends in the same div
    "binning": "bin bin_inside",
    "categories": "encode category_count category_share one_hot",
    "distribution": "clip interpolate_rank",
    "imputation": "fill_null",
    "keys": "vocabulary",
    "lists": "list.encode one_hot",
    "missing": "coalesce",
    "scaling": "div",
    "targets": "target_mean target_var target_quantile target_odds log",
    "text": "when",
    "windows": "over.sum over.time_since",
}
"""By family, the keys of its table WRITTEN: the functions of the operators' last nodes."""
WRITTEN_TOGETHER = {
    "cyclical": "cyclical_sin",
    "imputation": "fill_null",
    "splines": "spline_basis",
    "text": "bucket_count",
}
"""The functions of the first columns of several-column operators, by family."""


def _writer(family: str, function: str) -> Writer:
    """Return a function that prints an operator; it imports the operator's family when called."""
    return lambda node, texts: import_object(f"fastfeat.operators.{family}:WRITTEN")[function](
        node, texts
    )


def _writer_together(family: str, function: str) -> SeveralWriter:
    """Return a function that prints an operator with several columns.

    The function imports the operator's family when called.
    """
    table = f"fastfeat.operators.{family}:WRITTEN_TOGETHER"
    return lambda nodes, texts: import_object(table)[function](nodes, texts)


def _by_options(learnt: Aggregate, texts: Texts) -> list[str]:
    return import_object("fastfeat.operators.keys:by_options")(learnt, texts)


for _family, _names in WRITTEN.items():
    for _function in _names.split():
        CALLS[_function] = (*CALLS.get(_function, ()), _writer(_family, _function))
for _family, _names in WRITTEN_TOGETHER.items():
    COLUMNS.update({_name: _writer_together(_family, _name) for _name in _names.split()})
FRAMES[GroupFrame] = _by_options


def namespace_class(name: str) -> type:
    """Return the class of the methods in a namespace of expressions: "dt", "list" or "str"."""
    return import_object(f"fastfeat.operators.{_NAMESPACE_CLASSES[name]}")


def _of_other_libraries(function: str) -> Callable[..., Any]:
    return import_on_call(f"fastfeat.operators.other_libraries:{function}")


def _missing_in_namespace(of: str) -> Callable[[Any, str], Any]:
    refuse = _of_other_libraries("raise_missing_in_namespace")
    return lambda self, name: refuse(of, self, name)


@cache
def _attribute(name: str) -> Any:
    """Return the function or property that a placeholder of this name stands for."""
    if name in NAMESPACES:
        parts = namespace_class(name)
        setattr(parts, "__dir__", _of_other_libraries("completion_names"))  # noqa: B010  # checkers would take any name
        setattr(parts, "__getattr__", _missing_in_namespace(name))  # noqa: B010  # as above
        return import_object(f"fastfeat.operators.{NAMESPACES[name]}")
    if name in OTHERS:
        method, hints = OTHERS[name], None
    else:
        method, hints = OPERATORS[name].define, OPERATORS[name].foreign
    return with_argument_errors(method, prefix=lambda x: f"{x!r}.", hints=hints)


_OF_EXPRESSIONS = (*(" ".join(_METHODS.values()).split()), *OTHERS, *NAMESPACES)
for _name in _OF_EXPRESSIONS:
    setattr(Expr, _name, OnFirstUse(Expr, _name, _attribute))
for _name, _function in _SPECIAL_METHODS.items():
    setattr(Expr, _name, _of_other_libraries(_function))
setattr(Expr, "__pandas_priority__", 5000)  # noqa: B010  # above a Series: `series * col("x")` is left to Expr
