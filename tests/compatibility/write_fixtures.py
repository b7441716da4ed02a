"""Writes the fixtures that later versions must read, print and raise.

`python tests/compatibility/write_fixtures.py NAME...` writes the fixtures of some plans, "live" or
"errors"; `--all` all of them, the rows too. A fixture is of the version that wrote it, and that is
its worth: it is written anew only where what it holds is to change, in the commit that says so.
"""

from __future__ import annotations

import datetime
import json
import os
import random
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa

import fastfeat as ff
from fastfeat_tests.compatibility.calls_to_record import WRITTEN, calls, calls_of_data
from fastfeat_tests.compatibility.compatible_calls import (
    alterations,
    altered_outcome,
    grouped,
    is_ours,
    outcome,
)
from fastfeat_tests.compatibility.compatible_plans import PLANS
from fastfeat_tests.compatibility.compatible_results import (
    digests,
    fitted_plan,
    later_features,
    printed,
    told,
)
from fastfeat_tests.compatibility.compatible_rows import FIXTURES, write
from fastfeat_tests.compatibility.compatible_states import (
    answers,
    begin,
    fitted_plans,
    opened,
    states,
    told_of,
    work,
)

N_TRAINING, N_LATER = 160, 60
_START = datetime.datetime(2024, 2, 20, tzinfo=datetime.UTC)
_TEXTS = ("flight 12 late", "  Flight é ", "", "abc 7 a", "Ünï cödé", "e1a1e", "a", "flight 12")
_NUMBERS = ("12", "-7", "0x1f", "1.5", "ff", " 3", "", "9999999999999999999", "1e3", "nan")
_DATES = ("2024-01-31", "2023-12-01", "no date", "2024-02-30", "1999-06-15")
_TAGS = ("new", "old", "rare", "été")


def main(names: list[str]) -> None:
    """Write the fixtures that are named."""
    everything = ["rows", *PLANS, "live", "errors"]
    chosen = everything if names == ["--all"] else names
    unknown = set(chosen) - set(everything)
    if unknown or not chosen:
        sys.exit(f"{__doc__}\nThere are: {', '.join(everything)}")
    warnings.simplefilter("ignore")
    if "rows" in chosen:
        write_rows()
    for name, make in PLANS.items():
        if name in chosen:
            write_plan(name, make())
    if "live" in chosen:
        write_states()
    if "errors" in chosen:
        write_errors()


def write_plan(name: str, plan: ff.Plan) -> None:
    """Write what a plan is saved as, computes, prints and tells."""
    fitted, training = fitted_plan(plan)
    write_text(f"plans/{name}.json", plan.to_json())
    path = FIXTURES / "artifacts" / f"{name}.fastfeat"
    path.parent.mkdir(exist_ok=True)
    fitted.save(path)
    write(FIXTURES / "features" / f"{name}.arrow", later_features(fitted))
    write_json(f"features/{name}.training.json", digests(training))
    for stage, shown in printed(ff.load(path)).items():
        write_text(f"printed/{name}/{stage}.txt", shown)
    write_json(f"told/{name}.json", told(fitted))


def write_states() -> None:
    """Write files of states: of one plan, and of several."""
    plans = fitted_plans()
    for name, of_state in states(plans).items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.state"
            with begin(of_state, path) as state:
                work(state, forgets=name == "several")
            write_bytes(f"states/{name}.state", path.read_bytes())
            write_text(f"states/{name}.replay.txt", str(ff.replay(path)))
            with opened(of_state, path) as state:
                for plan, features in answers(state).items():
                    write(FIXTURES / "states" / f"{name}{plan and '.'}{plan}.arrow", features)
                write_json(f"states/{name}.json", {**told_of(state), "head": state.head.hex()})
    for name, fitted in plans.items():
        fitted.save(FIXTURES / "states" / f"{name}.fastfeat")


def write_errors() -> None:
    """Write what comes of calls, of computations, and of plans whose text was altered."""
    os.chdir(folder := tempfile.mkdtemp())
    of_calls = {call: outcome(call) for call in calls()}
    written = set(WRITTEN)
    kept = {c: found for c, found in of_calls.items() if is_ours(found) or c in written}
    of_data = {call: outcome(call) for call in calls_of_data()}
    wrong = {c: found for c, found in of_data.items() if found[0] and is_ours(found)}
    wrong = {call: found for call, found in wrong.items() if folder not in found[1]}
    altered = {alteration: altered_outcome(alteration) for alteration in alterations()}
    for name, outcomes in (("calls", kept), ("data", wrong), ("altered", altered)):
        write_json(f"errors/{name}.json", grouped(outcomes))


def write_json(name: str, content: Any) -> None:
    """Write a fixture that people can read."""
    write_text(name, json.dumps(content, indent=0, ensure_ascii=False) + "\n")


def write_text(name: str, content: str) -> None:
    """Write a fixture of text."""
    write_bytes(name, content.encode())


def write_bytes(name: str, content: bytes) -> None:
    """Write a fixture."""
    path = FIXTURES / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def write_rows() -> None:
    """Write the tables that everything is computed from."""
    drawn = random.Random(20240220)
    train, later = rows(drawn, N_TRAINING, 0, 30), rows(drawn, N_LATER, 30, 45)
    tables = {"train": train, "later": later, **tables_beside(drawn)}
    for name, content in tables.items():
        write(FIXTURES / "rows" / f"{name}.arrow", content)


def rows(drawn: random.Random, n: int, first_day: int, end_day: int) -> pa.Table:
    """Return events between two days, in no order, some of an instant or without a value."""

    def some(make: Any, missing: float = 0.08) -> list[Any]:
        return [None if drawn.random() < missing else make() for _ in range(n)]

    hours = [drawn.randrange(first_day * 24, end_day * 24) for _ in range(n)]
    moments = [_START + datetime.timedelta(hours=hour) for hour in hours]
    times = [None if drawn.random() < 0.03 else moment for moment in moments]
    delays = some(lambda: round(drawn.uniform(-1, 3), 3))
    columns: dict[str, Any] = {
        "id": pa.array(range(1000 * first_day, 1000 * first_day + n), pa.int64()),
        "t": pa.array(times, pa.timestamp("us", "UTC")),
        "day": pa.array([moment.date() for moment in moments], pa.date32()),
        "step": pa.array(hours, pa.int64()),
        "card": pa.array(some(lambda: drawn.randrange(12), 0.04), pa.int32()),
        "shop": pa.array(some(lambda: drawn.choice("aaabbcd")), pa.string()),
        "x": pa.array(some(lambda: drawn.gauss(0, 2) * drawn.choice([1, 1, 10])), pa.float64()),
        "y": pa.array(some(lambda: drawn.uniform(-2, 2)), pa.float32()),
        "n": pa.array(some(lambda: drawn.randrange(-2, 9)), pa.int64()),
        "small": pa.array(some(lambda: drawn.randrange(-5, 6)), pa.int8()),
        "big": pa.array(some(lambda: drawn.randrange(2**62)), pa.uint64()),
        "flag": pa.array(some(lambda: drawn.random() < 0.4), pa.bool_()),
        "lat": pa.array(some(lambda: drawn.uniform(-90, 90)), pa.float64()),
        "lon": pa.array(some(lambda: drawn.uniform(-180, 180)), pa.float64()),
        "s": pa.array(some(lambda: drawn.choice(_TEXTS)), pa.string()),
        "number": pa.array(some(lambda: drawn.choice(_NUMBERS)), pa.string()),
        "date": pa.array(some(lambda: drawn.choice(_DATES)), pa.string()),
        "tags": pa.array(
            some(lambda: drawn.choices(_TAGS, [5, 3, 1, 2], k=drawn.randrange(4))),
            pa.list_(pa.string()),
        ),
        "prices": pa.array(
            some(lambda: [drawn.uniform(0, 9) for _ in range(drawn.randrange(4))]),
            pa.list_(pa.float64()),
        ),
        "counts": pa.array(
            some(lambda: [drawn.randrange(-3, 4) for _ in range(drawn.randrange(4))]),
            pa.list_(pa.int32()),
        ),
        "delay": pa.array(delays, pa.float64()),
        "grade": pa.array(some(lambda: drawn.randrange(1, 4)), pa.int64()),
        "promised": pa.array(some(lambda: round(drawn.uniform(-1, 2), 2)), pa.float64()),
    }
    return pa.table(columns)


def tables_beside(drawn: random.Random) -> dict[str, pa.Table]:
    """Return the tables of windows, as-of joins and lookups."""
    n = 90
    hours = [drawn.randrange(45 * 24) for _ in range(n)]
    times = [_START + datetime.timedelta(hours=hour) for hour in hours]
    who = [drawn.randrange(14) for _ in range(n)]
    amounts = [None if drawn.random() < 0.1 else drawn.uniform(0, 100) for _ in range(n)]
    states = [drawn.choice(["ok", "ok", "bad", None]) for _ in range(n)]
    return {
        "payments": pa.table(
            {
                "t": pa.array(times, pa.timestamp("us", "UTC")),
                "card": pa.array(who, pa.int32()),
                "amount": pa.array(amounts, pa.float64()),
            }
        ),
        "logins": pa.table(
            {
                "at": pa.array(sorted(hours), pa.int64()),
                "who": pa.array(who, pa.int32()),
                "status": pa.array(states, pa.string()),
                "tries": pa.array([drawn.randrange(1, 6) for _ in range(n)], pa.int64()),
            }
        ),
        "shops": pa.table(
            {
                "shop": ["a", "b", "c"],
                "size": [10.0, None, 3.5],
                "kind": ["kiosk", "mall", "kiosk"],
                "grade": [1, 2, 3],
            }
        ),
        "places": pa.table(
            {"k": [0, 0, 1, 2], "flag": [True, False, True, False], "value": [1.5, 2.5, 3.5, 4.5]}
        ),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
