"""Regular expressions for floats within bounds, as text of `float.hex`: 0x1.8000000000000p+1 is 3.

JSON schema has no bounds for text, so these expressions check them digit by digit. Trailing zeros
of the fraction are optional, and so is the plus sign of an exponent.
"""

from __future__ import annotations

import math

from fastfeat.ir.parameters import Real

_DIGITS = "0123456789abcdef"
_N_DIGITS = 13
_ANY = "[0-9a-f]"
_FRACTION = rf"(\.{_ANY}{{1,{_N_DIGITS}}})?"
_LEAST_EXPONENT, _MOST_EXPONENT = -1022, 1023

ANY_FLOAT = rf"^-?(0x[01]{_FRACTION}p[+-]?(0|[1-9][0-9]{{0,3}})|inf)$"
"""All floats but NaN."""


def floats_between(kind: Real) -> str:
    """Return a regular expression for the floats that a type permits; none may be negative.

    Example:
        >>> import re
        >>> share = re.compile(floats_between(Real(0.0, 1.0)))
        >>> [bool(share.search(x.hex())) for x in (0.0, 0.1, 1.0, 1.0000000000000002, -0.5, 2.0)]
        [True, True, True, False, False, False]
    """
    assert kind.least >= 0, f"{kind} has negative numbers, which no parameter has"
    least = math.nextafter(kind.least, math.inf) if kind.above else kind.least
    most = math.nextafter(kind.most, 0.0) if kind.below else kind.most
    found: list[str] = []
    if least == 0:
        found.append(r"-?0x0(\.0{1,13})?p\+?0")
    if least < 2.0**_LEAST_EXPONENT:
        found.append(rf"0x0\.(?!0+p){_ANY}{{1,{_N_DIGITS}}}p-1022")
        least = 2.0**_LEAST_EXPONENT
    if math.isinf(most):
        found.append("inf")
        most = math.nextafter(math.inf, 0.0)
    found += _normal(least, most)
    unless = (
        ""
        if kind.other_than is None
        else rf"(?!({'|'.join(_normal(kind.other_than, kind.other_than))})$)"
    )
    return f"^{unless}({'|'.join(found)})$"


def _normal(least: float, most: float) -> list[str]:
    """Return regular expressions that together match the normal numbers from `least` to `most`."""
    (low, least_digits), (high, most_digits) = _parts(least), _parts(most)
    if low == high:
        return [f"0x1{_fraction(least_digits, most_digits)}{_exponents(low, low)}"]
    found = [
        f"0x1{_fraction(least_digits, None)}{_exponents(low, low)}",
        f"0x1{_fraction(None, most_digits)}{_exponents(high, high)}",
    ]
    if low + 1 < high:
        found.append(f"0x1{_FRACTION}{_exponents(low + 1, high - 1)}")
    return found


def _parts(x: float) -> tuple[int, str]:
    """Return the exponent of a normal number, and the hexadecimal digits of its fraction."""
    digits, _, exponent = x.hex().removeprefix("0x1.").partition("p")
    return int(exponent), digits.ljust(_N_DIGITS, "0")


def _fraction(least: str | None, most: str | None) -> str:
    """Return a regular expression for fractions from `least` to `most`; None means no bound."""
    if least is not None and most is not None and least != most:
        return f"(?={_fraction(least, None)}p){_fraction(None, most)}"
    if least is not None and most is not None:
        return _exactly(least)
    if least is not None:
        return _from(least)
    return _FRACTION if most is None else _up_to(most)


def _exactly(digits: str) -> str:
    """Return a regular expression for one fraction with any number of trailing zeros."""
    kept = digits.rstrip("0")
    n_zeros = _N_DIGITS - len(kept)
    return rf"\.{kept}0{{0,{n_zeros}}}" if kept else rf"(\.0{{1,{n_zeros}}})?"


def _from(digits: str) -> str:
    if not digits.strip("0"):
        return _FRACTION
    larger = [
        rf"\.{digits[:k]}[{_DIGITS[_DIGITS.index(digits[k]) + 1 :]}]{_ANY}{{0,{_N_DIGITS - k - 1}}}"
        for k in range(_N_DIGITS)
        if digits[k] != "f"
    ]
    return f"({'|'.join([*larger, _exactly(digits)])})"


def _up_to(digits: str) -> str:
    smaller = [
        rf"\.{digits[:k]}[{_DIGITS[: _DIGITS.index(digits[k])]}]{_ANY}{{0,{_N_DIGITS - k - 1}}}"
        for k in range(_N_DIGITS)
        if digits[k] != "0"
    ]
    shorter = [rf"\.{digits[:k]}" if k else "" for k in range(_N_DIGITS)]
    return f"({'|'.join([*smaller, *shorter, _exactly(digits)])})"


def _exponents(least: int, most: int) -> str:
    """Return a regular expression for exponents from `least` to `most`, both included."""
    found: list[str] = []
    if least < 0:
        found.append(f"-({_numbers(max(1, -most), -least)})")
    if most >= 0:
        found.append(rf"\+?({_numbers(max(0, least), most)})")
    return f"p({'|'.join(found)})"


def _numbers(least: int, most: int) -> str:
    """Return a regular expression for the integers from `least` to `most`, both at least 0.

    Example:
        >>> _numbers(7, 123)
        '[7-9]|[1-9][0-9]|1[0-1][0-9]|12[0-3]'
    """
    found: list[str] = []
    while least <= most:
        n_free = 0  # number of trailing digits that may be any
        while (
            least % 10 ** (n_free + 1) == 0 and least > 0 and least + 10 ** (n_free + 1) - 1 <= most
        ):
            n_free += 1
        step = 10**n_free
        head = least // step
        last = min(head // 10 * 10 + 9, (most + 1) // step - 1)
        front = str(head // 10) if head >= 10 else ""
        digit = str(head % 10) if last == head else f"[{head % 10}-{last % 10}]"
        found.append(front + digit + "[0-9]" * n_free)
        least = (last + 1) * step
    return "|".join(found)
