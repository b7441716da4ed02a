"""Polars: how each function of a plan is written as code of lazy expressions.

Numbers are Float64, Int64 and Boolean. NaN becomes null where the difference matters: before
comparisons, choices and sums, and in the output. See `code_writer` for pieces, sites and
`ModuleWriter`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from fastfeat.ir.dtypes import INTEGER_RANGE, DType
from fastfeat.scalars.table import edges, inner_edges
from fastfeat.tell.peers import calendar, polars_windows
from fastfeat.tell.peers.code_writer import (
    CallSite,
    CodePiece,
    CodeTemplate,
    ModuleWriter,
    NotSupported,
    PeerLibrary,
    WriteCall,
    atom,
    dict_text,
    float_text,
    kind_of,
)
from fastfeat.tell.peers.learnt_tables import bins_of, equal_members, keyed_code
from fastfeat.tell.peers.refusal_reasons import UNWRITTEN
from fastfeat.version import __version__

_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_HELD = {"f": "pl.Float64", "i": "pl.Int64", "b": "pl.Boolean"}
_NAMES = {
    **{name: f"pl.{name.capitalize()}" for name in ("int8", "int16", "int32", "int64")},
    "uint8": "pl.UInt8",
    "uint16": "pl.UInt16",
    "uint32": "pl.UInt32",
    "uint64": "pl.UInt64",
    "float32": "pl.Float32",
    "float64": "pl.Float64",
}


def _literal(value: Any, dtype: DType) -> str:
    kind = kind_of(dtype)
    if kind == "t":
        return calendar.literal_in_polars(value, dtype)
    if value is None or value != value:
        return f"pl.lit(None, {_HELD.get(kind, 'pl.String')})"
    if kind == "f":
        return float_text(value)
    return repr(value)


def _read(name: str, dtype: DType, scribe: ModuleWriter) -> str:
    column = f"pl.col({name!r})"
    match kind_of(dtype):
        case "f":
            return f"{column}.cast(pl.Float64)"
        case "i":
            return f"{column}.cast({'pl.UInt64' if dtype.name == 'uint64' else 'pl.Int64'})"
        case "b":
            return f"{column}.cast(pl.Boolean)"
        case "s" if dtype.name == "utf8":
            return f"{column}.cast(pl.String)"
        case "t":
            return f"{column}.cast({calendar.polars_type(dtype)})"
        case "l" if dtype.of is not None and kind_of(dtype.of) in "fi":
            return f"{column}.cast(pl.List({_HELD[kind_of(dtype.of)]}))"
        case "l" if dtype.of is not None and dtype.of.name == "utf8":
            return f"{column}.cast(pl.List(pl.String))"
        case _:
            raise NotSupported(f"columns of {dtype} are not supported")


def _plain(piece: CodePiece, scribe: ModuleWriter) -> str:
    return piece.text


def _as_floats(piece: CodePiece, scribe: ModuleWriter) -> str:
    if piece.kind == "f":
        return piece.text
    if piece.value is not None:
        value = piece.value[0]
        return _literal(None if value is None else float(value), DType("float64"))
    return f"{atom(piece.text)}.cast(pl.Float64)"


def _as_integers(piece: CodePiece, scribe: ModuleWriter) -> str:
    if piece.value is not None:
        (value,) = piece.value
        return _literal(None if value is None else int(value), DType("int64"))
    if piece.kind == "i" and piece.dtype.name != "uint64":
        return piece.text
    return f"{atom(piece.text)}.cast(pl.Int64)"


def _clean(piece: CodePiece, scribe: ModuleWriter) -> str:
    """Return code for a value in which NaN is replaced by null."""
    if piece.kind != "f" or piece.is_constant or piece.text.endswith(".fill_nan(None)"):
        return piece.text
    return f"{atom(piece.text)}.fill_nan(None)"


def _clean_floats(piece: CodePiece, scribe: ModuleWriter) -> str:
    return _clean(piece, scribe) if piece.kind == "f" else _as_floats(piece, scribe)


def _as_column(piece: CodePiece, scribe: ModuleWriter) -> str:
    """Return code for a Polars expression, even of a constant, in which NaN becomes null."""
    if not piece.is_constant:
        return _clean(piece, scribe)
    if piece.text.startswith("pl."):
        return piece.text
    held = f", {_HELD[piece.kind]}" if piece.kind in _HELD else ""
    return f"pl.lit({piece.text}{held})"


def _float_column(piece: CodePiece, scribe: ModuleWriter) -> str:
    if not piece.is_constant:
        return _clean_floats(piece, scribe)
    text = _as_floats(piece, scribe)
    return text if text.startswith("pl.") else f"pl.lit({text}, pl.Float64)"


def _any_column(piece: CodePiece, scribe: ModuleWriter) -> str:
    """Return code for floats in which NaN may remain, for functions that return NaN for NaN."""
    return _float_column(piece, scribe) if piece.is_constant else _as_floats(piece, scribe)


def _integer_column(piece: CodePiece, scribe: ModuleWriter) -> str:
    text = _as_integers(piece, scribe)
    return text if not piece.is_constant or text.startswith("pl.") else f"pl.lit({text}, pl.Int64)"


_COLUMN = {"f": "F", "i": "I", "b": "s", "t": "s"}
"""The form of a column, by the kind of the result."""


def _keyed(site: CallSite, values: Mapping[Any, Any], missing: Any, unseen: Any) -> str:
    kind, scribe = kind_of(site.dtype), site.scribe
    if not values:
        raise NotSupported("fit found no keys")
    if len(site.args) > 1:
        return _keyed_by_several(site, values, missing, unseen)
    piece = next(iter(site.args))
    # missing keys are handled separately, since the table has no null key
    key = site.named(0, "s")
    if piece.kind == "b":
        pairs = dict(values)
        text = f"pl.when({key}.is_null()).then({_value(missing, kind)})"
        for value, found in pairs.items():
            sign = "" if value else "~"
            text += f".when({sign}{key}).then({_value(found, kind)})"
        return f"{text}.otherwise({_value(unseen, kind)})"
    table = scribe.table(
        dict_text((_key_text(k), _plain_value(v, kind)) for k, v in values.items())
    )
    found = (
        f"{key}.replace_strict({table}, default={_value(unseen, kind)}, return_dtype={_HELD[kind]})"
    )
    return f"pl.when({key}.is_null()).then({_value(missing, kind)}).otherwise({found})"


def _keyed_by_several(site: CallSite, values: Mapping[Any, Any], missing: Any, unseen: Any) -> str:
    """Return code for a value looked up by several keys, and write the join that finds it.

    A join is needed because no Polars expression looks up several keys.
    """
    kind, scribe = kind_of(site.dtype), site.scribe
    lines = [f"    ({_key_text(k)}, {_plain_value(v, kind)})," for k, v in values.items()]
    table = scribe.table("\n".join(["[", *lines, "]"]))
    held = {"f": "pl.Float64", "i": "pl.Int64", "b": "pl.Boolean", "s": "pl.String"}
    types = ", ".join(held[piece.kind] for piece in site.args)
    keys = [site.named(k, "s") for k in range(len(site.args))]
    name = polars_windows.new_column(scribe)
    scribe.help("with_values")
    scribe.statements.append(
        f"rows = with_values(rows, [{', '.join(keys)}], [{types}], {table}, {name!r}, "
        f"{_HELD[kind]})"
    )
    column = f"pl.col({name!r})"
    found = f"pl.when(pl.col({name + ' known'!r})).then({column})"
    empty = " | ".join(f"{key}.is_null()" for key in keys)
    other = f".when({empty}).then({_value(missing, kind)})" if missing != unseen else ""
    return f"{found}{other}.otherwise({_value(unseen, kind)})"


def _key_text(key: Any) -> str:
    if isinstance(key, tuple):
        parts = cast("tuple[Any, ...]", key)
        return f"({', '.join(map(_key_text, parts))})"
    return float_text(key) if isinstance(key, float) else repr(key)


def _plain_value(value: Any, kind: str) -> str:
    if value is None or value != value:
        return "None"
    return float_text(value) if kind == "f" else repr(value)


def _value(value: Any, kind: str) -> str:
    """Return code for a Polars literal, typed even if the value is missing."""
    plain = _plain_value(value, kind)
    return f"pl.lit({plain}, {_HELD[kind]})"


def _output(piece: CodePiece, dtype: DType, scribe: ModuleWriter) -> str:
    if piece.is_constant:
        text = _as_column(piece, scribe)
        if kind_of(dtype) == "t":
            raise NotSupported("a constant date, timestamp or duration is not supported")
        return f"pl.repeat({text}, pl.len(), dtype={_HELD[kind_of(dtype)]}).cast({_name(dtype)})"
    text = atom(_clean(piece, scribe))
    if kind_of(dtype) == "t":
        return f"{text}.cast({calendar.polars_type(dtype)})"
    return text if dtype.name in ("float64", "int64", "bool") else f"{text}.cast({_name(dtype)})"


def _name(dtype: DType) -> str:
    if dtype.name == "bool":
        return "pl.Boolean"
    if dtype.name not in _NAMES:
        raise NotSupported(f"Polars has no column type for {dtype}")
    return _NAMES[dtype.name]


def _compared(sign: str) -> WriteCall:
    def write(site: CallSite) -> str:
        kinds = {piece.kind for piece in site.args}
        forms = ("C", "C") if kinds == {"f", "i"} or kinds == {"f", "b"} else ("c", "c")
        if kinds == {"i", "b"}:
            forms = ("i", "i")
        left, right = (site.shown(k, forms[k]) for k in range(2))
        if site.args[0].is_constant:
            left = atom(site.scribe.peer.forms["s"](site.args[0], site.scribe))
        return f"{left} {sign} {right}"

    return write


def _divided(site: CallSite) -> str:
    x, y = site.shown(0, "E"), site.shown(1, "f")
    divisor = site.args[1]
    if site.args[0].kind == "f" or divisor.kind == "f":
        return f"{x} / {y}"
    if divisor.value is not None:
        return f"{x} / {y}" if divisor.value[0] else f"{x} * {_literal(None, DType('float64'))}"
    y = site.named(1, "f")
    return f"{x} / pl.when({y} != 0.0).then({y})"


def _floored(sign: str) -> WriteCall:
    def write(site: CallSite) -> str:
        if "f" in (site.args[0].kind, site.args[1].kind):
            raise NotSupported(
                f"Polars computes x {sign} y from the rounded quotient x / y, fastfeat exactly"
            )
        value = site.args[1].value
        if value == (0,) or value == (None,):
            raise NotSupported("the divisor is a constant that is 0 or missing")
        return f"{site.shown(0, 'I')} {sign} {site.shown(1, 'i')}"

    return write


def _power(site: CallSite) -> str:
    if site.args[0].kind != "f" and site.args[1].kind != "f":
        if site.args[1].value is None:
            raise NotSupported("Polars has no integer powers with a column of exponents")
        return f"{site.shown(0, 'I')} ** {site.shown(1, 'i')}"
    if site.args[1].value == (2,) or site.args[1].value == (2.0,):
        x = site.named(0, "F")
        return f"{x} * {x}"
    return f"{site.shown(0, 'F')} ** {site.shown(1, 'F')}"


def _bins(cut: Callable[[Any, int], list[float]]) -> WriteCall:
    def write(site: CallSite) -> str:
        known = bins_of(site, cut)
        side = "left" if site.params.get("closed") == "right" else "right"
        x = site.named(0, "F")
        listed = f"[{', '.join(map(float_text, known))}]"
        found = f"pl.lit(pl.Series({listed}, dtype=pl.Float64))"
        text = f'{found}.search_sorted({x}, side="{side}").cast(pl.Int64)'
        return f"pl.when({x}.is_not_null()).then({text})"

    return write


def _cast(site: CallSite) -> str:
    target, (value,) = site.params["dtype"], site.args
    source, wanted, strict = value.kind, kind_of(target), site.params["strict"]
    if wanted == "f" and source in "fib":
        if target.name == "float64" or value.dtype == target:
            return site.shown(0, "f")
        if target.name != "float32":
            raise NotSupported(f"Polars has no type {target}")
        if strict:
            return f"{site.shown(0, 'F')}.cast(pl.Float32).cast(pl.Float64)"
        x = site.named(0, "F")
        rounded = f"{x}.cast(pl.Float32).cast(pl.Float64)"
        return f"pl.when({x}.is_infinite() | ~({rounded}).is_infinite()).then({rounded})"
    if wanted == "b" and source in "fib":
        return site.shown(0) if source == "b" else f"{site.shown(0, 'c')} != 0"
    if wanted == "i" and source in "fib":
        if value.dtype.name == "uint64" or target.name == "uint64":
            raise NotSupported("a cast from uint64 is not supported")
        low, high = INTEGER_RANGE[target.name]
        if source == "f":
            x = site.scribe.named(f"{site.shown(0, 'c')}.truncate()")
            held = f"({x} >= {float(low)!r}) & ({x} < {float(high + 1)!r})"
            return f"pl.when({held}).then({x}).cast(pl.Int64)"
        if strict or value.dtype.name == target.name or source == "b":
            return site.shown(0, "i")
        x = site.named(0)
        return f"pl.when({x}.is_between({low}, {high})).then({x})"
    raise NotSupported(f"a cast from {value.dtype} to {target} is not supported")


def _column(site: CallSite, place: int) -> str:
    """Return code for argument `place` as a column of the same kind as the result."""
    form = _COLUMN.get(kind_of(site.dtype))
    if form is None:
        raise NotSupported(f"when() or coalesce() with values of {site.dtype} is not supported")
    return site.scribe.peer.forms[form](site.args[place], site.scribe)


def _when(site: CallSite) -> str:
    _check_unsigned(site)
    condition = site.scribe.peer.forms["s"](site.args[0], site.scribe)
    return f"pl.when({condition}).then({_column(site, 1)}).otherwise({_column(site, 2)})"


def _check_unsigned(site: CallSite) -> None:
    if any(piece.dtype.name == "uint64" for piece in site.args) and kind_of(site.dtype) == "i":
        raise NotSupported("when() or coalesce() with values of uint64 is not supported")


def _coalesce(site: CallSite) -> str:
    _check_unsigned(site)
    parts = ", ".join(_column(site, k) for k in range(len(site.args)))
    return f"pl.coalesce({parts})"


def _fill_null(site: CallSite) -> str:
    _check_unsigned(site)
    return f"{atom(_column(site, 0))}.fill_null({_column(site, 1)})"


def _horizontal(name: str) -> WriteCall:
    def write(site: CallSite) -> str:
        kind = kind_of(site.dtype)
        if kind not in "fib":
            raise NotSupported(f"horizontal aggregates of {site.dtype} are not supported")
        parts = [_column(site, k) for k in range(len(site.args))]
        if kind == "b":
            cast = ", ".join(f"{atom(part)}.cast(pl.Int64)" for part in parts)
            return f"pl.{name}_horizontal({cast}).cast(pl.Boolean)"
        return f"pl.{name}_horizontal({', '.join(parts)})"

    return write


def _mean_horizontal(site: CallSite) -> str:
    names = [site.named(k, "F") for k in range(len(site.args))]
    terms = " + ".join(f"{atom(name)}.fill_null(0.0)" for name in names)
    counts = " + ".join(f"{atom(name)}.is_not_null().cast(pl.Float64)" for name in names)
    return f"({terms}) / ({counts})"


def _is_in(site: CallSite) -> str:
    (piece,) = site.args
    if piece.kind not in "fibs":
        raise NotSupported(f"is_in for {piece.dtype} is not supported")
    values = site.params["values"]
    known = values if piece.kind == "s" else equal_members(piece.dtype, values)
    listed = ", ".join(float_text(v) if piece.kind == "f" else repr(v) for v in known)
    if piece.kind == "b" or not known:
        x = site.named(0, "s")
        found = [f"({x} == {value})" for value in known] or [f"({x} != {x})"]
        return " | ".join(found)
    held = {"f": "pl.Float64", "s": "pl.String"}.get(piece.kind, "pl.Int64")
    held = "pl.UInt64" if piece.dtype.name == "uint64" else held
    return f"{site.shown(0, 's')}.is_in(pl.Series([{listed}], dtype={held}).implode())"


def _is_between(site: CallSite) -> str:
    closed = site.params["closed"]
    low = ">=" if closed in ("both", "left") else ">"
    high = "<=" if closed in ("both", "right") else "<"
    x = site.named(0, "s")
    lower, upper = site.shown(1, "c"), site.shown(2, "c")
    return f"({x} {low} {lower}) & ({x} {high} {upper})"


def _replace_strict(site: CallSite) -> str:
    (value,) = site.args
    if value.kind not in "fibs":
        raise NotSupported(f"replacing values of {value.dtype} is not supported")
    given = dict(site.params["mapping"])
    keys = list(given) if value.kind == "s" else equal_members(value.dtype, list(given))
    return _keyed(site, {key: given[key] for key in keys}, None, site.params.get("default"))


def _round(site: CallSite) -> str:
    if site.args[0].kind != "f":
        return site.shown(0, "i")
    decimals = site.params["decimals"]
    x = site.named(0, "c")
    scale = f"1e{decimals}"
    rounded = (
        f"({x} * {scale}).round(0, mode='half_to_even') / {scale}"
        if decimals
        else (f"{x}.round(0, mode='half_to_even')")
    )
    return f"pl.when({x}.abs() * {scale} < 2.0**52).then({rounded}).otherwise({x})"


def _clip(site: CallSite) -> str:
    kind = kind_of(site.dtype)
    if kind not in "fi":
        raise NotSupported(f"clip for {site.dtype} is not supported")
    form = "F" if kind == "f" else "I"
    text = atom(site.scribe.peer.forms[form](site.args[0], site.scribe))
    for k, name in ((1, "lower_bound"), (2, "upper_bound")):
        piece = site.args[k]
        if piece.value is not None and (piece.value[0] is None or piece.value[0] != piece.value[0]):
            continue
        limit = site.scribe.peer.forms[form if piece.value is None else kind](piece, site.scribe)
        text = f"{text}.clip({name}={limit})"
    return text


def _finite(site: CallSite) -> str:
    if site.args[0].kind == "f":
        return f"{site.shown(0, 's')}.is_finite()"
    return _of_whole(site, True)


def _infinite(site: CallSite) -> str:
    if site.args[0].kind == "f":
        return f"{site.shown(0, 's')}.is_infinite()"
    return _of_whole(site, False)


def _of_whole(site: CallSite, value: bool) -> str:
    return f"pl.when({site.shown(0, 's')}.is_not_null()).then({value})"


def _cyclical(function: str) -> WriteCall:
    def write(site: CallSite) -> str:
        period = float(site.params["period"])
        is_whole = site.args[0].kind != "f" and period.is_integer()
        rest = f"{site.shown(0, 'I')} % {int(period)}" if is_whole else None
        rest = rest or f"{site.shown(0, 'E')} % {period!r}"
        return f"({rest} * {float_text(2 * math.pi / period)}).{function}()"

    return write


def _log(site: CallSite) -> str:
    base = site.params["base"]
    return f"{site.shown(0, 'E')}.log({'' if base is None else float_text(base)})"


def _scale_or_one(site: CallSite) -> str:
    x, y = site.named(0, "F"), site.shown(1, "F")
    return f"pl.when({x} > 8 * 2.0**-52 * {y}.abs()).then({x}).when({x}.is_not_null()).then(1.0)"


def _logic(sign: str) -> Mapping[str, str]:
    return {"b": f"{{x:s}} {sign} {{y}}", "i": f"{{x:I}} {sign} {{y:i}}"}


def _method(name: str) -> str:
    return f"{{x:E}}.{name}()"


def _is_code(site: CallSite) -> str:
    return f"({site.shown(0)} == {site.args[1].text}).cast(pl.Int64)"


ROWS: dict[str, CodeTemplate] = {
    "by key": keyed_code,
    "add": {
        "t": calendar.moved_in_polars("+"),
        "f": "{x:E} + {y:f}",
        "i": "{x:I} + {y:i}",
        "b": "{x:I} + {y:i}",
    },
    "sub": {
        "t": calendar.moved_in_polars("-"),
        "f": "{x:E} - {y:f}",
        "i": "{x:I} - {y:i}",
        "b": "{x:I} - {y:i}",
    },
    "mul": {"f": "{x:E} * {y:f}", "i": "{x:I} * {y:i}", "b": "{x:I} * {y:i}"},
    "div": {"f": _divided, "i": _divided, "b": _divided},
    "floordiv": _floored("//"),
    "mod": _floored("%"),
    "pow": _power,
    "neg": {"t": "-{x}", "f": "-{x}", "i": "-{x:i}", "b": "-{x:i}"},
    "abs": {"t": "{x}.abs()", "f": "{x}.abs()", "i": "{x:i}.abs()", "b": "{x:i}"},
    "sign": {"f": "{x}.sign()", "i": "{x:i}.sign()", "b": "{x:i}"},
    "bin": _bins(edges),
    "bin_inside": _bins(inner_edges),
    "and": _logic("&"),
    "or": _logic("|"),
    "xor": _logic("^"),
    "not": {"b": "~{x}", "i": "~{x:i}"},
    "cast": _cast,
    "encode": keyed_code,
    "category_count": keyed_code,
    "category_share": keyed_code,
    "is_code": _is_code,
    "when": _when,
    "coalesce": _coalesce,
    "fill_null": _fill_null,
    "is_null": "{x:s}.is_null()",
    "is_not_null": "{x:s}.is_not_null()",
    "min_horizontal": _horizontal("min"),
    "max_horizontal": _horizontal("max"),
    "sum_horizontal": _horizontal("sum"),
    "mean_horizontal": _mean_horizontal,
    **{name: _compared(sign) for name, sign in _COMPARED.items()},
    "cyclical_sin": _cyclical("sin"),
    "cyclical_cos": _cyclical("cos"),
    **{
        name: _method(name)
        for name in (
            *("cbrt", "exp", "log1p", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"),
            *("sin", "cos", "tan", "sqrt"),
        )
    },
    "log": _log,
    "log2": "{x:E}.log(2.0)",
    "log10": "{x:E}.log10()",
    "sigmoid": "1.0 / (1.0 + (-{x:E}).exp())",
    "scale_or_one": _scale_or_one,
    "is_in": _is_in,
    "is_between": _is_between,
    "replace_strict": _replace_strict,
    "floor": {"f": "{x}.floor()", "i": "{x:i}", "b": "{x:i}"},
    "ceil": {"f": "{x}.ceil()", "i": "{x:i}", "b": "{x:i}"},
    "round": _round,
    "clip": _clip,
    "is_finite": _finite,
    "is_infinite": _infinite,
    "fill_infinite": (
        "pl.when(~{x:F}.is_infinite()).then({x:F}).when({x:F}.is_not_null()).then({y:f})"
    ),
    "str.contains_literal": "{x}.str.contains({p[pattern]}, literal=True)",
    "str.starts_with": "{x}.str.starts_with({p[pattern]})",
    "str.ends_with": "{x}.str.ends_with({p[pattern]})",
    "str.len_chars": "{x}.str.len_chars().cast(pl.Int64)",
    "str.len_bytes": "{x}.str.len_bytes().cast(pl.Int64)",
    "str.to_lowercase": "{x}.str.to_lowercase()",
    "str.to_uppercase": "{x}.str.to_uppercase()",
    "str.strip_chars": "{x}.str.strip_chars({p[characters]})",
    "str.strip_chars_start": "{x}.str.strip_chars_start({p[characters]})",
    "str.strip_chars_end": "{x}.str.strip_chars_end({p[characters]})",
    **calendar.IN_POLARS,
    **polars_windows.ROWS,
}

HELPERS: dict[str, str] = {
    "with_values": '''
def with_values(rows, keys, types, table, name, held):
    """Return rows with the value of their keys in a table, and with whether the table has them."""
    places = [f"{name} {k}" for k in range(len(keys))]
    columns = {place: [key[k] for key, _ in table] for k, place in enumerate(places)}
    known = pl.LazyFrame(columns, schema=dict(zip(places, types)))
    values = pl.Series([value for _, value in table], dtype=held)
    known = known.with_columns(values.alias(name), pl.lit(True).alias(f"{name} known"))
    return rows.join(
        known, left_on=keys, right_on=places, how="left", nulls_equal=True, maintain_order="left"
    )
''',
    **polars_windows.HELPERS,
}


def _module(scribe: ModuleWriter, outputs: Mapping[str, str]) -> str:
    before, beside, after = polars_windows.around(scribe)
    features = [f"            {atom(text)}.alias({name!r})," for name, text in outputs.items()]
    tables = [f"{name} = {text}\n" for text, name in scribe.tables.items()]
    helpers = [HELPERS[name] for name in HELPERS if name in scribe.helpers]
    lines = [
        f'"""Features of a fitted plan, written for Polars 2 by fastfeat {__version__}.',
        "",
        "The numbers that fit learned are in this code. Missing is null.",
        "It makes none of the checks of a plan: integers that overflow wrap around.",
        '"""',
        "",
        "import polars as pl",
        "",
        *tables,
        "",
        "def features(data, history=None, tables=None):",
        '    """Return the features of the rows of a DataFrame, in their order."""',
        *before,
        *(f"    {line}" for line in scribe.statements),
        "    found = rows.select(",
        "        [",
        *beside,
        *features,
        "        ]",
        "    )",
        *after,
        "",
    ]
    return "\n".join([*lines, *(f"\n{text}" for text in helpers)])


POLARS = PeerLibrary(
    "Polars",
    ROWS,
    {
        **{name: reason for name, reason in UNWRITTEN.items() if name not in ROWS},
        "expm1": "Polars has no expm1, and exp(x) - 1 loses digits near 0",
        "yeo_johnson": "Polars has no expm1, and exp(x) - 1 loses digits near 0",
        "box_cox": "Polars has no expm1, and exp(x) - 1 loses digits near 0",
    },
    {
        "": _plain,
        "c": _clean,
        "C": _clean_floats,
        "f": _as_floats,
        "i": _as_integers,
        "s": _as_column,
        "E": _any_column,
        "F": _float_column,
        "I": _integer_column,
    },
    _read,
    _literal,
    _keyed,
    _output,
    HELPERS,
    _module,
)
