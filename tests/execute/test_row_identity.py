"""`row_id=`: rows of one id in the history and in the data are one row."""

from __future__ import annotations

import datetime
import pickle
import random
import uuid
import warnings
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.api.plan import fitted_of
from fastfeat.errors import InvalidData, InvalidPlan, RowsRepeated, TypeMismatch, UnknownColumn
from fastfeat.keep.artifact import artifact_bytes

PAST = ff.window(7, by="card", time="t")
OWN = ff.window(7, by="card", time="t", closed="right")
X, Y = col("x"), col("y")
PLAN = ff.Plan(
    {
        "past": X.sum(over=PAST),
        "own": X.sum(over=OWN),
        "n": ff.count(over=OWN),
        "lag": X.lag(1, over=ff.window(by="card", time="t")),
        "late": Y.sum(over=PAST),
        "double": X * 2,
    },
    label="y",
    row_id="id",
)
SCHEMA = {"id": pa.string(), "t": pa.int64(), "card": pa.string(), "x": pa.int64(), "y": pa.int64()}
Row = dict[str, Any]


def table_of(rows: list[Row], *without: str) -> pa.Table:
    return pa.table(
        {
            name: pa.array([row.get(name) for row in rows], kind)
            for name, kind in SCHEMA.items()
            if name not in without
        }
    )


FITTED = PLAN.fit(table_of([{"id": "a", "t": 0, "card": "a", "x": 1, "y": 0}]))


def by_definition(history: list[Row], data: list[Row]) -> list[Row]:
    """Return the features of rows of which each is one by its id, in plain Python."""
    one: dict[str, Row] = {}
    for row in history:
        one.setdefault(row["id"], row)
    for row in data:
        one[row["id"]] = {**one.get(row["id"], {}), **row}
    rows = list(one.values())  # in the order of the first of each id
    return [_features(rows, one[row["id"]]) for row in data]


def _features(rows: list[Row], asking: Row) -> Row:
    double = None if asking["x"] is None else asking["x"] * 2
    if asking["t"] is None or asking["card"] is None:
        return dict.fromkeys(("past", "own", "n", "lag", "late")) | {"double": double}
    t = asking["t"]
    peers = [row for row in rows if row["card"] == asking["card"] and row["t"] is not None]
    peers.sort(key=lambda row: row["t"])
    upto = peers[: next(k for k, row in enumerate(peers) if row is asking) + 1]
    past = [row for row in peers if t - 7 <= row["t"] < t]
    own = [row for row in upto if t - 7 < row["t"]]
    return {
        "past": sum(row["x"] or 0 for row in past),
        "own": sum(row["x"] or 0 for row in own),
        "n": len(own),
        "lag": next((row["x"] for row in peers[::-1] if row["t"] < t), None),
        "late": sum(row.get("y") or 0 for row in past),
        "double": double,
    }


def random_rows(rng: random.Random, n: int, ids: list[str]) -> list[Row]:
    return [
        {
            "id": rng.choice(ids),
            "t": rng.choice([None, *range(12)]),
            "card": rng.choice(["a", "b", None]),
            "x": rng.choice([None, 1, 2, -4]),
            "y": rng.choice([None, 0, 1]),
        }
        for _ in range(n)
    ]


@pytest.mark.parametrize("backend", ["cpu", "reference", "emulated"])
@given(st.integers(0, 25), st.integers(0, 12), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_rows_are_one_by_their_id(
    backend: str, n_history: int, n_data: int, seed: int, has_labels: bool, is_number: bool
) -> None:
    rng = random.Random(seed)
    ids = [
        str(rng.randrange(-9, 10**6))
        for _ in range(rng.choice([2, 1, 9]) * (n_history + n_data + 2))
    ]
    history = random_rows(rng, n_history, ids)
    known: dict[str, Row] = {}
    history = [known.setdefault(row["id"], row) for row in history]  # twins there are alike
    data = list({row["id"]: row for row in random_rows(rng, n_data, ids)}.values())
    for row in data:  # some come again as they are
        if row["id"] in known and rng.random() < 0.5:
            row.update(known[row["id"]])
    lacking = () if has_labels else ("y",)
    given = [{k: v for k, v in row.items() if k not in lacking} for row in data]
    tables = [table_of(given, *lacking), table_of(history)]
    if is_number:
        tables = [t.set_column(0, "id", t["id"].cast(pa.int64())) for t in tables]
    found = FITTED.transform(tables[0], history=tables[1], backend=backend)
    assert found.to_pylist() == by_definition(history, given)


EVENTS = [
    {"id": "a", "t": 1, "card": "c", "x": 1, "y": 1},
    {"id": "b", "t": 2, "card": "c", "x": 2, "y": 0},
    {"id": "c", "t": 3, "card": "c", "x": 4, "y": 1},
]


def test_events_that_are_in_the_store_already_count_once() -> None:
    found = FITTED.transform(table_of(EVENTS[1:], "y"), history=table_of(EVENTS))
    assert found["own"].to_pylist() == [3, 7]
    assert found["past"].to_pylist() == [1, 3]
    assert found["late"].to_pylist() == [1, 1]  # the labels of rows of the data are in the history
    alone = FITTED.transform(table_of(EVENTS[1:2]), history=table_of(EVENTS))
    assert alone.to_pydict() == found.slice(0, 1).to_pydict()  # which goes on after the data


def test_a_twin_fills_columns_that_lack_and_no_missing_values() -> None:
    rows = [EVENTS[0] | {"y": None}, EVENTS[1]]
    found = FITTED.transform(table_of(rows), history=table_of(EVENTS))
    assert found["late"].to_pylist() == [0, 0]
    changed = [EVENTS[0] | {"x": 10}, EVENTS[1]]
    found = FITTED.transform(table_of(changed), history=table_of(EVENTS))
    assert found["own"].to_pylist() == [10, 12]


@pytest.mark.parametrize(
    ("ids", "others"),
    [
        (pa.array([1, 2, 3], pa.int32()), pa.array([1, 2, 3])),
        (pa.array([1, 2, 3]), pa.array([1, 2, 3], pa.uint64())),
        (pa.array([1, 2, 3], pa.int8()), pa.array([1.0, 2.0, 3.0])),
        (pa.array([1.0, 2.0, 3.0]), pa.array([1, 2, 3], pa.decimal128(20, 0))),
        (pa.array([0.5, 2.0, -0.0]), pa.array([0.5, 2.0, 0.0], pa.float32())),
        (pa.array(["a", "b", "c"]), pa.array(["a", "b", "c"], pa.large_string())),
        (pa.array(["a", "b", "c"]), pa.array(["a", "b", "c"]).dictionary_encode()),
        (pa.array(["a", "b", "c"], pa.string_view()), pa.array(["a", "b", "c"])),
        (pa.array([b"a", b"b", b"c"]), pa.array([b"a", b"b", b"c"], pa.large_binary())),
        (pa.array([uuid.UUID(int=k).hex for k in range(3)]),) * 2,
        (
            pa.array([datetime.date(2026, 1, k) for k in (1, 2, 3)]),
            pa.array([datetime.datetime(2026, 1, k) for k in (1, 2, 3)], pa.timestamp("ms")),
        ),
        (pa.array([True, False]), pa.array([True, False])),
    ],
    ids=str,
)
def test_ids_are_of_any_type_that_keys_have(ids: Any, others: Any) -> None:
    rows = {"t": [1, 2, 3], "card": ["c"] * 3, "x": [1, 2, 4], "y": [1, 0, 1]}
    rows = {name: values[: len(ids)] for name, values in rows.items()}
    for here, there in ((ids, others), (others, ids)):
        data, history = pa.table({**rows, "id": here}), pa.table({**rows, "id": there})
        found = FITTED.transform(data, history=history)
        assert found["own"].to_pylist() == [1, 3, 7][: len(ids)]
        both = pa.chunked_array([here.slice(0, 1), here.slice(1)])
        assert FITTED.transform(data.set_column(4, "id", both), history=history).equals(found)


def test_ids_without_rows_are_of_any_type() -> None:
    empty = table_of([]).set_column(0, "id", pa.array([], pa.null()))
    rows = table_of(EVENTS)
    assert FITTED.transform(rows, history=empty)["own"].to_pylist() == [1, 3, 7]
    assert FITTED.transform(empty, history=rows).num_rows == 0
    assert FITTED.transform(empty, history=empty).num_rows == 0


BAD: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "missing": ([0, None], [0, 1], InvalidData, r"^data, row 1: col\(.id.\) is missing"),
    "missing_before": ([0], [0, None], InvalidData, r"^history=, row 1: col\(.id.\) is missing"),
    "nan": ([0.0, float("nan")], [0], InvalidData, r"^data, row 1: .* is missing"),
    "twice": ([5, 6, 5], [1], InvalidData, r"^data, row 2: col\(.id.\) = 5 is also the id of row"),
    "unlike": (
        *([0], [3, 4, 3]),
        *(InvalidData, r"^history=, row 2: col\(.id.\) = 3 is also .* row 0, but col\(.t.\) "),
    ),
    "other_type": ([0], ["a"], TypeMismatch, r"^history=, row_id='id': .*id"),
    "half": ([1], [0.5], InvalidData, r"^history=, row_id='id': .*0\.5"),
    "list": ([[1]], [1], TypeMismatch, r"row_id='id': ids must be text.* got list"),
    "struct": ([{"a": 1}], [1], TypeMismatch, r"row_id='id': ids must be text.* got struct"),
}


@pytest.mark.parametrize(("ids", "before", "kind", "match"), BAD.values(), ids=BAD)
def test_ids_that_tell_no_rows_apart_are_errors(
    ids: list[Any], before: list[Any], kind: type[Exception], match: str
) -> None:
    def rows(ids: list[Any], begins: int) -> pa.Table:
        n = len(ids)
        times = list(range(begins, begins + n))
        return pa.table({"id": ids, "t": times, "card": ["c"] * n, "x": [1] * n, "y": [0] * n})

    for backend in ("cpu", "reference"):
        with pytest.raises(kind, match=match):
            FITTED.transform(rows(ids, 10), history=rows(before, 0), backend=backend)
    with pytest.raises(kind, match=match):
        PLAN.fit(rows(ids, 10), history=rows(before, 0))


def test_twins_in_the_history_are_compared_by_what_windows_read() -> None:
    twins = [EVENTS[0], EVENTS[1], EVENTS[0]]
    history = table_of(twins).append_column("seen_at", pa.array([1, 2, 3]))
    found = FITTED.transform(table_of(EVENTS[2:]), history=history)
    assert found["own"].to_pylist() == [7]
    gone = table_of([EVENTS[0] | {"y": None}] * 2 + [EVENTS[0]])
    with pytest.raises(InvalidData, match=r"row 2: .*, but col\(.y.\) is 1 here and None there"):
        FITTED.transform(table_of(EVENTS[2:]), history=gone)
    floats = ff.Plan({"sum": X.sum(over=PAST)}, row_id="id")
    nan = {"id": [1, 1], "t": [0, 0], "card": ["c"] * 2, "x": [float("nan"), None]}
    rows = {"id": [2], "t": [5], "card": ["c"], "x": [1.0]}
    assert floats.fit(rows).transform(rows, history=nan)["sum"].to_pylist() == [0.0]


def test_ids_are_read_beside_a_history_alone() -> None:
    rows = table_of(EVENTS, "id")
    with pytest.warns(ff.FastfeatWarning, match="no column 'id', which row_id= names"):
        fitted = PLAN.fit(rows)
    assert fitted.transform(rows, history="batch")["n"].to_pylist() == [1, 2, 3]
    with pytest.raises(UnknownColumn, match="lacks the column 'id'"):
        fitted.transform(rows, history=table_of(EVENTS))
    with pytest.raises(UnknownColumn, match="history=: the data lacks the column 'id'"):
        fitted.transform(table_of(EVENTS), history=rows)
    double = fitted.select("double")
    assert double.transform(rows, history=rows).num_rows == 3
    assert fitted.verify(rows).ok


def test_fit_sees_each_row_once() -> None:
    scaled = ff.Plan({"scaled": X.sum(over=OWN).mean(), "own": X.sum(over=OWN)}, row_id="id")
    rows, history = table_of(EVENTS[1:], "y"), table_of(EVENTS)
    fitted, features = scaled.fit_transform(rows, history=history)
    assert features.to_pydict() == {"scaled": [5.0, 5.0], "own": [3, 7]}
    assert artifact_bytes(fitted.record) == artifact_bytes(scaled.fit(rows, history=history).record)
    encoded = ff.Plan(
        {"e": X.sum(over=OWN).target_encode("y", folds=2), "n": ff.count(over=OWN)},
        label="y",
        row_id="id",
    )
    _, features = encoded.fit_transform(table_of(EVENTS[1:]), history=history)
    assert features["n"].to_pylist() == [2, 3]


def test_the_id_is_kept_with_the_plan() -> None:
    rows, history = table_of(EVENTS[1:]), table_of(EVENTS)
    again = [
        pickle.loads(pickle.dumps(FITTED)),
        fitted_of(artifact_bytes(FITTED.record)),
        FITTED.select(["own", "late"]),
        ff.Plan.from_json(PLAN.to_json()).fit(history),
    ]
    for fitted in again:
        assert fitted.plan.row_id == "id"
        assert fitted.transform(rows, history=history)["own"].to_pylist() == [3, 7]
    assert ff.Plan.from_json(PLAN.to_json()).to_json() == PLAN.to_json()


@pytest.mark.parametrize("row_id", ["", 3, ["id"], col("id")], ids=repr)
def test_an_id_is_the_name_of_a_column(row_id: Any) -> None:
    with pytest.raises(InvalidPlan, match="row_id= must be the name of a column, got"):
        ff.Plan({"x": X}, row_id=row_id)


def test_a_late_column_is_no_id() -> None:
    with pytest.raises(InvalidPlan, match="row_id='y' is known only after the prediction"):
        ff.Plan({"x": X}, label="y", row_id="y")


@pytest.mark.parametrize("lacking", [(), ("y",)], ids=["labels", "no_labels"])
def test_verify_takes_each_row_once(lacking: tuple[str, ...]) -> None:
    rng = random.Random(5)
    rows = random_rows(rng, 60, ["z"])
    rows = [row | {"id": str(k)} for k, row in enumerate(rows)]
    history, data = rows[:50], [row | {"x": 7} for row in rows[30:]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = FITTED.verify(table_of(data, *lacking), history=table_of(history))
    assert report.ok, str(report)
    assert "half" in str(report)
    assert "skip" not in str(report)


def test_the_command_line_reads_ids(tmp_path: Any) -> None:
    from typer.testing import CliRunner

    from fastfeat.apps.cli.commands import app

    for name, rows in {"store": EVENTS, "new": EVENTS[1:]}.items():
        pq.write_table(table_of(rows), tmp_path / f"{name}.parquet")
    FITTED.save(tmp_path / "plan.fastfeat")
    names = ["plan.fastfeat", "new.parquet", "store.parquet", "out.parquet"]
    fitted, new, store, out = (str(tmp_path / name) for name in names)
    result = CliRunner().invoke(app, ["transform", fitted, new, "--history", store, "-o", out])
    assert result.exit_code == 0, result.output
    assert pq.read_table(out)["own"].to_pylist() == [3, 7]


def test_the_data_alone_has_each_id_once() -> None:
    plan = ff.Plan({"s": col("x").sum(over=ff.window(9, time="t"))}, row_id="i")
    once = {"t": [1, 1, 2], "i": [0, 1, 2], "x": [1.0, 1.0, 5.0]}
    fitted, found = plan.fit_transform(once)
    assert found["s"].to_pylist() == [0.0, 0.0, 2.0]
    for ids, told in (([0, 0, 1], r'"i"\) = 0 is also the id'), ([0, None, 1], "is missing")):
        data = {**once, "i": ids}
        for call in (
            lambda data=data: plan.fit(data),
            lambda data=data: plan.fit_transform(data),
            lambda data=data: fitted.transform(data, history="batch"),
            lambda data=data: fitted.transform(data, history="batch", to="numpy"),
        ):
            with pytest.raises(InvalidData, match=told):
                call()
    alone = {name: once[name] for name in ("t", "x")}
    assert fitted.transform(alone, history="batch").equals(found)
    no_window = ff.Plan({"x": col("x")}, row_id="i")
    with pytest.warns(RowsRepeated, match="1 of 3 rows, first row 1, have the 'i' of an earlier"):
        assert no_window.fit({**once, "i": [0, 0, 1]}).n_rows == 3
