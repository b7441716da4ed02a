"""Warnings: each kind has a class, comes once a fitted plan, and is silenced alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.api import out_of_core
from fastfeat.engine import float_environment as environment
from fastfeat.engine.cpu import cache
from fastfeat.errors import FastfeatWarning, NoCategories
from fastfeat.io.budget import Budget
from fastfeat.io.sinks.write import write_table
from fastfeat.io.sources import read
from fastfeat.learn import passes, training_data
from fastfeat.trust.quality.golden import golden_rows

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "warnings.md").read_text("utf-8")
KINDS = FastfeatWarning.__subclasses__()
X = col("x")
DAY = ff.window(1, time="t")
ROWS = {"t": [1, 2], "x": [1.0, 2.0]}
AHEAD = {"gone": ff.count(over=ff.ahead(1, by="k", time="t", end=9)) == 0}


def fit(feature: ff.Expr, data: Any = ROWS, **options: Any) -> ff.FittedPlan:
    return ff.Plan({"f": feature}, **options).fit(data)


def kernels_not_kept() -> None:
    cache._warned.discard("/nowhere")
    cache._warn_of_folder("/nowhere", OSError(28, "No space left on device"))


def floats_changed() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "is_ieee", lambda: False)
        patch.setattr(environment, "_c_environment", lambda: (None, None))
        fit(X + 1)


def larger_than_memory() -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "rows.arrow"
        write_table(pa.table({"x": [1.0, 2.0]}), path)
        patch.setattr(read, "host_memory", SimpleNamespace(free_memory=lambda: 16))
        patch.setattr(out_of_core, "free_memory", lambda: 16)
        patch.setattr(out_of_core, "budget_of_free", lambda *_: Budget(1 << 40))
        fit(X, path)


def states_on_disk() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Budget, "spare", lambda self: 1 << 12)
        patch.setattr(passes, "_WORTH_WRITING", 1 << 10)
        keys = {"x": range(3000)}
        ff.Plan({"k": X.ordinal_encode()}).fit(keys, memory="64GiB")


def no_golden_rows() -> None:
    strict = fit(col("k").replace_strict({"odd": 1}), {"k": ["odd"]})
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(golden_rows, "golden_rows", lambda fitted: None)
        strict.save(Path(folder) / "strict.fastfeat")


def naive_times() -> None:
    hour = col("t").dt.hour(tz="Asia/Tokyo")
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_data, "check_new_plan", lambda types: None)
        path = Path(folder) / "old.fastfeat"
        fit(hour, {"t": pa.array([0], pa.timestamp("s"))}).save(path)
        ff.load(path)


CASES: dict[str, Callable[[], object]] = {
    "BinsMerged": lambda: fit(X.qcut(4), {"x": [1.0, 1.0, 1.0, 2.0]}),
    "ClocksOnYourWord": lambda: fit(
        ff.count(over=ff.window(time="x")),
        {"t": [1, 2], "x": [3, 4], "k": ["a", "a"]},
        label=AHEAD,
        known_clocks=["x"],
    ),
    "ColumnAbsent": lambda: fit(X, outcomes=["paid"]),
    "ColumnConstant": lambda: fit(X.standard_scale(), {"x": [1.0, 1.0]}),
    "CountsSeeAhead": lambda: fit(
        col("email").count_encode(),
        {"t": [1, 2], "k": ["a", "a"], "email": ["a@x", "a@x"]},
        label=AHEAD,
    ),
    "EncodedInFold": lambda: fit(
        col("k").target_encode("y"), {"k": [*"ab"] * 300, "y": [0, 1] * 300}, label="y"
    ).transform({"k": [*"ba"] * 300}),
    "FloatsChanged": floats_changed,
    "FoldsLeak": lambda: fit(
        col("k").target_encode("y", folds=11),
        {"k": [*"ab"] * 40, "y": [0, 1, 1, 0] * 20},
        label="y",
    ),
    "FoldsSplitEntities": lambda: ff.Plan({"f": X.mean(over=DAY)}, label="x").cross_fit(
        {"t": range(6), "x": [0.0, 1.0] * 3}, 2
    ),
    "HistoryMissing": lambda: fit(X.sum(over=DAY)).transform(ROWS),
    "KernelsNotKept": kernels_not_kept,
    "KeyRepeats": lambda: ff.infer_contract({"k": [1, 1]}, key="k"),
    "KeysRounded": lambda: fit(col("k").count_encode(), {"k": [2.0**53 + 2, 1.0]}),
    "LargerThanMemory": larger_than_memory,
    "NaiveTimes": naive_times,
    "NoCategories": lambda: fit(col("k").one_hot_encode(), {"k": pa.nulls(2, pa.string())}),
    "NoGoldenRows": no_golden_rows,
    "PurgeOff": lambda: ff.Plan({"f": ff.count(over=DAY)}, label="x", label_delay=1).cross_fit(
        {"t": range(6), "x": [0.0, 1.0] * 3}, 2, purge=0
    ),
    "RowsBreakRule": lambda: ff.Plan({"x": X}).fit(
        ROWS, contract=ff.Contract({"few": ff.Rule(X < 0, on_violation="warn")})
    ),
    "RowsRepeated": lambda: fit(X.sum(over=DAY)).transform(ROWS, history={"t": [1], "x": [1.0]}),
    "RowsWithoutLabel": lambda: fit(
        X,
        label={"later": X.last(over=ff.ahead(1, by="k", time="t"))},
        data={**ROWS, "k": ["a", "a"]},
    ),
    "StatesOnDisk": states_on_disk,
    "TiesInOrder": lambda: fit(
        ff.count(over=ff.window(1, time="t", closed="right")), {"t": [1, 1]}
    ),
    "TooFewValues": lambda: fit(X - X.mean(), {"x": [None, float("nan")]}),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_comes_and_is_silenced_alone(kind: type[FastfeatWarning]) -> None:
    raised = CASES[kind.__name__]
    with pytest.warns(kind) as caught:
        raised()
    assert {warning.category for warning in caught} == {kind}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=getattr(ff.errors, kind.__name__))
        raised()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_is_in_the_readme(kind: type[FastfeatWarning]) -> None:
    assert kind.__doc__ is not None
    assert f"`{kind.__name__}`" in PAGE


def test_no_warning_is_of_no_kind() -> None:
    package = Path(ff.__file__).parent
    calls = [
        line.strip()
        for path in sorted(package.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith("warnings.warn(")
    ]
    assert calls == ["warnings.warn(message, kind, stacklevel=level)"]
    assert {kind.__name__ for kind in KINDS} == CASES.keys()


def test_a_kind_comes_once_a_fitted_plan() -> None:
    fitted = [fit(X.sum(over=DAY)) for _ in range(2)]
    for one in fitted:  # of two plans each is told: it is not once a process
        with pytest.warns(ff.errors.HistoryMissing):
            one.transform(ROWS)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            one.transform(ROWS)
            one.select("f").transform(ROWS)


def test_keys_of_which_none_comes_often_enough_are_told() -> None:
    data = {"k": ["a", "b"] * 4, "x": [1.0] * 8, "y": [0, 1] * 4}
    for feature in (
        col("k").count_encode(min_rows=9),
        col("k").target_encode("y", min_rows=9),
        col("k").ordinal_encode(min_frequency=9),
    ):
        with pytest.warns(NoCategories, match="in 9 training rows or more"):
            fit(feature, data, label="y")
