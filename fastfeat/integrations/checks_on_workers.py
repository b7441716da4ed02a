"""Contracts checked on the workers of an engine (Ray, Spark), where the rows are.

A contract's rules become features of a plan, which the engine fits and computes as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from fastfeat.api.plan import FittedPlan, Plan, as_fitted_plan, plan_of
from fastfeat.errors import InvalidPlan, TypeMismatch
from fastfeat.execute.fitted import Fitted, FittedContract
from fastfeat.execute.lookup_tables import Tables, read_tables
from fastfeat.io.arrow import Schema, Table, schema_within
from fastfeat.io.columns.types import schema_of
from fastfeat.plan.declare.contract import ContractDeclaration
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.trust.quality.checking import check_loaded_rows, columns_checked
from fastfeat.trust.quality.contract import Contract
from fastfeat.trust.quality.contract_in_fit import contract_declaration, raise_broken, with_types
from fastfeat.trust.quality.rows import CheckedRows, RowsElsewhere

RowsOf = Callable[[ContractDeclaration], CheckedRows]
"""`(contract) -> rows`: the rows of an engine, with the columns that the rules read."""


def rows_of_workers(
    contract: ContractDeclaration,
    schema: Schema,
    n_rows: int,
    tables: Tables,
    fit: Callable[[Plan], FittedPlan],
    find: Callable[[FittedPlan, str, int | None], Table],
) -> CheckedRows:
    """Return a handle of an engine's rows, through which a contract can be checked on workers.

    `fit` fits a plan on the rows. `find` returns the features of those rows in which a bool feature
    is true, at most a given number of rows.

    Raises:
        FastfeatError: Any error of `Contract.check` about tables.
    """

    def learn(plan: Declaration) -> Fitted:
        return fit(plan_of(plan)).record

    def found(fitted: Fitted, flag: str, n: int | None) -> Table:
        return find(as_fitted_plan(fitted), flag, n)

    types = schema_of(schema_within(schema, columns_checked(contract)))
    known = read_tables(tables, contract.table_columns)
    elsewhere = RowsElsewhere(learn, found)
    return CheckedRows(None, types, n_rows, None, known, "cpu", None, elsewhere)


def rules_of(given: object) -> tuple[ContractDeclaration, Collection[str]]:
    """Return the contract that the user gave, alone or in a plan, and columns that rows may lack.

    Raises:
        TypeMismatch: The argument is neither a contract nor a fitted plan.
        InvalidPlan: The fitted plan has no contract.
    """
    match given:
        case Contract():
            return given.declaration, ()
        case FittedPlan():
            if given.record.contract is None:
                raise InvalidPlan("the plan has no contract. Fit it with one: fit(contract=)")
            return given.record.contract.declaration, given.plan.late
        case _:
            raise TypeMismatch(
                "rules must be an ff.Contract, or a fitted plan that has one, got "
                f"{type(given).__name__}"
            )


def check_before_fit(given: object, rows_of: RowsOf) -> FittedContract | None:
    """Check an engine's rows by a contract before fit; return the contract that the plan will keep.

    Returns None if the user gave no contract.

    Raises:
        TypeMismatch: The argument is not a contract.
        ContractBroken: Rows break a rule that does more than warn.
        FastfeatError: Any error of `Contract.check`.

    Warns:
        RowsBreakRule: Rows break a rule that only warns.
    """
    if given is None:
        return None
    contract = contract_declaration(given)
    rows = rows_of(contract)
    raise_broken(check_loaded_rows(contract, rows, needs_clock=False))
    return with_types(contract, rows)


def with_contract(fitted: FittedPlan, contract: FittedContract | None) -> FittedPlan:
    """Return the fitted plan with a contract, or unchanged if there is none."""
    if contract is None:
        return fitted
    return FittedPlan(fitted.plan, replace(fitted.record, contract=contract))


def only_true(table: Table, flag: Any) -> Table:
    """Return the rows of a table in which a bool column is true; runs on a worker."""
    return table.filter(table.column(flag)) if table.num_columns else table
