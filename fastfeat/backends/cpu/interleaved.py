"""Tables of groups in memory: what is learnt of one group stands side by side, in one cache line.

Rows come to groups at random. With 5 million groups a row waits for memory once, not once a table.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from fastfeat_kernels.grouped.interleaving import side_by_side
from numpy.typing import NDArray

from fastfeat.backends.cpu.kernels import n_parts, runner
from fastfeat.backends.program import Constants
from fastfeat.backends.storage import table_array
from fastfeat.ir.node import Node
from fastfeat.scalars.table import OF_GROUPS
from fastfeat.scalars.value import TableKey

Words = NDArray[np.int64]
Tables = dict[TableKey, Words]

_KEPT: WeakKeyDictionary[Constants, Tables] = WeakKeyDictionary()


def tables_of_groups(constants: Constants) -> Tables:
    """Return each table of groups as a column of the array of its groups; made on first use.

    Columns have the shape (n_groups,), and the words between two groups, a power of 2, are their
    stride: no row reads more lines of the cache than it must.
    """
    found = _KEPT.get(constants)
    return _KEPT.setdefault(constants, _interleaved(constants)) if found is None else found


def _interleaved(constants: Constants) -> Tables:
    together: dict[tuple[Node, int], Tables] = {}
    for key in constants.tables:
        if key.layout in OF_GROUPS:
            words = table_array(key, constants).view(np.int64)
            groups = key.node.args[1]
            together.setdefault((groups, len(words)), {})[key] = words
    found: Tables = {}
    for tables in together.values():
        array = _side_by_side(list(tables.values()))
        found.update((key, array[:, k]) for k, key in enumerate(tables))
    return found


def _side_by_side(columns: list[Words]) -> Words:
    if len(columns) == 1:
        return columns[0][:, np.newaxis]
    n_groups = len(columns[0])
    return side_by_side(columns, runner("grouped"), n_parts(n_groups))
