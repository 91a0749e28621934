// Max pooling: one thread per output looks at its window; and the gradient, one thread per pixel.
//
// Forward, per output in float32: R*S loads of which R*S/stride**2 are new, so memory moves
// 4*stride_h*stride_w bytes in and 8 out (the maximum and its place). For 2 x 2 windows at stride 2
// that is 24 bytes per output: 64 channels of 112 x 112 in a batch of 32 are 154 MB, 0.1 ms at
// 1.5 TB/s. Overlapping windows read pixels again, from the cache.
//
// Backward, a scatter of dy to the winners would need atomic additions wherever windows share one.
// So it is turned round: a pixel asks the windows that may have chosen it, and adds up those that
// did. Which may have? The kernel is told nothing of kernel and stride, but the winners tell:
// write a winner's row as p*step + a, then a ranges over a few numbers, `least` to `most`, found
// in a first pass over the plane; row h can only be the choice of p with h - p*step in that range.
// Per pixel of 2 x 2 windows that is one place to look at, of 3 x 3 at stride 2 at most four. A block
// does a plane in both passes, so few planes, as of a batch of one, leave much of a GPU idle.

#include "planes.cuh"
#include "reduce.cuh"

// The first of start, start + step, ... that is not negative.
static __device__ int first_inside(int start, int step) {
    return start >= 0 ? start : (step - -start % step) % step;
}

// x and dx (planes,H,W); y, dy and places (planes,P,Q).

extern "C" __global__ void max_pool(
    const REAL *__restrict__ x, REAL *__restrict__ y, int *__restrict__ places, long long planes,
    int H, int W, int P, int Q, int R, int S, int stride_h, int stride_w, int pad_h, int pad_w,
    int step_h, int step_w) {
    long long plane = this_plane();
    if (plane >= planes) return;
    x += plane * H * W;
    y += plane * P * Q;
    places += plane * P * Q;
    for (int i = first_place(); i < P * Q; i += next_place()) {
        int p = i / Q, q = i % Q;
        int top = p * stride_h - pad_h, left = q * stride_w - pad_w;
        int bottom = min(H, top + R * step_h), right = min(W, left + S * step_w);
        top = first_inside(top, step_h);
        left = first_inside(left, step_w);
        int place = top * W + left;
        REAL best = x[place];
        for (int h = top; h < bottom; h += step_h)
            for (int w = left; w < right; w += step_w) {
                REAL v = x[h * W + w];
                if (v > best || v != v) {  // a NaN wins over all that came before it
                    best = v;
                    place = h * W + w;
                }
            }
        y[i] = best;
        places[i] = place;
    }
}

// dx[h,w] = sum of dy[p,q] over the windows whose winner is (h, w). One block per plane.
extern "C" __global__ void max_pool_grad(
    const REAL *__restrict__ dy, const int *__restrict__ places, REAL *__restrict__ dx, int H,
    int W, int P, int Q, int step_h, int step_w) {
    __shared__ int room[32];
    long long plane = blockIdx.x;
    dy += plane * P * Q;
    places += plane * P * Q;
    dx += plane * H * W;
    int least_a = H, most_a = -step_h * P, least_b = W, most_b = -step_w * Q;
    for (int i = threadIdx.x; i < P * Q; i += blockDim.x) {
        int a = places[i] / W - step_h * (i / Q), b = places[i] % W - step_w * (i % Q);
        least_a = min(least_a, a), most_a = max(most_a, a);
        least_b = min(least_b, b), most_b = max(most_b, b);
    }
    least_a = block_reduce(least_a, Smaller(), H, room);
    most_a = block_reduce(most_a, Larger(), -step_h * P, room);
    least_b = block_reduce(least_b, Smaller(), W, room);
    most_b = block_reduce(most_b, Larger(), -step_w * Q, room);
    for (int i = threadIdx.x; i < H * W; i += blockDim.x) {
        int h = i / W, w = i % W;
        // Those p with least_a <= h - p*step_h <= most_a. The largest first, as the reference adds.
        int p_low = h > most_a ? (h - most_a + step_h - 1) / step_h : 0;
        int q_low = w > most_b ? (w - most_b + step_w - 1) / step_w : 0;
        int p_high = h < least_a ? -1 : min(P - 1, (h - least_a) / step_h);
        int q_high = w < least_b ? -1 : min(Q - 1, (w - least_b) / step_w);
        REAL total = 0;
        for (int p = p_high; p >= p_low; --p)
            for (int q = q_high; q >= q_low; --q)
                if (places[p * Q + q] == i) total += dy[p * Q + q];
        dx[i] = total;
    }
}
