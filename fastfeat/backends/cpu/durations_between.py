"""Quantiles of durations that lie between two of them: exact, of whole columns at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
_HALF, _LOW = np.uint64(32), np.uint64((1 << 32) - 1)
_PRECISION = 53


def shares(counts: NDArray[np.int64], q: float, interpolation: str) -> NDArray[np.float64]:
    """Return how far each quantile lies between its two neighbours, in [0, 1).

    Args:
        counts: of how many values each is, shape (n_rows,); what comes of 0 means nothing.
        q: in [0, 1].
        interpolation: "linear" or "midpoint".
    """
    index = (counts - 1).astype(np.float64) * q
    share: NDArray[np.float64] = index - np.floor(index)
    return share if interpolation == "linear" else np.where(share > 0, 0.5, 0.0)


def durations_between(
    low: NDArray[np.int64], high: NDArray[np.int64], share: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return low + (high - low) * share, exactly, without its fraction.

    Args:
        low: durations in ticks, shape (n_rows,).
        high: as many, none below its low one.
        share: as many, in [0, 1).
    """
    mantissa, exponent = np.frexp(share)
    digits = np.ldexp(mantissa, _PRECISION).astype(np.uint64)
    top, bottom = _product(high.view(np.uint64) - low.view(np.uint64), digits)
    whole, rest = _shifted(top, bottom, _PRECISION - exponent)
    found = (low.view(np.uint64) + whole).view(np.int64)
    return found + ((found < 0) & (rest != 0))  # until here it is rounded down


def _product(x: Words, y: Words) -> tuple[Words, Words]:
    """Return the upper and the lower word of products, y being below 2**53."""
    x_top, x_low, y_top, y_low = x >> _HALF, x & _LOW, y >> _HALF, y & _LOW
    low = x_low * y_low
    middle = x_top * y_low + (low >> _HALF)
    cross = x_low * y_top + (middle & _LOW)
    top = x_top * y_top + (middle >> _HALF) + (cross >> _HALF)
    return top, (cross << _HALF) | (low & _LOW)


def _shifted(top: Words, bottom: Words, by: NDArray[Any]) -> tuple[Words, Words]:
    """Return numbers of two words, below 2**117, divided by 2**by, and what is 0 without a rest.

    Args:
        top: their upper words.
        bottom: their lower ones.
        by: 53 or more; of what is divided so that the result fits a word.
    """
    one, word = np.uint64(1), np.uint64(64)
    near = np.clip(by, _PRECISION, 63).astype(np.uint64)
    far = np.clip(by - 64, 0, _PRECISION).astype(np.uint64)
    is_near = by < 64
    whole = np.where(is_near, (top << (word - near)) | (bottom >> near), top >> far)
    rest = np.where(is_near, bottom & ((one << near) - one), bottom | (top & ((one << far) - one)))
    return whole, rest
