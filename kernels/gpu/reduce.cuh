// Sums and extremes over the threads of a block, always in the same order: the same bits each time.
//
// Inside a warp, partners 16, 8, 4, 2 and 1 lanes away exchange registers: five steps, no memory.
// Each lane adds the same two numbers as its partner, so all lanes end up with the same bits. Then
// one number per warp goes through shared memory, and each warp reduces those in the same way. An
// atomic addition would be shorter, but it adds in whatever order the threads arrive.
//
// Blocks are one-dimensional and a multiple of 32 threads. `room` is shared memory for 32 numbers.

#pragma once

struct Sum {
    template <typename T> __device__ T operator()(T a, T b) const { return a + b; }
};

struct Larger {
    template <typename T> __device__ T operator()(T a, T b) const { return a > b ? a : b; }
};

struct Smaller {
    template <typename T> __device__ T operator()(T a, T b) const { return a < b ? a : b; }
};

template <typename T, typename Op> __device__ T warp_reduce(T v, Op op) {
    for (int away = 16; away; away /= 2) v = op(v, __shfl_xor_sync(0xffffffffu, v, away));
    return v;
}

// Return the reduction of every thread's v to every thread. `none` changes nothing: 0 in a sum.
template <typename T, typename Op> __device__ T block_reduce(T v, Op op, T none, T *room) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    v = warp_reduce(v, op);
    if (lane == 0) room[warp] = v;
    __syncthreads();
    v = warp_reduce(lane < warps ? room[lane] : none, op);
    __syncthreads();  // the room may be used again
    return v;
}

template <typename T> __device__ T block_sum(T v, T *room) {
    return block_reduce(v, Sum(), T(0), room);
}
