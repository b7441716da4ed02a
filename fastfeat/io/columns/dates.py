"""Parsing text as dates and times by a format: a regular expression, then calendar arithmetic.

Arrow's own `strptime` reads the 31st of February as the 2nd of March, and has no fractions.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from fastfeat_kernels.arrays import BoolArray, Int64Array

from fastfeat.errors import InvalidPlan
from fastfeat.io.arrow import Array, call, options_of, pa
from fastfeat.io.columns.regex import grouped_pattern

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_DIRECTIVES = {
    "Y": r"\d\d\d\d",
    "y": r"\d\d",
    "m": r"1[0-2]|0[1-9]|[1-9]",
    "d": r"3[0-1]|[1-2]\d|0[1-9]|[1-9]",
    "j": r"36[0-6]|3[0-5]\d|[1-2]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9]",
    "H": r"2[0-3]|[0-1]\d|\d",
    "I": r"1[0-2]|0[1-9]|[1-9]",
    "M": r"[0-5]\d|\d",
    "S": r"[0-5]\d|\d",
    "f": r"\d{1,6}",
    "p": r"(?i:am|pm)",
    "b": f"(?i:{'|'.join(_MONTHS)})",
    "B": f"(?i:{'|'.join(_FULL_MONTHS)})",
}
_SHORT = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "D": "%m/%d/%y", "h": "%b"}
_SAME = (("Y", "y"), ("m", "b", "B"), ("H", "I"))


class DateFormat(NamedTuple):
    """A compiled date format.

    Args:
        pattern: Regular expression with one group per directive.
        directives: The directives, in the order of the groups.
    """

    pattern: str
    directives: tuple[str, ...]


@lru_cache(maxsize=256)
def date_format(written: str) -> DateFormat:
    """Return a compiled format of directives such as "%Y-%m-%d %H:%M:%S.%f".

    Raises:
        InvalidPlan: A directive is unknown or repeated, or the date is not determined.

    Example:
        >>> date_format("%m/%Y").directives
        ('m', 'Y')
    """
    full = re.sub("%([TFDh])", lambda short: _SHORT[short.group(1)], written)
    parts: list[str] = []
    directives: list[str] = []
    for token in re.findall(r"%.?|[^%]+", full, re.DOTALL):
        name = token[1:]
        if token[0] != "%" or name == "%":
            parts.append(re.escape(token if token[0] != "%" else "%"))
        elif name in _DIRECTIVES and name not in directives:
            parts.append(f"({_DIRECTIVES[name]})")
            directives.append(name)
        else:
            told = "appears twice" if name in directives else "is not supported"
            known = " ".join(f"%{letter}" for letter in (*_DIRECTIVES, *_SHORT))
            raise InvalidPlan(
                f"to_datetime({written!r}): %{name} {told}. Supported directives: {known}"
            )
    _require_date(written, set(directives))
    return DateFormat(grouped_pattern(f"(?s:^{''.join(parts)}$)").pattern, tuple(directives))


def _require_date(written: str, directives: set[str]) -> None:
    """Raise unless a format has a year and no redundant directives."""
    sets = (*_SAME, *(("j", name) for name in ("m", "b", "B", "d")))
    twice = next((same for same in sets if len(directives.intersection(same)) > 1), None)
    if twice:
        both = " and ".join(f"%{name}" for name in twice if name in directives)
        raise InvalidPlan(
            f"to_datetime({written!r}): {both} set the same part of the date or time. Leave out one"
        )
    if not directives & {"Y", "y"}:
        raise InvalidPlan(f"to_datetime({written!r}): a date needs its year, %Y")
    if ("I" in directives) != ("p" in directives):
        raise InvalidPlan(f"to_datetime({written!r}): use %I and %p together, or %H (0 to 23)")
    if "d" in directives and not directives & {"m", "b", "B"}:
        raise InvalidPlan(f"to_datetime({written!r}): a day, %d, needs its month, %m")


def parse_dates(text: Array, known: DateFormat) -> tuple[Int64Array, BoolArray, BoolArray]:
    """Return microseconds since 1970, flags of texts that are valid times, and of present texts.

    `text` is a large_string array.
    """
    options = options_of("ExtractRegexOptions", known.pattern)
    groups = call("extract_regex", text, options=options)
    is_parsed = groups.is_valid().to_numpy(zero_copy_only=False)
    present = text.is_valid().to_numpy(zero_copy_only=False)
    parts = {
        name: _numbers(groups, k + 1, name, is_parsed) for k, name in enumerate(known.directives)
    }
    ticks, exists = _ticks(parts, len(text))
    is_parsed &= exists
    return np.where(is_parsed, ticks, 0), is_parsed, present


def _numbers(groups: Array, group: int, name: str, is_parsed: BoolArray) -> Int64Array:
    """Return the value of a directive, such as the day, in each row; 0 if the text has no match."""
    field = call("struct_field", groups, options=options_of("StructFieldOptions", [group]))
    if name in ("b", "B", "p"):
        listed = {"b": _MONTHS, "B": _FULL_MONTHS, "p": ("am", "pm")}[name]
        entries = call("dictionary_encode", field, options=None)
        texts = entries.dictionary.to_pylist()
        values = np.array([listed.index(text.lower()) for text in texts] or [0], np.int64)
        indices = entries.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return values[indices] + (name != "p")
    if name == "f":  # trailing zeros of a fraction may be omitted
        padded = call("utf8_rpad", field, options=options_of("PadOptions", 6, "0"))
        return _integers(padded, is_parsed)
    return _integers(field, is_parsed)


def _integers(digits: Array, is_parsed: BoolArray) -> Int64Array:
    numbers = call("cast", digits, options=options_of("CastOptions", pa.int64()))
    return numbers.fill_null(0).to_numpy(zero_copy_only=False)


def _ticks(parts: dict[str, Int64Array], n_rows: int) -> tuple[Int64Array, BoolArray]:
    """Return microseconds since 1970, and flags of rows with a day that exists in the calendar."""
    one, zero = np.ones(n_rows, np.int64), np.zeros(n_rows, np.int64)
    short = parts.get("y", zero)
    year = parts.get("Y", np.where(short < 69, short + 2000, short + 1900))
    month = parts.get("m", parts.get("b", parts.get("B", one)))
    month = np.maximum(month, 1)
    day = parts.get("d", one)
    months = (year - 1970) * 12 + month - 1
    first = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
    after = (months + 1).astype("M8[M]").astype("M8[D]").astype(np.int64)
    exists = (day >= 1) & (first + day <= after) & (year >= 1)
    days = first + day - 1
    if "j" in parts:
        first = (year - 1970).astype("M8[Y]").astype("M8[D]").astype(np.int64)
        after = (year - 1969).astype("M8[Y]").astype("M8[D]").astype(np.int64)
        days = first + parts["j"] - 1
        exists = (days >= first) & (days < after) & (year >= 1)
    hour = parts.get("H", zero)
    if "I" in parts:
        hour = parts["I"] % 12 + 12 * parts["p"]
    seconds = (hour * 60 + parts.get("M", zero)) * 60 + parts.get("S", zero)
    return (days * 86_400 + seconds) * 1_000_000 + parts.get("f", zero), exists
