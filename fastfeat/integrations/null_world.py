"""A null world: a copy of the training rows in which nothing known in time predicts a late value.

A late value, such as a label, is known only after the time of its row. Each row gets the late
values of another row, drawn at random from its stratum: the rows of a block of time and, where
possible, of one entity. So only the frequency of values at a time and in an entity stays the same.
If features reveal more of a label, it is a leak. Rows are drawn with replacement: in a permutation,
the late values of earlier rows would tell which values are left for later ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import InvalidPlan
from fastfeat.io.arrow import ChunkedArray, Table, call, pa
from fastfeat.io.columns.decode import decode_column
from fastfeat.ir.node import Call
from fastfeat.ir.scope import is_of_table, order_of, query_of, window_nodes
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.late_columns import windows_ahead
from fastfeat.plan.declare.source_columns import columns_of

N_BLOCKS = 10
FEWEST_ROWS = 30
"""The minimum number of rows of an entity in a block of time; smaller ones are combined."""


@dataclass(frozen=True, slots=True, eq=False)
class NullWorld:
    """The columns that are permuted, and the groups of rows (strata) within which they are.

    Args:
        permuted: The columns that are permuted, together.
        strata: The number of each row's group, shape (n_rows,).
        within: A description of the groups, for reports.
    """

    permuted: tuple[str, ...]
    strata: NDArray[np.int64]
    within: str

    def table(self, table: Table, generator: np.random.Generator) -> Table:
        """Return the table with late values of each row from a random row of its stratum."""
        in_turn = np.argsort(self.strata, kind="stable")
        n_rows = np.bincount(self.strata)
        first = (np.cumsum(n_rows) - n_rows)[self.strata]
        rows = pa.array(in_turn[first + generator.integers(0, n_rows[self.strata])])
        for name in self.permuted:
            at = table.column_names.index(name)
            table = table.set_column(at, table.schema.field(at), table.column(name).take(rows))
        return table


def null_world(plan: Declaration, table: Table) -> NullWorld:
    """Return the columns to permute in training rows, and the groups of rows to permute within.

    The groups are blocks of time, and entities that have enough rows. Time and entity come from the
    label's window over later rows, or else from the first window over late columns. `table` has the
    columns that the plan and its label read.

    Raises:
        InvalidPlan: The plan has no label.
    """
    permuted = [name for name in [*plan.late, *_sources(plan)] if name in table.column_names]
    if not permuted:
        raise InvalidPlan(
            "the plan names no label, so leakage cannot be tested. Name the label: "
            "Plan(..., label='y')"
        )
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
    if plan.label_column is not None:  # rows without a label keep none
        has_label = np.asarray(table.column(plan.label_column).is_valid())
        strata = np.unique(2 * strata + has_label, return_inverse=True)[1]
    named = [f"{N_BLOCKS} blocks of {clocks[0]!r}"] if clocks else []
    return NullWorld(tuple(permuted), strata, " and ".join([*named, *map(repr, entity)]))


def permuted_of_label(plan: Declaration, table: Table) -> list[str]:
    """Return the columns of the label that are permuted: late ones, and those of later rows."""
    late = [name for name in plan.label_sources if name in plan.late]
    return [name for name in [*late, *_sources(plan)] if name in table.column_names]


def features_that_see(plan: Declaration, permuted: Sequence[str]) -> frozenset[str]:
    """Return the features that read one of the permuted columns, in any row."""
    names = set(permuted)
    return frozenset(
        feature for feature, node in plan.nodes.items() if names & set(columns_of([node]))
    )


def _sources(plan: Declaration) -> Iterator[str]:
    """Yield the data columns that a label reads from later rows, except their times and keys."""
    for over in windows_ahead(plan.label_nodes.values()):
        order = order_of(over)
        if not is_of_table(order):
            asked = set(columns_of(order.args))
            yield from (name for name in columns_of([over.args[0]]) if name not in asked)


def _orders(plan: Declaration, permuted: Sequence[str]) -> Iterator[Call]:
    """Yield time and keys of windows: those of the label over later rows, then over `permuted`."""
    yield from map(order_of, windows_ahead(plan.label_nodes.values()))
    names = set(permuted)
    for over in window_nodes(plan.nodes.values()):
        if names & set(columns_of([over.args[0]])):
            yield order_of(over)


def _blocks(times: ChunkedArray) -> NDArray[np.int64]:
    """Return the number of each row's block of time, shape (n_rows,); blocks have equal sizes."""
    order = call("sort_indices", times).to_numpy()
    blocks = np.empty(len(order), np.int64)
    blocks[order] = np.arange(len(order)) * N_BLOCKS // max(len(order), 1)
    return blocks


def _strata(blocks: NDArray[np.int64], keys: Sequence[ChunkedArray]) -> NDArray[np.int64]:
    """Return the number of each row's stratum, shape (n_rows,).

    A stratum is an entity with enough rows in a block of time, or all other rows of the block.
    """
    strata: NDArray[np.int64] = blocks
    for key in keys:
        codes: NDArray[np.int64] = (
            decode_column(key).dictionary_encode("encode").combine_chunks().indices.to_numpy()
        )
        strata = np.unique(np.column_stack([strata, codes]), axis=0, return_inverse=True)[1]
    n_rows = np.bincount(strata)[strata] if len(strata) else strata
    kept = np.where(n_rows >= FEWEST_ROWS, strata, -1 - blocks)
    numbers: NDArray[np.int64] = np.unique(kept, return_inverse=True)[1]
    return numbers
