"""Schedules: the tasks that run a plan, in order, and the columns and values between them.

A schedule is made once of a declaration and the types of its columns. Nothing learnt stands in it,
and no row was looked at, so that every fit, and every batch of rows, runs by the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, Node, fold
from fastfeat.ir.show import show

SpaceOf = int
ColumnOf = int
ValueOf = int
"""Places in `Schedule.spaces`, `Schedule.columns` and `Schedule.values`."""

Purpose = Literal["apply", "training", "fit", "fit_transform", "fit in parts", "columns"]
"""What is computed: the features of later rows, or of training rows; what is learnt of these,
alone, for their features too, or of rows that come in parts; or columns that expressions read."""

ROWS, SEEN = 0, 1
"""The places of the spaces that every schedule has."""


@dataclass(frozen=True, slots=True)
class Space:
    """A set of rows, whose number is known once it runs.

    Args:
        kind: the rows of the data; what windows see, the history and after it these rows, of which
            they are the last; the rows of a table; or the elements of the lists of rows.
        of: the name of the table, or the lists.
        types: type of every node that is computed there.
    """

    kind: Literal["rows", "seen", "table", "elements"]
    of: str | Node | None
    types: Mapping[Node, DType] = field(repr=False)

    @property
    def name(self) -> str:
        """The space as text."""
        match self.of:
            case None:
                return self.kind
            case str(name):
                return f"table {name!r}"
            case lists:
                return f"elements of {show(lists)}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column in a space.

    Args:
        space: the rows that it has a value of.
        dtype: its type.
        origin: the expression that it is of: what messages and the inputs of programs name.
        width: the value that says how many columns it is, once that is learnt; None for one.
    """

    space: SpaceOf
    dtype: DType
    origin: Node
    width: ValueOf | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A value that is learnt: a number, a vocabulary, the statistics of groups, folds by time.

    Args:
        origin: the aggregate that it is of, or the step by folds.
        keep: whether the artifact has it, or, besides, what is learnt outside of each fold, which
            training rows alone read; or whether these alone read it.
    """

    origin: Aggregate | Call
    keep: Literal["artifact", "artifact and fit", "fit"] = "artifact"


@dataclass(frozen=True, slots=True)
class Task:
    """A part of a schedule that is run at once.

    Args:
        kind: "program" of functions of a row, "step", "windows", "windows over a table", "ahead",
            "indicators" of a block of columns, "features", or one that learns: "keys", "times",
            "groups", "target", "statistics".
        nodes: the expressions that are computed or learnt, in order; those of the features.
        reads: columns that are there before.
        uses: values that are learnt before.
        gives: columns that it makes.
        learns: values that it learns.
        round: the pass over training rows in which it begins to run, from 1 on: learning tasks as
            early as what they use is learnt, others when one that they are for does; after the last
            it is that of the features.
        n_rounds: in how many passes it learns, at most: more than one of rows in parts alone.
        order: what orders the rows, of functions of windows: they need whole entities.
        keeps_order: whether a later task of windows takes the rows as this one has ordered them.
        free: columns that counting may give beside what it learns.
        frees: columns that no later task reads.
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
    """The tasks of a purpose, each after those whose columns and values it reads.

    Args:
        purpose: what they are for.
        spaces: the sets of rows; those of the data and those that windows see are the first.
        columns: the columns of inputs, and those that tasks make.
        values: the values that are learnt.
        tasks: in order.
        outputs: the columns that are there in the end.
        kept: what an executor makes of tasks once: what they read of tables, as columns of these.
    """

    purpose: Purpose
    spaces: tuple[Space, ...]
    columns: tuple[Column, ...]
    values: tuple[Value, ...]
    tasks: tuple[Task, ...]
    outputs: tuple[ColumnOf, ...]
    kept: dict[Any, Any] = field(default_factory=dict[Any, Any], repr=False)

    @property
    def n_rounds(self) -> int:
        """The number of passes over the training rows that learn, at most."""
        ends = (task.round + task.n_rounds - 1 for task in self.tasks if task.learns)
        return max(ends, default=0)


def digest_of(schedule: Schedule, task: Task) -> bytes:
    """Return the digest of a task, shape (32,): of what it is of, down to columns and their types.

    Tasks of two schedules have the same one where they make or learn the same of the same columns,
    in the same order, from the same that was learnt before; names of features are not in it. States
    carry it, so that those of other tasks are told apart.

    Args:
        schedule: in which it stands.
        task: the task.
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
