// Literal bytes in text on a device: at the start, at the end, anywhere, how often, where; replaced.

static __device__ __forceinline__ Bytes pattern_of(const i64* t) {
    return Bytes{FF_GLOBAL(const u8, t[TABLE_PATTERN]), t[TABLE_PATTERN_BYTES]};
}

// Whether a literal stands at an address, where there are enough bytes for it.
static __device__ __forceinline__ bool stands_at(const u8* x, Bytes pattern) {
    i64 i = 0;
    while (i < pattern.n && x[i] == pattern.at[i]) i++;
    return i == pattern.n;
}

// Where a literal stands first from some byte on, -1 where nowhere.
static __device__ __forceinline__ i64 next_match(Bytes text, Bytes pattern, i64 from) {
    for (i64 i = from; i + pattern.n <= text.n; i++) {
        if (stands_at(text.at + i, pattern)) return i;
    }
    return -1;
}

static __device__ __forceinline__ bool is_found(const i64* t, Bytes text) {
    const Bytes pattern = pattern_of(t);
    if (pattern.n > text.n) return false;
    switch (t[TABLE_FUNCTION]) {
        case STARTS_WITH: return stands_at(text.at, pattern);
        case ENDS_WITH: return stands_at(text.at + (text.n - pattern.n), pattern);
        default: return next_match(text, pattern, 0) >= 0;
    }
}

// Writes bits; `first` is a multiple of 32.
extern "C" __global__ void __launch_bounds__(BLOCK)
find(const i64* t, i64 first, i64 n) {
    u32* out = FF_GLOBAL(u32, t[TABLE_OUT]);
    for (i64 start = (i64)blockIdx.x * BLOCK; start < n; start += (i64)gridDim.x * BLOCK) {
        const i64 row = first + start + threadIdx.x;
        const bool live = row < first + n;
        const bool bit = live && is_present(t, row) && is_found(t, bytes_of(t, row));
        ff_write_bits(out, first + start, bit, live);
    }
}

static __device__ __forceinline__ i64 n_matches(Bytes text, Bytes pattern) {
    i64 count = 0;
    for (i64 at = next_match(text, pattern, 0); at >= 0; count++) {
        at = next_match(text, pattern, at + pattern.n);
    }
    return count;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
count_matches(const i64* t, i64 first, i64 n) {
    i64* out = FF_GLOBAL(i64, t[TABLE_OUT]);
    FOR_EACH_ROW(row) out[row] = is_present(t, row) ? n_matches(bytes_of(t, row), pattern_of(t)) : 0;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
find_first(const i64* t, i64 first, i64 n) {
    i64* out = FF_GLOBAL(i64, t[TABLE_OUT]);
    FOR_EACH_ROW(row) {
        out[row] = is_present(t, row) ? next_match(bytes_of(t, row), pattern_of(t), 0) : 0;
    }
}

static __device__ __forceinline__ u8* copied(u8* to, const u8* from, i64 n) {
#pragma unroll 1  // unrolled, three copies in one kernel take more registers than there are
    for (i64 i = 0; i < n; i++) to[i] = from[i];
    return to + n;
}

// Bytes of a row with the literal replaced.
static __device__ __forceinline__ i64 replaced_bytes(const i64* t, Bytes text) {
    const Bytes pattern = pattern_of(t);
    const i64 change = t[TABLE_VALUE_BYTES] - pattern.n;
    i64 n_bytes = text.n, left = t[TABLE_LENGTH];
    for (i64 at = next_match(text, pattern, 0); at >= 0 && left > 0; left--) {
        n_bytes += change;
        at = next_match(text, pattern, at + pattern.n);
    }
    return n_bytes;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
measure_replace(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) {
        i64 n_bytes = 0;
        if (is_present(t, row)) {
            const Bytes text = bytes_of(t, row);
            if (n_points_of(text) < 0) report_row(t, row);
            else n_bytes = replaced_bytes(t, text);
        }
        FF_GLOBAL(i64, t[TABLE_OUT])[row] = n_bytes;
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK)
write_replace(const i64* t, i64 first, i64 n) {
    const Bytes pattern = pattern_of(t);
    const u8* value = FF_GLOBAL(const u8, t[TABLE_VALUE]);
    FOR_EACH_ROW(row) {
        if (!is_present(t, row)) continue;
        const Bytes text = bytes_of(t, row);
        u8* to = FF_GLOBAL(u8, t[TABLE_OUT_DATA] + FF_GLOBAL(const i64, t[TABLE_OUT])[row]);
        i64 done = 0, left = t[TABLE_LENGTH];
        for (i64 at = next_match(text, pattern, 0); at >= 0 && left > 0; left--) {
            to = copied(to, text.at + done, at - done);
            to = copied(to, value, t[TABLE_VALUE_BYTES]);
            done = at + pattern.n;
            at = next_match(text, pattern, done);
        }
        copied(to, text.at + done, text.n - done);
    }
}
