"""`Plan.learning`: fit in rounds over parts of the rows, which other machines may read.

An engine hands the bytes of a learning to those that read rows, and brings their states together.
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
        record: what the tasks have seen, or the profile of the rows.
    """

    record: part_state.PartState | ProfileState

    @property
    def n_rows(self) -> int:
        """The number of its rows."""
        return self.record.n_rows

    def merge(self, other: State) -> State:
        """Return the state of the rows of both, which are used up.

        Two that come from bytes wait together; see `Learning.state_of_bytes`.

        Raises:
            InvalidData: the other is of another plan, schema or round, damaged, or this one; or one
                of them is used up.
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
            InvalidData: it is used up.
        """
        if isinstance(self.record, ProfileState):
            return self.record.to_bytes()
        return part_state.state_bytes(self.record)

    @classmethod
    def from_bytes(cls, content: bytes) -> State:
        """Return the state of bytes that `to_bytes` gave.

        Raises:
            InvalidData: they are cut or changed, or no state.
        """
        return cls(_state_of_bytes(content))

    def __repr__(self) -> str:
        """Return the number of rows."""
        return f"State({self.n_rows:,} rows)"


@dataclass(frozen=True, slots=True, eq=False)
class Learning(Generic[Face]):
    """A plan on its way to be fitted, between two passes over the rows; see `Plan.learning`.

    Args:
        record: what is learnt so far.
        face: makes what users have of a fitted plan.
        profiling: the rounds that profile the rows, behind those that learn; None without.
    """

    record: rounds.Learning
    face: Callable[[Fitted], Face]
    profiling: profiling.ProfileRounds | None = None

    @property
    def round(self) -> int | None:
        """The number of the next pass over the rows, from 1 on; None where none is left.

        With a profile the last two passes count the rows for it.
        """
        if self.record.round is not None or self.profiling is None:
            return self.record.round
        return self.profiling.round

    @property
    def columns(self) -> list[str]:
        """The columns that the round reads, or once none is left those of `training_features`.

        A round that only counts the rows asks for one all the same.
        """
        profiled = self._profiled
        if profiled is None:
            return self.record.columns
        return profiling.columns_profiled(profiled, self.record)

    @property
    def _profiled(self) -> profiling.ProfileRounds | None:
        """The rounds that profile the rows, where the next one is of them."""
        if self.record.round is not None or self.round is None:
            return None
        return self.profiling

    @property
    def most_rounds(self) -> int:
        """The number of rounds in all, at most: what is learnt may make it less."""
        n_profiling = 0 if self.profiling is None else profiling.N_ROUNDS
        return self.record.most_rounds + n_profiling

    def shares(self, data: Any, n_shares: int) -> NDArray[np.int64]:
        """Return the share of each row, shape (n_rows,), by which rows are exchanged.

        For a plan with windows, `plan.learning(schema, whole_entities=True)`: rows that one may see
        are in its share, so that a part is made of whole shares. Rows of a share stand in the order
        of their numbers.

        Args:
            data: the rows, with the columns of the keys by which windows see rows.
            n_shares: how many there are; shares are numbered from 0.

        Raises:
            FastfeatError: as `FittedPlan.transform`, of the keys.
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
            data: the rows, as in `Plan.fit`; columns that the round does not read may lack.
            rows: their numbers in the whole data, which has rows from 0 on, ascending, shape
                (n_rows,): a range, or any. They divide the rows into folds, name one that fails,
                and tell parts that lack or are there twice. None where they have no numbers, as
                those of an engine: one that fails is told by its number in the state, then.
            into: a state of other rows of this round, which these are added to: it is used up, and
                is so too where these rows are at fault.
            history: earlier rows of the entities of the part, as in `Plan.fit`: those of its shares
                by `shares`, where rows are exchanged.

        Raises:
            InvalidData: `into` is of another round, damaged, or used up.
            InvalidPlan: rows without numbers are divided into folds by them.
            FastfeatError: as `Plan.fit`.
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
        """Return the state of bytes of this round, which merges at once with others.

        States of `State.from_bytes` do without the learning, and wait, as they are, for one that
        knows it.

        Args:
            content: as `State.to_bytes` gave them.

        Raises:
            InvalidData: they are of another round, or damaged.
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
        """Return the learning before the next round.

        Args:
            state: of all rows, each of them once; it is used up.

        Raises:
            InvalidData: it is of another round or used up, or has no rows, or not as many as in
                other rounds, or a row lacks or is in it twice.
            FastfeatError: as `Plan.fit`.
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
        """Return the fitted plan, once `round` is None: bit for bit that of `Plan.fit`.

        So is its profile, where rows have numbers and parts have whole entities of windows. Else
        its sample is of the rows with the least hashes of what they hold, and windows have none.

        Raises:
            InvalidPlan: not all is learnt, or counted, yet.
            FastfeatError: as `Plan.fit`.
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
        """Return the features of a part of the rows, once `round` is None, as `fit_transform` does.

        Args:
            data: the rows that were learnt from, or a part of them.
            rows: their numbers in the whole data, as of `partial`: they say which fold each is in.
            to: the form of the features, as in `FittedPlan.transform`.
            categories: as in `FittedPlan.transform`.
            history: as of `partial`.

        Raises:
            InvalidPlan: not all is learnt yet.
            InvalidData: windows see rows that may be in other parts.
            FastfeatError: as `FittedPlan.transform`.
        """
        numbers = _numbers(rows)
        return rounds.part_features(
            self.record, data, numbers, to, categories=categories, history=history
        )

    def to_bytes(self) -> bytes:
        """Return the learning as bytes for those that read rows: JSON and Arrow, without code."""
        content = learning_bytes(self.record)
        if self.profiling is None:
            return content
        own = self.profiling.to_bytes()
        return b"".join([_MAGIC, len(own).to_bytes(_SIZE, "little"), own, content])

    @staticmethod
    def from_bytes(content: bytes) -> Learning[Any]:
        """Return the learning of bytes that `to_bytes` gave.

        Raises:
            InvalidData: they are cut or changed, or no learning.
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
    """Return the learning of a plan before its first round.

    Args:
        plan: what is fitted.
        schema: as of `Plan.learning`.
        tables: as of `Plan.learning`.
        face: makes what users have of a fitted plan.
        whole_entities: as of `Plan.learning`.
        stable: an earlier fit, whose categories keep their codes.
        profile: as of `Plan.learning`.
    """
    choice = checked_choice(profile)
    record = learning_record(plan, schema, tables, whole_entities=whole_entities, stable=stable)
    return Learning(record, face, profiling.ProfileRounds(choice) if choice else None)


_FOREIGN = (
    "the state is of another plan, schema, or round: states of one round of one learning merge"
)
_MAGIC, _SIZE = b"fastfeat learning and profile\n", 8


def _state_of_bytes(content: Any) -> part_state.PartState | ProfileState:
    """Return the record of the bytes of a state.

    Raises:
        InvalidData: they are cut or changed, or no state.
    """
    given = _bytes(content)
    if given.startswith(MAGIC):
        return profile_state_of(given)
    return part_state.state_of_bytes(given)


def _record(state: Any) -> part_state.PartState | ProfileState:
    """Return the record of a state.

    Raises:
        TypeMismatch: it is none.
    """
    if not isinstance(state, State):
        raise TypeMismatch(
            f"takes a state, such as learning.partial() gives, got {type(state).__name__}"
        )
    return state.record


def _bytes(content: Any) -> bytes:
    """Return the bytes that a state or a learning is read from.

    Raises:
        TypeMismatch: they are none.
    """
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeMismatch(
            f"takes the bytes that to_bytes() gave, whole, got {type(content).__name__}"
        )
    return bytes(cast("bytes", content))


def _numbers(rows: Any) -> range | NDArray[np.int64] | None:
    """Return the numbers of rows, ascending; None where they have none.

    Raises:
        TypeMismatch: they are none, or not ascending.
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
