"""States with a file: creating the file, opening it again, and opening it with other plans.

A file holds a base (a copy of a whole state), the changes after the base, and the plans. Opening it
with equal plans applies those changes to the base. Opening it with other plans computes their
stored window results anew, and writes a new base.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from fastfeat.errors import (
    ArtifactError,
    HistoryMissing,
    InvalidPlan,
    StateError,
    TypeMismatch,
    UnknownColumn,
    counted,
    shortened,
    warn,
)
from fastfeat.execute.fitted import Fitted
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.types import arrow_type
from fastfeat.ir.show import show
from fastfeat.keep.artifact import artifact_bytes, fitted_digest, fitted_of_bytes
from fastfeat.live.audit.chain import Audit, artifacts_of, new_key
from fastfeat.live.audit.forgotten import rewrite_segments
from fastfeat.live.file.archive import FOREVER, ArchiveSettings
from fastfeat.live.file.journal import Journal
from fastfeat.live.lower.live_plan import LivePlan, lower
from fastfeat.live.lower.row_orders import compute_order_values
from fastfeat.live.lower.row_tables import rows_table
from fastfeat.live.state.changes import ANSWERED, Base, Durability, Settings
from fastfeat.live.state.order_clocks import ANY, OrderClock, clocks_of
from fastfeat.live.state.state import LiveState
from fastfeat.live.state.table_updates import table_types
from fastfeat.operators.durations import resolve_duration

OpenedPlans = Mapping[str, Fitted]


def begin_file(
    state: LiveState,
    path: str | os.PathLike[str],
    durability: Durability,
    archiving: ArchiveSettings | None = None,
) -> None:
    """Write a state to a new file, whole or not at all, and append its later changes to that file.

    Raises `StateError` if the file exists, or cannot be written.
    """
    key, base = new_key(), state.base()
    audit = Audit(key, artifacts_of(state.lowered.plans))
    plans, links = _artifacts(state.lowered.plans), audit.base(b"", base, state.settings)
    journal = Journal.create(path, plans, state.settings, base, durability, key=key, links=links)
    attach_audit(journal, audit)
    journal.keep_past(archiving)
    _keep_changes(state, journal)


def _keep_changes(state: LiveState, journal: Journal) -> None:
    """Make a state write its changes to a journal, and read past changes from it."""
    state.journal = journal
    state.kept_changes = lambda: (one.entry.change for one in journal.entries())


def resolve_archive_settings(
    archive: str | os.PathLike[str] | None, keep_audit: str | None
) -> ArchiveSettings | None:
    """Return the archive settings of a state; None if the user gave neither option.

    Raises `InvalidPlan` or `TypeMismatch` if `keep_audit` is no duration, or `archive` no path.
    """
    if archive is None and keep_audit is None:
        return None
    if not isinstance(archive, str | os.PathLike | None):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(f"archive= takes the path of a folder, such as 'audit', got {archive!r}")
    told = f"keep_audit={keep_audit!r}"
    length, unit = resolve_duration(told, keep_audit)
    if unit == "steps":
        raise InvalidPlan(f"{told}: takes a duration, such as '90d'")
    folder = "" if archive is None else os.path.abspath(archive)
    return ArchiveSettings(folder, FOREVER if length is None else length)


def attach_audit(journal: Journal, audit: Audit) -> None:
    """Make a journal store the audit's hashes with everything that it writes."""
    journal.linking, journal.linking_base = audit.link, audit.base
    journal.replaced.sealing = audit.seal
    journal.replaced.forgetting = partial(rewrite_segments, audit.key)


def reopen_state(
    path: str | os.PathLike[str],
    lowered: LivePlan,
    given: Mapping[str, Any],
    durability: Durability,
    time_ns: int,
    archiving: ArchiveSettings | None = None,
) -> LiveState:
    """Return the state of a file as it was last committed.

    Args:
        path: Path of the file.
        lowered: Plans to use from now on. If they differ from the plans in the file, the change is
            recorded in it.
        given: Settings that the caller named explicitly; they must equal the settings in the file.
        durability: Durability of changes from now on.
        time_ns: Time of opening, in nanoseconds since 1970.
        archiving: Archive folder for replaced changes from now on; None keeps the setting in the
            file.

    Raises:
        StateError: The file cannot be opened, is damaged, or has other settings.
        UnknownColumn, TypeMismatch: The plans read columns that the log lacks, or has with another
            type.

    Warns:
        HistoryMissing: Windows of the plans see further back than the log reaches.
    """
    journal = Journal.open(path, durability)
    try:
        _check_settings(journal, given)
        if journal.key:
            audit = Audit(journal.key, artifacts_of(lowered.plans))
            attach_audit(journal, audit)
        journal.keep_past(archiving)
        state = _state_of(journal, lowered)
        if state is None:
            state = _change_plans(journal, lowered, time_ns)
        elif journal.is_erasing:  # a process was killed before it had finished erasing
            journal.settle(state.base)
        _keep_changes(state, journal)
        return state
    except BaseException:
        journal.close()
        raise


def _state_of(journal: Journal, lowered: LivePlan) -> LiveState | None:
    """Return the state of a file; None if `lowered` has other plans than the file."""
    if not _is_same(journal.plans, lowered.plans):
        return None
    state = LiveState(lowered, journal.settings, journal.base())
    for written in journal.entries():
        state.restore([written.entry])
    return state


def _change_plans(journal: Journal, lowered: LivePlan, time_ns: int) -> LiveState:
    """Return a file's state, changed to the plans `lowered`, and write these plans to the file."""
    known = lower(_fitted(journal))
    before = _state_of(journal, known)
    assert before is not None
    if journal.is_erasing:
        journal.settle(before.base)
    base = before.base()
    check_columns(journal.path, known, lowered, base)
    _warn_missing_rows(known, lowered, journal.settings, base)
    made = recompute_base(base, lowered, journal.settings)
    given = replace(made, swept=_swept_of(known, lowered, base))
    state = LiveState(lowered, journal.settings, given)
    journal.change_plans(_artifacts(lowered.plans), state.base(), time_ns)
    return state


def recompute_base(base: Base, lowered: LivePlan, settings: Settings) -> Base:
    """Return a base with its window results computed anew for the given plans.

    The results that the base has stored beside its rows are ignored. The flag of rows that were
    answered stays.
    """
    state = LiveState(lowered, settings, replace(base, rows=None))
    if base.rows is not None:
        state.begin(_of_plans(base.rows, lowered))
    return state.base()


def _swept_of(known: LivePlan, wanted: LivePlan, base: Base) -> list[int | None]:
    """Return, for each order of the plans `wanted`, the time up to which rows were swept.

    Swept rows are rows that were dropped because no new row of their entity came for long. The
    times come from the orders of `known` with the same time expression; None if nothing was swept
    there.
    """
    found: list[int | None] = []
    for order in wanted.orders:
        times = zip(known.orders, base.swept, strict=False)
        swept = [last for one, last in times if one.time is order.time and last is not None]
        found.append(max(swept, default=None))
    return found


def check_columns(path: object, known: LivePlan, wanted: LivePlan, base: Base) -> None:
    """Check that a log and its tables have the columns that other plans read.

    Args:
        path: Path of the state, for messages.
        known: Plans for which the log was kept so far.
        wanted: Plans to use over it from now on.
        base: Content of the state.

    Raises:
        UnknownColumn: The log, or a table, lacks columns.
        TypeMismatch: A column has another type.
    """
    row_id = () if known.row_id is None else (known.row_id,)
    _check_types(f"{path}: the state", known.columns, wanted.columns, row_id)
    tables = table_types(known.plans)
    for name, types in table_types(wanted.plans).items():
        if name not in base.tables:
            raise UnknownColumn(f"{path}: the state has no table {name!r}, which the plans read")
        _check_types(f"{path}: the table {name!r} of the state", tables[name], types, ())
    if wanted.row_id not in (None, known.row_id):
        raise UnknownColumn(
            f"{path}: the state has row_id={known.row_id!r}, but the plans have "
            f"row_id={wanted.row_id!r}. Create a new state for them: online(history=..., path=...)"
        )


def _check_types(
    what: str, known: Mapping[str, Any], wanted: Mapping[str, Any], more: tuple[str, ...]
) -> None:
    lacking = [name for name in wanted if name not in known and name not in more]
    if lacking:
        raise UnknownColumn(
            f"{what} lacks {shortened(lacking)}, which the plans read but earlier plans did not. "
            "Create a new state from a history with all columns: online(history=..., path=...)"
        )
    for name, dtype in wanted.items():
        if name in known and known[name] != dtype:
            raise TypeMismatch(
                f"{what} has {name!r} as {known[name]}, but the plans saw {dtype} in fit. Fit them "
                f"on {known[name]}, or create a new state: online(history=..., path=...)"
            )


def _of_plans(rows: Table, lowered: LivePlan) -> Table:
    """Return rows of a log as a history for plans; columns that the log lacks become missing."""
    beside = [ANSWERED] if lowered.row_id is None else [lowered.row_id, ANSWERED]
    passed = [name for name in beside if name in rows.column_names]
    types = {**lowered.columns, **lowered.asked}
    return rows_table(rows, types, [*lowered.late, *lowered.asked], passed)


def _warn_missing_rows(known: LivePlan, wanted: LivePlan, settings: Settings, base: Base) -> None:
    """Warn if windows see further back than the log reaches."""
    if base.rows is None or base.rows.num_rows == 0:
        return
    kept = clocks_of(known, settings)
    for clock in clocks_of(wanted, settings):
        told = _missing(clock, kept, known, base)
        if told is not None:
            warn(told, HistoryMissing)


def _missing(
    clock: OrderClock, kept: tuple[OrderClock, ...], known: LivePlan, base: Base
) -> str | None:
    """Return a warning about rows that the windows of one order need and the log lacks.

    None if the log has them all. `clock` belongs to the order; `kept` are the clocks of the plans
    `known`, for which the log was kept.
    """
    order, wanted = clock.order, clock.held
    same = [k for k, one in enumerate(kept) if one.order.time is order.time]
    held = [kept[k].held for k in same]
    if any(one.kept is None for one in held):
        return None
    of_entity = [kept[k].held for k in same if kept[k].order.keys == order.keys]
    most_rows = max((one.n_rows or 0 for one in of_entity), default=0)
    lacks_rows = wanted.n_rows is None or wanted.n_rows > most_rows
    reach = max((one.kept or 0 for one in held), default=None)
    lacks_time = reach is None or (wanted.span or 0) > reach
    if not lacks_rows and not lacks_time:
        return None
    what = f"windows by {order.entity} see further back than the rows of the state"
    if reach is None:
        later = "Features are complete once new rows fill these windows"
        return f"{what}, which were not kept by {show(order.time)}. {later}"
    assert base.rows is not None
    known_clock = kept[same[0]]
    (values,) = compute_order_values(known, base.rows, base.tables, base.rows, [same[0]])
    if not values.is_placed.any():
        return None
    begin = int(values.times[values.is_placed].max()) - reach
    told = [f"{what}, which go back to {_time_text(known_clock, known, begin)}"]
    if lacks_time:
        whole = _time_text(known_clock, known, begin + (wanted.span or 0))
        told.append(f"Features of rows from {whole} on are complete")
    if lacks_rows:
        if wanted.n_rows is None:
            told.append("Windows over all rows stay incomplete")
        else:
            n_rows = counted(wanted.n_rows, "more row")
            told.append(f"Windows over rows are complete after {n_rows} of their entity")
    return ". ".join(told)


def _time_text(clock: OrderClock, known: LivePlan, ticks: int) -> str:
    """Return a time in ticks as text, such as a timestamp; integer times stay numbers."""
    dtype = known.plans[clock.order.plan].types[clock.order.time]
    if clock.tick_ns is None:
        return str(ticks)
    return str(pa.array([ticks], pa.int64()).cast(arrow_type(dtype))[0].as_py())


def _check_settings(journal: Journal, given: Mapping[str, Any]) -> None:
    stored = asdict(journal.settings)
    stored["max_ahead"] = stored["max_ahead"] or ANY
    for name, value in given.items():
        if value != stored[name]:
            raise StateError(
                f"{journal.path}: the state has {name}={stored[name]!r}, but {name}={value!r} was "
                f"passed. A state keeps its settings: leave {name}= out, or create a new state"
            )


def _fitted(journal: Journal) -> dict[str, Fitted]:
    try:
        return {name: fitted_of_bytes(content) for name, content in journal.plans.items()}
    except ArtifactError as error:
        raise StateError(f"{journal.path}: a plan of the state cannot be read: {error}") from None


def _artifacts(plans: OpenedPlans) -> dict[str, bytes]:
    """Return a dict of plan name to artifact bytes, without the plan's profile and golden rows.

    Golden rows are test rows that are saved with a plan. The profile and these rows may contain
    values of a row that the state is later told to forget.
    """
    bare = {name: replace(fitted, profile=None, golden=None) for name, fitted in plans.items()}
    return {name: artifact_bytes(fitted) for name, fitted in bare.items()}


def _is_same(stored: Mapping[str, bytes], plans: OpenedPlans) -> bool:
    """Return whether stored plans equal given plans in features, types and learnt values."""
    if set(stored) != set(plans):
        return False
    given = _artifacts(plans)
    return all(
        content == given[name]
        or fitted_digest(fitted_of_bytes(content)) == fitted_digest(plans[name])
        for name, content in stored.items()
    )
