"""Printing nodes as text that reads like the code of a user: for error messages and `explain`.

What operators are made of, and no user can write, is printed as a plain function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never, cast

from fastfeat.dtypes import DType
from fastfeat.ir.node import (
    Aggregate,
    Call,
    Column,
    GroupFrame,
    Literal,
    Node,
    Params,
    TableColumn,
)
from fastfeat.ir.show_keys import key_of, show_of_keys
from fastfeat.ir.show_learnt import show_of_learnt, show_several
from fastfeat.ir.show_signs import bare, show_of_signs
from fastfeat.ir.show_windows import show_of_windows
from fastfeat.ir.walk import postorder

_PUBLIC = frozenset(
    {"coalesce", "max_horizontal", "mean_horizontal", "min_horizontal", "sum_horizontal"}
)
_INTERNAL = frozenset(
    {"bin", "bin_inside", "box_cox", "box_cox_lambda", "category_count", "category_share",
     "cyclical_cos", "cyclical_sin", "encode", "even_quantiles", "evenly_spaced",
     "interpolate_rank", "is_code", "normal_quantile", "one_hot", "quantiles", "scale_or_one",
     "spline_basis", "yeo_johnson", "yeo_johnson_lambda"}
)  # fmt: skip
_DEFAULTS: dict[str, dict[str, Any]] = {
    "hash": {"n_buckets": None, "seed": 0},
    "str.hash_ngrams": {"seed": 0},
    "str.hash_tokens": {"seed": 0},
    "str.replace": {"literal": False, "n": 1},
    "str.replace_all": {"literal": False},
    "str.slice": {"length": None},
    "str.strip_chars": {"characters": None},
    "str.strip_chars_end": {"characters": None},
    "str.strip_chars_start": {"characters": None},
}
"""Parameters that are not shown where they have these values."""
_NAMES = {("str.starts_with", "pattern"): "prefix", ("str.ends_with", "pattern"): "suffix"}
"""What users write for a parameter, where it has another name in a node."""
LONGEST = 400


def show(node: Node) -> str:
    """Return the text of an expression, shortened in the middle when it is very long."""
    return show_all([node])[node]


def show_columns(nodes: Sequence[Node]) -> str:
    """Return the text of an expression of one column or several, of bounded length."""
    texts = _texts(nodes)
    together = show_several(nodes, texts)
    if together is not None:
        return _within(together, LONGEST)
    shown: list[str] = []
    for node in nodes:
        shown.append(_within(texts[node], LONGEST))
        if sum(map(len, shown)) > LONGEST and len(shown) < len(nodes):
            shown.append(f"... and {len(nodes) - len(shown):,} more columns")
            break
    return " | ".join(shown)


def show_all(nodes: Sequence[Node]) -> dict[Node, str]:
    """Return the text of each expression, as `show` does, from one walk for all."""
    texts = _texts(nodes)
    return {node: _within(texts[node], LONGEST) for node in nodes}


def _texts(nodes: Sequence[Node]) -> dict[Node, str]:
    texts: dict[Node, str] = {}
    for node in postorder(nodes):
        texts[node] = _within(_show_one(node, texts), 2 * LONGEST)
    return texts


def _show_one(node: Node, texts: Mapping[Node, str]) -> str:
    """Return the text of a node, from those of the nodes below it."""
    args = [texts[arg] for arg in node.args]
    special = (
        show_of_learnt(node, texts)
        or show_of_signs(node, args)
        or show_of_keys(node, args)
        or show_of_windows(node, texts)
    )
    if special is not None:
        return special
    match node:
        case Column(name):
            return f"col({name!r})"
        case TableColumn(_, name):  # only a window over the table has it as an operand
            return f"col({name!r})"
        case Literal(value):
            return (
                _table(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else repr(value)
            )
        case Call("when") if len(args) == 3:
            condition, value, other = _bare(node.args, args)
            return f"ff.when({condition}).then({value}).otherwise({other})"
        case Aggregate(function, _, params, GroupFrame()):
            return _call(function, node.args[:1], args[:1], params, key_of(node, args))
        case Call("str.replace" | "str.replace_literal" as function, _, params) if (
            dict(params).get("n") == -1
        ):
            rest = tuple(param for param in params if param[0] != "n")
            return _call(function.replace("replace", "replace_all"), node.args, args, rest)
        case Call(function, _, params) if function.endswith("_literal"):
            plain = (*params, ("literal", True))
            return _call(function.removesuffix("_literal"), node.args, args, plain)
        case Call("hash_cross", _, params):
            return f"ff.cross({', '.join(args)}).{_call('hash', (), [], params)}"
        case Call("bucket_count", _, (("bucket", bucket),)):
            return f"{args[0]}[{bucket}]"
        case Call(function, _, params) | Aggregate(function, _, params, _):
            return _call(function, node.args, args, params)
        case _:
            assert_never(node)


def _call(
    function: str,
    nodes: tuple[Node, ...],
    args: list[str],
    params: Params,
    more: Sequence[str] = (),
) -> str:
    """Return the text of a function: a method of its first argument where Expr has it.

    Args:
        function: its name.
        nodes: its arguments.
        args: the texts of these.
        params: its parameters.
        more: further ones, as they are written.
    """
    hidden = _DEFAULTS.get(function, {})
    shown = [
        _parameter(function, name, value)
        for name, value in params
        if name not in hidden or hidden[name] != value
    ]
    shown += more
    if function in _PUBLIC or function in _INTERNAL or not args:
        prefix = "ff." if function in _PUBLIC else ""
        return f"{prefix}{function}({', '.join([*_bare(nodes, args), *shown])})"
    on = f"lit({args[0]})" if isinstance(nodes[0], Literal) else args[0]
    return f"{on}.{function}({', '.join([*_bare(nodes, args)[1:], *shown])})"


def _bare(nodes: tuple[Node, ...], args: list[str]) -> list[str]:
    """Return arguments without the parentheses that they have as operands of a sign."""
    return [bare(node, text) for node, text in zip(nodes, args, strict=True)]


def _table(elements: tuple[Any, ...]) -> str:
    return repr(list(elements))


def _parameter(function: str, name: str, value: Any) -> str:
    """Return a parameter as a keyword; a mapping is kept as its pairs."""
    if (function, name) == ("replace_strict", "mapping"):
        try:
            return f"mapping={dict(value)!r}"
        except (TypeError, ValueError):  # a plan that someone has altered
            pass
    return f"{_NAMES.get((function, name), name)}={_shown(value)}"


def _shown(value: Any) -> str:
    """Return a parameter as it would be written; a type as text."""
    return repr(str(value) if isinstance(value, DType) else value)


def _within(text: str, length: int) -> str:
    """Return text of bounded length, so that a chain of 5,000 operators prints in linear time."""
    half = length // 2
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"
