"""Check of one row against its plan's contract, before its features are computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import guard_of, judge_row
from fastfeat.execute.lookup_tables import Tables
from fastfeat.execute.row.one_row import transform_row


def judge_one_row(fitted: Fitted, row: Mapping[str, Any], tables: Tables = None) -> dict[str, int]:
    """Return a dict of rule name to 1, for each warning-only rule that the row breaks.

    The rules are those of the plan's contract.

    Raises:
        ContractBroken: The row breaks a rule that does more than warn.
        FastfeatError: The columns that rules read are missing or invalid, as for
            `FittedPlan.transform_row`.

    Warns:
        RowsBreakRule: The row breaks a warning rule.
    """
    guard = guard_of(fitted)
    if guard is None or transform_row(guard.any_broken, row, tables=tables)[0] == 0:
        return {}
    return judge_row(guard, row, transform_row(guard.each_broken, row, tables=tables))
