"""States of parts of the rows in one round of learning: merged in any order, through bytes or not.

A state that comes from bytes is closed: what its tasks are told stands in the learning, not in it.
It is opened where it meets one that is open, or the learning itself; closed ones wait together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.engine.learner import Learner, TaskLearner, of_bytes, opened, sealed, to_bytes
from fastfeat.engine.tasks import LearnTask, Task
from fastfeat.errors import InvalidData
from fastfeat.plan.fit import infinite
from fastfeat.plan.fit.row_numbers import RowNumbers
from fastfeat.steps.keys.tasks import GroupsTask, KeysTask
from fastfeat.steps.targets.tasks import TargetTask
from fastfeat.steps.targets.time_folds import TimesTask

RECORDS: Mapping[str, type[Task[Any]]] = {
    "keys": KeysTask,
    "times": TimesTask,
    "target": TargetTask,
    "groups": GroupsTask,
    "statistics": LearnTask,
}
"""What a backend is asked to learn, by the kind of the task of the schedule."""

_KIND, _KINDS = "part of a round", "parts of a round"
_FOREIGN = (
    "the state is of another plan, schema, or round: states of one round of one learning merge"
)


class Told(NamedTuple):
    """A learner's beginning.

    Args:
        spec: what it is told.
        hint: what the round begins with.
    """

    spec: Any
    hint: Any


@dataclass(slots=True)
class PartState:
    """The state of some rows in one round.

    Args:
        digest: of the plan, the types of the columns, and the round.
        rows: which rows there are, those of closed states among them.
        told: what the learner of each task is told, by the name of the task; nothing where the
            state is closed.
        states: of each task.
        sizes: how many rows each fold has, by the name of the task that reads it.
        closed: states as bytes.
        whole: a function of windows, where the round computes one: all rows are then in one part.
    """

    digest: str
    rows: RowNumbers = field(default_factory=RowNumbers)
    told: Mapping[str, Told] | None = None
    states: dict[str, Any] = field(default_factory=dict[str, Any])
    sizes: dict[str, NDArray[np.int64]] = field(default_factory=dict[str, "NDArray[np.int64]"])
    closed: list[bytes] = field(default_factory=list[bytes])
    whole: str | None = None

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.rows.n


def learner_of(name: str) -> Learner[Any, Any]:
    """Return the learner of a task, by the name of the task."""
    kind = name.partition(" ")[0]
    return infinite.LEARNER if kind == infinite.LEARNER.kind else task_learner(kind).learner


def task_learner(kind: str) -> TaskLearner:
    """Return the learner of a kind of task of the schedule."""
    return backend_named("cpu").learners[RECORDS[kind]]


def merged(a: PartState, b: PartState) -> PartState:
    """Return the state of the rows of two, which are used up.

    Raises:
        InvalidData: they are of two rounds, or one of them is damaged.
    """
    if a.digest != b.digest:
        raise InvalidData(_FOREIGN)
    check_whole(a, b.n_rows)
    told = b.told if a.told is None else a.told
    rows = a.rows.with_all(b.rows)
    if told is None:
        return PartState(a.digest, rows, closed=[*a.closed, *b.closed], whole=a.whole)
    a, b = open_with(a, told), open_with(b, told)
    states = {
        name: learner_of(name).merge(state, b.states[name]) for name, state in a.states.items()
    }
    sizes = {name: sum_of(counts, b.sizes[name]) for name, counts in a.sizes.items()}
    return PartState(a.digest, rows, told, states, sizes, whole=a.whole)


def check_whole(state: PartState, n_more: int) -> None:
    """Raise where further rows come to a state, and windows see rows of several parts.

    Raises:
        InvalidData: both have rows.
    """
    if state.whole is not None and state.n_rows and n_more:
        raise InvalidData(
            f"{state.whole} is learnt from, and sees the earlier rows of an entity: such rows may "
            "be in another part. Give all rows in one part, or fit on the whole data"
        )


def sum_of(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sums of two lists of counts, of which one may be shorter."""
    found = np.zeros(max(len(a), len(b)), np.int64)
    found[: len(a)] += a
    found[: len(b)] += b
    return found


def open_with(state: PartState, told: Mapping[str, Told]) -> PartState:
    """Return a state as one that is open.

    Args:
        state: open or closed.
        told: what the learner of each task is told.

    Raises:
        InvalidData: it is damaged.
    """
    if state.told is not None:
        return state
    first, *others = (_of_content(content, told) for content in state.closed)
    for other in others:
        first = merged(first, other)
    return first


def state_bytes(state: PartState) -> bytes:
    """Return a state as bytes, without code."""
    if state.told is None:
        if len(state.closed) == 1:
            return state.closed[0]
        head = {"digest": state.digest, "rows": state.rows, "whole": state.whole}
        return sealed({"kind": _KINDS, **head, "sizes": list(map(len, state.closed))}, state.closed)
    parts = {name: to_bytes(learner_of(name), own) for name, own in state.states.items()}
    head = {
        "kind": _KIND,
        "digest": state.digest,
        "rows": state.rows,
        "whole": state.whole,
        "folds": {name: counts.tolist() for name, counts in state.sizes.items()},
        "states": {name: len(part) for name, part in parts.items()},
    }
    return sealed(head, list(parts.values()))


def state_of_bytes(content: bytes) -> PartState:
    """Return the closed state of some bytes.

    Raises:
        InvalidData: they are cut or changed, or no state of a round.
    """
    head, rest = opened(content)
    match head.get("kind"):
        case "part of a round":
            closed = [content]
        case "parts of a round":
            ends = np.cumsum(head["sizes"]).tolist()
            closed = [rest[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        case kind:
            raise InvalidData(f"the bytes are of a {kind!r}, and the state of a round is wanted")
    return PartState(head["digest"], RowNumbers(*head["rows"]), closed=closed, whole=head["whole"])


def _of_content(content: bytes, told: Mapping[str, Told]) -> PartState:
    """Return the open state of the bytes of one."""
    head, rest = opened(content)
    states: dict[str, Any] = {}
    for name, n_bytes in head["states"].items():
        spec, hint = told[name]
        states[name] = of_bytes(learner_of(name), spec, hint, rest[:n_bytes])
        rest = rest[n_bytes:]
    sizes = {name: np.array(counts, np.int64) for name, counts in head["folds"].items()}
    return PartState(
        head["digest"], RowNumbers(*head["rows"]), told, states, sizes, whole=head["whole"]
    )
