"""Contracts of plans: training rows are checked, and rules are stored with their column types."""

from __future__ import annotations

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import ContractBroken, RowsBreakRule, TypeMismatch, counted, warn
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import FittedContract, check_bound
from fastfeat.execute.lookup_tables import columns_of_tables
from fastfeat.plan.declare.contract import ContractDeclaration
from fastfeat.trust.quality.checking import check_rows
from fastfeat.trust.quality.contract import Contract
from fastfeat.trust.quality.report import CheckReport
from fastfeat.trust.quality.rows import CheckedRows


def fitted_contract(given: object, rows: CallRows) -> FittedContract:
    """Return the contract of a user with the types of its columns, after a check of training rows.

    `rows` must be all training rows; `memory` applies to the CPU backend only. Warns or raises like
    `raise_broken`; raises TypeMismatch if `given` is not a `Contract`.
    """
    contract = contract_declaration(given)
    read, report = check_rows(contract, rows, needs_clock=False)
    raise_broken(report)
    return with_types(contract, read)


def contract_declaration(given: object) -> ContractDeclaration:
    """Return the declaration of a user's contract; raises TypeMismatch for any other object."""
    if not isinstance(given, Contract):
        raise TypeMismatch(
            f"contract= takes an ff.Contract, got {type(given).__name__}. Create one from rules: "
            "ff.Contract({'name': col('x') > 0})"
        )
    return given.declaration


def raise_broken(report: CheckReport) -> None:
    """Raise `ContractBroken` for broken rules; warn `RowsBreakRule` for rules that only warn."""
    found = [result for result in report.results if result.is_finding]
    for result in found:
        if result.on_violation == "warn":
            warn(f"rule {report.told(result)}", RowsBreakRule)
    told = [report.told(result) for result in found if result.on_violation != "warn"]
    if told:
        n_more = len(told) - _MOST_TOLD
        more = [f"and {counted(n_more, 'more rule')}"] if n_more > 0 else []
        if any(result.on_violation == "quarantine" for result in found):
            more.append(
                "contract.quarantine(data) separates such rows: fit on the rows that it accepts"
            )
        else:
            more.append("fix the rows, or pass other rules with contract=")
        raise ContractBroken("\n".join(["rule " + "\nrule ".join(told[:_MOST_TOLD]), *more]))


@with_ieee_arithmetic
def with_types(contract: ContractDeclaration, rows: CheckedRows) -> FittedContract:
    """Return a contract with the types and time zones of the columns that its rules read."""
    inputs = {name: rows.schema[name] for name in contract.columns if name in rows.schema}
    tables = columns_of_tables(contract.table_columns, rows.schemas)
    found = FittedContract(contract, inputs, tables, {})
    check_bound(found)
    return found


_MOST_TOLD = 10
