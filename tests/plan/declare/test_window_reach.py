"""How much history a plan says that it needs: as little as it can tell, and never too little."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.operators.windows import Window

pytestmark = [  # rows of few values, at few moments
    pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsRepeated"),
    pytest.mark.filterwarnings("ignore::fastfeat.errors.TiesInOrder"),
]
X = col("x")


def card(last: int | None = None, **options: Any) -> Window:
    """Return a window over the earlier rows of a card."""
    return ff.window(last, by="card", time="t", **options)


CASES: dict[str, tuple[ff.Expr, str]] = {
    "lag": (X.lag(2, over=card()), "2 rows"),
    "lag_of_one": (X.lag(1, over=card()), "1 row"),
    "lag_with_the_row": (X.lag(3, over=card(closed="right")), "3 rows"),
    "lag_both": (X.lag(2, over=card(closed="both")), "2 rows"),
    "lag_neither": (X.lag(2, over=card(closed="neither")), "2 rows"),
    "lag_by_tie": (X.lag(2, over=card(tie="x")), "2 rows"),
    "lag_by_tie_with_the_row": (X.lag(2, over=card(tie="x", closed="right")), "2 rows"),
    "lag_of_text": (col("device").lag(1, over=card()).ordinal_encode(), "1 row"),
    "lag_of_few": (X.lag(3, over=card(rows=2)), "2 rows"),
    "lag_within": (X.lag(3, over=card(4)), "4"),
    "lag_of_a_function": ((X + X.mean()).abs().lag(2, over=card()), "2 rows"),
    "lag_of_nothing_by": (X.lag(2, over=ff.window(time="t")), "2 rows"),
    "diff": (X.diff(2, over=card()), "2 rows"),
    "pct_change": (X.pct_change(3, over=card()), "3 rows"),
    "two_lags": (X.lag(1, over=card()) - col("y").lag(4, over=card()), "4 rows"),
    "since_last": (ff.time_since_last(over=card()), "1 row"),
    "last_time": (col("t").last(over=card()), "1 row"),
    "mean_of_rows": (X.mean(over=card(rows=3)), "3 rows"),
    "values_of_rows": (X.mean(over=card(rows=3, min_samples=2)), "3 rows"),
    "last_of_rows": (X.last(over=card(rows=2)), "2 rows"),
    "rows_and_time": (X.mean(over=card(rows=3)) + X.sum(over=card(5)), "5 and 3 rows"),
    "lag_and_time": (X.lag(2, over=card()) + X.sum(over=card(5, offset=2)), "7 and 2 rows"),
    "time_of_time": (X.max(over=card(3)).sum(over=card(4)), "7"),
    "last": (X.last(over=card()), "everything"),
    "last_of_another_time": (col("y").last(over=card()), "everything"),
    "since": (ff.time_since(X > 1, over=card()), "everything"),
    "first": (X.first(over=card()), "everything"),
    "lag_if_values": (X.lag(1, over=card(min_samples=3)), "everything"),
    "lag_before": (X.lag(1, over=card(offset=3)), "everything"),
    "rows_before": (X.mean(over=card(rows=2, offset=3)), "everything"),
    "lag_of_lag": (X.lag(1, over=card()).lag(1, over=card()), "everything"),
    "lag_of_time": (X.sum(over=card(3)).lag(1, over=card()), "everything"),
    "time_of_lag": (X.lag(1, over=card()).sum(over=card(3)), "everything"),
    "other_ties": (X.lag(1, over=card()) - X.lag(1, over=card(tie="x")), "everything"),
    "sessions": (ff.session_id(3, over=card()), "everything"),
    "streak": ((X > 0).streak(over=card()), "everything"),
    "average": (X.ewm_mean(alpha=0.5, over=card()), "everything"),
}


def events(n: int, seed: int) -> pa.Table:
    """Return rows in the order of time, several of a moment, some without a time or a card."""
    rng = random.Random(seed)
    times = sorted(rng.randrange(15) for _ in range(n))
    return pa.table(
        {
            "t": pa.array([rng.choice([t, t, t, t, None]) for t in times], pa.int64()),
            "card": pa.array([rng.choice(["a", "b", None]) for _ in range(n)], pa.string()),
            "x": pa.array([rng.choice([None, 1.0, 2.0, -3.5]) for _ in range(n)], pa.float64()),
            "y": pa.array([rng.choice([0.0, 1.0, None]) for _ in range(n)], pa.float64()),
            "device": pa.array([rng.choice(["web", "app", None]) for _ in range(n)], pa.string()),
        }
    )


def kept(history: pa.Table, later: pa.Table, needed: dict[str, str], tie: str | None) -> pa.Table:
    """Return the rows of a history that are needed, by what the docstring says of the texts."""
    ((entity, told),) = needed.items()
    if told == "everything":
        return history
    known = [row for row in later.to_pylist() if row["t"] is not None]
    rows, chosen = history.to_pylist(), set[int]()
    parts = told.split(" and ")
    if parts[0].isdigit() and known:
        first = min(row["t"] for row in known)
        chosen |= {
            k for k, r in enumerate(rows) if r["t"] is not None and r["t"] >= first - int(parts[0])
        }
    if parts[-1].endswith(("row", "rows")):
        n_rows = int(parts[-1].split()[0])
        for key in {None if entity == "all rows" else row["card"] for row in known}:
            own = [entity == "all rows" or row["card"] == key for row in known]
            first = min(row["t"] for row, is_own in zip(known, own, strict=True) if is_own)
            of_key = [
                (row["t"], (row[tie] is not None, row[tie] or 0) if tie else (), k)
                for k, row in enumerate(rows)
                if row["t"] is not None and (entity == "all rows" or row["card"] == key)
            ]
            chosen |= {k for t, _, k in of_key if t == first}
            chosen |= {k for *_, k in sorted(p for p in of_key if p[0] < first)[-n_rows:]}
    return history.take(pa.array(sorted(chosen), pa.int64()))


@pytest.mark.parametrize("case", CASES)
@given(n=st.integers(2, 40), seed=st.integers(0, 10**6), share=st.floats(0.3, 1))
def test_what_a_plan_needs_is_enough(case: str, n: int, seed: int, share: float) -> None:
    feature, told = CASES[case]
    plan = ff.Plan({"f": feature})
    needed = plan.history_needed()
    assert list(needed.values()) == [told]
    rows, cut = events(n, seed), int(n * share)
    before, after = rows.slice(0, cut), rows.slice(cut)
    fitted = plan.fit(events(20, 1))
    whole = fitted.transform(rows, history="batch").slice(cut)
    tie = "x" if "tie" in case else None
    found = fitted.transform(after, history=kept(before, after, needed, tie))
    assert found.to_pydict() == whole.to_pydict()


def test_a_plan_says_how_much_history_it_needs() -> None:
    bounded = {
        "a": X.mean(over=ff.window("7d", by="card", time="t", offset="12h")),
        "b": X.mean(over=ff.window(rows=28, by=["card", "shop"], time="t")),
        "c": X.mean(over=ff.window("1h", by="card", time="t")),
        "d": X.mean(over=ff.window("1h", time="t")),
    }
    needed = ff.Plan(bounded).history_needed()
    assert needed == {"card": "7d12h", "card, shop": "28 rows", "all rows": "1h"}
    day, latest = ff.window("1d", by="card", time="t"), ff.window(rows=2, by="card", time="t")
    week = ff.window("7d", by="card", time="t")
    assert ff.Plan({"x": X.max(over=week).sum(over=day)}).history_needed() == {"card": "8d"}
    for nested in (X.max(over=week).sum(over=latest), X.max(over=latest).sum(over=week)):
        assert ff.Plan({"x": nested}).history_needed() == {"card": "everything"}
    assert ff.Plan({"x": X}).history_needed() == {}
    data = {"card": [1], "t": [1], "x": [1.0]}
    known = ff.Plan({"x": X.sum(over=ff.window(3, time="t", by="card"))}).fit(data)
    assert known.history_needed() == {"card": "3"}
