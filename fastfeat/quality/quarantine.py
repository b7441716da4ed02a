"""Quarantine: rows divided into those that hold the rules of a contract, and those that do not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastfeat.engine.float_environment import in_ieee
from fastfeat.io.arrow import Table
from fastfeat.io.columns.types import schema_of
from fastfeat.io.sources.read import read_table
from fastfeat.plan.declare.contract import ContractDeclaration
from fastfeat.plan.run.fitted import FittedContract
from fastfeat.plan.run.guard import guard_of_rules, judged_rules, quarantined
from fastfeat.plan.run.lookup_tables import Tables, read_tables, table_schemas


@in_ieee
def quarantine(
    contract: ContractDeclaration, data: Any, tables: Tables, late: Collection[str] = ()
) -> tuple[Table, Table]:
    """Return the rows that hold the rules, and the others; see `Contract.quarantine`."""
    table = read_table(data)
    rules, guard = judged_rules(contract, late), None
    if rules:
        schemas = table_schemas(read_tables(tables, contract.table_columns))
        guard = guard_of_rules(rules, FittedContract(contract, schema_of(table), schemas, {}))
    found = quarantined(guard, table, tables=tables)
    return found.accepted, found.quarantined
