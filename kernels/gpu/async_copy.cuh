// Copies from memory to shared memory that the thread does not wait for (cp.async, sm_80 and later).
//
// An ordinary copy holds the number in a register on its way, so the thread stops where it stores it
// until memory has answered, some 500 clocks later. This one is given away: the thread computes on,
// and waits for all of its copies at once when it needs them. On an older GPU it is an ordinary copy.
// The host makes each as late as the GPU may, so that a wait that is missing shows there too.
#pragma once

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define MINICNN_ASYNC_COPY 1
#endif

#ifdef MINICNN_HOST
struct LateCopy {
    void *to;
    const void *from;
    size_t bytes;
};
static LateCopy late_copies[1024][64];  // by thread
static int late_count[1024];
#endif

// *to = take ? *from : 0, at some time before async_wait. `from` is read only if it is taken.
template <class T>
__device__ inline void async_copy(T *to, const T *from, bool take) {
#if defined(MINICNN_ASYNC_COPY)
    unsigned address = (unsigned)__cvta_generic_to_shared(to);
    int bytes = take ? (int)sizeof(T) : 0;  // what is left of the element is filled with zeros
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(from),
                 "n"(sizeof(T)), "r"(bytes)
                 : "memory");
#elif defined(MINICNN_HOST)
    static const T zero = 0;
    late_copies[threadIdx.x][late_count[threadIdx.x]++] = {to, take ? from : &zero, sizeof(T)};
#else
    *to = take ? *from : T(0);
#endif
}

// Return once this thread's copies have arrived; those of the others need a __syncthreads too.
__device__ inline void async_wait() {
#if defined(MINICNN_ASYNC_COPY)
    asm volatile("cp.async.wait_all;" ::: "memory");
#elif defined(MINICNN_HOST)
    int &count = late_count[threadIdx.x];
    for (int i = 0; i < count; ++i)
        memcpy(late_copies[threadIdx.x][i].to, late_copies[threadIdx.x][i].from,
               late_copies[threadIdx.x][i].bytes);
    count = 0;
#endif
}
