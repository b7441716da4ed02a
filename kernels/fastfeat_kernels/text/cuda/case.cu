// Simple case mapping on a device, one code point to one: rows are measured, and then written.

static __device__ __forceinline__ int size_of(u32 code) {
    return 1 + (code >= 0x80) + (code >= 0x800) + (code >= 0x10000);
}

static __device__ __forceinline__ void encode(u8* to, u32 code) {
    const int size = size_of(code);
    for (int i = size - 1; i > 0; i--) {
        to[i] = (u8)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    to[0] = (u8)(size == 1 ? code : code | (0xF00u >> size));
}

static __device__ __forceinline__ u32 mapped(const i64* t, u32 code) {
    return code + (u32)cell_of(t, code);
}

static __device__ __forceinline__ i64 mapped_bytes(const i64* t, Bytes text) {
    i64 n_bytes = 0;
    for (i64 i = 0; i < text.n;) {
        const Point point = decode(text.at + i, text.n - i);
        if (point.size == 0) return NOT_UTF8;
        n_bytes += size_of(mapped(t, point.code));
        i += point.size;
    }
    return n_bytes;
}

extern "C" __global__ void __launch_bounds__(BLOCK)
measure_case(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) {
        const i64 n_bytes = is_present(t, row) ? mapped_bytes(t, bytes_of(t, row)) : 0;
        if (n_bytes < 0) report_row(t, row);
        FF_GLOBAL(i64, t[TABLE_OUT])[row] = n_bytes;
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK)
write_case(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) {
        if (!is_present(t, row)) continue;
        const Bytes text = bytes_of(t, row);
        i64 out = FF_GLOBAL(const i64, t[TABLE_OUT])[row];
        for (i64 i = 0; i < text.n;) {
            const Point point = decode(text.at + i, text.n - i);
            const u32 code = mapped(t, point.code);
            encode(FF_GLOBAL(u8, t[TABLE_OUT_DATA] + out), code);
            i += point.size;
            out += size_of(code);
        }
    }
}
