"""Functions of learnt values: the divisor of a scaler."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.errors import ColumnConstant, FastfeatWarning, InvalidData
from fastfeat.ir.dtypes import FLOAT64
from fastfeat.ir.writing import PLAIN
from fastfeat.scalars import op
from fastfeat.scalars.arithmetic import float_type
from fastfeat.scalars.value import ScalarFunction, Value, as_f64, join_status

EPSILON = 2.0**-52


def _scale_or_one(values: Sequence[Value], params: Mapping[str, Any]) -> Value:
    """Return the spread, or 1 if it is rounding noise compared with the level.

    The spread is noise if spread <= 8 eps |level|, as in a constant column.
    """
    spread, level = (as_f64(value) for value in values)
    constant = spread <= op.magnitude(level) * (8 * EPSILON)
    return Value(FLOAT64, op.select(constant, 1.0, spread), status=join_status(*values))


def _warn_constant(values: Sequence[Any], params: Mapping[str, Any]) -> FastfeatWarning | None:
    if len(values) < 2:  # the spread is learnt per key, so it is not a constant
        return None
    spread, level = values
    if spread is not None and math.isinf(spread):
        raise InvalidData(
            "has a range above the largest float, so its scale is infinite. Divide it first, for "
            "example by 4, or clip it"
        )
    if spread is None or level is None or spread > 8 * EPSILON * abs(level):
        return None
    return ColumnConstant(
        f"is constant in the training data (near {level!r}): its scale is set to 1"
    )


FUNCTIONS: dict[str, ScalarFunction] = {
    "scale_or_one": ScalarFunction(
        float_type, _scale_or_one, _warn_constant, n_args=2, written=PLAIN
    ),
}
