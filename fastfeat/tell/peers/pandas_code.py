"""Pandas: how each function of a plan is written as code, and the helpers that this code calls.

Numbers use the fastest type that can hold them: float64 with NaN as missing, int64 and bool, or
Int64 and boolean if values are missing. See `code_writer` for pieces, sites and `ModuleWriter`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from fastfeat.ir.dtypes import INTEGER_RANGE, DType
from fastfeat.scalars.table import edges, inner_edges
from fastfeat.tell.peers import calendar, pandas_windows
from fastfeat.tell.peers.code_writer import (
    CallSite,
    CodePiece,
    CodeTemplate,
    ModuleWriter,
    NotSupported,
    PeerLibrary,
    atom,
    dict_text,
    float_text,
    kind_of,
)
from fastfeat.tell.peers.learnt_tables import bins_of, equal_members, keyed_code
from fastfeat.tell.peers.pandas_helpers import HELPERS
from fastfeat.tell.peers.refusal_reasons import UNWRITTEN
from fastfeat.version import __version__

_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def _literal(value: Any, dtype: DType) -> str:
    """Return code for a constant: a missing float is NaN, other missing values are pd.NA."""
    match kind_of(dtype):
        case "f":
            return float_text(float("nan") if value is None else value)
        case "t":
            return calendar.literal_in_pandas(value, dtype)
        case _:
            return "pd.NA" if value is None else repr(value)


def _read(name: str, dtype: DType, scribe: ModuleWriter) -> str:
    column = f"data[{name!r}]"
    match kind_of(dtype):
        case "f":
            return f"{scribe.help('floats')}({column})"
        case "i":
            told = ', "uint64"' if dtype.name == "uint64" else ""
            return f"{scribe.help('integers')}({column}{told})"
        case "b":
            return f"{scribe.help('bools')}({column})"
        case "s" if dtype.name == "utf8":
            return f'{column}.astype("string")'
        case "t":
            return f'{column}.astype("{calendar.pandas_type(dtype)}")'
        case _:
            raise NotSupported(f"pandas has no column type for {dtype}")


def _plain(piece: CodePiece, scribe: ModuleWriter) -> str:
    return piece.text


def _as_floats(piece: CodePiece, scribe: ModuleWriter) -> str:
    if piece.kind == "f":
        return piece.text
    if piece.is_constant:
        (value,) = piece.value or (None,)
        return float_text(float("nan") if value is None else float(value))
    return f"{scribe.help('floats')}({piece.text})"


def _as_integers(piece: CodePiece, scribe: ModuleWriter) -> str:
    if piece.is_constant:
        (value,) = piece.value or (None,)
        if value is None:
            raise NotSupported("a missing integer constant is not supported")
        return repr(int(value))
    if piece.kind == "i" and piece.dtype.name != "uint64":
        return piece.text
    return f"{scribe.help('integers')}({piece.text})"


def _as_series(piece: CodePiece, scribe: ModuleWriter) -> str:
    """Return code for a pandas Series, also for an expression that is a constant."""
    if not piece.is_constant:
        return piece.text
    name = {"f": "float64", "i": "Int64", "b": "boolean"}.get(piece.kind)
    if name is None:
        raise NotSupported(f"a constant of type {piece.dtype} is not supported as a column")
    return f'pd.Series({piece.text}, data.index, dtype="{name}")'


def _keyed(site: CallSite, values: Mapping[Any, Any], missing: Any, unseen: Any) -> str:
    kind, scribe = kind_of(site.dtype), site.scribe
    if not values:
        raise NotSupported("fit found no keys")
    table = scribe.table(dict_text((_key_text(k), _value(v, kind)) for k, v in values.items()))
    keys = [site.shown(k, "s") for k in range(len(site.args))]
    others = [_value(missing, kind), _value(unseen, kind), repr(_HELD[kind])]
    found = site.help("look_up", f"[{', '.join(keys)}]", table, *others)
    return found if kind == "f" else site.help("integers" if kind == "i" else "bools", found)


_HELD = {"f": "float64", "i": "Int64", "b": "boolean"}


def _value(value: Any, kind: str) -> str:
    if kind == "f":
        return float_text(float("nan") if value is None else value)
    return repr(value)


def _key_text(key: Any) -> str:
    if isinstance(key, tuple):
        parts = cast("tuple[Any, ...]", key)
        return f"({', '.join(map(_key_text, parts))})"
    return float_text(key) if isinstance(key, float) else repr(key)


def _output(piece: CodePiece, dtype: DType, scribe: ModuleWriter) -> str:
    text = _as_series(piece, scribe)
    match kind_of(dtype):
        case "f":
            if dtype.name not in ("float32", "float64"):
                raise NotSupported(f"pandas has no type {dtype}")
            return text if dtype.name == "float64" else f'{atom(text)}.astype("{dtype.name}")'
        case "i" if dtype.name == "int64":
            return text
        case "i":
            return f'{scribe.help("integers")}({text}, "{dtype.name}")'
        case "b" | "t":
            return text
        case _:
            raise NotSupported(f"pandas has no column type for {dtype}")


def _compared(sign: str) -> Callable[[CallSite], str]:
    def write(site: CallSite) -> str:
        sides = [site.named(k) for k in range(2)]
        known = [side for side, p in zip(sides, site.args, strict=True) if not p.is_constant]
        if len(known) < 2 and any(p.value == (None,) for p in site.args):
            raise NotSupported("one side of the comparison is a missing constant")
        return site.help("known", f"{sides[0]} {sign} {sides[1]}", *known)

    return write


def _divided(site: CallSite) -> str:
    """Return code for x / y: if y is 0, floats give an infinity and integers a missing value."""
    x, y = site.shown(0, "f"), site.shown(1, "f")
    divisor = site.args[1]
    if site.args[0].kind == "f" or divisor.kind == "f" or divisor.value not in (None, (0,)):
        return f"{x} / {y}"
    y = site.named(1, "f")
    return f"{x} / {atom(y)}.where({y} != 0)" if divisor.value is None else f'{x} * float("nan")'


def _floored(sign: str) -> Callable[[CallSite], str]:
    def write(site: CallSite) -> str:
        if "f" in (site.args[0].kind, site.args[1].kind):
            return f"{site.shown(0, 'f')} {sign} {site.shown(1, 'f')}"
        value = site.args[1].value
        if value is not None and value[0]:
            return f"{site.shown(0, 'i')} {sign} {site.shown(1, 'i')}"
        return f"{site.shown(0, 'i')} {sign} {site.help('divisors', site.shown(1, 'i'))}"

    return write


def _power(site: CallSite) -> str:
    if site.args[0].kind != "f" and site.args[1].kind != "f":
        return f"{site.shown(0, 'i')} ** {site.shown(1, 'i')}"
    x, y = site.named(0, "f"), site.named(1, "f")
    known = " & ".join(f"{t}.notna()" for t, p in zip((x, y), site.args, strict=True)
                       if not p.is_constant)  # fmt: skip
    if any(p.value and (p.value[0] is None or p.value[0] != p.value[0]) for p in site.args):
        raise NotSupported("the base or exponent is a missing constant")
    x, y = atom(x), atom(y)
    return f"({x} ** {y}).where({known})"


def _bins(cut: Callable[[Any, int], list[float]]) -> Callable[[CallSite], str]:
    def write(site: CallSite) -> str:
        known = bins_of(site, cut)
        side = "left" if site.params.get("closed") == "right" else "right"
        listed = f"[{', '.join(map(float_text, known))}]"
        return site.help("bins", site.shown(0, "f"), listed, f'"{side}"')

    return write


def _cast(site: CallSite) -> str:
    target, (value,) = site.params["dtype"], site.args
    source, wanted = value.kind, kind_of(target)
    strict = site.params["strict"]
    if wanted == "f" and source in "fib":
        if target.name == "float64" or value.dtype == target:
            return site.shown(0, "f")
        if target.name != "float32":
            raise NotSupported(f"pandas has no type {target}")
        if strict:
            return f'{site.shown(0, "f")}.astype("float32").astype("float64")'
        return site.help("as_float32", site.shown(0, "f"))
    if wanted == "b" and source in "fib":
        if source == "b":
            return site.shown(0)
        x = site.named(0)
        return site.help("known", f"{x} != 0", x)
    if wanted == "i" and source in "fib":
        if value.dtype.name == "uint64" or target.name == "uint64":
            raise NotSupported("a cast from uint64 is not supported")
        if source == "f":
            low, high = INTEGER_RANGE[target.name]
            return site.help("whole", site.shown(0), f"{float(low)!r}", f"{float(high + 1)!r}")
        if strict or value.dtype.name == target.name or source == "b":
            return site.shown(0, "i")
        low, high = INTEGER_RANGE[target.name]
        x = site.named(0)
        return site.help("integers", f'{x}.astype("Int64").where({x}.between({low}, {high}))')
    raise NotSupported(f"a cast from {value.dtype} to {target} is not supported")


def _when(site: CallSite) -> str:
    condition = site.help("holds", site.shown(0, "s"))
    return _choice(site, condition, 1, 2)


def _choice(site: CallSite, condition: str, yes: int, no: int) -> str:
    kind = kind_of(site.dtype)
    if kind == "t":
        return f"{site.shown(yes, 's')}.where({condition}, {site.shown(no)})"
    if kind not in "fib":
        raise NotSupported(f"when() or coalesce() with values of {site.dtype} is not supported")
    form = {"f": "f", "i": "", "b": ""}[kind]
    if kind == "i" and "uint64" in {site.args[yes].dtype.name, site.args[no].dtype.name}:
        raise NotSupported("when() or coalesce() with values of uint64 is not supported")
    told = {"f": '"float64"', "i": '"Int64"', "b": '"boolean"'}[kind]
    return site.help("choose", condition, site.shown(yes, form), site.shown(no, form), told)


def _coalesce(site: CallSite) -> str:
    kind = kind_of(site.dtype)
    form = {"f": "f", "i": "i", "b": ""}.get(kind)
    if form is None:
        raise NotSupported(f"when() or coalesce() with values of {site.dtype} is not supported")
    text = atom(site.scribe.peer.forms["s"](site.args[0], site.scribe))
    text = site.shown(0, form) if not site.args[0].is_constant else text
    for k in range(1, len(site.args)):
        if site.args[k].value == (None,):
            continue
        text = f"{text}.fillna({site.scribe.peer.forms[form](site.args[k], site.scribe)})"
    restored = {"f": "floats", "i": "integers", "b": "bools"}[kind]
    return site.help(restored, text) if restored != "floats" else text


def _fill_null(site: CallSite) -> str:
    return _coalesce(site)


def _extreme(name: str) -> Callable[[CallSite], str]:
    def write(site: CallSite) -> str:
        kind = kind_of(site.dtype)
        if kind == "f":
            text = site.shown(0, "f")
            for k in range(1, len(site.args)):
                text = (
                    f"np.f{name}({text}, {site.scribe.peer.forms['f'](site.args[k], site.scribe)})"
                )
            return text
        if kind not in "ib":
            raise NotSupported(f"the minimum and maximum of {site.dtype} are not supported")
        columns = ", ".join(
            site.shown(k, "i" if kind == "i" else "s") for k in range(len(site.args))
        )
        found = site.help("extreme", f"[{columns}]", f'"{name}"')
        return found if kind == "i" else site.help("bools", found)

    return write


def _sum_horizontal(site: CallSite) -> str:
    kind = kind_of(site.dtype)
    if kind not in "fi":
        raise NotSupported(f"a sum of {site.dtype} is not supported")
    zero = "0.0" if kind == "f" else "0"
    terms = [f"{site.shown(k, kind)}.fillna({zero})" for k in range(len(site.args))]
    return site.help("integers", " + ".join(terms)) if kind == "i" else " + ".join(terms)


def _mean_horizontal(site: CallSite) -> str:
    names = [site.named(k, "f") for k in range(len(site.args))]
    terms = " + ".join(f"{n}.fillna(0.0)" for n in names)
    counts = " + ".join(f'{n}.notna().astype("float64")' for n in names)
    return f"({terms}) / ({counts})"


def _is_in(site: CallSite) -> str:
    x = site.named(0)
    listed = _members(site.args[0], site.params["values"])
    return site.help("known", f"{x}.isin([{', '.join(listed)}])", x)


def _members(piece: CodePiece, values: Any) -> list[str]:
    """Return code for each constant in `values` that a column of this type could equal."""
    if piece.kind == "s":
        return [repr(value) for value in values]
    if piece.kind == "b":
        return [repr(bool(v)) for v in equal_members(piece.dtype, values) if v in (0, 1)]
    if piece.kind not in "fi":
        raise NotSupported(f"is_in for {piece.dtype} is not supported")
    known = equal_members(piece.dtype, values)
    return [float_text(v) if piece.kind == "f" else repr(int(v)) for v in known]


def _is_between(site: CallSite) -> str:
    closed = site.params["closed"]
    x = site.named(0)
    low = ">=" if closed in ("both", "left") else ">"
    high = "<=" if closed in ("both", "right") else "<"
    if any(p.value == (None,) for p in site.args):
        raise NotSupported("one side of the comparison is a missing constant")
    lower, upper = site.named(1), site.named(2)
    sides = [x] + [
        t for t, p in zip((lower, upper), site.args[1:], strict=True) if not p.is_constant
    ]
    if len(sides) == 1:
        return site.help("known", f"({x} {low} {lower}) & ({x} {high} {upper})", x)
    one = site.help("known", f"{x} {low} {lower}", *[s for s in sides if s in (x, lower)])
    other = site.help("known", f"{x} {high} {upper}", *[s for s in sides if s in (x, upper)])
    return f"{one} & {other}"


def _replace_strict(site: CallSite) -> str:
    (value,) = site.args
    if value.kind not in "fibs":
        raise NotSupported(f"replacing values of {value.dtype} is not supported")
    given = dict(site.params["mapping"])
    keys = list(given) if value.kind == "s" else list(equal_members(value.dtype, list(given)))
    if value.kind == "b":
        keys = [key for key in keys if key in (0, 1)]
    to_key: Callable[[Any], Any] = {"f": float, "i": int, "b": bool, "s": str}[value.kind]
    pairs = {to_key(key): given[key] for key in keys}
    return _keyed(site, pairs, None, site.params.get("default"))


def _round(site: CallSite) -> str:
    if site.args[0].kind != "f":
        return site.shown(0, "i")
    decimals = site.params["decimals"]
    if decimals == 0:
        return f"np.rint({site.shown(0)})"
    x = site.named(0)
    return f"{x}.round({decimals}).where({x}.abs() * 1e{decimals} < 2.0**52, {x})"


def _clip(site: CallSite) -> str:
    kind = kind_of(site.dtype)
    if kind not in "fi":
        raise NotSupported(f"clip for {site.dtype} is not supported")
    text = site.shown(0, kind)
    if site.args[0].is_constant:
        raise NotSupported("clip of a constant is not supported")
    for k, name in ((1, "lower"), (2, "upper")):
        piece = site.args[k]
        if piece.value is not None and (piece.value[0] is None or piece.value[0] != piece.value[0]):
            continue
        text = f"{text}.clip({name}={site.scribe.peer.forms[kind](piece, site.scribe)})"
    return text


def _starred(template: str) -> Callable[[CallSite], str]:
    """Return a function that writes `is_finite` or `is_infinite`, a constant for integers."""

    def write(site: CallSite) -> str:
        x = site.named(0)
        if site.args[0].kind == "f":
            return site.help("known", template.format(x=x), x)
        told = "True" if "isfinite" in template else "False"
        return site.help("known", f"pd.Series({told}, data.index)", x)

    return write


def _cyclical(function: str) -> Callable[[CallSite], str]:
    def write(site: CallSite) -> str:
        period = float(site.params["period"])
        is_whole = site.args[0].kind != "f" and period.is_integer()
        rest = f"{site.shown(0, 'i')} % {int(period)}" if is_whole else None
        rest = rest or f"{site.shown(0, 'f')} % {period!r}"
        return f"np.{function}(2 * np.pi * {site.help('floats', rest)} / {period!r})"

    return write


def _log(site: CallSite) -> str:
    base = site.params["base"]
    text = f"np.log({site.shown(0, 'f')})"
    return text if base is None else f"{text} / np.log({float_text(base)})"


def _yeo_johnson(site: CallSite) -> str:
    if site.args[1].value is None:
        raise NotSupported("a power that differs by key is not supported")
    return site.help("yeo_johnson", site.shown(0, "f"), site.args[1].text)


def _box_cox(site: CallSite) -> str:
    if site.args[1].value is None:
        raise NotSupported("a power that differs by key is not supported")
    return site.help("box_cox", site.shown(0, "f"), site.args[1].text)


def _is_code(site: CallSite) -> str:
    return f'({site.shown(0)} == {site.args[1].text}).astype("int64")'


def _scale_or_one(site: CallSite) -> str:
    x, y = site.named(0, "f"), site.shown(1, "f")
    return f"{x}.mask({x} <= 8 * 2.0**-52 * {y}.abs(), 1.0)"


def _logic(sign: str) -> Mapping[str, str]:
    return {"b": f"{{x}} {sign} {{y}}", "i": f"{{x:i}} {sign} {{y:i}}"}


def _elementary(function: str) -> str:
    return f"np.{function}({{x:f}})"


ROWS: dict[str, CodeTemplate] = {
    "by key": keyed_code,
    "add": {
        "t": calendar.moved_in_pandas("+"),
        "f": "{x:f} + {y:f}",
        "i": "{x:i} + {y:i}",
        "b": "{x:i} + {y:i}",
    },
    "sub": {
        "t": calendar.moved_in_pandas("-"),
        "f": "{x:f} - {y:f}",
        "i": "{x:i} - {y:i}",
        "b": "{x:i} - {y:i}",
    },
    "mul": {"f": "{x:f} * {y:f}", "i": "{x:i} * {y:i}", "b": "{x:i} * {y:i}"},
    "div": {"t": "{x} / {y}", "f": _divided, "i": _divided, "b": _divided},
    "floordiv": _floored("//"),
    "mod": _floored("%"),
    "pow": _power,
    "neg": {"t": "-{x}", "f": "-{x}", "i": "-{x:i}", "b": "-{x:i}"},
    "abs": {"t": "{x}.abs()", "f": "{x}.abs()", "i": "{x:i}.abs()", "b": "{x:i}"},
    "sign": {"f": "np.sign({x})", "i": "np.sign({x:i})", "b": "{x:i}"},
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
    "is_null": "{x:s}.isna()",
    "is_not_null": "{x:s}.notna()",
    "min_horizontal": _extreme("min"),
    "max_horizontal": _extreme("max"),
    "sum_horizontal": _sum_horizontal,
    "mean_horizontal": _mean_horizontal,
    **{name: _compared(sign) for name, sign in _COMPARED.items()},
    "cyclical_sin": _cyclical("sin"),
    "cyclical_cos": _cyclical("cos"),
    **{
        name: _elementary(name)
        for name in (
            *("cbrt", "exp", "expm1", "log1p", "log2", "log10", "arcsin", "arccos", "arctan"),
            *("sinh", "cosh", "tanh", "sin", "cos", "tan", "sqrt"),
        )
    },
    "log": _log,
    "sigmoid": "1.0 / (1.0 + np.exp(-{x:f}))",
    "scale_or_one": _scale_or_one,
    "is_in": _is_in,
    "is_between": _is_between,
    "replace_strict": _replace_strict,
    "yeo_johnson": _yeo_johnson,
    "box_cox": _box_cox,
    "floor": {"f": "np.floor({x})", "i": "{x:i}", "b": "{x:i}"},
    "ceil": {"f": "np.ceil({x})", "i": "{x:i}", "b": "{x:i}"},
    "round": _round,
    "clip": _clip,
    "is_finite": _starred("np.isfinite({x})"),
    "is_infinite": _starred("np.isinf({x})"),
    "fill_infinite": "{x:f}.mask(np.isinf({x:f}), {y:f})",
    "str.contains_literal": "{x}.str.contains({p[pattern]}, regex=False)",
    "str.starts_with": "{x}.str.startswith({p[pattern]})",
    "str.ends_with": "{x}.str.endswith({p[pattern]})",
    "str.len_chars": "{h[integers]}({x}.str.len())",
    "str.len_bytes": '{h[integers]}({x}.str.encode("utf-8").str.len())',
    "str.to_lowercase": "{x}.str.lower()",
    "str.to_uppercase": "{x}.str.upper()",
    "str.strip_chars": "{x}.str.strip({p[characters]})",
    "str.strip_chars_start": "{x}.str.lstrip({p[characters]})",
    "str.strip_chars_end": "{x}.str.rstrip({p[characters]})",
    **calendar.IN_PANDAS,
    **pandas_windows.ROWS,
}


def _module(scribe: ModuleWriter, outputs: Mapping[str, str]) -> str:
    body = [f"    {line}" for line in scribe.statements]
    features = [f"            {name!r}: {text}," for name, text in outputs.items()]
    made = ["    features = pd.DataFrame(", "        {", *features, "        },"]
    made += ["        index=data.index,", "    )"]
    before, after = pandas_windows.around(scribe)
    tables = [f"{name} = {text}\n" for text, name in scribe.tables.items()]
    helpers = [HELPERS[name] for name in HELPERS if name in _with_needed(scribe.helpers)]
    lines = [
        f'"""Features of a fitted plan, written for pandas 3 by fastfeat {__version__}.',
        "",
        "The numbers that fit learned are in this code. Missing is NaN in floats, <NA> elsewhere.",
        "It makes none of the checks of a plan: integers that overflow wrap around.",
        '"""',
        "",
        "import numpy as np",
        "import pandas as pd",
        "",
        *tables,
        "",
        '@np.errstate(all="ignore")',
        "def features(data, history=None, tables=None):",
        '    """Return the features of the rows of a DataFrame, in their order."""',
        *before,
        *body,
        *made,
        *after,
        "",
    ]
    return "\n".join([*lines, *(f"\n{text}" for text in helpers)])


def _with_needed(helpers: Mapping[str, None]) -> set[str]:
    """Return the names of the helpers that are called, and of the helpers that these call."""
    needed = list(helpers)
    for name in needed:
        needed += [one for one in HELPERS if f"{one}(" in HELPERS[name] and one not in needed]
    return set(needed)


PANDAS = PeerLibrary(
    "pandas",
    ROWS,
    {name: reason for name, reason in UNWRITTEN.items() if name not in ROWS},
    {"": _plain, "c": _plain, "f": _as_floats, "i": _as_integers, "s": _as_series},
    _read,
    _literal,
    _keyed,
    _output,
    HELPERS,
    _module,
)
