"""Methods of `Plan` that fit it in other ways: to files, fold by fold, on several machines.

`Plan` imports this module when one of them is first used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fastfeat.api.fit_arguments import check_contract, stable_record
from fastfeat.execute.call_rows import CallRows, checked_call_rows
from fastfeat.execute.failing_files import naming_files
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.lookup_tables import Tables
from fastfeat.plan.declare.declaration import Declaration, UserDelay

if TYPE_CHECKING:
    from fastfeat.api.learning import Learning
    from fastfeat.io.sinks.manifest import Manifest
    from fastfeat.learn.cross_fit import Fold
    from fastfeat.trust.quality.contract import Contract
    from fastfeat.trust.quality.profiling import ProfileChoice

F = TypeVar("F", covariant=True)


class OfPlan(Protocol[F]):
    """A `Plan`, whose fit returns an `F`."""

    @property
    def declaration(self) -> Declaration: ...

    def _fitted(self, record: Fitted) -> F: ...


@naming_files
def fit_transform_to(
    self: OfPlan[F],
    data: Any,
    out: str | os.PathLike[str],
    *,
    memory: str | int | None = None,
    format: str | None = None,
    partition_by: str | Sequence[str] = (),
    part_rows: int | None = None,
    rows: Any = None,
    history: Any = None,
    tables: Tables = None,
    contract: Contract | None = None,
    profile: ProfileChoice = False,
    stable: F | None = None,
    check_ids: bool = False,
) -> tuple[F, Manifest]:
    """Write the features of the training rows; return the fitted plan and the manifest.

    The result has the same bits as `fit_transform`: target encodings are out of fold. Rows are
    read in passes, in chunks, and never all in memory. A call that was interrupted learns
    again, then continues after the finished parts of the output.

    Args:
        data: Training rows, which may be larger than memory. A pyarrow Table or any Arrow
            producer, a pandas or Polars DataFrame, a dict of NumPy arrays, or a list of dicts
            (one per row, each with every column). Or files: a path, a folder (files in order of
            their names, hive partitions as columns), a pattern such as "logs/*.parquet", an
            address such as "s3://bucket/logs", or a list of these. Or a function that opens a
            reader.
        out: A file or a folder. The suffix of a file selects Parquet, Arrow IPC or CSV, and an
            existing file is replaced. A folder must be new or empty.
        memory: The most memory that this process may use, such as "600MiB", or a number of
            bytes. The interpreter and libraries count. The data is then read in chunks, once
            per pass, and the fitted plan is the same, bit for bit. A function that opens a
            reader must give the same rows in the same order each time. None for the memory that
            the process already has plus three quarters of the free memory.
        format: The format of a folder: "parquet" (the default), "ipc", "csv" or "tsv" files; a
            "delta" table, which supports only signed integers and times in microseconds; or a
            "lance" dataset, the default for a name that ends in ".lance". Required if the
            folder's name has another suffix.
        partition_by: For a folder: features or kept columns to partition by. Files go to
            subfolders `name=value` and lack these columns. The columns must be text, integers,
            bools or dates.
        part_rows: For a folder: the number of rows of the data per part. A part is one file, or
            several with `partition_by`. None chooses parts of about 256 MiB.
        rows: The rows of `data` to learn from and to write: a bool for each row, or ascending
            row numbers; None for all rows. Windows, lookups and joins still see all rows.
        history: Earlier rows. Windows see them; nothing is learned from them. It may be larger
            than memory too.
        tables: Lookup tables by name, in any form that `data` may have. They are read once,
            into memory.
        contract: Rules that the rows must satisfy, late columns included. The fitted plan keeps
            them and checks later rows in `transform` and its variants. For this the rows are
            read once more, before anything is written.
        profile: Whether the fitted plan keeps a profile (counts of values) of these rows.
            `drift`, `report` and `Live.watch` compare later rows with it. True profiles inputs
            and features; "inputs" profiles inputs only, so no features are computed for it. A
            profile contains values of single rows, such as the minimum and the maximum. False
            keeps none and costs nothing. A profile reads the rows twice more, at the end.
        stable: An earlier fit, of this or another plan. Its categories keep their codes, even
            those that are rare or absent now; new categories get the next codes. One-hot
            columns stay in the order of codes, with `__missing` and `__other` last; neither of
            these two is added or dropped. Encoders that only group rows, such as `mean(by=)`
            and `target_encode`, learn as usual. The order of codes follows the counts of
            categories in the earlier rows, so it reveals something about those rows: after a
            fit on the rows of one label class alone, the codes are ordered by the label.
        check_ids: Whether to look for rows with the same `row_id` also when the data is read in
            passes. This reads the rows once more and sorts them by id through temporary files.
            Data that is read whole is always checked.

    Raises:
        InvalidPlan: An unknown option, or one that only applies to folder output; row numbers
            in another order than the data; windows without a key that need an unlimited number
            of earlier rows; a plan with `row_id=` and windows; or `stable` codes that cannot
            stay.
        OutOfMemory: `memory` is less than the fit needs, or less than this process already
            uses.
        OutputError: A full disk; a folder with other files, or with the features of another
            plan, other data or other tables; a damaged manifest; a folder that another process
            is writing; or an output that is a file of the data or in its folder.
        FastfeatError: Any error of `fit` or `FittedPlan.transform`. Row numbers in messages
            count from the start of the data.

    Example:
        >>> from tempfile import mkdtemp
        >>> plan = ff.Plan({"shop": col("shop").target_encode("y", folds=2)}, label="y")
        >>> data = {"shop": [*"abab"] * 4, "y": [0, 1, 0, 1] * 4}
        >>> fitted, manifest = plan.fit_transform_to(data, mkdtemp() + "/features")
        >>> fitted.n_rows, manifest.n_rows
        (16, 16)
    """
    from fastfeat.api.fit_to_files import fit_and_write  # seldom needed
    from fastfeat.execute.layout import layout_of

    layout = layout_of(out, format, partition_by, part_rows)
    kept, given = None, CallRows(data, rows, history, tables, memory=memory)
    if contract is not None:
        given, kept = check_contract(contract, given, in_passes=True)
    record, manifest = fit_and_write(
        *(self.declaration, given, layout, kept),
        stable=stable_record(stable),
        profile=profile,
        check_ids=check_ids,
    )
    return self._fitted(record), manifest  # pyright: ignore[reportPrivateUsage]  # a method of the class


@naming_files
def cross_fit(
    self: OfPlan[F],
    data: Any,
    cv: Any,
    *,
    groups: Any = None,
    purge: UserDelay = None,
    embargo: UserDelay = None,
    history: Any = None,
    tables: Tables = None,
    to: str = "arrow",
    categories: bool = False,
    backend: str = "cpu",
) -> Iterator[Fold[F]]:
    """Yield the folds of a cross-validation, each with the plan fitted on its training rows.

    Windows, lookups and joins see all rows; learning sees the training rows only. A fold has
    the features of `fit_transform(data, rows=train_rows)` and `transform(data,
    rows=test_rows)`, bit for bit. Work that folds share is done once, and one fold is in memory
    at a time. Rows without a label are in no fold.

    A label that becomes known some time after its row, by `label_delay=`, `ff.ahead` or
    `purge=`, covers the interval [t, t + delay]. Training rows with an interval that overlaps
    the interval of a test row, of any entity, are purged. Without purging, shuffled folds reach
    an AUC of .9 on pure-noise labels that look ahead.

    Args:
        data: The rows, with the label. A pyarrow Table or any Arrow producer, a pandas or
            Polars DataFrame, a dict of NumPy arrays, or a list of dicts (one per row, each with
            every column). Or files: a path, a folder (files in order of their names, hive
            partitions as columns), a pattern such as "logs/*.parquet", an address such as
            "s3://bucket/logs", or a list of these. Or a function that opens a reader. For a
            backend with its own memory also a dict of arrays on the device (CuPy, torch,
            anything with `__cuda_array_interface__`, DLPack or `__arrow_c_device_array__`), or
            an Arrow device table: these are read in place, in their own types.
        cv: The folds, as one of these. A number of folds: blocks of rows in the order of the
            data; with `groups=`, blocks of whole groups, the largest group first into the
            smallest fold; rows with the same `row_id` stay in one fold. A splitter of
            scikit-learn, called with the rows that have a label. Pairs (train, test) of row
            numbers. A column name, or an array of shape (n_rows,): each distinct value is one
            test fold, in ascending order, and rows with a missing value are never tested.
            Unless `cv` is a number, you must keep rows with the same `row_id` together
            yourself.
        groups: For a number or a splitter, the groups to keep together: a column name, or an
            array of shape (n_rows,).
        purge: A label delay in addition to those of the plan: a duration such as "30d", or a
            number of steps for whole-number times, by each clock of the plan's windows. Or a
            dict of time column to delay, `{"ts": "30d"}`. 0 turns purging off.
        embargo: The time after test rows during which further training rows are excluded, in
            the forms of `purge`.
        history: Earlier rows. Windows see them; nothing is learned from them. None or "batch":
            windows see only the rows of the data.
        tables: Lookup tables by name, each in any form that `data` may have. They are not
            stored in the plan: pass them at each call. The prepared lookup of a pyarrow Table
            is cached as long as that Table lives.
        to: The form of the features: "arrow", "pandas", "polars", "numpy", "torch", "scipy",
            "cupy" or "cupy_columns". `FittedPlan.transform` describes each.
        categories: Whether ordinal encodings are returned as categories instead of codes: Arrow
            dictionaries, pandas Categorical or Polars Enum, with the same categories in the
            same order at each call. A missing value is missing; an unseen or rare one is the
            first category, "__other". Not for matrices.
        backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
            compiled by g++). All give the same bits.

    Raises:
        UnknownColumn: The data lacks a column that the plan, the label or the folds read.
        InvalidPlan: Fewer than two folds, or a delay without a clock to measure it by.
        TypeMismatch: `cv` is not a form of folds, such as masks instead of row numbers.
        InvalidData: A row number that is out of range, repeated, or in both halves of a fold;
            rows with the same `row_id` in both halves; a fold without test rows or without
            training rows; a row without a time although its label has a delay; or groups, or a
            fold column, of another length than the data.

    Warns:
        RowsWithoutLabel: Some rows have no label.
        PurgeOff: The label has a delay, and purging is turned off.
        FoldsSplitEntities: Training rows follow test rows of the same entity, and their windows
            have seen the late values of these test rows.

    Example:
        >>> plan = ff.Plan({"shop": col("shop").target_encode("y", folds=2)}, label="y")
        >>> data = {"shop": [*"abab"] * 4, "y": [0, 1, 0, 1] * 4}
        >>> for fold in plan.cross_fit(data, 2):
        ...     print(fold, fold.test_label[:3].to_pylist())
        Fold(8 training rows, 8 test rows) [0, 1, 0]
        Fold(8 training rows, 8 test rows) [0, 1, 0]
    """
    from fastfeat.learn.cross_fit import cross_fit  # seldom needed

    return cross_fit(
        self.declaration,
        checked_call_rows(data, None, history, tables, backend),
        cv,
        self._fitted,  # pyright: ignore[reportPrivateUsage]  # a method of the class
        groups=groups,
        purge=purge,
        embargo=embargo,
        to=to,
        categories=categories,
    )


def learning(
    self: OfPlan[F],
    schema: Any,
    *,
    tables: Tables = None,
    whole_entities: bool = False,
    stable: F | None = None,
    profile: ProfileChoice = False,
) -> Learning[F]:
    """Return a `Learning`, which fits the plan in rounds over parts of the rows.

    It is for engines that have the rows on several machines. The fitted plan equals that of
    `fit` on all rows, bit for bit, however the rows are divided.

    Args:
        schema: The types of the columns: an Arrow schema, data in any form that `fit` takes, or
            a dict of column name to dtype.
        tables: Lookup tables by name, each in any form that `data` may have. They are not
            stored in the plan: pass them at each call. The prepared lookup of a pyarrow Table
            is cached as long as that Table lives.
        whole_entities: Whether each part contains all rows of its entities, in the order of the
            data, for instance after an exchange of rows by `learning.shares`. The plan can then
            learn from windows. Without it, a plan that learns from windows takes a single part.
        stable: An earlier fit, of this or another plan. Its categories keep their codes, even
            those that are rare or absent now; new categories get the next codes. One-hot
            columns stay in the order of codes, with `__missing` and `__other` last; neither of
            these two is added or dropped. Encoders that only group rows, such as `mean(by=)`
            and `target_encode`, learn as usual. The order of codes follows the counts of
            categories in the earlier rows, so it reveals something about those rows: after a
            fit on the rows of one label class alone, the codes are ordered by the label.
        profile: Whether the fitted plan keeps a profile (counts of values) of these rows.
            `drift`, `report` and `Live.watch` compare later rows with it. True profiles inputs
            and features; "inputs" profiles inputs only, so no features are computed for it. A
            profile contains values of single rows, such as the minimum and the maximum. False
            keeps none and costs nothing. A profile adds two rounds after the learning rounds:
            the first samples the rows, the second counts them. Features with windows are only
            counted with `whole_entities`.

    Raises:
        InvalidPlan: The label looks ahead. Or, with `whole_entities`, windows see rows of
            several entities that have no key in common, so no single exchange brings them
            together.
        FastfeatError: Any error of `fit` that does not depend on the rows.

    Example:
        >>> plan = ff.Plan({"x": col("x").standard_scale()})
        >>> learning = plan.learning({"x": "float64"})
        >>> while learning.round:
        ...     state = learning.partial({"x": [1.0, 2.0]}, range(0, 2))
        ...     state = state.merge(learning.partial({"x": [6.0]}, range(2, 3)))
        ...     learning = learning.next(state)
        >>> learning.finish().transform({"x": [3.0]})["x"].to_pylist()
        [0.0]
    """
    from fastfeat.api.learning import learning_of  # seldom needed

    return learning_of(
        self.declaration,
        schema,
        tables,
        self._fitted,  # pyright: ignore[reportPrivateUsage]  # a method of the class
        whole_entities=whole_entities,
        stable=stable_record(stable),
        profile=profile,
    )
