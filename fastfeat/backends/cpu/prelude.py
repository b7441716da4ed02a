# pyright: basic
"""The names that a generated module uses; importing this imports Numba."""

from __future__ import annotations

from fastfeat_kernels.intrinsics import enter_ieee, leave_ieee
from numba import int64

from fastfeat.backends.cpu import elements, staging
from fastfeat.backends.cpu.emit import elementary_intrinsic as elementary
from fastfeat.backends.cpu.emit import primitive_intrinsic
from fastfeat.backends.cpu.staging import (
    finish_flags,
    inner,
    parameter_b1,
    parameter_f64,
    parameter_i64,
    place_flags,
    stage_flags,
    word,
)
from fastfeat.scalars.primitives import PRIMITIVES

NAN, INF = float("nan"), float("inf")

NAMES = {
    **{name: primitive_intrinsic(name) for name in PRIMITIVES},
    **{f"read_{kind}": load for kind, load in elements.LOADS.items()},
    **{f"write_{kind}": store for kind, store in elements.STORES.items()},
    **{f"stage_{kind}": stage for kind, stage in staging.STAGES.items()},
    **{f"place_{kind}": place for kind, place in staging.PLACES.items()},
    **{f"finish_{kind}": finish for kind, finish in staging.FINISHES.items()},
    "elementary": elementary,
    "enter_ieee": enter_ieee,
    "finish_flags": finish_flags,
    "inner": inner,
    "int64": int64,
    "leave_ieee": leave_ieee,
    "parameter_b1": parameter_b1,
    "parameter_f64": parameter_f64,
    "parameter_i64": parameter_i64,
    "place_flags": place_flags,
    "stage_flags": stage_flags,
    "word": word,
    "NAN": NAN,
    "INF": INF,
}
globals().update(NAMES)
__all__ = list(NAMES)  # pyright: ignore[reportUnsupportedDunderAll]
