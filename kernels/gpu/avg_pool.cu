// Average pooling: a thread per output, or a block where windows are large; backward per pixel.
//
// Per output in float32 memory moves 4*stride_h*stride_w bytes in and 4 out, once: windows that
// overlap find their pixels in the cache. The R*S additions per output are free up to some 30 taps
// at 1.5 TB/s. Where one window is a whole plane, as at the end of a network, one thread per output
// would leave most of the machine idle and read every 49th number; then a block shares a window.
//
// Backward, a pixel adds up the shares of the windows over it, which are neighbours: a gather, so
// no additions meet in memory. A window's share of dy is divided by its count anew for each pixel,
// one division in place of a pass over memory.

#include "averages.cuh"
#include "planes.cuh"

struct Axis {
    int size, outputs, kernel, stride, pad, counts_pad;

    __device__ Range window(int p) const {
        return within(pool_window(p, kernel, stride, pad, size), size);
    }
    __device__ Range over(int h) const {
        return pool_windows_over(h, kernel, stride, pad, outputs);
    }
    __device__ int count(int p) const {
        Range all = pool_window(p, kernel, stride, pad, size), inside = within(all, size);
        return counts_pad ? all.last - all.first : inside.last - inside.first;
    }
};

// `divisor` 0: the number of pixels.
static __device__ REAL divisor_of(Axis rows, Axis columns, int p, int q, REAL divisor) {
    return divisor != 0 ? divisor : REAL(rows.count(p) * columns.count(q));
}

// x and dx (planes,H,W); y and dy (planes,P,Q).

extern "C" __global__ void avg_pool(
    const REAL *__restrict__ x, REAL *__restrict__ y, long long planes, int H, int W, int P, int Q,
    int R, int S, int stride_h, int stride_w, int pad_h, int pad_w, int counts_pad, REAL divisor) {
    Axis rows = {H, P, R, stride_h, pad_h, counts_pad};
    Axis columns = {W, Q, S, stride_w, pad_w, counts_pad};
    long long plane = this_plane();
    if (plane >= planes) return;
    for (int i = first_place(); i < P * Q; i += next_place()) {
        int p = i / Q, q = i % Q;
        REAL sum = sum_of(x + plane * H * W, rows.window(p), columns.window(q), W);
        y[plane * P * Q + i] = sum / divisor_of(rows, columns, p, q, divisor);
    }
}

extern "C" __global__ void avg_pool_large(
    const REAL *__restrict__ x, REAL *__restrict__ y, int H, int W, int P, int Q, int R, int S,
    int stride_h, int stride_w, int pad_h, int pad_w, int counts_pad, REAL divisor) {
    __shared__ REAL room[32];
    Axis rows = {H, P, R, stride_h, pad_h, counts_pad};
    Axis columns = {W, Q, S, stride_w, pad_w, counts_pad};
    long long plane = blockIdx.x / (P * Q);
    int p = blockIdx.x % (P * Q) / Q, q = blockIdx.x % Q;
    REAL sum = block_sum_of(x + plane * H * W, rows.window(p), columns.window(q), W, room);
    if (threadIdx.x == 0) y[blockIdx.x] = sum / divisor_of(rows, columns, p, q, divisor);
}

extern "C" __global__ void avg_pool_grad(
    const REAL *__restrict__ dy, REAL *__restrict__ dx, long long planes, int H, int W, int P,
    int Q, int R, int S, int stride_h, int stride_w, int pad_h, int pad_w, int counts_pad,
    REAL divisor) {
    Axis rows = {H, P, R, stride_h, pad_h, counts_pad};
    Axis columns = {W, Q, S, stride_w, pad_w, counts_pad};
    long long plane = this_plane();
    if (plane >= planes) return;
    for (int i = first_place(); i < H * W; i += next_place()) {
        Range down = rows.over(i / W), along = columns.over(i % W);
        REAL total = 0;
        for (int q = along.first; q < along.last; ++q) {
            REAL column = 0;
            for (int p = down.first; p < down.last; ++p)
                column += dy[(plane * P + p) * Q + q] / divisor_of(rows, columns, p, q, divisor);
            total += column;
        }
        dx[plane * H * W + i] = total;
    }
}
