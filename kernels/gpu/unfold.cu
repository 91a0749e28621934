// unfold (im2col) and fold (col2im): the image as columns of pixels under the kernel, and back.
//
// The idea: one thread per place, neighbours in a row. In unfold a thread is an output place (p, q)
// of one plane, and goes through the R*S taps: under one tap, the 32 threads of a warp write 32
// numbers that lie side by side, and read pixels `stride` apart. In fold a thread is a pixel, and
// *gathers* what the windows over it hold. Scattering from the columns would need atomic additions,
// whose order, and so whose rounding, differs from run to run; a gather has one order, r then s.
//
// What predicts the speed: nothing is computed, so only bytes count. A tensor of N*C*H*W numbers
// is read about once (overlapping windows find their pixels in the cache), and R*S*N*C*P*Q numbers
// are written, or read in fold: at stride 1 and 3 x 3 nine times the image. At 3 TB/s, 64 channels
// of 56 x 56 for a batch of 32 in float32 (26 MB, columns of 231 MB) take 0.09 ms.
//
// The grid: x goes over the places of a plane, y over the N*C planes, in a loop, for a grid has at
// most 65535 blocks in y.
#include "common.cuh"

extern "C" __global__ void unfold(
    const REAL *__restrict__ x,  // (planes, H, W)
    REAL *__restrict__ cols,     // (planes, R, S, P, Q)
    int planes, int H, int W, int P, int Q, int R, int S,
    int stride_h, int stride_w, int pad_h, int pad_w, int dil_h, int dil_w) {
    const long long i = thread_number(), places = (long long)P * Q;
    if (i >= places) return;
    const int top = (int)(i / Q) * stride_h - pad_h, left = (int)(i % Q) * stride_w - pad_w;
    for (long long plane = blockIdx.y; plane < planes; plane += gridDim.y) {
        const REAL *image = x + plane * H * W;
        REAL *to = cols + plane * R * S * places + i;
        for (int r = 0; r < R; ++r)
            for (int s = 0; s < S; ++s, to += places) {
                const int h = top + r * dil_h, w = left + s * dil_w;
                *to = inside(h, H) && inside(w, W) ? image[(long long)h * W + w] : REAL(0);
            }
    }
}

extern "C" __global__ void fold(
    const REAL *__restrict__ cols,  // (planes, R, S, P, Q)
    REAL *__restrict__ x,           // (planes, H, W)
    int planes, int H, int W, int P, int Q, int R, int S,
    int stride_h, int stride_w, int pad_h, int pad_w, int dil_h, int dil_w) {
    const long long i = thread_number(), pixels = (long long)H * W, places = (long long)P * Q;
    if (i >= pixels) return;
    const int h = (int)(i / W) + pad_h, w = (int)(i % W) + pad_w;
    for (long long plane = blockIdx.y; plane < planes; plane += gridDim.y) {
        const REAL *from = cols + plane * R * S * places;
        REAL sum = 0;
        for (int r = 0; r < R; ++r) {
            const int down = h - r * dil_h, p = down / stride_h;  // the window that meets h at r
            if (down < 0 || down % stride_h || p >= P) continue;
            for (int s = 0; s < S; ++s) {
                const int across = w - s * dil_w, q = across / stride_w;
                if (across < 0 || across % stride_w || q >= Q) continue;
                sum += from[(r * S + s) * places + (long long)p * Q + q];
            }
        }
        x[plane * pixels + i] = sum;
    }
}
