"""Training: the plan is cut at its aggregates into scans, as many as they are nested deep.

All aggregates of one depth are learnt in one scan. An argument that is a column is read in place;
any other is computed by the row kernel, piece by piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from fastfeat.aggregates.groups import Groups
from fastfeat.backends import Backend
from fastfeat.backends.program import Constants, Program, RowFailed, program_of
from fastfeat.errors import (
    BackendUnavailable,
    FastfeatError,
    InvalidData,
    KernelFailed,
    OutOfDeviceMemory,
    shortened,
    warn,
)
from fastfeat.ir.node import Aggregate, Node
from fastfeat.ir.show import show
from fastfeat.ir.walk import fold
from fastfeat.plan.alike import outputs_of
from fastfeat.plan.border import Columns, slot_columns
from fastfeat.plan.constants import Learnt, bind, constant_roots, evaluate_constants
from fastfeat.plan.failures import failed_row, first_readers, infinite_value, is_infinite
from fastfeat.plan.keys import argument_output, encodes_of, is_of_keys, learn_keys
from fastfeat.plan.lower import Constant, Types
from fastfeat.plan.made import make
from fastfeat.plan.training_rows import Training


class Scan(NamedTuple):
    """One pass over the training rows.

    Args:
        arguments: what is learnt from, one output of the program each.
        aggregates: what is learnt from each argument.
        program: computes the arguments.
        constants: what the program reads besides the columns.
    """

    arguments: tuple[Node, ...]
    aggregates: tuple[tuple[Aggregate, ...], ...]
    program: Program
    constants: Constants


def scans_of(roots: Sequence[Node]) -> list[list[Aggregate]]:
    """Return the aggregates of each scan, in the order in which they must be learnt."""

    def depth(node: Node, below: list[int]) -> int:
        deepest = max(below, default=0)
        return deepest + 1 if isinstance(node, Aggregate) else deepest

    depths = fold(roots, depth)
    scans: list[list[Aggregate]] = [[] for _ in range(max(depths.values(), default=0))]
    for node, level in depths.items():
        if isinstance(node, Aggregate):
            scans[level - 1].append(node)
    return scans


def learn(
    features: Mapping[str, Node],
    types: Types,
    backend: Backend,
    table: Any,
    training: Training,
    *,
    transforms: bool = False,
) -> None:
    """Learn the value of every aggregate below the features.

    Args:
        features: their expressions, by name.
        types: type of every node.
        backend: computes and learns.
        table: the training rows, an Arrow table.
        training: takes the values, and what steps make of the training rows.
        transforms: whether the features of the training rows are wanted too.

    Raises:
        InvalidData: there are no rows, or a value that is learnt is not finite.
        Overflow: an argument, or a sum, does not fit its type; names a feature that reads it.
    """
    learnt, made = training
    roots = list(features.values())
    encodes = encodes_of(roots, transforms=transforms)
    for aggregates in scans_of(roots):
        if table.num_rows == 0:
            shown = show(aggregates[0])
            raise InvalidData(
                f"fit has no rows to learn {shown} from. Give it at least one training row"
            )
        of_keys = [a for a in aggregates if is_of_keys(a)]
        if of_keys:
            learn_keys(of_keys, types, learnt, table, backend, made, encodes)
        of_rows = [a for a in aggregates if a not in learnt]
        if not of_rows:
            continue
        arguments = [a.args[0] for a in of_rows]
        make(arguments, types, learnt, table, backend, made, training=True)
        scan = _scan(of_rows, types, learnt)
        rows = Rows(table, slot_columns(scan.program, table, made))
        for group, values in zip(scan.aggregates, _run(scan, features, rows, backend), strict=True):
            learnt.update(zip(group, values, strict=True))
        _check_finite(scan, learnt, rows, backend)


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
            f"{show(aggregates[0])}{more}: what is computed from that is missing"
        )


class Rows(NamedTuple):
    """The training rows: the table, and its columns in the storage that kernels read."""

    table: Any
    columns: Columns


def _scan(aggregates: Sequence[Aggregate], types: Types, learnt: Learnt) -> Scan:
    grouped: dict[Node, list[Aggregate]] = {}
    for aggregate in aggregates:
        grouped.setdefault(aggregate.args[0], []).append(aggregate)
    arguments = list(grouped)
    named = [("", argument) for argument in arguments]
    program = program_of(outputs_of(named, types, argument_output, hoist=True, training=True))
    known = evaluate_constants(constant_roots(arguments), types, learnt)
    return Scan(
        tuple(arguments), tuple(map(tuple, grouped.values())), program, bind(program, known)
    )


def _run(scan: Scan, features: Mapping[str, Node], rows: Rows, backend: Backend) -> list[list[Any]]:
    """Return the values of the aggregates of each argument."""
    try:
        return _learn(scan.program, scan.aggregates, scan.constants, rows, backend)
    except RowFailed as failure:
        program = _named(scan, features)
        raise failed_row(
            program, failure.args[0], rows.columns, scan.constants, rows.table, backend
        ) from None
    except KernelFailed as error:  # after which a card takes nothing more: no second try
        learnt = f"fit learns for {_first_features(scan, features)}"
        raise KernelFailed(f"{error}; {learnt}", error.kernels) from error
    except (OutOfDeviceMemory, BackendUnavailable):
        raise
    except FastfeatError as error:
        raise _failed_aggregate(scan, features, rows, backend) or error from None


def _first_features(scan: Scan, features: Mapping[str, Node]) -> str:
    """Return the features that a scan learns for, as a message names them."""
    first = first_readers(features)
    return shortened(dict.fromkeys(first[one] for group in scan.aggregates for one in group))


def _learn(
    program: Program,
    aggregates: Sequence[Sequence[Aggregate]],
    constants: Constants,
    rows: Rows,
    backend: Backend,
) -> list[list[Any]]:
    wanted = [[(a.function, a.params) for a in group] for group in aggregates]
    return backend.learn(program, wanted, rows.columns, rows.table.num_rows, constants)


def _named(scan: Scan, features: Mapping[str, Node]) -> Program:
    """Return the program of a scan with each output named after the first feature that reads it."""
    first = first_readers(features)
    outputs = [
        replace(output, name=first[argument])
        for output, argument in zip(scan.program.outputs, scan.arguments, strict=True)
    ]
    return program_of(outputs)


def _failed_aggregate(
    scan: Scan, features: Mapping[str, Node], rows: Rows, backend: Backend
) -> FastfeatError | None:
    """Return the error of the first aggregate that fails when it is learnt alone."""
    for k, group in enumerate(scan.aggregates):
        for aggregate in group:
            part = program_of([scan.program.outputs[k]])
            try:
                _learn(part, [[aggregate]], scan.constants, rows, backend)
            except FastfeatError as error:
                name = first_readers(features)[aggregate]
                return type(error)(f"feature {name!r}, {show(aggregate)}: {error}")
    return None


def _check_finite(scan: Scan, learnt: Learnt, rows: Rows, backend: Backend) -> None:
    """Raise where an infinite value of an argument reached what was learnt from it."""
    for k, group in enumerate(scan.aggregates):
        for aggregate in group:
            if is_infinite(learnt[aggregate]):
                part = program_of([scan.program.outputs[k]])
                n_rows = rows.table.num_rows
                array = backend.compute(part, rows.columns, n_rows, scan.constants)[0]
                raise infinite_value(aggregate, array)
