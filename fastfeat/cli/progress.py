"""A sign of life on stderr while something long runs; nothing where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

Step = Callable[[str], None]
"""Says what is being done now."""


@contextmanager
def progress(first_step: str) -> Generator[Step]:
    """Show a spinner, the step and the seconds since it began; gone when the block ends."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    # Not needed without a terminal, and 0.1 s to import.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(first_step, total=None)
        yield lambda step: shown.reset(task, description=step, total=None)
