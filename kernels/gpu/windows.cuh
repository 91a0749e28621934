// Windows along one axis, by arithmetic instead of tables: where they begin and end, and which of
// them lie over a pixel. Both kinds never decrease, so those over a pixel are neighbours.

#pragma once

struct Range {
    int first, last;  // last is excluded
};

__device__ inline Range within(Range r, int size) {
    return {max(r.first, 0), min(r.last, size)};
}

// Pooling's window p, the padding included; what ceil_mode lets hang over it is cut off.
__device__ inline Range pool_window(int p, int kernel, int stride, int pad, int size) {
    int first = p * stride - pad;
    return {first, min(first + kernel, size + pad)};
}

// The windows p < outputs with p*stride - pad <= h < p*stride - pad + kernel.
__device__ inline Range pool_windows_over(
    int h, int kernel, int stride, int pad, int outputs) {
    int past = h + pad - kernel + 1;  // windows that start before it end before h
    return {past > 0 ? (past + stride - 1) / stride : 0, min((h + pad) / stride + 1, outputs)};
}

// Adaptive pooling's window p: [floor(p*size/outputs), ceil((p + 1)*size/outputs)).
__device__ inline Range adaptive_window(int p, int size, int outputs) {
    long long first = (long long)p * size, last = first + size + outputs - 1;
    return {int(first / outputs), int(last / outputs)};
}

// The windows over h are those over [h, h + 1) / size of the axis, so the same formula turned
// round.
__device__ inline Range adaptive_windows_over(int h, int size, int outputs) {
    return adaptive_window(h, outputs, size);
}
