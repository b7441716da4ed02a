# pyright: basic
"""Rows of a block with a value and a group: turned into lines, and added to their groups."""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import HIGHEST
from fastfeat_kernels.column import BLOCK, ELEMENTS
from fastfeat_kernels.grouped.cpu.scatter import is_float, read
from fastfeat_kernels.grouped.cpu.splits import (
    COLUMN_BYTES,
    LOW,
    ROWS,
    fits,
    split_floats,
    split_floats_and_squares,
    split_integer_squares,
    split_integers,
)
from fastfeat_kernels.grouped.cpu.vectors import (
    add_line4,
    add_line8,
    add_turned4,
    add_turned8,
    prefetch,
    turn4,
    turn8,
)
from fastfeat_kernels.grouped.layout import (
    COUNT,
    FIRST_CALL,
    LAST_CALL,
    LIMB_BITS,
    N_INFINITE,
    N_LEFT,
    N_MISSING,
    N_SINCE,
    N_SQUARE_LIMBS,
    N_SUM_LIMBS,
    NO_MAX_KEY,
    NO_MIN_KEY,
    NORMALIZE_EVERY,
    SQUARES,
    SUM,
    TABLE_BIT_OFFSET,
    TABLE_ELEMENT,
    TABLE_EXPONENT,
    TABLE_EXTREMES,
    TABLE_FIRST_GROUP,
    TABLE_GROUPS,
    TABLE_HEADROOM,
    TABLE_LEFT_GROUPS,
    TABLE_LEFT_VALUES,
    TABLE_LEVEL,
    TABLE_LINES,
    TABLE_MARKED,
    TABLE_MISSING,
    TABLE_N_GROUPS,
    TABLE_NEGATIVE_INFINITE,
    TABLE_POSITIVE_INFINITE,
    TABLE_SCRATCH,
    TABLE_STAGE,
    TABLE_STATE,
    TABLE_VALIDITY,
)
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    larger,
    pointer_float64,
    pointer_int32,
    pointer_int64,
    read_bits,
    select,
    smaller,
)

i64 = types.int64
UINT64 = ELEMENTS.index("uint64")
INFINITE = 0x7FF << 52
AHEAD = 16  # rows whose lines are prefetched before they are added to

# Byte offsets into the scratch memory, which begins with the block as it was read.
KEPT_VALUES = 8 * BLOCK
KEPT_GROUPS = KEPT_VALUES + 8 * BLOCK
COLUMNS = KEPT_GROUPS + 4 * BLOCK
LINES = COLUMNS + 8 * COLUMN_BYTES


@njit(**INNER_OPTIONS)
def all_in_groups(groups_at, n):
    """Return whether all rows of a block are in groups."""
    groups, lowest = pointer_int32(groups_at), types.int32(0)
    for i in range(n):
        lowest |= groups[i]
    return lowest >= 0


@njit(**INNER_OPTIONS)
def greatest_magnitude(source, n):
    """Return the greatest bits, without the sign, of a block of floats."""
    bits, greatest = pointer_int64(source), i64(0)
    for i in range(n):
        greatest = larger(greatest, bits[i] & HIGHEST)
    return greatest


@njit(**INNER_OPTIONS)
def count_in(words, which, state_word, group):
    """Count a row of a group in one of the mostly-zero arrays."""
    pointer_int64(words[which])[group] += 1
    pointer_int64(words[TABLE_STATE])[state_word] += 1


@njit(**INNER_OPTIONS)
def add_infinity(words, bits, group):
    """Count an infinity by its sign, and as a value."""
    which = select(bits < 0, i64(TABLE_NEGATIVE_INFINITE), i64(TABLE_POSITIVE_INFINITE))
    count_in(words, which, N_INFINITE, group)
    n_words = line_words(words[TABLE_LEVEL])
    pointer_int64(words[TABLE_LINES])[n_words * group + COUNT] += 1
    if words[TABLE_EXTREMES] != 0:
        add_extreme(words, group, bits ^ ((bits >> 63) & HIGHEST))


@njit(**INNER_OPTIONS)
def add_extreme(words, group, key):
    """Update the minimum and the maximum of a group by a key."""
    extremes = pointer_int64(words[TABLE_EXTREMES] + 16 * group)
    extremes[0], extremes[1] = smaller(extremes[0], key), larger(extremes[1], key)


@njit(**INNER_OPTIONS)
def line_words(level):
    """Return the number of words of a line."""
    return select(level == 0, i64(1), i64(4) << (level == 2))


@njit(**INNER_OPTIONS)
def keep_floats(words, source, groups_at, n):
    """Copy finite floats in groups, and their groups; count the others; return how many."""
    scratch = words[TABLE_SCRATCH]
    x, groups = pointer_int64(source), pointer_int32(groups_at)
    kept, kept_groups = pointer_int64(scratch + KEPT_VALUES), pointer_int32(scratch + KEPT_GROUPS)
    size = i64(0)
    for i in range(n):
        bits, group = x[i], groups[i]
        magnitude = bits & HIGHEST
        kept[size], kept_groups[size] = bits, group
        size += i64((magnitude < INFINITE) & (group >= 0))
        if (magnitude >= INFINITE) & (group >= 0):
            if magnitude > INFINITE:
                count_in(words, TABLE_MISSING, N_MISSING, group)
            else:
                add_infinity(words, bits, i64(group))
    return size


@njit(**INNER_OPTIONS)
def keep_integers(words, source, groups_at, row, n):
    """Copy present integers in groups, and their groups; count missing ones; return how many."""
    scratch = words[TABLE_SCRATCH]
    x, groups = pointer_int64(source), pointer_int32(groups_at)
    kept, kept_groups = pointer_int64(scratch + KEPT_VALUES), pointer_int32(scratch + KEPT_GROUPS)
    size, present, validity = i64(0), i64(-1), words[TABLE_VALIDITY]
    for i in range(n):
        if validity != 0 and i & 63 == 0:
            bit = words[TABLE_BIT_OFFSET] + row + i
            present = read_bits(validity, bit, smaller(n - i, i64(64)))
        group, is_present = groups[i], (present >> (i & 63)) & 1
        kept[size], kept_groups[size] = x[i], group
        size += is_present & i64(group >= 0)
        if (is_present == 0) & (group >= 0):
            count_in(words, TABLE_MISSING, N_MISSING, group)
        elif (group < 0) & (words[TABLE_MARKED] != 0):
            count_in(words, TABLE_MISSING, N_MISSING, ~group)
    return size


@njit(**INNER_OPTIONS)
def keep(words, row, n):
    """Return addresses of values and groups of the rows to add, and their number."""
    source, groups_at = read(words, row, n), words[TABLE_GROUPS] + 4 * row
    kept_values, kept_groups = (
        words[TABLE_SCRATCH] + KEPT_VALUES,
        words[TABLE_SCRATCH] + KEPT_GROUPS,
    )
    if is_float(words):
        if all_in_groups(groups_at, n) and greatest_magnitude(source, n) < INFINITE:
            return source, groups_at, n
        return kept_values, kept_groups, keep_floats(words, source, groups_at, n)
    if words[TABLE_VALIDITY] == 0 and all_in_groups(groups_at, n):
        return source, groups_at, n
    return kept_values, kept_groups, keep_integers(words, source, groups_at, row, n)


@njit(**INNER_OPTIONS)
def add_counts(words, groups_at, n):
    """Add a block to the counts only."""
    groups, counts = pointer_int32(groups_at), pointer_int64(words[TABLE_LINES])
    for i in range(n):
        counts[i64(groups[i])] += 1


@njit(**INNER_OPTIONS)
def add_extremes(words, source, groups_at, n):
    """Add a block to the minimum and maximum keys."""
    x, groups = pointer_int64(source), pointer_int32(groups_at)
    flip = select(is_float(words), i64(HIGHEST), i64(0))
    for i in range(n):
        add_extreme(words, i64(groups[i]), x[i] ^ ((x[i] >> 63) & flip))


@njit(**INNER_OPTIONS)
def leave_over(words, source, groups_at, n, columns):
    """Append the rows that do not fit the window to the left-over rows; they add no limbs."""
    x, groups = pointer_float64(source), pointer_int32(groups_at)
    state, words_of_row = pointer_int64(words[TABLE_STATE]), pointer_int64(columns)
    values, numbers = (
        pointer_float64(words[TABLE_LEFT_VALUES]),
        pointer_int32(words[TABLE_LEFT_GROUPS]),
    )
    size, squares = state[N_LEFT], words[TABLE_LEVEL] > 1
    for i in range(n):
        if not fits(x[i], words[TABLE_EXPONENT], words[TABLE_HEADROOM], squares):
            values[size], numbers[size] = x[i], groups[i]
            size += 1
            for k in range(1, line_words(words[TABLE_LEVEL])):
                words_of_row[k * ROWS + i] = 0
    state[N_LEFT] = size


@njit(**INNER_OPTIONS)
def add_lines4(words, groups_at, n):
    """Turn a block of 4 columns into lines, and add them."""
    groups, target = pointer_int32(groups_at), words[TABLE_LINES]
    columns, lines = words[TABLE_SCRATCH] + COLUMNS, words[TABLE_SCRATCH] + LINES
    whole = n & ~3
    for i in range(0, whole, 4):
        for k in range(i + AHEAD, i + AHEAD + 4):
            prefetch(target + 32 * i64(groups[smaller(k, n - 1)]))
        add_turned4(target, groups_at + 4 * i, columns + 8 * i, i64(COLUMN_BYTES))
    if whole < n:
        turn4(lines, i64(32), columns + 8 * whole, i64(COLUMN_BYTES))
    for i in range(whole, n):
        add_line4(target + 32 * i64(groups[i]), lines + 32 * (i - whole))


@njit(**INNER_OPTIONS)
def add_lines8(words, groups_at, n):
    """Turn a block of 8 columns into lines, and add them."""
    groups, target = pointer_int32(groups_at), words[TABLE_LINES]
    columns, lines = words[TABLE_SCRATCH] + COLUMNS, words[TABLE_SCRATCH] + LINES
    whole = n & ~7
    for i in range(0, whole, 8):
        for k in range(i + AHEAD, i + AHEAD + 8):
            prefetch(target + 64 * i64(groups[smaller(k, n - 1)]))
        add_turned8(target, groups_at + 4 * i, columns + 8 * i, i64(COLUMN_BYTES))
    if whole < n:
        turn8(lines, i64(64), columns + 8 * whole, i64(COLUMN_BYTES))
    for i in range(whole, n):
        add_line8(target + 64 * i64(groups[i]), lines + 64 * (i - whole))


@njit(**INNER_OPTIONS)
def split_block(words, source, groups_at, n):
    """Write the columns of words of a block, at level 1 or 2."""
    columns, level = words[TABLE_SCRATCH] + COLUMNS, words[TABLE_LEVEL]
    if not is_float(words):
        is_unsigned = words[TABLE_ELEMENT] == UINT64
        split_integers(source, n, is_unsigned, columns)
        if level > 1:
            split_integer_squares(source, n, is_unsigned, columns)
        return
    exponent, headroom = words[TABLE_EXPONENT], words[TABLE_HEADROOM]
    if level > 1:
        left = split_floats_and_squares(source, n, exponent, headroom, columns)
    else:
        left = split_floats(source, n, exponent, headroom, columns)
    if left != 0:
        leave_over(words, source, groups_at, n, columns)


@njit(**SEPARATE_OPTIONS)
def add_block(words, source, groups_at, n):
    """Add present values in groups."""
    level = words[TABLE_LEVEL]
    if words[TABLE_EXTREMES] != 0:
        add_extremes(words, source, groups_at, n)
    if level == 0:
        add_counts(words, groups_at, n)
        return
    for start in range(0, n, ROWS):
        m, values, numbers = (
            smaller(n - start, i64(ROWS)),
            source + 8 * start,
            groups_at + 4 * start,
        )
        split_block(words, values, numbers, m)
        if level > 1:
            add_lines8(words, numbers, m)
        else:
            add_lines4(words, numbers, m)


@njit(**INNER_OPTIONS)
def carry(line, first, n):
    """Carry bits above 40 into the next limb; the highest limb keeps the sign."""
    for k in range(first + n - 1, first, -1):
        line[k - 1] += line[k] >> LIMB_BITS
        line[k] &= LOW


@njit(**SEPARATE_OPTIONS)
def carry_lines(words):
    """Carry in the lines of all groups that the rows can be in."""
    level, first, n = words[TABLE_LEVEL], words[TABLE_FIRST_GROUP], words[TABLE_N_GROUPS]
    n_words = line_words(level)
    if level == 0:
        return
    for group in range(first, first + n):
        line = pointer_int64(words[TABLE_LINES] + 8 * n_words * group)
        carry(line, SUM, N_SUM_LIMBS)
        if level > 1:
            carry(line, SQUARES, N_SQUARE_LIMBS)


@njit(**INNER_OPTIONS)
def begin(words):
    """Write the initial extremes."""
    extremes = pointer_int64(words[TABLE_EXTREMES])
    first, n = words[TABLE_FIRST_GROUP], words[TABLE_N_GROUPS]
    for group in range(first, first + n):
        extremes[2 * group], extremes[2 * group + 1] = i64(NO_MIN_KEY), i64(NO_MAX_KEY)


@njit(**SEPARATE_OPTIONS)
def add_all(words, first, n):
    """Add rows [first, first + n) of the chunk in the table to the lines of their groups."""
    since = pointer_int64(words[TABLE_STATE])
    if words[TABLE_STAGE] & FIRST_CALL != 0 and words[TABLE_EXTREMES] != 0:
        begin(words)
    for start in range(0, n, BLOCK):
        row, m = first + start, smaller(n - start, i64(BLOCK))
        source, groups_at, size = keep(words, row, m)
        add_block(words, source, groups_at, size)
        since[N_SINCE] += m
        if since[N_SINCE] >= NORMALIZE_EVERY:
            since[N_SINCE] = 0
            carry_lines(words)
    if words[TABLE_STAGE] & LAST_CALL != 0:
        carry_lines(words)
