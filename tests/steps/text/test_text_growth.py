"""Text that grows: refused by its size before memory is asked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan
from fastfeat.execute import steps as made
from fastfeat.steps.text import growth

S: Any = col("s").str
LONG = "x" * 10_000
ROWS = pa.table({"s": ["a" * 1000, None, "b"] * 1000})
ENCODED = pa.table({"s": ROWS["s"].combine_chunks().dictionary_encode()})
MANY = pa.table({"s": pa.array([f"{k}" + "a" * 1000 for k in range(1000)]).dictionary_encode()})


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    "grown",
    [
        S.replace_all("a", LONG),
        S.replace_all("a", LONG, literal=True),
        S.replace_all("a*", LONG * 300),
        S.replace_all("(?i)A", LONG),
        S.replace_all("(a+)", "$1" * 5000),
        S.replace("a", LONG * 1000),
    ],
    ids=["plain", "literal", "empty", "case", "group", "first"],
)
def test_text_beyond_its_room_is_refused_before_it_is_made(grown: Any, backend: str) -> None:
    plan = ff.Plan({"n": grown.str.len_bytes()})
    for rows in (ROWS, MANY):
        with pytest.raises(InvalidData) as caught:
            plan.fit(rows).transform(rows, backend=backend)
        told = str(caught.value)
        assert told.startswith("col('s').str.replace")
        assert "more than max_memory=4,294,967,296. Replace less, or raise" in told
        assert f"{rows.num_rows:,} texts of 1,00" in told


def test_entries_of_a_dictionary_are_counted_once() -> None:
    plan = ff.Plan({"n": S.replace_all("a", LONG).str.len_bytes()})
    assert plan.fit_transform(ENCODED)[1]["n"].to_pylist()[:3] == [10**7, None, 1]


def test_room_is_a_parameter_of_the_plan() -> None:
    plan = ff.Plan({"n": S.replace_all("a", "bcd", max_memory=1000).str.len_bytes()})
    again = ff.Plan.from_json(plan.to_json())
    with pytest.raises(
        InvalidData, match=r"1 text of 250 bytes would grow to up to 750 bytes.*=1,000"
    ):
        again.fit_transform({"s": ["a" * 250]})
    assert again.fit_transform({"s": ["a" * 150]})[1]["n"].to_pylist() == [450]
    usual = S.replace_all("a", "b", max_memory=1 << 32)
    assert ff.Plan({"n": usual.str.len_bytes()}).to_json() == (
        ff.Plan({"n": S.replace_all("a", "b").str.len_bytes()}).to_json()
    )
    with pytest.raises(InvalidPlan, match="max_memory=0"):
        S.replace("a", "b", max_memory=0)


@given(
    texts=st.lists(st.none() | st.text("abé", max_size=8), min_size=1, max_size=5),
    pattern=st.sampled_from(["a", "ab", "a|b", "a*", "(a)(b)", "é"]),
    value=st.sampled_from(["", "c", "ééé", "$0", "$0$0-$0", "long enough"]),
    replace=st.sampled_from([S.replace, S.replace_all]),
    room=st.integers(1, 200),
    literal=st.booleans(),
)
def test_no_text_grows_beyond_its_room(
    texts: list[str | None], pattern: str, value: str, replace: Any, room: int, literal: bool
) -> None:
    def sizes(**options: int) -> list[int | None]:
        made = replace(pattern, value, literal=literal, **options)
        rows = {"s": pa.array(texts, pa.string())}
        found = ff.Plan({"n": made.str.len_bytes()}).fit_transform(rows, backend="reference")[1]
        return found["n"].to_pylist()

    given = sum(len(text.encode()) for text in texts if text is not None)
    free = sizes()
    grown = sum(size or 0 for size in free)
    fits = 2 * grown <= room or grown <= given
    try:
        assert sizes(max_memory=room) == free
    except InvalidData:
        assert not fits or (not literal and ("$" in value or pattern == "a*"))
    else:
        assert fits


@pytest.mark.parametrize(
    "chosen",
    [
        col("s").fill_null("x" * 10_000),
        ff.coalesce(col("s"), ff.lit("x" * 10_000)),
        ff.when(col("s") == "b").then(ff.lit("x" * 10_000)).otherwise(col("s")),
    ],
    ids=["fill_null", "coalesce", "when"],
)
def test_chosen_text_beyond_the_machine_is_refused(
    chosen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ff.Plan({"n": chosen.str.len_bytes()})
    few = ROWS.slice(0, 60)
    fitted = plan.fit(few)
    monkeypatch.setattr(growth, "host_memory", lambda: 2_000_000)
    assert 10_000 in fitted.transform(few)["n"].to_pylist()
    told = r"3,000 texts may take 11,001,000 bytes, .* this machine has 2,000,000"
    with pytest.raises(InvalidData, match=told):
        fitted.transform(ROWS)


def test_buckets_beyond_the_machine_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = ff.Plan({"g": S.hash_ngrams(3, 20_000).alias("g")}).fit({"s": ["abc"]})
    monkeypatch.setattr(made, "memory_of_host", SimpleNamespace(host_memory=lambda: 10**6))
    told = r"hash_ngrams\(.*: 20,000 buckets for 3,000 rows take about 480,000,000 bytes"
    with pytest.raises(InvalidData, match=told):
        fitted.transform(ROWS)


@pytest.mark.parametrize("first", [None, "a", "?"])
def test_one_text_for_all_rows_is_chosen_as_any_other(first: str | None) -> None:
    rows = {"s": pa.array(["a", None, "bb"]), "b": [True, False, None]}
    every = pa.table({"s": rows["s"], "b": rows["b"], "one": pa.array(["?"] * 3)})
    encoded = every.set_column(2, "one", every["one"].combine_chunks().dictionary_encode())
    one = col("one")
    plan = ff.Plan(
        {
            "filled": col("s").fill_null("?").str.len_bytes(),
            "first": ff.coalesce(one, col("s")).str.len_bytes(),
            "last": ff.coalesce(col("s"), one).str.len_bytes(),
            "given": ff.coalesce(ff.lit(first), col("s"), one).hash(99),
            "either": ff.when(col("b")).then(one).otherwise(col("s")).hash(99),
            "or": ff.when(col("b")).then(col("s")).otherwise(ff.lit("none")).hash(99),
            "both": ff.when(col("b")).then(ff.lit("yes")).otherwise(ff.lit("no")).hash(99),
        }
    )
    found = plan.fit_transform(every)[1]
    assert found["filled"].to_pylist() == [1, 1, 2]
    for backend in ("cpu", "reference"):
        assert plan.fit_transform(encoded, backend=backend)[1].equals(found)
