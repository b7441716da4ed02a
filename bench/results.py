"""The measured results as plain data: derive ratios, merge, load and save."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastfeat.io.sinks.atomic import write_bytes

FORMAT = 1
FOLDER = Path(__file__).parent / "results"

# Spellings of libraries in text, in the order of the chart's legend.
NAMES = {
    "polars": "Polars",
    "pandas": "pandas",
    "scikit-learn": "scikit-learn",
    "scipy": "SciPy",
    "numpy": "NumPy",
    "pyarrow": "pyarrow",
    "duckdb": "DuckDB",
    "category_encoders": "category_encoders",
    "coreforecast": "coreforecast",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
    "pandera": "pandera",
    "dataframely": "dataframely",
}

# Groups of workloads that differ in one number; the report shows each group as one table.
SWEEPS = frozenset({"row_scaling", "threads"})

# One workload's measurements: the worker's answer, and additions by the runner. Plain JSON.
Entry = dict[str, Any]
Results = dict[str, Any]


def empty() -> Results:
    """Return results without a workload."""
    return {"format": FORMAT, "workloads": {}}


def load(folder: Path) -> Results:
    """Return the results in a folder, or empty ones."""
    path = folder / "results.json"
    if not path.exists():
        return empty()
    found: Results = json.loads(path.read_text())
    if found.get("format") != FORMAT:
        raise SystemExit(f"{path}: format {found.get('format')}, this runner writes {FORMAT}")
    return found


def merged(results: Results, entries: Iterable[Entry], order: Iterable[str]) -> Results:
    """Return results with new entries in place of old ones, in the order of the registry."""
    workloads = results["workloads"] | {entry["name"]: entry for entry in entries}
    kept = {name: workloads[name] for name in order if name in workloads}
    return results | {"workloads": kept}


def save(results: Results, folder: Path, reports: dict[str, str]) -> None:
    """Write results.json and the reports made from it; each file is replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"results.json": json.dumps(results, indent=1) + "\n"} | reports
    for name, text in files.items():
        write_bytes(folder / name, text.encode())


def failed(entry: Entry) -> str | None:
    """Return the reason why a workload has no figures, or None."""
    return entry.get("failed")


def median(entry: Entry, contender: str) -> float:
    """Return the median seconds of a contender."""
    return entry["contenders"][contender]["median_seconds"]


def cpu(entry: Entry, contender: str) -> float | None:
    """Return the median CPU seconds; None if they were not measured."""
    return entry["contenders"][contender].get("cpu_seconds")


def peers(entry: Entry) -> dict[str, str]:
    """Return the fastest contender of each other library; code tuned by hand is not a peer."""
    best: dict[str, str] = {}
    for name, contender in entry["contenders"].items():
        library = contender["library"]
        if library == "fastfeat" or contender["by_hand"]:
            continue
        if library not in best or median(entry, name) < median(entry, best[library]):
            best[library] = name
    return best


def best_peer(entry: Entry) -> str | None:
    """Return the fastest contender of all other libraries, or None if none was installed."""
    return min(peers(entry).values(), key=lambda name: median(entry, name), default=None)


def ratio(entry: Entry, peer: str, contender: str = "fastfeat") -> float:
    """Return the speedup of a contender of fastfeat over a peer."""
    return median(entry, peer) / median(entry, contender)


def bytes_per_second(entry: Entry, contender: str) -> float:
    """Return input and output bytes per second, with each byte read or written once."""
    return (entry["input_bytes"] + entry["output_bytes"]) / median(entry, contender)


def share(entry: Entry, contender: str) -> float:
    """Return bytes per second as a share of the bandwidth measured beside it."""
    bandwidth = entry["bandwidth"][f"{entry['bandwidth_of']}_bytes_per_second"]
    return bytes_per_second(entry, contender) / bandwidth
