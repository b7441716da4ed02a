"""Profiles of training rows that arrive in parts: one round samples them, the next counts them.

A round is a pass over all training rows. These rounds follow the rounds that learn values. Workers
turn each part of the rows into a state and merge the states; the process that has the learning,
which is the fit between two rounds, receives one state per round.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.engine.learner import Rows
from fastfeat.engine.state_bytes import seal, unseal
from fastfeat.errors import FastfeatError, FastfeatWarning, InvalidPlan
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.history import BATCH
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.transform import transform
from fastfeat.io.arrow import Table
from fastfeat.io.columns.decode import plain_table
from fastfeat.learn.learning import check_all_rows, finish_learning, first_window
from fastfeat.learn.part_rows import check_numbers
from fastfeat.learn.part_state import sums_of
from fastfeat.learn.round import LearningRound
from fastfeat.learn.row_sample import are_sampled, stride_of_sample
from fastfeat.trust.quality.content_hashes import content_hashes
from fastfeat.trust.quality.layout import SAMPLED
from fastfeat.trust.quality.profile import Profile
from fastfeat.trust.quality.profile_state import ProfileSample, ProfileState
from fastfeat.trust.quality.profiling import NO_FEATURES, ProfileChoice, host_table
from fastfeat.trust.quality.table_profiles import (
    counted_tables,
    layout_of_tables,
    stored_features,
    stored_inputs,
    take_places,
)

N_ROUNDS = 2
FAILED = "computing them for training rows fails: fitted.transform(rows) shows the error"


class ProfileRounds(NamedTuple):
    """The progress of profiling the training rows, between two rounds.

    Args:
        choice: True to profile inputs and features, "inputs" for inputs only, False for no profile.
        round: Number of the next round; None before the first one, and after the last.
        stride: The sample takes one row in `stride`; None if rows have no numbers and content
            hashes choose.
        no_features: Why features are not counted; "" if they are.
        layout: Profile without counts, with edges and categories from the sample; None before the
            sampling round.
        made: The finished profile; None before the last round is over.
    """

    choice: ProfileChoice
    round: int | None = None
    stride: int | None = None
    no_features: str = ""
    layout: Profile | None = None
    made: Profile | None = None

    @property
    def has_features(self) -> bool:
        """Whether features are counted."""
        return not self.no_features

    def to_bytes(self) -> bytes:
        """Return the progress as bytes, without code; `rounds_of_bytes` reads them."""
        parts = [one.to_bytes() for one in (self.layout, self.made) if one is not None]
        head = {"choice": self.choice, "round": self.round, "stride": self.stride}
        head |= {"no_features": self.no_features, "has_layout": self.layout is not None}
        return seal({**head, "sizes": list(map(len, parts))}, parts)


def rounds_of_bytes(content: bytes) -> ProfileRounds:
    """Return the progress that `ProfileRounds.to_bytes` wrote; raises InvalidData if damaged."""
    head, rest = unseal(content)
    parts: list[Profile] = []
    for size in head.pop("sizes"):
        parts.append(Profile.from_bytes(rest[:size]))
        rest = rest[size:]
    layout = parts.pop(0) if head.pop("has_layout") else None
    return ProfileRounds(**head, layout=layout, made=next(iter(parts), None))


@with_ieee_arithmetic
def begin_sampling(
    rounds: ProfileRounds, learning: LearningRound, last: int, *, has_numbers: bool
) -> ProfileRounds:
    """Return the progress before the sampling round; `last` is the number of the round before.

    `has_numbers` says whether the caller numbers the rows.
    """
    n_rows = int(learning.n_rows or 0)
    stride = stride_of_sample(n_rows, SAMPLED) if has_numbers else None
    reason = NO_FEATURES
    if rounds.choice is True:
        first = None if learning.keys else first_window(_fitted(learning).schedule)
        reason = "" if first is None else _of_windows(first)
    return rounds._replace(round=last + 1, stride=stride, no_features=reason)


def _of_windows(first: str) -> str:
    return (
        f"{first} sees rows that may be in other parts. Features are counted if parts have whole "
        "entities: with learning(whole_entities=True), or fit_transform on Ray and Spark"
    )


def columns_profiled(rounds: ProfileRounds, learning: LearningRound) -> list[str]:
    """Return the names of the columns that the next round reads.

    There is at least one, because the number of rows comes from a column.
    """
    fitted = _fitted(learning)
    read = list(fitted.inputs)
    if rounds.has_features:
        read += fitted.declaration.row_columns
    return list(dict.fromkeys(read)) or learning.columns[:1]


@with_ieee_arithmetic
def add_part(
    rounds: ProfileRounds,
    learning: LearningRound,
    data: Any,
    given: Rows | None,
    state: ProfileState | None,
    history: Any = None,
) -> ProfileState:
    """Return the state of a part of the training rows, merged with `state` if given.

    `given` is the numbers of the rows, or None if they have none. `state` covers other parts, and
    cannot be used any more. `history` is earlier rows of the same entities.

    Raises:
        InvalidData: `state` is of another round, or was merged before.
        InvalidPlan: The rows had numbers in earlier rounds, and have none now.
        FastfeatError: The rows cannot be read.
    """
    own_digest = digest(rounds, learning)
    if state is not None:
        state.check(own_digest)
    plan = learning.prepared.plan
    table = read_columns(data, columns_profiled(rounds, learning), plan.row_ids)
    n_rows = int(table.num_rows)
    check_numbers(given, n_rows)
    if given is None and rounds.stride is not None:
        raise InvalidPlan(
            "rows=None: no row numbers were passed, but in earlier rounds they were. Pass row "
            "numbers in every round, or in none"
        )
    own = ProfileState(own_digest, n_rows, sums_of(given))
    if n_rows:
        _profile_part(own, rounds, learning, table, given, history)
    return own if state is None else state.merge(own)


def _profile_part(
    state: ProfileState,
    rounds: ProfileRounds,
    learning: LearningRound,
    table: Table,
    given: Rows | None,
    history: Any,
) -> None:
    """Sample or count the rows of a part, and store the result in an empty state."""
    fitted = _fitted(learning)
    inputs = host_table(table, fitted.inputs, learning.prepared.rows.backend)
    is_whole = rounds.layout is not None or bool(learning.keys)
    features = None
    if rounds.has_features and is_whole:
        features = _features(state, learning, table, history)
    if rounds.layout is not None:
        layout = rounds.layout
        state.counts = counted_tables(layout, fitted, inputs, features)
        return
    keys, counts, places = _sampled_rows(
        rounds, fitted, inputs, features, given, int(table.num_rows)
    )
    sampled = plain_table(take_places(inputs, places))
    if features is not None:
        features = take_places(features, places)
    elif rounds.has_features and not is_whole:
        features = _features(state, learning, take_places(table, places), None)
    state.sample = ProfileSample(keys, counts, sampled, features)


def _sampled_rows(
    rounds: ProfileRounds,
    fitted: Fitted,
    inputs: Table,
    features: Table | None,
    given: Rows | None,
    n_rows: int,
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return the ascending keys of the sampled rows, the number of rows per key, and row indices.

    Keys are row numbers, or hashes of contents; an index is the position of a sampled row in the
    part.
    """
    if rounds.stride is not None:
        assert given is not None
        numbers = np.asarray(given, np.int64)
        places = np.flatnonzero(are_sampled(numbers, rounds.stride))
        return numbers[places], np.ones(len(places), np.int64), places
    columns = stored_inputs(fitted, inputs)
    if features is not None:  # with windows, rows of equal inputs may differ in features
        columns += stored_features(fitted, features)
    hashes = content_hashes(columns, n_rows)
    keys, places, counts = np.unique(hashes, return_index=True, return_counts=True)
    return keys[:SAMPLED], counts[:SAMPLED].astype(np.int64), places[:SAMPLED]


def _features(
    state: ProfileState, learning: LearningRound, table: Table, history: Any
) -> Table | None:
    """Return the features of rows as `transform` computes them.

    If that fails, return None and mark the state as failed.
    """
    fitted = _fitted(learning)
    past = BATCH if history is None or not learning.keys else history
    try:
        with warnings.catch_warnings():  # fit has warned already
            warnings.simplefilter("ignore", FastfeatWarning)
            return transform(fitted, CallRows(table, None, past, learning.prepared.tables))
    except FastfeatError:
        state.is_failed = True
        return None


@with_ieee_arithmetic
def next_round(
    rounds: ProfileRounds, learning: LearningRound, state: ProfileState
) -> ProfileRounds:
    """Return the progress after a round, from its state over all rows, which cannot be used again.

    Raises:
        InvalidData: The state is of another round, was merged before, or does not have each row
            exactly once.
    """
    state.check(digest(rounds, learning))
    check_all_rows(learning, state.n_rows, state.sums)
    state.is_used = True
    assert rounds.round is not None
    reason = FAILED if state.is_failed else rounds.no_features
    if rounds.layout is None:
        assert state.sample is not None
        sample, chosen = state.sample, state.sample.rows()
        features = (
            None if reason or sample.features is None else take_places(sample.features, chosen)
        )
        inputs = take_places(sample.inputs, chosen)
        layout = layout_of_tables(_fitted(learning), inputs, features, reason)
        return rounds._replace(round=rounds.round + 1, no_features=reason, layout=layout)
    assert state.counts is not None
    made = replace(state.counts, no_features=reason)
    if reason:
        made = replace(made, features={})
    return rounds._replace(round=None, no_features=reason, made=made)


def _fitted(learning: LearningRound) -> Fitted:
    """Return the plan that a complete learning gives, without columns that are passed through."""
    if _BARE not in learning.shared:
        with warnings.catch_warnings():  # finish() warns about this plan itself
            warnings.simplefilter("ignore", FastfeatWarning)
            fitted = finish_learning(replace(learning, shared={}))
        plan = replace(fitted.declaration, keep=())
        bare = replace(fitted, declaration=plan) if fitted.declaration.keep else fitted
        learning.shared[_BARE] = bare
    return learning.shared[_BARE]


def digest(rounds: ProfileRounds, learning: LearningRound) -> str:
    """Return a digest that identifies a round of a fit; the states of the round carry it."""
    key = ("digest of profile", rounds.round)
    if key not in learning.shared:
        content = hashlib.sha256(f"profile {learning.digest} {bool(learning.keys)}".encode())
        content.update(rounds.to_bytes())
        learning.shared[key] = content.hexdigest()
    return learning.shared[key]


_BARE = "plan without kept columns"
