"""Checking: the rules of a contract, counted while the rows are read once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import (
    InvalidData,
    InvalidPlan,
    Overflow,
    TypeMismatch,
    UnknownColumn,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import fitted_rules, unused_name
from fastfeat.execute.inputs import absence_hint
from fastfeat.expr import Expr, col
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.types import UnsupportedType
from fastfeat.ir.dtypes import BOOL, INTEGER_RANGE, NULL, DType
from fastfeat.ir.literals import literal_value
from fastfeat.ir.node import Aggregate, Call, Column, Literal, Node, postorder, rewrite_nodes
from fastfeat.ir.show import show
from fastfeat.plan.declare.bind import bind, check_new_plan
from fastfeat.plan.declare.contract import ContractDeclaration, Rule, rule_text, type_rule_name
from fastfeat.plan.declare.declaration import declare
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.tell.fitted_tables import learnt_values
from fastfeat.trust.quality.report import CheckReport, RuleOutcome, RuleResult
from fastfeat.trust.quality.rows import (
    CheckedRows,
    features_of,
    learn_expressions,
    read_rows_to_check,
)
from fastfeat.trust.quality.sentences import sentence_of

UNDECIDED = (Overflow, InvalidData, TypeMismatch)
"""Errors in values, after which a rule is undecided; other errors end the check."""


@dataclass(frozen=True, slots=True)
class JudgedRule:
    """A rule ready to be counted, and its result if it need not be counted.

    Args:
        rule: The rule, with the time of the check in place of the clock.
        text: The rule's expression as text.
        result: The result if it is known without counting; else None.
        sentence: The rule's condition in words; "" if only the expression says it.
    """

    rule: Rule
    text: str
    result: RuleResult | None = None
    sentence: str = ""


@with_ieee_arithmetic
def check_rows(
    contract: ContractDeclaration,
    rows: CallRows,
    *,
    clock: Any = None,
    late: Collection[str] = (),
    needs_clock: bool = True,
) -> tuple[CheckedRows, CheckReport]:
    """Return the rows as they were read, and the report on the rules; raises like `Contract.check`.

    `rows` must cover the whole data; `memory` applies to the CPU backend only. `late` names columns
    that may be absent: a rule that reads an absent one is skipped. With `needs_clock=False`, rules
    that read the clock are skipped if no clock is given.
    """
    read = read_rows_to_check(rows, columns_checked(contract), contract.table_columns)
    report = check_loaded_rows(
        contract, read, clock=clock, late=late, needs_clock=needs_clock, given=rows.data
    )
    return read, report


def columns_checked(contract: ContractDeclaration) -> list[str]:
    """Return the names of the columns that a check reads from the data, if the data has them.

    The name of the clock is included, because a check rejects data with a column of that name.
    """
    return [*contract.columns, *([contract.clock] if contract.clock else [])]


@with_ieee_arithmetic
def check_loaded_rows(
    contract: ContractDeclaration,
    rows: CheckedRows,
    *,
    clock: Any = None,
    late: Collection[str] = (),
    needs_clock: bool = True,
    given: Any = None,
) -> CheckReport:
    """Return the report on the rules, for rows that are already read; raises like `Contract.check`.

    The rows must hold the columns of `columns_checked`. `late` and `needs_clock` work as for
    `check_rows`; `given` is the caller's data, for messages.
    """
    at = _clock_of(contract, clock, needs_clock=needs_clock)
    if contract.clock is not None and contract.clock in rows.schema:
        raise InvalidPlan(
            f"the data has a column {contract.clock!r}, which is also the contract's name for the "
            "time of the check. Rename one of them"
        )
    judged = {
        name: _judge_without_counting(contract, name, rows, at, late, given)
        for name in contract.rules
    }
    judged |= _types(contract, rows, late)
    counted = {name: one for name, one in judged.items() if one.result is None}
    found = _count_broken_rows(rows, {name: one.rule for name, one in counted.items()})
    results = [
        _result(name, one, rows.n_rows, found[name]) if one.result is None else one.result
        for name, one in judged.items()
    ]

    def find(name: str, n: int | None) -> Table:
        return rows_that_break(rows, judged[name].rule, n)

    return CheckReport(tuple(results), rows.n_rows, find)


def _clock_of(contract: ContractDeclaration, clock: Any, *, needs_clock: bool) -> Literal | None:
    """Return the time of the check as a literal; None without one.

    Raises:
        InvalidPlan: A rule reads the clock and none was given, or one was given and no rule reads
            it.
        TypeMismatch: The clock is not a value that a row can hold.
    """
    if clock is None:
        if contract.clock is not None and needs_clock:
            named = next(name for name in contract.rules if contract.reads_clock(name))
            raise InvalidPlan(
                f"the rule {named!r} reads the time of the check, which was not passed. Call "
                "check(data, clock=datetime.now(timezone.utc))"
            )
        return None
    if contract.clock is None:
        raise InvalidPlan(
            "clock= was passed, but the contract names no clock. Name the one that its rules read: "
            "Contract(rules, clock='now')"
        )
    return Literal(literal_value(clock))


def _judge_without_counting(
    contract: ContractDeclaration,
    name: str,
    rows: CheckedRows,
    at: Literal | None,
    late: Collection[str],
    data: Any,
) -> JudgedRule:
    """Return a rule with the time of the check in it, and its result if known without counting.

    `late` names columns that may be absent; `data` is the caller's data, for messages.

    Raises:
        TypeMismatch: The rule is not boolean.
    """
    rule, text = contract.rules[name], rule_text(contract.nodes[name])
    sentence = sentence_of(contract.nodes[name])

    def judged(outcome: RuleOutcome, reason: str) -> JudgedRule:
        n_broken = 0 if outcome == "skipped" else 1 if rule.is_of_table else rows.n_rows
        of = (name, text, rule.on_violation, outcome, n_broken, rows.n_rows, reason)
        result = RuleResult(*of, of_table=rule.is_of_table, sentence=sentence)
        return JudgedRule(rule, text, result)

    absent = [column for column in contract.reads[name] if column not in rows.schema]
    if absent and set(absent) <= set(late):
        return judged("skipped", f"it reads the late column {absent[0]!r}, which the data lacks")
    if contract.reads_clock(name):
        if at is None:
            return judged("skipped", "it reads the time of the check, which was not passed")
        rule = with_clock(rule, contract.clock, at)
    if absent:
        hint = absence_hint(absent[0], data)
        return judged("undecided", f"the data has no column {absent[0]!r}.{hint}")
    try:
        node = rule.expression.node
        types = bind([node], rows.schema, rows.schemas)
        check_new_plan(types)
        dtype = types[node]
    except (UnknownColumn, TypeMismatch) as error:
        return judged("undecided", str(error))
    if dtype not in (BOOL, NULL):
        raise TypeMismatch(f"rule {name!r} must be a bool expression, but {text} is {dtype}")
    if rule.is_of_table and rows.n_rows == 0:
        return judged("undecided", "there are no rows")
    return JudgedRule(rule, text, sentence=sentence)


def with_clock(rule: Rule, name: str | None, at: Literal) -> Rule:
    """Return a rule in which the literal `at` replaces `name`, the name of the clock."""
    (node,) = rewrite_nodes([rule.expression.node], lambda n: at if n == Column(name or "") else n)
    made = object.__new__(Rule)  # `Rule()` needs a column, and a rule of the clock may have none
    object.__setattr__(made, "expression", Expr((node,)))
    object.__setattr__(made, "on_violation", rule.on_violation)
    object.__setattr__(made, "at_most", rule.at_most)
    return made


def _types(
    contract: ContractDeclaration, rows: CheckedRows, late: Collection[str]
) -> dict[str, JudgedRule]:
    """Return the required column types as rules, each with its result if known without counting."""
    judged: dict[str, JudgedRule] = {}
    for column, dtype in contract.types.items():
        name, found = type_rule_name(column, dtype), rows.schema.get(column)
        whole = _is_whole(col(column), dtype)
        text = f"{column} is {dtype}"
        outcome: RuleOutcome = (
            "holds" if found is not None and is_of_type(found, dtype) else "broken"
        )
        reason = f"it is {found}"
        if found is None:
            outcome = "skipped" if column in late else "broken"
            kind = "late column" if column in late else "column"
            reason = f"the data lacks this {kind}"
        elif dtype.is_integer and isinstance(found, DType) and found.is_float:
            judged[name] = JudgedRule(Rule(whole), text)
            continue
        broken = outcome == "broken"
        reason = "" if outcome == "holds" else reason
        result = RuleResult(name, text, "reject", outcome, int(broken), rows.n_rows, reason, True)
        judged[name] = JudgedRule(Rule(whole), text, result)
    return judged


def _is_whole(x: Expr, dtype: DType) -> Expr:
    """Return a rule for a float column: values are missing, or whole and within type `dtype`."""
    low, high = INTEGER_RANGE.get(dtype.name, (0, 0))
    return ((x == x.floor()) & (x >= float(low)) & (x < float(high + 1))) | x.is_null()


def is_of_type(found: DType | UnsupportedType, wanted: DType) -> bool:
    """Return whether every value of the type `found` is valid for the type `wanted`.

    Plans use the same test to accept data. A column with only missing values has no type, and is
    valid for every type.
    """
    if not isinstance(found, DType):
        return False
    if found in (NULL, wanted):
        return True
    if wanted.is_float:
        return found.is_float or found.is_integer
    if wanted.unit is not None:  # another unit, or another time zone
        return (found.name, found.tz is None) == (wanted.name, wanted.tz is None)
    if wanted.is_integer and found.is_integer:
        low, high = INTEGER_RANGE[found.name]
        least, most = INTEGER_RANGE[wanted.name]
        return least <= low and high <= most
    return False


def _result(name: str, judged: JudgedRule, n_rows: int, found: BrokenRowCount) -> RuleResult:
    """Return the result of a rule from its count of broken rows."""
    rule, of_table, n_broken = judged.rule, judged.rule.is_of_table, found.n_broken
    outcome: RuleOutcome = "broken" if n_broken else "holds"
    reason = found.reason
    if not found.is_decided:
        outcome, n_broken = "undecided", 1 if of_table else n_rows
    elif rule.at_most and n_broken:
        outcome = "holds" if n_broken / n_rows <= rule.at_most else "broken"
        reason = f"the limit is {100 * rule.at_most:g} %"
    of = (name, judged.text, rule.on_violation, outcome, n_broken, n_rows, reason, of_table)
    return RuleResult(*of, judged.sentence)


@dataclass(frozen=True, slots=True)
class BrokenRowCount:
    """The number of rows that break a rule.

    Args:
        n_broken: Number of rows; for a rule over all rows, 1 if it is broken.
        reason: Aggregate values in the rule, or why the rows could not be counted.
        is_decided: Whether the rows could be counted.
    """

    n_broken: int
    reason: str = ""
    is_decided: bool = True


def _count_broken_rows(rows: CheckedRows, rules: Mapping[str, Rule]) -> dict[str, BrokenRowCount]:
    """Return the number of broken rows for each rule, by name.

    If counting fails, only the rules that cause the error are undecided: the others are counted
    again without them.
    """
    if not rules or rows.n_rows == 0:
        return dict.fromkeys(rules, BrokenRowCount(0))
    try:
        return _count_together(rows, rules)
    except UNDECIDED as error:
        if len(rules) == 1:
            told = str(error).partition("\n")[0]
            return dict.fromkeys(rules, BrokenRowCount(0, told, is_decided=False))
    names = list(rules)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    found: dict[str, BrokenRowCount] = {}
    for half in halves:
        found |= _count_broken_rows(rows, {name: rules[name] for name in half})
    return found


def _count_together(rows: CheckedRows, rules: Mapping[str, Rule]) -> dict[str, BrokenRowCount]:
    """Return the number of broken rows for each rule, by name; raises like `Plan.fit`."""
    found = {
        name: BrokenRowCount(n_missing)
        for name, rule in rules.items()
        if (n_missing := _n_missing(rows, rule.expression.node)) is not None
    }
    asked = {name: _learnt_of_rule(rule) for name, rule in rules.items() if name not in found}
    if not asked:
        return found
    fitted = learn_expressions(rows, asked)
    for name, node in fitted.declaration.nodes.items():
        value: Any = fitted.constants[node]
        if not rules[name].is_of_table:
            found[name] = BrokenRowCount(int(value or 0))
        else:
            found[name] = (
                BrokenRowCount(0) if value is True else BrokenRowCount(1, _values(fitted, node))
            )
    return found


def _n_missing(rows: CheckedRows, node: Node) -> int | None:
    """Return how many rows break "x is not missing" if Arrow already counts them; else None.

    Columns of floats, where NaN is missing, and of nested values must be counted instead.
    """
    match node:
        case Call("is_not_null", (Column(name),)):
            dtype = rows.schema[name]
        case _:
            return None
    if not isinstance(rows.data, Table) or not isinstance(dtype, DType) or dtype.is_float:
        return None
    column, types = rows.data[name], pa.types
    plain = types.is_primitive(column.type) or types.is_string(column.type)
    return column.null_count if plain or types.is_large_string(column.type) else None


@lru_cache(maxsize=1024)
def _learnt_of_rule(rule: Rule) -> Expr:
    """Return the expression that fit learns to judge a rule.

    It is the number of rows that break the rule, or, for a rule on the data as a whole, a bool.
    """
    return rule.expression if rule.is_of_table else rule.broken.sum()


def _values(fitted: Fitted, node: Node) -> str:
    """Return the values of the first aggregates in a rule on the data as a whole, for a message."""
    learnt = learnt_values(fitted)
    texts = [show(of) for of in postorder([node]) if isinstance(of, Aggregate)]
    known = [(text, learnt[text]) for text in dict.fromkeys(texts) if text in learnt]
    return ", ".join(f"{text} is {value}" for text, value in known[:_MOST_VALUES])


def rows_that_break(rows: CheckedRows, rule: Rule, n: int | None = None) -> Table:
    """Return a table of the rows that break a rule: row numbers, then the columns that it reads.

    `n` limits the result to the first rows; None returns all. Rows on workers have no numbers and
    no order.
    """
    columns = [name for name in columns_of([rule.expression.node]) if name in rows.schema]
    flag, number = unused_name("broken", columns), unused_name("row", columns)
    plan = declare({flag: rule.broken}, keep=columns)
    if rule.learns:
        fitted = replace(learn_expressions(rows, {flag: rule.broken}), declaration=plan)
    else:
        fitted = fitted_rules(plan, rows.schema, rows.schemas)
    if rows.elsewhere is not None:
        kept = rows.elsewhere.find(fitted, flag, n).select(columns)
        return kept.add_column(0, number, pa.nulls(kept.num_rows, pa.int64()))
    found: list[Table] = []
    first, left = 0, n
    for features in features_of(rows, fitted):
        places = np.flatnonzero(features[flag].to_numpy())[:left]
        kept = features.select(columns).take(pa.array(places))
        found.append(kept.add_column(0, number, pa.array(places + first)))
        first += features.num_rows
        if left is not None:
            left -= len(places)
            if left <= 0:
                break
    return pa.concat_tables(found)


_MOST_VALUES = 3
"""Limit on the aggregate values in a message."""
