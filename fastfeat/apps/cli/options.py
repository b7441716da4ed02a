"""Arguments and options shared by several commands, with their help texts."""

from __future__ import annotations

from glob import glob
from pathlib import Path
from typing import Annotated

import typer


def check_file_exists(path: Path | None) -> Path | None:
    """Return the path, after checking that the file exists; None if the option is absent.

    Raises:
        BadParameter: There is no such file.
    """
    if path is not None and not path.exists():
        raise typer.BadParameter(f"no such file: {path}")
    return path


def check_data_exists(data: str) -> str:
    """Return the data argument if it is an address, an existing path, or a pattern with matches.

    Raises:
        BadParameter: There is no such path, or no file matches the pattern.
    """
    if "://" in data or Path(data).exists():
        return data
    if not any(sign in data for sign in "*?["):
        raise typer.BadParameter(f"no such file: {data}")
    if not glob(data, recursive=True, include_hidden=True):
        raise typer.BadParameter(f"no file matches {data}")
    return data


PlanFile = Annotated[
    Path,
    typer.Argument(
        metavar="PLAN", help="PLAN.py, which is executed and must define `plan`, or a plan as JSON."
    ),
]
FittedFile = Annotated[
    Path,
    typer.Argument(
        metavar="FITTED", help="A fitted plan, written by `fastfeat fit`; it contains no code."
    ),
]
AnyPlanFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="A fitted plan, PLAN.py (executed) or a plan as JSON."),
]
DataFile = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Parquet, Arrow IPC, Feather, CSV or TSV: a file, a folder, a pattern or an address.",
    ),
]
LookupTablesOption = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="NAME=FILE", help="A lookup table that the plan reads."),
]
History = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help='Earlier rows, which windows see; "batch" if DATA contains its own past.',
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="BYTES",
        help="Memory limit of the process, such as 600MiB; DATA is then read in chunks.",
    ),
]
BackendOption = Annotated[
    str, typer.Option(help="cpu, gpu or reference (slow); all give the same bits.")
]
JudgedPlanFile = Annotated[
    Path,
    typer.Argument(
        metavar="FITTED",
        help="A fitted plan, written by `fastfeat fit`; it contains no code.",
        callback=check_file_exists,
    ),
]
RulesFile = Annotated[
    Path,
    typer.Argument(
        metavar="RULES",
        help="A contract as JSON, or a fitted plan with a contract (`fit --contract`).",
        callback=check_file_exists,
    ),
]
JudgedDataFile = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Parquet, Arrow IPC, Feather, CSV or TSV: a file, a folder, a pattern or an address.",
        callback=check_data_exists,
    ),
]
Thresholds = Annotated[
    Path | None,
    typer.Option(
        metavar="TOML",
        help="Limits that decide what counts as a finding; one section per command.",
        exists=True,
    ),
]
