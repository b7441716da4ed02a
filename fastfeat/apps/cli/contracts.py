"""Commands for contracts: check data against rules, split data by rules, infer rules from data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastfeat.apps.cli.command_options import CheckOptions, InferContractOptions, QuarantineOptions
from fastfeat.apps.cli.gate_result import CaseResult, GateCase, GateResult
from fastfeat.apps.cli.options import JudgedDataFile, RulesFile, with_options_of
from fastfeat.errors import InvalidPlan, counted
from fastfeat.progress import show_progress

if TYPE_CHECKING:
    from fastfeat.api.plan import FittedPlan
    from fastfeat.trust.quality.contract import Contract
    from fastfeat.trust.quality.report import CheckReport, RuleResult
    from fastfeat.trust.quality.thresholds import GateThresholds


@with_options_of(CheckOptions)
def check(rules: RulesFile, data: JudgedDataFile, *, options: CheckOptions) -> GateResult:
    """Check data against a contract.

    The exit code is 1 if a rule is broken, and 3 if nothing could be judged.
    """
    from fastfeat.apps.cli.plans import parse_tables
    from fastfeat.trust.quality.thresholds import thresholds as limits_of

    with show_progress("Reading the rules", at_once=True) as step:
        limits = limits_of(options.thresholds, "check")
        judge = read_rules(rules)
        step(f"Checking {data}")
        report = judge.check(
            data,
            history=options.history,
            tables=parse_tables(options.tables),
            clock=parse_clock(options.clock),
            memory=options.memory,
        )
    limits.check_names(report.counts)
    return check_result(report, limits, verbose=options.verbose)


@with_options_of(QuarantineOptions)
def quarantine(rules: RulesFile, data: JudgedDataFile, *, options: QuarantineOptions) -> None:
    """Split rows into those that meet a contract and those that break one of its rules."""
    from fastfeat.apps.cli.plans import parse_tables
    from fastfeat.trust.quality.contract import Contract

    with show_progress("Reading the rules", at_once=True) as step:
        judge = read_rules(rules)
        contract = judge if isinstance(judge, Contract) else judge.contract
        if contract is None:
            raise InvalidPlan(
                f"{rules}: this fitted plan has no contract. Give a contract as a JSON file"
            )
        step(f"Judging {data}")
        written = contract.quarantine_to(
            data,
            options.accepted,
            options.quarantined,
            tables=parse_tables(options.tables),
            memory=options.memory,
        )
    for path, rows in zip((options.accepted, options.quarantined), written, strict=True):
        typer.echo(f"{path}: {counted(rows.n_rows, 'row')}")


@with_options_of(InferContractOptions)
def infer_contract(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="Parquet, Arrow IPC, Feather, CSV or TSV: a file, a folder, a pattern or an "
            "address.",
        ),
    ],
    *,
    options: InferContractOptions,
) -> None:
    """Infer a contract from data: rules that the data meets, with some room for later data."""
    from fastfeat.io.sinks.atomic import write_bytes
    from fastfeat.trust.quality.infer import infer_contract as infer

    with show_progress(f"Reading {data}", at_once=True):
        contract = infer(
            data, key=options.key or None, exclude=options.exclude or (), memory=options.memory
        )
        write_bytes(options.out, contract.to_json().encode(), durable=False)
    n_rules, n_columns = len(contract.rules), len(contract.types)
    of_types = f"the types of {counted(n_columns, 'column')}"
    typer.echo(f"{options.out}: {counted(n_rules, 'rule')}, and {of_types}")


def read_rules(path: Path) -> FittedPlan | Contract:
    """Return the contract in a JSON file, or the fitted plan in any other file.

    Raises:
        ArtifactError: The file is neither.
        InvalidPlan: There is no such file.
    """
    if path.suffix != ".json":
        from fastfeat.api.plan import load

        return load(path)
    return read_contract(path)


def read_contract(path: Path) -> Contract:
    """Return the contract in a JSON file.

    Raises:
        ArtifactError: The file is not a contract.
        InvalidPlan: There is no such file.
    """
    from fastfeat.trust.quality.contract import Contract

    try:
        return Contract.from_json(path.read_bytes())
    except FileNotFoundError:
        raise InvalidPlan(f"no such file: {path}") from None


def parse_clock(text: str | None) -> datetime | None:
    """Return the time given by the option `--clock`: an ISO 8601 time or "now"."""
    if text is None:
        return None
    if text == "now":
        return datetime.now(UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"got {text!r}: write a time such as 2026-01-31T12:00:00+00:00, or now",
            param_hint="'--clock'",
        ) from None


def check_result(
    report: CheckReport, limits: GateThresholds, *, verbose: bool = True
) -> GateResult:
    """Return a `CheckReport` as the report of a command, with one case per rule.

    With `verbose` the text lists rules that hold, too.
    """
    cases = [
        GateCase(
            of.name,
            _result(of, limits),
            report.told(of) if of.is_finding else of.told(),
            {
                "says": of.text,
                "on_violation": of.on_violation,
                "outcome": of.outcome,
                "n_broken": of.n_broken,
            },
        )
        for of in report.results
    ]
    text = "\n".join([report.as_text(all_rules=verbose), *_threshold_notes(cases, report, limits)])
    return GateResult("rules", tuple(cases), text, {"n_rows": report.n_rows})


def _result(of: RuleResult, limits: GateThresholds) -> CaseResult:
    if of.outcome == "skipped":
        return "skipped"
    if not of.is_finding:
        return "ok"
    if of.on_violation == "warn" and not limits["warnings"]:
        return "warning"
    is_counted = of.outcome == "broken" and not of.of_table
    at_most = limits.of(of.name, "at_most")
    return "warning" if is_counted and of.n_broken <= at_most * of.n_rows else "finding"


def _threshold_notes(
    cases: Sequence[GateCase], report: CheckReport, limits: GateThresholds
) -> list[str]:
    """Return a line of text for each rule that is a finding, or is not, because of a threshold."""
    found: list[str] = []
    for case, of in zip(cases, report.results, strict=True):
        if case.result == "warning" and of.on_violation != "warn":
            share = limits.of(of.name, "at_most")
            found.append(
                f"thresholds: {of.name!r} is not a finding: a share of {share:g} of the rows may "
                "break it"
            )
        if case.result == "finding" and of.on_violation == "warn":
            found.append(f"thresholds: {of.name!r} only warns, but counts as a finding")
    return found
