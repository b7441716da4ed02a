"""One row of a plan with a contract, judged before its features are computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import guard_of, judge_row
from fastfeat.execute.lookup_tables import Tables
from fastfeat.live.row.one_row import transform_row


def judge_one_row(fitted: Fitted, row: Mapping[str, Any], tables: Tables = None) -> dict[str, int]:
    """Return 1 for each rule of a plan's contract that a row breaks: rules that only warn.

    Args:
        fitted: the plan.
        row: the row.
        tables: lookup tables.

    Raises:
        ContractBroken: it breaks a rule that does not only warn.
        FastfeatError: as `FittedPlan.transform_row`, of the columns that rules read.

    Warns:
        RowsBreakRule: it breaks one that does.
    """
    guard = guard_of(fitted)
    if guard is None or transform_row(guard.any_broken, row, tables=tables)[0] == 0:
        return {}
    return judge_row(guard, row, transform_row(guard.each_broken, row, tables=tables))
