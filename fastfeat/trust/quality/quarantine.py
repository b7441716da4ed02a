"""Quarantine: separation of the rows that meet a contract from the rows that break it.

A guard is the rules of a contract that judge a row by itself, bound to column types. Rows in memory
give two tables. Files are first read in one pass that only judges the rows and reads only the
columns of rules; then the quarantined rows are written, and then the accepted ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import OutputError
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import FittedContract
from fastfeat.execute.guard import Guard, guard_of_rules, report_broken_rows, row_rules, unused_name
from fastfeat.execute.layout import Layout, check_beside
from fastfeat.execute.lookup_tables import Tables, read_tables, table_schemas
from fastfeat.execute.memory_needs import needs_of_call
from fastfeat.execute.pieces import FeaturePieces, bytes_within, pieces_of
from fastfeat.execute.to_files import digest_of_tables, write_features
from fastfeat.execute.transform import transform
from fastfeat.io.arrow import Array, Table, call, pa
from fastfeat.io.budget import budget_of, use_optional_budget
from fastfeat.io.columns.types import schema_of
from fastfeat.io.sinks.manifest import Manifest
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.read import read_table
from fastfeat.io.sources.scan import ScannedTable, scan, with_place_in_errors
from fastfeat.io.sources.selected_rows import RowFlags, chosen_rows, flags_of
from fastfeat.plan.declare.contract import ContractDeclaration, Rule

VIOLATIONS = "violations"
"""The column of quarantined rows that lists the broken rules of each."""
BrokenFlags = Mapping[str, NDArray[np.bool_]]
"""For each rule, whether each row breaks it."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Rows in two groups, both in the order of the data.

    Args:
        accepted: Rows that break no rule, or only rules that warn.
        quarantined: The other rows, with row numbers as first column and broken rules as last.
        numbers: Row numbers of the accepted rows, shape `(n_accepted,)`.
    """

    accepted: Table
    quarantined: Table
    numbers: NDArray[np.int64]


def separate_rows(guard: Guard | None, rows: CallRows) -> Quarantined:
    """Return the rows in two groups: accepted, and quarantined.

    Raises like `transform`, for the columns of rules. Warns `RowsBreakRule` if accepted rows break
    a rule that only warns. `guard=None` means no rules, and accepts all rows.
    """
    table = read_table(rows.data)
    broken = _broken(guard, rows._replace(data=table))
    is_bad = _is_bad(guard, broken, table, 0)
    good, bad = np.flatnonzero(~is_bad), np.flatnonzero(is_bad)
    apart = with_reasons(table.take(pa.array(bad)), bad, reasons_of(broken, bad))
    return Quarantined(table.take(pa.array(good)), apart, good)


def _broken(guard: Guard | None, rows: CallRows) -> BrokenFlags:
    if guard is None:
        return {}
    each = transform(guard.each_broken, rows._replace(history=None))
    return {name: of.to_numpy() for name, of in zip(guard.rules, each.columns, strict=True)}


def _is_bad(
    guard: Guard | None, broken: BrokenFlags, table: Table, first_row: int
) -> NDArray[np.bool_]:
    """Return whether each row breaks a rule that rejects rows, shape `(n_rows,)`.

    Also warn about rules that only warn and that the other rows break.
    """
    rules: Mapping[str, Rule] = {} if guard is None else guard.rules
    is_bad = np.zeros(table.num_rows, bool)
    for name, rule in rules.items():
        if rule.on_violation != "warn":
            is_bad |= broken[name]
    for name, rule in rules.items():
        warned = np.flatnonzero(broken[name] & ~is_bad)
        if rule.on_violation == "warn" and len(warned):
            report_broken_rows(name, rule, table, warned, first_row=first_row)
    return is_bad


def reasons_of(broken: BrokenFlags, rows: NDArray[np.int64]) -> Array:
    """Return an Arrow array with a list per row: the names of the rules that the row breaks."""
    kind = pa.list_(pa.string())
    if not broken or not len(rows):
        return pa.array([[] for _ in rows], kind)
    flags = np.stack([of[rows] for of in broken.values()], axis=1)
    ends = np.cumsum([0, *flags.sum(axis=1)], dtype=np.int32)
    names = pa.array(list(broken), pa.string()).take(pa.array(np.nonzero(flags)[1]))
    return pa.ListArray.from_arrays(pa.array(ends), names).cast(kind)


def with_reasons(rows: Table, numbers: NDArray[np.int64], reasons: Array) -> Table:
    """Return a table with row numbers added as first column, and names of broken rules as last."""
    names = rows.column_names
    rows = rows.add_column(0, unused_name("row", names), pa.array(numbers))
    return rows.append_column(unused_name(VIOLATIONS, names), reasons)


@dataclass(frozen=True, slots=True, eq=False)
class QuarantineSplit:
    """A data set that is separated into two groups of rows.

    Args:
        accepted: Rows that meet the rules; the data set itself if all rows do.
        apart: The other rows, in pieces, with row numbers and the names of broken rules.
    """

    accepted: Dataset
    apart: FeaturePieces


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Rules, and the context to judge pieces of a data set.

    Args:
        guard: The rules; None without rules.
        tables: Lookup tables, as Arrow tables.
        backend: Name of the backend.
        most_bytes: Most bytes of rows to read at a time.
    """

    guard: Guard | None
    tables: Tables
    backend: str
    most_bytes: int | Callable[[], int]

    def rows_of(self, piece: ScannedTable) -> CallRows:
        """Return a piece of the data set as an argument of `transform`, with the lookup tables."""
        return CallRows(piece.table, tables=self.tables, backend=self.backend)


def separate_dataset(judge: Judge, dataset: Dataset, layout: Layout) -> QuarantineSplit:
    """Return a data set separated into accepted and other rows, after one pass that judges them.

    `layout` is the output for quarantined rows: CSV and TSV store the names of broken rules as one
    text.

    Raises:
        InvalidData: The data can be read only once.
        FastfeatError: The columns of rules cannot be read or judged.

    Warns:
        RowsBreakRule: Accepted rows break a rule that only warns.
    """
    dataset.check_passes(3)  # the pass here, and one per group
    dataset.check(list(dataset.column_errors))
    flags = _accepted_flags(judge, dataset)
    others = flags.invert()
    rows = chosen_rows(dataset, others, "the quarantined rows")
    apart = _quarantined_pieces(judge, rows, others, is_text=layout.form in ("csv", "tsv"))
    if others.n_chosen == 0:
        return QuarantineSplit(dataset, apart)
    return QuarantineSplit(chosen_rows(dataset, flags, "the accepted rows"), apart)


def _accepted_flags(judge: Judge, dataset: Dataset) -> RowFlags:
    """Return one flag per row of a data set, whether it is accepted; no flags without rules."""
    guard = judge.guard
    found: list[NDArray[np.bool_]] = []
    if guard is None:
        return flags_of(found)
    with closing(scan(dataset, guard.columns, judge.most_bytes)) as pieces:
        for piece in pieces:
            with with_place_in_errors(piece):
                broken = _broken(guard, judge.rows_of(piece))
                found.append(~_is_bad(guard, broken, piece.table, piece.first_row))
    return flags_of(found)


def _quarantined_pieces(
    judge: Judge, rows: Dataset, flags: RowFlags, *, is_text: bool
) -> FeaturePieces:
    """Return the quarantined rows, in pieces, with row numbers and the names of broken rules.

    With `is_text`, these names are joined to one text per row.
    """

    def joined(reasons: Array) -> Array:
        return call("binary_join", reasons, ", ") if is_text else reasons

    def features(piece: ScannedTable) -> Table:
        broken = _broken(judge.guard, judge.rows_of(piece))
        numbers = flags.numbers(piece.first_row, piece.table.num_rows)
        reasons = reasons_of(broken, np.arange(len(numbers)))
        return with_reasons(piece.table, numbers, joined(reasons))

    none = pa.Table.from_batches([], rows.schema)
    no_reasons = joined(pa.nulls(0, pa.list_(pa.string())))
    given = with_reasons(none, np.zeros(0, np.int64), no_reasons).schema
    return pieces_of(rows, rows.schema.names, (), features, given, judge.most_bytes)


@with_ieee_arithmetic
def quarantine(
    contract: ContractDeclaration, data: Any, tables: Tables, late: Collection[str] = ()
) -> tuple[Table, Table]:
    """Return the accepted and the quarantined rows; see `Contract.quarantine`."""
    table = read_table(data)
    known = read_tables(tables, contract.table_columns)
    guard = _guard(contract, table.schema, known, late)
    found = separate_rows(guard, CallRows(table, tables=known))
    return found.accepted, found.quarantined


@with_ieee_arithmetic
def quarantine_to(
    contract: ContractDeclaration,
    text: str,
    data: Any,
    accepted: Layout,
    apart: Layout,
    tables: Tables,
    memory: str | int | None,
) -> tuple[Manifest, Manifest]:
    """Write the accepted and the quarantined rows; see `Contract.quarantine_to`.

    `text` is the contract as JSON. Its digest identifies the output, so that an interrupted call
    can continue.
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
    with use_optional_budget(budget):
        rows = separate_dataset(judge, dataset, apart)
        set_apart = write_apart(rows, apart, digest, of_tables, accepted)
        return write_rows(rows.accepted, accepted, digest, judge.most_bytes), set_apart


def _guard(
    contract: ContractDeclaration,
    schema: Any,
    tables: Mapping[str, Any],
    late: Collection[str] = (),
) -> Guard | None:
    """Return the rules of a contract that judge a row by itself, bound to column types.

    None if the contract has no such rules. `late` names columns that may be absent.
    """
    rules = row_rules(contract, late)
    if not rules:
        return None
    types = schema_of(schema)
    return guard_of_rules(rules, FittedContract(contract, types, table_schemas(tables), {}))


def write_apart(
    divided: QuarantineSplit, layout: Layout, digest: str, tables: str, accepted: Layout
) -> Manifest:
    """Write the quarantined rows, and return their manifest.

    Raises:
        OutputError: `layout` and `accepted` are one place, or `write_features` fails.
    """
    if layout.target.absolute() == accepted.target.absolute():
        raise OutputError(
            f"{layout.target}: quarantined= must differ from the output of the accepted rows"
        )
    return write_features(divided.apart, layout, digest, tables)


def write_rows(
    rows: Dataset, layout: Layout, digest: str, most_bytes: int | Callable[[], int]
) -> Manifest:
    """Write rows unchanged, and return their manifest."""
    columns = rows.schema.names
    pieces = pieces_of(rows, columns, (), lambda piece: piece.table, rows.schema, most_bytes)
    return write_features(pieces, layout, digest, "")
