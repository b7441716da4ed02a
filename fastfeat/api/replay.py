"""`ff.replay`: all changes of a file of a state done again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fastfeat.api.plan import FittedPlan
from fastfeat.arguments import explaining
from fastfeat.online.audit.replay import Replay, replay_state

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
) -> Replay:
    """Return a report of all changes of a state, done again: the first difference, or none.

    Every change in the file is computed again from the rows beside it, in a state of its own:
    features have the bits that were served, and links follow from all that was noted. The file is
    not written, and may be in use.

    Args:
        path: of the state.
        artifact: the fitted plan that is said to have answered, or the path of its file; of several
            plans a dict by name. None for the plans in the file.
        head: a link that was noted elsewhere, from `live.head` or an earlier replay: a file that
            was written anew as a whole does not have it.
        to: a Parquet file that the features go to that were served, to train on: of each row that
            the state took its id and times, its source and offset, when it was answered, the
            features, and the label where all that it is computed of is known. After a difference
            there is no such file.
        plan: whose features these are; None for the only one.
        outcomes: late columns by the id of their row, for labels whose columns the state does not
            have; in any form that `fit` takes.

    Raises:
        StateError: the file is no state, or it has no audit, or its key was deleted.
        InvalidPlan: the artifact, or `plan=`, is of other names than the plans in the file; or
            `plan=` or `outcomes=` without `to=`.
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
    return replay_state(path, given, head=head, to=to, plan=plan, outcomes=outcomes)


def _record(artifact: Any) -> Any:
    """Return the record of a fitted plan; what is none as it is."""
    return artifact.record if isinstance(artifact, FittedPlan) else artifact
