// Values by rank of every group on a device: one round of narrowing them down.
//
// A search of a group knows the digits above `shift + DIGIT_BITS` of the key that it is for, its
// prefix, and how many keys of that prefix are below it. A round counts the digits that follow; then
// each search moves into the digit that holds it. Searches of a group with the same prefix share
// the counts of the first of them. Counts are integers: any order of threads gives the same. The
// first groups, which are the most frequent keys of a vocabulary, are counted in shared memory.

// Returns the group of a row, negative where it is in none: its code, unless its fold is left out.
static __device__ __forceinline__ i64 group_at(const i64* t, i64 row) {
    const i64 code = t[TABLE_CODES] ? FF_GLOBAL(const i32, t[TABLE_CODES])[row] : 0;
    if (t[TABLE_FOLDS] == 0) return code;
    const i64 fold = FF_GLOBAL(const i32, t[TABLE_FOLDS])[row], own = t[TABLE_FOLD];
    return (t[TABLE_IS_ORDERED] ? fold >= own : fold == own) ? -1 : code;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
grouped_digits(const i64* table, i64 first, i64 n) {
    FF_DYNAMIC_SHARED(u32, shared);
    const i64* t = table + (i64)blockIdx.y * N_TABLE_WORDS;
    const u64* prefixes = FF_GLOBAL(const u64, t[TABLE_PREFIXES]);
    u64* counts = FF_GLOBAL(u64, t[TABLE_COUNTS]);
    const i64 n_searches = t[TABLE_N_SEARCHES];
    const int shift = (int)t[TABLE_SHIFT], above = shift + DIGIT_BITS;
    const int n_copy = (int)(t[TABLE_N_SHARED] * n_searches) * N_DIGITS;
    const int n_words = n_copy * (int)t[TABLE_N_COPIES];
    u32* own = shared + (threadIdx.x & (t[TABLE_N_COPIES] - 1)) * n_copy;
    for (int k = threadIdx.x; k < n_words; k += BLOCK) shared[k] = 0;
    __syncthreads();
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 row = (i64)blockIdx.x * BLOCK + threadIdx.x; row < n; row += step) {
        const i64 group = group_at(t, first + row);
        if (group < 0 || !has_value(t, first + row)) continue;
        const u64 key = key_at(t, first + row), prefix = above < 64 ? key >> above : 0;
        for (i64 at = group * n_searches; at < (group + 1) * n_searches; at++) {
            if (prefixes[at] != prefix) continue;
            const i64 place = at * N_DIGITS + (i64)((key >> shift) & (N_DIGITS - 1));
            if (group < t[TABLE_N_SHARED]) atomicAdd(own + place, 1u);
            else atomicAdd(counts + place, (u64)1);
            break;  // the first of those with this prefix counts for all
        }
    }
    __syncthreads();
    for (int k = threadIdx.x; k < n_words; k += BLOCK) {
        if (shared[k]) atomicAdd(counts + k % n_copy, (u64)shared[k]);
    }
}

// Moves the searches of groups, the last one first, and leaves the counts as zeros.
extern "C" __global__ void __launch_bounds__(BLOCK)
grouped_narrow(const i64* table, i64 first, i64 n) {
    const i64* t = table + (i64)blockIdx.y * N_TABLE_WORDS;
    u64* prefixes = FF_GLOBAL(u64, t[TABLE_PREFIXES]);
    u64* inside = FF_GLOBAL(u64, t[TABLE_INSIDE]);
    u64* counts = FF_GLOBAL(u64, t[TABLE_COUNTS]);
    const i64 n_searches = t[TABLE_N_SEARCHES], step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i64 start = (first + k) * n_searches;
        for (i64 at = start + n_searches - 1; at >= start; at--) {
            i64 source = start;
            while (prefixes[source] != prefixes[at]) source++;
            const u64* own = counts + source * N_DIGITS;
            const u64 rank = inside[at];
            u64 below = 0;
            int digit = 0;
#pragma unroll 1
            while (digit < N_DIGITS - 1 && below + own[digit] <= rank) below += own[digit++];
            inside[at] = rank - below;
            prefixes[at] = (prefixes[at] << DIGIT_BITS) | (u64)digit;
        }
#pragma unroll 1
        for (i64 c = 0; c < n_searches * N_DIGITS; c++) counts[start * N_DIGITS + c] = 0;
    }
}
