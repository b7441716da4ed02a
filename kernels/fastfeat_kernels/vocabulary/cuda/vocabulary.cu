// The distinct keys of rows on a device, and the place of each row among known keys.
//
// A key has one part or several; its columns are those of `hashing/column.cuh`. Slots are an open
// addressing table with linear probing: a word is 0 where a slot is free, else the complement of a
// tag of the hash above the number of a row, whose key stands in memory that no kernel writes. A
// slot is claimed by one compare-and-swap, so nothing is published besides; then the least row with
// the key takes it. Which slot a key has depends on the order of threads; its row and its count do
// not.

// Two blocks at a time are asked for: without that some compilers spill to have more of them.

#define FREE 0ULL

static __device__ __forceinline__ u64 ff_slot_word(u64 hash, i64 row) {
    return ~((hash & 0xFFFFFFFF00000000ULL) | (u64)row);
}
static __device__ __forceinline__ i64 ff_row_of(u64 word) { return (i64)(~word & 0xFFFFFFFFULL); }
static __device__ __forceinline__ bool ff_same_tag(u64 a, u64 b) { return (a ^ b) >> 32 == 0; }

static __device__ __forceinline__ bool ff_same_text(ff_text a, ff_text b) {
    if (a.n != b.n) return false;
#pragma unroll 1
    for (i64 at = 0; at < a.n; at += 8) {
        const int n = a.n - at < 8 ? (int)(a.n - at) : 8;
        if (ff_bytes_at(a.at + at, n) != ff_bytes_at(b.at + at, n)) return false;
    }
    return true;
}

// One part of a key: its hash if it is text, its canonical word if it is a number, 0 if missing.
struct ff_part {
    u64 word;
    bool present;
};

static __device__ __forceinline__ ff_part ff_part_of(const i64* c, i64 row) {
    if (!ff_in_bitmap(c, row)) return {0, false};
    if (ff_is_text(c)) {
        const ff_text text = ff_text_of(c, row);
        return {ff_xxh64(text.at, text.n, 0), true};
    }
    const u64 word = ff_canonical(c, row);
    const bool is_missing = ff_is_nan(c, word);
    return {is_missing ? 0 : word, !is_missing};
}

// The hash of a key, and whether it is one; of one part it is the published hash.
static __device__ __forceinline__ ff_part ff_key_of(const i64* t, const i64* columns, i64 row) {
    const bool whole = t[KEY_MISSING] == MISSING_IS_NO_KEY;
    u64 hash = 0;
#pragma unroll 1
    for (i64 k = 0; k < t[KEY_N_PARTS]; k++) {
        const i64* c = columns + N_COLUMN_WORDS * k;
        const ff_part part = ff_part_of(c, row);
        if (whole && !part.present) return {0, false};
        const u64 mixed = ff_is_text(c) ? part.word : ff_xxh64_word(part.word, 0);
        hash = k ? ff_xxh64_word(hash, mixed) : mixed;
        if (!part.present) hash = ~hash;
    }
    return {hash, true};
}

static __device__ __forceinline__ bool ff_same_part(const i64* a, i64 i, const i64* b, i64 j) {
    const bool has = ff_in_bitmap(a, i), other_has = ff_in_bitmap(b, j);
    if (ff_is_text(a)) {
        if (!has || !other_has) return has == other_has;
        return ff_same_text(ff_text_of(a, i), ff_text_of(b, j));
    }
    const u64 word = ff_canonical(a, i), other = ff_canonical(b, j);
    const bool present = has && !ff_is_nan(a, word), other_present = other_has && !ff_is_nan(b, other);
    return present == other_present && (!present || word == other);
}

static __device__ __forceinline__ bool ff_same_key(
    const i64* t, const i64* a, i64 i, const i64* b, i64 j) {
#pragma unroll 1
    for (i64 k = 0; k < t[KEY_N_PARTS]; k++) {
        if (!ff_same_part(a + N_COLUMN_WORDS * k, i, b + N_COLUMN_WORDS * k, j)) return false;
    }
    return true;
}

// Returns the slot of the key of a row, which it claims if nobody has; -1 where all are taken.
static __device__ __forceinline__ i64 ff_insert(const i64* t, i64 row, u64 hash) {
    u64* slots = FF_GLOBAL(u64, t[KEY_SLOTS]);
    const i64* columns = t + N_KEY_WORDS;
    const i64 mask = t[KEY_N_SLOTS] - 1;
    const u64 mine = ff_slot_word(hash, row);
    i64 slot = (i64)(hash & (u64)mask);
    for (i64 n_probed = 0; n_probed <= mask; n_probed++, slot = (slot + 1) & mask) {
        u64 there = FF_LOAD_RELAXED(slots + slot);
        if (there == FREE) {
            there = atomicCAS(slots + slot, FREE, mine);
            if (there == FREE) {
                const i64 n = ff_atomic_add(FF_GLOBAL(i64, t[KEY_STATE]) + STATE_KEYS, 1);
                if (n >= t[KEY_LIMIT]) ff_atomic_or(FF_GLOBAL(i64, t[KEY_STATE]) + STATE_FULL, 1);
                return slot;
            }
        }
        if (ff_same_tag(there, mine) && ff_same_key(t, columns, row, columns, ff_row_of(there))) {
            if (there < mine) atomicMax(slots + slot, mine);
            return slot;
        }
    }
    return -1;
}

// Slots that a block counts in its own memory: those that come first, one for each place. Frequent
// keys are among them, which would have the whole device wait for one word.
#define N_COUNTED 1024

static __device__ __forceinline__ void ff_count(
    i32* counted, u64* amounts, i64* counts, i32 slot, i64 weight) {
    const int place = slot & (N_COUNTED - 1);
    const i32 there = atomicCAS(counted + place, -1, slot);
    if (there == -1 || there == slot) atomicAdd(amounts + place, (u64)weight);
    else ff_atomic_add(counts + slot, weight);
}

// Finds the slot of the key of each row, and counts. Once there are more keys than the limit the
// state says so, and the rest is left: the caller begins again with more slots.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
insert_keys(const i64* t, i64 first, i64 n) {
    FF_SHARED(i32, counted, N_COUNTED);
    FF_SHARED(u64, amounts, N_COUNTED);
    for (int k = threadIdx.x; k < N_COUNTED; k += BLOCK) counted[k] = -1, amounts[k] = 0;
    __syncthreads();
    const i64 step = (i64)gridDim.x * BLOCK;
    u64* full = FF_GLOBAL(u64, t[KEY_STATE]) + STATE_FULL;
    i64* counts = t[KEY_COUNTS] ? FF_GLOBAL(i64, t[KEY_COUNTS]) : nullptr;
    i32* rows = t[KEY_ROWS] ? FF_GLOBAL(i32, t[KEY_ROWS]) : nullptr;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        if (FF_LOAD_RELAXED(full)) break;
        const i64 row = first + k;
        const i64 weight = t[KEY_WEIGHTS] ? FF_GLOBAL(const i64, t[KEY_WEIGHTS])[row] : 1;
        const ff_part key = ff_key_of(t, t + N_KEY_WORDS, row);
        i32 slot = -1;
        if (key.present && weight) slot = (i32)ff_insert(t, row, key.word);
        if (counts && slot >= 0) ff_count(counted, amounts, counts, slot, weight);
        if (rows) rows[row] = slot;
    }
    __syncthreads();
    for (int k = threadIdx.x; k < N_COUNTED; k += BLOCK) {
        if (amounts[k]) ff_atomic_add(counts + counted[k], (i64)amounts[k]);
    }
}

// Writes row and count of the key of each slot that has one, in no order that means anything, and
// which of those it is into the slot.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
collect_keys(const i64* t, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    u64* slots = FF_GLOBAL(u64, t[KEY_SLOTS]);
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i64 slot = first + k;
        const u64 word = slots[slot];
        if (word == FREE) continue;
        const i64 at = ff_atomic_add(FF_GLOBAL(i64, t[KEY_STATE]) + STATE_COLLECTED, 1);
        FF_GLOBAL(i64, t[KEY_FIRSTS])[at] = ff_row_of(word);
        FF_GLOBAL(i64, t[KEY_TOTALS])[at] = FF_GLOBAL(const i64, t[KEY_COUNTS])[slot];
        slots[slot] = (u64)at;
    }
}

// Writes for each row the number of its key in place of its slot; -1 stays.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
number_keys(const i64* t, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    const u64* slots = FF_GLOBAL(const u64, t[KEY_SLOTS]);
    i32* rows = FF_GLOBAL(i32, t[KEY_ROWS]);
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i32 slot = rows[first + k];
        if (slot >= 0) rows[first + k] = (i32)slots[slot];
    }
}

// Writes the canonical words of a column of numbers at some rows, and whether each is a value.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
take_numbers(const i64* t, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    const i64* c = t + N_KEY_WORDS;
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const ff_part part = ff_part_of(c, FF_GLOBAL(const i64, t[KEY_FIRSTS])[first + k]);
        FF_GLOBAL(u64, t[KEY_TOTALS])[first + k] = part.present ? part.word : 0;
        FF_GLOBAL(u8, t[KEY_ROWS])[first + k] = part.present;
    }
}

// Writes the value of the number of each row, VALUE_MISSING for -1.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
read_values(const i64* t, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    const i32* numbers = FF_GLOBAL(const i32, t[VALUE_NUMBERS]);
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i32 number = numbers[first + k];
        const i32 found = number < 0 ? (i32)t[VALUE_MISSING] : FF_GLOBAL(const i32, t[VALUE_VALUES])[number];
        FF_GLOBAL(i32, t[VALUE_TARGET])[first + k] = found;
    }
}

// Returns the place of the key of a row among the known ones, -1 where it is none of them.
static __device__ __forceinline__ i64 ff_find(const i64* t, i64 row, u64 hash) {
    const u64* slots = FF_GLOBAL(const u64, t[KEY_SLOTS]);
    const i64* columns = t + N_KEY_WORDS;
    const i64* known = columns + N_COLUMN_WORDS * t[KEY_N_PARTS];
    const i64 mask = t[KEY_N_SLOTS] - 1;
    i64 slot = (i64)(hash & (u64)mask);
    for (i64 n_probed = 0; n_probed <= mask; n_probed++, slot = (slot + 1) & mask) {
        const u64 there = slots[slot];
        if (there == FREE) return -1;
        if (!ff_same_tag(there, ff_slot_word(hash, 0))) continue;
        if (ff_same_key(t, columns, row, known, ff_row_of(there))) return ff_row_of(there);
    }
    return -1;
}

// Writes the code of each row: 0 missing; 1 to k unseen, by its hash where k is above 1; then the
// known keys in their order. The columns of the keys stand behind those of the rows.
extern "C" __global__ void __launch_bounds__(BLOCK, 2)
look_up_keys(const i64* t, i64 first, i64 n) {
    const i64 step = (i64)gridDim.x * BLOCK;
    const i64 n_unseen = t[KEY_N_UNSEEN];
    for (i64 k = (i64)blockIdx.x * BLOCK + threadIdx.x; k < n; k += step) {
        const i64 row = first + k;
        const ff_part key = ff_key_of(t, t + N_KEY_WORDS, row);
        const i64 place = key.present ? ff_find(t, row, key.word) : -1;
        i64 code = key.present ? 1 + n_unseen + place : 0;
        if (key.present && place < 0) {
            const u64 hash = n_unseen == 1 || !t[KEY_IS_CROSS] ? key.word
                : ff_xxh64_row(t + N_KEY_WORDS, t[KEY_N_PARTS], row, 0);
            code = 1 + (i64)__umul64hi(hash, (u64)n_unseen);
        }
        FF_GLOBAL(i32, t[KEY_ROWS])[row] = (i32)code;
    }
}
