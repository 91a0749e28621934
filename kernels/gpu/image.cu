// Decoded photographs as planes of floats: a thread per pixel, which writes to each plane.
//
// A photograph of 224 x 224 is 0.2 MB of bytes that become 0.6 MB of floats: a microsecond, less
// than starting the kernel. What counts is that the bytes, a quarter of the floats, are what
// crosses the bus: 0.2 MB at 25 GB/s are 8 microseconds.

#include "planes.cuh"

// pixels (count,step), y (channels,count).
extern "C" __global__ void unit_planes(
    const unsigned char *__restrict__ pixels, REAL *__restrict__ y, long long count, int step,
    int channels) {
    long long i = thread_number();
    if (i >= count) return;
    for (int c = 0; c < channels; ++c) y[c * count + i] = REAL(pixels[i * step + c]) / REAL(255);
}
