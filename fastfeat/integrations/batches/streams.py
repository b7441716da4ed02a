"""The batches of an epoch as blocks (dicts of arrays), for one worker of one rank.

A `BatchStream` determines the rows of every batch: the data, read in pieces and transformed, or
computed before as one block; the division of its rows into ranks and batches; and the options for
shuffling. It is immutable: epoch, worker and the number of batches given before are arguments of
each pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.errors import FastfeatError, InvalidData, InvalidPlan
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.encoded_rows import warn_encoded
from fastfeat.execute.history import BATCH
from fastfeat.integrations.batches.blocks import (
    DENSE,
    BlockContents,
    block_of,
    join_blocks,
    n_rows_of,
    sample_bytes,
    take_rows,
)
from fastfeat.integrations.batches.columns import Block, cast_block, kinds_of
from fastfeat.integrations.batches.epochs import (
    Division,
    PieceOrder,
    PieceSegment,
    Worker,
    order_of,
    permutation,
    pools,
)
from fastfeat.integrations.batches.pieces import DataPieces, ParquetPieces, ReadPiece
from fastfeat.io.arrow import pa
from fastfeat.keep.artifact import artifact_bytes

PIECE = "piece"
"""The value of `history` if each piece contains the past of its rows."""
_OF_PIECES, _OF_POOLS = 0, 1
"""Parts of the keys of random orders: those of pieces and of rows in pools get different keys."""


@dataclass(frozen=True, slots=True)
class TransformedRows:
    """Rows that are read and transformed piece by piece, in each epoch.

    Args:
        contents: The columns of blocks.
        pieces: The data.
        tables: Lookup tables.
        by_piece: Whether a piece is transformed whole, because it contains the past of its rows.
        kinds: The types of label and kept columns in the first piece, by key of the block.
    """

    contents: BlockContents
    pieces: DataPieces
    tables: Mapping[str, Any] | None
    by_piece: bool
    kinds: Mapping[tuple[str, str], Any] = field(default_factory=dict[tuple[str, str], Any])

    @property
    def n_rows(self) -> int:
        """The number of rows in all pieces."""
        return sum(self.pieces.sizes)

    def reader(self) -> ReadPiece:
        """Return a function that reads a piece with the needed columns, for one pass."""
        return self.pieces.reader([*self.contents.columns, *self.contents.optional_columns])


@dataclass(frozen=True, slots=True)
class TransformedBlock:
    """Rows that were transformed before, all in one block in memory.

    Args:
        contents: The columns of the block.
        block: All rows.
        n_left_out: The number of rows that were dropped because they had no label.
    """

    contents: BlockContents
    block: Block
    n_left_out: int = 0

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return n_rows_of(self.block)


@dataclass(frozen=True, slots=True)
class ShuffleOptions:
    """The options for shuffling the rows of an epoch.

    Args:
        shuffle: Whether rows are shuffled.
        seed: The seed of the random order.
        mix: The number of consecutive pieces with rows that are shuffled together.
    """

    shuffle: bool
    seed: int
    mix: int


@dataclass(frozen=True, slots=True)
class BatchStream:
    """Rows, and the way they are divided into batches in any epoch.

    Args:
        rows: The source of the rows.
        division: The division into ranks and batches.
        mixing: The options for shuffling.
    """

    rows: TransformedRows | TransformedBlock
    division: Division
    mixing: ShuffleOptions

    def batches(self, epoch: int, worker: Worker, n_given: int) -> Iterator[Block]:
        """Return a worker's batches of an epoch; its rank has given `n_given` batches before."""
        shuffle, key = self.mixing.shuffle, (self.mixing.seed, epoch)
        match self.rows:
            case TransformedBlock(block=block):
                n = self.rows.n_rows
                order = permutation(n, *key, _OF_PIECES) if shuffle else np.arange(n)
                return ready_batches(block, order, self.division, worker, n_given)
            case TransformedRows(pieces=pieces):
                n = len(pieces.sizes)
                in_turn = pieces.is_in_turn or not shuffle
                chosen = np.arange(n) if in_turn else permutation(n, *key, _OF_PIECES)
                order = order_of(pieces.sizes, chosen)
                read = segments_reader(self.rows, reuses=shuffle)
        if not shuffle:
            return ordered_batches(read, order, self.division, worker, n_given)
        mix, key = self.mixing.mix, (*key, _OF_POOLS)
        return shuffled_batches(read, order, self.division, worker, n_given, mix, key)

    def settings(self) -> dict[str, Any]:
        """Return all values that determine the order of rows, for a resumed epoch to compare."""
        match self.rows:
            case TransformedBlock(contents=contents, block=block):
                data = hashlib.sha256(sample_bytes(block)).hexdigest()
            case TransformedRows(contents=contents, pieces=pieces):
                data = pieces.digest()
        division, mixing = self.division, self.mixing
        return {
            "plan": hashlib.sha256(artifact_bytes(contents.fitted.record)).hexdigest(),
            "data": data,
            "n_rows": division.n_rows,
            "batch_size": division.batch_size,
            "drop_last": division.drop_last,
            "even": division.even,
            "world_size": division.world_size,
            "shuffle": mixing.shuffle,
            "seed": mixing.seed,
            "mix": mixing.mix,
        }


def rows_of(
    contents: BlockContents, pieces: DataPieces, rows: CallRows
) -> TransformedRows | TransformedBlock:
    """Return the rows of a data set, to be read piece by piece in each epoch.

    If windows see rows of other pieces, all rows are transformed here instead, at once. One row is
    transformed in any case, to report errors early. `rows.history` may also be "piece": each piece
    contains the past of its rows.

    Raises:
        InvalidPlan: The plan has windows, and `history` is None.

    Warns:
        EncodedInFold: An encoding of the plan has learned from the labels of these rows.
    """
    plan, history = contents.fitted.plan, rows.history
    if isinstance(pieces, ParquetPieces):
        pieces.check(contents.columns)
    by_piece = isinstance(history, str) and history == PIECE
    if history is None and plan.declaration.past_columns:
        raise InvalidPlan(
            f"the plan has windows ({_listed(plan.history_needed())}), which see rows of other "
            "pieces. Pass history='batch' if the data contains its own past, to transform it at "
            "once; the earlier rows as history=; or history='piece' if each piece contains the "
            "past of its rows"
        )
    computed = TransformedRows(contents, pieces, rows.tables, by_piece)
    _warn_encoded(computed)
    if not by_piece and (plan.declaration.past_columns or contents.label_is_ahead):
        return _ready(computed, history)
    if pieces.sizes:
        first = computed.reader()(0).slice(0, 1)
        block = block_of(contents, rows._replace(data=first, history=BATCH if by_piece else None))
        return replace(computed, kinds=kinds_of(block))
    return computed


def _listed(needed: Mapping[str, str]) -> str:
    return ", ".join(f"{reach} of each {key}" for key, reach in needed.items())


def _warn_encoded(computed: TransformedRows) -> None:
    """Warn, like `transform`, if an encoding has learned from the labels of this data.

    Without row ids only the full training data is recognized, by a hash of some columns. They are
    read for it if the number of rows agrees.
    """
    fitted = computed.contents.fitted
    encoded = fitted.record.encoded
    if encoded is None or encoded.row_id is not None:
        return
    if all(n_rows != computed.n_rows for n_rows, *_ in encoded.digests):
        return
    read = computed.pieces.reader([name for name, _ in encoded.columns])
    parts = [read(piece) for piece in range(len(computed.pieces.sizes))]
    warn_encoded(encoded, pa.concat_tables(parts), None, fitted.record.told)


def _ready(computed: TransformedRows, history: Any) -> TransformedRows | TransformedBlock:
    """Read all pieces and transform their rows at once; return them as one block."""
    contents = computed.contents
    read = computed.reader()
    parts = [read(piece) for piece in range(len(computed.pieces.sizes))]
    if not parts:
        return computed
    try:
        table = pa.concat_tables(parts)
    except pa.ArrowException as error:
        raise InvalidData(
            f"the pieces of the data have different columns or types: {error}"
        ) from error
    rows = CallRows(table, history=history, tables=computed.tables)
    block = block_of(contents, rows, leaves_out=True)
    return TransformedBlock(contents, block, table.num_rows - n_rows_of(block))


ReadSegments = Callable[[Sequence[PieceSegment]], Block]
"""`(segments) -> block` with the rows of the segments, one after another."""


def segments_reader(rows: TransformedRows, *, reuses: bool) -> ReadSegments:
    """Return a function that reads and transforms the rows of segments, for one pass.

    With `reuses`, the memory for features is used again for the next block: new memory for 1M rows
    of 50 features takes as long as the features themselves.
    """
    contents, tables, by_piece, read = rows.contents, rows.tables, rows.by_piece, rows.reader()
    n_dense = 0 if contents.dense is None else len(contents.dense.feature_names)
    buffer = np.empty((0, n_dense), contents.dtype)

    @lru_cache(maxsize=1)
    def whole(piece: int) -> Block:
        block = block_of(contents, CallRows(read(piece), history=BATCH, tables=tables))
        return cast_block(block, rows.kinds)

    def one(part: PieceSegment, out: NDArray[Any]) -> Block:
        try:
            if not by_piece:
                table = read(part.piece).slice(part.start, part.n_rows)
                block = block_of(contents, CallRows(table, tables=tables), out=out)
                return cast_block(block, rows.kinds)
            block = {k: of[part.start : part.stop] for k, of in whole(part.piece).items()}
        except FastfeatError as error:
            error.add_note(f"in piece {part.piece} of the data, rows from {part.start:,}")
            raise
        if n_dense:
            out[:] = block[DENSE]
        return block

    def read_segments(parts: Sequence[PieceSegment]) -> Block:
        nonlocal buffer
        *starts, n = accumulate((part.n_rows for part in parts), initial=0)
        if len(buffer) < n or not reuses:
            buffer = np.empty((n, n_dense), contents.dtype)
        dense = buffer[:n]  # one array for all parts, so they need not be joined
        outs = [dense[at : at + part.n_rows] for at, part in zip(starts, parts, strict=True)]
        others = [
            {key: of for key, of in one(part, out).items() if key != DENSE}
            for part, out in zip(parts, outs, strict=True)
        ]
        return ({DENSE: dense} if n_dense else {}) | join_blocks(others)

    return read_segments


def ready_batches(
    block: Block, order: NDArray[np.int64], division: Division, worker: Worker, n_given: int
) -> Iterator[Block]:
    """Yield a worker's batches of rows in memory, taken from a block of all rows.

    `order` has the row numbers in the order of the epoch, shape (n_rows,). `n_given` is the number
    of batches that the rank has given before.
    """
    for number in worker.turns(division.n_batches, n_given):
        positions = division.batches(range(number, number + 1))
        yield take_rows(block, order[np.arange(positions.start, positions.stop) % len(order)])


def ordered_batches(
    read: ReadSegments, order: PieceOrder, division: Division, worker: Worker, n_given: int
) -> Iterator[Block]:
    """Yield a worker's batches with rows in the order of the data, after `n_given` of its rank."""
    for number in worker.turns(division.n_batches, n_given):
        yield read(order.segments(division.batches(range(number, number + 1))))


def shuffled_batches(
    read: ReadSegments,
    order: PieceOrder,
    division: Division,
    worker: Worker,
    n_given: int,
    mix: int,
    key: Sequence[int],
) -> Iterator[Block]:
    """Yield a worker's batches with shuffled rows.

    A worker reads `mix` segments at a time, a pool, and shuffles its rows. `key` determines the
    random order; `n_given` is the number of batches that the rank has given before.
    """
    size = division.batch_size
    share = division.batches(worker.share(division.n_batches))
    rest: list[Block] = []
    for pool in pools(order.segments(share), mix, worker.n_given(n_given) * size):
        rows = permutation(pool.n_rows, *key, division.rank, worker.number, pool.number)
        block = read(pool.segments)
        n_rest = n_rows_of(rest[0]) if rest else 0
        at = pool.first
        while pool.n_rows - at >= size - n_rest:
            some = take_rows(block, rows[at : at + size - n_rest])
            yield join_blocks([*rest, some])
            at, rest, n_rest = at + size - n_rest, [], 0
        if at < pool.n_rows:
            rest = [join_blocks([*rest, take_rows(block, rows[at:])])]
    yield from rest
