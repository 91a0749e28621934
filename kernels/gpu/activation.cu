// Activations and their gradients, one number to a thread.
//
// The idea: fusion. On the numpy rung silu is seven passes over memory, each an array operation and
// each a kernel on a GPU; here it is one, and all that lies between stays in registers. relu,
// hardtanh and tanh are missing because they are one array operation already.
//
// What predicts the speed: bytes, nothing else. 8 a number in float32, 12 for a gradient: at 3 TB/s
// a batch of 32 x 64 x 112 x 112 (26 million numbers) takes 0.07 ms forward. The longest formula,
// gelu's gradient, is some 40 FLOPs a number: 1 GFLOP, 0.02 ms.
//
// Conditions are written so that a NaN takes the branch that hands it on.
#include "common.cuh"

#define ROOT_2_PI REAL(0.79788456080286536)  // sqrt(2 / pi)
#define ROOT_HALF REAL(0.70710678118654752)
#define CUBIC REAL(0.044715)

// 1 / (1 + exp(-x)), with an exponential that cannot overflow.
__device__ inline REAL logistic(REAL x) {
    const REAL e = exp(-fabs(x));
    return (x < 0 ? e : REAL(1)) / (1 + e);
}

// The share of normal numbers below x, and its approximation by a tanh.
__device__ inline REAL share_below(REAL x, int by_tanh) {
    return REAL(0.5) * (1 + (by_tanh ? tanh(ROOT_2_PI * (x + CUBIC * x * x * x)) : erf(ROOT_HALF * x)));
}

// In all of them dy, x, y and dx (n).

extern "C" __global__ void relu_grad(const REAL *dy, const REAL *y, REAL *dx, long long n) {
    const long long i = thread_number();
    if (i < n) dx[i] = y[i] <= 0 ? REAL(0) : dy[i];
}

extern "C" __global__ void hardtanh_grad(
    const REAL *dy, const REAL *x, REAL *dx, long long n, REAL low, REAL high) {
    const long long i = thread_number();
    if (i < n) dx[i] = x[i] <= low || x[i] >= high ? REAL(0) : dy[i];
}

extern "C" __global__ void leaky_relu(const REAL *x, REAL *y, long long n, REAL slope) {
    const long long i = thread_number();
    if (i < n) y[i] = x[i] > 0 ? x[i] : slope * x[i];
}

extern "C" __global__ void leaky_relu_grad(
    const REAL *dy, const REAL *x, REAL *dx, long long n, REAL slope) {
    const long long i = thread_number();
    if (i < n) dx[i] = x[i] > 0 ? dy[i] : slope * dy[i];
}

extern "C" __global__ void elu(const REAL *x, REAL *y, long long n, REAL alpha) {
    const long long i = thread_number();
    if (i < n) y[i] = x[i] > 0 ? x[i] : alpha * expm1(x[i]);
}

extern "C" __global__ void elu_grad(
    const REAL *dy, const REAL *x, REAL *dx, long long n, REAL alpha) {
    const long long i = thread_number();
    if (i < n) dx[i] = x[i] <= 0 ? dy[i] * alpha * exp(x[i]) : dy[i];
}

extern "C" __global__ void sigmoid(const REAL *x, REAL *y, long long n) {
    const long long i = thread_number();
    if (i < n) y[i] = logistic(x[i]);
}

extern "C" __global__ void sigmoid_grad(const REAL *dy, const REAL *y, REAL *dx, long long n) {
    const long long i = thread_number();
    if (i < n) dx[i] = dy[i] * y[i] * (1 - y[i]);
}

extern "C" __global__ void tanh_grad(const REAL *dy, const REAL *y, REAL *dx, long long n) {
    const long long i = thread_number();
    if (i < n) dx[i] = dy[i] * (1 - y[i] * y[i]);
}

extern "C" __global__ void silu(const REAL *x, REAL *y, long long n) {
    const long long i = thread_number();
    if (i < n) y[i] = x[i] * logistic(x[i]);
}

extern "C" __global__ void silu_grad(const REAL *dy, const REAL *x, REAL *dx, long long n) {
    const long long i = thread_number();
    if (i >= n) return;
    const REAL s = logistic(x[i]);
    dx[i] = dy[i] * s * (1 + x[i] * (1 - s));
}

extern "C" __global__ void gelu(const REAL *x, REAL *y, long long n, int by_tanh) {
    const long long i = thread_number();
    if (i < n) y[i] = x[i] * share_below(x[i], by_tanh);
}

extern "C" __global__ void gelu_grad(
    const REAL *dy, const REAL *x, REAL *dx, long long n, int by_tanh) {
    const long long i = thread_number();
    if (i >= n) return;
    const REAL a = x[i], share = share_below(a, by_tanh);
    const REAL density = by_tanh  // the derivative of the share
        ? 2 * share * (1 - share) * ROOT_2_PI * (1 + 3 * CUBIC * a * a)
        : ROOT_2_PI / 2 * exp(REAL(-0.5) * a * a);
    dx[i] = dy[i] * (share + a * density);
}
