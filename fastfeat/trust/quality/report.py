"""`CheckReport`: which rules of a contract data holds, how many rows break them, and which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fastfeat.calls.completion import offering
from fastfeat.errors import InvalidPlan, counted, did_you_mean
from fastfeat.execute.guard import N_SHOWN, broken_text, values_text
from fastfeat.io.arrow import Table
from fastfeat.markup.html import printable

if TYPE_CHECKING:
    from fastfeat.trust.quality.html import RuleRow

Outcome = Literal["holds", "broken", "undecided", "skipped"]


@dataclass(frozen=True, slots=True)
class RuleResult:
    """A rule, judged.

    Args:
        name: of the rule.
        text: its expression.
        on_violation: what becomes of rows that break it.
        outcome: "holds", "broken", "undecided" where it cannot be judged, "skipped" where it need
            not be.
        n_broken: how many rows break it; 1 of a rule that is one statement of all rows.
        n_rows: how many rows there are.
        reason: why it is undecided or skipped, or how it is broken; "" where the number says it.
        of_table: whether it is one statement of all rows.
        sentence: its demand in words; "" if only its expression says it.
    """

    name: str
    text: str
    on_violation: str
    outcome: Outcome
    n_broken: int
    n_rows: int
    reason: str = ""
    of_table: bool = False
    sentence: str = ""

    @property
    def says(self) -> str:
        """The demand of the rule: a sentence, or its expression."""
        return self.sentence or self.text

    @property
    def is_finding(self) -> bool:
        """Whether it is broken, or cannot be judged."""
        return self.outcome in ("broken", "undecided")

    @property
    def level(self) -> str:
        """The level: "bad", "warn" where it only warns, "ok", "" where it is not judged."""
        if self.is_finding:
            return "warn" if self.on_violation == "warn" else "bad"
        return "ok" if self.outcome == "holds" else ""

    @property
    def in_words(self) -> str:
        """The outcome in a word or two."""
        if self.outcome == "broken":
            return "broken, warns" if self.level == "warn" else "broken"
        return _IN_WORDS[self.outcome]

    def told(self) -> str:
        """Return the result as text, without its name."""
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
        """Return one line."""
        word = _WORDS.get(self.outcome) or ("warn" if self.on_violation == "warn" else "FAIL")
        return printable(f"{word} {self.name}: {self.told()}")


_IN_WORDS = {"holds": "holds", "undecided": "cannot be decided", "skipped": "not judged"}
_WORDS = {"holds": "ok  ", "skipped": "skip"}
RowsOfRule = Callable[[str, int | None], Table]
"""Gives the rows that break a rule, by its name, and at most so many."""


@offering("ok", "counts", "broken", "results", "n_rows")
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class CheckReport:
    """Each rule of a contract, judged on rows; prints as one line a finding, then what holds.

    Args:
        results: in the order of the contract.
        n_rows: how many rows there are.
        find: gives the rows that break a rule.
    """

    results: tuple[RuleResult, ...]
    n_rows: int
    find: RowsOfRule = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether no rule is broken or undecided, but for those that only warn."""
        return not any(r.is_finding and r.on_violation != "warn" for r in self.results)

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows that break each rule; of one statement of all rows, 0 or 1.

        Of a rule that cannot be decided all rows count.
        """
        return {result.name: result.n_broken for result in self.results}

    @property
    def broken(self) -> list[str]:
        """The rules that are broken or undecided, those that only warn among them."""
        return [result.name for result in self.results if result.is_finding]

    @property
    def summary(self) -> str:
        """A line: how many rows, rules and findings there are."""
        n_found = len(self.broken)
        findings = counted(n_found, "finding") if n_found else "no findings"
        return f"{counted(self.n_rows, 'row')}, {counted(len(self.results), 'rule')}: {findings}"

    def __getitem__(self, rule: str) -> RuleResult:
        """Return the result of a rule.

        Raises:
            InvalidPlan: there is no such rule.
        """
        for result in self.results:
            if result.name == rule:
                return result
        known = [result.name for result in self.results]
        raise InvalidPlan(f"the contract has no rule {rule!r}.{did_you_mean(str(rule), known)}")

    def rows(self, rule: str, n: int | None = None) -> Table:
        """Return the rows that break a rule, in their order; they are looked for anew.

        Args:
            rule: its name.
            n: the first so many; None for all.

        Returns:
            A table with the column "row", the number of each row in the data, and the columns that
            the rule reads; "row_", where one of these is called "row".

        Raises:
            InvalidPlan: there is no such rule, it cannot be decided, or it is one statement of all
                rows, which no row breaks.
        """
        result = self[rule]
        if result.of_table or result.outcome in ("undecided", "skipped"):
            raise InvalidPlan(f"no row breaks {rule!r}: {_no_rows(result)}")
        return self.find(rule, n)

    def told(self, result: RuleResult) -> str:
        """Return a finding as text: rule, count, the first rows that break it and their values."""
        text = f"{result.name!r}: {result.told()}"
        if result.outcome != "broken" or result.of_table:
            return text
        found = self.rows(result.name, N_SHOWN)
        shown = (_row_text(row) for row in found.to_pylist())
        more = ", ..." if result.n_broken > found.num_rows else ""
        return f"{text}: {', '.join(shown)}{more}"

    @property
    def worst_first(self) -> list[RuleResult]:
        """The results: those that are broken first, by the number of rows that break them."""
        order = ("bad", "warn", "ok", "")
        return sorted(self.results, key=lambda of: (order.index(of.level), -of.n_broken))

    def shown(self, result: RuleResult) -> RuleRow:
        """Return a result as tables show it."""
        from fastfeat.trust.quality.html import RuleRow  # seldom needed

        told = self.told(result).removeprefix(f"{result.name!r}: ")
        return RuleRow(result.name, result.level, result.in_words, result.n_broken, told)

    def __repr__(self) -> str:
        """Return one line a rule, those that are broken first."""
        return self.as_text(all_rules=True)

    def as_text(self, *, all_rules: bool = False) -> str:
        """Return the report as lines: findings with their first rows, and what was not judged.

        Args:
            all_rules: whether rules that hold have a line each, in place of their number.
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
        return f"{result.says} is said of all rows together"
    return result.told()


def _row_text(row: dict[str, Any]) -> str:
    (_, number), *values = row.items()
    named = "a row" if number is None else f"row {number}"  # those of an engine have no numbers
    return f"{named} ({values_text(dict(values))})"
