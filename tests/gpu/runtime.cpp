// A GPU of one thread at a time. Every CUDA thread is a fiber with a stack of its own, which runs
// until it waits for others or ends; the scheduler below lets them go on when all have come.
//
// It is stricter than a GPU. Shared memory is filled with NaN before each block. The order of
// threads and blocks is shuffled by a seed: a missing barrier gives another result. Arrays lie
// against pages that may not be touched. A barrier that not all threads reach, and warp operations
// whose lanes are missing, are errors with their line.
#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>
#include "fibers.h"

struct uint3 { unsigned x, y, z; };
extern "C" { uint3 threadIdx, blockIdx, blockDim, gridDim; }

namespace {

constexpr size_t LANE = 64, MOST = 1024, DYNAMIC = 256 * 1024;
constexpr unsigned char POISON = 0xff;  // a NaN in float and double, -1 in int

// ------------------------------------------------------------------------------ a block's threads

enum State { READY, AT_BARRIER, IN_WARP, DONE };

struct Thread {
    uint3 index;
    State state;
    int line;  // where it waits
    unsigned mask;
    const void *mine;
    size_t size;
    int fiber;  // -1: not begun
};

Thread threads[MOST];
Context scheduler, fibers[MOST];
char *stacks;
bool begun[MOST];  // the fiber's context is made
std::vector<int> idle;
char lanes[MOST / 32][32][LANE];
char *dynamic_shared, *dynamic_start;  // its end lies against a page that may not be touched
int current, count;
void (*entry)(void **);
void **arguments;
char *told;
size_t room;
sigjmp_buf escape;

void fiber_main() {
    for (;;) {
        entry(arguments);
        threads[current].state = DONE;
        change(fibers[threads[current].fiber], scheduler);
    }
}

void resume(int t) {
    Thread &thread = threads[t];
    if (thread.fiber < 0) {
        thread.fiber = idle.back();
        idle.pop_back();
        if (!begun[thread.fiber]) make(fibers[thread.fiber], stacks + thread.fiber * STACK, fiber_main);
        begun[thread.fiber] = true;
    }
    current = t;
    threadIdx = thread.index;
    change(scheduler, fibers[thread.fiber]);
    if (thread.state == DONE) idle.push_back(thread.fiber);
}

void wait(State state, int line) {
    Thread &thread = threads[current];
    thread.state = state;
    thread.line = line;
    const int me = current;
    change(fibers[thread.fiber], scheduler);
    current = me;
}

[[noreturn]] void fail(const char *format, va_list rest) {
    const int n = vsnprintf(told, room, format, rest);
    snprintf(told + (n < (int)room ? n : room - 1), n < (int)room ? room - n : 1,
             " [block (%u, %u, %u), thread (%u, %u, %u)]", blockIdx.x, blockIdx.y, blockIdx.z,
             threadIdx.x, threadIdx.y, threadIdx.z);
    siglongjmp(escape, 1);
}

[[noreturn]] void fail(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    fail(format, rest);
}

// Let the warp operation go on that thread t waits in, if all lanes of its mask are there.
bool release_warp(int t) {
    const int first = t / 32 * 32;
    const Thread &one = threads[t];
    threadIdx = one.index;
    if (!(one.mask >> (t - first) & 1u))
        fail("line %d: the mask %08x of a warp operation lacks the lane that calls it", one.line, one.mask);
    for (int i = 0; i < 32; ++i) {
        if (!(one.mask >> i & 1u)) continue;
        const Thread &other = threads[first + i];
        if (first + i >= count || other.state == DONE)
            fail("line %d: a warp operation waits for lane %d, which %s", one.line, i,
                 first + i >= count ? "the block does not have" : "has ended");
        if (other.state != IN_WARP || other.line != one.line || other.mask != one.mask) return false;
    }
    std::memset(lanes[first / 32], POISON, one.mask == ~0u ? sizeof lanes[0] : 0);
    for (int i = 0; i < 32; ++i) {
        if (!(one.mask >> i & 1u)) continue;
        Thread &other = threads[first + i];
        std::memcpy(lanes[first / 32][i], other.mine, other.size);
        other.state = READY;
    }
    return true;
}

bool release_barrier() {
    int waiting = 0, line = 0;
    for (int t = 0; t < count; ++t) {
        if (threads[t].state != AT_BARRIER) continue;
        threadIdx = threads[t].index;
        if (waiting && threads[t].line != line)
            fail("__syncthreads of lines %d and %d: threads of a block wait at both", line, threads[t].line);
        line = threads[t].line;
        ++waiting;
    }
    if (waiting == count) {
        for (int t = 0; t < count; ++t) threads[t].state = READY;
        return true;
    }
    return false;
}

void describe_deadlock() {
    int ended = 0, at_barrier = 0, in_warp = 0, line = 0;
    for (int t = 0; t < count; ++t) {
        const Thread &thread = threads[t];
        ended += thread.state == DONE;
        at_barrier += thread.state == AT_BARRIER;
        in_warp += thread.state == IN_WARP;
        if (thread.state != DONE) line = thread.line;
    }
    fail("line %d: a barrier that not all threads reach: of %d, %d wait at __syncthreads, %d in a "
         "warp operation, %d have ended", line, count, at_barrier, in_warp, ended);
}

uint64_t chance;
unsigned below(unsigned n) {
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((chance >> 33) % n);
}

// Seed 0: ascending; 1: descending; else at random.
void order(std::vector<int> &places, unsigned seed) {
    const int n = (int)places.size();
    for (int i = 0; i < n; ++i) places[i] = seed == 1 ? n - 1 - i : i;
    if (seed > 1)
        for (int i = n - 1; i > 0; --i) std::swap(places[i], places[below(i + 1)]);
}

// The threads in the order of the seed. With seed 0 all warps go on side by side; with others each
// runs ahead of the next as far as the barriers let it.
std::vector<std::vector<int>> groups(unsigned seed) {
    std::vector<int> warps(seed ? (count + 31) / 32 : 1);
    order(warps, seed);
    std::vector<std::vector<int>> found;
    for (int warp : warps) {
        const int first = seed ? warp * 32 : 0, last = seed ? std::min(first + 32, count) : count;
        found.emplace_back(last - first);
        order(found.back(), seed);
        for (int &t : found.back()) t += first;
    }
    return found;
}

// Run these threads until each waits at __syncthreads or has ended. Returns how many ended.
int run_group(const std::vector<int> &members) {
    int ended = 0;
    for (bool going = true; going;) {
        going = false;
        for (int t : members)
            if (threads[t].state == READY) {
                resume(t);
                ended += threads[t].state == DONE;
                going = true;
            }
        for (int t : members)
            if (threads[t].state == IN_WARP) going |= release_warp(t);
    }
    return ended;
}

void run_block(unsigned seed) {
    for (int t = 0; t < count; ++t) {
        const unsigned x = blockDim.x, y = blockDim.y;
        threads[t] = {{t % x, t / x % y, t / x / y}, READY, 0, 0, nullptr, 0, -1};
    }
    for (int alive = count;;) {
        for (const std::vector<int> &members : groups(seed)) alive -= run_group(members);
        if (!alive) break;
        if (!release_barrier()) describe_deadlock();
    }
}

// ------------------------------------------------------------------------------ arrays

struct Frame { char *map; size_t whole; char *data; size_t size; };
std::vector<Frame> frames;
size_t page() { return (size_t)sysconf(_SC_PAGESIZE); }

void on_signal(int signal, siginfo_t *info, void *) {
    const char *at = (const char *)info->si_addr;
    if (signal == SIGFPE) fail("a division by zero");
    for (size_t i = 0; i < frames.size(); ++i) {
        const Frame &f = frames[i];
        if (at >= f.map && at < f.map + f.whole)
            fail("array %zu of %zu bytes: out of range, touched at byte %td", i, f.size, at - f.data);
    }
    if (at >= dynamic_shared + DYNAMIC && at < dynamic_shared + DYNAMIC + page())
        fail("dynamic shared memory: out of range, touched at byte %td", at - dynamic_start);
    fail("an access to memory that is no array's, at %p", (const void *)at);
}

}  // namespace

extern "C" {

void host_fail(const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    fail(format, rest);
}

// What -fsanitize=undefined calls, each with the place in the source first of all.
struct Place { const char *file; unsigned line, column; };
#define HOST_UBSAN(name, words)                                                                    \
    void __ubsan_handle_##name##_abort(const Place *at) {                                          \
        const char *slash = std::strrchr(at->file, '/');                                           \
        fail("%s, line %u: " words, slash ? slash + 1 : at->file, at->line);                       \
    }
HOST_UBSAN(out_of_bounds, "an index beyond an array's bounds")
HOST_UBSAN(type_mismatch_v1, "a misaligned vector")
HOST_UBSAN(shift_out_of_bounds, "a shift by a bad number of bits")
HOST_UBSAN(divrem_overflow, "a division by zero")
HOST_UBSAN(add_overflow, "a sum beyond its type")
HOST_UBSAN(sub_overflow, "a difference beyond its type")
HOST_UBSAN(mul_overflow, "a product beyond its type")
HOST_UBSAN(negate_overflow, "a negation beyond its type")

void host_barrier(int line) { wait(AT_BARRIER, line); }

const char *host_exchange(unsigned mask, const void *mine, size_t size, int line) {
    Thread &thread = threads[current];
    thread.mask = mask;
    thread.mine = mine;
    thread.size = size;
    wait(IN_WARP, line);
    return lanes[current / 32][0];
}

void *host_dynamic_shared() { return dynamic_start; }

// An array for a kernel: its end lies against a page that may not be touched, its start behind
// poison, which `host_frame_close` looks at. Returns its address.
void *host_frame_open(const void *content, size_t size) {
#ifdef HOST_ASAN  // AddressSanitizer watches what malloc gives
    char *data = (char *)malloc(size);
    std::memcpy(data, content, size);
    frames.push_back({data, 0, data, size});
    return data;
#else
    const size_t inside = (size + 15) / 16 * 16, p = page();
    const size_t middle = (inside + 64 + p - 1) / p * p, whole = middle + 2 * p;
    char *map = (char *)mmap(nullptr, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + p, middle, PROT_READ | PROT_WRITE)) return nullptr;
    char *data = map + p + middle - inside;
    std::memset(map + p, POISON, middle);
    std::memcpy(data, content, size);
    frames.push_back({map, whole, data, size});
    return data;
#endif
}

// 1: the poison around array i is damaged. Copies it to `back`, unless that is null.
int host_frame_close(size_t i, void *back) {
    const Frame f = frames[i];
    if (back) std::memcpy(back, f.data, f.size);
    int damaged = 0;
#ifdef HOST_ASAN
    free(f.map);
#else
    for (const char *c = f.map + page(); c < f.data; ++c) damaged |= (unsigned char)*c != POISON;
    for (const char *c = f.data + f.size; c < f.map + f.whole - page(); ++c)
        damaged |= (unsigned char)*c != POISON;
    munmap(f.map, f.whole);
#endif
    return damaged;
}

void host_frames_forget() { frames.clear(); }

// sizes: grid x, y, z, block x, y, z. Returns 0, or 1 with a message.
int host_run(void (*kernel)(void **), void **args, const unsigned *sizes, void *shared,
             size_t shared_size, size_t dynamic_size, unsigned seed, char *message, size_t size) {
    entry = kernel, arguments = args, told = message, room = size;
    gridDim = {sizes[0], sizes[1], sizes[2]};
    blockDim = {sizes[3], sizes[4], sizes[5]};
    count = (int)(blockDim.x * blockDim.y * blockDim.z);
    chance = seed;
    if (!stacks) {
        const int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, use = PROT_READ | PROT_WRITE;
        stacks = (char *)mmap(nullptr, MOST * STACK, use, how, -1, 0);
        dynamic_shared = (char *)mmap(nullptr, DYNAMIC + page(), use, how, -1, 0);
        mprotect(dynamic_shared + DYNAMIC, page(), PROT_NONE);
    }
    idle.clear();
    for (int i = MOST - 1; i >= 0; --i) idle.push_back(i), begun[i] = false;
    dynamic_start = dynamic_shared + DYNAMIC - (dynamic_size + 15) / 16 * 16;

    static char signal_stack[64 * 1024];
    stack_t mine{}, before{};
    mine.ss_sp = signal_stack, mine.ss_size = sizeof signal_stack;
    sigaltstack(&mine, &before);
    struct sigaction action{}, old[3];
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    const int signals[3] = {SIGSEGV, SIGBUS, SIGFPE};
#ifndef HOST_ASAN
    for (int i = 0; i < 3; ++i) sigaction(signals[i], &action, &old[i]);
#endif
    volatile int failed = 1;
    if (!sigsetjmp(escape, 1)) {
        std::vector<int> rows(gridDim.x);
        order(rows, seed);
        for (unsigned z = 0; z < gridDim.z; ++z)
            for (unsigned y = 0; y < gridDim.y; ++y)
                for (int x : rows) {
                    blockIdx = {(unsigned)x, y, z};
                    if (shared_size) std::memset(shared, POISON, shared_size);
                    std::memset(dynamic_start, POISON, dynamic_shared + DYNAMIC - dynamic_start);
                    run_block(seed);
                }
        failed = 0;
    }
#ifndef HOST_ASAN
    for (int i = 0; i < 3; ++i) sigaction(signals[i], &old[i], nullptr);
#endif
    sigaltstack(&before, nullptr);
    return failed;
}

}  // extern "C"
