"""The process that the first-result workload times: read 1,000 rows, compute, print some.

`python -m bench.first SIDE DATA.parquet ARTIFACT`. Imports only the modules of that side.
"""

from __future__ import annotations

import json
import sys
from typing import Any

N_PRINTED = 5

Rows = list[tuple[Any, ...]]


def fastfeat(data: str, artifact: str) -> Rows:
    """Build the plan, fit it and transform."""
    del artifact
    from bench.features import fastfeat_plan

    _, table = fastfeat_plan(12).fit_transform(data)
    return _rows(table)


def fastfeat_artifact(data: str, artifact: str) -> Rows:
    """Load the saved plan and transform, like a server."""
    import fastfeat as ff

    return _rows(ff.load(artifact).transform(data))


def _rows(table: Any) -> Rows:
    return [tuple(row.values()) for row in table.slice(0, N_PRINTED).to_pylist()]


def pandas(data: str, artifact: str) -> Rows:
    """Read and compute with pandas."""
    del artifact
    import pandas as pd

    from bench.features import pandas_features

    frame = pandas_features(pd.read_parquet(data), 12)
    return [tuple(row) for row in frame.head(N_PRINTED).to_numpy().tolist()]


def polars_eager(data: str, artifact: str) -> Rows:
    """Read and compute with Polars."""
    del artifact
    import polars as pl

    from bench.features import polars_features

    return pl.read_parquet(data).select(polars_features(12)).head(N_PRINTED).rows()


def polars_lazy(data: str, artifact: str) -> Rows:
    """Scan and compute with Polars in one query."""
    del artifact
    import polars as pl

    from bench.features import polars_features

    return pl.scan_parquet(data).select(polars_features(12)).collect().head(N_PRINTED).rows()


SIDES = {
    side.__name__: side for side in (fastfeat, fastfeat_artifact, pandas, polars_eager, polars_lazy)
}

if __name__ == "__main__":
    side, *paths = sys.argv[1:]
    print(json.dumps(SIDES[side](*paths)))
