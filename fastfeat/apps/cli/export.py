"""`fastfeat export` and `fastfeat certify`: a plan as source code, compared with the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastfeat.apps.cli.command_options import CertifyOptions, ExportOptions
from fastfeat.apps.cli.gate_result import GateCase, GateResult
from fastfeat.apps.cli.options import FittedFile, with_options_of
from fastfeat.progress import show_progress


@with_options_of(ExportOptions)
def export(
    fitted_file: FittedFile,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    *,
    options: ExportOptions,
) -> None:
    """Write a fitted plan as source code that computes the same bits without Python."""
    from fastfeat.api.plan import load

    with show_progress("Reading the fitted plan", at_once=True) as step:
        fitted = load(fitted_file)
        step(f"Writing {out}")
        made = fitted.export(options.form, out, name=options.name, partial=options.partial)
    typer.echo(str(made))


@with_options_of(CertifyOptions)
def certify(
    exported: Annotated[Path, typer.Argument(metavar="EXPORT", help="The folder of an export.")],
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="Rows to compare, beside generated ones."),
    ] = None,
    *,
    options: CertifyOptions,
) -> GateResult:
    """Run an export beside its plan, on DATA and on extremes, and compare bits.

    The exit code is 1 if bits differ.
    """
    from fastfeat.api.certify import certify as run

    with show_progress("Compiling the export", at_once=True):
        made = run(
            exported, data, fitted=options.fitted, engine=options.engine, n_rows=options.rows
        )
    cases = [GateCase(text, "finding", text) for text in made.failures]
    cases += [
        GateCase(
            check.feature,
            "ok" if check.ok else "finding",
            "" if check.ok else f"{check.n_different} of {check.n_rows} rows differ",
            {"n_rows": check.n_rows, "n_different": check.n_different, "row": check.row},
        )
        for check in made.checks
    ]
    facts = {"form": made.form, "engine": made.engine, "digest": made.digest}
    return GateResult("checks", tuple(cases), str(made), facts)
