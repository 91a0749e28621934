// Copies from memory to shared memory that the thread does not wait for (cp.async, sm_80 and later).
//
// An ordinary copy holds the number in a register on its way, so the thread stops where it stores it
// until memory has answered, some 500 clocks later. This one is given away: the thread computes on,
// and waits for all of its copies at once when it needs them. On an older GPU, and on the host, it is
// an ordinary copy, and gives the same numbers.
#pragma once

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define MINICNN_ASYNC_COPY 1
#endif

// *to = take ? *from : 0, in the time until async_wait. `from` is read only if it is taken.
template <class T>
__device__ inline void async_copy(T *to, const T *from, bool take) {
#ifdef MINICNN_ASYNC_COPY
    unsigned address = (unsigned)__cvta_generic_to_shared(to);
    int bytes = take ? (int)sizeof(T) : 0;  // what is left of the element is filled with zeros
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(from),
                 "n"(sizeof(T)), "r"(bytes)
                 : "memory");
#else
    *to = take ? *from : T(0);
#endif
}

// Return once this thread's copies have arrived; those of the others need a __syncthreads too.
__device__ inline void async_wait() {
#ifdef MINICNN_ASYNC_COPY
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}
