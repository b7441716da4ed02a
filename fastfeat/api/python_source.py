"""A plan as Python source, the text of `Plan.to_python`.

Each node is first written as `ir.show` prints it. The text is evaluated, and kept only if it gives
that node again; otherwise the node is written as the call of its class. Before evaluation the
syntax is checked: it consists of constants, known names and calls, so names of columns never run.
"""

from __future__ import annotations

import ast
import datetime
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field
from importlib import import_module
from math import inf, nan
from typing import Any, assert_never, cast

from fastfeat_kernels.records import dataclass

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.expr import Expr, col, lit
from fastfeat.ir import show
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import (
    Aggregate,
    Call,
    Column,
    GroupFrame,
    Literal,
    Node,
    TableColumn,
    TrainingFrame,
    postorder,
)
from fastfeat.keep.document import plan_document, plan_text
from fastfeat.plan.declare.declaration import Declaration, declare
from fastfeat.steps.registry import PARTS_OF_WINDOWS

_LONG, _TOO_LONG = 120, 300
"""Characters from which a shared expression, or any expression, is a variable of its own."""
_SYNTAX = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Attribute, ast.Name, ast.Load, ast.Constant),
    *(ast.List, ast.Tuple, ast.Dict, ast.Starred, ast.BinOp, ast.UnaryOp, ast.Compare),
    *(ast.operator, ast.unaryop, ast.cmpop),
)
_CLASSES = {
    one.__name__: one
    for one in (Aggregate, Call, Column, GroupFrame, Literal, TableColumn, TrainingFrame)
}
_OPTIONS = (
    *("outcomes", "dtype", "keep", "label_delay", "known", "known_tables", "known_clocks"),
    *("row_id", "codes"),
)


@dataclass(frozen=True, slots=True)
class _Source:
    """The source written so far.

    Args:
        names: Values of the names that source may use: modules, functions and variables.
        lines: Variable name to its source, in order.
        shown: Source as users write it. It may need more source around it to have a meaning.
        exact: Source that gives an expression of exactly the node.
    """

    names: dict[str, Any]
    lines: dict[str, str] = field(default_factory=dict[str, str])
    shown: show.NodeTexts = field(default_factory=show.NodeTexts)
    exact: show.NodeTexts = field(default_factory=show.NodeTexts)


def source_of(plan: Declaration) -> str:
    """Return the Python source of a plan; executing it binds the name `plan`."""
    text = _source_of_parts(plan)
    if text is None:
        return f"import fastfeat as ff\n\nplan = ff.Plan.from_json({plan_text(plan)!r})\n"
    return text


@with_ieee_arithmetic
def _source_of_parts(plan: Declaration) -> str | None:
    """Return source with an expression for each feature; None if it would make another plan."""
    source = _Source(_known_names())
    label: Mapping[str, Expr] = plan.label if isinstance(plan.label, Mapping) else {}
    _write_nodes(
        [node for e in (*plan.features.values(), *label.values()) for node in e.nodes], source
    )
    features = {name: _expression(e, source) for name, e in plan.features.items()}
    of_label = {name: _expression(e, source) for name, e in label.items()}
    document = plan_document(plan)
    options = {name: document[name] for name in _OPTIONS if document.get(name)}
    again = declare(
        {name: _value(text, source) for name, text in features.items()},
        label={name: _value(text, source) for name, text in of_label.items()} or plan.label,
        **options,
    )
    if plan_text(again) != plan_text(plan):
        return None
    given = [f"    {_braces(features)},\n"]
    if of_label or plan.label is not None:
        given.append(f"    label={_braces(of_label) if of_label else repr(plan.label)},\n")
    given += [f"    {name}={value!r},\n" for name, value in options.items()]
    body = f"plan = ff.Plan(\n{''.join(given)})\n"
    variables = _needed(body, source)
    return f"{_imports([*variables.values(), body])}\n{_assignments(variables)}{body}"


def _known_names() -> dict[str, Any]:
    fastfeat = import_module("fastfeat")
    return {
        "ff": fastfeat,
        "col": col,
        "lit": lit,
        "datetime": datetime,
        "inf": inf,
        "nan": nan,
        **_CLASSES,
    }


def _write_nodes(roots: Sequence[Node], source: _Source) -> None:
    order = postorder(roots)
    n_uses = Counter(argument for node in order for argument in node.args)
    n_uses.update(roots)
    for node in order:
        text, is_shown = _node_source(node, source)
        is_part = isinstance(node, Call) and node.function in PARTS_OF_WINDOWS
        if not is_part and len(text) > (_LONG if n_uses[node] > 1 else _TOO_LONG):
            name = f"x{len(source.lines) + 1}"
            source.lines[name], source.names[name] = text, _value(text, source)
            text, is_shown = name, True
            source.shown.in_parentheses.discard(node)
        source.exact.texts[node] = text
        if is_shown:
            source.shown.texts[node] = text


def _node_source(node: Node, source: _Source) -> tuple[str, bool]:
    """Return the source of a node, and whether it is as users write it."""
    source.shown.texts[node] = text = show.text_of(node, source.shown)
    if _is_source_of(text, (node,), source):
        return text, True
    if not isinstance(node, Literal):
        text = show.text_of(node, source.exact)
        source.exact.in_parentheses.discard(node)
        if _is_source_of(text, (node,), source):
            return text, True
    if isinstance(node, Literal) and not isinstance(node.value, tuple):
        text = f"lit({_value_source(cast('object', node.value))})"
        if _is_source_of(text, (node,), source):
            return text, False
    return _class_source(node, source), False


def _class_source(node: Node, source: _Source) -> str:
    """Return the call of the class of a node, as an expression."""
    match node:
        case Column(name):
            made = f"Column({name!r})"
        case TableColumn(table, name):
            made = f"TableColumn({table!r}, {name!r})"
        case Literal(value):
            made = f"Literal({_value_source(value)})"
        case Call(function, args, params):
            made = f"Call({function!r}, {_nodes(args, source)}, {_value_source(params)})"
        case Aggregate(function, args, params, frame):
            inside = f"{_nodes(args, source)}, {_value_source(params)}, {frame!r}"
            made = f"Aggregate({function!r}, {inside})"
        case _:
            assert_never(node)
    return f"ff.Expr(({made},))"


def _nodes(nodes: Iterable[Node], source: _Source) -> str:
    return f"({''.join(f'*{source.exact[node]}.nodes, ' for node in nodes)})"


def _expression(expression: Expr, source: _Source) -> str:
    """Return the source of the expression of a feature, with one or several columns."""
    nodes, suffixes = expression.nodes, expression.suffixes
    text = source.exact.bare(nodes[0])
    if len(nodes) > 1:
        text = show.together(nodes, source.shown)
    if text is not None and _is_source_of(text, nodes, source, suffixes):
        return text
    return f"ff.Expr({_nodes(nodes, source)}, {_value_source(suffixes)})"


def _value_source(value: object) -> str:
    """Return the source of a literal or of a parameter."""
    match value:
        case tuple():
            parts = cast("tuple[object, ...]", value)
            return f"({''.join(f'{_value_source(part)}, ' for part in parts)})"
        case DType():
            return f"ff.DType({value.name!r}, {value.unit!r}, {value.tz!r})"
        case datetime.datetime():
            return f"datetime.datetime.fromisoformat({value.isoformat()!r})"
        case _:
            return repr(value)


def _is_source_of(
    text: str, nodes: tuple[Node, ...], source: _Source, suffixes: tuple[str, ...] = ("",)
) -> bool:
    """Return whether the text gives an expression of exactly these nodes and suffixes."""
    try:
        found = _value(text, source)
    except Exception:  # it is only a trial: any failure means that the text is not the source
        return False
    return isinstance(found, Expr) and found.nodes == nodes and found.suffixes == suffixes


def _value(text: str, source: _Source) -> Any:
    """Return the value of source; ValueError if it has anything but known names and constants."""
    tree = ast.parse(text, mode="eval")
    for part in ast.walk(tree):
        is_known = isinstance(part, _SYNTAX)
        if isinstance(part, ast.Name):
            is_known = part.id in source.names
        elif isinstance(part, ast.Attribute):
            is_known = not part.attr.startswith("_")
        if not is_known:
            raise ValueError(f"{type(part).__name__} is no part of an expression")
    return eval(compile(tree, "plan", "eval"), {"__builtins__": {}}, source.names)


def _braces(texts: Mapping[str, str]) -> str:
    lines = "".join(f"        {name!r}: {text},\n" for name, text in texts.items())
    return f"{{\n{lines}    }}"


def _needed(body: str, source: _Source) -> dict[str, str]:
    """Return the variables that the body reads, directly or through others, in order."""
    needed = _names_in(body)
    for name, text in reversed(source.lines.items()):
        if name in needed:
            needed |= _names_in(text)
    return {name: text for name, text in source.lines.items() if name in needed}


def _names_in(text: str) -> set[str]:
    return {part.id for part in ast.walk(ast.parse(text)) if isinstance(part, ast.Name)}


def _assignments(variables: Mapping[str, str]) -> str:
    return "".join(f"{name} = {text}\n" for name, text in variables.items()) + "\n" * bool(
        variables
    )


def _imports(texts: Iterable[str]) -> str:
    used = set[str]().union(*map(_names_in, texts))
    lines = ["import datetime\n"] if "datetime" in used else []
    lines += _import("math", ("inf", "nan"), used)
    lines = [*lines, "\n"] if lines else []
    lines += ["import fastfeat as ff\n", *_import("fastfeat", ("col", "lit"), used)]
    return "".join([*lines, *_import("fastfeat.ir.node", sorted(_CLASSES), used)])


def _import(module: str, names: Iterable[str], used: Collection[str]) -> list[str]:
    wanted = [name for name in names if name in used]
    return [f"from {module} import {', '.join(wanted)}\n"] if wanted else []
