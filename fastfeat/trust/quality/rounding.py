"""Rounding: the error that each float type causes in each feature, measured on some rows.

A type keeps the leading bits of a number, and has a largest and a smallest number. Whether that is
enough depends on the values: scaled features lose little in float16, while amounts of money may
exceed its range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastfeat_kernels.arrays import Float64Array
from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidPlan, counted
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.feature_subset import select_features
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.transform import transform
from fastfeat.io.sinks import results as result_forms
from fastfeat.ir.dtypes import FLOAT_FORMATS

NARROW = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class Rounding:
    """The error of a feature that is rounded once to a float type, over some rows.

    Missing values and infinities are left out: every type represents them.

    Args:
        dtype: Name of the float type.
        n_values: Number of finite values.
        n_beyond: Number of values beyond the type's largest number, for which `transform` fails.
            The other figures exclude them.
        n_vanished: Number of nonzero values that become 0.
        largest: Largest absolute error.
        largest_relative: Largest error divided by the size of its value; 1 for a value that becomes
            0. At most 2**-24 for float32, 2**-11 for float16 and 2**-8 for bfloat16, if no value is
            subnormal in the type.
        rms_relative: Root mean square of the relative errors of nonzero values.
    """

    dtype: str
    n_values: int
    n_beyond: int
    n_vanished: int
    largest: float
    largest_relative: float
    rms_relative: float

    @property
    def fits(self) -> bool:
        """Whether the type represents every value, and no nonzero value becomes 0."""
        return not self.n_beyond and not self.n_vanished


def roundings(
    fitted: Fitted, rows: CallRows, *, dtypes: Sequence[str] = NARROW
) -> dict[str, dict[str, Rounding]]:
    """Return the rounding errors of each float feature, by feature name and by type.

    Features are computed in float64 whatever the plan's dtype. `rows` must cover the whole data.

    Raises:
        InvalidPlan: A type is not "float16", "bfloat16", "float32" or "float64".
    """
    for dtype in dtypes:
        if dtype not in FLOAT_FORMATS:
            known = ", ".join(map(repr, FLOAT_FORMATS))
            raise InvalidPlan(f"dtypes= may contain {known}, got {dtype!r}")
    names = [name for name, node in fitted.nodes.items() if fitted.types[node].is_float]
    if not names:
        return {}
    wide = select_features(fitted, names, dtype="float64")
    features = transform(wide, rows)
    return {name: roundings_of(_values(features.column(name)), dtypes) for name in names}


def _values(column: Any) -> Float64Array:
    chunks = [result_forms.float_values(chunk) for chunk in column.chunks]
    return np.concatenate(chunks) if chunks else np.zeros(0)


def roundings_of(values: Float64Array, dtypes: Sequence[str] = NARROW) -> dict[str, Rounding]:
    """Return the rounding errors of values, shape `(n_rows,)`, by type; NaN is missing."""
    finite = values[np.isfinite(values)]
    return {dtype: _rounding(finite, dtype) for dtype in dtypes}


def _rounding(values: Float64Array, dtype: str) -> Rounding:
    result = rounded(values, dtype)
    held = np.isfinite(result)
    kept, sizes = values[held], np.abs(values[held])
    errors = np.abs(result[held] - kept)
    is_zero = sizes == 0
    shares = errors[~is_zero] / sizes[~is_zero]
    return Rounding(
        dtype,
        n_values=len(values),
        n_beyond=len(values) - len(kept),
        n_vanished=int(np.count_nonzero((result[held] == 0) & ~is_zero)),
        largest=float(errors.max(initial=0.0)),
        largest_relative=float(shares.max(initial=0.0)),
        rms_relative=math.sqrt(float(np.square(shares).mean())) if len(shares) else 0.0,
    )


def rounded(values: Float64Array, dtype: str) -> Float64Array:
    """Return values rounded once to a float type, ties to even, as float64; too large is infinite.

    `values` has shape `(n_rows,)`; NaN and infinities stay. `dtype` is "float16", "bfloat16",
    "float32" or "float64".

    Example:
        >>> import numpy as np
        >>> rounded(np.array([0.1, 257.0, 1e-8, 70000.0]), "float16").tolist()
        [0.0999755859375, 257.0, 0.0, inf]
        >>> rounded(np.array([0.1, 257.0, 1e-8, 70000.0]), "bfloat16").tolist()
        [0.10009765625, 256.0, 1.0011717677116394e-08, 70144.0]
    """
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):
            return values.astype(dtype).astype(np.float64)
    kind = FLOAT_FORMATS[dtype]
    _, exponents = np.frexp(values)
    units = np.maximum(exponents - kind.n_bits, int(math.log2(kind.least)))
    with np.errstate(invalid="ignore", over="ignore"):
        result = np.ldexp(np.rint(np.ldexp(values, -units)), units)
    return np.where(np.abs(result) > kind.largest, np.copysign(np.inf, values), result)


def roundings_text(found: Mapping[str, Rounding]) -> str:
    """Return the rounding errors of a feature as a line of text.

    Example:
        >>> import numpy as np
        >>> roundings_text(roundings_of(np.array([0.1, 70000.0]), ["float16", "bfloat16"]))
        'float16: 1 value beyond its largest number; bfloat16: error at most 0.21 %, rms 0.16 %'
    """
    return "; ".join(f"{name}: {_rounding_text(one)}" for name, one in found.items())


def _rounding_text(one: Rounding) -> str:
    if one.n_beyond:
        return f"{counted(one.n_beyond, 'value')} beyond its largest number"
    vanished = f", {one.n_vanished:,} rounded to 0" if one.n_vanished else ""
    largest, rms = (f"{100 * share:.2g} %" for share in (one.largest_relative, one.rms_relative))
    return f"error at most {largest}, rms {rms}{vanished}"
