"""Names are data, never code: any text that Arrow can hold may name a column or a feature."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.keep.artifact import artifact_bytes

NAMES = [
    '"]; import os; os._exit(3); ["',
    "'); raise SystemExit #",
    "x\ny",
    "x\r\n    return 0",
    "\\",
    "\\\\\"'",
    "{name}%s%(x)s$x`x`",
    "\0",
    "a\0b",
    "🦀🧮",
    "👩‍👩‍👧",
    "Größe",
    "距離",
    "العمر",
    "\u202eright to left",
    "ｆｕｌｌｗｉｄｔｈ",
    "é",
    "e\u0301",
    " ",
    "\t",
    "\ufeffmark",
    "\uffff",
    "__class__",
    "lambda",
    "y0",
    "entry",
    "n",
    "col('x')",
    "x" * 10_000,
]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_names_that_look_like_code_are_names(backend):
    rows = pa.table({name: [float(k), None] for k, name in enumerate([*NAMES, "late\n"])})
    plan = ff.Plan(
        {f"{name} of {name}": col(name) + 1 for name in NAMES}, keep=NAMES[:5], outcomes=["late\n"]
    )
    fitted = plan.fit(rows, backend=backend)
    features = fitted.transform(rows, backend=backend)
    assert features.column_names == [*(f"{name} of {name}" for name in NAMES), *NAMES[:5]]
    for k, name in enumerate(NAMES):
        assert features[f"{name} of {name}"].to_pylist() == [k + 1, None]
    assert fitted.transform_row(rows.to_pylist()[0]).tolist() == [k + 1 for k in range(len(NAMES))]
    again = fitted_of(artifact_bytes(fitted.record))
    assert again.transform(rows, backend=backend).equals(features)
    for stage in ("plan", "bound", "optimized", "physical", "cpu", "cuda", "leakage", "live"):
        assert again.explain(stage)


def test_no_name_stands_in_a_kernel():
    rows = pa.table({"secret\nname": [1], 'x"""': ["a"]})
    features = {"my feature": col("secret\nname") + 12345, "b": col('x"""') == "needle"}
    text = ff.Plan(features).fit(rows).explain("cpu")
    lines = [line for line in text.splitlines() if not line.startswith("; ")]
    assert len(lines) < len(text.splitlines())  # comments name the columns
    for part in ("secret", "name", "my feature", '"""]', "needle", "12345"):
        assert part not in "\n".join(lines)


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(text, min_size=2, max_size=6, unique=True), text)
def test_any_names_survive_json_and_artifacts(names, literal):
    rows = pa.table({name: [literal, None] for name in names})
    plan = ff.Plan({name: col(name) == literal for name in names})
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()
    assert json.loads(plan.to_json())
    fitted = fitted_of(artifact_bytes(plan.fit(rows).record))
    features = fitted.transform(rows, backend="reference")
    assert features.to_pydict() == {name: [True, None] for name in names}


def test_a_further_column_whose_name_is_no_text_is_ignored():
    fitted = ff.Plan({"a": col("x")}).fit({"x": [1.0]})
    assert fitted.transform({"x": [1.0], "\ud800": [2.0]})["a"].to_pylist() == [1.0]
