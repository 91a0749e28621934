// Bilinear: an image read at places between its pixels. The gradient is `spread` of gather.cu.
//
// Per output in float32: 4 bytes written, and at an enlargement by two one new pixel in four, so 5
// bytes; the other loads are from the cache. A place's two neighbours and their weights are worked
// out from the place itself, a handful of instructions, instead of being read from four tables.

#include "planes.cuh"

struct Neighbours {
    int low, high;
    REAL low_weight, high_weight;

    __device__ Neighbours(REAL place, int size) {
        low = int(floor(place));
        high = min(low + 1, size - 1);
        high_weight = place - low;
        low_weight = 1 - high_weight;
    }
};

// x (planes,H,W), rows (P), columns (Q), y (planes,P,Q).
extern "C" __global__ void bilinear(
    const REAL *__restrict__ x, const REAL *__restrict__ rows, const REAL *__restrict__ columns,
    REAL *__restrict__ y, long long planes, int H, int W, int P, int Q) {
    long long plane = this_plane();
    if (plane >= planes) return;
    x += plane * H * W;
    for (int i = first_place(); i < P * Q; i += next_place()) {
        Neighbours r(rows[i / Q], H), c(columns[i % Q], W);
        REAL left = r.low_weight * x[r.low * W + c.low] + r.high_weight * x[r.high * W + c.low];
        REAL right = r.low_weight * x[r.low * W + c.high] + r.high_weight * x[r.high * W + c.high];
        y[plane * P * Q + i] = c.low_weight * left + c.high_weight * right;
    }
}
