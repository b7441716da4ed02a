"""Reports of gates: cases by name, each in order or a finding, and the whole as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from fastfeat.apps.cli.reporting import FAILED, with_options

OK, FOUND, USAGE, NOT_RUN = 0, 1, FAILED, 3
"""Exit codes: all is in order; there are findings; the command cannot be as it was written; the
artifact, the data or the machine is at fault, and nothing was judged."""

Result = Literal["ok", "finding", "warning", "skipped"]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was judged.

    Args:
        name: of the rule, the feature or whatever it is.
        result: "finding" and "warning" where it is not in order, of which only the first changes
            the exit code; "skipped" where it need not be judged.
        told: what was found, in a line or more; "" where there is nothing to say.
        details: what programs are told besides.
    """

    name: str
    result: Result
    told: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Judged:
    """The report of a gate.

    Args:
        of: what the cases are of, in the plural, such as "rules".
        cases: in their order.
        text: as people read it.
        facts: what programs are told besides, as JSON has it.
    """

    of: str
    cases: tuple[Case, ...]
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def findings(self) -> list[str]:
        """The names of the cases that are findings."""
        return [case.name for case in self.cases if case.result == "finding"]


def document_of(name: str, judged: Judged, code: int, failed: Exception | None) -> dict[str, Any]:
    """Return the report of a gate as JSON has it.

    Args:
        name: of the command.
        judged: the report.
        code: how it ends.
        failed: the error by which it ended; None without.
    """
    head = {"command": name, "ok": code == OK, "exit_code": code, "findings": judged.findings}
    if failed is not None:
        error = {"kind": type(failed).__name__, "message": with_options(str(failed))}
        return {**head, "error": error}
    cases = [
        {"name": case.name, "result": case.result, "told": case.told, **case.details}
        for case in judged.cases
    ]
    return {**head, **_plain(judged.facts), judged.of: _plain(cases)}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers that are not finite, times and other things as text.

    Example:
        >>> _plain({"ks": (0.1, float("inf"))})
        {'ks': [0.1, 'inf']}
    """
    match value:
        case Mapping():
            given = cast("Mapping[Any, Any]", value)
            return {str(key): _plain(of) for key, of in given.items()}
        case list() | tuple():
            return [_plain(of) for of in cast("Sequence[Any]", value)]
        case float() if not math.isfinite(value):
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)
