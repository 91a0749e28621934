// What average pooling and adaptive average pooling share: sums over a rectangle.

#pragma once

#include "reduce.cuh"
#include "windows.cuh"

// One thread sums a small window: down the columns first, then along, the reference's order.
static __device__ REAL sum_of(const REAL *x, Range rows, Range columns, int W) {
    REAL total = 0;
    for (int w = columns.first; w < columns.last; ++w) {
        REAL column = 0;
        for (int h = rows.first; h < rows.last; ++h) column += x[h * W + w];
        total += column;
    }
    return total;
}

// A block sums a large one: each thread every blockDim-th pixel, then all of them together.
static __device__ REAL block_sum_of(
    const REAL *x, Range rows, Range columns, int W, REAL *room) {
    int width = columns.last - columns.first, count = (rows.last - rows.first) * width;
    REAL total = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x)
        total += x[(rows.first + i / width) * W + columns.first + i % width];
    return block_sum(total, room);
}
