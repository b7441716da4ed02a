"""Threads whose end a test waits for, and a computation inside of which one of them waits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fastfeat.engine.gpu.computations import Computations
from fastfeat.errors import OutOfDeviceMemory
from fastfeat_tests.patience import joined, passed, until


class Worker(threading.Thread):
    """A thread whose result or error is taken by `end`."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:
            self.error = error

    def end(self) -> Any:
        joined(self)
        if self.error is not None:
            raise self.error
        return self.result


def waiting(shared: Computations, n: int) -> None:
    """Wait until so many computations wait for others."""
    until(lambda: sum(not one.is_running for one in shared._live()) == n)


def lacking() -> None:
    raise OutOfDeviceMemory("lacking")


class Held:
    """A computation of another thread, inside of which it waits for `end`."""

    def __init__(self, shared: Computations, work: Callable[[], Any] = lambda: None) -> None:
        self._is_inside, self._may_end = threading.Event(), threading.Event()

        def wait() -> Any:
            found = work()
            self._is_inside.set()
            passed(self._may_end)
            return found

        self._worker = Worker(lambda: shared.run(wait))
        passed(self._is_inside)

    def end(self) -> Any:
        self._may_end.set()
        return self._worker.end()
