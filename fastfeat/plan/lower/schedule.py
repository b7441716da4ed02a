"""Schedules: the tasks that run a plan, in order, and the columns and values they pass on.

A schedule is made once from a declaration and its column types. It contains no learned values and
is made without looking at rows, so every fit and every batch uses the same one. A space is a set of
rows, and a column belongs to one space. A pass is a pass over the training rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, Literal

from fastfeat_kernels.records import dataclass

from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, Node, fold
from fastfeat.ir.show import show

SpaceOf = int
ColumnOf = int
ValueOf = int
"""Indices into `Schedule.spaces`, `Schedule.columns` and `Schedule.values`."""

Purpose = Literal["apply", "training", "fit", "fit_transform", "fit in parts", "columns"]
"""The purpose of a schedule.

"apply" computes features of new rows and "training" features of training rows. "fit" learns,
"fit_transform" learns and computes features, and "fit in parts" learns from rows that arrive in
parts. "columns" computes columns that expressions read.
"""

ROWS, SEEN = 0, 1
"""Indices of the two spaces that every schedule has: the data's rows, the rows windows see."""


@dataclass(frozen=True, slots=True)
class Space:
    """A set of rows; their number is known only at run time.

    Args:
        kind: "rows" for the rows of the data; "seen" for the rows that windows see (the history
            followed by the rows of the data); "table" for the rows of a table; "elements" for the
            elements of the lists of rows.
        of: Name of the table, or the lists.
        types: Type of every node that is computed there.
    """

    kind: Literal["rows", "seen", "table", "elements"]
    of: str | Node | None
    types: Mapping[Node, DType] = field(repr=False)

    @property
    def name(self) -> str:
        """The set of rows as text for people: "rows", "table 'planes'"."""
        match self.of:
            case None:
                return self.kind
            case str(name):
                return f"table {name!r}"
            case lists:
                return f"elements of {show(lists)}"


@dataclass(frozen=True, slots=True)
class ScheduledColumn:
    """A column in a space.

    Args:
        space: The rows that it has values for.
        dtype: Its type.
        origin: Its expression, which names it in messages and in inputs of programs.
        width: The value that holds its number of columns, once learned; None for a single column.
    """

    space: SpaceOf
    dtype: DType
    origin: Node
    width: ValueOf | None = None


@dataclass(frozen=True, slots=True)
class ScheduledValue:
    """A learned value: a number, a vocabulary, the statistics of groups, or folds by time.

    Args:
        origin: The aggregate that learns it, or the step that assigns folds by time.
        keep: "artifact" if it is saved; "artifact and fit" if training rows also read values
            learned outside of each fold; "fit" if only training rows read it.
    """

    origin: Aggregate | Call
    keep: Literal["artifact", "artifact and fit", "fit"] = "artifact"


@dataclass(frozen=True, slots=True)
class ScheduledTask:
    """A part of a schedule that runs as a unit.

    Args:
        kind: "program" (functions of a row), "step", "windows", "windows over a table", "ahead",
            "indicators" (a block of columns), "features", or a kind that learns: "keys", "times",
            "groups", "target", "statistics".
        nodes: Expressions that are computed or learned, in order; for "features", their
            expressions.
        reads: Columns that must exist before.
        uses: Values that must be learned before.
        gives: Columns that it makes.
        learns: Values that it learns.
        round: The pass over training rows in which it first runs, from 1. Learning tasks run as
            soon as the values they use are learned, others together with the first task that needs
            them. The pass after the last learning pass computes features.
        n_rounds: Largest number of passes in which it learns; more than one only for rows in parts.
        order: The order (time column and entity keys) by which window functions sort rows.
        keeps_order: Whether a later windows task reuses the sorted rows of this one.
        free: Columns of codes that a task which counts keys may produce as a by-product.
        frees: Columns that no later task reads.
    """

    kind: str
    nodes: tuple[Node, ...]
    reads: tuple[ColumnOf, ...] = ()
    uses: tuple[ValueOf, ...] = ()
    gives: tuple[ColumnOf, ...] = ()
    learns: tuple[ValueOf, ...] = ()
    round: int = 1
    n_rounds: int = 1
    order: Node | None = None
    keeps_order: bool = False
    free: tuple[ColumnOf, ...] = ()
    frees: tuple[ColumnOf, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The tasks for one purpose, each after the tasks that make its input columns and values.

    Args:
        purpose: The purpose.
        spaces: The sets of rows: first the rows of the data, then the rows that windows see.
        columns: The input columns and the columns that tasks make.
        values: The learned values.
        tasks: The tasks, in order.
        outputs: The columns that exist at the end.
        kept: Cache of the executor: expressions over lookup tables, rewritten for their rows.
    """

    purpose: Purpose
    spaces: tuple[Space, ...]
    columns: tuple[ScheduledColumn, ...]
    values: tuple[ScheduledValue, ...]
    tasks: tuple[ScheduledTask, ...]
    outputs: tuple[ColumnOf, ...]
    kept: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)

    @property
    def n_rounds(self) -> int:
        """The largest number of passes over the training rows in which something is learned."""
        ends = (task.round + task.n_rounds - 1 for task in self.tasks if task.learns)
        return max(ends, default=0)


def digest_of(schedule: Schedule, task: ScheduledTask) -> bytes:
    """Return the SHA-256 hash of a task (32 bytes), made from its expressions and column types.

    Tasks of two schedules have equal hashes if they make or learn the same from the same columns,
    in the same order and with the same earlier learned values. Names of features do not matter.
    States of learning carry the hash, so that states of different tasks are not confused.
    """
    places = task.gives or task.reads
    types = schedule.spaces[schedule.columns[places[0]].space if places else ROWS].types

    def visit(node: Node, args: list[bytes]) -> bytes:
        own = [getattr(node, one.name) for one in fields(node) if one.name != "args"]
        told = (type(node).__name__, own, str(types.get(node)))
        return hashlib.sha256(b"".join([repr(told).encode(), *args])).digest()

    found = fold(task.nodes, visit)
    parts = [task.kind.encode(), *(found[node] for node in task.nodes)]
    return hashlib.sha256(b"".join(parts)).digest()
