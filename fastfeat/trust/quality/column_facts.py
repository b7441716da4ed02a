"""Facts about the columns of a raw table, from a sample of its rows: for the inference of a plan.

Two fits learn them: the first reads the columns, the second the dates that text may hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidData
from fastfeat.expr import Expr, col, when
from fastfeat.io.arrow import Array, Table, call, pa
from fastfeat.io.columns.dates import date_format, parse_dates
from fastfeat.io.columns.decode import decode_column
from fastfeat.io.columns.strings import contents_of, text_array
from fastfeat.io.columns.types import schema_of
from fastfeat.ir.dtypes import NULL, DType
from fastfeat.trust.quality.infer import SAMPLES, LearntStatistics, sample_rows
from fastfeat.trust.quality.rows import CheckedRows, learn_expressions

DATE_FORMATS: Final = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%m/%d/%Y %H:%M",
    "%d-%b-%Y",
    "%b %d, %Y",
)
"""Formats of dates in text, tried in this order; the first that reads all texts is taken."""
PARTS: Final = ("year", "month", "day", "weekday", "hour")
"""Parts of a date or time whose distinct values are counted."""
_LABEL: Final = "label"
_FIRST_ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """Facts about a column, of the rows in the sample.

    Args:
        dtype: Type of the column; None if plans cannot read it.
        n_rows: Number of rows in the sample.
        n_present: Number of rows with a value.
        n_distinct: Number of distinct values.
        n_infinite: Number of infinite values; the facts below leave them out.
        least, most: Extremes of numbers, dates and times; None for others.
        correlation: Pearson's correlation of numbers with a label of numbers; None without one.
        splits: Whether one number separates the two values of the label.
        determines: Whether rows with equal values have equal labels.
        n_tokens: Mean number of words in a text.
        is_number: Whether each text is a number.
        format: Format of dates that reads each text; None without one.
        n_values_of_parts: Number of distinct values by part of a date or time.
    """

    dtype: DType | None
    n_rows: int
    n_present: int = 0
    n_distinct: int = 0
    n_infinite: int = 0
    least: Any = None
    most: Any = None
    correlation: float | None = None
    splits: bool = False
    determines: bool = False
    n_tokens: float = 0
    is_number: bool = False
    format: str | None = None
    n_values_of_parts: Mapping[str, int] | None = None


def sample_of(rows: CheckedRows, names: Sequence[str]) -> CheckedRows:
    """Return at most 16,384 rows: blocks of a table, or the first rows of files."""
    return sample_rows(rows, names, SAMPLES[-1])


def codes_of_label(sample: Table, label: str) -> Array:
    """Return the label's values as float64: numbers as they are, others by their sorted place.

    Raises:
        InvalidData: All values are equal or missing.
    """
    column = sample[label].combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_floating(kind):
        column = call("if_else", call("is_finite", column), column, pa.scalar(None, kind))
    distinct = [value for value in call("unique", column).to_pylist() if value is not None]
    if len(distinct) < 2:
        found = f"all of them are {distinct[0]!r}" if distinct else "all of them are missing"
        raise InvalidData(
            f"label={label!r}: a model needs rows with different labels, but in the sample of "
            f"{len(column):,} rows {found}. Name another column, or pass other rows"
        )
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return column.cast(pa.float64(), safe=False)
    places = {value: float(place) for place, value in enumerate(sorted(distinct))}
    return pa.array([places.get(value) for value in column.to_pylist()], pa.float64())


def facts_of(
    rows: CheckedRows, names: Sequence[str], label: Array | None
) -> dict[str, ColumnFacts]:
    """Return facts about columns, by name.

    Args:
        rows: The sample, in memory.
        names: The columns.
        label: The label's values as float64; None without a label.
    """
    types = {name: rows.schema.get(name) for name in names}
    known = {
        name: dtype
        for name, dtype in types.items()
        if isinstance(dtype, DType) and dtype != NULL and dtype.name != "binary"
    }
    given = dict(zip(rows.data.column_names, rows.data.columns, strict=True))
    own = {name: given[name] for name in known}
    of_label = _LABEL + "_" * max(map(len, names), default=0)  # no name of a column
    if label is not None:
        own[of_label] = pa.chunked_array([label])
    table = pa.table(own)
    n_labels = 0 if label is None else len(call("unique", label.drop_null()))
    formats = {
        name: _possible_formats(given[name]) if dtype.name == "utf8" else ()
        for name, dtype in known.items()
    }
    asked: dict[str, Expr] = {}
    for name, dtype in known.items():
        y = col(of_label) if n_labels else None
        for what, of in _statistics(col(name), dtype, formats[name], y, n_labels).items():
            asked[f"{what} of {name}"] = of
    facts = {
        name: ColumnFacts(dtype if isinstance(dtype, DType) else None, rows.n_rows)
        for name, dtype in types.items()
    }
    if not asked:
        return facts
    learnt = _learnt(table, asked)
    for name, dtype in known.items():
        value = partial(_value, learnt, name)
        facts[name] = _facts(dtype, formats[name], rows.n_rows, value, n_labels)
    times = {
        name: col(name) if found.format is None else _date(col(name), found.format)
        for name, found in facts.items()
        if found.n_present and (found.format is not None or _is_time(found.dtype))
    }
    wanted = {
        f"{part} of {name}": getattr(time.dt, part)().n_unique()
        for name, time in times.items()
        for part in parts_of(facts[name])
    }
    parts = _learnt(table, wanted) if wanted else None
    for name in times:
        found = facts[name]
        assert parts is not None
        counts = {part: int(parts.value(f"{part} of {name}")) for part in parts_of(found)}
        facts[name] = replace(found, n_values_of_parts=counts)
    return facts


def parts_of(facts: ColumnFacts) -> tuple[str, ...]:
    """Return the parts of a date or time that can vary."""
    is_date = facts.dtype is not None and facts.dtype.name.startswith("date")
    has_hour = not is_date and (facts.format is None or "%H" in facts.format)
    return PARTS if has_hour else PARTS[:-1]


def _possible_formats(column: Any) -> tuple[str, ...]:
    """Return the formats that read the first texts of a column: few columns need more tests."""
    plain = decode_column(column.slice(0, _FIRST_ROWS))
    known = [text for text in contents_of(plain) if text is not None]
    if not all(map(str.isascii, known)):
        return ()
    texts = text_array(known)
    return tuple(
        written for written in DATE_FORMATS if parse_dates(texts, date_format(written))[1].all()
    )


def _is_time(dtype: DType | None) -> bool:
    return dtype is not None and (dtype.name == "timestamp" or dtype.name.startswith("date"))


def _date(x: Expr, written: str) -> Expr:
    return x.str.to_datetime(written, strict=False)


def _learnt(table: Table, asked: Mapping[str, Expr]) -> LearntStatistics:
    schema = schema_of(table)
    rows = CheckedRows(table, schema, table.num_rows, None, {}, "cpu", None)
    return LearntStatistics(learn_expressions(rows, asked))


def _statistics(
    x: Expr, dtype: DType, formats: Sequence[str], y: Expr | None, n_labels: int
) -> dict[str, Expr]:
    """Return the aggregates to learn of a column, by a short name."""
    if dtype.is_list:
        return {"present": x.list.len().is_not_null().sum()}
    asked = {"present": x.is_not_null().sum(), "distinct": x.n_unique()}
    if dtype.is_float:
        asked["infinite"] = x.is_infinite().sum()
        x = x.fill_infinite(None)
    is_number = dtype.is_float or dtype.is_integer
    if is_number or _is_time(dtype):
        asked |= {"min": x.min(), "max": x.max()}
    if dtype.name == "utf8":
        asked |= {"tokens": x.str.token_count().mean()}
        asked |= {"number": x.str.to_float(strict=False).is_not_null().sum()}
        for place, written in enumerate(formats):
            asked[f"date {place}"] = _date(x, written).is_not_null().sum()
    if y is not None and not _is_time(dtype):
        mixed = y.min(by=x) != y.max(by=x)
        asked["mixed"] = (mixed & x.is_not_null() & y.is_not_null()).sum()
    if y is not None and is_number:
        both = x.is_not_null() & y.is_not_null()
        u, v = when(both).then(x).otherwise(None), when(both).then(y).otherwise(None)
        asked["product"] = ((u - u.mean()) * (v - v.mean())).mean()
        asked |= {"std of x": u.std(ddof=0), "std of y": v.std(ddof=0)}
        if n_labels == 2:
            low = when(y == y.min()).then(x).otherwise(None)
            high = when(y == y.max()).then(x).otherwise(None)
            asked |= {"low min": low.min(), "low max": low.max()}
            asked |= {"high min": high.min(), "high max": high.max()}
    return asked


def _value(learnt: LearntStatistics, name: str, what: str) -> Any:
    return learnt.value(f"{what} of {name}")


def _facts(
    dtype: DType, formats: Sequence[str], n_rows: int, value: Callable[[str], Any], n_labels: int
) -> ColumnFacts:
    """Return the facts of a column; `value` returns a learnt aggregate by its short name."""
    n_present = int(value("present"))
    if dtype.is_list or n_present == 0:
        return ColumnFacts(dtype, n_rows, n_present)
    is_number, is_text = dtype.is_float or dtype.is_integer, dtype.name == "utf8"
    has_extremes = is_number or _is_time(dtype)
    readable = [w for k, w in enumerate(formats) if int(value(f"date {k}")) == n_present]
    return ColumnFacts(
        dtype,
        n_rows,
        n_present,
        int(value("distinct")),
        int(value("infinite")) if dtype.is_float else 0,
        value("min") if has_extremes else None,
        value("max") if has_extremes else None,
        _correlation(value) if n_labels and is_number else None,
        n_labels == 2 and is_number and _splits(value),
        n_labels > 0 and not _is_time(dtype) and int(value("mixed")) == 0,
        float(value("tokens") or 0) if is_text else 0,
        is_text and int(value("number")) == n_present,
        readable[0] if readable else None,
    )


def _correlation(value: Any) -> float | None:
    spread = (value("std of x") or 0) * (value("std of y") or 0)
    return float(value("product")) / spread if spread > 0 else None


def _splits(value: Any) -> bool:
    ends = [value(f"{side} {end}") for side in ("low", "high") for end in ("min", "max")]
    if any(end is None for end in ends):
        return False
    low_min, low_max, high_min, high_max = ends
    return low_max < high_min or high_max < low_min
