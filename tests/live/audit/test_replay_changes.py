"""Replay of changes in memory: what was altered is named, by row and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.live.audit.chain import BEGIN, Chain, artifacts_of, new_key
from fastfeat.live.audit.recompute import Difference, ReplayedState, ReplayMismatch, begin_replay
from fastfeat.live.file.entries import WrittenEntry
from fastfeat.live.state.changes import Base, Settings, StateChange

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


HOUR = ff.window("1h", by="card", time="time")
FITTED = ff.Plan(
    {"sum": col("amount").sum(over=HOUR), "n": ff.count(over=HOUR), "x": col("amount") + 1}
).fit(rows(50, 0), history="batch")
PLANS = {"": FITTED.record}
ARTIFACTS = artifacts_of(PLANS)


def again() -> ReplayedState:
    return begin_replay(KEY, BEGIN, PLANS, Settings(), Base(None, {}))


def recorded(n_changes: int = 5, n_rows: int = 20) -> list[WrittenEntry]:
    state, written = again(), list[WrittenEntry]()
    chain = state.chain
    for k in range(n_changes):
        first = k * n_rows
        change = StateChange(
            "process", rows(n_rows, k + 1), "", "events:0", first, first + n_rows, 10**18 + k
        )
        state.taken.entries.clear()
        state.state.apply(change)
        (entry,) = state.taken.entries
        link = chain.link(entry, ARTIFACTS)
        written.append(WrittenEntry(k, entry, link.digest, link.noted()))
        chain = chain.after(link)
    return written


RECORDED = recorded()


def replay(
    written: Sequence[WrittenEntry], plans: Mapping[str, Any] = PLANS
) -> tuple[int, Difference]:
    """Return how many changes are as noted, and the first difference."""
    state = begin_replay(KEY, BEGIN, plans, Settings(), Base(None, {}))
    for k, one in enumerate(written):
        try:
            state.replay(one)
        except ReplayMismatch as found:
            return k, found.difference
    return len(written), NONE


NONE = Difference(None, None, None, None, "none")


def altered(k: int, **of_change: Any) -> list[WrittenEntry]:
    one = RECORDED[k]
    entry = replace(one.entry, change=replace(one.entry.change, **of_change))
    return [*RECORDED[:k], replace(one, entry=entry), *RECORDED[k + 1 :]]


def test_changes_that_were_not_altered_give_their_bits() -> None:
    assert replay(RECORDED) == (5, NONE)


def test_an_input_one_ulp_larger_is_named_by_offset_row_and_column() -> None:
    table = RECORDED[2].entry.change.rows
    amounts = table["amount"].to_pylist()
    amounts[7] = float(np.nextafter(amounts[7] or 0.0, 9.0))
    at = table.column_names.index("amount")
    n, found = replay(altered(2, rows=table.set_column(at, "amount", pa.array(amounts))))
    assert (n, found.segment, found.offset, found.row, found.column) == (2, 2, 47, 7, "amount")
    assert "offset 47, row 7, column 'amount': the incoming rows differ" in str(found)


def test_features_noted_otherwise_are_named_by_row_and_column() -> None:
    one = RECORDED[3]
    applied = one.entry.applied
    noted: Any = applied.features[""]
    forged = noted.to_pandas()
    forged.loc[11, "n"] += 1
    features = pa.Table.from_pandas(forged, noted.schema, preserve_index=False)
    entry = replace(one.entry, applied=replace(applied, features={"": features}))
    link = Chain(KEY, RECORDED[2].link).link(entry, ARTIFACTS)
    _, found = replay([*RECORDED[:3], WrittenEntry(3, entry, link.digest, link.noted())])
    assert (found.segment, found.row, found.column) == (3, 11, "n")
    assert "the features differ from the recorded features" in str(found)


def test_rows_that_were_not_stored_are_named() -> None:
    one = RECORDED[1]
    stored = one.entry.applied.stored.copy()
    stored[4] = False
    entry = replace(one.entry, applied=replace(one.entry.applied, stored=stored))
    link = Chain(KEY, RECORDED[0].link).link(entry, ARTIFACTS)
    _, found = replay([RECORDED[0], WrittenEntry(1, entry, link.digest, link.noted())])
    assert (found.segment, found.row) == (1, 4)
    assert "the rows added to the log differ from the record" in found.what


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
    _, found = replay(altered(2, **{field: value}))
    assert (found.segment, found.what) == (2, f"its {told} differs from the record")


def test_another_artifact_is_found_at_the_first_change() -> None:
    other = ff.Plan({"sum": col("amount").sum(over=HOUR)}).fit(rows(50, 0), history="batch")
    _, found = replay(RECORDED, {"": other.record})
    assert (found.segment, found.what) == (0, "it was answered by a different plan artifact")


def test_changes_that_are_dropped_repeated_or_reordered_are_found() -> None:
    _, dropped = replay([*RECORDED[:2], *RECORDED[3:]])
    _, repeated = replay([*RECORDED[:3], RECORDED[2], *RECORDED[3:]])
    _, swapped = replay([RECORDED[0], RECORDED[2], RECORDED[1], *RECORDED[3:]])
    assert [one.segment for one in (dropped, repeated, swapped)] == [3, 2, 2]
    assert repeated.what == "it is recorded twice"


def test_rows_in_another_order_are_found() -> None:
    table = RECORDED[1].entry.change.rows
    order = [0, 1, 3, 2, *range(4, 20)]
    _, found = replay(altered(1, rows=table.take(order)))
    assert (found.segment, found.row) == (1, 2)


@pytest.mark.parametrize("bit", range(0, 8 * 32, 37))
def test_a_link_with_a_bit_changed_is_found(bit: int) -> None:
    one = RECORDED[1]
    digest = bytearray(one.link)
    digest[bit // 8] ^= 1 << bit % 8
    _, found = replay([RECORDED[0], replace(one, link=bytes(digest)), *RECORDED[2:]])
    assert found.segment == 1


@pytest.mark.parametrize("at", [0, 5, 40, 100, 200, -1])
def test_what_is_noted_with_a_byte_changed_or_missing_is_found(at: int) -> None:
    one = RECORDED[1]
    noted = bytearray(one.digests)
    noted[at] ^= 1
    for content in (bytes(noted), one.digests[:-1], b""):
        _, found = replay([RECORDED[0], replace(one, digests=content), *RECORDED[2:]])
        assert found.segment == 1


def test_links_say_nothing_of_rows_that_are_equal() -> None:
    one = RECORDED[0].entry
    links = [Chain(KEY, before).link(one, ARTIFACTS) for before in (BEGIN, b"x" * 32)]
    for name in ("inputs", "outputs"):
        left, right = (getattr(link, name) for link in links)
        words = [np.frombuffer(d.columns + d.rows, np.uint32) for d in (left, right)]
        assert (words[0] == words[1]).mean() < 0.1
        assert left.whole != right.whole
    same = one.change.rows.take([0] * 20)
    link = Chain(KEY).link(replace(one, change=replace(one.change, rows=same)), ARTIFACTS)
    assert len(np.unique(np.frombuffer(link.inputs.rows, np.uint32))) == 20
