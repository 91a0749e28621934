// Dropout: the mask is drawn in registers, used, and forgotten; the backward pass draws it again.
//
// Per element in float32: 8 bytes (x read, y written) and a quarter of a Philox block, about 25
// integer instructions. A mask in memory would add a byte or four each way. A GPU that moves
// 1.5 TB/s passes 190 G elements a second and has some 9,700 G integer instructions for them, 50
// each: memory is the limit, but not by much.
//
// A thread does the four elements of one block of words. Its neighbours do the next four, so each
// of its four loads takes every fourth number of a line; the other three find it in the cache.

#include "philox.cuh"
#include "planes.cuh"

// x and y (n).
extern "C" __global__ void dropout(
    const REAL *__restrict__ x, REAL *__restrict__ y, long long n, REAL scale, long long threshold,
    unsigned long long seed, unsigned long long offset) {
    long long block = thread_number();
    if (4 * block >= n) return;
    Words words = philox(block, seed, offset);
    for (int j = 0; j < 4; ++j) {
        long long i = 4 * block + j;
        // A product, not a choice: an infinity that is dropped becomes NaN, as on every rung.
        if (i < n) y[i] = x[i] * (words.w[j] >= threshold ? scale : REAL(0));
    }
}

// words (n).
extern "C" __global__ void random_words(
    unsigned int *__restrict__ words, long long n, unsigned long long seed,
    unsigned long long offset) {
    long long block = thread_number();
    if (4 * block >= n) return;
    Words drawn = philox(block, seed, offset);
    for (int j = 0; j < 4; ++j)
        if (4 * block + j < n) words[4 * block + j] = drawn.w[j];
}
