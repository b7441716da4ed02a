"""The output columns of a fitted plan: a one-hot encoding has one column per learned category.

An indicator here is a one-hot or multi-hot encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

from fastfeat.aggregates import is_vocabulary
from fastfeat.errors import InvalidData, InvalidPlan, NoCategories, warn
from fastfeat.ir.node import Aggregate, Call, Literal, Node
from fastfeat.ir.show import show
from fastfeat.plan.lower import codes as code_plans
from fastfeat.plan.lower.lower import LearntConstant, NodeTypes
from fastfeat.steps.keys import rows as key_rows

MakeColumn = Callable[[], Node]
"""A function that returns the expression of a column."""


def is_one_hot(node: Node) -> bool:
    """Return whether a feature is a one-hot encoding, which becomes one column per category."""
    return isinstance(node, Call) and node.function == "one_hot"


def expand_one_hot(
    nodes: Mapping[str, Node], learnt: Mapping[Node, LearntConstant], types: NodeTypes
) -> dict[str, Node]:
    """Return the expression of each output column of a fitted plan.

    `nodes` are the features of the plan, by name.
    """
    columns = _columns(nodes, learnt, types)
    return {name: node if make is None else make() for name, (node, make) in columns.items()}


def column_names(
    nodes: Mapping[str, Node], learnt: Mapping[Node, LearntConstant], types: NodeTypes
) -> Iterable[str]:
    """Return the names of the output columns of a fitted plan, without their expressions.

    `fit` checks names alone: the expressions of 100,000 columns take .5 s.
    """
    return _columns(nodes, learnt, types)


def _columns(
    nodes: Mapping[str, Node], learnt: Mapping[Node, LearntConstant], types: NodeTypes
) -> dict[str, tuple[Node, MakeColumn | None]]:
    """Return, for each output column, its feature, and how a one-hot column is made."""
    columns: dict[str, tuple[Node, MakeColumn | None]] = {}
    for name, node in nodes.items():
        own: dict[str, tuple[Node, MakeColumn | None]] = {}
        made = _indicators(cast("Call", node), learnt, types) if is_one_hot(node) else [("", None)]
        for suffix, column in made:
            if name + suffix in own:
                raise InvalidPlan(
                    f"feature {name!r}, {show(node)}, has two columns named {name + suffix!r}: two "
                    "categories have the same text, or a category is named like the column of "
                    "rare or missing values. Rename a category, or use .ordinal_encode()"
                )
            if name + suffix in columns:
                raise InvalidPlan(
                    f"two features give the column {name + suffix!r}. Rename one of them"
                )
            own[name + suffix] = node, column
        columns |= own
    return columns


def n_indicators(node: Call, learnt: Mapping[Node, LearntConstant], types: NodeTypes) -> int:
    """Return the number of output columns of a one-hot encoding."""
    return sum(1 for _ in _indicators(node, learnt, types))


def check_clash(columns: Iterable[str], others: Mapping[str, str]) -> None:
    """Raise InvalidPlan if a column of the fitted plan has the name of something else.

    `others` describes a kept column or the label, by its name.
    """
    for name in columns:
        if name in others:
            raise InvalidPlan(
                f"a feature has the column {name!r}, which is also the name of {others[name]}. "
                "Rename the feature"
            )


def _indicators(
    node: Call, learnt: Mapping[Node, LearntConstant], types: NodeTypes
) -> Iterator[tuple[str, MakeColumn]]:
    """Yield the name suffix of each output column of a one-hot encoding, and how it is made."""
    codes, params = node.args[0], dict(node.params)
    vocabulary = code_plans.vocabulary_of_codes(codes, learnt, types)
    assert isinstance(codes, Call)
    of_lists = codes.function == "list.encode"
    column: Callable[[Node, Any], Node] = _has_code if of_lists else _is_code
    keys = codes.args[-1].args
    texts = key_rows.category_texts(vocabulary, [types[key] for key in keys])
    first = 1 + int(dict(codes.params)["n_unseen"])
    n_columns = vocabulary.n_initial_columns
    n_dropped = int(params["drop"] == "first" or (params["drop"] == "if_binary" and n_columns == 2))
    for k, text in list(enumerate(texts))[n_dropped:]:
        yield f"_{text}", partial(column, codes, first + k)
    if params["missing"] == "column":
        yield (
            "__missing",
            partial(_has_code, codes, None) if of_lists else partial(_is_code, codes, 0),
        )
    if vocabulary.has_rare:
        yield "__other", partial(column, codes, 1)


def _is_code(codes: Node, code: int) -> Node:
    return Call("is_code", (codes, Literal(code)), ())


def _has_code(codes: Node, code: int | None) -> Node:
    return Call("list.has_code", (codes,), (("code", code),))


def check_width(
    nodes: Mapping[str, Node], learnt: Mapping[Node, LearntConstant], types: NodeTypes, n_rows: int
) -> None:
    """Raise InvalidData if one-hot columns of the training rows exceed the allowed memory."""
    for name, node in nodes.items():
        if not is_one_hot(node):
            continue
        assert isinstance(node, Call)
        vocabulary = code_plans.vocabulary_of_codes(node.args[0], learnt, types)
        room = _max_memory(node)
        if room is not None and len(vocabulary) * n_rows > room:
            raise InvalidData(
                f"feature {name!r}, {show(node)}: {len(vocabulary):,} columns of {n_rows:,} rows "
                f"take {len(vocabulary) * n_rows:,} bytes, more than max_memory={room:,}. Limit "
                "the columns with max_categories= or min_frequency=, use .ordinal_encode(), or "
                "increase max_memory="
            )


def warn_empty(
    nodes: Mapping[str, Node], learnt: Mapping[Node, LearntConstant], types: NodeTypes
) -> None:
    """Warn about one-hot encodings without columns, and about keys that are all too rare."""
    told: set[Node] = set()
    for name, node in nodes.items():
        if not is_one_hot(node):
            continue
        told.update(node.args[0].args)  # there, rare categories differ from unseen ones
        if not any(_indicators(cast("Call", node), learnt, types)):
            warn(
                f"feature {name!r}, {show(node)}, has no columns, because the training rows have "
                "too few categories",
                NoCategories,
            )
    for node, value in learnt.items():
        if is_vocabulary(value) and not len(value) and node not in told:
            least = dict(node.params).get("min_frequency") if isinstance(node, Aggregate) else None
            if least is not None:
                keys = ", ".join(map(show, node.args))
                warn(
                    f"no key of {keys} occurs in {least} training rows or more, so every key "
                    "counts as unseen. Lower min_rows= or min_frequency=",
                    NoCategories,
                )


def _max_memory(node: Call) -> int | None:
    codes = node.args[0]
    assert isinstance(codes, Call)
    learnt: Any = codes.args[-1]
    return dict(learnt.params).get("max_memory")
