"""The order in which a partition has taken its sources since its last checkpoint, in a file.

What a row is answered depends on which outcomes and rows of tables came before it. After a crash a
partition goes back to its checkpoint, and takes its sources in the order of this file again, so
that outputs that had left come again with the same bits. A row that was too far ahead of the clock
then is so again, although the clock has moved.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path

from fastfeat.io.sinks.atomic import write_bytes


class Order:
    """The file of one partition: a line for each step, and for each row ahead of the clock.

    Args:
        path: of the file; what it holds is of the last checkpoint on.
        offsets: of the checkpoint, by source: steps up to there are left out.
        is_kept: whether steps are written; without other sources there is one order only.
    """

    def __init__(self, path: Path, offsets: Mapping[str, int], *, is_kept: bool) -> None:
        self._path, self._is_kept = path, is_kept
        self.steps: deque[tuple[str, int]] = deque()
        self.ahead: set[tuple[int, int]] = set()
        for line in _lines(path):
            match line:
                case [str(source), int(end)]:
                    if end > offsets.get(source, 0):
                        self.steps.append((source, end))
                case [int(offset), int(row)]:
                    self.ahead.add((offset, row))
                case _:
                    break  # a line that a crash cut off
        self._n_unsynced = 0
        self._descriptor = self._rewritten()

    def step(self, source: str, end: int) -> None:
        """Note that a source is taken up to an offset, before outputs of it leave.

        Args:
            source: such as "events:0"; while there are `steps`, that of the first.
            end: the offset; while there are `steps`, not after that of the first.
        """
        if self.steps:  # it stands there already
            first, most = self.steps[0]
            assert first == source
            assert end <= most
            if end == most:
                self.steps.popleft()
        elif self._is_kept:
            self._write([source, end])

    def put_ahead(self, offset: int, row: int) -> None:
        """Note that a row was ahead of the clock, before its dead letter leaves."""
        if (offset, row) not in self.ahead:
            self.ahead.add((offset, row))
            self._write([offset, row])

    def sync(self) -> None:
        """Bring what was noted onto the disk."""
        if self._n_unsynced:
            os.fsync(self._descriptor)
            self._n_unsynced = 0

    def clear(self, offset: int) -> None:
        """Forget what a checkpoint has.

        Args:
            offset: of the events that it goes to.
        """
        self.ahead = {place for place in self.ahead if place[0] >= offset}
        if self.steps or self.ahead:
            os.close(self._descriptor)
            self._descriptor = self._rewritten()
        else:
            os.ftruncate(self._descriptor, 0)
        self._n_unsynced = 0

    def close(self) -> None:
        """End."""
        os.close(self._descriptor)

    def _write(self, line: list[str | int]) -> None:
        self._n_unsynced += os.write(self._descriptor, json.dumps(line).encode() + b"\n")

    def _rewritten(self) -> int:
        """Return the descriptor of the file after writing what is known anew."""
        lines: Iterable[tuple[str | int, int]] = [*self.steps, *self.ahead]
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        write_bytes(self._path, content, durable=bool(content), private=True)
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def _lines(path: Path) -> list[object]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    found: list[object] = []
    for line in text.split(b"\n")[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append(None)
    return found
