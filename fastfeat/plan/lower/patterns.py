"""Lowering repeated patterns once: expressions that differ only in their columns share the result.

A plan of 10,000 columns repeats a few patterns, and lowering each column alone took 2 s of the 4
until its first result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from fastfeat.engine.program import Leaf, Output, leaves_of
from fastfeat.ir.node import (
    Aggregate,
    Call,
    Column,
    Literal,
    Node,
    TableColumn,
    identity_key,
    postorder,
)
from fastfeat.plan.lower.lower import NodeTypes, constant_nodes, lower
from fastfeat.scalars.value import InputSlot, TableKey, Value

FEWEST_FEATURES = 4
LARGEST_PATTERN = 64
"""Most nodes of a pattern: expressions that share a longer chain would each be searched in full."""

Copy = Callable[[Sequence[Node]], Leaf]


def outputs_of(
    features: Sequence[tuple[str, Node]],
    types: NodeTypes,
    make: Callable[[str, Value], Output],
    *,
    hoist: bool,
    training: bool = False,
) -> list[Output]:
    """Return the program output of each feature; features of one pattern share their operations."""
    roots = [root for _, root in features]
    copied = _copied(roots, types) if len(roots) >= FEWEST_FEATURES else {}
    own = [root for root in roots if root not in copied]
    values = lower(own, types, constant_nodes(own) if hoist else set(), training=training)
    patterns: dict[Node, tuple[Output, list[Copy]]] = {}
    outputs: list[Output] = []
    for name, root in features:
        if root not in copied:
            outputs.append(make(name, values[root]))
            continue
        first, nodes = copied[root]
        if first not in patterns:
            patterns[first] = _pattern_output(make(name, values[first]), first)
        output, leaves = patterns[first]
        read = tuple(copy(nodes) for copy in leaves)
        outputs.append(Output(name, output.dtype, output.op, output.ok, output.status, read))
    return outputs


def _copied(roots: Iterable[Node], types: NodeTypes) -> dict[Node, tuple[Node, list[Node]]]:
    """Return each expression that repeats an earlier pattern, with the pattern's first expression.

    The list has the nodes of the repeating expression, in the order of `postorder`: nodes at the
    same position in both expressions correspond.
    """
    firsts: dict[Any, Node] = {}
    copied: dict[Node, tuple[Node, list[Node]]] = {}
    for root in dict.fromkeys(roots):
        nodes = postorder([root], at_most=LARGEST_PATTERN)
        if nodes:
            first = firsts.setdefault(_pattern(nodes, types), root)
            if first is not root:
                copied[root] = first, nodes
    return copied


def _pattern(nodes: Sequence[Node], types: NodeTypes) -> tuple[Any, ...]:
    """Return a key that is equal for expressions that differ only in the names of columns."""
    place: dict[Node, int] = {}
    parts: list[Any] = []
    for node in nodes:
        place[node] = len(place)
        match node:
            case Call(function, args, params):
                parts += (function, identity_key(params), tuple([place[arg] for arg in args]))
            case Column():
                parts.append(types[node])
            case Literal() | TableColumn():
                parts.append(node)
            case Aggregate(function, args, params, frame):
                places = tuple([place[arg] for arg in args])
                parts += (frame, function, identity_key(params), places)
    return tuple(parts)


def _pattern_output(output: Output, root: Node) -> tuple[Output, list[Copy]]:
    """Return the output of a pattern's first expression, and a function per input to adapt it.

    Each function takes the nodes of another expression of the pattern, and returns the input for
    its columns. `root` is the first expression.
    """
    place = {node: k for k, node in enumerate(postorder([root]))}
    return output, [_copy(leaf, place) for leaf in leaves_of(output)]


def _copy(leaf: Leaf, place: Mapping[Node, int]) -> Copy:
    match leaf:
        case "input", InputSlot(kind, sources, dtype, literals):
            slot = partial(InputSlot, kind, dtype=dtype, literals=literals)
            at = [place[source] for source in sources]
            return lambda nodes: ("input", slot(tuple(nodes[k] for k in at)))
        case "parameter", ((part, node), physical):
            k = place[node]
            return lambda nodes: ("parameter", ((part, nodes[k]), physical))
        case "table", TableKey(node, layout, length) if node in place:
            k = place[node]
            return lambda nodes: ("table", TableKey(nodes[k], layout, length))
        case _:  # a table made by the lowering itself
            return lambda nodes: leaf
