"""Rows of an Arrow stream that a stranger sent: checked whole before a kernel reads them."""

from __future__ import annotations

from fastfeat.io.arrow import Table, pa
from fastfeat.serve.refusals import Refusal
from fastfeat.serve.rows import RowReader, check_number


def arrow_rows(body: bytes, reader: RowReader, most_bytes: int) -> Table:
    """Return the rows of an Arrow stream.

    Args:
        body: the stream.
        reader: says which columns are read, and how many rows are taken.
        most_bytes: of the rows in memory, where they were compressed.

    Raises:
        Refusal: it is no such stream, or its buffers do not say what its types promise.
    """
    try:
        with pa.ipc.open_stream(body) as stream:
            wanted = [n for n in stream.schema.names if n in reader.columns or n in reader.passed]
            batches = []
            n_rows = n_bytes = 0
            for batch in stream:
                n_rows += batch.num_rows
                check_number(n_rows, reader.most)
                batch = batch.select(wanted)
                batch.validate(full=True)
                n_bytes += batch.nbytes
                if n_bytes > most_bytes:
                    raise Refusal(
                        413, "BodyTooLarge", f"the rows have more than {most_bytes:,} bytes"
                    )
                batches.append(batch)
            return pa.Table.from_batches(batches, stream.schema).select(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, KeyError) as error:
        raise Refusal(400, "NotArrow", f"the body is no Arrow stream: {str(error)[:200]}") from None
