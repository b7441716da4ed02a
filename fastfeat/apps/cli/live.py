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

from fastfeat.apps.cli.judged import Case, Judged
from fastfeat.apps.cli.options import existing
from fastfeat.errors import counted
from fastfeat.progress import doing

state = typer.Typer(
    help="Show, export or compact the file of a live plan's state.", no_args_is_help=True
)

StateFile = Annotated[
    Path, typer.Argument(metavar="STATE", help="The file of a state, which `path=` names.")
]
ServedFile = Annotated[
    Path, typer.Argument(metavar="FITTED", help="What `fastfeat fit` wrote; it holds no code.")
]
LookupTables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="NAME=FILE", help="A lookup table of a new state."),
]


def serve(
    fitted_file: ServedFile,
    state_file: Annotated[
        Path | None,
        typer.Option("--state", metavar="FILE", help="The state; without, it is in memory alone."),
    ] = None,
    history: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rows that a new state begins with.")
    ] = None,
    table: LookupTables = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8000,
    uds: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A Unix socket, in place of host and port.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the token that callers must send."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The certificate, as PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    flight_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The port of Arrow Flight; 0 takes a free one."),
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request, at most.")] = 16 << 20,
    max_rows: Annotated[int, typer.Option(min=1, help="Rows of a request, at most.")] = 100_000,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Requests that wait; further ones are answered by 429.")
    ] = 256,
    follow: Annotated[
        bool, typer.Option("--follow", help="Another process writes the state: only read it.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve FITTED anew whenever the file changes.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Of the model; by default that of the file.")
    ] = None,
    late: Annotated[
        str | None, typer.Option(help="What becomes of late rows: error, insert or drop.")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(help='How much longer rows stay than windows see: "2d", or everything.'),
    ] = None,
    max_ahead: Annotated[
        str | None,
        typer.Option(
            help='How far times of rows that are kept may be ahead of this clock; "any" for no '
            "limit.  [default: 1h, for times with a zone]"
        ),
    ] = None,
    max_jump: Annotated[
        str | None,
        typer.Option(help='How far they may be ahead of the row before: "1d", or a whole number.'),
    ] = None,
    durability: Annotated[
        str | None,
        typer.Option(help="When a call is on disk: commit (before it is answered) or interval."),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keeps what a whole state replaces, for `replay`."),
    ] = None,
    keep_audit: Annotated[
        str | None, typer.Option(help='How long that is kept, such as "90d".')
    ] = None,
    drift: Annotated[
        str | None,
        typer.Option(
            metavar="WINDOW",
            help='Compare rows answered in such a time, "1h", with training: gauges in /metrics.',
        ),
    ] = None,
) -> None:
    """Serve features over HTTP, JSON or Arrow; ends by SIGTERM or Ctrl-C, with all on disk."""
    from fastfeat.apps.cli.plans import tables_named
    from fastfeat.apps.serve import run

    run(
        fitted_file,
        state=state_file,
        history=history,
        tables=tables_named(table) or None,
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
        late=_one_of("--late", late, "error", "insert", "drop"),
        keep=_length(keep),
        max_ahead=max_ahead,
        max_jump=_length(max_jump),
        durability=_one_of("--durability", durability, "commit", "interval", "checkpoint"),
        archive=archive,
        keep_audit=keep_audit,
        drift=drift,
    )


def stream(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="TOML: sources, sinks, and the plan.")
    ],
) -> None:
    """Answer the events of a topic; ends by SIGTERM or Ctrl-C, with all on disk."""
    from fastfeat.apps.stream import run

    with _told_on_stderr("fastfeat.stream"):
        done = run(config)
    typer.echo(
        f"{counted(done.n_events, 'event')} answered, {done.n_dead:,} dead letters, "
        f"{counted(done.n_checkpoints, 'commit')}"
    )


@contextmanager
def _told_on_stderr(name: str) -> Generator[None]:
    """Print a logger's messages of level INFO and above to stderr while the block runs."""
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


def _length(text: str | None) -> str | int | None:
    """Return an option's length: text such as "2d", or a whole number."""
    return int(text) if text is not None and text.isdigit() else text


def _link(text: str | None) -> str | None:
    """Return an audit link given as an option; None if absent.

    Raises:
        BadParameter: It is not 64 hexadecimal digits.
    """
    if text is not None and not re.fullmatch("[0-9A-Fa-f]{64}", text):
        raise typer.BadParameter(f"got {text!r}: a link has 32 bytes, or 64 hexadecimal digits")
    return text


def _parquet(path: Path | None) -> Path | None:
    """Return the path of a Parquet file given as an option; None if absent.

    Raises:
        BadParameter: It has another suffix.
    """
    if path is not None and path.suffix.lower() not in (".parquet", ".pq"):
        raise typer.BadParameter(f"what was served is written as Parquet: name.parquet, got {path}")
    return path


def replay(
    state_file: Annotated[
        Path,
        typer.Argument(
            metavar="STATE",
            help="The file of a state, which `path=` names.",
            callback=existing,
        ),
    ],
    artifact: Annotated[
        Path | None,
        typer.Argument(
            metavar="FITTED",
            help="The plan that is said to have answered; else that of STATE.",
            callback=existing,
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="LINK",
            help="A link that was noted elsewhere: it must be there.",
            callback=_link,
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Parquet that the features go to that were served, to train on.",
            callback=_parquet,
        ),
    ] = None,
    plan: Annotated[
        str | None, typer.Option(help="Whose features these are, where STATE has several plans.")
    ] = None,
    outcomes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Late columns by row_id, for labels that STATE does not have."
        ),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Write --to FILE also where STATE no longer has all rows."),
    ] = False,
    archive: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The archive of STATE, where it was moved."),
    ] = None,
) -> Judged:
    """Compute again all that a state answered; exit code 1, and where, if a bit is another."""
    from fastfeat.live.audit.replay import replay_state
    from fastfeat.live.audit.replay_report import KNOWN

    options: dict[str, Any] = {"head": head, "to": to, "plan": plan, "outcomes": outcomes}
    options["archive"] = archive
    with doing(f"Replaying {state_file}", at_once=True):
        report = replay_state(state_file, artifact, **options, partial=partial)
    told = "" if report.difference is None else str(report.difference)
    cases = [Case("changes", "ok" if report.ok else "finding", told)]
    if not report.is_whole:
        cases.append(Case("not covered", "warning", str(report.not_covered)))
    if report.noted is not None:
        result = "warning" if report.noted == KNOWN else "ok" if report.ok else "finding"
        cases.append(Case("head", result, report.noted_text))
    text = str(report)
    if report.is_withheld:
        cases.append(Case("served", "finding", f"{report.withheld_text}: --partial"))
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
    return Judged("changes", tuple(cases), text, facts)


@state.command()
def show(state_file: StateFile) -> None:
    """Show what a state holds: rows, reach of the windows, offsets, size, the last link."""
    from fastfeat.live.state_summary import read_state

    with doing(f"Reading {state_file}", at_once=True):
        _, summary = read_state(state_file)
    typer.echo(str(summary))


@state.command()
def export(
    state_file: StateFile,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Parquet, Arrow IPC, Feather, CSV or TSV.")
    ],
    table: Annotated[
        str | None, typer.Option(metavar="NAME", help="A lookup table of it, in place of its rows.")
    ] = None,
) -> None:
    """Write the rows of a state, which `--history` takes, in order of arrival.

    In Parquet they are the whole state but for its lookup tables: a new one answers as this does.
    """
    from fastfeat.io.sinks.write import write_table
    from fastfeat.live.parquet import export as export_state
    from fastfeat.live.state_summary import read_state, stored_rows

    with doing(f"Reading {state_file}", at_once=True) as step:
        rows = stored_rows(state_file, table)
        step(f"Writing {out}")
        if table is None and out.suffix == ".parquet":
            export_state(read_state(state_file)[0], out)
        else:
            write_table(rows, out)
    typer.echo(f"{out}: {counted(rows.num_columns, 'column')}, {counted(rows.num_rows, 'row')}")


@state.command()
def compact(state_file: StateFile) -> None:
    """Write a state as a whole in the place of its changes; replay begins from there."""
    from fastfeat.live.state_summary import compact_state

    with doing(f"Compacting {state_file}", at_once=True):
        before, after = compact_state(state_file)
    typer.echo(f"{state_file}: {after / 2**20:.1f} MiB, before {before / 2**20:.1f} MiB")


@state.command("delete-key")
def delete_key(state_file: StateFile) -> None:
    """Delete the key of the audit: what it noted then says nothing of any row."""
    from fastfeat.live.state_summary import delete_audit_key

    with doing(f"Compacting {state_file}", at_once=True):
        delete_audit_key(state_file)
    typer.echo(f"{state_file}: has no key of an audit any more, and no record of changes")


def _one_of(option: str, value: str | None, *known: str) -> Any:
    """Return an option's word; None if absent.

    Raises:
        BadParameter: The word is unknown.
    """
    if value is not None and value not in known:
        told = f"{value!r} is none of {', '.join(known)}"
        raise typer.BadParameter(told, param_hint=f"'{option}'")
    return value
