"""`fastfeat diff`: compare a fitted plan with an earlier one, with an exit code for CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastfeat.apps.cli.command_options import DiffOptions
from fastfeat.apps.cli.gate_result import CaseResult, GateCase, GateResult
from fastfeat.apps.cli.options import check_file_exists, with_options_of
from fastfeat.progress import show_progress

if TYPE_CHECKING:
    from fastfeat.trust.quality.changes.record import Diff


@with_options_of(DiffOptions)
def diff(
    before: Annotated[
        Path,
        typer.Argument(metavar="A", help="The earlier fitted plan.", callback=check_file_exists),
    ],
    after: Annotated[
        Path, typer.Argument(metavar="B", help="The later fitted plan.", callback=check_file_exists)
    ],
    *,
    options: DiffOptions,
) -> GateResult:
    """Compare two fitted plans. The exit code is 1 if a change may break a model."""
    from fastfeat.api.diff import diff as changes_of
    from fastfeat.apps.cli.plans import parse_tables
    from fastfeat.trust.quality.thresholds import thresholds as limits_of

    chosen = {"diff": {"findings": options.finding}} if options.finding else options.thresholds
    limits = limits_of(chosen, "diff")
    with show_progress(f"Comparing {before} and {after}", at_once=True):
        tables = parse_tables(options.tables)
        found = changes_of(before, after, options.data, history=options.history, tables=tables)
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
