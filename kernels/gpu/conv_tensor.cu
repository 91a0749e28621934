// Convolution, rung 5: implicit GEMM (conv_gemm.cuh) on tensor cores, for GPUs from sm_80 on.
//
// A warp computes its part of the result in products of 16 x 8 by 8 x 8 that are one instruction each
// (mma.cuh). These take their factors as TF32, with 11 bits of precision where float32 has 24. So there
// are two kinds of product, by the constant PRODUCTS:
//
//     1   a b with both rounded to TF32: errors of 2^-11 a factor, up to 1e-3 of the result
//     3   a = A + a', what rounding keeps and what it leaves, which has 12 bits itself: a b is
//         A B + A b' + a' B, and a' b', 2^-22 of it, is left out. As good as float32
//
// after Ootomo and Yokota, "Recovering single precision accuracy from Tensor Cores while surpassing
// the FP32 theoretical peak performance", 2022. Splitting makes NaN of an infinity.
//
// A100: TF32 156 TFLOP/s, float32 19.5; so three products could give 52, more than twice the float32
// units. With one product, a round of 16 steps at 128 x 128 takes one of 108 multiprocessors 512 clocks.
// Its 8 warps of 64 x 32 read 8 * 2 * (64 + 32) * 8 numbers from shared memory, 49 KB or 384 clocks,
// and 16 KB are written, 128 clocks: it is busy for as long as the tensor cores, and half of the peak is
// what to hope for. Three products need twice the registers for factors, so warps of 32 x 32 and tiles
// of 64 x 128. There a round is 768 clocks of tensor cores, against 352 of shared memory and 256 of the
// float32 units; half of the peak again, for the waits at each round's end.
//
// An H100 has three times the TF32 rate, but only its wgmma, of four warps together and of sm_90 alone,
// reaches it.
#ifndef TILE_M
#define TILE_M 64
#endif
#ifndef PRODUCTS
#define PRODUCTS 3
#endif
#define WARP_M (PRODUCTS == 3 || TILE_M == 32 ? 32 : 64)
#define WARP_N 32
#define THREADS (TILE_M / WARP_M * 128)
#define RESIDENT (512 / THREADS)  // blocks on a multiprocessor: they leave a thread 128 registers

#include "conv_gemm.cuh"
#include "mma.cuh"

// The lanes of a warp read rows g of 8 and steps t of 4. 20 numbers from row to row put these into 32
// banks of shared memory, and so do 136 from step to step.
using Weights = Layout<true, TILE_M, 1, TILE_K + 4>;
using Pixels = Layout<false, TILE_N, TILE_N + 8, 1>;
using PixelsBySteps = Layout<true, TILE_N, 1, TILE_K + 4>;

// A number as the sum of TF32 parts: of one, or of two.
template <int count>
struct Parts {
    float high[count], low[count];

    __device__ void set(int i, float x) {
        high[i] = to_tf32(x);
        low[i] = PRODUCTS == 3 ? to_tf32(x - high[i]) : 0;
    }
};

template <class B>
struct Warps {
    float sums[WARP_M / 16][WARP_N / 8][4] = {};

    int m, n, g, t;  // the first row and column of this warp, and the place of this lane in it

    __device__ Warps() {
        int warp = threadIdx.x / 32, across = TILE_N / WARP_N;
        m = warp / across * WARP_M, n = warp % across * WARP_N;
        g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    }

    __device__ void round(const float *a, const float *b) {
#pragma unroll
        for (int k0 = 0; k0 < TILE_K; k0 += 8) {
            int k = k0 + t;
            Parts<2> right[WARP_N / 8];
#pragma unroll
            for (int j = 0; j < WARP_N / 8; ++j) {
                right[j].set(0, b[B::at(k, n + 8 * j + g)]);
                right[j].set(1, b[B::at(k + 4, n + 8 * j + g)]);
            }
#pragma unroll
            for (int i = 0; i < WARP_M / 16; ++i) {
                Parts<4> left;
                left.set(0, a[Weights::at(k, m + 16 * i + g)]);
                left.set(1, a[Weights::at(k, m + 16 * i + g + 8)]);
                left.set(2, a[Weights::at(k + 4, m + 16 * i + g)]);
                left.set(3, a[Weights::at(k + 4, m + 16 * i + g + 8)]);
#pragma unroll
                for (int j = 0; j < WARP_N / 8; ++j) multiply_parts(sums[i][j], left, right[j]);
            }
        }
    }

    // Tensor cores cut off what does not fit into a sum instead of rounding it. So the three products
    // of 8 steps, the small ones first, have a short sum of their own, which ordinary units add.
    __device__ static void multiply_parts(float (&sum)[4], const Parts<4> &left,
                                          const Parts<2> &right) {
        if (PRODUCTS == 1) return mma(sum, left.high, right.high);
        float of_steps[4] = {};
        mma(of_steps, left.low, right.high);
        mma(of_steps, left.high, right.low);
        mma(of_steps, left.high, right.high);
#pragma unroll
        for (int e = 0; e < 4; ++e) sum[e] += of_steps[e];
    }

    template <class Store>
    __device__ void store(Store put) const {
#pragma unroll
        for (int i = 0; i < WARP_M / 16; ++i)
#pragma unroll
            for (int j = 0; j < WARP_N / 8; ++j)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    put(m + 16 * i + g + e / 2 * 8, n + 8 * j + 2 * t + e % 2, sums[i][j][e]);
    }
};

// blockIdx.x: which columns, .y: which filters; in .z the group comes first, then phase or range.

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) conv2d(
    const REAL *x, const REAL *w, const REAL *b, REAL *y, int N, int C, int H, int W, int K, int R,
    int S, int P, int Q, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h,
    int dilation_w, int groups, int clip) {
    __shared__ Tiles<Weights, Pixels> tiles;
    Layer layer = {N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_h, pad_w, dilation_h,
                   dilation_w, groups};
    Correlation conv = forward_correlation(layer, blockIdx.z);
    const REAL *bias = b ? b + blockIdx.z * conv.filters : nullptr;
    multiply<false, Warps<Pixels>>(tiles, correlation(conv, x, w, bias, clip, y));
}

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) conv2d_input_grad(
    const REAL *dy, const REAL *w, REAL *dx, int N, int C, int H, int W, int K, int R, int S, int P,
    int Q, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w,
    int groups) {
    __shared__ Tiles<Weights, Pixels> tiles;
    Layer layer = {N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_h, pad_w, dilation_h,
                   dilation_w, groups};
    Correlation conv = input_grad_correlation(layer, blockIdx.z % groups, blockIdx.z / groups);
    multiply<false, Warps<Pixels>>(tiles, correlation(conv, dy, w, nullptr, 0, dx));
}

// parts (ranges,K,C/groups,R,S): dw of the positions range*length to (range + 1)*length.
extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) conv2d_weight_grad(
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
    multiply<true, Warps<PixelsBySteps>>(tiles, of);
}
