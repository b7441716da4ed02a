"""The served plan with its state, and the values that stay the same between its calls."""

from __future__ import annotations

from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.api.plan import FittedPlan
from fastfeat.apps.serve.json_rows import RowReader, row_reader
from fastfeat.apps.serve.json_text import ready_json
from fastfeat.apps.serve.plain_row import PlainRow, plain_row_of
from fastfeat.execute.guard import row_inputs
from fastfeat.keep.artifact import fitted_digest
from fastfeat.live.live import ALONE, Live


@dataclass(frozen=True, slots=True)
class ServedPlan:
    """A fitted plan with its state of past rows, ready to answer calls.

    Args:
        live: The live plan, which has the state.
        fitted: The fitted plan.
        plan: Name of the plan in the state.
        artifact: Digest of the plan, in hexadecimal; answers carry it, to say which plan made them.
        columns: Names in the answers: features, and columns that are passed through.
        reader: Reader of JSON rows.
        outcomes: Reader of late columns with row ids; None if the plan has none.
        plain_row: The fast path for few rows; None if the plan does not support it.
        head: The digest, encoded as JSON.
        names: The column names, encoded as JSON.
    """

    live: Live
    fitted: FittedPlan
    plan: str
    artifact: str
    columns: tuple[str, ...]
    reader: RowReader
    outcomes: RowReader | None
    plain_row: PlainRow | None
    head: Any
    names: Any

    def own(self, results: Any) -> Any:
        """Return this plan's results; `results` is a dict if the state has several plans."""
        return results if self.plan == ALONE else results[self.plan]


def served_plan(live: Live, fitted: FittedPlan, most_rows: int, *, name: str = ALONE) -> ServedPlan:
    """Return a live plan with its readers and encoded names, ready to be served.

    `most_rows` is the maximum number of rows per call, `name` the plan's name in the state.
    """
    plan = fitted.plan
    artifact = fitted_digest(fitted.record).hex()
    columns = (*fitted.feature_names, *plan.keep)
    late = {name: dtype for name, dtype in fitted.inputs.items() if name in plan.late}
    outcomes = None
    if plan.declaration.row_ids and late:
        ids = {
            name: fitted.inputs[name] for name in plan.declaration.row_ids if name in fitted.inputs
        }
        outcomes = row_reader({**ids, **late}, late, plan.declaration.row_ids, most_rows)
    passed = [*plan.keep, *plan.declaration.row_ids]
    reader = row_reader(row_inputs(fitted.record), plan.late, passed, most_rows)
    return ServedPlan(
        live,
        fitted,
        name,
        artifact,
        columns,
        reader,
        outcomes,
        plain_row_of(fitted, reader),
        ready_json(artifact),
        ready_json(columns),
    )
