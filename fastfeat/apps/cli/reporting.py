"""Errors of commands: one red line and a hint on stderr, exit code 2; 130 when interrupted.

Commands that judge data and plans have further exit codes, see `gates`. Messages of the library
name Python parameters; here they are rewritten to the options of commands.
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
"""Key in a command's context for the exit code of an error that it raises."""
_META = "fastfeat.debug"


class Commands(TyperGroup):
    """A group of commands that reports each error and warning in one line.

    It is a class only because typer requires one; it has no state.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Accept `--debug` anywhere, because users append it to a command that has just failed."""
        ctx.meta[_META] = DEBUG in args
        return super().parse_args(ctx, [arg for arg in args if arg != DEBUG])

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print its warnings and its error, and set the exit code."""
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
    """Print one coloured line to stderr; uncoloured if it is not a terminal or NO_COLOR is set."""
    plain = False if os.environ.get("NO_COLOR") else None
    typer.secho(printable(" ".join(text.split())), fg=colour, err=True, color=plain)


def is_for_typer(error: Exception) -> bool:
    """Whether typer handles the error itself: an exit, a request for help, or a closed pipe."""
    is_help = type(error).__name__ == "NoArgsIsHelpError"  # a private name; typer compares it too
    return is_help or isinstance(error, (typer.Exit, typer.Abort, BrokenPipeError))


def _show(error: Exception) -> None:
    """Print an error to stderr; an unexpected one with a hint to show its traceback."""
    from fastfeat.errors import FastfeatError

    usage: Any = getattr(error, "format_message", None)
    if usage is not None:
        say(f"error: {usage()}", "red")
        if "extra argument" in usage():  # the shell has expanded a pattern
            say("hint: to pass several files, put their pattern in quotes", "yellow")
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
        say(f"hint: this error is unexpected; {DEBUG} shows its traceback", "yellow")


def _show_warning(message: Warning | str, *_where: object) -> None:
    """Show a warning without the line of code that raised it."""
    say(f"warning: {with_options(str(message))}", "yellow")


_OPTIONS = (
    (r"\btransform\(data, history=earlier\)", "--history FILE"),
    (r"\bhistory='batch'", "--history batch"),
    (r"\bhistory=", "--history"),
    (r"\bstable=", "--stable"),
    (
        r"\bplan\.fit\(data, contract=.+\), or check with the contract alone: "
        r"contract\.check\(data\)",
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
"""Pattern and its replacement, applied in this order."""


def with_options(text: str) -> str:
    """Return a message with Python parameters replaced by the command's options.

    Example:
        >>> with_options("history=, row 3: is late. Pass it: tables={'rates': table}")
        '--history, row 3: is late. Pass it: --table rates=FILE'
    """
    for pattern, option in _OPTIONS:
        text = re.sub(pattern, option, text)
    return text
