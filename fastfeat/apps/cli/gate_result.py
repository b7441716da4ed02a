"""The report of a gate (a command that judges): its cases, a text, and a JSON document.

A case is one judged rule, feature or change. It is in order, or a finding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, cast

from fastfeat_kernels.records import dataclass

from fastfeat.apps.cli.reporting import FAILED, with_options

OK, FOUND, USAGE, NOT_RUN = 0, 1, FAILED, 3
"""Exit codes: no findings; findings; wrong usage; failure of the artifact, the data or the machine.

With NOT_RUN nothing was judged.
"""

CaseResult = Literal["ok", "finding", "warning", "skipped"]


@dataclass(frozen=True, slots=True)
class GateCase:
    """One judged rule, feature, change or other item.

    Args:
        name: Name of the item.
        result: "finding" and "warning" are problems, but only "finding" changes the exit code;
            "skipped" was not judged.
        told: Result as text of one or more lines; "" if there is nothing to say.
        details: Further entries of the case in the JSON document.
    """

    name: str
    result: CaseResult
    told: str = ""
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class GateResult:
    """The report of a gate, a command that judges.

    Args:
        of: Plural noun for the cases, such as "rules".
        cases: The cases, in order.
        text: The report for people.
        facts: Further entries of the whole JSON document.
    """

    of: str
    cases: tuple[GateCase, ...]
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def findings(self) -> list[str]:
        """The names of the cases that are findings."""
        return [case.name for case in self.cases if case.result == "finding"]


def document_of(
    name: str, judged: GateResult, code: int, failed: Exception | None
) -> dict[str, Any]:
    """Return the report of a gate as a JSON document.

    Args:
        name: Name of the command.
        judged: The report.
        code: Exit code.
        failed: The error that ended the command; None without one.
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
    """Return a value that JSON can represent: infinities, NaN, times and other objects become text.

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
