"""2-D convolution (cross-correlation) as im2col and a matrix product, and its three gradients.

Per image and group, with the columns X (C*R*S, P*Q) and the weights as a matrix W (K, C*R*S):

    Y = W X          dX = W' dY, folded back          dW = dY X', added over the batch
"""

from __future__ import annotations

from .. import Array, namespace
from ..shapes import Pair, Shape4, conv2d_output_size
from .activation import relu
from .unfold import deliver, fold, unfold


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
    b (K,) or None give y (N,K,P,Q). Filters k of group g see the channels of group g only.
    """
    xp = namespace(x)
    (N, _, H, W), (K, C_group, R, S) = x.shape, w.shape
    P, Q = conv2d_output_size((H, W), (R, S), stride, padding, dilation)
    cols = unfold(x, (R, S), dilation, padding, stride)
    cols = xp.reshape(cols, (N, groups, C_group * R * S, P * Q))
    y = xp.matmul(_by_group(w, groups), cols)  # (N, groups, K/groups, P*Q)
    y = xp.reshape(y, (N, K, P, Q))
    if b is not None:
        y += xp.reshape(b, (1, K, 1, 1))
    return deliver(y, out)


def conv2d_relu(
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
    """y = max(conv2d(x, w, b, ...), 0), for rungs that store both at once; a NaN stays NaN."""
    y = conv2d(x, w, b, stride, padding, dilation, groups)
    return relu(y, out=out)


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
    """Return dx (N,C,H,W) = input_shape from dy (N,K,P,Q): the columns W' dY, folded back."""
    xp = namespace(dy)
    (N, C, _, _), (K, _, R, S), (P, Q) = input_shape, w.shape, dy.shape[2:]
    dy = xp.reshape(dy, (N, groups, K // groups, P * Q))
    cols = xp.matmul(xp.matrix_transpose(_by_group(w, groups)), dy)
    cols = xp.reshape(cols, (N, C * R * S, P * Q))
    return fold(cols, input_shape, (R, S), dilation, padding, stride, out=out)


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
    """Return dw (K,C/groups,R,S) = weight_shape: dY X' of each image, added up."""
    xp = namespace(dy)
    N, (K, C_group, R, S), (P, Q) = x.shape[0], weight_shape, dy.shape[2:]
    cols = unfold(x, (R, S), dilation, padding, stride)
    cols = xp.reshape(cols, (N, groups, C_group * R * S, P * Q))
    dy = xp.reshape(dy, (N, groups, K // groups, P * Q))
    dw = xp.sum(xp.matmul(dy, xp.matrix_transpose(cols)), axis=0)
    return deliver(xp.reshape(dw, weight_shape), out)


def conv2d_bias_grad(dy: Array, *, out: Array | None = None) -> Array:
    """Return db (K,): dy (N,K,P,Q) summed over images and positions."""
    return deliver(namespace(dy).sum(dy, axis=(0, 2, 3)), out)


def _by_group(w: Array, groups: int) -> Array:
    """Return the weights as one matrix per group: (groups, K/groups, C/groups*R*S)."""
    K, C_group, R, S = w.shape
    return namespace(w).reshape(w, (groups, K // groups, C_group * R * S))
