"""`compile`: what it makes ready is all that a plan runs later, on however many rows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastfeat_kernels import objects

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.cpu import compiled, kernels
from fastfeat.engine.cpu.kernels import sources_of_written
from fastfeat.engine.kernel_cache import UsedKernel, cache_folder, observe_kernels
from fastfeat.errors import BackendUnavailable, FastfeatError, TypeMismatch, UnknownColumn
from fastfeat.trust.quality.counting import LEAST_ROWS
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat_tests.operators.operator_tables import TYPES, missing_table, small_table
from fastfeat_tests.patience import PATIENCE_S

pytestmark = pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning")

PLAN = """
import numpy as np
import fastfeat as ff
from fastfeat import col

week = ff.window("7d", by="card", time="t")
plan = ff.Plan(
    {
        "scaled": col("x").impute("median").standard_scale(),
        "turn": col("x").sin(),
        "spent": col("x").sum(over=week),
        "latest": col("x").last(over=week),
        "lower": col("shop").str.to_lowercase().hash(8),
        "shop": col("shop").ordinal_encode(min_frequency=3),
        "rate": col("shop").target_encode("y", folds=3),
        "level": col("x").mean(by="shop"),
        "rank": ff.lookup("shops", by="shop").col("rank"),
    },
    label="y",
)
plain = plan_of_rows = ff.Plan({"scaled": plan.features["scaled"], "turn": col("x").sin()})
schema = {"x": "float64", "t": "timestamp[us]", "card": "int64", "shop": "utf8", "y": "bool"}
tables = {"shops": {"shop": "utf8", "rank": "int32"}}


def rows(n):
    rng = np.random.default_rng(n)
    return {
        "x": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n) * 1e9),
        "t": np.arange(n).astype("datetime64[m]").astype("datetime64[us]"),
        "card": rng.integers(0, n // 20 + 1, n),
        "shop": rng.integers(0, n // 50 + 2, n).astype(str).astype(object),
        "y": rng.random(n) < 0.3,
    }


def use(n):
    data = rows(n)
    shops = {"shops": {"shop": ["0", "1"], "rank": np.array([5, 6], "int32")}}
    fitted, _ = plan.fit_transform(data, tables=shops)
    plan.fit_transform(data, tables=shops, to="numpy")
    for to in ("arrow", "numpy"):
        later = {**data, "t": data["t"] + np.timedelta64(n, "m")}
        fitted.transform(later, history=data, tables=shops, to=to)
        fitted.transform({name: data[name] for name in data if name != "y"}, tables=shops, to=to)
    fitted.transform(later, history=data, tables=shops, to="numpy", out=np.empty((n, 9)))
    fitted.transform(later, rows=np.arange(n) % 2 == 0, history=data, tables=shops, to="pandas")
    for fold in plan.cross_fit(data, cv=3, tables=shops):
        assert len(fold.train_rows)
    plain.fit(data).transform_row({"x": 1e300, "more": 1})
    plain.fit(data).transform_row({"x": None})
"""
SIZES = 50, 3_000, 150_000
EXAMPLE: dict[str, Any] = {}
exec(PLAN, EXAMPLE)


def keys_of(call: Callable[[], object]) -> dict[str, UsedKernel]:
    """Return the kernels that a call asks for, those of this process too."""
    kernels.forget_kernels()
    compiled.forget_loops()
    with observe_kernels() as used:
        call()
    return used


@pytest.fixture(scope="module")
def made_ready() -> dict[str, UsedKernel]:
    """Return the kernels that `compile` makes ready for the example."""

    def both() -> None:
        EXAMPLE["plan"].compile(EXAMPLE["schema"], tables=EXAMPLE["tables"])
        EXAMPLE["plain"].compile(EXAMPLE["schema"])

    return keys_of(both)


def is_shipped(name: str) -> bool:
    """Return whether a kernel comes compiled with the package, from the sources that it has now."""
    return (
        name != "features" and objects.found(name, sources_of_written(*name.split("."))) is not None
    )


def test_a_process_beside_it_compiles_nothing(
    made_ready: dict[str, UsedKernel], tmp_path: Path
) -> None:
    in_folder = {key for key, kernel in made_ready.items() if not is_shipped(kernel.name)}
    for key in in_folder:  # these alone, of all that tests have compiled
        shutil.copy(cache_folder() / f"{key}.kernel", tmp_path)
    program = f"""
import sys, warnings
warnings.simplefilter("ignore")
{PLAN}
for n in {SIZES}:
    use(n)
sys.exit("numba" in sys.modules or "llvmlite" in sys.modules)
"""
    environment = os.environ | {"FASTFEAT_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=PATIENCE_S)
    assert {file.stem for file in tmp_path.iterdir()} == in_folder


def test_an_empty_cache_is_filled_and_told_of(tmp_path: Path) -> None:
    program = """
import fastfeat as ff
plan = ff.Plan({"more": ff.col("x") + 0.375, "scaled": ff.col("x").max_abs_scale()})
"""
    compiling = """
made = plan.compile({"x": "float64"})
print(made.n_compiled, made.n_loaded, made.n_not_kept, len(made.kernels), made.notes)
"""
    using = """
from fastfeat.engine.cpu import compiled, kernels
kernels._compile = compiled._compile = None
fitted, _ = plan.fit_transform({"x": [1.0, 4.0]})
fitted.transform({"x": [None, 2.0]}, to="numpy")
print(fitted.transform_row({"x": 3.0}).shape)
"""
    environment = os.environ | {"FASTFEAT_CACHE_DIR": str(tmp_path)}

    def run(code: str) -> str:
        command = [sys.executable, "-W", "error", "-c", program + code]
        done = subprocess.run(
            command, env=environment, check=True, timeout=PATIENCE_S, capture_output=True, text=True
        )
        return done.stdout

    n_compiled, n_loaded, n_not_kept, n_kernels = map(int, run(compiling).split()[:4])
    assert n_compiled == len(list(tmp_path.glob("*.kernel"))) >= 1
    assert (n_not_kept, n_compiled + n_loaded) == (0, n_kernels)
    assert n_kernels > 2
    assert run(using) == "(2,)\n"
    assert run(compiling) == f"0 {n_kernels} 0 {n_kernels} ()\n"


ARROW = {"float64": pa.float64(), "int8": pa.int8(), "timestamp[us]": pa.timestamp("us")}
FAMILIES = [
    name
    for name in contract_plans()
    if name not in ("categories", "lists", "smallest codes")  # as wide as what fit learns
]


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.sampled(name)) for name in FAMILIES]
)
def test_no_operator_runs_what_was_not_made_ready(family: str) -> None:
    plan = contract_plans()[family]
    types = {**TYPES, "t": pa.timestamp("us", "UTC")}
    schema = {name: types[name] for name in {*plan.columns, *plan.late}}
    ready = keys_of(lambda: plan.compile(schema))
    rows = with_times(small_table())
    many = pa.concat_tables([rows] * 8000)

    def use() -> None:
        for data in (rows, many, with_times(missing_table(5))):
            use_all(plan, data)

    assert set(keys_of(use)) <= set(ready)


def with_times(table: pa.Table) -> pa.Table:
    times = pa.array(range(table.num_rows), pa.int64()).cast(pa.timestamp("us", "UTC"))
    return table.append_column("t", times)


def use_all(plan: ff.Plan, data: pa.Table) -> None:
    """Fit and transform in each way, as far as the features and these rows allow it."""
    for to in ("arrow", "numpy"):
        try:
            fitted, _ = plan.fit_transform(data, to=to)
            fitted.transform(data, history="batch", to=to)
            fitted.transform_row(data.slice(0, 1).to_pylist()[0])
        except FastfeatError:
            continue


def test_a_fitted_plan_knows_how_many_columns_there_are() -> None:
    plan = ff.Plan({"k": col("k").one_hot_encode(), "x": col("x") + 0.5}, keep=["id"])
    rows = {"k": ["a", "b", "c", "d", "e"], "x": [1.0] * 5, "id": [*range(5)]}
    (note,) = plan.compile({"k": "utf8", "x": "float64", "id": "int64"}).notes
    assert "one_hot_encode has one column per category that fit learns" in note
    small = ff.Plan({"k": col("k").ordinal_encode()}, codes="smallest")
    (note,) = small.compile({"k": "utf8"}).notes
    assert "codes='smallest' has types that depend on the number of categories" in note
    fitted = plan.fit(rows)
    ready = keys_of(lambda: fitted.compile())

    def use() -> None:
        fitted.transform(rows)
        fitted.transform(rows, to="numpy")
        fitted.transform_row({"k": "a", "x": 2.0})

    assert set(keys_of(use)) <= set(ready)
    assert fitted.compile().notes == ()


def test_windows_of_a_fitted_plan_with_ids_are_made_ready() -> None:
    day = ff.window("1d", by="k", time="t")
    plan = ff.Plan({"rate": col("y").mean(over=day)}, label="y", row_id="id")
    rows = {"k": ["a", "b"], "t": np.array([1, 2], "M8[s]"), "y": [0, 1], "id": ["u", "v"]}
    fitted = plan.fit(rows)
    assert fitted.compile().notes == ()
    assert plan.compile(pa.table(rows).schema).notes == ()


@pytest.mark.parametrize("closed", ["right", "both"])
def test_looking_for_ties_is_made_ready(closed: Any) -> None:
    over = ff.window(5, by="k", time="t", closed=closed)
    plan = ff.Plan({"q": col("x").quantile(0.5, over=over)})
    rows = pa.table({"x": [1.0, None, 3.0, 2.0], "k": [*"abab"], "t": [1, 1, 2, 1]})
    ready = keys_of(lambda: plan.compile(rows.schema))
    assert set(keys_of(lambda: use_all(plan, rows))) <= set(ready)


def test_rows_that_cannot_be_learnt_from_are_replaced() -> None:
    plan = ff.Plan({"z": (col("x") - 1).log().standard_scale()})  # of 1, the first: infinite
    ready = keys_of(lambda: plan.compile({"x": "float64"}))
    assert plan.compile({"x": "float64"}).notes == ()
    assert set(keys_of(lambda: use_all(plan, pa.table({"x": [2.0, 3.5]})))) <= set(ready)


def test_labels_that_look_ahead_are_learnt_from() -> None:
    for kind in ("timestamp[us]", "int64", "date32"):
        ahead = ff.ahead("30d" if kind != "int64" else 30, by="k", time="t")
        plan = ff.Plan(
            {"x": col("x").standard_scale(), "n": ff.count(over=ff.window(by="k", time="t"))},
            label={"gone": ff.count(over=ahead) == 0},
        )
        assert plan.compile({"x": "float64", "k": "int64", "t": kind}).notes == ()


@pytest.mark.parametrize("dtype", ["float64", "int8", "timestamp[us]"])
def test_profiles_of_many_rows_are_made_ready(dtype: str) -> None:
    plan = ff.Plan({"n": col("x").is_null()}, keep=["x"])
    n = LEAST_ROWS
    rows = pa.table({"x": pa.array(np.arange(n) % 100, pa.int64()).cast(ARROW[dtype])})
    ready = keys_of(lambda: plan.compile(rows.schema, profile=True))
    used = keys_of(lambda: plan.fit(rows, profile=True))
    assert "binned.numbers" in {one.name for one in used.values()}
    assert set(used) <= set(ready)


def test_what_no_profile_counts_is_not_compiled_for_it() -> None:
    of_text = ff.Plan({"n": col("x").is_null()}).compile({"x": "utf8"}, profile=True)
    not_asked_for = ff.Plan({"x": col("x") + 0.125}).compile({"x": "float64"})
    for one in (of_text, not_asked_for):
        assert "binned.numbers" not in one.kernels


def test_the_reference_compiles_nothing() -> None:
    made = ff.Plan({"y": col("x") + 0.125}).compile({"x": "float64"}, backend="reference")
    assert (made.kernels, made.notes) == ((), ())


def test_what_could_not_run_is_told() -> None:
    ahead = ff.ahead("40000d", by="k", time="t")  # more than the made-up rows have
    plan = ff.Plan({"x": col("x").standard_scale()}, label={"gone": ff.count(over=ahead) == 0})
    made = plan.compile({"x": "float64", "k": "int64", "t": "timestamp[us]"})
    (note,) = made.notes
    assert note.startswith("fit could not run on made-up rows (")
    assert note.endswith("its other kernels are compiled when it first runs")
    assert f"\nnote: {note}" in str(made)


def test_a_kernel_whose_file_is_gone_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ff.Plan({"y": col("x") + 0.125})
    plan.compile({"x": "float64"})
    monkeypatch.setattr(objects, "FOLDER", tmp_path / "none")
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(tmp_path))
    made = plan.compile({"x": "float64"})
    assert made.n_compiled == len(made.kernels) == len(list(tmp_path.glob("*.kernel"))) == 5
    rows = tuple(f"rows.{entry}" for entry in ("blocks", "into_arrow", "into_matrix", "release"))
    assert made.kernels == ("features", *rows)
    assert str(made).startswith("5 kernels compiled, 0 already in the cache, in ")


def test_a_plan_that_does_not_fit_the_schema_is_an_error() -> None:
    plan = ff.Plan({"y": col("x").log1p()}, label="z")
    with pytest.raises(UnknownColumn, match="'x'"):
        plan.compile({"z": "float64"})
    with pytest.raises(TypeMismatch, match="got utf8"):
        plan.compile({"x": "utf8"})
    with pytest.raises(BackendUnavailable, match="no backend 'tpu'"):
        plan.compile({"x": "float64"}, backend="tpu")
    with pytest.raises(BackendUnavailable, match="no backend 'tpu'"):
        plan.fit({"x": [1.0], "z": [1]}).compile(backend="tpu")


def test_a_file_is_read_no_further_than_its_schema(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": np.arange(1000.0)}), file)
    content = bytearray(file.read_bytes())
    content[4:2000] = bytes(1996)
    file.write_bytes(content)
    plan = ff.Plan({"y": col("x") + 0.125})
    with pytest.raises(FastfeatError):
        plan.fit(file)
    assert plan.compile(file).notes == ()
    assert plan.schema(file).names == ["y"]
