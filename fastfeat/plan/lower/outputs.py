"""The outputs of a plan: programs for Arrow columns, a matrix or arrays, and the Arrow schema.

Kept columns are columns of the data that the plan passes through (`keep=`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

from fastfeat.backends import DEVICE_NAMES
from fastfeat.engine.program import Output, Program, program_of
from fastfeat.errors import InvalidPlan, TypeMismatch, did_you_mean
from fastfeat.io.arrow import Schema, pa
from fastfeat.io.columns.types import UnsupportedType, arrow_type
from fastfeat.io.sinks import results as result_forms
from fastfeat.ir.dtypes import (
    BOOL,
    CROSS,
    FLOAT64,
    FLOAT_FORMATS,
    INT16,
    INT32,
    INTEGER_RANGE,
    NEVER_COLUMNS,
    ONE_HOT,
    UINT8,
    DType,
)
from fastfeat.ir.node import Node
from fastfeat.ir.show import show
from fastfeat.plan.declare.bind import TableTypes
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower import code_types as types_of_codes
from fastfeat.plan.lower.lower import (
    NodeTypes,
    array_output,
    code_output,
    matrix_output,
    output_of,
    stored_type,
)
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.plan.lower.typed import TypedPlan
from fastfeat.scalars.op import TRUE


class ResultForm(NamedTuple):
    """A form in which features are returned: a value of `to=`.

    Args:
        computed: The form in which features are computed: an Arrow table ("arrow"), a table that
            owns all its memory ("columns"), a matrix by columns ("numpy") or by rows ("rows"), a
            sparse matrix of compressed rows ("csr"), or, on the device, a matrix ("cupy") or
            columns ("cupy_columns").
        library: Library of the result, imported for it; None if it is always installed.
        takes_out: Whether `out=` can provide the memory.
    """

    computed: str
    library: str | None = None
    takes_out: bool = False


FORMS = {
    "arrow": ResultForm("arrow"),
    "pandas": ResultForm("columns", "pandas"),
    "polars": ResultForm("arrow", "polars"),
    "numpy": ResultForm("numpy", takes_out=True),
    "torch": ResultForm("rows", "torch", takes_out=True),
    "scipy": ResultForm("csr", "scipy"),
    "cupy": ResultForm("cupy", takes_out=True),
    "cupy_columns": ResultForm("cupy_columns"),
}
"""The forms of the result, by the value of `to=`."""
TABLES = ("arrow", "columns")
"""Values of `ResultForm.computed` that are tables, which include the kept columns."""
MATRIX_ORDERS: dict[str, Literal["C", "F"]] = {"numpy": "F", "rows": "C"}
"""Values of `ResultForm.computed` that are matrices in host memory, with their memory order."""
NOT_IN_SCIPY = ("float16", "bfloat16")
"""Float types of plans that SciPy's sparse matrices do not have."""
_FLOATS = {None: None, **{name: DType(name) for name in FLOAT_FORMATS}}


def check_result(
    to: str, out: object, backend: str, *, categories: bool = False, dtype: str | None = None
) -> None:
    """Raise unless a backend can return features in the form `to`; `dtype` is the plan's."""
    form = FORMS.get(str(to))
    if form is None:
        hint = did_you_mean(str(to), FORMS)
        raise InvalidPlan(f"to must be one of {', '.join(map(repr, FORMS))}, got {to!r}.{hint}")
    if out is not None and not form.takes_out:
        taking = [name for name, other in FORMS.items() if other.takes_out]
        raise InvalidPlan(
            f"out= is for {' and '.join(f'to={name!r}' for name in taking)}, got to={to!r}, which "
            "cannot be written into a given array. Leave out the parameter out="
        )
    if to.startswith("cupy") and backend not in DEVICE_NAMES:
        raise InvalidPlan(
            f"to={to!r} is in device memory, but backend={backend!r} writes host memory. Use "
            "backend='gpu', or to='numpy'"
        )
    if categories and form.computed not in TABLES:
        raise InvalidPlan(
            f"categories=True is for to='arrow', to='pandas' and to='polars', got to={to!r}, which "
            "has the codes as numbers. Leave out categories="
        )
    if form.computed == "csr" and dtype in NOT_IN_SCIPY:
        raise InvalidPlan(
            f"to={to!r}: SciPy has no sparse matrix of {dtype}. Use Plan(dtype='float32'), or "
            "to='numpy'"
        )
    if form.library is not None:
        result_forms.library(form.library)


FeatureNodes = Mapping[str, Node]
"""The expression of each output column."""


def arrow_program(
    plan: Declaration | TypedPlan,
    features: FeatureNodes,
    types: NodeTypes,
    *,
    training: bool = False,
) -> Program:
    """Return the program that computes the features as Arrow columns.

    `training` tells whether the rows are the training rows.
    """
    make = partial(output_of, dtype=_FLOATS[plan.dtype])
    named = list(features.items())
    outputs = outputs_of(named, types, make, hoist=True, training=training)
    return program_of(_of_code_types(plan, outputs))


def _of_code_types(plan: Declaration | TypedPlan, outputs: list[Output]) -> list[Output]:
    """Return the outputs with codes in the smallest types, if the plan asks for them."""
    codes = plan.codes if isinstance(plan, TypedPlan) else None
    if not codes:
        return outputs
    return [replace(one, dtype=codes.get(one.name, one.dtype)) for one in outputs]


def matrix_dtype(plan: TypedPlan) -> DType:
    """Return the type of the matrix: the plan's float type, or float64.

    If the plan asks for the smallest codes, names no float type, and all features are codes or
    bools that are never missing, it is the smallest type that holds them all.
    """
    if plan.codes is None or plan.dtype is not None:
        return _FLOATS[plan.dtype] or FLOAT64
    return plan.once(_dtype_of_codes)


def _dtype_of_codes(plan: TypedPlan) -> DType:
    outputs = arrow_program(plan, plan.nodes, plan.types).outputs
    types = {UINT8 if output.dtype == BOOL else output.dtype for output in outputs}
    if types <= {UINT8, INT16, INT32} and all(output.ok is TRUE for output in outputs):
        return max(types, key=lambda dtype: INTEGER_RANGE[dtype.name][1])
    return FLOAT64


def matrix_program(
    plan: TypedPlan, features: FeatureNodes, types: NodeTypes, *, training: bool = False
) -> Program:
    """Return the program that computes the features as columns of a matrix, all of one type."""
    named = _numbers(features, types, "a matrix")
    dtype = matrix_dtype(plan)
    make = partial(matrix_output if dtype.is_float else code_output, dtype=dtype)
    return program_of(outputs_of(named, types, make, hoist=True, training=training))


def arrays_program(
    plan: Declaration | TypedPlan,
    features: FeatureNodes,
    types: NodeTypes,
    *,
    training: bool = False,
) -> Program:
    """Return the program that computes the features as arrays, each of its own type."""
    named = _numbers(features, types, "a device array")
    make = partial(array_output, dtype=_FLOATS[plan.dtype])
    outputs = outputs_of(named, types, make, hoist=True, training=training)
    return program_of(_of_code_types(plan, outputs))


def _numbers(features: FeatureNodes, types: NodeTypes, place: str) -> list[tuple[str, Node]]:
    """Return the features as name and expression; raise TypeMismatch unless all are numbers."""
    for name, node in features.items():
        if not types[node].is_number:
            raise TypeMismatch(
                f"feature {name!r} is {types[node]}, which {place} cannot hold. Use "
                "to='arrow', or convert it to a number: .dt.epoch('s'), .dt.total_seconds()"
            )
    return list(features.items())


def output_types(
    plan: Declaration | TypedPlan, features: FeatureNodes, types: NodeTypes
) -> dict[str, DType]:
    """Return the type of each feature's Arrow column, by name."""
    found: dict[str, DType] = {}
    for name, node in features.items():
        dtype = types[node]
        if dtype == ONE_HOT:
            raise InvalidPlan(
                f"feature {name!r}: the columns of {show(node)} are known once the plan is fitted. "
                "Use fitted.schema"
            )
        if dtype == CROSS:
            raise TypeMismatch(
                f"feature {name!r} is a cross, {show(node)}: features must be numbers. Encode it: "
                ".ordinal_encode(), .count_encode()"
            )
        if dtype.is_list:
            raise TypeMismatch(
                f"feature {name!r} is a list, {show(node)}: features must be numbers. Convert it: "
                ".list.len(), .list.mean(), .list.get(0), .list.pad(width)"
            )
        if dtype.holds_bytes or dtype in NEVER_COLUMNS:
            raise TypeMismatch(
                f"feature {name!r} is text, {show(node)}: features must be numbers. Pass the "
                "column through with Plan(keep=[...]), or convert it to numbers: "
                ".ordinal_encode(), .hash(), == 'text', .is_in(), .replace_strict()"
            )
        found[name] = stored_type(dtype, _FLOATS[plan.dtype])
    codes = plan.codes if isinstance(plan, TypedPlan) else None
    return {name: (codes or {}).get(name, dtype) for name, dtype in found.items()}


def output_schema(
    plan: Declaration | TypedPlan, features: FeatureNodes, types: NodeTypes
) -> Schema:
    """Return the Arrow schema of the features, without kept columns."""
    found = output_types(plan, features, types)
    return pa.schema([(name, arrow_type(dtype)) for name, dtype in found.items()])


def schema_before_fit(
    plan: Declaration,
    inputs: Mapping[str, DType | UnsupportedType],
    tables: TableTypes,
    types: NodeTypes,
) -> Schema:
    """Return the Arrow schema of the features of a plan before it is fitted."""
    codes = None if plan.codes is None else types_of_codes.code_types(plan.nodes, None)
    typed = TypedPlan(plan.nodes, plan.dtype, inputs, tables, types, {}, codes)
    return output_schema(typed, plan.nodes, types)
