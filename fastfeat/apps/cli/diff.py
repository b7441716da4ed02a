"""`fastfeat diff`: compare a fitted plan with an earlier one, with an exit code for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastfeat.apps.cli.gate_result import CaseResult, GateCase, GateResult
from fastfeat.apps.cli.options import History, LookupTablesOption, Thresholds, check_file_exists
from fastfeat.progress import show_progress

if TYPE_CHECKING:
    from fastfeat.trust.quality.changes.record import Diff


def diff(
    before: Annotated[
        Path,
        typer.Argument(metavar="A", help="The earlier fitted plan.", callback=check_file_exists),
    ],
    after: Annotated[
        Path, typer.Argument(metavar="B", help="The later fitted plan.", callback=check_file_exists)
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Sample rows to compare the features on. By default the golden rows of A.",
        ),
    ] = None,
    history: History = None,
    table: LookupTablesOption = None,
    finding: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VERDICT",
            help="Kind of change that counts as a finding: major, minor or refit; may be "
            "repeated. By default major.",
        ),
    ] = None,
    thresholds: Thresholds = None,
) -> GateResult:
    """Compare two fitted plans. The exit code is 1 if a change may break a model."""
    from fastfeat.api.diff import diff as changes_of
    from fastfeat.apps.cli.plans import parse_tables
    from fastfeat.trust.quality.thresholds import thresholds as limits_of

    limits = limits_of({"diff": {"findings": finding}} if finding else thresholds, "diff")
    with show_progress(f"Comparing {before} and {after}", at_once=True):
        found = changes_of(before, after, data, history=history, tables=parse_tables(table))
    facts = {"verdict": found.verdict, "n_rows": found.n_rows, "n_compared": found.n_compared}
    return GateResult("changes", _cases_of(found, limits["findings"]), str(found), facts)


def _cases_of(found: Diff, findings: tuple[str, ...]) -> tuple[GateCase, ...]:
    """Return one case per change; without changes, a single case that says so."""

    def result(verdict: str) -> CaseResult:
        return "finding" if verdict in findings else "ok"

    if found.same:
        return (GateCase("same", result("same"), "nothing has changed"),)
    return tuple(
        GateCase(
            f"{one.kind} {one.name}",
            result(one.verdict),
            one.told,
            {"verdict": one.verdict, "kind": one.kind, "of": one.name}
            | {"before": one.before, "after": one.after},
        )
        for one in found.changes
    )
