"""Contracts inferred from rows: these hold them, and what is broken in later rows is found."""

from __future__ import annotations

import datetime as dt
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from docs.demos.trust_faults import FAULTS, KEY
from fastfeat.demo.flights import read_flights, split
from fastfeat.errors import KeyRepeats
from fastfeat.trust.quality import infer

pc: Any = pyarrow.compute  # whose functions are made as it is imported

_COLUMNS = {
    "x": (pa.float64(), st.floats(width=64)),
    "f": (pa.float32(), st.floats(width=32)),
    "n": (pa.int64(), st.integers(-(1 << 63), (1 << 63) - 1)),
    "u": (pa.uint8(), st.integers(0, 255)),
    "k": (pa.string(), st.sampled_from(["a", "b", "ä", ""])),
    "b": (pa.bool_(), st.booleans()),
    "t": (pa.timestamp("ns", "UTC"), st.integers(-(1 << 62), 1 << 62)),
    "d": (pa.date32(), st.integers(-10_000, 10_000)),
}


@st.composite
def _tables(draw: st.DrawFn) -> pa.Table:
    n = draw(st.integers(1, 30))
    return pa.table(
        {
            name: pa.array(draw(st.lists(st.none() | of, min_size=n, max_size=n)), dtype)
            for name, (dtype, of) in _COLUMNS.items()
        }
    )


@settings(deadline=None, max_examples=6)
@given(_tables())
def test_rows_hold_the_contract_that_is_inferred_from_them(table: pa.Table) -> None:
    contract = ff.infer_contract(table)
    report = contract.check(table)
    assert report.broken == [], report
    assert ff.Contract.from_json(contract.to_json()) == contract


def test_what_is_said_of_each_kind_of_column() -> None:
    table = pa.table(
        {
            "id": [f"id{k}" for k in range(100)],
            "kind": [*"abcd"] * 25,
            "x": [0.0, 10.0, None, math.inf] * 25,
            "n": [-4, 6] * 50,
            "t": pa.array([1_700_000_000_123_456_789] * 100, pa.timestamp("ns")),
            "tags": [[1]] * 100,
            "nothing": [None] * 100,
            "left out": [1] * 100,
        }
    )
    contract = ff.infer_contract(table, key=["id", "n"], exclude=["left out"])
    rules = {name: repr(rule) for name, rule in contract.rules.items()}
    missing = rules.pop("x: missing")
    assert "col('x').is_null().sum() <=" in missing
    assert rules == {
        "id: missing": "ff.Rule(col('id').is_not_null())",
        "id: length": "ff.Rule((col('id').str.len_chars() <= 8) | col('id').is_null())",
        "kind: missing": "ff.Rule(col('kind').is_not_null())",
        "kind: values": (
            "ff.Rule(col('kind').is_in(values=('a', 'b', 'c', 'd')) | col('kind').is_null(), "
            "at_most=0.005)"
        ),
        "x: range": (
            "ff.Rule((col('x').is_between(0.0, 10.0, closed='both') | col('x').is_infinite()) | "
            "col('x').is_null())"
        ),
        "n: missing": "ff.Rule(col('n').is_not_null())",
        "t: missing": "ff.Rule(col('t').is_not_null())",
        "t: since": (
            "ff.Rule((col('t') >= datetime.datetime(2023, 11, 14, 22, 13, 20, 123456)) | "
            "col('t').is_null())"
        ),
        "id, n: unique": "ff.Rule(lit(1).count(by=[col('id'), col('n')]) == 1)",
    }
    assert [*contract.types] == ["id", "kind", "x", "n", "t"]
    twice = pa.concat_tables([table, table.slice(0, 3)])
    assert contract.check(twice).counts["id, n: unique"] == 6


def test_a_number_that_was_always_the_same_may_be_a_little_another_one() -> None:
    table = pa.table({"year": [2013] * 9, "x": [-0.5] * 9, "none": [0] * 9, "u": [255] * 9})
    table = table.set_column(3, "u", table["u"].cast(pa.uint8()))
    contract = ff.infer_contract(table)
    rules = {name: repr(rule) for name, rule in contract.rules.items() if name.endswith("range")}
    bounds = {"year": "2013, 2014", "x": "-0.75, -0.25", "none": "0, 0", "u": "0, 255"}
    assert rules == {
        f"{name}: range": (
            f"ff.Rule(col('{name}').is_between({of}, closed='both') | col('{name}').is_null())"
        )
        for name, of in bounds.items()
    }
    assert contract.check(table.set_column(0, "year", pa.array([2014] * 9))).broken == []


@pytest.mark.parametrize(
    ("name", "values", "rule"),
    [
        ("month", [2, 11] * 5, "range: between 1 and 12"),
        ("birthMonth", [2, 11] * 5, "range: between 1 and 12"),
        ("day_of_year", [2, 200] * 5, "range: between 1 and 366"),
        ("pickup_hour", [0, 13] * 5, "range: between 0 and 23"),
        ("hour", [0, 40, 41] * 5, "range: between 0 and 62"),  # hours of something
        ("hours_per_day", [1, 2, 3] * 5, "range: between 0 and 4"),
        ("year", [1999, 2004] * 50, "range: between 1999 and 2005"),
        ("seats", [4, 2] * 10, "values: one of 2, 4"),
        ("seats", [4, 2] * 9, "range: between 0 and 5"),  # too few rows to know
        ("seats", [4] * 100, "range: between 0 and 6"),
        ("rating", [0.5, 5.0] * 10, "range: between 0.5 and 5.0"),
        ("rating", [0.5 * k for k in range(34)] * 10, "range: between 0 and 24.75"),
        ("movieId", [7, 9_000_000] * 50, None),
        ("ID", [7, 9_000_000] * 50, None),
        ("zip", [7, 9_000_000] * 50, None),
        ("user", [1, 2] * 50, None),
        ("order", [*range(100)], None),
        ("order", [*range(99)], "range: between 0 and 147"),
        ("card", [1, 2] * 50, None),  # a part of the key
    ],
)
def test_numbers_are_guarded_by_what_they_are(name: str, values: list[Any], rule: Any) -> None:
    table = pa.table({name: values, "at": [*range(len(values))]})
    contract = ff.infer_contract(table, key=["card", "at"] if name == "card" else "at")
    report = contract.check(table)
    assert report.ok
    said = [
        f"{of.name.removeprefix(f'{name}: ')}: {of.says.removeprefix(f'{name} is ')}"
        for of in report.results
        if of.name in (f"{name}: range", f"{name}: values")
    ]
    assert said == ([] if rule is None else [f"{rule}, or missing"])


def test_ids_that_come_later_break_no_rule_and_other_integers_do() -> None:
    rng = np.random.default_rng(1)
    rows = {"film_id": rng.integers(0, 99, 2000), "seats": rng.integers(1, 5, 2000)}
    contract = ff.infer_contract(rows)
    later = {"film_id": rows["film_id"] + 10_000, "seats": rows["seats"].copy()}
    assert contract.check(later).broken == []
    later["seats"][:9] = 7
    assert contract.check(later).broken == []  # half a percent may
    later["seats"][:99] = 7
    assert contract.check(later).broken == ["seats: values"]


def test_what_is_left_out_is_left_out_of_files_in_passes_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1.0, 2.0], "y": [3, 4]}), tmp_path / "rows.parquet")
    of: Any = {"key": "x", "exclude": ["y"]}
    contract = ff.infer_contract(tmp_path, **of)
    assert [*contract.types] == ["x"]
    assert ff.infer_contract(tmp_path, memory="64GiB", **of) == contract


def test_many_values_are_no_set() -> None:
    for n, named in ((200, "k: values"), (201, "k: length")):
        table = pa.table({"k": [f"v{k}" for k in range(n)] * 10})
        assert named in ff.infer_contract(table).rules


def test_a_larger_share_of_missing_values_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)

    def rows(n: int, share: float) -> pa.Table:
        return pa.table({"x": pa.array(np.zeros(n), mask=rng.random(n) < share)})

    contract = ff.infer_contract(rows(10_000, 0.02))
    for n in (10, 100, 1000, 10_000):
        assert contract.check(rows(n, 0.02)).ok
    assert contract.check(rows(1000, 0.1)).broken == ["x: missing"]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ({"x": np.zeros(0)}, {}, "has no rows"),
        ({"x": [None, None]}, {}, "no columns that rules can read"),
        ({"x": [1]}, {"key": "y"}, "no column 'y'"),
        ({"x": [1]}, {"exclude": ["z"]}, "no column 'z'"),
        ({"x": [1], "y": [1]}, {"key": "x", "exclude": ["x"]}, "exclude= names the column 'x' too"),
    ],
)
def test_what_says_nothing_is_told(data: Any, options: Any, message: str) -> None:
    with pytest.raises(ff.FastfeatError, match=message):
        ff.infer_contract(data, **options)


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    return read_flights()


def test_faults_in_flights_are_found_and_later_months_are_not(flights: pa.Table) -> None:
    names = [*KEY, "dest", "tailnum", "distance", "dep_delay"]
    train, test = (table.select(names) for table in split(flights))
    contract = ff.infer_contract(train, key=list(KEY))
    assert contract.check(train).ok
    november = test.filter(
        pc.less(test["time_hour"], pa.scalar(dt.datetime(2013, 12, 1, 5), test["time_hour"].type))
    )
    assert contract.check(november).broken == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for fault in FAULTS:
            broken = contract.check(fault.plant(november)).broken
            assert broken == [] if fault.found_by is None else fault.found_by in broken, fault.name


def test_months_that_were_not_seen_break_no_rule_but_where_flights_were_cancelled(
    flights: pa.Table,
) -> None:
    for month in (3, 6, 9, 11, 12):  # the others are as these
        before, now = (
            flights.filter(call(flights["month"], month)) for call in (pc.less, pc.equal)
        )
        broken = ff.infer_contract(before, key=list(KEY)).check(now).broken
        if month < 12:
            assert broken == [], month
        else:  # storms from the 5th to the 9th: what a cancelled flight lacks is really missing
            of_cancelled = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
            assert broken == [f"{name}: missing" for name in of_cancelled]


@pytest.mark.parametrize("is_in_files", [False, True])
def test_columns_of_many_values_are_told_by_a_sample(
    is_in_files: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 4000
    random = np.random.default_rng(1)
    late = np.arange(n) % 3
    late[n // 2 + 1 :] += 40 * (np.arange(n - n // 2 - 1) % 2)
    table = pa.table(
        {
            "number": random.permutation(n),
            "amount": random.integers(0, 1 << 13, n),
            "few": np.arange(n) % 5,
            "later more": late,
            "text": [f"{k % 300}" for k in range(n)],
            "kind": [f"{k % 3}" for k in range(n)],
            "part": random.random(n),
        }
    )
    whole = ff.infer_contract(table)
    asked: list[int] = []
    learnt_of = infer.learn_expressions

    def counting(rows: Any, features: Any) -> Any:
        asked.append(rows.n_rows)
        return learnt_of(rows, features)

    monkeypatch.setattr(infer, "SAMPLES", (320, 1024))
    monkeypatch.setattr(infer, "learn_expressions", counting)
    given: dict[str, Any] = {"data": table}
    if is_in_files:
        pq.write_table(table, tmp_path / "rows.parquet")
        given = {"data": tmp_path / "rows.parquet", "memory": "8GiB"}
    assert ff.infer_contract(**given) == whole
    assert asked == [320, 1024, n]
    assert "number: range" not in whole.rules
    assert {"amount: range", "few: values", "later more: values", "text: length"} <= {*whole.rules}
    assert {"kind: values", "part: range"} <= {*whole.rules}


def test_a_key_that_repeats_is_told_and_no_rule() -> None:
    table = pa.table({"k": [1, 1, 2, 3], "m": ["a", "b", "a", "a"]})
    told = "key='k': the key is missing or repeated in 2 of 4 rows, so"
    with pytest.warns(KeyRepeats, match=told):
        contract = ff.infer_contract(table, key="k")
    assert "k: unique" not in contract.rules
    assert contract.check(table).broken == []
    missing = pa.table({"k": [1, 2, None]})
    with pytest.warns(KeyRepeats, match="the key is missing or repeated in 1 of 3 rows"):
        contract = ff.infer_contract(missing, key="k")
    assert contract.check(missing).broken == []
    contract = ff.infer_contract(table, key=["k", "m"])
    assert contract.check(table).broken == []
    assert contract.check(pa.concat_tables([table, table])).counts["k, m: unique"] == 8
