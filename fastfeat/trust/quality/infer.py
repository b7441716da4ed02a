"""Inference of contracts: rules that some rows meet, with room for later rows.

One fit learns the extremes, missing values and text categories. A sample decides first which
columns have too many distinct values for a set, so that these are not counted in full.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Literal

from fastfeat.calls.arguments import with_argument_errors
from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import (
    InvalidData,
    InvalidPlan,
    KeyRepeats,
    UnknownColumn,
    counted,
    did_you_mean,
    warn,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import as_rereadable
from fastfeat.expr import Expr, col, lit, when
from fastfeat.io.arrow import pa
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.read import column_names
from fastfeat.io.sources.scan import scan
from fastfeat.ir.dtypes import INTEGER_RANGE, NULL, DType
from fastfeat.plan.declare.contract import Rule
from fastfeat.tell.fitted_tables import learnt_values, vocabulary
from fastfeat.trust.quality.contract import Contract
from fastfeat.trust.quality.rows import CheckedRows, learn_expressions, read_rows_to_check

MOST_VALUES = 200
"""Limit on the distinct values of a text column for a rule on its set of values."""
MOST_INTEGERS = 32
"""Limit on distinct integers for a set of values, and on distinct floats for a scale."""
UNKNOWN_SHARE = 0.005
"""The share of rows that may have an unseen value."""
SAMPLES = 1 << 12, 1 << 14
"""Sample sizes; the larger one is for integers that were all distinct in the smaller one.

Counting 1M distinct values took 0.2 s per column; extremes and missing values take 3 ms.
"""
LEAST_ROWS_OF_IDS = 100
"""From this many rows on, integers that are all distinct count as row ids."""
IDS = frozenset(
    {"id", "ids", "key", "uuid", "guid", "code", "zip", "zipcode", "postcode", "phone"}
    | {
        "user",
        "customer",
        "client",
        "account",
        "card",
        "item",
        "product",
        "device",
        "film",
        "movie",
    }
)
"""Last words in names of columns with numbers as identifiers, which have no meaningful range."""
CALENDAR: dict[str, tuple[int, int]] = {
    "day of year": (1, 366),
    "day of month": (1, 31),
    "day of week": (0, 7),
    "week of year": (1, 53),
    "weekday": (0, 7),
    "dow": (0, 7),
    "quarter": (1, 4),
    "month": (1, 12),
    "week": (1, 53),
    "day": (1, 31),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}
"""Bounds of a part of a time, by words in the column's name; the first match applies."""
_COUNTS = frozenset({"per", "n", "num", "count", "total", "since"})
"""Words that turn an hour into a number of hours, or into a count per hour."""


@with_argument_errors
@with_ieee_arithmetic
def infer_contract(
    data: Any,
    *,
    key: str | Sequence[str] | None = None,
    exclude: Collection[str] = (),
    memory: str | int | None = None,
) -> Contract:
    """Infer a contract that the rows of `data` meet, with room for later rows.

    The kind of each rule is the last word of its name:

    - its type: the column keeps its type;
    - "missing": no missing values, or a share of them that is not clearly larger than now;
    - "values": text with at most 200 distinct values, and integers with 2 to 32, must be one of
      them in all but 0.5 % of the rows; values must occur ten times on average;
    - "range": other numbers stay within their extremes plus half their span on each side, and
      non-negative columns stay non-negative. Constant columns get half their value instead of half
      the span. Floats with 2 to 32 distinct values are a scale, such as ratings, and stay within
      their extremes. If the name says a part of a time, the calendar gives the range (months 1 to
      12), and a year may grow by 1. Keys and ids have no range: the columns of `key`, names that
      end in "id" or a similar word, and integers that are all distinct (in a sample, for more than
      16,384 rows);
    - "length": other text has at most twice as many characters as the longest value now;
    - "since": times are not before the earliest one now.

    Args:
        data: Rows to learn from, such as training rows: pyarrow, pandas, Polars, a dict of NumPy
            arrays, a list of dicts, any Arrow producer; or files: a path, a folder, a pattern such
            as "logs/*.parquet", an address, or a list of these.
        key: Column, or list of columns, with a distinct value or combination in each row, and none
            missing. This adds a rule ending in "unique", unless the data breaks it.
        exclude: Columns to leave out of the contract.
        memory: Most memory that this process may use, such as "600MiB", or a number of bytes. The
            data is then read in passes, a few rows at a time. None reads it whole.

    Returns:
        A contract with these rules, and the types of the columns that rules can read. Missing
        values pass all rules but "missing" and "unique".

    Raises:
        UnknownColumn: `key` or `exclude` names a column that the data lacks.
        InvalidPlan: A key column is excluded, or of a type that rules cannot read.
        InvalidData: The data has no rows, or no columns that rules can read.
        FastfeatError: The data cannot be read.

    Warns:
        KeyRepeats: Rows of the data share a `key`, or have a missing one.

    Example:
        >>> contract = ff.infer_contract({"x": [1.0, 2.0], "n": [3, 4]})
        >>> contract.rules["x: range"]
        ff.Rule(col('x').is_between(0, 2.5, closed='both') | col('x').is_null())
        >>> contract.check({"x": [5.0], "n": [4]}).broken
        ['x: range']
    """
    keys = [key] if isinstance(key, str) else list(key or ())
    data = as_rereadable(data) if memory is None else dataset_of(data)
    names = data.schema.names if isinstance(data, Dataset) else column_names(data)
    if names is None:
        names = read_rows_to_check(CallRows(data), (), ()).data.column_names
    for name in (*keys, *exclude):
        if name not in names:
            raise UnknownColumn(f"the data has no column {name!r}.{did_you_mean(name, names)}")
    wanted = [name for name in names if name not in exclude]
    rows = read_rows_to_check(CallRows(data, memory=memory), wanted, ())
    types = {
        name: dtype
        for name, dtype in rows.schema.items()
        if isinstance(dtype, DType) and dtype != NULL and not dtype.is_list
    }
    if rows.n_rows == 0 or not types:
        what = "no rows" if rows.n_rows == 0 else "no columns that rules can read"
        raise InvalidData(f"the data has {what}, so no rules can be inferred")
    for name in keys:
        if name in exclude:
            raise InvalidPlan(
                f"key={key!r}: exclude= names the column {name!r} too. Remove it from one of the "
                "two"
            )
        if name not in types:
            raise InvalidPlan(
                f"key={key!r}: the column {name!r} holds lists, no values, or values of a type "
                "that rules cannot read. Name other columns"
            )
    unique = Rule(lit(1).count(by=keys[0] if len(keys) == 1 else keys) == 1) if keys else None
    kinds = _kinds(rows, types, keys)
    asked = {
        f"{k} {what}": of
        for k, (name, dtype) in enumerate(types.items())
        for what, of in _wanted_statistics(col(name), dtype, kinds[name])
    }
    asked |= {} if unique is None else {"repeated": unique.broken.sum()}
    learnt = LearntStatistics(learn_expressions(rows, asked))
    rules: dict[str, Expr | Rule] = {}
    for k, (name, dtype) in enumerate(types.items()):
        rules |= _rules(name, dtype, kinds[name], learnt, str(k), rows.n_rows)
    if unique is not None:
        n_repeated = int(learnt.value("repeated"))
        if n_repeated:
            _warn_repeated(keys, n_repeated, rows.n_rows)
        else:
            rules[f"{', '.join(keys)}: unique"] = unique
    return Contract(rules, types=types)


def _warn_repeated(keys: Sequence[str], n_repeated: int, n_rows: int) -> None:
    of = repr(keys[0]) if len(keys) == 1 else repr([*keys])
    warn(
        f"key={of}: the key is missing or repeated in {n_repeated:,} of {counted(n_rows, 'row')}, "
        "so the contract has no rule that it is unique. Remove such rows, or name the columns that "
        "identify a row",
        KeyRepeats,
    )


InferredKind = Literal["id", "set", "many"]
"""Kind of a column's values: identifiers, possibly a small set, or many."""


def _kinds(
    rows: CheckedRows, types: Mapping[str, DType], keys: Collection[str]
) -> dict[str, InferredKind]:
    """Return the kind of each column by name, from a sample of the rows; see `InferredKind`.

    `keys` are the columns that the user named as a key.
    """
    kinds: dict[str, InferredKind] = {}
    for name, dtype in types.items():
        is_number = dtype.is_float or dtype.is_integer
        is_id = is_number and (name in keys or not IDS.isdisjoint(words_of(name)[-1:]))
        kinds[name] = "id" if is_id else "set" if is_number or dtype.name == "utf8" else "many"
    asked: list[str] = [name for name, kind in kinds.items() if kind == "set"]
    for most_rows in SAMPLES:
        if not asked:
            break
        features = {f"{k} distinct": col(name).n_unique() for k, name in enumerate(asked)}
        features |= {f"{k} present": col(name).is_not_null().sum() for k, name in enumerate(asked)}
        learnt = LearntStatistics(learn_expressions(sample_rows(rows, asked, most_rows), features))
        for k, name in enumerate(asked):
            n_distinct, n_present = learnt.value(f"{k} distinct"), learnt.value(f"{k} present")
            if types[name].is_integer and n_distinct == n_present >= LEAST_ROWS_OF_IDS:
                kinds[name] = "id"
            elif n_distinct > (MOST_VALUES if types[name].name == "utf8" else MOST_INTEGERS):
                kinds[name] = "many"
            else:
                kinds[name] = "set"
        asked = [name for name in asked if kinds[name] == "id" and rows.n_rows > most_rows]
    return kinds


def sample_rows(rows: CheckedRows, names: Sequence[str], most_rows: int) -> CheckedRows:
    """Return a sample of at most `most_rows` rows: blocks of a table, or the start of files."""
    if rows.n_rows <= most_rows:
        return rows
    if isinstance(rows.data, Dataset):
        with closing(scan(rows.data, names, _SAMPLE_BYTES, stop=most_rows)) as scanned:
            blocks = [piece.table for piece in scanned]
    else:
        step = rows.n_rows // _BLOCKS
        blocks = [rows.data.slice(k * step, most_rows // _BLOCKS) for k in range(_BLOCKS)]
    table = pa.concat_tables(blocks)
    return replace(rows, data=table, n_rows=table.num_rows, budget=None)


class LearntStatistics:
    """The learnt values of a plan in which each feature is one aggregate or encoder, by feature."""

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted
        self._by_text: Mapping[str, Any] = learnt_values(fitted)

    def value(self, feature: str) -> Any:
        """Return the value of a feature's aggregate as a Python value; None if missing."""
        value = self._by_text[repr(self._fitted.declaration.features[feature])]
        return _python(value)

    def categories(self, feature: str) -> list[Any]:
        """Return the values of an encoded column, the most frequent first."""
        codes, values, _ = vocabulary(self._fitted, feature).columns
        known = zip(codes.to_pylist(), values.to_pylist(), strict=True)
        return [value for code, value in known if code > 1]


def _wanted_statistics(x: Expr, dtype: DType, kind: InferredKind) -> list[tuple[str, Expr]]:
    """Return the aggregates to learn for a column, each with a short name such as "min"."""
    asked = [("missing", x.is_null().sum())]
    if kind == "id":
        return asked
    if dtype.is_float:
        finite = when(x.is_finite()).then(x).otherwise(None)
        asked += [("min", finite.min()), ("max", finite.max())]
        asked += [("infinite", x.is_infinite().sum())]
        asked += [("distinct", x.n_unique())] if kind == "set" else []
    elif dtype.is_integer or dtype.name in _SINCE:
        asked += [("min", x.min()), ("max", x.max())]
    elif dtype.name == "utf8":
        asked += [("length", x.str.len_chars().max())]
    if kind == "set" and not dtype.is_float:
        most = MOST_INTEGERS if dtype.is_integer else MOST_VALUES
        asked += [("values", x.ordinal_encode(max_categories=most + 2))]
    return asked


def _rules(
    name: str, dtype: DType, kind: InferredKind, learnt: LearntStatistics, k: str, n_rows: int
) -> dict[str, Expr | Rule]:
    """Return the rules of a column by name.

    `learnt` has the values of the aggregates from `_wanted_statistics`; their names begin with `k`.
    """
    x, n_missing = col(name), int(learnt.value(f"{k} missing"))
    rules: dict[str, Expr | Rule] = {f"{name}: missing": _missing(x, n_missing, n_rows)}
    if n_missing == n_rows:
        return rules
    or_missing = x.is_null()
    n_present = n_rows - n_missing
    if dtype.is_float or dtype.is_integer:
        if kind != "id":
            rules |= _rules_of_numbers(name, dtype, kind, learnt, k, n_present)
    elif dtype.name in _SINCE:
        rules[f"{name}: since"] = (x >= learnt.value(f"{k} min")) | or_missing
    elif dtype.name == "utf8":
        known = learnt.categories(f"{k} values") if kind == "set" else None
        if known is not None and len(known) <= min(MOST_VALUES, n_present // _SEEN):
            among = x.is_in(known) | or_missing
            rules[f"{name}: values"] = Rule(among, at_most=UNKNOWN_SHARE)
        else:
            longest = int(learnt.value(f"{k} length"))
            rules[f"{name}: length"] = (x.str.len_chars() <= 2 * longest) | or_missing
    return rules


def _rules_of_numbers(
    name: str, dtype: DType, kind: InferredKind, learnt: LearntStatistics, k: str, n_present: int
) -> dict[str, Expr | Rule]:
    """Return the rule of a numeric column by name: a set of values, or a range.

    Empty if all values are infinite.
    """
    x, least, most = col(name), learnt.value(f"{k} min"), learnt.value(f"{k} max")
    if least is None:
        return {}
    known = learnt.categories(f"{k} values") if dtype.is_integer and kind == "set" else []
    n_distinct = learnt.value(f"{k} distinct") if dtype.is_float and kind == "set" else len(known)
    is_scale = 2 <= n_distinct <= min(MOST_INTEGERS, n_present // _SEEN)
    bounds = _calendar_bounds(name, least, most) if dtype.is_integer else None
    if bounds is None and is_scale and dtype.is_integer:
        among = x.is_in(sorted(known)) | x.is_null()
        return {f"{name}: values": Rule(among, at_most=UNKNOWN_SHARE)}
    if bounds is None:
        bounds = (least, most) if is_scale else _room(least, most, dtype)
    inside = x.is_between(*bounds)
    if dtype.is_float and learnt.value(f"{k} infinite"):
        inside = inside | x.is_infinite()
    return {f"{name}: range": inside | x.is_null()}


def _calendar_bounds(name: str, least: int, most: int) -> tuple[int, int] | None:
    """Return least and greatest value of a calendar part such as a month, by the column's name.

    None if the name says no such part, or if values lie outside the calendar's range.
    """
    words = words_of(name)
    if _COUNTS.intersection(words):
        return None
    if "year" in words and "of" not in words and 1000 <= least <= most < 3000:
        return least, most + 1
    phrase = f" {' '.join(words)} "
    for part, (low, high) in CALENDAR.items():
        if f" {part} " in phrase and low <= least <= most <= high:
            return low, high
    return None


def words_of(name: str) -> list[str]:
    """Return the words in a column name, in lower case.

    Example:
        >>> words_of("dep_hour"), words_of("movieId")
        (['dep', 'hour'], ['movie', 'id'])
    """
    return [word.lower() for word in _WORD.findall(name)]


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def _missing(x: Expr, n_missing: int, n_rows: int) -> Expr:
    """Return a rule on missing values.

    If the rows have none, it forbids them. Otherwise it limits their share, with room for chance,
    so that later rows with equally frequent missing values pass.
    """
    if n_missing == 0:
        return x.is_not_null()
    share = n_missing / n_rows
    noise = 4 * math.sqrt(share * (1 - share) / n_rows)
    most = min(1.0, (share + noise) * 1.25 + 5 / n_rows)
    if most >= 1:
        return x.is_null().mean() <= 1
    n, found = x.is_null().count(), x.is_null().sum()
    return found <= _up(most) * n + (_up(16 * most * (1 - most)) * n).sqrt()


def _up(value: float) -> float:
    """Return a value rounded up to three digits."""
    digits = 2 - math.floor(math.log10(value))
    return math.ceil(value * 10**digits) / 10**digits


def _room(least: Any, most: Any, dtype: DType) -> tuple[Any, Any]:
    """Return the bounds of a range rule: the extremes, plus half their distance on each side.

    The lower bound is 0 if no value is negative. For a constant column, half its value replaces the
    distance.
    """
    if dtype.is_integer:
        span, (low, high) = most - least or abs(most), INTEGER_RANGE[dtype.name]
        room = -(-span // 2)
        return max(low, 0 if least >= 0 else least - room), min(high, most + room)
    room = most / 2 - least / 2 or abs(most) / 2
    low, high = (0 if least >= 0 else least - room), most + room
    largest = 1.7976931348623157e308
    return max(-largest, low), min(largest, high)


def _python(value: Any) -> Any:
    """Return a learnt value as a Python value; timestamps are rounded down to microseconds."""
    if isinstance(value, pa.TimestampScalar):
        ns, kind = value.value, value.type
        return pa.scalar(ns // _NS[kind.unit], pa.timestamp("us", kind.tz)).as_py()
    return value


_SINCE = frozenset({"timestamp", "date32", "date64"})
_SEEN = 10
_BLOCKS = 16
_SAMPLE_BYTES = 1 << 20
_NS = {"ns": 1000}
