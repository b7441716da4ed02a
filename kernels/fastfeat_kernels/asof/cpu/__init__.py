# pyright: basic
"""As-of joins on the CPU: rows of the data find their places among the times of the table.

`engine.cpu` imports it by name.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.asof import (
    BLOCK,
    ENDS,
    FANOUT,
    HINT_LATEST,
    HINT_PLACE,
    HINT_SKIPS,
    HINT_START,
    LATEST,
    LOG_FANOUT,
    LOWS,
    PIECE,
    PLACES,
    PRESENT,
    STARTS,
    STRIDE,
    TABLE_ADDED,
    TABLE_BIT_OFFSET,
    TABLE_BITMAP,
    TABLE_CODES,
    TABLE_FACTOR,
    TABLE_FIRST_BIT,
    TABLE_FIRST_CODE,
    TABLE_FOUND,
    TABLE_LEVELS,
    TABLE_RATIO,
    TABLE_REST,
    TABLE_ROWS,
    TABLE_SCRATCH,
    TABLE_STARTS,
    TABLE_TICK,
    TABLE_TICK_OF_TABLE,
    TABLE_TOLERANCE,
    TABLE_VALIDITY,
    TABLE_VALUES,
)
from fastfeat_kernels.asof.cpu.walking import (
    are_dense,
    bounds_nearby,
    divided,
    first_place,
    is_within,
    merge,
    merge_rows,
    moved,
    scaled_sum,
    search_from,
    up_to_bits,
)
from fastfeat_kernels.blocks import LOWEST
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    LANES,
    SEPARATE_OPTIONS,
    larger,
    lowest_bit,
    pointer_int32,
    pointer_int64,
    prefetch,
    read_bits,
    select,
    smaller,
)
from fastfeat_kernels.windows.cpu.vectors import add_wrapping

i64 = types.int64


@njit(**SEPARATE_OPTIONS)
def subtract(words, row, n):
    """Write the last known tick of the table at each time, and mark rows that have one.

    Both ticks have the same length.
    """
    scratch, times = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_VALUES])
    added = words[TABLE_ADDED]
    for i in range(n):
        time = times[row + i]
        latest = add_wrapping(time, added)
        scratch[LATEST + i] = latest
        scratch[PRESENT + i] = select(latest <= time, i64(1), i64(0))


@njit(**SEPARATE_OPTIONS)
def subtract_from_longer(words, row, n):
    """Write the last known tick if a tick of the data is as long as several of the table."""
    scratch, times = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_VALUES])
    factor, added = words[TABLE_FACTOR], words[TABLE_ADDED]
    for i in range(n):
        latest, is_below = scaled_sum(times[row + i], factor, added)
        scratch[LATEST + i], scratch[PRESENT + i] = latest, is_below ^ 1


@njit(**SEPARATE_OPTIONS)
def subtract_from_shorter(words, row, n):
    """Write the last known tick if several ticks of the data are as long as one of the table."""
    scratch, times = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_VALUES])
    ratio, added, rest = words[TABLE_RATIO], words[TABLE_ADDED], words[TABLE_REST]
    for i in range(n):
        quotient, over = divided(times[row + i], ratio)
        scratch[LATEST + i] = quotient + added - select(over < rest, i64(1), i64(0))
        scratch[PRESENT + i] = 1


@njit(**SEPARATE_OPTIONS)
def mark_missing(words, row, n):
    """Clear the marks of rows without a time."""
    scratch, validity = pointer_int64(words[TABLE_SCRATCH]), words[TABLE_VALIDITY]
    for start in range(0, n, LANES):
        m = smaller(n - start, i64(LANES))
        bits = read_bits(validity, words[TABLE_BIT_OFFSET] + row + start, m)
        for i in range(m):
            scratch[PRESENT + start + i] &= bits >> i & 1


@njit(**INNER_OPTIONS)
def read_times(words, row, n):
    """Write the last known tick of the table at each time, and mark rows that have one."""
    factor = words[TABLE_FACTOR]
    if factor == 1:
        subtract(words, row, n)
    elif factor > 0:
        subtract_from_longer(words, row, n)
    else:
        subtract_from_shorter(words, row, n)
    if words[TABLE_VALIDITY] != 0:
        mark_missing(words, row, n)


@njit(**SEPARATE_OPTIONS)
def read_codes(words, row, n):
    """Clear the marks of rows without a key, and prefetch the start of each key's rows."""
    scratch, codes = pointer_int64(words[TABLE_SCRATCH]), pointer_int32(words[TABLE_CODES])
    starts, first_code = words[TABLE_STARTS], words[TABLE_FIRST_CODE]
    for i in range(n):
        code = i64(codes[row + i]) - first_code
        prefetch(starts + 4 * code)
        scratch[PRESENT + i] &= select(code >= 0, i64(1), i64(0))


@njit(**SEPARATE_OPTIONS)
def are_present(words, n):
    """Return whether all rows have a time and a key.

    If not, rows without one get the time of the row before.
    """
    scratch, present = pointer_int64(words[TABLE_SCRATCH]), i64(1)
    for i in range(n):
        present &= scratch[PRESENT + i]
    if present == 0:
        before = scratch[HINT_LATEST]
        for i in range(n):
            before = select(scratch[PRESENT + i] != 0, scratch[LATEST + i], before)
            scratch[LATEST + i] = before
    return present != 0


@njit(**SEPARATE_OPTIONS)
def do_fall(words, n):
    """Return whether any time is less than the one before."""
    scratch, falls = pointer_int64(words[TABLE_SCRATCH]), i64(0)
    for i in range(1, n):
        falls |= select(scratch[LATEST + i] < scratch[LATEST + i - 1], i64(1), i64(0))
    return falls != 0


@njit(**SEPARATE_OPTIONS)
def read_runs(words, row, n):
    """Write begin and end of the table rows of each row's key; return whether keys differ."""
    scratch, starts = pointer_int64(words[TABLE_SCRATCH]), pointer_int32(words[TABLE_STARTS])
    codes, first_code = pointer_int32(words[TABLE_CODES]), words[TABLE_FIRST_CODE]
    start, end, changes = i64(0), i64(0), i64(0)
    for i in range(n):
        present = scratch[PRESENT + i] != 0
        code = select(present, i64(codes[row + i]) - first_code, i64(0))
        own_start, own_end = i64(starts[code]), i64(starts[code + 1])
        differs = (own_start ^ start) | (own_end ^ end)
        changes |= select(present & (i > 0), differs, i64(0))
        start, end = select(present, own_start, start), select(present, own_end, end)
        scratch[STARTS + i], scratch[LOWS + i], scratch[ENDS + i] = start, start, end
    return changes != 0


@njit(**SEPARATE_OPTIONS)
def search_all(words, n, start, low, end):
    """Set the places [low, end) of one key for every row's search."""
    scratch = pointer_int64(words[TABLE_SCRATCH])
    for i in range(n):
        scratch[STARTS + i], scratch[LOWS + i], scratch[ENDS + i] = start, low, end


@njit(**SEPARATE_OPTIONS)
def top_shift(words, n):
    """Return the shift from a place to a level with at most two words for each row's key."""
    scratch, largest, shift = pointer_int64(words[TABLE_SCRATCH]), i64(0), i64(0)
    for i in range(n):
        largest = larger(largest, scratch[ENDS + i] - scratch[LOWS + i])
    while largest > i64(1) << shift:
        shift += LOG_FANOUT
    return shift


@njit(**SEPARATE_OPTIONS)
def enter_tree(words, n, shift):
    """Move each row to a word of the level; of two, to the first."""
    scratch, levels = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_LEVELS])
    level, below = pointer_int64(levels[shift // LOG_FANOUT]), levels[shift // LOG_FANOUT - 1]
    for i in range(n):
        place, end = scratch[LOWS + i] >> shift, scratch[ENDS + i] >> shift
        place = moved(place, end - place, level[place], scratch[LATEST + i])
        scratch[PLACES + i] = place
        prefetch(below + 8 * FANOUT * place)


@njit(**SEPARATE_OPTIONS)
def descend(words, n, shift):
    """Move each row one level down among the words below; at last, to the result itself.

    Words of other keys are not read.
    """
    scratch, levels = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_LEVELS])
    number, log_bytes = shift // LOG_FANOUT, i64(3 + LOG_FANOUT)
    level, below = levels[number], levels[larger(number - 1, i64(0))]
    if number == 0:
        below, log_bytes = words[TABLE_ROWS], i64(2)
    for i in range(n):
        first = scratch[PLACES + i] << LOG_FANOUT
        low = larger((scratch[LOWS + i] >> shift) - first, i64(0))
        end = smaller((scratch[ENDS + i] >> shift) - first, i64(FANOUT))
        bits = up_to_bits(level + 8 * first, scratch[LATEST + i])
        bits = (bits | ((i64(1) << low) - 1)) & ((i64(1) << end) - 1)
        place = first + lowest_bit(~bits)
        scratch[PLACES + i] = place
        prefetch(below + (place << log_bytes))


@njit(**SEPARATE_OPTIONS)
def search_together(words, n):
    """Write the place behind each row's last known time, one tree level of all rows at a time."""
    shift = larger(top_shift(words, n), i64(LOG_FANOUT))
    enter_tree(words, n, shift)
    while shift > 0:
        shift -= LOG_FANOUT
        descend(words, n, shift)


@njit(**SEPARATE_OPTIONS)
def forget_old(words, row, n):
    """Clear the marks of rows with a result that is too old."""
    scratch, levels = pointer_int64(words[TABLE_SCRATCH]), pointer_int64(words[TABLE_LEVELS])
    times, moments = pointer_int64(levels[0]), pointer_int64(words[TABLE_VALUES])
    tick, tick_of_table = words[TABLE_TICK], words[TABLE_TICK_OF_TABLE]
    tolerance = words[TABLE_TOLERANCE]
    for i in range(n):
        time = times[larger(scratch[PLACES + i] - 1, i64(0))]
        is_recent = is_within(time, tick_of_table, moments[row + i], tick, tolerance)
        scratch[PRESENT + i] &= select(is_recent, i64(1), i64(0))


@njit(**SEPARATE_OPTIONS)
def copy_falls(times, placed, first, n, before):
    """Copy times; return whether any is less than its predecessor, starting with `before`."""
    falls = i64(0)
    for i in range(first, first + n):
        time = times[i]
        falls |= select(time < before, i64(1), i64(0))
        placed[i] = before = time
    return falls != 0


@njit(**INNER_OPTIONS)
def write_bits(words, row, n, bits):
    """Write the bits of at most 64 rows: 1 if a row was found."""
    bitmap, bit = pointer_int64(words[TABLE_BITMAP]), words[TABLE_FIRST_BIT] + row
    shift = bit & 63
    bitmap[bit >> 6] |= bits << shift
    if shift + n > LANES:
        bitmap[(bit >> 6) + 1] |= bits >> (LANES - shift) & ((i64(1) << shift) - 1)


@njit(**SEPARATE_OPTIONS)
def write_rows(words, row, n):
    """Write the found rows of the table, and the bits of rows that found one."""
    scratch, rows = pointer_int64(words[TABLE_SCRATCH]), pointer_int32(words[TABLE_ROWS])
    found = pointer_int64(words[TABLE_FOUND])
    for start in range(0, n, LANES):
        bits, m = i64(0), smaller(n - start, i64(LANES))
        for i in range(m):
            place = scratch[PLACES + start + i] - 1
            has_found = (scratch[PRESENT + start + i] != 0) & (place >= scratch[STARTS + start + i])
            number = i64(rows[larger(place, i64(0))])
            found[row + start + i] = select(has_found, number, i64(0))
            bits |= select(has_found, i64(1), i64(0)) << i
        write_bits(words, row + start, m, bits)


@njit(**INNER_OPTIONS)
def search_in_order(words, n, start, place, end):
    """Write the place behind the last known time for rows of one key in ascending order.

    The places lie between those of the first and the last row. If there are few times between, they
    are merged with the rows; otherwise each row is searched for.
    """
    if are_dense(words, n, place, end):
        search_all(words, n, start, place, end)
        merge(words, n, place, end)
    else:
        times = pointer_int64(words[TABLE_LEVELS])[0]
        latest = pointer_int64(words[TABLE_SCRATCH])[LATEST + n - 1]
        search_all(words, n, start, place, search_from(times, place, end, latest))
        search_together(words, n)


@njit(**INNER_OPTIONS)
def search_falling(words, n, start, end):
    """Write the place behind the last known time for rows of one key in any order of time."""
    low, high = bounds_nearby(words, n, start, end)
    if low >= 0:
        search_all(words, n, start, low, high)
    else:
        search_all(words, n, start, start, end)
    search_together(words, n)


@njit(**SEPARATE_OPTIONS)
def find_block(words, row, n, has_room):
    """Write the results of a block of rows; has_room allows writing words behind them."""
    scratch, starts = pointer_int64(words[TABLE_SCRATCH]), pointer_int32(words[TABLE_STARTS])
    read_times(words, row, n)
    start, end, differ = i64(0), i64(starts[1]), False
    if words[TABLE_CODES] != 0:
        read_codes(words, row, n)
    present = are_present(words, n)
    if words[TABLE_CODES] != 0:
        differ = read_runs(words, row, n)
        start, end = scratch[STARTS], scratch[ENDS]
    if differ:
        search_together(words, n)
    elif do_fall(words, n):
        search_falling(words, n, start, end)
    else:
        place = first_place(words, start, end)
        if has_room and present and place > start and are_dense(words, n, place, end):
            scratch[HINT_PLACE] = merge_rows(words, row, n, place, end)
            scratch[HINT_START], scratch[HINT_LATEST] = start, scratch[LATEST + n - 1]
            for first in range(0, n, LANES):
                m = smaller(n - first, i64(LANES))
                write_bits(words, row + first, m, i64(-1))
            return
        search_in_order(words, n, start, place, end)
    scratch[HINT_START], scratch[HINT_LATEST] = scratch[STARTS + n - 1], scratch[LATEST + n - 1]
    scratch[HINT_PLACE] = scratch[PLACES + n - 1]
    if words[TABLE_TOLERANCE] >= 0:
        forget_old(words, row, n)
    write_rows(words, row, n)


def find(table, first, n):
    """Write the table row that each row of the data finds."""
    words = pointer_int64(table)
    scratch, end = pointer_int64(words[TABLE_SCRATCH]), first + n
    scratch[HINT_START], scratch[HINT_LATEST], scratch[HINT_PLACE] = i64(-1), i64(LOWEST), i64(0)
    scratch[HINT_SKIPS] = i64(0)
    for row in range(first, end, BLOCK):
        has_room = (words[TABLE_TOLERANCE] < 0) & (row + i64(BLOCK + STRIDE - 1) <= end)
        find_block(words, row, smaller(end - row, i64(BLOCK)), has_room)
    return 0


def place(table, first, n):
    """Copy times to their places, until they fall, and write whether they do."""
    words, before = pointer_int64(table), i64(LOWEST)
    times, placed = pointer_int64(words[TABLE_VALUES]), pointer_int64(words[TABLE_FOUND])
    for row in range(first, first + n, PIECE):
        m = smaller(first + n - row, i64(PIECE))
        if copy_falls(times, placed, row, m, before):
            pointer_int64(words[TABLE_BITMAP])[0] = 1
            return 0
        before = times[row + m - 1]
    return 0


ENTRIES = {"find": find, "place": place}
