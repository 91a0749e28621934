"""unfold and fold in loops over the image, the kernel's taps and the output positions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ... import Array
from ...shapes import Pair, Shape4, conv2d_output_size
from ..unfold import crop, deliver, pad


def _copies(
    image_shape: Shape4, kernel: Pair, dilation: Pair, output: Pair, stride: Pair
) -> Iterator[tuple[tuple[int, int, int], Shape4]]:
    """Yield the indices (n, row, position) into cols and (n,c,h,v) into the padded image."""
    N, C = image_shape[:2]
    (R, S), (P, Q) = kernel, output
    for n in range(N):
        for c in range(C):
            for r in range(R):
                for s in range(S):
                    for p in range(P):
                        for q in range(Q):
                            h = p * stride[0] + r * dilation[0]
                            v = q * stride[1] + s * dilation[1]
                            yield (n, (c * R + r) * S + s, p * Q + q), (n, c, h, v)


def unfold(
    x: Array, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair, *, out: Array | None = None
) -> Array:
    """cols[n, (c,r,s), (p,q)] = padded x[n, c, p*stride + r*dilation, q*stride + s*dilation].

    x (N,C,H,W) gives cols (N, C*R*S, P*Q).
    """
    N, C = x.shape[:2]
    P, Q = conv2d_output_size(x.shape[2:], kernel, stride, padding, dilation)
    cols = np.empty((N, C * kernel[0] * kernel[1], P * Q), dtype=x.dtype)
    x_padded = pad(x, padding)
    for at_cols, at_x in _copies(x.shape, kernel, dilation, (P, Q), stride):
        cols[at_cols] = x_padded[at_x]
    return deliver(cols, out)


def fold(
    cols: Array,
    output_shape: Shape4,
    kernel: Pair,
    dilation: Pair,
    padding: Pair,
    stride: Pair,
    *,
    out: Array | None = None,
) -> Array:
    """Add each column back to the pixels it came from: cols (N, C*R*S, P*Q) gives (N,C,H,W)."""
    output = conv2d_output_size(output_shape[2:], kernel, stride, padding, dilation)
    image = pad(np.zeros(output_shape), padding)
    for at_cols, at_image in _copies(output_shape, kernel, dilation, output, stride):
        image[at_image] += cols[at_cols]
    return deliver(crop(image, padding).astype(cols.dtype, order="C"), out)
