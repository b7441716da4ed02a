"""Warnings beside a label that looks ahead: keys that stand for the entity, clocks on trust."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

import fastfeat as ff
from fastfeat import Expr, col
from fastfeat.errors import ClocksOnYourWord, CountsSeeAhead, FastfeatWarning, RowsWithoutLabel
from fastfeat.learn import ahead_warnings

OF_USER: dict[str, Any] = {"by": "user", "time": "ts"}
GONE = {"gone": ff.count(over=ff.ahead("60d", **OF_USER)) == 0}
LATER = {"later": col("x").last(over=ff.ahead("60d", **OF_USER)) > 0}
EMAIL, SESSION, WEEKDAY = col("email"), col("session"), col("ts").dt.weekday()


def visits(n_days: int = 360, n: int = 3_000) -> pa.Table:
    """Return visits of users, in no order; one in 300 is by a second email."""
    rng = np.random.default_rng(5)
    user = rng.integers(0, n // 10, n)
    second = rng.random(n) < 1 / 300
    seconds = np.sort(rng.integers(0, n_days * 86_400, n))
    sessions = user * 1000 + seconds // (30 * 86_400)
    table = {
        "ts": pa.array(1_700_000_000 + seconds, pa.timestamp("s")),
        "booked": pa.array(1_700_000_000 + seconds - rng.integers(0, 10**6, n), pa.timestamp("s")),
        "user": user,
        "email": [f"{u}{'b' if s else ''}@x" for u, s in zip(user, second, strict=True)],
        "session": sessions,
        "id": np.arange(n),
        "carrier": rng.integers(0, 12, n),
        "x": rng.normal(size=n),
    }
    return pa.table(table).take(pa.array(rng.permutation(n)))


def warned(feature: Expr, data: Any, label: Any = GONE, **options: Any) -> list[str]:
    """Return the messages of a fit that are of counts, or of clocks."""
    memory = {"memory": options.pop("memory")} if "memory" in options else {}
    rows = {"rows": options.pop("rows")} if "rows" in options else {}
    plan = ff.Plan({"f": feature, "x": col("x")}, label=label, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FastfeatWarning)
        plan.fit(data, profile=False, **memory, **rows)
    kinds = CountsSeeAhead, ClocksOnYourWord
    return [str(one.message) for one in caught if issubclass(one.category, kinds)]


@pytest.mark.parametrize(
    "feature",
    [
        EMAIL.count_encode(),
        EMAIL.count_encode(normalize=True),
        EMAIL.ordinal_encode(),
        EMAIL.one_hot_encode(max_categories=3),
        EMAIL.str.to_uppercase().count_encode(),
        col("x").count(by="email"),
        ff.cross("email", "carrier").count_encode(),
        SESSION.count_encode(),
    ],
)
def test_a_count_by_a_key_that_stands_for_the_entity_warns(feature: Expr) -> None:
    (told,) = warned(feature, visits())
    assert "a key that stands for the entity of the label, col('user')" in told
    assert "Use a window of earlier rows" in told


@pytest.mark.parametrize(
    "feature",
    [
        EMAIL.one_hot_encode(),
        EMAIL.hash(n_buckets=8),
        col("carrier").ordinal_encode(),
        col("carrier").count_encode(),
        col("id").count_encode(),  # each comes once: its count tells nothing
        WEEKDAY.count_encode(),
        ff.count(over=ff.window("60d", by="email", time="ts")),
    ],
)
def test_other_features_give_no_warning(feature: Expr) -> None:
    assert warned(feature, visits()) == []


def test_a_label_that_counts_no_rows_gives_no_warning() -> None:
    assert warned(EMAIL.count_encode(), visits(), LATER) == []


def test_figures_of_stand_ins_are_those_of_noise() -> None:
    """The AUC of the counts against the label, of which the warning is."""
    data = visits()
    plan = ff.Plan({"email": EMAIL.count_encode(), "session": SESSION.count_encode()}, label=GONE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsWithoutLabel)
        with pytest.warns(CountsSeeAhead, match=r"\(and 1 more count\)"):
            fitted, made = plan.fit_transform(data)
    label = fitted.label(data)
    y, has_label = np.array(label.drop_null()), np.array(label.is_valid())
    for name in ("email", "session"):
        auc = float(roc_auc_score(y, np.array(made[name])[has_label]))
        assert max(auc, 1 - auc) > 0.6, name


def test_keys_that_repeat_in_many_rows_alone_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_warnings, "_FEW_ROWS", 20)  # in which no email comes twice
    assert len(warned(EMAIL.count_encode(), visits())) == 1
    assert warned(col("carrier").count_encode(), visits()) == []


def test_rows_that_are_not_learnt_from_do_not_count() -> None:
    data = visits()
    users = np.array(data["user"])
    twice = data.set_column(3, "email", pa.array(np.where(users % 2, users // 20, users)))
    assert warned(EMAIL.count_encode(), twice) == []
    assert len(warned(EMAIL.count_encode(), twice, rows=users % 2 == 0)) == 1


def test_a_fit_in_passes_warns_too(tmp_path: Path) -> None:
    pq.write_table(visits(), tmp_path / "visits.parquet")
    (told,) = warned(EMAIL.count_encode(), tmp_path / "visits.parquet", memory="64GiB")
    assert "stands for the entity" in told
    assert warned(col("carrier").count_encode(), tmp_path / "visits.parquet", memory="64GiB") == []


@pytest.mark.parametrize(("n_days", "is_told"), [(200, True), (260, False)])
def test_a_part_of_the_time_that_seldom_comes_again_is_not_counted_silently(
    n_days: int, is_told: bool
) -> None:
    told = warned(WEEKDAY.count_encode(), visits(n_days))  # the last 60 days have no label
    assert [text for text in told if "recurs too seldom" in text] == told
    assert bool(told) == is_told
    assert warned(col("ts").dt.hour().count_encode(), visits(n_days)) == []


def test_a_clock_on_the_users_word_warns_each_fit() -> None:
    feature = ff.count(over=ff.window("60d", by="user", time="booked"))
    (told,) = warned(feature, visits(), known_clocks=["booked"])
    assert "earlier by 'booked', but the label is computed from rows that are later by" in told
    assert "a row which is earlier by 'booked' is not later by col('ts')" in told
