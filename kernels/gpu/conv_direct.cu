// Convolution, rung 1: one thread for each number of the result, and nothing shared.
//
// It is the textbook's loops with the outer four handed to threads. Each multiply-add reads two
// numbers, 8 bytes for 2 FLOPs: from memory alone, the 1.5 TB/s of an A100 would feed 0.4 TFLOP/s, 2 %
// of the 19.5 of its float32 units. The caches help, for neighbours read overlapping windows and the
// same weights, but they deliver 32 numbers a clock to a multiprocessor that could take in 128, and a
// dozen instructions find and check the address of each pixel: an eighth of the peak, 2.4 TFLOP/s, is
// what to hope for. Where there is little to compute that is little loss. A depthwise 3x3 layer makes
// 18 FLOPs for the 8 bytes of an input and an output, so memory allows it no more than 3.4 TFLOP/s.
//
// A thread finds its place by dividing its number by the sizes. Such a division takes some 20
// instructions, of long long 100, so INDEX is that only for arrays which int cannot count.
#include "conv.cuh"

#ifndef INDEX
#define INDEX int
#endif

// x (N,C,H,W), w (K,C/groups,R,S), b (K) or null, y (N,K,P,Q); clip: y = max(y, 0), a ReLU.
extern "C" __global__ void conv2d(const REAL *x, const REAL *w, const REAL *b, REAL *y, int N, int C,
                                  int H, int W, int K, int R, int S, int P, int Q, int stride_h,
                                  int stride_w, int pad_h, int pad_w, int dilation_h, int dilation_w,
                                  int groups, int clip) {
    INDEX i = thread_number();
    if (i >= (INDEX)N * K * P * Q) return;
    int q = i % Q, p = i / Q % P, k = i / Q / P % K, channels = C / groups;
    INDEX n = i / Q / P / K;
    const REAL *image = x + (n * C + k / (K / groups) * channels) * H * W;
    const REAL *weights = w + (INDEX)k * channels * R * S;
    REAL sum = b ? b[k] : REAL(0);
    for (INDEX c = 0; c < channels; ++c)
        for (int r = 0; r < R; ++r)
            for (int s = 0; s < S; ++s) {
                int h = p * stride_h - pad_h + r * dilation_h;
                int v = q * stride_w - pad_w + s * dilation_w;
                if (inside(h, H) && inside(v, W))
                    sum += weights[(c * R + r) * S + s] * image[(c * H + h) * W + v];
            }
    y[i] = clip ? clipped(sum) : sum;
}

// dx[n,c,h,v] gathers from every output whose window had this pixel under one of its taps. A scatter
// from the outputs would need atomic additions, whose order, and so whose bits, change from run to run.
extern "C" __global__ void conv2d_input_grad(const REAL *dy, const REAL *w, REAL *dx, int N, int C,
                                             int H, int W, int K, int R, int S, int P, int Q,
                                             int stride_h, int stride_w, int pad_h, int pad_w,
                                             int dilation_h, int dilation_w, int groups) {
    INDEX i = thread_number();
    if (i >= (INDEX)N * C * H * W) return;
    int v = i % W, h = i / W % H, c = i / W / H % C;
    INDEX n = i / W / H / C;
    int channels = C / groups, filters = K / groups, first = c / channels * filters;
    REAL sum = 0;
    for (int r = 0; r < R; ++r) {
        int down = h + pad_h - r * dilation_h, p = down / stride_h;
        if (down < 0 || down % stride_h || p >= P) continue;
        for (int s = 0; s < S; ++s) {
            int across = v + pad_w - s * dilation_w, q = across / stride_w;
            if (across < 0 || across % stride_w || q >= Q) continue;
            for (INDEX k = first; k < first + filters; ++k)
                sum += w[((k * channels + c % channels) * R + r) * S + s] *
                       dy[((n * K + k) * P + p) * Q + q];
        }
    }
    dx[i] = sum;
}

// dw[k,c,r,s] adds up dy times the pixel it met, over all images and positions. Each image has a sum
// of its own: a million numbers added to one float32 would round away what a thousand do not.
extern "C" __global__ void conv2d_weight_grad(const REAL *dy, const REAL *x, REAL *dw, int N, int C,
                                              int H, int W, int K, int R, int S, int P, int Q,
                                              int stride_h, int stride_w, int pad_h, int pad_w,
                                              int dilation_h, int dilation_w, int groups) {
    INDEX i = thread_number();
    int channels = C / groups;
    if (i >= (INDEX)K * channels * R * S) return;
    int s = i % S, r = i / S % R, k = i / S / R / channels;
    INDEX c = i / S / R % channels + k / (K / groups) * channels;
    REAL sum = 0;
    for (INDEX n = 0; n < N; ++n) {
        REAL of_image = 0;
        for (int p = 0; p < P; ++p)
            for (int q = 0; q < Q; ++q) {
                int h = p * stride_h - pad_h + r * dilation_h;
                int v = q * stride_w - pad_w + s * dilation_w;
                if (inside(h, H) && inside(v, W))
                    of_image += dy[((n * K + k) * P + p) * Q + q] * x[((n * C + c) * H + h) * W + v];
            }
        sum += of_image;
    }
    dw[i] = sum;
}
