"""Learners: how fit learns from rows that come in parts, and how the results of parts are merged.

A learning task, such as "the mean of each group", makes one or more rounds: passes over all rows. A
state is the summary of the rows that one task has seen in one round; a hint is what one round
passes on to the next. A spec is a task without its rows. Adding all rows at once, or in any parts
merged in any order, with or without serialization, gives the same values bit for bit; the states
themselves may differ. Each kind of task has one learner, in the folder of its subject. Fitting in
memory means adding once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import Table

Rows = range | NDArray[np.int64]
"""Row numbers in the whole data: a consecutive or ascending sequence without duplicates."""

SpecT = TypeVar("SpecT")
StateT = TypeVar("StateT")


@dataclass(frozen=True, slots=True)
class LearntResult:
    """The end of a task: a tuple of learnt values, one for each that the task asked for."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class NextRound:
    """The result of a round that is not the last: all rows must be read once more.

    Args:
        hint: Input of the next round: plain numbers, texts, None, NumPy arrays, and tuples and
            dicts of these. `state_bytes.hint_to_bytes` sends it to other readers of the rows.
    """

    hint: Any


@dataclass(frozen=True, slots=True)
class PackedState:
    """A state in serializable form.

    Args:
        numbers: By name, integers of any size, texts, booleans, None, and lists and dicts of these.
        tables: Arrow tables by name.
    """

    numbers: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tables: Mapping[str, Table] = field(default_factory=dict[str, Table])


@dataclass(frozen=True, slots=True)
class Learner(Generic[SpecT, StateT]):
    """The functions with which one kind of learning task is done.

    Args:
        kind: Name of the kind, stored in states.
        start: Returns the state of no rows, from the task's spec and the hint of the previous round
            (None in the first).
        add: Adds rows to a state, from the columns that the task reads and the numbers of the rows.
            Raises at the first row that cannot be added, with its number. The state is then
            unusable; if several calls fail, the lowest row number is reported.
        merge: Returns the state of the rows of two states of one task and round, which are
            consumed.
        next: Returns the learnt values, or the hint for the next round.
        pack: Returns a state in serializable form.
        unpack: Returns the state from the task's spec, the hint of its round (which states do not
            contain), and the data.
        size: Returns the bytes that a state takes.
        bound: Returns the most bytes that a state may take, from the task's spec and the number of
            rows.
        spill: Writes the parts that can leave memory to files in a folder and continues; None if
            the state is small or cannot be spilled.
        of_sample: From the state of a sample and the number of all rows, returns the hint with
            which the first round can already do more than sample, or None if it cannot. None for
            kinds that do not use samples.
        takes: Text about the size of a state: in memory, and on disk if it does not fit there.
        row_bytes: Returns the bytes that a state may grow per row, from the task's spec; None for
            kinds that do not grow with rows, or by no more than the columns of the rows.
    """

    kind: str
    start: Callable[[SpecT, Any], StateT]
    add: Callable[[StateT, Mapping[Any, Any], Rows], None]
    merge: Callable[[StateT, StateT], StateT]
    next: Callable[[StateT], LearntResult | NextRound]
    pack: Callable[[StateT], PackedState]
    unpack: Callable[[SpecT, Any, PackedState], StateT]
    size: Callable[[StateT], int]
    bound: Callable[[SpecT, int], int]
    spill: Callable[[StateT, Path], None] | None = None
    of_sample: Callable[[StateT, int], Any] | None = None
    takes: str = ""
    row_bytes: Callable[[SpecT], int] | None = None


class TaskLearner(NamedTuple):
    """The learner of a kind of task that a backend runs, and how it reads such a task.

    Args:
        learner: The learner of the kind.
        told: Returns the learner's spec and the columns to read, from a task of the kind.
        failed: For a state with a value that cannot be computed, returns the first such value as
            two indices into the task's `wanted`, with its error. None for kinds that do not report
            one.
    """

    learner: Learner[Any, Any]
    told: Callable[[Any], tuple[Any, Mapping[Any, Any]]]
    failed: Callable[[Any], tuple[int, int, FastfeatError] | None] | None = None


def number_of(rows: Rows, place: int) -> int:
    """Return the row number at position `place` of a range or list of row numbers.


    >>> number_of(range(100, 200), 3)
    103
    """
    return int(rows[place])
