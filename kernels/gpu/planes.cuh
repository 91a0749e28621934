// One thread for a few elements of x (planes, length), without a division per element.
//
// A tensor (N,C,H,W) is N*C planes of H*W numbers. What a kernel needs to know of an element is
// mostly its plane (its channel's constants) and its place in the plane. Worked out from a flat
// number that is a 64-bit division, some 80 instructions, where a kernel that moves 12 bytes may
// spend about 30 before memory is no longer the limit. So blocks are two-dimensional: threadIdx.y
// counts planes, threadIdx.x places, and a thread goes on along its plane. `_grid.over_planes`
// makes the blocks: long planes take a row of threads, short ones share a block.

#pragma once

#include "common.cuh"

__device__ inline long long this_plane() {
    return (long long)blockIdx.x * blockDim.y + threadIdx.y;
}

// Places count in 32 bits, so that dividing them, into rows and columns say, stays cheap.
__device__ inline int first_place() {
    return blockIdx.y * blockDim.x + threadIdx.x;
}

__device__ inline int next_place() {
    return gridDim.y * blockDim.x;
}
