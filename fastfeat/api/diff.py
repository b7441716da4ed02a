"""`ff.diff`: what has changed from one fitted plan to another."""

from __future__ import annotations

import os
from typing import Any, cast

from fastfeat.api.plan import FittedPlan, load
from fastfeat.calls.arguments import explaining
from fastfeat.errors import TypeMismatch
from fastfeat.execute.call_rows import call_rows
from fastfeat.execute.lookup_tables import Tables
from fastfeat.trust.quality.changes.compare import compared
from fastfeat.trust.quality.changes.record import Diff

Path = str | os.PathLike[str]


@explaining
def diff(
    a: FittedPlan | Path,
    b: FittedPlan | Path,
    data: Any = None,
    *,
    history: Any = None,
    tables: Tables = None,
) -> Diff:
    """Return the changes from one fitted plan to another, with a verdict.

    The verdict is that of the change that reaches farthest:

    - "major": what reads the features, or sends rows, may break, or take a number for another
      thing: a feature, a column or its place, an input or its type, a code that means another
      category now.
    - "minor": there is more than before, and what was there means the same.
    - "refit": the same features, of other learnt values.
    - "same": nothing, whatever the order in which rows and files were read.

    Args:
        a: the fitted plan that was there before, or the path of its artifact.
        b: the one that comes after it.
        data: a sample, as of `FittedPlan.transform`, whose features by both are compared; None for
            the golden rows that the artifact of the first keeps.
        history: earlier rows of the sample, as of `FittedPlan.transform`.
        tables: lookup tables of the sample, as of `FittedPlan.transform`.

    Returns:
        A `Diff`: its `verdict`, and its `changes`, each with `kind`, `name`, `before`, `after` and
        `told`, a line in words. It prints as one line a change.

    Raises:
        ArtifactError: a file is none.
        TypeMismatch: what is given is neither a fitted plan nor a path.
        FastfeatError: as `FittedPlan.transform` by the first plan, of the sample.

    Example:
        >>> plan = ff.Plan({"k": col("k").ordinal_encode()})
        >>> before, after = (plan.fit({"k": keys}) for keys in (["a", "a", "b"], ["b", "b", "a"]))
        >>> found = ff.diff(before, after)
        >>> found.verdict, found.changes[0].kind, found.changes[0].before, found.changes[0].after
        ('major', 'codes reassigned', {'a': 2, 'b': 3}, {'a': 3, 'b': 2})
    """
    first, second = (_fitted(of) for of in (a, b))
    return compared(first.record, second.record, call_rows(data, None, history, tables))


def _fitted(given: Any) -> FittedPlan:
    """Return a fitted plan, or that of a path.

    Raises:
        TypeMismatch: it is neither.
    """
    if isinstance(given, FittedPlan):
        return given
    if isinstance(given, str | os.PathLike):
        return load(cast("str", given))
    raise TypeMismatch(
        f"diff takes two fitted plans, or the paths of their artifacts, got a "
        f"{type(given).__name__}. A plan is fitted by plan.fit(data)"
    )
