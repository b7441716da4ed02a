"""`Plan.learning`: fit a plan in rounds over parts of the rows, which may be on several machines.

A `Learning` is a plan in the middle of its fit. In each round, every machine computes a `State`
(the sums, counts and the like) of its part of the rows. The states are merged into one, and `next`
turns this state into the `Learning` of the next round. An engine, such as Spark, sends states and
`Learning`s between machines as bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, cast

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat import pickles
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch
from fastfeat.execute.fitted import Face, Fitted
from fastfeat.execute.lookup_tables import Tables
from fastfeat.keep.learning import (
    learning_bytes,
    learning_record,
    read_stored_learning,
    resume_learning,
)
from fastfeat.learn import learning as rounds
from fastfeat.learn import part_state
from fastfeat.learn.part_rows import shares_of_rows
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.trust.quality import profiling_in_rounds as profiling
from fastfeat.trust.quality.profile_state import MAGIC, ProfileState, profile_state_of
from fastfeat.trust.quality.profiling import ProfileChoice, checked_choice


@dataclass(slots=True, eq=False)
class State:
    """The statistics of some of the rows in one round of learning; states of all rows are merged.

    Args:
        record: The statistics that the round collects, or the counts of a profile.
    """

    record: part_state.PartState | ProfileState

    @property
    def n_rows(self) -> int:
        """The number of rows that the statistics cover."""
        return self.record.n_rows

    def merge(self, other: State) -> State:
        """Return one state for the rows of both. Neither input can be used afterwards.

        If both states were read from bytes, the work of merging is done later; see
        `Learning.state_of_bytes`.

        Args:
            other: A state of other rows in the same round.

        Raises:
            InvalidData: The other state belongs to another plan, schema or round, is damaged, or is
                this state; or one of the two was consumed (by `merge`, `next` or `into=`) before.
        """
        match self.record, _record(other):
            case part_state.PartState() as a, part_state.PartState() as b:
                return State(part_state.merge_states(a, b))
            case ProfileState() as a, ProfileState() as b:
                return State(a.merge(b))
            case _:
                raise InvalidData(_FOREIGN)

    def to_bytes(self) -> bytes:
        """Return the state as bytes for another machine: JSON and Arrow, without code.

        Raises:
            InvalidData: The state was consumed.
        """
        if isinstance(self.record, ProfileState):
            return self.record.to_bytes()
        return part_state.state_bytes(self.record)

    @classmethod
    def from_bytes(cls, content: bytes) -> State:
        """Return the state of bytes that `to_bytes` returned.

        Args:
            content: The bytes.

        Raises:
            InvalidData: The bytes are truncated, altered, or not a state.
        """
        return cls(_state_of_bytes(content))

    def __repr__(self) -> str:
        """Return "State(... rows)"."""
        return f"State({self.n_rows:,} rows)"


@dataclass(frozen=True, slots=True, eq=False)
class Learning(Generic[Face]):
    """A plan in the middle of its fit, between two passes over the rows; see `Plan.learning`.

    It is immutable: `next` returns a new `Learning` for the following round.

    Args:
        record: The values learned so far.
        face: The function that makes a `FittedPlan` from the internal record of a fit.
        profiling: The rounds after the last learning round, which count values for a profile;
            None without a profile.
    """

    record: rounds.LearningRound
    face: Callable[[Fitted], Face]
    profiling: profiling.ProfileRounds | None = None

    @property
    def round(self) -> int | None:
        """The number of the next pass over the rows, from 1; None after the last pass.

        With a profile, the last two passes are for the profile.
        """
        if self.record.round is not None or self.profiling is None:
            return self.record.round
        return self.profiling.round

    @property
    def columns(self) -> list[str]:
        """The columns that the next round reads; after the last one, those of `training_features`.

        A round that only counts rows still reads one column.
        """
        profiled = self._profiled
        if profiled is None:
            return self.record.columns
        return profiling.columns_profiled(profiled, self.record)

    @property
    def _profiled(self) -> profiling.ProfileRounds | None:
        """The rounds that count a profile if the next round is one of them, otherwise None."""
        if self.record.round is not None or self.round is None:
            return None
        return self.profiling

    @property
    def most_rounds(self) -> int:
        """The maximum number of rounds in all; learned values may make some unnecessary."""
        n_profiling = 0 if self.profiling is None else profiling.N_ROUNDS
        return self.record.most_rounds + n_profiling

    def shares(self, data: Any, n_shares: int) -> NDArray[np.int64]:
        """Return the share number of each row, shape (n_rows,), for an exchange of rows.

        Use it to exchange rows between machines, for a plan with windows and `plan.learning(schema,
        whole_entities=True)`. A share is a group of whole entities: all rows that a row's windows
        may see are in the same share. Build each part of the rows from whole shares, with the rows
        of a share in the order of their numbers.

        Args:
            data: The rows, with the key columns of the windows, in any form that `Plan.fit` takes.
            n_shares: The number of shares; they are numbered from 0.

        Raises:
            FastfeatError: Any error of `FittedPlan.transform` about the key columns.
        """
        return shares_of_rows(self.record, data, n_shares)

    def partial(
        self,
        data: Any,
        rows: range | Sequence[int] | NDArray[np.integer[Any]] | None,
        *,
        into: State | None = None,
        history: Any = None,
    ) -> State:
        """Return the state of one part of the rows in this round.

        Args:
            data: Rows of this part, in any form that `Plan.fit` takes. Columns that the round does
                not read are not needed.
            rows: The row numbers of this part in the whole data, counted from 0, ascending, shape
                (n_rows,): a range or an array. They assign rows to folds, identify a failing row in
                messages, and reveal parts that are absent or repeated. None if rows have no
                numbers, as in engines; a failing row is then identified by its number within the
                state.
            into: A state of other rows of this round to add to. It is consumed, even if this call
                fails. None starts a new state.
            history: Earlier rows of the entities of this part, which windows see. After an exchange
                of rows, these are the history rows of the same `shares`.

        Raises:
            InvalidData: `into` belongs to another round, is damaged, or was consumed.
            InvalidPlan: Rows without numbers, although folds are assigned by number.
            FastfeatError: Any error of `Plan.fit`.
        """
        own, numbers = None if into is None else _record(into), _numbers(rows)
        profiled = self._profiled
        if isinstance(own, ProfileState if profiled is None else part_state.PartState):
            raise InvalidData(_FOREIGN)
        if profiled is None:
            record: Any = own
            return State(rounds.add_part(self.record, data, numbers, record, history=history))
        before: Any = own
        return State(profiling.add_part(profiled, self.record, data, numbers, before, history))

    def state_of_bytes(self, content: bytes) -> State:
        """Return the state of some bytes, after checking that it belongs to this round.

        `State.from_bytes` reads bytes without a `Learning`. It cannot check the bytes, and the
        merge of two such states is put off until a `Learning` gets them.

        Args:
            content: The bytes that `State.to_bytes` returned.

        Raises:
            InvalidData: The state belongs to another round, or is damaged.
        """
        record = _state_of_bytes(content)
        profiled = self._profiled
        if isinstance(record, ProfileState):
            if profiled is None:
                raise InvalidData(_FOREIGN)
            record.check(profiling.digest(profiled, self.record))
            return State(record)
        if profiled is not None:
            raise InvalidData(_FOREIGN)
        return State(rounds.open_state(self.record, record))

    def next(self, state: State) -> Learning[Face]:
        """Return the `Learning` of the next round.

        Args:
            state: The state of all rows, each of them once. It is consumed.

        Raises:
            InvalidData: The state belongs to another round, was consumed, has no rows or another
                number of rows than in other rounds, or a row is absent or repeated.
            FastfeatError: Any error of `Plan.fit`.
        """
        own, profiled = _record(state), self._profiled
        if isinstance(own, ProfileState):
            if profiled is None:
                raise InvalidData(_FOREIGN)
            return replace(self, profiling=profiling.next_round(profiled, self.record, own))
        if profiled is not None:
            raise InvalidData(_FOREIGN)
        last, has_numbers = self.record.round, own.sums is not None
        after = rounds.next_round(self.record, own)
        coming = self.profiling
        if after.round is None and coming is not None and last is not None:
            coming = profiling.begin_sampling(coming, after, last, has_numbers=has_numbers)
        return replace(self, record=after, profiling=coming)

    def finish(self) -> Face:
        """Return the fitted plan, once `round` is None: the same as by `Plan.fit`, bit for bit.

        Its profile is also the same as by `Plan.fit` if rows have numbers, and each part has all
        rows of its entities. Otherwise the profile takes bin edges and categories from a sample:
        the rows with the smallest hashes of their content. Features with windows then have no
        profile.

        Raises:
            InvalidPlan: There are rounds left.
            FastfeatError: Any error of `Plan.fit`.
        """
        fitted = rounds.finish_learning(self.record)
        if self.profiling is None:
            return self.face(fitted)
        if self.profiling.made is None:
            raise InvalidPlan(
                f"round {self.round} is not finished: learning(profile={self.profiling.choice!r}) "
                "has to read the rows once more for the profile. Continue while learning.round is "
                "not None"
            )
        return self.face(replace(fitted, profile=self.profiling.made))

    def training_features(
        self,
        data: Any,
        rows: range | Sequence[int] | NDArray[np.integer[Any]] | None,
        *,
        to: str = "arrow",
        categories: bool = False,
        history: Any = None,
    ) -> Any:
        """Return out-of-fold features of a part of the rows, as `Plan.fit_transform` does.

        Call it when `round` is None.

        Args:
            data: Training rows, all or a part, in any form that `Plan.fit` takes.
            rows: The row numbers of this part in the whole data, ascending, shape (n_rows,). They
                decide the fold of each row. None if rows have no numbers.
            to: The form of the features: "arrow", "pandas", "polars", "numpy", "torch", "scipy",
                "cupy" or "cupy_columns". `FittedPlan.transform` describes each.
            categories: Whether ordinal encodings are returned as categories instead of codes: Arrow
                dictionaries, pandas Categorical or Polars Enum. Not for matrices.
            history: Earlier rows of the entities of this part, which windows see.

        Raises:
            InvalidPlan: There are rounds left.
            InvalidData: Windows see rows that may be in other parts.
            FastfeatError: Any error of `FittedPlan.transform`.
        """
        numbers = _numbers(rows)
        return rounds.part_features(
            self.record, data, numbers, to, categories=categories, history=history
        )

    def to_bytes(self) -> bytes:
        """Return this object as bytes to send to other machines: JSON and Arrow, no code."""
        content = learning_bytes(self.record)
        if self.profiling is None:
            return content
        own = self.profiling.to_bytes()
        return b"".join([_MAGIC, len(own).to_bytes(_SIZE, "little"), own, content])

    @staticmethod
    def from_bytes(content: bytes) -> Learning[Any]:
        """Return the `Learning` of bytes that `to_bytes` returned.

        Args:
            content: The bytes.

        Raises:
            InvalidData: The bytes are truncated, altered, or not a `Learning`.
        """
        given, coming = _bytes(content), None
        if given.startswith(_MAGIC):
            begin = len(_MAGIC) + _SIZE
            stop = begin + int.from_bytes(given[len(_MAGIC) : begin], "little")
            coming, given = profiling.rounds_of_bytes(given[begin:stop]), given[stop:]
        written = read_stored_learning(given)
        first = pickles.plan_of(written.plan).learning(
            written.empty, tables=written.tables, whole_entities=written.whole_entities
        )
        return replace(first, record=resume_learning(first.record, written), profiling=coming)

    def __repr__(self) -> str:
        """Return "Learning(round=...)"."""
        return f"Learning(round={self.round})"


def learning_of(
    plan: Declaration,
    schema: Any,
    tables: Tables,
    face: Callable[[Fitted], Face],
    *,
    whole_entities: bool = False,
    stable: Fitted | None = None,
    profile: ProfileChoice = False,
) -> Learning[Face]:
    """Return a plan's `Learning` before its first round; see `Plan.learning`.

    `face` makes the public fitted plan from the internal record.
    """
    choice = checked_choice(profile)
    record = learning_record(plan, schema, tables, whole_entities=whole_entities, stable=stable)
    return Learning(record, face, profiling.ProfileRounds(choice) if choice else None)


_FOREIGN = "the state is of another plan, schema, or round: only states of one round can be merged"
_MAGIC, _SIZE = b"fastfeat learning and profile\n", 8


def _state_of_bytes(content: Any) -> part_state.PartState | ProfileState:
    """Return the internal record of a state, read from bytes.

    Raises:
        InvalidData: The bytes are truncated, altered, or not a state.
    """
    given = _bytes(content)
    if given.startswith(MAGIC):
        return profile_state_of(given)
    return part_state.state_of_bytes(given)


def _record(state: Any) -> part_state.PartState | ProfileState:
    """Return the internal record of a `State`.

    Raises:
        TypeMismatch: The argument is not a state.
    """
    if not isinstance(state, State):
        raise TypeMismatch(
            "expected a state, the result of learning.partial(...) or of a merge, got "
            f"{type(state).__name__}"
        )
    return state.record


def _bytes(content: Any) -> bytes:
    """Return the argument as `bytes`.

    Raises:
        TypeMismatch: The argument is not bytes.
    """
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeMismatch(
            f"expected all the bytes that to_bytes() returned, got {type(content).__name__}"
        )
    return bytes(cast("bytes", content))


def _numbers(rows: Any) -> range | NDArray[np.int64] | None:
    """Return the argument `rows=` as ascending row numbers; None if rows have no numbers.

    Raises:
        TypeMismatch: They are not whole numbers, or not ascending.
    """
    if rows is None or (isinstance(rows, range) and rows.step == 1 and rows.start >= 0):
        return rows
    numbers = np.asarray(rows)
    if numbers.ndim == 1 and not len(numbers):
        return range(0)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise TypeMismatch(
            "rows= takes the numbers that the rows have in the whole data: range(first, first + "
            f"n_rows), or an array of whole numbers, got {type(rows).__name__}"
        )
    wide = numbers.astype(np.int64)
    if wide[0] < 0:
        raise TypeMismatch(f"rows= takes row numbers, which begin at 0, got {wide[0]}")
    wrong = np.diff(wide) <= 0
    if wrong.any():
        at = int(np.argmax(wrong))
        raise TypeMismatch(
            f"rows= takes ascending row numbers without repeats, but {wide[at]} is followed by "
            f"{wide[at + 1]}. Sort the rows by their numbers, and leave out repeated ones"
        )
    return wide
