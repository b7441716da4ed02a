"""The outputs of a plan: one program for Arrow columns, one for a matrix, and their schema."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastfeat.backends.program import Program, program_of
from fastfeat.dtypes import FLOAT32, FLOAT64, TABLE, UTF8, DType
from fastfeat.errors import TypeMismatch
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.types import arrow_type
from fastfeat.ir.show import show
from fastfeat.plan.alike import outputs_of
from fastfeat.plan.lower import Types, matrix_output, output_of, stored_type

if TYPE_CHECKING:
    from fastfeat.plan.plan import Plan

_FLOATS = {None: None, "float32": FLOAT32, "float64": FLOAT64}


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
    features = list(plan.nodes.items())
    for name, node in features:
        if not types[node].is_number:
            raise TypeMismatch(
                f"feature {name!r} is {types[node]}, which a matrix cannot hold. Use to='arrow', "
                "or make a number of it: .dt.epoch('s'), .dt.total_seconds()"
            )
    make = partial(matrix_output, dtype=matrix_dtype(plan))
    return program_of(outputs_of(features, types, make, hoist=True))


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
