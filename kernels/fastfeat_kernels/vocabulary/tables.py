"""Tables of keys in memory that grows as they fill: one for each part of a column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from fastfeat_kernels.arrays import Int64Array
from fastfeat_kernels.column import TEXT, AnyChunk, CallRunner, ChunkRows, KernelRowCall
from fastfeat_kernels.records import dataclass
from fastfeat_kernels.vocabulary import layout
from fastfeat_kernels.vocabulary.keys import chunk_of_words, describe

N_FIRST_SLOTS: Final = 1 << 12
GROWTH: Final = 4  # for small tables; from here on they double:
N_LARGE_SLOTS: Final = 1 << 17
MAX_KEYS: Final = 2**31 - 1  # places are int32
_LINE_WORDS: Final = 8


class VocabularyTooLarge(Exception):
    """The distinct keys of a column take more memory than allowed.

    Args:
        n_keys: Number of keys found by then; there may be more.
        needed_bytes: Memory for these keys.
        limit_bytes: Allowed memory.
    """

    def __init__(self, n_keys: int, needed_bytes: int, limit_bytes: int) -> None:
        super().__init__(n_keys, needed_bytes, limit_bytes)
        self.n_keys, self.needed_bytes, self.limit_bytes = n_keys, needed_bytes, limit_bytes

    def __str__(self) -> str:
        return (
            f"at least {self.n_keys} distinct keys take {self.needed_bytes} bytes, "
            f"more than the limit of {self.limit_bytes}"
        )


@dataclass(frozen=True, slots=True)
class KeyKind:
    """The kind of keys, numbers or text, with its entry and sizes.

    Args:
        entry: The kernel.
        slot_words: Words of a slot.
        key_words: Words of a key in the array of keys.
        max_eighths: Largest load of the slots, in eighths.
    """

    entry: str
    slot_words: int
    key_words: int
    max_eighths: int


NUMBERS: Final = KeyKind("numbers", layout.N_NUMBER_SLOT_WORDS, 1, 5)  # 2.5 keys in a line for 5
TEXTS: Final = KeyKind(TEXT, layout.N_TEXT_SLOT_WORDS, 2, 4)


def kind_of(element: str) -> KeyKind:
    """Return the kind of keys of a type."""
    return TEXTS if element == TEXT else NUMBERS


@dataclass(frozen=True, slots=True)
class Table:
    """Keys by hash, and by place; the arrays have room for more.

    Args:
        slots: Words of the slots, a power of 2 of them.
        keys: `(limit, key_words)`: the key, or address and number of bytes.
        counts: Count of each key.
        state: State words of `layout`.
    """

    kind: KeyKind
    slots: Int64Array
    keys: Int64Array
    counts: Int64Array
    state: Int64Array

    @property
    def n_slots(self) -> int:
        return len(self.slots) // self.kind.slot_words

    @property
    def n_lines(self) -> int:
        """Number of lines of a table of numbers."""
        return self.n_slots // layout.N_SLOTS_PER_LINE

    @property
    def n_places(self) -> int:
        """Number of lines, or of slots of text, to walk through."""
        return self.n_slots if self.kind is TEXTS else self.n_lines

    @property
    def n_keys(self) -> int:
        return int(self.state[layout.STATE_N_KEYS])

    @property
    def is_full(self) -> bool:
        return bool(self.state[layout.STATE_IS_FULL])

    @property
    def n_rows(self) -> int:
        """Number of rows taken."""
        return int(self.state[layout.STATE_N_ROWS])

    @property
    def n_missing(self) -> int:
        return int(self.state[layout.STATE_N_MISSING])


def new_table(kind: KeyKind, n_keys: int = 0, slots: Int64Array | None = None) -> Table:
    """Return an empty table with room for `n_keys` keys.

    `slots` is memory for a power of 2 of slots, in any state; no other table may need it when this
    one is filled.
    """
    if slots is None:
        slots = new_slots(kind, max(N_FIRST_SLOTS, n_slots_for(kind, n_keys)))
    return new_tables(kind, [slots])[0]


def new_tables(kind: KeyKind, slots: Sequence[Int64Array]) -> list[Table]:
    """Return empty tables with slots of one size; their other arrays share few pieces of memory."""
    limit = len(slots[0]) // kind.slot_words * kind.max_eighths // 8
    keys = np.empty((len(slots), limit, kind.key_words), np.int64)
    counts = np.zeros((len(slots), limit), np.int64)
    states = np.zeros((len(slots), layout.N_STATE_WORDS), np.int64)
    parts = zip(slots, keys, counts, states, strict=True)
    return [Table(kind, *of_table) for of_table in parts]


def n_slots_for(kind: KeyKind, n_keys: int) -> int:
    """Return the number of slots with room for a batch beyond `n_keys` keys."""
    return 1 << (-(-8 * (n_keys + layout.BATCH) // kind.max_eighths) - 1).bit_length()


def bytes_of_slots(kind: KeyKind, n_keys: int) -> int:
    """Return the bytes of the slots of `n_keys` keys."""
    return 8 * n_slots_for(kind, n_keys) * kind.slot_words


def new_slots(kind: KeyKind, n_slots: int) -> Int64Array:
    """Return memory for slots, aligned to a cache line."""
    n_words = n_slots * kind.slot_words
    words = np.empty(n_words + _LINE_WORDS, np.int64)
    first = -words.ctypes.data // 8 % _LINE_WORDS
    return words[first : first + n_words]


def check_size(tables: Sequence[Table], limit_bytes: int | None) -> None:
    """Raise VocabularyTooLarge if one table of the keys of all tables would exceed the limit.

    Its memory is slots, keys, counts and bytes, and depends only on the keys, not on their tables.
    No key may be in two tables.
    """
    kind, n = tables[0].kind, sum(table.n_keys for table in tables)
    n_bytes = 0
    if kind is TEXTS:
        n_bytes = sum(int(table.keys[: table.n_keys, 1].sum()) for table in tables)
    check_keys(kind, n, n_bytes, limit_bytes)


def check_keys(kind: KeyKind, n: int, n_bytes: int, limit_bytes: int | None) -> None:
    """Raise VocabularyTooLarge if one table of n keys would exceed the limit.

    `n_bytes` is the total size of text keys.
    """
    needed = 8 * (n_slots_for(kind, n) * kind.slot_words + n * (kind.key_words + 1)) + n_bytes
    if limit_bytes is not None and needed > limit_bytes:
        raise VocabularyTooLarge(n, needed, limit_bytes)
    if n > MAX_KEYS - layout.BATCH:
        raise VocabularyTooLarge(n, needed, needed)


@dataclass(frozen=True, slots=True)
class PartitionRows:
    """The rows of a partition: from one number to the next, in each block of rows.

    Args:
        owner: Keeps the numbers alive.
        address: Address of the first block's first number.
        stride: Words from one block's number to the next block's.
    """

    owner: object
    address: int
    stride: int


@dataclass(frozen=True, slots=True)
class KeySource:
    """The rows of one part of a column, and the target for their numbers.

    Args:
        element: Type of the values.
        parts: The rows; with `runs`, the blocks that have them.
        weights: Weight of each row of the column, or None.
        rows: int32 for each row of the column, or None.
        runs: Runs of rows to take from the blocks, or None.
    """

    element: str
    parts: Sequence[ChunkRows[AnyChunk]]
    weights: Int64Array | None
    rows: npt.NDArray[np.int32] | None
    runs: PartitionRows | None = None


def fill(
    tables: list[Table],
    sources: Sequence[KeySource],
    run: CallRunner,
    limit_bytes: int | None,
    *,
    n_sequences: int | None = None,
    are_disjoint: bool = False,
    gives_up: Callable[[Table, int], bool] = lambda table, n_left: False,
) -> list[Table] | None:
    """Return the tables with the keys of all rows, each from its own source."""
    left = [list(source.parts) for source in sources]
    grown: list[list[KernelRowCall]] = [[] for _ in tables]
    while tables:
        done = [table.n_rows for table in tables]
        sequences: list[list[KernelRowCall]] = [[] for _ in range(n_sequences or len(tables))]
        for k, (table, source) in enumerate(zip(tables, sources, strict=True)):
            calls = grown[k] + [_learn_call(table, source, rows) for rows in left[k]]
            if table.n_keys == 0 and calls:
                calls[0].table[layout.TABLE_CLEARS] = 1
            sequences[k % len(sequences)] += calls
        run(tables[0].kind.entry, sequences)
        if not any(table.is_full for table in tables):
            break
        if are_disjoint:
            check_size(tables, limit_bytes)
        for k, table in enumerate(tables):
            if sources[k].runs is None:
                left[k] = _skip(left[k], table.n_rows - done[k])
            elif not table.is_full:
                left[k] = []
            grown[k] = []
            if table.is_full:
                check_size([table], limit_bytes)
                if gives_up(table, sum(rows.n for rows in left[k])):
                    return None
                tables[k], call = _filled_anew(table) if are_disjoint else widened(table)
                grown[k] = [call]
    return tables


def _skip(parts: list[ChunkRows[AnyChunk]], n: int) -> list[ChunkRows[AnyChunk]]:
    """Return runs of rows without the first n rows."""
    left: list[ChunkRows[AnyChunk]] = []
    for rows in parts:
        k = min(n, rows.n)
        n -= k
        if k < rows.n:
            left.append(ChunkRows(rows.chunk, rows.first + k, rows.n - k, rows.chunk_start))
    return left


def _larger(table: Table, n_slots: int | None = None) -> Table:
    """Return a table with more slots, none of them empty yet."""
    growth = GROWTH if table.n_slots < N_LARGE_SLOTS else 2
    return new_table(table.kind, slots=new_slots(table.kind, n_slots or growth * table.n_slots))


def widened(table: Table, n_slots: int | None = None) -> tuple[Table, KernelRowCall]:
    """Return a table with room for more keys, and the call that copies the old slots.

    Each line goes to one of few places, so memory access is sequential. The table has at least one
    key and is consumed. `n_slots` is a power of 2; by default the next size.
    """
    larger, n = _larger(table, n_slots), table.n_keys
    larger.keys[:n], larger.counts[:n] = table.keys[:n], table.counts[:n]
    words, scratch = table_words(larger, layout.WIDEN), np.empty(layout.N_SCRATCH_WORDS, np.int64)
    words[layout.TABLE_SCRATCH], words[layout.TABLE_VALUES] = (
        scratch.ctypes.data,
        table.slots.ctypes.data,
    )
    table.state[layout.STATE_IS_FULL] = 0
    call = KernelRowCall(words, 0, table.n_places, (table, larger, scratch))
    return Table(table.kind, larger.slots, larger.keys, larger.counts, table.state), call


def _filled_anew(table: Table) -> tuple[Table, KernelRowCall]:
    """Return a table with room for more keys, and the call that inserts the existing ones.

    Another table may use the slots by now, so keys are hashed again.
    """
    larger, n, kind = _larger(table), table.n_keys, table.kind
    source = KeySource(TEXT if kind is TEXTS else "int64", [], table.counts[:n], None)
    call = _learn_call(larger, source, ChunkRows(chunk_of_words(table.keys[:n], table), 0, n, 0))
    call.table[layout.TABLE_CLEARS] = 1
    table.state[layout.STATE_IS_FULL] = 0
    return Table(kind, larger.slots, larger.keys, larger.counts, table.state), call


def _learn_call(table: Table, source: KeySource, rows: ChunkRows[AnyChunk]) -> KernelRowCall:
    words = table_words(table, layout.LEARN)
    scratch = describe(words, source.element, rows.chunk)
    words[layout.TABLE_LIMIT] = len(table.counts)
    words[layout.TABLE_COUNTS] = table.counts.ctypes.data
    words[layout.TABLE_MISSING] = -1
    if source.weights is not None:
        words[layout.TABLE_WEIGHTS] = source.weights.ctypes.data + 8 * rows.chunk_start
    if source.runs is not None:
        words[layout.TABLE_RUNS] = source.runs.address
        words[layout.TABLE_RUN_STRIDE] = source.runs.stride
        words[layout.TABLE_N_TAKEN] = table.n_rows
    if source.rows is not None:
        words[layout.TABLE_ROWS] = source.rows.ctypes.data + 4 * rows.chunk_start
    return KernelRowCall(words, rows.first, rows.n, (table, source, rows, scratch))


def table_words(table: Table, kind_of_round: int) -> Int64Array:
    """Return the table words for a kind of round; the caller adds the words of rows."""
    words = np.zeros(layout.N_TABLE_WORDS, np.int64)
    words[layout.TABLE_ROUND] = kind_of_round
    words[layout.TABLE_SLOTS], words[layout.TABLE_N_SLOTS] = table.slots.ctypes.data, table.n_slots
    words[layout.TABLE_KEYS] = table.keys.ctypes.data
    words[layout.TABLE_STATE] = table.state.ctypes.data
    words[layout.TABLE_LAST_OF_REGION] = table.n_lines - 1
    return words
