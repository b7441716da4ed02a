"""A progress line on stderr for work that takes longer than a second; it disappears at the end.

    with doing("learning", 3, "scans") as step:
        step(1)                     # one of three is done
        step("learning medians")    # what is done instead

The line is drawn if stderr is a terminal (by rich, if that is installed) or a notebook. Each text
stays for a second. Nested work is shown on the same line. If stderr is a pipe or a file, each event
is written as a permanent line: a kernel is compiled, another process is waited for, a demo takes a
step. Nothing is shown in a process that another one has started, or for threads other than the main
one. FASTFEAT_PROGRESS=0 turns it off.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from fastfeat_kernels.records import dataclass

ProgressStep = Callable[[int | str], None]
"""Reports the number of finished items, or replaces the text."""

PATIENCE = 1.0  # seconds before anything is shown
_PERIOD = 0.1  # seconds between two drawings, for the spinner
_PERIOD_OF_NOTEBOOK = 0.5  # each is a message, and some record them all
_HOLD = 1.0  # seconds that a text stays: faster changes cannot be read
_process = os.getpid()  # a forked process has another id, and shows nothing
_spinning = "|/-\\"


@dataclass(slots=True)
class _Work:
    """One piece of work in progress. The working thread changes it, and another thread draws it.

    Args:
        text: Description.
        total: Number of items, or 0 if unknown.
        of: Plural noun of the items.
        done: Number of finished items.
        now: Current substep in words, or "".
    """

    text: str
    total: int
    of: str
    done: int = 0
    now: str = ""

    def __str__(self) -> str:
        """Return the line's part for this work: its description and progress."""
        counted = f"{self.done:,} of {self.total:,} {self.of}" if self.total > 1 else ""
        return ", ".join(filter(None, (self.text, counted, self.now)))


class _Drawing(NamedTuple):
    """A way to show the progress line, as functions that draw it and remove it.

    Args:
        draw: Replaces the shown text.
        end: Removes the text.
        period: Seconds between drawings.
        told: Returns the text for work that began at a given monotonic time.
    """

    draw: Callable[[str], None]
    end: Callable[[], None]
    period: float
    told: Callable[[float], str]


_works: list[_Work] = []
"""The work of the main thread, from outermost to innermost."""


@contextmanager
def show_progress(
    text: str,
    total: int = 0,
    of: str = "rows",
    *,
    since: float | None = None,
    at_once: bool = False,
    is_event: bool = False,
) -> Generator[ProgressStep]:
    """Show progress while a block runs, once it takes longer than a second.

    If progress is not shown, the call costs some microseconds; otherwise it starts a thread. Do
    not use it for work that may take less than a millisecond.
    """
    if not (_may_show() and (is_event or _is_drawn(sys.stderr))):
        yield _ignore_step
        return
    work = _Work(text, total, of)
    began = time.monotonic() if since is None else since
    is_first = not _works
    try:
        _works.append(work)
        if is_first:
            with _line(began, 0.0 if at_once else PATIENCE):
                yield _step_of(work)
        else:
            yield _step_of(work)
    finally:  # an interrupt may have come before the append
        _works[:] = [other for other in _works if other is not work]


def is_progress_shown() -> bool:
    """Return whether this thread's work is shown at present; it costs 0.1 microseconds if not."""
    return bool(_works) and threading.get_ident() == threading.main_thread().ident


def report_progress(now: str = "", done: int | None = None) -> None:
    """Set the substep of the innermost work, and the number of finished items.

    It is for code that does not have the step function of the block in which it runs.
    """
    if is_progress_shown():
        work = _works[-1]
        work.now = now or work.now
        work.done = work.done if done is None else done


def rate_text(
    n_rows: int, total: int | None, n_bytes: int, seconds: float, n_before: int = 0
) -> str:
    """Return the progress of work over rows as text: rows, bytes, rate, and remaining time.

    Example:
        >>> rate_text(3_000_000, 9_000_000, 800_000_000, 4.0, n_before=1_000_000)
        '3,000,000 of 9,000,000 rows, 763 MiB, 191 MiB/s, 12 s left'
    """
    of = "" if total is None else f" of {total:,}"
    told = [f"{n_rows:,}{of} rows", f"{n_bytes / 2**20:,.0f} MiB"]
    if seconds > 0:
        told.append(f"{n_bytes / 2**20 / seconds:,.0f} MiB/s")
    n_new = n_rows - n_before
    if total is not None and n_new > 0:
        left = seconds * (total - n_rows) / n_new
        told.append(f"{left:.0f} s left" if left < 120 else f"{left / 60:.0f} min left")
    return ", ".join(told)


def _step_of(work: _Work) -> ProgressStep:
    def step(to: int | str) -> None:
        if isinstance(to, str):
            work.text = to
        else:
            work.done = to

    return step


def _ignore_step(to: int | str) -> None:
    """Do nothing: the step function of work that is not shown."""


def _may_show() -> bool:
    """Return whether progress may be shown: not by child processes or other threads."""
    if os.environ.get("FASTFEAT_PROGRESS") == "0" or os.getpid() != _process:
        return False
    if threading.get_ident() != threading.main_thread().ident:
        return False
    processes: Any = sys.modules.get("multiprocessing.process")  # loaded in worker processes
    return processes is None or processes.parent_process() is None


def _is_drawn(stream: Any) -> bool:
    """Return whether a stream can redraw a line: a terminal, or a notebook."""
    return _is_terminal(stream) or _is_notebook()


def _is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal that can redraw a line."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # closed, or not a file
        return False


def _is_notebook() -> bool:
    """Return whether stderr belongs to a notebook cell, where a carriage return restarts a line."""
    return "ipykernel" in sys.modules and type(sys.stderr).__module__.startswith("ipykernel.")


@contextmanager
def _line(began: float, patience: float) -> Generator[None]:
    """While the block runs, draw its progress from another thread, after `patience` seconds."""
    ended = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(ended, began, patience, sys.stderr), name="fastfeat", daemon=True
    )
    try:
        with suppress(RuntimeError):  # the interpreter is shutting down: no thread can start
            watcher.start()
        yield
    finally:
        ended.set()
        with suppress(RuntimeError):
            watcher.join()


def _watch(ended: threading.Event, began: float, patience: float, stream: Any) -> None:
    """Draw the progress line until `ended` is set; stop silently if it cannot be written."""
    if ended.wait(max(0.0, began + patience - time.monotonic())):
        return
    with suppress(OSError, ValueError):  # closed meanwhile, or an encoding without the characters
        drawing = _drawing(stream)
        text, changed = "", 0.0
        try:
            while True:  # at least once, even if the work ends meanwhile
                now = time.monotonic()
                if not text or now - changed >= _HOLD:
                    text, changed = drawing.told(began), now
                drawing.draw(text)
                if ended.wait(drawing.period):
                    break
        finally:
            drawing.end()


def _progress_line(began: float) -> str:
    """Return the progress line: elapsed seconds, then the work from outermost to innermost.

    The most important part is first, since a narrow terminal may cut the end.
    """
    *outer, inner = _works[:] or [_Work("", 0, "")]
    works = [*filter(None, (work.text for work in outer)), str(inner)]
    return f"{time.monotonic() - began:.0f} s  {': '.join(works)}"


def _event_line(_began: float) -> str:
    """Return the line for a pipe or file: the names of the work, without time and counts."""
    return ": ".join(work.text for work in _works[:] if work.text)


def _drawing(stream: Any) -> _Drawing:
    """Return the way to show progress on this stream: by rich, as plain text, or line by line."""
    if not _is_drawn(stream):
        return _lines(stream)
    if _is_notebook():
        # not rich: there it needs ipywidgets, and warns without them
        return _plain(stream, "\r")._replace(period=_PERIOD_OF_NOTEBOOK)
    try:
        return _rich(stream)
    except ImportError:
        return _plain(stream, "\r\x1b[2K")


def _rich(stream: Any) -> _Drawing:
    """Return a drawing by the library rich. It is imported only now, because that takes 0.1 s.

    Other output is left alone: by default rich would replace `sys.stdout`.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    shown = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),  # a file may be called [red]
        console=Console(file=stream),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    task = shown.add_task("", total=None)

    def draw(text: str) -> None:
        shown.update(task, description=text, refresh=True)

    shown.start()
    return _Drawing(draw, shown.stop, _PERIOD, _progress_line)


def _lines(stream: Any) -> _Drawing:
    """Return a drawing that writes a new line whenever the work changes, for pipes and files."""
    written = [""]

    def draw(text: str) -> None:
        if text and text != written[0]:
            stream.write(f"fastfeat: {text}\n")
            stream.flush()
            written[0] = text

    return _Drawing(draw, lambda: None, _PERIOD, _event_line)


def _plain(stream: Any, anew: str) -> _Drawing:
    """Return a drawing that rewrites one line of plain text.

    `anew` is written first: it restarts the line, and erases it if the terminal can do that.
    """
    drawn = [0, 0]  # number of drawings, length of the last text

    def put(text: str) -> None:
        stream.write(f"{anew}{text}{' ' * (drawn[1] - len(text))}")
        stream.flush()
        drawn[1] = len(text)

    def draw(text: str) -> None:
        width = shutil.get_terminal_size().columns - 3
        put(f"{_spinning[drawn[0] % len(_spinning)]} {text[:width]}")
        drawn[0] += 1

    def end() -> None:
        put("")
        stream.write("\r")
        stream.flush()

    return _Drawing(draw, end, _PERIOD, _progress_line)
