// What all kernels share: where a thread is, whole divisions, and the bounds of windows.
//
// REAL is float or double, chosen when the file is compiled. Indices into one plane are int;
// an index into a whole tensor is long long, for tensors of more than 2^31 numbers exist.
#pragma once

// The number of this thread in a grid that is one row of blocks.
__device__ inline long long thread_number() {
    return (long long)blockIdx.x * blockDim.x + threadIdx.x;
}

// The least number of pieces of size b that hold a; a >= 0, b > 0.
__host__ __device__ constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

// a / b rounded down, for negative a too; b > 0.
__host__ __device__ constexpr int floor_div(int a, int b) {
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}

// Whether 0 <= i < n, in one comparison: as unsigned, a negative number is a huge one.
__device__ inline bool inside(int i, int n) { return (unsigned)i < (unsigned)n; }
