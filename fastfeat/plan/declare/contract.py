"""Contracts as declared: rules by name, each a bool expression that must hold for rows.

A rule is an ordinary expression of a plan; it is computed and stored like a feature. The clock of a
contract is a column that stands for the time of the check. The share of a rule is the fraction of
rows that may break it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, Final, TypeGuard

from fastfeat_kernels.records import dataclass

from fastfeat.calls.arguments import with_method_errors
from fastfeat.errors import InvalidPlan, TypeMismatch, did_you_mean
from fastfeat.expr import Expr
from fastfeat.io.sources.schema import as_dtype
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Column, Node, TableColumn, postorder
from fastfeat.ir.scope import is_over, row_order
from fastfeat.ir.show import show
from fastfeat.plan.declare.arguments import check_text, make_expression_error
from fastfeat.plan.declare.declaration import declare
from fastfeat.plan.declare.source_columns import columns_of, past_columns, table_columns_of

ON_VIOLATION: Final = ("reject", "quarantine", "warn")
"""The possible treatments of rows that break a rule: an error, a separate table, or a warning."""


@with_method_errors(lambda rule: "rule.")
@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule of a contract with its options; a bare expression has the default options.

    Args:
        expression: A bool expression. A row satisfies the rule if it is true, and breaks the rule
            if it is false or missing: `(x > 0) | x.is_null()` lets missing values pass.
        on_violation: The treatment of rows that break the rule: "reject" raises an error,
            "quarantine" moves them to a separate table, "warn" issues a warning.
        at_most: The share of rows that may break the rule, from 0 to below 1. With a share, `check`
            and `fit` judge the rule over all rows together. A rule that is one statement about all
            rows, made of aggregates, takes no share.

    Raises:
        TypeMismatch: The rule is not an expression.
        InvalidPlan: An option has an unknown value, or the expression has several columns or reads
            no column.

    Example:
        >>> contract = ff.Contract({"short": ff.Rule(col("x") < 9, at_most=0.5)})
        >>> contract.check({"x": [1, 2, 10]}).counts
        {'short': 1}
    """

    expression: Expr
    on_violation: str = "reject"
    at_most: float = 0.0

    def __post_init__(self) -> None:
        """Check the user's arguments."""
        given: Any = self.expression
        if not isinstance(given, Expr):
            raise make_expression_error("a rule must be a bool expression, got", given)
        read = postorder([given.node])
        if not any(isinstance(node, Column | TableColumn) for node in read):
            raise InvalidPlan(
                f"the rule {given!r} reads no column, so it cannot check data. Write a condition "
                "on a column, such as col('x') > 0"
            )
        if self.on_violation not in ON_VIOLATION:
            hint = did_you_mean(str(self.on_violation), ON_VIOLATION)
            raise InvalidPlan(
                f"on_violation={self.on_violation!r}: must be one of "
                f"{', '.join(map(repr, ON_VIOLATION))}.{hint}"
            )
        share: Any = self.at_most
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise InvalidPlan(f"at_most={share!r}: must be a share of the rows, from 0 to below 1")
        object.__setattr__(self, "at_most", float(share))

    @property
    def broken(self) -> Expr:
        """An expression that is true for rows that break the rule."""
        return ~self.expression.fill_null(False)

    @property
    def is_of_table(self) -> bool:
        """Whether the rule is one statement about all rows, made of aggregates."""
        return _is_of_table(self.expression.node)

    @property
    def learns(self) -> bool:
        """Whether the rule uses statistics that are learnt from the checked rows."""
        return any(isinstance(node, Aggregate) for node in postorder([self.expression.node]))

    @property
    def is_of_row(self) -> bool:
        """Whether each row is judged alone, whatever the other rows are."""
        return not (self.learns or self.at_most or past_columns([self.expression.node]))

    def __repr__(self) -> str:
        """Return the rule as Python source."""
        options = [rule_text(self.expression.node)]
        if self.on_violation != "reject":
            options.append(f"on_violation={self.on_violation!r}")
        if self.at_most:
            options.append(f"at_most={self.at_most!r}")
        return f"ff.Rule({', '.join(options)})"


Rules = Mapping[str, Expr | Rule]
"""Rules by name, as users pass them."""
ContractTypes = Mapping[str, Any]
"""The type of each column, as users pass it: "int64"."""


@dataclass(frozen=True, eq=False)
class ContractDeclaration:
    """The rules of a contract, frozen; `ff.Contract` is the public class around it.

    Args:
        rules: Rules by name.
        types: Required type of each listed column.
        clock: Name of the column that represents, in rules, the time of the check.
    """

    rules: Mapping[str, Rule]
    types: Mapping[str, DType]
    clock: str | None = None

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """The expression of each rule."""
        return {name: rule.expression.node for name, rule in self.rules.items()}

    @cached_property
    def reads(self) -> dict[str, list[str]]:
        """The columns of the data that each rule reads, without the clock."""
        return {
            name: [column for column in columns_of([node]) if column != self.clock]
            for name, node in self.nodes.items()
        }

    @cached_property
    def columns(self) -> list[str]:
        """The columns of the data that the contract mentions."""
        read = [column for columns in self.reads.values() for column in columns]
        return list(dict.fromkeys([*read, *self.types]))

    @cached_property
    def table_columns(self) -> tuple[TableColumn, ...]:
        """The columns of tables that rules read."""
        return table_columns_of(self.nodes.values())

    def reads_clock(self, name: str) -> bool:
        """Return whether a rule reads the clock."""
        return self.clock is not None and self.clock in columns_of([self.nodes[name]])


def declare_contract(
    rules: Rules, types: ContractTypes | None, clock: str | None
) -> ContractDeclaration:
    """Return the checked contract for a user's arguments, which `Contract` documents."""
    if not _is_mapping(rules):
        raise InvalidPlan(f"a contract must be a dict of rules by name, got {rules!r}")
    if types is not None and not _is_mapping(types):
        raise InvalidPlan(
            f"types={types!r}: must be a dict of column name to type, such as {{'x': 'int64'}}"
        )
    named = {_name(name): _rule(name, rule) for name, rule in rules.items()}
    typed = {_name(name, "column"): as_dtype(written) for name, written in (types or {}).items()}
    if not named and not typed:
        raise InvalidPlan("a contract needs at least one rule: Contract({'name': col('x') > 0})")
    if clock is not None and not (isinstance(clock, str) and clock):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
        raise TypeMismatch(
            f"clock={clock!r}: must be the name that rules use for the time of a check, such as "
            "'now'"
        )
    for column, dtype in typed.items():
        if (name := type_rule_name(column, dtype)) in named:
            raise InvalidPlan(
                f"the rule {name!r} has the same name as the type check of the column {column!r}. "
                "Rename the rule"
            )
    contract = ContractDeclaration(named, typed, clock)
    if clock is not None and not any(map(contract.reads_clock, named)):
        raise InvalidPlan(f"clock={clock!r}: no rule reads col({clock!r}). Leave out clock=")
    for name, rule in named.items():
        _check_of_data(name, rule, clock)
    check_text([*named, *typed], postorder(list(contract.nodes.values())))
    if named:  # rules have the same restrictions as features
        declare({name: rule.broken for name, rule in named.items()})
    return contract


@lru_cache(maxsize=1024)
def _is_of_table(node: Node, clock: str | None = None) -> bool:
    """Return whether an expression has one value for all rows; the clock column does not count."""
    own = (of for of in row_order([node]) if isinstance(of, Column | TableColumn) or is_over(of))
    return all(of == Column(clock or "") for of in own)


def _check_of_data(name: str, rule: Rule, clock: str | None) -> None:
    """Raise InvalidPlan if a rule reads only the clock, or cannot have a share (`at_most`)."""
    node = rule.expression.node
    read = (of for of in postorder([node]) if isinstance(of, Column | TableColumn))
    if all(of == Column(clock or "") for of in read):
        raise InvalidPlan(
            f"the rule {name!r} reads only the clock, so it cannot check data. Compare the clock "
            "with a column"
        )
    if rule.at_most and _is_of_table(node, clock):
        raise InvalidPlan(
            f"at_most={rule.at_most:g}: is a share of the rows, but the rule {name!r} is one "
            f"statement about all rows, {rule_text(node)}. Leave out at_most=, or weaken the rule"
        )


@lru_cache(maxsize=1024)
def rule_text(node: Node) -> str:
    """Return a rule's expression as text, without parentheses around the whole."""
    text = show(node)
    plain = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), text)
    if not (plain.startswith("(") and plain.endswith(")")):
        return text
    depths = accumulate({"(": 1, ")": -1}.get(sign, 0) for sign in plain[:-1])
    return text[1:-1] if all(depths) else text


_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


def type_rule_name(column: str, dtype: DType) -> str:
    """Return the name under which the type of a column is reported as a rule."""
    return f"{column}: {dtype}"


def _rule(name: object, given: object) -> Rule:
    if isinstance(given, Rule):
        return given
    if not isinstance(given, Expr):
        raise make_expression_error(f"rule {name!r} must be a bool expression, got", given)
    try:
        return Rule(given)
    except InvalidPlan as error:
        raise InvalidPlan(f"rule {name!r}: {error}") from None


def _name(name: object, of: str = "rule") -> str:
    if not isinstance(name, str) or not name:
        raise InvalidPlan(f"the name of a {of} must be non-empty text, got {name!r}")
    return name


def _is_mapping(given: Any) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(given, Mapping)
