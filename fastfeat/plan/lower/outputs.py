"""The outputs of a plan: one program for Arrow columns, one for a matrix, and their schema."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal, NamedTuple

from fastfeat.backends import DEVICE_NAMES
from fastfeat.dtypes import CROSS, FLOAT64, FLOAT_FORMATS, NEVER_COLUMNS, ONE_HOT, DType
from fastfeat.engine.program import Program, program_of
from fastfeat.errors import InvalidPlan, TypeMismatch, did_you_mean
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.columns.types import arrow_type
from fastfeat.io.sinks.results import library
from fastfeat.ir.node import Node
from fastfeat.ir.show import show
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower.lower import Types, array_output, matrix_output, output_of, stored_type
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.plan.lower.typed import TypedPlan


class Form(NamedTuple):
    """A form that features are given out in.

    Args:
        computed: as what they are computed: an Arrow table ("arrow"), one of which all memory is
            its own ("columns"), a matrix column after column ("numpy") or row after row ("rows"),
            or, on the device, a matrix ("cupy") or columns ("cupy_columns").
        library: what the result is of, imported for it; None for one that is always there.
        takes_out: whether `out=` gives its memory.
    """

    computed: str
    library: str | None = None
    takes_out: bool = False


FORMS = {
    "arrow": Form("arrow"),
    "pandas": Form("columns", "pandas"),
    "polars": Form("arrow", "polars"),
    "numpy": Form("numpy", takes_out=True),
    "torch": Form("rows", "torch", takes_out=True),
    "cupy": Form("cupy", takes_out=True),
    "cupy_columns": Form("cupy_columns"),
}
"""The forms of the result, by what `to=` says."""
TABLES = ("arrow", "columns")
"""Those among what is computed that are tables, with the kept columns."""
MATRIX_ORDERS: dict[str, Literal["C", "F"]] = {"numpy": "F", "rows": "C"}
"""Those that are matrices in memory of the host, and what is contiguous in them."""
_FLOATS = {None: None, **{name: DType(name) for name in FLOAT_FORMATS}}


def check_result(to: str, out: object, backend: str, *, categories: bool = False) -> None:
    """Raise unless a backend gives out features in a form.

    Args:
        to: the form.
        out: the memory that a user gives for it.
        backend: its name.
        categories: whether codes are given out as categories.

    Raises:
        InvalidPlan: it does not, or there is no such form.
        LibraryUnavailable: the library of the form is not installed.
    """
    form = FORMS.get(str(to))
    if form is None:
        hint = did_you_mean(str(to), FORMS)
        raise InvalidPlan(f"to must be one of {', '.join(map(repr, FORMS))}, got {to!r}.{hint}")
    if out is not None and not form.takes_out:
        taking = [name for name, other in FORMS.items() if other.takes_out]
        raise InvalidPlan(
            f"out= is for {' and '.join(f'to={name!r}' for name in taking)}, got to={to!r}, whose "
            "columns own their memory"
        )
    if to.startswith("cupy") and backend not in DEVICE_NAMES:
        raise InvalidPlan(
            f"to={to!r} is memory of a device, which backend={backend!r} does not write. Use "
            "backend='gpu', or to='numpy'"
        )
    if categories and form.computed not in TABLES:
        raise InvalidPlan(
            f"categories=True is for to='arrow', to='pandas' and to='polars', got to={to!r}, which "
            "holds numbers: the codes themselves"
        )
    if form.library is not None:
        library(form.library)


Features = Mapping[str, Node]
"""The expression of each output column."""


def arrow_program(
    plan: Declaration | TypedPlan, features: Features, types: Types, *, training: bool = False
) -> Program:
    """Return the program whose outputs are the Arrow columns of the features.

    Args:
        plan: whose float type they have.
        features: the columns.
        types: type of every node.
        training: whether the rows are those that fit learns from.
    """
    make = partial(output_of, dtype=_FLOATS[plan.dtype])
    named = list(features.items())
    return program_of(outputs_of(named, types, make, hoist=True, training=training))


def matrix_dtype(plan: Declaration | TypedPlan) -> DType:
    """Return the float type of the matrix: the plan's, or float64."""
    return _FLOATS[plan.dtype] or FLOAT64


def matrix_program(
    plan: Declaration | TypedPlan, features: Features, types: Types, *, training: bool = False
) -> Program:
    """Return the program whose outputs are the columns of the matrix, all of one float type.

    Arguments as of `arrow_program`.

    Raises:
        TypeMismatch: a feature that is neither a number nor a bool.
    """
    named = _numbers(features, types, "a matrix")
    make = partial(matrix_output, dtype=matrix_dtype(plan))
    return program_of(outputs_of(named, types, make, hoist=True, training=training))


def arrays_program(
    plan: Declaration | TypedPlan, features: Features, types: Types, *, training: bool = False
) -> Program:
    """Return the program whose outputs are the features as arrays, each of its own type.

    Arguments as of `arrow_program`.

    Raises:
        TypeMismatch: a feature that is neither a number nor a bool.
    """
    named = _numbers(features, types, "an array of a device")
    make = partial(array_output, dtype=_FLOATS[plan.dtype])
    return program_of(outputs_of(named, types, make, hoist=True, training=training))


def _numbers(features: Features, types: Types, place: str) -> list[tuple[str, Node]]:
    """Return the features, all of which are numbers or bools."""
    for name, node in features.items():
        if not types[node].is_number:
            raise TypeMismatch(
                f"feature {name!r} is {types[node]}, which {place} cannot hold. Use to='arrow', "
                "or make a number of it: .dt.epoch('s'), .dt.total_seconds()"
            )
    return list(features.items())


def output_types(
    plan: Declaration | TypedPlan, features: Features, types: Types
) -> dict[str, DType]:
    """Return the type of each Arrow output.

    Raises:
        TypeMismatch: a feature that is text, or no column.
        InvalidPlan: the columns of a feature are known once the plan is fitted.
    """
    found: dict[str, DType] = {}
    for name, node in features.items():
        dtype = types[node]
        if dtype == ONE_HOT:
            raise InvalidPlan(
                f"feature {name!r}: the columns of {show(node)} are known once the plan is fitted. "
                "Take fitted.schema"
            )
        if dtype == CROSS:
            raise TypeMismatch(
                f"feature {name!r} is a cross, {show(node)}. An encoder makes a number of it: "
                ".ordinal_encode(), .count_encode()"
            )
        if dtype.is_list:
            raise TypeMismatch(
                f"feature {name!r} is a list, {show(node)}: features are numbers. Make numbers of "
                "it: .list.len(), .list.mean(), .list.get(0), .list.pad(width)"
            )
        if dtype.holds_bytes or dtype in NEVER_COLUMNS:
            raise TypeMismatch(
                f"feature {name!r} is text, {show(node)}: features are numbers. Pass the column "
                "through with Plan(keep=[...]), or make a number of it: .ordinal_encode(), "
                ".hash(), == 'text', is_in, replace_strict"
            )
        found[name] = stored_type(dtype, _FLOATS[plan.dtype])
    return found


def output_schema(plan: Declaration | TypedPlan, features: Features, types: Types) -> Schema:
    """Return the Arrow schema of the features, without kept columns."""
    found = output_types(plan, features, types)
    return pa.schema([(name, arrow_type(dtype)) for name, dtype in found.items()])
