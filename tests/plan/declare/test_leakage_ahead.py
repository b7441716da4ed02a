"""No leakage from labels of the future: what is refused, and what the rest tells of noise."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from threadpoolctl import threadpool_limits

import fastfeat as ff
from fastfeat import Expr, col
from fastfeat.errors import FastfeatWarning, Leakage

MONTH = ff.ahead("30d", by="user", time="ts")
CHURNED = {"churned": ff.count(over=MONTH) == 0}
RISE = {"rise": col("g").last(over=ff.ahead("30m", by="user", time="ts", gap="10m")) - col("g")}
K = col("k")


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (ff.count(over=MONTH), "are for label= only"),
        (col("x").mean(over=MONTH).standard_scale(), "are for label= only"),
        (
            col("x").mean(by="user"),
            "learns per key from 'user', whose later rows the label reads, so",
        ),
        (col("x").standard_scale(by=["k", "user"]), "learns per key from 'user'"),
        (
            col("ts").dt.hour().max(by="k"),
            "learns per key from 'ts', which the label reads in later rows, so",
        ),
        (col("user").count_encode(), "learns per key from 'user'"),
        (ff.cross("user", "k").count_encode(normalize=True), "learns per key from 'user'"),
        (col("user").ordinal_encode(), "numbers the values of 'user' by how often"),
        (col("user").one_hot_encode(min_frequency=3), "numbers the values of 'user'"),
        (K.target_encode("churned"), r"Set fold_by=\['user'\], or time="),
        (K.woe_encode("churned", fold="k"), "rows of the same entity"),
        (K.target_encode("churned", fold_by="k"), "rows of the same entity"),
        (K.target_encode("churned", fold_by=["user", "k"]), "rows of the same entity"),
        (K.target_encode("churned", time=-col("n")), "may be later than the row, or run back"),
        (col("user").target_encode("z"), r"Set fold_by=\['user'\], or time="),
        (ff.cross("user", "k").woe_encode("z", fold_by="k"), "rows of the same entity"),
        (col("user").target_encode("z", time=-col("n")), "may be later than the row, or run"),
        (col("churned").mean(over=ff.window(time="ts")), "'churned' is known '30d' after its row"),
        (col("churned").mean(over=ff.window(time="ts", offset="29d")), "offset='30d' or more"),
        (col("churned") * 1, "'churned' in its own row"),
        (col("user").target_encode("z", time="booked"), r"known_clocks=\['booked'\]"),
    ],
)
def test_what_has_seen_the_rows_ahead_is_refused(feature: Expr, told: str) -> None:
    with pytest.raises(Leakage, match=told):
        ff.Plan({"f": feature}, label=CHURNED, outcomes=["z"])


@pytest.mark.parametrize(
    "feature",
    [
        col("x").mean(by="k"),
        K.count_encode(),
        K.ordinal_encode(),
        col("user").ordinal_encode(vocabulary=["a", "b"]),
        col("user").one_hot_encode(),
        col("user").hash(n_buckets=10),
        K.target_encode("churned", fold_by="user"),
        col("user").target_encode("churned", fold_by="user"),
        K.target_encode("churned", time="ts"),
        K.target_encode("z"),
        col("user").target_encode("z", fold_by="user"),
        col("user").target_encode("z", time=col("ts").dt.date()),
        col("x").mean(over=ff.window("7d", time="ts", by="user")),
        ff.count(over=ff.window("7d", time="ts", by="user", closed="right")),
        col("churned").mean(over=ff.window(time="ts", offset="30d")),
        col("x").standard_scale(),
        col("ts").dt.hour() + col("x").mean(),
    ],
)
def test_what_has_seen_earlier_rows_builds(feature: Expr) -> None:
    plan = ff.Plan({"f": feature}, label=CHURNED, outcomes=["z"])
    assert ff.Plan.from_json(plan.to_json()).to_json() == plan.to_json()


def test_categories_of_a_list_that_holds_the_entity_are_not_chosen_by_how_often_they_come() -> None:
    over = ff.ahead("30d", by=[col("l").list.get(0)], time="ts")
    label, encode = {"y": ff.count(over=over) > 0}, col("l").list.multi_hot_encode
    for feature in (encode(min_frequency=8), encode(max_categories=3)):
        with pytest.raises(Leakage, match="numbers the values of 'l' by how often"):
            ff.Plan({"f": feature}, label=label)
    ff.Plan({"f": encode()}, label=label)


def test_what_the_label_reads_of_its_own_row_is_late_unless_it_is_known() -> None:
    with pytest.raises(Leakage, match=r"'g' in its own row.* known=\['g'\]"):
        ff.Plan({"f": col("g")}, label=RISE)
    past = col("g").lag(1, over=ff.window(time="ts"))
    plan = ff.Plan({"f": col("g"), "past": past}, label=RISE, known=["g"])
    assert plan.late == []


def test_the_label_is_known_when_its_window_has_ended() -> None:
    seen = ff.window(time="ts", offset="40m")
    plan = ff.Plan({"f": col("rise").mean(over=seen)}, label=RISE, known=["g"])
    assert "rise (known '40m' later)" in plan.explain("leakage")
    slow = ff.Plan({"f": col("x")}, label=RISE, label_delay="1d", known=["g"])
    assert "rise (known '1d' later)" in slow.explain("leakage")
    early = ff.window(time="ts", offset="39m")
    with pytest.raises(Leakage, match=r"'rise' is known '40m' after its row \(ff\.ahead\)"):
        ff.Plan({"f": col("rise").mean(over=early)}, label=RISE, known=["g"])
    with pytest.raises(Leakage, match="offset='1d' or more"):
        ff.Plan({"f": col("rise").mean(over=seen)}, label=RISE, label_delay="1d", known=["g"])


@pytest.mark.parametrize(
    ("ahead", "outcomes", "time", "needed"),
    [
        ({"time": "ts"}, (), "ts", "30d"),
        ({"time": "ts", "gap": "2d"}, (), "ts", "32d"),
        ({"time": col("ts").dt.truncate("1w")}, (), "ts", "37d"),
        ({"time": "ts"}, (), col("ts").dt.truncate("1w"), "35d"),
        ({"time": col("ts").dt.truncate("1w")}, (), col("ts").dt.truncate("1w"), "35d"),
        ({"time": "ts"}, {"x": "9d"}, "ts", "39d"),
        ({"time": "ts"}, {"x": {"ts": "9d"}, "z": "99d"}, "ts", "39d"),
    ],
)
def test_a_label_waits_until_its_window_has_ended_by_any_clock(
    ahead: dict[str, Any], outcomes: Any, time: Any, needed: str
) -> None:
    """A window ahead by a coarser clock ends later, and outcomes of its last row later still."""
    label = {"much": col("x").sum(over=ff.ahead("30d", by="user", **ahead)) > 9}

    def plan(offset: str) -> ff.Plan:
        over = ff.window(time=time, offset=offset)
        return ff.Plan({"f": col("much").mean(over=over)}, label=label, outcomes=outcomes)

    plan(needed)
    days = int(needed[:-1])
    with pytest.raises(Leakage, match=f"offset='{needed}' or more"):
        plan(f"{days - 1}d" if isinstance(time, str) else f"{days - 7}d")


@pytest.mark.parametrize("ahead", ["booked", col("t") // 1000, -col("t"), col("t") - col("n")])
def test_a_label_is_not_known_by_another_clock_than_its_own(ahead: Any) -> None:
    label = {"y": ff.count(over=ff.ahead(3, by="user", time=ahead)) > 0}
    over = ff.window(time="t", offset=3)
    for feature in (K.target_encode("y", time="t"), col("y").mean(over=over)):
        with pytest.raises(Leakage, match="so it is unclear when it is known by col"):
            ff.Plan({"f": feature}, label=label)


def test_outcomes_ahead_are_known_by_the_clock_ahead() -> None:
    label = {"y": col("x").sum(over=ff.ahead("30d", by="user", time="ts")) > 9}
    feature = {"f": K.target_encode("y", time="ts")}
    with pytest.raises(Leakage, match="has the delay of 'x' for 'day', but the time here"):
        ff.Plan(feature, label=label, outcomes={"x": {"day": 3}})
    with pytest.raises(
        Leakage, match=r"is a whole number, but the length of ff\.ahead is a duration"
    ):
        ff.Plan(feature, label=label, outcomes={"x": 3})


def test_zones_of_the_clock_ahead_count_once_they_are_known() -> None:
    label = {"y": ff.count(over=ff.ahead("30d", by="u", time=col("ts").dt.truncate("1d"))) > 0}
    plan = ff.Plan({"f": col("y").mean(over=ff.window(time="ts", offset="31d"))}, label=label)
    plan.schema({"ts": "timestamp[us]", "y": "bool", "u": "int64"})
    with pytest.raises(Leakage, match="or more"):
        plan.schema({"ts": "timestamp[us, Europe/Berlin]", "y": "bool", "u": "int64"})


def test_without_an_entity_only_folds_by_time_will_do() -> None:
    label = {"y": col("g").mean(over=ff.ahead("1d", time="ts"))}
    with pytest.raises(Leakage, match="Set time="):
        ff.Plan({"f": K.target_encode("y", fold_by="user")}, label=label)
    ff.Plan({"f": K.target_encode("y", time="ts")}, label=label)


def test_an_order_by_counts_tells_nothing_of_values() -> None:
    ff.Plan({"f": col("user").ordinal_encode()}, label=RISE, known=["g"])
    with pytest.raises(Leakage, match="numbers the values"):
        ff.Plan({"f": col("user").ordinal_encode()}, label={"y": col("g").sum(over=MONTH)})


def test_folds_by_time_learn_labels_when_their_windows_have_ended() -> None:
    """Of one category: the mean of the labels whose window ends before the fold begins."""
    t = [*range(40)]
    data = {"t": t, "k": ["a"] * 40, "user": [*range(8)] * 5, "g": [float(v % 7) for v in t]}
    label = {"y": col("g").last(over=ff.ahead(10, by="user", time="t", gap=2))}
    plan = ff.Plan({"f": K.target_encode("y", time="t", folds=3, smooth=0)}, label=label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        fitted, found = plan.fit_transform(data)
        other = plan.fit_transform(data, backend="reference")[1]
    assert found.equals(other)
    y = fitted.label(data).to_pylist()
    learnt = [k for k in t if y[k] is not None]
    for row in learnt:
        fold = learnt.index(row) * 3 // len(learnt)
        begins = min(k for n, k in enumerate(learnt) if n * 3 // len(learnt) == fold)
        known = [y[k] for k in learnt if k + 12 < begins]
        assert found["f"][row].as_py() == (sum(known) / len(known) if known else None)


def noise(seed: int) -> dict[str, NDArray[Any]]:
    """Return rows of 400 users, whose values are drawn by a coin."""
    rng = np.random.default_rng(seed)
    n = 2400
    return {
        "t": rng.permutation(n),
        "user": rng.integers(0, 400, n),
        "k": rng.integers(0, 40, n),
        "g": rng.integers(0, 2, n),
        "x": rng.normal(size=n),
    }


LABELS: dict[str, Expr] = {
    "next": col("g").first(over=ff.ahead(600, by="user", time="t")),
    "more": col("g").mean(over=ff.ahead(600, by="user", time="t")) > 0.5,
    "gone": ff.count(over=ff.ahead(400, by="user", time="t")) == 0,
}


def part(rng: random.Random) -> Expr:
    by = rng.choice([None, "user", "k"])
    past = ff.window(rng.choice([None, 300]), time="t", by=by, closed=rng.choice(["left", "right"]))
    of_label = ff.window(time="t", by=by, offset=600)
    key = rng.choice([K, col("user"), ff.cross("user", "k"), ff.cross("k", "g")])
    match rng.randrange(8):
        case 0 | 1:
            return rng.choice([col("g"), col("x")]).mean(over=past)
        case 2:
            return ff.count(over=past)
        case 3:
            return rng.choice([col("g"), col("x"), col("t")]).mean(by=rng.choice(["user", "k"]))
        case 4:
            return rng.choice([key.count_encode(), key.ordinal_encode()])
        case 5:
            return col("label").mean(over=of_label)
        case 6:
            return key.target_encode("label", fold_by=rng.choice(["user", "k"]))
        case _:
            return key.target_encode("label", time="t", folds=rng.choice([5, 40]))


def check_noise(seed: int) -> None:
    rng, data = random.Random(seed), noise(seed)
    label = {"label": LABELS[rng.choice(sorted(LABELS))]}
    features: dict[str, Expr] = {"x": col("x"), "g": col("g")}
    while len(features) < 8:
        one = part(rng)
        try:
            ff.Plan({"f": one}, label=label)
        except Leakage:
            continue
        features[f"f{len(features)}"] = one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        found = ff.Plan({"x": col("x")}, label=label).fit(data).label(data)
        read = {**data, "label": np.array(found.cast("float64").fill_null(0))}  # by windows
        matrix = ff.Plan(features, label=label).fit_transform(read, to="numpy")[1]
    has_label = np.array(found.is_valid())
    y = np.array(found.drop_null()).astype(int)
    rows = np.nan_to_num(np.asarray(matrix), nan=-9.0)[has_label]
    model = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=8, random_state=0)
    users = data["user"][has_label]  # rows of one user share labels, which is no leak of features
    with threadpool_limits(1):
        told: Any = cross_val_predict(
            model, rows, y, groups=users, cv=GroupKFold(4), method="predict_proba"
        )
    error = (len(y) / (12 * y.sum() * (len(y) - y.sum()))) ** 0.5
    assert roc_auc_score(y, told[:, 1]) < 0.5 + 6 * error, (seed, sorted(features))


@pytest.mark.parametrize("k", range(4))
def test_features_tell_nothing_of_labels_from_the_future(k: int) -> None:
    seed = random.randrange(10**9)
    print("seed", seed)
    check_noise(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_many_features_tell_nothing_of_labels_from_the_future(seed: int) -> None:
    check_noise(seed)
