"""`FeatureBatches`, an iterable data set of torch with the features of a plan; `FeatureLoader`.

The loader is a DataLoader that counts the batches it has given, and can resume there. Both classes
are in one file because each returns the other.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

from fastfeat.api.plan import FittedPlan
from fastfeat.calls import checks
from fastfeat.calls.arguments import with_method_errors
from fastfeat.engine.cpu import threads
from fastfeat.errors import InvalidPlan, TypeMismatch, counted
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.lookup_tables import Tables, resolve_tables
from fastfeat.integrations.batches.blocks import (
    BlockContents,
    Float,
    features_block,
)
from fastfeat.integrations.batches.columns import LABEL, Block
from fastfeat.integrations.batches.epochs import Even, Worker
from fastfeat.integrations.batches.options import (
    BatchForm,
    resolve_contents,
    resolve_division,
    resolve_mixing,
    resolve_ranks,
    resolve_state,
)
from fastfeat.integrations.batches.pieces import BatchPieces, pieces_of
from fastfeat.integrations.batches.streams import (
    BatchStream,
    TransformedBlock,
    TransformedRows,
    rows_of,
)
from fastfeat.integrations.torch.tensors import (
    as_dict,
    as_matrix,
    in_place,
    in_shared_memory,
    rank_and_world_size,
    torch,
    torch_data,
)
from fastfeat.io.sources.read import read_table

_LOST = (EOFError, ConnectionError, FileNotFoundError)
"""The errors that are raised if a worker dies while the tensors of a batch are fetched from it."""


@with_method_errors(lambda _: "batches.", {"__init__": {}}, made_by="")
class FeatureBatches(torch_data.IterableDataset):
    """Batches of features, codes and labels as tensors: an iterable data set for a DataLoader.

    The data is read and transformed in pieces, anew in each epoch. A piece is a row group of
    Parquet files, a batch of a reader, or a part of a table. A worker holds `mix` pieces of
    features and one piece of data in memory, so a file with one large row group is held whole. Each
    row occurs once per epoch, whatever the number of workers. Ranks share the rows evenly, also
    within pieces. Batches continue across the ends of pieces: only the last batch of a rank may be
    short.

    With `shuffle`, each epoch orders the pieces differently, and mixes the rows of `mix`
    consecutive pieces. In sorted files the rows of a batch then come from `mix` places only, so use
    more and smaller row groups there. Pieces of a reader stay in its order, and are only mixed
    within `mix` pieces. Without `shuffle`, batches come in the order of the rows, even from several
    workers: each worker then reads every piece and transforms its own batches.

    Windows see rows of other pieces, so a plan with windows needs `history=`. With "batch" (the
    data contains its own past) or a table of earlier rows, all data is read and transformed at
    once, here, to the same bits as by `transform`. The features stay in memory, and are shuffled as
    a whole. With "piece" each piece contains the past of its rows, for instance if files are
    divided by entity, and is transformed alone. A label that reads later rows is also computed from
    all rows at once; rows without such a label are dropped, and counted in `n_rows_without_label`.

    `loader()` returns a suitable DataLoader. For a DataLoader of your own, pass `batch_size=None`,
    and call `set_epoch` before each epoch.

    Args:
        fitted: The fitted plan. Its target encodings know the labels of the training rows: use
            `of_features` to train on these rows.
        data: A table in memory, in any form that `Plan.fit` takes; Parquet files (a path, several,
            or a folder); or a function without arguments that opens a reader of record batches, or
            returns tables one after another.
        batch_size: The number of rows per batch.
        label: The name of a column; None for the plan's own label, if it has one; False for no
            label. Integers become int64, floats and bools float32, of shape (n,).
        codes: The number of codes of each column of codes, by name; None for those of the plan, the
            ordinal encodings. Other columns are treated as numbers.
        bags: Features with columns that are the codes of a list, `list.ordinal_encode(width=)`.
            They are given in the form of torch's EmbeddingBag: {"codes": (n_codes,), "offsets":
            (n,)}, both int64, without code 0, which marks missing elements and positions beyond the
            end of a short list.
        keep: Columns that are passed through; None for the plan's own. Numbers and bools become
            tensors, other types a list of Python values.
        form: "dict" for a dict with "dense" (n, d), "codes" int64 (n, k), "bags", "label" and
            "keep", each if there are any; "matrix" for all features in one matrix (n, d), or the
            pair of matrix and label. Missing numbers are NaN.
        dtype: The type of numbers, "float32" or "float64".
        shuffle: Whether rows are shuffled.
        seed: The seed of the order. The number of the epoch is also part of it.
        mix: The number of pieces that are mixed together.
        piece_rows: The number of rows per piece of a table in memory.
        drop_last: Whether a last batch with fewer rows is dropped.
        even: "pad" gives each rank as many rows as the largest, some rows twice; "drop" as many as
            the smallest, some rows never. Ranks then have equally many batches, which
            DistributedDataParallel requires. None gives each row once, and a rank may have one row,
            and one batch, more than another.
        rank: The number of this process. None takes it from torch.distributed, or else from the
            variables RANK and WORLD_SIZE, which torchrun sets.
        world_size: The number of such processes; pass both `rank` and `world_size`, or neither.
        history: For a plan with windows: earlier rows, "batch" or "piece".
        tables: Lookup tables by name, in any form that `Plan.fit` takes. They are read at once.

    Raises:
        InvalidPlan: An invalid argument, or windows without `history=`.
        TypeMismatch: A reader that can only be read once, or columns with other types than in fit.
        UnknownColumn: The data lacks a column that is read.
        InvalidData: A file is absent or damaged, or, in a later epoch, has changed.

    Warns:
        EncodedInFold: A target encoding has learned from the labels of these rows; see
            `of_features`.

    Example:
        >>> plan = ff.Plan({"x": col("x").standard_scale(), "c": col("c").ordinal_encode()})
        >>> data = {"x": [1.0, 2.0, 3.0], "c": ["a", "b", "a"], "y": [0, 1, 0]}
        >>> batches = FeatureBatches(plan.fit(data), data, 2, label="y", shuffle=False)
        >>> [batch["codes"].tolist() for batch in batches]
        [[[2], [3]], [[2]]]
    """

    def __init__(
        self,
        fitted: FittedPlan,
        data: Any,
        batch_size: int = 4096,
        *,
        label: str | bool | None = None,
        codes: Mapping[str, int] | None = None,
        bags: Sequence[str] = (),
        keep: Sequence[str] | None = None,
        form: BatchForm = "dict",
        dtype: Float = "float32",
        shuffle: bool = True,
        seed: int = 0,
        mix: int = 4,
        piece_rows: int = 65_536,
        drop_last: bool = False,
        even: Even = None,
        rank: int | None = None,
        world_size: int | None = None,
        history: Any = None,
        tables: Tables = None,
    ) -> None:
        """Read the heads of files, and transform one row; the class describes the arguments."""
        contents = resolve_contents(fitted, label, codes, bags, keep, form, dtype)
        columns = [*contents.columns, *contents.optional_columns]
        pieces = pieces_of(
            data, columns, checks.whole_number("FeatureBatches", "piece_rows", piece_rows, 1)
        )
        read = {name: read_table(of) for name, of in resolve_tables(tables).items()}
        rows = rows_of(contents, pieces, CallRows(data, history=history, tables=read))
        ranks = resolve_ranks(rank, world_size, rank_and_world_size())
        division = resolve_division(rows.n_rows, batch_size, drop_last, even, *ranks)
        self._begin(BatchStream(rows, division, resolve_mixing(shuffle, seed, mix)), form)

    @staticmethod
    def of_features(
        fitted: FittedPlan,
        features: Any,
        batch_size: int = 4096,
        *,
        label: Any = None,
        codes: Mapping[str, int] | None = None,
        bags: Sequence[str] = (),
        keep: Sequence[str] | None = None,
        form: BatchForm = "dict",
        dtype: Float = "float32",
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        even: Even = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> FeatureBatches:
        """Return batches of computed features, such as out-of-fold features of training rows.

        The features stay in memory, and are shuffled as a whole.

        Args:
            fitted: The fitted plan.
            features: A table of features from `fit_transform` or `transform`.
            batch_size: The number of rows per batch.
            label: One value per row, such as `fitted.label(data)`; None for no label. Integers
                become int64, floats and bools float32, of shape (n,).
            codes: The number of codes of each column of codes, by name; None for those of the plan,
                the ordinal encodings. Other columns are treated as numbers.
            bags: Features with columns that are the codes of a list, `list.ordinal_encode(width=)`.
                They are given in the form of torch's EmbeddingBag: {"codes": (n_codes,), "offsets":
                (n,)}, both int64, without code 0, which marks missing elements and positions beyond
                the end of a short list.
            keep: Columns of the table that are passed through; None for the plan's own. Numbers and
                bools become tensors, other types a list of Python values.
            form: "dict" for a dict with "dense" (n, d), "codes" int64 (n, k), "bags", "label" and
                "keep", each if there are any; "matrix" for all features in one matrix (n, d), or
                the pair of matrix and label. Missing numbers are NaN.
            dtype: The type of numbers, "float32" or "float64".
            shuffle: Whether rows are shuffled.
            seed: The seed of the order. The number of the epoch is also part of it.
            drop_last: Whether a last batch with fewer rows is dropped.
            even: "pad" gives each rank as many rows as the largest, some rows twice; "drop" as many
                as the smallest, some rows never. None gives each row once, and a rank may have one
                row more than another.
            rank: The number of this process. None takes it from torch.distributed, or else from the
                variables RANK and WORLD_SIZE, which torchrun sets.
            world_size: The number of such processes; pass both `rank` and `world_size`, or neither.

        Raises:
            InvalidPlan: An invalid argument.
            InvalidData: The label has another length, or a value is missing.
            UnknownColumn: The table lacks a feature.

        Example:
            >>> plan = ff.Plan({"c": col("c").target_encode("y", folds=2)}, label="y")
            >>> data = {"c": ["a", "b"] * 50, "y": [0, 1] * 50}
            >>> fitted, features = plan.fit_transform(data)
            >>> batches = FeatureBatches.of_features(fitted, features, 64, label=data["y"])
            >>> [tuple(batch["dense"].shape) for batch in batches]
            [(64, 1), (36, 1)]
        """
        contents = resolve_contents(fitted, False, codes, bags, keep, form, dtype)
        table = read_columns(features, [*fitted.feature_names, *contents.keep])
        rows = TransformedBlock(contents, features_block(contents, table, label))
        ranks = resolve_ranks(rank, world_size, rank_and_world_size())
        division = resolve_division(rows.n_rows, batch_size, drop_last, even, *ranks)
        batches = object.__new__(FeatureBatches)
        batches._begin(BatchStream(rows, division, resolve_mixing(shuffle, seed, 1)), form)
        return batches

    def _begin(self, stream: BatchStream, form: BatchForm) -> None:
        self.stream = stream
        self._form: BatchForm = form
        self._shared: Block | None = None
        # Epoch, and number of batches given in it, in memory shared with workers that stay alive.
        self._at = torch.zeros(2, dtype=torch.int64).share_memory_()

    @property
    def n_codes(self) -> dict[str, int]:
        """The number of codes of each column of "codes", by name and in order."""
        return dict(self._contents.n_codes)

    @property
    def n_bag_codes(self) -> dict[str, int]:
        """The number of codes of each bag (a feature that is a list of codes), by name."""
        return dict(self._contents.n_bag_codes)

    @property
    def dense_names(self) -> list[str]:
        """The names of the features in "dense", in order."""
        dense = self._contents.dense
        return [] if dense is None else dense.feature_names

    @property
    def n_rows(self) -> int:
        """The number of rows of all ranks together."""
        return self.stream.division.n_rows

    @property
    def n_batches(self) -> int:
        """The number of batches of this rank per epoch."""
        return self.stream.division.n_batches

    @property
    def n_rows_without_label(self) -> int:
        """The number of rows dropped, because the data ends before their label is known."""
        rows = self.stream.rows
        return rows.n_left_out if isinstance(rows, TransformedBlock) else 0

    @property
    def _contents(self) -> BlockContents:
        return self.stream.rows.contents

    def copy(self) -> FeatureBatches:
        """Return a copy of the batches with its own epoch number."""
        other = object.__new__(FeatureBatches)
        other._begin(self.stream, self._form)
        return other

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch, also for workers that stay alive.

        Args:
            epoch: The number of the epoch, from 0.
        """
        self.begin_at(checks.whole_number("FeatureBatches", "epoch", epoch, 0), 0)

    def begin_at(self, epoch: int, n_given: int) -> None:
        """Set the next epoch, and how many of its batches were given before.

        Args:
            epoch: The number of the epoch, from 0.
            n_given: The number of batches that this rank has given in it.
        """
        self._at[0], self._at[1] = epoch, n_given

    def loader(
        self,
        *,
        num_workers: int = 0,
        context: str | None = None,
        pin_memory: bool | None = None,
        prefetch_factor: int = 2,
    ) -> FeatureLoader:
        """Return a loader of these batches.

        Args:
            num_workers: The number of processes that read and transform; 0 uses this process.
            context: The start method of processes: "fork", "forkserver" or "spawn"; None for
                Python's default. All except "fork" import your script, so its code must be below
                `if __name__ == "__main__":`, and they copy a table in memory to each worker.
            pin_memory: Whether tensors are in pinned memory; None pins them if torch finds a GPU.
            prefetch_factor: The number of batches that each worker prepares ahead.

        Raises:
            InvalidPlan: An invalid argument, or a function that opens a reader and cannot be
                pickled for workers.
        """
        return FeatureLoader(
            self,
            num_workers=num_workers,
            context=context,
            pin_memory=pin_memory,
            prefetch_factor=prefetch_factor,
        )

    def __iter__(self) -> Iterator[Any]:
        """Return the batches of an epoch; in a worker process, only the worker's own ones."""
        info = torch_data.get_worker_info()
        if info is not None:
            threads.set_num_threads(
                1
            )  # workers share the cores; torch does the same for its own threads
        worker = Worker() if info is None else Worker(info.id, info.num_workers)
        epoch, n_given = self._at.tolist()
        blocks = self.stream.batches(epoch, worker.after(n_given), n_given)
        return map(as_matrix if self._form == "matrix" else as_dict, blocks)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for pickle; a block in memory is shared, not copied."""
        rows = self.stream.rows
        if not isinstance(rows, TransformedBlock):
            return dict(self.__dict__)
        if self._shared is None:
            self._shared = in_shared_memory(rows.block)
        stream = replace(self.stream, rows=replace(rows, block=self._shared))
        return {**self.__dict__, "stream": stream, "_shared": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the attributes; features in memory stay in shared memory."""
        self.__dict__.update(state)
        rows = self.stream.rows
        if isinstance(rows, TransformedBlock):
            self.stream = replace(self.stream, rows=replace(rows, block=in_place(rows.block)))

    def __repr__(self) -> str:
        """Return text with the numbers of rows, batches and columns."""
        division, contents = self.stream.division, self._contents
        n_codes = len(contents.n_codes) + sum(map(len, contents.bags.values()))
        has_label = LABEL in getattr(self.stream.rows, "block", ()) or contents.label is not None
        return (
            f"FeatureBatches({counted(division.n_rows, 'row')}, "
            f"{n_batches_text(division.n_batches)} of "
            f"{division.batch_size:,}: {counted(len(self.dense_names), 'number')}, "
            f"{counted(n_codes, 'code')}{', label' if has_label else ''})"
        )


def n_batches_text(n: int) -> str:
    """Return a number of batches as text for a message, such as "3 batches"."""
    return "1 batch" if n == 1 else f"{n:,} batches"


@with_method_errors(lambda _: "loader.", {"__init__": {}}, made_by="")
class FeatureLoader:
    """A DataLoader of batches that counts the batches it has given, and can resume there.

    Each pass is an epoch. If a pass is interrupted, its epoch is over, unless its state is loaded
    again. Workers stay alive between epochs. `len()` is the number of batches of this rank.

    The state counts the batches that the loop received, not those that workers prepared ahead. A
    loop that stops after learning from a batch resumes with the next one. The state is a dict of
    texts and numbers, the same for all ranks.

    If a worker dies or raises, the loop raises, and the loader can be used again: from the same
    point by `loader.load_state_dict(loader.state_dict())`.

    Args:
        batches: The data set; its own epoch number is not changed.
        num_workers: The number of processes that read and transform; 0 uses this process.
        context: The start method of processes: "fork", "forkserver" or "spawn"; None for Python's
            default. All except "fork" import your script, so its code must be below `if __name__ ==
            "__main__":`, and they copy a table in memory to each worker.
        pin_memory: Whether tensors are in pinned memory; None pins them if torch finds a GPU.
        prefetch_factor: The number of batches that each worker prepares ahead.

    Example:
        >>> fitted = ff.Plan({"x": col("x") * 2}).fit({"x": [1.0]})
        >>> loader = FeatureBatches(fitted, {"x": [1.0] * 10}, 4).loader()
        >>> for batch in loader:
        ...     break
        >>> state = loader.state_dict()
        >>> state["epoch"], state["batches"], len(loader)
        (0, 1, 3)
        >>> loader.load_state_dict(state)
        >>> len([*loader])
        2
    """

    def __init__(
        self,
        batches: FeatureBatches,
        *,
        num_workers: int = 0,
        context: str | None = None,
        pin_memory: bool | None = None,
        prefetch_factor: int = 2,
    ) -> None:
        """Check the arguments; the class describes them."""
        if not isinstance(batches, FeatureBatches):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
            raise TypeMismatch(
                f"FeatureLoader: takes FeatureBatches, got {type(batches).__name__}. For other "
                "data sets, use torch's DataLoader"
            )
        name = "FeatureLoader"
        n_workers = checks.whole_number(name, "num_workers", num_workers, 0)
        pins = torch.cuda.is_available() if pin_memory is None else pin_memory
        self._options: dict[str, Any] = {"batch_size": None, "num_workers": n_workers}
        self._options["pin_memory"] = checks.switch(name, "pin_memory", pins)
        if context is not None:
            checks.choice(name, "context", context, multiprocessing.get_all_start_methods())
        if n_workers:
            ahead = checks.whole_number(name, "prefetch_factor", prefetch_factor, 1)
            self._options |= {"persistent_workers": True, "prefetch_factor": ahead}
            self._options["multiprocessing_context"] = context
            _check_picklable(batches, context)
        self._batches = batches.copy()
        self._loader: Any = None  # created when needed, and again after a worker died
        self._epoch, self._n_given, self._is_next, self._pass = 0, 0, True, 0

    @property
    def batches(self) -> FeatureBatches:
        """The `FeatureBatches` that are loaded; `n_codes` there gives the sizes of embeddings.

        It is not named `dataset`, because Lightning warns about a loader with that attribute and a
        length.
        """
        return self._batches

    @property
    def epoch(self) -> int:
        """The number of the current or last epoch."""
        return self._epoch

    def __len__(self) -> int:
        """Return the number of batches of this rank per epoch."""
        return self._batches.n_batches

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the next epoch, or the remaining ones of a resumed epoch."""
        if self._n_given and not self._is_next:
            self._epoch, self._n_given = self._epoch + 1, 0
        self._is_next = False
        self._pass += 1
        this_pass = self._pass
        self._batches.begin_at(self._epoch, self._n_given)
        if self._loader is None:
            self._loader = torch_data.DataLoader(self._batches, **self._options)
        batches = iter(self._loader)
        while (batch := self._following(batches, this_pass)) is not None:
            self._n_given += 1
            yield batch

    def _following(self, batches: Iterator[Any], this_pass: int) -> Any:
        """Return the next batch of a pass; None after the last batch."""
        if self._pass != this_pass:  # its workers serve the later pass
            raise RuntimeError("this pass ended because a later pass over the loader has started")
        try:
            return next(batches, None)
        except Exception as error:
            self._loader = None
            _end_workers(batches)
            raise self._told(error) from error.__cause__

    def _told(self, error: Exception) -> Exception:
        """Return an error to raise for a failed pass, with advice on how to continue."""
        if isinstance(error, _LOST) and not str(error).startswith("Caught "):  # raised in a worker
            error = RuntimeError("a DataLoader worker died or was killed before it sent a batch")
        error.add_note(
            f"in epoch {self._epoch}, after {n_batches_text(self._n_given)}. To continue there: "
            "loader.load_state_dict(loader.state_dict())"
        )
        return error

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch; an epoch that was resumed continues at its position.

        Args:
            epoch: The number of the epoch, from 0.
        """
        epoch = checks.whole_number("FeatureLoader", "epoch", epoch, 0)
        if not (self._is_next and epoch == self._epoch):
            self._epoch, self._n_given, self._is_next = epoch, 0, True

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the loop: epoch, number of batches given in it, and settings."""
        is_over = self._n_given >= len(self) and not self._is_next
        return {
            "epoch": self._epoch + is_over,
            "batches": 0 if is_over else self._n_given,
            "of": self._settings,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume at a saved position: the next pass gives the batches that were not given yet.

        Args:
            state: A `state_dict` of a loader with the same plan, data, options, number of workers
                and number of ranks.

        Raises:
            InvalidData: The state belongs to another loader, and the message says how it differs;
                or it is not a state.
        """
        epoch, n_given = resolve_state(state, self._settings, len(self))
        self._epoch, self._n_given, self._is_next = epoch, n_given, True

    @cached_property
    def _settings(self) -> dict[str, Any]:
        settings = self._batches.stream.settings()
        return {**settings, "num_workers": self._options["num_workers"]}


def _end_workers(batches: Any) -> None:
    """End the workers of a pass that failed.

    Torch does this when the pass is deleted, but the error keeps the pass alive. Until then the
    death of a worker may raise, by a signal, at any line of this process.
    """
    with suppress(Exception):
        getattr(batches, "_shutdown_workers", lambda: None)()


def _check_picklable(batches: FeatureBatches, context: str | None) -> None:
    """Raise if worker processes cannot get the function that opens a reader, by pickle."""
    rows = batches.stream.rows
    forks = (context or multiprocessing.get_start_method()) == "fork"
    if forks or not isinstance(rows, TransformedRows) or not isinstance(rows.pieces, BatchPieces):
        return
    try:
        pickle.dumps(rows.pieces.make)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InvalidPlan(
            f"FeatureLoader(context={context!r}): the function that opens the reader cannot be "
            f"pickled for the workers: {error}. Define it at the top of a module, or pass "
            "context='fork' or num_workers=0"
        ) from error
