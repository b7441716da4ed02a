// XXH64 on a device: of bytes in memory, of one word, and of bytes that arrive a few at a time.
//
// Needs the prelude only. Bytes are read by the aligned words of 64 bits that hold them: what is
// hashed stands in memory that begins and ends at multiples of 8 bytes.

#define FF_XXH_1 0x9E3779B185EBCA87ULL
#define FF_XXH_2 0xC2B2AE3D27D4EB4FULL
#define FF_XXH_3 0x165667B19E3779F9ULL
#define FF_XXH_4 0x85EBCA77C2B2AE63ULL
#define FF_XXH_5 0x27D4EB2F165667C5ULL

static __device__ __forceinline__ u64 ff_turned(u64 word, int count) {
    return word << count | word >> (64 - count);
}

static __device__ __forceinline__ u64 ff_xxh_round(u64 lane, u64 word) {
    return ff_turned(lane + word * FF_XXH_2, 31) * FF_XXH_1;
}

static __device__ __forceinline__ u64 ff_xxh_word(u64 total, u64 word) {
    return ff_turned(total ^ ff_xxh_round(0, word), 27) * FF_XXH_1 + FF_XXH_4;
}

// Takes in the last n bytes, of fewer than 8, the first of which is the lowest; and mixes.
static __device__ __forceinline__ u64 ff_xxh_end(u64 total, u64 bytes, int n) {
    if (n & 4) {
        total = ff_turned(total ^ (bytes & 0xFFFFFFFFULL) * FF_XXH_1, 23) * FF_XXH_2 + FF_XXH_3;
        bytes >>= 32;
    }
#pragma unroll 1
    for (int k = n & 3; k > 0; k--, bytes >>= 8) {
        total = ff_turned(total ^ (bytes & 0xFF) * FF_XXH_5, 11) * FF_XXH_1;
    }
    total = (total ^ total >> 33) * FF_XXH_2;
    total = (total ^ total >> 29) * FF_XXH_3;
    return total ^ total >> 32;
}

static __device__ __forceinline__ u64 ff_xxh_lanes(u64 a, u64 b, u64 c, u64 d) {
    u64 total = ff_turned(a, 1) + ff_turned(b, 7) + ff_turned(c, 12) + ff_turned(d, 18);
    total = (total ^ ff_xxh_round(0, a)) * FF_XXH_1 + FF_XXH_4;
    total = (total ^ ff_xxh_round(0, b)) * FF_XXH_1 + FF_XXH_4;
    total = (total ^ ff_xxh_round(0, c)) * FF_XXH_1 + FF_XXH_4;
    return (total ^ ff_xxh_round(0, d)) * FF_XXH_1 + FF_XXH_4;
}

// Returns n bytes, 1 to 8, from any address on; the first one is the lowest, those above are 0.
static __device__ __forceinline__ u64 ff_bytes_at(const u8* at, int n) {
    const int skipped = (int)((size_t)at & 7);
    const u64* words = (const u64*)(at - skipped);
    u64 found = words[0] >> (8 * skipped);
    if (skipped + n > 8) found |= words[1] << (64 - 8 * skipped);
    return n < 8 ? found & ((1ULL << (8 * n)) - 1) : found;
}

// Returns XXH64 of one word of 8 bytes.
static __device__ __forceinline__ u64 ff_xxh64_word(u64 word, u64 seed) {
    return ff_xxh_end(ff_xxh_word(seed + FF_XXH_5 + 8, word), 0, 0);
}

// Returns XXH64 of n bytes.
static __device__ __forceinline__ u64 ff_xxh64(const u8* at, i64 n, u64 seed) {
    u64 total = seed + FF_XXH_5;
    const u8* end = at + n;
    if (n >= 32) {
        u64 a = seed + FF_XXH_1 + FF_XXH_2, b = seed + FF_XXH_2, c = seed, d = seed - FF_XXH_1;
#pragma unroll 1
        for (; end - at >= 32; at += 32) {
            a = ff_xxh_round(a, ff_bytes_at(at, 8));
            b = ff_xxh_round(b, ff_bytes_at(at + 8, 8));
            c = ff_xxh_round(c, ff_bytes_at(at + 16, 8));
            d = ff_xxh_round(d, ff_bytes_at(at + 24, 8));
        }
        total = ff_xxh_lanes(a, b, c, d);
    }
    total += (u64)n;
#pragma unroll 1
    for (; end - at >= 8; at += 8) total = ff_xxh_word(total, ff_bytes_at(at, 8));
    const int left = (int)(end - at);
    return ff_xxh_end(total, left ? ff_bytes_at(at, left) : 0, left);
}

// Bytes that arrive a few at a time: four lanes, the words of a stripe that is not whole yet, the
// bytes of a word that is not whole yet, and the number of bytes so far.
struct ff_xxh_state {
    u64 a, b, c, d, first, second, third, rest, n_bytes;
};

static __device__ __forceinline__ ff_xxh_state ff_xxh_begin(u64 seed) {
    return {seed + FF_XXH_1 + FF_XXH_2, seed + FF_XXH_2, seed, seed - FF_XXH_1, 0, 0, 0, 0, 0};
}

// Takes in n bytes, 1 to 8; the first one is the lowest, those above are 0.
static __device__ __forceinline__ void ff_xxh_take(ff_xxh_state* s, u64 bytes, int n) {
    const int used = (int)(s->n_bytes & 7);
    const int place = (int)(s->n_bytes >> 3) & 3;
    s->n_bytes += (u64)n;
    s->rest |= bytes << (8 * used);
    if (used + n < 8) return;
    const u64 word = s->rest;
    s->rest = used ? bytes >> (64 - 8 * used) : 0;
    if (place == 0) s->first = word;
    else if (place == 1) s->second = word;
    else if (place == 2) s->third = word;
    else {
        s->a = ff_xxh_round(s->a, s->first);
        s->b = ff_xxh_round(s->b, s->second);
        s->c = ff_xxh_round(s->c, s->third);
        s->d = ff_xxh_round(s->d, word);
    }
}

static __device__ __forceinline__ u64 ff_xxh_hash(const ff_xxh_state* s, u64 seed) {
    const int n_words = (int)(s->n_bytes >> 3) & 3;
    u64 total = s->n_bytes < 32 ? seed + FF_XXH_5 : ff_xxh_lanes(s->a, s->b, s->c, s->d);
    total += s->n_bytes;
    if (n_words > 0) total = ff_xxh_word(total, s->first);
    if (n_words > 1) total = ff_xxh_word(total, s->second);
    if (n_words > 2) total = ff_xxh_word(total, s->third);
    return ff_xxh_end(total, s->rest, (int)(s->n_bytes & 7));
}
