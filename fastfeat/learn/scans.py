"""Scans: one pass over the training rows that learns several statistics together.

These statistics wait for the same learned values. An argument is the expression that a statistic
reads. If it is a data column, it is read in place; otherwise a kernel computes it for some rows at
a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from fastfeat.backends import run_task
from fastfeat.engine.program import Constants, Output, Program, RowFailed, program_of
from fastfeat.engine.tasks import LearnTask, RowTask
from fastfeat.errors import (
    BackendUnavailable,
    FastfeatError,
    KernelFailed,
    OutOfDeviceMemory,
    counted,
    shortened,
)
from fastfeat.execute import failures
from fastfeat.execute import values as row_values
from fastfeat.execute.batch import Batch
from fastfeat.execute.inputs import SlotColumns, slot_columns
from fastfeat.ir.node import Aggregate, Node
from fastfeat.ir.show import show
from fastfeat.learn import infinite
from fastfeat.plan.lower.constants import (
    ConstantCalls,
    bind,
    constant_calls,
    constant_roots,
    evaluate_calls,
    is_infinite,
)
from fastfeat.plan.lower.lower import NodeTypes
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.plan.lower.schedule import Purpose
from fastfeat.plan.lower.typed import TypedPlan
from fastfeat.progress import report_progress

if TYPE_CHECKING:
    from fastfeat.scalars.value import Value


class Scan(NamedTuple):
    """One pass over the training rows that learns statistics, without any learned values.

    Args:
        arguments: Expressions to learn from, one output of the program each.
        aggregates: The aggregates of each argument.
        program: Computes the arguments.
        known: The constants that the arguments read.
    """

    arguments: tuple[Node, ...]
    aggregates: tuple[tuple[Aggregate, ...], ...]
    program: Program
    known: ConstantCalls


def _of_scans(name: str, value: Value) -> Output:
    """Return the program output for an argument of a scan; see `execute.values.argument_output`.

    This function is also the key by which programs are reused between parts.
    """
    return row_values.argument_output(name, value)


class ScanInput(NamedTuple):
    """The input of a scan for some rows: columns and constants that its program reads.

    Args:
        constants: Constants that the program reads.
        columns: The column of each slot of the program.
    """

    constants: Constants
    columns: SlotColumns


def scans_by_purpose(typed: TypedPlan, purpose: Purpose) -> dict[tuple[Node, ...], Scan]:
    """Return the scans of a plan by the aggregates that each learns.

    `purpose` is "fit" or "fit in parts".
    """
    return typed.once(_of_parts if purpose == "fit in parts" else _of_all_rows)


def _of_all_rows(typed: TypedPlan) -> dict[tuple[Node, ...], Scan]:
    return _planned(typed, "fit")


def _of_parts(typed: TypedPlan) -> dict[tuple[Node, ...], Scan]:
    return _planned(typed, "fit in parts")


def _planned(typed: TypedPlan, purpose: Purpose) -> dict[tuple[Node, ...], Scan]:
    tasks = [task for task in typed.schedule(purpose).tasks if task.kind == "statistics"]
    return {task.nodes: _scan(task.nodes, typed.types) for task in tasks}


def learn_statistics(batch: Batch, scan: Scan, features: Mapping[str, Node]) -> None:
    """Learn the statistics of a scan from all rows of a batch, in one pass."""
    n_aggregates = sum(map(len, scan.aggregates))
    report_progress(
        f"{counted(n_aggregates, 'statistic')} of {counted(len(scan.arguments), 'column')}"
    )
    read = read_of(batch, scan)
    for group, values in zip(scan.aggregates, _run(batch, scan, read, features), strict=True):
        batch.learnt.update(zip(group, values, strict=True))
    _check_finite(batch, scan, read)


def read_of(batch: Batch, scan: Scan) -> ScanInput:
    """Return the columns and constants that a scan's program reads for the rows of a batch."""
    kept = None if batch.programs is None else batch.programs.get((scan.arguments, _of_scans))
    if kept is None:
        kept = scan.program, bind(scan.program, evaluate_calls(scan.known, batch.learnt))
        if batch.programs is not None:
            batch.programs[scan.arguments, _of_scans] = kept
    given = batch.table, batch.made, batch.first_number
    columns = slot_columns(scan.program, *given, batch.backend.literal_codes)
    return ScanInput(kept[1], columns)


def statistics_task(batch: Batch, scan: Scan, read: ScanInput) -> LearnTask:
    """Return the backend task that learns the statistics of a scan."""
    return _task(batch, read, scan.program, scan.aggregates)


def _scan(aggregates: Sequence[Node], types: NodeTypes) -> Scan:
    """Return the scan that learns the given aggregates."""
    grouped: dict[Node, list[Aggregate]] = {}
    for aggregate in aggregates:
        assert isinstance(aggregate, Aggregate)
        grouped.setdefault(aggregate.args[0], []).append(aggregate)
    named = [("", argument) for argument in grouped]
    outputs = outputs_of(named, types, row_values.argument_output, hoist=True, training=True)
    return Scan(
        tuple(grouped),
        tuple(map(tuple, grouped.values())),
        program_of(outputs),
        constant_calls(constant_roots(list(grouped)), types),
    )


def _run(
    batch: Batch, scan: Scan, read: ScanInput, features: Mapping[str, Node]
) -> list[list[Any]]:
    """Return the learned values, one list per argument with a value per aggregate.

    A failure raises an error that names features.
    """
    try:
        return _learn(batch, read, scan.program, scan.aggregates)
    except RowFailed as failure:
        raise failed_scan(batch, scan, read, features, failure) from None
    except KernelFailed as error:  # a GPU accepts nothing after this: no second try
        learnt = f"fit was learning for {_first_features(scan, features)}"
        raise KernelFailed(f"{error}; {learnt}", error.kernels) from error
    except (OutOfDeviceMemory, BackendUnavailable):
        raise
    except FastfeatError as error:
        raise _failed_aggregate(batch, scan, read, features) or error from None


def failed_scan(
    batch: Batch, scan: Scan, read: ScanInput, features: Mapping[str, Node], failure: RowFailed
) -> FastfeatError:
    """Return the error for a row in which a scan cannot compute an argument."""
    program, row = _named(scan, features), failure.args[0]
    return failures.failed_row(
        *(program, row, read.columns, read.constants, batch.table, batch.backend),
        batch.number_of(row),
    )


def _first_features(scan: Scan, features: Mapping[str, Node]) -> str:
    """Return the first features that read a scan's statistics, as text for messages."""
    first = failures.first_readers(features)
    return shortened(dict.fromkeys(first[one] for group in scan.aggregates for one in group))


def _learn(
    batch: Batch, read: ScanInput, program: Program, aggregates: Sequence[Sequence[Aggregate]]
) -> list[list[Any]]:
    """Return the learned values for `aggregates`, one list per output of `program`."""
    return run_task(batch.backend, _task(batch, read, program, aggregates))


def _task(
    batch: Batch, read: ScanInput, program: Program, aggregates: Sequence[Sequence[Aggregate]]
) -> LearnTask:
    wanted = [[(a.function, a.params) for a in group] for group in aggregates]
    return LearnTask(program, wanted, read.columns, batch.n_rows, read.constants)


def _named(scan: Scan, features: Mapping[str, Node]) -> Program:
    """Return the program of a scan with each output named after the first feature that reads it."""
    first = failures.first_readers(features)
    outputs = [
        replace(output, name=first[argument])
        for output, argument in zip(scan.program.outputs, scan.arguments, strict=True)
    ]
    return program_of(outputs)


def named_failure(
    aggregate: Aggregate, features: Mapping[str, Node], error: FastfeatError
) -> FastfeatError:
    """Return an aggregate's error with the name of the first feature that reads the aggregate."""
    name = failures.first_readers(features)[aggregate]
    return type(error)(f"feature {name!r}, {show(aggregate)}: {error}")


def _failed_aggregate(
    batch: Batch, scan: Scan, read: ScanInput, features: Mapping[str, Node]
) -> FastfeatError | None:
    """Return the error of the first aggregate that fails when learned alone; None if none does."""
    for k, group in enumerate(scan.aggregates):
        for aggregate in group:
            part = program_of([scan.program.outputs[k]])
            try:
                _learn(batch, read, part, [[aggregate]])
            except FastfeatError as error:
                return named_failure(aggregate, features, error)
    return None


def _check_finite(batch: Batch, scan: Scan, read: ScanInput) -> None:
    """Raise InvalidData if an infinite value of an argument reached a learnt value."""
    for k, group in enumerate(scan.aggregates):
        for aggregate in group:
            if is_infinite(batch.learnt[aggregate]):
                first = infinite.first_infinite(argument_values(batch, scan, read, k))
                row = None if first.row is None else batch.number_of(first.row)
                raise failures.infinite_value(aggregate, first.value, row)


def argument_values(batch: Batch, scan: Scan, read: ScanInput, place: int) -> Any:
    """Return the values of the argument with index `place` in a scan, as an Arrow array."""
    part = program_of([scan.program.outputs[place]])
    task = RowTask(part, read.columns, batch.n_rows, read.constants)
    return run_task(batch.backend, task)[0]
