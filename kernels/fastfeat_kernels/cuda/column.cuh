// The values of a column on a device: words TABLE_VALUES and those after it say where, and of which
// type, as a place in `column.ELEMENTS`.

static __device__ __forceinline__ bool present_at(const i64* t, i64 row) {
    return ff_present(FF_GLOBAL(const u32, t[TABLE_VALIDITY]), t[TABLE_BIT_OFFSET], row);
}

// Of float64 and float32: elements 0 and 1.
static __device__ __forceinline__ double float_at(const i64* t, i64 row) {
    const void* values = FF_GLOBAL(const void, t[TABLE_VALUES]);
    return t[TABLE_ELEMENT] == 0 ? ((const double*)values)[row] : (double)((const float*)values)[row];
}

// Of integers and bools; of uint64 less 2**63.
static __device__ __forceinline__ i64 integer_at(const i64* t, i64 row) {
    const void* values = FF_GLOBAL(const void, t[TABLE_VALUES]);
    switch (t[TABLE_ELEMENT]) {
        case 2: return ((const i8*)values)[row];
        case 3: return ((const i16*)values)[row];
        case 4: return ((const i32*)values)[row];
        case 5: return ((const i64*)values)[row];
        case 6: return ((const u8*)values)[row];
        case 7: return ((const u16*)values)[row];
        case 8: return ((const u32*)values)[row];
        case 9: return (i64)(((const u64*)values)[row] ^ (1ULL << 63));
        default: return ff_bit((const u32*)values, t[TABLE_VALUE_BIT_OFFSET], row);
    }
}

// The integer that orders a float, in the total order.
static __device__ __forceinline__ i64 float_key(double x) {
    const i64 bits = __double_as_longlong(x);
    return bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFFLL);
}

static __device__ __forceinline__ bool is_float(const i64* t) { return t[TABLE_ELEMENT] <= 1; }

// Whether there is a value: NaN is none.
static __device__ __forceinline__ bool has_value(const i64* t, i64 row) {
    if (!present_at(t, row)) return false;
    return !is_float(t) || float_at(t, row) == float_at(t, row);
}

// The unsigned integer that orders a value, in the total order.
static __device__ __forceinline__ u64 key_at(const i64* t, i64 row) {
    return (u64)(is_float(t) ? float_key(float_at(t, row)) : integer_at(t, row)) ^ (1ULL << 63);
}
