"""`ff.online`: several fitted plans over one state of past rows; `ff.replay`: audit such a state.

A replay computes all recorded changes of a state again, and compares the features bit by bit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from fastfeat.api.plan import FittedPlan, fitted_records
from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import InvalidPlan, StateError, TypeMismatch
from fastfeat.execute.lookup_tables import Tables
from fastfeat.live.audit.replay import replay_state
from fastfeat.live.audit.replay_report import Replay
from fastfeat.live.live import Live, begin_live
from fastfeat.live.state.changes import Durability, LateRule


@with_argument_errors
def online(
    plans: Mapping[str, FittedPlan],
    history: Any = None,
    *,
    path: str | os.PathLike[str] | None = None,
    tables: Tables = None,
    late: LateRule | None = None,
    keep: str | int | None = None,
    max_ahead: str | None = None,
    max_jump: str | int | None = None,
    durability: Durability | None = None,
    archive: str | os.PathLike[str] | None = None,
    keep_audit: str | None = None,
) -> Live[FittedPlan]:
    """Return a `Live` of several plans over one state, which computes rows as they arrive.

    Args:
        plans: Fitted plans by name. They must agree on the types of the columns that they share.
        history: The rows that a new state begins with, in order of arrival. Columns that become
            known later (label and outcomes) are included if they are known by now. In any form that
            `FittedPlan.transform` takes; None for no rows.
        path: A file that stores the state. An existing file is opened, and takes no history; a new
            one is created whole or not at all. None keeps the state in memory only.
        tables: The lookup tables that a new state begins with, by name, in any form that
            `FittedPlan.transform` takes.
        late: The treatment of a row that is earlier than the latest row of its entity. "error" (the
            default) raises. "insert" computes its features at its own time and adds it to the
            state, so later rows see it. "drop" computes its features and does not add it.
        keep: How long rows stay stored after windows stop needing them, for late rows: a duration
            such as "2d", a whole number for integer clocks, or "everything". None stores rows twice
            as long as windows need if late rows are accepted.
        max_ahead: How far a row's time may be ahead of this machine's clock, such as "1h"; beyond
            it a row is an error. None and "any" set no limit. Times without a zone count as UTC.
        max_jump: How far a row's time may be ahead of the latest earlier row of any entity: a
            duration such as "1d", or a whole number for integer clocks. Use it when past rows are
            replayed, where the machine's clock is no guide. Choose it longer than any gap in the
            data. None sets no limit.
        durability: When the changes of a call are on disk: "commit" (the default) before it
            returns, "interval" within a second, "checkpoint" when `Live.checkpoint` or `close`
            returns.
        archive: A folder for the recorded changes that a snapshot of the state replaces in the
            file, so that `ff.replay` still covers them. Snapshots are made by `compact` (called or
            automatic), a change of plans, and `forget`. None archives nothing, or with `keep_audit`
            uses a folder beside the file, named after it.
        keep_audit: How long archived parts are kept, such as "90d", by this machine's clock from
            the moment of their replacement. None keeps them for ever if there is an `archive`. Both
            settings are stored in the file, and may be changed when it is opened.

    `late`, `keep` and `max_ahead` are stored in the file: when it is opened, None means the stored
    value. `max_jump` is not stored: pass it each time.

    Raises:
        InvalidPlan: There are no plans, or they do not agree; a window sees all rows of an entity,
            so that no row could ever be dropped, and `keep` is not "everything"; or a setting that
            a plan cannot have.
        TypeMismatch: `plans` is not a dict of fitted plans.
        StateError: The file is damaged, belongs to other plans, or is in use.
        FastfeatError: Any error of `FittedPlan.transform` about the history and the tables.

    Example:
        >>> spent = col("x").sum(over=ff.window(24, time="t", by="card"))
        >>> row = {"t": [0], "card": ["a"], "x": [1.0]}
        >>> live = ff.online({"a": ff.Plan([spent]).fit(row), "b": ff.Plan([spent * 2]).fit(row)})
        >>> live.update(row)
        >>> live.features({"t": 1, "card": "a", "x": 0.0})
        {'a': array([1.]), 'b': array([2.])}
    """
    _check_plans(plans)
    return begin_live(
        fitted_records(plans),
        plans,
        history,
        path=path,
        tables=tables,
        late=late,
        keep=keep,
        max_ahead=max_ahead,
        max_jump=max_jump,
        durability=durability,
        archive=archive,
        keep_audit=keep_audit,
    )


def _check_plans(plans: Any) -> None:
    """Raise unless the argument is a dict of one or more fitted plans."""
    given: list[Any] = [plans]
    odd = given
    if isinstance(plans, Mapping):
        given = list(cast("Mapping[Any, Any]", plans).values())
        odd = [plan for plan in given if not isinstance(plan, FittedPlan)]
    if odd:
        raise TypeMismatch(
            "ff.online takes fitted plans by name, {'fraud': fitted}, got a "
            f"{type(odd[0]).__name__}. For one plan, use fitted.online(...)"
        )
    if not given:
        raise InvalidPlan("ff.online has no plans. Give it one: ff.online({'fraud': fitted})")


PlanArtifact = FittedPlan | Mapping[str, FittedPlan] | str | os.PathLike[str]


@with_argument_errors
def replay(
    path: str | os.PathLike[str],
    artifact: PlanArtifact | None = None,
    *,
    head: bytes | str | None = None,
    to: str | os.PathLike[str] | None = None,
    plan: str | None = None,
    outcomes: Any = None,
    partial: bool = False,
    archive: str | os.PathLike[str] | None = None,
) -> Replay:
    """Recompute all changes of a state, and return a report with the first difference, if any.

    Every change in the file is recomputed, in a separate state, from the rows stored with it. The
    features must have the bits that were served, and the links (hashes that chain the changes) must
    follow from the recorded changes. Changes that a snapshot of the state has replaced (after a
    compaction, a change of plan, or `forget`) are recomputed first, from the archive, if there is
    one. Otherwise only their links are stored, and they are counted in `not_covered`. The file is
    only read, and may be in use.

    Args:
        path: The file of the state.
        artifact: The fitted plan that is claimed to have answered, or the path of its file; for
            several plans a dict by name. None uses the plans in the file.
        head: A link that was recorded elsewhere, from `live.head` or an earlier replay. The
            report's `noted` is then "known and verified"; "known, no longer recomputable" if a
            snapshot has replaced the change, which is not a difference; or "unknown: rewritten",
            which is a difference.
        to: A Parquet file to write the served features to, as training data. For each row that the
            state accepted it has the id and times, the source and offset, the time of the answer,
            the features, and the label if everything that it is computed from is known. After a
            difference no file is written.
        plan: The name of the plan whose features to write; None if there is only one.
        outcomes: Late columns by the id of their row, for labels computed from columns that the
            state does not have. In any form that `Plan.fit` takes.
        partial: Whether to write `to` even if some changes are not covered, without their rows.
        archive: The folder of the archive if it was moved; None for the folder that the file names.

    Raises:
        StateError: The file is not a state, has no audit, or its key was deleted. Or changes are
            not covered, so that `to=` would be incomplete, and `partial` is not True.
        InvalidPlan: `artifact` or `plan=` names other plans than those in the file; or `plan=`,
            `outcomes=` or `partial=` without `to=`.
        InvalidData: `to=` is not a Parquet file.

    Example:
        >>> spent = col("x").sum(over=ff.window(24, time="t", by="card"))
        >>> fitted = ff.Plan({"spent": spent}).fit({"t": [0], "card": ["a"], "x": [1.0]})
        >>> live = fitted.online(path="state.db")  # doctest: +SKIP
        >>> live.process({"t": 1, "card": "a", "x": 2.5})  # doctest: +SKIP
        >>> ff.replay("state.db", fitted).ok  # doctest: +SKIP
        True
    """
    given = (
        {name: _record(one) for name, one in artifact.items()}
        if isinstance(artifact, Mapping)
        else _record(artifact)
    )
    options: dict[str, Any] = {"head": head, "to": to, "plan": plan, "outcomes": outcomes}
    report = replay_state(path, given, **options, partial=partial, archive=archive)
    if report.is_withheld:
        raise StateError(f"{path}: {report.withheld_text}: partial=True")
    return report


def _record(artifact: Any) -> Any:
    """Return the internal record of a `FittedPlan`; any other object unchanged."""
    return artifact.record if isinstance(artifact, FittedPlan) else artifact
