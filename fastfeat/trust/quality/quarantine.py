"""Quarantine: rows divided into those that hold the rules of a contract, and those that do not.

In memory both halves are tables. Of data in files they are data sets, of which the rows apart are
written first: they are judged in a pass of their own, which reads the columns of rules alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastfeat.engine.float_environment import in_ieee
from fastfeat.errors import OutputError
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import FittedContract
from fastfeat.execute.guard import Guard, guard_of_rules, judged_rules, tell_of_rows, unlike
from fastfeat.execute.layout import Layout, check_beside
from fastfeat.execute.lookup_tables import Tables, read_tables, table_schemas
from fastfeat.execute.memory_needs import needs_of_call
from fastfeat.execute.pieces import Pieces, bytes_within, pieces_of
from fastfeat.execute.to_files import digest_of_tables, write_features
from fastfeat.execute.transform import transform
from fastfeat.io.arrow import Array, Table, call, pa
from fastfeat.io.budget import bounded, budget_of
from fastfeat.io.columns.types import schema_of
from fastfeat.io.sinks.manifest import Manifest
from fastfeat.io.sources.chosen import RowFlags, chosen_rows, flags_of
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.read import read_table
from fastfeat.io.sources.scan import Scanned, scan, telling_place
from fastfeat.plan.declare.contract import ContractDeclaration, Rule

VIOLATIONS = "violations"
"""The column of quarantined rows that names the rules that each breaks."""
Broken = Mapping[str, NDArray[np.bool_]]
"""Of each rule, whether each row breaks it."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Rows in two halves.

    Args:
        accepted: the rows that hold all rules, or break some that only warn.
        quarantined: the others, with their numbers first and the names of the rules they break
            last; both in the order of the data.
        numbers: those of the accepted rows, shape (n_accepted,).
    """

    accepted: Table
    quarantined: Table
    numbers: NDArray[np.int64]


def quarantined(guard: Guard | None, rows: CallRows) -> Quarantined:
    """Return rows in two halves: those that hold the rules, and those that break one.

    Rules that only warn tell of the rows that are accepted.

    Args:
        guard: the rules; None where there are none.
        rows: All rows of the data.

    Raises:
        FastfeatError: as `transform`, of the columns that rules read.

    Warns:
        RowsBreakRule: accepted rows break a rule that only warns.
    """
    table = read_table(rows.data)
    broken = _broken(guard, rows._replace(data=table))
    is_bad = _is_bad(guard, broken, table, 0)
    good, bad = np.flatnonzero(~is_bad), np.flatnonzero(is_bad)
    apart = with_reasons(table.take(pa.array(bad)), bad, reasons_of(broken, bad))
    return Quarantined(table.take(pa.array(good)), apart, good)


def _broken(guard: Guard | None, rows: CallRows) -> Broken:
    if guard is None:
        return {}
    each = transform(guard.each_broken, rows)
    return {name: of.to_numpy() for name, of in zip(guard.rules, each.columns, strict=True)}


def _is_bad(guard: Guard | None, broken: Broken, table: Table, first_row: int) -> NDArray[np.bool_]:
    """Return whether rows break a rule that does not only warn; tell of others that are broken."""
    rules: Mapping[str, Rule] = {} if guard is None else guard.rules
    is_bad = np.zeros(table.num_rows, bool)
    for name, rule in rules.items():
        if rule.on_violation != "warn":
            is_bad |= broken[name]
    for name, rule in rules.items():
        warned = np.flatnonzero(broken[name] & ~is_bad)
        if rule.on_violation == "warn" and len(warned):
            tell_of_rows(name, rule, table, warned, first_row=first_row)
    return is_bad


def reasons_of(broken: Broken, rows: NDArray[np.int64]) -> Array:
    """Return the names of the rules that rows break, a list a row."""
    kind = pa.list_(pa.string())
    if not broken or not len(rows):
        return pa.array([[] for _ in rows], kind)
    flags = np.stack([of[rows] for of in broken.values()], axis=1)
    ends = np.cumsum([0, *flags.sum(axis=1)], dtype=np.int32)
    names = pa.array(list(broken), pa.string()).take(pa.array(np.nonzero(flags)[1]))
    return pa.ListArray.from_arrays(pa.array(ends), names).cast(kind)


def with_reasons(rows: Table, numbers: NDArray[np.int64], reasons: Array) -> Table:
    """Return rows with their numbers first, and the rules that they break last."""
    names = rows.column_names
    rows = rows.add_column(0, unlike("row", names), pa.array(numbers))
    return rows.append_column(unlike(VIOLATIONS, names), reasons)


@dataclass(frozen=True, slots=True, eq=False)
class Divided:
    """A data set in two halves, and the flags of the rows that are accepted.

    Args:
        accepted: the rows that hold the rules; the data set itself where all do.
        apart: the others, as pieces with their numbers and reasons.
    """

    accepted: Dataset
    apart: Pieces


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Rules, and what it takes to judge pieces of a data set by them.

    Args:
        guard: the rules; None where there are none.
        tables: lookup tables, as Arrow tables.
        backend: its name.
        most_bytes: of the rows that are read at a time.
    """

    guard: Guard | None
    tables: Tables
    backend: str
    most_bytes: int | Callable[[], int]

    def rows_of(self, piece: Scanned) -> CallRows:
        """Return the rows of a piece, with the tables beside them."""
        return CallRows(piece.table, tables=self.tables, backend=self.backend)


def divided(judge: Judge, dataset: Dataset, layout: Layout) -> Divided:
    """Return a data set in two halves: it is read once here, in the columns of rules.

    Args:
        judge: the rules.
        dataset: the rows.
        layout: where those go that break rules: formats of text have their reasons in one text.

    Raises:
        InvalidData: the data can be read once only.
        FastfeatError: as `transform`, of the columns that rules read.

    Warns:
        RowsBreakRule: accepted rows break a rule that only warns.
    """
    dataset.check_passes(3)  # here, and for each of the halves
    dataset.check(list(dataset.at_odds))
    flags = _accepted(judge, dataset)
    others = flags.inverted()
    rows = chosen_rows(dataset, others, "the rows set apart")
    apart = _apart(judge, rows, others, is_text=layout.form in ("csv", "tsv"))
    if others.n_chosen == 0:
        return Divided(dataset, apart)
    return Divided(chosen_rows(dataset, flags, "the rows that hold the rules"), apart)


def _accepted(judge: Judge, dataset: Dataset) -> RowFlags:
    """Return flags of the rows that hold the rules; of no rows where there are no rules."""
    guard = judge.guard
    found: list[NDArray[np.bool_]] = []
    if guard is None:
        return flags_of(found)
    with closing(scan(dataset, guard.columns, judge.most_bytes)) as pieces:
        for piece in pieces:
            with telling_place(piece):
                broken = _broken(guard, judge.rows_of(piece))
                found.append(~_is_bad(guard, broken, piece.table, piece.first_row))
    return flags_of(found)


def _apart(judge: Judge, rows: Dataset, flags: RowFlags, *, is_text: bool) -> Pieces:
    """Return rows that break rules as pieces with their numbers and reasons."""

    def joined(reasons: Array) -> Array:
        return call("binary_join", reasons, ", ") if is_text else reasons

    def features(piece: Scanned) -> Table:
        broken = _broken(judge.guard, judge.rows_of(piece))
        numbers = flags.numbers(piece.first_row, piece.table.num_rows)
        reasons = reasons_of(broken, np.arange(len(numbers)))
        return with_reasons(piece.table, numbers, joined(reasons))

    none = pa.Table.from_batches([], rows.schema)
    no_reasons = joined(pa.nulls(0, pa.list_(pa.string())))
    given = with_reasons(none, np.zeros(0, np.int64), no_reasons).schema
    return pieces_of(rows, rows.schema.names, (), features, given, judge.most_bytes)


@in_ieee
def quarantine(
    contract: ContractDeclaration, data: Any, tables: Tables, late: Collection[str] = ()
) -> tuple[Table, Table]:
    """Return the rows that hold the rules, and the others; see `Contract.quarantine`."""
    table = read_table(data)
    known = read_tables(tables, contract.table_columns)
    guard = _guard(contract, table.schema, known, late)
    found = quarantined(guard, CallRows(table, tables=known))
    return found.accepted, found.quarantined


@in_ieee
def quarantine_to(
    contract: ContractDeclaration,
    text: str,
    data: Any,
    accepted: Layout,
    apart: Layout,
    tables: Tables,
    memory: str | int | None,
) -> tuple[Manifest, Manifest]:
    """Write the rows that hold the rules, and the others; see `Contract.quarantine_to`.

    Args:
        contract: the rules.
        text: their JSON.
        data: the rows, as the following are of `Contract.quarantine_to`.
        accepted: where those that hold the rules go.
        apart: where the others go.
        tables: lookup tables.
        memory: the budget.
    """
    dataset, budget = dataset_of(data), None
    if memory is not None:
        needs = needs_of_call(dataset, dataset.schema.names, tables, contract.table_columns)
        budget = budget_of(memory, needs)
    known = read_tables(tables, contract.table_columns)
    of_lookup = tables.values() if isinstance(tables, Mapping) else ()
    for layout in (accepted, apart):
        check_beside(layout, data, *of_lookup, read=(dataset,))
    digest = hashlib.sha256(text.encode()).hexdigest()
    of_tables = digest_of_tables(known, contract.table_columns)
    judge = Judge(_guard(contract, dataset.schema, known), known, "cpu", bytes_within(budget))
    with bounded(budget):
        rows = divided(judge, dataset, apart)
        set_apart = write_apart(rows, apart, digest, of_tables, accepted)
        return write_rows(rows.accepted, accepted, digest, judge.most_bytes), set_apart


def _guard(
    contract: ContractDeclaration,
    schema: Any,
    tables: Mapping[str, Any],
    late: Collection[str] = (),
) -> Guard | None:
    """Return the rules that judge a row by itself, for rows of a schema; None where none does."""
    rules = judged_rules(contract, late)
    if not rules:
        return None
    types = schema_of(schema)
    return guard_of_rules(rules, FittedContract(contract, types, table_schemas(tables), {}))


def write_apart(
    divided: Divided, layout: Layout, digest: str, tables: str, accepted: Layout
) -> Manifest:
    """Write the rows that break rules, and return the manifest of their files.

    Args:
        divided: the rows.
        layout: where they go.
        digest: of the plan or contract.
        tables: a digest of the lookup tables.
        accepted: where the others go, or their features.

    Raises:
        OutputError: both go to one place; or as `write_features`.
    """
    if layout.target.absolute() == accepted.target.absolute():
        raise OutputError(
            f"{layout.target}: rows that are set apart go to another place than the others"
        )
    return write_features(divided.apart, layout, digest, tables)


def write_rows(
    rows: Dataset, layout: Layout, digest: str, most_bytes: int | Callable[[], int]
) -> Manifest:
    """Write rows as they are, and return the manifest of their files."""
    columns = rows.schema.names
    pieces = pieces_of(rows, columns, (), lambda piece: piece.table, rows.schema, most_bytes)
    return write_features(pieces, layout, digest, "")
