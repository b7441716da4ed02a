"""Entities that one row holds up: counted behind it, and told with the place that it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.stream.row_intake import OffsetSpan, process_rows
from fastfeat.errors import LateRow
from fastfeat.live.live import Live

OVER = ff.window(1000, by="card", time="t")


def rows(first: int, times: list[int], cards: list[str]) -> pa.Table:
    ids = [f"e{first + k}" for k in range(len(times))]
    return pa.table({"id": ids, "t": times, "card": cards, "x": np.ones(len(times))})


FITTED = ff.Plan({"s": col("x").sum(over=OVER)}, row_id="id").fit(rows(0, [0], ["a"]))
BARE = ff.Plan({"s": col("x").sum(over=OVER)}).fit(rows(0, [0], ["a"]))


def send(live: Live[Any], first: int, times: list[int], cards: list[str], n_more: int = 0) -> None:
    """Have a stream send events from an offset on: late ones are counted, the others taken."""
    table = rows(first, times, cards)
    offsets, end = range(first, first + len(times)), first + len(times) + n_more
    _, _, refused = process_rows(live, OffsetSpan("events:0", table, offsets, first, end))
    for each in refused:
        assert isinstance(each.error, LateRow)
        live.count_late(each.error)


@pytest.mark.parametrize("is_opened_again", [False, True])
def test_the_event_that_holds_an_entity_up_is_named(tmp_path: Path, is_opened_again: bool) -> None:
    path = tmp_path / "s.state"
    live = FITTED.online(path=path, durability="checkpoint")
    send(live, 0, [1, 2, 900, 3], ["a", "b", "a", "b"])  # offset 2 is far ahead
    live.checkpoint()
    if is_opened_again:
        live.close()
        live = FITTED.online(path=path, durability="checkpoint")
    send(live, 4, [4, 5] * 9, ["a", "b"] * 9)
    assert live.held_up() == []  # 9 rows of a: nobody is held up yet; and 8 of b, behind others
    send(live, 22, [6], ["a"])
    live.checkpoint()
    (held,) = live.held_up()
    assert (held.n_late, held.place) == (10, "events:0:2")
    assert str(held) == (
        "entity card = 'a': 10 late rows, held up by the event at events:0:2 (id = 'e2', t = 900); "
        "live.remove('e2') removes it"
    )
    assert [str(one) for one in live.held_up(is_due=True)] == [str(held)]
    assert live.held_up(is_due=True) == []  # told once
    send(live, 23, [901], ["a"])
    live.checkpoint()
    assert live.held_up() == []  # its times have reached that row
    live.close()


def test_an_event_among_others_that_were_not_read_is_named_by_the_batch(tmp_path: Path) -> None:
    live = BARE.online(path=tmp_path / "s.state")
    send(live, 10, [1, 900], ["a", "a"], n_more=3)
    send(live, 15, [2] * 12, ["a"] * 12)
    (held,) = live.held_up()
    assert held.place == "events:0:10-14"
    assert (held.entity, held.row, held.remedy) == ("card = 'a'", "t = 900", "")
    live.close()


def test_dropped_rows_are_counted_too() -> None:
    live = FITTED.online(late="drop", keep=2000)
    live.process(rows(0, [900, *range(1, 13)], ["a"] * 13))
    (held,) = live.held_up()
    assert (held.n_late, held.place, held.row) == (12, "", "id = 'e0', t = 900")
    assert len(live.held_up(is_due=True)) == 1
    live.process(rows(20, [20] * 88, ["a"] * 88))
    assert [one.n_late for one in live.held_up(is_due=True)] == [100]


def test_entities_beyond_those_that_are_described_are_counted() -> None:
    cards = [f"c{k:02}" for k in range(23)]
    live = FITTED.online(late="drop", keep=2000)
    live.process(rows(0, [900] * 23, cards))
    live.process(rows(23, [1] * 230, cards * 10))
    live.process(rows(300, [1], ["c22"]))
    for is_due in (True, False):
        held = live.held_up(is_due=is_due)
        assert len(held) == 20
        assert [one.n_more for one in held] == [0] * 19 + [3]
        assert str(held[-1]).endswith("removes it; 3 more entities are held up")
    assert held[0].n_late == 11
    assert live.held_up(is_due=True) == []
    live.update(rows(400, [901] * 3, ["c01", "c02", "c03"]))  # their times have reached the row
    assert [one.n_more for one in live.held_up()] == [0] * 20


@pytest.mark.filterwarnings("ignore::fastfeat.errors.HistoryMissing")
def test_places_of_rows_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    live = FITTED.online(path=tmp_path / "s.state")
    send(live, 0, [1], ["a"])
    for n in range(5):
        first = 1 + 20 * n
        send(live, first, [900 + n], ["a"])
        send(live, first + 1, [2] * 12, ["a"] * 12)
        (held,) = live.held_up()
        assert held.place == f"events:0:{first}"
        live.remove(f"e{first}")
    assert len(live._state._places) == 1  # pyright: ignore[reportPrivateUsage]
    live.close()
