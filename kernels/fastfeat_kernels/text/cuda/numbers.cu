// Numbers that rows of text are, on a device: `integers` and `floats` of the CPU, with their results.
//
// A row that is no number, or not one of the type, is 0 and missing, and the first one is reported;
// so is NaN, unreported. A row that is undecided stays present, and the caller parses it.

#define INFINITE 0x7FF0000000000000LL
#define MAX_DIGITS 19                      // 10**19 is below 2**64
#define MAX_EXPONENT 100000000000000000LL  // beyond it digits of an exponent change nothing

struct Number {
    i64 bits;
    int status;
};

static __device__ __forceinline__ bool is_sign(u32 byte) { return byte == '+' || byte == '-'; }
static __device__ __forceinline__ bool is_digit(u32 byte) { return byte - '0' < 10u; }

// The digit that a byte is in any base to 36; 99 where it is none.
static __device__ __forceinline__ u64 digit_of(u32 byte) {
    const u32 letter = (byte | 0x20) - 'a';
    if (is_digit(byte)) return byte - '0';
    return letter < 26 ? letter + 10 : 99;
}

static __device__ __forceinline__ Number integer_of(Bytes text, u64 base) {
    const bool negative = text.n > 0 && text.at[0] == '-';
    const i64 start = text.n > 0 && is_sign(text.at[0]);
    if (start == text.n) return Number{0, NOT_PARSEABLE};
    u64 magnitude = 0;
    bool overflow = false;
    for (i64 i = start; i < text.n; i++) {
        const u64 digit = digit_of(text.at[i]);
        if (digit >= base) return Number{0, NOT_PARSEABLE};
        const u64 product = magnitude * base;
        overflow |= __umul64hi(magnitude, base) != 0;
        magnitude = product + digit;
        overflow |= magnitude < product;
    }
    if (overflow || magnitude > (1ULL << 63) - !negative) return Number{0, OUT_OF_RANGE};
    return Number{(i64)(negative ? 0 - magnitude : magnitude), PARSED};
}

// A decimal without its sign: the first digits, times ten to a power, perhaps with digits left out.
struct Decimal {
    u64 mantissa;
    i64 power;
    bool left_out;
    bool is_decimal;
};

// Whether bytes are "e", perhaps a sign, and digits; adds their number to a power.
static __device__ __forceinline__ bool add_exponent(Bytes text, i64* power) {
    if (text.n < 2 || (text.at[0] | 0x20) != 'e') return false;
    const bool negative = text.at[1] == '-';
    i64 i = is_sign(text.at[1]) ? 2 : 1, exponent = 0;
    bool valid = i < text.n;
    for (; i < text.n; i++) {
        valid &= is_digit(text.at[i]);
        exponent = exponent * 10 + ((i64)text.at[i] - '0');
        exponent = exponent < MAX_EXPONENT ? exponent : MAX_EXPONENT;
        if (!valid) return false;
    }
    *power += negative ? -exponent : exponent;
    return valid;
}

static __device__ __forceinline__ Decimal decimal_of(Bytes text) {
    Decimal x = {0, 0, false, false};
    i64 i = 0, n_digits = 0, n_significant = 0;
    bool seen_dot = false;
    for (; i < text.n; i++) {
        const u32 byte = text.at[i];
        if (byte == '.' && !seen_dot) {
            seen_dot = true;
            continue;
        }
        if (!is_digit(byte)) break;
        n_digits++;
        if (n_significant < MAX_DIGITS) {
            x.mantissa = x.mantissa * 10 + (byte - '0');
            n_significant += x.mantissa != 0;
            x.power -= seen_dot;
        } else {
            x.left_out |= byte != '0';
            x.power += !seen_dot;
        }
    }
    x.is_decimal = n_digits > 0;
    if (i < text.n) x.is_decimal &= add_exponent(Bytes{text.at + i, text.n - i}, &x.power);
    return x;
}

// The bits of the float64 nearest to a product of 128 bits, scaled. See `floats.round_product`.
static __device__ __forceinline__ i64 round_product(u64 high, u64 low, i64 power, int n_zeros) {
    const int upper = (int)(high >> 63), shift = upper + 9;
    const i64 scale = ff_shr_i64(217706 * power, 16) + 63;
    const i64 exponent = scale + upper - n_zeros + 1023;
    u64 mantissa = high >> shift;
    if (exponent <= -63) return 0;
    if (exponent >= 0x7FF) return INFINITE;
    if (exponent <= 0) {
        mantissa >>= 1 - exponent;
        return (i64)((mantissa + (mantissa & 1)) >> 1);  // its own exponent, if it becomes 2**52
    }
    const bool tie = low < 2 && power >= -4 && power <= 23 && (mantissa & 3) == 1;
    if (tie && mantissa << shift == high) mantissa &= ~1ULL;
    mantissa = (mantissa + (mantissa & 1)) >> 1;
    return (i64)(mantissa + ((u64)(exponent - 1) << 52));  // 2**53 carries into the exponent
}

// The float64 nearest to mantissa * 10**power, if that is certain. Source: Lemire, section 5.
static __device__ __forceinline__ Number nearest(const u64* powers, u64 mantissa, i64 power) {
    if (power < LOWEST_POWER) return Number{0, PARSED};
    if (power > HIGHEST_POWER) return Number{INFINITE, PARSED};
    const int n_zeros = __clzll((i64)mantissa);
    mantissa <<= n_zeros;
    const u64* five = powers + 2 * (power - LOWEST_POWER);
    u64 high = __umul64hi(mantissa, five[0]), low = mantissa * five[0];
    if ((high & 0x1FF) == 0x1FF) {
        const u64 more = __umul64hi(mantissa, five[1]);
        low += more;
        high += low < more;
    }
    if (low == ~0ULL && (power < -27 || power > 55)) return Number{0, UNDECIDED};
    return Number{round_product(high, low, power, n_zeros), PARSED};
}

static __device__ __forceinline__ Number decided(const u64* powers, Decimal x) {
    if (x.mantissa == 0) return Number{0, PARSED};
    Number found = nearest(powers, x.mantissa, x.power);
    if (x.left_out && found.status == PARSED) {
        const Number above = nearest(powers, x.mantissa + 1, x.power);
        if (above.status != PARSED || above.bits != found.bits) found.status = UNDECIDED;
    }
    if (found.bits == INFINITE && found.status == PARSED) found.status = OUT_OF_RANGE;
    return found;
}

// Whether bytes are a name in lower case, in any case.
static __device__ __forceinline__ bool is_name(Bytes text, const char* name, i64 n) {
    bool same = text.n == n;
    for (i64 i = 0; same && i < n; i++) same = (text.at[i] | 0x20) == (u8)name[i];
    return same;
}

static __device__ __forceinline__ Number named(Bytes text) {
    if (is_name(text, "nan", 3)) return Number{0, IS_NAN};
    const bool infinite = is_name(text, "inf", 3) || is_name(text, "infinity", 8);
    return infinite ? Number{INFINITE, PARSED} : Number{0, NOT_PARSEABLE};
}

static __device__ __forceinline__ Number float_of(const u64* powers, Bytes text) {
    if (text.n == 0) return Number{0, NOT_PARSEABLE};
    const u32 lead = text.at[0];
    if (is_sign(lead)) text = Bytes{text.at + 1, text.n - 1};
    const Decimal decimal = decimal_of(text);
    Number found = decimal.is_decimal ? decided(powers, decimal) : named(text);
    if (found.status != PARSED) found.bits = 0;
    else if (lead == '-') found.bits |= (i64)(1ULL << 63);
    return found;
}

// Write a row, present unless `live` is false; all threads of a warp come here.
static __device__ __forceinline__ void write_number(
    const i64* t, i64 start, i64 row, Number number, bool present, bool live
) {
    if (live) {
        FF_GLOBAL(i64, t[TABLE_OUT])[row] = number.bits;
        FF_GLOBAL(u8, t[TABLE_STATUS])[row] = (u8)number.status;
    }
    if (number.status != PARSED) {
        ff_atomic_or(FF_GLOBAL(i64, t[TABLE_FOUND]), 1LL << number.status);
        if (number.status == NOT_PARSEABLE || number.status == OUT_OF_RANGE) report_row(t, row);
    }
    const bool is_number = number.status == PARSED || number.status == UNDECIDED;
    ff_write_bits(FF_GLOBAL(u32, t[TABLE_OUT_VALIDITY]), start, present && is_number, live);
}

// Both write bits; `first` is a multiple of 32.
extern "C" __global__ void __launch_bounds__(BLOCK)
to_integer(const i64* t, i64 first, i64 n) {
    for (i64 start = (i64)blockIdx.x * BLOCK; start < n; start += (i64)gridDim.x * BLOCK) {
        const i64 row = first + start + threadIdx.x;
        const bool live = row < first + n, present = live && is_present(t, row);
        Number number = {0, PARSED};
        if (present) number = integer_of(bytes_of(t, row), (u64)t[TABLE_BASE]);
        write_number(t, first + start, row, number, present, live);
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK)
to_float(const i64* t, i64 first, i64 n) {
    const u64* powers = FF_GLOBAL(const u64, t[TABLE_POWERS]);
    for (i64 start = (i64)blockIdx.x * BLOCK; start < n; start += (i64)gridDim.x * BLOCK) {
        const i64 row = first + start + threadIdx.x;
        const bool live = row < first + n, present = live && is_present(t, row);
        Number number = {0, PARSED};
        if (present) number = float_of(powers, bytes_of(t, row));
        write_number(t, first + start, row, number, present, live);
    }
}
