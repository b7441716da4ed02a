// CUDA's vocabulary for g++: the text of a kernel, unchanged, runs on the CPU.
//
// Only what our kernels may use is here: what is missing does not compile (fences, floating-point
// atomics, textures), and that is meant. The overloads of atomics are those of CUDA.
#pragma once
#include "scheduler.h"

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)

#define threadIdx (ff_emulator::thread_index)
#define blockIdx (ff_emulator::block_index)
#define blockDim (ff_emulator::block_size)
#define gridDim (ff_emulator::grid_size)
#define warpSize 32

// An array is one for all threads of the block: known by the place in the text that declares it.
#define FF_SHARED(type, name, n) \
    type(&name)[n] = *(type(*)[n])ff_emulator::shared_array(__COUNTER__, sizeof(type) * (n))
#define FF_DYNAMIC_SHARED(type, name) \
    type* name = (type*)ff_emulator::shared_array(-1, ff_emulator::launch.shared_bytes)

#define FF_GLOBAL(type, word) ((type*)(word))

// ---- barriers and warp operations, which report the line that they are called from

namespace ff_emulator {

template <class Value>
FF_UNCHECKED inline Word word_of(Value value) {
    Word word = 0;
    __builtin_memcpy(&word, &value, sizeof value);
    return word;
}
template <class Value>
FF_UNCHECKED inline Value value_of(Word word) {
    Value value;
    __builtin_memcpy(&value, &word, sizeof value);
    return value;
}
template <class Value>
FF_UNCHECKED inline Value shuffled_value(WarpOperation kind, int line, unsigned mask, Value value,
                                         int argument) {
    return value_of<Value>(warp_operation(kind, line, mask, word_of(value), argument));
}
inline unsigned mask_or_all(unsigned mask = 0xffffffffu) { return mask; }

}  // namespace ff_emulator

#define __syncthreads() ((void)ff_emulator::wait_at_barrier(__LINE__, false))
#define __syncthreads_count(p) ((int)ff_emulator::wait_at_barrier(__LINE__, (p) != 0))
#define __syncthreads_or(p) ((int)(ff_emulator::wait_at_barrier(__LINE__, (p) != 0) > 0))
#define __syncthreads_and(p) ((int)(ff_emulator::wait_at_barrier(__LINE__, (p) == 0) == 0))

#define FF_WARP(kind, mask, given) \
    ff_emulator::warp_operation(ff_emulator::kind, __LINE__, mask, given, 0)
#define FF_SHUFFLE(kind, mask, value, argument) \
    ff_emulator::shuffled_value(ff_emulator::kind, __LINE__, mask, value, argument)
#define __syncwarp(...) ((void)FF_WARP(sync, ff_emulator::mask_or_all(__VA_ARGS__), 0))
#define __ballot_sync(mask, p) ((unsigned)FF_WARP(ballot, mask, (p) != 0))
#define __any_sync(mask, p) ((int)(FF_WARP(ballot, mask, (p) != 0) != 0))
#define __all_sync(mask, p) ((int)(FF_WARP(ballot, mask, (p) == 0) == 0))
#define __match_any_sync(mask, v) ((unsigned)FF_WARP(match, mask, ff_emulator::word_of(v)))
#define __shfl_sync(mask, value, lane) FF_SHUFFLE(shuffle, mask, value, lane)
#define __shfl_down_sync(mask, value, by) FF_SHUFFLE(shuffle_down, mask, value, by)
#define __shfl_up_sync(mask, value, by) FF_SHUFFLE(shuffle_up, mask, value, by)
#define __shfl_xor_sync(mask, value, by) FF_SHUFFLE(shuffle_xor, mask, value, by)

// ---- atomic operations: relaxed, as on the device, and places where another thread may come first

#define FF_ATOMIC(type)                                                                       \
    inline type atomicAdd(type* at, type value) {                                             \
        ff_emulator::put_aside_at_random();                                                   \
        return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);                               \
    }                                                                                         \
    inline type atomicOr(type* at, type value) {                                              \
        ff_emulator::put_aside_at_random();                                                   \
        return __atomic_fetch_or(at, value, __ATOMIC_RELAXED);                                \
    }                                                                                         \
    inline type atomicAnd(type* at, type value) {                                             \
        ff_emulator::put_aside_at_random();                                                   \
        return __atomic_fetch_and(at, value, __ATOMIC_RELAXED);                               \
    }                                                                                         \
    inline type atomicExch(type* at, type value) {                                            \
        ff_emulator::put_aside_at_random();                                                   \
        return __atomic_exchange_n(at, value, __ATOMIC_RELAXED);                              \
    }                                                                                         \
    inline type atomicCAS(type* at, type expected, type value) {                              \
        ff_emulator::put_aside_at_random();                                                   \
        __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_RELAXED,            \
                                    __ATOMIC_RELAXED);                                        \
        return expected;                                                                      \
    }
FF_ATOMIC(int)
FF_ATOMIC(unsigned)
FF_ATOMIC(unsigned long long)
#undef FF_ATOMIC

#define FF_ATOMIC_EXTREME(name, type, sign)                                                   \
    inline type name(type* at, type value) {                                                  \
        ff_emulator::put_aside_at_random();                                                   \
        type old = __atomic_load_n(at, __ATOMIC_RELAXED);                                     \
        while (value sign old && !__atomic_compare_exchange_n(at, &old, value, false,         \
                                                              __ATOMIC_RELAXED,               \
                                                              __ATOMIC_RELAXED)) {            \
        }                                                                                     \
        return old;                                                                           \
    }
FF_ATOMIC_EXTREME(atomicMin, int, <)
FF_ATOMIC_EXTREME(atomicMin, unsigned, <)
FF_ATOMIC_EXTREME(atomicMin, long long, <)
FF_ATOMIC_EXTREME(atomicMin, unsigned long long, <)
FF_ATOMIC_EXTREME(atomicMax, int, >)
FF_ATOMIC_EXTREME(atomicMax, unsigned, >)
FF_ATOMIC_EXTREME(atomicMax, long long, >)
FF_ATOMIC_EXTREME(atomicMax, unsigned long long, >)
#undef FF_ATOMIC_EXTREME
#define FF_LOAD_RELAXED(at) __atomic_load_n(at, __ATOMIC_RELAXED)

// ---- integers

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned)x); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned long long)(((unsigned __int128)x * y) >> 64);
}

// ---- float64: each is one IEEE operation, for which -ffp-contract=off is asked

inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline double __dsqrt_rn(double x) { return __builtin_sqrt(x); }
inline double __fma_rn(double x, double y, double z) { return __builtin_fma(x, y, z); }
inline double fabs(double x) { return __builtin_fabs(x); }
inline double floor(double x) { return __builtin_floor(x); }
inline double ceil(double x) { return __builtin_ceil(x); }
inline double trunc(double x) { return __builtin_trunc(x); }
inline double rint(double x) { return __builtin_rint(x); }

// ---- conversions

inline long long __double_as_longlong(double x) {
    return ff_emulator::value_of<long long>(ff_emulator::word_of(x));
}
inline double __longlong_as_double(long long x) {
    return ff_emulator::value_of<double>(ff_emulator::word_of(x));
}
inline int __float_as_int(float x) { return ff_emulator::value_of<int>(ff_emulator::word_of(x)); }
inline float __int_as_float(int x) { return ff_emulator::value_of<float>(ff_emulator::word_of(x)); }
__attribute__((no_sanitize("float-cast-overflow"))) inline float __double2float_rn(double x) {
    return (float)x;
}
inline double __ll2double_rn(long long x) { return (double)x; }
inline double __ull2double_rn(unsigned long long x) { return (double)x; }
// Out of range the device saturates, where x86 gives the least integer: neither may matter.
inline long long __double2ll_rz(double x) {
    if (x != x) return -0x7fffffffffffffffLL - 1;
    if (x >= 0x1p63) return 0x7fffffffffffffffLL;
    if (x < -0x1p63) return -0x7fffffffffffffffLL - 1;
    return (long long)x;
}
