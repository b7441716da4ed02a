"""The plan that is served, over a state, and all that does not change between its calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastfeat.api.plan import FittedPlan
from fastfeat.apps.serve.json_rows import RowReader, row_reader
from fastfeat.apps.serve.json_text import ready_json
from fastfeat.apps.serve.plain_row import PlainRow, plain_row_of
from fastfeat.execute.guard import row_inputs
from fastfeat.keep.artifact import fitted_digest
from fastfeat.live.live import ALONE, Live


@dataclass(frozen=True, slots=True)
class ServedPlan:
    """A fitted plan over a state.

    Args:
        live: the plan with its state.
        fitted: the plan.
        plan: its name in the state.
        artifact: its digest, in hexadecimal digits: what features were made by.
        columns: the names of what is answered: features, and the columns that the plan keeps.
        reader: of rows in JSON.
        outcomes: reads late columns by the id of their row; None where the plan has none.
        plain_row: reads one row on the short way; None where the plan has none.
        head: the digest, as JSON.
        names: of the answers, as JSON.
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
        """Return the results of the plan, of those of all plans of the state."""
        return results if self.plan == ALONE else results[self.plan]


def served_plan(live: Live, fitted: FittedPlan, most_rows: int, *, name: str = ALONE) -> ServedPlan:
    """Return a plan as it is served.

    Args:
        live: a plan with its state.
        fitted: the plan.
        most_rows: so many rows are taken at once.
        name: of the plan in the state.
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
