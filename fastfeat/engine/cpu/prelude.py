# pyright: basic
"""The names that a generated module uses; importing this imports Numba."""

from __future__ import annotations

from fastfeat_kernels.intrinsics import prefetch
from fastfeat_kernels.pipeline import INNER_OPTIONS, SEPARATE_OPTIONS
from numba import int64, njit

from fastfeat.engine.cpu.emit import (
    LOADS,
    PARAMETERS,
    POINTERS,
    STORES,
    elementary_intrinsic,
    primitive_intrinsic,
)
from fastfeat.scalars.primitives import PRIMITIVES


@njit(**INNER_OPTIONS)
def prefetch_word(address, index):
    """Ask for an element of a table, to be read soon."""
    prefetch(address + 8 * index)


NAMES = {
    "prefetch_word": prefetch_word,
    **{name: primitive_intrinsic(name) for name in PRIMITIVES},
    **{f"read_{kind}": load for kind, load in LOADS.items()},
    **{f"write_{kind}": store for kind, store in STORES.items()},
    **{f"pointer_{kind}": pointer for kind, pointer in POINTERS.items()},
    **{f"word_{physical}": word for physical, word in PARAMETERS.items()},
    "elementary": elementary_intrinsic,
    "inner": njit(**SEPARATE_OPTIONS),
    "int64": int64,
    "NAN": float("nan"),
    "INF": float("inf"),
}
globals().update(NAMES)
__all__ = list(NAMES)  # pyright: ignore[reportUnsupportedDunderAll]
