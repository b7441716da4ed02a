"""The commands for live plans: a server, a stream, and the state file (show, export, replay)."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast

import typer

from fastfeat.apps.cli.command_options import ExportStateOptions, ReplayOptions
from fastfeat.apps.cli.gate_result import GateCase, GateResult
from fastfeat.apps.cli.options import check_file_exists, with_options_of
from fastfeat.apps.serve.options import ServeOptions
from fastfeat.calls.options import as_keywords
from fastfeat.errors import counted
from fastfeat.progress import show_progress

state = typer.Typer(
    help="Show, export or compact a state file, or delete its audit key.", no_args_is_help=True
)

StateFile = Annotated[
    Path, typer.Argument(metavar="STATE", help="State file, the `path=` of `online` in Python.")
]
ServedFile = Annotated[
    Path,
    typer.Argument(
        metavar="FITTED", help="A fitted plan, written by `fastfeat fit`; it contains no code."
    ),
]


@with_options_of(ServeOptions)
def serve(fitted_file: ServedFile, *, options: ServeOptions) -> None:
    """Serve features over HTTP as JSON or Arrow.

    SIGTERM or Ctrl-C stops the server, with the state on disk.
    """
    from fastfeat.apps.cli.plans import parse_tables
    from fastfeat.apps.serve import run

    tables = parse_tables(cast("list[str] | None", options.tables)) or None
    run(fitted_file, **(as_keywords(options) | {"tables": tables}))


def stream(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG", help="TOML file with the plan, the sources and the sinks."
        ),
    ],
) -> None:
    """Compute features for the events of a Kafka topic.

    SIGTERM or Ctrl-C stops the stream, with the state on disk.
    """
    from fastfeat.apps.stream import run

    with _log_to_stderr("fastfeat.stream"):
        done = run(config)
    typer.echo(
        f"{counted(done.n_events, 'event')} answered, {counted(done.n_dead, 'dead letter')}, "
        f"{counted(done.n_checkpoints, 'commit')}"
    )


@contextmanager
def _log_to_stderr(name: str) -> Generator[None]:
    """Within the block, print the messages of the logger `name` (INFO and above) to stderr."""
    logger, handler = logging.getLogger(name), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("fastfeat stream: %(message)s"))
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _check_link(text: str | None) -> None:
    """Raise BadParameter unless a text is an audit link: the hash of a change, in hexadecimal."""
    if text is not None and not re.fullmatch("[0-9A-Fa-f]{64}", text):
        raise typer.BadParameter(
            f"got {text!r}: an audit link has 64 hexadecimal digits", param_hint="'--head'"
        )


def _check_parquet_path(path: Path | None) -> None:
    """Raise BadParameter if a path has another suffix than a Parquet file."""
    if path is not None and path.suffix.lower() not in (".parquet", ".pq"):
        raise typer.BadParameter(
            f"got {path}: served features are written as Parquet. Give a name such as "
            "served.parquet",
            param_hint="'--to'",
        )


@with_options_of(ReplayOptions)
def replay(
    state_file: Annotated[
        Path,
        typer.Argument(
            metavar="STATE",
            help="State file, the `path=` of `online` in Python.",
            callback=check_file_exists,
        ),
    ],
    artifact: Annotated[
        Path | None,
        typer.Argument(
            metavar="FITTED",
            help="The plan that is claimed to have answered. By default the plan in STATE.",
            callback=check_file_exists,
        ),
    ] = None,
    *,
    options: ReplayOptions,
) -> GateResult:
    """Recompute all answers of a state, and compare their bits with the served ones.

    The exit code is 1 if a bit differs; the report shows the first difference.
    """
    from fastfeat.live.audit.replay import replay_state
    from fastfeat.live.audit.replay_report import KNOWN

    _check_link(options.head)
    _check_parquet_path(options.to)
    with show_progress(f"Replaying {state_file}", at_once=True):
        report = replay_state(state_file, artifact, **as_keywords(options))
    told = "" if report.difference is None else str(report.difference)
    cases = [GateCase("changes", "ok" if report.ok else "finding", told)]
    if not report.is_whole:
        cases.append(GateCase("not covered", "warning", str(report.not_covered)))
    if report.noted is not None:
        result = "warning" if report.noted == KNOWN else "ok" if report.ok else "finding"
        cases.append(GateCase("head", result, report.noted_text))
    text = str(report)
    if report.is_withheld:
        cases.append(GateCase("served", "finding", f"{report.withheld_text}: --partial"))
        text = f"{text}\n     not served: {report.withheld_text}: --partial"
    facts = {
        "n_changes": report.n_changes,
        "n_rows": report.n_rows,
        "head": report.head.hex(),
        "not_covered": asdict(report.not_covered),
        "noted": report.noted,
        "noted_since_ns": report.noted_since_ns,
        "n_served": None if report.served is None else report.served.n_rows,
    }
    return GateResult("changes", tuple(cases), text, facts)


@state.command()
def show(state_file: StateFile) -> None:
    """Show the content of a state: rows, needed history, offsets, size and last audit link."""
    from fastfeat.live.state_summary import read_state

    with show_progress(f"Reading {state_file}", at_once=True):
        _, summary = read_state(state_file)
    typer.echo(str(summary))


@state.command()
@with_options_of(ExportStateOptions)
def export(state_file: StateFile, *, options: ExportStateOptions) -> None:
    """Write the rows of a state, in order of arrival, to a file that `--history` accepts.

    A Parquet file has the whole state except its lookup tables: a new state that begins with it
    gives the same answers.
    """
    from fastfeat.io.sinks.write import write_table
    from fastfeat.live.parquet import export as export_state
    from fastfeat.live.state_summary import read_state, stored_rows

    with show_progress(f"Reading {state_file}", at_once=True) as step:
        rows = stored_rows(state_file, options.table)
        step(f"Writing {options.out}")
        if options.table is None and options.out.suffix == ".parquet":
            export_state(read_state(state_file)[0], options.out)
        else:
            write_table(rows, options.out)
    typer.echo(
        f"{options.out}: {counted(rows.num_columns, 'column')}, {counted(rows.num_rows, 'row')}"
    )


@state.command()
def compact(state_file: StateFile) -> None:
    """Replace the recorded changes in a state file by a snapshot; `replay` then starts from it."""
    from fastfeat.live.state_summary import compact_state

    with show_progress(f"Compacting {state_file}", at_once=True):
        before, after = compact_state(state_file)
    typer.echo(f"{state_file}: {after / 2**20:.1f} MiB, was {before / 2**20:.1f} MiB")


@state.command("delete-key")
def delete_key(state_file: StateFile) -> None:
    """Delete the audit key and end the audit; its digests then reveal nothing about any row."""
    from fastfeat.live.state_summary import delete_audit_key

    with show_progress(f"Deleting the audit key of {state_file}", at_once=True):
        delete_audit_key(state_file)
    typer.echo(f"{state_file}: the audit key and the recorded changes are deleted")
