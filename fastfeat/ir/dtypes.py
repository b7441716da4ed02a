"""The types of columns and features, and the machine types of their values in a kernel.

A `DType` is visible to users (`timestamp[us, Europe/Berlin]`). Its `physical` type is one of the
three types that operations inside a kernel support: `f64`, `i64` and `b1` (a bool).
"""

from __future__ import annotations

from typing import Literal

from fastfeat_kernels.records import dataclass

Physical = Literal["f64", "i64", "b1"]
TimeUnit = Literal["s", "ms", "us", "ns"]

UNITS: tuple[TimeUnit, ...] = ("s", "ms", "us", "ns")
PER_SECOND: dict[TimeUnit, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True, slots=True)
class DType:
    """A logical type. `unit` and `tz` apply to times only; equality is by value.

    Args:
        name: Types of columns: "bool", "int8".."int64", "uint8".."uint64", "float16", "float32",
            "float64", "decimal", "date32", "date64", "time", "timestamp", "duration", "utf8",
            "binary", "null", and "list", with several values of another type in each row.
            "bfloat16" is for matrices only. Other names are types of nodes that are not a column:
            "table", a set of values to search; "vocabulary", known keys to look up; "cross", a key
            of several parts; "one_hot", one column per category; "counts", one column per bucket;
            "order_of_times" and "order_of_integers", the rows of each entity ordered by time; and
            "window", some of these rows.
        unit: Resolution of time, timestamp and duration.
        tz: Zone name of a timestamp; None for naive times, which are read unchanged.
        of: Type of the elements of a list.
    """

    name: str
    unit: TimeUnit | None = None
    tz: str | None = None
    of: DType | None = None

    def __hash__(self) -> int:
        """Return the hash of the name, which takes a fifth of the time of that of all fields."""
        return hash(self.name)

    def __str__(self) -> str:
        """Return the type as text for messages and schemas."""
        inside = ", ".join(str(part) for part in (self.unit, self.tz, self.of) if part is not None)
        return f"{self.name}[{inside}]" if inside else self.name

    @property
    def is_float(self) -> bool:
        """Whether values are binary floating point once read; so are decimals, read as float64."""
        return self.name in _FLOATS

    @property
    def is_integer(self) -> bool:
        """Whether this is a signed or unsigned integer."""
        return self.name in INTEGER_RANGE

    @property
    def is_number(self) -> bool:
        """Whether arithmetic is defined: floats, integers, bool and null."""
        return self.is_float or self.is_integer or self.name in ("bool", "null")

    @property
    def is_temporal(self) -> bool:
        """Whether this is a date, time, timestamp or duration."""
        return self.name in _TEMPORAL

    @property
    def is_list(self) -> bool:
        """Whether a row has several values. Row kernels cannot read them; whole-column steps do."""
        return self.of is not None

    @property
    def holds_bytes(self) -> bool:
        """Whether values are text or bytes. Row kernels cannot read them; whole-column steps do."""
        return self.name in ("utf8", "binary")

    @property
    def physical(self) -> Physical:
        """The type of one value inside a kernel; text, bytes and lists have none."""
        if self.is_float or self.name == "null":
            return "f64"
        if self.name == "bool":
            return "b1"
        if self.is_integer or self.is_temporal:
            return "i64"
        raise AssertionError(f"{self} has no physical type")


_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64", "decimal"})
_TEMPORAL = frozenset({"date32", "date64", "time", "timestamp", "duration"})
INTEGER_RANGE: dict[str, tuple[int, int]] = {
    **{f"int{bits}": (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
}
PLAIN_TYPES = (
    *("bool", "null", "utf8", "binary", "date32", "date64"),
    *sorted(_FLOATS - {"bfloat16"}),
    *INTEGER_RANGE,
)
"""The names of column types without unit and zone, except lists."""

BOOL = DType("bool")
INT8, INT16, INT32, INT64 = (DType(f"int{bits}") for bits in (8, 16, 32, 64))
UINT8, UINT64 = (DType(f"uint{bits}") for bits in (8, 64))
FLOAT16, FLOAT32, FLOAT64 = (DType(f"float{bits}") for bits in (16, 32, 64))
BFLOAT16 = DType("bfloat16")
DECIMAL, DATE32, DATE64, UTF8, BINARY, NULL = (
    DType(name) for name in ("decimal", "date32", "date64", "utf8", "binary", "null")
)
TABLE, VOCABULARY, CROSS, ONE_HOT, COUNTS = (
    DType(name) for name in ("table", "vocabulary", "cross", "one_hot", "counts")
)
ORDER_OF_TIMES, ORDER_OF_INTEGERS, WINDOW = (
    DType(name) for name in ("order_of_times", "order_of_integers", "window")
)
NEVER_COLUMNS = frozenset(
    {TABLE, VOCABULARY, CROSS, ONE_HOT, COUNTS, ORDER_OF_TIMES, ORDER_OF_INTEGERS, WINDOW}
)


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """A format of binary floating-point numbers, from or similar to IEEE 754.

    Args:
        n_bits: Bits of the significand, including the first one, which is not stored.
        largest_exponent: Exponent of the largest number, as a power of two.
    """

    n_bits: int
    largest_exponent: int

    @property
    def largest(self) -> float:
        """The largest finite number."""
        return (2.0 - 2.0 ** (1 - self.n_bits)) * 2.0**self.largest_exponent

    @property
    def rounds_to_infinity(self) -> float:
        """The least magnitude that rounds to infinity, for formats smaller than float64."""
        return (2.0 - 2.0**-self.n_bits) * 2.0**self.largest_exponent

    @property
    def least_normal(self) -> float:
        """The least positive number with all bits of the significand; smaller ones have fewer."""
        return 2.0 ** (1 - self.largest_exponent)

    @property
    def least(self) -> float:
        """The least number above 0, and the distance between all numbers below `least_normal`."""
        return 2.0 ** (2 - self.largest_exponent - self.n_bits)


FLOAT_FORMATS: dict[str, FloatFormat] = {
    "float16": FloatFormat(11, 15),
    "bfloat16": FloatFormat(8, 127),
    "float32": FloatFormat(24, 127),
    "float64": FloatFormat(53, 1023),
}
"""The formats of the float types, by name."""


def list_of(dtype: DType) -> DType:
    """Return the list type with elements of a type."""
    return DType("list", of=dtype)


def timestamp(unit: TimeUnit, tz: str | None = None) -> DType:
    """Return the timestamp type of a unit and zone."""
    return DType("timestamp", unit, tz)


def duration(unit: TimeUnit) -> DType:
    """Return the duration type of a unit."""
    return DType("duration", unit)


def time(unit: TimeUnit) -> DType:
    """Return the time-of-day type of a unit."""
    return DType("time", unit)
