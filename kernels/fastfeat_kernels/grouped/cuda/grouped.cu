// Moments of groups on a device: the Spec of the package, into the lines of `layout`.
//
// The limbs of a value, and of its square, are cut out of its bits and added by integer atomics:
// any order of threads gives the same sums. The row that brings the count of a line to a multiple of
// CARRY_EVERY carries its limbs, while others add to them: a carry moves bits, the sum stays. The
// first groups, which are the most frequent keys of a vocabulary, have lines in shared memory too,
// several where there is room, each for some lanes of a warp; a block adds them up in the end.
// `cuda.text` puts the words of table and line before this text.

#define LOW ((1ULL << LIMB_BITS) - 1)
#define HALF (1ULL << 63)

// ---- limbs

// Returns LIMB_BITS bits of a 128-bit integer from one on, which may be outside of it.
static __device__ __forceinline__ u64 digit_at(u64 high, u64 low, int from) {
    u64 word = 0;
    if (from >= 64) word = from < 128 ? high >> (from - 64) : 0;
    else if (from > 0) word = (low >> from) | (high << (64 - from));
    else if (from > -LIMB_BITS) word = low << -from;
    return word & LOW;
}

static __device__ __forceinline__ void limb_add(u64* limb, u64 amount) {
    if (amount) atomicAdd(limb, amount);
}

// Carries what stands above LIMB_BITS into the next limb, while others add.
static __device__ __forceinline__ void limbs_carry(u64* limbs, int n) {
    for (int k = n - 1; k > 0; k--) {
        const i64 above = (i64)atomicAdd(limbs + k, (u64)0) >> LIMB_BITS;
        limb_add(limbs + k, 0 - ((u64)above << LIMB_BITS));
        limb_add(limbs + k - 1, (u64)above);
    }
}

static __device__ __forceinline__ void line_carry(u64* line, i64 level) {
    if (level > 0) limbs_carry(line + SUM, N_SUM_LIMBS);
    if (level > 1) limbs_carry(line + SQUARES, N_SQUARE_LIMBS);
}

static __device__ __forceinline__ void count_add(u64* line, i64 level, u64 amount) {
    const u64 before = atomicAdd(line + COUNT, amount);
    if ((before ^ (before + amount)) >= CARRY_EVERY) line_carry(line, level);
}

// ---- values

// What a row adds to the line of its group.
struct Value {
    u64 key;           // orders values: unsigned
    u64 size;          // of the value, in units of 2**(lowest bit of the sum + place)
    int place;
    int square_place;  // the same for its square
    bool is_negative;
};

// Takes a finite float into units of the window; returns whether the window holds it.
static __device__ __forceinline__ bool value_in_window(const i64* t, double x, Value* value) {
    const i64 bits = __double_as_longlong(x), level = t[TABLE_LEVEL];
    const int field = (int)((bits >> 52) & 0x7FF);
    u64 size = ((u64)bits & 0xFFFFFFFFFFFFFULL) | (field ? 1ULL << 52 : 0);
    int below = (int)t[TABLE_EXPONENT] + 1075 - (field ? field : 1);  // x = size * 2**(exponent - below)
    value->is_negative = bits < 0;
    value->size = 0;
    value->place = value->square_place = 0;
    if (size == 0) return true;
    const int room = level > 1 ? SQUARE_BITS / 2 : SUM_BITS, excess = below > room ? below - room : 0;
    const bool is_low = 64 - __clzll((i64)size) <= below - (int)t[TABLE_HEADROOM];
    if (!is_low || excess >= 53 || size & ((1ULL << excess) - 1)) return false;
    below -= excess;
    value->size = size >> excess;
    value->place = SUM_BITS - below;
    value->square_place = SQUARE_BITS - 2 * below;
    return true;
}

static __device__ __forceinline__ void line_add(u64* line, i64 level, Value value) {
    count_add(line, level, 1);
    if (level == 0) return;
#pragma unroll
    for (int k = 0; k < N_SUM_LIMBS; k++) {
        const u64 digit = digit_at(0, value.size, LIMB_BITS * (N_SUM_LIMBS - 1 - k) - value.place);
        limb_add(line + SUM + k, value.is_negative ? 0 - digit : digit);
    }
    if (level == 1) return;
    const u64 low = value.size * value.size, high = __umul64hi(value.size, value.size);
#pragma unroll
    for (int k = 0; k < N_SQUARE_LIMBS; k++) {
        const int from = LIMB_BITS * (N_SQUARE_LIMBS - 1 - k) - value.square_place;
        limb_add(line + SQUARES + k, digit_at(high, low, from));
    }
}

// Least and greatest are kept so that zeros stand for no value.
static __device__ __forceinline__ void extremes_add(u64* extremes, u64 key) {
    atomicMax(extremes, ~key);
    atomicMax(extremes + 1, key);
}

// ---- rows

// Returns the group of a row, negative where it is in none: of a code, or of a cell of a fold.
static __device__ __forceinline__ i64 group_at(const i64* t, i64 row) {
    const i64 code = FF_GLOBAL(const i32, t[TABLE_CODES])[row];
    if (t[TABLE_FOLDS] == 0 || code < 0) return code;
    return FF_GLOBAL(const i32, t[TABLE_FOLDS])[row] * t[TABLE_N_CODES] + code;
}

static __device__ __forceinline__ bool is_finite(double x) {
    return ((__double_as_longlong(x) >> 52) & 0x7FF) != 0x7FF;
}

// Returns a float, NaN where it is missing.
static __device__ __forceinline__ double float_or_nan(const i64* t, i64 row) {
    const double x = float_at(t, row);
    return present_at(t, row) ? x : FF_NAN;
}

// In shared memory the line of a group is followed by its missing rows and its extremes.
static __device__ __forceinline__ int shared_words(const i64* t) {
    const int n_words = t[TABLE_LEVEL] == 0 ? 1 : 4 << (t[TABLE_LEVEL] == 2);
    return n_words + (t[TABLE_EXTREMES] ? 3 : 1);
}

static __device__ __forceinline__ void shared_begin(const i64* t, u64* shared) {
    const int n = shared_words(t) * (int)(t[TABLE_N_SHARED] * t[TABLE_N_COPIES]);
    for (int k = threadIdx.x; k < n; k += BLOCK) shared[k] = 0;
    __syncthreads();
}

// Returns the line of a group that the lane adds to.
static __device__ __forceinline__ u64* shared_line(const i64* t, u64* shared, i64 group) {
    const i64 copy = threadIdx.x & (t[TABLE_N_COPIES] - 1);
    return shared + shared_words(t) * (copy * t[TABLE_N_SHARED] + group);
}

static __device__ __forceinline__ void missing_add(const i64* t, u64* shared, i64 group) {
    const int n_after = t[TABLE_EXTREMES] ? 3 : 1;
    if (group < t[TABLE_N_SHARED]) {
        atomicAdd(shared_line(t, shared, group) + shared_words(t) - n_after, (u64)1);
    } else {
        atomicAdd(FF_GLOBAL(u64, t[TABLE_MISSING]) + group, (u64)1);
    }
}

static __device__ __forceinline__ void value_add(const i64* t, u64* shared, i64 group, Value value) {
    const i64 level = t[TABLE_LEVEL];
    if (group < t[TABLE_N_SHARED]) {
        u64* line = shared_line(t, shared, group);
        line_add(line, level, value);
        if (t[TABLE_EXTREMES]) extremes_add(line + shared_words(t) - 2, value.key);
    } else {
        const i64 n_words = level == 0 ? 1 : 4 << (level == 2);
        line_add(FF_GLOBAL(u64, t[TABLE_LINES]) + n_words * group, level, value);
        if (t[TABLE_EXTREMES]) extremes_add(FF_GLOBAL(u64, t[TABLE_EXTREMES]) + 2 * group, value.key);
    }
}

// Adds a line in shared memory, which nobody adds to any more, to that of its group.
static __device__ __forceinline__ void line_flush(const i64* t, u64* own, i64 group) {
    const i64 level = t[TABLE_LEVEL];
    const int n_words = level == 0 ? 1 : 4 << (level == 2);
    limb_add(FF_GLOBAL(u64, t[TABLE_MISSING]) + group, own[n_words]);
    if (own[COUNT] == 0) return;
    line_carry(own, level);
    u64* line = FF_GLOBAL(u64, t[TABLE_LINES]) + n_words * group;
    for (int k = COUNT + 1; k < n_words; k++) limb_add(line + k, own[k]);
    count_add(line, level, own[COUNT]);
    if (t[TABLE_EXTREMES] == 0) return;
    u64* extremes = FF_GLOBAL(u64, t[TABLE_EXTREMES]) + 2 * group;
    atomicMax(extremes, own[n_words + 1]);
    atomicMax(extremes + 1, own[n_words + 2]);
}

static __device__ __forceinline__ void shared_end(const i64* t, u64* shared) {
    __syncthreads();
    const int n_shared = (int)t[TABLE_N_SHARED], n = n_shared * (int)t[TABLE_N_COPIES];
    for (int k = threadIdx.x; k < n; k += BLOCK) {
        line_flush(t, shared + shared_words(t) * k, k % n_shared);
    }
}

// float64 and float32: TABLE_ELEMENT 0 and 1.
extern "C" __global__ void __launch_bounds__(BLOCK)
grouped_floats(const i64* table, i64 first, i64 n) {
    FF_DYNAMIC_SHARED(u64, shared);
    const i64* t = table + (i64)blockIdx.y * N_TABLE_WORDS;
    i64 seen = 0;
    shared_begin(t, shared);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 row = (i64)blockIdx.x * BLOCK + threadIdx.x; row < n; row += step) {
        const i64 group = group_at(t, first + row);
        const double x = float_or_nan(t, first + row);
        if (group < 0) continue;
        if (x != x) {
            seen |= SEEN_MISSING;
            missing_add(t, shared, group);
            continue;
        }
        Value value = {(u64)float_key(x) ^ HALF, 0, 0, 0, false};
        if (!is_finite(x)) {
            seen |= SEEN_INFINITE;
            const i64 word = x > 0 ? t[TABLE_POSITIVE_INFINITE] : t[TABLE_NEGATIVE_INFINITE];
            atomicAdd(FF_GLOBAL(u64, word) + group, (u64)1);
        } else if (t[TABLE_LEVEL] > 0 && !value_in_window(t, x, &value)) {
            seen |= SEEN_LEFT;
        }
        value_add(t, shared, group, value);
    }
    if (seen) ff_atomic_or(FF_GLOBAL(i64, t[TABLE_STATE]) + SEEN, seen);
    shared_end(t, shared);
}

// Integers and bools.
extern "C" __global__ void __launch_bounds__(BLOCK)
grouped_integers(const i64* table, i64 first, i64 n) {
    FF_DYNAMIC_SHARED(u64, shared);
    const i64* t = table + (i64)blockIdx.y * N_TABLE_WORDS;
    const bool is_unsigned = t[TABLE_ELEMENT] == UINT64;
    i64 seen = 0;
    shared_begin(t, shared);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 row = (i64)blockIdx.x * BLOCK + threadIdx.x; row < n; row += step) {
        const i64 group = group_at(t, first + row);
        if (group < 0) continue;
        if (!present_at(t, first + row)) {
            seen |= SEEN_MISSING;
            missing_add(t, shared, group);
            continue;
        }
        const u64 key = (u64)integer_at(t, first + row) ^ HALF;
        const u64 x = is_unsigned ? key : key ^ HALF;
        const bool is_negative = !is_unsigned && (i64)x < 0;
        value_add(t, shared, group, {key, is_negative ? 0 - x : x, 0, 0, is_negative});
    }
    if (seen) ff_atomic_or(FF_GLOBAL(i64, t[TABLE_STATE]) + SEEN, seen);
    shared_end(t, shared);
}

// Appends the floats that the window does not hold, and their groups, in any order.
extern "C" __global__ void __launch_bounds__(BLOCK)
grouped_left(const i64* table, i64 first, i64 n) {
    const i64* t = table + (i64)blockIdx.y * N_TABLE_WORDS;
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 row = (i64)blockIdx.x * BLOCK + threadIdx.x; row < n; row += step) {
        const i64 group = group_at(t, first + row);
        const double x = float_or_nan(t, first + row);
        Value value;
        if (group < 0 || !is_finite(x) || value_in_window(t, x, &value)) continue;
        const i64 at = ff_atomic_add(FF_GLOBAL(i64, t[TABLE_STATE]) + N_LEFT, 1);
        FF_GLOBAL(double, t[TABLE_LEFT_VALUES])[at] = x;
        FF_GLOBAL(i32, t[TABLE_LEFT_GROUPS])[at] = (i32)group;
    }
}

// Counts of some floats between which exponents a window holds them: one block of LOOK_ROWS rows of
// every LOOK_EVERY.
extern "C" __global__ void __launch_bounds__(BLOCK)
grouped_look(const i64* table, i64 first, i64 n) {
    FF_SHARED(u32, counters, 2 * N_EXPONENTS);
    const i64* t = table + (i64)blockIdx.y * N_TABLE_WORDS;
    const int room = t[TABLE_LEVEL] > 1 ? SQUARE_ROOM : SUM_ROOM, top = N_EXPONENTS - 1;
    for (int k = threadIdx.x; k < 2 * N_EXPONENTS; k += BLOCK) counters[k] = 0;
    __syncthreads();
    const i64 n_looked = (n + LOOK_ROWS * LOOK_EVERY - 1) / (LOOK_ROWS * LOOK_EVERY) * LOOK_ROWS;
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n_looked; k += step) {
        const i64 row = k / LOOK_ROWS * LOOK_ROWS * LOOK_EVERY + k % LOOK_ROWS;
        const double x = row < n ? float_or_nan(t, first + row) : FF_NAN;
        const u64 size = (u64)__double_as_longlong(x) & ~HALF;
        if (size == 0 || !is_finite(x)) continue;
        const int field = (int)(size >> 52);
        const u64 digits = (size & 0xFFFFFFFFFFFFFULL) | (field ? 1ULL << 52 : 0);
        const int begin = field + (int)t[TABLE_HEADROOM];
        const int end = (field ? field : 1) + __ffsll((i64)digits) - 1 + room;
        atomicAdd(counters + (begin < top ? begin : top), 1u);
        atomicAdd(counters + N_EXPONENTS + (end < top ? end : top), 1u);
    }
    __syncthreads();
    u64* found = FF_GLOBAL(u64, t[TABLE_EXPONENTS]);
    for (int k = threadIdx.x; k < 2 * N_EXPONENTS; k += BLOCK) limb_add(found + k, counters[k]);
}

// Carries the limbs of groups, and brings their extremes to the form of `layout`.
extern "C" __global__ void __launch_bounds__(BLOCK)
grouped_finish(const i64* table, i64 first, i64 n) {
    const i64* t = table + (i64)blockIdx.y * N_TABLE_WORDS;
    const i64 n_words = t[TABLE_LEVEL] == 0 ? 1 : 4 << (t[TABLE_LEVEL] == 2);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        line_carry(FF_GLOBAL(u64, t[TABLE_LINES]) + n_words * (first + k), t[TABLE_LEVEL]);
        if (t[TABLE_EXTREMES] == 0) continue;
        u64* extremes = FF_GLOBAL(u64, t[TABLE_EXTREMES]) + 2 * (first + k);
        extremes[0] = ~extremes[0] ^ HALF;
        extremes[1] ^= HALF;
    }
}
