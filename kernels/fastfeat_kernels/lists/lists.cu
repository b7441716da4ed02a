// Functions of lists on a device: a thread takes a row, and its elements one after the other.
//
// The words of the elements are those of `column.cuh`; `cuda.py` puts these and the others before
// this text. Element k of the column belongs to the row whose offsets span it. Bitmaps are written
// by words, so that `first` is a multiple of 32.

#define IS_FLOAT(t) ((t)[TABLE_ELEMENT] < 2)
#define IS_UINT64 9
#define IS_BOOL 10
#define MOST_WHOLE (1LL << 53)  // up to which every integer is a float64

// Rows [first, first + n): a thread each, or a block each, of which `start` is the first row.
#define FOR_EACH_ROW(row)                                                               \
    for (i64 row = first + (i64)blockIdx.x * BLOCK + threadIdx.x; row < first + n;      \
         row += (i64)gridDim.x * BLOCK)
#define FOR_EACH_BLOCK(start)                                                           \
    for (i64 start = first + (i64)blockIdx.x * BLOCK; start < first + n;                \
         start += (i64)gridDim.x * BLOCK)

struct Span {
    i64 start;
    i64 stop;
};

static __device__ __forceinline__ Span elements_of(const i64* t, i64 row) {
    const i64* offsets = FF_GLOBAL(const i64, t[TABLE_OFFSETS]);
    return Span{offsets[row], offsets[row + 1]};
}

static __device__ __forceinline__ bool is_list(const i64* t, i64 row) {
    return ff_present(FF_GLOBAL(const u32, t[TABLE_LISTS]), 0, row);
}

// Report a row; the first one is kept.
static __device__ __forceinline__ void report_row(const i64* t, i64 row) {
    atomicMin(FF_GLOBAL(i64, t[TABLE_REPORT]), row);
}

static __device__ __forceinline__ void write_present(const i64* t, i64 start, bool present, bool live) {
    ff_write_bits(FF_GLOBAL(u32, t[TABLE_OUT_VALIDITY]), start, present, live);
}

extern "C" __global__ void __launch_bounds__(BLOCK)
list_lengths(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) {
        const Span span = elements_of(t, row);
        FF_GLOBAL(i64, t[TABLE_OUT])[row] = span.stop - span.start;
    }
}

// ---- sums and means; of a row that is left the caller finds them

// A sum in two floats, as on the CPU, and how many numbers it is of.
struct FloatSum {
    double high;
    double low;
    i64 count;
    bool inexact;
};

static __device__ __forceinline__ void add_float(FloatSum* sum, double x) {
    double total = __dadd_rn(sum->high, x);
    double part = __dsub_rn(total, sum->high);
    const double error =
        __dadd_rn(__dsub_rn(sum->high, __dsub_rn(total, part)), __dsub_rn(x, part));
    sum->high = total;
    total = __dadd_rn(sum->low, error);
    part = __dsub_rn(total, sum->low);
    const double rest =
        __dadd_rn(__dsub_rn(sum->low, __dsub_rn(total, part)), __dsub_rn(error, part));
    sum->low = total;
    sum->count += 1;
    sum->inexact |= !(rest == 0.0);  // NaN where something is not finite
}

static __device__ __forceinline__ FloatSum float_sum(const i64* t, i64 row) {
    FloatSum sum = {0.0, 0.0, 0, false};
    const Span span = elements_of(t, row);
#pragma unroll 1
    for (i64 k = span.start; k < span.stop; k++) {
        const double x = present_at(t, k) ? float_at(t, k) : FF_NAN;
        if (x == x) add_float(&sum, x);
    }
    return sum;
}

// An exact sum of integers in 128 bits, and of how many it is.
struct IntegerSum {
    u64 low;
    i64 high;
    i64 count;
};

static __device__ __forceinline__ void add_wide(IntegerSum* sum, u64 low, i64 high) {
    sum->low += low;
    sum->high += high + (sum->low < low);
}

static __device__ __forceinline__ IntegerSum integer_sum(const i64* t, i64 row) {
    IntegerSum sum = {0, 0, 0};
    const Span span = elements_of(t, row);
#pragma unroll 1
    for (i64 k = span.start; k < span.stop; k++) {
        const bool present = present_at(t, k);
        const i64 x = present ? integer_at(t, k) : 0;
        add_wide(&sum, (u64)x, x >> 63);
        sum.count += present;
    }
    // those of uint64 are less 2**63 each
    if (t[TABLE_ELEMENT] == IS_UINT64) add_wide(&sum, (u64)sum.count << 63, sum.count >> 1);
    return sum;
}

static __device__ __forceinline__ void leave(const i64* t, i64 row, bool left) {
    FF_GLOBAL(u8, t[TABLE_LEFT])[row] = left;
    if (left) report_row(t, row);
}

// Writes float64 of lists of floats.
extern "C" __global__ void __launch_bounds__(BLOCK)
list_float_sums(const i64* t, i64 first, i64 n) {
    FOR_EACH_BLOCK(start) {
        const i64 row = start + threadIdx.x;
        const bool live = row < first + n;
        bool present = live && is_list(t, row);
        if (live) {
            const FloatSum sum = float_sum(t, row);
            const double total = __dadd_rn(sum.high, sum.low);
            const bool is_mean = t[TABLE_FUNCTION] == MEAN;
            present &= !is_mean || sum.count > 0;
            const double by = __ll2double_rn(sum.count > 1 ? sum.count : 1);
            FF_GLOBAL(double, t[TABLE_OUT])[row] = is_mean ? __ddiv_rn(total, by) : total;
            leave(t, row, sum.inexact);
        }
        write_present(t, start, present, live);
    }
}

// Writes int64 of lists of integers or bools.
extern "C" __global__ void __launch_bounds__(BLOCK)
list_integer_sums(const i64* t, i64 first, i64 n) {
    FOR_EACH_BLOCK(start) {
        const i64 row = start + threadIdx.x;
        const bool live = row < first + n;
        if (live) {
            const IntegerSum sum = integer_sum(t, row);
            FF_GLOBAL(i64, t[TABLE_OUT])[row] = (i64)sum.low;
            leave(t, row, sum.high != (i64)sum.low >> 63);
        }
        write_present(t, start, live && is_list(t, row), live);
    }
}

// Writes float64 of lists of integers or bools.
extern "C" __global__ void __launch_bounds__(BLOCK)
list_integer_means(const i64* t, i64 first, i64 n) {
    FOR_EACH_BLOCK(start) {
        const i64 row = start + threadIdx.x;
        const bool live = row < first + n;
        i64 count = 0;
        if (live) {
            const IntegerSum sum = integer_sum(t, row);
            const i64 total = (i64)sum.low;
            const bool is_whole = total <= MOST_WHOLE && total >= -MOST_WHOLE;
            count = sum.count;
            leave(t, row, sum.high != total >> 63 || !is_whole);
            const double by = __ll2double_rn(count > 1 ? count : 1);
            FF_GLOBAL(double, t[TABLE_OUT])[row] = __ddiv_rn(__ll2double_rn(total), by);
        }
        write_present(t, start, live && count > 0, live);
    }
}

// ---- least and greatest elements

static __device__ __forceinline__ bool key_at(const i64* t, i64 k, i64* key) {
    if (!present_at(t, k)) return false;
    if (!IS_FLOAT(t)) {
        *key = integer_at(t, k);
        return true;
    }
    const double x = float_at(t, k);
    *key = float_key(x);
    return x == x;
}

// The value that a key orders, as 8 bytes; the inverse of `float_key` is itself.
static __device__ __forceinline__ i64 value_of(const i64* t, i64 key) {
    if (IS_FLOAT(t)) return key ^ ((key >> 63) & 0x7FFFFFFFFFFFFFFFLL);
    return t[TABLE_ELEMENT] == IS_UINT64 ? key ^ (i64)(1ULL << 63) : key;
}

// Writes float64, int64 or uint64.
extern "C" __global__ void __launch_bounds__(BLOCK)
list_ends(const i64* t, i64 first, i64 n) {
    FOR_EACH_BLOCK(start) {
        const i64 row = start + threadIdx.x;
        const bool live = row < first + n;
        bool found = false;
        i64 best = 0;
        const Span span = live ? elements_of(t, row) : Span{0, 0};
#pragma unroll 1
        for (i64 k = span.start; k < span.stop; k++) {
            i64 key = 0;
            if (!key_at(t, k, &key)) continue;
            if (!found || (t[TABLE_FUNCTION] == MAX ? key > best : key < best)) best = key;
            found = true;
        }
        if (live) FF_GLOBAL(i64, t[TABLE_OUT])[row] = found ? value_of(t, best) : 0;
        write_present(t, start, found, live);
    }
}

// ---- elements

static __device__ __forceinline__ void copy_element(const i64* t, i64 from, i64 to) {
    const i64 x = t[TABLE_VALUES], y = t[TABLE_OUT];
    switch (t[TABLE_WIDTH]) {
        case 1: FF_GLOBAL(u8, y)[to] = FF_GLOBAL(const u8, x)[from]; break;
        case 2: FF_GLOBAL(u16, y)[to] = FF_GLOBAL(const u16, x)[from]; break;
        case 4: FF_GLOBAL(u32, y)[to] = FF_GLOBAL(const u32, x)[from]; break;
        default: FF_GLOBAL(u64, y)[to] = FF_GLOBAL(const u64, x)[from]; break;
    }
}

static __device__ __forceinline__ void zero_element(const i64* t, i64 to) {
    const i64 y = t[TABLE_OUT];
    switch (t[TABLE_WIDTH]) {
        case 1: FF_GLOBAL(u8, y)[to] = 0; break;
        case 2: FF_GLOBAL(u16, y)[to] = 0; break;
        case 4: FF_GLOBAL(u32, y)[to] = 0; break;
        default: FF_GLOBAL(u64, y)[to] = 0; break;
    }
}

// Writes the element at an index, from the end where that is negative; reports a row without it.
extern "C" __global__ void __launch_bounds__(BLOCK)
list_get(const i64* t, i64 first, i64 n) {
    const i64 index = t[TABLE_INDEX];
    FOR_EACH_BLOCK(start) {
        const i64 row = start + threadIdx.x;
        const bool live = row < first + n;
        const Span span = live ? elements_of(t, row) : Span{0, 0};
        const i64 place = index < 0 ? span.stop + index : span.start + index;
        const bool inside = place >= span.start && place < span.stop;
        if (live && !inside && is_list(t, row)) report_row(t, row);
        if (t[TABLE_ELEMENT] == IS_BOOL) {
            const bool bit = inside && integer_at(t, place);
            ff_write_bits(FF_GLOBAL(u32, t[TABLE_OUT]), start, bit, live);
        } else if (live) {
            if (inside) copy_element(t, place, row);
            else zero_element(t, row);
        }
        write_present(t, start, inside && present_at(t, place), live);
    }
}

// Writes whether a list has an element that equals the item of its row: 8 bytes, as a key of the
// type of the elements; where there is no item, nothing equals it.
extern "C" __global__ void __launch_bounds__(BLOCK)
list_contains(const i64* t, i64 first, i64 n) {
    FOR_EACH_BLOCK(start) {
        const i64 row = start + threadIdx.x;
        const bool live = row < first + n;
        bool found = false;
        const bool has_item =
            live && ff_present(FF_GLOBAL(const u32, t[TABLE_HAS_ITEM]), 0, row);
        const Span span = has_item ? elements_of(t, row) : Span{0, 0};
#pragma unroll 1
        for (i64 k = span.start; k < span.stop && !found; k++) {
            if (!present_at(t, k)) continue;
            if (IS_FLOAT(t)) found = float_at(t, k) == FF_GLOBAL(const double, t[TABLE_ITEMS])[row];
            else found = value_of(t, integer_at(t, k)) == FF_GLOBAL(const i64, t[TABLE_ITEMS])[row];
        }
        ff_write_bits(FF_GLOBAL(u32, t[TABLE_OUT]), start, found, live);
    }
}

// ---- slices: measured, then written

static __device__ __forceinline__ Span slice_of(const i64* t, i64 row) {
    const Span span = elements_of(t, row);
    const i64 size = span.stop - span.start, index = t[TABLE_INDEX];
    const i64 begin = index < 0 ? size + index : index, end = begin + t[TABLE_LENGTH];
    const i64 stop = end < 0 ? 0 : end > size ? size : end;
    const i64 start = begin < 0 ? 0 : begin > stop ? stop : begin;
    return Span{span.start + start, span.start + stop};
}

extern "C" __global__ void __launch_bounds__(BLOCK)
measure_slices(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) {
        const Span span = slice_of(t, row);
        FF_GLOBAL(i64, t[TABLE_OUT])[row] = span.stop - span.start;
    }
}

static __device__ __forceinline__ void set_bit(i64 bitmap, i64 k) {
    atomicOr(FF_GLOBAL(u32, bitmap) + (k >> 5), 1u << (k & 31));
}

// Bitmaps are 0 before; lists may share a word of them.
extern "C" __global__ void __launch_bounds__(BLOCK)
write_slices(const i64* t, i64 first, i64 n) {
    FOR_EACH_ROW(row) {
        const Span span = slice_of(t, row);
        const i64 start = FF_GLOBAL(const i64, t[TABLE_OUT_OFFSETS])[row];
        const i64 by = start - span.start;
#pragma unroll 1
        for (i64 k = span.start; k < span.stop; k++) {
            if (present_at(t, k)) set_bit(t[TABLE_OUT_VALIDITY], k + by);
        }
#pragma unroll 1
        for (i64 k = span.start; k < span.stop; k++) {
            if (t[TABLE_ELEMENT] != IS_BOOL) copy_element(t, k, k + by);
            else if (integer_at(t, k)) set_bit(t[TABLE_OUT], k + by);
        }
    }
}
