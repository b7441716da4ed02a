// Lengths of text on a device: in bytes, in code points, in tokens between white space.

extern "C" __global__ void __launch_bounds__(BLOCK)
len_bytes(const i64* t, i64 first, i64 n) {
    i64* out = FF_GLOBAL(i64, t[TABLE_OUT]);
    FOR_EACH_ROW(row) out[row] = is_present(t, row) ? bytes_of(t, row).n : 0;
}

// Write a count that is NOT_UTF8 where the row is not.
static __device__ __forceinline__ void write_count(const i64* t, i64 row, i64 count) {
    if (count < 0) report_row(t, row);
    FF_GLOBAL(i64, t[TABLE_OUT])[row] = count;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
len_chars(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) {
        write_count(t, row, is_present(t, row) ? n_points_of(bytes_of(t, row)) : 0);
    }
}

static __device__ __forceinline__ i64 n_tokens_of(const i64* t, Bytes text) {
    i64 n_tokens = 0;
    bool after_space = true;
    for (i64 i = 0; i < text.n;) {
        const Point point = decode(text.at + i, text.n - i);
        if (point.size == 0) return NOT_UTF8;
        const bool is_space = cell_of(t, point.code) != 0;
        n_tokens += after_space && !is_space;
        after_space = is_space;
        i += point.size;
    }
    return n_tokens;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
token_count(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) write_count(t, row, is_present(t, row) ? n_tokens_of(t, bytes_of(t, row)) : 0);
}
