"""NumPy and pandas functions called on expressions: accepted if they mean the same, else refused.

A refusal says what to write instead. NumPy asks an operand for `__array_ufunc__` and
`__array_function__`. Without them it treats an expression as an array of one object, and
`np.median(col("x"))` would give `col("x") / 1`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from fastfeat.errors import TypeMismatch
from fastfeat.expr import Expr, lit
from fastfeat.first_use import import_on_call
from fastfeat.operators import hints, missing, namespace_class


def array_ufunc(self: Expr, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Expr:
    """Return the expression for a NumPy ufunc, or raise TypeMismatch if there is no equivalent.

    Options of the ufunc are refused too.
    """
    name: str = ufunc.__name__
    function = UFUNCS.get(name)
    if function is None:
        _refuse(self, name)
    if method != "__call__" or options:
        given = ", ".join([*([method] if method != "__call__" else []), *options])
        raise TypeMismatch(f"np.{name} of an expression does not support {given}: {self!r}")
    return function(*(given if isinstance(given, Expr) else lit(given) for given in inputs))


def refuse_array_function(
    self: Expr, function: Any, types: Any, args: Iterable[Any], options: Mapping[str, Any]
) -> NoReturn:
    """Raise TypeMismatch: a NumPy function of whole arrays needs values that only `fit` sees."""
    _refuse(self, function.__name__)


def refuse_array(self: Expr, *args: Any, **options: Any) -> NoReturn:
    """Raise TypeMismatch: an expression has no values until it meets data."""
    raise TypeMismatch(
        f"{self!r} is an expression: it has no values, so it cannot become an array. To compute "
        "it, write Plan({'name': ...}).fit(data).transform(data)"
    )


def raise_missing_attribute(self: Expr, name: str) -> NoReturn:
    """Raise AttributeError for a method that expressions do not have; say what to write instead."""
    members = {name: _public(namespace_class(name)) for name in ("str", "dt")}
    hint = "" if name.startswith("_") else hints.hint_for_method(name, _public(Expr), members)
    raise AttributeError(f"an expression has no {name!r}.{hint}", name=name, obj=self)


def raise_missing_in_namespace(of: str, self: Any, name: str) -> NoReturn:
    """Raise AttributeError for a method that a namespace lacks; say what to write instead."""
    methods = _public(namespace_class(of))
    hint = "" if name.startswith("_") else hints.hint_in_namespace(of, name, methods)
    raise AttributeError(f".{of} has no {name!r}.{hint}", name=name, obj=self)


def completion_names(self: object) -> list[str]:
    """Return the names for tab completion: methods that users may call, and names with "_"."""
    own = (name for name in object.__dir__(self) if name.startswith("_"))
    return [*own, *_public(type(self))]


def _public(kind: type) -> frozenset[str]:
    """Return the names of a class's methods that users may call, without those that only raise."""
    fields = {"node", "nodes", "suffixes", "name", "expr", *missing.REFUSED}
    return frozenset(name for name in dir(kind) if name[0] != "_" and name not in fields)


def _refuse(x: Expr, name: str) -> NoReturn:
    """Raise TypeMismatch for a NumPy ufunc that has no equivalent; say what to write instead."""
    instead = {**hints.read_hints()[hints.EXPRESSION], **hints.read_hints()[hints.NUMPY]}
    bare = name.removeprefix("nan")
    method = bare if name not in instead and (bare in instead or hasattr(Expr, bare)) else name
    written = instead.get(method)
    if written is None and callable(getattr(Expr, method, None)):
        written = f".{method}(...)"
    if written is None:
        hint = "Expressions have methods instead: help(fastfeat.Expr) lists them"
    else:
        hint = f"Write {x!r}{written}" if written.startswith(".") else f"Write {written}"
    raise TypeMismatch(f"np.{name} does not take expressions. {hint}")


def _method(name: str) -> Callable[..., Any]:
    """Return a function that calls the method `name` of its first argument with the others."""

    def apply(x: Expr, *others: Expr) -> Any:
        return getattr(x, name)(*others)

    return apply


def _square(x: Expr) -> Expr:
    return x**2


_SAME_NAME = (
    *("sign", "floor", "ceil", "sqrt", "cbrt", "exp", "expm1", "log", "log1p", "log2", "log10"),
    *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"),
)
_SAME_MEANING = {
    "add": "__add__",
    "subtract": "__sub__",
    "multiply": "__mul__",
    "divide": "__truediv__",
    "floor_divide": "__floordiv__",
    "remainder": "__mod__",
    "power": "__pow__",
    "negative": "__neg__",
    "positive": "__pos__",
    "absolute": "__abs__",
    "invert": "__invert__",
    "bitwise_and": "__and__",
    "bitwise_or": "__or__",
    "bitwise_xor": "__xor__",
    "equal": "__eq__",
    "not_equal": "__ne__",
    "less": "__lt__",
    "less_equal": "__le__",
    "greater": "__gt__",
    "greater_equal": "__ge__",
    "rint": "round",
    "isfinite": "is_finite",
    "isinf": "is_infinite",
}
UFUNCS: dict[str, Callable[..., Any]] = {
    **{name: _method(name) for name in _SAME_NAME},
    **{name: _method(method) for name, method in _SAME_MEANING.items()},
    "square": _square,
    "fmax": import_on_call("fastfeat.operators.horizontal:max_horizontal"),
    "fmin": import_on_call("fastfeat.operators.horizontal:min_horizontal"),
}
"""By name of a NumPy ufunc, the function of expressions with the same meaning."""


def refuse_assignment(self: Expr, name: str, value: object) -> NoReturn:
    """Raise AttributeError: an expression is never changed."""
    raise AttributeError(
        f"cannot set {name!r}: an expression cannot be changed. Keep such values in your own "
        "variables; .alias() and operators return new expressions",
        name=name,
        obj=self,
    )
