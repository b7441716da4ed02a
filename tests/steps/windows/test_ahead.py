"""Labels from the future against plain Python: what each row sees ahead, and which have a label."""

from __future__ import annotations

import datetime
import itertools
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import RowsWithoutLabel

Values = list[Any]
HOUR = 3600 * 10**9
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
TIMES: dict[str, tuple[pa.DataType, int]] = {
    "int64": (pa.int64(), 1),
    "int8": (pa.int8(), 1),
    "uint32": (pa.uint32(), 1),
    "date32": (pa.date32(), 24 * HOUR),
    "date64": (pa.date64(), 10**6),
    **{unit: (pa.timestamp(unit), ns) for unit, ns in _UNITS.items()},
    "zone": (pa.timestamp("us", "Europe/Berlin"), 10**3),
}
"""Types of times, and how long a tick of each is."""


def variance(x: Values) -> float | None:
    n = len(x)
    return None if n < 2 else (n * sum(v * v for v in x) - sum(x) ** 2) / (n * (n - 1))


def quantile(x: Values, q: float) -> float | None:
    if not x:
        return None
    ordered, at = sorted(map(float, x)), (len(x) - 1) * q
    low = math.floor(at)
    high = min(low + 1, len(x) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def mode(x: Values) -> Any:
    counts = Counter(x)
    return min((value for value in counts if counts[value] == max(counts.values())), default=None)


Oracle = Callable[[Values], Any]
FUNCTIONS: dict[str, tuple[Callable[[ff.Expr, Any], ff.Expr], Oracle]] = {
    "rows": (lambda x, a: ff.count(over=a), lambda all_: len(all_)),
    "nulls": (lambda x, a: x.null_count(over=a), lambda all_: all_.count(None)),
    "count": (lambda x, a: x.count(over=a), len),
    "sum": (lambda x, a: x.sum(over=a), sum),
    "mean": (lambda x, a: x.mean(over=a), lambda x: sum(x) / len(x) if x else None),
    "var": (lambda x, a: x.var(over=a), variance),
    "std": (
        lambda x, a: x.std(over=a),
        lambda x: None if variance(x) is None else math.sqrt(variance(x) or 0.0),
    ),
    "min": (lambda x, a: x.min(over=a), lambda x: min(x, default=None)),
    "max": (lambda x, a: x.max(over=a), lambda x: max(x, default=None)),
    "range": (lambda x, a: x.range(over=a), lambda x: max(x) - min(x) if x else None),
    "median": (lambda x, a: x.median(over=a), lambda x: quantile(x, 0.5)),
    "quantile": (lambda x, a: x.quantile(0.3, over=a), lambda x: quantile(x, 0.3)),
    "mode": (lambda x, a: x.mode(over=a), mode),
    "n_unique": (lambda x, a: x.n_unique(over=a), lambda x: len(set(x))),
    "first": (lambda x, a: x.first(over=a), lambda x: x[0] if x else None),
    "last": (lambda x, a: x.last(over=a), lambda x: x[-1] if x else None),
    "any": (lambda x, a: x.any(over=a), lambda x: any(x) if x else None),
    "all": (lambda x, a: x.all(over=a), lambda x: all(x) if x else None),
}
WITH_MISSING = {"rows", "nulls"}
"""The functions whose oracle takes missing values too."""


def expected(
    name: str,
    asking: Mapping[str, Values],
    seen: Mapping[str, Values],
    reach: tuple[int, int, int | None],
    tick: int = 1,
) -> Values:
    """Return the label of each row: of values in (t + gap, t + gap + next], by the definition.

    Args:
        name: of the function.
        asking: "t" in ticks, and "k", of the rows that ask.
        seen: "t", "k", "x" and perhaps "tie" of those that are seen.
        reach: next, gap and end, in nanoseconds or steps.
        tick: how long a tick is.
    """
    length, gap, end = reach
    known = [t * tick for t in seen["t"] if t is not None]
    last = end if end is not None else max(known, default=None)
    ties = seen.get("tie", [0] * len(seen["t"]))
    order = sorted(
        (t * tick, -1 if tie is None else tie, row)
        for row, (t, k, tie) in enumerate(zip(seen["t"], seen["k"], ties, strict=True))
        if t is not None and k is not None
    )
    found: Values = []
    for t, k in zip(asking["t"], asking["k"], strict=True):
        if t is None or k is None or last is None or t * tick + gap + length > last:
            found.append(None)
            continue
        begin = t * tick + gap
        rows = [row for at, _, row in order if begin < at <= begin + length]
        values = [seen["x"][row] for row in rows if seen["k"][row] == k]
        there = values if name in WITH_MISSING else [x for x in values if x is not None]
        found.append(FUNCTIONS[name][1](there))
    return found


def label_of(
    expression: ff.Expr,
    data: pa.Table,
    history: pa.Table | None = None,
    tables: Mapping[str, pa.Table] | None = None,
    backend: str = "cpu",
) -> Values:
    """Return a label of rows, of a plan that was fitted on others of the same types."""
    plan = ff.Plan({"one": col("row")}, label={"y": expression})
    fitted = plan.fit(data.slice(0, 0), tables=tables)
    return fitted.label(data, history=history, tables=tables, backend=backend).to_pylist()


def table_of(
    columns: Mapping[str, Values], time: str = "int64", key: pa.DataType | None = None
) -> pa.Table:
    kind, _ = TIMES[time]
    plain = pa.int32() if time == "date32" else pa.int64()
    ticks = pa.array(columns["t"], plain if pa.types.is_temporal(kind) else kind)
    rest = {
        "k": pa.array(columns["k"], key or pa.string()),
        "x": pa.array(columns["x"], pa.int64()),
    }
    if "tie" in columns:
        rest["tie"] = pa.array(columns["tie"], pa.int64())
    times = ticks.view(kind) if pa.types.is_temporal(kind) else ticks
    return pa.table({"row": list(range(len(times))), "t": times, **rest})


def window(time: str, length: int, gap: int = 0, end: int | None = None, **options: Any) -> Any:
    """Return a window ahead of so many ticks of a type of times."""
    kind, tick = TIMES[time]
    if not pa.types.is_temporal(kind):
        return ff.ahead(length, time="t", gap=gap or None, end=end, **options)
    until = (
        None if end is None else str(pa.scalar(end * tick, pa.timestamp("ns")).cast(pa.string()))
    )
    return ff.ahead(
        f"{length * tick}ns", time="t", gap=f"{gap * tick}ns" if gap else None, end=until, **options
    )


ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 12),
        st.none() | st.sampled_from("ab"),
        st.none() | st.integers(-3, 3),
        st.none() | st.integers(0, 2),
    ),
    max_size=14,
)


def columns(rows: list[Any]) -> dict[str, Values]:
    return {name: [row[k] for row in rows] for k, name in enumerate(("t", "k", "x", "tie"))}


@given(
    rows=ROWS,
    name=st.sampled_from(sorted(FUNCTIONS)),
    time=st.sampled_from(sorted(TIMES)),
    length=st.integers(1, 6),
    gap=st.integers(0, 3),
    end=st.none() | st.integers(0, 20),
    tied=st.booleans(),
    n_earlier=st.integers(0, 3),
)
def test_label_is_what_its_definition_says(
    rows: list[Any],
    name: str,
    time: str,
    length: int,
    gap: int,
    end: int | None,
    tied: bool,
    n_earlier: int,
) -> None:
    tick = TIMES[time][1]
    given_columns = columns(rows)
    if time == "date64":  # whole days only, as Arrow has them
        given_columns["t"] = [None if t is None else t * 86_400_000 for t in given_columns["t"]]
        length, gap = length * 86_400_000, gap * 86_400_000
        end = None if end is None else end * 86_400_000
    if not tied:
        del given_columns["tie"]
    options = {"by": "k", **({"tie": "tie"} if tied else {})}
    expression = FUNCTIONS[name][0](col("x"), window(time, length, gap, end, **options))
    data = table_of(given_columns, time)
    reach = length * tick, gap * tick, None if end is None else end * tick
    asking = {key: values[n_earlier:] for key, values in given_columns.items()}
    found = label_of(expression, data.slice(n_earlier), history=data.slice(0, n_earlier))
    assert found == expected(name, asking, given_columns, reach, tick)


@pytest.mark.parametrize("backend", ["cpu", "reference", "emulated"])
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_is_the_same_on_every_backend(name: str, backend: str) -> None:
    given_columns = {
        "t": [5, 0, 3, 3, None, 9, 4, 3, 1, 8],
        "k": ["a", "a", "a", "b", "a", "a", None, "a", "b", "b"],
        "x": [1, 2, None, 3, 9, 0, 5, 2, 4, 4],
    }
    expression = FUNCTIONS[name][0](col("x"), ff.ahead(4, time="t", by="k", gap=1))
    found = label_of(expression, table_of(given_columns), backend=backend)
    assert found == expected(name, given_columns, given_columns, (4, 1, None))


@given(
    rows=ROWS,
    seen=ROWS,
    name=st.sampled_from(sorted(FUNCTIONS)),
    end=st.none() | st.integers(0, 20),
)
def test_label_of_a_table_is_what_its_definition_says(
    rows: list[Any], seen: list[Any], name: str, end: int | None
) -> None:
    asking, known = columns(rows), columns(seen)
    table = table_of(known, "ms").rename_columns(["row", "at", "who", "x", "tie"])
    over = ff.ahead(
        "5s", by={"k": "who"}, time="t", gap="1s", tie="tie", table="logins", right_time="at",
        end=None if end is None else datetime.datetime.fromtimestamp(end, datetime.UTC),
    )  # fmt: skip
    expression = FUNCTIONS[name][0](col("x"), over)
    data = table_of(asking, "s").drop_columns(["x", "tie"])
    table = table.set_column(
        1,
        "at",
        pa.array([None if t is None else t * 1000 for t in known["t"]], pa.int64()).view(
            pa.timestamp("ms")
        ),
    )
    seconds = 10**9
    reach = 5 * seconds, seconds, None if end is None else end * seconds
    found = label_of(expression, data, tables={"logins": table})
    assert found == expected(name, asking, known, reach, seconds)


MOST, LEAST = 2**63 - 1, -(2**63)
EDGES = [LEAST, LEAST + 1, LEAST + 5, -1, 0, 1, MOST - 5, MOST - 1, MOST]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("length", [1, 4, 2**62, MOST - 6, MOST])
@pytest.mark.parametrize("gap", [0, 3, 2**62 - 1])
@pytest.mark.parametrize("kind", [pa.int64(), pa.timestamp("ns")])
def test_nothing_wraps_near_the_ends_of_int64(
    kind: pa.DataType, gap: int, length: int, backend: str
) -> None:
    length = min(length, MOST - gap)
    given_columns = {"t": EDGES, "k": ["a"] * len(EDGES), "x": list(range(len(EDGES)))}
    data = table_of(given_columns)
    ends: list[Any] = [None, MOST]
    if pa.types.is_temporal(kind):
        data = data.set_column(1, "t", pa.array(EDGES, pa.int64()).view(kind))
        ends = [None, "9999-12-31"]
    for end, (name, (define, _)) in itertools.product(ends, FUNCTIONS.items()):
        if name not in ("rows", "sum", "first", "last"):
            continue
        reach = (f"{length}ns", f"{gap}ns") if pa.types.is_temporal(kind) else (length, gap)
        over = ff.ahead(reach[0], time="t", by="k", gap=reach[1], end=end)
        until = None if end is None else 2**70 if pa.types.is_temporal(kind) else end
        found = label_of(define(col("x"), over), data, backend=backend)
        assert found == expected(name, given_columns, given_columns, (length, gap, until))


def test_rows_of_a_table_beyond_the_ticks_of_the_data_are_seen() -> None:
    data = pa.table(
        {
            "row": [0],
            "t": pa.array([2**63 - 10], pa.int64()).view(pa.timestamp("ns")),  # April 2262
            "k": ["a"],
        }
    )
    late = pa.array(
        [datetime.datetime(2263, 1, 1), datetime.datetime(2264, 1, 1)], pa.timestamp("s")
    )
    table = pa.table({"t": late, "k": ["a", "a"], "x": [1, 2]})
    over = ff.ahead("365d", time="t", by="k", table="events")
    for backend in ("cpu", "reference"):
        found = label_of(col("x").sum(over=over), data, tables={"events": table}, backend=backend)
        assert found == [1]


@pytest.mark.parametrize(
    "keys",
    [
        pa.array([1, 2, 1, None, 2], pa.int16()),
        pa.array([0.0, 2.5, -0.0, float("nan"), 2.5]),
        pa.array(["x", "y", "x", None, "y"]).dictionary_encode(),
        pa.array([True, False, True, None, False]),
        pa.array([b"x", b"", b"x", None, b""]),
        pa.array([1, 2, 1, None, 2], pa.int32()).view(pa.date32()),
        pa.array(["x", "y", "x", None, "y"], pa.string_view()),
    ],
    ids=lambda keys: str(keys.type),
)
def test_keys_of_any_type_tell_entities_apart(keys: pa.Array) -> None:
    data = pa.table({"row": range(5), "t": [0, 1, 2, 3, 4], "k": keys, "x": [1, 2, 4, 8, 16]})
    expression = col("x").sum(over=ff.ahead(9, time="t", by="k", end=99))
    for backend in ("cpu", "reference", "emulated"):
        assert label_of(expression, data, backend=backend) == [4, 16, 0, None, 0]


def test_several_keys_and_expressions_order_the_rows() -> None:
    data = pa.table(
        {"row": range(4), "t": ["0", "2", "4", "4"], "a": [1, 1, 1, 2], "b": ["x", "X", "x", "x"],
         "x": [1.5, 2.5, None, 4.5]}
    )  # fmt: skip
    over = ff.ahead(
        4, time=col("t").str.to_integer(), by=["a", col("b").str.to_lowercase()], end=100
    )
    assert label_of(col("x").max(over=over), data) == [2.5, None, None, None]
    assert label_of(ff.count(over=over), data) == [2, 1, 0, 0]


def test_without_a_key_all_rows_are_of_one_entity() -> None:
    data = table_of({"t": [3, 1, 2], "k": [None, "a", "b"], "x": [1, 2, 4]})
    assert label_of(col("x").sum(over=ff.ahead(1, time="t")), data) == [None, 4, 1]


def test_text_is_seen_ahead() -> None:
    data = pa.table({"row": range(3), "t": [1, 2, 3], "s": ["b", "a", None]})
    over = ff.ahead(2, time="t", end=9)
    assert label_of(col("s").last(over=over) == "a", data) == [True, None, None]
    assert label_of(col("s").n_unique(over=over), data) == [1, 0, 0]


def test_what_windows_and_lookups_see_is_seen_ahead() -> None:
    data = table_of({"t": [1, 2, 3, 4], "k": ["a"] * 4, "x": [1, 2, 3, 4]})
    so_far = col("x").sum(over=ff.window(time="t", by="k"))
    ahead = ff.ahead(2, time="t", by="k")
    assert label_of(so_far.last(over=ahead), data, history=None) == [3, 6, None, None]
    prices = pa.table({"k": ["a"], "price": [10]})
    priced = col("x") * ff.lookup("prices", by="k").col("price")
    assert label_of(priced.sum(over=ahead), data, tables={"prices": prices}) == [50, 70, None, None]


def test_a_label_that_no_row_has_yet_is_missing_whatever_is_made_of_it() -> None:
    data = table_of({"t": [1, 2, 3, None, 1], "k": [*"aaaa", None], "x": [1, 2, 3, 4, 5]})
    ahead = ff.ahead(1, time="t", by="k")
    filled = col("x").last(over=ahead).fill_null(-1)
    chosen = ff.when(ff.count(over=ahead) == 0).then(1).otherwise(0)
    assert label_of(filled, data) == [2, 3, None, None, None]
    assert label_of(chosen, data) == [0, 0, None, None, None]
    both = ff.count(over=ahead) + ff.count(over=ff.ahead(2, time="t", by="k"))
    assert label_of(both, data) == [3, None, None, None, None]


def test_the_value_in_half_an_hour_is_that_of_pandas() -> None:
    pd = pytest.importorskip("pandas")
    times = pd.to_datetime("2024-03-01") + pd.to_timedelta([0, 10, 25, 55, 60, 61, 90, 130], "min")
    frame = pd.DataFrame({"t": times, "id": 1, "g": [100.0, 110, 120, 130, 140, 150, 160, 170]})
    wanted = pd.merge_asof(
        frame.assign(at=frame.t + pd.Timedelta("30min")),
        frame.rename(columns={"t": "then", "g": "y"})[["then", "id", "y"]],
        left_on="at", right_on="then", by="id",
    )  # fmt: skip
    there = (wanted["then"] > wanted["t"]) & (wanted["at"] <= times.max())
    plan = ff.Plan(
        {"g": col("g")}, label={"y": col("g").last(over=ff.ahead("30m", by="id", time="t"))}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsWithoutLabel)
        found = plan.fit(frame).label(frame).to_pandas()
    assert found.tolist()[:6] == wanted.y.where(there).tolist()[:6]
    assert found[6:].isna().tolist() == (~there)[6:].tolist()


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 3)), min_size=1, max_size=40))
def test_who_comes_back_is_what_sql_says(rows: list[tuple[int, int]]) -> None:
    duckdb = pytest.importorskip("duckdb")
    start = datetime.datetime(2024, 1, 1)
    data = pa.table(
        {
            "row": range(len(rows)),
            "ts": [start + datetime.timedelta(days=day) for day, _ in rows],
            "user": [user for _, user in rows],
        }
    )
    wanted = duckdb.sql(
        """
        SELECT CASE WHEN a.ts + INTERVAL 30 DAY <= (SELECT max(ts) FROM data)
               THEN count(b.ts) = 0 END AS churned
        FROM data a LEFT JOIN data b
        ON a.user = b.user AND b.ts > a.ts AND b.ts <= a.ts + INTERVAL 30 DAY
        GROUP BY a.row, a.ts ORDER BY a.row
        """
    ).fetchall()
    churned = ff.count(over=ff.ahead("30d", by="user", time="ts")) == 0
    assert label_of(churned, data) == [one for (one,) in wanted]


TS = col("ts")
ROUNDED = {
    "week": TS.dt.truncate("1w"),
    "date": TS.dt.date(),
    "month": TS.dt.truncate("1mo"),
    "hours of a zone": TS.dt.truncate("6h", tz="Europe/Berlin", naive="UTC"),
    "days": TS.dt.epoch("d"),
}


@pytest.mark.parametrize("ends", ["by the last time", "by a moment"])
@pytest.mark.parametrize("rounded", ROUNDED)
def test_a_label_by_a_rounded_time_waits_for_all_rows_of_its_last_interval(
    rounded: str, ends: str
) -> None:
    """Rows that are recorded later change no label: a week is not over on its Monday."""
    time, first = ROUNDED[rounded], datetime.datetime(2024, 1, 1)
    times = [first + datetime.timedelta(hours=5 * k) for k in range(500)]

    def labels(n: int) -> Values:
        rows = pa.table({"ts": pa.array(times[:n], pa.timestamp("us")), "row": range(n)})
        moment: Any = None
        if ends == "by a moment":
            since = times[n - 1] - datetime.datetime(1970, 1, 1)
            moment = since.days if rounded == "days" else times[n - 1]
        reach: Any = 14 if rounded == "days" else "14d"
        return label_of(ff.count(over=ff.ahead(reach, time=time, end=moment)), rows)

    whole = labels(500)
    for n in range(260, 420, 7):
        found = labels(n)
        known = [k for k, value in enumerate(found) if value is not None]
        assert known
        assert [found[k] for k in known] == [whole[k] for k in known]


def test_a_label_by_a_time_of_any_expression_waits_until_the_last_of_them_is_over() -> None:
    """Of ten rows of each time, those of the last one may come yet."""
    over = ff.ahead(2, time=col("t") // 10)

    def labels(n: int) -> Values:
        return label_of(ff.count(over=over), pa.table({"t": range(n), "row": range(n)}))

    whole = labels(200)
    for n in range(45, 60):
        assert labels(n) == [
            value if k // 10 + 2 < (n - 1) // 10 else None for k, value in enumerate(whole[:n])
        ]
