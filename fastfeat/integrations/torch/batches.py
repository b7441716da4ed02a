"""`FeatureBatches`: features of a plan as an iterable data set of torch; and `FeatureLoader`.

The loader is a DataLoader of batches that counts what it has given, and can go on there. Both stand
in one file, for each gives the other.
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
from fastfeat.calls.arguments import explaining_methods
from fastfeat.calls.checks import choice, switch, whole_number
from fastfeat.engine.cpu.threads import set_num_threads
from fastfeat.errors import InvalidPlan, TypeMismatch, counted
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.inputs import read_columns
from fastfeat.execute.lookup_tables import Tables, resolve_tables
from fastfeat.integrations.batches.blocks import (
    Contents,
    Float,
    features_block,
)
from fastfeat.integrations.batches.columns import LABEL, Block
from fastfeat.integrations.batches.epochs import Even, Worker
from fastfeat.integrations.batches.options import (
    Form,
    resolve_contents,
    resolve_division,
    resolve_mixing,
    resolve_ranks,
    resolve_state,
)
from fastfeat.integrations.batches.pieces import BatchPieces, pieces_of
from fastfeat.integrations.batches.streams import Ready, Stream, TransformedRows, rows_of
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
"""What it looks like where a worker dies as the tensors of a batch are fetched from it."""


@explaining_methods(lambda _: "batches.", {"__init__": {}}, made_by="")
class FeatureBatches(torch_data.IterableDataset):
    """Batches of features, codes and labels as tensors: an iterable data set for a DataLoader.

    A piece, which is a row group of Parquet files, a batch of a reader, or a part of a table, is
    read and transformed at a time, anew in each epoch: a worker holds `mix` pieces of features and
    one of the data, so that a file of one large row group is held whole. Each row comes once an
    epoch, whatever the number of workers; ranks share the rows evenly, within pieces too. Batches
    go on over the ends of pieces: only the last one of a rank may be short.

    Shuffled, pieces come in another order in each epoch, and rows of `mix` pieces that follow each
    other are mixed. In files that are sorted, rows of one batch are of `mix` places, so take more
    of smaller row groups there. What a reader gives comes in its order, and is mixed within `mix`
    pieces alone. Not shuffled, batches come in the order of the rows, from several workers too:
    each of them reads every piece then, and transforms its own batches.

    Windows see rows of other pieces, so that a plan with windows needs `history=`. With "batch"
    (the data holds its own past) or a table of earlier rows, the data is read and transformed at
    once, here, as `transform` does, to the same bits; features stay in memory, and are shuffled
    as a whole. With "piece" each piece holds the past of its rows, as where files are divided by
    entity, and is transformed by itself. A label that looks ahead is computed with all rows too;
    those to which it gives none are left out, and counted in `n_rows_without_label`.

    Take `loader()`, which is a DataLoader made right. In a DataLoader of your own, say
    `batch_size=None`, and call `set_epoch` before each epoch.

    Args:
        fitted: the plan. Its encodings of a target know the labels of the rows that were learnt
            from: to learn from these, take `of_features`.
        data: a table in memory; Parquet files: a path, several, or a folder; a function without
            arguments that opens a reader of record batches or gives tables, one after another.
        batch_size: rows of a batch.
        label: the name of a column; None for the plan's own label, if it has one; False for none.
            Integers become int64, floats and bools float32, of shape (n,).
        codes: how many codes each column of codes has, by its name; None for `fitted.n_codes`,
            which are the ordinal encodings. Other columns are numbers.
        bags: features whose columns are the codes of a list, `list.ordinal_encode(width=)`, given
            as torch's EmbeddingBag takes them: {"codes": (n_codes,), "offsets": (n,)}, both int64,
            without the code 0 of elements that are missing, or beyond the end of a short list.
        keep: columns that are passed through; None for the plan's own. Numbers and bools are
            tensors, what else there is a list of Python values.
        form: "dict" for a dict with "dense" (n, d), "codes" int64 (n, k), "bags", "label" and
            "keep", each where there are some; "matrix" for all features in one (n, d), or that and
            the label. Missing numbers are NaN.
        dtype: "float32" or "float64", of the numbers.
        shuffle: whether rows are shuffled.
        seed: of the order; an epoch's own number is another part of it.
        mix: how many pieces are mixed.
        piece_rows: how many rows of a table in memory make a piece.
        drop_last: whether a last batch of fewer rows is left out.
        even: "pad" gives each rank as many rows as the largest, some twice; "drop" as many as the
            smallest, some never: then ranks have equally many batches, as DistributedDataParallel
            needs. None gives each row once, and a rank may have a row, and a batch, more.
        rank: number of this process; None asks torch.distributed, else the variables RANK and
            WORLD_SIZE, which torchrun sets.
        world_size: how many such processes there are.
        history: earlier rows, "batch" or "piece", of a plan with windows.
        tables: lookup tables, as in `transform`.

    Raises:
        InvalidPlan: a bad parameter, or windows without `history=`.
        TypeMismatch: a reader that can be read once, or columns of other types than in fit.
        UnknownColumn: a column that is read is not there.
        InvalidData: a file that is missing or damaged; later, one that has changed since.

    Warns:
        EncodedInFold: the plan has put the labels of these rows into an encoding; see
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
        form: Form = "dict",
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
        """Read the heads of files, and transform a row; see the class for the arguments."""
        contents = resolve_contents(fitted, label, codes, bags, keep, form, dtype)
        columns = [*contents.columns, *contents.columns_if_there]
        pieces = pieces_of(
            data, columns, whole_number("FeatureBatches", "piece_rows", piece_rows, 1)
        )
        read = {name: read_table(of) for name, of in resolve_tables(tables).items()}
        rows = rows_of(contents, pieces, CallRows(data, history=history, tables=read))
        ranks = resolve_ranks(rank, world_size, rank_and_world_size())
        division = resolve_division(rows.n_rows, batch_size, drop_last, even, *ranks)
        self._begin(Stream(rows, division, resolve_mixing(shuffle, seed, mix)), form)

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
        form: Form = "dict",
        dtype: Float = "float32",
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        even: Even = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> FeatureBatches:
        """Return batches of features that are computed: of training rows, out of fold.

        They stay in memory, and are shuffled as a whole.

        Args:
            fitted: the plan.
            features: what `fit_transform` or `transform` gives as a table.
            batch_size: as of the class, as is what follows but for the label.
            label: one value a row, such as `fitted.label(data)`; None for none.
            codes: how many codes each column of codes has.
            bags: features whose columns are the codes of a list.
            keep: columns of the table that are passed through.
            form: "dict" or "matrix".
            dtype: of the numbers.
            shuffle: whether rows are shuffled.
            seed: of the order.
            drop_last: whether a last batch of fewer rows is left out.
            even: "pad", "drop" or None.
            rank: number of this process.
            world_size: how many such processes there are.

        Raises:
            InvalidData: the label is of another length, or missing somewhere.
            UnknownColumn: the table lacks a feature.

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
        rows = Ready(contents, features_block(contents, table, label))
        ranks = resolve_ranks(rank, world_size, rank_and_world_size())
        division = resolve_division(rows.n_rows, batch_size, drop_last, even, *ranks)
        batches = object.__new__(FeatureBatches)
        batches._begin(Stream(rows, division, resolve_mixing(shuffle, seed, 1)), form)
        return batches

    def _begin(self, stream: Stream, form: Form) -> None:
        self.stream = stream
        self._form: Form = form
        self._shared: Block | None = None
        # Epoch, and batches given in it: in memory that workers which stay alive see too.
        self._at = torch.zeros(2, dtype=torch.int64).share_memory_()

    @property
    def n_codes(self) -> dict[str, int]:
        """The number of codes, by the name of each column of "codes", in their order."""
        return dict(self._contents.n_codes)

    @property
    def n_bag_codes(self) -> dict[str, int]:
        """The number of codes, by the name of each bag."""
        return dict(self._contents.n_bag_codes)

    @property
    def dense_names(self) -> list[str]:
        """The names of the features in "dense", in their order."""
        dense = self._contents.dense
        return [] if dense is None else dense.feature_names

    @property
    def n_rows(self) -> int:
        """The number of rows, over all ranks."""
        return self.stream.division.n_rows

    @property
    def n_batches(self) -> int:
        """The number of batches of this rank in an epoch."""
        return self.stream.division.n_batches

    @property
    def n_rows_without_label(self) -> int:
        """The number of rows left out, because a label that looks ahead gives them none."""
        rows = self.stream.rows
        return rows.n_left_out if isinstance(rows, Ready) else 0

    @property
    def _contents(self) -> Contents:
        return self.stream.rows.contents

    def copy(self) -> FeatureBatches:
        """Return a copy of the batches with an epoch of its own."""
        other = object.__new__(FeatureBatches)
        other._begin(self.stream, self._form)
        return other

    def set_epoch(self, epoch: int) -> None:
        """Set which epoch is given next, to workers that stay alive too."""
        self.begin_at(whole_number("FeatureBatches", "epoch", epoch, 0), 0)

    def begin_at(self, epoch: int, n_given: int) -> None:
        """Set which epoch is given next, and how many of its batches were given before.

        Args:
            epoch: its number.
            n_given: batches of this rank.
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
        """Return a loader of these batches; see `FeatureLoader` for the arguments.

        Args:
            num_workers: how many processes read and transform; 0 is this one.
            context: "fork", "forkserver" or "spawn".
            pin_memory: whether tensors are in pinned memory.
            prefetch_factor: how many batches each worker is ahead.
        """
        return FeatureLoader(
            self,
            num_workers=num_workers,
            context=context,
            pin_memory=pin_memory,
            prefetch_factor=prefetch_factor,
        )

    def __iter__(self) -> Iterator[Any]:
        """Return the batches of an epoch: all, or in a worker its own."""
        info = torch_data.get_worker_info()
        if info is not None:
            set_num_threads(1)  # workers share the cores, as torch has it for itself
        worker = Worker() if info is None else Worker(info.id, info.num_workers)
        epoch, n_given = self._at.tolist()
        blocks = self.stream.batches(epoch, worker.after(n_given), n_given)
        return map(as_matrix if self._form == "matrix" else as_dict, blocks)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle: a block in shared memory, which workers do not copy."""
        rows = self.stream.rows
        if not isinstance(rows, Ready):
            return dict(self.__dict__)
        if self._shared is None:
            self._shared = in_shared_memory(rows.block)
        stream = replace(self.stream, rows=replace(rows, block=self._shared))
        return {**self.__dict__, "stream": stream, "_shared": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a ready block from shared memory."""
        self.__dict__.update(state)
        rows = self.stream.rows
        if isinstance(rows, Ready):
            self.stream = replace(self.stream, rows=replace(rows, block=in_place(rows.block)))

    def __repr__(self) -> str:
        """Return the numbers of rows, batches and columns, as text."""
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
    """Return a number of batches as text, for a message."""
    return "1 batch" if n == 1 else f"{n:,} batches"


@explaining_methods(lambda _: "loader.", {"__init__": {}})
class FeatureLoader:
    """A DataLoader of batches, which counts what it has given, and can go on from there.

    Each pass is an epoch; a pass that is broken off is over, unless its state is loaded again.
    Workers stay alive between epochs. Its length is the number of batches of this rank.

    The state is that of the batches which the loop was given, not of those that workers made ahead:
    a loop that has learnt from a batch and then stops goes on with the next one. It is a dict of
    texts and numbers, and one for all ranks.

    Where a worker dies, or raises, the loop raises, and the loader can be used again: from where it
    was by `loader.load_state_dict(loader.state_dict())`.

    Args:
        batches: the data set; its own epoch is not touched.
        num_workers: how many processes read and transform; 0 is this one.
        context: "fork", "forkserver" or "spawn"; None is the one that Python takes. All but "fork"
            import your script, whose code must stand below `if __name__ == "__main__":`, and copy a
            table in memory to each worker.
        pin_memory: whether tensors are in pinned memory; None says so where torch has a card.
        prefetch_factor: how many batches each worker is ahead.

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
        """See the class for the arguments."""
        if not isinstance(batches, FeatureBatches):  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
            raise TypeMismatch(
                f"FeatureLoader: takes FeatureBatches, got {type(batches).__name__}. A DataLoader "
                "of torch takes any data set"
            )
        name = "FeatureLoader"
        n_workers = whole_number(name, "num_workers", num_workers, 0)
        pins = torch.cuda.is_available() if pin_memory is None else pin_memory
        self._options: dict[str, Any] = {"batch_size": None, "num_workers": n_workers}
        self._options["pin_memory"] = switch(name, "pin_memory", pins)
        if context is not None:
            choice(name, "context", context, multiprocessing.get_all_start_methods())
        if n_workers:
            ahead = whole_number(name, "prefetch_factor", prefetch_factor, 1)
            self._options |= {"persistent_workers": True, "prefetch_factor": ahead}
            self._options["multiprocessing_context"] = context
            _check_picklable(batches, context)
        self._batches = batches.copy()
        self._loader: Any = None  # made when it is needed, and anew after a worker died
        self._epoch, self._n_given, self._is_next, self._pass = 0, 0, True, 0

    @property
    def batches(self) -> FeatureBatches:
        """The data set, whose `n_codes` a model is made by.

        Not named `dataset`: Lightning warns of what has that and a length, which is right here.
        """
        return self._batches

    @property
    def epoch(self) -> int:
        """The number of the epoch that is given, or was given last."""
        return self._epoch

    def __len__(self) -> int:
        """Return the number of batches of an epoch, for this rank."""
        return self._batches.n_batches

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the next epoch, or the others of one that was resumed."""
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
        """Return the next batch of a pass; None after the last."""
        if self._pass != this_pass:  # its workers give the later one's
            raise RuntimeError("a later pass over this loader has begun, which ends this one")
        try:
            return next(batches, None)
        except Exception as error:
            self._loader = None
            _end_workers(batches)
            raise self._told(error) from error.__cause__

    def _told(self, error: Exception) -> Exception:
        """Return an error that ends a pass, with what to do; that of a dead worker by its name."""
        if isinstance(error, _LOST) and not str(error).startswith("Caught "):  # raised in a worker
            error = RuntimeError("a DataLoader worker has died, or was killed, as it gave a batch")
        error.add_note(
            f"in epoch {self._epoch}, after {n_batches_text(self._n_given)}. To go on there: "
            "loader.load_state_dict(loader.state_dict())"
        )
        return error

    def set_epoch(self, epoch: int) -> None:
        """Set which epoch comes next; one that was resumed goes on where it was.

        Args:
            epoch: its number, from 0.
        """
        epoch = whole_number("FeatureLoader", "epoch", epoch, 0)
        if not (self._is_next and epoch == self._epoch):
            self._epoch, self._n_given, self._is_next = epoch, 0, True

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the loop: its epoch, the batches given in it, and settings."""
        is_over = self._n_given >= len(self) and not self._is_next
        return {
            "epoch": self._epoch + is_over,
            "batches": 0 if is_over else self._n_given,
            "of": self._settings,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a loader was: the next pass gives the batches that it had not given.

        Args:
            state: what `state_dict` gave, of a loader of the same plan, data, options, and number
                of workers and ranks.

        Raises:
            InvalidData: it is of another loader, or no such state; says what differs.
        """
        epoch, n_given = resolve_state(state, self._settings, len(self))
        self._epoch, self._n_given, self._is_next = epoch, n_given, True

    @cached_property
    def _settings(self) -> dict[str, Any]:
        settings = self._batches.stream.settings()
        return {**settings, "num_workers": self._options["num_workers"]}


def _end_workers(batches: Any) -> None:
    """End the workers of a pass that failed.

    Torch does so when the pass is deleted, which the error keeps from it. Until then the death of a
    worker may raise at any line of this process, by a signal.
    """
    with suppress(Exception):
        getattr(batches, "_shutdown_workers", lambda: None)()


def _check_picklable(batches: FeatureBatches, context: str | None) -> None:
    """Raise where workers cannot be given the function that opens a reader."""
    rows = batches.stream.rows
    forks = (context or multiprocessing.get_start_method()) == "fork"
    if forks or not isinstance(rows, TransformedRows) or not isinstance(rows.pieces, BatchPieces):
        return
    try:
        pickle.dumps(rows.pieces.make)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InvalidPlan(
            f"FeatureLoader(context={context!r}): workers are given the function that opens the "
            f"reader by pickle, which fails: {error}. Write it at the top of a module, or take "
            "context='fork' or num_workers=0"
        ) from error
