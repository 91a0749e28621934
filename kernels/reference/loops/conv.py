"""2-D convolution in the textbook's seven nested loops, and its three gradients.

The convolution is a sum of terms, one per turn of the innermost loop:

    y[n,k,p,q] += w[k,c,r,s] * x[n,c,h,v]        h = p*stride + r*dilation, v likewise, in padded x

and by the chain rule each gradient sends dy back along the same terms: dx gains w * dy, and dw
gains x * dy. The arithmetic is in float64, whatever the dtype, and rounded once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ... import Array
from ...shapes import Pair, Shape4, conv2d_output_size
from ..unfold import crop, deliver, pad


def _terms(
    y_shape: Shape4, w_shape: Shape4, stride: Pair, dilation: Pair, groups: int
) -> Iterator[tuple[Shape4, Shape4, Shape4]]:
    """Yield the indices (n,k,p,q) into y, (k,c,r,s) into w and (n,c,h,v) into the padded x."""
    (N, K, P, Q), (_, C, R, S) = y_shape, w_shape
    for n in range(N):
        for k in range(K):
            first = k // (K // groups) * C  # filters of group g see the C channels of group g
            for p in range(P):
                for q in range(Q):
                    for c in range(C):
                        for r in range(R):
                            for s in range(S):
                                h = p * stride[0] + r * dilation[0]
                                v = q * stride[1] + s * dilation[1]
                                yield (n, k, p, q), (k, c, r, s), (n, first + c, h, v)


def conv2d(
    x: Array,
    w: Array,
    b: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: Array | None = None,
) -> Array:
    """y[n,k,p,q] = b[k] + sum over c,r,s of w[k,c,r,s] * padded x[n,c,h,v].

    h = p*stride + r*dilation and v = q*stride + s*dilation. x (N,C,H,W), w (K,C/groups,R,S) and
    b (K,) or None give y (N,K,P,Q).
    """
    P, Q = conv2d_output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = np.zeros((x.shape[0], w.shape[0], P, Q))
    w64, x64 = w.astype(np.float64), pad(x.astype(np.float64), padding)
    for at_y, at_w, at_x in _terms(y.shape, w.shape, stride, dilation, groups):
        y[at_y] += w64[at_w] * x64[at_x]
    if b is not None:
        y += b[:, None, None]
    return deliver(y.astype(x.dtype), out)


def conv2d_input_grad(
    dy: Array,
    w: Array,
    input_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: Array | None = None,
) -> Array:
    """Return dx (N,C,H,W) = input_shape: padded dx[n,c,h,v] += w[k,c,r,s] * dy[n,k,p,q]."""
    dx = pad(np.zeros(input_shape), padding)
    w64, dy64 = w.astype(np.float64), dy.astype(np.float64)
    for at_y, at_w, at_x in _terms(dy.shape, w.shape, stride, dilation, groups):
        dx[at_x] += w64[at_w] * dy64[at_y]
    return deliver(crop(dx, padding).astype(dy.dtype, order="C"), out)


def conv2d_weight_grad(
    dy: Array,
    x: Array,
    weight_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    *,
    out: Array | None = None,
) -> Array:
    """Return dw (K,C/groups,R,S) = weight_shape: dw[k,c,r,s] += padded x[n,c,h,v] * dy[n,k,p,q]."""
    dw = np.zeros(weight_shape)
    x64, dy64 = pad(x.astype(np.float64), padding), dy.astype(np.float64)
    for at_y, at_w, at_x in _terms(dy.shape, weight_shape, stride, dilation, groups):
        dw[at_w] += x64[at_x] * dy64[at_y]
    return deliver(dw.astype(dy.dtype), out)


def conv2d_bias_grad(dy: Array, *, out: Array | None = None) -> Array:
    """db[k] = sum over n,p,q of dy[n,k,p,q]."""
    N, K, P, Q = dy.shape
    db = np.zeros(K)
    for n in range(N):
        for k in range(K):
            for p in range(P):
                for q in range(Q):
                    db[k] += dy[n, k, p, q]
    return deliver(db.astype(dy.dtype), out)
