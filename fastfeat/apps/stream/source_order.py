"""A file with the order in which a partition took messages of its sources since its checkpoint.

A source is a topic's partition: events, outcomes or rows of a lookup table. The answer to an event
depends on the outcomes and table rows that were applied before it. After a crash a partition
returns to its checkpoint and takes its sources in the order of this file again, so that repeated
outputs have the same bits. A row that was too far ahead of the clock before the crash is refused
again, although the clock has moved on.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path

from fastfeat.io.sinks import atomic


class SourceOrder:
    """The order file of one partition.

    It has a line per step (some messages taken from one source), and a line per row that was
    refused because its time was ahead of the clock.

    Args:
        path: Path of the file, which covers the time since the last checkpoint.
        offsets: Offset of each source at the checkpoint; steps up to these offsets are skipped.
        is_kept: Whether steps are written; with a single source there is only one order.
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
        """Record that messages of `source` up to offset `end` are taken, before outputs are sent.

        `steps` are the steps that a run before a crash recorded. While some are left, each call
        must repeat the first of them: the same source, and an offset no larger than its end.
        """
        if self.steps:  # the file has it already
            first, most = self.steps[0]
            assert first == source
            assert end <= most
            if end == most:
                self.steps.popleft()
        elif self._is_kept:
            self._write([source, end])

    def record_ahead(self, offset: int, row: int) -> None:
        """Record a row that was refused as ahead of the clock, before its dead letter is sent."""
        if (offset, row) not in self.ahead:
            self.ahead.add((offset, row))
            self._write([offset, row])

    def sync(self) -> None:
        """Make sure that all lines of the file are on disk."""
        if self._n_unsynced:
            os.fsync(self._descriptor)
            self._n_unsynced = 0

    def clear(self, offset: int) -> None:
        """Drop the records that a checkpoint covers.

        `offset` is the offset of the events at the checkpoint.
        """
        self.ahead = {place for place in self.ahead if place[0] >= offset}
        if self.steps or self.ahead:
            os.close(self._descriptor)
            self._descriptor = self._rewritten()
        else:
            os.ftruncate(self._descriptor, 0)
        self._n_unsynced = 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write(self, line: list[str | int]) -> None:
        self._n_unsynced += os.write(self._descriptor, json.dumps(line).encode() + b"\n")

    def _rewritten(self) -> int:
        """Rewrite the file with the steps and rows that remain; return its file descriptor."""
        lines: Iterable[tuple[str | int, int]] = [*self.steps, *self.ahead]
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        atomic.write_bytes(self._path, content, durable=bool(content), private=True)
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
