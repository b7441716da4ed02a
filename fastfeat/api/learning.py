"""`Plan.learning`: fit in rounds over parts of the rows, which other machines may read.

An engine sends the bytes of a learning to the machines that have rows, and merges their states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, cast

import numpy as np
from numpy.typing import NDArray

from fastfeat import pickles
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch
from fastfeat.execute.fitted import Face, Fitted
from fastfeat.execute.lookup_tables import Tables
from fastfeat.keep.learning import learning_bytes, learning_record, resumed, written_in
from fastfeat.learn import learning as rounds
from fastfeat.learn import part_state
from fastfeat.learn.part_rows import shares_of_rows
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.trust.quality import profiling_in_rounds as profiling
from fastfeat.trust.quality.profile_state import MAGIC, ProfileState, profile_state_of
from fastfeat.trust.quality.profiling import Profiled, checked_choice


@dataclass(slots=True, eq=False)
class State:
    """The state of some rows in one round of learning.

    Args:
        record: The state of the round's statistics, or a profile of the rows.
    """

    record: part_state.PartState | ProfileState

    @property
    def n_rows(self) -> int:
        """The number of rows in the state."""
        return self.record.n_rows

    def merge(self, other: State) -> State:
        """Return the state of the rows of both. Both inputs are consumed.

        Two states that were read from bytes are merged later; see `Learning.state_of_bytes`.

        Args:
            other: A state of other rows in the same round.

        Raises:
            InvalidData: The other state belongs to another plan, schema or round, is damaged, or is
                this state; or one of the two was consumed before.
        """
        match self.record, _record(other):
            case part_state.PartState() as a, part_state.PartState() as b:
                return State(part_state.merged(a, b))
            case ProfileState() as a, ProfileState() as b:
                return State(a.merge(b))
            case _:
                raise InvalidData(_FOREIGN)

    def to_bytes(self) -> bytes:
        """Return the state as bytes: JSON and Arrow, without code.

        Raises:
            InvalidData: The state was consumed.
        """
        if isinstance(self.record, ProfileState):
            return self.record.to_bytes()
        return part_state.state_bytes(self.record)

    @classmethod
    def from_bytes(cls, content: bytes) -> State:
        """Return the state that `to_bytes` wrote.

        Args:
            content: The bytes.

        Raises:
            InvalidData: The bytes are truncated, altered, or not a state.
        """
        return cls(_state_of_bytes(content))

    def __repr__(self) -> str:
        """Return the number of rows."""
        return f"State({self.n_rows:,} rows)"


@dataclass(frozen=True, slots=True, eq=False)
class Learning(Generic[Face]):
    """A plan that is being fitted, between two passes over the rows; see `Plan.learning`.

    It is immutable: `next` returns the learning of the following round.

    Args:
        record: The values learned so far.
        face: The function that makes the public fitted plan from a record.
        profiling: The rounds that profile the rows after the learning rounds; None without a
            profile.
    """

    record: rounds.Learning
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
        """The columns that the next round reads; after the last, for `training_features`.

        A round that only counts rows still reads one column.
        """
        profiled = self._profiled
        if profiled is None:
            return self.record.columns
        return profiling.columns_profiled(profiled, self.record)

    @property
    def _profiled(self) -> profiling.ProfileRounds | None:
        """The profiling rounds if the next round is one of them, otherwise None."""
        if self.record.round is not None or self.round is None:
            return None
        return self.profiling

    @property
    def most_rounds(self) -> int:
        """The maximum number of rounds in all; learned values may make some unnecessary."""
        n_profiling = 0 if self.profiling is None else profiling.N_ROUNDS
        return self.record.most_rounds + n_profiling

    def shares(self, data: Any, n_shares: int) -> NDArray[np.int64]:
        """Return the share of each row, shape (n_rows,), as the key of an exchange of rows.

        Use it for a plan with windows, `plan.learning(schema, whole_entities=True)`. All rows that
        a row's windows may see are in the same share. Build each part from whole shares, with the
        rows of a share in the order of their numbers.

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
        """Return the state of a part of the rows in this round.

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
        """Return the state of some bytes, checked for this round and ready to merge.

        `State.from_bytes` needs no learning, but its states are only merged when a learning is
        available.

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
        return State(rounds.opened(self.record, record))

    def next(self, state: State) -> Learning[Face]:
        """Return the learning of the next round.

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
            coming = profiling.begun(coming, after, last, has_numbers=has_numbers)
        return replace(self, record=after, profiling=coming)

    def finish(self) -> Face:
        """Return the fitted plan, when `round` is None: bit for bit the same as by `Plan.fit`.

        Its profile is the same too if rows have numbers and parts have the whole entities of
        windows. Otherwise its sample consists of the rows with the smallest hashes of their
        content, and features with windows have no profile.

        Raises:
            InvalidPlan: There are rounds left.
            FastfeatError: Any error of `Plan.fit`.
        """
        fitted = rounds.finished(self.record)
        if self.profiling is None:
            return self.face(fitted)
        if self.profiling.made is None:
            raise InvalidPlan(
                f"round {self.round} is not over: rows are read once more for the profile that "
                f"learning(profile={self.profiling.choice!r}) asks for. Go on while learning.round "
                "is not None"
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
            to: The form of the features: "arrow", "pandas", "polars", "numpy", "torch", "cupy" or
                "cupy_columns". `FittedPlan.transform` describes each.
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
        """Return the learning as bytes, for machines that read rows: JSON and Arrow, no code."""
        content = learning_bytes(self.record)
        if self.profiling is None:
            return content
        own = self.profiling.to_bytes()
        return b"".join([_MAGIC, len(own).to_bytes(_SIZE, "little"), own, content])

    @staticmethod
    def from_bytes(content: bytes) -> Learning[Any]:
        """Return the learning that `to_bytes` wrote.

        Args:
            content: The bytes.

        Raises:
            InvalidData: The bytes are truncated, altered, or not a learning.
        """
        given, coming = _bytes(content), None
        if given.startswith(_MAGIC):
            begin = len(_MAGIC) + _SIZE
            stop = begin + int.from_bytes(given[len(_MAGIC) : begin], "little")
            coming, given = profiling.rounds_of_bytes(given[begin:stop]), given[stop:]
        written = written_in(given)
        first = pickles.plan_of(written.plan).learning(
            written.empty, tables=written.tables, whole_entities=written.whole_entities
        )
        return replace(first, record=resumed(first.record, written), profiling=coming)

    def __repr__(self) -> str:
        """Return the number of the round."""
        return f"Learning(round={self.round})"


def learning_of(
    plan: Declaration,
    schema: Any,
    tables: Tables,
    face: Callable[[Fitted], Face],
    *,
    whole_entities: bool = False,
    stable: Fitted | None = None,
    profile: Profiled = False,
) -> Learning[Face]:
    """Return the learning of a plan before its first round; see `Plan.learning`."""
    choice = checked_choice(profile)
    record = learning_record(plan, schema, tables, whole_entities=whole_entities, stable=stable)
    return Learning(record, face, profiling.ProfileRounds(choice) if choice else None)


_FOREIGN = (
    "the state is of another plan, schema, or round: states of one round of one learning merge"
)
_MAGIC, _SIZE = b"fastfeat learning and profile\n", 8


def _state_of_bytes(content: Any) -> part_state.PartState | ProfileState:
    """Return the record of a state's bytes.

    Raises:
        InvalidData: The bytes are truncated, altered, or not a state.
    """
    given = _bytes(content)
    if given.startswith(MAGIC):
        return profile_state_of(given)
    return part_state.state_of_bytes(given)


def _record(state: Any) -> part_state.PartState | ProfileState:
    """Return the record of a state.

    Raises:
        TypeMismatch: The argument is not a state.
    """
    if not isinstance(state, State):
        raise TypeMismatch(
            f"takes a state, such as learning.partial() gives, got {type(state).__name__}"
        )
    return state.record


def _bytes(content: Any) -> bytes:
    """Return the bytes of a state or a learning.

    Raises:
        TypeMismatch: The argument is not bytes.
    """
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeMismatch(
            f"takes the bytes that to_bytes() gave, whole, got {type(content).__name__}"
        )
    return bytes(cast("bytes", content))


def _numbers(rows: Any) -> range | NDArray[np.int64] | None:
    """Return the row numbers, ascending; None if rows have no numbers.

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
            "rows= takes the numbers of the rows in the whole data: range(first, first + n_rows), "
            f"or an array of whole numbers, got {type(rows).__name__}"
        )
    wide = numbers.astype(np.int64)
    if wide[0] < 0 or (np.diff(wide) <= 0).any():
        raise TypeMismatch("rows= takes numbers from 0 on that ascend, each once. Sort the rows")
    return wide
