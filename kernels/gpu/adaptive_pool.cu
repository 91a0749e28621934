// Adaptive pooling: windows that share the image out evenly, otherwise as in avg_pool.cu and
// pool.cu.
//
// A window's bounds take two divisions per axis and output, or per axis and pixel backward. The
// usual outputs, 1 x 1 to 7 x 7, have windows large enough that this does not show; the image is
// read once, 4 bytes per pixel in float32, and little is written.

#include "averages.cuh"
#include "planes.cuh"

// x and dx (planes,H,W); y, dy and places (planes,P,Q).

extern "C" __global__ void adaptive_avg_pool(
    const REAL *__restrict__ x, REAL *__restrict__ y, long long planes, int H, int W, int P, int Q
) {
    long long plane = this_plane();
    if (plane >= planes) return;
    for (int i = first_place(); i < P * Q; i += next_place()) {
        Range rows = adaptive_window(i / Q, H, P), columns = adaptive_window(i % Q, W, Q);
        REAL sum = sum_of(x + plane * H * W, rows, columns, W);
        y[plane * P * Q + i] = sum / ((rows.last - rows.first) * (columns.last - columns.first));
    }
}

extern "C" __global__ void adaptive_avg_pool_large(
    const REAL *__restrict__ x, REAL *__restrict__ y, int H, int W, int P, int Q) {
    __shared__ REAL room[32];
    long long plane = blockIdx.x / (P * Q);
    Range rows = adaptive_window(blockIdx.x % (P * Q) / Q, H, P);
    Range columns = adaptive_window(blockIdx.x % Q, W, Q);
    REAL sum = block_sum_of(x + plane * H * W, rows, columns, W, room);
    int count = (rows.last - rows.first) * (columns.last - columns.first);
    if (threadIdx.x == 0) y[blockIdx.x] = sum / count;
}

extern "C" __global__ void adaptive_avg_pool_grad(
    const REAL *__restrict__ dy, REAL *__restrict__ dx, long long planes, int H, int W, int P, int Q
) {
    long long plane = this_plane();
    if (plane >= planes) return;
    for (int i = first_place(); i < H * W; i += next_place()) {
        Range down = adaptive_windows_over(i / W, H, P), along = adaptive_windows_over(i % W, W, Q);
        REAL total = 0;
        for (int q = along.first; q < along.last; ++q) {
            Range columns = adaptive_window(q, W, Q);
            REAL column = 0;
            for (int p = down.first; p < down.last; ++p) {
                Range rows = adaptive_window(p, H, P);
                int count = (rows.last - rows.first) * (columns.last - columns.first);
                column += dy[(plane * P + p) * Q + q] / count;
            }
            total += column;
        }
        dx[plane * H * W + i] = total;
    }
}

extern "C" __global__ void adaptive_max_pool(
    const REAL *__restrict__ x, REAL *__restrict__ y, int *__restrict__ places, long long planes,
    int H, int W, int P, int Q) {
    long long plane = this_plane();
    if (plane >= planes) return;
    x += plane * H * W;
    for (int i = first_place(); i < P * Q; i += next_place()) {
        Range rows = adaptive_window(i / Q, H, P), columns = adaptive_window(i % Q, W, Q);
        int place = rows.first * W + columns.first;
        for (int h = rows.first; h < rows.last; ++h)
            for (int w = columns.first; w < columns.last; ++w) {
                REAL v = x[h * W + w];
                if (v > x[place] || v != v) place = h * W + w;  // the first of equals, the last NaN
            }
        y[plane * P * Q + i] = x[place];
        places[plane * P * Q + i] = place;
    }
}
