// The rows of entities in the order of windows, on a device.
//
// Rows are sorted by keys of 64 bits, the last key first, each by its digits from the lowest on: a
// pass counts the digits of each tile, and moves each row behind those of a lower digit, and of the
// same digit that stand before it. So rows of equal keys stay in the order of the input. What the
// numbers of entities are does not matter, only which rows share one.

#define N_WARPS (BLOCK / 32)
#define HALF (1ULL << 63)

static __device__ __forceinline__ u32 ff_digit(const i64* t, u64 key) {
    return (u32)(key >> t[TABLE_SHIFT]) & (N_DIGITS - 1);
}

// The key of a row: of a value, missing first and -0.0 as 0.0; whether there is one; or the entity,
// the last one of all where the row has none or no time.
static __device__ __forceinline__ u64 ff_sort_key(const i64* t, i64 row) {
    const bool present = has_value(t, row);
    if (t[TABLE_KIND] == KEY_PRESENT) return present;
    if (t[TABLE_KIND] == KEY_ENTITY) {
        i64 code = 0;
        if (t[TABLE_CODES]) code = FF_GLOBAL(const i32, t[TABLE_CODES])[row] - t[TABLE_FIRST_CODE];
        return present && code >= 0 ? (u64)code : (u64)t[TABLE_N_ENTITIES];
    }
    if (!present) return 0;
    if (is_float(t)) return (u64)float_key(__dadd_rn(float_at(t, row), 0.0)) ^ HALF;
    return (u64)integer_at(t, row) ^ HALF;
}

// Writes rows as they come in.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
sort_begin(const i64* t, i64 first, i64 n) {
    i32* rows = FF_GLOBAL(i32, t[TABLE_ROWS]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) rows[k] = (i32)k;
}

// Writes the key of each row in the present order; which bits some have set, and which some have
// not; and whether a key is less than the one before it.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
sort_keys(const i64* t, i64 first, i64 n) {
    FF_SHARED(u64, seen, 3);
    const i32* rows = FF_GLOBAL(const i32, t[TABLE_ROWS]);
    u64* keys = FF_GLOBAL(u64, t[TABLE_KEYS]);
    u64 set = 0, unset = 0;
    bool is_less = false;
    if (threadIdx.x < 3) seen[threadIdx.x] = 0;
    __syncthreads();
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const u64 key = ff_sort_key(t, rows[k]);
        keys[k] = key;
        set |= key;
        unset |= ~key;
        is_less |= k > 0 && key < ff_sort_key(t, rows[k - 1]);
    }
    if (set) atomicOr(seen, set);
    if (unset) atomicOr(seen + 1, unset);
    if (is_less) atomicOr(seen + 2, (u64)1);
    __syncthreads();
    if (threadIdx.x < 3) atomicOr(FF_GLOBAL(u64, t[TABLE_STATE]) + threadIdx.x, seen[threadIdx.x]);
}

// Counts the digits of each tile: all tiles of one digit, then those of the next.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
sort_count(const i64* t, i64 first, i64 n) {
    FF_SHARED(u32, counts, N_DIGITS);
    const u64* keys = FF_GLOBAL(const u64, t[TABLE_KEYS]);
    u64* found = FF_GLOBAL(u64, t[TABLE_COUNTS]);
    const i64 n_tiles = (n + TILE - 1) / TILE;
    for (i64 tile = blockIdx.x; tile < n_tiles; tile += gridDim.x) {
        for (int d = threadIdx.x; d < N_DIGITS; d += BLOCK) counts[d] = 0;
        __syncthreads();
#pragma unroll 1
        for (int k = 0; k < TILE_ROWS; k++) {
            const i64 at = tile * TILE + k * BLOCK + threadIdx.x;
            if (at < n) atomicAdd(counts + ff_digit(t, keys[at]), 1u);
        }
        __syncthreads();
        for (int d = threadIdx.x; d < N_DIGITS; d += BLOCK) found[d * n_tiles + tile] = counts[d];
        __syncthreads();
    }
}

// Moves rows and keys to where the sums of those counts say.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
sort_move(const i64* t, i64 first, i64 n) {
    FF_SHARED(u64, places, N_DIGITS);
    FF_SHARED(u64, of_warps, N_WARPS * N_DIGITS);
    const u64* keys = FF_GLOBAL(const u64, t[TABLE_KEYS]);
    const i32* rows = FF_GLOBAL(const i32, t[TABLE_ROWS]);
    const u64* starts = FF_GLOBAL(const u64, t[TABLE_COUNTS]);
    u64* keys_out = FF_GLOBAL(u64, t[TABLE_KEYS_OUT]);
    i32* rows_out = FF_GLOBAL(i32, t[TABLE_ROWS_OUT]);
    const int warp = threadIdx.x / 32;
    const u32 lanes_before = (1u << (threadIdx.x % 32)) - 1;
    const i64 n_tiles = (n + TILE - 1) / TILE;
    for (i64 tile = blockIdx.x; tile < n_tiles; tile += gridDim.x) {
        for (int d = threadIdx.x; d < N_DIGITS; d += BLOCK) places[d] = starts[d * n_tiles + tile];
#pragma unroll 1
        for (int k = 0; k < TILE_ROWS; k++) {
            const i64 at = tile * TILE + k * BLOCK + threadIdx.x;
            const u64 key = at < n ? keys[at] : 0;
            const u32 digit = at < n ? ff_digit(t, key) : N_DIGITS;
            for (int d = threadIdx.x; d < N_WARPS * N_DIGITS; d += BLOCK) of_warps[d] = 0;
            __syncthreads();
            const u32 same = __match_any_sync(0xffffffffu, digit), before = same & lanes_before;
            if (at < n && before == 0) of_warps[warp * N_DIGITS + digit] = (u64)__popc(same);
            __syncthreads();
            for (int d = threadIdx.x; d < N_DIGITS; d += BLOCK) {
                u64 place = places[d];
                for (int w = 0; w < N_WARPS; w++) {
                    const u64 more = of_warps[w * N_DIGITS + d];
                    of_warps[w * N_DIGITS + d] = place;
                    place += more;
                }
                places[d] = place;
            }
            __syncthreads();
            if (at < n) {
                const i64 target = (i64)of_warps[warp * N_DIGITS + digit] + __popc(before);
                keys_out[target] = key;
                rows_out[target] = rows[at];
            }
            __syncthreads();
        }
    }
}

// Writes where the rows of each entity begin, and where those of none do, from sorted keys.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
order_starts(const i64* t, i64 first, i64 n) {
    const u64* keys = FF_GLOBAL(const u64, t[TABLE_KEYS]);
    i64* starts = FF_GLOBAL(i64, t[TABLE_STARTS]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        i64 low = 0, high = t[TABLE_N_ROWS];
        while (low < high) {
            const i64 middle = low + (high - low) / 2;
            if (keys[middle] < (u64)k) low = middle + 1;
            else high = middle;
        }
        starts[k] = low;
    }
}

// Writes entity and time of each place.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
order_places(const i64* t, i64 first, i64 n) {
    const u64* keys = FF_GLOBAL(const u64, t[TABLE_KEYS]);
    const i32* rows = FF_GLOBAL(const i32, t[TABLE_ROWS]);
    i32* entities = FF_GLOBAL(i32, t[TABLE_ENTITIES]);
    i64* times = FF_GLOBAL(i64, t[TABLE_TIMES]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        entities[k] = (i32)keys[k];
        times[k] = integer_at(t, rows[k]);
    }
}

// Counts the rows that share their entity and time with another one: each row from FIRST_ROW on that
// has such a one before it, and the first of them with the second.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
order_tied(const i64* t, i64 first, i64 n) {
    FF_SHARED(u64, found, 1);
    const i32* rows = FF_GLOBAL(const i32, t[TABLE_ROWS]);
    const i32* entities = FF_GLOBAL(const i32, t[TABLE_ENTITIES]);
    const i64* times = FF_GLOBAL(const i64, t[TABLE_TIMES]);
    if (threadIdx.x == 0) found[0] = 0;
    __syncthreads();
    u64 n_tied = 0;
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        if (k == 0 || rows[k] < t[TABLE_FIRST_ROW]) continue;
        if (entities[k] != entities[k - 1] || times[k] != times[k - 1]) continue;
        const bool is_second =
            k == 1 || entities[k] != entities[k - 2] || times[k] != times[k - 2];
        n_tied += is_second ? 2 : 1;
    }
    if (n_tied) atomicAdd(found, n_tied);
    __syncthreads();
    if (threadIdx.x == 0 && found[0]) atomicAdd(FF_GLOBAL(u64, t[TABLE_STATE]), found[0]);
}

// Writes the complement of the first place of each entity whose row asks, 0 where there is none.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
order_asking(const i64* t, i64 first, i64 n) {
    const i32* rows = FF_GLOBAL(const i32, t[TABLE_ROWS]);
    const i32* entities = FF_GLOBAL(const i32, t[TABLE_ENTITIES]);
    u64* begins = FF_GLOBAL(u64, t[TABLE_DATA]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        if (rows[k] >= t[TABLE_FIRST_ROW]) atomicMax(begins + entities[k], ~(u64)k);
    }
}

// Finds the first row of the history that is later than the first of its entity that asks.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
order_late(const i64* t, i64 first, i64 n) {
    const i32* rows = FF_GLOBAL(const i32, t[TABLE_ROWS]);
    const i32* entities = FF_GLOBAL(const i32, t[TABLE_ENTITIES]);
    const i64* times = FF_GLOBAL(const i64, t[TABLE_TIMES]);
    const u64* begins = FF_GLOBAL(const u64, t[TABLE_DATA]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const u64 begin = begins[entities[k]];
        if (begin == 0 || rows[k] >= t[TABLE_FIRST_ROW] || times[k] <= times[~begin]) continue;
        atomicMin(FF_GLOBAL(i64, t[TABLE_STATE]), (i64)rows[k]);
    }
}
