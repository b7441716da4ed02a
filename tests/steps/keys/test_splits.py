"""What is learnt of keys does not depend on how the training rows are divided."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.keep.artifact import artifact_bytes

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.FastfeatWarning")
K, T, X = col("k"), col("t"), col("x")
PLAN = ff.Plan(
    {
        "code": K.ordinal_encode(),
        "rare": T.ordinal_encode(min_frequency=3, n_unseen_buckets=5),
        "few": T.ordinal_encode(max_categories=9),
        "count": T.count_encode(),
        "share": K.count_encode(normalize=True),
        "cross": ff.cross("k", "t", "flag").count_encode(),
        "hot": col("flag").one_hot_encode(missing="column"),
        "tags": col("l").list.multi_hot_encode(max_categories=4),
        "mean": X.mean(by="t"),
        "std": X.std(by=["t", "flag"]),
        "median": X.median(by="k"),
        "min": X.min(by="t"),
        "sum": col("i").sum(by="t"),
        "mode": col("i").mode(by="t"),
        "unique": col("i").n_unique(by="flag"),
        "scaled": X.robust_scale(by="flag"),
        "target": T.target_encode("y"),
        "smooth": K.target_encode("z", smooth=3, fold_by="t"),
        "time": T.target_encode("z", smooth=1, time="i"),
        "quantile": T.target_encode("z", stat="quantile", smooth=2, q=0.7),
        "woe": ff.cross("t", "flag").woe_encode("y"),
    },
    outcomes=["y", "z"],
)


@pytest.fixture(autouse=True, scope="module")
def several_parts() -> Iterator[None]:
    """Divide a few rows among threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("fastfeat.engine.cpu.kernels"), "SERIAL_BELOW", 1)
        yield
    ff.set_num_threads(None)


def training_rows(n_rows: int, n_keys: int) -> pa.Table:
    """Return rows with keys of several types; floats of every size, so that rounding would show."""
    rng = np.random.default_rng(17)
    keys = np.minimum(rng.zipf(1.3, n_rows), n_keys)
    x = rng.normal(size=n_rows) * 10.0 ** rng.integers(-12, 13, n_rows)
    x[rng.random(n_rows) < 0.05] = np.nan
    letters = np.array([*"abcdefg"])
    return pa.table(
        {
            "k": rng.permutation(n_keys)[keys - 1],
            "t": pa.array([None if key % 11 == 0 else f"text {key}" for key in keys.tolist()]),
            "flag": pa.array(rng.choice(np.array([True, False, None]), n_rows).tolist()),
            "l": pa.array([letters[rng.integers(0, 7, n % 4)].tolist() for n in range(n_rows)]),
            "x": x,
            "i": rng.integers(-50, 50, n_rows),
            "y": rng.integers(0, 2, n_rows),
            "z": pa.array(x[::-1].copy(), from_pandas=True),
        }
    )


def divided(table: pa.Table, sizes: list[int]) -> pa.Table:
    """Return the same rows in chunks of the sizes in turn, each at an odd place in its memory."""
    pieces, at = [], 0
    while at < table.num_rows:
        size = sizes[len(pieces) % len(sizes)]
        longer = pa.concat_tables([table.slice(0, 3), table.slice(at, size)]).combine_chunks()
        pieces.append(longer.slice(3))
        at += size
    return pa.concat_tables(pieces)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize("sizes", [[1], [63, 64, 65], [1, 1999], [4096], [0, 700, 1]])
def test_chunks_and_threads_change_no_bit_of_what_is_learnt(
    sizes: list[int], n_threads: int
) -> None:
    table = training_rows(2000, 300)
    ff.set_num_threads(1)
    whole, of_whole = PLAN.fit_transform(table)
    ff.set_num_threads(n_threads)
    fitted, of_pieces = PLAN.fit_transform(divided(table, sizes))
    assert artifact_bytes(fitted.record) == artifact_bytes(whole.record)
    assert of_pieces.combine_chunks().equals(of_whole.combine_chunks())
    assert fitted.transform(divided(table, sizes)).equals(whole.transform(table))


@pytest.mark.parametrize("n_threads", [2, 3])
def test_many_keys_are_learnt_alike_in_partitions(n_threads: int) -> None:
    table = training_rows(60_000, 50_000)
    every = pa.table(
        {**dict(zip(table.column_names, table.columns, strict=True)), "k": np.arange(60_000)}
    )
    for rows in (table, every):
        ff.set_num_threads(1)
        whole = PLAN.fit(rows)
        ff.set_num_threads(n_threads)
        fitted = PLAN.fit(divided(rows, [17_003, 1, 9_000]))
        assert artifact_bytes(fitted.record) == artifact_bytes(whole.record)


def test_the_order_of_rows_changes_nothing_of_what_later_rows_get() -> None:
    table = training_rows(2000, 300)
    order = np.random.default_rng(3).permutation(table.num_rows)
    assert artifact_bytes(PLAN.fit(table.take(order)).record) == artifact_bytes(
        PLAN.fit(table).record
    )
