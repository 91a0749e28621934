// Gather: rows and columns picked by number, as padding and nearest upsampling do; and back.
//
// Forward is a copy, 8 bytes per float32 output; the numbers picked are few and stay in the cache.
//
// The gradient goes from the image's side: pixel (h, w) adds up what was picked from it, in the
// order in which it was picked, so no additions meet in memory and all are in the same order each
// time. The picks of row h are entries row_first[h] to row_first[h+1] of row_place, sorted by the
// host, a few hundred numbers; the same for columns. Bilinear reading picks with weights.

#include "planes.cuh"

// x (planes,H,W), rows (P), columns (Q), y (planes,P,Q).
extern "C" __global__ void gather(
    const REAL *__restrict__ x, const int *__restrict__ rows, const int *__restrict__ columns,
    REAL *__restrict__ y, REAL fill, long long planes, int H, int W, int P, int Q) {
    long long plane = this_plane();
    if (plane >= planes) return;
    for (int i = first_place(); i < P * Q; i += next_place()) {
        int h = rows[i / Q], w = columns[i % Q];
        y[plane * P * Q + i] = h < 0 || w < 0 ? fill : x[(plane * H + h) * W + w];
    }
}

// dx[h,w] = sum of weights * dy[p,q] over the picks p of row h and q of column w.
// dy (planes,P,Q), dx (planes,H,W), row_first (H + 1), column_first (W + 1); the others: as many as
// the picks, row_place and row_weight (down), column_place and column_weight (across).
extern "C" __global__ void spread(
    const REAL *__restrict__ dy, REAL *__restrict__ dx, const int *__restrict__ row_first,
    const int *__restrict__ row_place, const REAL *__restrict__ row_weight,
    const int *__restrict__ column_first, const int *__restrict__ column_place,
    const REAL *__restrict__ column_weight, long long planes, int H, int W, int P, int Q) {
    long long plane = this_plane();
    if (plane >= planes) return;
    for (int i = first_place(); i < H * W; i += next_place()) {
        int h = i / W, w = i % W;
        REAL total = 0;
        for (int b = column_first[w]; b < column_first[w + 1]; ++b) {
            REAL column = 0;
            for (int a = row_first[h]; a < row_first[h + 1]; ++a)
                column += row_weight[a] * dy[(plane * P + row_place[a]) * Q + column_place[b]];
            total += column_weight[b] * column;
        }
        dx[plane * H * W + i] = total;
    }
}
