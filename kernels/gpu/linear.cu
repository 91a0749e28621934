// The fully connected layer's bias; the products are cuBLAS's.
//
// The bias is added where the product lies, 8 bytes per output in float32. Its gradient sums the
// columns of dy (M,O): 32 threads take 32 neighbouring columns, a whole line of memory, and 8 such
// rows of threads go down dy in turn; then the 8 partial sums of a column meet in shared memory, in
// order. At M = 256 rows each thread adds 32 numbers.

#include "planes.cuh"

// b (O), y (M,O).
extern "C" __global__ void add_bias(
    const REAL *__restrict__ b, REAL *__restrict__ y, long long M, int O) {
    long long m = this_plane();
    if (m >= M) return;
    for (int o = first_place(); o < O; o += next_place()) y[m * O + o] += b[o];
}

// dy (M,O), db (O).
extern "C" __global__ void column_sums(
    const REAL *__restrict__ dy, REAL *__restrict__ db, int M, int O) {
    __shared__ REAL part[8][32];
    int o = blockIdx.x * 32 + threadIdx.x;
    REAL sum = 0;
    for (int m = threadIdx.y; o < O && m < M; m += 8) sum += dy[(long long)m * O + o];
    part[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || o >= O) return;
    for (int i = 1; i < 8; ++i) sum += part[i][threadIdx.x];
    db[o] = sum;
}
