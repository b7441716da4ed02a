// The latest row of a table in order, of the key of each row, that was known at its moment.
//
// Times of both sides are ticks; what is compared are instants, exactly: sums are of 128 bits, and
// where they leave int64 all times of the table are on one side of them.

#define HIGHEST 0x7fffffffffffffffLL

// The last tick of the table that is not after a moment; `none` where even the lowest is after it.
struct ff_moment {
    i64 tick;
    bool none;
};

static __device__ __forceinline__ i64 ff_floor_quotient(i64 x, i64 y) {
    const i64 quotient = ff_quotient_i64(x, y);
    return quotient - (i64)(quotient * y > x);
}

// The moment some ticks of the finer side before a time. FACTOR of them are a tick of the time, PARTS
// of them one of the table; one of both is 1.
static __device__ __forceinline__ ff_moment ff_moment_of(const i64* t, i64 time, u64 less) {
    const u64 factor = (u64)t[TABLE_FACTOR], parts = (u64)t[TABLE_PARTS];
    const bool is_negative = time < 0;
    const u64 size = is_negative ? 0 - (u64)time : (u64)time;
    u64 low = size * factor, high = __umul64hi(size, factor);
    if (is_negative) {
        low = 0 - low;
        high = ~high + (u64)(low == 0);
    }
    high -= (u64)(low < less);
    low -= less;
    if ((i64)high == (i64)low >> 63) return {ff_floor_quotient((i64)low, (i64)parts), false};
    if (parts == 1) return {(i64)high < 0 ? LOWEST : HIGHEST, (i64)high < 0};
    // Here FACTOR is 1, and a time less what fits int64 is above -2**64: half of it fits.
    const i64 half = (i64)(low >> 1 | high << 63);
    const i64 whole = ff_floor_quotient(half, (i64)parts);
    const i64 rest = 2 * (half - whole * (i64)parts) + (i64)(low & 1);
    return {2 * whole + (i64)(rest >= (i64)parts), false};
}

// Writes the row that is found for each row, and whether there is one.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
latest_rows(const i64* t, i64 first, i64 n) {
    const i64* times = FF_GLOBAL(const i64, t[TABLE_TIMES]);
    const i64* starts = FF_GLOBAL(const i64, t[TABLE_STARTS]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 begin = (i64)blockIdx.x * BLOCK; begin < n; begin += step) {
        const i64 k = begin + threadIdx.x;
        const bool live = k < n;
        i64 key = 0, found = -1;
        if (live && t[TABLE_CODES]) {
            key = (i64)FF_GLOBAL(const i32, t[TABLE_CODES])[k] - t[TABLE_FIRST_CODE];
        }
        if (live && key >= 0 && present_at(t, k)) {
            const i64 time = integer_at(t, k), start = starts[key];
            const ff_moment moment = ff_moment_of(t, time, (u64)t[TABLE_DELAY]);
            const i64 stop = moment.none ? start : starts[key + 1];
            const i64 at = ff_search(times, start, stop, moment.tick, true);
            if (at > start) found = at - 1;
            if (found >= 0 && t[TABLE_IS_LIMITED]) {
                const ff_moment oldest = ff_moment_of(t, time, (u64)t[TABLE_TOO_OLD]);
                if (!oldest.none && times[found] <= oldest.tick) found = -1;
            }
        }
        if (live) {
            const i64 row = found >= 0 ? FF_GLOBAL(const i32, t[TABLE_ROWS])[found] : 0;
            FF_GLOBAL(i64, t[TABLE_FOUND])[k] = row;
        }
        ff_write_bits(FF_GLOBAL(u32, t[TABLE_FOUND_BITS]), begin, found >= 0, live);
    }
}
