"""Rows of an Arrow stream from an untrusted sender, fully checked before a kernel reads them."""

from __future__ import annotations

from fastfeat.apps.serve.json_rows import RowReader, check_n_rows
from fastfeat.apps.serve.refusals import Refusal
from fastfeat.io.arrow import RecordBatch, Schema, Table, pa, schema_with
from fastfeat.io.sources.stream_size import unpacked_bytes


def arrow_rows(body: bytes, reader: RowReader, most_bytes: int) -> Table:
    """Return the rows of an Arrow stream as a table with the columns that the plan reads.

    `most_bytes` limits the size of the rows in memory, after decompression.

    Raises:
        Refusal: The body is no Arrow stream, its buffers contradict its types, or it is too large.
    """
    try:
        if unpacked_bytes(body) > most_bytes:
            raise too_large(most_bytes)
        with pa.ipc.open_stream(body) as stream:
            batches: list[RecordBatch] = []
            taken = CheckedStream(reader, most_bytes)
            for batch in stream:
                batches.append(taken.checked(batch))
            return pa.Table.from_batches(batches, taken.schema(stream.schema))
    except _REFUSED as error:
        raise not_arrow(error) from None


_REFUSED = (
    pa.ArrowInvalid,
    pa.ArrowNotImplementedError,
    pa.ArrowKeyError,
    pa.ArrowTypeError,
    OSError,
    ValueError,
)


def too_large(most_bytes: int) -> Refusal:
    """Return the error to raise for rows that are too large when decompressed."""
    return Refusal(413, "BodyTooLarge", f"the rows are larger than {most_bytes:,} bytes")


def not_arrow(error: Exception) -> Refusal:
    """Return the error to raise for a body that is not an Arrow stream."""
    return Refusal(400, "NotArrow", f"the body is not an Arrow stream: {str(error)[:200]}")


class CheckedStream:
    """The checks of one stream, batch by batch: its columns, its buffers, and its total size.

    `most_bytes` limits the size of all rows in memory.
    """

    def __init__(self, reader: RowReader, most_bytes: int) -> None:
        self._reader = reader
        self._most_bytes = most_bytes
        self._n_rows = 0
        self._n_bytes = 0

    def checked(self, batch: RecordBatch) -> RecordBatch:
        """Return a batch with only the columns that the plan reads, after checking their buffers.

        Raises:
            Refusal: There are too many rows, or they are too large.
            ArrowInvalid: An offset points beyond its buffer, a text is not UTF-8, or the like.
        """
        self._n_rows += batch.num_rows
        check_n_rows(self._n_rows, self._reader.most)
        read = batch.select(self.schema(batch.schema).names)
        read.validate(full=True)
        self._n_bytes += read.nbytes
        if self._n_bytes > self._most_bytes:
            raise too_large(self._most_bytes)
        return read

    def schema(self, given: Schema) -> Schema:
        """Return a schema with only the columns that the plan reads.

        Raises:
            Refusal: A column appears twice, or the plan reads none of them.
        """
        known = self._reader.columns
        names = [name for name in given.names if name in known or name in self._reader.passed]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise Refusal(400, "InvalidData", f"the column {twice!r} appears twice", column=twice)
        if not names and (known or not given.names):
            raise self._reader.no_column_error(given.names)
        return schema_with(given, names or given.names[:1])  # one column keeps n_rows
