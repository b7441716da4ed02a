"""Replay of changes in memory: what was altered is named, by row and column."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.online.audit import Chain, Entry, link_of, new_key
from fastfeat.online.changes import Change
from fastfeat.online.lowering import lower
from fastfeat.online.replay import Noted, Replay, replayed
from fastfeat.online.state import State
from fastfeat.plan.artifact import fitted_digest

KEY = new_key()
SECOND = 1_000_000


def rows(n: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "card": pa.array([f"card {k}" for k in random.integers(0, 9, n)]),
            "time": pa.array(np.arange(n) * SECOND + seed * 10**9, pa.timestamp("us")),
            "amount": pa.array(random.normal(size=n), mask=random.random(n) < 0.1),
        }
    )


def fitted() -> ff.FittedPlan:
    hour = ff.window("1h", by="card", time="time")
    plan = ff.Plan(
        {"sum": col("amount").sum(over=hour), "n": ff.count(over=hour), "x": col("amount") + 1}
    )
    return plan.fit(rows(50, 0), history="batch")


FITTED = fitted()
ARTIFACTS = {"": fitted_digest(FITTED)}


def begun() -> State:
    return State(lower({"": FITTED}), rows(1, 0).slice(0, 0), {})


def recorded(n_changes: int = 5, n_rows: int = 20) -> list[Noted]:
    state, chain, noted = begun(), Chain(KEY), []
    for k in range(n_changes):
        first = k * n_rows
        change = Change(
            "process", rows(n_rows, k + 1), "", "events:0", first, first + n_rows, 10**18 + k
        )
        link = chain.link(Entry(change, state.apply(change), ARTIFACTS))
        noted.append(Noted(k, change, link_of(link.to_bytes())))
        chain = chain.after(link)
    return noted


RECORDED = recorded()


def replay(noted: list[Noted], artifacts: dict[str, bytes] = ARTIFACTS) -> Replay:
    return replayed(begun(), Chain(KEY), noted, artifacts)


def altered(k: int, **of_change: object) -> list[Noted]:
    one = RECORDED[k]
    changed = replace(one, change=replace(one.change, **of_change))
    return [*RECORDED[:k], changed, *RECORDED[k + 1 :]]


def test_changes_that_were_not_altered_give_their_bits() -> None:
    report = replay(RECORDED)
    assert report.ok, report
    assert (report.n_changes, report.n_rows) == (5, 100)
    assert report.head == RECORDED[-1].link.digest
    assert str(report).startswith("ok   5 changes of 100 rows")


def test_an_input_one_ulp_larger_is_named_by_offset_row_and_column() -> None:
    table = RECORDED[2].change.rows
    amounts = table["amount"].to_pylist()
    amounts[7] = float(np.nextafter(amounts[7] or 0.0, 9.0))
    report = replay(altered(2, rows=table.set_column(2, "amount", pa.array(amounts))))
    found = report.difference
    assert found is not None
    assert (found.segment, found.offset, found.row, found.column) == (2, 47, 7, "amount")
    assert "offset 47, row 7, column 'amount': the rows that came in are others" in str(report)
    assert report.n_changes == 2


def test_features_noted_otherwise_are_named_by_row_and_column() -> None:
    state, chain = begun(), Chain(KEY)
    for one in RECORDED[:3]:
        state.apply(one.change)
        chain = chain.after(one.link)
    change = RECORDED[3].change
    applied = state.apply(change)
    forged = applied.features[""].to_pandas()
    forged.loc[11, "n"] += 1
    features = pa.Table.from_pandas(forged, applied.features[""].schema, preserve_index=False)
    link = chain.link(Entry(change, replace(applied, features={"": features}), ARTIFACTS))
    found = replay([*RECORDED[:3], Noted(3, change, link)]).difference
    assert found is not None
    assert (found.segment, found.row, found.column) == (3, 11, "n")
    assert "the features are others than those noted" in str(found)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("time_ns", 10**18 + 7, "time"),
        ("first", 41, "first offset"),
        ("end", 61, "end offset"),
        ("source", "events:1", "source"),
        ("name", "cards", "name"),
    ],
)
def test_what_is_told_of_a_change_is_bound(field: str, value: object, told: str) -> None:
    found = replay(altered(2, **{field: value})).difference
    assert found is not None
    assert (found.segment, found.what) == (2, f"its {told} is another than noted")


def test_another_artifact_is_found_at_the_first_change() -> None:
    found = replay(RECORDED, {"": bytes(32)}).difference
    assert found is not None
    assert (found.segment, found.what) == (0, "it was answered by another artifact")


def test_changes_that_are_dropped_repeated_or_reordered_are_found() -> None:
    dropped = replay([*RECORDED[:2], *RECORDED[3:]]).difference
    repeated = replay([*RECORDED[:3], RECORDED[2], *RECORDED[3:]]).difference
    swapped = replay([RECORDED[0], RECORDED[2], RECORDED[1], *RECORDED[3:]]).difference
    assert [d and d.segment for d in (dropped, repeated, swapped)] == [3, 2, 2]
    assert repeated is not None
    assert repeated.what == "it stands there twice"


def test_rows_in_another_order_are_found() -> None:
    table = RECORDED[1].change.rows
    order = [0, 1, 3, 2, *range(4, 20)]
    found = replay(altered(1, rows=table.take(order))).difference
    assert found is not None
    assert (found.segment, found.row) == (1, 2)


@pytest.mark.parametrize("n_bits", range(0, 8 * 32, 37))
def test_a_link_with_a_bit_changed_is_found(n_bits: int) -> None:
    one = RECORDED[1]
    digest = bytearray(one.link.digest)
    digest[n_bits // 8] ^= 1 << n_bits % 8
    changed = replace(one, link=replace(one.link, digest=bytes(digest)))
    found = replay([RECORDED[0], changed, *RECORDED[2:]]).difference
    assert found is not None
    assert found.segment == 1
