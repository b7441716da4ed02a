"""A world without signal: each row of a table has the late values of a row that is drawn for it.

In it nothing that is known in time tells of a row's late values, but how often they come at a time
and of an entity, for it is drawn among rows like it. Whatever features tell more of a label is a
leak. Rows are drawn with replacement: in a permutation, the late values of earlier rows tell which
are left for the later ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastfeat.errors import InvalidPlan
from fastfeat.io.arrow import ChunkedArray, Table, call, pa
from fastfeat.io.columns.decode import decoded
from fastfeat.ir.node import Call
from fastfeat.ir.scope import is_of_table, order_of, query_of, window_nodes
from fastfeat.plan.declare.columns_read import columns_of
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.late_columns import over_ahead

N_BLOCKS = 10
FEWEST_ROWS = 30
"""Of an entity in a block of time; one that has fewer is put together with others like it."""


@dataclass(frozen=True, slots=True, eq=False)
class NullWorld:
    """The columns of a table that are permuted, and the rows within which they are.

    Args:
        permuted: the columns that are permuted, together.
        strata: the rows among which they are, by a number each, shape (n_rows,).
        within: what a stratum is, for reports.
    """

    permuted: tuple[str, ...]
    strata: NDArray[np.int64]
    within: str

    def table(self, table: Table, generator: np.random.Generator) -> Table:
        """Return the table, each row with the late columns of one that is drawn of its stratum.

        Args:
            table: that of which this is the null world.
            generator: draws the rows.
        """
        in_turn = np.argsort(self.strata, kind="stable")
        n_rows = np.bincount(self.strata)
        first = (np.cumsum(n_rows) - n_rows)[self.strata]
        rows = pa.array(in_turn[first + generator.integers(0, n_rows[self.strata])])
        for name in self.permuted:
            at = table.column_names.index(name)
            table = table.set_column(at, table.schema.field(at), table.column(name).take(rows))
        return table


def null_world(plan: Declaration, table: Table) -> NullWorld:
    """Return the null world of training rows.

    Rows are permuted within blocks of time, and of entities where these have rows enough, by the
    clock and the keys of the window ahead of the label, or of the first window over late columns.

    Args:
        plan: declares what is late.
        table: the rows, with what the plan and its label read.

    Raises:
        InvalidPlan: the plan has no label.
    """
    permuted = [name for name in [*plan.late, *_sources(plan)] if name in table.column_names]
    if not permuted:
        raise InvalidPlan("the plan has no label, and what leaks is a label: Plan(..., label='y')")
    order = next(_orders(plan, permuted), None)
    blocks = np.zeros(len(table), np.int64)
    if order is None:
        return NullWorld(tuple(permuted), blocks, "all rows")
    time, *keys = query_of(order)
    clocks = [name for name in columns_of([time]) if name in table.column_names]
    entity = [name for name in columns_of(keys) if name in table.column_names]
    if clocks:
        blocks = _blocks(table.column(clocks[0]))
    strata = _strata(blocks, [table.column(name) for name in entity])
    if plan.label_column is not None:  # rows that have no label yet keep none
        has_label = np.asarray(table.column(plan.label_column).is_valid())
        strata = np.unique(2 * strata + has_label, return_inverse=True)[1]
    named = [f"{N_BLOCKS} blocks of {clocks[0]!r}"] if clocks else []
    return NullWorld(tuple(permuted), strata, " and ".join([*named, *map(repr, entity)]))


def permuted_of_label(plan: Declaration, table: Table) -> list[str]:
    """Return the columns of the label that are permuted: late ones, and what it looks ahead for.

    Args:
        plan: declares a label.
        table: the rows.
    """
    late = [name for name in plan.label_sources if name in plan.late]
    return [name for name in [*late, *_sources(plan)] if name in table.column_names]


def seeing(plan: Declaration, permuted: Sequence[str]) -> frozenset[str]:
    """Return the output columns that are computed from permuted columns, of whichever rows."""
    names = set(permuted)
    return frozenset(
        feature for feature, node in plan.nodes.items() if names & set(columns_of([node]))
    )


def _sources(plan: Declaration) -> Iterator[str]:
    """Yield the columns of the data that a label looks ahead for, but for times and keys."""
    for over in over_ahead(plan.label_nodes.values()):
        order = order_of(over)
        if not is_of_table(order):
            asked = set(columns_of(order.args))
            yield from (name for name in columns_of([over.args[0]]) if name not in asked)


def _orders(plan: Declaration, permuted: Sequence[str]) -> Iterator[Call]:
    """Yield the orders of windows: of those ahead, then of those over late columns."""
    yield from map(order_of, over_ahead(plan.label_nodes.values()))
    names = set(permuted)
    for over in window_nodes(plan.nodes.values()):
        if names & set(columns_of([over.args[0]])):
            yield order_of(over)


def _blocks(times: ChunkedArray) -> NDArray[np.int64]:
    """Return the number of the block of time of each row; blocks have equally many rows."""
    order = call("sort_indices", times).to_numpy()
    blocks = np.empty(len(order), np.int64)
    blocks[order] = np.arange(len(order)) * N_BLOCKS // max(len(order), 1)
    return blocks


def _strata(blocks: NDArray[np.int64], keys: Sequence[ChunkedArray]) -> NDArray[np.int64]:
    """Return the strata of rows: an entity in a block, or the rest of a block.

    Args:
        blocks: of time, shape (n_rows,).
        keys: the columns that name the entity.
    """
    strata: NDArray[np.int64] = blocks
    for key in keys:
        codes: NDArray[np.int64] = (
            decoded(key).dictionary_encode("encode").combine_chunks().indices.to_numpy()
        )
        strata = np.unique(np.column_stack([strata, codes]), axis=0, return_inverse=True)[1]
    n_rows = np.bincount(strata)[strata] if len(strata) else strata
    kept = np.where(n_rows >= FEWEST_ROWS, strata, -1 - blocks)
    numbers: NDArray[np.int64] = np.unique(kept, return_inverse=True)[1]
    return numbers
