// Sums, means and variances of windows on a device: differences of exact integers, rounded once.
//
// Values of an entity are integers in units of the lowest bit that any of them has: SUM_WORDS words
// hold their sums, SQUARE_WORDS those of their squares, of which `scans` makes sums of all that
// stands before each place. Where entities do not fit is known before (`sum_reach`).

#define INFINITE (0x7ffLL << 52)
#define FRACTION ((1LL << 52) - 1)
#define UNIT (-1074)
#define TOP_PLACE 4096  // above the place of any bit of a float

// A finite float as sign * digits * 2**(place + UNIT), where digits is odd, or 0.
struct ff_parts {
    u64 digits;
    int place;
    bool is_negative;
};

static __device__ __forceinline__ ff_parts ff_parts_of(i64 bits) {
    const i64 size = bits & HIGHEST;
    const int field = (int)(size >> 52);
    if (size == 0 || size >= INFINITE) return {0, 0, false};
    const u64 digits = (u64)(size & FRACTION) | (field ? 1ULL << 52 : 0);
    const int low = __ffsll((i64)digits) - 1;
    return {digits >> low, (field ? field : 1) - 1 + low, bits < 0};
}

static __device__ __forceinline__ bool ff_is_present(const i64* t, i64 k) {
    const u64* counts = FF_GLOBAL(const u64, t[TABLE_COUNTS]);
    return counts[k + 1] != counts[k];
}

static __device__ __forceinline__ void ff_raise(u64* at, u64 value) {
    if (FF_LOAD_RELAXED(at) < value) atomicMax(at, value);
}

// Finds how high and how low the values of each entity reach: words that grow, 0 without values.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
sum_ends(const i64* t, i64 first, i64 n) {
    u64* ends = FF_GLOBAL(u64, t[TABLE_SUM_ENDS]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_parts x = ff_parts_of(FF_GLOBAL(const i64, t[TABLE_WORDS])[k]);
        if (x.digits == 0) continue;
        const i64 entity = FF_GLOBAL(const i32, t[TABLE_ENTITIES])[k];
        ff_raise(ends + 2 * entity, (u64)(x.place + 64 - __clzll((i64)x.digits)));
        ff_raise(ends + 2 * entity + 1, (u64)(TOP_PLACE - x.place));
    }
}

// Finds the most bits that a sum takes, and a sum of squares, with its sign.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
sum_reach(const i64* t, i64 first, i64 n) {
    const u64* ends = FF_GLOBAL(const u64, t[TABLE_SUM_ENDS]);
    const i64* starts = FF_GLOBAL(const i64, t[TABLE_STARTS]);
    u64* state = FF_GLOBAL(u64, t[TABLE_STATE]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        if (ends[2 * k] == 0) continue;
        const u64 n_bits = ends[2 * k] + ends[2 * k + 1] - TOP_PLACE;
        const u64 more = (u64)(65 - __clzll(starts[k + 1] - starts[k]));
        ff_raise(state, n_bits + more);
        ff_raise(state + 1, 2 * n_bits + more);
    }
}

// The place of the unit of an entity; of integers it is that of 1.
static __device__ __forceinline__ int ff_unit(const i64* t, i64 k) {
    if (!is_float(t)) return -UNIT;
    const i64 entity = FF_GLOBAL(const i32, t[TABLE_ENTITIES])[k];
    const u64 low = FF_GLOBAL(const u64, t[TABLE_SUM_ENDS])[2 * entity + 1];
    return low ? TOP_PLACE - (int)low : 0;
}

// A value as sign * digits * 2**shift in units of its entity.
static __device__ __forceinline__ ff_parts ff_shifted(const i64* t, i64 k) {
    const i64 word = FF_GLOBAL(const i64, t[TABLE_WORDS])[k];
    if (!ff_is_present(t, k)) return {0, 0, false};
    if (is_float(t)) {
        ff_parts x = ff_parts_of(word);
        if (x.digits) x.place -= ff_unit(t, k);
        return x;
    }
    if (t[TABLE_ELEMENT] == UINT64) return {(u64)word ^ HALF, 0, false};
    return {word < 0 ? 0 - (u64)word : (u64)word, 0, word < 0};
}

// Word `k` of an integer of two words that is shifted to the left.
static __device__ __forceinline__ u64 ff_word_at(u64 high, u64 low, int shift, int k) {
    const int from = 64 * k - shift;
    if (from <= -64 || from >= 128) return 0;
    if (from < 0) return low << -from;
    if (from == 0) return low;
    if (from < 64) return low >> from | high << (64 - from);
    return high >> (from - 64);
}

// Writes the values of a column as integers.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
sum_values(const i64* t, i64 first, i64 n) {
    u64* out = FF_GLOBAL(u64, t[TABLE_SUMS]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_parts x = ff_shifted(t, k);
        u64 carry = x.is_negative;
#pragma unroll
        for (int j = 0; j < SUM_WORDS; j++) {
            const u64 word = ff_word_at(0, x.digits, x.place, j);
            const u64 signed_word = (x.is_negative ? ~word : word) + carry;
            carry = carry & (u64)(signed_word == 0);
            out[SUM_WORDS * k + j] = signed_word;
        }
    }
}

// Writes their squares.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
sum_squares(const i64* t, i64 first, i64 n) {
    u64* out = FF_GLOBAL(u64, t[TABLE_SQUARES]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_parts x = ff_shifted(t, k);
        const u64 low = x.digits * x.digits, high = __umul64hi(x.digits, x.digits);
#pragma unroll
        for (int j = 0; j < SQUARE_WORDS; j++) {
            out[SQUARE_WORDS * k + j] = ff_word_at(high, low, 2 * x.place, j);
        }
    }
}

// Writes 1 for +inf and 1 << 32 for -inf.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
sum_infinite(const i64* t, i64 first, i64 n) {
    const i64* words = FF_GLOBAL(const i64, t[TABLE_WORDS]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const u64 one = words[k] < 0 ? 1ULL << 32 : 1;
        FF_GLOBAL(u64, t[TABLE_INFINITE])[k] = (words[k] & HIGHEST) == INFINITE ? one : 0;
    }
}

// ---- what is read out

struct ff_sum {
    u64 word[SUM_WORDS];
};

static __device__ __forceinline__ ff_sum ff_sum_of(const i64* t, ff_window w) {
    const u64* sums = FF_GLOBAL(const u64, t[TABLE_SUMS]);
    ff_sum sum;
    u64 borrow = 0;
#pragma unroll
    for (int j = 0; j < SUM_WORDS; j++) {
        const u64 end = sums[SUM_WORDS * w.end + j], begin = sums[SUM_WORDS * w.begin + j];
        sum.word[j] = end - begin - borrow;
        borrow = (u64)(end < begin) | ((u64)(end == begin) & borrow);
    }
    return sum;
}

static __device__ __forceinline__ bool ff_is_negative(ff_sum sum) {
    return sum.word[SUM_WORDS - 1] >> 63;
}

static __device__ __forceinline__ ff_sum ff_size(ff_sum sum) {
    const bool is_negative = ff_is_negative(sum);
    u64 carry = is_negative;
#pragma unroll
    for (int j = 0; j < SUM_WORDS; j++) {
        sum.word[j] = (is_negative ? ~sum.word[j] : sum.word[j]) + carry;
        carry = carry & (u64)(sum.word[j] == 0);
    }
    return sum;
}

// The highest 62 bits of an integer of n words, the last of them sticky, so that its conversion to
// a float rounds the integer; it is top * 2**place.
struct ff_top {
    i64 top;
    int place;
};

static __device__ __forceinline__ ff_top ff_top_of(const u64* words, const int n) {
    u64 high = 0, low = 0, lost = 0;
    int at = 0;
#pragma unroll
    for (int j = n - 1; j >= 0; j--) {
        if (high == 0) {
            high = words[j];
            low = j > 0 ? words[j > 0 ? j - 1 : 0] : 0;
            at = j;
        } else if (j < at - 1) {
            lost |= words[j];
        }
    }
    if (high == 0) return {0, 0};
    const int room = __clzll((i64)high);
    const u64 top = room ? high << room | low >> (64 - room) : high;
    lost |= low << room;
    return {(i64)(top >> 2 | (u64)((top & 3) != 0 || lost != 0)), 64 * at - room + 2};
}

// Returns x * 2**exponent rounded once, where x is a value of 53 bits that lost a `rest`: positive
// where the magnitude of the value is above that of x.
static __device__ __forceinline__ i64 ff_finish(double x, double rest, int exponent) {
    const i64 bits = ff_bits(x), size = bits & HIGHEST, sign = bits ^ size;
    const i64 biased = (size >> 52) + exponent, digits = (size & FRACTION) | (1LL << 52);
    if (size == 0) return bits;
    if (biased >= 0x7ff) return sign | INFINITE;
    if (biased > 0) return sign | (size & FRACTION) | biased << 52;
    const i64 drop = 1 - biased;
    if (drop > 54) return sign;
    const i64 half = 1LL << (drop - 1), kept = digits >> drop, tail = digits & ((1LL << drop) - 1);
    const bool is_tie_up = rest > 0.0 || (rest == 0.0 && (kept & 1));
    return sign | (kept + (i64)(tail > half || (tail == half && is_tie_up)));
}

// Returns x * 2**exponent / divisor, rounded once more than x.
static __device__ __forceinline__ i64 ff_divided(double x, double divisor, int exponent) {
    const double quotient = __ddiv_rn(x, divisor), rest = __fma_rn(-quotient, divisor, x);
    return ff_finish(quotient, x < 0.0 ? -rest : rest, exponent);
}

// Writes sums of integers; keeps the first row where one is no int64.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_integer_sums(const i64* t, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_window w = ff_window_of(t, k);
        if (w.target < 0) continue;
        const ff_sum sum = ff_sum_of(t, w);
        const bool fits = (i64)sum.word[1] == (i64)sum.word[0] >> 63;
        const bool present = w.count >= t[TABLE_MIN_SAMPLES];
        ff_give(t, w.target, (i64)sum.word[0], present);
        if (present && !fits) atomicMin(FF_GLOBAL(i64, t[TABLE_STATE]), w.target);
    }
}

// Writes means of int64 without their fractions; counts are below 2**31.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_whole_means(const i64* t, i64 first, i64 n) {
    const i64 least = t[TABLE_MIN_SAMPLES] ? t[TABLE_MIN_SAMPLES] : 1;
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_window w = ff_window_of(t, k);
        if (w.target < 0) continue;
        const ff_sum sum = ff_sum_of(t, w), size = ff_size(sum);
        const u64 count = w.count ? (u64)w.count : 1;  // the high word of a size is below it
        const u64 middle = size.word[1] << 32 | size.word[0] >> 32;
        const u64 last = middle % count << 32 | (size.word[0] & 0xFFFFFFFFULL);
        const u64 mean = (middle / count << 32) + last / count;
        ff_give(t, w.target, (i64)(ff_is_negative(sum) ? 0 - mean : mean), w.count >= least);
    }
}

// What infinities make of a result.
enum ff_kind { FINITE, ONE_SIGN, NOTHING };

static __device__ __forceinline__ ff_kind ff_infinity(const i64* t, ff_window w, i64* word) {
    if (t[TABLE_INFINITE] == 0) return FINITE;
    const u64* before = FF_GLOBAL(const u64, t[TABLE_INFINITE]);
    const u64 found = before[w.end] - before[w.begin];
    const bool positive = (u32)found != 0, negative = found >> 32 != 0;
    if (!positive && !negative) return FINITE;
    *word = negative ? (i64)HALF | INFINITE : INFINITE;
    return positive && negative ? NOTHING : ONE_SIGN;
}

// Writes sums of floats, and means.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_levels(const i64* t, i64 first, i64 n) {
    const bool is_mean = t[TABLE_KIND] == STATISTIC_MEAN;
    const i64 least = is_mean && t[TABLE_MIN_SAMPLES] == 0 ? 1 : t[TABLE_MIN_SAMPLES];
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_window w = ff_window_of(t, k);
        if (w.target < 0) continue;
        const ff_sum sum = ff_sum_of(t, w), size = ff_size(sum);
        const ff_top top = ff_top_of(size.word, SUM_WORDS);
        const double total = ff_f64_from_i64(ff_is_negative(sum) ? -top.top : top.top);
        const int exponent = top.place + ff_unit(t, k) + UNIT;
        i64 word = is_mean ? ff_divided(total, ff_f64_from_i64(w.count ? w.count : 1), exponent)
                           : ff_finish(total, 0.0, exponent);
        const ff_kind kind = ff_infinity(t, w, &word);
        ff_give(t, w.target, word, w.count >= least && kind != NOTHING);
    }
}

// The integer n * squares - sum * sum, which is not negative.
static __device__ __forceinline__ ff_top ff_spread(const i64* t, ff_window w) {
    const u64* squares = FF_GLOBAL(const u64, t[TABLE_SQUARES]);
    u64 spread[SQUARE_WORDS + 1];
    u64 borrow = 0, carry = 0;
#pragma unroll
    for (int j = 0; j < SQUARE_WORDS; j++) {
        const u64 end = squares[SQUARE_WORDS * w.end + j];
        const u64 begin = squares[SQUARE_WORDS * w.begin + j];
        const u64 word = end - begin - borrow;
        borrow = (u64)(end < begin) | ((u64)(end == begin) & borrow);
        const u64 product = word * (u64)w.count;
        spread[j] = product + carry;
        carry = __umul64hi(word, (u64)w.count) + (u64)(spread[j] < product);
    }
    spread[SQUARE_WORDS] = carry;
    const ff_sum size = ff_size(ff_sum_of(t, w));
#pragma unroll
    for (int i = 0; i < SUM_WORDS; i++) {
        carry = 0;
#pragma unroll
        for (int j = 0; j <= SQUARE_WORDS - i; j++) {
            const u64 other = j < SUM_WORDS ? size.word[j < SUM_WORDS ? j : 0] : 0;
            const u64 product = size.word[i] * other, taken = product + carry;
            carry = __umul64hi(size.word[i], other) + (u64)(taken < product);
            carry += (u64)(spread[i + j] < taken);
            spread[i + j] -= taken;
        }
    }
    return ff_top_of(spread, SQUARE_WORDS + 1);
}

// Writes variances and deviations.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_spreads(const i64* t, i64 first, i64 n) {
    const i64 ddof = t[TABLE_N];
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_window w = ff_window_of(t, k);
        if (w.target < 0) continue;
        i64 word = 0;
        const bool is_enough = w.count > ddof && w.count >= t[TABLE_MIN_SAMPLES];
        const bool present = is_enough && ff_infinity(t, w, &word) == FINITE;
        if (present) {
            const ff_top top = ff_spread(t, w);
            const int exponent = top.place + 2 * (ff_unit(t, k) + UNIT), odd = exponent & 1;
            const double total = ff_f64_from_i64(top.top);
            const double divisor = ff_f64_from_i64(w.count * (w.count - ddof));
            if (t[TABLE_KIND] == STATISTIC_STD) {
                const double variance = __dmul_rn(__ddiv_rn(total, divisor), odd ? 2.0 : 1.0);
                word = ff_finish(__dsqrt_rn(variance), 0.0, (exponent - odd) >> 1);
            } else {
                word = ff_divided(total, divisor, exponent);
            }
        }
        ff_give(t, w.target, word, present);
    }
}
