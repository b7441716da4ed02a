"""The demo itself: fit, transform, save, verify, and time against pandas."""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.demo import pandas_features
from fastfeat.demo import plan as plan_module
from fastfeat.demo.flights import read_flights, read_weather, split
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table
from fastfeat.io.sinks import write

if TYPE_CHECKING:
    from fastfeat.api.plan import FittedPlan
    from fastfeat.trust.verify.comparison import VerifyReport

N_VERIFIED = 1000
N_REPEATS, N_REPEATS_IN_PANDAS = 9, 3
TOLERANCE = 1e-6
"""Maximum difference of a float32 feature from pandas, absolute or relative."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Median seconds of fastfeat or pandas.

    Args:
        fit: Fitting on the flights of ten months.
        transform: Computing the features of all flights of the year.
    """

    fit: float
    transform: float


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """The results of the demo.

    Args:
        n_flights: Flights of the year.
        n_training: Flights used for training.
        n_features: Columns of the result.
        n_missing: Missing departure delays of the year.
        first_seconds: Seconds of the first fit and transform in this process.
        has_compiled: Whether `first_seconds` includes compiling, because no kernel was stored.
        report: Report of the verification.
        ours: Times of fastfeat.
        pandas: Times of pandas.
        folder: Folder of the files.
    """

    n_flights: int
    n_training: int
    n_features: int
    n_missing: int
    first_seconds: float
    has_compiled: bool
    report: VerifyReport
    ours: Timing
    pandas: Timing
    folder: Path


def run(folder: Path, step: Callable[[str], None]) -> DemoOutcome:
    """Run the demo and leave its files in a folder.

    Args:
        folder: Output folder. It is created if missing; files of an earlier run are replaced.
        step: Called with a description of each step.

    Raises:
        FastfeatError: The flights are not installed, the folder cannot be written, or the features
            differ from those in pandas.
    """
    plan = plan_module.plan
    step("Reading the flights of one year")
    flights, weather = read_flights(), read_weather()
    train, test = split(flights)
    tables = {"weather": weather}

    step(f"Learning from {train.num_rows:,} flights")
    started = time.perf_counter()
    fitted = plan.fit(train, tables=tables)
    features = fitted.transform(test, history=train, tables=tables)
    first_seconds = time.perf_counter() - started
    has_compiled = "fastfeat_kernels.llvm" in sys.modules  # only imported to compile

    step("Writing files")
    _write(folder, fitted, train=train, test=test, weather=weather, features=features)
    step(f"Verifying {N_VERIFIED:,} flights in several ways")
    report = fitted.verify(test, history=train, tables=tables, n_rows=N_VERIFIED)
    step("Computing the same features in pandas")
    frame, train_frame, weather_frame = (t.to_pandas() for t in (flights, train, weather))

    def fit(data: Table) -> FittedPlan:
        return plan.fit(data, tables=tables)

    def of_year(data: Table, fitted: FittedPlan) -> Table:
        return fitted.transform(data, history="batch", tables=tables)

    def in_pandas_of_year(data: Any, learnt: pandas_features.LearntByName) -> Any:
        return pandas_features.transform(data, learnt, weather_frame)

    year = of_year(flights, fitted)
    if not year.slice(train.num_rows).equals(features):
        raise FastfeatError(
            "the features of the last two months, computed with the earlier flights as history, "
            "differ from the features computed with the whole year"
        )
    _check_equal(year, in_pandas_of_year(frame, pandas_features.fit(train_frame)))
    step("Timing both")
    return DemoOutcome(
        n_flights=flights.num_rows,
        n_training=train.num_rows,
        n_features=features.num_columns,
        n_missing=flights["dep_delay"].null_count,
        first_seconds=first_seconds,
        has_compiled=has_compiled,
        report=report,
        ours=_time(fit, of_year, train, flights, N_REPEATS),
        pandas=_time(
            pandas_features.fit, in_pandas_of_year, train_frame, frame, N_REPEATS_IN_PANDAS
        ),
        folder=folder,
    )


def _write(folder: Path, fitted: FittedPlan, **tables: Table) -> None:
    """Write the plan's Python source, the fitted plan, and each table in a file with its name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        assert plan_module.__file__ is not None
        shutil.copyfile(plan_module.__file__, folder / "plan.py")
    except OSError as error:
        raise FastfeatError(f"cannot write {folder}: {error.strerror}") from error
    for name, table in tables.items():
        write.write_table(table, folder / f"{name}.parquet")
    fitted.save(folder / "flights.fastfeat")


def _check_equal(features: Table, frame: Any) -> None:
    """Raise unless each feature equals the one from pandas; floats may differ by the tolerance."""
    for name in features.column_names:
        ours, theirs = _floats(features[name].to_pandas()), _floats(frame[name])
        close = np.isclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        if not close.all():
            row = int(np.argmin(close))
            raise FastfeatError(
                f"feature {name!r} of flight {row} is {ours[row]}, but {theirs[row]} in pandas"
            )


def _floats(column: Any) -> Any:
    """Return a pandas column as float64; missing values are NaN."""
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _time(
    fit: Callable[[Any], Any],
    transform: Callable[[Any, Any], Any],
    train: Any,
    data: Any,
    repeats: int,
) -> Timing:
    """Return the median seconds of fitting and of transforming, over `repeats` runs."""
    learnt = fit(train)
    fits = [_seconds(lambda: fit(train)) for _ in range(repeats)]
    transforms = [_seconds(lambda: transform(data, learnt)) for _ in range(repeats)]
    return Timing(statistics.median(fits), statistics.median(transforms))


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
