"""Numbers as people read them: three digits and a unit."""

from __future__ import annotations

import math


def seconds(value: float) -> str:
    """Return a time with the unit that gives one to three digits before the point.

    Example:
        >>> seconds(0.02764)
        '27.6 ms'
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{three_digits(value / size)} {unit}"
    return f"{three_digits(value / 1e-9)} ns"


def n_bytes(value: float) -> str:
    """Return a size in MB or GB, powers of ten.

    Example:
        >>> n_bytes(2_400_000_000)
        '2.40 GB'
    """
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{three_digits(value / 1e6)} MB"


def times(value: float) -> str:
    """Return a ratio.

    Example:
        >>> times(4.318)
        '4.32×'
    """
    return f"{three_digits(value)}×"


def percent(value: float) -> str:
    """Return a share.

    Example:
        >>> percent(0.483)
        '48 %'
    """
    return f"{100 * value:.0f} %"


def three_digits(value: float) -> str:
    """Return a number with three significant digits, never as a power of ten.

    Example:
        >>> three_digits(1234.5), three_digits(0.01234)
        ('1,234', '0.0123')
    """
    digits = 0 if value <= 0 else 2 - math.floor(math.log10(value))
    return f"{value:,.{max(0, digits)}f}"
