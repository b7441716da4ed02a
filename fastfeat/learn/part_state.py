"""States: the result of learning from a part of the rows. They merge in any order, also from bytes.

A learner is the set of functions of one kind of task: they start a state, add rows and merge
states. A state read from bytes is closed: the parameters of its tasks are in the `LearningRound`,
not in the state. It is opened when it meets an open state or a `LearningRound`. Closed states wait
together until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, NamedTuple

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.backends import backend_named
from fastfeat.engine.learner import Learner, Rows, TaskLearner
from fastfeat.engine.state_bytes import of_bytes, seal, to_bytes, unseal
from fastfeat.errors import InvalidData
from fastfeat.learn import infinite
from fastfeat.learn.kinds import KINDS

_PART, _PARTS = "part of a round", "parts of a round"
_FOREIGN = "the state is of another plan, schema, or round: only states of one round can be merged"
_MODULUS = 1 << 64

RowNumberSums = tuple[int, int] | None
"""Sums of row numbers and of their squares, modulo 2**64; None if some rows have no number."""


class LearnerInput(NamedTuple):
    """The arguments that start a learner: its parameters, and a starting value.

    Args:
        spec: Its parameters.
        hint: Its starting value in the round.
    """

    spec: Any
    hint: Any


@dataclass(slots=True)
class PartState:
    """The state of a round after some of its rows, for all learning tasks.

    Args:
        digest: Hash of the plan, the types of the columns, and the round.
        n_rows: Number of rows, including the rows of closed states.
        told: Arguments that start each task's learner, by the name of the task; None if the state
            is closed.
        states: The state of each task's learner, by the name of the task.
        sizes: Number of rows per fold, by the name of the task that reads the folds.
        closed: States as bytes.
        whole: A window function that the round computes; all rows must then be in one part. None
            without windows.
        sums: Sums of the row numbers and of their squares, to detect missing and repeated rows.
        is_used: Whether its rows have moved to another state.
    """

    digest: str
    n_rows: int = 0
    told: Mapping[str, LearnerInput] | None = None
    states: dict[str, Any] = field(default_factory=dict[str, Any])
    sizes: dict[str, NDArray[np.int64]] = field(default_factory=dict[str, "NDArray[np.int64]"])
    closed: list[bytes] = field(default_factory=list[bytes])
    whole: str | None = None
    sums: RowNumberSums = (0, 0)
    is_used: bool = False


def check_unused(state: PartState) -> None:
    """Raise InvalidData if a state was consumed: its rows have moved to another state."""
    if state.is_used:
        raise InvalidData(
            "the state is used up: it was merged, added to, or passed to next() before. Continue "
            "with the resulting state, or make this one again"
        )


def sums_of(rows: Rows | None) -> RowNumberSums:
    """Return the sums of row numbers and of their squares, modulo 2**64; None without numbers."""
    if rows is None:
        return None
    if isinstance(rows, range):
        ends = ((n * (n - 1) // 2, n * (n - 1) * (2 * n - 1) // 6) for n in (rows.stop, rows.start))
        (last, last_squares), (first, first_squares) = ends if len(rows) else ((0, 0), (0, 0))
        return (last - first) % _MODULUS, (last_squares - first_squares) % _MODULUS
    numbers = np.asarray(rows).astype(np.uint64)
    return int(numbers.sum()), int((numbers * numbers).sum())


def add_sums(a: RowNumberSums, b: RowNumberSums) -> RowNumberSums:
    """Return the sums for the rows of two states together; None if one has rows without numbers."""
    if a is None or b is None:
        return None
    return (a[0] + b[0]) % _MODULUS, (a[1] + b[1]) % _MODULUS


def learner_of(name: str) -> Learner[Any, Any]:
    """Return the learner of a task with the given name, which starts with its kind."""
    kind = name.partition(" ")[0]
    return infinite.LEARNER if kind == infinite.LEARNER.kind else task_learner(kind).learner


def task_learner(kind: str) -> TaskLearner:
    """Return the CPU backend's learner for a kind of learning task."""
    return backend_named("cpu").learners[KINDS[kind].asks()]


def merge_states(a: PartState, b: PartState) -> PartState:
    """Return the state of the rows of both states, which are consumed.

    Raises InvalidData if they are from two rounds, or the same object, or if one is damaged or
    consumed.
    """
    if a is b:
        raise InvalidData("a state cannot be merged with itself: its rows would count twice")
    check_unused(a)
    check_unused(b)
    if a.digest != b.digest:
        raise InvalidData(_FOREIGN)
    check_whole(a, b.n_rows)
    told = b.told if a.told is None else a.told
    sums = add_sums(a.sums, b.sums)
    rows = PartState(a.digest, a.n_rows + b.n_rows, whole=a.whole, sums=sums)
    if told is None:
        a.is_used = b.is_used = True
        return replace(rows, closed=[*a.closed, *b.closed])
    of_a, of_b = open_with(a, told), open_with(b, told)  # detect damage before either is consumed
    a.is_used = b.is_used = True
    states = {
        name: learner_of(name).merge(state, of_b.states[name])
        for name, state in of_a.states.items()
    }
    sizes = {name: sum_of(counts, of_b.sizes[name]) for name, counts in of_a.sizes.items()}
    return replace(rows, told=told, states=states, sizes=sizes)


def check_whole(state: PartState, n_more: int) -> None:
    """Raise InvalidData if rows come in a second part although windows need all of them in one."""
    if state.whole is not None and state.n_rows and n_more:
        raise InvalidData(
            f"fit learns from {state.whole}, which reads earlier rows of an entity: they may be in "
            "another part. Pass all rows in one part, or fit on the whole data"
        )


def sum_of(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the element-wise sum of two arrays of counts; the shorter one is padded with 0."""
    found = np.zeros(max(len(a), len(b)), np.int64)
    found[: len(a)] += a
    found[: len(b)] += b
    return found


def open_with(state: PartState, told: Mapping[str, LearnerInput]) -> PartState:
    """Return a state in its open form; raise InvalidData if it is damaged."""
    if state.told is not None:
        return state
    first, *others = (_of_content(content, told) for content in state.closed)
    for other in others:
        first = merge_states(first, other)
    return first


def state_bytes(state: PartState) -> bytes:
    """Return a state as bytes, without code; raise InvalidData if it is consumed."""
    check_unused(state)
    if state.told is None:
        if len(state.closed) == 1:
            return state.closed[0]
        head = {"kind": _PARTS, **_head_of(state), "sizes": list(map(len, state.closed))}
        return seal(head, state.closed)
    parts = {name: to_bytes(learner_of(name), own) for name, own in state.states.items()}
    head = {
        "kind": _PART,
        **_head_of(state),
        "folds": {name: counts.tolist() for name, counts in state.sizes.items()},
        "states": {name: len(part) for name, part in parts.items()},
    }
    return seal(head, list(parts.values()))


def _head_of(state: PartState) -> dict[str, Any]:
    """Return the header fields that open and closed states share, for the bytes of a state."""
    return {
        "digest": state.digest,
        "n_rows": state.n_rows,
        "whole": state.whole,
        "sums": state.sums and list(state.sums),
    }


def _of_head(head: Mapping[str, Any]) -> PartState:
    """Return a state without tasks, from the header fields of its bytes."""
    sums = head["sums"] and (int(head["sums"][0]), int(head["sums"][1]))
    return PartState(head["digest"], head["n_rows"], whole=head["whole"], sums=sums)


def state_of_bytes(content: bytes) -> PartState:
    """Return a closed state from bytes; raise InvalidData if they are damaged or not a state."""
    head, rest = unseal(content)
    kind = head.get("kind")
    if kind not in (_PART, _PARTS):
        raise InvalidData(
            f"the bytes contain {kind!r}, not the state of a round: pass the bytes from "
            "state.to_bytes()"
        )
    closed = [content]
    if kind == _PARTS:
        ends = np.cumsum(head["sizes"]).tolist()
        closed = [rest[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    return replace(_of_head(head), closed=closed)


def _of_content(content: bytes, told: Mapping[str, LearnerInput]) -> PartState:
    """Return the open state that is read from the bytes of one closed state."""
    head, rest = unseal(content)
    states: dict[str, Any] = {}
    for name, n_bytes in head["states"].items():
        spec, hint = told[name]
        states[name] = of_bytes(learner_of(name), spec, hint, rest[:n_bytes])
        rest = rest[n_bytes:]
    sizes = {name: np.array(counts, np.int64) for name, counts in head["folds"].items()}
    return replace(_of_head(head), told=told, states=states, sizes=sizes)
