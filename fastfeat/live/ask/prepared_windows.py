"""Window functions of one asking row, in arrays that are allocated once per thread.

Supported functions read number, time and text columns of the log, expressions of number and time
columns, and results of other windows. The general way, with the same bits, is in `ask.one_row`. A
round is a group of window functions of one order that are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.cpu.few_rows import few_rows
from fastfeat.engine.program import Program, program_of
from fastfeat.engine.storage import storage
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.values import argument_output
from fastfeat.io.arrow import Array, pa
from fastfeat.ir.dtypes import INT64, DType
from fastfeat.ir.node import Call, Column, Node
from fastfeat.ir.show import show
from fastfeat.live.log.log import EntityRows, Log
from fastfeat.live.lower.row_tables import given_type
from fastfeat.live.lower.schedules import WindowRound, WindowStatisticCall
from fastfeat.plan.lower.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.scalars.value import InputSlot
from fastfeat.steps.windows.cpu import last_row_over
from fastfeat.steps.windows.rows import WindowRequest

MOST_ROWS = 1 << 11
"""Largest supported number of visible rows of one entity, with the asking row.

For more rows, the general way is about as fast.
"""


class CannotBePrepared(Exception):
    """Raised for window functions that only the general way supports."""


class WindowsOfRow(NamedTuple):
    """The window functions of one round, prepared for one asking row at a time.

    Args:
        order: Index of the order in `LivePlan.orders`.
        calls: The functions.
        take: Copies the visible rows from the log into the arrays, before the log changes.
        compute: `(n_rows, time, stored_values) -> results`, from the number of visible rows, the
            time of the asking row in ticks, and its stored values by column and by function.
            Returns one result per function, or None if one cannot be computed.
    """

    order: int
    calls: Sequence[Call]
    take: Callable[[EntityRows, Log], None]
    compute: Callable[[int, int, Mapping[Any, Any]], list[Any] | None]


class _Source(NamedTuple):
    """A column of the log, and the arrays into which its visible values are copied.

    Args:
        name: Name of the log column.
        own: Key of the asking row's own value among its stored values.
        values: Array that receives the values of the visible rows and the asking row.
        present: Array that receives 1 for each value that is not missing, else 0; None for floats.
    """

    name: str
    own: Any
    values: NDArray[Any]
    present: NDArray[Any] | None


@dataclass(slots=True)
class _Text:
    """A text column of the log: arrays for the codes of its values, and the text of each code."""

    name: str
    own: Any
    dtype: DType
    values: NDArray[Any]
    present: NDArray[Any]
    seen: Array | None = None
    texts: Sequence[Any] = ()


@dataclass(slots=True)
class _Layout:
    """The columns that a round's functions read, collected while they are prepared.

    Args:
        one: The round.
        fitted: The plan.
        names: Column or window function to the name of its log column.
        sources: Log columns of numbers and times to copy.
        texts: Log columns of text to copy.
        actions: Functions that compute expressions over the first n rows: each takes n, and returns
            False if it fails.
    """

    one: WindowRound
    fitted: Fitted
    names: Mapping[Node, str]
    sources: list[_Source] = field(default_factory=list[_Source])
    texts: list[_Text] = field(default_factory=list[_Text])
    actions: list[Callable[[int], bool]] = field(default_factory=list[Callable[[int], bool]])


def windows_of_row(one: WindowRound, fitted: Fitted, names: Mapping[Node, str]) -> WindowsOfRow:
    """Return a round's window functions, prepared for one row; only one thread may use them.

    `names` maps a column or window function to the name of its log column.

    Raises:
        CannotBePrepared: The functions need the general way.
    """
    if one.schedule.tasks or one.expressions or not isinstance(one.time, Column):
        raise CannotBePrepared
    types = fitted.types
    values = list(dict.fromkeys((s.value, s.is_of_text) for s in one.statistics))
    layout = _Layout(one, fitted, names)
    dtypes = [INT64 if is_text else _value_type(layout, value) for value, is_text in values]
    time = types[one.time]
    are_times = [v is one.time and time.name in ("int64", "timestamp") for v, _ in values]
    places = [values.index((s.value, s.is_of_text)) for s in one.statistics]
    asked = [
        WindowRequest(s.function, s.params, None, dtypes[k], s.window, s.kept)
        for s, k in zip(one.statistics, places, strict=True)
    ]
    over = last_row_over(asked, places, dtypes, time, are_times, MOST_ROWS)
    for (value, is_text), target, present in zip(values, over.columns, over.present, strict=True):
        if target is not None:
            _add(layout, value, target, present, is_text=is_text)
    sources, texts, actions = layout.sources, layout.texts, layout.actions
    of_text = _results_of_text(one.statistics, types, layout)

    def take(seen: EntityRows, log: Log) -> None:
        n = len(seen.places)
        over.times[:n] = seen.times
        for name, _, target, present in sources:
            log.fill(name, seen.places, target[:n], None if present is None else present[:n])
        for text in texts:
            text.seen = log.take_one(text.name, seen.places)

    def compute(n: int, moment: int, known: Mapping[Any, Any]) -> list[Any] | None:
        over.times[n] = moment
        for _, own, target, present in sources:
            value = known[own]
            if present is not None:
                present[n] = value is not None
                target[n] = 0 if value is None else value
            else:
                target[n] = np.nan if value is None else value
        for text in texts:
            _write_codes(text, known[text.own])
        if not all(act(n + 1) for act in actions):
            return None
        found = over.compute(n + 1)
        if found is not None:
            for k, text in of_text:
                found[k] = None if found[k] is None else text.texts[found[k]]
        return found

    return WindowsOfRow(one.order, [s.call for s in one.statistics], take, compute)


def _value_type(layout: _Layout, value: Node) -> DType:
    """Return the type of the values that a function aggregates.

    Raises `CannotBePrepared` unless they are numbers or times of at most 64 bits, and not uint64.
    """
    is_there = value in layout.names
    dtype = layout.fitted.types[value] if is_there else _program(layout, value).outputs[0].dtype
    if not (dtype.is_temporal or (dtype.is_number and dtype.name not in ("uint64", "null"))):
        raise CannotBePrepared
    return dtype


def _add(
    layout: _Layout,
    value: Node,
    target: NDArray[Any],
    present: NDArray[Any] | None,
    *,
    is_text: bool,
) -> None:
    """Add a column or expression that functions aggregate to the layout.

    `target` receives its values, and `present` flags of values that are there (None for floats).
    """
    name = layout.names.get(value)
    own = value.name if isinstance(value, Column) else value
    if is_text:
        if name is None:
            raise CannotBePrepared
        assert present is not None
        dtype = layout.fitted.types[value]
        layout.texts.append(_Text(name, own, dtype, target, present))
    elif name is not None:
        layout.sources.append(_Source(name, own, target, present))
    else:
        _compute(layout, value, target, present)


def _compute(
    layout: _Layout, value: Node, target: NDArray[Any], present: NDArray[Any] | None
) -> None:
    """Add an expression over columns of numbers and times to the layout, as a compiled program.

    The general way uses the same program, so its machine code already exists.
    """
    fitted, program = layout.fitted, _program(layout, value)
    known = evaluate_constants(constant_roots([value]), fitted.types, dict(fitted.constants))
    names = [_name_of_slot(layout, slot) for slot in program.inputs]
    ready = few_rows(program, bind(program, known), MOST_ROWS)
    for slot, name, column in zip(program.inputs, names, ready.inputs, strict=True):
        source = slot.sources[0]
        own = source.name if isinstance(source, Column) else source
        layout.sources.append(_Source(name, own, column.values, column.present))
    (made,) = ready.outputs

    def act(n: int) -> bool:
        if not ready.run(n):
            return False
        target[:n] = made.values[:n]
        if present is not None and made.present is not None:
            present[:n] = made.present[:n]
        return True

    layout.actions.append(act)


def _program(layout: _Layout, value: Node) -> Program:
    types = layout.fitted.types
    return program_of(outputs_of([(show(value), value)], types, argument_output, hoist=True))


def _name_of_slot(layout: _Layout, slot: InputSlot) -> str:
    """Return the name of the log column that a program's input reads.

    Raises `CannotBePrepared` unless the input is a stored number or time.
    """
    name = layout.names.get(slot.sources[0])
    if slot.kind != "column" or name is None or storage(slot.dtype) == "uint64":
        raise CannotBePrepared
    return name


def _results_of_text(
    statistics: Sequence[WindowStatisticCall], types: Mapping[Node, DType], layout: _Layout
) -> list[tuple[int, _Text]]:
    """Return the index of each function that returns text, with the text column that it reads."""
    by_own = {text.own: text for text in layout.texts}
    return [
        (k, by_own[s.value.name if isinstance(s.value, Column) else s.value])
        for k, s in enumerate(statistics)
        if s.is_of_text and types[s.call].holds_bytes
    ]


def _write_codes(text: _Text, own: Any) -> None:
    """Write a code for each visible text and for the asking row's text `own`.

    Codes sort like the texts. Python orders texts by code points, which is the order of their UTF-8
    bytes.
    """
    assert text.seen is not None
    whole = pa.concat_arrays([text.seen, pa.array([own], given_type(text.dtype))])
    coded, n = whole.dictionary_encode(), len(whole)
    found: list[Any] = coded.dictionary.to_pylist()
    order = sorted(range(len(found)), key=found.__getitem__)
    ranks = np.empty(len(found), np.int64)
    ranks[order] = np.arange(len(found))
    text.texts, text.seen, codes = [found[k] for k in order], None, coded.indices
    if codes.null_count:
        present = codes.is_valid().to_numpy(zero_copy_only=False)
        text.present[:n], codes = present, codes.fill_null(0)
        ranks = ranks if len(ranks) else np.zeros(1, np.int64)
    else:
        text.present[:n] = 1
    text.values[:n] = ranks[codes.to_numpy()]
