// Where the numbers of a convolution lie. Every rung but the first looks at it this way.
//
// Letters: N images, C channels, K filters, H W input, P Q output, R S kernel; x and dx (N,C,H,W),
// w and dw (K,C/groups,R,S), b (K), y and dy (N,K,P,Q). Along one axis, output j under tap i of the
// kernel meets the input pixel
//
//     origin + j*per_output + i*per_tap
//
// which for a convolution is -pad + j*stride + i*dilation. For its input gradient it holds as well,
// with dy as the input and dx as the output: tap r of output p met pixel h = p*stride + r*dilation -
// pad, so h takes from p = (h + pad - r*dilation)/stride, wherever that has no remainder. All pixels
// of one phase, h = phase + j*stride, share the taps that leave none, and those lie tap_step apart:
// so dx is stride_h*stride_w convolutions of stride 1, none of which multiplies by a zero between.
#pragma once

#include "common.cuh"

// max(x, 0); a NaN stays. In the store it is free, where a pass of its own would move 8 bytes more.
__device__ inline REAL clipped(REAL x) { return x < 0 ? REAL(0) : x; }

// A convolution's sizes, in the order in which every kernel takes them.
struct Layer {
    int N, C, H, W, K, R, S, P, Q, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups;
};

struct Axis {
    int outputs, first_output, output_step;  // output j is pixel first_output + j*output_step
    int taps, first_tap, tap_step;           // tap i is the kernel's tap first_tap + i*tap_step
    int origin, per_output, per_tap;
};

__device__ inline Axis forward_axis(int outputs, int taps, int stride, int pad, int dilation) {
    return {outputs, 0, 1, taps, 0, 1, -pad, stride, dilation};
}

__device__ inline Axis input_grad_axis(int size, int kernel, int stride, int pad, int dilation,
                                       int phase) {
    Axis axis = {0, phase, stride, 0, 0, 1, 0, 1, 0};
    if (phase < size) axis.outputs = (size - phase + stride - 1) / stride;
    while (axis.tap_step * dilation % stride != 0) ++axis.tap_step;
    int first = 0;
    while (first < kernel && first < stride && (phase + pad - first * dilation) % stride != 0)
        ++first;
    if (first >= kernel || (phase + pad - first * dilation) % stride != 0)
        return axis;  // no tap meets this phase: its gradient is zero
    axis.first_tap = first;
    axis.taps = (kernel - first + axis.tap_step - 1) / axis.tap_step;
    axis.origin = (phase + pad - first * dilation) / stride;
    axis.per_tap = -(axis.tap_step * dilation / stride);
    return axis;
}

// Half of an address in the images that are read. An element under a tap is the sum of the place of
// its output position and the place of the tap: where both rows and both columns add up to a pixel
// inside, images[position.offset + tap.offset] is that pixel.
struct __align__(16) Place {
    int offset, row, column;
    int other;  // a position's: where its result lies. A tap's: where its weight lies
};

#define OUTSIDE (-(1 << 30))  // a row so far up that nothing added to it comes inside

// One group, and of an input gradient one phase: "filters" are the channels that come out.
struct Correlation {
    Axis rows, columns;
    int filters, channels, images;
    int height, width;                                  // of the images that are read
    int image_step, image_first;                        // in them: from image to image, the group's start
    int result_step, result_first, result_width, plane; // the same in the results; plane: a filter's
    int kernel_width, filter_step, channel_step, weight_first;  // in the weights

    __device__ int taps() const { return channels * rows.taps * columns.taps; }
    __device__ int positions() const { return images * rows.outputs * columns.outputs; }

    // n = (image, p, q), q fastest.
    __device__ Place position(int n) const {
        int image = n / (rows.outputs * columns.outputs), pq = n % (rows.outputs * columns.outputs);
        int p = pq / columns.outputs, q = pq % columns.outputs;
        int row = rows.origin + p * rows.per_output;
        int column = columns.origin + q * columns.per_output;
        int h = rows.first_output + p * rows.output_step;
        int v = columns.first_output + q * columns.output_step;
        return {image * image_step + image_first + row * width + column, row, column,
                image * result_step + result_first + h * result_width + v};
    }

    // k = (channel, i, j), j fastest.
    __device__ Place tap(int k) const {
        int channel = k / (rows.taps * columns.taps), ij = k % (rows.taps * columns.taps);
        int i = ij / columns.taps, j = ij % columns.taps;
        int row = i * rows.per_tap, column = j * columns.per_tap;
        int r = rows.first_tap + i * rows.tap_step, s = columns.first_tap + j * columns.tap_step;
        return {channel * height * width + row * width + column, row, column,
                weight_first + channel * channel_step + r * kernel_width + s};
    }
};

__device__ inline Correlation forward_correlation(const Layer &of, int group) {
    Correlation c;
    c.rows = forward_axis(of.P, of.R, of.stride_h, of.pad_h, of.dilation_h);
    c.columns = forward_axis(of.Q, of.S, of.stride_w, of.pad_w, of.dilation_w);
    c.filters = of.K / of.groups, c.channels = of.C / of.groups, c.images = of.N;
    c.height = of.H, c.width = of.W;
    c.image_step = of.C * of.H * of.W, c.image_first = group * c.channels * of.H * of.W;
    c.result_step = of.K * of.P * of.Q, c.result_first = group * c.filters * of.P * of.Q;
    c.result_width = of.Q, c.plane = of.P * of.Q;
    c.kernel_width = of.S, c.channel_step = of.R * of.S, c.filter_step = c.channels * of.R * of.S;
    c.weight_first = group * c.filters * c.filter_step;
    return c;
}

// dy is read, dx comes out: filters and channels change places, in the weights too.
// The phase is that of the rows times stride_w plus that of the columns.
__device__ inline Correlation input_grad_correlation(const Layer &of, int group, int phase) {
    Correlation c;
    c.rows = input_grad_axis(of.H, of.R, of.stride_h, of.pad_h, of.dilation_h, phase / of.stride_w);
    c.columns =
        input_grad_axis(of.W, of.S, of.stride_w, of.pad_w, of.dilation_w, phase % of.stride_w);
    c.filters = of.C / of.groups, c.channels = of.K / of.groups, c.images = of.N;
    c.height = of.P, c.width = of.Q;
    c.image_step = of.K * of.P * of.Q, c.image_first = group * c.channels * of.P * of.Q;
    c.result_step = of.C * of.H * of.W, c.result_first = group * c.filters * of.H * of.W;
    c.result_width = of.W, c.plane = of.H * of.W;
    c.kernel_width = of.S, c.channel_step = c.filters * of.R * of.S, c.filter_step = of.R * of.S;
    c.weight_first = group * c.channels * c.channel_step;
    return c;
}
