"""Options of a server, a row an option: `run`, the command line and the docs read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from fastfeat_kernels.records import dataclass

from fastfeat.apps.state_options import Archive, Keep, KeepAudit, MaxAhead, MaxJump
from fastfeat.calls.options import (
    PORT,
    TEXT,
    AnyPath,
    FilePath,
    Option,
    PythonValue,
    Secret,
)
from fastfeat.errors import InvalidPlan
from fastfeat.ir.parameters import BoolChoice, Whole

_LIMIT = Whole(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The options of `run`."""

    state: Annotated[
        AnyPath | None,
        Option("State file. By default the state is in memory only.", FilePath()),
    ] = None
    history: Annotated[
        Any,
        Option(
            "Rows that a new state begins with: a file, or in Python any form that `ff.online` "
            "accepts. If the state file already exists, the server continues with it, ignores "
            "these rows, and says so.",
            PythonValue("rows"),
        ),
    ] = None
    tables: Annotated[
        Mapping[str, Any] | None,
        Option(
            "Lookup tables of a new state, by name.",
            PythonValue("tables by name"),
            placeholder="NAME=FILE",
            flag="--table",
        ),
    ] = None
    host: Annotated[str, Option("Address to listen at.", TEXT)] = "127.0.0.1"
    port: Annotated[int, Option("TCP port to listen at; 0 picks a free one.", PORT)] = 8000
    uds: Annotated[
        AnyPath | None,
        Option(
            "Path of a Unix socket to listen at, instead of host and port.",
            FilePath(),
            placeholder="PATH",
        ),
    ] = None
    token: Annotated[
        str | None,
        Option(
            'Secret that callers must send: "Authorization: Bearer TOKEN". By default anyone may '
            "call.",
            Secret(),
            flag=None,
        ),
    ] = None
    token_file: Annotated[
        AnyPath | None,
        Option("File with the bearer token that callers must send.", FilePath()),
    ] = None
    tls_cert: Annotated[
        AnyPath | None,
        Option("File of the TLS certificate (PEM). Turns TLS on.", FilePath()),
    ] = None
    tls_key: Annotated[
        AnyPath | None,
        Option("File of the certificate's private key (PEM).", FilePath()),
    ] = None
    flight_port: Annotated[
        int | None,
        Option("Port of Arrow Flight; 0 picks a free one. By default Flight is off.", PORT),
    ] = None
    max_body: Annotated[int, Option("Maximum size of a request body, in bytes.", _LIMIT)] = 16 << 20
    max_rows: Annotated[int, Option("Maximum number of rows per request.", _LIMIT)] = 100_000
    max_waiting: Annotated[
        int,
        Option(
            "Maximum number of requests that wait for an answer; further ones get status 429.",
            _LIMIT,
        ),
    ] = 256
    follow: Annotated[
        bool,
        Option("Only read the state, which another process writes.", BoolChoice()),
    ] = False
    watch: Annotated[
        bool,
        Option("Reload the artifact whenever its file changes.", BoolChoice()),
    ] = False
    name: Annotated[str | None, Option("Model name. By default the file name.", TEXT)] = None
    late: Annotated[
        Literal["error", "insert", "drop"] | None,
        Option(
            'Treatment of a row that is earlier than the latest one of its entity: "error" refuses '
            'it, "insert" answers it for its own time and adds it to the state, "drop" answers it '
            "for its own time without adding it. By default an existing state keeps its setting, "
            'and a new one takes "error".',
        ),
    ] = None
    keep: Keep = None
    max_ahead: MaxAhead = None
    max_jump: MaxJump = None
    durability: Annotated[
        Literal["commit", "interval", "checkpoint"] | None,
        Option(
            'When a change is on disk: "commit" (the default) before it is answered, "interval" '
            'within a second, "checkpoint" when the server ends.',
        ),
    ] = None
    archive: Archive = None
    keep_audit: KeepAudit = None
    drift: Annotated[
        str | None,
        Option(
            'Time window, such as "1h", over which answered rows are compared with the training '
            "rows; `/metrics` shows the result. By default there is no comparison.",
            TEXT,
        ),
    ] = None
    said: Annotated[
        Callable[[str], None] | None,
        Option(
            "Called with one line of text for the address and for each new artifact; by default "
            "it is printed.",
            PythonValue("a function"),
            flag=None,
        ),
    ] = None


def check_options(options: ServeOptions) -> None:
    """Raise InvalidPlan if options contradict each other."""
    if options.follow and options.state is None:
        raise InvalidPlan("follow= needs state=, the state file that another process writes")
    others = {
        "history": options.history,
        "tables": options.tables,
        "watch": options.watch or None,
    }
    given = [name for name, value in others.items() if value is not None]
    if options.follow and given:
        raise InvalidPlan(
            "with follow= this server only reads the state, and takes its plan from there: leave "
            f"out {given[0]}="
        )
