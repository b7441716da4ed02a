"""Five folds of 20 features: windows, scalers and encoders, learnt from the rows of each fold.

Windows see all rows, and every contender computes them once; learning happens once per fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from bench import frames
from bench.compare import Tolerance
from bench.workload import Contender, Target, Workload

N_FOLDS, N_INNER = 5, 4
SMOOTH = 10.0
KINDS = ("a", "b", "c", "d", "e")
SECONDS = 180 * 86_400


def generate(n_rows: int) -> pa.Table:
    """Return payments of cards in order of time, and the inner fold of each row."""
    rng = np.random.default_rng(21)
    x3 = rng.normal(size=n_rows)
    shop = rng.zipf(1.2, n_rows) % 20_000
    return pa.table(
        {
            "ts": np.sort(rng.integers(0, SECONDS, n_rows)).astype("datetime64[s]"),
            "card": rng.integers(0, max(1, n_rows // 100), n_rows),
            "shop": shop,
            "city": pa.array([f"city{k}" for k in range(1000)]).take(
                pa.array(rng.integers(0, 1000, n_rows))
            ),
            "kind": pa.array(KINDS).take(pa.array(rng.integers(0, len(KINDS), n_rows))),
            "amount": rng.lognormal(3, 1, n_rows),
            "x1": rng.normal(size=n_rows),
            "x2": rng.normal(size=n_rows),
            "x3": pa.array(x3, mask=x3 > 1.3),
            "y": (rng.random(n_rows) < 0.1 + 0.3 * (shop % 7 == 0)).astype(np.float64),
            "inner": np.arange(n_rows) % N_INNER,
        }
    )


def plan() -> Any:
    """Return the features as a plan of fastfeat."""
    import fastfeat as ff
    from fastfeat import col

    week, day = (ff.window(last, by="card", time="ts") for last in ("7d", "1d"))
    known: dict[str, Any] = {"smooth": SMOOTH, "fold": "inner"}
    return ff.Plan(
        {
            "n7": ff.count(over=week),
            "sum7": col("amount").sum(over=week),
            "mean7": col("amount").mean(over=week).standard_scale(),
            "max7": col("amount").max(over=week),
            "n1": ff.count(over=day),
            "sum1": col("amount").sum(over=day),
            "max1": col("amount").max(over=day),
            "ratio": col("amount") / col("amount").mean(over=week),
            "amount": col("amount").log1p().standard_scale(),
            "x1": col("x1").standard_scale(),
            "x2": col("x2").min_max_scale(),
            "x3": col("x3").impute("median").standard_scale(),
            "hour": col("ts").dt.hour().cyclical(24),
            "night": col("ts").dt.hour() < 6,
            "kind": col("kind").ordinal_encode(vocabulary=list(KINDS)),
            "shop": col("shop").target_encode("y", **known),
            "city": col("city").target_encode("y", **known),
            "often": col("city").count_encode(),
            "vs": col("amount") - col("amount").mean(by="shop"),
        },
        label="y",
    )


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call of cross_fit."""
    features = plan()

    def run() -> Any:
        folds = ((fold.train, fold.test) for fold in features.cross_fit(table, N_FOLDS))
        return last_train_and_tests(folds)

    return run


def fastfeat_by_hand(table: pa.Table) -> Callable[[], Any]:
    """Return a call of fit_transform and transform for each fold."""
    features = plan()

    def folds() -> Iterator[Any]:
        for train, test in rows_of_folds(table.num_rows):
            fitted, own = features.fit_transform(table, rows=train)
            yield own, fitted.transform(table, rows=test, history="batch")

    return lambda: last_train_and_tests(folds())


def once(table: pa.Table) -> Callable[[], Any]:
    """Return a call of one fit_transform, as the reference for the folds."""
    features = plan()
    return lambda: features.fit_transform(table)[1]


def rows_of_folds(n_rows: int) -> Iterator[Any]:
    """Yield the training and test rows, like scikit-learn's KFold without shuffling."""
    for test in np.array_split(np.arange(n_rows), N_FOLDS):
        yield np.setdiff1d(np.arange(n_rows), test, assume_unique=True), test


def last_train_and_tests(folds: Any) -> Any:
    """Return the training features of the last fold, and the test features of all."""
    last, tests = None, list[Any]()
    for train, test in folds:
        last = train
        tests.append(test)
    return last, tests


def compared(result: Any) -> pa.Table:
    """Return the values to compare: test features of all rows, and the training ones of a fold."""
    train, tests = result
    tested = pa.concat_tables([_as_table(test) for test in tests])
    learnt = _as_table(train)
    n_lacking = tested.num_rows - learnt.num_rows
    columns = [
        pa.chunked_array([*column.chunks, pa.nulls(n_lacking, column.type)])
        for column in learnt.columns
    ]
    names = [f"train_{name}" for name in learnt.column_names]
    return pa.table([*tested.columns, *columns], names=[*tested.column_names, *names])


def _as_table(features: Any) -> pa.Table:
    table = features if isinstance(features, pa.Table) else features.to_arrow()
    return pa.table([column.cast(pa.float64()) for column in table.columns], table.column_names)


def by_hand(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of the same in Polars, with scikit-learn's scalers and imputer."""
    frame = frames.to_polars(table)

    def folds() -> Iterator[Any]:
        shared = frames.collect(_of_all_rows(frame.lazy()), engine)
        for _, test in rows_of_folds(len(frame)):
            first, last = int(test[0]), int(test[-1]) + 1
            learnt_from = shared[:first].vstack(shared[last:])
            yield _fold(learnt_from, shared[first:last], engine)

    return lambda: last_train_and_tests(folds())


def _of_all_rows(query: Any) -> Any:
    """Return the columns that need no learning: windows, and functions of the row."""
    import polars as pl

    amount, hour = pl.col("amount"), pl.col("ts").dt.hour()

    def rolling(function: str, last: str) -> Any:
        return getattr(amount, f"rolling_{function}_by")("ts", last, closed="left").over("card")

    def counted(last: str) -> Any:
        one = pl.col("one").rolling_sum_by("ts", last, closed="left")
        return one.over("card").fill_null(0)

    angle = hour.cast(pl.Float64) * (2 * np.pi / 24)
    return (
        query.with_columns(one=pl.lit(1.0))
        .with_columns(
            n7=counted("7d"),
            sum7=rolling("sum", "7d").fill_null(0),
            mean7=rolling("mean", "7d"),
            max7=rolling("max", "7d"),
            n1=counted("1d"),
            sum1=rolling("sum", "1d").fill_null(0),
            max1=rolling("max", "1d"),
        )
        .with_columns(
            mean7=pl.when(pl.col("n7") > 0).then("mean7"),
            ratio=amount / pl.when(pl.col("n7") > 0).then("mean7"),
            log_amount=amount.log1p(),
            hour_sin=angle.sin(),
            hour_cos=angle.cos(),
            night=hour < 6,
            kind=pl.col("kind").cast(pl.Enum(list(KINDS))).to_physical().cast(pl.Int32) + 2,
        )
    )


def _fold(train: Any, test: Any, engine: str) -> tuple[Any, Any]:
    """Return the features of the training rows and the test rows of a fold."""
    import polars as pl
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    halves = [part.lazy() for part in (train, test)]
    learnt = train.lazy()
    by_shop = learnt.group_by("shop").agg(by_shop=pl.col("amount").mean())
    often = learnt.group_by("city").agg(often=pl.len())
    codes = [_encoded(train, key, engine) for key in ("shop", "city")]
    made: list[Any] = []
    for half, is_train in zip(halves, (True, False), strict=True):
        query = half
        for key, (out_of_fold, of_all, prior) in zip(("shop", "city"), codes, strict=True):
            known, on = (out_of_fold, [key, "inner"]) if is_train else (of_all, [key])
            query = query.join(known.lazy(), on=on, how="left", maintain_order="left")
            query = query.with_columns(pl.col(f"{key}_code").fill_null(prior))
        query = query.join(by_shop, on="shop", how="left", maintain_order="left")
        query = query.join(often, on="city", how="left", maintain_order="left")
        query = query.with_columns(
            vs=pl.col("amount") - pl.col("by_shop"), often=pl.col("often").fill_null(0)
        )
        made.append(frames.collect(query, engine))
    scaled = ["mean7", "log_amount", "x1"]
    standard = StandardScaler().fit(made[0].select(scaled).to_numpy())
    between = MinMaxScaler().fit(made[0].select("x2").to_numpy())
    imputer = SimpleImputer(strategy="median")
    filled = imputer.fit_transform(made[0].select("x3").to_numpy())
    of_filled = StandardScaler().fit(filled)
    done: list[Any] = []
    for half in made:
        columns: Any = standard.transform(half.select(scaled).to_numpy())
        x3: Any = of_filled.transform(imputer.transform(half.select("x3").to_numpy()))
        x2: Any = between.transform(half.select("x2").to_numpy())
        new = {name: columns[:, k] for k, name in enumerate(scaled)}
        new |= {"x2": x2[:, 0], "x3": x3[:, 0]}
        done.append(
            half.with_columns(
                pl.Series(name, values, nan_to_null=True) for name, values in new.items()
            ).select(
                "n7", "sum7", "mean7", "max7", "n1", "sum1", "max1", "ratio", "log_amount", "x1",
                "x2", "x3", "hour_sin", "hour_cos", "night", "kind", "shop_code", "city_code",
                "often", "vs",
            )
        )  # fmt: skip
    return done[0], done[1]


def _encoded(train: Any, key: str, engine: str) -> tuple[Any, Any, float]:
    """Return the smoothed means of keys outside of each inner fold, and of all rows; the prior."""
    import polars as pl

    cells = train.lazy().group_by(key, "inner").agg(s=pl.col("y").sum(), n=pl.len())
    cells = frames.collect(cells, engine)
    total, count = float(cells["s"].sum()), int(cells["n"].sum())
    folds = cells.group_by("inner").agg(pl.col("s", "n").sum())
    folds = folds.select("inner", prior=(total - pl.col("s")) / (count - pl.col("n")))
    keys = cells.group_by(key).agg(total=pl.col("s").sum(), count=pl.col("n").sum())
    known = cells.join(keys, on=key).join(folds, on="inner")
    outside, n = pl.col("total") - pl.col("s"), pl.col("count") - pl.col("n")
    prior, code = total / count, f"{key}_code"
    out_of_fold = known.select(
        key, "inner", ((outside + SMOOTH * pl.col("prior")) / (n + SMOOTH)).alias(code)
    )
    of_all = keys.select(
        key, ((pl.col("total") + SMOOTH * prior) / (pl.col("count") + SMOOTH)).alias(code)
    )
    return out_of_fold, of_all, prior


_NEAR = Tolerance(1e-9, 1e-6, "fastfeat's sums are exact, peers' are rounded: 1e-9, + 1e-6")

CROSS_FIT = (
    Workload(
        name="cross_fit",
        group="cross_fit",
        title=f"{N_FOLDS} folds of 20 features: windows, scalers, encoders out of fold",
        label="five folds, 20 features",
        generate=generate,
        rows=1_000_000,
        smoke_rows=20_000,
        contenders=(
            Contender("fastfeat", "fastfeat", fastfeat, compared),
            Contender("fastfeat fold by fold", "fastfeat", fastfeat_by_hand, compared),
            *(
                Contender(
                    f"Polars {engine} + scikit-learn",
                    "polars",
                    lambda table, engine=engine: by_hand(engine, table),
                    compared,
                )
                for engine in ("lazy", "streaming")
            ),
        ),
        tolerance=_NEAR,
        targets=(Target("ratio", 3, "polars"),),
        memory=True,
    ),
    Workload(
        name="cross_fit_once",
        group="cross_fit",
        title="the same 20 features by one fit_transform, beside which five folds are judged",
        label="one fit_transform, 20 features",
        generate=generate,
        rows=1_000_000,
        smoke_rows=20_000,
        contenders=(Contender("fastfeat", "fastfeat", once),),
        tolerance=_NEAR,
    ),
)
