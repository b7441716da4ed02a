"""The commands for live plans: a server, a stream, and the state file (show, export, replay)."""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from fastfeat.apps.cli.gate_result import GateCase, GateResult
from fastfeat.apps.cli.options import check_file_exists
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
NewStateTables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="NAME=FILE", help="A lookup table for a new state."),
]


def serve(
    fitted_file: ServedFile,
    state_file: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="FILE",
            help="State file. By default the state is kept in memory only.",
        ),
    ] = None,
    history: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Initial rows of a new state.")
    ] = None,
    table: NewStateTables = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = 8000,
    uds: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Unix socket to listen on, instead of host and port."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the bearer token that callers must send."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TLS certificate (PEM); turns TLS on.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Private key of the certificate (PEM).")
    ] = None,
    flight_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of Arrow Flight; 0 picks a free one. By default Flight is off.",
        ),
    ] = None,
    max_body: Annotated[
        int, typer.Option(min=1, help="Maximum size of a request body, in bytes.")
    ] = 16 << 20,
    max_rows: Annotated[
        int, typer.Option(min=1, help="Maximum number of rows per request.")
    ] = 100_000,
    max_waiting: Annotated[
        int,
        typer.Option(
            min=1, help="Maximum number of waiting requests; further ones get status 429."
        ),
    ] = 256,
    follow: Annotated[
        bool, typer.Option("--follow", help="Only read the state; another process writes it.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Reload FITTED whenever the file changes.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Model name. By default the file name.")] = None,
    late: Annotated[
        str | None, typer.Option(help="Treatment of late rows: error, insert or drop.")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="How long rows are kept after windows no longer need them, such as "
            '"2d"; or "everything".'
        ),
    ] = None,
    max_ahead: Annotated[
        str | None,
        typer.Option(
            help="How far the times of added rows may be ahead of this machine's clock; "
            '"any" for no limit. By default "1h" for times with a time zone, unless late is insert.'
        ),
    ] = None,
    max_jump: Annotated[
        str | None,
        typer.Option(
            help="How far the times of added rows may be ahead of the latest row before them: "
            '"1d", or a whole number for integer clocks.'
        ),
    ] = None,
    durability: Annotated[
        str | None,
        typer.Option(
            help="When a change is on disk: commit (before the answer), interval (within a second) "
            "or checkpoint (when the server ends)."
        ),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder that keeps replaced data of the state, for `replay`."
        ),
    ] = None,
    keep_audit: Annotated[
        str | None, typer.Option(help='How long the archive is kept, such as "90d".')
    ] = None,
    drift: Annotated[
        str | None,
        typer.Option(
            metavar="WINDOW",
            help='Compare the rows answered in this time window, such as "1h", with the training '
            "rows; /metrics shows the result.",
        ),
    ] = None,
) -> None:
    """Serve features over HTTP as JSON or Arrow.

    SIGTERM or Ctrl-C stops the server, with the state on disk.
    """
    from fastfeat.apps.cli.plans import parse_tables
    from fastfeat.apps.serve import run

    run(
        fitted_file,
        state=state_file,
        history=history,
        tables=parse_tables(table) or None,
        host=host,
        port=port,
        uds=uds,
        token_file=token_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        flight_port=flight_port,
        max_body=max_body,
        max_rows=max_rows,
        max_waiting=max_waiting,
        follow=follow,
        watch=watch,
        name=name,
        late=_check_choice("--late", late, "error", "insert", "drop"),
        keep=_parse_duration(keep),
        max_ahead=max_ahead,
        max_jump=_parse_duration(max_jump),
        durability=_check_choice("--durability", durability, "commit", "interval", "checkpoint"),
        archive=archive,
        keep_audit=keep_audit,
        drift=drift,
    )


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


def _parse_duration(text: str | None) -> str | int | None:
    """Return an option's duration: text such as "2d", or a whole number; None if absent."""
    return int(text) if text is not None and text.isdigit() else text


def _check_link(text: str | None) -> str | None:
    """Return an option's audit link: the hash of a change, which chains it to all changes before.

    Returns None if the option is absent.

    Raises:
        BadParameter: It is not 64 hexadecimal digits.
    """
    if text is not None and not re.fullmatch("[0-9A-Fa-f]{64}", text):
        raise typer.BadParameter(f"got {text!r}: an audit link has 64 hexadecimal digits")
    return text


def _check_parquet_path(path: Path | None) -> Path | None:
    """Return the path of a Parquet file given as an option; None if absent.

    Raises:
        BadParameter: It has another suffix.
    """
    if path is not None and path.suffix.lower() not in (".parquet", ".pq"):
        raise typer.BadParameter(
            f"got {path}: served features are written as Parquet. Give a name such as "
            "served.parquet"
        )
    return path


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
    head: Annotated[
        str | None,
        typer.Option(
            metavar="LINK",
            help="A link that was recorded elsewhere; STATE must contain it.",
            callback=_check_link,
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Output file for the served features as training data, in Parquet.",
            callback=_check_parquet_path,
        ),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(help="Name of the plan to write features of, if STATE has several."),
    ] = None,
    outcomes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Late columns by row id, for labels that STATE lacks."),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Write the --to file even if STATE no longer has all rows."),
    ] = False,
    archive: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Archive of STATE, if the folder was moved."),
    ] = None,
) -> GateResult:
    """Recompute all answers of a state, and compare their bits with the served ones.

    The exit code is 1 if a bit differs; the report shows the first difference.
    """
    from fastfeat.live.audit.replay import replay_state
    from fastfeat.live.audit.replay_report import KNOWN

    options: dict[str, Any] = {"head": head, "to": to, "plan": plan, "outcomes": outcomes}
    options["archive"] = archive
    with show_progress(f"Replaying {state_file}", at_once=True):
        report = replay_state(state_file, artifact, **options, partial=partial)
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
def export(
    state_file: StateFile,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            help="Output file: Parquet, Arrow IPC, Feather, CSV or TSV by its suffix.",
        ),
    ],
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Export this lookup table instead of the rows."),
    ] = None,
) -> None:
    """Write the rows of a state, in order of arrival, to a file that `--history` accepts.

    A Parquet file has the whole state except its lookup tables: a new state that begins with it
    gives the same answers.
    """
    from fastfeat.io.sinks.write import write_table
    from fastfeat.live.parquet import export as export_state
    from fastfeat.live.state_summary import read_state, stored_rows

    with show_progress(f"Reading {state_file}", at_once=True) as step:
        rows = stored_rows(state_file, table)
        step(f"Writing {out}")
        if table is None and out.suffix == ".parquet":
            export_state(read_state(state_file)[0], out)
        else:
            write_table(rows, out)
    typer.echo(f"{out}: {counted(rows.num_columns, 'column')}, {counted(rows.num_rows, 'row')}")


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


def _check_choice(option: str, value: str | None, *known: str) -> Any:
    """Return the value of an option that takes a few known words; None if absent.

    Raises:
        BadParameter: The value is not one of `known`.
    """
    if value is not None and value not in known:
        told = f"got {value!r}: write {', '.join(known[:-1])} or {known[-1]}"
        raise typer.BadParameter(told, param_hint=f"'{option}'")
    return value
