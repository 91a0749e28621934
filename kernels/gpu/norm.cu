// Batch normalisation: x is read from memory once for its moments, and once to be normalised.
//
// For (32,64,56,56) in float32, 26 MB, forward moves 77 MB, 0.05 ms at 1.5 TB/s: x for the moments,
// x again, y. Backward moves 128 MB: dy and x for the sums, dy and x again, dx.
//
// A channel's M = N*L values are shared out among blocks of SHARE values. A block looks at its
// share twice, the second time in the cache: for the sum, then for the squares around the share's
// own mean. `join_moments` combines shares into channels without loss,
//
//     var * M = sum over shares of (squares + count * (mean of the share - mean)**2)
//
// Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", section 2. All this
// in double, as on the other rungs: E[x**2] - mean**2 in float would leave nothing of var at a mean
// of 10,000. That costs two additions and two conversions per value at a half of float's speed on
// data-center GPUs, hidden behind memory, but at 1/32 or less on others, where it decides the time.
//
// SHARE is a number of the source, not of the machine, so the order of every sum is the same
// everywhere. Rows (N,C), L = 1, read one number of each line of C: eight times the traffic, of a
// matrix that is small.

#include "planes.cuh"
#include "reduce.cuh"

// A way through the values of one channel, `step` at a time, with divisions only at the start.
struct Walk {
    int n, l, step_n, step_l, L;

    __device__ Walk(int first, int step, int L)
        : n(first / L), l(first % L), step_n(step / L), step_l(step % L), L(L) {}
    __device__ long long at(int c, int C) const { return ((long long)n * C + c) * L + l; }
    __device__ void next() {
        n += step_n, l += step_l;
        if (l >= L) l -= L, n += 1;
    }
};

// In all of them mean, var, weight, bias, dweight and dbias (C).

// sums and squares (shares, C) of x (N,C,L); one block per share and channel.
extern "C" __global__ void share_moments(
    const REAL *__restrict__ x, double *__restrict__ sums, double *__restrict__ squares, int C,
    int L, int M, int share) {
    __shared__ double room[32];
    int c = blockIdx.x % C, first = blockIdx.x / C * share, last = first + min(share, M - first);
    double sum = 0, square = 0;
    Walk look(first + threadIdx.x, blockDim.x, L), again = look;
    for (int i = first + threadIdx.x; i < last; i += blockDim.x, look.next())
        sum += x[look.at(c, C)];
    sum = block_sum(sum, room);
    double mean = sum / (last - first);
    for (int i = first + threadIdx.x; i < last; i += blockDim.x, again.next()) {
        double deviation = x[again.at(c, C)] - mean;
        square += deviation * deviation;
    }
    square = block_sum(square, room);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum, squares[blockIdx.x] = square;
}

extern "C" __global__ void join_moments(
    const double *__restrict__ sums, const double *__restrict__ squares, REAL *__restrict__ mean,
    REAL *__restrict__ var, int C, int M, int share, int shares) {
    long long c = thread_number();
    if (c >= C) return;
    double total = 0, square = 0;
    for (int i = 0; i < shares; ++i) total += sums[(long long)i * C + c];
    for (int i = 0; i < shares; ++i) {
        int count = min(share, M - i * share);
        double apart = sums[(long long)i * C + c] / count - total / M;
        square += squares[(long long)i * C + c] + count * apart * apart;
    }
    mean[c] = total / M;
    var[c] = square / M;
}

// x and y (planes,L).
extern "C" __global__ void batch_norm(
    const REAL *__restrict__ x, const REAL *__restrict__ mean, const REAL *__restrict__ var,
    const REAL *__restrict__ weight, const REAL *__restrict__ bias, REAL *__restrict__ y, REAL eps,
    long long planes, int C, int L) {
    long long plane = this_plane();
    if (plane >= planes) return;
    int c = plane % C;
    REAL scale = (weight ? weight[c] : REAL(1)) / sqrt(var[c] + eps);
    REAL middle = mean[c], shift = bias ? bias[c] : REAL(0);
    for (int l = first_place(); l < L; l += next_place())
        y[plane * L + l] = (x[plane * L + l] - middle) * scale + shift;
}

// dots and sums (shares, C): of dy * (x - mean) and of dy. dy and x (N,C,L).
extern "C" __global__ void share_dots(
    const REAL *__restrict__ dy, const REAL *__restrict__ x, const REAL *__restrict__ mean,
    double *__restrict__ dots, double *__restrict__ sums, int C, int L, int M, int share) {
    __shared__ double room[32];
    int c = blockIdx.x % C, first = blockIdx.x / C * share, last = first + min(share, M - first);
    double dot = 0, sum = 0;
    Walk look(first + threadIdx.x, blockDim.x, L);
    for (int i = first + threadIdx.x; i < last; i += blockDim.x, look.next()) {
        REAL slope = dy[look.at(c, C)];
        dot += slope * (x[look.at(c, C)] - mean[c]);
        sum += slope;
    }
    dot = block_sum(dot, room);
    sum = block_sum(sum, room);
    if (threadIdx.x == 0) dots[blockIdx.x] = dot, sums[blockIdx.x] = sum;
}

extern "C" __global__ void join_dots(
    const double *__restrict__ dots, const double *__restrict__ sums, const REAL *__restrict__ var,
    REAL *__restrict__ dweight, REAL *__restrict__ dbias, REAL eps, int C, int shares) {
    long long c = thread_number();
    if (c >= C) return;
    double dot = 0, sum = 0;
    for (int i = 0; i < shares; ++i) {
        dot += dots[(long long)i * C + c];
        sum += sums[(long long)i * C + c];
    }
    dweight[c] = dot / sqrt(var[c] + eps);
    dbias[c] = sum;
}

// dy, x and dx (planes,L).
extern "C" __global__ void batch_norm_input_grad(
    const REAL *__restrict__ dy, const REAL *__restrict__ x, const REAL *__restrict__ mean,
    const REAL *__restrict__ var, const REAL *__restrict__ weight, const REAL *__restrict__ dweight,
    const REAL *__restrict__ dbias, REAL *__restrict__ dx, REAL eps, long long planes, int C, int L,
    int M) {
    long long plane = this_plane();
    if (plane >= planes) return;
    int c = plane % C;
    REAL root = sqrt(var[c] + eps), middle = mean[c], dy_mean = dbias[c] / M;
    REAL scale = (weight ? weight[c] : REAL(1)) / root, slope = dweight[c] * (1 / root) / M;
    for (int l = first_place(); l < L; l += next_place()) {
        long long i = plane * L + l;
        dx[i] = (dy[i] - dy_mean - (x[i] - middle) * slope) * scale;
    }
}
