// Convolution, rung 4: implicit GEMM (conv_gemm.cuh) with the sums in registers.
//
// A thread computes 8 x 8 of the result (4 x 8 in the smallest tile). A step reads 8 + 8 numbers from
// shared memory, in 4 reads of 16 bytes, for 64 multiply-adds. These take the 64 float32 units of an
// A100's multiprocessor 32 clocks for a warp; its reads, of 128 bytes a clock, and many lanes asking
// for the same ones, take 6. So the multiply-adds are what it waits for, and the float32 peak
// (19.5 TFLOP/s; 67 on an H100) is the bound. Copies, addresses and the barrier of each round, 16 steps
// or 4096 clocks of multiply-adds, take a part of it: three quarters are what to hope for.
//
// 64 sums, 16 factors and the addresses take 128 registers: two blocks of 256 threads fit on a
// multiprocessor. A full GPU has 216 to 264 such blocks, so fewer tiles than that leave some idle, and
// 3 filters in tiles of 32 rows do a tenth of what they could.
#include "conv_gemm.cuh"

#define ROWS (TILE_M > 32 ? 8 : 4)  // of a thread

// What a step needs lies side by side; the 4 numbers to spare keep copies of neighbouring steps in
// different banks.
using Weights = Layout<true, TILE_M, TILE_M + 4, 1>;
using Pixels = Layout<false, TILE_N, TILE_N + 4, 1>;
using PixelsBySteps = Layout<true, TILE_N, TILE_N + 4, 1>;

struct Registers {
    REAL sums[ROWS][8];
    int m, n;  // the first row and column of this thread; the next four lie half a tile further

    __device__ Registers() {
        m = threadIdx.x / (TILE_N / 8) * 4, n = threadIdx.x % (TILE_N / 8) * 4;
        for (int i = 0; i < ROWS; ++i)
            for (int j = 0; j < 8; ++j) sums[i][j] = 0;
    }

    __device__ int row(int i) const { return m + i % 4 + i / 4 * (TILE_M / 2); }
    __device__ int column(int j) const { return n + j % 4 + j / 4 * (TILE_N / 2); }

    __device__ void round(const REAL *a, const REAL *b) {
#pragma unroll
        for (int k = 0; k < TILE_K; ++k) {
            REAL left[ROWS], right[8];
#pragma unroll
            for (int i = 0; i < ROWS; ++i) left[i] = a[Weights::at(k, row(i))];
#pragma unroll
            for (int j = 0; j < 8; ++j) right[j] = b[Pixels::at(k, column(j))];
#pragma unroll
            for (int i = 0; i < ROWS; ++i)
#pragma unroll
                for (int j = 0; j < 8; ++j) sums[i][j] += left[i] * right[j];
        }
    }

    template <class Store>
    __device__ void store(Store put) const {
#pragma unroll
        for (int i = 0; i < ROWS; ++i)
#pragma unroll
            for (int j = 0; j < 8; ++j) put(row(i), column(j), sums[i][j]);
    }
};

// blockIdx.x: which columns, .y: which filters; in .z the group comes first, then phase or range.

extern "C" __global__ void __launch_bounds__(THREADS) conv2d(
    const REAL *x, const REAL *w, const REAL *b, REAL *y, int N, int C, int H, int W, int K, int R,
    int S, int P, int Q, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h,
    int dilation_w, int groups, int clip) {
    __shared__ Tiles<Weights, Pixels> tiles;
    Layer layer = {N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_h, pad_w, dilation_h,
                   dilation_w, groups};
    Correlation conv = forward_correlation(layer, blockIdx.z);
    const REAL *bias = b ? b + blockIdx.z * conv.filters : nullptr;
    multiply<false, Registers>(tiles, correlation(conv, x, w, bias, clip, y));
}

extern "C" __global__ void __launch_bounds__(THREADS) conv2d_input_grad(
    const REAL *dy, const REAL *w, REAL *dx, int N, int C, int H, int W, int K, int R, int S, int P,
    int Q, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w,
    int groups) {
    __shared__ Tiles<Weights, Pixels> tiles;
    Layer layer = {N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_h, pad_w, dilation_h,
                   dilation_w, groups};
    Correlation conv = input_grad_correlation(layer, blockIdx.z % groups, blockIdx.z / groups);
    multiply<false, Registers>(tiles, correlation(conv, dy, w, nullptr, 0, dx));
}

// parts (ranges,K,C/groups,R,S): dw of the positions range*length to (range + 1)*length.
extern "C" __global__ void __launch_bounds__(THREADS) conv2d_weight_grad(
    const REAL *dy, const REAL *x, REAL *parts, int N, int C, int H, int W, int K, int R, int S,
    int P, int Q, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w,
    int groups, int length) {
    __shared__ Tiles<Weights, PixelsBySteps> tiles;
    Layer layer = {N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_h, pad_w, dilation_h,
                   dilation_w, groups};
    Correlation conv = forward_correlation(layer, blockIdx.z % groups);
    int range = blockIdx.z / groups;
    REAL *dw = parts + (long long)range * K * conv.filter_step;
    Product of = weight_gradient(conv, x, dy, dw, range * length, (range + 1) * length);
    multiply<true, Registers>(tiles, of);
}
