// Softmax along the middle axis of x (outer, n, inner): a block per row, or a thread per column.
//
// With inner = 1 the numbers of a row lie next to each other, and a block shares them: the largest,
// the sum of the exponentials, the result. Otherwise neighbouring threads take neighbouring
// columns, so that each step reads whole lines. Either way the second and third look find x in the
// cache unless rows are longer than it: 8 bytes per number in float32, and an exponential or two,
// some 20 instructions each, as many as memory leaves time for at 1.5 TB/s.
//
// A NaN, or a row of -inf alone, makes the whole row NaN: the sum sees to it, whatever the largest.

#include "planes.cuh"
#include "reduce.cuh"

// In all of them x, y, dy and dx (outer,n,inner).

extern "C" __global__ void softmax_rows(
    const REAL *__restrict__ x, REAL *__restrict__ y, int n, int log_of) {
    __shared__ REAL room[32];
    x += (long long)blockIdx.x * n;
    y += (long long)blockIdx.x * n;
    REAL top = x[0], total = 0;
    for (int j = threadIdx.x; j < n; j += blockDim.x) top = Larger()(x[j], top);
    top = block_reduce(top, Larger(), x[0], room);
    for (int j = threadIdx.x; j < n; j += blockDim.x) total += exp(x[j] - top);
    total = block_sum(total, room);
    REAL log_total = log(total);
    for (int j = threadIdx.x; j < n; j += blockDim.x)
        y[j] = log_of ? x[j] - top - log_total : exp(x[j] - top) / total;
}

extern "C" __global__ void softmax_columns(
    const REAL *__restrict__ x, REAL *__restrict__ y, long long columns, int n, int inner,
    int log_of) {
    long long column = thread_number();
    if (column >= columns) return;
    long long start = column / inner * n * inner + column % inner;
    x += start;
    y += start;
    REAL top = x[0], total = 0;
    for (int j = 1; j < n; ++j) top = Larger()(x[(long long)j * inner], top);
    for (int j = 0; j < n; ++j) total += exp(x[(long long)j * inner] - top);
    REAL log_total = log(total);
    for (int j = 0; j < n; ++j) {
        REAL shifted = x[(long long)j * inner] - top;
        y[(long long)j * inner] = log_of ? shifted - log_total : exp(shifted) / total;
    }
}

// dx = y * (dy - sum of dy * y), or for the logarithm dy - exp(y) * sum of dy.
extern "C" __global__ void softmax_rows_grad(
    const REAL *__restrict__ dy, const REAL *__restrict__ y, REAL *__restrict__ dx, int n,
    int log_of) {
    __shared__ REAL room[32];
    dy += (long long)blockIdx.x * n;
    y += (long long)blockIdx.x * n;
    dx += (long long)blockIdx.x * n;
    REAL total = 0;
    for (int j = threadIdx.x; j < n; j += blockDim.x) total += log_of ? dy[j] : dy[j] * y[j];
    total = block_sum(total, room);
    for (int j = threadIdx.x; j < n; j += blockDim.x)
        dx[j] = log_of ? dy[j] - exp(y[j]) * total : y[j] * (dy[j] - total);
}

extern "C" __global__ void softmax_columns_grad(
    const REAL *__restrict__ dy, const REAL *__restrict__ y, REAL *__restrict__ dx,
    long long columns, int n, int inner, int log_of) {
    long long column = thread_number();
    if (column >= columns) return;
    long long start = column / inner * n * inner + column % inner;
    REAL total = 0;
    for (int j = 0; j < n; ++j) {
        long long i = start + (long long)j * inner;
        total += log_of ? dy[i] : dy[i] * y[i];
    }
    for (int j = 0; j < n; ++j) {
        long long i = start + (long long)j * inner;
        dx[i] = log_of ? dy[i] - exp(y[i]) * total : y[i] * (dy[i] - total);
    }
}
