"""`CheckReport`: the result of each rule of a contract, and the rows that break it.

A finding is a rule that is broken, or undecided because it could not be judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal

from fastfeat_kernels.records import dataclass

from fastfeat.calls.completion import with_completion
from fastfeat.errors import InvalidPlan, counted, did_you_mean
from fastfeat.execute.guard import N_SHOWN, broken_text, values_text
from fastfeat.io.arrow import Table
from fastfeat.markup.html import printable

if TYPE_CHECKING:
    from fastfeat.trust.quality.html import RuleRow

RuleOutcome = Literal["holds", "broken", "undecided", "skipped"]


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of one rule.

    Args:
        name: Name of the rule.
        text: Its expression.
        on_violation: Effect on rows that break it, from its `Rule`.
        outcome: "holds", "broken", "undecided" if it cannot be judged, "skipped" if it need not be.
        n_broken: Number of rows that break it; 0 or 1 for a rule on the data as a whole.
        n_rows: Number of rows.
        reason: Why it is undecided or skipped, or how it is broken; "" if the count says enough.
        of_table: Whether it is one condition on the data as a whole.
        sentence: Its condition in words; "" if only the expression says it.
    """

    name: str
    text: str
    on_violation: str
    outcome: RuleOutcome
    n_broken: int
    n_rows: int
    reason: str = ""
    of_table: bool = False
    sentence: str = ""

    @property
    def says(self) -> str:
        """The condition of the rule: a sentence if there is one, else its expression."""
        return self.sentence or self.text

    @property
    def is_finding(self) -> bool:
        """Whether the rule is broken or undecided."""
        return self.outcome in ("broken", "undecided")

    @property
    def level(self) -> str:
        """The level: "bad", "warn" for a broken rule that only warns, "ok", or "" if not judged."""
        if self.is_finding:
            return "warn" if self.on_violation == "warn" else "bad"
        return "ok" if self.outcome == "holds" else ""

    @property
    def in_words(self) -> str:
        """The outcome in one or two words."""
        if self.outcome == "broken":
            return "broken (warning)" if self.level == "warn" else "broken"
        return _IN_WORDS[self.outcome]

    def told(self) -> str:
        """Return the result as text, without the rule's name."""
        match self.outcome:
            case "holds":
                return self.says
            case "broken":
                broken = "this does not hold"
                if not self.of_table:
                    broken = f"{broken_text(self.n_broken, self.n_rows)} it"
                return f"{self.says}; {broken}" + (f": {self.reason}" if self.reason else "")
            case "undecided":
                return f"cannot be decided: {self.reason}"
            case "skipped":
                return f"not judged: {self.reason}"

    def __str__(self) -> str:
        """Return the outcome, name and result on one line."""
        word = _WORDS.get(self.outcome) or ("warn" if self.on_violation == "warn" else "FAIL")
        return printable(f"{word} {self.name}: {self.told()}")


_IN_WORDS = {"holds": "holds", "undecided": "cannot be decided", "skipped": "not judged"}
_WORDS = {"holds": "ok  ", "skipped": "skip"}
RowsOfRule = Callable[[str, int | None], Table]
"""Returns the rows that break a rule, by name of rule and maximum number of rows."""


@with_completion("ok", "counts", "broken", "results", "n_rows")
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class CheckReport:
    """The result of each rule of a contract on some rows.

    Prints a line per broken or undecided rule with the first rows that break it, then the other
    rules.

    Args:
        results: Result of each rule, in the order of the contract.
        n_rows: Number of rows checked.
        find: Function that returns the rows that break a rule.
    """

    results: tuple[RuleResult, ...]
    n_rows: int
    find: RowsOfRule = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether no rule is broken or undecided, except rules that only warn."""
        return not any(r.is_finding and r.on_violation != "warn" for r in self.results)

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows that break each rule; 0 or 1 for a rule on the data as a whole.

        An undecided rule counts all rows.
        """
        return {result.name: result.n_broken for result in self.results}

    @property
    def broken(self) -> list[str]:
        """The names of the rules that are broken or undecided, including rules that only warn."""
        return [result.name for result in self.results if result.is_finding]

    @property
    def summary(self) -> str:
        """One line: the numbers of rows, rules and findings."""
        n_found = len(self.broken)
        findings = counted(n_found, "finding") if n_found else "no findings"
        return f"{counted(self.n_rows, 'row')}, {counted(len(self.results), 'rule')}: {findings}"

    def __getitem__(self, rule: str) -> RuleResult:
        """Return the result of a rule.

        Args:
            rule: Name of the rule.

        Raises:
            InvalidPlan: There is no such rule.
        """
        for result in self.results:
            if result.name == rule:
                return result
        known = [result.name for result in self.results]
        raise InvalidPlan(f"the contract has no rule {rule!r}.{did_you_mean(str(rule), known)}")

    def rows(self, rule: str, n: int | None = None) -> Table:
        """Return the rows that break a rule, in their order; each call searches the data again.

        Args:
            rule: Name of the rule.
            n: Maximum number of rows, from the first; None for all.

        Returns:
            A table with the columns that the rule reads, after a column "row" with the row number
            in the data ("row_" if the rule reads a column "row").

        Raises:
            InvalidPlan: There is no such rule, it could not be decided, or it is one condition on
                the data as a whole, which no single row breaks.
        """
        result = self[rule]
        if result.of_table or result.outcome in ("undecided", "skipped"):
            raise InvalidPlan(f"no row breaks {rule!r}: {_no_rows(result)}")
        return self.find(rule, n)

    def told(self, result: RuleResult) -> str:
        """Return a result as text: rule, count, and the first rows that break it with their values.

        Args:
            result: One of `results`.
        """
        text = f"{result.name!r}: {result.told()}"
        if result.outcome != "broken" or result.of_table:
            return text
        found = self.rows(result.name, N_SHOWN)
        shown = (_row_text(row) for row in found.to_pylist())
        more = ", ..." if result.n_broken > found.num_rows else ""
        return f"{text}: {', '.join(shown)}{more}"

    @property
    def worst_first(self) -> list[RuleResult]:
        """The results: broken and undecided rules first, by the number of rows that break them."""
        order = ("bad", "warn", "ok", "")
        return sorted(self.results, key=lambda of: (order.index(of.level), -of.n_broken))

    def shown(self, result: RuleResult) -> RuleRow:
        """Return a result in the display form of tables."""
        from fastfeat.trust.quality.html import RuleRow  # seldom needed

        told = self.told(result).removeprefix(f"{result.name!r}: ")
        return RuleRow(result.name, result.level, result.in_words, result.n_broken, told)

    def __repr__(self) -> str:
        """Return one line per rule, findings first."""
        return self.as_text(all_rules=True)

    def as_text(self, *, all_rules: bool = False) -> str:
        """Return the report as lines: findings with their first rows, then rules not judged.

        Args:
            all_rules: Whether each rule that holds gets a line; otherwise one line gives their
                number.
        """
        found = [
            f"{str(of)[:4]} {printable(self.told(of))}" for of in self.results if of.is_finding
        ]
        skipped = [str(of) for of in self.results if of.outcome == "skipped"]
        held = [str(of) for of in self.results if of.outcome == "holds"]
        if held and not all_rules:
            verb = "holds" if len(held) == 1 else "hold"
            held = [f"{_WORDS['holds']} {counted(len(held), 'rule')} {verb}"]
        return "\n".join([self.summary, *found, *skipped, *held])

    def _repr_html_(self) -> str:
        """Return a table of the rules, for notebooks."""
        from fastfeat.trust.quality.html import rules_html  # seldom needed

        return rules_html(self.summary, [self.shown(rule) for rule in self.worst_first])


def _no_rows(result: RuleResult) -> str:
    if result.of_table:
        return f"the rule is about all rows together: {result.says}"
    return result.told()


def _row_text(row: dict[str, Any]) -> str:
    (_, number), *values = row.items()
    named = "a row" if number is None else f"row {number}"  # rows of an engine have no numbers
    return f"{named} ({values_text(dict(values))})"
