"""Windows and tables in Polars: functions that return code for them.

The code sorts rows by time once, and restores their own order at the end. Rows without a time or a
key form a separate partition, and their results become missing.
"""

from __future__ import annotations

from collections.abc import Callable

from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Column
from fastfeat.tell.peers.calendar import polars_type
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

_CLOSED = {"left": "left", "right": "right", "both": "both", "neither": "none"}
_MOST_S = 200 * 366 * 86_400
"""Length in seconds of a window without a limit."""


def new_column(scribe: ModuleWriter) -> str:
    """Return a column name that the data does not have."""
    scribe.names["joined"] += 1
    return f"{_unlike_all(scribe)}{scribe.names['joined']}"


def _unlike_all(scribe: ModuleWriter) -> str:
    """Return a prefix of underscores that no column of the plan begins with."""
    names = [node.name for node in _columns(scribe)]
    taken = max((len(name) - len(name.lstrip("_")) for name in names), default=0)
    return "_" * (taken + 1)


def _columns(scribe: ModuleWriter) -> list[Column]:
    """Return all columns that the plan reads, also those of features that cannot be written."""
    return [node for node in scribe.types if isinstance(node, Column)]


def _ordered_by(site: CallSite, window: ExportWindow) -> tuple[str, str]:
    """Return the name of the column that rows are sorted by, and code for its values.

    The first call writes the statement that sorts the rows.

    Raises:
        Unwritable: Rows are already sorted by another time.
    """
    scribe, moment = site.scribe, site.named(window.time)
    name = f"{_unlike_all(scribe)}moment"
    statement = f"rows = in_order(rows, {moment}, {name!r})"
    if scribe.names["w"] and statement not in scribe.statements:
        raise NotSupported("windows by two different time columns in one plan are not supported")
    if not scribe.names["w"]:
        scribe.names["w"] += 1
        scribe.help("in_order")
        scribe.statements.append(statement)
    return name, moment


def _over(text: Callable[[str, CallSite], str], *, of_rows: bool = False) -> WriteCall:
    """Return a function that writes a statistic over a window.

    `text` returns the code of the statistic from the code of a column. `of_rows` means that the
    function counts rows, so that its values need not be numbers.
    """

    def write(site: CallSite) -> str:
        window = window_of(site)
        time = site.args[window.time].dtype
        if time.name == "date32" or time.unit == "s":
            raise NotSupported(f"windows by a time column of type {time} are not supported")
        if window.closed in ("right", "both") and not window.offset:
            raise NotSupported(
                "a window that includes the row itself is not supported: Polars would also include "
                "later rows with the same time"
            )
        place = window.values
        counts_rows = of_rows and (place is None or site.args[place].is_constant)
        if counts_rows and site.node.function == "over.count":
            value, n_present = "pl.lit(1)", None
        elif place is None or site.args[place].is_constant or site.args[place].kind == "l":
            raise NotSupported("a window function of a constant is not supported")
        elif not of_rows and not is_number(site.args[place]):
            raise NotSupported("a window function of values other than numbers is not supported")
        else:
            kind = site.args[place].kind
            shown = site.shown(place, "s")
            made = f"{shown}.cast(pl.Int64)" if kind == "b" else shown
            column = site.scribe.bound.get(f"column {made}") or new_column(site.scribe)
            _ordered_by(site, window)
            if f"column {made}" not in site.scribe.bound:
                site.scribe.bound[f"column {made}"] = column
                site.scribe.statements.append(f"rows = rows.with_columns({made}.alias({column!r}))")
            value, n_present = f"pl.col({column!r})", window.min_samples
        moment_column, moment = _ordered_by(site, window)
        kept = f"{value}.tail({window.rows})" if window.rows is not None else value
        if n_present is None:
            found = "pl.len()" if window.rows is None else f"pl.len().clip(0, {window.rows})"
        else:
            found = text(kept, site)
        if n_present and not of_rows:
            found = f"pl.when({kept}.count() >= {n_present}).then({found})"
        keys = [site.named(k, "s") for k in window.keys]
        reach = _reach(window, time.is_temporal, 10**9 // _per_second(time.unit))
        rolled = f"({found}).rolling({moment_column!r}, {reach})"
        empty = " | ".join(f"{side}.is_null()" for side in (moment, *keys))
        name = site.scribe.named(empty)
        over = f"{rolled}.over([{', '.join([*keys, f'{moment}.is_null()'])}])"
        held = {"f": "pl.Float64", "i": "pl.Int64", "b": "pl.Boolean"}[kind_of(site.dtype)]
        return f"pl.when(~({name})).then({over}.cast({held}))"

    return write


def _per_second(unit: str | None) -> int:
    return {"ms": 10**3, "us": 10**6, "ns": 10**9}.get(unit or "", 1)


def _reach(window: ExportWindow, is_temporal: bool, tick_ns: int) -> str:
    """Return the length, offset and closed ends of a window as code of Polars arguments."""
    last = window.last
    if last is None:
        if not is_temporal:
            raise NotSupported("a window without last= is not supported if time= has integers")
        last = _MOST_S * 10**9 // tick_ns
    period, offset = last, -(last + window.offset)
    if is_temporal:
        shown, shift = f"{period * tick_ns}ns", f"{offset * tick_ns}ns"
    else:
        shown, shift = f"{period}i", f"{offset}i"
    return f'period="{shown}", offset="{shift}", closed="{_CLOSED[window.closed]}"'


def _method(call: str) -> WriteCall:
    return _over(lambda x, site: f"{x}.{call}")


def _with(call: str) -> WriteCall:
    """Return a function that writes a method over a window; parameters are filled into `call`."""
    return _over(lambda x, site: f"{x}.{call.format(**site.params)}")


def _lag(site: CallSite) -> str:
    n = site.params["n"]
    window = window_of(site)
    if window.rows is not None and window.rows < n:
        raise NotSupported("a lag longer than the window's rows= is not supported")
    return _over(lambda x, site: f"{x}.get(-{n}, null_on_oob=True)")(site)


def _looked_up(site: CallSite) -> str:
    """Return code for a value from a table, and write the join that finds the table row.

    One join serves all values of a lookup.
    """
    found, scribe = lookup_of(site), site.scribe
    kinds = [(p.kind, kind_of(found.types[k])) for p, k in zip(site.args, found.keys, strict=True)]
    if any(one != other for one, other in kinds):
        raise NotSupported("keys of different types in the data and the table are not supported")
    held = _typed(found.types[found.value])
    keys = [site.named(k, "s") for k in range(len(site.args))]
    known = [f"pl.col({key!r}).cast({_typed(found.types[key])})" for key in found.keys]
    table = f"tables[{found.table!r}]"
    if found.params is None:
        call = f"with_row(rows, {table}, [{', '.join(keys)}], [{', '.join(known)}]"
        scribe.help("with_row")
    else:
        time = site.args[0].dtype
        if time != found.types[found.keys[0]]:
            raise NotSupported(
                "times of different types in the data and the table are not supported"
            )
        if time.unit == "s":
            raise NotSupported("Polars has no timestamps in seconds")
        age, delay = age_and_delay(found.params, time)
        told = f"{age}, {delay}, {found.params['allow_exact_matches']!r}"
        moments = ", ".join(f"{text}.cast(pl.Int64)" for text in (keys[0], known[0]))
        others = f"[{', '.join(keys[1:])}], [{', '.join(known[1:])}]"
        call = f"with_latest(rows, {table}, {moments}, {others}, {told}"
        scribe.help("with_latest")
    name = scribe.bound.get(call)
    if name is None:
        name = scribe.bound[call] = new_column(scribe)
        scribe.statements.append(f"rows = {call}, {name!r})")
    values = f"pl.lit({table}.get_column({found.value!r}).cast({held}))"
    return f"{values}.gather(pl.col({name!r}))"


def _typed(dtype: DType) -> str:
    """Return code for the Polars type of a column of a table."""
    types = {"f": "pl.Float64", "i": "pl.Int64", "b": "pl.Boolean", "s": "pl.String"}
    if dtype.name in ("uint64", "binary") or dtype.is_list:
        raise NotSupported(f"lookup tables with columns of {dtype} are not supported")
    return types.get(kind_of(dtype)) or polars_type(dtype)


ROWS: dict[str, CodeTemplate] = {
    "over.count": _over(lambda x, site: f"{x}.count()", of_rows=True),
    "over.null_count": _over(lambda x, site: f"{x}.null_count()", of_rows=True),
    "over.sum": _method("sum()"),
    "over.mean": _method("mean()"),
    "over.min": _method("min()"),
    "over.max": _method("max()"),
    "over.std": _with("std(ddof={ddof})"),
    "over.var": _with("var(ddof={ddof})"),
    "over.quantile": _with('quantile({q}, interpolation="{interpolation}")'),
    "over.first": _method("drop_nulls().first()"),
    "over.last": _method("drop_nulls().last()"),
    "over.lag": _lag,
    "lookup_value": _looked_up,
}


def around(scribe: ModuleWriter) -> tuple[list[str], list[str], list[str]]:
    """Return code before the features, further columns to select, and code after the features."""
    names = [node.name for node in scribe.pieces if isinstance(node, Column)]
    if not scribe.names["w"]:
        chosen = f".select({names!r})" if names else ""
        return [f"    rows = data.lazy(){chosen}"], [], ["    return found.collect()"]
    place = f"{_unlike_all(scribe)}place"
    before = [
        f"    names = {names!r}",
        "    n_earlier = 0 if history is None else len(history)",
        "    parts = [data] if history is None else [history, data]",
        '    rows = pl.concat(parts, how="diagonal_relaxed")',
        "    late = [pl.lit(None).alias(name) for name in names if name not in rows.columns]",
        f"    rows = rows.lazy().with_columns(late).select(names).with_row_index({place!r})",
    ]
    after = [
        f"    found = found.filter(pl.col({place!r}) >= n_earlier).sort({place!r})",
        f"    return found.drop({place!r}).collect()",
    ]
    return before, [f"            pl.col({place!r}),"], after


HELPERS: dict[str, str] = {
    "with_row": '''
def with_row(rows, table, keys, known, name):
    """Return rows with the number of the row of a table that has their keys."""
    places = [f"{name} {k}" for k in range(len(keys))]
    listed = table.lazy().select(key.alias(place) for key, place in zip(known, places))
    return rows.join(
        listed.with_row_index(name),
        left_on=keys, right_on=places, how="left", maintain_order="left",
    )
''',
    "with_latest": '''
def with_latest(rows, table, moment, time, keys, known, age, delay, exact, name):
    """Return rows with the number of the latest row of a table known at their moment."""
    at, own, places = f"{name} at", f"{name} own", [f"{name} {k}" for k in range(len(keys))]
    parts = [key.alias(place) for key, place in zip(known, places)]
    listed = table.lazy().select((time + delay).alias(at), *parts).with_row_index(name)
    rows = rows.with_row_index(own)
    parts = [key.alias(place) for key, place in zip(keys, places)]
    asked = rows.select(own, moment.alias(at), *parts)
    found = asked.drop_nulls().sort(at, maintain_order=True).join_asof(
        listed.drop_nulls().sort(at, maintain_order=True),
        on=at, by=places or None, tolerance=age, allow_exact_matches=exact, check_sortedness=False,
    )
    found = found.select(own, name)
    return rows.join(found, on=own, how="left", maintain_order="left").drop(own)
''',
    "in_order": '''
def in_order(rows, moment, name):
    """Return rows in order of a moment, which becomes a column; where it is missing, it is 0."""
    known = moment.fill_null(pl.lit(0).cast(rows.select(moment.alias(name)).collect_schema()[name]))
    return rows.with_columns(known.alias(name)).sort(name, maintain_order=True)
''',
}
