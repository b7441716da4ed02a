"""`replay_state`: applies all changes in a state file again, up to the first difference.

The file is read as it is, some changes at a time, and is not written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from fastfeat.errors import InvalidPlan, StateError, TypeMismatch, shortened
from fastfeat.execute.fitted import Fitted
from fastfeat.keep.artifact import fitted_of_bytes, read_artifact
from fastfeat.live.audit.chain import (
    N_BYTES,
    artifacts_of,
)
from fastfeat.live.audit.recompute import (
    ReplayedState,
    ReplayPlans,
)
from fastfeat.live.audit.replay_report import Replay
from fastfeat.live.audit.replay_walk import PlansOf, Walk
from fastfeat.live.audit.served_features import finish_served_file, open_served_writer, served_plan
from fastfeat.live.file.follower import Follower
from fastfeat.live.file.state_file import path_of
from fastfeat.live.file.write_lock import read_last_commit
from fastfeat.live.state.changes import ChangeResults, StateChange

ReplayArtifact = Fitted | ReplayPlans | str | os.PathLike[str]


def replay_state(
    path: str | os.PathLike[str],
    artifact: ReplayArtifact | None = None,
    *,
    head: bytes | str | None = None,
    to: str | os.PathLike[str] | None = None,
    plan: str | None = None,
    outcomes: Any = None,
    partial: bool = False,
    archive: str | os.PathLike[str] | None = None,
) -> Replay:
    """Apply all changes of a state file again, and return a report with the first difference.

    Arguments and errors are those of `ff.replay`, with internal records in place of fitted plans.
    If some changes can no longer be applied again and `partial` is false, no served features are
    written; the caller of this function reports that.
    """
    noted = _head_given(head)
    _check_places(path, artifact)
    for option, value in (("plan", plan), ("outcomes", outcomes), ("partial", partial or None)):
        if to is None and value is not None:
            raise InvalidPlan(
                f"{option}= applies only to the file of served features, but to= is missing. Name "
                "the file: to='served.parquet'"
            )
    committed = read_last_commit(path_of(path))
    with closing(Follower(path, checked=False)) as follower, follower.pin_commit():
        key = follower.key
        if not key:
            raise StateError(
                f"{path}: the state has no audit key, or the key was deleted, so its changes "
                "cannot be checked"
            )
        walk = Walk(follower, key, _plans_reader(follower, artifact), noted, committed)
        walk.archive = None if archive is None else Path(archive)
        if to is None:
            return walk.report()
        plans = walk.plans_of(follower.plans)
        name = served_plan(plans, plan)
        with open_served_writer(to, plans[name], name) as one:
            artifact_of = artifacts_of(plans)[name]

            def take(change: StateChange, applied: ChangeResults, again: ReplayedState) -> None:
                if change.kind != "process" or again.artifacts.get(name) == artifact_of:
                    one.take(change, applied)
                else:
                    one.n_of_others += change.rows.num_rows

            walk.take = take
            report = walk.report()
            if not report.ok or walk.again is None:
                return report
            if not (partial or report.is_whole):
                return replace(report, is_withheld=True)
            return replace(
                report, served=finish_served_file(one, to, outcomes, walk.again.state.tables)
            )


def _plans_reader(follower: Follower, artifact: ReplayArtifact | None) -> PlansOf:
    """Return a function from a dict of plan name to artifact bytes to the fitted plans.

    If the user passed an artifact, its plans replace the last plans of the file.
    """
    last = follower.plans
    passed = None if artifact is None else _plans_given(artifact, last)

    def plans_of(artifacts: Mapping[str, bytes]) -> ReplayPlans:
        if passed is not None and dict(artifacts) == dict(last):
            return passed
        return {name: fitted_of_bytes(content) for name, content in artifacts.items()}

    return plans_of


def _plans_given(artifact: ReplayArtifact, known: Mapping[str, bytes]) -> ReplayPlans:
    """Return the plans that a user passed, under the names that they have in the file."""
    if isinstance(artifact, Mapping):
        named: dict[str, Fitted] = {name: _loaded(one) for name, one in artifact.items()}
    else:
        (name, *others) = known
        if others:
            raise InvalidPlan(
                f"artifact=: the state has the plans {shortened(known)}. Pass a dict with an "
                "artifact for each"
            )
        named = {name: _loaded(artifact)}
    if named.keys() != known.keys():
        raise InvalidPlan(
            f"artifact= has the plans {shortened(named)}, but the state has {shortened(known)}. "
            "Pass an artifact for each plan of the state"
        )
    return named


def _loaded(artifact: object) -> Fitted:
    if isinstance(artifact, Fitted):
        return artifact
    if isinstance(artifact, str | os.PathLike):
        return read_artifact(Path(cast("str", artifact)))
    raise TypeMismatch(
        f"artifact= takes a fitted plan, or the path of its file, got a {type(artifact).__name__}"
    )


def _check_places(path: object, artifact: object) -> None:
    """Raise `InvalidPlan` if the user swapped the arguments for the state and the plan."""
    if _is_state(artifact) and not _is_state(path):
        is_path = isinstance(path, str | os.PathLike)
        shown = repr(os.fspath(cast("str", path))) if is_path else "fitted"
        raise InvalidPlan(
            f"artifact={os.fspath(cast('str', artifact))!r} is a state file, which must be the "
            f"first argument. Write ff.replay({os.fspath(cast('str', artifact))!r}, {shown})"
        )


def _is_state(path: object) -> bool:
    """Return whether a path is a SQLite file, as states are."""
    if not isinstance(path, str | os.PathLike):
        return False
    try:
        with Path(cast("str", path)).open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except (OSError, ValueError):
        return False


_SQLITE = b"SQLite format 3\0"


def _head_given(head: bytes | str | None) -> bytes | None:
    """Return the hash that a user noted elsewhere, as bytes; None if none was passed."""
    if head is None or (isinstance(head, bytes) and len(head) == N_BYTES):
        return head
    try:
        found = bytes.fromhex(head) if isinstance(head, str) else b""
    except ValueError:
        found = b""
    if len(found) != N_BYTES:
        raise StateError(
            f"head={head!r} is not an audit link, which has {N_BYTES} bytes or {2 * N_BYTES} "
            "hexadecimal digits"
        )
    return found
