"""Keys that are hard for a hash table, beside as many random keys: none may take twice as long.

No peer is measured: the ratio is to fastfeat's own time. Every code is compared with the definition
in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bench.compare import EXACT, OutputsDiffer
from bench.workload import Contender, Target, Workload
from bench.workloads.categories import FIRST_CODE

AT_MOST = 2.0
PATTERNS = ("sequential", "low bits", "half", "all equal")


def generate(as_text: bool, n_rows: int) -> pa.Table:
    """Return a column for each pattern and one of random keys, with a tenth as many keys as rows.

    For "low bits" the low 40 bits are 0; for "half" one key has half of the rows, for "all equal"
    all.
    """
    rng = np.random.default_rng(11)
    n_keys = max(1, n_rows // 10)
    places = rng.integers(0, n_keys, n_rows)
    random = rng.integers(0, 1 << 62, n_keys)[places]
    columns = {
        "random": random,
        "sequential": places,
        "low bits": places << 40,
        "half": np.where(rng.random(n_rows) < 0.5, random[0], random),
        "all equal": np.full(n_rows, random[0]),
    }
    if as_text:
        return pa.table({name: pa.array(keys).cast(pa.string()) for name, keys in columns.items()})
    return pa.table(columns)


def fastfeat(column: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call that learns the codes of a column and looks them up; with the column."""
    import fastfeat as ff

    plan, given = ff.Plan({"code": ff.col(column).ordinal_encode()}), table.select([column])
    return lambda: (plan.fit(given, profile=False).transform(given), given)


def checked(result: tuple[pa.Table, pa.Table]) -> list[int]:
    """Return the number of rows, after all codes were compared with the definition.

    Raises:
        OutputsDiffer: A code differs.
    """
    coded, given = result
    dictionary = given.column(0).combine_chunks().dictionary_encode()
    places = dictionary.indices.to_numpy()
    columns = {
        "count": np.bincount(places),
        "key": dictionary.dictionary,
        "place": np.arange(len(dictionary.dictionary)),
    }
    ordered = pa.table(columns).sort_by([("count", "descending"), ("key", "ascending")])
    codes = np.empty(len(ordered), np.int64)
    codes[ordered["place"].to_numpy()] = np.arange(len(ordered)) + FIRST_CODE
    wrong = np.flatnonzero(codes[places] != coded["code"].to_numpy())
    if len(wrong):
        raise OutputsDiffer(f"row {wrong[0]}: not the code {codes[places[wrong[0]]]}")
    return [coded.num_rows]


def _workload(kind: str, as_text: bool) -> Workload:
    return Workload(
        name=f"hard_keys_{kind}",
        group="hard_keys",
        title=f"ordinal_encode of {kind} keys that are hard to hash, fit + transform",
        label=f"hard keys, {kind}",
        generate=partial(generate, as_text),
        rows=5_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", partial(fastfeat, "random"), checked),
            *(
                Contender(f"fastfeat {name}", "fastfeat", partial(fastfeat, name), checked)
                for name in PATTERNS
            ),
        ),
        tolerance=EXACT,
        targets=tuple(
            Target("slowdown", AT_MOST, contender=f"fastfeat {name}") for name in PATTERNS
        ),
    )


HARD_KEYS = (_workload("int64", False), _workload("text", True))
