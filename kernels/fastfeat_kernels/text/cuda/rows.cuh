// Rows of text on a device: their bytes, their code points, and the table of code points.
//
// A thread takes a row and reads it byte by byte, nothing beyond it: the lines that neighbours share
// stay in the cache, and a warp takes as long as its longest row. The words of the table are those
// of the package; offsets are of 64 bits, and TABLE_FAILED and TABLE_FOUND are addresses.

#define NOT_UTF8 (-1)

// Rows [first, first + n), a thread each.
#define FOR_EACH_ROW(row)                                                               \
    for (i64 row = first + (i64)blockIdx.x * BLOCK + threadIdx.x; row < first + n;      \
         row += (i64)gridDim.x * BLOCK)

struct Bytes {
    const u8* at;
    i64 n;
};

static __device__ __forceinline__ bool is_present(const i64* t, i64 row) {
    return ff_present(FF_GLOBAL(const u32, t[TABLE_VALIDITY]), t[TABLE_BIT_OFFSET], row);
}

static __device__ __forceinline__ Bytes bytes_of(const i64* t, i64 row) {
    const i64* offsets = FF_GLOBAL(const i64, t[TABLE_OFFSETS]);
    const i64 start = offsets[row];
    return Bytes{FF_GLOBAL(const u8, t[TABLE_DATA] + start), offsets[row + 1] - start};
}

// Report a row that is not what it should be; the first one is kept.
static __device__ __forceinline__ void report_row(const i64* t, i64 row) {
    atomicMin(FF_GLOBAL(i64, t[TABLE_FAILED]), row);
}

// A code point and of how many bytes it is; 0 where they are not UTF-8.
struct Point {
    u32 code;
    int size;
};

// The code point that n >= 1 bytes start with.
static __device__ __forceinline__ Point decode(const u8* x, i64 n) {
    const u32 lead = x[0];
    if (lead < 0x80) return Point{lead, 1};
    const int size = 2 + (lead >= 0xE0) + (lead >= 0xF0);
    if (lead < 0xC2 || lead > 0xF4 || size > n) return Point{0, 0};
    u32 code = lead & (0x7Fu >> size);
    bool valid = true;
    for (int k = 1; k < size; k++) {
        const u32 byte = x[k];
        valid &= (byte & 0xC0) == 0x80;
        code = code << 6 | (byte & 0x3F);
    }
    if (size == 3) valid &= code >= 0x800 && (code < 0xD800 || code > 0xDFFF);
    if (size == 4) valid &= code >= 0x10000 && code <= 0x10FFFF;
    return valid ? Point{code, size} : Point{0, 0};
}

// Of how many bytes the code point of UTF-8 is that starts at a byte.
static __device__ __forceinline__ int size_at(const u8* x) {
    const u32 lead = x[0];
    return 1 + (lead >= 0xC0) + (lead >= 0xE0) + (lead >= 0xF0);
}

static __device__ __forceinline__ i64 n_points_of(Bytes text) {
    i64 n_points = 0;
    for (i64 i = 0; i < text.n; n_points++) {
        const Point point = decode(text.at + i, text.n - i);
        if (point.size == 0) return NOT_UTF8;
        i += point.size;
    }
    return n_points;
}

// Where so many code points of UTF-8 end that start at byte i.
static __device__ __forceinline__ i64 skip(Bytes text, i64 i, i64 n_points) {
    for (; n_points > 0 && i < text.n; n_points--) i += size_at(text.at + i);
    return i;
}

// What the table of code points holds of one.
static __device__ __forceinline__ i32 cell_of(const i64* t, u32 code) {
    const i32 start = FF_GLOBAL(const i32, t[TABLE_PAGES])[code >> 8];
    return FF_GLOBAL(const i32, t[TABLE_CELLS])[start + (i32)(code & 255)];
}
