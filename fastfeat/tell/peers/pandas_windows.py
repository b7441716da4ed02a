"""Windows and tables in pandas: functions that return code for them.

The code sorts rows by key and time once per window. It finds the bounds of each row's window by
binary search, and pandas computes rolling statistics over these bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Column
from fastfeat.tell.peers.calendar import pandas_type
from fastfeat.tell.peers.code_writer import (
    CallSite,
    CodeTemplate,
    ModuleWriter,
    NotSupported,
    WriteCall,
    kind_of,
)
from fastfeat.tell.peers.windows_and_lookups import (
    ExportWindow,
    age_and_delay,
    is_number,
    lookup_of,
    window_of,
)


def _moment(site: CallSite, place: int) -> str:
    """Return code for times as integers in their own unit; missing times become <NA>."""
    dtype = site.args[place].dtype
    if not dtype.is_temporal:
        return site.shown(place, "i")
    unit = "s" if dtype.name == "date32" else dtype.unit
    return site.help("ticks", site.named(place), f'"datetime64[{unit}]"', "1")


def _windows(site: CallSite, window: ExportWindow) -> str:
    keys = ", ".join(site.named(k) for k in window.keys)
    told = f"{window.last}, {window.offset}, {window.rows}, {window.closed!r}"
    moment = site.scribe.named(_moment(site, window.time))
    return site.scribe.named(site.help("windows", moment, f"[{keys}]", told), "w")


def _over(statistic: str, options: Mapping[str, str] | None = None) -> WriteCall:
    """Return a function that writes a rolling statistic of pandas.

    `options` are its further arguments; "{}" stands for the parameter of that name.
    """

    def write(site: CallSite) -> str:
        window = window_of(site)
        if window.values is None or not is_number(site.args[window.values]):
            raise NotSupported("a window statistic of values other than numbers is not supported")
        told = {
            name: repr(site.params[name]) if text == "{}" else text
            for name, text in (options or {}).items()
        }
        value = site.shown(window.values, "f")
        name = _windows(site, window)
        more = [f"{key}={text}" for key, text in told.items()]
        found = site.help("over", value, name, f'"{statistic}"', str(window.min_samples), *more)
        kind = kind_of(site.dtype)
        if kind == "f":
            return found
        return site.help("integers" if kind == "i" else "bools", found)

    return write


def _sum(site: CallSite) -> str:
    window = window_of(site)
    if window.values is None or not is_number(site.args[window.values]):
        raise NotSupported("a sum of values other than numbers is not supported")
    if kind_of(site.dtype) == "f":
        return _over("sum")(site)
    value = site.shown(window.values, "i")
    return site.help("sum_over", value, _windows(site, window), str(window.min_samples))


def _count(template: str) -> WriteCall:
    def write(site: CallSite) -> str:
        window = window_of(site)
        if window.values is None:
            name = _windows(site, window)
            return site.help("sum_over", f"pd.Series(1, {name}.index)", name, "0")
        if site.args[window.values].is_constant:
            name = _windows(site, window)
            value = f"pd.Series({site.args[window.values].text}, {name}.index)"
        else:
            value = site.named(window.values)
            name = _windows(site, window)
        counted = template.format(x=value)
        return site.help("sum_over", f'{counted}.astype("int64")', name, "0")

    return write


def _picked(place: str) -> WriteCall:
    """Return a function that writes the value of a single row of the window, such as the last one.

    `place` is a template of code for the position of that row.
    """

    def write(site: CallSite) -> str:
        window = window_of(site)
        if window.values is None or not is_number(site.args[window.values]):
            raise NotSupported("a window over values other than numbers is not supported")
        value = site.shown(window.values, "s")
        name = _windows(site, window)
        at = place.format(w=name, n=site.params.get("n"))
        found = site.help("picked", value, name, at, str(window.min_samples))
        return site.help({"f": "floats", "i": "integers", "b": "bools"}[kind_of(site.dtype)], found)

    return write


def _table_column(table: str, name: str, dtype: DType, site: CallSite) -> str:
    text = f"tables[{table!r}][{name!r}]"
    match kind_of(dtype):
        case "f":
            return site.help("floats", text)
        case "i" if dtype.name != "uint64":
            return site.help("integers", text)
        case "b":
            return site.help("bools", text)
        case "s" if dtype.name == "utf8":
            return f'{text}.astype("string")'
        case "t":
            return f'{text}.astype("{pandas_type(dtype)}")'
        case _:
            raise NotSupported(f"lookup tables with columns of {dtype} are not supported")


def _looked_up(site: CallSite) -> str:
    found = lookup_of(site)
    kinds = [(p.kind, kind_of(found.types[k])) for p, k in zip(site.args, found.keys, strict=True)]
    if any(one != other for one, other in kinds):
        raise NotSupported("keys of different types in the data and the table are not supported")
    table = [_table_column(found.table, key, found.types[key], site) for key in found.keys]
    if found.params is None:
        keys = ", ".join(site.named(k) for k in range(len(site.args)))
        places = site.help("places_of", f"[{keys}]", f"[{', '.join(table)}]")
    else:
        places = _asof(site, table, [found.types[key] for key in found.keys], found.params)
    name = site.scribe.named(places, "p")
    value = _table_column(found.table, found.value, found.types[found.value], site)
    taken = site.help("taken", value, name)
    kind = kind_of(found.types[found.value])
    return site.help({"i": "integers", "b": "bools"}[kind], taken) if kind in "ib" else taken


def _asof(site: CallSite, table: list[str], types: list[DType], params: Mapping[str, Any]) -> str:
    time, right = site.args[0].dtype, types[0]
    if time != right:
        raise NotSupported("times of different types in the data and the table are not supported")
    ticks = map(str, age_and_delay(params, time))
    unit = "s" if time.name == "date32" else time.unit
    known = site.scribe.named(table[0])
    moments = site.help("ticks", known, f'"datetime64[{unit}]"', "1") if time.is_temporal else known
    keys = ", ".join(site.named(k) for k in range(1, len(site.args)))
    left = f"{_moment(site, 0)}, [{keys}]"
    exact = repr(params["allow_exact_matches"])
    return site.help("latest_of", left, f"{moments}, [{', '.join(table[1:])}]", *ticks, exact)


ROWS: dict[str, CodeTemplate] = {
    "over.count": _count("{x}.notna()"),
    "over.null_count": _count("{x}.isna()"),
    "over.sum": _sum,
    "over.mean": _over("mean"),
    "over.min": _over("min"),
    "over.max": _over("max"),
    "over.std": _over("std", {"ddof": "{}"}),
    "over.var": _over("var", {"ddof": "{}"}),
    "over.quantile": _over("quantile", {"q": "{}", "interpolation": "{}"}),
    "over.lag": _picked("{w}.end - {n}"),
    "lookup_value": _looked_up,
}


def reads_rows(scribe: ModuleWriter) -> bool:
    """Return whether any feature written so far reads earlier rows."""
    return bool(scribe.names["w"])


def around(scribe: ModuleWriter) -> tuple[list[str], list[str]]:
    """Return two lists of lines of code: to put the history before the rows, and to remove it."""
    if not reads_rows(scribe):
        return [], ["    return features"]
    names = [node.name for node in scribe.pieces if isinstance(node, Column)]
    before = [
        "    n_rows = len(data)",
        "    data = data if history is None else pd.concat([history, data])",
        f"    data = data.reset_index(drop=True).reindex(columns={names!r})",
    ]
    return before, ["    return features.iloc[len(data) - n_rows :].reset_index(drop=True)"]


HELPERS: dict[str, str] = {
    "windows": '''
class Bounds(pd.api.indexers.BaseIndexer):
    """The rows of each window, among rows in order of key and moment."""

    def get_window_bounds(self, num_values, min_periods, center, closed, step):
        return self.start, self.end


def windows(moment, keys, last, offset, rows, closed):
    """Return the windows of all rows that have a moment and a key."""
    present = np.logical_and.reduce([column.notna() for column in (moment, *keys)])
    known = np.flatnonzero(present)
    time = moment.iloc[known].to_numpy("int64")
    frame = pd.concat([key.iloc[known] for key in keys], axis=1) if keys else None
    parts = list(frame.T.reset_index(drop=True).T.columns) if keys else []
    entity = np.zeros(len(known), "int64")
    if keys:
        frame.columns = parts
        entity = frame.groupby(parts, sort=False).ngroup().to_numpy("int64")
    order = np.lexsort((time, entity))
    time, entity = time[order], entity[order]
    moments = np.unique(time)
    size = len(moments) + 1
    here = entity * size + np.searchsorted(moments, time)

    def at(ticks, side):
        return np.searchsorted(here, entity * size + np.searchsorted(moments, ticks, side))

    begin = np.searchsorted(here, entity * size)
    if closed in ("left", "neither"):
        end = at(time - offset, "left")
    else:
        end = at(time - offset, "right") if offset else np.arange(len(time)) + 1
    start = begin
    if last is not None:
        start = at(time - offset - last, "left" if closed in ("left", "both") else "right")
    if rows is not None:
        start = np.maximum(start, end - rows)
    return Bounds(start=np.minimum(start, end), end=end, order=known[order], index=moment.index)
''',
    "over": '''
def over(column, bounds, statistic, min_samples, **options):
    """Return a statistic of the values in each window; rows without a window have none."""
    values = pd.Series(column.to_numpy("float64")[bounds.order])
    rolled = getattr(values.rolling(bounds, min_periods=min_samples), statistic)(**options)
    result = np.full(len(bounds.index), np.nan)
    result[bounds.order] = rolled
    return pd.Series(result, bounds.index)
''',
    "sum_over": '''
def sum_over(column, bounds, min_samples):
    """Return the exact sum of the whole numbers in each window."""
    values = column.iloc[bounds.order]
    sums = np.concatenate([[0], np.cumsum(values.fillna(0).to_numpy("int64"))])
    counts = np.concatenate([[0], np.cumsum(values.notna())])
    total = pd.Series(sums[bounds.end] - sums[bounds.start], dtype="Int64")
    total = total.mask(counts[bounds.end] - counts[bounds.start] < min_samples)
    result = pd.Series(pd.NA, bounds.index, dtype="Int64")
    result.iloc[bounds.order] = total
    return integers(result)
''',
    "picked": '''
def picked(column, bounds, place, min_samples):
    """Return the value at a place of each window, missing where that is outside of it."""
    values = column.iloc[bounds.order]
    counts = np.concatenate([[0], np.cumsum(values.notna())])
    is_there = (place >= bounds.start) & (place < bounds.end)
    is_there &= counts[bounds.end] - counts[bounds.start] >= min_samples
    places = np.full(len(bounds.index), -1)
    places[bounds.order] = np.where(is_there, place, -1)
    return taken(values, pd.Series(places, bounds.index))
''',
    "taken": '''
def taken(column, places):
    """Return the values of a column at some places; of the place -1 missing."""
    held = {"i": "Int64", "b": "boolean"}.get(column.dtype.kind)
    values = column if held is None else column.astype(held)
    found = values.reset_index(drop=True).reindex(places.to_numpy())
    return found.set_axis(places.index)
''',
    "places_of": '''
def places_of(keys, known):
    """Return the row of a table that has the key of each row, -1 for none."""
    if len(keys) == 1:
        places = pd.Index(known[0].astype(keys[0].dtype)).get_indexer(keys[0])
    else:
        rows = pd.MultiIndex.from_arrays([k.astype(a.dtype) for k, a in zip(known, keys)])
        places = rows.get_indexer(pd.MultiIndex.from_arrays(keys))
    is_missing = np.logical_or.reduce([key.isna() for key in keys])
    return pd.Series(np.where(is_missing, -1, places), keys[0].index)
''',
    "latest_of": '''
def latest_of(moment, keys, known, known_keys, tolerance, delay, exact):
    """Return the latest row of a table that was known at each moment, -1 for none."""
    names = [f"key {k}" for k in range(len(keys))]
    asked = pd.DataFrame({"moment": moment, **dict(zip(names, keys))})
    asked = asked.assign(place=np.arange(len(asked))).dropna()
    table = pd.DataFrame({"moment": known + delay, **dict(zip(names, known_keys))})
    table = table.assign(row=np.arange(len(table))).dropna()
    asked = asked.astype({"moment": "int64"}).sort_values("moment", kind="stable")
    table = table.astype({"moment": "int64", **{n: asked[n].dtype for n in names}})
    table = table.sort_values("moment", kind="stable")
    found = pd.merge_asof(
        asked, table, on="moment", by=names or None, tolerance=tolerance, allow_exact_matches=exact
    )
    places = np.full(len(moment), -1)
    places[found["place"]] = found["row"].fillna(-1)
    return pd.Series(places, moment.index)
''',
}
