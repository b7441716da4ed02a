// Counting the digits of keys on a device: one round of finding order statistics.
//
// A key is the unsigned 64-bit pattern that orders a value. A round knows some prefixes (the digits
// above `shift + DIGIT_BITS`, sorted) and counts, for each, the digits that follow it. Counts are
// integers: any order of threads gives the same.

#define MOST_SHARED 2  // prefixes whose counts fit into shared memory

// Return the place of a prefix among sorted ones, -1 where it is none of them.
static __device__ __forceinline__ int place_of(const u64* prefixes, int n, u64 prefix) {
    int low = 0, high = n;
    while (low < high) {
        const int middle = (low + high) >> 1;
        if (prefixes[middle] < prefix) low = middle + 1;
        else high = middle;
    }
    return low < n && prefixes[low] == prefix ? low : -1;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
count_digits(const i64* table, i64 first, i64 n) {
    FF_SHARED(u32, shared, MOST_SHARED * N_DIGITS);
    const i64* t = table + (i64)blockIdx.y * N_TABLE_WORDS;
    const u64* prefixes = FF_GLOBAL(const u64, t[TABLE_PREFIXES]);
    u64* counts = FF_GLOBAL(u64, t[TABLE_COUNTS]);
    const int n_prefixes = (int)t[TABLE_N_PREFIXES], shift = (int)t[TABLE_SHIFT];
    const bool in_shared = n_prefixes <= MOST_SHARED;
    for (int k = threadIdx.x; k < MOST_SHARED * N_DIGITS; k += BLOCK) shared[k] = 0;
    __syncthreads();
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 row = (i64)blockIdx.x * BLOCK + threadIdx.x; row < n; row += step) {
        if (!has_value(t, first + row)) continue;
        const u64 key = key_at(t, first + row);
        const int above = shift + DIGIT_BITS;
        const int place = place_of(prefixes, n_prefixes, above < 64 ? key >> above : 0);
        if (place < 0) continue;
        const int at = place * N_DIGITS + (int)((key >> shift) & (N_DIGITS - 1));
        if (in_shared) atomicAdd(shared + at, 1u);
        else atomicAdd(counts + at, (u64)1);
    }
    __syncthreads();
    if (!in_shared) return;
    for (int k = threadIdx.x; k < n_prefixes * N_DIGITS; k += BLOCK) {
        if (shared[k]) atomicAdd(counts + k, (u64)shared[k]);
    }
}
