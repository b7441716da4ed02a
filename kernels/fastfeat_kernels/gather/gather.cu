// Values of a column of a table by the numbers of their rows: what it has in the row that each row
// of the data has found, and whether there is a value.

extern "C" __global__ void __launch_bounds__(BLOCK, 2)
gathered_values(const i64* t, i64 first, i64 n) {
    const i64* rows = FF_GLOBAL(const i64, t[TABLE_NUMBERS]);
    const u32* found = nullptr;
    if (t[TABLE_NUMBERS_VALIDITY]) found = FF_GLOBAL(const u32, t[TABLE_NUMBERS_VALIDITY]);
    const i64 step = (i64)gridDim.x * BLOCK;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const bool present = ff_present(found, t[TABLE_NUMBERS_BIT], k) && has_value(t, rows[k]);
        i64 word = 0;
        if (present) word = is_float(t) ? ff_bits(float_at(t, rows[k])) : integer_at(t, rows[k]);
        FF_GLOBAL(i64, t[TABLE_GATHERED])[k] = word;
        FF_GLOBAL(u8, t[TABLE_PRESENT])[k] = present;
    }
}
