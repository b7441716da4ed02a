"""Methods of `FittedPlan` with results that outlive a call: batches, files, an artifact, a state.

`FittedPlan` imports this module when one of them is first used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fastfeat.api.faces import OfRecord
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.failing_files import naming_files
from fastfeat.execute.lookup_tables import Tables

if TYPE_CHECKING:
    from fastfeat.export.record import Export
    from fastfeat.io.sinks.manifest import Manifest
    from fastfeat.live.live import Live
    from fastfeat.live.state.changes import Durability, LateRule

F = TypeVar("F", bound=OfRecord)


def transform_batches(
    self: OfRecord,
    data: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    to: str = "arrow",
    categories: bool = False,
    backend: str = "cpu",
    memory: str | int | None = None,
    on_violation: str | None = None,
) -> Iterator[Any]:
    """Yield the features of rows in batches, in the order of the rows.

    If windows see other rows of the data, a first pass divides the rows into shares, each a
    group of whole entities, in unnamed files in the system's temporary folder. The files hold
    the columns that are read, and the features with windows. Shares are then computed in
    memory, one after the other.

    Args:
        data: The rows, in any form that `transform` takes, or more than fits in memory: a
            folder, a pattern such as "logs/*.parquet", an address, a list of files, a pyarrow
            Dataset, a reader, or a function that opens one. About 32 MiB are read at a time.
            Late columns are not needed and further columns are ignored.
        history: Earlier rows of the same entities, which windows see, in the same forms as
            `data`, so they may also exceed memory. "batch" declares that `data` contains its
            own past. Without either, a plan with windows warns.
        tables: Lookup tables by name, in any form that `transform` takes. They are read once,
            into memory.
        to: The form of the features: "arrow", "pandas", "polars", "numpy", "torch", "scipy",
            "cupy" or "cupy_columns". `FittedPlan.transform` describes each.
        categories: Whether ordinal encodings are returned as categories instead of codes: Arrow
            dictionaries, pandas Categorical or Polars Enum, with the same categories in the
            same order at each call. A missing value is missing; an unseen or rare one is the
            first category, "__other". Not for matrices.
        backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
            compiled by g++). All give the same bits.
        memory: The most memory that this process should use, such as "600MiB", or a number of
            bytes. Fewer rows are read at a time if less is left, and keys of a large table are
            looked up in a smaller, slower structure. A few rows are read in any case. None sets
            no limit.
        on_violation: The treatment of rows that break a rule of the plan's `contract`; rules
            that only warn are not affected. None uses the setting of each rule; "reject" raises
            an error; "warn" warns; "ignore" checks no row at all.

    Raises:
        ContractBroken: Rows break a rule. The message shows the first of them and their values.
        InvalidPlan: A window without a key needs an unlimited number of earlier rows; or the
            plan has `row_id=` and windows.
        OutOfMemory: `memory` is exceeded while features are computed. The message says how much
            is enough.
        FastfeatError: Any error of `transform`. Row numbers in messages count from the start of
            the data.

    Warns:
        EncodedInFold: The rows are in files that `fit` read in passes, and an encoding learned
            from their labels.
        FastfeatWarning: Any warning of `transform`, such as `HistoryMissing`.

    Example:
        >>> fitted = ff.Plan({"y": col("x") + 1}).fit({"x": [1, 2]})
        >>> [features.num_rows for features in fitted.transform_batches({"x": [1, 2, 3]})]
        [3]
    """
    from fastfeat.execute.pieces import (
        budget_of_features,
        bytes_within,
        pieces_of_later_rows,
        pieces_within,
    )
    from fastfeat.io.budget import use_optional_budget  # seldom needed
    from fastfeat.io.sources.dataset import dataset_of

    given = CallRows(dataset_of(data), None, history, tables, backend, memory)
    budget = budget_of_features(self.record, given)
    with use_optional_budget(budget):
        pieces = pieces_of_later_rows(
            self.record,
            given,
            to=to,
            categories=categories,
            most_bytes=bytes_within(budget),
            on_violation=on_violation,
        )
    return pieces_within(pieces, budget).of_all()


@naming_files
def transform_to(
    self: OfRecord,
    data: Any,
    out: str | os.PathLike[str],
    *,
    format: str | None = None,
    partition_by: str | Sequence[str] = (),
    part_rows: int | None = None,
    history: Any = None,
    tables: Tables = None,
    backend: str = "cpu",
    memory: str | int | None = None,
    on_violation: str | None = None,
    quarantined: str | os.PathLike[str] | None = None,
) -> Manifest:
    """Write the features of rows to a file or a folder, and return the manifest of the files.

    Rows are computed and written in chunks, in their order, with the kept columns. Files have
    the same bytes whatever form or chunks the rows came in. The metadata of their schema has
    the digest of the fitted plan as "fastfeat.plan", and the field of an ordinal encoding has
    its "n_codes".

    A file appears whole or not at all. So does a folder: it is written in parts next to its
    place, as `.NAME.unfinished`, and moved there when all parts are complete. If the call is
    interrupted, by a full disk or kill -9, its finished parts stay: the same call over the same
    files continues after them. The folder lists its parts in `_manifest.json`, and repeating
    the same call does nothing.

    Args:
        data: The rows, in any form that `transform` takes, or more than fits in memory: a
            folder, a pattern such as "logs/*.parquet", an address, a list of files, a pyarrow
            Dataset, a reader, or a function that opens one. About 32 MiB are read at a time.
            Late columns are not needed and further columns are ignored. An interrupted call can
            only continue if the data is in files.
        out: A file or a folder. The suffix of a file selects Parquet, Arrow IPC or CSV, and an
            existing file is replaced. A folder must be new or empty.
        format: The format of a folder: "parquet" (the default), "ipc", "csv" or "tsv" files; a
            "delta" table, which supports only signed integers and times in microseconds; or a
            "lance" dataset, the default for a name that ends in ".lance". Required if the
            folder's name has another suffix.
        partition_by: For a folder: features or kept columns to partition by. Files go to
            subfolders `name=value` and lack these columns. The columns must be text, integers,
            bools or dates.
        part_rows: For a folder: the number of rows of the data per part. A part is one file, or
            several with `partition_by`. None chooses parts of about 256 MiB.
        history: Earlier rows of the same entities, which windows see, in the same forms as
            `data`, so they may also exceed memory. "batch" declares that `data` contains its
            own past. Without either, a plan with windows warns.
        tables: Lookup tables by name, in any form that `transform` takes. They are read once,
            into memory.
        backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
            compiled by g++). All give the same bits.
        memory: The most memory that this process should use, such as "600MiB", or a number of
            bytes. Fewer rows are read at a time if less is left, and keys of a large table are
            looked up in a smaller, slower structure. A few rows are read in any case. None sets
            no limit.
        on_violation: The treatment of rows that break a rule of the plan's `contract`; rules
            that only warn are not affected. None uses the setting of each rule; "reject" raises
            an error; "warn" warns; "ignore" checks no row at all. "quarantine", with
            `quarantined=`, writes these rows to a place of their own, and windows of other rows
            do not see them. The data is then read three times, the first time only the columns
            of rules.
        quarantined: The file or folder for the rows that are set apart, with their numbers
            ("row") and the names of the rules that they break ("violations").

    Returns:
        The manifest: the list of the files. Its `quarantined` is the manifest of the rows that
        were set apart.

    Raises:
        ContractBroken: Rows break a rule. Parts before these rows are already written.
        InvalidPlan: A window without a key needs an unlimited number of earlier rows; the plan
            has `row_id=` and windows; an unknown option, or one that only applies to folder
            output; "quarantine" without `quarantined=`, or for a plan without a contract.
        OutputError: A full disk; a folder with other files, or with the features of another
            plan, other data or other tables; a damaged manifest; a folder that another process
            is writing; or an output that is a file of the data or in its folder.
        OutOfMemory: `memory` is exceeded. The same call with more memory continues after the
            finished parts.
        LibraryUnavailable: deltalake or pylance is not installed.
        FastfeatError: Any error of `transform`. Row numbers in messages count from the start of
            the data.

    Warns:
        FastfeatWarning: Any warning of `transform_batches`, such as `EncodedInFold` and
            `HistoryMissing`.

    Example:
        >>> fitted = ff.Plan({"y": col("x") + 1}).fit({"x": [1, 2]})
        >>> from tempfile import mkdtemp
        >>> out = mkdtemp() + "/features"
        >>> manifest = fitted.transform_to({"x": [1, 2, 3]}, out, part_rows=2)
        >>> [(file.name, file.n_rows) for file in manifest.files]
        [('part-000000.parquet', 2), ('part-000001.parquet', 1)]
    """
    from fastfeat.execute.layout import layout_of  # imports the engine
    from fastfeat.keep.artifact import fitted_digest
    from fastfeat.trust.quality.contract_in_transform import write_with_contract

    layout = layout_of(out, format, partition_by, part_rows)
    apart = None if quarantined is None else layout_of(quarantined)
    given = CallRows(data, None, history, tables, backend, memory)
    digest = fitted_digest(self.record).hex()
    return write_with_contract(self.record, given, layout, digest, on_violation, apart)


def save(self: OfRecord, path: str | os.PathLike[str], *, golden: bool | None = None) -> None:
    """Write the fitted plan to a file, whole or not at all; the file contains no code.

    Args:
        path: The file to write.
        golden: Whether to store golden rows: 64 generated rows at the boundaries that the plan
            distinguishes, with the bits of their features as the reference computes them.
            `ff.load(path, check="golden")` computes them again on the machine that loads the
            file. None stores them if the plan has learned at most 131,072 keys.

    Raises:
        ArtifactError: The file cannot be written.

    Warns:
        NoGoldenRows: The features of none of the generated rows can be computed.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = mkdtemp() + "/x.fastfeat"
        >>> ff.Plan({"x": col("x") + 1}).fit({"x": [1]}).save(path)
        >>> ff.load(path).transform_row({"x": 5})
        array([6.])
    """
    from fastfeat.keep.artifact import save  # seldom needed
    from fastfeat.trust.quality.golden.golden_rows import with_golden

    save(with_golden(self.record, golden), path)


def online(
    self: F,
    history: Any = None,
    *,
    path: str | os.PathLike[str] | None = None,
    tables: Tables = None,
    late: LateRule | None = None,
    keep: str | int | None = None,
    max_ahead: str | None = None,
    max_jump: str | int | None = None,
    durability: Durability | None = None,
    archive: str | os.PathLike[str] | None = None,
    keep_audit: str | None = None,
) -> Live[F]:
    """Return a `Live`: the plan with a state of past rows, which computes rows as they arrive.

    Args:
        history: The rows that a new state begins with, in order of arrival. Columns that become
            known later (label and outcomes) are included if they are known by now. In any form
            that `transform` takes; None for no rows.
        path: A file that stores the state. An existing file is opened, and takes no history; a
            new one is created whole or not at all. None keeps the state in memory only.
        tables: The lookup tables that a new state begins with, by name, in any form that
            `transform` takes.
        late: The treatment of a row that is earlier than the latest row of its entity. "error"
            (the default) raises. "insert" computes its features at its own time and adds it to
            the state, so later rows see it. "drop" computes its features and does not add it.
        keep: How long rows stay stored after windows stop needing them, for late rows: a
            duration such as "2d", a whole number for integer clocks, or "everything". None
            stores rows twice as long as windows need if late rows are accepted.
        max_ahead: How far a row's time may be ahead of this machine's clock, such as "1h";
            beyond it a row is an error. None and "any" set no limit. Times without a zone count
            as UTC.
        max_jump: How far a row's time may be ahead of the latest earlier row of any entity: a
            duration such as "1d", or a whole number for integer clocks. Use it when past rows
            are replayed, where the machine's clock is no guide. Choose it longer than any gap
            in the data. None sets no limit.
        durability: When the changes of a call are on disk: "commit" (the default) before it
            returns, "interval" within a second, "checkpoint" when `Live.checkpoint` or `close`
            returns.
        archive: A folder for the recorded changes that a snapshot of the state replaces in the
            file, so that `ff.replay` still covers them. Snapshots are made by `compact` (called
            or automatic), a change of plan, and `forget`. None archives nothing, or with
            `keep_audit` uses a folder beside the file, named after it.
        keep_audit: How long archived parts are kept, such as "90d", by this machine's clock
            from the moment of their replacement. None keeps them for ever if there is an
            `archive`. Both settings are stored in the file, and may be changed when it is
            opened.

    `late`, `keep` and `max_ahead` are stored in the file: when it is opened, None means the
    stored value. `max_jump` is not stored: pass it each time.

    Raises:
        InvalidPlan: A window sees all rows of an entity, so that no row could ever be dropped,
            and `keep` is not "everything"; or a setting that this plan cannot have.
        StateError: The file is damaged, belongs to another plan, or is in use.
        FastfeatError: Any error of `transform` about the history and the tables.

    Example:
        >>> spent = col("x").sum(over=ff.window(24, time="t", by="card"))
        >>> fitted = ff.Plan({"spent": spent}).fit({"t": [0], "card": ["a"], "x": [1.0]})
        >>> live = fitted.online({"t": [1], "card": ["a"], "x": [2.5]})
        >>> live.features({"t": 2, "card": "a", "x": 4.0})
        array([2.5])
    """
    from fastfeat.live.live import ALONE, begin_live  # seldom needed

    return begin_live(
        {ALONE: self.record},
        {ALONE: self},
        history,
        path=path,
        tables=tables,
        late=late,
        keep=keep,
        max_ahead=max_ahead,
        max_jump=max_jump,
        durability=durability,
        archive=archive,
        keep_audit=keep_audit,
    )


def export(
    self: OfRecord,
    form: str,
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    partial: bool = False,
) -> Export:
    """Write the fitted plan as source code that computes the same bits without Python.

    "c" writes a folder with `NAME.c` and `NAME.h` in C11, `NAME.json` for programs, and a page of
    usage. The code needs no math library, allocates nothing, and computes a row or a batch. Its
    self-test computes golden rows. The same fitted plan gives the same bytes.

    Args:
        form: The form: "c".
        path: The folder; it may hold an earlier export.
        name: Beginning of all names in the code, up to 31 letters a to z, digits and underscores;
            "row_features" by default.
        partial: Whether features that cannot be written are left out. By default they are an error.

    Returns:
        The record of the export: the files with their SHA-256 digests, and one entry per declared
        feature with its label and its costs.

    Raises:
        NotExportable: Some features cannot be written; the message names all of them, with the
            steps at fault.
        InvalidPlan: An unknown form, or a name that cannot begin an identifier.
        OutputError: The folder holds other files, or cannot be written.

    Example:
        >>> import tempfile
        >>> fitted = ff.Plan({"y": col("x") + 1}).fit({"x": [1, 2]})
        >>> export = fitted.export("c", tempfile.mkdtemp(), name="flights")
        >>> sorted(export.files)
        ['README.md', 'flights.c', 'flights.h', 'flights.json']
    """
    from pathlib import Path

    from fastfeat.export.files import export_plan  # seldom needed

    return export_plan(self.record, form, Path(path), name, partial=partial)
