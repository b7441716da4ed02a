"""Windows that are hard: very long, of few entities, of unordered or simultaneous rows.

No peer is measured: the ratio is to fastfeat's own time. Values of some rows are compared with the
definition, computed from the rows of each window alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.compare import EXACT, OutputsDiffer
from bench.workload import Contender, Target, Workload
from bench.workloads import rolling

N_CHECKED = 60
SLIDING = ("count", "sum", "mean", "std", "min", "max")
ORDERED = ("median", "n_unique")
DEFINITIONS: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "count": len,
    "sum": math.fsum,
    "mean": lambda x: math.fsum(x) / len(x),
    "std": lambda x: _std([int(one) for one in x]),
    "min": np.min,
    "max": np.max,
    "median": np.median,
    "n_unique": lambda x: len(np.unique(x)),
}
OF_NONE = {"count": 0, "sum": 0, "n_unique": 0}


def _std(x: list[int]) -> float:
    """Return the deviation of whole numbers, each step rounded once."""
    n = len(x)
    if n < 2:
        return math.nan
    return math.sqrt(float(n * sum(one * one for one in x) - sum(x) ** 2) / (n * (n - 1)))


class Given(NamedTuple):
    """The columns that a plan reads, and the reach of its windows.

    Args:
        entity: Name of a column.
        time: Name of a column.
        values: Name of a column.
        last: A duration; None for all earlier events.
    """

    entity: str = "e"
    time: str = "t"
    values: str = "v"
    last: str | None = "7d"


LENGTHS = {"": Given(last="1h"), "7 days": Given(), "everything": Given(last=None)}
DATA = {
    "": Given(),
    "half of one": Given(entity="half"),
    "all of one": Given(entity="one"),
    "backwards": Given(time="backwards"),
    "in no order": Given(time="shuffled"),
    "at one instant": Given(time="instants"),
    "of any spread": Given(values="wide"),
}


def generate(n_entities: int, n_rows: int) -> pa.Table:
    """Return entities, times and values of several kinds, for `Given` to choose from."""
    table = rolling.events(n_entities, False, "time", n_rows)
    rng = np.random.default_rng(15)
    entities, times = table["e"].to_numpy(), table["t"].to_numpy()
    columns = {
        "half": np.where(rng.random(n_rows) < 0.5, entities[0], entities),
        "one": np.zeros(n_rows, np.int64),
        "backwards": times[::-1],
        "shuffled": rng.permutation(times),
        "instants": np.repeat(times[:: max(1, n_rows // 4)], max(1, n_rows // 4) + 1)[:n_rows],
        "v": rng.integers(-1000, 1000, n_rows).astype(np.float64),
        "wide": np.ldexp(rng.normal(0, 1, n_rows), rng.integers(-300, 300, n_rows)),
    }
    return pa.table({"e": entities, "t": times} | columns)


def fastfeat(functions: Sequence[str], given: Given, table: pa.Table) -> Callable[[], Any]:
    """Return a call of transform, whose result has the columns for `checked` too."""
    import fastfeat as ff

    window = ff.window(given.last, time=given.time, by=given.entity)
    features = {name: getattr(ff.col(given.values), name)(over=window) for name in functions}
    read = table.select([given.entity, given.time, given.values])
    fitted = ff.Plan(features).fit(read.slice(0, 100))
    return lambda: (fitted.transform(read, history="batch"), read)


def checked(last: str | None, result: tuple[pa.Table, pa.Table]) -> list[int]:
    """Return the number of rows, after some values were compared with the definition.

    Raises:
        OutputsDiffer: A value differs.
    """
    found, read = result
    entities, times, values = (column.to_numpy() for column in read.columns)
    times = times.astype(np.int64)
    order = np.lexsort((times, entities))
    entities, times = entities[order], times[order]
    places = np.random.default_rng(16).integers(0, len(order), N_CHECKED)
    columns = {name: found[name].to_numpy() for name in found.column_names}
    for place in places:
        begin, end = np.searchsorted(entities, [entities[place], entities[place] + 1])
        own = times[begin:end]
        back = own[0] if last is None else times[place] - rolling.microseconds(last)
        first, behind = np.searchsorted(own, [back, times[place]])
        window = values[order[begin + first : begin + behind]]
        for name, column in columns.items():
            expected = DEFINITIONS[name](window) if len(window) else OF_NONE.get(name, math.nan)
            got = column[order[place]]
            if got != expected and not (math.isnan(got) and math.isnan(expected)):
                raise OutputsDiffer(f"{name}, row {order[place]}: {got} instead of {expected}")
    return [len(order)]


def _workload(
    name: str,
    title: str,
    functions: Sequence[str],
    cases: dict[str, Given],
    n_entities: int,
    at_most: float,
) -> Workload:
    names = {case: f"fastfeat {case}".rstrip() for case in cases}
    return Workload(
        name=f"hard_windows_{name}",
        group="hard_windows",
        title=title,
        label=f"hard windows, {name}",
        generate=partial(generate, n_entities),
        rows=5_000_000,
        smoke_rows=10_000,
        contenders=tuple(
            Contender(
                names[case], "fastfeat", partial(fastfeat, functions, given),
                partial(checked, given.last),
            )
            for case, given in cases.items()
        ),
        tolerance=EXACT,
        targets=tuple(
            Target("slowdown", at_most, contender=names[case]) for case in cases if case
        ),
    )  # fmt: skip


HARD_WINDOWS = (
    _workload(
        "length",
        "count sum mean std min max over an hour, or longer, 100 entities",
        SLIDING,
        LENGTHS,
        100,
        1.5,
    ),
    _workload(
        "order_length",
        "median and n_unique over an hour, or longer, 100 entities",
        ORDERED,
        LENGTHS,
        100,
        2.0,
    ),
    _workload(
        "data",
        "count sum mean min max over 7 days of events that are hard to deal with, 50,000 entities",
        ("count", "sum", "mean", "min", "max"),
        DATA,
        50_000,
        2.0,
    ),
)
