// Implicit GEMM: a convolution is a product of matrices, one of which is never written down.
//
// With a *tap* for each (c, r, s) and a *position* for each (n, p, q), im2col is the matrix
// X[tap][position]. Its elements are copies of pixels, so instead of building it (9 times the image
// for a 3x3 kernel, written and read again) a block picks the elements of the tile it needs out of the
// image: images[position.offset + tap.offset], or 0 outside (conv.cuh). Then
//
//     y[filter][position] = Σ over taps       of w[filter][tap]       X[tap][position]
//     dw[filter][tap]     = Σ over positions  of dy[filter][position] X[tap][position]
//
// and the input gradient is the first again. In both, a row is a filter; what the result's columns are
// and what is summed over, "steps" from here on, change places.
//
// A block computes TILE_M x TILE_N of the result, in rounds of TILE_K steps. A round brings
// TILE_K*(TILE_M + TILE_N) numbers to shared memory and makes TILE_K*TILE_M*TILE_N multiply-adds of
// them: 64 for each number at 128 x 128, or 32 FLOPs a byte, so a memory of 1.5 TB/s, the cache not
// counted, feeds 48 TFLOP/s. Shared memory holds two rounds: one is computed while the next arrives.
#pragma once

#include "async_copy.cuh"
#include "common.cuh"
#include "conv.cuh"

#ifndef TILE_M
#define TILE_M 128
#endif
#define TILE_N 128
#define TILE_K (64 / (int)sizeof(REAL))
#ifndef THREADS
#define THREADS (TILE_M > 64 ? 256 : 128)
#endif

// A product: one group of a layer and, of a weight gradient, one range of positions.
struct Product {
    Correlation conv;
    int columns, first_step, last_step;
    const REAL *rows, *images, *bias;  // rows: w or dy; bias may be null
    REAL *result;
    int row_step, result_step;  // from filter to filter, in w or dy and in the result
    int clip;                   // whether a ReLU follows
};

// How an inner product wants its tiles to lie in shared memory: the distance from step to step, and
// from row to row or column to column. `by_steps`: neighbouring threads copy neighbouring steps.
template <bool by_steps_, int rows, int step, int row>
struct Layout {
    static constexpr bool by_steps = by_steps_;
    static constexpr int size = step > row ? TILE_K * step : rows * row;
    __device__ static int at(int k, int i) { return k * step + i * row; }
};

template <class A, class B>
struct __align__(16) Tiles {
    REAL a[2][A::size], b[2][B::size];
    Place columns[TILE_N], steps[2][TILE_K];
    Product of;  // here too, for it is the same for all threads, and registers are dear
};

template <bool weight_grad>
__device__ inline Place step_place(const Product &of, int k) {
    Place outside = {0, OUTSIDE, 0, 0};
    if (k >= of.last_step) return outside;
    return weight_grad ? of.conv.position(k) : of.conv.tap(k);
}

template <bool weight_grad>
__device__ inline Place column_place(const Product &of, int n) {
    Place outside = {0, OUTSIDE, 0, 0};
    if (n >= of.columns) return outside;
    return weight_grad ? of.conv.tap(n) : of.conv.position(n);
}

// Begin the copies of one round, whose steps are decoded already.
template <class A, class B>
__device__ inline void copy_tiles(Tiles<A, B> &tiles, int stage) {
    const Product &of = tiles.of;
    const Place *steps = tiles.steps[stage];
    int thread = threadIdx.x;

    static_assert(THREADS % TILE_K == 0 && THREADS % TILE_N == 0, "a thread has one step or column");
    int k = thread % TILE_K;
    Place step = steps[k];
    const REAL *rows = of.rows + step.other;
    for (int m = thread / TILE_K; m < TILE_M; m += THREADS / TILE_K) {
        int filter = blockIdx.y * TILE_M + m;
        async_copy(&tiles.a[stage][A::at(k, m)], rows + (long long)filter * of.row_step,
                   step.row != OUTSIDE && filter < of.conv.filters);
    }

    auto copy_pixel = [&](int k, int n, const Place &step, const Place &column) {
        bool take = inside(step.row + column.row, of.conv.height) &  // && would be a branch
                    inside(step.column + column.column, of.conv.width);
        async_copy(&tiles.b[stage][B::at(k, n)], of.images + (step.offset + column.offset), take);
    };
    if (B::by_steps) {
        for (int n = thread / TILE_K; n < TILE_N; n += THREADS / TILE_K)
            copy_pixel(k, n, step, tiles.columns[n]);
    } else {
        int n = thread % TILE_N;
        Place column = tiles.columns[n];
        for (k = thread / TILE_N; k < TILE_K; k += THREADS / TILE_N)
            copy_pixel(k, n, steps[k], column);
    }
}

// The whole product. Inner::round multiplies what one round brought; Inner::store hands out the sums.
template <bool weight_grad, class Inner, class A, class B>
__device__ inline void multiply(Tiles<A, B> &tiles, const Product &product) {
    Inner inner;
    if (threadIdx.x == 0) tiles.of = product;
    __syncthreads();
    const Product &of = tiles.of;
    for (int n = threadIdx.x; n < TILE_N; n += THREADS)
        tiles.columns[n] = column_place<weight_grad>(of, blockIdx.x * TILE_N + n);
    if (threadIdx.x < 2 * TILE_K) {
        int stage = threadIdx.x / TILE_K, k = threadIdx.x % TILE_K;
        tiles.steps[stage][k] =
            step_place<weight_grad>(of, of.first_step + stage * TILE_K + k);
    }
    __syncthreads();
    copy_tiles(tiles, 0);

    int stage = 0;
    for (int k0 = of.first_step; k0 < of.last_step; k0 += TILE_K, stage ^= 1) {
        async_wait();
        __syncthreads();  // this round is here, and nobody needs the one before it any more
        if (threadIdx.x < TILE_K)
            tiles.steps[stage][threadIdx.x] =
                step_place<weight_grad>(of, k0 + 2 * TILE_K + threadIdx.x);
        if (k0 + TILE_K < of.last_step) copy_tiles(tiles, stage ^ 1);
        inner.round(tiles.a[stage], tiles.b[stage]);
    }
    async_wait();

    inner.store([&](int m, int n, REAL sum) {
        int filter = blockIdx.y * TILE_M + m;
        if (filter >= of.conv.filters || tiles.columns[n].row == OUTSIDE) return;
        if (of.bias) sum += of.bias[filter];
        of.result[(long long)filter * of.result_step + tiles.columns[n].other] =
            of.clip ? clipped(sum) : sum;
    });
}

// y, and of an input gradient one phase of dx. `rows` are the weights.
__device__ inline Product correlation(const Correlation &conv, const REAL *images, const REAL *rows,
                                      const REAL *bias, int clip, REAL *result) {
    return {conv, conv.positions(), 0, conv.taps(), rows, images, bias, result, conv.filter_step,
            conv.plane, clip};
}

// dw of the positions from first to last, so that more blocks can work: each range writes a dw of its
// own, and these are added up afterwards, in order.
__device__ inline Product weight_gradient(const Correlation &conv, const REAL *x, const REAL *dy,
                                          REAL *dw, int first, int last) {
    return {conv, conv.taps(), first, min(last, conv.positions()), dy, x, nullptr, dw, conv.plane,
            conv.filter_step, 0};
}
