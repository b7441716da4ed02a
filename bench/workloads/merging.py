"""States learnt from parts of the rows, and merged, beside one pass over all rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

SAME = Tolerance(reason="the same bits")
Columns = Mapping[Any, Any]


def generate_keys(n_keys: int, n_rows: int) -> pa.Table:
    """Return a column of int64 keys with equal frequencies."""
    keys = np.random.default_rng(10).integers(0, min(n_keys, n_rows), n_rows)
    return pa.table({"k": keys * 7_919_000_003})


def generate_groups(share: float, n_rows: int) -> pa.Table:
    """Return a float64 column, and the int32 number of the group of each row."""
    rng = np.random.default_rng(11)
    groups = rng.integers(0, max(100, int(n_rows * share)), n_rows).astype(np.int32)
    return pa.table({"x": rng.normal(10, 3, n_rows), "group": groups})


def _learnt(learner: Any, spec: Any, columns: Columns, n_rows: int, n_states: int) -> Any:
    """Return the values learnt from rows, in `n_states` states of neighbouring rows."""
    cuts = [n_rows * k // n_states for k in range(n_states + 1)]
    states: list[Any] = []
    for first, end in pairwise(cuts):
        state = learner.start(spec, None)
        part = {name: column.slice(first, end - first) for name, column in columns.items()}
        learner.add(state, part, range(first, end))
        states.append(state)
    return learner.next(reduce(learner.merge, states)).values


def keys(n_states: int, table: pa.Table) -> Callable[[], Any]:
    """Return a call that counts keys and sorts them."""
    from fastfeat.ir.dtypes import INT64
    from fastfeat.ir.parameters import MAX_MEMORY
    from fastfeat.steps.keys.cpu_learner import LEARNER
    from fastfeat.steps.keys.cpu_open_keys import KeysSpec

    spec = KeysSpec((INT64,), "key", MAX_MEMORY, at_once=n_states == 1)
    return lambda: _learnt(LEARNER, spec, {0: table["k"]}, table.num_rows, n_states)


def _of_keys(learnt: Any) -> pa.Table:
    return pa.table({"key": learnt[0].parts[0], "count": learnt[0].counts})


def groups(n_states: int, table: pa.Table) -> Callable[[], Any]:
    """Return a call that sums values and their squares per group, and keeps the sums."""
    from fastfeat.ir.dtypes import FLOAT64
    from fastfeat.steps.keys.cpu_group_states import CODES, LEARNER, VALUES, GroupsSpec

    n_groups = 1 + int(table["group"].to_numpy().max())
    spec = GroupsSpec([("mean", ()), ("std", (("ddof", 1),)), ("count", ())], FLOAT64, n_groups)
    columns = {VALUES: table["x"], CODES: table["group"]}
    return lambda: _learnt(LEARNER, spec, columns, table.num_rows, n_states)


def _of_groups(learnt: Any) -> pa.Table:
    return pa.table({str(k): one.values for k, one in enumerate(learnt)})


def _contenders(call: Any, n_states: int, result: Any) -> tuple[Contender, ...]:
    return (
        Contender("fastfeat", "fastfeat", partial(call, 1), result),
        Contender(f"fastfeat, {n_states} states", "fastfeat", partial(call, n_states), result),
    )


MERGING = (
    *(
        Workload(
            name=f"merge_keys_{name}",
            group="merging",
            title=f"{name} int64 keys counted in 8 states that merge, and put in order",
            label=f"8 states of {name} keys",
            generate=partial(generate_keys, n_keys),
            rows=4_000_000,
            smoke_rows=20_000,
            threads=1,
            contenders=_contenders(keys, 8, _of_keys),
            tolerance=SAME,
            targets=(Target("slowdown", 2, contender="fastfeat, 8 states"),),
        )
        for name, n_keys in (("100k", 100_000), ("500k", 500_000), ("2M", 2_000_000))
    ),
    *(
        Workload(
            name=f"merge_groups_{name}",
            group="merging",
            title=f"exact sums of {name} groups in 2 states that merge",
            label=f"2 states of {name} groups",
            generate=partial(generate_groups, share),
            rows=10_000_000,
            smoke_rows=20_000,
            threads=1,
            contenders=_contenders(groups, 2, _of_groups),
            tolerance=SAME,
            targets=(Target("slowdown", 1.5, contender="fastfeat, 2 states"),),
        )
        for name, share in (("100k", 0.01), ("5M", 0.5))
    ),
)
