"""Errors of failed rows: they name the first row, the feature, the values, and the remedy.

A status is an integer of bits; each bit stands for a kind of error in a row. A kernel only tells
that some row of its range failed. The first such row is found by running ever smaller ranges again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastfeat.engine.program import Output, Program, with_own_operations
from fastfeat.errors import FastfeatError, InvalidData, Overflow, shortened
from fastfeat.ir.dtypes import FLOAT_FORMATS
from fastfeat.ir.node import postorder
from fastfeat.ir.show import names_of
from fastfeat.scalars.interpret import evaluate
from fastfeat.scalars.op import Op
from fastfeat.scalars.value import (
    BEYOND_KNOTS,
    CAST_OUT_OF_RANGE,
    COUNT_OUT_OF_RANGE,
    DATE_OUT_OF_RANGE,
    FLOAT_RANGE,
    LARGE_ARGUMENT,
    MISSING_IN_ARRAY,
    NEGATIVE_POWER,
    NOT_IN_MAPPING,
    NOT_POSITIVE,
    OVERFLOW,
    TIME_AMBIGUOUS,
    TIME_OUT_OF_RANGE,
    TIME_SKIPPED,
    YEAR_OUT_OF_RANGE,
    InputSlot,
)

WORD_ROWS = 64
"""Rows per word of validity bits; pieces of rows begin at multiples of it."""


def first_failing_row(fails: Callable[[int, int], bool], n_rows: int) -> int:
    """Return the first failing row of `n_rows` rows, of which at least one failed.

    If none fails any more, because the data has changed meanwhile, a nearby row is returned.
    `fails(first, n)` tells whether any of `n` rows from `first` on fails; `first` is a multiple of
    64.
    """
    low, high = 0, -(-n_rows // WORD_ROWS)  # the failing word is in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        if fails(low * WORD_ROWS, (middle - low) * WORD_ROWS):
            high = middle
        else:
            low = middle
    start = low * WORD_ROWS
    n_left = min(WORD_ROWS, n_rows - start)
    first, last = 0, n_left - 1
    while first < last:  # the first n rows fail if and only if the failing one is among them
        middle = (first + last) // 2
        if fails(start, middle + 1):
            last = middle
        else:
            first = middle + 1
    is_there = first < n_left - 1 or fails(start, n_left)
    return start + first if is_there else start


_REPORT = "this is a bug in fastfeat: please report it, with the plan and the row"
_KINDS: tuple[tuple[int, type[FastfeatError], str], ...] = (
    (
        NEGATIVE_POWER,  # before errors that follow from it
        Overflow,
        "an integer to a negative power is not an integer. Make the exponent a float: "
        "** exponent.cast('float64')",
    ),
    (
        OVERFLOW,
        Overflow,
        "the result does not fit into int64. Cast to float64 first: .cast('float64')",
    ),
    (
        CAST_OUT_OF_RANGE,
        Overflow,
        "a value is outside the range of the type it is cast to. cast(..., "
        "strict=False) makes it missing",
    ),
    (
        YEAR_OUT_OF_RANGE,
        Overflow,
        "the year of a time does not fit into int32, so .dt.year() fails. Check the unit of the "
        "time: milliseconds that are read as seconds are 1,000 times as far from 1970",
    ),
    (
        DATE_OUT_OF_RANGE,
        Overflow,
        "the date of a time does not fit into date32, so .dt.date() fails. Check the unit of the "
        "time: milliseconds that are read as seconds are 1,000 times as far from 1970",
    ),
    (
        COUNT_OUT_OF_RANGE,
        Overflow,
        "the time, counted in the requested unit, does not fit into int64. Use a coarser unit, "
        "such as .dt.epoch('s') or .dt.total_seconds()",
    ),
    (
        TIME_OUT_OF_RANGE,
        Overflow,
        "a date, time or duration is outside the range of its type. Cast to a type with a wider "
        "range first, such as .cast('timestamp[ms]') or .cast('duration[ms]')",
    ),
    (
        TIME_AMBIGUOUS,
        InvalidData,
        "this local time occurs twice in the time zone, because the clocks are set back. Choose "
        "one: replace_time_zone(..., ambiguous='earliest' or 'latest'), or 'null' for missing",
    ),
    (
        TIME_SKIPPED,
        InvalidData,
        "this local time does not exist in the time zone, because the clocks are set forward. "
        "replace_time_zone(..., non_existent='null') makes it missing",
    ),
    (
        NOT_IN_MAPPING,
        InvalidData,
        "a value is not among the keys of replace_strict. Pass default= for other values",
    ),
    (
        BEYOND_KNOTS,
        InvalidData,
        "a value is beyond the knots of spline_transform. Choose another extrapolation, such as "
        "extrapolation='constant'",
    ),
    (
        NOT_POSITIVE,
        InvalidData,
        "a value is not above 0, but method='box-cox' needs values above 0. Use "
        "power_transform(method='yeo-johnson')",
    ),
    (FLOAT_RANGE, Overflow, "the float type of the output cannot hold the value"),
    (
        MISSING_IN_ARRAY,
        InvalidData,
        "the value is missing, but an array of integers or bools cannot hold missing values. Use "
        ".fill_null(...), cast the feature to a float, .cast('float64'), or use to='cupy', where "
        "NaN stands for missing",
    ),
)


def failure_of(
    program: Program, row: int, leaf: Callable[[Op], Any], shown: Callable[[InputSlot], object]
) -> FastfeatError:
    """Return the error of a failed row, for the first feature with a status bit.

    Args:
        program: The program that ran.
        row: Number of the row.
        leaf: Returns the value in that row of an operation that reads an input, parameter or table.
        shown: Returns the input value of a slot in that row, for the message.
    """
    outputs = outputs_that_may_fail(program)
    faults: dict[str, Exception] = {}
    for output in outputs:
        try:
            error = _failure_in(output, row, leaf, shown)
        except Exception as fault:  # still name the failed feature
            faults[output.name] = fault
            continue
        if error is not None:
            return error
    for fault in faults.values():
        return search_failed(list(faults), row, fault)
    return InvalidData(
        f"{_named(output.name for output in outputs)}: row {row}, or one soon after it, failed at "
        "first, but not when it was computed again. Did another thread change the data meanwhile? "
        f"If not, {_REPORT}"
    )


def outputs_that_may_fail(program: Program) -> list[Output]:
    """Return the outputs whose status may be other than 0."""
    outputs = map(with_own_operations, program.outputs)
    return [output for output in outputs if output.status.name != "literal"]


def search_failed(names: Iterable[str], row: int, fault: Exception) -> FastfeatError:
    """Return the error of a failed row if the search for the reason failed too, with `fault`.

    `names` are the features that may have failed.
    """
    return InvalidData(
        f"{_named(names)}, row {row}: the value cannot be computed, and the search for the reason "
        f"failed too ({type(fault).__name__}: {fault}). To continue, leave out the row or the "
        f"feature; {_REPORT}"
    )


def _named(names: Iterable[str]) -> str:
    known = list(dict.fromkeys(filter(None, names)))
    return f"feature {known[0]!r}" if len(known) == 1 else f"one of the features {shortened(known)}"


def _failure_in(
    output: Output, row: int, leaf: Callable[[Op], Any], shown: Callable[[InputSlot], object]
) -> FastfeatError | None:
    """Return the error of an output in a failed row; None if this output did not fail."""
    status = evaluate([output.status], leaf)[0] & ~LARGE_ARGUMENT
    if not status:
        return None
    slots = dict.fromkeys(
        node.value for node in postorder([output.status]) if node.name in ("input", "input_ok")
    )
    values = ", ".join(f"{names_of(slot.sources)[0]}={shown(slot)!r}" for slot in slots)
    where = f" ({values})" if values else ""
    error = error_of_status(status, f"feature {output.name!r}, row {row}{where}")
    if status == FLOAT_RANGE:
        number = evaluate([output.op], leaf)[0]
        return Overflow(f"{error}: {_matrix_rule(number, output.dtype.name)}")
    return error


def _matrix_rule(number: float, name: str) -> str:
    """Return a text for messages: the reason why a matrix cannot hold a number, and the remedy."""
    kind = FLOAT_FORMATS[name]
    n_bits, instead = kind.n_bits, "" if name == "float64" else "use Plan(dtype='float64'), or "
    if abs(number) > kind.largest:
        wider = "float32" if kind.n_bits < 24 and abs(number) < 2.0**127 else "float64"
        return f"{number!r} is beyond the largest {name}. Use Plan(dtype={wider!r})"
    return (
        f"a {name} cannot hold every integer beyond 2**{n_bits}. To round the value, {instead}"
        "cast the feature to a float: .cast('float64')"
    )


def error_of_status(status: int, subject: str) -> FastfeatError:
    """Return the error that the status bits of a value stand for; `subject` begins its message."""
    kind, text = next((kind, text) for bit, kind, text in _KINDS if status & bit)
    return kind(f"{subject}: {text}")
