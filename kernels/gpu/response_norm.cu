// Local response normalisation over x (N,C,L): a thread per value looks at the channels around it.
//
// Neighbouring threads take neighbouring pixels, so each of the `size` loads is a whole line, and
// all but one come from the cache: 8 bytes per value in float32 forward. A running sum that adds
// one channel and subtracts another would load less, but would keep the rounding error of a large
// value after it has left. Backward, a value needs the divisors of its neighbours: a first kernel
// stores t = dy*x / d**(beta+1), a second one sums it up, 32 bytes per value.

#include "planes.cuh"

// The sum over channels c - before .. c + after of f, at one pixel. `at` is the value's own place.
static __device__ REAL squares_around(
    const REAL *x, long long at, int c, int C, int L, int before, int after) {
    REAL total = 0;
    for (int j = max(0, c - before); j <= min(C - 1, c + after); ++j) {
        REAL v = x[at + (long long)(j - c) * L];
        total += v * v;
    }
    return total;
}

// In all of them x, y, dy, dx and terms (planes,L).

extern "C" __global__ void response_norm(
    const REAL *__restrict__ x, REAL *__restrict__ y, long long planes, int C, int L, int size,
    REAL share, REAL beta, REAL k) {
    long long plane = this_plane();
    if (plane >= planes) return;
    int c = plane % C;
    for (int l = first_place(); l < L; l += next_place()) {
        long long i = plane * L + l;
        REAL d = k + squares_around(x, i, c, C, L, size / 2, (size - 1) / 2) * share;
        y[i] = x[i] / pow(d, beta);
    }
}

// dx = dy / d**beta, and terms = dx * x / d.
extern "C" __global__ void response_norm_terms(
    const REAL *__restrict__ dy, const REAL *__restrict__ x, REAL *__restrict__ dx,
    REAL *__restrict__ terms, long long planes, int C, int L, int size, REAL share, REAL beta,
    REAL k) {
    long long plane = this_plane();
    if (plane >= planes) return;
    int c = plane % C;
    for (int l = first_place(); l < L; l += next_place()) {
        long long i = plane * L + l;
        REAL d = k + squares_around(x, i, c, C, L, size / 2, (size - 1) / 2) * share;
        dx[i] = dy[i] / pow(d, beta);
        terms[i] = dx[i] * x[i] / d;
    }
}

// dx -= x * factor * sum of the terms of the channels whose window holds this one.
extern "C" __global__ void response_norm_grad(
    const REAL *__restrict__ x, const REAL *__restrict__ terms, REAL *__restrict__ dx,
    long long planes, int C, int L, int size, REAL factor) {
    long long plane = this_plane();
    if (plane >= planes) return;
    int c = plane % C, low = max(0, c - (size - 1) / 2), high = min(C - 1, c + size / 2);
    for (int l = first_place(); l < L; l += next_place()) {
        long long i = plane * L + l;
        REAL total = 0;
        for (int j = low; j <= high; ++j) total += terms[i + (long long)(j - c) * L];
        dx[i] -= x[i] * total * factor;
    }
}
