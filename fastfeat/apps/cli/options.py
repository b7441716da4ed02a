"""Arguments and options shared by several commands, and options that rows of a record make."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
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
    flags_of,
    options_of,
    read_value,
    type_of,
)
from fastfeat.ir.parameters import REQUIRED, BoolChoice, Real, Several, TextChoice, Whole

R = TypeVar("R")
T = TypeVar("T")


def with_options_of(record: type[R]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return a decorator for a command: its last parameter, a record, becomes options.

    A row of the record becomes an option.
    """
    given = parameters_of(record)
    names = [one.name for one in given]

    def decorated(command: Callable[..., T]) -> Callable[..., T]:
        own = [*inspect.signature(command, eval_str=True).parameters.values()][:-1]

        @wraps(command)
        def called(**values: Any) -> T:
            options = record(**{name: values.pop(name) for name in names if name in values})
            return command(**values, options=options)

        keywords = (one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own)
        cast(Any, called).__signature__ = inspect.Signature([*keywords, *given])  # for typer
        return called

    return decorated


def parameters_of(record: type[Any]) -> list[inspect.Parameter]:
    """Return a parameter for each row of a record, from which typer makes an option."""
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if row.default is REQUIRED else row.default,
            annotation=_typer_option(row, flags),
        )
        for name, row in options_of(record).items()
        if (flags := flags_of(name, row))
    ]


def _typer_option(row: Option, flags: tuple[str, ...]) -> Any:
    """Return the annotation by which typer reads an option; its values are checked by its row."""
    kind = type_of(row)
    more: dict[str, Any] = {}
    python: Any = str
    placeholder = row.placeholder
    match kind:
        case BoolChoice():
            python = bool
        case Whole(least, most):
            python, more = int, {"min": least, "max": most}
        case Real(least, most):
            python, more = float, {"min": least, "max": most}
        case TextChoice(words):
            placeholder = placeholder or "|".join(words)
        case Several():
            python = list[str]
        case FilePath(must_exist):
            python, placeholder, more = Path, placeholder or "FILE", {"exists": must_exist}
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
            return read_value(kind, value, "")
        except Unfit as unfit:
            raise typer.BadParameter(str(unfit).removeprefix(": ")) from None

    option = typer.Option(*flags, help=row.about, metavar=placeholder, callback=check, **more)
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
