"""Errors of commands: one red line and a hint on stderr, exit code 2; 130 when interrupted.

Commands that judge data and plans say by their code what is at fault: see `gates`.

Messages of the library name parameters: here they become the options of commands.
"""

from __future__ import annotations

import os
import re
import traceback
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from fastfeat.markup.html import printable

DEBUG = "--debug"
FAILED, INTERRUPTED = 2, 130
EXIT_CODE = "fastfeat.exit_code"
"""Under this name a command leaves, in its context, the exit code of the error that it raises."""
_META = "fastfeat.debug"


class Commands(TyperGroup):
    """A group of commands whose errors and warnings are reported in one line each.

    A class because typer takes one; it has no state.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take `--debug` wherever it stands: it is appended to the command that has just failed."""
        ctx.meta[_META] = DEBUG in args
        return super().parse_args(ctx, [arg for arg in args if arg != DEBUG])

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted", "red")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if is_for_typer(error):
                raise
            if ctx.meta[_META]:
                traceback.print_exc()
            else:
                _show(error)
            raise typer.Exit(ctx.meta.get(EXIT_CODE, FAILED)) from None


def say(text: str, colour: str) -> None:
    """Print one coloured line to stderr; plain where it is no terminal, or NO_COLOR is set."""
    plain = False if os.environ.get("NO_COLOR") else None
    typer.secho(printable(" ".join(text.split())), fg=colour, err=True, color=plain)


def is_for_typer(error: Exception) -> bool:
    """Whether an error is an exit, a call for help, or a reader that has left the pipe."""
    is_help = type(error).__name__ == "NoArgsIsHelpError"  # a private name; typer compares it too
    return is_help or isinstance(error, (typer.Exit, typer.Abort, BrokenPipeError))


def _show(error: Exception) -> None:
    """Show an error as what it says, if it was raised on purpose, or as what it is: a bug."""
    from fastfeat.errors import FastfeatError

    usage: Any = getattr(error, "format_message", None)
    if usage is not None:
        say(f"error: {usage()}", "red")
        if "extra argument" in usage():  # a shell has written out a pattern
            say("hint: several files are one argument: write their pattern in quotes", "yellow")
        context = getattr(error, "ctx", None)
        if context is not None:
            say(f"hint: {context.command_path} --help", "yellow")
    elif isinstance(error, FastfeatError):
        say(f"error: {with_options(str(error))}", "red")
    elif isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        say(f"error: {error.strerror or error}{where}", "red")
    else:
        say(f"error: {type(error).__name__}: {error}", "red")
        say(f"hint: this was not foreseen; {DEBUG} shows where it happened", "yellow")


def _show_warning(message: Warning | str, *_where: object) -> None:
    """Show a warning without the line of code that it comes from."""
    say(f"warning: {with_options(str(message))}", "yellow")


_OPTIONS = (
    (r"\btransform\(data, history=earlier\)", "--history FILE"),
    (r"\bhistory='batch'", "--history batch"),
    (r"\bhistory=", "--history"),
    (r"\bstable=", "--stable"),
    (
        r"\bplan\.fit\(data, contract=.+\), or check by that: contract\.check\(data\)",
        "fit PLAN.py DATA --contract RULES.json -o OUT. Or check by the rules alone: check "
        "RULES.json DATA",
    ),
    (r"\bcontract=", "--contract"),
    (r"\bmemory=(?=['\"\d])", "--memory "),
    (r"\bmemory=", "--memory"),
    (r"\btables=\{(['\"])(.+?)\1: table\}", r"--table \2=FILE"),
    (r"\bis not in tables=", "no --table names"),
    (r"\bbackend='(\w+)'", r"--backend \1"),
    (r"\bformat='(\w+)'", r"--format \1"),
    (r"\bprofile=True", "--profile"),
    (r"\bpartition_by=", "--partition-by"),
    (r"\bpart_rows=", "--part-rows"),
    (
        r"\btransform\(rows, on_violation='quarantine'\) sets such rows apart",
        'transform(rows, on_violation="quarantine") sets them apart in Python; --on-violation warn '
        "computes their features too",
    ),
    (r"\btransform_to needs less", "fastfeat transform needs less"),
    (r"\bplan\.explain\('passes', schema=files\)", "explain PLAN.py --stage passes --data FILES"),
)
"""A pattern of the text, and what a command has instead; the first ones first."""


def with_options(text: str) -> str:
    """Return a message in which what a user of the command line gives is named by its option.

    Example:
        >>> with_options("history=, row 3: is late. Pass it: tables={'rates': table}")
        '--history, row 3: is late. Pass it: --table rates=FILE'
    """
    for pattern, option in _OPTIONS:
        text = re.sub(pattern, option, text)
    return text
