// Convolution, rung 2: a block brings what its threads share into shared memory once.
//
// A block computes 8 x 32 positions of FILTERS filters, a thread one position of them all. Channel by
// channel, the block loads the patch of the image that its windows cover, the halo included: for a 3x3
// kernel 10 * 34 pixels where the threads of rung 1 would ask for 9 * 256. And a thread uses each pixel
// that it reads for all its filters: 8 multiply-adds for a pixel and 8 weights, which are the same for
// the whole warp and come 4 at a time, so for 3 reads of shared memory instead of 16 of the cache.
//
// These 3 reads keep shared memory, which serves a warp a clock, busy for 3 clocks, and the 64 float32
// units of an A100's multiprocessor need 4 for a warp's 8 multiply-adds; an H100, with 128, needs 2. So
// the arithmetic could run near its peak, but addresses, and the loading of each patch, which nothing
// overlaps but other blocks, take their part: half of the peak is what to hope for. With one filter a
// thread, as in a depthwise layer, it is 2 reads for one multiply-add, no better than rung 1.
#include "common.cuh"
#include "conv.cuh"

#ifndef FILTERS
#define FILTERS 8
#endif
#define TILE_P 8
#define TILE_Q 32
#define THREADS (TILE_P * TILE_Q)

// The pixels along one axis that `count` outputs from `first` on see.
struct Span {
    int first, size;
};

__device__ static Span seen_by(const Axis &axis, int first, int count) {
    int start = axis.origin + first * axis.per_output, reach = (axis.taps - 1) * axis.per_tap;
    return {start + min(reach, 0), (count - 1) * axis.per_output + abs(reach) + 1};
}

// patch (rows.size, columns.size): what lies there in the image, and zeros around it.
__device__ static void load_patch(REAL *patch, const REAL *image, int height, int width, Span rows,
                                  Span columns) {
    for (int i = threadIdx.x; i < rows.size * columns.size; i += THREADS) {
        int h = rows.first + i / columns.size, v = columns.first + i % columns.size;
        patch[i] = inside(h, height) && inside(v, width) ? image[h * width + v] : REAL(0);
    }
}

__device__ static void correlate(const Correlation &conv, const REAL *images, const REAL *w,
                                 const REAL *bias, int clip, REAL *result,
                                 REAL *shared) {
    const Axis &rows = conv.rows, &columns = conv.columns;
    int down = ceil_div(rows.outputs, TILE_P), across = ceil_div(columns.outputs, TILE_Q);
    int tile = blockIdx.x;
    if (tile >= conv.images * down * across) return;  // a phase with fewer pixels than others
    int image = tile / (down * across);
    int p0 = tile / across % down * TILE_P, q0 = tile % across * TILE_Q, f0 = blockIdx.y * FILTERS;
    int p = threadIdx.x / TILE_Q, q = threadIdx.x % TILE_Q;
    int taps = rows.taps * columns.taps, channels = taps ? conv.channels : 0;
    Span high = seen_by(rows, p0, TILE_P), wide = seen_by(columns, q0, TILE_Q);
    REAL *weights = shared, *patch = shared + FILTERS * taps, sums[FILTERS] = {};

    // From the patch's first pixel to that under the first tap of this thread's window.
    int row = rows.origin + (p0 + p) * rows.per_output - high.first;
    int column = columns.origin + (q0 + q) * columns.per_output - wide.first;
    for (int c = 0; c < channels; ++c) {
        __syncthreads();  // nobody needs the last channel any more
        load_patch(patch,
                   images + image * conv.image_step + conv.image_first + c * conv.height * conv.width,
                   conv.height, conv.width, high, wide);
        for (int i = threadIdx.x; i < FILTERS * taps; i += THREADS) {
            int f = f0 + i % FILTERS;
            int from = conv.tap(c * taps + i / FILTERS).other + f * conv.filter_step;
            weights[i] = f < conv.filters ? w[from] : REAL(0);
        }
        __syncthreads();
        const REAL *weight = weights;
        for (int i = 0; i < rows.taps; ++i)
            for (int j = 0; j < columns.taps; ++j, weight += FILTERS) {
                REAL pixel =
                    patch[(row + i * rows.per_tap) * wide.size + column + j * columns.per_tap];
#pragma unroll
                for (int f = 0; f < FILTERS; ++f) sums[f] += weight[f] * pixel;
            }
    }

    if (p0 + p >= rows.outputs || q0 + q >= columns.outputs) return;
    int n = (image * rows.outputs + p0 + p) * columns.outputs + q0 + q;
    REAL *to = result + conv.position(n).other;
#pragma unroll
    for (int f = 0; f < FILTERS; ++f)
        if (f0 + f < conv.filters) {
            REAL sum = sums[f] + (bias ? bias[f0 + f] : REAL(0));
            to[(long long)(f0 + f) * conv.plane] = clip ? clipped(sum) : sum;
        }
}

// blockIdx.x: the image and the tile of positions, .y: which filters; .z: the group, then the phase.

extern "C" __global__ void conv2d(
    const REAL *x, const REAL *w, const REAL *b, REAL *y, int N, int C, int H, int W, int K, int R,
    int S, int P, int Q, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h,
    int dilation_w, int groups, int clip) {
    extern __shared__ REAL shared[];
    Layer layer = {N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_h, pad_w, dilation_h,
                   dilation_w, groups};
    Correlation conv = forward_correlation(layer, blockIdx.z);
    correlate(conv, x, w, b ? b + blockIdx.z * conv.filters : nullptr, clip, y, shared);
}

extern "C" __global__ void conv2d_input_grad(
    const REAL *dy, const REAL *w, REAL *dx, int N, int C, int H, int W, int K, int R, int S, int P,
    int Q, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w,
    int groups) {
    extern __shared__ REAL shared[];
    Layer layer = {N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_h, pad_w, dilation_h,
                   dilation_w, groups};
    correlate(input_grad_correlation(layer, blockIdx.z % groups, blockIdx.z / groups), dy, w,
              nullptr, 0, dx, shared);
}

// parts (ranges,K,C/groups,R,S): dw of the images range*length to (range + 1)*length, of which the
// caller takes the sum. A block computes all R*S taps of one channel for FILTERS filters. Each thread
// has one tap and every so-many-th position of a tile; in the end these are added up, in order.
// blockIdx.x: which filters, .y: the channel in its group; .z: the group, then the range.
extern "C" __global__ void conv2d_weight_grad(
    const REAL *dy, const REAL *x, REAL *parts, int N, int C, int H, int W, int K, int R, int S,
    int P, int Q, int stride_h, int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w,
    int groups, int length) {
    extern __shared__ REAL shared[];
    Layer layer = {N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_h, pad_w, dilation_h,
                   dilation_w, groups};
    Correlation conv = forward_correlation(layer, blockIdx.z % groups);
    int range = blockIdx.z / groups, f0 = blockIdx.x * FILTERS, channel = blockIdx.y;
    int taps = R * S, sharers = THREADS / taps;
    int tap = threadIdx.x % taps, share = threadIdx.x / taps;  // share >= sharers: nothing to do
    REAL *dys = shared, *patch = shared + FILTERS * THREADS, sums[FILTERS] = {};

    for (int n = range * length; n < min((range + 1) * length, N); ++n)
        for (int p0 = 0; p0 < P; p0 += TILE_P)
            for (int q0 = 0; q0 < Q; q0 += TILE_Q) {
                Span high = seen_by(conv.rows, p0, TILE_P), wide = seen_by(conv.columns, q0, TILE_Q);
                __syncthreads();  // nobody needs the last tile any more
                load_patch(patch, x + n * conv.image_step + conv.image_first + channel * H * W, H, W,
                           high, wide);
                int p = p0 + threadIdx.x / TILE_Q, q = q0 + threadIdx.x % TILE_Q;
                int from = n * conv.result_step + conv.result_first + p * Q + q;
                for (int f = 0; f < FILTERS; ++f) {
                    bool there = f0 + f < conv.filters && p < P && q < Q;
                    dys[f * THREADS + threadIdx.x] = there ? dy[from + (f0 + f) * P * Q] : REAL(0);
                }
                __syncthreads();
                const REAL *under = patch + tap / S * dilation_h * wide.size + tap % S * dilation_w;
                for (int i = share; i < THREADS && share < sharers; i += sharers) {
                    REAL pixel =
                        under[i / TILE_Q * stride_h * wide.size + i % TILE_Q * stride_w];
#pragma unroll
                    for (int f = 0; f < FILTERS; ++f) sums[f] += dys[f * THREADS + i] * pixel;
                }
            }

    __syncthreads();
    for (int f = 0; f < FILTERS; ++f) shared[f * THREADS + threadIdx.x] = sums[f];
    __syncthreads();
    for (int i = threadIdx.x; i < FILTERS * taps; i += THREADS) {
        int f = i / taps;
        REAL sum = 0;
        for (int s = 0; s < sharers; ++s) sum += shared[f * THREADS + s * taps + i % taps];
        if (f0 + f < conv.filters)
            parts[(long long)range * K * conv.filter_step +
                  conv.tap(channel * taps + i % taps).other + (f0 + f) * conv.filter_step] = sum;
    }
}
