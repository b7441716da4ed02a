"""How the training rows are divided into folds, and what that tells of their own labels.

What is learnt outside of a fold is what all rows say less what the fold says. Of a small fold a
model that knows what all rows say, by the category or by rows like it, finds what the fold says;
`target_encode` has figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.aggregates import is_target
from fastfeat.errors import FoldsLeak, counted, warn
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.show import show
from fastfeat.ir.walk import postorder
from fastfeat.plan.batch import Batch
from fastfeat.plan.border import column_in_host

MOST_FOLDS = 10
FEWEST_ROWS = 20
"""Of a fold that is not small."""
_SMALL_SHARE = 0.01
"""Of all rows, those that may be in small folds."""
_SURELY_LARGE = 100
"""Rows a fold by the number of the row that leave none of them small: they are not counted."""


def warn_of_folds(batch: Batch, roots: Iterable[Node]) -> None:
    """Warn of folds that are many or small; not of folds by time, which learn from earlier rows.

    Args:
        batch: the training rows, of which fit has learnt.
        roots: the features.
    """
    first: dict[Node, Aggregate] = {}
    for node in postorder(list(roots)):
        if is_target(node) and not dict(node.params)["ordered"]:
            first.setdefault(node.args[2], node)
    for folds, encoder in first.items():
        told = _told(batch, folds)
        if told:
            warn(
                f"{show(encoder)}: {told}. Such folds tell a model much of a row's own label, the "
                "more the smaller they are: take folds=5, or time=, which does not",
                FoldsLeak,
            )


def _told(batch: Batch, folds: Node) -> str:
    """Return what is wrong with folds; nothing of folds that are few and large."""
    n_rows = batch.n_rows
    assert isinstance(folds, Call)
    n_folds: int = dict(folds.params).get("n_folds", 0)
    if folds.function == "fold" and not folds.args and n_rows >= _SURELY_LARGE * n_folds:
        return f"{n_folds} folds" if n_folds > MOST_FOLDS else ""
    sizes = _sizes(column_in_host(batch.made[folds], batch.backend))
    n_small = int(sizes[sizes < FEWEST_ROWS].sum())
    told = [counted(len(sizes), "fold")] if len(sizes) > MOST_FOLDS else []
    if n_small > _SMALL_SHARE * n_rows:
        told.append(f"{n_small:,} of {counted(n_rows, 'row')} in folds of fewer than {FEWEST_ROWS}")
    return ", ".join(told)


def _sizes(folds: Any) -> NDArray[np.int64]:
    """Return how many rows each fold has that has any."""
    counts = np.zeros(0, np.int64)
    for chunk in folds.chunks:
        found = np.bincount(chunk.to_numpy(zero_copy_only=False), minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return counts[counts > 0]
