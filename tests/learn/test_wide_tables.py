"""Tables of many columns of one shape: learnt in one call, to the bits of each column alone."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat.engine.columns import WideColumns
from fastfeat.errors import TooFewValues, TypeMismatch
from fastfeat.execute import inputs
from fastfeat.ir.show import names_of

SPECIAL = {
    "extreme": (math.nan, 1e300, -1e300, 5e-324, -0.0, 0.0, None, 1.0),
    "infinite": (math.nan, math.inf, -math.inf, 1e300, None),
}


def columns_of(kind: str, n_rows: int = 70, n_columns: int = 80) -> dict[str, pa.Array]:
    rng = np.random.default_rng(7)
    columns: dict[str, pa.Array] = {}
    for k in range(n_columns):
        values: list[Any] = rng.normal(k, 1 + k, n_rows).tolist()
        if kind in SPECIAL:
            places, given = range(0, n_rows, 3 + k % 7), SPECIAL[kind]
            for i, place in enumerate(places):
                values[place] = given[(k + i) % len(given)]
        if kind == "missing":
            values = [None if rng.random() < 0.3 or k == 5 else value for value in values]
        dtype = pa.float64()
        if kind == "integers":
            values = [None if i % 9 == 4 else i * (k + 1) for i in range(n_rows)]
            dtype = (pa.int64(), pa.uint8(), pa.int16(), pa.bool_())[k % 4]
            values = [None if v is None else v % 2 == 1 if k % 4 == 3 else v % 200 for v in values]
        if kind == "float32":
            dtype = pa.float32()
        columns[f"x{k}"] = pa.array(values, dtype)
    return columns


def alone(plan: dict[str, ff.Expr], table: pa.Table, **options: Any) -> dict[str, Any]:
    """Return the features of a few columns at a time, and where they fail, the error."""
    found: dict[str, Any] = {}
    for name, expression in plan.items():
        try:
            found[name] = ff.Plan({name: expression}).fit(table).transform(table, **options)[name]
        except Exception as error:
            found[name] = error
    return found


@pytest.mark.parametrize("kind", ["plain", "missing", "extreme", "float32", "integers"])
@pytest.mark.parametrize("sliced", [False, True])
def test_wide_tables_have_the_features_of_each_column_alone(kind: str, sliced: bool) -> None:
    table = pa.table(columns_of(kind))
    table = table.slice(3, 65) if sliced else table
    plan = {f"s_{name}": ff.col(name).standard_scale() for name in table.column_names}
    plan |= {f"m_{name}": ff.col(name) - ff.col(name).min() for name in table.column_names[::2]}
    if kind == "integers":
        plan = {k: e for k, e in plan.items() if int(k.rpartition("x")[2]) % 4 != 3}
    warned = pytest.warns(TooFewValues) if kind == "missing" else nullcontext()
    with warned:
        fitted, wanted = ff.Plan(plan).fit(table), alone(plan, table)
    features = fitted.transform(table)
    matrix = fitted.transform(table, to="numpy")
    for k, (name, column) in enumerate(wanted.items()):
        assert features[name].equals(column), name
        values = column.to_numpy(zero_copy_only=False).astype(matrix.dtype)
        np.testing.assert_array_equal(matrix[:, k], values)


def test_wide_tables_of_infinities_fail_as_each_column_does() -> None:
    table = pa.table(columns_of("infinite"))
    plan = {f"s_{name}": ff.col(name).standard_scale() for name in table.column_names}
    wanted = alone(plan, table)
    first = next(error for error in wanted.values() if isinstance(error, Exception))
    with pytest.raises(type(first)) as raised:
        ff.Plan(plan).fit(table)
    assert str(raised.value) == str(first)


def test_columns_lie_where_one_export_says() -> None:
    table = pa.table(columns_of("missing")).slice(5, 41)
    fitted = ff.Plan({name: ff.col(name) * 2 for name in table.column_names}).fit(table)
    program = fitted.record.arrow_program
    columns = inputs.slot_columns(program, table)
    assert isinstance(columns, WideColumns)
    assert list(columns) == list(program.inputs)
    for slot in program.inputs:
        assert columns[slot].equals(table[names_of(slot.sources)[0]])
    chunked = pa.concat_tables([table, table])
    assert not isinstance(inputs.slot_columns(program, chunked), WideColumns)
    with_text = table.set_column(0, "x0", pa.array(["a"] * 41))
    with pytest.raises(TypeMismatch):
        inputs.slot_columns(program, with_text)


def test_a_thread_with_another_schema_changes_no_columns() -> None:
    table = pa.table(columns_of("plain"))
    other = table.select(table.column_names[::-1])
    fitted = ff.Plan({name: ff.col(name) * 2 for name in table.column_names}).fit(table)
    program = fitted.record.arrow_program
    assert isinstance(inputs.slot_columns(program, table), WideColumns)
    kept = inputs._kept_places(program)  # pyright: ignore[reportPrivateUsage]  # what threads share
    assert kept.places is not None

    class Interrupted:
        """The schema of before; another thread runs while it is compared."""

        def equals(self, schema: pa.Schema) -> bool:
            kept.places = None
            inputs.slot_columns(program, other)
            return table.schema.equals(schema)

    places: Any = (Interrupted(), kept.places[1])
    kept.places = places
    columns = inputs.slot_columns(program, table)
    for slot in program.inputs:
        assert columns[slot].equals(table[names_of(slot.sources)[0]])
