// The moments kernels on a device: the Spec of the package, with the state's limbs not carried.
//
// A warp keeps a window below the largest exponent E that it has met: sums of integers in 128 bits,
// exact for every value of at most 2**WINDOW times less. Whatever lies below is added to the limbs
// by itself. Blocks add up in shared memory, then once to the state. Integers only: any order of
// threads gives the same words. `cuda.text` puts the words of table and state before this text.

#define WINDOW 48
#define MOST_VALUES (1 << 14)  // of a thread in one window: the high part of the squares has room for them
#define LEAST_EXPONENT 64      // keeps the window above the first limb
#define NO_MIN_KEY 9223372036854775807LL
#define NO_MAX_KEY (-9223372036854775807LL - 1)
#define ALL 0xFFFFFFFFu

// An integer of 128 bits, two's complement.
struct Wide {
    u64 low;
    u64 high;
};

static __device__ __forceinline__ void wide_add(Wide* sum, u64 low, u64 high) {
    sum->low += low;
    sum->high += high + (sum->low < low);
}

static __device__ __forceinline__ void wide_add_signed(Wide* sum, u64 low, u64 high, bool negative) {
    if (negative) {
        low = ~low + 1;
        high = ~high + (low == 0);
    }
    wide_add(sum, low, high);
}

static __device__ __forceinline__ Wide warp_sum(Wide sum) {
    for (int distance = 16; distance; distance >>= 1) {
        const u64 low = __shfl_xor_sync(ALL, sum.low, distance);
        const u64 high = __shfl_xor_sync(ALL, sum.high, distance);
        wide_add(&sum, low, high);
    }
    return sum;
}

static __device__ __forceinline__ i64 warp_total(i64 x) {
    for (int distance = 16; distance; distance >>= 1) x += __shfl_xor_sync(ALL, x, distance);
    return x;
}

static __device__ __forceinline__ i64 warp_least(i64 x) {
    for (int distance = 16; distance; distance >>= 1) {
        const i64 other = __shfl_xor_sync(ALL, x, distance);
        x = other < x ? other : x;
    }
    return x;
}

static __device__ __forceinline__ i64 warp_greatest(i64 x) {
    for (int distance = 16; distance; distance >>= 1) {
        const i64 other = __shfl_xor_sync(ALL, x, distance);
        x = other > x ? other : x;
    }
    return x;
}

static __device__ __forceinline__ void limb_add(u64* limbs, int k, u64 amount) {
    if (amount) atomicAdd(limbs + k, amount);
}

// Add a 128-bit integer times 2**position to limbs of 32 bits; a limb takes 2**31 such additions.
static __device__ void limbs_add(u64* limbs, Wide value, int position) {
    const int shift = position & 31;
    int k = position >> 5;
    for (int part = 0; part < 4; part++, k++) {
        const u64 word = part < 2 ? value.low : value.high;
        const u64 digit = part & 1 ? word >> 32 : word & 0xFFFFFFFFu;
        if (part < 3) {
            limb_add(limbs, k, (digit << shift) & 0xFFFFFFFFu);
            limb_add(limbs, k + 1, (digit << shift) >> 32);
        } else {  // the highest one has the sign
            const i64 top = (i64)((i64)(int)(u32)digit * ((i64)1 << shift));
            limb_add(limbs, k, (u64)top & 0xFFFFFFFFu);
            limb_add(limbs, k + 1, (u64)(top >> 32));
        }
    }
}

// What is the same for every value of a column: how many, how large.
struct Extent {
    i64 count;
    i64 least;
    i64 greatest;
};

static __device__ __forceinline__ void extent_add(Extent* extent, i64 key) {
    extent->count += 1;
    extent->least = key < extent->least ? key : extent->least;
    extent->greatest = key > extent->greatest ? key : extent->greatest;
}

static __device__ void extent_flush(Extent extent, u64* state) {
    const i64 count = warp_total(extent.count);
    const i64 least = warp_least(extent.least), greatest = warp_greatest(extent.greatest);
    if ((threadIdx.x & 31) == 0 && count) {
        atomicAdd(state + COUNT, (u64)count);
        atomicMin((i64*)state + MIN_KEY, least);
        atomicMax((i64*)state + MAX_KEY, greatest);
    }
}

static __device__ void shared_limbs_begin(u64* limbs) {
    for (int k = threadIdx.x; k < SCRATCH; k += BLOCK) limbs[k] = 0;
    __syncthreads();
}

static __device__ void shared_limbs_end(const u64* limbs, u64* state) {
    __syncthreads();
    for (int k = SUM + threadIdx.x; k < SCRATCH; k += BLOCK) {
        limb_add(state, k, limbs[k]);
    }
}

// The sums of a thread relative to an exponent that its warp shares.
struct Window {
    int exponent;
    int n_values;
    Wide sum;
    Wide squares_high;
    Wide squares_low;
};

static __device__ void window_flush(Window* window, u64* limbs, i64 level) {
    const Wide sum = warp_sum(window->sum);
    const Wide high = warp_sum(window->squares_high), low = warp_sum(window->squares_low);
    if ((threadIdx.x & 31) == 0) {
        const int e = window->exponent;
        if (level > 0) limbs_add(limbs + SUM, sum, e - WINDOW + 13);
        if (level > 1) {
            limbs_add(limbs + SQUARES, high, 2 * e + 26);
            limbs_add(limbs + SQUARES, low, 2 * e - 38);
        }
    }
    window->n_values = 0;
    window->sum = window->squares_high = window->squares_low = Wide{0, 0};
}

// Add a finite value: m * 2**(e - 1075), by way of the window or straight to the limbs.
static __device__ void window_add(Window* window, u64* limbs, double x, i64 level) {
    const i64 bits = __double_as_longlong(x);
    const int field = (int)((bits >> 52) & 0x7FF);
    const int e = field ? field : 1;
    const u64 m = ((u64)bits & 0xFFFFFFFFFFFFFULL) | (field ? 1ULL << 52 : 0);
    const int below = window->exponent - e;
    if (m == 0) return;
    if (below <= WINDOW) {
        const int shift = WINDOW - below;
        wide_add_signed(&window->sum, m << shift, shift ? m >> (64 - shift) : 0, bits < 0);
    } else {
        Wide one = {0, 0};
        wide_add_signed(&one, m, 0, bits < 0);
        limbs_add(limbs + SUM, one, e + 13);
    }
    if (level < 2) return;
    const u64 low = m * m, high = __umul64hi(m, m);
    const int twice = 2 * below;
    if (twice == 0) {
        wide_add(&window->squares_high, low, high);
    } else if (twice < 64) {
        const u64 kept = (low >> twice) | (high << (64 - twice));
        wide_add(&window->squares_high, kept, high >> twice);
        wide_add(&window->squares_low, low << (64 - twice), 0);
    } else {
        limbs_add(limbs + SQUARES, Wide{low, high}, 2 * e + 26);
    }
}

// float64 and float32: TABLE_ELEMENT 0 and 1.
extern "C" __global__ void __launch_bounds__(BLOCK)
moments_floats(const i64* table, i64 first, i64 n) {
    FF_SHARED(u64, limbs, SCRATCH);
    const i64* t = table + (i64)blockIdx.y * N_TABLE_WORDS;
    u64* state = FF_GLOBAL(u64, t[TABLE_STATE]);
    const i64 level = t[TABLE_LEVEL];
    Extent extent = {0, NO_MIN_KEY, NO_MAX_KEY};
    Window window = {LEAST_EXPONENT, 0, {0, 0}, {0, 0}, {0, 0}};
    shared_limbs_begin(limbs);
    const i64 step = (i64)gridDim.x * BLOCK * PER_THREAD;
    for (i64 start = (i64)blockIdx.x * BLOCK * PER_THREAD; start < n; start += step) {
        double x[PER_THREAD];
        int exponent = window.exponent;
        for (int k = 0; k < PER_THREAD; k++) {
            const i64 row = start + k * BLOCK + threadIdx.x;
            x[k] = row < n && present_at(t, first + row) ? float_at(t, first + row) : FF_NAN;
            const double size = fabs(x[k]);
            if (x[k] != x[k]) continue;
            extent_add(&extent, float_key(x[k]));
            if (size == __longlong_as_double(0x7FF0000000000000LL)) {
                const int where = x[k] > 0 ? N_POSITIVE_INFINITE : N_NEGATIVE_INFINITE;
                atomicAdd(state + where, (u64)1);
                atomicMin((i64*)state + FIRST_INFINITE, t[TABLE_FIRST_ROW] + first + row);
                x[k] = FF_NAN;
                continue;
            }
            const int e = (int)(__double_as_longlong(size) >> 52);
            exponent = e > exponent ? e : exponent;
        }
        if (level == 0) continue;
        exponent = (int)warp_greatest(exponent);
        if (exponent > window.exponent || window.n_values > MOST_VALUES) {
            window_flush(&window, limbs, level);
            window.exponent = exponent;
        }
        window.n_values += PER_THREAD;
        for (int k = 0; k < PER_THREAD; k++) {
            if (x[k] == x[k]) window_add(&window, limbs, x[k], level);
        }
    }
    if (level > 0) window_flush(&window, limbs, level);
    extent_flush(extent, state);
    shared_limbs_end(limbs, state);
    if (blockIdx.x == 0 && threadIdx.x == 0) atomicAdd(state + N_ROWS, (u64)n);
}

// Integers and bools; of uint64 less 2**63.
extern "C" __global__ void __launch_bounds__(BLOCK)
moments_integers(const i64* table, i64 first, i64 n) {
    FF_SHARED(u64, limbs, SCRATCH);
    const i64* t = table + (i64)blockIdx.y * N_TABLE_WORDS;
    u64* state = FF_GLOBAL(u64, t[TABLE_STATE]);
    const i64 level = t[TABLE_LEVEL];
    Extent extent = {0, NO_MIN_KEY, NO_MAX_KEY};
    Wide sum = {0, 0}, squares_high = {0, 0}, squares_low = {0, 0};
    shared_limbs_begin(limbs);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 row = (i64)blockIdx.x * BLOCK + threadIdx.x; row < n; row += step) {
        if (!present_at(t, first + row)) continue;
        const i64 x = integer_at(t, first + row);
        extent_add(&extent, x);
        wide_add(&sum, (u64)x, (u64)(x >> 63));
        const u64 size = x < 0 ? 0 - (u64)x : (u64)x;
        wide_add(&squares_low, size * size, 0);
        wide_add(&squares_high, __umul64hi(size, size), 0);
    }
    sum = warp_sum(sum);
    squares_low = warp_sum(squares_low);
    squares_high = warp_sum(squares_high);
    if ((threadIdx.x & 31) == 0) {
        if (level > 0) limbs_add(limbs + SUM, sum, 0);
        if (level > 1) {
            limbs_add(limbs + SQUARES, squares_low, 0);
            limbs_add(limbs + SQUARES, squares_high, 64);
        }
    }
    extent_flush(extent, state);
    shared_limbs_end(limbs, state);
    if (blockIdx.x == 0 && threadIdx.x == 0) atomicAdd(state + N_ROWS, (u64)n);
}
