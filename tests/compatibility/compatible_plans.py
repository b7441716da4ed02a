"""Plans that together use everything, by public names alone.

A plan here never changes, as its fixtures are of the version that wrote them: what is new gets a
plan of its own.
"""

from __future__ import annotations

from typing import Any

import fastfeat as ff
from fastfeat import col

X, Y, N, SMALL, FLAG, T = (col(name) for name in ("x", "y", "n", "small", "flag", "t"))
S, SHOP, CARD = col("s"), col("shop"), col("card")
TAGS, PRICES, COUNTS = (col(name).list for name in ("tags", "prices", "counts"))
OF_CARD: dict[str, Any] = {"time": "t", "by": "card"}


def numbers() -> ff.Plan:
    """Return a plan of functions of numbers in a row."""
    unary = (
        *("abs", "sign", "floor", "ceil", "round", "sqrt", "cbrt", "exp", "expm1", "log", "log1p"),
        *("log2", "log10", "sigmoid", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh"),
        *("cosh", "tanh", "is_finite", "is_infinite", "is_null", "is_not_null"),
    )
    at, there = (col("lat"), col("lon")), (40.6, -73.8)
    return ff.Plan(
        {
            **{name: getattr(X, name)() for name in unary},
            "arithmetic": (X + 1) * 2 - Y / 3 + N % 7 + N // 3 - (-X),
            "power": (N % 5) ** 2,
            "logic": ((X > 1) & ~FLAG) | (N == 3) ^ (Y <= 0.5),
            "compared": (X != 2).fill_null(False),
            "rounded": X.round(2),
            "log_3": X.abs().log(3),
            "clip": X.clip(-1, 1),
            "between": N.is_between(1, 5, closed="left"),
            "is_in": N.is_in([1, 2, 3]),
            "replaced": N.replace_strict({1: 0.5, 2: 1.5}, default=-1.0),
            "cut": X.cut([-1.0, 0.0, 2.5]),
            "hash": X.hash(n_buckets=100, seed=3),
            "hash_of_text": SHOP.hash(),
            "cast": X.cast("int32", strict=False),
            "cast_bool": N.cast("bool"),
            "filled": X.fill_null(0.5).fill_infinite(9.0),
            "cyclical": N.cyclical(24),
            "chosen": ff.when(X > 0).then(X).when(FLAG).then(N).otherwise(None),
            "coalesced": ff.coalesce(X, Y, 0.0),
            "distance": ff.haversine(*at, *there),
            "polynomial": ff.polynomial_features(X, Y, degree=2, include_bias=True),
            "interactions": ff.polynomial_features(X, Y, N, interaction_only=True),
            **{
                f"{name}_horizontal": getattr(ff, f"{name}_horizontal")(X, Y, N)
                for name in ("min", "max", "mean", "sum")
            },
            "big": col("big") // 3,
        }
    )


def learnt() -> ff.Plan:
    """Return a plan of statistics of all training rows, and of what is made of them."""
    return ff.Plan(
        {
            **{
                f"less_{name}": X - getattr(X, name)()
                for name in ("sum", "mean", "var", "std", "min", "max", "median")
            },
            "counts": N + X.count() + X.null_count() + SHOP.n_unique() + N.n_unique(),
            "mode": SHOP.mode() == SHOP,
            "population": X / X.std(ddof=0),
            **{
                f"quantile_{how}": X.quantile(0.3, interpolation=how) < X
                for how in ("linear", "lower", "higher", "midpoint", "nearest")
            },
            "standard": X.standard_scale(),
            "centred": X.standard_scale(with_std=False),
            "min_max": Y.min_max_scale(feature_range=(-1, 1), clip=True),
            "max_abs": Y.max_abs_scale(clip=True),
            "robust": X.robust_scale(quantile_range=(10.0, 90.0), unit_variance=True),
            "uniform": X.quantile_transform(n_quantiles=20),
            "normal": X.quantile_transform(n_quantiles=15, output_distribution="normal"),
            "yeo_johnson": X.power_transform(),
            "box_cox": (X.abs() + 1).power_transform(method="box-cox", standardize=False),
            "bins": X.k_bins_discretize(n_bins=4, strategy="uniform"),
            "quantile_bins": Y.k_bins_discretize(n_bins=3),
            "qcut": X.qcut(4),
            "qcut_at": Y.qcut([0.1, 0.5, 0.9]),
            "imputed": X.impute("mean"),
            "imputed_too": Y.impute("median", add_indicator=True),
            "imputed_text": SHOP.impute("mode").hash(n_buckets=50),
            "imputed_0": X.impute(0.0),
            "splines": X.spline_transform(n_knots=4, degree=2),
            "splines_at": Y.spline_transform(
                knots=[-2.0, 0.0, 2.0], extrapolation="linear", include_bias=False
            ),
            "splines_q": X.spline_transform(n_knots=5, knots="quantile", extrapolation="periodic"),
            "nested": ((X - X.mean()).abs().sqrt() / Y.std()).standard_scale(),
        },
        dtype="float32",
    )


def keys() -> ff.Plan:
    """Return a plan of what is learnt of the training rows of a key."""
    aggregates = ("count", "null_count", "sum", "mean", "var", "std", "min", "max", "median")
    return ff.Plan(
        {
            **{f"{name}_by": getattr(X, name)(by="card") for name in aggregates},
            "mode": N.mode(by=["card", "shop"]),
            "n_unique": N.n_unique(by="shop"),
            "quantile": X.quantile(0.9, interpolation="higher", by="shop"),
            "of_many": X.mean(by="card", min_rows=12),
            "of_expression": Y.sum(by=[N % 3, FLAG]),
            "standard": X.standard_scale(by="shop"),
            "min_max": X.min_max_scale(by="shop"),
            "max_abs": X.max_abs_scale(by="card", min_rows=5),
            "robust": X.robust_scale(by="shop"),
            "imputed": X.impute("median", by="shop"),
            "crossed": ff.cross("card", "shop").count_encode(normalize=True),
            "of_day": X.mean(by=[col("day").dt.weekday()]),
            "fallback": X.mean(by="card", min_rows=12).fill_null(X.mean()),
        }
    )


def encoders() -> ff.Plan:
    """Return a plan of encoders, with folds of each kind."""
    return ff.Plan(
        {
            "ordinal": CARD.ordinal_encode(min_frequency=3, n_unseen_buckets=4),
            "few": CARD.ordinal_encode(max_categories=5),
            "given": SHOP.ordinal_encode(vocabulary=["a", "b", "zz"]),
            "of_numbers": N.ordinal_encode(),
            "hot": SHOP.one_hot_encode(missing="column"),
            "hot_few": SHOP.one_hot_encode(max_categories=2, drop="first"),
            "binary": FLAG.one_hot_encode(drop="if_binary"),
            "count": CARD.count_encode(min_rows=4),
            "target": CARD.target_encode("late", folds=3, smooth=2.0),
            "auto": SHOP.target_encode("late"),
            "of_delay": SHOP.target_encode("delay", stat="quantile", q=0.75, smooth=2.0, folds=4),
            "variance": SHOP.target_encode("delay", stat="var", smooth=1.0),
            "classes": SHOP.target_encode("grade", classes=[1, 2, 3], folds=3),
            "of_entities": SHOP.target_encode("late", fold_by="card", folds=3),
            "of_column": CARD.target_encode("late", fold=N % 4),
            "in_time": CARD.target_encode("late", time="t", folds=4),
            "woe": SHOP.woe_encode("late", folds=3, regularization=0.5),
            "private": CARD.target_encode("late", min_rows=12),
            "crossed": ff.cross("shop", "flag").woe_encode("late", fold_by=["card"]),
            "scaled": CARD.target_encode("late", folds=3).standard_scale(),
        },
        label={"late": col("delay") > 1},
        outcomes=["grade"],
    )


def text() -> ff.Plan:
    """Return a plan of functions of text."""
    of = S.str
    made = {
        "lower": of.to_lowercase(),
        "upper": of.to_uppercase(),
        "stripped": of.strip_chars(),
        "stripped_of": of.strip_chars_start("a1").str.strip_chars_end("e "),
        "part": of.slice(-4, 2),
        "extracted": of.extract(r"([a-z]+) (\d+)", 2),
        "replaced": of.replace(r"\d", "#"),
        "replaced_all": of.replace_all("a", "<>", literal=True),
    }
    return ff.Plan(
        {
            **{name: value.hash() for name, value in made.items()},
            **{f"{name}_code": made[name].ordinal_encode() for name in ("lower", "extracted")},
            "bytes": of.len_bytes(),
            "chars": of.len_chars(),
            "tokens": of.token_count(),
            "starts": of.starts_with("fl"),
            "ends": of.ends_with("e"),
            "contains": of.contains("a", literal=True),
            "contains_digits": of.contains(r"\d{2}"),
            "matches": of.count_matches("e", literal=True),
            "matches_words": of.count_matches(r"\w+"),
            "integer": col("number").str.to_integer(strict=False),
            "hex": col("number").str.to_integer(base=16, strict=False),
            "float": col("number").str.to_float(strict=False),
            "year": col("date").str.to_datetime("%Y-%m-%d", strict=False).dt.year(),
            "ngrams": of.hash_ngrams(3, 4, seed=1),
            "words": of.hash_tokens(3),
            "equal": S == "flight 12",
            "filled": S.fill_null("none").str.len_chars(),
            "chosen": ff.when(FLAG).then(S).otherwise(SHOP).hash(n_buckets=32),
            "words_in": made["lower"].is_in(["a", "flight 12"]),
        }
    )


def lists() -> ff.Plan:
    """Return a plan of functions of lists."""
    return ff.Plan(
        {
            "len": TAGS.len(),
            **{name: getattr(PRICES, name)() for name in ("sum", "mean", "min", "max", "var")},
            "std": COUNTS.std(ddof=0),
            "total": COUNTS.sum(),
            "get": PRICES.get(1),
            "first": TAGS.first().hash(),
            "last": COUNTS.last(),
            "contains": TAGS.contains("new"),
            "contains_n": COUNTS.contains(SMALL),
            "slice": PRICES.slice(1, 2).list.sum(),
            "pad": COUNTS.pad(3, value=0),
            "codes": TAGS.ordinal_encode(width=2, min_frequency=2),
            "given": TAGS.ordinal_encode(width=1, vocabulary=["new", "old"]),
            "hashed": TAGS.hash_encode(width=2, n_buckets=64, seed=5),
            "is": TAGS.multi_hot_encode(missing="column"),
            "is_often": TAGS.multi_hot_encode(max_categories=1),
        }
    )


def calendar() -> ff.Plan:
    """Return a plan of parts of times."""
    parts = (
        *("year", "quarter", "month", "week", "weekday", "day", "ordinal_day", "hour", "minute"),
        *("second", "millisecond", "microsecond", "nanosecond", "is_leap_year", "is_month_start"),
        *("is_month_end", "is_quarter_end", "is_weekend", "days_in_month"),
    )
    since = T - T.min()
    totals = ("days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds")
    zone = "America/New_York"
    return ff.Plan(
        {
            **{name: getattr(T.dt, name)() for name in parts},
            **{f"{name}_there": getattr(T.dt, name)(tz=zone) for name in ("hour", "day", "week")},
            **{f"total_{name}": getattr(since.dt, f"total_{name}")() for name in totals},
            "of_day": col("day").dt.weekday(),
            "truncated": T.dt.truncate("1d", tz=zone).dt.epoch("s"),
            "truncated_mo": T.dt.truncate("1mo").dt.epoch(),
            "date": T.dt.date(tz="Asia/Kolkata").dt.epoch("d"),
            "epoch": T.dt.epoch("ms"),
            "hour_angle": T.dt.hour(tz=zone).cyclical(24),
            "is_old": T.max() > T,
            "cast": T.cast("timestamp[s]").dt.epoch("s"),
        }
    )


def windows() -> ff.Plan:
    """Return a plan of windows over the rows of the data."""
    week, past = ff.window("7d", **OF_CARD), ff.window(**OF_CARD)
    right = ff.window("3d", closed="right", min_samples=1, tie="id", **OF_CARD)
    late = ff.window("20d", rows=6, offset="12h", closed="both", **OF_CARD)
    steps = ff.window(400, time="step", by=["shop", FLAG.fill_null(False)], closed="neither")
    now = ff.window(closed="right", **OF_CARD)
    aggregates = (
        *("count", "null_count", "sum", "mean", "var", "std", "min", "max", "median", "mode"),
        *("n_unique", "first", "last", "range", "slope"),
    )
    return ff.Plan(
        {
            **{f"{name}_week": getattr(X, name)(over=week) for name in aggregates},
            **{f"{name}_right": getattr(SMALL, name)(over=right) for name in aggregates},
            **{f"{name}_late": getattr(N, name)(over=late) for name in aggregates[:8]},
            **{f"{name}_steps": getattr(Y, name)(over=steps) for name in aggregates[2:8]},
            "quantile": X.quantile(0.25, interpolation="midpoint", over=week),
            "population": X.std(ddof=0, over=past),
            "text": SHOP.last(over=past).hash(),
            "text_mode": SHOP.mode(over=week) == "a",
            "lag": X.lag(1, over=past),
            "lag_3": SHOP.lag(3, over=past).hash(),
            "diff": X.diff(2, over=past),
            "pct_change": N.pct_change(over=past),
            "any": FLAG.any(over=week),
            "all": (X > 0).all(over=right),
            "rows": ff.count(over=ff.window("30d", time="t")),
            "since": ff.time_since_last(over=past),
            "since_flag": ff.time_since(FLAG, over=past),
            "session": ff.session_id("1d", over=past),
            "rank": X.rank(over=ff.window(rows=5, closed="right", **OF_CARD)),
            "rank_pct": N.rank(over=week, method="max", pct=True),
            "ewm": X.ewm_mean(alpha=0.4, over=now),
            "ewm_by": X.ewm_mean(half_life="2d", over=past),
            "streak": FLAG.streak(over=now),
            "of_days": X.sum(over=ff.window("9d", time=T.dt.truncate("1d"), by="shop")),
        }
    )


def tables() -> ff.Plan:
    """Return a plan of tables beside the data: windows, as-of joins, lookups."""
    paid = ff.window("10d", table="payments", **OF_CARD)
    other = ff.window(rows=3, time="step", by={"card": "who"}, table="logins", right_time="at")
    found = ff.lookup("shops", by="shop")
    by_two = ff.lookup("places", by={N % 3: "k", "flag": "flag"})
    latest = ff.asof("payments", tolerance="3d", delay="1h", **OF_CARD)
    before = ff.asof("payments", time="t", allow_exact_matches=False)
    steps = ff.asof("logins", time="step", right_time="at", by={"card": "who"}, tolerance=40)
    aggregates = ("count", "sum", "mean", "std", "min", "max", "median", "first", "last")
    return ff.Plan(
        {
            **{f"{name}_paid": getattr(col("amount"), name)(over=paid) for name in aggregates},
            "n_paid": ff.count(over=paid),
            "since_paid": ff.time_since_last(over=paid),
            "failed": (col("status") != "ok").sum(over=other),
            "slope": col("tries").slope(over=other),
            "streak": (col("status") == "ok").streak(over=other),
            "size": found.col("size"),
            "kind": found.col("kind").ordinal_encode(),
            "place": by_two.col("value"),
            "mean_of_kind": X.mean(by=[found.col("kind")]),
            "amount": latest.col("amount"),
            "amount_before": before.col("amount"),
            "status": steps.col("status").hash(),
            "tries": steps.col("tries") + 1,
            "compared": X - col("amount").mean(over=paid),
        }
    )


def ahead() -> ff.Plan:
    """Return a plan of a label from the rows ahead, with its encoders."""
    soon = ff.ahead("2d", gap="1h", tie="id", **OF_CARD)
    return ff.Plan(
        {
            "past": X.mean(over=ff.window("7d", closed="right", **OF_CARD)),
            "shop": SHOP.target_encode("rises", time="t", folds=3),
            "entity": SHOP.target_encode("rises", fold_by="card", folds=3),
        },
        label={"rises": Y.max(over=soon) > 1},
    )


def churn() -> ff.Plan:
    """Return a plan of a label from the rows of a table ahead, until a moment."""
    logins = ff.ahead(60, time="step", by={"card": "who"}, table="logins", right_time="at", end=900)
    return ff.Plan({"x": X, "n": N + 1}, label={"gone": ff.count(over=logins) == 0})


def late() -> ff.Plan:
    """Return a plan with a label, when it is known, and what is known besides."""
    seen = ff.window("9d", offset="2d", **OF_CARD)
    return ff.Plan(
        {
            "rate": (col("delay") > 1).mean(over=seen),
            "last": col("grade").last(over=seen),
            "promised": col("promised") - X,
            "grade": ff.lookup("shops", by="shop").col("grade"),
            "n": ff.count(over=ff.window("7d", **OF_CARD)),
        },
        label={"is_late": (col("delay") > 1) & (col("promised") > 0)},
        outcomes={"grade": "1d"},
        label_delay={"t": "36h"},
        known=["promised"],
        known_tables={"shops": ["grade"]},
        keep=["id", "card"],
        row_id="id",
    )


def nested() -> ff.Plan:
    """Return a plan in which windows, tables, keys and encoders stand in each other."""
    week, right = ff.window("7d", **OF_CARD), ff.window("7d", closed="right", **OF_CARD)
    usual = X.mean(over=week)
    return ff.Plan(
        {
            "scaled": (X - usual).standard_scale(),
            "scaled_by": usual.robust_scale(by="shop"),
            "worst": (X - usual).min(over=right),
            "code": SHOP.lag(1, over=week).ordinal_encode(),
            "pair": ff.cross(SHOP, SHOP.last(over=week)).count_encode(),
            "binned": ff.count(over=week).qcut(3),
            "hot": SHOP.last(over=right).one_hot_encode(),
            "found": ff.lookup("shops", by={SHOP.last(over=right): "shop"}).col("size"),
            "paid": ff.asof("payments", **OF_CARD).col("amount").mean(over=right),
            "split": X.mean(over=week).k_bins_discretize(n_bins=3).cast("float64"),
        }
    )


def parameters() -> ff.Plan:
    """Return the plan that an earlier version wrote with a record of its calls."""
    return ff.Plan(
        {
            "target": SHOP.target_encode("late", smooth=3.0, folds=3),
            "mean": X.mean(over=ff.window("5d", **OF_CARD)),
            "bins": X.qcut(4),
        },
        label={"late": col("delay") > 1.0},
        label_delay="1d",
    )


PLANS = {
    made.__name__: made
    for made in (
        *(numbers, learnt, keys, encoders, text, lists, calendar, windows, tables, ahead, churn),
        *(late, nested, parameters),
    )
}


def live() -> dict[str, ff.Plan]:
    """Return plans that have one state."""
    week, seen = ff.window("7d", **OF_CARD), ff.window("9d", offset="2d", **OF_CARD)
    first = ff.Plan(
        {
            "n": ff.count(over=week),
            "sum": X.sum(over=week),
            "median": SMALL.median(over=ff.window("3d", closed="right", **OF_CARD)),
            "lag": Y.lag(2, over=ff.window(rows=2, **OF_CARD)),
            "idle": ff.time_since_last(over=ff.window("30d", **OF_CARD)),
            "rate": (col("delay") > 1).mean(over=seen),
            "paid": col("amount").mean(over=ff.window("10d", table="payments", **OF_CARD)),
            "asof": ff.asof("payments", tolerance="5d", **OF_CARD).col("amount"),
            "size": ff.lookup("shops", by="shop").col("size"),
            "shop": SHOP.target_encode("is_late", folds=3),
            "x": X.standard_scale(),
        },
        label={"is_late": col("delay") > 1},
        label_delay="36h",
        row_id="id",
    )
    second = ff.Plan(
        {"max": X.max(over=week), "of_shop": ff.count(over=ff.window("1d", time="t", by="shop"))},
        row_id="id",
    )
    return {"first": first, "second": second}
