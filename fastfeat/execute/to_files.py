"""Writing features to a file, or to a folder of part files, while they are computed.

The file or the folder appears whole or not at all. An interrupted run continues after the parts
that a folder already has, if the data is in files that have not changed.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import field
from pathlib import Path
from typing import Any, cast

from fastfeat_kernels.records import dataclass

from fastfeat.errors import (
    FastfeatError,
    OutputError,
    counted,
    reason_of,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.layout import Layout, check_beside
from fastfeat.execute.lookup_tables import Tables, read_tables
from fastfeat.execute.pieces import (
    MOST_BYTES,
    FeaturePieces,
    known_tables,
    pieces_of_later_rows,
)
from fastfeat.execute.window_columns import history_of
from fastfeat.io.arrow import Table, pa, write_ipc_stream
from fastfeat.io.sinks import atomic
from fastfeat.io.sinks.file_writers import open_writer, without_dictionaries
from fastfeat.io.sinks.folder_formats import FOLDER_FORMATS
from fastfeat.io.sinks.manifest import Manifest, OutputContents, OutputPart, WrittenFile
from fastfeat.io.sinks.output_folder import add_part, open_unfinished, publish, read_finished
from fastfeat.io.sinks.partitions import check_columns
from fastfeat.io.sinks.parts import group_rows_of, part_rows_of, parts_of, regroup_rows
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.formats import FileFormat
from fastfeat.ir.node import TableColumn
from fastfeat.progress import ProgressStep, rate_text, show_progress

PLAN_KEY = "fastfeat.plan"
"""Key in the metadata of output files for the hash of the fitted plan."""


def write_features(
    pieces: FeaturePieces,
    layout: Layout,
    digest: str,
    of_tables: str,
    history: Dataset | str | None = None,
    *,
    training: bool = False,
    given: str = "",
) -> Manifest:
    """Write the features of a data set, and return the manifest of the files.

    Args:
        pieces: The data, with the function that computes its features as Arrow tables.
        layout: Where and how to write the files.
        digest: Digest of the fitted plan.
        of_tables: Digest of the lookup tables.
        history: Earlier rows that windows see.
        training: Whether the rows are the training rows, with features computed out of fold.
        given: Digest of the selected rows of the data; "" for all rows.

    Raises:
        FastfeatError: The features of a row cannot be computed.
        OutputError: The output cannot be written, or something else exists there.
    """
    form, dataset = FOLDER_FORMATS.get(layout.form) if layout.is_folder else None, pieces.dataset

    def prepared(table: Table) -> Table:
        plain = without_dictionaries(table)
        return with_digest(plain if form is None else form.prepared(plain), digest)

    def features(start: int) -> Generator[Table]:
        with closing(pieces.of_all(start)) as found:
            yield from map(prepared, found)

    empty = prepared(pieces.of_none())
    check_columns(layout.partition_by, empty.schema)
    contents = OutputContents(
        digest,
        of_tables,
        _source_of(dataset, history, given),
        layout.form,
        layout.part_rows or part_rows_of(empty.schema),
        layout.partition_by,
        training,
    )
    write = _write_folder if layout.is_folder else _write_file
    with show_progress(f"writing {layout.target}") as step:
        return write(
            layout, contents, empty, features, _WriteProgress(step, layout.target, dataset.n_rows)
        )


def write_later_rows(
    fitted: Fitted,
    rows: CallRows,
    layout: Layout,
    digest: str,
    *,
    read: Dataset | None = None,
    most_bytes: int | Callable[[], int] = MOST_BYTES,
    n_shares: int | None = None,
    on_violation: str | None = None,
) -> Manifest:
    """Write the features of new rows, with the errors of `FittedPlan.transform_to`.

    Args:
        fitted: The plan.
        rows: The rows.
        layout: Where and how to write the features.
        digest: Digest of the fitted plan.
        read: The rows as a data set; None to make one from `rows`.
        most_bytes: Most bytes of rows read at a time.
        n_shares: Number of shares for windows that see other rows; None to choose it by size.
        on_violation: Action for rows that break a rule of the contract; None for each rule's own.
    """
    dataset, earlier = read or dataset_of(rows.data), None
    known = known_tables(fitted, rows.tables)
    if fitted.declaration.past_columns:
        earlier = history_of(rows.history)
    parent = layout.target.parent
    pieces = pieces_of_later_rows(
        fitted,
        rows._replace(data=dataset, history=earlier, tables=known),
        most_bytes=most_bytes,
        n_shares=n_shares,
        folder=parent if parent.is_dir() else None,
        on_violation=on_violation,
    )
    of_lookup = rows.tables.values() if isinstance(rows.tables, Mapping) else ()
    given = () if isinstance(earlier, str) else (rows.history,)
    check_beside(layout, rows.data, *given, *of_lookup, read=(pieces.dataset, earlier))
    of_tables = digest_of_tables(known, list(fitted.table_columns))
    return write_features(pieces, layout, digest, of_tables, earlier)


FeatureTables = Callable[[int], Generator[Table]]
"""Function `(first_row) -> tables` that yields the features chunk by chunk from that row on."""


def _write_file(
    layout: Layout,
    contents: OutputContents,
    empty: Table,
    features: FeatureTables,
    told: _WriteProgress,
) -> Manifest:
    """Write one file, which appears whole or not at all."""
    n_rows = group_rows_of(empty.schema)
    try:
        with atomic.replace_file(layout.target) as partial:
            with (
                open_writer(partial, cast("FileFormat", layout.form), empty.schema) as writer,
                closing(features(0)) as tables,
            ):
                groups = regroup_rows(tables, n_rows, n_rows)
                for group in _one_at_least(groups, empty):
                    writer.write_table(told.add(group))
                    del group  # free it before the next one is computed
            atomic.sync(partial)
            n_bytes = partial.stat().st_size
    except (OSError, pa.ArrowException) as error:
        raise _unwritten(layout.target, error) from error
    written = WrittenFile(layout.target.name, told.n_rows, n_bytes)
    return Manifest(contents, (OutputPart(0, told.n_rows, (written,)),), is_whole=True)


def _write_folder(
    layout: Layout,
    contents: OutputContents,
    empty: Table,
    features: FeatureTables,
    told: _WriteProgress,
) -> Manifest:
    """Write the parts that a folder does not have yet."""
    target, part_rows = layout.target, contents.part_rows
    form = FOLDER_FORMATS[layout.form]
    found = read_finished(target, contents)
    if found is not None:
        return found
    n_rows = min(group_rows_of(empty.schema), part_rows)
    with open_unfinished(target, contents) as (folder, manifest):
        try:
            if not manifest.is_whole:
                told.skip(manifest.n_rows)
                with closing(features(manifest.n_rows)) as tables:
                    groups = regroup_rows(tables, n_rows, part_rows)
                    if not manifest.parts:
                        groups = _one_at_least(groups, empty)
                    for part in parts_of(groups, part_rows):
                        name = f"part-{len(manifest.parts):06}"
                        groups_told = map(told.add, part)
                        written = form.write_part(
                            folder, name, groups_told, contents.partition_by, n_rows
                        )
                        n_part = sum(file.n_rows for file in written)
                        done = OutputPart(manifest.n_rows, n_part, written)
                        manifest = add_part(folder, manifest, done)
                form.commit(folder, manifest, empty.schema)
            return publish(folder, target, manifest)
        except (OSError, pa.ArrowException) as error:
            if isinstance(error, FastfeatError):
                raise
            raise _unwritten(target, error, manifest) from error


def _one_at_least(groups: Iterator[Table], empty: Table) -> Generator[Table]:
    """Yield the groups of rows; if there are none, yield the table `empty`.

    No reference to a table is kept while the caller works on it, so that the caller can free it.
    """
    waiting = [next(groups, empty)]
    yield waiting.pop()
    yield from groups


def _unwritten(target: Path, error: Exception, manifest: Manifest | None = None) -> OutputError:
    """Return the error for an output that could not be written."""
    told = f"cannot write {target}: {reason_of(error)}"
    if manifest is None or not manifest.parts or manifest.contents.source is None:
        return OutputError(told)
    n = counted(len(manifest.parts), "part")
    return OutputError(
        f"{told}. Already on disk: {n} with {counted(manifest.n_rows, 'row')}. Solve the problem, "
        "then repeat the call: it continues from there"
    )


def _source_of(
    dataset: Dataset, history: Dataset | str | None, given: str
) -> tuple[tuple[str, int, int | None], ...] | None:
    """Return name, size and time of the files that features are computed from.

    None if the data is not in files. Entries such as ("history=", 0, None) mark options.
    """
    own, earlier = dataset.identity, history.identity if isinstance(history, Dataset) else []
    if own is None or earlier is None:
        return None
    if given:
        own = [*own, (f"rows={given}", 0, None)]
    if history is None:
        return tuple(own)
    return (*own, ("history=batch" if isinstance(history, str) else "history=", 0, None), *earlier)


def with_digest(table: Table, digest: str) -> Table:
    """Return the table with the digest of the fitted plan in its metadata."""
    return table.replace_schema_metadata({PLAN_KEY: digest})


def digest_of_tables(tables: Tables, columns: Sequence[TableColumn]) -> str:
    """Return a digest of the lookup table columns that are read; "" if there are none."""
    if not columns:
        return ""
    found = hashlib.sha256()
    for name, table in sorted(read_tables(tables, columns).items()):
        found.update(f"{name}\0{len(table)}\0".encode())
        whole = without_dictionaries(table.replace_schema_metadata(None)).combine_chunks()
        write_ipc_stream(whole, _Hashed(found))
    return found.hexdigest()


class _Hashed(io.RawIOBase):
    """A file that adds its bytes to a digest, so that a large table is not copied as bytes."""

    def __init__(self, digest: Any) -> None:
        self.digest = digest

    def writable(self) -> bool:
        """Return True, as a writable file must."""
        return True

    def write(self, content: Any, /) -> int:
        """Add bytes to the digest."""
        self.digest.update(content)
        return len(content)


@dataclass(slots=True)
class _WriteProgress:
    """Counts written rows and reports progress.

    Args:
        step: Reports the progress.
        target: The output.
        total: Rows of the data; None if unknown.
        n_rows: Rows written so far, including earlier parts.
        n_before: Rows in parts that already existed.
        n_bytes: Size of the features in memory.
        began: Start of the run, `time.monotonic()`.
    """

    step: ProgressStep
    target: Path
    total: int | None
    n_rows: int = 0
    n_before: int = 0
    n_bytes: int = 0
    began: float = field(default_factory=time.monotonic)

    def skip(self, n_rows: int) -> None:
        """Set the count to the rows of parts that already existed."""
        self.n_rows = self.n_before = n_rows

    def add(self, group: Table) -> Table:
        """Count the rows, report them, and return them."""
        self.n_rows += group.num_rows
        self.n_bytes += group.nbytes
        seconds = time.monotonic() - self.began
        rate = rate_text(self.n_rows, self.total, self.n_bytes, seconds, self.n_before)
        self.step(f"writing {self.target}, {rate}")
        return group
