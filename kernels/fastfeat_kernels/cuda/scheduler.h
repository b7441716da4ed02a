// The scheduler of the emulator: which GPU thread runs next, and who waits for whom.
//
// A few blocks are resident at a time. Each pass resumes every thread that can run, in the order
// of the launch: forward, reverse, or random, where a thread may also be put aside before an
// atomic operation. What hardware leaves undefined is an error that names the line, or poison.
#pragma once
#include "fiber.h"

namespace ff_emulator {

typedef unsigned long long Word;
typedef void (*Kernel)(const long long* table, long long first, long long n);

enum Order : unsigned { forward, reverse, shuffled };
enum State : uint8_t { unstarted, ready, at_barrier, in_warp, done };
enum WarpOperation : uint8_t { sync, shuffle, shuffle_down, shuffle_up, shuffle_xor, ballot, match };

const uint8_t poison = 0xA5;
const Word undefined_lane = 0xdeadbeefdeadbeefull;  // what a shuffle from outside of its mask reads
const size_t shared_limit = 48 << 10;
const size_t arena_bytes = 2 * shared_limit;  // room for the gaps between arrays
const int max_arrays = 32;

struct Launch {  // as `fastfeat/engine/gpu/device/emulated.py` lays it out
    Kernel kernel;
    const long long* table;
    long long first, n;
    unsigned grid_x, grid_y, block, shared_bytes, resident, order;
    Word seed;
    Stacks* stacks;
};

struct Block;
struct Thread {
    Fiber* fiber;
    Block* block;
    unsigned index;
    State state;
    bool predicate;
    int line;
    // of a warp operation: what the lane gave, and what it got
    WarpOperation operation;
    unsigned mask;
    int argument;
    Word given, got;
    // for ThreadSanitizer: what the lane has done before its last two __syncwarp, which of the two
    // was the last, and the same of the lanes that it met there
    char clocks[2];
    bool turn;
    unsigned turns;
};

struct SharedArray {
    int key;
    char* start;
};

struct Block {
    Thread* threads;
    unsigned x, y, n_done, n_waiting, barrier_count;
    bool is_live;
    char* arena;  // shared memory
    size_t arena_used, shared_used;
    SharedArray arrays[max_arrays];
    int n_arrays;
    // What ThreadSanitizer orders threads by. Two, because a thread may wait at the next barrier
    // before another has left this one, and would seem to come before what that one does between.
    char barrier_clocks[2];
    bool turn;
};

struct Index {
    unsigned x, y, z;
};

static Launch launch;
static Thread* current;
static Index thread_index, block_index, block_size, grid_size;
static Word random_state;
static char failure[400];
static Fiber* idle_fibers;
[[maybe_unused]] static char finished_clock;

FF_UNCHECKED inline Word random_word() {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

FF_UNCHECKED inline void leave_to_host() { suspend(current->fiber); }

// Notes what is wrong, and gives up the launch: the thread that found it is not resumed.
template <class... Values>
FF_UNCHECKED inline void fail(const char* format, Values... values) {
    if (failure[0] == 0) snprintf(failure, sizeof failure, format, values...);
    if (current != nullptr) leave_to_host();
}

FF_UNCHECKED inline void put_aside_at_random() {
    if (launch.order == shuffled && (random_word() & 3) == 0) leave_to_host();
}

// ---- shared memory: arrays side by side in an arena of the block, with gaps that ASan watches

FF_UNCHECKED inline void mark(char* start, size_t n_bytes, bool is_usable) {
#if FF_ASAN
    if (is_usable) __asan_unpoison_memory_region(start, n_bytes);
    else __asan_poison_memory_region(start, n_bytes);
#else
    (void)start, (void)n_bytes, (void)is_usable;
#endif
}

FF_UNCHECKED inline void* shared_array(int key, size_t n_bytes) {
    Block* block = current->block;
    for (int k = 0; k < block->n_arrays; k++)
        if (block->arrays[k].key == key) return block->arrays[k].start;
    block->shared_used += (n_bytes + 15) / 16 * 16;
    if (block->shared_used > shared_limit || block->n_arrays == max_arrays)
        fail("more than 48 KB of shared memory, or more than 32 arrays, in a block");
    char* start = block->arena + block->arena_used;
    block->arena_used += (n_bytes + 15) / 16 * 16 + 64;
    block->arrays[block->n_arrays++] = {key, start};
    mark(start, n_bytes, true);
    for (size_t k = 0; k < n_bytes; k++) ((volatile uint8_t*)start)[k] = poison;  // never zero
    return start;
}

FF_UNCHECKED inline char* map_arena() {
    return (char*)mmap(nullptr, arena_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);
}

FF_UNCHECKED inline void reset_arena(Block* block) {
    if (FF_TSAN && block->arena != nullptr) {  // accesses of the block before are no races
        munmap(block->arena, arena_bytes);
        block->arena = map_arena();
    }
    mark(block->arena, arena_bytes, false);
    block->arena_used = block->shared_used = 0;
    block->n_arrays = 0;
}

// ---- barriers

FF_UNCHECKED inline void fail_at_barrier(Block* block) {
    for (unsigned t = 0; t < launch.block; t++)
        if (block->threads[t].state == at_barrier)
            fail("divergent barrier in block (%u, %u): thread %u waits at line %d, and another has "
                 "left the kernel", block->x, block->y, t, block->threads[t].line);
}

FF_UNCHECKED inline void open_barrier(Block* block) {
    block->barrier_count = 0;
    for (unsigned t = 0; t < launch.block; t++) {
        Thread* thread = &block->threads[t];
        if (thread->line != block->threads[0].line)
            fail("divergent barrier in block (%u, %u): thread 0 waits at line %d, thread %u at %d",
                 block->x, block->y, block->threads[0].line, t, thread->line);
        block->barrier_count += thread->predicate;
    }
    block->n_waiting = 0;
    block->turn = !block->turn;
    for (unsigned t = 0; t < launch.block; t++) block->threads[t].state = ready;
}

FF_UNCHECKED inline unsigned wait_at_barrier(int line, bool predicate) {
    Thread* thread = current;
    Block* block = thread->block;
    thread->line = line;
    thread->predicate = predicate;
    thread->state = at_barrier;
    if (block->n_done > 0) fail_at_barrier(block);
#if FF_TSAN
    char* clock = &block->barrier_clocks[block->turn];
    __tsan_release(clock);
#endif
    if (++block->n_waiting == launch.block) open_barrier(block);
    leave_to_host();
#if FF_TSAN
    __tsan_acquire(clock);
#endif
    return block->barrier_count;
}

// ---- warp operations

FF_UNCHECKED inline bool in_mask(unsigned mask, unsigned lane) { return mask >> lane & 1; }

FF_UNCHECKED inline Word lane_result(const Thread* warp, unsigned lane) {
    const Thread* thread = &warp[lane];
    unsigned mask = thread->mask, source = lane, argument = (unsigned)thread->argument;
    Word lanes = 0;
    switch (thread->operation) {
        case sync: return 0;
        case ballot:
        case match:
            for (unsigned k = 0; k < 32; k++) {
                Word wanted = thread->operation == ballot ? 1 : thread->given;
                if (in_mask(mask, k) && warp[k].given == wanted) lanes |= 1ull << k;
            }
            return lanes;
        case shuffle: source = argument & 31; break;
        case shuffle_down: source = lane + argument < 32 ? lane + argument : lane; break;
        case shuffle_up: source = argument <= lane ? lane - argument : lane; break;
        case shuffle_xor: source = (lane ^ argument) & 31; break;
    }
    return in_mask(mask, source) ? warp[source].given : undefined_lane;
}

// Returns whether every lane of the mask is there, and waits for the same operation.
FF_UNCHECKED inline bool is_complete(const Thread* warp, const Thread* last) {
    bool complete = true;
    for (unsigned lane = 0; lane < 32; lane++) {
        const Thread* other = &warp[lane];
        if (!in_mask(last->mask, lane)) continue;
        if (other->state == done)
            fail("line %d: the mask of a warp operation names lane %u, which has left the kernel",
                 last->line, lane);
        complete = complete && other->state == in_warp && other->line == last->line &&
                   other->operation == last->operation && other->mask == last->mask;
    }
    return complete;
}

FF_UNCHECKED inline Word warp_operation(WarpOperation operation, int line, unsigned mask, Word given,
                                        int argument) {
    Thread* thread = current;
    Block* block = thread->block;
    Thread* warp = block->threads + thread->index / 32 * 32;
    if (!in_mask(mask, thread->index % 32))
        fail("line %d: lane %u is not in the mask of its own warp operation", line,
             thread->index % 32);
    thread->operation = operation;
    thread->line = line;
    thread->mask = mask;
    thread->given = given;
    thread->argument = argument;
    thread->state = in_warp;
#if FF_TSAN  // of all warp operations, only this one orders memory
    thread->turn = thread->turn != (operation == sync);
    if (operation == sync) __tsan_release(&thread->clocks[thread->turn]);
#endif
    if (is_complete(warp, thread)) {
        unsigned turns = 0;
        for (unsigned lane = 0; lane < 32; lane++)
            if (in_mask(mask, lane)) turns |= (unsigned)warp[lane].turn << lane;
        for (unsigned lane = 0; lane < 32; lane++) {
            if (!in_mask(mask, lane)) continue;
            warp[lane].got = lane_result(warp, lane);
            warp[lane].turns = turns;
        }
        for (unsigned lane = 0; lane < 32; lane++)
            if (in_mask(mask, lane)) warp[lane].state = ready;
    }
    leave_to_host();
#if FF_TSAN
    for (unsigned lane = 0; operation == sync && lane < 32; lane++)
        if (in_mask(mask, lane)) __tsan_acquire(&warp[lane].clocks[thread->turns >> lane & 1]);
#endif
    return thread->got;
}

// ---- running

FF_UNCHECKED inline void run_threads() {  // the body of every fiber
    begin_fiber();
    for (;;) {
        launch.kernel(launch.table, launch.first, launch.n);
#if FF_TSAN
        __tsan_release(&finished_clock);
#endif
        current->state = done;
        leave_to_host();
    }
}

FF_UNCHECKED inline void finish(Thread* thread) {
    Block* block = thread->block;
    block->n_done++;
    if (block->n_waiting > 0) fail_at_barrier(block);
    if (FF_TSAN) {
        free_fiber(thread->fiber);
    } else {
        thread->fiber->next_idle = idle_fibers;
        idle_fibers = thread->fiber;
    }
    thread->fiber = nullptr;
}

FF_UNCHECKED inline void run(Thread* thread) {
    if (thread->state == unstarted) {
        thread->fiber = idle_fibers;
        if (idle_fibers != nullptr) idle_fibers = idle_fibers->next_idle;
        else thread->fiber = make_fiber(run_threads);
        if (thread->fiber == nullptr) return fail("no memory for the stack of a thread");
        thread->state = ready;
    }
    thread_index.x = thread->index;
    block_index.x = thread->block->x;
    block_index.y = thread->block->y;
    current = thread;
    resume(thread->fiber);
    current = nullptr;
    if (thread->state == done) finish(thread);
}

FF_UNCHECKED inline void start(Block* block, Word number) {
    block->x = (unsigned)(number % launch.grid_x);
    block->y = (unsigned)(number / launch.grid_x);
    block->n_done = block->n_waiting = 0;
    block->is_live = true;
    reset_arena(block);
    for (unsigned t = 0; t < launch.block; t++) {
        Thread* thread = &block->threads[t];
        memset(thread, 0, sizeof *thread);
        thread->block = block;
        thread->index = t;
#if FF_TSAN  // made here, so that what this thread has seen, its shared memory filled, comes before
        thread->fiber = make_fiber(run_threads);
        thread->state = ready;
#endif
    }
}

FF_UNCHECKED inline void exchange(Thread** threads, size_t j, size_t k) {
    Thread* kept = threads[k];
    threads[k] = threads[j];
    threads[j] = kept;
}

FF_UNCHECKED inline void order_threads(Thread** threads, size_t n) {
    if (launch.order == reverse)
        for (size_t k = 0; k < n / 2; k++) exchange(threads, k, n - 1 - k);
    if (launch.order == shuffled)
        for (size_t k = n - 1; k > 0; k--) exchange(threads, random_word() % (k + 1), k);
}

FF_UNCHECKED inline void report_deadlock(Block* blocks) {
    for (unsigned b = 0; b < launch.resident; b++)
        for (unsigned t = 0; blocks[b].is_live && t < launch.block; t++) {
            Thread* thread = &blocks[b].threads[t];
            if (thread->state == at_barrier || thread->state == in_warp)
                return fail("deadlock in block (%u, %u): thread %u waits at line %d for %s",
                            blocks[b].x, blocks[b].y, t, thread->line,
                            thread->state == in_warp ? "the lanes of its warp operation"
                                                     : "the others at __syncthreads");
        }
}

// Blocks are numbered in their order; a random one steps through all numbers by a stride that
// shares no factor with how many there are.
struct BlockOrder {
    Word n_blocks, taken, stride, offset;

    FF_UNCHECKED explicit BlockOrder(Word n) : n_blocks(n), taken(0), stride(1), offset(0) {
        if (launch.order != shuffled) return;
        offset = random_word() % n;
        stride = random_word() % n | 1;
        while (greatest_divisor(stride, n) != 1) stride += 2;
    }
    FF_UNCHECKED static Word greatest_divisor(Word a, Word b) {
        for (; b != 0;) {
            Word rest = a % b;
            a = b;
            b = rest;
        }
        return a;
    }
    FF_UNCHECKED Word next() {
        Word k = taken++;
        if (launch.order == reverse) return n_blocks - 1 - k;
        return (Word)(((unsigned __int128)k * stride + offset) % n_blocks);
    }
};

FF_UNCHECKED inline void run_blocks(Block* blocks, Thread** runnable) {
    BlockOrder order((Word)launch.grid_x * launch.grid_y);
    while (failure[0] == 0) {
        size_t n_runnable = 0;
        bool is_any_live = false;
        for (unsigned b = 0; b < launch.resident; b++) {
            Block* block = &blocks[b];
            if (block->is_live && block->n_done == launch.block) block->is_live = false;
            if (!block->is_live && order.taken < order.n_blocks) start(block, order.next());
            if (!block->is_live) continue;
            is_any_live = true;
            for (unsigned t = 0; t < launch.block; t++)
                if (block->threads[t].state <= ready) runnable[n_runnable++] = &block->threads[t];
        }
        if (!is_any_live) return;
        if (n_runnable == 0) return report_deadlock(blocks);
        order_threads(runnable, n_runnable);
        for (size_t k = 0; k < n_runnable && failure[0] == 0; k++) run(runnable[k]);
    }
}

// Modules keep none: another may need their stacks.
FF_UNCHECKED inline void free_idle_fibers() {
    while (idle_fibers != nullptr) {
        Fiber* fiber = idle_fibers;
        idle_fibers = fiber->next_idle;
        free_fiber(fiber);
    }
}

FF_UNCHECKED inline void free_blocks(Block* blocks) {
    for (unsigned b = 0; b < launch.resident; b++) {
        for (unsigned t = 0; blocks[b].threads != nullptr && t < launch.block; t++)
            if (blocks[b].threads[t].fiber != nullptr) free_fiber(blocks[b].threads[t].fiber);
        free(blocks[b].threads);
        if (blocks[b].arena == nullptr) continue;
        mark(blocks[b].arena, arena_bytes, true);
        munmap(blocks[b].arena, arena_bytes);
    }
    free(blocks);
    free_idle_fibers();
}

}  // namespace ff_emulator

// Runs a kernel; returns 0, or 1 and what was wrong. One launch of a module runs at a time.
extern "C" FF_UNCHECKED int ff_launch(const ff_emulator::Launch* wanted, char* error, size_t n_error) {
    using namespace ff_emulator;
    launch = *wanted;
    stacks = launch.stacks;
    Word n_blocks = (Word)launch.grid_x * launch.grid_y;
    if (launch.resident > n_blocks) launch.resident = (unsigned)n_blocks;
    random_state = launch.seed * 0x9E3779B97F4A7C15ull + 1;
    failure[0] = 0;
    block_size = {launch.block, 1, 1};
    grid_size = {launch.grid_x, launch.grid_y, 1};
    fenv_t environment;  // a caller that flushes subnormals must not change what a kernel computes
    fegetenv(&environment);
    fesetenv(FE_DFL_ENV);
#if FF_TSAN
    host.tsan_fiber = __tsan_get_current_fiber();
#endif
    Block* blocks = (Block*)calloc(launch.resident, sizeof(Block));
    Thread** runnable = (Thread**)calloc((size_t)launch.resident * launch.block, sizeof(Thread*));
    for (unsigned b = 0; b < launch.resident; b++) {
        blocks[b].threads = (Thread*)calloc(launch.block, sizeof(Thread));
        blocks[b].arena = map_arena();
    }
    run_blocks(blocks, runnable);
    free_blocks(blocks);
    free(runnable);
#if FF_TSAN
    __tsan_acquire(&finished_clock);
#endif
    fesetenv(&environment);
    if (failure[0] != 0) snprintf(error, n_error, "%s", failure);
    return failure[0] != 0;
}
