"""Gates: commands that judge data or plans, and tell people, programs and CI servers the result.

A gate is a function that returns `GateResult`: a list of named cases (rules, features or changes),
each either in order or a finding. `gate_command` turns it into a command with the options `--json`
and `--junit`, and with an exit code for its result.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, cast

import typer

from fastfeat.apps.cli.command_options import GateOptions
from fastfeat.apps.cli.gate_result import (
    FOUND,
    NOT_RUN,
    OK,
    USAGE,
    GateCase,
    GateResult,
    document_of,
)
from fastfeat.apps.cli.junit import junit_of
from fastfeat.apps.cli.options import parameters_of
from fastfeat.apps.cli.reporting import EXIT_CODE, is_for_typer, with_options
from fastfeat.calls.options import options_of
from fastfeat.errors import (
    ContractBroken,
    FastfeatError,
    InvalidConfig,
    InvalidPlan,
    Leakage,
    NotFitted,
    TypeMismatch,
    UnknownColumn,
)

CODES: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((ContractBroken,), FOUND),
    (
        (
            typer.BadParameter,
            InvalidConfig,
            InvalidPlan,
            Leakage,
            NotFitted,
            TypeMismatch,
            UnknownColumn,
        ),
        USAGE,
    ),
    ((Exception,), NOT_RUN),
)
"""Exit code by kind of error; the first match counts."""


def gate_command(name: str, gate: Callable[..., GateResult]) -> Callable[..., None]:
    """Return the command-line function of a gate: it prints the report and sets the exit code.

    `gate` takes the parameters of the command except `--json` and `--junit`.
    """

    @wraps(gate)
    def command(ctx: typer.Context, **given: Any) -> None:
        own = GateOptions(**{name: given.pop(name) for name in options_of(GateOptions)})
        as_json, junit = own.as_json, own.junit
        _check_junit_path(junit, given)
        started = time.perf_counter()
        judged, failed = _run_gate(gate, given)
        if junit is not None:
            try:
                _write_junit(junit, name, judged, failed, time.perf_counter() - started)
            except OSError as error:
                failed = failed or error
        code = (FOUND if judged.findings else OK) if failed is None else code_of(failed)
        if as_json:
            document = document_of(name, judged, code, failed)
            typer.echo(json.dumps(document, ensure_ascii=False))
        elif judged.text:
            typer.echo(judged.text)
        if failed is not None:
            ctx.meta[EXIT_CODE] = code
            raise failed
        if code:
            raise typer.Exit(code)

    cast(Any, command).__signature__ = _signature(gate)  # typer reads this (PEP 362)
    return command


def code_of(error: Exception) -> int:
    """Return the exit code for an error that ended a gate."""
    return next(code for kinds, code in CODES if isinstance(error, kinds))


def _signature(gate: Callable[..., GateResult]) -> inspect.Signature:
    """Return a gate's signature plus `--json` and `--junit`; typer makes options from it."""
    of_gate, kind = inspect.signature(gate, eval_str=True), inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *(each.replace(kind=kind) for each in of_gate.parameters.values()),
        inspect.Parameter("ctx", kind, annotation=typer.Context),
        *parameters_of(GateOptions),
    ]
    return of_gate.replace(parameters=parameters, return_annotation=None)


def _run_gate(
    gate: Callable[..., GateResult], given: Mapping[str, Any]
) -> tuple[GateResult, Exception | None]:
    """Call a gate; return its report, and the error that ended it or None.

    If the error says that rows break the plan's contract, the report has it as a finding, too.
    """
    try:
        return gate(**given), None
    except ContractBroken as error:
        return GateResult("rules", (GateCase("contract", "finding", str(error)),), ""), error
    except Exception as error:
        if is_for_typer(error):
            raise
        return GateResult("", (), ""), error


def _check_junit_path(junit: Path | None, given: Mapping[str, Any]) -> None:
    """Raise BadParameter if the JUnit report would overwrite a file that is read."""
    if junit is None or not junit.exists():
        return
    for value in given.values():
        is_file = isinstance(value, str | Path) and Path(value).is_file()
        if is_file and junit.samefile(value):
            raise typer.BadParameter(
                f"{junit} is also an input: give another file", param_hint="'--junit'"
            )


def _write_junit(
    path: Path, name: str, judged: GateResult, failed: Exception | None, seconds: float
) -> None:
    """Write the report of a gate as JUnit XML.

    If no case was judged, the error that ended the gate is written as the only case.
    """
    from fastfeat.io.sinks.atomic import write_bytes

    error = None
    if failed is not None and not judged.cases:
        is_told = isinstance(failed, FastfeatError)
        text = with_options(str(failed)) if is_told else f"{type(failed).__name__}: {failed}"
        error = (type(failed).__name__, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, junit_of(name, judged, error, seconds), durable=False)
