"""`ff.diff`: seeded changes are told, each with its verdict, and equal data gives none."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import ContractBroken, TypeMismatch
from fastfeat.trust.quality.changes.record import KINDS, VERDICTS

ROWS: dict[str, list[Any]] = {
    "x": [1.0, 2.0, 4.0, 8.0, None, 3.0],
    "n": [1, 2, 3, 4, 5, 6],
    "k": ["a", "a", "a", "b", "b", "c"],
    "y": [0, 1, 1, 0, 1, 0],
}
FEATURES = {
    "scaled": col("x").standard_scale(),
    "code": col("k").ordinal_encode(),
    "is": col("k").one_hot_encode(),
    "of_key": col("x").mean(by="k"),
    "n": col("n") + 1,
}
OPTIONS: dict[str, Any] = {"label": {"late": col("y") > 0}, "keep": ["k"]}
RULES = ff.Contract({"few": col("n") < 9})


def fitted(
    features: Mapping[str, Any] = FEATURES,
    contract: ff.Contract | None = RULES,
    rows: Mapping[str, list[Any]] | None = None,
    **options: Any,
) -> ff.FittedPlan:
    plan = ff.Plan(features, **{**OPTIONS, **options})
    given = {**ROWS, **(rows or {})}
    return plan.fit(given, contract=contract, profile=False, backend="reference")


def only(*names: str, **columns: list[Any]) -> ff.FittedPlan:
    """Return a plan of some of the features, fitted on rows of which some columns are others."""
    return fitted({name: FEATURES[name] for name in names}, rows=columns)


def only_codes(n: int) -> ff.FittedPlan:
    """Return a plan of the smallest codes of so many categories."""
    plan = ff.Plan({"code": FEATURES["code"]}, codes="smallest")
    rows = {"k": [f"{k:03}" for k in range(n)]}
    return plan.fit(rows, profile=False, backend="reference")


def more(**features: Any) -> ff.FittedPlan:
    return fitted({**FEATURES, **features})


PROFILED = ff.Plan({"n": FEATURES["n"]})
AB, ABC = list("aaabbb"), list("aaabbc")
SEEDED: dict[str, tuple[Any, Any, str, list[str]]] = {
    "a feature more": (fitted, lambda: more(z=col("n") * 2), "minor", ["feature added"]),
    "a feature less": (
        fitted,
        lambda: only("scaled", "code", "is", "of_key"),
        "major",
        ["feature removed", "input removed"],
    ),
    "another formula": (fitted, lambda: more(n=col("n") + 2), "major", ["feature changed"]),
    "another order": (
        lambda: only("n", "code"),
        lambda: only("code", "n"),
        "major",
        ["columns moved"],
    ),
    "an input more": (
        fitted,
        lambda: fitted({**FEATURES, "z": col("z").sqrt()}, rows={"z": ROWS["n"]}),
        "major",
        ["input added", "feature added"],
    ),
    "an input of another type": (
        lambda: only("n"),
        lambda: only("n", n=[1.5, 2.0, 3.0, 4.0, 5.0, 6.0]),
        "major",
        ["feature retyped", "input retyped"],
    ),
    "codes of other categories": (
        lambda: only("code"),
        lambda: only("code", k=list("abbbbc")),
        "major",
        ["codes reassigned"],
    ),
    "a category more": (
        lambda: only("code", k=AB),
        lambda: only("code", k=ABC),
        "minor",
        ["categories added"],
    ),
    "a category less": (
        lambda: only("code", k=ABC),
        lambda: only("code", k=AB),
        "major",
        ["codes reassigned"],
    ),
    "a one-hot column less": (
        lambda: only("is", "n", k=ABC),
        lambda: only("is", "n", k=AB),
        "major",
        ["column removed", "columns moved", "learnt keys changed"],
    ),
    "a one-hot column more": (
        lambda: only("is", k=AB),
        lambda: only("is", k=ABC),
        "minor",
        ["column added", "learnt keys changed"],
    ),
    "a training input of another type": (
        lambda: fitted({"n": col("n") - col("x").n_unique()}),
        lambda: fitted({"n": col("n") - col("x").n_unique()}, rows={"x": list("abcdee")}),
        "refit",
        ["training input changed"],
    ),
    "another learnt value": (
        lambda: only("scaled"),
        lambda: only("scaled", x=[1.0, 2.0, 4.0, 8.0, 9.0, 3.0]),
        "refit",
        ["learnt value changed", "learnt value changed"],
    ),
    "another value of a key": (
        lambda: only("of_key"),
        lambda: only("of_key", x=[1.0, 2.0, 4.0, 8.0, None, 5.0]),
        "refit",
        ["learnt value changed"],
    ),
    "more rows of the same": (
        lambda: only("of_key"),
        lambda: only("of_key", **{name: values * 2 for name, values in ROWS.items()}),
        "refit",
        ["learnt keys changed"],
    ),
    "a rule more": (
        fitted,
        lambda: fitted(contract=ff.Contract({"few": col("n") < 9, "some": col("n") > 0})),
        "minor",
        ["rule added"],
    ),
    "another rule": (
        fitted,
        lambda: fitted(contract=ff.Contract({"few": col("n") < 10})),
        "minor",
        ["rule changed"],
    ),
    "another label": (
        fitted,
        lambda: fitted(label={"late": col("y") >= 0}),
        "major",
        ["label changed"],
    ),
    "another float type": (
        lambda: only("scaled"),
        lambda: fitted({"scaled": FEATURES["scaled"]}, dtype="float32"),
        "major",
        ["feature retyped", "matrix retyped", "option changed"],
    ),
    "a feature beside the smallest codes": (
        lambda: fitted({"code": FEATURES["code"]}, codes="smallest"),
        lambda: fitted({"code": FEATURES["code"], "n": FEATURES["scaled"]}, codes="smallest"),
        "major",
        ["matrix retyped", "input added", "feature added"],
    ),
    "more codes than the smallest type has": (
        lambda: only_codes(200),
        lambda: only_codes(300),
        "major",
        ["feature retyped", "matrix retyped", "categories added"],
    ),
    "a kept column less": (fitted, lambda: fitted(keep=[]), "major", ["kept column removed"]),
    "a kept column more": (lambda: fitted(keep=[]), fitted, "minor", ["kept column added"]),
    "a rule less": (fitted, lambda: fitted(contract=None), "minor", ["rule removed"]),
    "another late column": (
        fitted,
        lambda: fitted(outcomes=["z"], rows={"z": ROWS["n"]}),
        "minor",
        ["declaration changed"],
    ),
}
"""Two plans by what is done to the second, the verdict, and the kinds of change that tell of it."""


@pytest.mark.parametrize("name", SEEDED)
def test_a_seeded_change_is_classified(name: str) -> None:
    before, after, verdict, kinds = SEEDED[name]
    found = ff.diff(before(), after())
    assert [change.kind for change in found.changes] == kinds, found
    assert found.verdict == verdict
    assert verdict in repr(found)


def test_kinds_are_of_known_verdicts_and_all_are_seeded() -> None:
    seeded = {kind for *_, kinds in SEEDED.values() for kind in kinds}
    elsewhere = {"profile changed", "sample refused", "outputs changed", "time zone changed"}
    assert seeded | elsewhere == set(KINDS)
    assert set(KINDS.values()) <= set(VERDICTS)


def test_the_page_says_of_each_kind_what_verdict_it_has() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "trust.md").read_text("utf-8")
    rows = [
        line for line in page.splitlines() if line.startswith(tuple(f"| {v}" for v in VERDICTS))
    ]
    told = {kind: row.split()[1] for row in rows for kind in re.findall("`([a-z -]+)`", row)}
    assert told == KINDS


def test_equal_rows_in_any_order_are_the_same(tmp_path: Path) -> None:
    shuffled = list(range(6))
    random.Random(5).shuffle(shuffled)
    again = fitted(rows={name: [values[k] for k in shuffled] for name, values in ROWS.items()})
    first = fitted()
    for name, one in {"a": first, "b": again}.items():
        one.save(tmp_path / f"{name}.fastfeat")
    for found in (ff.diff(first, again, ROWS), ff.diff(tmp_path / "a.fastfeat", again)):
        assert found.verdict == "same", found
        assert found.same
    assert ff.diff(first, again, ROWS).n_compared == 6


def test_codes_that_mean_another_category_are_told_with_the_share_of_rows() -> None:
    (change,) = ff.diff(only("code", k=ABC), only("code", k=list("bbbbac"))).of_kind(
        "codes reassigned"
    )
    assert change.name == "code"
    assert change.before == {"a": 2, "b": 3}
    assert change.after == {"a": 3, "b": 2}
    assert "2 of 3 categories" in change.told
    assert "83.3% of the rows of the first fit" in change.told


def test_codes_of_groups_may_change() -> None:
    features = {"mean": col("x").mean(by="k"), "rows": col("k").count_encode()}
    before = fitted(features)
    found = ff.diff(before, fitted(features, rows={"k": list("bbbbac")}))
    assert found.verdict == "refit"
    assert not found.of_kind("codes reassigned")


def test_hostile_names_stay_on_their_line() -> None:
    odd, long = "a\n\x1b[31mmajor", "b" * 10_000
    features = {odd: col("k").ordinal_encode()}
    before = fitted(features, rows={"k": [odd, odd, odd, long, long, "c"]})
    text = repr(ff.diff(before, fitted(features, rows={"k": [odd, long, long, long, "c", "c"]})))
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text
    assert len(text) < 1000


def test_keys_of_several_parts_are_matched() -> None:
    features = {"code": ff.cross("k", "n").ordinal_encode()}
    before = fitted(features, rows={"n": [1, 1, 2, 2, 2, 1]})
    after = fitted(features, rows={"n": [1, 2, 2, 2, 2, 1]})
    (change, *_) = ff.diff(before, after).of_kind("codes reassigned")
    assert change.before == {"a 1": 2, "a 2": 4}
    assert change.after == {"a 1": 4, "a 2": 2}


RETYPED: dict[str, list[Any]] = {
    "text": list("abbcca"),
    "bool": [True, False, None, True, True, True],
    "date": [date(2026, 1, day) for day in (1, 2, 2, 3, 4, 5)],
    "time": [datetime(2026, 1, day) for day in (1, 2, 2, 3, 4, 5)],
}


@pytest.mark.parametrize("make", [lambda x: x.mode() == x, lambda x: x.count_encode()])
def test_learnt_values_of_another_type_are_told(make: Callable[[ff.Expr], ff.Expr]) -> None:
    features = {"x": make(col("x"))}
    fits = {name: fitted(features, rows={"x": x}) for name, x in RETYPED.items()}
    for before in fits.values():
        for after in fits.values():
            found = ff.diff(before, after)
            assert found.verdict == ("same" if before is after else "major"), found


def test_outputs_of_a_sample_are_compared() -> None:
    before = only("scaled", "n")
    after = only("scaled", "n", x=[1.0, 2.0, 4.0, 8.0, 9.0, 3.0])
    sample = {name: values[:4] for name, values in ROWS.items()}
    found = ff.diff(before, after, sample)
    (change,) = found.of_kind("outputs changed")
    assert (change.name, change.after, found.n_compared) == ("scaled", 1.0, 4)
    assert "standard deviations" in change.told


def test_golden_rows_are_compared_without_a_sample(tmp_path: Path) -> None:
    only("scaled", "code").save(tmp_path / "a.fastfeat")
    before, after = ff.load(tmp_path / "a.fastfeat"), only("scaled", "code", x=[2.0] * 5 + [3.0])
    found = ff.diff(before, after)
    (change,) = found.of_kind("outputs changed")
    assert change.name == "scaled"
    assert f"of {found.n_compared} golden rows" in change.told
    assert ff.diff(before, only("scaled", "code")).n_compared > 0
    assert ff.diff(before, only("scaled", "code")).same
    other = ff.diff(before, fitted({"z": col("z") + 1}, rows={"z": ROWS["n"]}, keep=[]))
    assert (other.n_compared, other.of_kind("outputs changed")) == (0, ())


def test_files_in_another_order_give_the_same_plan(tmp_path: Path) -> None:
    draw = random.Random(4)
    names = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for name in names:
        x = [draw.gauss(0.0, 1.0) for _ in range(300)]
        k = [draw.choice("abcd") for _ in x]
        y = [draw.randrange(2) for _ in x]
        pq.write_table(pa.table({"x": x, "k": k, "y": y}), name)
    features = {
        "x": col("x").robust_scale(),
        "k": col("k").ordinal_encode(),
        "risk": col("k").target_encode("y"),
    }
    plan = ff.Plan(features, label="y")
    found = ff.diff(plan.fit(names), plan.fit(names[::-1], memory="64GiB"), names[0])
    assert found.verdict == "same", found
    assert found.n_compared == 300


def test_a_sample_that_the_second_plan_refuses_is_a_change() -> None:
    before = only("n")
    after = fitted({"n": FEATURES["n"], "z": col("z") + 1}, rows={"z": ROWS["n"]})
    found = ff.diff(before, after, {"n": [1], "k": ["a"]})
    (change,) = found.of_kind("sample refused")
    assert "UnknownColumn" in change.told


def profiled(rows: dict[str, list[Any]], **features: Any) -> ff.FittedPlan:
    return ff.Plan(features).fit(rows, profile="inputs", backend="reference")


def test_profiles_tell_how_training_rows_differ() -> None:
    features = {"x": col("x") + 1, "k": col("k").str.len_chars(), "y": col("y") > 0}
    before = profiled(ROWS, **features)
    after = profiled({**ROWS, "x": [2.0, 2.0, 4.0, 8.0, 9.0, 3.0], "k": list("aabbbb")}, **features)
    found = ff.diff(before, after)
    assert found.verdict == "refit"
    told = {change.name: change.told for change in found.of_kind("profile changed")}
    assert set(told) == {"x", "k"}
    assert "mean 3.6 -> 4.66667 (+0.44 standard deviations)" in told["x"]
    assert "range 1 to 8 -> 2 to 9, missing 16.67% -> 0.00%" in told["x"]
    assert told["k"] == "'b' 33.3% -> 66.7%, 'a' 50.0% -> 33.3%"


def test_profiles_tell_times_as_times() -> None:
    def of(*days: int) -> ff.FittedPlan:
        times = [datetime(2026, 1, day, 12) for day in days]
        return profiled({"t": times}, t=col("t").dt.hour())

    (change,) = ff.diff(of(1, 3), of(3, 5)).of_kind("profile changed")
    assert change.told == (
        "mean 2026-01-02 12:00:00 -> 2026-01-04 12:00:00 (+2 standard deviations), "
        "range 2026-01-01 12:00:00 to 2026-01-03 12:00:00 -> "
        "2026-01-03 12:00:00 to 2026-01-05 12:00:00"
    )
    (change,) = ff.diff(of(1, 5), of(2, 4)).of_kind("profile changed")
    assert change.told.startswith("standard deviation 2 d -> 1 d, range ")


def test_values_of_missing_and_unknown_keys_are_counted_among_those_of_groups() -> None:
    def of(*x: float) -> ff.FittedPlan:
        rows = {"k": ["a", "b", None], "x": list(x)}
        return fitted({"m": col("k").target_encode("x")}, None, rows, label={"x": col("x")})

    told = [one.told for one in ff.diff(of(1, 2, 3), of(2, 3, 5)).changes]
    assert any(text.startswith("4 of 4 groups changed") for text in told), told


def test_profiles_of_rows_in_another_order_are_the_same() -> None:
    draw = random.Random(3)
    rows: dict[str, list[Any]] = {
        "x": [draw.gauss(0.0, 1.0) for _ in range(40_000)],
        "k": [str(draw.randrange(400)) for _ in range(40_000)],
    }
    features = {"x": col("x") - col("x").mean(), "k": col("k").count_encode()}
    again = {name: values[::-1] for name, values in rows.items()}
    found = ff.diff(profiled(rows, **features), profiled(again, **features))
    assert found.verdict == "same", found


def test_a_feature_of_another_name_is_told() -> None:
    found = ff.diff(only("scaled", "n"), fitted({"scaled": FEATURES["scaled"], "m": FEATURES["n"]}))
    (change,) = found.of_kind("feature removed")
    assert (change.name, change.told) == ("n", "was (col('n') + 1), now named 'm'")


def test_a_refit_keeps_contract_and_profile() -> None:
    first = PROFILED.fit(ROWS, contract=RULES, profile=True, backend="reference")
    again = first.refit(ROWS, backend="reference")
    assert again.contract == RULES
    assert ff.quality.profile(again) == ff.quality.profile(first)
    assert ff.diff(first, again).same
    bare = PROFILED.fit(ROWS, profile=False, backend="reference")
    assert bare.refit(ROWS, backend="reference").record.profile is None
    with pytest.raises(ContractBroken):
        first.refit({**ROWS, "n": [10] * 6}, backend="reference")


def test_another_table_of_a_time_zone_is_told() -> None:
    plan = ff.Plan({"hour": col("t").dt.hour(tz="Europe/Paris", naive="UTC")})
    before = plan.fit({"t": np.array(["2026-01-01"], "M8[s]")}, backend="reference")
    (zone, table), *_ = before.record.zones.items()
    zones = {zone: replace(table, offsets=(*table.offsets[:-1], table.offsets[-1] + 3600))}
    found = ff.diff(before, ff.FittedPlan(plan, replace(before.record, zones=zones)))
    assert [(change.kind, change.name) for change in found.changes] == [
        ("time zone changed", "Europe/Paris")
    ]
    assert found.verdict == "refit"


def test_many_changes_of_a_kind_are_told_by_the_first_ones() -> None:
    features = {f"x{k}": (col("x") * k).mean() - col("x") for k in range(1, 15)}
    found = ff.diff(fitted(features), fitted(features, rows={"x": ROWS["n"]}))
    assert len(found.of_kind("learnt value changed")) == 14
    assert repr(found).splitlines()[-1] == "refit learnt value changed: 4 more"


def test_what_is_no_fitted_plan_is_refused() -> None:
    plan: Any = ff.Plan({"n": col("n")})
    with pytest.raises(TypeMismatch, match=r"plan\.fit"):
        ff.diff(plan, fitted())
