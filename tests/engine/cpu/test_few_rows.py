"""Programs over few rows, in memory that is kept: the values of any other run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.cpu.few_rows import few_rows
from fastfeat.engine.program import program_of
from fastfeat.execute.values import argument_output
from fastfeat.ir.node import Column
from fastfeat.plan.lower.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.patterns import outputs_of

MOST = 100
EXPRESSIONS = {
    "floats": (col("x") / (col("i") + 3)).clip(-1, 1),
    "whole": col("i") * 2 + col("small"),
    "flags": (col("x") > 0) & col("b"),
    "kleene": col("b") | (col("i") > 3),
    "large arguments": (col("x") * 1e300).sin(),
    "learnt": (col("x") - col("x").mean()).exp(),
    "hour": col("t").dt.hour(),
    "always": col("i").is_null(),
}


def table(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)

    def some(values: Any) -> pa.Array:
        return pa.array(values, mask=rng.random(n) < 0.2)

    return pa.table(
        {
            "x": some(rng.normal(size=n)),
            "i": some(rng.integers(-9, 9, n)),
            "small": some(rng.integers(-9, 9, n).astype(np.int8)),
            "b": some(rng.random(n) < 0.5),
            "t": some(rng.integers(0, 2**50, n).astype("datetime64[us]")),
        }
    )


@pytest.mark.parametrize("name", list(EXPRESSIONS))
def test_few_rows_have_the_values_of_any_run(name):
    fitted = ff.Plan({name: EXPRESSIONS[name]}).fit(table(50, 0))
    record = fitted.record
    node = record.nodes[name]
    program = program_of(outputs_of([(name, node)], record.types, argument_output, hoist=True))
    known = evaluate_constants(constant_roots([node]), record.types, dict(record.constants))
    ready = few_rows(program, bind(program, known), MOST)
    for n in (1, 7, 8, 9, 64, MOST, 3):
        data = table(n, n)
        for slot, column in zip(program.inputs, ready.inputs, strict=True):
            source = slot.sources[0]
            assert isinstance(source, Column)
            given = data[source.name].combine_chunks()
            stored = given.cast(pa.int64()) if pa.types.is_timestamp(given.type) else given
            missing = np.nan if column.present is None else 0
            column.values[:n] = [missing if one is None else one for one in stored.to_pylist()]
            if column.present is not None:
                column.present[:n] = given.is_valid().to_numpy(zero_copy_only=False)
        assert ready.run(n)
        (made,) = ready.outputs
        present = ~np.isnan(made.values[:n]) if made.present is None else made.present[:n]
        found = [v if p else None for v, p in zip(made.values[:n].tolist(), present, strict=True)]
        assert found == fitted.transform(data)[name].to_pylist(), n


def test_a_row_that_cannot_be_computed_is_told():
    fitted = ff.Plan({"n": col("i") * 2}).fit({"i": [1]})
    record = fitted.record
    program = program_of(
        outputs_of([("n", record.nodes["n"])], record.types, argument_output, hoist=True)
    )
    ready = few_rows(program, bind(program, {}), MOST)
    ready.inputs[0].values[:3] = [1, 2**62, 3]
    assert not ready.run(3)
    assert ready.run(1)
    ready.inputs[0].values[1] = 5
    assert ready.run(3)
    assert ready.outputs[0].values[:3].tolist() == [2, 10, 6]
