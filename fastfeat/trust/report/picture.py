"""A plan as a picture: columns on the left, learnt values and windows in the middle, features.

A line runs from a column to the learnt values and windows that read it, and on to the features. If
a feature reads the column only from its own row, the line bypasses the middle. In large plans,
features that are built alike share a box. A step is a box in the middle: a learnt value, a function
over a window, or a lookup in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import TypeVar

from fastfeat_kernels.records import dataclass

from fastfeat.errors import counted
from fastfeat.ir.durations import duration_text
from fastfeat.ir.node import Aggregate, Call, Column, Node, TableColumn, fold
from fastfeat.ir.scope import OVER, is_over, window_of
from fastfeat.ir.show import show
from fastfeat.markup.html import short
from fastfeat.tell.html import learnt_word

MOST = 60
"""Above this many boxes in a column of the picture, boxes are merged."""
_ROW, _TOP, _WIDTH = 18, 14, 900
_LONGEST = 30
_MIDDLE = 450
_STARTS, _ENDS = {1: 340, 2: 680}, {0: 220, 1: 560}
"""Horizontal starts and ends of the boxes in each column of the picture."""

InputNameSet = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Step:
    """A learnt value, window or table lookup between inputs and features.

    Args:
        text: Short name, the label of its box.
        told: Full expression, its tooltip.
        inputs: Names of the columns that it reads.
    """

    text: str
    told: str
    inputs: InputNameSet


@dataclass(frozen=True, slots=True)
class _FeaturePath:
    """The columns and steps from which an expression is computed.

    Args:
        own: Names of the columns that it reads from its own row, not through a step.
        steps: The steps with results that it reads.
    """

    own: InputNameSet
    steps: frozenset[_Step]


@dataclass(frozen=True, slots=True)
class _Box:
    """A box of the picture.

    Args:
        text: Label.
        told: Tooltip.
        level: CSS class, "bad" or "warn" for highlighted boxes.
    """

    text: str
    told: str
    level: str = ""


BoxPosition = tuple[int, int]
"""The column of a box, and its number in the column."""
Edges = dict[tuple[BoxPosition, BoxPosition], None]


def plan_picture(
    nodes: Mapping[str, Node], of_inputs: Mapping[str, str], of_features: Mapping[str, str]
) -> str:
    """Return the picture of a plan as SVG.

    `nodes` has the expression of each feature by name. `of_inputs` and `of_features` give the CSS
    class of highlighted inputs and features by name: "bad" or "warn".
    """
    ways = _ways(nodes)
    names, every = list(ways), sorted({name for way in ways.values() for name in _inputs(way)})
    steps = list(dict.fromkeys(step for way in ways.values() for step in way.steps))
    features = _grouped(names, lambda name: frozenset(s.text for s in ways[name].steps))
    seen_by = _groups_using(ways, {name: k for k, group in enumerate(features) for name in group})
    inputs = _grouped(every, lambda name: frozenset(seen_by[name]))
    middle = _grouped(steps, lambda step: step.text)
    columns = (
        [_box_of_names(group, of_inputs) for group in inputs],
        [_box_of_steps(group) for group in middle],
        [_box_of_names(group, of_features) for group in features],
    )
    places = (_places(inputs, 0), _places(middle, 1), _places(features, 2))
    edges = _edges(ways, *places)
    return _svg_of(columns, edges)


def _ways(nodes: Mapping[str, Node]) -> dict[str, _FeaturePath]:
    """Return the columns and steps from which each feature is computed, by name."""
    found = fold(list(nodes.values()), _way)
    return {name: _without_doubles(found[node]) for name, node in nodes.items()}


def _way(node: Node, args: list[_FeaturePath]) -> _FeaturePath:
    match node:
        case Column(name):
            return _FeaturePath(frozenset([name]), frozenset())
        case TableColumn(table, name):
            return _FeaturePath(frozenset([f"{table}.{name}"]), frozenset())
        case Aggregate():
            return _through(node, learnt_word(node), args)
        case Call() if is_over(node):
            return _through(node, _window_text(node), args)
        case Call("lookup_row" | "asof_row", (*_, TableColumn(table))):
            how = "as-of" if node.function == "asof_row" else "lookup"
            return _through(node, f"{how} in {short(table)}", args)
        case _:
            own = frozenset[str]().union(*(way.own for way in args))
            return _FeaturePath(own, frozenset[_Step]().union(*(way.steps for way in args)))


def _through(node: Node, text: str, args: list[_FeaturePath]) -> _FeaturePath:
    """Return the source of a step's result, which is the step alone: it stands for its inputs."""
    inputs = frozenset[str]().union(*(_inputs(way) for way in args))
    return _FeaturePath(frozenset(), frozenset([_Step(text, show(node), inputs)]))


def _inputs(way: _FeaturePath) -> InputNameSet:
    return way.own.union(*(step.inputs for step in way.steps))


def _without_doubles(way: _FeaturePath) -> _FeaturePath:
    """Return columns and steps, without the columns that one of the steps reads too.

    Steps that read equal columns are merged into one.
    """
    by_inputs: dict[InputNameSet, list[_Step]] = {}
    for step in sorted(way.steps, key=lambda step: step.told):
        by_inputs.setdefault(step.inputs, []).append(step)
    steps = [
        _Step(
            ", ".join(dict.fromkeys(s.text for s in same)), "\n".join(s.told for s in same), names
        )
        for names, same in by_inputs.items()
    ]
    through = frozenset[str]().union(*by_inputs)
    return _FeaturePath(way.own - through, frozenset(steps))


def _window_text(over: Call) -> str:
    """Return a short name for a function over a window."""
    params, name = dict(window_of(over).params), over.function.removeprefix(OVER)
    last, n_rows = params.get("last"), params.get("rows")
    if isinstance(last, int):
        return f"{name} over {duration_text(last) if params.get('unit') == 'time' else last}"
    return f"{name} over {counted(n_rows, 'row')}" if isinstance(n_rows, int) else name


H = TypeVar("H", bound=Hashable)


def _grouped(items: Sequence[H], key: Callable[[H], Hashable]) -> list[tuple[H, ...]]:
    """Return one group per item; if there are too many, items with equal keys share a group.

    There are at most `MOST` groups: the last one takes all further items.
    """
    if len(items) <= MOST:
        return [(item,) for item in items]
    groups: dict[Hashable, list[H]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    found = [tuple(group) for group in groups.values()]
    rest = tuple(item for group in found[MOST - 1 :] for item in group)
    return [*found[: MOST - 1], *([rest] if rest else [])]


def _places(groups: Sequence[tuple[H, ...]], column: int) -> dict[H, BoxPosition]:
    return {item: (column, k) for k, group in enumerate(groups) for item in group}


def _groups_using(
    ways: Mapping[str, _FeaturePath], group_of: Mapping[str, int]
) -> dict[str, set[int]]:
    """Return the indices of the groups of features that use each input, by name of the input."""
    found: dict[str, set[int]] = {}
    for name, way in ways.items():
        for one in _inputs(way):
            found.setdefault(one, set()).add(group_of[name])
    return found


def _edges(
    ways: Mapping[str, _FeaturePath],
    inputs: Mapping[str, BoxPosition],
    steps: Mapping[_Step, BoxPosition],
    features: Mapping[str, BoxPosition],
) -> Edges:
    """Return the lines between boxes, as pairs of positions, without repeats."""
    edges: Edges = {}
    for name, way in ways.items():
        for own in sorted(way.own):
            edges[inputs[own], features[name]] = None
        for step in way.steps:
            edges[steps[step], features[name]] = None
            for one in sorted(step.inputs):
                edges[inputs[one], steps[step]] = None
    return edges


def _box_of_names(names: Sequence[str], levels: Mapping[str, str]) -> _Box:
    level = max((levels.get(name, "") for name in names), key=_LEVELS.index)
    first = short(names[0], _LONGEST if len(names) == 1 else 16)
    if len(names) == 1:
        return _Box(first, short(names[0], 200), level)
    more = ", ..." if len(names) > _MOST_TOLD else ""
    told = ", ".join(short(name) for name in names[:_MOST_TOLD])
    return _Box(f"{first} and {len(names) - 1:,} more", f"{told}{more}", level)


def _box_of_steps(steps: Sequence[_Step]) -> _Box:
    told = "\n".join(step.told for step in steps[:_MOST_TOLD])
    return _Box(short(steps[0].text, _LONGEST), told if len(told) < 400 else f"{told[:400]}...")


_SIZE = f' width="{_ENDS[1] - _STARTS[1]}" height="16" rx="4"'
_LEVELS = ("", "ok", "warn", "bad")
_MOST_TOLD = 8


def _svg_of(
    columns: Sequence[Sequence[_Box]], edges: Iterable[tuple[BoxPosition, BoxPosition]]
) -> str:
    """Return boxes and lines as SVG.

    `columns` has the boxes of the three columns: inputs, steps and features.
    """
    heights = _heights(columns, list(edges))
    longest = max(map(len, columns))
    parts = [_line(one, other, heights) for one, other in edges]
    for column, boxes in enumerate(columns):
        parts += [_text(box, column, heights[column, k]) for k, box in enumerate(boxes)]
    height = longest * _ROW + _TOP
    return (
        f'<svg class="plan" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="the plan: columns, learnt values, features">{"".join(parts)}</svg>'
    )


def _heights(
    columns: Sequence[Sequence[_Box]], edges: Sequence[tuple[BoxPosition, BoxPosition]]
) -> dict[BoxPosition, float]:
    """Return the vertical position of each box, in SVG units; boxes lie near those they lead to."""
    longest = max(map(len, columns))
    heights: dict[BoxPosition, float] = {}
    after: dict[BoxPosition, list[BoxPosition]] = {}
    for one, other in edges:
        after.setdefault(one, []).append(other)
    for column in (2, 1, 0):
        boxes = [(column, k) for k in range(len(columns[column]))]
        if column < 2:
            wanted = {
                place: sum(heights[other] for other in after[place]) / len(after[place])
                for place in boxes
            }
            boxes.sort(key=wanted.__getitem__)
        apart = longest / max(len(boxes), 1) * _ROW
        for k, place in enumerate(boxes):
            heights[place] = _TOP + (k + 0.5) * apart - _ROW / 2
    return heights


def _line(one: BoxPosition, other: BoxPosition, heights: Mapping[BoxPosition, float]) -> str:
    """Return a line from the right end of one box to the left end of another, as an SVG path."""
    y, z = round(heights[one]), round(heights[other])
    if other[0] - one[0] == 1:
        return f'<path d="M{_ENDS[one[0]]} {y}{_curve(one[0], y, other[0], z)}"/>'
    between = _gap((y + z) / 2, sorted(of for (k, _), of in heights.items() if k == 1))
    through = f"{_curve(0, y, 1, between)}H{_ENDS[1]}{_curve(1, between, 2, z)}"
    return f'<path class="own" d="M{_ENDS[0]} {y}{through}"/>'


def _curve(one: int, y: int, other: int, z: int) -> str:
    """Return the part of an SVG path from the right end of one column to the left of another."""
    right = _STARTS[other]
    middle = (_ENDS[one] + right) // 2
    return f"C{middle} {y} {middle} {z} {right} {z}"


def _gap(wanted: float, boxes: Sequence[float]) -> int:
    """Return the vertical position nearest to `wanted` at which a line crosses no box.

    `boxes` are the ascending positions of the boxes in the column.
    """
    if not boxes:
        return round(wanted)
    between = [(low + high) / 2 for low, high in pairwise(boxes)]
    gaps = [boxes[0] - _ROW / 2 - 2, *between, boxes[-1] + _ROW / 2 + 2]
    return round(min(gaps, key=lambda gap: abs(gap - wanted)))


def _text(box: _Box, column: int, height: float) -> str:
    """Return a box as SVG: its label, with its tooltip."""
    x, anchor = (
        (_ENDS[0] - 6, ' text-anchor="end"'),
        (_MIDDLE, ' text-anchor="middle"'),
        (_STARTS[2] + 6, ""),
    )[column]
    level = f' class="{box.level}"' if box.level in ("warn", "bad") else ""
    more = f"<title>{escape(box.told)}</title>" if box.told != box.text else ""
    box_of_step = f'<rect x="{_STARTS[1]}" y="{round(height) - 8}"{_SIZE}/>' if column == 1 else ""
    return (
        f'{box_of_step}<text{level} x="{x}" y="{round(height) + 4}"{anchor}>'
        f"{escape(box.text)}{more}</text>"
    )
