# pyright: basic
"""Parsing decimals to the nearest float64 on the CPU.

Source: D. Lemire, Number parsing at a gigabyte per second (2021). A decimal of more than 19 digits
is decided if the truncated number and the next one have the same nearest float64; otherwise it is
left to the caller. There is no float arithmetic, so speed and results do not depend on the float
environment.
"""

from __future__ import annotations

from numba import njit, types

from fastfeat_kernels.intrinsics import (
    INNER_OPTIONS,
    SEPARATE_OPTIONS,
    less_unsigned,
    load_int64,
    opaque,
    pointer_int64,
    pointer_uint8,
    select,
    shift_logical,
    smaller,
)
from fastfeat_kernels.text import (
    IS_NAN,
    NOT_PARSEABLE,
    OUT_OF_RANGE,
    PARSED,
    TABLE_DATA,
    TABLE_FOUND,
    TABLE_OUT_ROW,
    TABLE_POWERS,
    TABLE_STATUS,
    UNDECIDED,
)
from fastfeat_kernels.text.cpu.integers import MINUS, PLUS, ZEROS, number_of, sign_size
from fastfeat_kernels.text.cpu.lengths import target_of
from fastfeat_kernels.text.cpu.rows import end_of_call, present_bits, read_offsets
from fastfeat_kernels.text.cpu.vectors import leading_zeros, multiply_high, trailing_zeros
from fastfeat_kernels.text.tables import HIGHEST_POWER, LOWEST_POWER

i64 = types.int64
INFINITE = 0x7FF << 52
MAX_DIGITS = 19  # 10**19 is below 2**64
MAX_EXPONENT = 10**17  # larger exponents change nothing
DOT, E = ord("."), ord("e")
ABOVE_NINE, HIGH_BITS = 0x7676767676767676, 0x8080808080808080 - 2**64
TENS_AT = (HIGHEST_POWER - LOWEST_POWER + 1) << 4  # byte offset in the table of powers


def _bytes_as_word(text: str) -> int:
    return int.from_bytes(text.encode(), "little")


INF, INITY, NAN = _bytes_as_word("inf"), _bytes_as_word("inity"), _bytes_as_word("nan")


@njit(**INNER_OPTIONS)
def is_digit(byte):
    """Return whether a byte is a decimal digit."""
    return (byte >= 48) & (byte < 58)


@njit(**INNER_OPTIONS)
def lower_word(x, start, n):
    """Return n <= 8 bytes in lower case as a word."""
    word = i64(0)
    for i in range(n):
        word |= (i64(x[start + i]) | 0x20) << (i << 3)
    return word


@njit(**SEPARATE_OPTIONS)
def parse_name(x, start, n):
    """Return bits and status for "inf", "infinity" and "nan" in any case."""
    size = n - start
    if size == 3 and lower_word(x, start, i64(3)) == NAN:
        return i64(0), i64(IS_NAN)
    infinite = (size == 3) | (size == 8) and lower_word(x, start, i64(3)) == INF
    if infinite and size == 8:
        infinite = lower_word(x, start + 3, i64(5)) == INITY
    if infinite:
        return i64(INFINITE), i64(PARSED)
    return i64(0), i64(NOT_PARSEABLE)


@njit(**INNER_OPTIONS)
def digits_ahead(word):
    """Return the number of leading digits in 8 bytes."""
    values = word ^ ZEROS
    others = ((values + ABOVE_NINE) | values) & HIGH_BITS  # correct up to the first non-digit
    return trailing_zeros(others) >> 3


@njit(**INNER_OPTIONS)
def scan_digits(address, i, n, room, number, powers):
    """Return `number` extended by the digits from i on, and their end; it may wrap."""
    tens = pointer_int64(powers + TENS_AT)
    n_digits = i64(8)
    while n_digits == 8 and i + 8 <= room:
        word = load_int64(address + i)
        n_digits = smaller(digits_ahead(word), n - i)
        if n_digits > 0:
            number = number * tens[n_digits] + number_of(word << (64 - (n_digits << 3)))
            i += n_digits
    x = pointer_uint8(address)
    while n_digits == 8 and i < n and is_digit(x[i]):  # in the last row
        number = number * 10 + (i64(x[i]) - 48)
        i += 1
    return number, i


@njit(**INNER_OPTIONS)
def scan_short_decimal(address, start, n, room, powers):
    """Return first digits, power of ten, and whether the text is a decimal of 1 to 19 digits."""
    x = pointer_uint8(address)
    mantissa, i = scan_digits(address, start, n, room, i64(0), powers)
    n_digits, power = i - start, i64(0)
    if i < n and x[i] == DOT:
        point = i + 1
        mantissa, i = scan_digits(address, point, n, room, mantissa, powers)
        power = point - i
        n_digits -= power
    is_decimal = (n_digits > 0) & (n_digits <= MAX_DIGITS)
    if is_decimal and i < n:
        exponent, is_decimal = scan_exponent(x, i, n)
        power += exponent
    return mantissa, power, is_decimal


@njit(**SEPARATE_OPTIONS)
def scan_decimal(x, start, n):
    """Return first digits, power of ten, whether digits were left out, whether it is a decimal."""
    i, mantissa, power, n_digits, n_significant = start, i64(0), i64(0), i64(0), i64(0)
    seen_dot, left_out = False, False
    while i < n:
        byte = i64(x[i])
        if byte == DOT and not seen_dot:
            seen_dot = True
        elif is_digit(byte):
            n_digits += 1
            if n_significant < MAX_DIGITS:
                mantissa = mantissa * 10 + (byte - 48)
                n_significant += i64(mantissa != 0)
                power -= i64(seen_dot)
            else:
                left_out = left_out | (byte != 48)
                power += i64(not seen_dot)
        else:
            break
        i += 1
    is_decimal = n_digits > 0
    if i < n:
        exponent, is_exponent = scan_exponent(x, i, n)
        power += exponent
        is_decimal = is_decimal & is_exponent
    return mantissa, power, left_out, is_decimal


@njit(**INNER_OPTIONS)
def scan_exponent(x, i, n):
    """Return the exponent in the rest of the text, and whether it is one."""
    if i64(x[i]) | 0x20 != E or i + 1 >= n:
        return i64(0), False
    i += 1
    negative = x[i] == MINUS
    i += i64(negative or x[i] == PLUS)
    exponent, valid = i64(0), i < n
    while i < n:
        byte = i64(x[i])
        valid = valid & is_digit(byte)
        exponent = smaller(exponent * 10 + (byte - 48), MAX_EXPONENT)
        i += 1
    return select(negative, -exponent, exponent), valid


@njit(**INNER_OPTIONS)
def nearest(mantissa, power, powers):
    """Return the bits of the float64 nearest to mantissa * 10**power, and whether that is certain.

    The mantissa is unsigned and not 0. See section 5 of Lemire's paper.
    """
    if power < LOWEST_POWER:
        return i64(0), i64(PARSED)
    if power > HIGHEST_POWER:
        return i64(INFINITE), i64(PARSED)
    n_zeros = leading_zeros(mantissa)
    mantissa <<= n_zeros
    words = pointer_int64(powers + ((power - LOWEST_POWER) << 4))
    high, low = multiply_high(mantissa, words[0]), mantissa * words[0]
    if high & 0x1FF == 0x1FF:
        more = multiply_high(mantissa, words[1])
        low += more
        high += i64(less_unsigned(low, more))
    if low == -1 and (power < -27 or power > 55):
        return i64(0), i64(UNDECIDED)
    return round_product(high, low, power, n_zeros), i64(PARSED)


@njit(**INNER_OPTIONS)
def round_product(high, low, power, n_zeros):
    """Return the bits of the float64 nearest to a scaled product of 128 bits."""
    upper = shift_logical(high, 63)
    shift = upper + 9
    mantissa = shift_logical(high, shift)
    exponent = ((217706 * power) >> 16) + 63 + upper - n_zeros + 1023
    if exponent <= -63:
        return i64(0)
    if exponent >= 0x7FF:
        return i64(INFINITE)
    if exponent <= 0:
        mantissa = shift_logical(mantissa, 1 - exponent)
        return shift_logical(mantissa + (mantissa & 1), 1)  # 2**52 carries into the exponent
    tie = less_unsigned(low, i64(2)) & (power >= -4) & (power <= 23) & (mantissa & 3 == 1)
    if tie and (mantissa << shift) == high:
        mantissa &= ~1
    mantissa = shift_logical(mantissa + (mantissa & 1), 1)
    return mantissa + ((exponent - 1) << 52)  # 2**53 carries into the exponent, even to infinity


@njit(**INNER_OPTIONS)
def to_bits(mantissa, power, left_out, powers):
    """Return the bits of the float64 nearest to an unsigned decimal, and the status."""
    if mantissa == 0:
        return i64(0), i64(PARSED)
    bits, status = nearest(mantissa, power, powers)
    if left_out and status == PARSED:
        above, status = nearest(mantissa + 1, power, powers)
        if above != bits:
            status = i64(UNDECIDED)
    if bits == INFINITE and status == PARSED:
        status = i64(OUT_OF_RANGE)
    return bits, status


@njit(**SEPARATE_OPTIONS)
def parse_float(address, n, powers, room):
    """Return the float64 bits of a text of n bytes, and the status; `room` bytes may be read."""
    if n == 0:
        return i64(0), i64(NOT_PARSEABLE)
    x = pointer_uint8(address)
    start = sign_size(x)
    sign = i64(x[0] == MINUS) << 63
    left_out = False
    mantissa, power, is_decimal = scan_short_decimal(address, start, n, room, powers)
    if not is_decimal:
        mantissa, power, left_out, is_decimal = scan_decimal(x, start, n)
    if is_decimal:
        bits, status = to_bits(mantissa, power, left_out, powers)
    else:
        bits, status = parse_name(x, start, n)
    if (status == PARSED) | (status == OUT_OF_RANGE):
        return bits | sign, status
    return i64(0), status


def to_float(table, first, n):
    """Write the float and the status of each row; report which statuses occur, as bits."""
    words, found = pointer_int64(opaque(table)), i64(0)
    end, powers = end_of_call(words, first, n), words[TABLE_POWERS]
    for start in range(0, n, 64):
        row, m = first + start, smaller(n - start, 64)
        x, y = pointer_int64(read_offsets(words, row, m)), pointer_int64(target_of(words, row))
        statuses = pointer_uint8(words[TABLE_STATUS] + words[TABLE_OUT_ROW] + row)
        bits = present_bits(words, row, m)
        for i in range(m):
            value, status = i64(0), i64(PARSED)
            if (bits >> i) & 1 != 0:
                address = words[TABLE_DATA] + x[i]
                value, status = parse_float(address, x[i + 1] - x[i], powers, end - x[i])
            y[i], statuses[i] = value, types.uint8(status)
            found |= i64(1) << status
    words[TABLE_FOUND] = found
    return 0


FLOATS = (to_float,)
"""The entries of this file."""
