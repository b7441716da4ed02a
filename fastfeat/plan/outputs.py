"""The outputs of a plan: one program for Arrow columns, one for a matrix, and their schema."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastfeat.backends import DEVICE_NAMES
from fastfeat.backends.program import Program, program_of
from fastfeat.dtypes import FLOAT32, FLOAT64, TABLE, UTF8, DType
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.types import arrow_type
from fastfeat.ir.node import Node
from fastfeat.ir.show import show
from fastfeat.plan.alike import outputs_of
from fastfeat.plan.lower import Types, array_output, matrix_output, output_of, stored_type

if TYPE_CHECKING:
    from fastfeat.plan.plan import Plan

RESULTS = ("arrow", "numpy", "cupy", "cupy_columns")
_FLOATS = {None: None, "float32": FLOAT32, "float64": FLOAT64}


def check_result(to: str, out: object, backend: str) -> None:
    """Raise unless a backend gives out features in a form.

    Raises:
        InvalidPlan: it does not, or there is no such form.
    """
    if to not in RESULTS:
        raise InvalidPlan(f"to must be one of {', '.join(map(repr, RESULTS))}, got {to!r}")
    if out is not None and to not in ("numpy", "cupy"):
        raise InvalidPlan(
            f"out= is for to='numpy' and to='cupy', got to={to!r}, whose columns own their memory"
        )
    if to.startswith("cupy") and backend not in DEVICE_NAMES:
        raise InvalidPlan(
            f"to={to!r} is memory of a device, which backend={backend!r} does not write. Use "
            "backend='gpu', or to='numpy'"
        )


def arrow_program(plan: Plan, types: Types) -> Program:
    """Return the program whose outputs are the Arrow columns of the features."""
    dtype = _FLOATS[plan.dtype]
    features = list(plan.nodes.items())
    make = partial(output_of, dtype=dtype)
    return program_of(outputs_of(features, types, make, hoist=True))


def matrix_dtype(plan: Plan) -> DType:
    """Return the float type of the matrix: the plan's, or float64."""
    return _FLOATS[plan.dtype] or FLOAT64


def matrix_program(plan: Plan, types: Types) -> Program:
    """Return the program whose outputs are the columns of the matrix, all of one float type.

    Raises:
        TypeMismatch: a feature that is neither a number nor a bool.
    """
    features = _numbers(plan, types, "a matrix")
    make = partial(matrix_output, dtype=matrix_dtype(plan))
    return program_of(outputs_of(features, types, make, hoist=True))


def arrays_program(plan: Plan, types: Types) -> Program:
    """Return the program whose outputs are the features as arrays, each of its own type.

    Raises:
        TypeMismatch: a feature that is neither a number nor a bool.
    """
    features = _numbers(plan, types, "an array of a device")
    make = partial(array_output, dtype=_FLOATS[plan.dtype])
    return program_of(outputs_of(features, types, make, hoist=True))


def _numbers(plan: Plan, types: Types, place: str) -> list[tuple[str, Node]]:
    """Return the features, all of which are numbers or bools."""
    features = list(plan.nodes.items())
    for name, node in features:
        if not types[node].is_number:
            raise TypeMismatch(
                f"feature {name!r} is {types[node]}, which {place} cannot hold. Use to='arrow', "
                "or make a number of it: .dt.epoch('s'), .dt.total_seconds()"
            )
    return features


def output_types(plan: Plan, types: Types) -> dict[str, DType]:
    """Return the type of each Arrow output.

    Raises:
        TypeMismatch: a feature that is text.
    """
    found: dict[str, DType] = {}
    for name, node in plan.nodes.items():
        dtype = types[node]
        if dtype in (UTF8, TABLE):
            raise TypeMismatch(
                f"feature {name!r} is text, {show(node)}: features are numbers. Pass the column "
                "through with Plan(keep=[...]), or make a number of it: == 'text', is_in, "
                "replace_strict"
            )
        found[name] = stored_type(dtype, _FLOATS[plan.dtype])
    return found


def output_schema(plan: Plan, types: Types) -> Schema:
    """Return the Arrow schema of the features, without kept columns."""
    return pa.schema([(name, arrow_type(t)) for name, t in output_types(plan, types).items()])
