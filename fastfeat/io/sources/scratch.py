"""Scratch copies: decoded columns of a data set on disk, for passes that read them again.

A column is decoded once, and memory-mapped after that. The file has no name, so it disappears when
it is closed, however the process ends.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import time
from bisect import bisect_right
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import field
from pathlib import Path
from typing import IO, Any, NamedTuple

from fastfeat_kernels.records import dataclass

from fastfeat.io.arrow import ChunkedArray, Table, pa
from fastfeat.io.sources.parts import Origin
from fastfeat.io.temporary_files import open_unnamed

_SHARE_OF_DISK = 2
_FEW_BYTES = 1 << 28
"""Bytes that are written before the times of writing and reading are compared."""
_MOST_SLOWER = 2
_FEW_PIECES, _LEAST_PIECE = 1 << 14, 1 << 14
"""Above this number of pieces, they must average this many bytes: small ones are mostly headers."""
_MOUNTS = Path("/proc/self/mounts")
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


class ScratchPiece(NamedTuple):
    """Consecutive rows of one column, stored in the file as an Arrow stream.

    Args:
        first_row: Number of the first row.
        stop: Number after the last row.
        offset: Position in the file.
        n_bytes: Size in bytes.
    """

    first_row: int
    stop: int
    offset: int
    n_bytes: int


@dataclass(slots=True, eq=False)
class Scratch:
    """A file with decoded columns of a data set, each of them complete.

    Args:
        file: File without a name.
        most_bytes: Size limit; 0 once writing was abandoned.
        n_rows: Number of rows of the data set; None before the first column is complete.
        pieces: The pieces of each column, in row order.
        origins: The files or parts that the rows come from, in row order.
        n_bytes: Size of the file.
    """

    file: IO[bytes]
    most_bytes: int
    n_rows: int | None = None
    pieces: dict[str, Sequence[ScratchPiece]] = field(
        default_factory=dict[str, "Sequence[ScratchPiece]"]
    )
    origins: list[Origin] = field(default_factory=list[Origin])
    n_bytes: int = 0

    def rows(self, names: Sequence[str], first: int, stop: int) -> Table:
        """Return rows `first` to `stop` (exclusive) as a table that is memory-mapped from the file.

        `names` lists at least one column of the copy.
        """
        pieces = {name: self._pieces_of(name, first, stop) for name in names}
        every = [piece for own in pieces.values() for piece in own]
        is_whole = all(first <= piece.first_row and piece.stop <= stop for piece in every)
        content = _mapped(self.file, every, is_whole)
        return pa.table({name: _column(own, content, first, stop) for name, own in pieces.items()})

    def _pieces_of(self, name: str, first: int, stop: int) -> list[ScratchPiece]:
        """Return the stored pieces of a column that hold rows `first` to `stop` (exclusive)."""
        place, pieces = self._place(name, first), self.pieces[name]
        end = place + 1
        while end < len(pieces) and pieces[end].first_row < stop:
            end += 1
        return [*pieces[place:end]]

    def stop_of(self, names: Sequence[str], most_bytes: int, first: int, more: float = 0.0) -> int:
        """Return the number after the last row of the next table, which has about `most_bytes`.

        The table has at least one row. `more` is the bytes per row in addition to the named
        columns.
        """
        assert self.n_rows is not None
        if first >= self.n_rows:
            return self.n_rows
        held = [self.pieces[name][self._place(name, first)] for name in names]
        row_bytes = more + sum(of.n_bytes / (of.stop - of.first_row) for of in held)
        stop = min(first + max(1, int(most_bytes / row_bytes)), self.n_rows)
        edge = self.pieces[names[0]][self._place(names[0], stop)].first_row
        # tables of whole pieces have the fewest chunks
        return edge if stop < self.n_rows and edge - first > (stop - first) // 2 else stop

    def _place(self, name: str, row: int) -> int:
        """Return the index of the stored piece of a column that holds a row."""
        return bisect_right(self.pieces[name], row, key=_first_row) - 1

    def origins_of(self, first: int, stop: int) -> tuple[Origin, ...]:
        """Return the files or parts that rows `first` to `stop` (exclusive) come from."""
        begin = max(0, bisect_right(self.origins, first, key=_first_row) - 1)
        end = bisect_right(self.origins, stop - 1, key=_first_row)
        return tuple(self.origins[begin:end])


def _first_row(of: ScratchPiece | Origin) -> int:
    return of.first_row


def _column(
    pieces: Sequence[ScratchPiece], content: Mapping[ScratchPiece, Any], first: int, stop: int
) -> ChunkedArray:
    """Return rows `first` to `stop` (exclusive) of a column, from the pieces that hold them."""
    found: list[ChunkedArray] = []
    for piece in pieces:
        column = pa.ipc.open_stream(content[piece]).read_all().column(0)
        begin = max(first, piece.first_row)
        found.append(column.slice(begin - piece.first_row, stop - begin))
    chunks = [chunk for column in found for chunk in column.chunks]
    return pa.chunked_array(chunks, found[0].type)


def _mapped(
    file: IO[bytes], pieces: Sequence[ScratchPiece], is_whole: bool
) -> dict[ScratchPiece, Any]:
    """Return the memory-mapped bytes of each piece.

    They stay mapped while something refers to them. Neighbouring pieces are mapped together: Python
    opens the file once more for each map, and a table of 2,000 columns exceeded the open-file limit
    of the process. `is_whole` says that all rows are read. The map is then populated at once, so
    that the thread that reads ahead takes the page faults.
    """
    found: dict[ScratchPiece, Any] = {}
    together: list[ScratchPiece] = []
    for piece in [*sorted(pieces, key=_offset), None]:
        end = together[-1].offset + together[-1].n_bytes if together else 0
        if together and (piece is None or piece.offset - end >= mmap.ALLOCATIONGRANULARITY):
            start = together[0].offset
            whole = pa.py_buffer(_map(file, start, end - start, is_whole))
            found |= {of: whole.slice(of.offset - start, of.n_bytes) for of in together}
            together = []
        if piece is not None:
            together.append(piece)
    return found


def _offset(of: ScratchPiece) -> int:
    return of.offset


def _map(file: IO[bytes], offset: int, n_bytes: int, is_whole: bool) -> mmap.mmap:
    if is_whole and hasattr(mmap, "MAP_POPULATE"):
        flags = mmap.MAP_PRIVATE | mmap.MAP_POPULATE
        return mmap.mmap(file.fileno(), n_bytes, flags=flags, prot=mmap.PROT_READ, offset=offset)
    return mmap.mmap(file.fileno(), n_bytes, access=mmap.ACCESS_READ, offset=offset)


@dataclass(slots=True, eq=False)
class ScratchWriter:
    """Writes columns to a scratch copy during a scan.

    Args:
        scratch: The copy; it receives the columns once they are complete.
        pieces: Pieces of each column so far.
        origins: Sources of the rows so far.
        n_rows: Number of rows so far.
        end: End of the written bytes; None once the copy was abandoned.
        seconds: Time spent writing.
    """

    scratch: Scratch
    pieces: dict[str, list[ScratchPiece]]
    origins: list[Origin] = field(default_factory=list[Origin])
    n_rows: int = 0
    end: int | None = 0
    seconds: float = 0.0

    def add(self, table: Table, origins: Sequence[Origin], seconds_read: float) -> None:
        """Write the next rows; abandon the copy if the disk is full, or slower than reading.

        `seconds_read` is the time that reading all rows so far took.
        """
        if self.end is None or not self.pieces:
            return
        self.origins += [o for o in origins if not self.origins or o.name != self.origins[-1].name]
        began, stop = time.perf_counter(), self.n_rows + table.num_rows
        try:
            for name, pieces in self.pieces.items():
                if table.num_rows:
                    offset = -(-self.end // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
                    self.end = self._write(table.select([name]), offset)
                    pieces.append(ScratchPiece(self.n_rows, stop, offset, self.end - offset))
        except OSError:  # no space is left, or the file size limit is reached
            self._give_up()
            return
        self.n_rows = stop
        self.seconds += time.perf_counter() - began
        n_bytes = self.end - self.scratch.n_bytes
        n_pieces = sum(map(len, self.pieces.values()))
        if (
            self.end > self.scratch.most_bytes
            or (n_bytes > _FEW_BYTES and self.seconds > _MOST_SLOWER * seconds_read)
            or (n_pieces > _FEW_PIECES and n_bytes < n_pieces * _LEAST_PIECE)
        ):
            self._give_up()

    def _write(self, table: Table, offset: int) -> int:
        """Write a table at an offset and return the offset of its end."""
        file = self.scratch.file
        file.seek(offset)
        with pa.ipc.new_stream(pa.PythonFile(file, "w"), table.schema) as writer:
            writer.write_table(table)
        return file.tell()

    def _give_up(self) -> None:
        self.end, self.scratch.most_bytes = None, 0
        with suppress(OSError):
            self.scratch.file.seek(self.scratch.n_bytes)
            self.scratch.file.truncate()

    def close(self) -> None:
        """Add the written columns to the copy, after all rows were scanned."""
        if self.end is None or not self.pieces or not self.n_rows:
            return
        try:
            self.scratch.file.flush()
        except OSError:
            self._give_up()
            return
        self.scratch.n_bytes, self.scratch.n_rows = self.end, self.n_rows
        self.scratch.pieces |= self.pieces
        self.scratch.origins = self.origins


def scratch_writer(scratch: Scratch, names: Sequence[str]) -> ScratchWriter:
    """Return a writer that adds columns to a scratch copy; it adds none to an abandoned copy."""
    return ScratchWriter(scratch, {n: [] for n in names if scratch.most_bytes}, end=scratch.n_bytes)


@contextmanager
def scratch_file(folder: str | os.PathLike[str] | None = None) -> Generator[Scratch | None]:
    """Yield an empty scratch copy, or None if there is no disk for it.

    `folder` defaults to the folder of temporary files.
    """
    with ExitStack() as stack:
        scratch: Scratch | None = None
        with suppress(OSError):
            where = folder or tempfile.gettempdir()
            most_bytes = room_for_copy(where)
            if most_bytes:
                scratch = Scratch(stack.enter_context(open_unnamed(where)), most_bytes)
        yield scratch


def room_for_copy(folder: str | os.PathLike[str]) -> int:
    """Return the bytes that a scratch copy in a folder may take: half of the free disk space.

    Returns 0 for a folder that is in memory.

    Raises:
        OSError: The folder does not exist.
    """
    return 0 if _is_in_memory(folder) else shutil.disk_usage(folder).free // _SHARE_OF_DISK


def _is_in_memory(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder is on a file system that is held in memory."""
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return False
    path, found = Path(folder).resolve(), ("", "")
    for line in lines:
        _, place, kind, *_ = line.split(" ")
        if len(place) >= len(found[0]) and path.is_relative_to(place):
            found = place, kind
    return found[1] in _IN_MEMORY
