"""`ff.online`: several fitted plans over one state; `ff.replay`: all changes of its file again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

from fastfeat.api.plan import FittedPlan, records_of
from fastfeat.calls.arguments import explaining
from fastfeat.errors import InvalidPlan, StateError, TypeMismatch
from fastfeat.execute.lookup_tables import Tables
from fastfeat.live.audit.replay import replay_state
from fastfeat.live.audit.replay_report import Replay
from fastfeat.live.live import Live, begin_live
from fastfeat.live.state.changes import Durability, Late


@explaining
def online(
    plans: Mapping[str, FittedPlan],
    history: Any = None,
    *,
    path: str | os.PathLike[str] | None = None,
    tables: Tables = None,
    late: Late | None = None,
    keep: str | int | None = None,
    max_ahead: str | None = None,
    max_jump: str | int | None = None,
    durability: Durability | None = None,
    archive: str | os.PathLike[str] | None = None,
    keep_audit: str | None = None,
) -> Live[FittedPlan]:
    """Return fitted plans over one state, which is asked for the features of rows as they arrive.

    Args:
        plans: fitted plans by name; they agree in the types of the columns that they share.
        history: as of `FittedPlan.online`, as the following are.
        path: of the file.
        tables: the lookup tables.
        late: what becomes of late rows.
        keep: how much longer rows stay.
        max_ahead: how far a time may be ahead of this machine's clock.
        max_jump: how far it may be ahead of the latest row before it.
        durability: when a call is on disk.
        archive: the folder of what a whole state replaces.
        keep_audit: how long that is kept.

    Raises:
        InvalidPlan, TypeMismatch: plans that do not agree, or none.
        StateError: as of `FittedPlan.online`.

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
        records_of(plans),
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
    """Raise unless what was given are fitted plans by name."""
    given: list[Any] = [plans]
    odd = given
    if isinstance(plans, Mapping):
        given = list(cast("Mapping[Any, Any]", plans).values())
        odd = [plan for plan in given if not isinstance(plan, FittedPlan)]
    if odd:
        raise TypeMismatch(
            "ff.online takes fitted plans by name, {'fraud': fitted}, got a "
            f"{type(odd[0]).__name__}. Of one plan: fitted.online(...)"
        )
    if not given:
        raise InvalidPlan("ff.online has no plans. Give it one: ff.online({'fraud': fitted})")


Artifact = FittedPlan | Mapping[str, FittedPlan] | str | os.PathLike[str]


@explaining
def replay(
    path: str | os.PathLike[str],
    artifact: Artifact | None = None,
    *,
    head: bytes | str | None = None,
    to: str | os.PathLike[str] | None = None,
    plan: str | None = None,
    outcomes: Any = None,
    partial: bool = False,
    archive: str | os.PathLike[str] | None = None,
) -> Replay:
    """Return a report of all changes of a state, done again: the first difference, or none.

    Every change in the file is computed again from the rows beside it, in a state of its own:
    features have the bits that were served, and links follow from all that was noted. Changes that
    a whole state has replaced (after a compaction, a swap of the plan, `forget`) are computed
    first, from the archive, where the state has one; others are counted in `not_covered`: their
    links alone are kept. The file is not written, and may be in use.

    Args:
        path: of the state.
        artifact: the fitted plan that is said to have answered, or the path of its file; of several
            plans a dict by name. None for the plans in the file.
        head: a link that was noted elsewhere, from `live.head` or an earlier replay. `noted` of the
            report is then "known and verified"; "known, no longer recomputable" where a whole state
            has replaced the change, which is no difference; or "unknown: rewritten", which is one.
        to: a Parquet file that the features go to that were served, to train on: of each row that
            the state took its id and times, its source and offset, when it was answered, the
            features, and the label where all that it is computed of is known. After a difference
            there is no such file.
        plan: whose features these are; None for the only one.
        outcomes: late columns by the id of their row, for labels whose columns the state does not
            have; in any form that `fit` takes.
        partial: whether `to` is written where changes are not covered, and it lacks their rows.
        archive: the folder of the archive, where it was moved; None for that which the file names.

    Raises:
        StateError: the file is no state, or it has no audit, or its key was deleted; or changes are
            not covered, and what was served would be a part, with `to=` and not `partial=True`.
        InvalidPlan: the artifact, or `plan=`, is of other names than the plans in the file; or
            `plan=`, `outcomes=` or `partial=` without `to=`.
        InvalidData: `to=` is no Parquet file.

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
    """Return the record of a fitted plan; what is none as it is."""
    return artifact.record if isinstance(artifact, FittedPlan) else artifact
