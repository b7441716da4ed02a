// Windows on a device: where each begins and ends, and what is counted, picked or compared in it.
//
// A thread takes a place in the order of windows, and writes its result to where the row asked.
// Values before each place are counted by a scan, so that the first and the last of a window are
// found at once; the least value comes from a tree of least values, FAN at a time.

extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_bounds(const i64* t, i64 first, i64 n) {
    const i64* times = FF_GLOBAL(const i64, t[TABLE_TIMES]);
    const i64* starts = FF_GLOBAL(const i64, t[TABLE_STARTS]);
    const i32* entities = FF_GLOBAL(const i32, t[TABLE_ENTITIES]);
    const i64 low = t[TABLE_LOW], high = t[TABLE_HIGH], rows = t[TABLE_WINDOW_ROWS];
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i64 start = starts[entities[k]], stop = starts[entities[k] + 1], time = times[k];
        i64 begin = start, end = stop;
        if (t[TABLE_OWN]) {
            end = k + 1;
        } else if (high != LOWEST) {
            i64 limit = ff_add_i64(time, high);
            if (high > 0 && limit < time) limit = HIGHEST;
            const bool is_below_all = high < 0 && limit > time;
            end = is_below_all ? start : ff_search(times, start, stop, limit, true);
        }
        if (low != LOWEST) {
            const i64 limit = ff_add_i64(time, low);
            if (low > 0 && limit < time) begin = stop;
            else if (low >= 0 || limit < time) begin = ff_search(times, start, stop, limit, false);
        }
        if (rows && end - rows > begin) begin = end - rows;
        FF_GLOBAL(i32, t[TABLE_BEGINS])[k] = (i32)(begin < end ? begin : end);
        FF_GLOBAL(i32, t[TABLE_ENDS])[k] = (i32)end;
    }
}

// Writes the values of a column in order as words, 0 where missing, and 1 for each that is there.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_values(const i64* t, i64 first, i64 n) {
    const i32* rows = FF_GLOBAL(const i32, t[TABLE_ROWS]);
    const i64 step = (i64)gridDim.x * BLOCK;
    i64 seen = 0;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i64 row = rows[k];
        const bool present = has_value(t, row);
        i64 word = 0;
        if (present) word = is_float(t) ? ff_bits(float_at(t, row)) : integer_at(t, row);
        if (is_float(t) && (word & HIGHEST) == 0x7ffLL << 52) seen = SEEN_INFINITE;
        FF_GLOBAL(i64, t[TABLE_WORDS])[k] = word;
        FF_GLOBAL(u64, t[TABLE_COUNTS])[k] = present;
    }
    if (seen) ff_atomic_or(FF_GLOBAL(i64, t[TABLE_STATE]), seen);
}

// Writes the places that have values, one after the other.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_present(const i64* t, i64 first, i64 n) {
    const u64* counts = FF_GLOBAL(const u64, t[TABLE_COUNTS]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        if (counts[k + 1] != counts[k]) FF_GLOBAL(i32, t[TABLE_PRESENT])[counts[k]] = (i32)k;
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_counts(const i64* t, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_window w = ff_window_of(t, k);
        const bool is_of_missing = t[TABLE_KIND] == COUNT_MISSING;
        if (w.target >= 0) {
            ff_give(t, w.target, is_of_missing ? w.end - w.begin - w.count : w.count, true);
        }
    }
}

// Returns the place that first, last or lag picks, negative where there is none.
static __device__ __forceinline__ i64 ff_pick(const i64* t, ff_window w) {
    const u64* counts = FF_GLOBAL(const u64, t[TABLE_COUNTS]);
    if (w.count < t[TABLE_MIN_SAMPLES]) return -1;
    if (t[TABLE_KIND] == STATISTIC_LAG) {
        const i64 at = t[TABLE_N] <= w.end - w.begin ? w.end - t[TABLE_N] : -1;
        return at >= 0 && counts[at + 1] != counts[at] ? at : -1;
    }
    if (w.count == 0) return -1;
    const u64 rank = t[TABLE_KIND] == STATISTIC_FIRST ? counts[w.begin] : counts[w.end] - 1;
    return FF_GLOBAL(const i32, t[TABLE_PRESENT])[rank];
}

extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_picks(const i64* t, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_window w = ff_window_of(t, k);
        if (w.target < 0) continue;
        const i64 at = ff_pick(t, w);
        ff_give(t, w.target, at < 0 ? 0 : FF_GLOBAL(const i64, t[TABLE_WORDS])[at], at >= 0);
    }
}

// The same less the time of the row itself, which is not before it: in ticks, and the first row
// where that is no int64; or in seconds, which are ticks * FACTOR / PARTS.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_since(const i64* t, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_window w = ff_window_of(t, k);
        if (w.target < 0) continue;
        const i64 at = ff_pick(t, w), own = FF_GLOBAL(const i64, t[TABLE_TIMES])[k];
        const u64 ticks = at < 0 ? 0 : (u64)own - (u64)FF_GLOBAL(const i64, t[TABLE_WORDS])[at];
        if (t[TABLE_PARTS] == 0) {
            ff_give(t, w.target, (i64)ticks, at >= 0);
            if (ticks >> 63) atomicMin(FF_GLOBAL(i64, t[TABLE_STATE]), w.target);
        } else {
            const double steps = __ull2double_rn(ticks * (u64)t[TABLE_FACTOR]);
            const double seconds = __ddiv_rn(steps, ff_f64_from_i64(t[TABLE_PARTS]));
            ff_give(t, w.target, ff_bits(seconds), at >= 0);
        }
    }
}

// ---- least and greatest values: the greatest has the least complement

static __device__ __forceinline__ u64 ff_lesser(u64 a, u64 b) { return a < b ? a : b; }

// Writes what orders the values of a column; what is missing comes last.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
extreme_keys(const i64* t, i64 first, i64 n) {
    const u64* counts = FF_GLOBAL(const u64, t[TABLE_COUNTS]);
    const i64* words = FF_GLOBAL(const i64, t[TABLE_WORDS]);
    const u64 flip = t[TABLE_KIND] == STATISTIC_MAX ? ~HALF : HALF;
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i64 word = words[k];
        const i64 key = is_float(t) ? word ^ ((word >> 63) & HIGHEST) : word;
        FF_GLOBAL(u64, t[TABLE_DATA])[k] = counts[k + 1] == counts[k] ? ~0ULL : (u64)key ^ flip;
    }
}

// Writes the least of each FAN keys.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
extreme_level(const i64* t, i64 first, i64 n) {
    const u64* below = FF_GLOBAL(const u64, t[TABLE_DATA]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i64 end = (k + 1) * FAN < t[TABLE_N_ROWS] ? (k + 1) * FAN : t[TABLE_N_ROWS];
        u64 least = ~0ULL;
        for (i64 at = k * FAN; at < end; at++) least = ff_lesser(least, below[at]);
        FF_GLOBAL(u64, t[TABLE_TOTALS])[k] = least;
    }
}

static __device__ __forceinline__ u64 ff_least(const u64* keys, i64 n, i64 begin, i64 end) {
    u64 least = ~0ULL;
    while (begin < end) {
        for (; begin < end && begin % FAN; begin++) least = ff_lesser(least, keys[begin]);
        for (; begin < end && end % FAN; end--) least = ff_lesser(least, keys[end - 1]);
        keys += n;
        n = (n + FAN - 1) / FAN;
        begin /= FAN;
        end /= FAN;
    }
    return least;
}

extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_extremes(const i64* t, i64 first, i64 n) {
    const u64* keys = FF_GLOBAL(const u64, t[TABLE_DATA]);
    const u64 flip = t[TABLE_KIND] == STATISTIC_MAX ? ~HALF : HALF;
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_window w = ff_window_of(t, k);
        if (w.target < 0) continue;
        const i64 key = (i64)(ff_least(keys, n, w.begin, w.end) ^ flip);
        const i64 word = is_float(t) ? key ^ ((key >> 63) & HIGHEST) : key;
        ff_give(t, w.target, word, w.count > 0 && w.count >= t[TABLE_MIN_SAMPLES]);
    }
}

// ---- results as a column

static __device__ __forceinline__ void ff_store(const i64* t, i64 k, i64 word, bool present) {
    void* values = FF_GLOBAL(void, t[TABLE_VALUES]);
    const double x = present ? ff_from_bits(word) : FF_NAN;
    switch (t[TABLE_ELEMENT]) {
        case 0: ((double*)values)[k] = x; break;
        case 1: ((float*)values)[k] = ff_canonical_float32(x); break;
        case 2: case 6: ((u8*)values)[k] = (u8)word; break;
        case 3: case 7: ((u16*)values)[k] = (u16)word; break;
        case 4: case 8: ((u32*)values)[k] = (u32)word; break;
        case 9: ((u64*)values)[k] = (u64)word ^ HALF; break;
        default: ((i64*)values)[k] = word;
    }
}

// Writes results in the order of the input, and which are there.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
window_results(const i64* t, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 begin = (i64)blockIdx.x * BLOCK; begin < n; begin += step) {
        const i64 k = begin + threadIdx.x;
        const bool live = k < n;
        const bool present = live && FF_GLOBAL(const u8, t[TABLE_OUT_PRESENT])[k];
        const i64 word = present ? FF_GLOBAL(const i64, t[TABLE_OUT])[k] : 0;
        if (t[TABLE_ELEMENT] == BOOL) {
            ff_write_bits(FF_GLOBAL(u32, t[TABLE_VALUES]), begin, word != 0, live);
        } else if (live) {
            ff_store(t, k, word, present);
        }
        if (t[TABLE_VALIDITY]) {
            ff_write_bits(FF_GLOBAL(u32, t[TABLE_VALIDITY]), begin, present, live);
        }
    }
}
