"""Functions in C11 that exported text calls: what a compiler or a processor leaves open.

An export has only the functions that its text calls, in the order of this table, so that no
compiler tells of unused ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HEAD = """\
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "-ffast-math and -ffinite-math-only give other bits: compile without them"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "floats are computed in a wider type here: compile for SSE2 (-msse2 -mfpmath=sse)"
#endif
#if defined(__GCC_IEC_559) && __GCC_IEC_559 == 0
#error "floats are not IEEE 754 here: compile without options that loosen their rules"
#endif
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#else
#pragma STDC FP_CONTRACT OFF
#endif
#if defined(__GNUC__)
#define FF_NAN __builtin_nan("")
#define FF_INF __builtin_inf()
#else
#include <math.h>
#define FF_NAN ((double)NAN)
#define FF_INF ((double)INFINITY)
#endif
"""

HASH = """\
typedef struct {
    uint64_t lanes[4], size, seed;
    unsigned char tail[32];
} ff_hash;
"""

RUNTIME: dict[str, str] = {
    "ff_bits": """\
static inline int64_t ff_bits(double x)
{
    int64_t bits;
    memcpy(&bits, &x, 8);
    return bits;
}
""",
    "ff_from_bits": """\
static inline double ff_from_bits(int64_t bits)
{
    double x;
    memcpy(&x, &bits, 8);
    return x;
}
""",
    "ff_abs": """\
static inline double ff_abs(double x)
{
    return ff_from_bits(ff_bits(x) & INT64_MAX);
}
""",
    "ff_add": """\
static inline int64_t ff_add(int64_t x, int64_t y)
{
    return (int64_t)((uint64_t)x + (uint64_t)y);
}
""",
    "ff_sub": """\
static inline int64_t ff_sub(int64_t x, int64_t y)
{
    return (int64_t)((uint64_t)x - (uint64_t)y);
}
""",
    "ff_mul": """\
static inline int64_t ff_mul(int64_t x, int64_t y)
{
    return (int64_t)((uint64_t)x * (uint64_t)y);
}
""",
    "ff_neg": """\
static inline int64_t ff_neg(int64_t x)
{
    return (int64_t)(0 - (uint64_t)x);
}
""",
    "ff_shl": """\
static inline int64_t ff_shl(int64_t x, int64_t n)
{
    return (int64_t)((uint64_t)x << n);
}
""",
    "ff_lshr": """\
static inline int64_t ff_lshr(int64_t x, int64_t n)
{
    return (int64_t)((uint64_t)x >> n);
}
""",
    "ff_high": """\
static inline uint64_t ff_high(uint64_t x, uint64_t y)
{
    const uint64_t x0 = x & 0xffffffffu, x1 = x >> 32, y0 = y & 0xffffffffu, y1 = y >> 32;
    const uint64_t low = x0 * y0, middle = x1 * y0 + (low >> 32);
    const uint64_t other = x0 * y1 + (middle & 0xffffffffu);
    return x1 * y1 + (middle >> 32) + (other >> 32);
}
""",
    "ff_mulhi": """\
static inline int64_t ff_mulhi(int64_t x, int64_t y)
{
    return (int64_t)ff_high((uint64_t)x, (uint64_t)y);
}
""",
    "ff_to_i64": """\
static inline int64_t ff_to_i64(double x)
{
    return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}
""",
    "ff_round_f32": """\
static inline double ff_round_f32(double x)
{
    return (double)(float)x;
}
""",
    # x + 2**52 - 2**52 rounds to an integer, ties to even; |x| from 2**52 on is one already
    "ff_rint": """\
static inline double ff_rint(double x)
{
#if defined(FF_ROUNDS)
    return __builtin_rint(x);
#else
    const double size = ff_abs(x), near = (size + 0x1p52) - 0x1p52;
    const double whole = size < 0x1p52 ? near : size;
    return x != x ? x : ff_from_bits(ff_bits(whole) | (ff_bits(x) & INT64_MIN));
#endif
}
""",
    "ff_trunc": """\
static inline double ff_trunc(double x)
{
#if defined(FF_ROUNDS)
    return __builtin_trunc(x);
#else
    const double size = ff_abs(x), near = (size + 0x1p52) - 0x1p52;
    const double whole = size < 0x1p52 ? near - (near > size ? 1.0 : 0.0) : size;
    return x != x ? x : ff_from_bits(ff_bits(whole) | (ff_bits(x) & INT64_MIN));
#endif
}
""",
    "ff_floor": """\
static inline double ff_floor(double x)
{
#if defined(FF_ROUNDS)
    return __builtin_floor(x);
#else
    const double size = ff_abs(x), near = ff_from_bits(
        ff_bits((size + 0x1p52) - 0x1p52) | (ff_bits(x) & INT64_MIN));
    return x != x || size >= 0x1p52 ? x : near > x ? near - 1.0 : near;
#endif
}
""",
    "ff_ceil": """\
static inline double ff_ceil(double x)
{
#if defined(FF_ROUNDS)
    return __builtin_ceil(x);
#else
    const double size = ff_abs(x), near = ff_from_bits(
        ff_bits((size + 0x1p52) - 0x1p52) | (ff_bits(x) & INT64_MIN));
    const double up = ff_from_bits(ff_bits(near + 1.0) | (ff_bits(x) & INT64_MIN));
    return x != x || size >= 0x1p52 ? x : near < x ? up : near;
#endif
}
""",
    "ff_sqrt_of_integers": """\
#if !defined(FF_HAS_SQRT)
/* The square root bit by bit, and the remainder tells the rounding; no tie is possible. */
static inline double ff_sqrt_of_integers(double x)
{
    int64_t bits = ff_bits(x), exponent = 0;
    uint64_t digits, root = 0, rest = 0;
    if (x != x || x == 0.0 || x == FF_INF)
        return x;
    if (x < 0.0)
        return FF_NAN;
    if (bits < INT64_C(0x0010000000000000)) {
        bits = ff_bits(x * 0x1p54);
        exponent = -54;
    }
    exponent += (bits >> 52) - 1023;
    digits = ((uint64_t)bits & UINT64_C(0x000fffffffffffff)) | UINT64_C(0x0010000000000000);
    if (exponent & 1) {
        digits <<= 1;
        exponent -= 1;
    }
    for (int k = 0; k < 54; k++) {
        rest = (rest << 2) | ((digits >> 52) & 3);
        digits = (digits & UINT64_C(0x000fffffffffffff)) << 2;
        root <<= 1;
        if (rest > root << 1) {
            rest -= (root << 1) | 1;
            root |= 1;
        }
    }
    root = (root >> 1) + (root & 1);
    return ff_from_bits((int64_t)(root + ((uint64_t)(exponent / 2 + 1022) << 52)));
}
#endif
""",
    "ff_sqrt": """\
static inline double ff_sqrt(double x)
{
#if !defined(FF_HAS_SQRT)
    return ff_sqrt_of_integers(x);
#elif defined(__SSE2__)
    const __m128d value = _mm_set_sd(x);
    return _mm_cvtsd_f64(_mm_sqrt_sd(value, value));
#elif defined(__clang__)
    return __builtin_elementwise_sqrt(x);
#else
    double root;
#if defined(__aarch64__)
    __asm__("fsqrt %d0, %d1" : "=w"(root) : "w"(x));
#elif defined(__riscv)
    __asm__("fsqrt.d %0, %1" : "=f"(root) : "f"(x));
#elif defined(__s390x__)
    __asm__("sqdbr %0, %1" : "=f"(root) : "f"(x));
#endif
    return root;
#endif
}
""",
    "ff_fma_of_integers": """\
#if !defined(FF_HAS_FMA)
/* x * y + z in 128 bits of two words: a bit for what is lost stays in the last place. */
static double ff_fma_of_integers(double x, double y, double z)
{
    const double operands[3] = {x, y, z};
    uint64_t digits[3], high, low, other_high, other_low, sign, other_sign;
    int64_t exponents[3], exponent, shift;
    int64_t n_zeros = 0;
    if (x - x != 0.0 || y - y != 0.0 || x == 0.0 || y == 0.0)
        return x * y + z;
    if (z - z != 0.0)
        return z;
    if (z == 0.0)
        return x * y;
    for (int k = 0; k < 3; k++) {
        int64_t bits = ff_bits(ff_abs(operands[k])), lower = 0;
        if (bits < INT64_C(0x0010000000000000)) {
            bits = ff_bits(ff_abs(operands[k]) * 0x1p54);
            lower = 54;
        }
        exponents[k] = (bits >> 52) - 1075 - lower;
        digits[k] = ((uint64_t)bits & UINT64_C(0x000fffffffffffff)) | UINT64_C(0x0010000000000000);
    }
    sign = (uint64_t)(ff_bits(x) ^ ff_bits(y)) & UINT64_C(0x8000000000000000);
    other_sign = (uint64_t)ff_bits(z) & UINT64_C(0x8000000000000000);
    /* the product has 105 or 106 bits, and z 53: both are moved so that bit 124 or 125 is first */
    digits[0] <<= 10;
    digits[1] <<= 10;
    high = ff_high(digits[0], digits[1]);
    low = digits[0] * digits[1];
    exponent = exponents[0] + exponents[1] - 20;
    other_high = digits[2] << 8;
    other_low = 0;
    shift = exponent - (exponents[2] - 72);
    if (shift < 0) {
        const uint64_t moved_high = high, moved_low = low;
        const uint64_t moved_sign = sign;
        high = other_high;
        low = other_low;
        sign = other_sign;
        other_high = moved_high;
        other_low = moved_low;
        other_sign = moved_sign;
        exponent -= shift;
        shift = -shift;
    }
    if (shift >= 128) {
        other_high = 0;
        other_low = 1;
    } else if (shift >= 64) {
        const uint64_t lost = shift == 64 ? other_low
            : other_low | (other_high << (128 - shift));
        other_low = (shift == 64 ? other_high : other_high >> (shift - 64)) | (lost != 0);
        other_high = 0;
    } else if (shift > 0) {
        const uint64_t lost = other_low << (64 - shift);
        other_low = (other_low >> shift) | (other_high << (64 - shift)) | (lost != 0);
        other_high >>= shift;
    }
    if (sign == other_sign) {
        low += other_low;
        high += other_high + (low < other_low);
    } else {
        if (high < other_high || (high == other_high && low < other_low)) {
            const uint64_t moved_high = high, moved_low = low;
            high = other_high;
            low = other_low;
            other_high = moved_high;
            other_low = moved_low;
            sign = other_sign;
        }
        high -= other_high + (low < other_low);
        low -= other_low;
    }
    if (high == 0 && low == 0)
        return 0.0;
    /* the first bit goes to bit 62 of one word, the others to its last bit */
    if (high == 0) {
        high = low;
        low = 0;
        exponent -= 64;
    }
    while (!(high >> (62 - n_zeros)))
        n_zeros++;
    if (high >> 63) {
        low = (high << 63) | (low != 0);
        high >>= 1;
        exponent += 1;
    } else if (n_zeros > 0) {
        high = (high << n_zeros) | (low >> (64 - n_zeros));
        low <<= n_zeros;
        exponent -= n_zeros;
    }
    high |= low != 0;
    exponent += 64;
    /* 63 bits times 2 ** exponent, rounded to 53 bits, or fewer below the least normal number */
    shift = 10;
    if (exponent < -1084)
        shift = -1074 - exponent;
    if (shift > 63)
        return ff_from_bits((int64_t)sign);
    {
        const uint64_t half = UINT64_C(1) << (shift - 1), mask = (half << 1) - 1;
        const uint64_t lost = high & mask;
        uint64_t kept = high >> shift;
        kept += lost > half || (lost == half && (kept & 1));
        exponent += shift;
        if (kept >> 53) {
            kept >>= 1;
            exponent += 1;
        }
        if (exponent > 971)
            return ff_from_bits((int64_t)(sign | UINT64_C(0x7ff0000000000000)));
        if (!(kept >> 52))
            return ff_from_bits((int64_t)(sign | kept));
        kept &= UINT64_C(0x000fffffffffffff);
        return ff_from_bits((int64_t)(sign | ((uint64_t)(exponent + 1075) << 52) | kept));
    }
}
#endif
""",
    # Boldo and Melquiond, "Emulation of FMA and correctly rounded sums" (2008): a sum rounded to
    # odd, then rounded once more
    "ff_fma": """\
static inline double ff_fma(double x, double y, double z)
{
#if defined(FF_HAS_FMA)
    return __builtin_fma(x, y, z);
#else
    const double size = ff_abs(x * y);
    if (!(size > 0x1p-800 && size < 0x1p900 && ff_abs(x) < 0x1p900 && ff_abs(y) < 0x1p900
          && ff_abs(z) < 0x1p900 && (z == 0.0 || ff_abs(z) > 0x1p-800)))
        return ff_fma_of_integers(x, y, z);
    {
        const double high = x * y;
        const double a = x * 134217729.0, x1 = a - (a - x), x0 = x - x1;
        const double b = y * 134217729.0, y1 = b - (b - y), y0 = y - y1;
        const double low = ((x1 * y1 - high) + x1 * y0 + x0 * y1) + x0 * y0;
        const double s = low + z, t = s - low, s0 = (low - (s - t)) + (z - t);
        const double u = high + s, v = u - high, u0 = (high - (u - v)) + (s - v);
        const double w = u0 + s0, r = w - u0, w0 = (u0 - (w - r)) + (s0 - r);
        int64_t bits = ff_bits(w);
        if (w0 != 0.0 && !(bits & 1))
            bits += (w0 > 0.0) == (w > 0.0) ? 1 : -1;
        return u + ff_from_bits(bits);
    }
#endif
}
""",
    "ff_remainder_scaled": """\
/* x * 2**exponent mod y, at most 52 bits of the quotient at a time; no step rounds. */
static double ff_remainder_scaled(double x, double y, double exponent)
{
    double rest = x, left = exponent;
    do {
        const double step = left < 52.0 ? left : 52.0;
        const double scaled = rest * ff_from_bits((int64_t)((uint64_t)(step + 1023.0) << 52));
        const double whole = ff_trunc(scaled / y);
        const double found = ff_fma(-whole, y, scaled);
        rest = found < 0.0 ? found + y : found;
        left = left - step;
    } while (left > 0.0);
    return rest;
}
""",
    # tables of keys, in order
    "ff_find_i64": """\
static int64_t ff_find_i64(const int64_t *keys, int64_t n, int64_t x)
{
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (keys[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && keys[low] == x ? low : -1;
}
""",
    "ff_find_f64": """\
static int64_t ff_find_f64(const double *keys, int64_t n, double x)
{
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (keys[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && keys[low] == x ? low : -1;
}
""",
    "ff_compare": """\
static int ff_compare(const void *x, int64_t n, const void *y, int64_t m)
{
    const int order = n && m ? memcmp(x, y, (size_t)(n < m ? n : m)) : 0;
    return order ? order : (n > m) - (n < m);
}
""",
    "ff_find_text": """\
static int64_t ff_find_text(const signed char *bytes, const int64_t *offsets, int64_t n,
                            const char *x, int64_t size)
{
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2, begin = offsets[middle];
        const int order = ff_compare(bytes + begin, offsets[middle + 1] - begin, x, size);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}
""",
    # texts
    "ff_is_utf8": """\
static int ff_is_utf8(const char *bytes, int64_t size)
{
    int64_t i = 0;
    while (i < size) {
        const unsigned char c = (unsigned char)bytes[i], least = c == 0xe0 ? 0xa0
            : c == 0xf0 ? 0x90 : 0x80, most = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        const int n = c < 0x80 ? 0
            : c < 0xc2 || c > 0xf4 ? -1 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (n < 0 || size - i <= n)
            return 0;
        for (int k = 1; k <= n; k++) {
            const unsigned char d = (unsigned char)bytes[i + k];
            if (d < (k == 1 ? least : 0x80) || d > (k == 1 ? most : 0xbf))
                return 0;
        }
        i += n + 1;
    }
    return 1;
}
""",
    "ff_len_chars": """\
static int64_t ff_len_chars(const char *bytes, int64_t size)
{
    int64_t n = 0;
    for (int64_t i = 0; i < size; i++)
        n += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return n;
}
""",
    "ff_starts_with": """\
static int ff_starts_with(const char *bytes, int64_t size, const char *pattern, int64_t n)
{
    return n <= size && (n == 0 || memcmp(bytes, pattern, (size_t)n) == 0);
}
""",
    "ff_ends_with": """\
static int ff_ends_with(const char *bytes, int64_t size, const char *pattern, int64_t n)
{
    return n <= size && (n == 0 || memcmp(bytes + (size - n), pattern, (size_t)n) == 0);
}
""",
    "ff_find": """\
static int64_t ff_find(const char *bytes, int64_t size, const char *pattern, int64_t n)
{
    for (int64_t i = 0; i + n <= size; i++)
        if (n == 0 || memcmp(bytes + i, pattern, (size_t)n) == 0)
            return i;
    return -1;
}
""",
    # XXH64, read byte by byte: the order of bytes in a word does not matter
    "ff_turned": """\
static inline uint64_t ff_turned(uint64_t x, int n)
{
    return (x << n) | (x >> (64 - n));
}
""",
    "ff_hash_read": """\
static inline uint64_t ff_hash_read(const unsigned char *bytes, int n)
{
    uint64_t word = 0;
    for (int k = 0; k < n; k++)
        word |= (uint64_t)bytes[k] << (8 * k);
    return word;
}
""",
    "ff_hash_round": """\
static inline uint64_t ff_hash_round(uint64_t lane, uint64_t word)
{
    return ff_turned(lane + word * UINT64_C(0xc2b2ae3d27d4eb4f), 31)
        * UINT64_C(0x9e3779b185ebca87);
}
""",
    "ff_hash_start": """\
static void ff_hash_start(ff_hash *h, uint64_t seed)
{
    h->lanes[0] = seed + UINT64_C(0x9e3779b185ebca87) + UINT64_C(0xc2b2ae3d27d4eb4f);
    h->lanes[1] = seed + UINT64_C(0xc2b2ae3d27d4eb4f);
    h->lanes[2] = seed;
    h->lanes[3] = seed - UINT64_C(0x9e3779b185ebca87);
    h->size = 0;
    h->seed = seed;
}
""",
    "ff_hash_add": """\
static void ff_hash_add(ff_hash *h, const void *given, int64_t n)
{
    const unsigned char *bytes = given;
    for (int64_t i = 0; i < n; i++) {
        h->tail[h->size % 32] = bytes[i];
        h->size++;
        if (h->size % 32 == 0)
            for (int k = 0; k < 4; k++)
                h->lanes[k] = ff_hash_round(h->lanes[k], ff_hash_read(h->tail + 8 * k, 8));
    }
}
""",
    "ff_hash_word": """\
static void ff_hash_word(ff_hash *h, uint64_t word)
{
    unsigned char bytes[8];
    for (int k = 0; k < 8; k++)
        bytes[k] = (unsigned char)((word >> (8 * k)) & 0xff);
    ff_hash_add(h, bytes, 8);
}
""",
    "ff_hash_tag": """\
static void ff_hash_tag(ff_hash *h, int tag, uint64_t size)
{
    const unsigned char byte = (unsigned char)tag;
    ff_hash_add(h, &byte, 1);
    ff_hash_word(h, size);
}
""",
    "ff_hash_end": """\
static uint64_t ff_hash_end(const ff_hash *h)
{
    const uint64_t p1 = UINT64_C(0x9e3779b185ebca87), p2 = UINT64_C(0xc2b2ae3d27d4eb4f);
    const uint64_t p3 = UINT64_C(0x165667b19e3779f9), p4 = UINT64_C(0x85ebca77c2b2ae63);
    const uint64_t p5 = UINT64_C(0x27d4eb2f165667c5);
    const unsigned char *tail = h->tail;
    int n = (int)(h->size % 32);
    uint64_t total = h->seed + p5;
    if (h->size >= 32) {
        total = ff_turned(h->lanes[0], 1) + ff_turned(h->lanes[1], 7)
            + ff_turned(h->lanes[2], 12) + ff_turned(h->lanes[3], 18);
        for (int k = 0; k < 4; k++)
            total = (total ^ ff_hash_round(0, h->lanes[k])) * p1 + p4;
    }
    total += h->size;
    for (; n >= 8; n -= 8, tail += 8)
        total = ff_turned(total ^ ff_hash_round(0, ff_hash_read(tail, 8)), 27) * p1 + p4;
    if (n >= 4) {
        total = ff_turned(total ^ (ff_hash_read(tail, 4) * p1), 23) * p2 + p3;
        n -= 4;
        tail += 4;
    }
    for (; n > 0; n--, tail++)
        total = ff_turned(total ^ (*tail * p5), 11) * p1;
    total = (total ^ (total >> 33)) * p2;
    total = (total ^ (total >> 29)) * p3;
    return total ^ (total >> 32);
}
""",
}
"""Functions by name, each after the functions that it calls."""

_CALL = re.compile(r"\bff_[a-z0-9_]+\b")


def functions_for(texts: Iterable[str]) -> list[str]:
    """Return the texts of the functions that some text calls, and of those that they call."""
    wanted: set[str] = set()
    pending = {name for text in texts for name in _CALL.findall(text)} & RUNTIME.keys()
    while pending:
        wanted |= pending
        pending = {name for w in pending for name in _CALL.findall(RUNTIME[w])} & RUNTIME.keys()
        pending -= wanted
    texts = [text for name, text in RUNTIME.items() if name in wanted]
    return [HASH, *texts] if "ff_hash_end" in wanted else texts


def machine(name: str) -> str:
    """Return the text that asks which instructions there are; `name` is the name of the export."""
    return f"""\
#if !defined({name}_PORTABLE)
#if defined(__FMA__) || defined(__FP_FAST_FMA) || defined(__aarch64__) || defined(__s390x__)
#define FF_HAS_FMA
#endif
#if defined(__SSE4_1__) || defined(__aarch64__)
#define FF_ROUNDS
#endif
#if defined(__SSE2__)
#include <emmintrin.h>
#define FF_HAS_SQRT
#elif defined(__clang__)
#if __has_builtin(__builtin_elementwise_sqrt)
#define FF_HAS_SQRT
#endif
#elif defined(__GNUC__) && (defined(__aarch64__) || defined(__s390x__) || __riscv_flen >= 64)
#define FF_HAS_SQRT
#endif
#endif
"""
