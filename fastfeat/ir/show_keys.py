"""Printing what encoders and aggregates per key are made of, as the code of a user."""

from __future__ import annotations

from typing import Any

from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, Params, TableColumn

_OF_VOCABULARY = ("min_frequency", "max_categories")
_OF_ONE_HOT = {"drop": None, "missing": "zeros"}
_CODED = ".ordinal_encode()"


def show_of_keys(node: Node, args: list[str]) -> str | None:
    """Return the text of a node that has to do with keys; None for any other.

    Args:
        node: what is shown.
        args: the texts of its arguments.
    """
    match node:
        case Call("encode", (*_, Aggregate("vocabulary", _, learnt)), params):
            return f"{_keys(args[:-1], params)}.ordinal_encode({_given(learnt, params)})"
        case Call("encode", (*_, Literal(listed)), params):
            given = ", ".join(filter(None, [f"vocabulary={list(listed)!r}", _given((), params)]))
            return f"{_keys(args[:-1], params)}.ordinal_encode({given})"
        case Aggregate("vocabulary", _, params):
            return f"vocabulary({', '.join([_keys(args, params), *_listed(params)])})"
        case Aggregate("target_mean" | "target_var" | "target_quantile", (_, _, folds, *_), params):
            how = [*_folds(folds, args[2], params), *_statistic(node.function, params)]
            key, least = _key_and_least(node.args[1], args[1])
            return f"{key}.target_encode({', '.join([args[0], *how, *least])})"
        case Aggregate("target_odds", (_, _, folds, *_), params):
            how = [
                *_folds(folds, args[2], params),
                f"regularization={dict(params)['regularization']!r}",
            ]
            key, least = _key_and_least(node.args[1], args[1])
            return f"{key}.woe_encode({', '.join([args[0], *how, *least])})"
        case Call("log", (Aggregate("target_odds"),)):  # of which users see the logarithm alone
            return args[0]
        case Call("fold", _, (("n_folds", n_folds),)):
            return f"fold({', '.join([*args, f'n_folds={n_folds}'])})"
        case Call("time_fold", _, (("n_folds", n_folds),)):
            return f"time_fold({args[0]}, n_folds={n_folds})"
        case Call("time_fold_known", _, params):
            given = dict(params)
            delay = length_text(given["delay"], given["unit"])
            return f"time_fold({args[0]}, n_folds={given['n_folds']}, known_after={delay})"
        case Call("category_count", (Call("encode") as codes, _)):
            key, least = _key_and_least(codes, args[0])
            return f"{key}.count_encode({', '.join(least)})"
        case Call("category_share", (Call("encode") as codes, _)):
            key, least = _key_and_least(codes, args[0])
            return f"{key}.count_encode({', '.join(['normalize=True', *least])})"
        case Call("list.encode", (_, Aggregate("vocabulary", _, learnt))):
            return f"{args[0]}.list.encode({_given(learnt, ())})"
        case Call("one_hot", (Call("encode"),), params):
            return _one_hot(args[0], ".ordinal_encode(", ".one_hot_encode(", params)
        case Call("one_hot", (Call("list.encode"),), params):
            return _one_hot(args[0], ".list.encode(", ".list.multi_hot_encode(", params)
        case Call("is_code", (_, Literal(code))):
            return f"({args[0]} == {code})"
        case Call("lookup_row", by):
            return _lookup(by, args)
        case Call("asof_row", _, params):
            return _asof(node.args, args, dict(params))
        case Call("lookup_value", (_, TableColumn(_, name))):
            return f"{args[0]}.col({name!r})"
        case Call("cross"):
            return f"ff.cross({', '.join(args)})"
        case _:
            return None


def key_of(node: Aggregate, args: list[str]) -> list[str]:
    """Return what says the key of an aggregate per group, from the texts of its arguments."""
    key, least = _key_and_least(node.args[1], args[1])
    return [f"by={key}", *least]


def _key(codes: str) -> str:
    return codes.removesuffix(_CODED)


def _key_and_least(codes: Node, text: str) -> tuple[str, list[str]]:
    """Return the text of the key that codes are of, and how many rows it needs, as a parameter."""
    match codes:
        case Call("encode", (*_, Aggregate("vocabulary", _, learnt))):
            given = _listed(learnt)
            least = [f"min_rows={dict(learnt).get('min_frequency')!r}"] if given else []
            return text.removesuffix(f".ordinal_encode({', '.join(given)})"), least
        case _:
            return _key(text), []


def _folds(folds: Node, text: str, params: Params) -> list[str]:
    """Return how training rows are divided, as parameters."""
    match folds:
        case Call("fold", keys, _):
            inside = text[len("fold(") : -1].rpartition("n_folds=")[0].rstrip(", ")
            by = [f"fold_by=[{inside}]"] if keys else []
            return [f"folds={dict(params)['n_folds']!r}", *by]
        case Call("time_fold"):
            inside = text[len("time_fold(") : -1].rpartition(", n_folds=")[0]
            return [f"folds={dict(params)['n_folds']!r}", f"time={inside}"]
        case _:
            return [f"fold={_key(text)}"]


def _statistic(function: str, params: Params) -> list[str]:
    given = dict(params)
    shown = [f"smooth={given.get('smooth')!r}"]
    if function != "target_mean":
        shown.append(f"stat={function.removeprefix('target_')!r}")
    return [*shown, f"q={given['q']!r}"] if "q" in given else shown


def _keys(parts: list[str], params: Params) -> str:
    listed = ", ".join(parts)
    if dict(params).get("missing") == "value":
        return f"ff.cross({listed})"
    return listed if len(parts) == 1 else f"[{listed}]"


def _lookup(by: tuple[Node, ...], args: list[str]) -> str:
    """Return the text of what finds the row of a lookup table."""
    keys = shown_pairs(by, args)
    table = next((key.table for key in by if isinstance(key, TableColumn)), "")
    return f"ff.lookup({table!r}, by={keys})"


def shown_pairs(by: tuple[Node, ...], args: list[str]) -> str:
    """Return the text of what is compared: of the data, and then of a table."""
    half = len(by) // 2
    shown = [
        repr(key.name) if isinstance(key, Column | TableColumn) else text
        for key, text in zip(by, args, strict=True)
    ]
    left, right = shown[:half], shown[half:]
    if left == right:
        return left[0] if half == 1 else f"[{', '.join(left)}]"
    return f"{{{', '.join(f'{one}: {other}' for one, other in zip(left, right, strict=True))}}}"


def _asof(nodes: tuple[Node, ...], args: list[str], given: dict[str, Any]) -> str:
    """Return the text of what finds the row of a table that was known at a moment."""
    half = len(nodes) // 2
    time, right = nodes[0], nodes[half]
    name = repr(time.name) if isinstance(time, Column) else args[0]
    shown = [f"time={name}"]
    if isinstance(right, TableColumn) and repr(right.name) != name:
        shown.append(f"right_time={right.name!r}")
    if half > 1:
        keys = (*nodes[1:half], *nodes[half + 1 :])
        shown.append(f"by={shown_pairs(keys, [*args[1:half], *args[half + 1 :]])}")
    for option in ("tolerance", "delay"):
        if given[option]:
            shown.append(f"{option}={length_text(given[option], given['unit'])}")
    if not given["allow_exact_matches"]:
        shown.append("allow_exact_matches=False")
    table = right.table if isinstance(right, TableColumn) else ""
    return f"ff.asof({table!r}, {', '.join(shown)})"


def _given(learnt: Params, params: Params) -> str:
    n_unseen = dict(params).get("n_unseen", 1)
    buckets = [] if n_unseen == 1 else [f"n_unseen_buckets={n_unseen!r}"]
    return ", ".join([*_listed(learnt), *buckets])


def _listed(learnt: Params) -> list[str]:
    given = dict(learnt)
    return [f"{name}={given[name]!r}" for name in _OF_VOCABULARY if given.get(name) is not None]


def _one_hot(codes: str, encoder: str, shown: str, params: Params) -> str:
    """Return the text of an indicator, from that of its codes, which ends in a call of encoder."""
    on, _, learnt = codes.rpartition(encoder)
    given = dict(params)
    own = [
        f"{name}={given[name]!r}"
        for name, default in _OF_ONE_HOT.items()
        if given.get(name) != default
    ]
    return f"{on}{shown}{', '.join([*filter(None, [learnt[:-1]]), *own])})"
