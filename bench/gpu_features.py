"""The 12 row features in GPU array libraries, one operation after the other.

Each operation is a kernel that reads and writes device memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.features import constants


@dataclass(frozen=True, slots=True)
class ArrayLibrary:
    """The functions of a library that the features need besides operators.

    Args:
        module: Has where, isnan, clip, abs, log1p, sin and cos.
        to_float32: Converts an array to float32.
        count_edges: Returns for each element the number of edges that are not above it; any number
            for NaN.
    """

    module: Any
    to_float32: Callable[[Any], Any]
    count_edges: Callable[[Any, tuple[float, ...]], Any]


def cupy_library(cupy: Any) -> ArrayLibrary:
    """Return CuPy, or NumPy, which uses the same names."""
    return ArrayLibrary(
        cupy,
        lambda x: x.astype(cupy.float32),
        lambda x, edges: cupy.searchsorted(cupy.asarray(edges, x.dtype), x, side="right"),
    )


def torch_library(torch: Any) -> ArrayLibrary:
    """Return torch."""
    return ArrayLibrary(
        torch,
        lambda x: x.to(torch.float32),
        lambda x, edges: torch.searchsorted(
            torch.tensor(edges, dtype=x.dtype, device=x.device), x, right=True
        ),
    )


def array_12_features(library: ArrayLibrary, inputs: Mapping[str, Any]) -> list[Any]:
    """Return the 12 features, float32 arrays with NaN for missing.

    `inputs` has a to d in float64, e to h in float32, with NaN for missing.
    """
    xp, single, k = library.module, library.to_float32, constants(0)
    a, b, c, d, e, f, g, h = (inputs[name] for name in "abcdefgh")

    def filled(x: Any, value: float) -> Any:
        return xp.where(xp.isnan(x), value, x)

    def ratio(x: Any, y: Any) -> Any:
        quotient = x / y
        return xp.where((y != 0) & ~xp.isnan(quotient), quotient, 0)

    angle = h * (2 * 3.141592653589793 / k.period)
    bins = single(library.count_edges(g, k.edges))
    return [
        single(filled(a, k.mean)),
        single(xp.clip(filled(b, 0.0), -k.bound, k.bound)),
        xp.log1p(single(filled(c, 0.0))),
        single(filled((a - k.mean) / k.deviation, 0.0)),
        single(ratio(a, b)),
        single(ratio(e, f)),
        single(xp.where(d > k.threshold, d, e)),
        single(xp.where(xp.isnan(g), -1.0, bins)),
        single(xp.sin(angle)),
        single(xp.cos(angle)),
        single(filled((xp.log1p(xp.abs(e)) - k.log_mean) / 0.5, 0.0)),
        single(filled((xp.clip(h, 1.0, 23.0) - k.centre) / 6.9, 0.0)),
    ]
