"""Training: the plan is cut at its aggregates into scans, as many as they are nested deep.

All aggregates of one depth are learnt in one scan. An argument that is a column is read in place;
any other is computed by the row kernel, piece by piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from fastfeat.aggregates.keys import Groups
from fastfeat.backends import run_task
from fastfeat.engine.program import Constants, Program, RowFailed, program_of
from fastfeat.engine.tasks import LearnTask, RowTask
from fastfeat.errors import (
    BackendUnavailable,
    FastfeatError,
    InvalidData,
    KernelFailed,
    OutOfDeviceMemory,
    TooFewValues,
    counted,
    shortened,
    warn,
)
from fastfeat.ir.node import Aggregate, Call, Node
from fastfeat.ir.show import show
from fastfeat.plan.fit.keys import encodes_of, learn_keys
from fastfeat.plan.lower.constants import bind
from fastfeat.plan.lower.lower import Constant
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.plan.lower.scheduling import is_of_keys, scans_of
from fastfeat.plan.run.batch import Batch, known_constants
from fastfeat.plan.run.failures import failed_row, first_readers, infinite_value, is_infinite
from fastfeat.plan.run.inputs import Columns, slot_columns
from fastfeat.plan.run.steps import make
from fastfeat.plan.run.values import argument_output
from fastfeat.progress import doing, tell


class Scan(NamedTuple):
    """One pass over the training rows.

    Args:
        arguments: what is learnt from, one output of the program each.
        aggregates: what is learnt from each argument.
        program: computes the arguments.
        constants: what the program reads besides the columns.
        columns: the column of each slot of the program.
    """

    arguments: tuple[Node, ...]
    aggregates: tuple[tuple[Aggregate, ...], ...]
    program: Program
    constants: Constants
    columns: Columns


def learn(batch: Batch, features: Mapping[str, Node], *, transforms: bool = False) -> None:
    """Learn the value of every aggregate below the features.

    Args:
        batch: the training rows; takes the values, and what steps make of them.
        features: their expressions, by name.
        transforms: whether the features of the training rows are wanted too.

    Raises:
        InvalidData: there are no rows, or a value that is learnt is not finite.
        Overflow: an argument, or a sum, does not fit its type; names a feature that reads it.
    """
    roots = list(features.values())
    encodes, scans = encodes_of(roots, transforms=transforms), scans_of(roots)
    with doing(f"learning from {counted(batch.n_rows, 'row')}", len(scans), "scans") as step:
        for k, aggregates in enumerate(scans):
            step(k)
            if batch.n_rows == 0:
                shown = show(aggregates[0])
                raise InvalidData(
                    f"fit has no rows to learn {shown} from. Give it at least one training row"
                )
            _learn_scan(batch, aggregates, features, encodes)


def _learn_scan(
    batch: Batch,
    aggregates: Sequence[Aggregate],
    features: Mapping[str, Node],
    encodes: Mapping[Node, Sequence[Call]],
) -> None:
    """Learn the aggregates of one scan."""
    of_keys = [a for a in aggregates if is_of_keys(a)]
    if of_keys:
        learn_keys(batch, of_keys, encodes)
    of_rows = [a for a in aggregates if a not in batch.learnt]
    if not of_rows:
        return
    make(batch, [a.args[0] for a in of_rows])
    scan = _scan(batch, of_rows)
    tell(f"{counted(len(of_rows), 'statistic')} of {counted(len(scan.arguments), 'column')}")
    for group, values in zip(scan.aggregates, _run(batch, scan, features), strict=True):
        batch.learnt.update(zip(group, values, strict=True))
    _check_finite(batch, scan)


def warn_missing(learnt: Mapping[Node, Constant]) -> None:
    """Warn of what could not be learnt, because the training rows have too few values of it."""
    missing: dict[Node, list[Aggregate]] = {}
    for node, value in learnt.items():
        nowhere = isinstance(value, Groups) and not value.present.any()
        if isinstance(node, Aggregate) and (nowhere or value is None or value == ()):
            missing.setdefault(node.args[0], []).append(node)
    for argument, aggregates in missing.items():
        more = f" and {len(aggregates) - 1} more" if len(aggregates) > 1 else ""
        warn(
            f"{show(argument)} has too few values in the training data to learn "
            f"{show(aggregates[0])}{more}: what is computed from that is missing",
            TooFewValues,
        )


def _scan(batch: Batch, aggregates: Sequence[Aggregate]) -> Scan:
    grouped: dict[Node, list[Aggregate]] = {}
    for aggregate in aggregates:
        grouped.setdefault(aggregate.args[0], []).append(aggregate)
    named = [("", argument) for argument in grouped]
    outputs = outputs_of(named, batch.types, argument_output, hoist=True, training=True)
    program = program_of(outputs)
    return Scan(
        tuple(grouped),
        tuple(map(tuple, grouped.values())),
        program,
        bind(program, known_constants(batch, grouped)),
        slot_columns(program, batch.table, batch.made),
    )


def _run(batch: Batch, scan: Scan, features: Mapping[str, Node]) -> list[list[Any]]:
    """Return the values of the aggregates of each argument."""
    try:
        return _learn(batch, scan, scan.program, scan.aggregates)
    except RowFailed as failure:
        program, row = _named(scan, features), failure.args[0]
        raise failed_row(
            *(program, row, scan.columns, scan.constants, batch.table, batch.backend),
            batch.number_of(row),
        ) from None
    except KernelFailed as error:  # after which a card takes nothing more: no second try
        learnt = f"fit learns for {_first_features(scan, features)}"
        raise KernelFailed(f"{error}; {learnt}", error.kernels) from error
    except (OutOfDeviceMemory, BackendUnavailable):
        raise
    except FastfeatError as error:
        raise _failed_aggregate(batch, scan, features) or error from None


def _first_features(scan: Scan, features: Mapping[str, Node]) -> str:
    """Return the features that a scan learns for, as a message names them."""
    first = first_readers(features)
    return shortened(dict.fromkeys(first[one] for group in scan.aggregates for one in group))


def _learn(
    batch: Batch, scan: Scan, program: Program, aggregates: Sequence[Sequence[Aggregate]]
) -> list[list[Any]]:
    """Return the values of aggregates of what the program of a scan, or a part, computes."""
    wanted = [[(a.function, a.params) for a in group] for group in aggregates]
    task = LearnTask(program, wanted, scan.columns, batch.n_rows, scan.constants)
    return run_task(batch.backend, task)


def _named(scan: Scan, features: Mapping[str, Node]) -> Program:
    """Return the program of a scan with each output named after the first feature that reads it."""
    first = first_readers(features)
    outputs = [
        replace(output, name=first[argument])
        for output, argument in zip(scan.program.outputs, scan.arguments, strict=True)
    ]
    return program_of(outputs)


def _failed_aggregate(
    batch: Batch, scan: Scan, features: Mapping[str, Node]
) -> FastfeatError | None:
    """Return the error of the first aggregate that fails when it is learnt alone."""
    for k, group in enumerate(scan.aggregates):
        for aggregate in group:
            part = program_of([scan.program.outputs[k]])
            try:
                _learn(batch, scan, part, [[aggregate]])
            except FastfeatError as error:
                name = first_readers(features)[aggregate]
                return type(error)(f"feature {name!r}, {show(aggregate)}: {error}")
    return None


def _check_finite(batch: Batch, scan: Scan) -> None:
    """Raise where an infinite value of an argument reached what was learnt from it."""
    for k, group in enumerate(scan.aggregates):
        for aggregate in group:
            if is_infinite(batch.learnt[aggregate]):
                part = program_of([scan.program.outputs[k]])
                task = RowTask(part, scan.columns, batch.n_rows, scan.constants)
                arrays = run_task(batch.backend, task)
                raise infinite_value(aggregate, arrays[0], batch.number_of)
