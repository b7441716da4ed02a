// The fibers of the emulator: a stack each, and the switch between them, told to the sanitizers.
//
// A fiber runs `entry` in an endless loop of its own, one GPU thread after another: a thread that
// never waits costs one switch in and one out, and no stack of its own. Under ThreadSanitizer a
// fiber serves one GPU thread only, because the sanitizer knows a thread by its fiber.
#pragma once
#include <fenv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_THREAD__)
#define FF_TSAN 1
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void* __tsan_get_current_fiber();
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#else
#define FF_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__)
#define FF_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define FF_ASAN 0
#endif
// The emulator's own accesses are not those of a kernel: a race between them is none.
#if FF_TSAN || FF_ASAN
#define FF_UNCHECKED __attribute__((no_sanitize("thread"), no_sanitize("address"), noinline))
#else
#define FF_UNCHECKED
#endif

// Define FF_UCONTEXT to try the portable switch where the quick one exists: it makes a system call.
#if !defined(__x86_64__) && !defined(FF_UCONTEXT)
#define FF_UCONTEXT
#endif
#ifdef FF_UCONTEXT
#include <ucontext.h>
#endif

namespace ff_emulator {

const size_t guard_bytes = 4096;
const size_t stack_bytes = FF_TSAN || FF_ASAN ? 512 << 10 : 128 << 10;
// To map one took half of a launch. A process may have 65,530 mappings, and a stack is two.
const unsigned most_idle_stacks = FF_TSAN || FF_ASAN ? 0 : 2048;
const unsigned no_sync = 1;  // for ThreadSanitizer: a switch orders nothing, only barriers do

struct Stacks {  // as `fastfeat/engine/gpu/device/emulated.py` lays it out
    char* idle;  // a mapping, which holds the next one in its last word
    unsigned n;
};
static Stacks* stacks;  // that wait for a fiber of any module of the process

struct Fiber {
#ifdef FF_UCONTEXT
    ucontext_t context;
#else
    void* stack_pointer;
#endif
    char* mapping;
    void* tsan_fiber;
    void* asan_fake_stack;
    Fiber* next_idle;
};

struct Host {  // the stack that called `launch`
#ifdef FF_UCONTEXT
    ucontext_t context;
#else
    void* stack_pointer;
#endif
    void* tsan_fiber;
    void* asan_fake_stack;
    const void* asan_stack;
    size_t asan_stack_bytes;
};
static Host host;

#ifdef FF_UCONTEXT
inline void switch_stacks(ucontext_t* from, ucontext_t* to) { swapcontext(from, to); }
#else
// Saves what a call must preserve, exchanges the stack pointers, and returns on the other stack.
asm(R"(.text
.type ff_switch_stacks,@function
ff_switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size ff_switch_stacks,.-ff_switch_stacks
)");
extern "C" __attribute__((visibility("hidden"))) void ff_switch_stacks(void** from, void* to);
#endif

FF_UNCHECKED inline void begin_fiber() {
#if FF_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &host.asan_stack, &host.asan_stack_bytes);
#endif
}

FF_UNCHECKED inline void resume(Fiber* fiber) {
#if FF_ASAN
    __sanitizer_start_switch_fiber(&host.asan_fake_stack, fiber->mapping + guard_bytes, stack_bytes);
#endif
#if FF_TSAN
    __tsan_switch_to_fiber(fiber->tsan_fiber, no_sync);
#endif
#ifdef FF_UCONTEXT
    switch_stacks(&host.context, &fiber->context);
#else
    ff_switch_stacks(&host.stack_pointer, fiber->stack_pointer);
#endif
#if FF_ASAN
    __sanitizer_finish_switch_fiber(host.asan_fake_stack, nullptr, nullptr);
#endif
}

FF_UNCHECKED inline void suspend(Fiber* fiber) {
#if FF_ASAN
    __sanitizer_start_switch_fiber(&fiber->asan_fake_stack, host.asan_stack, host.asan_stack_bytes);
#endif
#if FF_TSAN
    __tsan_switch_to_fiber(host.tsan_fiber, no_sync);
#endif
#ifdef FF_UCONTEXT
    switch_stacks(&fiber->context, &host.context);
#else
    ff_switch_stacks(&fiber->stack_pointer, host.stack_pointer);
#endif
#if FF_ASAN
    __sanitizer_finish_switch_fiber(fiber->asan_fake_stack, nullptr, nullptr);
#endif
}

inline char** next_stack(char* mapping) {
    return (char**)(mapping + guard_bytes + stack_bytes) - 1;
}

// Returns the memory of a stack, below it a page that nothing may touch; null without memory.
FF_UNCHECKED inline char* take_stack() {
    char* mapping = most_idle_stacks > 0 ? stacks->idle : nullptr;
    if (mapping != nullptr) {
        stacks->idle = *next_stack(mapping);
        stacks->n--;
        return mapping;
    }
    mapping = (char*)mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    mprotect(mapping, guard_bytes, PROT_NONE);
    return mapping;
}

FF_UNCHECKED inline void leave_stack(char* mapping) {
    if (stacks->n >= most_idle_stacks) {
        munmap(mapping, guard_bytes + stack_bytes);
        return;
    }
    *next_stack(mapping) = stacks->idle;
    stacks->idle = mapping;
    stacks->n++;
}

// Returns a fiber that will call `entry`, which never returns; null without memory.
FF_UNCHECKED inline Fiber* make_fiber(void (*entry)()) {
    char* mapping = take_stack();
    if (mapping == nullptr) return nullptr;
    Fiber* fiber = (Fiber*)calloc(1, sizeof(Fiber));
    fiber->mapping = mapping;
#ifdef FF_UCONTEXT
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = mapping + guard_bytes;
    fiber->context.uc_stack.ss_size = stack_bytes;
    makecontext(&fiber->context, entry, 0);
#else
    // Six zeros for the registers, then the address to return to; above it a call's alignment.
    void** top = (void**)(mapping + guard_bytes + stack_bytes) - 8;
    memset(top, 0, 8 * sizeof *top);
    top[6] = (void*)entry;
    fiber->stack_pointer = top;
#endif
#if FF_TSAN
    fiber->tsan_fiber = __tsan_create_fiber(0);
#endif
    return fiber;
}

FF_UNCHECKED inline void free_fiber(Fiber* fiber) {
#if FF_TSAN
    __tsan_destroy_fiber(fiber->tsan_fiber);
#endif
#if FF_ASAN
    __asan_unpoison_memory_region(fiber->mapping + guard_bytes, stack_bytes);
#endif
    leave_stack(fiber->mapping);
    free(fiber);
}

}  // namespace ff_emulator
