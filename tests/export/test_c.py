"""Exported C beside `transform`: bits, errors, names, and text that compilers accept."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.export.compiled_exports import (
    N_ROWS,
    SANITIZED,
    STRICT,
    any_floats,
    assert_same_bits,
    compiled,
)

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]


def mixed_rows(n_rows: int, seed: int) -> pa.Table:
    """Return rows of floats, integers, bools and timestamps, with extremes and missing values."""
    drawn = np.random.default_rng(seed)

    def some(values: Any, kind: Any = None) -> Any:
        return pa.array(values, kind, mask=drawn.random(n_rows) < 0.1, from_pandas=False)

    return pa.table(
        {
            "x": some(any_floats(n_rows, seed)),
            "y": some(any_floats(n_rows, seed + 1)),
            "n": some(drawn.integers(-(2**62), 2**62, n_rows) >> drawn.integers(0, 62, n_rows)),
            "small": some(drawn.integers(-128, 128, n_rows), pa.int8()),
            "flag": some(drawn.random(n_rows) < 0.5),
            "t": some(drawn.integers(-(2**40), 2**43, n_rows), pa.timestamp("ms", "Europe/Berlin")),
        }
    )


def mixed_plan(dtype: str | None = None) -> ff.Plan:
    x, y, n = col("x"), col("y"), col("n")
    return ff.Plan(
        {
            "log": x.log1p().standard_scale(),
            "ratio": (x / y).clip(-5, 5),
            "sigmoid": (y.exp() / 2).sigmoid(),
            "sine": x.sin(),
            "late": (x > y).fill_null(False),
            "filled": y.clip(-1e9, 1e9).impute("median").robust_scale(),
            "circle": n.cyclical(24),
            "float_circle": x.cyclical(7.5),
            "centred": (y.clip(-9, 9) - 1.0) / 2,
            "first": ff.coalesce(x, y),
            "root": y.abs().sqrt().round(2),
            "whole": n % 7,
            "halves": (n // 2 + col("small")).cast("float64"),
            "power": y.abs() ** 0.3,
            "root3": x.cbrt().arctan(),
            "bins": y.qcut(4),
            "spline": y.clip(-2, 2).spline_transform(n_knots=4),
            "hour": col("t").dt.hour(),
            "weekday": col("t").dt.weekday(),
            "flag": col("flag") & (n > 0),
        },
        dtype=dtype,
    )


def trained(plan: ff.Plan) -> ff.FittedPlan:
    train = mixed_rows(500, 7)
    drawn = np.random.default_rng(3)
    for name in ("x", "y"):
        values = pa.array(drawn.normal(size=500))
        train = train.set_column(train.schema.get_field_index(name), name, values)
    return plan.fit(train)


@pytest.mark.parametrize("options", [(), SANITIZED, ("-Dmixed_PORTABLE",)])
def test_mixed_features_have_the_bits_of_transform(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    fitted = trained(mixed_plan())
    library = compiled(fitted.export("c", tmp_path, name="mixed"), (*STRICT, *options))
    assert library.selftest().code == 0
    seed = int(np.random.default_rng().integers(2**31))
    print(f"{seed=}")
    assert assert_same_bits(fitted, library, mixed_rows(N_ROWS, seed)) > N_ROWS // 2


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_narrow_features_are_rounded_once(dtype: str, tmp_path: Path) -> None:
    plan = ff.Plan({"y": col("y") * 3, "n": col("small") + 1}, dtype=dtype)
    fitted = trained(plan)
    library = compiled(fitted.export("c", tmp_path))
    assert_same_bits(fitted, library, mixed_rows(2000, 5))


def test_first_bad_row_ends_a_batch_with_the_feature_of_the_error(tmp_path: Path) -> None:
    fitted = ff.Plan({"a": col("n") + 1, "b": col("n") * col("n")}).fit({"n": [1, 2]})
    library = compiled(fitted.export("c", tmp_path))
    rows = pa.table({"n": [1, 2**40, 2**63 - 1]})
    out, failure = library.batch(rows)
    assert (failure.code, failure.feature, failure.row) == (1, 1, 1)
    assert out[0].tolist() == [2.0, 1.0]
    with pytest.raises(ff.errors.Overflow, match="feature 'b', row 1"):
        fitted.transform(rows, to="numpy")


def test_values_that_a_column_cannot_hold_are_errors(tmp_path: Path) -> None:
    fitted = ff.Plan({"a": col("small") + 1, "b": col("f") * 2}).fit(
        pa.table({"small": pa.array([1], pa.int8()), "f": pa.array([1.0], pa.float32())})
    )
    library = compiled(fitted.export("c", tmp_path))
    for small, number, told in [(128, 1.0, 0), (1, 0.1, 1), (1, 1e300, 1)]:
        _, failure = library.batch(pa.table({"small": [small], "f": [number]}))
        assert (failure.code, failure.input, failure.row) == (2, told, 0)
    assert library.batch(pa.table({"small": [1], "f": [np.inf]}))[1].code == 0


HOSTILE = ["*/ int x;", 'a"b', "line\nend", "for", "größe", "\\", "valid", "x", "column_7", "%s"]


def test_any_column_name_can_be_exported_and_run(tmp_path: Path) -> None:
    plan = ff.Plan({f"f{k} */": col(name) + k for k, name in enumerate(HOSTILE)})
    rows = pa.table({name: [float(k), None] for k, name in enumerate(HOSTILE)})
    fitted = plan.fit(rows)
    export = fitted.export("c", tmp_path, name="hostile")
    library = compiled(export)
    assert_same_bits(fitted, library, rows)
    texts = [(tmp_path / f"hostile.{end}").read_text() for end in ("c", "h")]
    assert not any(name in text for text in texts for name in ("größe", "*/ int", 'a"b'))


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = [trained(mixed_plan()).export("c", tmp_path / str(k)).files for k in range(2)]
    assert digests[0] == digests[1]


def test_features_that_cannot_be_written_are_named_together(tmp_path: Path) -> None:
    window = ff.window("7d", by="k", time="t")
    plan = ff.Plan(
        {
            "plain": col("x") + 1,
            "mean": col("x").mean(over=window),
            "found": col("s").str.contains("a+").cast("int64"),
        }
    )
    rows = pa.table({"x": [1.0], "k": [1], "s": ["a"], "t": pa.array([0], pa.timestamp("us"))})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = plan.fit(rows)
    with pytest.raises(ff.errors.NotExportable, match=r"(?s)'mean'.*earlier rows.*'found'"):
        fitted.export("c", tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    export = fitted.export("c", tmp_path / "part", partial=True)
    assert [one.label for one in export.features] == ["same bits", "refused", "refused"]
    out, _ = compiled(export).batch(rows)
    assert out.tolist() == [[2.0]]


def test_errors_of_arguments_say_what_to_do(tmp_path: Path) -> None:
    fitted = ff.Plan({"a": col("x") + 1}).fit({"x": [1.0]})
    with pytest.raises(ff.errors.InvalidPlan, match="form='pdf'"):
        fitted.export("pdf", tmp_path)
    with pytest.raises(ff.errors.InvalidPlan, match="name='My plan'"):
        fitted.export("c", tmp_path, name="My plan")
    with pytest.raises(ff.errors.InvalidPlan, match=r"features\.h would hide a header"):
        fitted.export("c", tmp_path, name="features")
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ff.errors.OutputError, match=r"letter\.txt"):
        fitted.export("c", tmp_path)


SANITIZING_MAIN = """
#include "mixed.h"
int main(void) { mixed_error error; return mixed_selftest(&error); }
"""


def test_code_needs_no_library_and_reads_only_its_memory(tmp_path: Path) -> None:
    trained(mixed_plan()).export("c", tmp_path, name="mixed")
    (tmp_path / "main.c").write_text(SANITIZING_MAIN)
    sources, checked = ["mixed.c", "main.c"], ["-fsanitize=address,undefined"]
    run(tmp_path, "cc", "-std=c11", "-O1", "-I.", *checked, *sources, "-o", "checked")
    run(tmp_path, str(tmp_path / "checked"))
    for options in ([], ["-march=native"], ["-Dmixed_PORTABLE"]):
        run(tmp_path, "cc", "-std=gnu11", "-O2", *options, "-c", "mixed.c", "-o", "mixed.o")
        wanted = {line.split()[-1] for line in run(tmp_path, "nm", "-u", "mixed.o").splitlines()}
        assert wanted <= {"memcpy", "memset", "memmove", "memcmp", "_GLOBAL_OFFSET_TABLE_"}
    refused = subprocess.run(
        ["cc", "-ffast-math", "-c", "mixed.c"], cwd=tmp_path, capture_output=True, check=False
    )
    assert b"-ffast-math" in refused.stderr
    assert refused.returncode != 0


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
