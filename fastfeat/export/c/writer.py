"""The parts of an export in C while it is being written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import field

from fastfeat_kernels.records import dataclass

from fastfeat.execute.fitted import Fitted
from fastfeat.export.c.inputs import Input
from fastfeat.export.c.layout import RowStruct
from fastfeat.export.c.programs import CArrays
from fastfeat.ir.node import Node

_TABLE = re.compile(r"\bff_t[0-9]+\b")


@dataclass(frozen=True, slots=True)
class NodeCosts:
    """Costs of an expression outside of the last program: of a step, or of what a step reads.

    Args:
        n_operations: Number of operations; 0 for a step, which calls shared functions.
        tables: Names of the tables that it reads.
    """

    n_operations: int
    tables: frozenset[str]


@dataclass(slots=True)
class CWriter:
    """The parts of a module, while it is being written.

    Args:
        fitted: The plan; all of its features can be written.
        name: Name of the export.
        inputs: The columns that it reads.
        struct: The struct of a row.
        tables: The tables.
        functions: Texts of the functions that compute a row.
        calls: The calls of these functions, in order.
        called: Names of the elementary functions that they call.
    """

    fitted: Fitted
    name: str
    inputs: tuple[Input, ...]
    struct: RowStruct
    tables: CArrays = field(default_factory=CArrays)
    functions: list[str] = field(default_factory=list[str])
    calls: list[str] = field(default_factory=list[str])
    called: set[str] = field(default_factory=set[str])
    costs: dict[Node, NodeCosts] = field(default_factory=dict[Node, NodeCosts])
    """Costs of each expression that steps compute or read."""

    def add_function(self, stem: str, lines: list[str], nodes: Sequence[Node]) -> None:
        """Add a function that fills fields of the row for some nodes, and its call."""
        name = f"ff_{stem}{len(self.functions)}"
        head = f"static int32_t {name}(ff_line *v, {self.name}_error *error)"
        body = "\n".join(f"    {line}" for line in lines)
        self.functions.append(f"{head}\n{{\n    (void)error;\n{body}\n    return 0;\n}}\n")
        self.calls.append(f"{name}(v, error)")
        for node in nodes:
            known = self.costs.get(node, NodeCosts(0, frozenset()))
            tables = known.tables | frozenset(_TABLE.findall(body))
            self.costs[node] = NodeCosts(known.n_operations, tables)
