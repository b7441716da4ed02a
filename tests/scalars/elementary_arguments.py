"""Where the elementary functions are tried: ranges that stress each, by function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastfeat.scalars.elementary import BODIES

Ranges = list[tuple[np.ndarray, ...]]

SPECIAL = np.array(
    [
        *(0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 2.0**-1022, -(2.0**-1022)),
        *(1.7976931348623157e308, -1.7976931348623157e308, 1.0, -1.0, 0.5, -0.5, 2.0, -3.0, 3.0),
        *(709.78, 709.79, -745.13, -745.14, 710.47, 710.48, 2.0**45, -(2.0**45), 2.0**53, 1e300),
    ]
)


def _powers(rng: np.random.Generator, n: int, low: float, high: float) -> np.ndarray:
    """Return numbers of either sign whose logarithm is uniform."""
    return np.exp(rng.uniform(low, high, n)) * rng.choice([-1.0, 1.0], n)


def _positive(rng: np.random.Generator, n: int) -> Ranges:
    return [
        (np.exp(rng.normal(size=n) * 0.3),),
        (1 + rng.normal(size=n) * 1e-3,),
        (np.exp(rng.uniform(-744, 709, n)),),
        (rng.gamma(2, 30, n),),
    ]


def _exponents(rng: np.random.Generator, n: int) -> Ranges:
    return [
        (rng.normal(size=n) * 3,),
        (rng.uniform(-1.1, 1.1, n),),
        (rng.uniform(-745.1, 709.7, n),),
        (_powers(rng, n, -700, 0),),
    ]


def _angles(rng: np.random.Generator, n: int) -> Ranges:
    return [
        (rng.uniform(-7, 7, n),),
        (rng.uniform(-(2.0**45), 2.0**45, n),),
        (np.round(rng.uniform(1, 1e9, n)) * (np.pi / 2),),
        (_powers(rng, n, -700, 0),),
    ]


def _near_angles(rng: np.random.Generator, n: int) -> Ranges:
    quarter = np.pi / 4
    return [(rng.uniform(-quarter, quarter, n),), (_powers(rng, n, -700, -0.25),)]


def _huge_angles(rng: np.random.Generator, n: int) -> Ranges:
    return [
        *_angles(rng, n),
        (_powers(rng, n, 31.2, 709),),
        (np.round(rng.uniform(1e15, 1e17, n)) * (np.pi / 2),),
    ]


def _unit(rng: np.random.Generator, n: int) -> Ranges:
    ends = (1 - np.exp(rng.uniform(-36, 0, n))) * rng.choice([-1.0, 1.0], n)
    return [(rng.uniform(-1, 1, n),), (ends,), (_powers(rng, n, -700, 0),)]


def _all(rng: np.random.Generator, n: int) -> Ranges:
    return [
        (rng.normal(size=n) * 2,),
        (rng.uniform(2.3, 2.5, n),),
        (_powers(rng, n, -744, 709),),
    ]


def _hyperbolic(rng: np.random.Generator, n: int) -> Ranges:
    return [
        (rng.uniform(-2, 2, n),),
        (rng.uniform(-22, 22, n),),
        (rng.uniform(-710, 710, n),),
        (_powers(rng, n, -700, 0),),
    ]


def _shares(rng: np.random.Generator, n: int) -> Ranges:
    return [
        (rng.random(n),),
        (0.5 + rng.normal(size=n) * 1e-3,),
        (np.exp(rng.uniform(-740, -2.6, n)),),
        (1 - np.exp(rng.uniform(-36, -2.6, n)),),
    ]


def _bases_and_exponents(rng: np.random.Generator, n: int) -> Ranges:
    return [
        (np.exp(2 * rng.normal(size=n)), 5 * rng.normal(size=n)),
        (1 + rng.normal(size=n) * 1e-4, rng.uniform(-1e6, 1e6, n)),
        (np.exp(rng.uniform(-744, 709, n)), rng.uniform(-1, 1, n)),
        (rng.normal(size=n) * 10, rng.integers(-20, 20, n).astype(float)),
    ]


def _dividends_and_divisors(rng: np.random.Generator, n: int) -> Ranges:
    return [
        (rng.normal(size=n) * 1000, rng.gamma(2, 3, n)),
        (_powers(rng, n, -744, 709), _powers(rng, n, -744, 709)),
        (rng.integers(-1000, 1000, n) * 0.1, rng.integers(1, 100, n) * 0.1),
        (_powers(rng, n, -744, -700), _powers(rng, n, -744, -700)),
    ]


RANGES: dict[str, Callable[[np.random.Generator, int], Ranges]] = {
    "exp": _exponents,
    "expm1": _exponents,
    "sigmoid": _exponents,
    "log": _positive,
    "log1p": lambda rng, n: [*_positive(rng, n), *_unit(rng, n)],
    "log2": _positive,
    "log10": _positive,
    "sin": _angles,
    "cos": _angles,
    "tan": _angles,
    "sin_near": _near_angles,
    "cos_near": _near_angles,
    "sin_exact": _huge_angles,
    "cos_exact": _huge_angles,
    "tan_exact": _huge_angles,
    "arcsin": _unit,
    "arccos": _unit,
    "arctan": _all,
    "sinh": _hyperbolic,
    "cosh": _hyperbolic,
    "tanh": _hyperbolic,
    "cbrt": _all,
    "normal_quantile": _shares,
    "pow": _bases_and_exponents,
}


def ranges(name: str, n: int) -> Ranges:
    """Return arguments of a function, n in each range; the same in every run."""
    rng = np.random.default_rng(sum(map(ord, name)))
    by_arity = _all if BODIES[name].arity == 1 else _dividends_and_divisors
    return RANGES.get(name, by_arity)(rng, n)


def anything(name: str, n: int) -> tuple[np.ndarray, ...]:
    """Return about n arguments of every kind in one array: each range, and all special values."""
    arity = BODIES[name].arity
    grid = np.meshgrid(*[SPECIAL] * arity)
    parts = [tuple(axis.ravel() for axis in grid)]
    kinds = ranges(name, 1)
    parts += ranges(name, n // (len(kinds) + 1))
    rng = np.random.default_rng(n)
    bits = [rng.integers(-(2**63), 2**63, n // (len(kinds) + 1)) for _ in range(arity)]
    parts.append(tuple(part.view(np.float64) for part in bits))
    return tuple(np.concatenate([part[k] for part in parts]) for k in range(arity))
