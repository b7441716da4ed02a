// Hashed n-grams and tokens of text on a device: every row counts its own into buckets.
//
// The counts of a bucket stand together, one a row: no two threads write the same. Text is read by
// aligned words of 64 bits.

static __device__ __forceinline__ void count_piece(const i64* t, i64 row, i64 n, Bytes piece) {
    const u64 hash = ff_xxh64(piece.at, piece.n, (u64)t[TABLE_SEED]);
    const i64 bucket = (i64)__umul64hi(hash, (u64)t[TABLE_N_BUCKETS]);
    FF_GLOBAL(i32, t[TABLE_OUT])[bucket * n + row] += 1;
}

static __device__ __forceinline__ void count_ngrams(const i64* t, i64 row, i64 n, Bytes text) {
    i64 start = 0, stop = skip(text, 0, t[TABLE_LENGTH]);
    while (true) {
        count_piece(t, row, n, Bytes{text.at + start, stop - start});
        if (stop >= text.n) return;
        start += size_at(text.at + start);
        stop += size_at(text.at + stop);
    }
}

// Counts of rows [0, n), all 0 before.
extern "C" __global__ void __launch_bounds__(BLOCK)
ngrams(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) {
        if (!is_present(t, row)) continue;
        const Bytes text = bytes_of(t, row);
        const i64 n_points = n_points_of(text);
        if (n_points < 0) report_row(t, row);
        else if (n_points >= t[TABLE_LENGTH]) count_ngrams(t, row, n, text);
    }
}

static __device__ __forceinline__ void count_tokens(const i64* t, i64 row, i64 n, Bytes text) {
    i64 start = 0;
    for (i64 i = 0; i <= text.n;) {  // white space ends the last one, too
        const Point point = i < text.n ? decode(text.at + i, text.n - i) : Point{' ', 1};
        if (point.size == 0) return report_row(t, row);
        if (cell_of(t, point.code) != 0) {
            if (i > start) count_piece(t, row, n, Bytes{text.at + start, i - start});
            start = i + point.size;
        }
        i += point.size;
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK)
tokens(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) {
        if (is_present(t, row)) count_tokens(t, row, n, bytes_of(t, row));
    }
}
