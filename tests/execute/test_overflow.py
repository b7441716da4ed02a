"""An integer overflow, or a cast out of range: an error with the feature and the first row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col, lit
from fastfeat.engine import failure
from fastfeat.engine.failure import first_failing_row
from fastfeat.engine.reference import run as reference
from fastfeat.errors import InvalidData, Overflow
from fastfeat.execute.failures import failed_row
from fastfeat.ir.show import names_of

LARGE = 2**62
PLAN = ff.Plan({"half": col("n") // 2, "double": col("n") * 2, "byte": (col("m") + 1).cast("int8")})
BACKENDS = ["cpu", "reference"]


@pytest.fixture(params=[1, 4])
def many_tasks(request, monkeypatch) -> Iterator[None]:
    """Run in tasks of 128 rows, on one thread and on several."""
    run = import_module("fastfeat.engine.cpu.run")
    monkeypatch.setattr(run, "ROWS_PER_TASK", 128)
    monkeypatch.setattr(run, "SERIAL_BELOW", 1)
    monkeypatch.setattr(import_module("fastfeat.io.columns.column"), "_TINY_ROWS", 0)
    ff.set_num_threads(request.param)
    yield
    ff.set_num_threads(None)


def rows_with(n_rows: int, large: list[int], wide: list[int] = []) -> pa.Table:  # noqa: B006
    """Return rows of which some overflow in `double`, some in `byte`."""
    n, m = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
    n[large] = LARGE
    m[wide] = 127
    return pa.table({"n": n, "m": m})


FITTED = PLAN.fit(rows_with(1, []))


@pytest.mark.usefixtures("many_tasks")
@pytest.mark.parametrize("to", ["arrow", "numpy"])
@pytest.mark.parametrize("first", [0, 1, 63, 64, 127, 128, 1000, 1023, 2047, 2048, 2999])
def test_the_first_row_that_overflows_is_named(first, to):
    later = [row for row in (first, first + 1, first + 64, first + 700) if row < 3000]
    rows = rows_with(3000, later)
    message = rf"feature 'double', row {first} \(n={LARGE}\): the result does not fit into int64"
    with pytest.raises(Overflow, match=message):
        FITTED.transform(rows, to=to)
    chunked = pa.concat_tables([rows.slice(0, 5), rows.slice(5, 995), rows.slice(1000)])
    with pytest.raises(Overflow, match=message):
        FITTED.transform(chunked, to=to)


@pytest.mark.usefixtures("many_tasks")
def test_the_first_row_counts_not_the_first_feature():
    with pytest.raises(Overflow, match=r"feature 'byte', row 300 .*outside the range of the type"):
        FITTED.transform(rows_with(1000, [301], [300]))
    with pytest.raises(Overflow, match=r"feature 'double', row 300"):
        FITTED.transform(rows_with(1000, [300], [300]))


@pytest.mark.parametrize("row", [0, 5])
def test_the_reference_names_the_same(row):
    messages = []
    for backend in BACKENDS:
        with pytest.raises(Overflow) as caught:
            FITTED.transform(rows_with(6, [row], [row]), backend=backend)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("n_rows", [40, 200])
def test_errors_have_the_numbers_of_rows_that_fail(n_rows):
    rows = rows_with(n_rows, [7, 30], [9, n_rows - 1])
    with pytest.raises(Overflow) as caught:
        FITTED.transform(rows, backend="reference")
    assert caught.value.rows[:3] == (7, 9, 30)
    with pytest.raises(Overflow) as caught:
        FITTED.transform(rows)
    assert caught.value.rows == (7,)


@pytest.mark.parametrize("backend", BACKENDS)
def test_overflow_is_judged_exactly(backend):
    top, bottom = 2**63 - 1, -(2**63)
    rows = pa.table({"a": [top, bottom, -1, 3037000499], "b": [0, 0, bottom + 1, 3037000499]})
    plan = ff.Plan(
        {"sum": col("a") + col("b"), "product": col("a") * col("b"), "minus": 0 - col("b")}
    )
    assert plan.fit(rows).transform(rows, backend=backend).to_pydict() == {
        "sum": [top, bottom, bottom, 6074000998],
        "product": [0, 0, top, 3037000499**2],
        "minus": [0, 0, top, -3037000499],
    }
    for expression, values in [
        (col("a") + col("b"), (top, 1)),
        (col("a") - col("b"), (bottom, 1)),
        (col("a") * col("b"), (3037000500, 3037000500)),
        (col("a") // col("b"), (bottom, -1)),
        (-col("a") + col("b"), (bottom, 0)),
        (col("a").abs() + col("b"), (bottom, 0)),
        (col("a") ** col("b"), (2, 63)),
    ]:
        row = pa.table({"a": [values[0]], "b": [values[1]]})
        with pytest.raises(Overflow, match=r"feature 'f', row 0"):
            ff.Plan({"f": expression}).fit(row).transform(row, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_overflow_in_fit_names_a_feature_that_reads_it(backend):
    rows = rows_with(200, [150])
    plan = ff.Plan(
        {"plain": col("n"), "mean": (col("n") * 4 - 1).mean(), "again": (col("n") * 4).max()}
    )
    with pytest.raises(Overflow, match=rf"feature 'mean', row 150 \(n={LARGE}\)"):
        plan.fit(rows, backend=backend)
    sums = ff.Plan({"mean": col("n").mean(), "half": col("n").sum() // 2})
    with pytest.raises(
        Overflow, match=rf"feature 'half', col\('n'\).sum\(\): .*{LARGE * 2} does not fit"
    ):
        sums.fit(rows_with(9, [1, 2]), backend=backend)
    in_between = pa.table({"n": [LARGE, LARGE, -LARGE, -LARGE]})
    assert sums.fit(in_between, backend=backend).learnt()["col('n').sum()"] == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_constant_that_overflows_is_an_error(backend):
    rows = pa.table({"n": [1, LARGE]})
    for constant in (lit(LARGE) * 4, col("n").max() * 2, lit(300).cast("int8")):
        for feature in (constant, col("n") + constant):
            with pytest.raises(Overflow, match=r"the constant .*: "):
                ff.Plan({"f": feature}).fit(rows, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_that_are_not_chosen_do_not_overflow(backend):
    rows = pa.table({"n": pa.array([1, None, LARGE]), "x": [None, 1.0, 1e300]})
    plan = ff.Plan(
        {
            "missing": (col("n") * 1).fill_null(0),
            "lenient": col("x").cast("int32", strict=False),
            "checked": col("n") % 7 * 2,
        }
    )
    assert plan.fit(rows).transform(rows, backend=backend).to_pydict() == {
        "missing": [1, 0, LARGE],
        "lenient": [None, 1, None],
        "checked": [2, None, LARGE % 7 * 2],
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_beside_a_mapping_is_an_error(backend):
    rows = pa.table({"s": ["a", None, "b", "c"]})
    plan = ff.Plan({"code": col("s").replace_strict({"a": 1, "b": 2})})
    with pytest.raises(InvalidData, match=r"feature 'code', row 3 \(s='c'\): .*not among the keys"):
        plan.fit(rows).transform(rows, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_huge_angle_raises_no_bit_of_its_own(backend):
    """The plain sine of a huge angle is far beyond its range, and is computed again."""
    rows = pa.table({"x": [1e300, 1.0, -1e22]})
    plan = ff.Plan(
        {"sine": col("x").sin(), "percent": (col("x").sin() * 100).cast("int8")}, dtype="float32"
    )
    fitted = plan.fit(rows)
    features = fitted.transform(rows, backend=backend)
    assert features["percent"].to_pylist() == [-81, 84, 85]
    assert fitted.transform(rows, to="numpy", backend=backend)[:, 1].tolist() == [-81, 84, 85]
    assert [fitted.transform_row(row)[1] for row in rows.to_pylist()] == [-81, 84, 85]


LATE = {"n": [1, LARGE], "m": [0, 0]}
FAILING: dict[str, tuple[str, Callable[[], object]]] = {
    "transform": ("'half', 'double', 'byte', row 1", lambda: FITTED.transform(LATE)),
    "reference": (
        "'half', 'double', 'byte', row 1",
        lambda: FITTED.transform(LATE, backend="reference"),
    ),
    "row": ("'double', 'byte', row 0", lambda: FITTED.transform_row({"n": LARGE, "m": 0})),
    "fit": (
        "feature 'mean', row 1",
        lambda: ff.Plan({"mean": (col("n") * 2).mean() + col("n"), "m": col("m")}).fit(LATE),
    ),
}


LONG = {"n": np.r_[np.zeros(200_000, np.int64), LARGE, LARGE], "m": np.zeros(200_002, np.int64)}
ONCE: dict[str, Callable[[], object]] = {
    "many rows": lambda: FITTED.transform(LONG),
    "a matrix": lambda: FITTED.transform(LONG, to="numpy"),
    "chosen rows": lambda: FITTED.transform(LONG, rows=np.arange(199_990, 200_002)),
    "a part of the features": lambda: FITTED.select(["double"]).transform(LATE),
    "twice the same schema": lambda: [FITTED.transform(GOOD), FITTED.transform(pa.table(LATE))],
    "a row": FAILING["row"][1],
    "a row after a step": lambda: STEPPED.transform_row({"n": LARGE, "k": "a"}),
    "a step of an expression": lambda: STEPPED.transform({"n": [1, LARGE], "k": ["a", "b"]}),
    "fit": FAILING["fit"][1],
}
GOOD = rows_with(5, [])
STEPPED = ff.Plan({"code": (col("n") * 2).ordinal_encode(), "k": col("k").ordinal_encode()}).fit(
    {"n": [1, 2], "k": ["a", "b"]}
)


@pytest.mark.parametrize("path", ONCE)
def test_a_call_that_fails_computes_one_row_by_the_reference_once(path, monkeypatch):
    calls: list[object] = []
    reader = reference.leaf_reader

    def read(program: object, inputs: dict[object, object], constants: object) -> object:
        calls.append(inputs)
        assert not any(isinstance(value, (list, pa.Array)) for value in inputs.values())
        return reader(program, inputs, constants)

    def never(*_: object) -> None:
        raise AssertionError("the reference computes all rows")

    monkeypatch.setattr(reference, "run", never)
    monkeypatch.setattr(reference, "leaf_reader", read)
    with pytest.raises(Overflow):
        ONCE[path]()
    assert len(calls) == 1


@pytest.mark.parametrize("path", FAILING)
def test_features_are_named_where_the_search_for_the_reason_fails(path, monkeypatch):
    def broken(*_: object) -> None:
        raise TypeError("unsupported operand type(s) for ^")

    for module in ("engine.failure", "scalars.interpret"):
        monkeypatch.setattr(f"fastfeat.{module}.evaluate", broken)
    named, run = FAILING[path]
    told = rf"{named}: .* search for the reason failed too \(TypeError: unsupported operand"
    with pytest.raises(InvalidData, match=told):
        run()


def test_features_are_named_where_the_failed_row_cannot_be_read(monkeypatch):
    def broken(*_: object) -> None:
        raise ValueError("year 30000000 is out of range")

    monkeypatch.setattr("fastfeat.engine.reference.run.leaf_reader", broken)
    with pytest.raises(
        InvalidData, match=r"features 'half', 'double', 'byte', row 1.*ValueError: year 30000000"
    ):
        FITTED.transform(LATE)


def test_the_feature_that_surely_failed_is_named_before_one_that_cannot_be_looked_at(monkeypatch):
    found = failure.evaluate

    def broken_for_half(ops, leaf):
        if not calls:
            calls.append(ops)
            raise TypeError("unsupported operand")
        return found(ops, leaf)

    calls: list[object] = []
    plan = ff.Plan({"triple": col("n") * 3, "double": col("n") * 2})
    fitted = plan.fit(rows_with(1, []))
    monkeypatch.setattr(failure, "evaluate", broken_for_half)
    with pytest.raises(Overflow, match=r"feature 'double', row 1 \(n="):
        fitted.transform({"n": [1, LARGE]})


@pytest.mark.parametrize("n_rows", [1, 2, 63, 64, 65, 130])
def test_the_first_failing_row_is_found_in_few_calls(n_rows: int):
    for failing in range(n_rows):
        calls: list[int] = []

        def fails(first: int, n: int, failing: int = failing, calls: list[int] = calls) -> bool:
            assert first % 64 == 0
            calls.append(n)
            return first <= failing < first + n

        assert first_failing_row(fails, n_rows) == failing
        assert len(calls) <= 10


def test_data_that_changes_while_it_is_read_is_a_named_error():
    def fails(first: int, n_rows: int) -> bool:
        return False

    assert first_failing_row(fails, 1000) == 960
    program = FITTED.record.matrix_program
    rows = {"n": pa.chunked_array([[1]]), "m": pa.chunked_array([[1]])}
    columns = {slot: rows[names_of(slot.sources)[0]] for slot in program.inputs}
    table = pa.table(rows)
    error = failed_row(program, 0, columns, FITTED.record.matrix_constants, table)
    assert isinstance(error, InvalidData)
    assert "features 'half', 'double', 'byte': row 0" in str(error)
    assert "Did another thread change the data" in str(error)


SUMMED = pa.table({"k": ["a"] * 10, "t": range(10), "x": [0] * 7 + [2**62, 2**62, 0]})
"""Sums of the first nine rows are too large."""


def test_a_chosen_row_whose_window_of_a_table_overflows_is_told_by_its_number_in_the_data() -> None:
    asking = SUMMED.select(["k", "t"])
    over = ff.window(by="k", time="t", table="p", closed="both")
    fitted = ff.Plan({"s": col("x").sum(over=over)}).fit(asking, tables={"p": SUMMED.slice(0, 8)})
    with pytest.raises(Overflow, match=r", row 9: the sum"):
        fitted.transform(asking, tables={"p": SUMMED}, rows=[9, 2])


def test_a_row_of_a_part_whose_window_overflows_is_told_by_its_number_in_the_whole() -> None:
    over = ff.window(by="k", time="t", closed="both", tie="t")
    learning = ff.Plan({"m": col("x").sum(over=over).mean()}).learning(SUMMED.schema)
    with pytest.raises(Overflow, match=r", row 1008: the sum"):
        learning.partial(SUMMED, range(1000, 1010))
