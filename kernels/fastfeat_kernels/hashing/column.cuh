// A column of keys on a device, as the words of the package describe it, and its canonical bytes.
//
// A column of text may be a dictionary: INDICES, else 0, is the address of an int32 for each row,
// the place of its entry, or negative where it is missing; the rest describes the entries.

struct ff_text {
    const u8* at;
    i64 n;
};

static __device__ __forceinline__ bool ff_is_text(const i64* c) { return c[ELEMENT] == IS_TEXT; }

// Returns the 8 bytes of a number; of a missing float, those of NaN.
static __device__ __forceinline__ u64 ff_canonical(const i64* c, i64 row) {
    const void* values = FF_GLOBAL(const void, c[VALUES]);
    switch (c[ELEMENT]) {
        case 0:
        case 1: {
            const double x = c[ELEMENT] == 0 ? ((const double*)values)[row]
                                             : (double)((const float*)values)[row];
            const u64 bits = (u64)__double_as_longlong(x);
            return bits << 1 ? bits : 0;
        }
        case 2: return (u64)(i64)((const i8*)values)[row];
        case 3: return (u64)(i64)((const i16*)values)[row];
        case 4: return (u64)(i64)((const i32*)values)[row];
        case 5: return (u64)((const i64*)values)[row];
        case 6: return ((const u8*)values)[row];
        case 7: return ((const u16*)values)[row];
        case 8: return ((const u32*)values)[row];
        case 9: return ((const u64*)values)[row];
        default: return ff_bit((const u32*)values, c[VALUE_BIT_OFFSET], row);
    }
}

static __device__ __forceinline__ bool ff_is_float(const i64* c) {
    return c[ELEMENT] == 0 || c[ELEMENT] == 1;
}

// Returns where the value of a row stands: of a dictionary, which of its entries it is.
static __device__ __forceinline__ i64 ff_place(const i64* c, i64 row) {
    return ff_is_text(c) && c[INDICES] ? FF_GLOBAL(const i32, c[INDICES])[row] : row;
}

// Returns whether a row has a value, as far as the bitmap says; NaN is for `ff_is_nan`.
static __device__ __forceinline__ bool ff_in_bitmap(const i64* c, i64 row) {
    const i64 place = ff_place(c, row);
    return place >= 0 && ff_present(FF_GLOBAL(const u32, c[VALIDITY]), c[BIT_OFFSET], place);
}

static __device__ __forceinline__ bool ff_is_nan(const i64* c, u64 word) {
    return ff_is_float(c) && (word << 1) > 0xFFE0000000000000ULL;
}

static __device__ __forceinline__ ff_text ff_text_of(const i64* c, i64 row) {
    const i64 place = ff_place(c, row);
    i64 start, end;
    if (c[OFFSET_BYTES] == 4) {
        const i32* offsets = FF_GLOBAL(const i32, c[OFFSETS]);
        start = offsets[place], end = offsets[place + 1];
    } else {
        const i64* offsets = FF_GLOBAL(const i64, c[OFFSETS]);
        start = offsets[place], end = offsets[place + 1];
    }
    return {FF_GLOBAL(const u8, c[VALUES]) + start, end - start};
}

// Takes in tag, length and canonical bytes of a row of a column.
static __device__ __forceinline__ void ff_xxh_take_part(ff_xxh_state* s, const i64* c, i64 row) {
    u64 tag = TAG_MISSING, word = 0;
    ff_text text = {nullptr, 0};
    if (ff_in_bitmap(c, row)) {
        if (ff_is_text(c)) {
            tag = TAG_TEXT, text = ff_text_of(c, row);
        } else {
            word = ff_canonical(c, row);
            if (!ff_is_nan(c, word)) tag = ff_is_float(c) ? TAG_FLOAT : TAG_INTEGER;
        }
    }
    const i64 n = tag == TAG_TEXT ? text.n : tag == TAG_MISSING ? 0 : 8;
    for (i64 at = -9; at < n; at += at == -9 ? 1 : 8) {  // one place that takes in, not three
        u64 bytes = at == -9 ? tag : at == -8 ? (u64)n : word;
        int size = at == -9 ? 1 : 8;
        if (at >= 0 && tag == TAG_TEXT) {
            size = n - at < 8 ? (int)(n - at) : 8;
            bytes = ff_bytes_at(text.at + at, size);
        }
        ff_xxh_take(s, bytes, size);
    }
}

// Returns the hash of a row of several columns, whose words stand one after the other.
static __device__ __forceinline__ u64 ff_xxh64_row(const i64* columns, i64 n, i64 row, u64 seed) {
    ff_xxh_state state = ff_xxh_begin(seed);
    for (i64 k = 0; k < n; k++) {
        const i64* c = columns + N_COLUMN_WORDS * k;
        ff_xxh_take_part(&state, c, row - c[START]);
    }
    return ff_xxh_hash(&state, seed);
}
