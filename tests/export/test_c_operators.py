"""Every operator of the registry in exported C: the bits of `transform`, or refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat.trust.selfcheck.plans import plan_of
from fastfeat_tests.export.compiled_exports import (
    N_ROWS,
    SANITIZED,
    STRICT,
    any_floats,
    assert_same_bits,
    compiled,
)
from fastfeat_tests.operators.operator_features import families, features_of
from fastfeat_tests.operators.operator_tables import TYPES, extreme_table, small_table

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
    # NumPy tells of signalling NaN in a key
    pytest.mark.filterwarnings("ignore:invalid value encountered in add:RuntimeWarning"),
]


def many_rows(n_rows: int, seed: int) -> pa.Table:
    """Return rows of every column that an export can read, with extremes and missing values."""
    drawn = np.random.default_rng(seed)
    whole = drawn.integers(-(2**62), 2**62, n_rows) >> drawn.integers(0, 62, n_rows)
    texts = np.array(["a", "b", "", "é", "zz", "abc z", "unseen", "a" * 40])
    columns: dict[str, Any] = {
        "f64": any_floats(n_rows, seed),
        "f32": any_floats(n_rows, seed + 1).astype(np.float32),
        "i64": whole,
        "i8": drawn.integers(-128, 128, n_rows),
        "u64": np.abs(whole),
        "flag": drawn.random(n_rows) < 0.5,
        "text": texts[drawn.integers(0, len(texts), n_rows)],
        **{f"lat{k}": drawn.uniform(-90, 90, n_rows) for k in range(1, 5)},
        "pos": np.exp(drawn.uniform(-300, 300, n_rows)),
    }
    return pa.table(
        {
            name: pa.array(values, TYPES[name], mask=drawn.random(n_rows) < 0.1, from_pandas=False)
            for name, values in columns.items()
        }
        | {name: pa.nulls(n_rows, TYPES[name]) for name in ("lf64", "li8", "ltext")}
    )


def exported_part(fitted: ff.FittedPlan, path: Path) -> tuple[ff.FittedPlan, Any]:
    """Return the features that have a form in C and fit a matrix, and their export."""
    wide = {field.name for field in fitted.schema if field.type == pa.uint64()}
    names = list(dict.fromkeys(fitted.plan.declaration.features))
    fitted = fitted.select([name for name in names if name not in wide])
    export = fitted.export("c", path, name="operators", partial=True)
    kept = [one.name for one in export.features if one.label != "refused"]
    for one in export.features:
        if one.label == "refused":
            assert one.reason.startswith("col("), one  # the expression at fault
    return fitted.select(kept), export


@pytest.mark.parametrize("family", [*families(learnt=False), *families(learnt=True)])
def test_operators_have_the_bits_of_transform(family: str, tmp_path: Path) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        rows = many_rows(N_ROWS, int(np.random.default_rng().integers(2**31)))
    fitted = plan_of(features_of(family)).fit(small_table())
    if family == "lists":
        with pytest.raises(ff.errors.NotExportable, match="it is a list"):
            fitted.export("c", tmp_path)
        return
    part, export = exported_part(fitted, tmp_path)
    library = compiled(export, (*STRICT, *SANITIZED))
    assert library.selftest().code == 0
    for table in (small_table(), extreme_table(), rows):
        assert_same_bits(part, library, table)
