"""Features handed over to libraries of boosted trees, beside each library's fastest input form.

fastfeat transforms the rows and hands the features over; a peer is the library's own call on
precomputed features, so its time is the lower bound.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

from bench.compare import EXACT
from bench.workload import Contender, Target, Workload

N_FLOATS, N_CODED, N_CATEGORIES = 45, 5, 200
THREADS = 2


def generate(n_rows: int) -> pa.Table:
    """Return floats, a twentieth missing, integer categories, and a label; at least 2,000 rows."""
    rng = np.random.default_rng(21)
    columns: dict[str, Any] = {
        f"f{k}": pa.array(rng.normal(size=n_rows), mask=rng.random(n_rows) < 0.05)
        for k in range(N_FLOATS)
    }
    for k in range(N_CODED):
        columns[f"c{k}"] = rng.integers(0, N_CATEGORIES, n_rows)
    columns["y"] = (rng.random(n_rows) < 0.3).astype(np.float64)
    return pa.table(columns)


def fitted_on(table: pa.Table) -> Any:
    """Return a plan of scalers and encoders, fitted."""
    import fastfeat as ff

    floats = {f"f{k}": ff.col(f"f{k}").standard_scale() for k in range(N_FLOATS)}
    coded = {f"c{k}": ff.col(f"c{k}").ordinal_encode() for k in range(N_CODED)}
    return ff.Plan({**floats, **coded}, label="y", dtype="float32").fit(table)


def label_of(table: pa.Table) -> Any:
    """Return the label as an array."""
    return table["y"].to_numpy()


def by_dmatrix(table: pa.Table) -> Callable[[], Any]:
    """Return a call that transforms, and gives XGBoost the features by Arrow."""
    from fastfeat.integrations.xgboost import dmatrix

    fitted = fitted_on(table)
    return lambda: dmatrix(fitted, table, quantile=True, nthread=THREADS)


def by_pieces(table: pa.Table) -> Callable[[], Any]:
    """Return a call that transforms a piece at a time, in each pass of XGBoost."""
    from fastfeat.integrations.xgboost import dmatrix_by_pieces

    fitted = fitted_on(table)
    return lambda: dmatrix_by_pieces(fitted, table, nthread=THREADS)


def ready_for_xgboost(as_matrix: bool) -> Callable[[pa.Table], Callable[[], Any]]:
    """Return a function that prepares XGBoost's own call, on a table or on a matrix."""

    def prepare(table: pa.Table) -> Callable[[], Any]:
        from fastfeat.integrations.xgboost import feature_types

        xgboost: Any = import_module("xgboost")
        fitted = fitted_on(table)
        features: Any = fitted.transform(table, to="numpy" if as_matrix else "arrow")
        types, label = feature_types(fitted), label_of(table)
        named = {"feature_names": fitted.feature_names} if as_matrix else {}
        return lambda: xgboost.QuantileDMatrix(
            features, label, feature_types=types, enable_categorical=True, nthread=THREADS, **named
        )

    return prepare


def cuts(matrix: Any) -> list[Any]:
    """Return XGBoost's cuts of the features, and the label."""
    return [*matrix.get_quantile_cut(), matrix.get_label()]


def by_dataset(table: pa.Table) -> Callable[[], Any]:
    """Return a call that transforms, and gives LightGBM the features by Arrow."""
    from fastfeat.integrations.lightgbm import dataset

    fitted, params = fitted_on(table), _lightgbm_params()
    return lambda: dataset(fitted, table, params=params).construct()


def ready_for_lightgbm(as_matrix: bool) -> Callable[[pa.Table], Callable[[], Any]]:
    """Return a function that prepares LightGBM's own call, on a table or on a matrix."""

    def prepare(table: pa.Table) -> Callable[[], Any]:
        lightgbm: Any = import_module("lightgbm")
        fitted, label = fitted_on(table), label_of(table)
        features: Any = fitted.transform(table, to="numpy" if as_matrix else "arrow")
        params, coded = _lightgbm_params(), list(fitted.record.n_codes)
        names = fitted.feature_names
        return lambda: lightgbm.Dataset(
            features, label, feature_name=names, categorical_feature=coded, params=params
        ).construct()

    return prepare


def _lightgbm_params() -> dict[str, Any]:
    return {"verbose": -1, "num_threads": THREADS, "deterministic": True}


def leaves(dataset: Any) -> list[Any]:
    """Return the leaf values of one tree, which depend on all bins."""
    lightgbm: Any = import_module("lightgbm")
    model = lightgbm.train(_lightgbm_params(), dataset, 1)
    n_leaves = model.dump_model()["tree_info"][0]["num_leaves"]
    return [np.array([model.get_leaf_output(0, k) for k in range(n_leaves)])]


def by_pool(table: pa.Table) -> Callable[[], Any]:
    """Return a call that transforms, and gives CatBoost the features by pandas."""
    from fastfeat.integrations.catboost import pool

    fitted = fitted_on(table)
    return lambda: pool(fitted, table, thread_count=THREADS)


def ready_for_catboost(as_categories: bool) -> Callable[[pa.Table], Callable[[], Any]]:
    """Return a function that prepares CatBoost's own call, on integer or category codes.

    It takes no matrix of floats with categories in it.
    """

    def prepare(table: pa.Table) -> Callable[[], Any]:
        catboost: Any = import_module("catboost")
        fitted, label = fitted_on(table), label_of(table)
        frame: Any = fitted.transform(table).to_pandas()
        coded = list(fitted.record.n_codes)
        if as_categories:
            frame = frame.astype(dict.fromkeys(coded, "category"))
        return lambda: catboost.Pool(frame, label, cat_features=coded, thread_count=THREADS)

    return prepare


def predictions(pool: Any) -> list[Any]:
    """Return the predictions of a model of two trees for its training rows."""
    catboost: Any = import_module("catboost")
    model = catboost.CatBoostClassifier(
        iterations=2, depth=4, thread_count=THREADS, verbose=False, allow_writing_files=False
    )
    return [model.fit(pool).predict_proba(pool)[:, 1]]


def _workload(
    library: str, name: str, contenders: tuple[Contender, ...], *targets: Target
) -> Workload:
    return Workload(
        name=f"to_{library}",
        group="boosters",
        title=f"{N_FLOATS + N_CODED} features into {name}, beside what is ready for it",
        label=f"into {name}",
        generate=generate,
        rows=1_000_000,
        smoke_rows=2_000,
        contenders=contenders,
        tolerance=EXACT,
        targets=targets,
        threads=THREADS,
        needs=library,
    )


BOOSTERS = (
    _workload(
        "xgboost",
        "XGBoost",
        (
            Contender("fastfeat", "fastfeat", by_dmatrix, cuts),
            Contender("fastfeat in pieces", "fastfeat", by_pieces, cuts),
            Contender("XGBoost, Arrow ready", "xgboost", ready_for_xgboost(False), cuts),
            Contender("XGBoost, matrix ready", "xgboost", ready_for_xgboost(True), cuts),
        ),
        Target("ratio", 0.85, "xgboost", aim=1),
    ),
    _workload(
        "lightgbm",
        "LightGBM",
        (
            Contender("fastfeat", "fastfeat", by_dataset, leaves),
            Contender("LightGBM, Arrow ready", "lightgbm", ready_for_lightgbm(False), leaves),
            Contender("LightGBM, matrix ready", "lightgbm", ready_for_lightgbm(True), leaves),
        ),
        Target("ratio", 0.9, "lightgbm", aim=1),
    ),
    # no target: a Pool only refers to a ready frame, and ours must be made
    _workload(
        "catboost",
        "CatBoost",
        (
            Contender("fastfeat", "fastfeat", by_pool, predictions),
            Contender(
                "CatBoost, categories ready", "catboost", ready_for_catboost(True), predictions
            ),
            Contender(
                "CatBoost, integers ready", "catboost", ready_for_catboost(False), predictions
            ),
        ),
    ),
)
