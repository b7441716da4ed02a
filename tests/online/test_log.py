"""The rows of a live state: what stands in memory, and what of it is in reach."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fastfeat.dtypes import FLOAT64, INT64, UTF8
from fastfeat.online.entities import Placed
from fastfeat.online.eviction import retention
from fastfeat.online.log import Log
from fastfeat.online.lowering import Reach


def test_rows_of_an_entity_are_seen_as_far_as_windows_reach():
    log = Log(
        {"e": UTF8, "t": INT64, "v": FLOAT64}, {}, [retention(Reach(10, 1), 0, 1, has_tie=False)]
    )
    rows = pa.table({"e": ["a", "b", "a", "a"], "t": [0, 1, 5, 20], "v": [1.0, 2.0, None, 4.0]})
    keys = [rows["e"]]
    entities = log.entities(0, keys, 4, add=True)
    log.append(rows, {}, [Placed(rows["t"].to_numpy(), entities)])
    seen = log.seen(0, np.array([0, 1, -1], np.int32), np.array([20, 3, 3]), alone=False)
    assert seen.rows.tolist() == [2, 3, 1]
    assert seen.codes.tolist() == [0, 0, 1]
    assert seen.asking.tolist() == [0, 1, -1]
    assert log.take(seen, ["v"])["v"].to_pylist() == [None, 4.0, 2.0]
    assert log.table().to_pylist() == rows.slice(1).to_pylist()
    log.truncate(3)
    assert log.latest(0, np.array([0, 1])).tolist() == [5, 1]
