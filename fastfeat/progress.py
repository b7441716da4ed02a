"""A line on stderr that says what is done, where it takes longer than a second; gone at its end.

    with doing("learning", 3, "scans") as step:
        step(1)                     # one of three is done
        step("learning medians")    # what is done instead

It is drawn where stderr is a terminal, by rich if that is installed, or a notebook, and its text
holds still for a second. What begins within is told on the same line. Into a pipe or a file an
event is written as a line that stays: a kernel that is compiled, another process that is waited
for, a step of a demo. Nothing is told in a process that another has started, or of a thread that is
not the main one. FASTFEAT_PROGRESS=0 turns it off.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

Step = Callable[[int | str], None]
"""Says how many are done, or what is done instead of what was."""

PATIENCE = 1.0  # seconds, before anything is said
_PERIOD = 0.1  # seconds between two drawings, for the spinner
_PERIOD_OF_NOTEBOOK = 0.5  # each is a message, and some record them all
_HOLD = 1.0  # seconds for which a text stands: one that changes faster cannot be read
_process = os.getpid()  # a fork is another, and tells nothing
_spinning = "|/-\\"


@dataclass(slots=True)
class _Work:
    """Something that is being done; a step changes it, and another thread draws it.

    Args:
        text: what it is.
        total: how many of them there are, or 0.
        of: what these are called.
        done: how many are done.
        now: what is done now, in words, or "".
    """

    text: str
    total: int
    of: str
    done: int = 0
    now: str = ""

    def __str__(self) -> str:
        """Return the text of it, and how much of it is done already."""
        counted = f"{self.done:,} of {self.total:,} {self.of}" if self.total > 1 else ""
        return ", ".join(filter(None, (self.text, counted, self.now)))


class _Drawing(NamedTuple):
    """The functions that draw a line and take it away, and the time between drawings.

    Args:
        draw: shows a text in place of what was there.
        end: takes it away.
        period: seconds from one drawing to the next.
        told: returns the text, of a work that began at a time.
    """

    draw: Callable[[str], None]
    end: Callable[[], None]
    period: float
    told: Callable[[float], str]


_works: list[_Work] = []
"""What the main thread does, each within the one before it."""


@contextmanager
def doing(
    text: str,
    total: int = 0,
    of: str = "rows",
    *,
    since: float | None = None,
    at_once: bool = False,
    is_event: bool = False,
) -> Generator[Step]:
    """Tell what a block does, from a second after its begin until its end, however it ends.

    Without anyone to tell it costs some microseconds, and with one a thread: what may take less
    than a millisecond had better not be told.

    Args:
        text: what is done: "compiling kernels".
        total: how many of something that is; 0 where nobody knows.
        of: what these are called.
        since: `time.monotonic()` when this, or what it is a part of, began; None for now.
        at_once: whether to tell it before a second has passed.
        is_event: whether it is told as a line of its own where there is no terminal.
    """
    if not (_may_tell() and (is_event or _is_drawn(sys.stderr))):
        yield _untold
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
    finally:  # an interrupt may have come before it was among them
        _works[:] = [other for other in _works if other is not work]


def is_telling() -> bool:
    """Return whether what this thread does is told: a tenth of a microsecond where nothing is."""
    return bool(_works) and threading.get_ident() == threading.main_thread().ident


def tell(now: str = "", done: int | None = None) -> None:
    """Tell a step of the work that is told, and how many are done.

    Code that is called from far away may say so without the step of the block that it runs in.
    """
    if is_telling():
        work = _works[-1]
        work.now = now or work.now
        work.done = work.done if done is None else done


def rate_told(
    n_rows: int, total: int | None, n_bytes: int, seconds: float, n_before: int = 0
) -> str:
    """Return how far a work over rows is, its rate, and how long it may take still.

    Args:
        n_rows: that are done, with those that were done before.
        total: of all; None where nobody knows.
        n_bytes: of what was done.
        seconds: since it began.
        n_before: rows that were done before it began.

    Example:
        >>> rate_told(3_000_000, 9_000_000, 800_000_000, 4.0, n_before=1_000_000)
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


def _step_of(work: _Work) -> Step:
    def step(to: int | str) -> None:
        if isinstance(to, str):
            work.text = to
        else:
            work.done = to

    return step


def _untold(to: int | str) -> None:
    """Say nothing."""


def _may_tell() -> bool:
    """Return whether this process and this thread are the ones that tell."""
    if os.environ.get("FASTFEAT_PROGRESS") == "0" or os.getpid() != _process:
        return False
    if threading.get_ident() != threading.main_thread().ident:
        return False
    processes: Any = sys.modules.get("multiprocessing.process")  # of workers it is loaded
    return processes is None or processes.parent_process() is None


def _is_drawn(stream: Any) -> bool:
    """Return whether a line on a stream can be drawn anew, and taken away."""
    return _is_terminal(stream) or _is_notebook()


def _is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal that can draw a line anew."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # closed, or no file at all
        return False


def _is_notebook() -> bool:
    """Return whether stderr is that of a cell, where a carriage return begins its line anew."""
    return "ipykernel" in sys.modules and type(sys.stderr).__module__.startswith("ipykernel.")


@contextmanager
def _line(began: float, patience: float) -> Generator[None]:
    """Let a thread draw what is done, from so many seconds after its begin."""
    ended = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(ended, began, patience, sys.stderr), name="fastfeat", daemon=True
    )
    try:
        with suppress(RuntimeError):  # the interpreter is ending: no thread can be started
            watcher.start()
        yield
    finally:
        ended.set()
        with suppress(RuntimeError):
            watcher.join()


def _watch(ended: threading.Event, began: float, patience: float, stream: Any) -> None:
    """Draw what is done until it has ended; a stream that cannot be written is left alone."""
    if ended.wait(max(0.0, began + patience - time.monotonic())):
        return
    with suppress(OSError, ValueError):  # closed meanwhile, or of an encoding without the spinner
        drawing = _drawing(stream)
        text, changed = "", 0.0
        try:
            while True:  # once at least, if it ends meanwhile
                now = time.monotonic()
                if not text or now - changed >= _HOLD:
                    text, changed = drawing.told(began), now
                drawing.draw(text)
                if ended.wait(drawing.period):
                    break
        finally:
            drawing.end()


def _told(began: float) -> str:
    """Return the line: for how long, what is done, and what that does in turn, with how much of it.

    A terminal may be narrow: what comes last may not be seen.
    """
    *outer, inner = _works[:] or [_Work("", 0, "")]
    works = [*filter(None, (work.text for work in outer)), str(inner)]
    return f"{time.monotonic() - began:.0f} s  {': '.join(works)}"


def _event(_began: float) -> str:
    """Return the event that is told as a line: without time and counts, which change."""
    return ": ".join(work.text for work in _works[:] if work.text)


def _drawing(stream: Any) -> _Drawing:
    """Return the drawing of a line on a stream."""
    if not _is_drawn(stream):
        return _lines(stream)
    if _is_notebook():
        # not rich, which needs ipywidgets there, and warns where they lack
        return _plain(stream, "\r")._replace(period=_PERIOD_OF_NOTEBOOK)
    try:
        return _rich(stream)
    except ImportError:
        return _plain(stream, "\r\x1b[2K")


def _rich(stream: Any) -> _Drawing:
    """Return a line by rich, which is imported only now: that takes 0.1 s.

    What others print is left alone: rich would put itself in the place of `sys.stdout`.
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
    return _Drawing(draw, shown.stop, _PERIOD, _told)


def _lines(stream: Any) -> _Drawing:
    """Return lines that stay, one for each event that has not been told yet."""
    written = [""]

    def draw(text: str) -> None:
        if text and text != written[0]:
            stream.write(f"fastfeat: {text}\n")
            stream.flush()
            written[0] = text

    return _Drawing(draw, lambda: None, _PERIOD, _event)


def _plain(stream: Any, anew: str) -> _Drawing:
    """Return a line of text alone.

    Args:
        stream: where it goes.
        anew: what begins the line anew, and empties it where the terminal can do that.
    """
    drawn = [0, 0]  # times, and the characters of the last one

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

    return _Drawing(draw, end, _PERIOD, _told)
