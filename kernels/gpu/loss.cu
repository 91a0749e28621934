// Softmax and cross-entropy in one kernel: a block per row of logits (N,C), which is read once.
//
// Apart they would write the log-probabilities and read them again for one number of each row. Here
// the thread that computes the target's log-probability also stores the loss: 8 bytes per logit in
// float32. At 1000 classes and a batch of 128 that is 1 MB, a microsecond: starting the kernel
// takes longer, so one launch instead of NumPy's seven is what counts.

#include "planes.cuh"
#include "reduce.cuh"

// logits and log_probs (N,C), target and losses (N).
extern "C" __global__ void softmax_cross_entropy(
    const REAL *__restrict__ logits, const long long *__restrict__ target,
    REAL *__restrict__ losses, REAL *__restrict__ log_probs, int C) {
    __shared__ REAL room[32];
    long long n = blockIdx.x, t = target[n];
    logits += n * C;
    log_probs += n * C;
    REAL top = logits[0], total = 0;
    for (int c = threadIdx.x; c < C; c += blockDim.x) top = Larger()(logits[c], top);
    top = block_reduce(top, Larger(), logits[0], room);
    for (int c = threadIdx.x; c < C; c += blockDim.x) total += exp(logits[c] - top);
    REAL log_total = log(block_sum(total, room));
    for (int c = threadIdx.x; c < C; c += blockDim.x) {
        log_probs[c] = logits[c] - top - log_total;
        if (c == t) losses[n] = -log_probs[c];
    }
    if (threadIdx.x == 0 && (t < 0 || t >= C)) losses[n] = 0;  // no class, so no loss
}

// dlogits = dlosses * (probability - [the target's]); rows are planes.
// dlosses and target (N), log_probs and dlogits (N,C).
extern "C" __global__ void softmax_cross_entropy_grad(
    const REAL *__restrict__ dlosses, const REAL *__restrict__ log_probs,
    const long long *__restrict__ target, REAL *__restrict__ dlogits, long long N, int C) {
    long long n = this_plane();
    if (n >= N) return;
    for (int c = first_place(); c < C; c += next_place()) {
        REAL probability = exp(log_probs[n * C + c]);
        dlogits[n * C + c] = dlosses[n] * (c == target[n] ? probability - 1 : probability);
    }
}
