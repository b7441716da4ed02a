"""The state of live plans: it applies each change whole or not at all.

One thread at a time changes the state. It computes the results of a change, has the journal write
them, and then updates memory. If later rows of the same change must see earlier ones, those are put
into memory first, and taken back if anything fails. Readers wait only while memory changes, and see
only whole changes. The general path computes a call's rows as one table; a fast path computes a few
usual rows one by one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.errors import StateError
from fastfeat.io.arrow import Table, pa
from fastfeat.live.ask.prepared import PreparedAnswer, PreparedAsk
from fastfeat.live.ask.results import Results, joined, results_of, results_of_row
from fastfeat.live.log.entities import NEVER
from fastfeat.live.lower.live_plan import LivePlan
from fastfeat.live.lower.row_tables import as_dicts
from fastfeat.live.state.arrivals import (
    NOTHING,
    ArrivalRequest,
    ArrivalResults,
    check_early,
    compute_arrival,
    decide_arrivals,
)
from fastfeat.live.state.bases import copy_to_base, load, load_history
from fastfeat.live.state.call_rows import PlacedRows, WindowRows
from fastfeat.live.state.changes import (
    Base,
    ChangeRecorder,
    ChangeResults,
    Entry,
    Settings,
    StateChange,
    check_offsets,
)
from fastfeat.live.state.forking import wait_before_forks
from fastfeat.live.state.held_up import (
    MOST_TOLD,
    HeldUp,
    LateCounts,
    describe_held_up,
    find_blocking_row,
    find_row_source,
    is_held_up,
)
from fastfeat.live.state.lateness import ArrivalRun, ArrivalRuns, BlockingRow
from fastfeat.live.state.memory import StateMemory
from fastfeat.live.state.order_clocks import OrderClock, clocks_of, time_limits
from fastfeat.live.state.outcomes import find_late_windows
from fastfeat.live.state.prepared_arrival import (
    FEW,
    ArrivalAnswer,
    PreparedAsks,
    asked_id_is_new,
    encode_arrivals,
    gather_arrival,
    gather_row,
    store_arrival,
)
from fastfeat.live.state.stored_row_changes import (
    CheckedChange,
    apply_checked,
    check_corrections,
    check_forgetting,
    check_outcomes,
    check_removal,
    check_table_update,
)

if TYPE_CHECKING:
    from fastfeat.live.state.explanation import Explained

_HALF_CHANGED = (
    "the state was interrupted during a change and cannot be used any more. Create it again from "
    "its rows, or open its file again"
)
SWEPT_AT = 1 << 16
"""Number of rows in memory below which no rows of silent entities are dropped."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The numbers of rows and of entities in memory; entities by the names of their key columns."""

    rows: int
    entities: Mapping[str, int]


class LiveState:
    """The log and the lookup tables of live plans, and the only way to change them.

    Args:
        lowered: Columns, orders and window functions that the plans need.
        settings: Rules by which the state accepts rows.
        base: Content that the state begins with.
        journal: Recorder of its changes; None for a state in memory only.
    """

    def __init__(
        self,
        lowered: LivePlan,
        settings: Settings,
        base: Base,
        journal: ChangeRecorder | None = None,
    ) -> None:
        self.lowered = lowered
        self.settings = settings
        self.journal = journal
        self.offsets: Mapping[str, int] = dict(base.offsets)
        self.counts: Mapping[str, int] = {}
        self.late_counts = LateCounts()
        self.kept_changes: Callable[[], Iterable[StateChange]] = tuple
        """Function that returns the changes in the file; nothing may be written meanwhile."""
        self._places: dict[BlockingRow, str] = {}
        clocks = clocks_of(lowered, settings)
        self._limits = time_limits(settings, clocks)
        self._memory = StateMemory(lowered, clocks, base.tables)
        self._readings = find_late_windows(lowered)
        self.sweeps = True
        """Whether the state drops rows of silent entities by itself."""
        self.takes_few = True
        """Whether a few rows may take the fast path, one by one.

        A replay turns it off, so that all rows take the general path.
        """
        self._n_swept = 0
        self._process = os.getpid()
        self._unusable = ""
        self._is_changing = False
        self._asks = PreparedAsks(lowered)
        self.renew_locks()
        load(self._memory, base)
        wait_before_forks(self)

    def renew_locks(self) -> None:
        """Replace the locks by new ones.

        After a fork, the threads that held them are not in the child.
        """
        self._writing = RLock()
        self.reading = RLock()

    @property
    def tables(self) -> Mapping[str, Table]:
        """A dict of table name to lookup table."""
        return self._memory.tables

    @property
    def types(self) -> Mapping[str, Any]:
        """A dict of column name to dtype, for the columns of the log."""
        return self._memory.columns

    @property
    def clocks(self) -> Sequence[OrderClock]:
        """The unit of times and the retention of each order."""
        return self._memory.clocks

    def limit_jumps(self, max_jump: str | int) -> None:
        """From now on, refuse rows that are more than `max_jump` ahead of the latest row.

        The limit is not stored with the state, because it may have to be longer after a long
        silence. Raises the errors of `time_limits`.
        """
        self._limits = time_limits(self.settings, self.clocks, max_jump)

    @property
    def n_rows(self) -> int:
        """The number of rows of the log that windows can still see."""
        with self.reading:
            log = self._memory.log
            return 0 if log is None else len(log.rows())

    @property
    def sizes(self) -> Sizes:
        """The numbers of rows and entities in memory."""
        with self.reading:
            log = self._memory.log
            if log is None:
                return Sizes(0, {})
            orders = [order.entity for order in self.lowered.orders]
            return Sizes(log.n_stored, {name: log.n_entities(k) for k, name in enumerate(orders)})

    def held_up(self, *, is_due: bool, places: bool) -> list[HeldUp]:
        """Return the entities that one row holds up; see `Live.held_up` for the arguments.

        Searching for places, the source and offset of that row, reads the changes of the file,
        which takes a while.
        """
        with self._writing if places else nullcontext():  # nobody writes to the file meanwhile
            with self.reading:
                counts = self.late_counts
                known = iter(counts.due() if is_due else counts.held())
                rows = ((late, n, find_blocking_row(self._memory, late)) for late, n in known)
                # without a row nothing is held up any more
                holding = ((late, n, row) for late, n, row in rows if row is not None)
                found = list(islice(holding, MOST_TOLD))
                n_more = sum(is_held_up(self._memory, late) for late, _ in known)
            orders, row_id = self.lowered.orders, self.lowered.row_id
            held = [
                describe_held_up(orders[of.order], row_id, row, n, self._place_of(of, row, places))
                for of, n, row in found
            ]
            return [*held[:-1], replace(held[-1], n_more=n_more)] if n_more else held

    def _place_of(self, late: BlockingRow, row: Table, looks: bool) -> str:
        """Return the source and offset of a row that holds an entity up; "" if unknown.

        `looks` tells whether to search the file for it.
        """
        if late not in self._places and looks and self.offsets:
            counted = self.late_counts.counts
            self._places = {of: place for of, place in self._places.items() if counted(of)}
            self._places[late] = find_row_source(row, self.lowered.row_id, self.kept_changes())
        return self._places.get(late, "")

    def history(self) -> Table | None:
        """Return the rows of the log in order of arrival; None if no row has come yet."""
        with self.reading:
            self.check_usable()
            log = self._memory.log
            return None if log is None or not log.n_rows else log.table(self._memory.columns)

    def base(self) -> Base:
        """Return a copy of the state's content, from which an equal state can begin."""
        with self.reading:
            return copy_to_base(self._memory, self.offsets)

    def begin(self, history: Table) -> None:
        """Fill an empty state with earlier rows, all at once; see `bases.load_history`."""
        with self._writing, self.reading:
            load_history(self._memory, history)

    @property
    def head(self) -> bytes:
        """The audit hash of the last change; empty without a journal."""
        return b"" if self.journal is None else self.journal.link

    @property
    def is_usable(self) -> bool:
        """Whether the state can be used: `check_usable` would not raise an error."""
        if self._unusable or self._is_changing:
            return False
        return self.journal is None or os.getpid() == self._process

    def check_usable(self) -> None:
        """Raise `StateError` if the state is closed, half changed, or opened before a fork.

        Readers hold the lock `reading`, so that no writer is active meanwhile.
        """
        if self._unusable:
            raise StateError(self._unusable)
        if self._is_changing:
            raise StateError(_HALF_CHANGED)
        if self.journal is not None and os.getpid() != self._process:
            raise StateError(
                f"the state was opened in process {self._process}, before this process was forked "
                "from it. Open it after the fork"
            )

    def close(self, *, discards: bool = False) -> None:
        """Write everything to disk and close the state.

        With `discards`, leave out unwritten changes. It is no error if there is no room to compact:
        everything is on disk, and forgotten rows are erased when the file is opened again.
        """
        with self._writing:
            if self.journal is not None and os.getpid() == self._process:
                if discards:
                    self.journal.discard()
                else:
                    if not self._unusable and not self._is_changing:
                        self.journal.flush()
                        with suppress(StateError):
                            self.journal.settle(self.base)
                    self.journal.close()  # closes an interrupted state with whole calls only
            self._unusable = self._unusable or "the state is closed. Open it again with path="

    def flush(self) -> None:
        """Write all applied changes to disk."""
        with self._writing:
            self.check_usable()
            if self.journal is not None:
                self.journal.flush()
                self.journal.settle(self.base)

    def compact(self) -> None:
        """Replace the changes in the file by a copy of the whole state."""
        self.flush()
        with self._writing:
            if self.journal is not None:
                self.journal.settle(self.base, erases=True)

    def delete_audit_key(self) -> None:
        """Delete the key of the audit, and replace the changes in the file by the whole state."""
        self.flush()
        with self._writing:
            if self.journal is not None:
                self.journal.delete_key(self.base())

    def apply(
        self, change: StateChange, wanted: ArrivalRequest = NOTHING
    ) -> tuple[ChangeResults, Results]:
        """Apply a change; return its results, and a dict of plan name to features.

        The features have the wanted form. After any error the state is as it was.
        """
        with self._writing:
            self.check_usable()
            check_offsets(change, self.offsets)
            if change.kind in ("process", "update"):
                self._settle_and_sweep()
            elif self.journal is not None:
                self.journal.settle(self.base)
            done = self._applied(change, wanted)
            if self.journal is not None and change.kind == "forget":
                self.journal.settle(self.base, erases=True)
            return done

    def restore(self, entries: Sequence[Entry]) -> None:
        """Apply recorded changes with their recorded results; nothing is computed."""
        with self._writing, self.reading:
            for entry in entries:
                self._restore(entry.change, entry.applied)
                self._finish(entry.change, replace(entry.applied, counts={}))

    def features(self, rows: Table, wanted: ArrivalRequest, *, has_ids: bool) -> Results:
        """Return a dict of plan name to features, for rows that do not see each other.

        The state does not change. If the rows have an id column (`has_ids`), a row with the id of a
        stored row is computed as if it stood at the place of that row. Raises `LateRow` if a row is
        so early that rows in its windows may be gone.
        """
        found = self._features_of_few(rows, wanted)
        return self._features(rows, wanted, has_ids=has_ids, first=0) if found is None else found

    def _features_of_few(self, rows: Table, wanted: ArrivalRequest) -> Results | None:
        given = self._as_few(rows, wanted)
        answers = None if given is None else self.features_of_rows(given)
        return None if answers is None else self._asks.results_of(answers, wanted.to)

    def _as_few(self, rows: Table, wanted: ArrivalRequest) -> list[dict[str, Any]] | None:
        """Return rows as one dict per row, for the fast path.

        None if there are too many rows, or they need the general path.
        """
        if wanted.row is not None or not 1 <= rows.num_rows <= FEW:
            return None
        return as_dicts(rows)

    def _features(
        self, rows: Table, wanted: ArrivalRequest, *, has_ids: bool, first: int
    ) -> Results:
        """Return a dict of plan name to features, by the general path.

        `first` is the index of the first row within the call. A large call is cut into parts,
        between which other threads may take their turns.
        """
        with self.reading:
            self.check_usable()
            memory = self._memory
            if has_ids:
                rows = memory.with_ids(rows)
            here = memory.here(rows, add=False, has_ids=has_ids, first=first)
            check_early(memory, here)
            cuts = memory.at_once(here)
            sight = None if len(cuts) > 2 else self._find_window_rows(here)
        if sight is None:  # between the parts, other threads may take their turns
            parts = [(begin, rows.slice(begin, end - begin)) for begin, end in pairwise(cuts)]
            return joined(
                [self._features(p, wanted, has_ids=has_ids, first=first + n) for n, p in parts]
            )
        if wanted.row is not None:
            return results_of_row(memory.answer_row(wanted.row, sight))
        return results_of(memory.answer(sight), wanted.to)

    def features_of_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[PreparedAnswer] | None:
        """Return the features of a few rows by the fast path; the rows do not see each other.

        None if a row needs the general path, `features`.
        """
        ask = self._asks.take()
        if ask is None:
            return None
        found: list[PreparedAnswer] = []
        with self.reading:
            memory = self._memory
            for row in rows if self.is_usable else ():
                seen = gather_row(memory, ask, row)
                if seen is None or not asked_id_is_new(memory, row):
                    break
                answer = ask.answer(row, seen, memory.tables)
                if answer is None:
                    break
                found.append(answer)
        self._asks.give(ask)  # until here its buffers were in use
        return found if len(found) == len(rows) else None

    def process_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[PreparedAnswer] | None:
        """Add a few rows to the state by the fast path, all or none, and return their features.

        Each row sees the rows before it. None if a row needs the general path, `apply`; then
        nothing has changed.
        """
        with self._writing:
            if not self.is_usable:
                return None
            self._settle_and_sweep()
            found = self._arrive_few(rows, None, time.time_ns())
        return None if found is None else found[1]

    def _settle_and_sweep(self) -> None:
        """Compact the file and drop rows of silent entities if that is due, before rows arrive."""
        if self.journal is not None:
            self.journal.settle(self.base)
        if self.sweeps:
            self._sweep()

    def _arrive_few(
        self, rows: Sequence[Mapping[str, Any]], change: StateChange | None, now: int
    ) -> tuple[ChangeResults, list[PreparedAnswer]] | None:
        """Store a few arriving rows by the fast path; return results and features.

        None if a row needs the general path; then nothing has changed.

        Args:
            rows: One dict of column name to value per row.
            change: The same rows as a change to record; None if no table of them exists yet.
            now: Time by this machine's clock, in nanoseconds since 1970.
        """
        ask = self._asks.take()
        if ask is None:
            return None
        memory = self._memory
        applied = ChangeResults({}, np.ones(len(rows), np.bool_))
        arrived = self._seen_few(ask, rows, now)
        self._asks.give(ask)
        if arrived is None:
            return None
        committing: AbstractContextManager[Any] = self._changing()
        if self.journal is not None:
            change, applied = encode_arrivals(self._asks, memory, arrived, change, now)
        if change is not None:
            committing = self._commit(change, applied)
        with committing:
            for row, answer in arrived:
                store_arrival(memory, row, answer)
        return applied, [answer for _, answer in arrived]

    def _seen_few(
        self, ask: PreparedAsk, rows: Sequence[Mapping[str, Any]], now: int
    ) -> list[ArrivalAnswer] | None:
        """Return a few arriving rows with their features; None if one needs the general path.

        If a row must see earlier rows of the same call, those are put into the log for the moment,
        under the lock, and taken back at the end.
        """
        memory, arrived, entities = self._memory, list[ArrivalAnswer](), set[Any]()
        log, n_rows, n_there = memory.log, 0 if memory.log is None else memory.log.n_rows, 0
        watermarks, row_id = memory.watermarks, self.lowered.row_id
        with self.reading:
            try:
                for row in rows:
                    seen = gather_arrival(memory, ask, row, self._limits, now)
                    if seen is None:
                        return None
                    own: set[Any] = {*enumerate(seen.keys)}
                    if row_id is not None:
                        own.add((row_id, seen.values[row_id]))
                    if not own.isdisjoint(entities):
                        with self._changing():
                            for before in arrived[n_there:]:
                                store_arrival(memory, *before)
                        n_there = len(arrived)
                        entities.clear()
                        seen = gather_arrival(memory, ask, row, self._limits, now)
                    answer = None if seen is None else ask.answer(row, seen, memory.tables)
                    if seen is None or answer is None:
                        return None
                    arrived.append((seen, answer))
                    entities |= own
                    memory.watermarks = list(map(max, memory.watermarks, seen.times))
            finally:
                memory.watermarks = watermarks
                if n_there and log is not None and not self._is_changing:
                    with self._changing():
                        log.truncate(n_rows)
        return arrived

    def explain(self, row: Table, *, has_ids: bool) -> dict[str, Explained]:
        """Return a dict of plan name to the origins of one row's features.

        Raises as `features` does.
        """
        from fastfeat.live.state.explanation import explain_in_memory  # seldom needed

        with self.reading:
            self.check_usable()
            memory = self._memory
            if has_ids:
                row = memory.with_ids(row)
            here = memory.here(row, add=False, has_ids=has_ids)
            check_early(memory, here)
            return explain_in_memory(memory, self._find_window_rows(here).here)

    def _find_window_rows(self, here: PlacedRows) -> WindowRows:
        """Return rows that do not see each other, with the log rows that they see."""
        memory = self._memory
        return memory.find_window_rows(here, alone=True, check=partial(check_early, memory))

    def _applied(
        self, change: StateChange, wanted: ArrivalRequest
    ) -> tuple[ChangeResults, Results]:
        match change.kind:
            case "process" | "update":
                return self._arrive(change, wanted)
            case "outcomes" | "correct" | "remove" | "forget" | "table":
                found = self._found(change)
                with self._commit(found.change, found.results):
                    found.put()
                return found.results, {}
            case "sweep" | "plans":
                applied = ChangeResults({}, np.ones(int(change.rows.num_rows), np.bool_))
                with self._commit(change, applied) as log:
                    if change.kind == "sweep":
                        self._swept(log, change.rows)
                return applied, {}

    def _found(self, change: StateChange) -> CheckedChange:
        """Check a change of stored rows or tables, and return it ready to be put into memory."""
        memory = self._memory
        match change.kind:
            case "outcomes":
                return check_outcomes(memory, change, self.settings.late, self._readings)
            case "correct":
                return check_corrections(memory, change, self._limits, self.reading)
            case "remove":
                return check_removal(memory, change)
            case "forget":
                return check_forgetting(memory, change, self.reading)
            case _:
                return check_table_update(memory, change)

    def _arrive(self, change: StateChange, wanted: ArrivalRequest) -> tuple[ChangeResults, Results]:
        """Store arriving rows by the fast or general path.

        Return their results, and a dict of plan name to features.
        """
        memory, begun = self._memory, self._memory.log is None
        is_general = begun or change.kind != "process" or not self.takes_few
        few = None if is_general else self._as_few(change.rows, wanted)
        if few is not None:
            change = replace(change, rows=memory.with_ids(change.rows))
            found = self._arrive_few(few, change, change.time_ns)
            if found is not None:
                results = self._asks.results_of(found[1], wanted.to)
                return found[0], results
        try:
            return self._arrive_whole(change, wanted)
        except BaseException:
            if begun and self.lowered.row_id is not None and memory.id_type is not None:
                memory.log = None if memory.log is None or not memory.log.n_rows else memory.log
            raise

    def _arrive_whole(
        self, change: StateChange, wanted: ArrivalRequest
    ) -> tuple[ChangeResults, Results]:
        memory = self._memory
        with self.reading:  # entities get their numbers
            change = replace(change, rows=memory.with_ids(change.rows, begins=True))
            here = memory.here(change.rows, add=True)
        late, asks = self.settings.late, change.kind == "process"
        arrived = decide_arrivals(memory, here, late, self._limits, change.time_ns, asks=asks)
        if len(arrived.runs) <= 1 and all(run.is_stored for run in arrived.runs):
            return self._arrive_at_once(change, here, arrived, wanted)
        return self._arrive_in_runs(change, here, arrived, wanted)

    def _arrive_at_once(
        self, change: StateChange, here: PlacedRows, arrived: ArrivalRuns, wanted: ArrivalRequest
    ) -> tuple[ChangeResults, Results]:
        """Store arriving rows that are all new, and not late relative to each other.

        Return their results, and a dict of plan name to features.
        """
        asks = change.kind == "process"
        given = self._arrival_results(change, here, wanted, alone=False)
        is_stored = np.ones(here.n_rows, np.bool_)
        applied = ChangeResults(given.features, is_stored, given.kept, arrived.counts)
        memory = self._memory
        with self._commit(change, applied):
            memory.append(given.here, given.kept, is_answered=asks)
            memory.note_times(given.here)
            memory.drop_lowered_latest(given.here)
        return applied, given.results

    def _arrival_results(
        self, change: StateChange, here: PlacedRows, wanted: ArrivalRequest, *, alone: bool
    ) -> ArrivalResults:
        """Return the features and window results of arriving rows, which are not stored yet.

        See `arrivals.compute_arrival`.
        """
        asks, keeps, memory = change.kind == "process", self.journal is not None, self._memory

        def check(placed: PlacedRows) -> None:
            late, limits = self.settings.late, self._limits
            decide_arrivals(memory, placed, late, limits, change.time_ns, asks=asks)

        has_stages = len(self.lowered.stages) > 1  # then entities get their numbers there
        with self.reading if has_stages else nullcontext():
            return compute_arrival(memory, here, wanted, check, asks=asks, alone=alone, keeps=keeps)

    def _arrive_in_runs(
        self, change: StateChange, here: PlacedRows, arrived: ArrivalRuns, wanted: ArrivalRequest
    ) -> tuple[ChangeResults, Results]:
        """Store arriving rows, some of them late or repeated, run by run.

        Each run sees the rows stored before it. After an error all of them are taken back. Return
        their results, and a dict of plan name to features.
        """
        memory, asks, log = self._memory, change.kind == "process", self._memory.log
        assert log is not None
        n_rows, watermarks = log.n_rows, list(memory.watermarks)
        pieces: list[ArrivalResults] = []
        with self.reading:
            try:
                for run in arrived.runs:
                    part, alone = self._part(here, run), not run.is_stored
                    given = self._arrival_results(change, part, wanted, alone=alone)
                    pieces.append(given)
                    if run.is_stored:
                        with self._changing():
                            memory.append(given.here, given.kept, is_answered=asks)
                            memory.note_times(given.here)
                applied = ChangeResults(
                    joined([piece.features for piece in pieces]),
                    arrived.is_stored,
                    joined([piece.kept for piece in pieces]),
                    dict(arrived.counts),
                )
                with self._commit(change, applied):
                    for run, given in zip(arrived.runs, pieces, strict=True):
                        if run.is_stored:
                            memory.drop_lowered_latest(given.here)
                    self.late_counts.note(arrived.dropped)
            except BaseException:
                if not self._is_changing:
                    with self._changing():
                        log.truncate(n_rows)
                        memory.watermarks = watermarks
                raise
        return applied, joined([piece.results for piece in pieces])

    def _part(self, here: PlacedRows, run: ArrivalRun) -> PlacedRows:
        """Return the rows of a run; if they are repeated, with the numbers of their log rows."""
        part = here.part(run.begin, run.end)
        if run.is_stored or self.lowered.row_id is None:
            return part
        assert self._memory.log is not None
        ids = part.rows.column(self.lowered.row_id)
        return replace(part, numbers=self._memory.log.find(ids))

    def _sweep(self) -> None:
        """Drop rows of silent entities, and rows out of reach, if there are enough of them.

        Dropping rows of silent entities is recorded as a change of its own.
        """
        log = self._memory.log
        if log is None:
            return
        log.tidy(lock=self.reading)
        if log.n_stored < max(SWEPT_AT, 2 * self._n_swept):
            return
        marks = [None if last == NEVER else last for last in self._memory.watermarks]
        rows = pa.table({str(k): pa.array([mark], pa.int64()) for k, mark in enumerate(marks)})
        self._applied(StateChange("sweep", rows, time_ns=time.time_ns()), NOTHING)

    def _swept(self, log: Any, rows: Table) -> None:
        """Apply a sweep: drop rows of entities that are silent at the given watermarks.

        `rows` has one row with a column per order: its latest time in ticks, or null.
        """
        n_dropped = log.sweep([column[0].as_py() for column in rows.columns])
        log.tidy(now=True)
        for k, known in enumerate(self._memory.lowered_latest):
            entities = np.fromiter(known, np.int32, len(known))
            there = log.latest(k, entities) != NEVER
            self._memory.lowered_latest[k] = {e: known[e] for e in entities[there].tolist()}
        self._n_swept = log.n_stored
        self.counts = {**self.counts, "swept": self.counts.get("swept", 0) + n_dropped}

    @contextmanager
    def _commit(self, change: StateChange, applied: ChangeResults) -> Generator[Any]:
        """Record a change in the journal, then let the `with` block put it into memory.

        The block runs under the lock. If it fails after the change is recorded, memory no longer
        matches the file, and the state becomes unusable.
        """
        is_written = False
        try:
            if self.journal is not None:
                self.journal.write([Entry(change, applied)])
                is_written = True
            with self._changing():
                yield self._memory.log
                self._finish(change, applied)
        except BaseException as error:
            if self.journal is not None and (is_written or not isinstance(error, Exception)):
                self._unusable = (
                    f"the state was interrupted by {type(error).__name__} during a change. Open it "
                    "again: all written changes are on disk"
                )
            raise

    @contextmanager
    def _changing(self) -> Generator[None]:
        """Let the `with` block change memory under the lock.

        If the block fails, the state becomes unusable.
        """
        with self.reading:
            self._is_changing = True
            yield
            self._is_changing = False

    def _finish(self, change: StateChange, applied: ChangeResults) -> None:
        if change.source:
            self.offsets = {**self.offsets, change.source: change.end}
        if applied.counts:
            more = {name: self.counts.get(name, 0) + n for name, n in applied.counts.items()}
            self.counts = {**self.counts, **more}

    def _restore(self, change: StateChange, applied: ChangeResults) -> None:
        """Put a change with its recorded results into memory."""
        memory = self._memory
        match change.kind:
            case "process" | "update":
                rows = memory.with_ids(change.rows, begins=True)
                is_stored = pa.array(applied.stored)
                kept = {name: array.filter(is_stored) for name, array in applied.kept.items()}
                here = memory.place_stored_rows(rows.filter(is_stored), kept, add=True)
                memory.append(here, kept, is_answered=change.kind == "process")
                memory.note_times(here)
                memory.drop_lowered_latest(here)
            case "outcomes" | "correct" | "remove" | "forget" | "table":
                apply_checked(memory, change, applied)
            case "sweep":
                self._swept(memory.log, change.rows)
            case "plans":
                pass
