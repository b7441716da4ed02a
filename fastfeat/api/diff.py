"""`ff.diff`: the changes from one fitted plan to another."""

from __future__ import annotations

import os
from typing import Any, cast

from fastfeat.api.plan import FittedPlan, load
from fastfeat.calls.arguments import with_argument_errors
from fastfeat.errors import TypeMismatch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.lookup_tables import Tables
from fastfeat.trust.quality.changes.compare import compare_plans
from fastfeat.trust.quality.changes.record import Diff

Path = str | os.PathLike[str]


@with_argument_errors
def diff(
    a: FittedPlan | Path,
    b: FittedPlan | Path,
    data: Any = None,
    *,
    history: Any = None,
    tables: Tables = None,
) -> Diff:
    """Compare two fitted plans, and return the changes with a verdict.

    The verdict is the most severe kind of change:

    - "major": Programs that read the features or send rows may break or misinterpret a value. A
      feature, an output column or its position, an input or its type has changed, or a code now
      stands for another category.
    - "minor": Something was added, and everything that existed has the same meaning.
    - "refit": The same features with other learned values.
    - "same": No change. The order in which rows and files were read makes no difference.

    Args:
        a: The earlier fitted plan, or the path of its artifact.
        b: The later fitted plan, or the path of its artifact.
        data: Sample rows, in any form that `FittedPlan.transform` takes. The features of both plans
            are compared on them. None uses the golden rows in the artifact of the first plan.
        history: Earlier rows of the sample's entities, which windows see; "batch" if the sample
            contains its own past.
        tables: Lookup tables of the sample by name, in any form that `FittedPlan.transform` takes.

    Returns:
        A `Diff` with a `verdict` and `changes`. Each change has `kind`, `name`, `before`, `after`
        and `told`, a sentence. It prints one line per change.

    Raises:
        ArtifactError: A file is not an artifact.
        TypeMismatch: `a` or `b` is neither a fitted plan nor a path.
        FastfeatError: Any error of `FittedPlan.transform` with the first plan about the sample.

    Example:
        >>> plan = ff.Plan({"k": col("k").ordinal_encode()})
        >>> before, after = (plan.fit({"k": keys}) for keys in (["a", "a", "b"], ["b", "b", "a"]))
        >>> found = ff.diff(before, after)
        >>> found.verdict, found.changes[0].kind, found.changes[0].before, found.changes[0].after
        ('major', 'codes reassigned', {'a': 2, 'b': 3}, {'a': 3, 'b': 2})
    """
    first, second = (_fitted(of) for of in (a, b))
    return compare_plans(first.record, second.record, CallRows(data, None, history, tables))


def _fitted(given: Any) -> FittedPlan:
    """Return the argument if it is a fitted plan, or else load the plan from that path."""
    if isinstance(given, FittedPlan):
        return given
    if isinstance(given, str | os.PathLike):
        return load(cast("str", given))
    raise TypeMismatch(
        f"diff takes two fitted plans, or the paths of their artifacts, got a "
        f"{type(given).__name__}. Fit a plan with plan.fit(data)"
    )
