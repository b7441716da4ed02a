"""The training demo: flights cross-fitted into five models, beside Polars and scikit-learn.

Each fold tests the flights after its training rows. The last training rows are left out, since
their outcomes were not known yet.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import fastfeat as ff
from fastfeat.demo.flights import read_flights, read_weather
from fastfeat.demo.plan import plan
from fastfeat.io.arrow import Table, pa

if TYPE_CHECKING:
    from fastfeat.integrations.leak_test import LeakReport

N_FOLDS = 3
N_PERMUTATIONS = 3
_PREDICT = """
import sys, mlflow, numpy as np, pandas as pd
loaded = mlflow.pyfunc.load_model(sys.argv[1])
np.save(sys.argv[3], loaded.predict(pd.read_parquet(sys.argv[2])))
"""
"""The program of another process: it gets the model from MLflow, and nothing else from this one."""


@dataclass(slots=True)
class Side:
    """The results of one way to compute features for a model, over the folds.

    Args:
        handed: Seconds to hand the features of all folds to the library.
        trained: Seconds to train.
        areas: AUC of the test rows of each fold.
    """

    handed: float = 0.0
    trained: float = 0.0
    areas: list[float] = field(default_factory=list[float])

    @property
    def area(self) -> float:
        """The mean AUC."""
        return float(np.mean(self.areas))


@dataclass(frozen=True, slots=True)
class Compared:
    """A model, trained on the features of both.

    Args:
        name: Name of the library.
        ours: Results with the features of the plan.
        theirs: Results with the features of Polars and scikit-learn.
    """

    name: str
    ours: Side
    theirs: Side


@dataclass(frozen=True, slots=True)
class Trained:
    """The results of the training demo.

    Args:
        n_rows: Number of flights with a label.
        n_folds: Number of folds.
        n_purged: Number of training rows left out, over the folds.
        features: Seconds to make the features of all folds by the plan, the second time.
        features_in_polars: The same in Polars and scikit-learn.
        models: Each model with both features.
        leaks: The test for leaks.
        same_in_mlflow: Whether another process, which loaded plan and model, gave equal bits.
        n_mlflow: Number of flights in that comparison.
    """

    n_rows: int
    n_folds: int
    n_purged: int
    features: float
    features_in_polars: float
    models: tuple[Compared, ...]
    leaks: LeakReport
    same_in_mlflow: bool
    n_mlflow: int


@dataclass(frozen=True, slots=True)
class _Half:
    """The features of the rows of one half of a fold, and their label."""

    ours: Table
    theirs: NDArray[np.float32]
    label: Any


def run(folder: Path, step: Callable[[str], None]) -> Trained:
    """Run the demo and leave the logged model in a folder.

    Args:
        folder: Created if missing.
        step: Function that receives a line about each step.

    Raises:
        FastfeatError: The flights are not installed.
        ImportError: A library to train is not installed.
    """
    from docs.demos.models import MODELS

    flights, tables = read_flights(), {"weather": read_weather()}
    compared = tuple(Compared(model.name, Side(), Side()) for model in MODELS)
    step("Making features once, which compiles kernels")
    for _ in _folds(flights, tables, step):
        pass
    n_rows = n_purged = 0
    ours = theirs = 0.0
    for fold, halves, seconds in _folds(flights, tables, step):
        ours, theirs = ours + seconds[0], theirs + seconds[1]
        n_rows, n_purged = n_rows + len(fold.test_rows), n_purged + fold.n_purged
        for model, of_model in zip(MODELS, compared, strict=True):
            step(f"Training {model.name}")
            _train(model, fold.fitted, halves, of_model)
    step("Looking for leaks with permuted labels")
    leaks = ff.leak_test(
        plan, flights, history="batch", tables=tables, cv=_in_time(), n_permutations=N_PERMUTATIONS
    )
    step("Keeping plan and model in MLflow, and loading them in another process")
    same, n_mlflow = _through_mlflow(flights, tables, folder)
    return Trained(n_rows, N_FOLDS, n_purged, ours, theirs, compared, leaks, same, n_mlflow)


def _folds(
    flights: Table, tables: dict[str, Table], step: Callable[[str], None]
) -> Iterator[tuple[Any, tuple[_Half, _Half], tuple[float, float]]]:
    """Yield the folds, with the features of both, and the seconds for each."""
    import polars as pl

    from docs.demos import in_polars

    step("Making features by the plan")
    started = time.perf_counter()
    folds = plan.cross_fit(flights, _in_time(), history="batch", tables=tables)
    first = time.perf_counter() - started
    frames: Any = pl
    started = time.perf_counter()
    rows = in_polars.of_rows(frames.from_arrow(flights), frames.from_arrow(tables["weather"]))
    first_in_polars = time.perf_counter() - started
    label = (flights["arr_delay"].to_numpy() > 15).astype(np.float32)
    for fold, seconds in _timed(folds):
        step("Making the same in Polars and scikit-learn")
        started = time.perf_counter()
        made = in_polars.of_fold(rows, label, fold.train_rows, fold.test_rows)
        in_polars_seconds = time.perf_counter() - started
        halves = (
            _Half(fold.train, made[0], fold.train_label),
            _Half(fold.test, made[1], fold.test_label),
        )
        yield fold, halves, (first + seconds, first_in_polars + in_polars_seconds)
        first = first_in_polars = 0.0
        step("Making features by the plan")


def _in_time() -> Any:
    """Return folds that test rows after their training rows."""
    import sklearn.model_selection  # pyright: ignore[reportMissingTypeStubs]  # it has no stubs

    selection: Any = sklearn.model_selection
    return selection.TimeSeriesSplit(N_FOLDS)


def _timed(folds: Iterator[Any]) -> Iterator[tuple[Any, float]]:
    """Yield the items of an iterator, and the seconds for each."""
    while True:
        started = time.perf_counter()
        found = next(folds, None)
        if found is None:
            return
        yield found, time.perf_counter() - started


def _train(model: Any, fitted: Any, halves: tuple[_Half, _Half], compared: Compared) -> None:
    """Train a model with both features of a fold, and add the results to `compared`."""
    train, test = halves
    label, truth = _as_floats(train.label), _as_floats(test.label)
    _measure(
        model,
        lambda: (
            model.of_plan(fitted, train.ours, pa.array(label)),
            model.of_plan(fitted, test.ours, None),
        ),
        truth,
        compared.ours,
    )
    _measure(
        model,
        lambda: (model.of_matrix(train.theirs, label), model.of_matrix(test.theirs, None)),
        truth,
        compared.theirs,
    )


def _measure(
    model: Any, hand_over: Callable[[], tuple[Any, Any]], truth: NDArray[Any], side: Side
) -> None:
    import sklearn.metrics  # pyright: ignore[reportMissingTypeStubs]  # it has no stubs

    metrics: Any = sklearn.metrics
    started = time.perf_counter()
    of_train, of_test = hand_over()
    handed = time.perf_counter()
    trained = model.train(of_train)
    side.handed += handed - started
    side.trained += time.perf_counter() - handed
    side.areas.append(float(metrics.roc_auc_score(truth, model.predict(trained, of_test))))


def _as_floats(label: Any) -> NDArray[np.float32]:
    return label.cast(pa.float32()).to_numpy()


def _through_mlflow(flights: Table, tables: dict[str, Table], folder: Path) -> tuple[bool, int]:
    """Return whether another process, by MLflow, predicts the same, and the number of flights."""
    import shutil

    from docs.demos.models import XGBOOST
    from fastfeat.demo.flights import split
    from fastfeat.integrations import mlflow as ff_mlflow
    from fastfeat.io.sinks.write import write_table

    train, test = split(flights)
    fitted, features = plan.fit_transform(train, history="batch", tables=tables)
    label = fitted.label(train)
    known = np.flatnonzero(label.is_valid().to_numpy())
    rows = pa.array(known)
    of_train = XGBOOST.of_plan(fitted, features.take(rows), pa.array(_as_floats(label.take(rows))))
    model = XGBOOST.train(of_train)
    rows_to_serve = test.select(plan.declaration.row_columns)  # known when a flight leaves
    served = fitted.transform(rows_to_serve, history=train, tables=tables)
    expected = model.predict(XGBOOST.of_plan(fitted, served, None))
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "model", ignore_errors=True)
    ff_mlflow.save_model(fitted, model, folder / "model", history=train, tables=tables)
    write_table(rows_to_serve, folder / "new.parquet")
    files = [str(folder / name) for name in ("model", "new.parquet", "predicted.npy")]
    subprocess.run([sys.executable, "-W", "ignore", "-c", _PREDICT, *files], check=True)
    found: NDArray[np.float32] = np.load(files[2])
    return found.tobytes() == expected.tobytes(), test.num_rows
