"""The registry of operators, and what makes them methods of `Expr`.

A new operator is a function in a family's file, a row in that file's OPERATORS, and, for type
checkers, a line in `Expr`. Binding, fitting, rendering and the generic test need nothing more.

Imports expressions and the rows of functions; the package, the API and `plan` import it.
"""

from __future__ import annotations

from fastfeat.arguments import explaining
from fastfeat.expr import Expr
from fastfeat.ir.node import GroupFrame
from fastfeat.ir.show import CALLS, COLUMNS, FRAMES
from fastfeat.operators import (
    aggregates,
    binning,
    calendar,
    cast,
    categories,
    cyclical,
    distribution,
    elementary,
    foreign,
    geo,
    hashing,
    horizontal,
    imputation,
    keys,
    lists,
    membership,
    missing,
    polynomial,
    power,
    rounding,
    scaling,
    splines,
    targets,
    text,
    trends,
    trigonometry,
    windows,
)
from fastfeat.operators.operator import Operator
from fastfeat.recording import recorded, recorded_property

OPERATORS: dict[str, Operator] = {
    **aggregates.OPERATORS,
    **binning.OPERATORS,
    **cast.OPERATORS,
    **categories.OPERATORS,
    **cyclical.OPERATORS,
    **distribution.OPERATORS,
    **elementary.OPERATORS,
    **geo.OPERATORS,
    **hashing.OPERATORS,
    **horizontal.OPERATORS,
    **imputation.OPERATORS,
    **lists.OPERATORS,
    **membership.OPERATORS,
    **missing.OPERATORS,
    **polynomial.OPERATORS,
    **power.OPERATORS,
    **rounding.OPERATORS,
    **scaling.OPERATORS,
    **text.OPERATORS,
    **targets.OPERATORS,
    **splines.OPERATORS,
    **trigonometry.OPERATORS,
}

for _family in (
    power,  # before scalers: its division is that of one
    binning,
    categories,
    distribution,
    imputation,
    keys,
    lists,
    missing,
    scaling,
    targets,
    text,
    windows,
):
    for _function, _write in _family.WRITTEN.items():
        CALLS[_function] = (*CALLS.get(_function, ()), _write)
for _family in (cyclical, imputation, splines, text):
    COLUMNS.update(_family.WRITTEN_TOGETHER)
FRAMES[GroupFrame] = keys.by_options

_METHODS = {name: operator.define for name, operator in OPERATORS.items() if operator.method}
_OF_WINDOWS = {**windows.METHODS, **trends.METHODS}
for _name, _method in {**_METHODS, **_OF_WINDOWS, **missing.REFUSED}.items():
    _foreign = OPERATORS[_name].foreign if _name in _METHODS else None
    _told = explaining(_method, prefix=lambda x: f"{x!r}.", hints=_foreign)
    setattr(Expr, _name, recorded(_told, f"Expr.{_name}"))
for _name, _namespace in {
    "dt": calendar.dt,
    "list": lists.elements,
    "str": text.str_,
}.items():
    setattr(Expr, _name, recorded_property(_namespace, f"Expr.{_name}"))
for _name, _value in foreign.SPECIAL.items():
    setattr(Expr, _name, _value)
for _class, _name in (
    (calendar.DatetimeParts, "dt"),
    (lists.ListElements, "list"),
    (text.TextFunctions, "str"),
):
    _class.__dir__ = foreign.offered
    setattr(_class, "__getattr__", foreign.missing_in(_name))  # noqa: B010  # checkers would take any name
