// Hashes of rows on a device: of the values of one column, and of the rows of several.

// Writes a hash, or the bucket of it among N_BUCKETS: floor(hash * n / 2**64).
static __device__ __forceinline__ void put(const i64* table, i64 row, bool present, u64 hash) {
    const u64 n_buckets = (u64)table[N_BUCKETS];
    const u64 found = present ? hash : 0;
    if (n_buckets) FF_GLOBAL(i32, table[HASHES])[row] = (i32)__umul64hi(found, n_buckets);
    else FF_GLOBAL(u64, table[HASHES])[row] = found;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
hash_numbers(const i64* table, i64 first, i64 n) {
    const i64* c = table + N_HEADER_WORDS;
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i64 row = first + k - c[START];
        const u64 word = ff_canonical(c, row);
        const bool present = ff_in_bitmap(c, row) && !ff_is_nan(c, word);
        put(table, first + k, present, ff_xxh64_word(word, (u64)table[SEED]));
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK)
hash_text(const i64* table, i64 first, i64 n) {
    const i64* c = table + N_HEADER_WORDS;
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i64 row = first + k - c[START];
        const bool present = ff_in_bitmap(c, row);
        const ff_text text = present ? ff_text_of(c, row) : ff_text{nullptr, 0};
        put(table, first + k, present, present ? ff_xxh64(text.at, text.n, (u64)table[SEED]) : 0);
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK)
hash_rows(const i64* table, i64 first, i64 n) {
    const i64* columns = table + N_HEADER_WORDS;
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i64 row = first + k;
        put(table, row, true, ff_xxh64_row(columns, table[N_COLUMNS], row, (u64)table[SEED]));
    }
}

// Hashes of the numbers of rows themselves, as int64.
extern "C" __global__ void __launch_bounds__(BLOCK)
hash_row_numbers(const i64* table, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        put(table, first + k, true, ff_xxh64_word((u64)(first + k), (u64)table[SEED]));
    }
}
