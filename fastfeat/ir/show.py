"""Nodes printed as text that resembles the user's code, for error messages and `explain`.

The registry entry of a function declares its printed form (see `ir.writing`). `ROWS` holds the
functions that look up these entries; they are called only when something is printed. An operator
that builds several nodes registers a writer in `CALLS` or `COLUMNS`: a function that recognizes the
operator by its last node and returns its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from typing import Any, assert_never, cast

from fastfeat_kernels.records import dataclass

from fastfeat.ir.node import (
    Aggregate,
    Call,
    Column,
    Frame,
    GroupFrame,
    Literal,
    Node,
    TableColumn,
    postorder,
)
from fastfeat.ir.parameters import Parameters
from fastfeat.ir.writing import (
    FunctionForm,
    Infix,
    PrefixForm,
    PrintedForm,
    SeveralWriter,
    Texts,
    Writer,
    method_text,
    options,
)

LONGEST = 400
PrintedFunction = tuple[PrintedForm, Parameters]
"""The declared printed form of a function, and its parameters."""
ROWS: dict[type[Call] | type[Aggregate], Callable[[str], PrintedFunction | None]] = {}
"""By node type, the function that finds the registry entry of a function by its name."""
CALLS: dict[str, tuple[Writer, ...]] = {}
"""Writers of operators that build several nodes, by the function of their last node."""
COLUMNS: dict[str, SeveralWriter] = {}
"""Writers of operators with several columns, by the function of the first column."""
FRAMES: dict[type[Frame], Callable[[Aggregate, Texts], list[str]]] = {}
"""By type of frame, the function that writes the options of an aggregate, such as `by=`."""


def show(node: Node) -> str:
    """Return the text of an expression, shortened in the middle if it is very long."""
    return show_all([node])[node]


def show_columns(nodes: Sequence[Node]) -> str:
    """Return the text of an expression of one or several columns, of bounded length."""
    texts = _texts(nodes)
    whole = together(nodes, texts)
    if whole is not None:
        return _within(whole, LONGEST)
    shown: list[str] = []
    for node in nodes:
        shown.append(_within(texts[node], LONGEST))
        if sum(map(len, shown)) > LONGEST and len(shown) < len(nodes):
            shown.append(f"... and {len(nodes) - len(shown):,} more columns")
            break
    return " | ".join(shown)


def show_all(nodes: Sequence[Node]) -> dict[Node, str]:
    """Return the text of each expression, like `show`; nodes that they share are printed once."""
    texts = _texts(nodes)
    return {node: _within(texts[node], LONGEST) for node in nodes}


def names_of(sources: Iterable[Node]) -> tuple[str, ...]:
    """Return a name for each source of a kernel: a column's name, or the text of another node."""
    return tuple(node.name if isinstance(node, Column) else show(node) for node in sources)


@dataclass(frozen=True, slots=True)
class NodeTexts:
    """The texts of nodes written so far.

    Args:
        texts: Text of each written node.
        in_parentheses: Nodes written as a Python operator, with parentheses around the text.
    """

    texts: dict[Node, str] = field(default_factory=dict[Node, str])
    in_parentheses: set[Node] = field(default_factory=set[Node])

    def __getitem__(self, node: Node) -> str:
        return self.texts[node]

    def bare(self, node: Node) -> str:
        text = self.texts[node]
        return text[1:-1] if node in self.in_parentheses else text

    def options(self, node: Call | Aggregate, without: Sequence[str] = ()) -> list[str]:
        _, parameters = _row_of(node)
        unwritten = {one.name for one in parameters if one.user_name is None}.union(without)
        return options(parameters, tuple(one for one in node.params if one[0] not in unwritten))

    def of_changed(self, node: Node) -> str:
        return _within(text_of(node, self), 2 * LONGEST)


def _texts(nodes: Sequence[Node]) -> NodeTexts:
    texts = NodeTexts()
    for node in postorder(nodes):
        texts.texts[node] = _within(text_of(node, texts), 2 * LONGEST)
    return texts


def together(nodes: Sequence[Node], texts: Texts) -> str | None:
    """Return the text of nodes that are the columns of one operator; None if they are not."""
    first = nodes[0] if nodes else None
    write = COLUMNS.get(first.function) if isinstance(first, Call) else None
    return None if write is None else write(nodes, texts)


def text_of(node: Node, texts: NodeTexts) -> str:
    """Return the text of a node; `texts` has the texts of its arguments."""
    match node:
        case Column(name):
            return f"col({name!r})"
        case TableColumn(_, name):  # only windows over the table have it as an operand
            return f"col({name!r})"
        case Literal(value):
            is_table = isinstance(value, tuple)
            return repr(list(cast("tuple[Any, ...]", value)) if is_table else value)
        case Call(function) | Aggregate(function):
            form, parameters = _row_of(node)
            writers = [*CALLS.get(function, ()), *([form] if callable(form) else [])]
            found = (text for write in writers if (text := write(node, texts)) is not None)
            text = next(found, None)
            if text is None:
                text = _by_sign(node, form, texts)
            if text is not None:
                return text
            # show everything in a node that has no operator's shape
            return _call_text(node, form, () if writers else parameters, texts)
        case _:
            assert_never(node)


def _by_sign(node: Call | Aggregate, form: PrintedForm, texts: NodeTexts) -> str | None:
    """Return the text of a call as a Python operator in parentheses; None for other calls.

    The node is then noted in `texts.in_parentheses`.
    """
    match form, node.args:
        case Infix(sign, before_minus), (left, right):
            is_negative = before_minus and texts[left].startswith("-")
            one = f"({texts[left]})" if is_negative else texts[left]
            text = f"({one} {sign} {texts[right]})"
        case PrefixForm(sign), (operand,):
            text = f"({sign}{texts[operand]})"
        case _:
            return None
    texts.in_parentheses.add(node)
    return text


def _call_text(
    node: Call | Aggregate, form: PrintedForm, parameters: Parameters, texts: NodeTexts
) -> str:
    """Return the text of a call as a method of its first argument, or as a declared function."""
    args, given = node.args, options(parameters, node.params)
    if isinstance(node, Aggregate) and isinstance(node.frame, GroupFrame):
        args, given = args[:1], [*given, *frame_options(node, texts)]
    if isinstance(form, FunctionForm):
        return f"{form.prefix}{node.function}({', '.join([*map(texts.bare, args), *given])})"
    return method_text(node.function, args, given, texts)


def frame_options(learnt: Aggregate, texts: Texts) -> list[str]:
    """Return the options, such as `by=`, that say for which groups an aggregate is learnt.

    The list is empty for an aggregate of all training rows.
    """
    write = FRAMES.get(type(learnt.frame))
    return [] if write is None else write(learnt, texts)


def _row_of(node: Call | Aggregate) -> PrintedFunction:
    """Return the printed form and the parameters of a function, from its registry entry."""
    return ROWS[type(node)](node.function) or (None, ())


def _within(text: str, length: int) -> str:
    """Return text shortened in the middle to about `length` characters.

    So a chain of 5,000 operators prints in linear time.
    """
    half = length // 2
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"
