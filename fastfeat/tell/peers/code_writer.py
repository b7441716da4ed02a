"""Writer of modules: visits the expressions of a fitted plan, and writes code of another library.

A peer is that library, pandas or Polars. A piece is the code of one expression, a site is a call to
write, and the `ModuleWriter` collects the statements of the module. The tables `ROWS` of
`pandas_code` and `polars_code` have an entry for each function. Names of columns and features enter
the code only as string literals.
"""

from __future__ import annotations

import ast
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, cast

from fastfeat_kernels.records import dataclass

from fastfeat.errors import NotExportable
from fastfeat.execute.fitted import Fitted
from fastfeat.ir.dtypes import NEVER_COLUMNS, DType
from fastfeat.ir.node import Aggregate, Call, Column, GroupFrame, Literal, Node, TableColumn
from fastfeat.plan.lower.lower import NodeTypes, constant_nodes
from fastfeat.plan.lower.outputs import output_types

LONGEST = 60
"""Longest text inside another one; longer texts are bound to a name."""


class NotSupported(Exception):
    """An expression that has no equal in the other library; the message is the reason."""


@dataclass(frozen=True, slots=True)
class CodePiece:
    """The code of an expression.

    Args:
        text: A Python expression.
        dtype: Type of the expression in the plan.
        value: For a constant, a tuple with its value, which may itself be None; None for a column.
    """

    text: str
    dtype: DType
    value: tuple[Any] | None = None

    @property
    def kind(self) -> str:
        """A letter for the kind of its type; see `kind_of`."""
        return kind_of(self.dtype)

    @property
    def is_constant(self) -> bool:
        """Whether the expression has one value for all rows."""
        return self.value is not None


def kind_of(dtype: DType) -> str:
    """Return "f" for floats, "i" integers, "b" bools, "s" text, "l" lists, "t" times, "x" others.

    "x" are types that no row has as a value, such as a table to search in.
    """
    if dtype in NEVER_COLUMNS or dtype.name == "table":
        return "x"
    if dtype.is_list:
        return "l"
    if dtype.holds_bytes:
        return "s"
    if dtype.is_temporal:
        return "t"
    return {"f64": "f", "i64": "i", "b1": "b"}[dtype.physical]


@dataclass(frozen=True, slots=True)
class ModuleWriter:
    """The module that is being written.

    Args:
        peer: The library.
        fitted: The plan.
        constant: Nodes with one value for all rows.
        pieces: Code of each node written so far.
        statements: Statements of the module's main function, in order.
        helpers: Names of the helper functions that the statements call.
        tables: Names of the module's constants, by their code.
        names: Number of variable names used so far, by prefix.
        bound: Variable name of each expression that has one, by its code.
    """

    peer: PeerLibrary
    fitted: Fitted
    constant: frozenset[Node]
    pieces: dict[Node, CodePiece] = field(default_factory=dict[Node, CodePiece])
    statements: list[str] = field(default_factory=list[str])
    helpers: dict[str, None] = field(default_factory=dict[str, None])
    tables: dict[str, str] = field(default_factory=dict[str, str])
    names: Counter[str] = field(default_factory=Counter[str])
    bound: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def types(self) -> NodeTypes:
        """The type of every node."""
        return self.fitted.types

    def help(self, name: str) -> str:
        """Return the name of a helper function, and include the helper in the module."""
        self.helpers[name] = None
        return name

    def named(self, text: str, stem: str = "v") -> str:
        """Return the variable for an expression, given as code, after a statement that assigns it.

        Equal expressions share a variable, and `stem` is the prefix of its name.
        """
        if text in self.bound:
            return self.bound[text]
        self.names[stem] += 1
        name = f"{stem}{self.names[stem]}"
        self.statements.append(f"{name} = {text}")
        self.bound[text] = name
        return name

    def table(self, text: str) -> str:
        """Return the name of the module constant with this code, which is added if new."""
        return self.tables.setdefault(text, f"TABLE_{len(self.tables) + 1}")


@dataclass(frozen=True, slots=True)
class CallSite:
    """A call to write.

    Args:
        node: The call.
        args: Code of the nodes that it reads, in the order of `code_inputs`.
        scribe: The module that is being written.
    """

    node: Call | Aggregate
    args: tuple[CodePiece, ...]
    scribe: ModuleWriter

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of the call."""
        return dict(self.node.params)

    @property
    def dtype(self) -> DType:
        """The type of the result."""
        return self.scribe.types[self.node]

    def shown(self, place: int, form: str = "") -> str:
        """Return code for argument `place`, converted by `form`; a method call may follow it."""
        return atom(self.scribe.peer.forms[form](self.args[place], self.scribe))

    def named(self, place: int, form: str = "") -> str:
        """Return code for argument `place`, converted by `form`, that is short enough to repeat."""
        text = self.scribe.peer.forms[form](self.args[place], self.scribe)
        return text if is_short(text) else self.scribe.named(text)

    def help(self, name: str, *args: str) -> str:
        """Return code that calls a helper with the given arguments, which are code too."""
        return f"{self.scribe.help(name)}({', '.join(args)})"


WriteCall = Callable[[CallSite], str]
CodeTemplate = str | Mapping[str, str | WriteCall] | WriteCall
"""The text of a function: a template, a template per kind of argument, or a function.

In a template, `{x}`, `{y}`, `{z}` are the arguments, and `{x:f}` is one as floats, by the forms of
the peer; `{p[name]}` is a parameter, `{h[name]}` a helper.
"""


@dataclass(frozen=True, slots=True)
class PeerLibrary:
    """A library that plans are written for.

    Args:
        name: Name for users.
        rows: How each function is written, by name of the function.
        unwritten: Reason why each other function cannot be written, by name of the function.
        forms: Functions that convert arguments, by their letters in templates.
        read: Returns code for a column, from its name and type.
        literal: Returns code for a constant, from its value and type.
        keyed: Returns code for a lookup, from the site, the values by key, and the values of a
            missing key and of an unseen key.
        output: Returns code for a feature, from its piece and its output type.
        helpers: Source code of helper functions, by name.
        module: Returns the source of the module, from the scribe and the code of each feature.
    """

    name: str
    rows: Mapping[str, CodeTemplate]
    unwritten: Mapping[str, str]
    forms: Mapping[str, Callable[[CodePiece, ModuleWriter], str]]
    read: Callable[[str, DType, ModuleWriter], str]
    literal: Callable[[Any, DType], str]
    keyed: Callable[[CallSite, Mapping[Any, Any], Any, Any], str]
    output: Callable[[CodePiece, DType, ModuleWriter], str]
    helpers: Mapping[str, str]
    module: Callable[[ModuleWriter, Mapping[str, str]], str]


@dataclass(frozen=True, slots=True)
class ExportRefusal:
    """A feature that a peer cannot compute with the results of the plan.

    Args:
        feature: Name of the feature.
        function: The function that cannot be written.
        reason: Why the function cannot be written.
    """

    feature: str
    function: str
    reason: str


def export_all(fitted: Fitted, peer: PeerLibrary) -> str:
    """Return a fitted plan as the source of a Python module for a peer.

    Raises:
        NotExportable: Some features cannot be written; the message names all of them.
    """
    text, refused = export_supported(fitted, peer)
    if refused:
        told = "".join(f"\n  {r.feature!r}: {r.function}: {r.reason}" for r in refused)
        raise NotExportable(
            f"{len(refused)} of {len(fitted.nodes)} features cannot be exported to {peer.name}:"
            f"{told}\nTo export only the others, use fitted.select([...])"
        )
    return text


def export_supported(fitted: Fitted, peer: PeerLibrary) -> tuple[str, tuple[ExportRefusal, ...]]:
    """Return a Python module with the features a peer can compute, and the refused features."""
    roots = list(fitted.nodes.values())
    scribe = ModuleWriter(peer, fitted, frozenset(constant_nodes(roots)))
    failed: dict[Node, tuple[str, str]] = {}
    order = _order(roots, scribe.constant)
    n_users = Counter(read for node in order for read in _inputs_per_row(node, scribe.constant))
    n_users.update(roots)
    for node in order:
        broken = next(
            (failed[r] for r in _inputs_per_row(node, scribe.constant) if r in failed), None
        )
        if broken is None:
            try:
                scribe.pieces[node] = _assign_long_code(_piece(node, scribe), n_users[node], scribe)
            except NotSupported as error:
                name = node.function if isinstance(node, Call | Aggregate) else "column"
                broken = name, str(error)
        if broken is not None:
            failed[node] = broken
    types = output_types(fitted.typed, fitted.nodes, fitted.types)
    outputs: dict[str, str] = {}
    refused: list[ExportRefusal] = []
    for name, node in fitted.nodes.items():
        broken = failed.get(node)
        if broken is None:
            try:
                outputs[name] = peer.output(scribe.pieces[node], types[name], scribe)
                continue
            except NotSupported as error:
                broken = "output", str(error)
        refused.append(ExportRefusal(name, *broken))
    return peer.module(scribe, outputs), tuple(refused)


def _order(roots: Iterable[Node], constant: frozenset[Node]) -> list[Node]:
    """Return the nodes that the module computes per row, each after the nodes that it reads."""
    seen: set[Node] = set()
    order: list[Node] = []
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, is_open = stack.pop()
        if is_open:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(read, False) for read in reversed(_inputs_per_row(node, constant))]
    return order


def _inputs_per_row(node: Node, constant: frozenset[Node]) -> tuple[Node, ...]:
    return () if node in constant else code_inputs(node)


def code_inputs(node: Node) -> tuple[Node, ...]:
    """Return the nodes from which the code of a node is computed, without tables and learnt values.

    Peers have no codes of categories: functions of codes are written as functions of the keys.
    """
    match node:
        case Aggregate(_, (_, codes, *_), _, GroupFrame()):
            return code_inputs(codes)
        case Call("encode" | "list.encode", (*keys, _)):
            return tuple(keys)
        case Call("category_count" | "category_share", (codes, _)):
            return code_inputs(codes)
        case Call("lookup_value", (row, _)):
            return code_inputs(row)
        case Call("lookup_row" | "asof_row", args):
            return args[: len(args) // 2]
        case Call("window", (order,)):
            return code_inputs(order)
        case Call(function, (*values, window)) if function.startswith("over."):
            return (*values, *code_inputs(window))
        case _:
            return node.args


def _assign_long_code(piece: CodePiece, n_users: int, scribe: ModuleWriter) -> CodePiece:
    """Return a piece, which is assigned to a variable first if it is long or read repeatedly."""
    if piece.is_constant or is_short(piece.text) or (n_users < 2 and len(piece.text) <= LONGEST):
        return piece
    return CodePiece(scribe.named(piece.text), piece.dtype)


def _piece(node: Node, scribe: ModuleWriter) -> CodePiece:
    dtype = scribe.types.get(node)
    if node in scribe.constant:
        assert dtype is not None
        return _constant(node, dtype, scribe)
    match node:
        case Column(name):
            assert dtype is not None
            return CodePiece(scribe.named(scribe.peer.read(name, dtype, scribe), "c"), dtype)
        case Call(function) | Aggregate(function):
            assert dtype is not None
            args = tuple(scribe.pieces[read] for read in code_inputs(node))
            return CodePiece(_text(CallSite(node, args, scribe), function), dtype)
        case TableColumn() | Literal():
            raise NotSupported("an expression without one value per row is not supported")


def _constant(node: Node, dtype: DType, scribe: ModuleWriter) -> CodePiece:
    value = node.value if isinstance(node, Literal) else scribe.fitted.constants.get(node)
    if isinstance(value, tuple):
        return CodePiece("", dtype, (cast("tuple[Any, ...]", value),))
    if not isinstance(node, Literal) and node not in scribe.fitted.constants:
        raise NotSupported("an expression of learned values without columns is not supported")
    return CodePiece(scribe.peer.literal(value, dtype), dtype, (value,))


def _text(site: CallSite, function: str) -> str:
    peer = site.scribe.peer
    if isinstance(site.node, Aggregate):
        function = "by key"
    row = peer.rows.get(function)
    if row is None:
        raise NotSupported(peer.unwritten[function])
    if isinstance(row, Mapping):
        rows = cast("Mapping[str, str | WriteCall]", row)
        row = rows.get(widest(site.args))
        if row is None:
            raise NotSupported(
                f"{peer.name} has no equivalent of this function for {site.args[0].dtype}"
            )
    return fill_template(row, site) if isinstance(row, str) else row(site)


def widest(args: Sequence[CodePiece]) -> str:
    """Return the letter of the kind of all arguments together; see `kind_of`.

    If they differ, text, lists and times come before numbers, and floats before integers.
    """
    kinds = {piece.kind for piece in args}
    return next(kind for kind in "sltfibx" if kind in kinds)


_PLACES = "xyzw"


def fill_template(template: str, site: CallSite) -> str:
    """Return code from a template and the arguments of a site; see `CodeTemplate`."""
    used = Counter(name for _, name, _, _ in string.Formatter().parse(template) if name)
    operands = {
        _PLACES[k]: _Operand(site, k, used[_PLACES[k]] > 1)
        for k in range(min(len(site.args), len(_PLACES)))
    }
    params = {name: repr(value) for name, value in site.params.items()}
    return template.format(**operands, p=params, h=_Helpers(site.scribe))


@dataclass(frozen=True, slots=True)
class _Helpers:
    scribe: ModuleWriter

    def __getitem__(self, name: str) -> str:
        return self.scribe.help(name)


@dataclass(frozen=True, slots=True)
class _Operand:
    site: CallSite
    place: int
    is_repeated: bool

    def __format__(self, form: str) -> str:
        if self.is_repeated:
            return self.site.named(self.place, form)
        return self.site.shown(self.place, form)


def atom(text: str) -> str:
    """Return code for an expression that a method call may follow, in parentheses if needed."""
    body = ast.parse(text, mode="eval").body
    is_atom = isinstance(body, ast.Call | ast.Name | ast.Attribute | ast.Subscript) or (
        isinstance(body, ast.Constant) and not isinstance(body.value, int)
    )
    is_enclosed = body.col_offset > 0  # the tree does not show parentheses
    return text if is_atom or is_enclosed else f"({text})"


def is_short(text: str) -> bool:
    """Return whether code is a single name or number, which is cheap to repeat."""
    body = ast.parse(text, mode="eval").body
    if isinstance(body, ast.UnaryOp):
        body = body.operand
    return isinstance(body, ast.Name | ast.Constant)


def float_text(value: float) -> str:
    """Return Python code for a float that gives the same bits, except NaN payloads."""
    if value != value:
        return 'float("nan")'
    if value in (float("inf"), float("-inf")):
        return 'float("inf")' if value > 0 else '-float("inf")'
    return repr(float(value))


def dict_text(pairs: Iterable[tuple[str, str]]) -> str:
    """Return Python code for a dict, given code for each key and value, with a line per pair."""
    lines = [f"    {key}: {value}," for key, value in pairs]
    return "\n".join(["{", *lines, "}"]) if lines else "{}"
