"""Rows on their way through a plan: the data, what fit has learnt, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import Backend
from fastfeat.backends.program import Constants, Output, Program, RowFailed, program_of
from fastfeat.io.arrow import pa
from fastfeat.io.decode import plain_table
from fastfeat.ir.node import Node, TableColumn
from fastfeat.plan.alike import outputs_of
from fastfeat.plan.border import Columns, column_in_host, slot_columns
from fastfeat.plan.constants import Learnt, bind, constant_roots, evaluate_constants
from fastfeat.plan.failures import failed_row
from fastfeat.plan.lower import Types
from fastfeat.scalars.value import Value

Made = dict[Node, Any]
"""The column that each step has made, each expression that a step needed, columns of tables."""

MakeOutput = Callable[[str, Value], Output]
"""Makes the output of a program from a name and a value."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that features are computed of, or that fit learns from.

    Args:
        table: the rows.
        types: type of every node of the plan.
        backend: computes and learns.
        learnt: what fit has learnt so far; learning adds to it.
        made: what is made of the rows already; running steps adds to it.
        training: whether the rows are those that are learnt from.
        past: the rows that windows see, these among them; None where they see these rows alone.
        places: where these rows stand in `past`, shape (n_rows,); None where they are its last
            ones, and those before are history, which may not be later than rows of its entity here.
        n_earlier: how many of `past` are history, where places are given; there they are the first.
    """

    table: Any
    types: Types
    backend: Backend
    learnt: Learnt
    made: Made
    training: bool = False
    past: Batch | None = None
    places: NDArray[np.int64] | None = None
    n_earlier: int = 0

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.table.num_rows

    @property
    def seen(self) -> Batch:
        """The rows that windows see: the past, or where there is none these rows."""
        return self.past or self

    @property
    def first_place(self) -> int:
        """The first place that one of these rows has among those that windows see."""
        if self.places is None:
            return self.seen.n_rows - self.n_rows
        return int(self.places.min(initial=self.seen.n_rows))


def rows_at(column: Any, places: NDArray[np.int64], backend: Backend) -> Any:
    """Return some rows of a column; one of a device is brought to the host.

    Args:
        column: an Arrow array or column, or one of a device.
        places: of the rows, in the order wanted, shape (n_rows,).
        backend: of the device.
    """
    return column_in_host(column, backend).take(pa.array(places))


def chosen_rows(batch: Batch, rows: NDArray[np.int64]) -> Batch:
    """Return some rows of a batch; their windows see what those of all its rows see.

    Args:
        batch: rows in the host's memory, of which nothing is made yet.
        rows: their numbers in it, each once, in the order wanted, shape (n_chosen,).
    """
    of_tables = {node: made for node, made in batch.made.items() if isinstance(node, TableColumn)}
    seen = batch.past or replace(batch, made=dict(of_tables))
    return replace(
        batch,
        table=plain_table(batch.table).take(pa.array(rows)),
        made=dict(of_tables),
        past=seen,
        places=rows + batch.first_place if batch.places is None else batch.places[rows],
        n_earlier=batch.first_place if batch.places is None else batch.n_earlier,
    )


def run_program(
    batch: Batch, program: Program, constants: Constants, run: Callable[[Columns], Result]
) -> Result:
    """Return what running a program over the rows returns.

    Args:
        batch: the rows.
        program: what is run.
        constants: what it reads besides them.
        run: runs it, given the column of each of its input slots.

    Raises:
        Overflow, InvalidData: a row that the program cannot compute, with its values.
    """
    columns = slot_columns(program, batch.table, batch.made)
    try:
        return run(columns)
    except RowFailed as failure:
        row = failure.args[0]
        raise failed_row(program, row, columns, constants, batch.table, batch.backend) from None


def compute(batch: Batch, program: Program, constants: Constants) -> list[Any]:
    """Return an Arrow array for each output of a program; see `run_program`."""
    return run_program(
        batch,
        program,
        constants,
        lambda columns: batch.backend.compute(program, columns, batch.n_rows, constants),
    )


def compute_nodes(
    batch: Batch, named: Sequence[tuple[str, Node]], output: MakeOutput
) -> tuple[Sequence[Output], list[Any]]:
    """Return the outputs of expressions over the rows, and an Arrow array for each.

    Args:
        batch: the rows; the steps that the expressions read are made.
        named: the expressions, with the name of each in messages.
        output: makes the output of an expression.
    """
    program = program_of(
        outputs_of(named, batch.types, output, hoist=True, training=batch.training)
    )
    constants = bind(program, known_constants(batch, [node for _, node in named]))
    return program.outputs, compute(batch, program, constants)


def known_constants(batch: Batch, roots: Iterable[Node]) -> Learnt:
    """Return what is learnt so far, and the constants that expressions make of it."""
    return evaluate_constants(constant_roots(list(roots)), batch.types, batch.learnt)
