"""The guard: checks rows against the rules of a fitted contract before computing features.

It judges each row by itself, so that one row, a batch and a stream reject the same rows. Rules
about a row's past, about fractions of rows, or about late columns (known only after the moment of
their row) are left to `check` and `fit`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import (
    ContractBroken,
    InvalidPlan,
    RowsBreakRule,
    counted,
    did_you_mean,
    warn,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted, FittedContract, InputSchema, fitted_of_values
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.lookup_tables import Tables, columns_of_tables
from fastfeat.execute.row_selection import row_numbers
from fastfeat.execute.transform import transform
from fastfeat.io.arrow import call, pa
from fastfeat.io.sources.read import read_table
from fastfeat.ir.node import TableColumn
from fastfeat.plan.declare.bind import ColumnTypes, TableTypes
from fastfeat.plan.declare.contract import ON_VIOLATION, ContractDeclaration, Rule, rule_text
from fastfeat.plan.declare.declaration import Declaration, declare
from fastfeat.plan.declare.source_columns import columns_of

if TYPE_CHECKING:
    from fastfeat.scalars.zone_files import ZoneTable

N_SHOWN = 5
"""Number of rule-breaking rows that a message shows."""
SETS_APART = ". transform(rows, on_violation='quarantine') sets such rows apart"
"""End of the error message for a quarantine rule; omitted for a single row, which is rejected."""
IGNORE = "ignore"
"""Value of `on_violation` that turns off judging."""


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """The rules that rows are judged by, ready to run.

    Args:
        rules: The rules by name.
        any_broken: Plan with one feature "broken": whether a row breaks any rule.
        each_broken: Plan with one feature per rule, named by its number: whether a row breaks the
            rule.
        columns: Input columns that the rules read.
    """

    rules: Mapping[str, Rule]
    any_broken: Fitted
    each_broken: Fitted
    columns: tuple[str, ...]


def fitted_rules(
    plan: Declaration,
    inputs: ColumnTypes,
    tables: TableTypes,
    zones: dict[str, ZoneTable] | None = None,
) -> Fitted:
    """Return a fitted plan for rules or features that need no learning.

    `inputs` may contain more columns than the features read. Time zone tables are taken from
    `zones`, or from this machine if `zones` lacks them.

    Raises:
        UnknownColumn: A feature reads a column that the inputs lack.
        TypeMismatch: A feature does not accept the type of its input.
    """
    read = {name: inputs[name] for name in plan.columns if name in inputs}
    of_tables = columns_of_tables(plan.table_columns, tables)
    known: dict[str, ZoneTable] = {} if zones is None else zones
    return fitted_of_values(plan, read, lambda _: {}, 0, known, tables=of_tables)


def row_rules(contract: ContractDeclaration, late: Iterable[str] = ()) -> dict[str, Rule]:
    """Return the rules that the guard checks: about one row, without `late` columns or the clock.

    The clock is the column that stands for the time of the check.
    """
    unknown = set(late)
    return {
        name: rule
        for name, rule in contract.rules.items()
        if rule.is_of_row
        and not contract.reads_clock(name)
        and unknown.isdisjoint(contract.reads[name])
    }


def guard_of(fitted: Fitted) -> Guard | None:
    """Return the guard of a fitted plan; None if no rule judges single rows."""
    contract = fitted.contract
    if contract is None:
        return None
    try:
        return contract.made["guard"]
    except KeyError:
        pass
    rules = row_rules(contract.declaration, fitted.declaration.late)
    made = guard_of_rules(rules, contract) if rules else None
    contract.made["guard"] = made
    return made


def guard_of_rules(rules: Mapping[str, Rule], contract: FittedContract) -> Guard:
    """Return a guard for the given rules of a contract; there must be at least one."""
    holds = None
    for rule in rules.values():
        of_rule = rule.expression.fill_null(False)
        holds = of_rule if holds is None else holds & of_rule
    assert holds is not None
    each = {str(k): rule.broken for k, rule in enumerate(rules.values())}
    made = [
        fitted_rules(declare(features), contract.inputs, contract.tables, contract.zones)
        for features in ({"broken": ~holds}, each)
    ]
    columns = made[0].declaration.columns
    return Guard(rules, made[0], made[1], tuple(columns))


def row_inputs(fitted: Fitted) -> InputSchema:
    """Return the type of each data column that features or guarded rules read from new rows."""
    guard = guard_of(fitted)
    if guard is None or fitted.contract is None:
        return fitted.inputs
    return {**{name: fitted.contract.inputs[name] for name in guard.columns}, **fitted.inputs}


def guarded_columns(fitted: Fitted) -> list[str]:
    """Return the columns that rules read from new rows, in order."""
    guard = guard_of(fitted)
    return [] if guard is None else list(guard.columns)


def guarded_table_columns(fitted: Fitted) -> list[TableColumn]:
    """Return the lookup table columns that features or guarded rules read."""
    guard, own = guard_of(fitted), list(fitted.table_columns)
    return own if guard is None else [*own, *guard.each_broken.table_columns]


def warm_guard(fitted: Fitted, rows: Any, tables: Tables) -> None:
    """Check some rows against the rules and ignore the result, so that kernels are compiled."""
    guard = guard_of(fitted)
    for rules in () if guard is None else (guard.any_broken, guard.each_broken):
        transform(rules, CallRows(rows, tables=tables))


def check_option(on_violation: object, refused: Mapping[str, str] | None = None) -> None:
    """Raise InvalidPlan for an `on_violation` option that is unknown or not accepted by the call.

    `refused` maps the words that the call does not accept to the advice in the message.
    """
    known = (*ON_VIOLATION, IGNORE)
    if on_violation is not None and on_violation not in known:
        hint = did_you_mean(str(on_violation), known)
        raise InvalidPlan(
            f"on_violation={on_violation!r}: must be one of {', '.join(known)}.{hint}"
        )
    if refused and on_violation in refused:
        raise InvalidPlan(f"on_violation={on_violation!r}: {refused[str(on_violation)]}")


def as_rereadable(data: Any) -> Any:
    """Return data that can be read twice; a reader that can be read only once becomes a table."""
    return read_table(data) if isinstance(data, pa.RecordBatchReader) else data


def judge(
    guard: Guard, rows: CallRows, *, on_violation: str | None = None, first_row: int = 0
) -> dict[str, int]:
    """Check rows, and return the number of rows that break each warning rule, if any do.

    Args:
        guard: The rules.
        rows: The rows, which must be readable twice; their history is not read.
        on_violation: Action for broken rules other than warning rules; None for each rule's own.
        first_row: Number of the first row in messages.

    Raises:
        ContractBroken: Rows break a rule that does more than warn.
        FastfeatError: The columns that rules read cannot be read or computed, as for `transform`.

    Warns:
        RowsBreakRule: Rows break a warning rule.
    """
    rows = rows._replace(history=None)  # rules judge a row by itself
    found = transform(guard.any_broken, rows, first_row=first_row)
    if not call("any", found.column(0)).as_py():
        return {}
    each = transform(guard.each_broken, rows, first_row=first_row)
    table = read_columns(rows.data, guard.columns)
    places = [np.flatnonzero(column.to_numpy()) for column in each.columns]
    broken = {name: len(of) for name, of in zip(guard.rules, places, strict=True) if len(of)}
    for (name, rule), of in zip(guard.rules.items(), places, strict=True):
        if len(of):
            numbers = of if rows.rows is None else _numbers(rows.rows, table)[of]
            text = _told(name, rule, table, numbers, each.num_rows, first_row)
            _tell(text, rule, on_violation, broken)
    return broken


def judge_row(guard: Guard, row: Mapping[str, Any], breaks: Any) -> dict[str, int]:
    """Return a dict that counts 1 for the name of each warning rule that a single row breaks.

    `breaks` holds whether the row breaks each rule, shape (n_rules,).

    Raises:
        ContractBroken: The row breaks a rule that does more than warn.

    Warns:
        RowsBreakRule: The row breaks a warning rule.
    """
    broken = {name: 1 for name, is_so in zip(guard.rules, breaks, strict=True) if is_so}
    for name in broken:
        rule = guard.rules[name]
        read = {c: row.get(c) for c in _columns(rule)}
        text = f"{name!r}: the row breaks {rule_text(rule.expression.node)}: {values_text(read)}"
        _tell(text, rule, "reject", broken)
    return broken


def report_broken_rows(
    name: str, rule: Rule, table: Any, rows: NDArray[np.int64], *, first_row: int = 0
) -> None:
    """Raise or warn about the rows at positions `rows` of `table`, which break the rule.

    `first_row` is the number of the table's first row in messages.

    Raises:
        ContractBroken: The rule does more than warn.

    Warns:
        RowsBreakRule: The rule only warns.
    """
    _tell(_told(name, rule, table, rows, table.num_rows, first_row), rule, None, {})


def _numbers(rows: Any, table: Any) -> NDArray[np.int64]:
    numbers = row_numbers(rows, table)
    assert numbers is not None
    return numbers


def _told(
    name: str, rule: Rule, table: Any, numbers: NDArray[np.int64], n_rows: int, first_row: int
) -> str:
    """Return the message for a broken rule: the number of rows, and the first with their values."""
    columns = [c for c in _columns(rule) if c in table.column_names]
    shown = numbers[:N_SHOWN]
    values = table.select(columns).take(pa.array(shown)).to_pylist()
    rows = [
        f"row {number + first_row} ({values_text(of)})"
        for number, of in zip(shown.tolist(), values, strict=True)
    ]
    more = ", ..." if len(numbers) > len(shown) else ""
    return (
        f"{name!r}: {broken_text(len(numbers), n_rows)} {rule_text(rule.expression.node)}: "
        f"{', '.join(rows)}{more}"
    )


def _tell(text: str, rule: Rule, on_violation: str | None, broken: Mapping[str, int]) -> None:
    word = rule.on_violation
    if word != "warn" and on_violation is not None:
        word = on_violation
    if word == "warn":
        warn(f"rule {text}", RowsBreakRule)
    elif word == "quarantine":
        raise ContractBroken(f"rule {text}{SETS_APART}", broken)
    else:
        raise ContractBroken(f"rule {text}", broken)


def _columns(rule: Rule) -> list[str]:
    return columns_of([rule.expression.node])


def broken_text(n_broken: int, n_rows: int) -> str:
    """Return the number of rows that break a rule, as text for a message.

    Example:
        >>> broken_text(2, 1000)
        '2 of 1,000 rows break'
    """
    return f"{n_broken:,} of {counted(n_rows, 'row')} break{'s' if n_broken == 1 else ''}"


def values_text(row: Mapping[str, Any]) -> str:
    """Return the values of a row as text for a message, shortened.

    Example:
        >>> values_text({"x": 1.5, "y": None})
        'x=1.5, y=None'
    """
    shown = [f"{name}={_shortened(value)}" for name, value in list(row.items())[:_MOST_VALUES]]
    return ", ".join([*shown, *(["..."] if len(row) > _MOST_VALUES else [])])


def _shortened(value: Any) -> str:
    text = "None" if isinstance(value, float) and value != value else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def unused_name(name: str, others: Iterable[str]) -> str:
    """Return `name` with as many "_" appended as needed to differ from `others`.

    Example:
        >>> unused_name("row", ["row", "x"])
        'row_'
    """
    taken = set(others)
    while name in taken:
        name += "_"
    return name


_LONGEST, _MOST_VALUES = 60, 6
