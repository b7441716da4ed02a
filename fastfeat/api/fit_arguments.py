"""The arguments of the methods that fit a plan, checked and as internal records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastfeat.errors import TypeMismatch
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted, FittedContract
from fastfeat.first_use import is_a

if TYPE_CHECKING:
    from fastfeat.trust.quality.contract import Contract


def stable_record(stable: Any) -> Fitted | None:
    """Return the internal record of the fitted plan that the user gave as `stable=`, if any.

    Raises:
        TypeMismatch: The value is not a fitted plan.
    """
    if stable is None or is_a(stable, "fastfeat.api.plan:FittedPlan"):
        return None if stable is None else stable.record
    raise TypeMismatch(
        f"stable= takes a fitted plan, whose codes are kept, got {type(stable).__name__}. "
        "Load one with ff.load(path)"
    )


def check_contract(
    contract: Contract, rows: CallRows, *, in_passes: bool
) -> tuple[CallRows, FittedContract]:
    """Check rows by a contract; return rows that can be read again, and the checked contract.

    The contract is checked on all rows of the data, not only on chosen ones. With `in_passes` the
    data is read in chunks; one-shot readers are then rejected.
    """
    from fastfeat.execute.guard import as_rereadable  # seldom needed
    from fastfeat.trust.quality.contract_in_fit import fitted_contract

    if in_passes:
        from fastfeat.io.sources.dataset import dataset_of

        dataset_of(rows.data).check_passes(2)
    else:
        rows = rows._replace(data=as_rereadable(rows.data))
    return rows, fitted_contract(contract, rows)
