// Pieces of text on a device: slices by code points, and what stripping leaves.

// Bytes [start, stop) of a row.
struct Span {
    i64 start;
    i64 stop;
};

static __device__ __forceinline__ Span slice_of(const i64* t, Bytes text, i64 n_points) {
    const i64 offset = t[TABLE_OFFSET];
    const i64 begin = offset + (offset < 0 ? n_points : 0);
    const i64 wanted = begin + t[TABLE_LENGTH];
    const i64 end = wanted < 0 ? 0 : wanted > n_points ? n_points : wanted;
    const i64 from = begin < 0 ? 0 : begin > end ? end : begin;
    const i64 start = skip(text, 0, from);
    return Span{start, skip(text, start, end - from)};
}

static __device__ __forceinline__ bool is_in_set(const i64* t, Bytes text, i64 at) {
    return cell_of(t, decode(text.at + at, text.n - at).code) != 0;
}

static __device__ __forceinline__ i64 start_of_last(Bytes text, i64 stop) {
    i64 at = stop - 1;
    while ((text.at[at] & 0xC0) == 0x80) at--;
    return at;
}

static __device__ __forceinline__ Span stripped(const i64* t, Bytes text) {
    Span left = {0, text.n};
    if (t[TABLE_FUNCTION] & STRIP_START) {
        while (left.start < left.stop && is_in_set(t, text, left.start)) {
            left.start += size_at(text.at + left.start);
        }
    }
    if (t[TABLE_FUNCTION] & STRIP_END) {
        while (left.start < left.stop) {
            const i64 at = start_of_last(text, left.stop);
            if (!is_in_set(t, text, at)) break;
            left.stop = at;
        }
    }
    return left;
}

// The piece of a row that is UTF-8 and of so many code points.
static __device__ __forceinline__ Span piece_of(const i64* t, Bytes text, i64 n_points) {
    return t[TABLE_FUNCTION] == SLICE ? slice_of(t, text, n_points) : stripped(t, text);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
measure_pieces(const i64* t, i64 first, i64 n) {
    i64* out = FF_GLOBAL(i64, t[TABLE_OUT]);
    FOR_EACH_ROW(row) {
        out[row] = 0;
        if (!is_present(t, row)) continue;
        const Bytes text = bytes_of(t, row);
        const i64 n_points = n_points_of(text);
        if (n_points < 0) {
            report_row(t, row);
            continue;
        }
        const Span piece = piece_of(t, text, n_points);
        out[row] = piece.stop - piece.start;
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK)
write_pieces(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) {
        if (!is_present(t, row)) continue;
        const Bytes text = bytes_of(t, row);
        const Span piece = piece_of(t, text, n_points_of(text));
        u8* to = FF_GLOBAL(u8, t[TABLE_OUT_DATA] + FF_GLOBAL(const i64, t[TABLE_OUT])[row]);
        for (i64 i = piece.start; i < piece.stop; i++) to[i - piece.start] = text.at[i];
    }
}
