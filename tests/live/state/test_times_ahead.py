"""Times ahead: of this machine's clock, and of the row before; the default of servers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.apps.stream.row_intake import OffsetSpan, process_rows
from fastfeat.errors import FutureRow, InvalidPlan, StateError
from fastfeat.live.max_ahead import describe_missing_limit, resolve_max_ahead

HOUR = 3600
NOW = time.time_ns() // 10**9


def rows(times: list[int], kind: Any = None, cards: list[str] | None = None) -> pa.Table:
    kind = kind or pa.timestamp("s", "UTC")
    return pa.table(
        {
            "id": pa.array(range(len(times))),
            "t": pa.array(times, pa.int64()).cast(kind),
            "card": cards or ["a"] * len(times),
            "x": np.ones(len(times)),
        }
    )


def fitted_of(kind: Any) -> ff.FittedPlan:
    last = 10 if pa.types.is_integer(kind) else "1h"
    over = ff.window(last, by="card", time="t")
    plan = ff.Plan({"n": ff.count(over=over), "s": col("x").sum(over=over)}, row_id="id")
    return plan.fit(rows([0], kind))


ZONED = fitted_of(pa.timestamp("s", "UTC"))
NAIVE = fitted_of(pa.timestamp("s"))
WHOLE = fitted_of(pa.int64())


def default(fitted: ff.FittedPlan, late: str | None = None, said: str | None = None) -> str | None:
    return resolve_max_ahead({"": fitted.record}, late, said)


def test_only_clocks_with_a_zone_have_a_limit_unasked() -> None:
    assert default(ZONED) == default(ZONED, "drop") == default(ZONED, "dead_letter") == "1h"
    assert default(ZONED, "insert") is None
    assert default(NAIVE) is None
    assert default(WHOLE) is None
    assert default(ff.Plan({"x": col("x")}).fit(rows([0]))) is None
    assert default(ZONED, said="any") == "any"
    assert default(NAIVE, said="2h") == "2h"


def test_a_state_without_a_limit_is_told_once_it_is_served() -> None:
    assert describe_missing_limit(ZONED.online(max_ahead="1h"), None, None) == ""
    assert describe_missing_limit(ZONED.online(late="insert"), None, None) == ""
    assert describe_missing_limit(ZONED.online(max_ahead="any"), "any", None) == ""
    assert "created without a limit" in describe_missing_limit(ZONED.online(), None, None)
    told = describe_missing_limit(NAIVE.online(), None, None)
    assert "times of t have no time zone" in told
    assert "max_ahead = '1h'" in told
    assert "max_jump" in describe_missing_limit(WHOLE.online(), None, None)
    assert describe_missing_limit(WHOLE.online(max_jump=5), None, 5) == ""


def test_rows_that_only_ask_are_not_limited() -> None:
    live = ZONED.online(max_ahead="1h", max_jump="1h")
    live.process(rows([NOW]))
    ahead = rows([NOW + 20 * HOUR])
    assert live.features(ahead)["n"].to_pylist() == [0]
    for call in (live.process, live.update):
        with pytest.raises(FutureRow, match="max_ahead= allows only '1h'"):
            call(ahead.set_column(0, "id", pa.array([7])))
    assert live.history() is not None
    assert live.history().num_rows == 1  # pyright: ignore[reportOptionalMemberAccess]


def test_a_file_keeps_the_limit_that_it_was_begun_with(tmp_path: Path) -> None:
    ZONED.online(path=tmp_path / "none.state", max_ahead="any").close()
    for said in (None, "any"):
        with ZONED.online(path=tmp_path / "none.state", max_ahead=said) as live:
            assert live.max_ahead is None
    with pytest.raises(StateError, match="has max_ahead='any', but max_ahead='1h' was passed"):
        ZONED.online(path=tmp_path / "none.state", max_ahead="1h")
    ZONED.online(path=tmp_path / "hour.state", max_ahead="1h").close()
    with pytest.raises(StateError, match="has max_ahead='1h', but max_ahead='any' was passed"):
        ZONED.online(path=tmp_path / "hour.state", max_ahead="any")
    with ZONED.online(path=tmp_path / "hour.state", max_jump="1d") as live:  # no setting of a file
        assert live.max_ahead == "1h"
    with pytest.raises(InvalidPlan, match=r"max_jump=5: does not fit the times of any window"):
        ZONED.online(path=tmp_path / "hour.state", max_jump=5)
    ZONED.online(path=tmp_path / "hour.state").close()  # that error has given it back


def taken(live: Any, table: pa.Table, cuts: list[int]) -> list[int]:
    """Return which rows a state takes, by calls of some of them each."""
    found: list[int] = []
    for begin, end in zip([0, *cuts], [*cuts, table.num_rows], strict=True):
        part = table.slice(begin, end - begin)
        _, which, _ = process_rows(live, OffsetSpan("e:0", part, range(begin, end), begin, end))
        found += [begin + k for k in which]
    return found


steps = st.lists(st.sampled_from([0, 1, 2, 5, 6, 7, 50]), min_size=1, max_size=12)


@given(steps, st.lists(st.integers(0, 12), max_size=4), st.sampled_from(["a", "ab"]))
def test_a_jump_is_refused_however_rows_are_put_into_calls(
    lengths: list[int], cuts: list[int], cards: str
) -> None:
    times = np.cumsum(lengths).tolist()
    which = [cards[k % len(cards)] for k in range(len(times))]
    wanted, latest = list[int](), None
    for k, moment in enumerate(times):
        if latest is None or moment <= latest + 6:
            wanted.append(k)
            latest = moment if latest is None else max(latest, moment)
    for fitted, kind, jump in (
        (WHOLE, pa.int64(), 6),
        (ZONED, pa.timestamp("s", "UTC"), "6s"),
    ):
        table = rows(times, kind, which)
        where = sorted(min(cut, len(times)) for cut in cuts)
        assert taken(fitted.online(max_jump=jump), table, where) == wanted
        one_by_one: list[int] = []
        live = fitted.online(max_jump=jump)
        for k, row in enumerate(table.to_pylist()):
            try:
                live.process(row)
            except FutureRow:
                pass
            else:
                one_by_one.append(k)
        assert one_by_one == wanted
