"""Functions over windows of one row that asks, in memory that is made once for a thread.

They are of columns of the log as they are, of text, of what is computed of columns of numbers and
times, and of what other windows gave. `ask.one_row` has the general way, with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
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
from fastfeat.live.log.log import Log, RowsOfOne
from fastfeat.live.lower.row_tables import given_type
from fastfeat.live.lower.schedules import Round, Statistic
from fastfeat.plan.lower.constants import bind, constant_roots, evaluate_constants
from fastfeat.plan.lower.patterns import outputs_of
from fastfeat.scalars.value import InputSlot
from fastfeat.steps.windows.cpu import last_row_over
from fastfeat.steps.windows.rows import WindowRequest

MOST_ROWS = 1 << 11
"""Rows of an entity that are seen, and the one that asks: of more, tables cost little."""


class CannotBePrepared(Exception):
    """Functions that are left to the general way."""


class WindowsOfRow(NamedTuple):
    """Functions over windows of one order of the rows.

    Args:
        order: its place.
        calls: the functions.
        take: takes the rows that are seen from the log, before it changes.
        compute: from the number of these, the time of the row that asks and what is known of it, as
            it is stored, by column and by function, to the value of each function. None for all
            where one cannot be computed.
    """

    order: int
    calls: Sequence[Call]
    take: Callable[[RowsOfOne, Log], None]
    compute: Callable[[int, int, Mapping[Any, Any]], list[Any] | None]


class _Source(NamedTuple):
    """A column of the log, and where its values go.

    Args:
        name: of the column.
        own: by which the value of the row that asks is known.
        values: takes those of all rows.
        present: takes whether they are there; None for floats.
    """

    name: str
    own: Any
    values: NDArray[Any]
    present: NDArray[Any] | None


@dataclass(slots=True)
class _Text:
    """A column of text of the log: what is seen of it, and the texts of codes."""

    name: str
    own: Any
    dtype: DType
    values: NDArray[Any]
    present: NDArray[Any]
    seen: Array | None = None
    texts: Sequence[Any] = ()


@dataclass(slots=True)
class _Layout:
    """The columns of some functions, as far as they are known.

    Args:
        one: the functions.
        fitted: the plan.
        names: of columns of the log, by what stands in them.
        sources: what is taken from the log.
        texts: the same of text.
        actions: what is computed then of all rows, by their number; each says whether it could be.
    """

    one: Round
    fitted: Fitted
    names: Mapping[Node, str]
    sources: list[_Source] = field(default_factory=list[_Source])
    texts: list[_Text] = field(default_factory=list[_Text])
    actions: list[Callable[[int], bool]] = field(default_factory=list[Callable[[int], bool]])


def windows_of_row(one: Round, fitted: Fitted, names: Mapping[Node, str]) -> WindowsOfRow:
    """Return functions over windows, prepared for one row of one thread at a time.

    Args:
        one: the functions.
        fitted: the plan.
        names: of the columns of the log, by the column or function that stands in them.

    Raises:
        CannotBePrepared: they read something else than is computed here.
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

    def take(seen: RowsOfOne, log: Log) -> None:
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
    """Return the type of what windows read, which is stored in words, or raise."""
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
    """Add what makes the values that functions read.

    Args:
        layout: takes it.
        value: what they are of.
        target: takes the values.
        present: takes whether they are there; None for floats.
        is_text: whether they are codes of text.
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
    """Add the program of an expression over columns of numbers and times; arguments as of `_add`.

    It is that of the general way, so that its machine code is there.
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
    """Return the column of the log that a program reads, or raise where it is read as no number."""
    name = layout.names.get(slot.sources[0])
    if slot.kind != "column" or name is None or storage(slot.dtype) == "uint64":
        raise CannotBePrepared
    return name


def _results_of_text(
    statistics: Sequence[Statistic], types: Mapping[Node, DType], layout: _Layout
) -> list[tuple[int, _Text]]:
    """Return the functions whose values are codes, and the text that these are of."""
    by_own = {text.own: text for text in layout.texts}
    return [
        (k, by_own[s.value.name if isinstance(s.value, Column) else s.value])
        for k, s in enumerate(statistics)
        if s.is_of_text and types[s.call].holds_bytes
    ]


def _write_codes(text: _Text, own: Any) -> None:
    """Write the codes of texts that are seen, and of the row that asks, in the order of texts.

    That of Python, by code points, is that of their bytes.
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
