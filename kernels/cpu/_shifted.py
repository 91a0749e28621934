"""The inner loops of shifted runs (`_runs`), in which nearly all of their FLOPs are spent.

Both work on a block of weights (4 filters f by 8 or 4 taps t) over a run of n pixels, and both read
pixel j of tap t at x[at[t] + j]: where the image lies flat in memory, a tap is only an offset.

    add_taps    y[f, j] = bias[f] + sum over t of w[f, t] * x[at[t] + j]    forward, input gradient
    dot_taps    dw[f, t] = sum over j of dy[f, j] * x[at[t] + j]            weight gradient

The compiler turns the loops over j into vector code, 16 float32 per register with AVX-512. Then
one step of `add_taps` is 32 fused multiply-adds for 12 loads and 4 stores, with the weights in
registers; one of `dot_taps` is 16 for 8 loads, with its 16 sums in registers. On a core that
reaches 100 GFLOP/s in OpenBLAS, either reaches 80 to 100, the more the longer the run. Taking 4
taps instead of 8 in `add_taps` cost a fifth: then loads and stores of the sums are the limit.

Runs a multiple of 16 long leave no scalar rest.
"""

from __future__ import annotations

from ._jit import SUM, U, jit

LANES = 16  # runs of pixels are rounded up to a multiple of this
BLOCK = 4  # filters that a tile takes at once
TAPS = 8  # taps that `add_taps` takes at once; the others take 4


@jit
def add_taps(x, at, w, w_at, w_step, filters, first, last, bias, y, n):
    """y[f, j] = bias[f] + sum over taps t in [first, last) of w[w_at[t] + f*w_step] * x[at[t] + j].

    For all j < n and f = 0..3, the four rows of y; with fewer `filters` the last one is computed
    again instead. `at` and `w_at` (int64) are offsets into the flat arrays x and w. The taps that
    do not fill a block of 8 go first, and the first of them starts the sums.
    """
    y0, y1, y2, y3 = y[0], y[1], y[2], y[3]
    n, rest = U(n), filters - 1
    f1, f2, f3 = U(min(1, rest) * w_step), U(min(2, rest) * w_step), U(min(3, rest) * w_step)
    start = first + (last - first) % TAPS
    e, f, g, h = bias[0], bias[min(1, rest)], bias[min(2, rest)], bias[min(3, rest)]
    if start == first:
        for j in range(n):
            y0[j], y1[j], y2[j], y3[j] = e, f, g, h
    else:
        p, w0 = U(at[first]), U(w_at[first])
        a0, b0, c0, d0 = w[w0], w[w0 + f1], w[w0 + f2], w[w0 + f3]
        for j in range(n):
            x0 = x[p + j]
            y0[j], y1[j], y2[j], y3[j] = e + a0 * x0, f + b0 * x0, g + c0 * x0, h + d0 * x0
    for i in range(first + 1, start):
        p, w0 = U(at[i]), U(w_at[i])
        a0, b0, c0, d0 = w[w0], w[w0 + f1], w[w0 + f2], w[w0 + f3]
        for j in range(n):
            x0 = x[p + j]
            y0[j] += a0 * x0
            y1[j] += b0 * x0
            y2[j] += c0 * x0
            y3[j] += d0 * x0
    for i in range(start, last, TAPS):
        p, q, r, s = U(at[i]), U(at[i + 1]), U(at[i + 2]), U(at[i + 3])
        t, u, v, z = U(at[i + 4]), U(at[i + 5]), U(at[i + 6]), U(at[i + 7])
        w0, w1, w2, w3 = U(w_at[i]), U(w_at[i + 1]), U(w_at[i + 2]), U(w_at[i + 3])
        w4, w5, w6, w7 = U(w_at[i + 4]), U(w_at[i + 5]), U(w_at[i + 6]), U(w_at[i + 7])
        a0, a1, a2, a3 = w[w0], w[w1], w[w2], w[w3]
        a4, a5, a6, a7 = w[w4], w[w5], w[w6], w[w7]
        b0, b1, b2, b3 = w[w0 + f1], w[w1 + f1], w[w2 + f1], w[w3 + f1]
        b4, b5, b6, b7 = w[w4 + f1], w[w5 + f1], w[w6 + f1], w[w7 + f1]
        c0, c1, c2, c3 = w[w0 + f2], w[w1 + f2], w[w2 + f2], w[w3 + f2]
        c4, c5, c6, c7 = w[w4 + f2], w[w5 + f2], w[w6 + f2], w[w7 + f2]
        d0, d1, d2, d3 = w[w0 + f3], w[w1 + f3], w[w2 + f3], w[w3 + f3]
        d4, d5, d6, d7 = w[w4 + f3], w[w5 + f3], w[w6 + f3], w[w7 + f3]
        for j in range(n):
            x0, x1, x2, x3 = x[p + j], x[q + j], x[r + j], x[s + j]
            x4, x5, x6, x7 = x[t + j], x[u + j], x[v + j], x[z + j]
            y0[j] = (y0[j] + a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                     + a4 * x4 + a5 * x5 + a6 * x6 + a7 * x7)  # fmt: skip
            y1[j] = (y1[j] + b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                     + b4 * x4 + b5 * x5 + b6 * x6 + b7 * x7)  # fmt: skip
            y2[j] = (y2[j] + c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                     + c4 * x4 + c5 * x5 + c6 * x6 + c7 * x7)  # fmt: skip
            y3[j] = (y3[j] + d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
                     + d4 * x4 + d5 * x5 + d6 * x6 + d7 * x7)  # fmt: skip


@jit
def add_taps_1(x, at, w, w_at, first, last, bias, y, n):
    """Do `add_taps` for a single filter, as depthwise convolutions need it: y[0] only."""
    y0, n = y[0], U(n)
    y0[:n] = bias[0]
    whole = first + (last - first) // 4 * 4
    for t in range(first, whole, 4):
        x0, x1, x2, x3 = U(at[t]), U(at[t + 1]), U(at[t + 2]), U(at[t + 3])
        a, b, c, d = w[w_at[t]], w[w_at[t + 1]], w[w_at[t + 2]], w[w_at[t + 3]]
        for j in range(n):
            y0[j] = y0[j] + a * x[x0 + j] + b * x[x1 + j] + c * x[x2 + j] + d * x[x3 + j]
    for t in range(whole, last):
        x0, a = U(at[t]), w[w_at[t]]
        for j in range(n):
            y0[j] += a * x[x0 + j]


@jit(flags=SUM)
def dot_taps(x, at, dy, f0, f1, f2, f3, n, out):
    """out[4*f + t] = sum over j < n of dy[f_f + j] * x[at_t + j], f and t = 0..3.

    `at` is the tuple of four offsets into x; f0..f3 are the offsets of four filters' runs in dy.
    """
    n = U(n)
    x0, x1, x2, x3 = U(at[0]), U(at[1]), U(at[2]), U(at[3])
    f0, f1, f2, f3 = U(f0), U(f1), U(f2), U(f3)
    zero = out.dtype.type(0)
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zero
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = zero
    for j in range(n):
        a, b, c, d = x[x0 + j], x[x1 + j], x[x2 + j], x[x3 + j]
        e, f, g, h = dy[f0 + j], dy[f1 + j], dy[f2 + j], dy[f3 + j]
        s00, s01, s02, s03 = s00 + e * a, s01 + e * b, s02 + e * c, s03 + e * d
        s10, s11, s12, s13 = s10 + f * a, s11 + f * b, s12 + f * c, s13 + f * d
        s20, s21, s22, s23 = s20 + g * a, s21 + g * b, s22 + g * c, s23 + g * d
        s30, s31, s32, s33 = s30 + h * a, s31 + h * b, s32 + h * c, s33 + h * d
    out[0], out[1], out[2], out[3] = s00, s01, s02, s03
    out[4], out[5], out[6], out[7] = s10, s11, s12, s13
    out[8], out[9], out[10], out[11] = s20, s21, s22, s23
    out[12], out[13], out[14], out[15] = s30, s31, s32, s33
