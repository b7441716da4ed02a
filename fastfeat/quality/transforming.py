"""Transforms of plans with a contract: rows judged first, and those that break a rule set apart."""

from __future__ import annotations

from typing import Any

from fastfeat.errors import InvalidPlan
from fastfeat.io.sinks.results import frame_index, rows_of_index
from fastfeat.plan.run.fitted import Fitted
from fastfeat.plan.run.guard import IGNORE, check_option, guard_of, judge, quarantined, read_again
from fastfeat.plan.run.lookup_tables import Tables
from fastfeat.plan.run.transform import transform


def transform_judged(
    fitted: Fitted,
    data: Any,
    on_violation: str | None,
    *,
    rows: Any,
    tables: Tables,
    backend: str,
    **options: Any,
) -> Any:
    """Return the features of rows that hold the rules; see `FittedPlan.transform`.

    Args:
        fitted: the plan, which need not have a contract.
        data: as of `FittedPlan.transform`, as the following are.
        on_violation: what becomes of rows that break a rule.
        rows: which of the rows.
        tables: lookup tables.
        backend: its name.
        options: the others.

    Raises:
        InvalidPlan: "quarantine" with `rows=` or `out=`, or of a plan without a contract.
        ContractBroken: rows break a rule.
        FastfeatError: as `FittedPlan.transform`.
    """
    check_option(on_violation)
    beside: Any = {"tables": tables, "backend": backend}
    if on_violation == "quarantine":
        return _apart(fitted, data, rows, beside, options)
    guard = None if on_violation == IGNORE else guard_of(fitted)
    if guard is not None:
        data = read_again(data)
        judge(guard, data, rows=rows, on_violation=on_violation, **beside)
    return transform(fitted, data, rows=rows, **beside, **options)


def _apart(fitted: Fitted, data: Any, rows: Any, beside: Any, options: Any) -> tuple[Any, Any]:
    """Return the features of the rows that hold the rules, and the other rows."""
    told = "on_violation='quarantine'"
    if fitted.contract is None:
        raise InvalidPlan(f"{told}: the plan has no contract. Fit it with one: fit(contract=)")
    for name, given in (("rows=", rows), ("out=", options["out"])):
        if given is not None:
            raise InvalidPlan(f"{told} divides the rows of the data: leave {name} out")
    found = quarantined(guard_of(fitted), data, **beside)
    index = rows_of_index(frame_index(data), found.numbers)
    return transform(fitted, found.accepted, index=index, **beside, **options), found.quarantined
