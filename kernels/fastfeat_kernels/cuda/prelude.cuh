// What every kernel begins with: widths by name, and one function for each operation that C++
// leaves undefined or that a compiler may change.
//
// A kernel is `extern "C" __global__ void NAME(const i64* table, i64 first, i64 n)`. No standard
// header is included: NVRTC has none, and `emulator.h` comes first where g++ compiles the text.
#pragma once

typedef signed char i8;
typedef unsigned char u8;
typedef short i16;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#define FF_INLINE __device__ __forceinline__

// Shared memory of a block; n is a constant, and nothing in it is initialized. The bytes of the
// dynamic array are those that the launch asked for; a kernel has one.
#ifndef FF_SHARED
#define FF_SHARED(type, name, n) __shared__ type name[n]
#define FF_DYNAMIC_SHARED(type, name)                                     \
    extern __shared__ __align__(16) unsigned char ff_dynamic_shared[];    \
    type* name = (type*)ff_dynamic_shared
#endif

// A word that is the address of elements in global memory, where a load need not find out which
// kind of memory it reads.
#ifndef FF_GLOBAL
#define FF_GLOBAL(type, word) ((type*)__cvta_global_to_generic((size_t)(word)))
#endif

// ---- int64 modulo 2**64: signed overflow is undefined in C++, unsigned is not

FF_INLINE i64 ff_add_i64(i64 x, i64 y) { return (i64)((u64)x + (u64)y); }
FF_INLINE i64 ff_sub_i64(i64 x, i64 y) { return (i64)((u64)x - (u64)y); }
FF_INLINE i64 ff_mul_i64(i64 x, i64 y) { return (i64)((u64)x * (u64)y); }
FF_INLINE i64 ff_neg_i64(i64 x) { return (i64)(0 - (u64)x); }
FF_INLINE i64 ff_mulhi(i64 x, i64 y) { return (i64)__umul64hi((u64)x, (u64)y); }

// Truncating. The caller sees to it that y is not 0, and not -1 where x is the least integer.
FF_INLINE i64 ff_quotient_i64(i64 x, i64 y) { return x / y; }
FF_INLINE i64 ff_remainder_i64(i64 x, i64 y) { return x % y; }

// The caller keeps `by` in [0, 63].
FF_INLINE i64 ff_shl_i64(i64 x, i64 by) { return (i64)((u64)x << by); }
FF_INLINE i64 ff_shr_i64(i64 x, i64 by) { return x >> by; }
FF_INLINE i64 ff_lshr_i64(i64 x, i64 by) { return (i64)((u64)x >> by); }

// ---- float64; sums and products are CUDA's __dadd_rn and so on, which nothing contracts

FF_INLINE double ff_neg_f64(double x) { return -x; }
FF_INLINE double ff_round_f32(double x) { return (double)__double2float_rn(x); }
FF_INLINE i64 ff_bits(double x) { return __double_as_longlong(x); }
FF_INLINE double ff_from_bits(i64 x) { return __longlong_as_double(x); }
FF_INLINE double ff_f64_from_i64(i64 x) { return __ll2double_rn(x); }
// Toward zero. The caller sees to it that x is within int64.
FF_INLINE i64 ff_i64_from_f64(double x) { return __double2ll_rz(x); }

// A missing float is a NaN, which has one form where it is stored.
#define FF_NAN ff_from_bits(0x7ff8000000000000LL)
// The value is read whether or not it is present: no load waits for the bitmap.
FF_INLINE double ff_or_missing(bool present, double value) { return present ? value : FF_NAN; }
FF_INLINE double ff_canonical_float64(double x) { return x == x ? x : FF_NAN; }
FF_INLINE float ff_canonical_float32(double x) {
    return x == x ? __double2float_rn(x) : __int_as_float(0x7fc00000);
}
// Of 16 bits, rounded once, ties to even. Below the least normal number the sum with `carry` has
// the multiple of the least number in its last bits.
FF_INLINE u16 ff_narrowed(double x, i64 n_lost, i64 bias, double least_normal, double carry,
                          i64 infinity, i64 nan) {
    const i64 bits = ff_bits(x), size = ff_bits(fabs(x));
    const i64 up = size + ((1LL << (n_lost - 1)) - 1) + ((size >> n_lost) & 1);
    const i64 normal = (up >> n_lost) - bias;
    const i64 small = ff_bits(__dadd_rn(fabs(x), carry)) - ff_bits(carry);
    const i64 found = fabs(x) < least_normal ? small : normal < infinity ? normal : infinity;
    return (u16)(x == x ? found | ((bits >> 48) & 0x8000) : nan);
}
FF_INLINE u16 ff_canonical_float16(double x) {
    return ff_narrowed(x, 42, 1008LL << 10, 0x1p-14, 0x1p28, 0x7c00, 0x7e00);
}
FF_INLINE u16 ff_canonical_bfloat16(double x) {
    return ff_narrowed(x, 45, 896LL << 7, 0x1p-126, 0x1p-81, 0x7f80, 0x7fc0);
}

// Returns x * 2**exponent mod y, for x and y in [1, 2) and an integral exponent in [0, 4096]: at
// most 52 bits of the quotient at a time, where no step rounds.
__device__ __noinline__ double ff_remainder_scaled(double x, double y, double exponent) {
    double rest = x, left = exponent;
    do {
        double step = left < 52.0 ? left : 52.0;
        i64 power = (i64)((u64)(__double2ll_rz(step) + 1023) << 52);
        double scaled = __dmul_rn(rest, ff_from_bits(power));
        // Below 2**53: truncated it is right, or 1 too large where the division was rounded up.
        double whole = trunc(__ddiv_rn(scaled, y));
        double found = __fma_rn(-whole, y, scaled);
        rest = found < 0.0 ? __dadd_rn(found, y) : found;
        left = __dsub_rn(left, step);
    } while (left > 0.0);
    return rest;
}

// ---- memory

FF_INLINE double ff_load_f64(i64 address, i64 k) {
    return FF_GLOBAL(const double, address)[k];
}
FF_INLINE i64 ff_load_i64(i64 address, i64 k) { return FF_GLOBAL(const i64, address)[k]; }

// ---- bitmaps in Arrow's layout, least significant bit first, read and written by words of 32 bits

// Bit `k` of a bitmap that begins at bit `first` of its words.
FF_INLINE bool ff_bit(const u32* words, i64 first, i64 k) {
    return words[(first + k) >> 5] >> ((first + k) & 31) & 1;
}
// Where nothing is missing there are no words.
FF_INLINE bool ff_present(const u32* words, i64 first, i64 k) {
    return words == nullptr || ff_bit(words, first, k);
}
// Writes one bit for each thread of a block, whose first row is a multiple of 32. All threads of a
// warp call it; those that are not live, after the last row, give a bit that is not set.
FF_INLINE void ff_write_bits(u32* words, i64 first_of_block, bool bit, bool live) {
    u32 bits = __ballot_sync(0xffffffffu, live && bit);
    if (live && threadIdx.x % 32 == 0) words[(first_of_block + threadIdx.x) >> 5] = bits;
}

// A word that other threads change by atomic operations meanwhile, without an order.
#ifndef FF_LOAD_RELAXED
#define FF_LOAD_RELAXED(at) (*(volatile u64*)(at))
#endif

// ---- int64 atomics, for which CUDA has names for unsigned words only; sums wrap

FF_INLINE i64 ff_atomic_add(i64* at, i64 value) { return (i64)atomicAdd((u64*)at, (u64)value); }
FF_INLINE i64 ff_atomic_or(i64* at, i64 value) { return (i64)atomicOr((u64*)at, (u64)value); }
