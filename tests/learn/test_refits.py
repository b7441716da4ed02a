"""Refits: what follows from a plan and the types of its columns is made by the first fit alone."""

from __future__ import annotations

import gc
import pickle
import sys
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import errors
from fastfeat.engine import layout, program
from fastfeat.plan.declare import bind
from fastfeat.plan.lower import lower, patterns, typed

LOWERING = {
    function.__code__: function.__name__
    for function in (
        bind.bind,
        lower.lower,
        patterns.outputs_of,
        program.program_of,
        layout.lay_out,
    )
}
X = ff.col("x")
FEATURES: Mapping[str, Mapping[str, ff.Expr]] = {
    "scalers": {f"s{k}": ff.col(name).standard_scale() for k, name in enumerate("xyzw")},
    "of computed values": {"a": (X + 1.0).standard_scale(), "b": X.log1p().fill_null(0.0)},
    "medians": {"m": X.robust_scale(), "f": ff.col("y").fill_null(ff.col("y").median())},
    "keys": {"o": ff.col("k").ordinal_encode(), "c": ff.col("k").count_encode(), "x": X},
    "text": {"is": ff.col("k") == "a", "n": ff.col("k").str.len_chars()},
    "times": {"h": ff.col("t").dt.hour(tz="Europe/Berlin")},
}


def a_table(n_rows: int = 40, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    numbers = {name: rng.uniform(1, 9, n_rows) for name in "xyzw"}
    keys = rng.choice(["a", "b", "c"], n_rows)
    times = pa.array(np.arange(n_rows) * 3_600_000_000, pa.timestamp("us", "UTC"))
    return pa.table({**numbers, "k": keys, "t": times})


def lowered_by(call: Callable[[], Any]) -> list[str]:
    """Return the functions that bind or lower, as often as a call calls them."""
    called: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in LOWERING:
            called.append(LOWERING[frame.f_code])

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return called


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("to", ["arrow", "numpy"])
def test_a_refit_neither_binds_nor_lowers(name: str, to: str) -> None:
    plan = ff.Plan(FEATURES[name])
    assert "bind" in lowered_by(lambda: plan.fit(a_table()).transform(a_table(), to=to))
    again = a_table(60, seed=1)
    assert lowered_by(lambda: plan.fit(again).transform(again, to=to)) == []
    fresh = ff.Plan(FEATURES[name]).fit(again)
    found, wanted = plan.fit(again).transform(again, to=to), fresh.transform(again, to=to)
    if to == "arrow":
        assert found.equals(wanted)
    else:
        np.testing.assert_array_equal(found, wanted)
    assert pickle.dumps(plan.fit(again)) == pickle.dumps(fresh)


@pytest.mark.parametrize("name", FEATURES)
def test_a_file_is_not_lowered_beside_the_plan_that_it_was_saved_of(
    name: str, tmp_path: Path
) -> None:
    fitted = ff.Plan(FEATURES[name]).fit(a_table())
    wanted = fitted.transform(a_table())
    fitted.save(tmp_path / "plan.fastfeat")
    loaded = ff.load(tmp_path / "plan.fastfeat", check="golden")
    assert loaded.record.typed is fitted.record.typed
    assert loaded.transform(a_table()).equals(wanted)
    other = ff.Plan(FEATURES[name], dtype="float32").fit(a_table())
    assert other.record.typed is not fitted.record.typed
    held = weakref.ref(fitted.record.typed)
    del fitted, loaded
    gc.collect()
    assert held() is None


def test_a_refit_of_other_types_binds_anew() -> None:
    plan = ff.Plan({"z": X.standard_scale(), "d": X + 1})
    plan.fit({"x": [1.0, 2.0]})
    fitted = plan.fit({"x": [1, 2]})
    assert fitted.schema.field("d").type == pa.int64()
    assert plan.fit({"x": [1.0, 2.0]}).schema.field("d").type == pa.float64()


def test_warnings_and_errors_come_in_each_fit() -> None:
    plan = ff.Plan({"z": X.standard_scale()})
    for _ in range(3):
        with pytest.warns(errors.ColumnConstant):
            plan.fit({"x": [1.0, 1.0]})
        with pytest.raises(errors.TypeMismatch, match="needs a number"):
            plan.fit({"x": ["a", "b"]})
        with pytest.raises(errors.InvalidData, match="no rows"):
            plan.fit({"x": np.zeros(0)})


def test_what_is_kept_is_bounded_and_lives_as_long_as_its_plan() -> None:
    plan = ff.Plan({"z": X.standard_scale()})
    for dtype in ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2"):
        plan.fit({"x": np.arange(3).astype(dtype)})
    kept = typed._KEPT[plan.declaration]
    assert len(kept) == typed.N_KEPT
    assert typed.typed_of(pickle.loads(pickle.dumps(plan)).declaration, kept[0].types) is None
    alive = weakref.ref(plan.declaration)
    del plan, kept
    gc.collect()
    assert alive() is None
    assert all(declaration is not None for declaration in typed._KEPT)


def test_threads_share_what_is_kept() -> None:
    plan = ff.Plan({"z": X.standard_scale(), "d": X + 1})
    tables = [pa.table({"x": np.arange(5).astype(dtype)}) for dtype in ("f8", "i8", "f4", "i2")]
    wanted = [ff.Plan({"z": X.standard_scale(), "d": X + 1}).fit(t).transform(t) for t in tables]

    def refit(k: int) -> bool:
        table = tables[k % 4]
        return plan.fit(table).transform(table).equals(wanted[k % 4])

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(refit, range(80)))
