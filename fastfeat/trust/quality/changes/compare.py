"""`ff.diff`: the changes from one fitted plan to another, with a verdict."""

from __future__ import annotations

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.trust.quality.changes.declaration_changes import changes_declared
from fastfeat.trust.quality.changes.learnt_changes import changes_learnt
from fastfeat.trust.quality.changes.outputs import changes_of_golden, changes_of_outputs, on_rows
from fastfeat.trust.quality.changes.profiles import changes_of_profiles
from fastfeat.trust.quality.changes.record import Diff, ordered


@with_ieee_arithmetic
def compare_plans(a: Fitted, b: Fitted, sample: CallRows) -> Diff:
    """Return the changes from plan `a` to the later plan `b`; raises like `ff.diff`.

    The features of `sample` are compared. If it has no data, the features of the golden rows are
    compared, which are generated rows that plan `a` keeps.
    """
    changes = [*changes_declared(a, b), *changes_learnt(a, b), *changes_of_profiles(a, b)]
    if sample.data is None:
        outputs, n_rows = changes_of_golden(a, b)
    else:
        outputs, n_rows = changes_of_outputs(a, b, on_rows(sample))
    return Diff(ordered([*changes, *outputs]), (a.n_rows, b.n_rows), n_rows)
