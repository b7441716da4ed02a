"""Replays of the log of answers: as it is, and in a copy with one byte changed."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastfeat.api.online import replay
from fastfeat.errors import FastfeatError
from fastfeat.io.arrow import pa
from fastfeat.live.audit.replay_report import Replay
from fastfeat.live.file.entries import table_bytes

COPY = "changed.state"
_COLUMN = "dep_delay"


@dataclass(frozen=True, slots=True)
class Audited:
    """The results of replays.

    Args:
        told: Result for the unchanged state, in a line.
        seconds: Time of this replay.
        n_rows: Number of rows that it compared.
        changed: The change in the copy.
        found: Result for the copy, in a line.
        ok: Whether the first replay matched the log, and the second named the change.
    """

    told: str
    seconds: float
    n_rows: int
    changed: str
    found: str
    ok: bool


def audited(folder: Path, state: Path, artifact: Path) -> Audited:
    """Return the results of `fastfeat replay` in a state, and in a copy with one byte changed.

    Args:
        folder: Folder of the copy.
        state: State that no process writes to.
        artifact: The plan recorded as the one that answered.
    """
    started = time.perf_counter()
    whole = replay(state, artifact)
    seconds = time.perf_counter() - started
    copy = folder / COPY
    shutil.copyfile(state, copy)
    offset = _change_a_byte(copy)
    found = replay(copy, artifact)
    is_named = (
        found.difference is not None
        and found.difference.offset == offset
        and found.difference.column == _COLUMN
    )
    return Audited(
        told=_told(whole),
        seconds=seconds,
        n_rows=whole.n_rows,
        changed=f"one byte of {_COLUMN!r} of the flight at offset {offset:,}, in a copy",
        found=_told(found),
        ok=whole.ok and is_named,
    )


def _told(found: Replay) -> str:
    if found.difference is not None:
        return f"names {found.difference}"
    return f"{found.n_changes:,} changes of {found.n_rows:,} rows: every bit, and every link"


def _change_a_byte(state: Path) -> int:
    """Change one byte of the data behind a flight's answer, and return its offset.

    FastfeatError if the state has no entry of flights.
    """
    with closing(sqlite3.connect(state)) as database, database:
        numbers = [
            number
            for (number,) in database.execute(
                "SELECT seq FROM segments WHERE kind = 'process' ORDER BY seq"
            )
        ]
        if not numbers:
            raise FastfeatError(f"{state} has no entry of flights in which to change a byte")
        number = numbers[len(numbers) // 2]
        content, end = database.execute(
            "SELECT rows, ends FROM segments WHERE seq = ?", (number,)
        ).fetchone()
        rows = pa.ipc.open_stream(content).read_all()
        row = rows.num_rows // 2
        changed = rows.set_column(
            rows.column_names.index(_COLUMN), _COLUMN, _with_a_byte(rows[_COLUMN], row)
        )
        database.execute(
            "UPDATE segments SET rows = ? WHERE seq = ?", (table_bytes(changed, "lz4"), number)
        )
    return int(end) - rows.num_rows + row


def _with_a_byte(column: Any, row: int) -> Any:
    """Return a column of whole numbers with the lowest byte of one changed."""
    values = column.fill_null(0).to_numpy().copy()
    values.view(np.uint8).reshape(len(values), -1)[row, 0] ^= 1
    is_missing = column.is_null().to_numpy()
    is_missing[row] = False
    return pa.array(values, column.type, mask=is_missing)
