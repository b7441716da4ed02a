"""Arguments and options shared by several commands, and options that rows of a record make."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from glob import glob
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from fastfeat.calls.options import (
    FilePath,
    Option,
    PythonValue,
    TimeSpan,
    Unfit,
    flag_of,
    options_of,
    read_value,
    type_of,
)
from fastfeat.ir.parameters import BoolChoice, Real, TextChoice, Whole

F = TypeVar("F", bound=Callable[..., Any])


def with_options_of(record: type[Any]) -> Callable[[F], F]:
    """Return a decorator for a command with `**options`: the rows of a record are its options."""
    given = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=row.default,
            annotation=typer_option(row, flag),
        )
        for name, row in options_of(record).items()
        if (flag := flag_of(name, row)) is not None
    ]

    def decorated(command: F) -> F:
        own = inspect.signature(command, eval_str=True).parameters.values()
        named = [one for one in own if one.kind is not one.VAR_KEYWORD]
        command.__signature__ = inspect.Signature([*named, *given])  # pyright: ignore[reportFunctionMemberAccess]  # typer reads it
        return command

    return decorated


def typer_option(row: Option, flag: str) -> Any:
    """Return the annotation by which typer reads an option; its values are checked by its row."""
    kind = type_of(row)
    bounds: dict[str, Any] = {}
    python: Any = str
    placeholder = row.placeholder
    match kind:
        case BoolChoice():
            python = bool
        case Whole(least, most):
            python, bounds = int, {"min": least, "max": most}
        case Real(least, most):
            python, bounds = float, {"min": least, "max": most}
        case TextChoice(words):
            placeholder = placeholder or "|".join(words)
        case FilePath():
            python, placeholder = Path, placeholder or "FILE"
        case PythonValue():
            python = list[str] if placeholder == "NAME=FILE" else str
            placeholder = placeholder or "FILE"
        case _:
            pass
    if row.default is None:
        python = python | None

    def check(value: Any) -> Any:
        if value is None or isinstance(kind, PythonValue):
            return value
        if isinstance(kind, TimeSpan) and value.isdigit():
            value = int(value)  # steps of an integer clock
        try:
            return read_value(kind, value, flag)
        except Unfit as unfit:
            raise typer.BadParameter(str(unfit).removeprefix(f"{flag}: ")) from None

    option = typer.Option(flag, help=row.about, metavar=placeholder, callback=check, **bounds)
    return cast(Any, Annotated)[python, option]


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
