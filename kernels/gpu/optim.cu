// Adam and SGD in one pass over memory, for one parameter or for all of a network at once.
//
// Adam reads four arrays and writes three, 28 bytes per float32 parameter: AlexNet's 57 M take
// 1.1 ms at 1.5 TB/s. SGD with momentum moves 20 bytes, without 12.
//
// But many parameters are small: half of AlexNet's 16 arrays are biases of 4,096 numbers at most,
// where the launch, 5 microseconds and more from Python, is all. So `adam_many` and `sgd_many` take
// tables of arrays and give each array blocks of its own: one launch for the whole network. A block
// finds its array by halving the table of first blocks, 4 to 8 looks into the cache.

#include "planes.cuh"

struct AdamNumbers {
    REAL beta1, rest1, beta2, rest2, eps, decay, shrink, size, correction;
};

static __device__ void adam_one(REAL *w, REAL g, REAL *m, REAL *v, AdamNumbers a) {
    REAL weight = *w * a.shrink;
    if (a.decay != 0) g += a.decay * weight;
    REAL mean = *m * a.beta1 + a.rest1 * g, square = *v * a.beta2 + a.rest2 * (g * g);
    *m = mean;
    *v = square;
    *w = weight - a.size * (mean / (sqrt(square) / a.correction + a.eps));
}

// w, g, m and v (n).
extern "C" __global__ void adam(
    REAL *__restrict__ w, const REAL *__restrict__ g, REAL *__restrict__ m, REAL *__restrict__ v,
    long long n, REAL beta1, REAL rest1, REAL beta2, REAL rest2, REAL eps, REAL decay, REAL shrink,
    REAL size, REAL correction) {
    AdamNumbers numbers = {beta1, rest1, beta2, rest2, eps, decay, shrink, size, correction};
    long long i = thread_number();
    if (i < n) adam_one(w + i, g[i], m + i, v + i, numbers);
}

struct SgdNumbers {
    REAL lr, decay, momentum, add;
    int first, nesterov;
};

static __device__ void sgd_one(REAL *w, REAL g, REAL *u, SgdNumbers s) {
    if (s.decay != 0) g += s.decay * *w;
    if (u) {
        *u = s.first ? g : s.momentum * *u + s.add * g;  // at first u may hold anything
        g = s.nesterov ? g + s.momentum * *u : *u;
    }
    *w -= s.lr * g;
}

// w, g and u (n); u may be null.
extern "C" __global__ void sgd(
    REAL *__restrict__ w, const REAL *__restrict__ g, REAL *__restrict__ u, long long n, REAL lr,
    REAL decay, REAL momentum, REAL add, int first, int nesterov) {
    SgdNumbers numbers = {lr, decay, momentum, add, first, nesterov};
    long long i = thread_number();
    if (i < n) sgd_one(w + i, g[i], u ? u + i : u, numbers);
}

// The element of tensor t that this thread works on.
struct Element {
    int t;
    long long i;
};

// Tensor t has blocks first_block[t] up to first_block[t + 1]. Halve the range until one is left.
static __device__ Element element_of(const int *first_block, int tensors) {
    int t = 0, beyond = tensors, block = blockIdx.x;
    while (beyond - t > 1) {
        int middle = (t + beyond) / 2;
        if (first_block[middle] <= block) t = middle;
        else beyond = middle;
    }
    return {t, (long long)(block - first_block[t]) * blockDim.x + threadIdx.x};
}

// sizes and first_block (tensors).
extern "C" __global__ void adam_many(
    REAL *const *__restrict__ w, const REAL *const *__restrict__ g, REAL *const *__restrict__ m,
    REAL *const *__restrict__ v, const long long *__restrict__ sizes,
    const int *__restrict__ first_block, int tensors, REAL beta1, REAL rest1, REAL beta2,
    REAL rest2, REAL eps, REAL decay, REAL shrink, REAL size, REAL correction) {
    AdamNumbers numbers = {beta1, rest1, beta2, rest2, eps, decay, shrink, size, correction};
    Element e = element_of(first_block, tensors);
    if (e.i < sizes[e.t])
        adam_one(w[e.t] + e.i, g[e.t][e.i], m[e.t] + e.i, v[e.t] + e.i, numbers);
}

extern "C" __global__ void sgd_many(
    REAL *const *__restrict__ w, const REAL *const *__restrict__ g, REAL *const *__restrict__ u,
    const long long *__restrict__ sizes, const int *__restrict__ first_block, int tensors, REAL lr,
    REAL decay, REAL momentum, REAL add, int first, int nesterov) {
    SgdNumbers numbers = {lr, decay, momentum, add, first, nesterov};
    Element e = element_of(first_block, tensors);
    if (e.i < sizes[e.t])
        sgd_one(w[e.t] + e.i, g[e.t][e.i], u ? u[e.t] + e.i : nullptr, numbers);
}
