// The window of a row that asks, and where its result goes: what statistics begin with.

#define HALF (1ULL << 63)
#define HIGHEST 0x7fffffffffffffffLL

struct ff_window {
    i64 target;  // negative where the row does not ask
    i64 begin, end, count;
};

static __device__ __forceinline__ ff_window ff_window_of(const i64* t, i64 k) {
    const u64* counts = FF_GLOBAL(const u64, t[TABLE_COUNTS]);
    ff_window w;
    w.target = FF_GLOBAL(const i32, t[TABLE_ROWS])[k] - t[TABLE_FIRST_ROW];
    w.begin = FF_GLOBAL(const i32, t[TABLE_BEGINS])[k];
    w.end = FF_GLOBAL(const i32, t[TABLE_ENDS])[k];
    w.count = (i64)(counts[w.end] - counts[w.begin]);
    return w;
}

static __device__ __forceinline__ void ff_give(const i64* t, i64 target, i64 word, bool present) {
    FF_GLOBAL(i64, t[TABLE_OUT])[target] = present ? word : 0;
    FF_GLOBAL(u8, t[TABLE_OUT_PRESENT])[target] = present;
}
