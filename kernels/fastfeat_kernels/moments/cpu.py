# pyright: basic
"""Moments on the CPU: per block one pass finds the exponents, a second splits every value exactly.

A block of floats with |x| < 2**e is split at 2**(e-24), 2**(e-49) and 2**(e-74) into three pieces
of at most 24 bits by adding and subtracting magic numbers. Their products are exact on a grid of
their own each, so the *bit patterns* of (magic + products) are summed as integers: a reduction that
vectorizes without fastmath, and that no order changes. Rows that reach below the last grid are
gathered and make a block of their own; what is left in the end is added one by one.

Cost on one core of a Zen 4: 0.2 ns a row for count, least and greatest, 0.3 with the sum, 0.52 with
the squares too; 0.15 more with a bitmap, 0.3 with NaN; a row that is added alone costs 10. Each
value is read once from memory, and nothing is written but the state.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.blocks import (
    LOWEST,
    count_bits,
    float_reader,
    integer_reader,
    mask_floats,
    mask_integers,
)
from fastfeat_kernels.column import BLOCK, ELEMENTS
from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    bits_of,
    enter_ieee,
    float_of,
    fma,
    leave_ieee,
    less_unsigned,
    opaque,
    pointer_float64,
    pointer_int64,
    popcount,
    read_bits,
    select,
    shift_logical,
)
from fastfeat_kernels.moments.lanes import scan_lanes
from fastfeat_kernels.moments.layout import (
    COUNT,
    FIRST_INFINITE,
    FLOAT_SCALE,
    MAX_KEY,
    MIN_KEY,
    N_NEGATIVE_INFINITE,
    N_POSITIVE_INFINITE,
    N_ROWS,
    N_SQUARE_LIMBS,
    N_SUM_LIMBS,
    SCRATCH,
    SQUARES,
    SUM,
    TABLE_BIT_OFFSET,
    TABLE_FIRST_ROW,
    TABLE_LEVEL,
    TABLE_STATE,
    TABLE_VALIDITY,
    TABLE_VALUE_BIT_OFFSET,
    TABLE_VALUES,
)

i64 = types.int64
HIGHEST = 2**63 - 1  # also: all bits of a float but its sign
LOW_HALF = 2**32 - 1
INFINITE = 0x7FF << 52  # bits, and sortable key, of +inf
SMALLEST_INFINITE = -INFINITE - 1  # sortable key of -inf
FRACTION = 2**52 - 1
MAGIC = 1 << 51  # fraction of 1.5: a sum stays in one binade, above and below
NORMALIZE_EVERY = 1 << 14  # blocks; the slow path adds at most 2**33 to a limb three times a row


@njit(**INNER_OPTIONS)
def add_shifted(limbs, value, shift):
    """Add value * 2**shift to an array of 32-bit limbs that stand in int64."""
    k, r = shift >> 5, shift & 31
    low = (value & LOW_HALF) << r
    high = (value >> 32) << r
    limbs[k] += low & LOW_HALF
    limbs[k + 1] += shift_logical(low, 32) + (high & LOW_HALF)
    limbs[k + 2] += high >> 32


@njit(**INNER_OPTIONS)
def normalize(limbs, n):
    """Carry what stands above 32 bits into the next limb; the last keeps the sign."""
    carry = i64(0)
    for k in range(n - 1):
        carry += limbs[k]
        limbs[k] = carry & LOW_HALF
        carry >>= 32
    limbs[n - 1] += carry


@njit(**INNER_OPTIONS)
def add_one(x, state, squares):
    """Add any finite float, and its square, to the state exactly."""
    bits = bits_of(x)
    exponent, mantissa = (bits >> 52) & 0x7FF, bits & FRACTION
    if exponent == 0:
        exponent = i64(1)
    else:
        mantissa |= FRACTION + 1
    add_shifted(
        pointer_int64(state + 8 * SUM),
        select(bits < 0, -mantissa, mantissa),
        exponent - 1075 + FLOAT_SCALE,
    )
    if squares:
        limbs, at = pointer_int64(state + 8 * SQUARES), 2 * (exponent - 1075 + FLOAT_SCALE)
        low, high = mantissa & (2**27 - 1), mantissa >> 27
        add_shifted(limbs, low * low, at)
        add_shifted(limbs, low * high, at + 28)
        add_shifted(limbs, high * high, at + 54)


@njit(**INNER_OPTIONS)
def scan(address, n):
    """Return least and greatest sortable key of n floats, and the least magnitude but 0, less 1."""
    x = pointer_float64(address)
    low, high, least = i64(HIGHEST), LOWEST, i64(-1)
    for i in range(n):
        bits = bits_of(x[i])
        key = bits ^ ((bits >> 63) & HIGHEST)
        low, high = min(low, key), max(high, key)
        size = (bits & HIGHEST) - 1  # of 0: the greatest unsigned
        least = select(less_unsigned(size, least), size, least)
    return low, high, least


@njit(**INNER_OPTIONS)
def scan_present(target, address, validity, bit, n):
    """Copy n floats, a multiple of 64, 0 where missing; return as `scan_and_clean` does."""
    low, high, least, count = i64(HIGHEST), LOWEST, i64(-1), i64(0)
    for i in range(0, n, 64):
        word, at = read_bits(validity, bit + i, i64(64)), i << 3
        x, y = pointer_float64(address + at), pointer_float64(target + at)
        low_here, high_here, least_here = scan_lanes(y, x, word)
        low, high = min(low, low_here), max(high, high_here)
        least = select(less_unsigned(least_here, least), least_here, least)
        count += popcount(word)
    return low, high, least, count


@njit(**INNER_OPTIONS)
def scan_and_clean(target, address, n):
    """Copy n floats, 0 for NaN and infinity; return what `scan` does but of NaN, and the count."""
    x, y = pointer_float64(address), pointer_float64(target)
    low, high, least, count = i64(HIGHEST), LOWEST, i64(-1), i64(0)
    for i in range(n):
        value = x[i]
        bits = bits_of(value)
        size = bits & HIGHEST
        key = bits ^ ((bits >> 63) & HIGHEST)
        present, finite = size <= INFINITE, size < INFINITE
        low = min(low, select(present, key, i64(HIGHEST)))
        high = max(high, select(present, key, LOWEST))
        size = select(finite, size, i64(0)) - 1
        least = select(less_unsigned(size, least), size, least)
        count += i64(present)
        y[i] = select(finite, value, 0.0)
    return low, high, least, count


@njit(**INNER_OPTIONS, inline="always")
def magnitude_of_keys(low, high):
    """Return the bits of the greatest magnitude between two sortable keys."""
    return max(
        (low ^ ((low >> 63) & HIGHEST)) & HIGHEST, (high ^ ((high >> 63) & HIGHEST)) & HIGHEST
    )


@njit(**INNER_OPTIONS)
def add_sum(address, n, exponent, limbs):
    """Add n floats of biased exponents in [exponent - 50, exponent] to the sum."""
    x = pointer_float64(address)
    bits0, bits1 = ((exponent + 2) << 52) | MAGIC, ((exponent - 50) << 52) | MAGIC
    magic0, magic1 = float_of(bits0), float_of(bits1)
    sum0, sum1 = i64(0), i64(0)
    for i in range(n):
        value = x[i]
        top = value + magic0
        sum0 += bits_of(top)
        sum1 += bits_of((value - (top - magic0)) + magic1)
    grid = exponent - 1022 - 51 + FLOAT_SCALE
    add_shifted(limbs, sum0 - n * bits0, grid)
    add_shifted(limbs, sum1 - n * bits1, grid - 52)


@njit(**INNER_OPTIONS, inline="always")
def product4(x, y, magic):
    """Return the bits of a magic number plus the products of four pairs."""
    total = fma(x[0], y[0], fma(x[1], y[1], magic))
    return bits_of(fma(x[2], y[2], fma(x[3], y[3], total)))


@njit(**INNER_OPTIONS)
def add_sum_and_squares(address, n, exponent, limbs, square_limbs):
    """Add n floats, a multiple of 4, of biased exponents in [exponent - 21, exponent], and squares.

    Four rows, a quarter of the block apart, share the additions of each kind of product.
    """
    x, quarter = pointer_float64(address), n >> 2
    bits0, bits1, bits2 = (
        ((exponent + 29) << 52) | MAGIC,
        ((exponent + 4) << 52) | MAGIC,
        ((exponent - 21) << 52) | MAGIC,
    )
    magic0, magic1, magic2 = float_of(bits0), float_of(bits1), float_of(bits2)
    bits00 = ((2 * exponent - 1017) << 52) | MAGIC
    bits01, bits11 = bits00 - (25 << 52), bits00 - (50 << 52)
    bits12, bits22 = bits00 - (75 << 52), bits00 - (100 << 52)
    magic00, magic01, magic11 = float_of(bits00), float_of(bits01), float_of(bits11)
    magic12, magic22 = float_of(bits12), float_of(bits22)
    sum0, sum1, sum2 = i64(0), i64(0), i64(0)
    sum00, sum01, sum11, sum02, sum12, sum22 = i64(0), i64(0), i64(0), i64(0), i64(0), i64(0)
    for i in range(quarter):
        rows = x[i], x[i + quarter], x[i + 2 * quarter], x[i + 3 * quarter]
        t0 = rows[0] + magic0, rows[1] + magic0, rows[2] + magic0, rows[3] + magic0
        x0 = t0[0] - magic0, t0[1] - magic0, t0[2] - magic0, t0[3] - magic0
        rest = rows[0] - x0[0], rows[1] - x0[1], rows[2] - x0[2], rows[3] - x0[3]
        t1 = rest[0] + magic1, rest[1] + magic1, rest[2] + magic1, rest[3] + magic1
        x1 = t1[0] - magic1, t1[1] - magic1, t1[2] - magic1, t1[3] - magic1
        x2 = rest[0] - x1[0], rest[1] - x1[1], rest[2] - x1[2], rest[3] - x1[3]
        sum0 += bits_of(t0[0]) + bits_of(t0[1]) + bits_of(t0[2]) + bits_of(t0[3])
        sum1 += bits_of(t1[0]) + bits_of(t1[1]) + bits_of(t1[2]) + bits_of(t1[3])
        sum2 += bits_of((((magic2 + x2[0]) + x2[1]) + x2[2]) + x2[3])
        sum00 += product4(x0, x0, magic00)
        sum01 += product4(x0, x1, magic01)
        sum11 += product4(x1, x1, magic11)
        sum02 += product4(x0, x2, magic11)
        sum12 += product4(x1, x2, magic12)
        sum22 += product4(x2, x2, magic22)
    grid = exponent - 1022 - 24 + FLOAT_SCALE
    add_shifted(limbs, sum0 - n * bits0, grid)
    add_shifted(limbs, sum1 - n * bits1, grid - 25)
    add_shifted(limbs, sum2 - quarter * bits2, grid - 50)
    add_shifted(square_limbs, sum00 - quarter * bits00, 2 * grid)
    add_shifted(square_limbs, sum01 - quarter * bits01, 2 * grid - 25 + 1)
    add_shifted(square_limbs, sum11 - quarter * bits11, 2 * grid - 50)
    add_shifted(square_limbs, sum02 - quarter * bits11, 2 * grid - 50 + 1)
    add_shifted(square_limbs, sum12 - quarter * bits12, 2 * grid - 75 + 1)
    add_shifted(square_limbs, sum22 - quarter * bits22, 2 * grid - 100)


@njit(**INNER_OPTIONS)
def take_out(target, rest, address, n, cut):
    """Copy n floats, 0 for those below a magnitude; gather these, 0 left out, and count them.

    `rest` may be where the floats are.
    """
    x, y, small = pointer_float64(address), pointer_float64(target), pointer_float64(rest)
    for i in range(n):
        value = x[i]
        y[i] = select((bits_of(value) & HIGHEST) < cut, 0.0, value)
    size = i64(0)
    for i in range(n):
        value = x[i]
        magnitude = bits_of(value) & HIGHEST
        small[size] = value
        size += i64((magnitude < cut) & (magnitude != 0))
    return size


@njit(**INNER_OPTIONS)
def add_each(address, n, state, squares):
    """Add n finite floats one by one."""
    x = pointer_float64(address)
    for i in range(n):
        add_one(x[i], state, squares)


@njit(**INNER_OPTIONS, inline="always")
def add_near(address, n, exponent, state, squares):
    """Add n floats whose exponents are within the span of a block."""
    limbs = pointer_int64(state + 8 * SUM)
    if squares:
        whole = n & ~3
        square_limbs = pointer_int64(state + 8 * SQUARES)
        add_sum_and_squares(address, whole, exponent, limbs, square_limbs)
        add_each(address + 8 * whole, n - whole, state, squares)
    else:
        add_sum(address, n, exponent, limbs)


@njit(**INNER_OPTIONS)
def add_floats(address, n, low, high, least, state, squares, spare, rest):
    """Add a block of finite floats: the largest together, then the largest of the others, etc.

    Args:
        low, high, least: what `scan` says of them.
        spare, rest: two blocks of scratch; the floats may be in `rest`.
    """
    span = i64(21) if squares else i64(50)
    lowest = i64(559) if squares else i64(51)
    highest = i64(1531) if squares else i64(2044)
    while True:
        exponent = magnitude_of_keys(low, high) >> 52
        if (n < 16) | (exponent < lowest) | (exponent > highest):
            add_each(address, n, state, squares)
            return
        if exponent - max(least >> 52, 1) <= span:
            add_near(address, n, exponent, state, squares)
            return
        m = take_out(spare, rest, address, n, (exponent - span) << 52)
        add_near(spare, n, exponent, state, squares)
        address, n = rest, m
        low, high, least = scan(address, n)


@njit(**INNER_OPTIONS)
def count_infinite(address, n, row, state):
    """Count the infinities of a block, and note the first of all."""
    x, head = pointer_float64(address), pointer_int64(state)
    for i in range(n):
        bits = bits_of(x[i])
        if (bits & HIGHEST) == INFINITE:
            head[N_NEGATIVE_INFINITE if bits < 0 else N_POSITIVE_INFINITE] += 1
            head[FIRST_INFINITE] = min(head[FIRST_INFINITE], row + i)


@njit(**INNER_OPTIONS, inline="always")
def float_block(address, n, validity, bit, row, state, level, masked, clean, spare):
    """Add a block of floats to the state; `masked` may be where they are."""
    head = pointer_int64(state)
    low, high, least, count, finite = i64(LOWEST), i64(HIGHEST), i64(-1), n, address
    if validity == 0:
        low, high, least = scan(address, n)
    elif n == BLOCK:
        low, high, least, count = scan_present(clean, address, validity, bit, n)
        finite = clean
    if (count > 0) & ((high >= INFINITE) | (low <= SMALLEST_INFINITE)):  # NaN, infinity, a rest
        if validity != 0:
            mask_floats(masked, address, validity, bit, n)
            address = masked
        low, high, least, count = scan_and_clean(clean, address, n)
        finite = clean
    head[COUNT] += count
    head[MIN_KEY] = min(head[MIN_KEY], low)
    head[MAX_KEY] = max(head[MAX_KEY], high)
    if (count > 0) & ((high == INFINITE) | (low == SMALLEST_INFINITE)):
        count_infinite(address, n, row, state)
        low, high, least = scan(clean, n)
    if (level > 0) & (least != -1):  # least is -1 where nothing is but zeros
        add_floats(finite, n, low, high, least, state, level > 1, spare, masked)


@njit(**INNER_OPTIONS, inline="always")
def normalize_state(state):
    """Carry in both sums."""
    normalize(pointer_int64(state + 8 * SUM), i64(N_SUM_LIMBS))
    normalize(pointer_int64(state + 8 * SQUARES), i64(N_SQUARE_LIMBS))


@njit(**INNER_OPTIONS)
def extent(low_side, high_side, n):
    """Return the least of one array of int64 and the greatest of another (or the same)."""
    x, y = pointer_int64(low_side), pointer_int64(high_side)
    low, high = i64(HIGHEST), LOWEST
    for i in range(n):
        low, high = min(low, x[i]), max(high, y[i])
    return low, high


@njit(**INNER_OPTIONS)
def add_small_integers(address, n, limbs, square_limbs):
    """Add integers below 2**26 in magnitude, and their squares: no sum leaves 64 bits."""
    x = pointer_int64(address)
    total, squares = i64(0), i64(0)
    for i in range(n):
        total += x[i]
        squares += x[i] * x[i]
    add_shifted(limbs, total, i64(0))
    add_shifted(square_limbs, squares, i64(0))


@njit(**INNER_OPTIONS)
def add_integers(address, n, limbs):
    """Add any integers to the sum, by halves."""
    x = pointer_int64(address)
    low, high = i64(0), i64(0)
    for i in range(n):
        low += x[i] & LOW_HALF
        high += x[i] >> 32
    add_shifted(limbs, low, i64(0))
    add_shifted(limbs, high, i64(32))


@njit(**INNER_OPTIONS)
def add_integer_squares(address, n, limbs):
    """Add the squares of any integers: the products of their halves, by halves again."""
    x = pointer_int64(address)
    ll0, ll1, lh0, lh1, hh0, hh1 = i64(0), i64(0), i64(0), i64(0), i64(0), i64(0)
    for i in range(n):
        size = select(x[i] < 0, -x[i], x[i])  # of -2**63: itself, unsigned 2**63
        low, high = size & LOW_HALF, shift_logical(size, 32)
        ll, lh, hh = low * low, low * high, high * high
        ll0 += ll & LOW_HALF
        ll1 += shift_logical(ll, 32)
        lh0 += lh & LOW_HALF
        lh1 += shift_logical(lh, 32)
        hh0 += hh & LOW_HALF
        hh1 += shift_logical(hh, 32)
    add_shifted(limbs, ll0, i64(0))
    add_shifted(limbs, ll1, i64(32))
    add_shifted(limbs, lh0, i64(33))
    add_shifted(limbs, lh1, i64(65))
    add_shifted(limbs, hh0, i64(64))
    add_shifted(limbs, hh1, i64(96))


@njit(**INNER_OPTIONS, inline="always")
def integer_block(address, n, validity, bit, state, level, spare, other):
    """Add a block of integers to the state."""
    head = pointer_int64(state)
    low_side, high_side = address, address
    if validity != 0:
        low_side, high_side = spare, other
        mask_integers(spare, address, validity, bit, n, i64(HIGHEST))
        mask_integers(other, address, validity, bit, n, LOWEST)
        head[COUNT] += count_bits(validity, bit, n)
    else:
        head[COUNT] += n
    low, high = extent(low_side, high_side, n)
    head[MIN_KEY] = min(head[MIN_KEY], low)
    head[MAX_KEY] = max(head[MAX_KEY], high)
    if level > 0:
        if validity != 0:
            mask_integers(spare, address, validity, bit, n, i64(0))
            address = spare
        limbs, squares = pointer_int64(state + 8 * SUM), pointer_int64(state + 8 * SQUARES)
        if (level > 1) & (low > -(1 << 26)) & (high < 1 << 26):
            add_small_integers(address, n, limbs, squares)
        else:
            add_integers(address, n, limbs)
            if level > 1:
                add_integer_squares(address, n, squares)


def _float_entry(element: str):
    read = float_reader(element)

    @njit(**INNER_OPTIONS, inline="always")
    def add_block(words, row, n):
        state, scratch = words[TABLE_STATE], words[TABLE_STATE] + 8 * SCRATCH
        block = read(words[TABLE_VALUES], row, n, scratch)
        validity, bit = words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET] + row
        level, row_of_all = words[TABLE_LEVEL], words[TABLE_FIRST_ROW] + row
        clean, spare = scratch + 8 * BLOCK, scratch + 16 * BLOCK
        float_block(block, n, validity, bit, row_of_all, state, level, scratch, clean, spare)

    return _entry(f"moments_{element}", add_block)


def _integer_entry(element: str):
    read = integer_reader(element)

    @njit(**INNER_OPTIONS, inline="always")
    def add_block(words, row, n):
        validity, state, scratch = words[TABLE_VALIDITY], words[TABLE_STATE], words[TABLE_STATE]
        scratch += 8 * SCRATCH
        block = read(words[TABLE_VALUES], i64(0), row, n, scratch)
        spare, other = scratch + 8 * BLOCK, scratch + 16 * BLOCK
        bit = words[TABLE_BIT_OFFSET] + row
        integer_block(block, n, validity, bit, state, words[TABLE_LEVEL], spare, other)

    return _entry(f"moments_{element}", add_block)


def _bool_entry():
    @njit(**INNER_OPTIONS, inline="always")
    def add_block(words, row, n):
        head = pointer_int64(words[TABLE_STATE])
        validity, bit = words[TABLE_VALIDITY], words[TABLE_BIT_OFFSET] + row
        count, n_true = i64(0), i64(0)
        for start in range(0, n, 64):
            m = min(n - start, 64)
            word = read_bits(words[TABLE_VALUES], words[TABLE_VALUE_BIT_OFFSET] + row + start, m)
            present = i64(-1)
            if validity != 0:
                present = read_bits(validity, bit + start, m)
            count += popcount(present) if validity != 0 else m
            n_true += popcount(word & present)
        head[COUNT] += count
        if count > 0:
            head[MIN_KEY] = min(head[MIN_KEY], select(n_true == count, i64(1), i64(0)))
            head[MAX_KEY] = max(head[MAX_KEY], select(n_true > 0, i64(1), i64(0)))
        if words[TABLE_LEVEL] > 0:
            add_shifted(pointer_int64(words[TABLE_STATE] + 8 * SUM), n_true, i64(0))
        if words[TABLE_LEVEL] > 1:
            add_shifted(pointer_int64(words[TABLE_STATE] + 8 * SQUARES), n_true, i64(0))

    return _entry("moments_bool", add_block)


def _entry(name: str, add_block):
    """Return the entry that adds rows [first, first + n) of the chunk in the table to its state."""

    @njit(**INNER_OPTIONS, inline="always")
    def add_rows(table, first, n):
        words = pointer_int64(table)
        state = words[TABLE_STATE]
        pointer_int64(state)[N_ROWS] += n
        for start in range(0, n, BLOCK):
            add_block(words, first + start, min(n - start, BLOCK))
            if (start // BLOCK) % NORMALIZE_EVERY == NORMALIZE_EVERY - 1:
                normalize_state(state)
        normalize_state(state)

    def entry(table, first, n):
        saved = enter_ieee()
        add_rows(opaque(table), first, n)
        leave_ieee(saved)
        return 0

    entry.__name__ = entry.__qualname__ = name
    return entry


_MAKERS = {"float64": _float_entry, "float32": _float_entry}

ENTRIES = {
    element: _bool_entry() if element == "bool" else _MAKERS.get(element, _integer_entry)(element)
    for element in ELEMENTS
}
