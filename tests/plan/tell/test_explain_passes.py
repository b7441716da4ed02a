"""What `explain("passes")` says: how often rows are read, and what is kept of them."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.plan.fit.part_state import RECORDS, task_learner

SCHEMA = pa.schema({"x": pa.float64(), "k": pa.int64(), "y": pa.float64()})
KINDS = {
    "a": col("x").robust_scale(),
    "b": col("k").target_encode("y", folds=5),
    "m": col("x").mean(by="k"),
    "z": col("k").target_encode("y").standard_scale(),
}


def test_passes_are_told_with_their_columns_and_states() -> None:
    told = ff.Plan(KINDS, label="y").explain("passes", schema=SCHEMA).splitlines()
    assert told[0].startswith("fit in passes: at most 3 passes; up to 2 more look for the first")
    passes = [line for line in told if line.startswith("  pass ")]
    assert passes == ["  pass 1 reads k, x", "  pass 2 reads x, k, y", "  pass 3 reads x, k"]
    assert told[2] == "    vocabulary(col('k'))"
    assert told[3].startswith("      of each key 16 bytes in the end, and about 60 on the way")
    assert (
        "      of each group 32 bytes for sums, 64 with squares, 16 for extremes; 16 for an "
        in ("\n".join(told))
    )


def test_plan_that_learns_nothing_counts_rows() -> None:
    told = ff.Plan({"x": col("x") + 1}).explain("passes", schema=SCHEMA)
    assert told == "fit in passes: 1 pass\n  pass 1 reads how many rows there are"


def test_every_kind_of_state_says_what_it_takes() -> None:
    assert all(task_learner(kind).learner.takes for kind in RECORDS)


@given(names=st.sets(st.sampled_from(sorted(KINDS)), min_size=1))
def test_no_more_passes_are_made_than_are_told(names: set[str]) -> None:
    plan = ff.Plan({name: KINDS[name] for name in names}, label="y")
    table = pa.table({"x": [1.0, 2.0, 4.0], "k": [1, 2, 1], "y": [0.0, 1.0, 1.0]})
    learning, n_passes = plan.learning(table.schema), 0
    while learning.round is not None:
        n_passes += 1
        learning = learning.next(learning.partial(table, range(3)))
    assert n_passes <= plan.explain("passes", schema=SCHEMA).count("  pass ")
    assert n_passes <= learning.most_rounds
