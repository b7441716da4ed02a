"""Folds of training rows: by a stable hash of the row number or of a key, or by time.

Folds are for training rows alone: no later row has one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat_kernels.hashing.reference import canonical_bytes, canonical_row, xxh64

from fastfeat.aggregates.target import (
    FOLDS,
)
from fastfeat.dtypes import INT32, DType
from fastfeat.errors import TypeMismatch
from fastfeat.io.columns.conversions import tick_ns
from fastfeat.ir.durations import length_text
from fastfeat.ir.node import Call
from fastfeat.ir.parameters import LONGEST, UNIT, Parameter, Whole, never
from fastfeat.ir.writing import Texts
from fastfeat.scalars.hashing import bucket_of
from fastfeat.steps.keys.rows import bytes_of
from fastfeat.steps.step import Argument, StepFunction


def _fold_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    for dtype in types:
        if not (dtype.holds_bytes or dtype.is_number or dtype.is_temporal):
            raise TypeMismatch(
                f"fold_by= needs text, bytes, a number, a bool, a date or time, got {dtype}"
            )
    return INT32


def _fold(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[int]:
    """Return the fold of each row: by its number, or by the values of a key."""
    n_folds = params["n_folds"]
    if not args:
        return [bucket_of(xxh64(canonical_bytes(row)), n_folds) for row in range(n_rows)]
    keys = zip(*[argument.values for argument in args], strict=True)
    rows = (canonical_row([bytes_of(part) for part in key]) for key in keys)
    return [bucket_of(xxh64(row), n_folds) for row in rows]


def _time_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    if not (types[0].is_temporal or types[0].is_number):
        raise TypeMismatch(f"time= needs a date, a time or a number, got {types[0]}")
    return INT32


def _time_fold(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[int]:
    """Return the fold of each row by time: as full as equal times allow, which share one.

    Rows without a time are in a fold behind the last.
    """
    times, n_folds = args[0].values, params["n_folds"]
    known = sorted(time for time in times if time is not None)
    return [
        n_folds if time is None else bisect_left(known, time) * n_folds // len(known)
        for time in times
    ]


def _time_known_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    """Return the type of folds, once the delay is of the kind of the time."""
    wanted = "time" if types[0].is_temporal else "steps"
    if params["unit"] != wanted:
        given = "a duration" if params["unit"] == "time" else "a whole number"
        example = "'30d'" if wanted == "time" else "30"
        raise TypeMismatch(
            f"time= of the folds is {types[0]}, and label_delay= or outcomes= of the plan, the "
            f"delay of the target, {given}. Write the delay in the kind of the time, such as "
            f"{example}"
        )
    return _time_type(types, params)


def _time_fold_known(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[int]:
    """Return the last fold by time that does not learn from each row yet.

    A fold learns from the rows whose time and the delay lie before its first time.
    """
    times, folds = args[0].values, _time_fold(args, params, n_rows)
    delay = delay_in_ticks(args[0].dtype, params)
    begins = first_times(times, folds)
    last = max(folds, default=0)
    return [
        last if time is None else max(fold, _last_before(begins, time + delay, last))
        for time, fold in zip(times, folds, strict=True)
    ]


def first_times(times: Sequence[Any], folds: Sequence[int]) -> list[tuple[Any, int]]:
    """Return the first time of each fold that has one, and its number, in order."""
    begins: dict[int, Any] = {}
    for time, fold in zip(times, folds, strict=True):
        if time is not None and (fold not in begins or time < begins[fold]):
            begins[fold] = time
    return sorted((time, fold) for fold, time in begins.items())


def _last_before(begins: Sequence[tuple[Any, int]], known: Any, last: int) -> int:
    """Return the fold before the first one that begins after what is known then."""
    return next((fold - 1 for time, fold in begins if time > known), last)


def delay_in_ticks(dtype: DType, params: Mapping[str, Any]) -> int:
    """Return the most ticks of a time that a delay holds: one more is beyond it."""
    return params["delay"] // (tick_ns(dtype) if dtype.is_temporal else 1)


def _fold_text(node: Call, texts: Texts) -> str | None:
    match node.params:
        case (("n_folds", n_folds),):
            return f"fold({', '.join([*(texts[arg] for arg in node.args), f'n_folds={n_folds}'])})"
        case _:
            return None


def _time_fold_text(node: Call, texts: Texts) -> str | None:
    match node.params:
        case (("n_folds", n_folds),):
            return f"time_fold({texts[node.args[0]]}, n_folds={n_folds})"
        case _:
            return None


def _time_fold_known_text(node: Call, texts: Texts) -> str:
    given = dict(node.params)
    delay, n_folds = length_text(given["delay"], given["unit"]), given["n_folds"]
    return f"time_fold({texts[node.args[0]]}, n_folds={n_folds}, known_after={delay})"


_N_FOLDS = Parameter(
    "n_folds", FOLDS, "into how many folds training rows are divided", 5, written_as="folds"
)

FOLD = StepFunction(
    _fold_type,
    _fold,
    always_present=True,
    of_keys=True,
    n_args=None,
    of_all_rows=True,  # by the number of a row among them
    written=_fold_text,
    parameters=(_N_FOLDS,),
)
TIME_FOLD = StepFunction(
    _time_type,
    _time_fold,
    always_present=True,
    of_keys=True,
    of_all_rows=True,
    written=_time_fold_text,
    parameters=(_N_FOLDS,),
)
TIME_FOLD_KNOWN = StepFunction(
    _time_known_type,
    _time_fold_known,
    always_present=True,
    of_keys=True,
    of_all_rows=True,
    written=_time_fold_known_text,
    belongs=never,
    parameters=(
        _N_FOLDS,
        Parameter("delay", Whole(0, LONGEST), written_as=None),
        Parameter("unit", UNIT, written_as=None),
    ),
)
