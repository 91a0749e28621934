"""unfold (im2col) and fold (col2im): the image as columns of pixels under the kernel, and back.

The loop runs over the R*S taps of the kernel, not over the pixels: under one tap, the pixels of
all output positions form a strided slice of the padded image.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import Array, namespace
from ..shapes import Pair, conv2d_output_size


def taps(
    kernel: Pair, dilation: Pair, stride: Pair, output: Pair
) -> Iterator[tuple[int, int, slice, slice]]:
    """Yield (r, s, rows, columns): the slices of the padded image that lie under tap (r, s)."""
    for r in range(kernel[0]):
        rows = _under(r * dilation[0], stride[0], output[0])
        for s in range(kernel[1]):
            yield r, s, rows, _under(s * dilation[1], stride[1], output[1])


def _under(first: int, step: int, count: int) -> slice:
    return slice(first, first + (count - 1) * step + 1, step)


def pad(x: Array, padding: Pair) -> Array:
    """Return x (N,C,H,W) framed in zeros: (N, C, H + 2*padding[0], W + 2*padding[1])."""
    if padding == (0, 0):
        return x
    N, C, H, W = x.shape
    padded = namespace(x).zeros((N, C, H + 2 * padding[0], W + 2 * padding[1]), dtype=x.dtype)
    crop(padded, padding)[...] = x
    return padded


def crop(padded: Array, padding: Pair) -> Array:
    """Return the image inside the frame that `pad` put around it, as a view."""
    (top, left), (height, width) = padding, padded.shape[2:]
    return padded[:, :, top : height - top, left : width - left]


def deliver(result: Array, out: Array | None) -> Array:
    """Return `out` filled with the result, or the result itself where no `out` was given."""
    if out is None:
        return result
    out[...] = result
    return out


def unfold(
    x: Array, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair, *, out: Array | None = None
) -> Array:
    """cols[n, (c,r,s), (p,q)] = padded x[n, c, p*stride + r*dilation, q*stride + s*dilation].

    x (N,C,H,W) gives cols (N, C*R*S, P*Q), as torch.nn.functional.unfold.
    """
    xp = namespace(x)
    (N, C, H, W), (R, S) = x.shape, kernel
    P, Q = conv2d_output_size((H, W), kernel, stride, padding, dilation)
    padded = pad(x, padding)
    cols = xp.empty((N, C, R, S, P, Q), dtype=x.dtype)
    for r, s, rows, columns in taps(kernel, dilation, stride, (P, Q)):
        cols[:, :, r, s, :, :] = padded[:, :, rows, columns]
    return deliver(xp.reshape(cols, (N, C * R * S, P * Q)), out)


def fold(
    cols: Array,
    output_shape: tuple[int, int, int, int],
    kernel: Pair,
    dilation: Pair,
    padding: Pair,
    stride: Pair,
    *,
    out: Array | None = None,
) -> Array:
    """Add each column back to the pixels it came from: the transpose (gradient) of `unfold`.

    cols (N, C*R*S, P*Q) gives (N,C,H,W) = output_shape; where windows overlap, they add up.
    """
    xp = namespace(cols)
    (N, C, H, W), (R, S) = output_shape, kernel
    P, Q = conv2d_output_size((H, W), kernel, stride, padding, dilation)
    cols = xp.reshape(cols, (N, C, R, S, P, Q))
    padded = xp.zeros((N, C, H + 2 * padding[0], W + 2 * padding[1]), dtype=cols.dtype)
    for r, s, rows, columns in taps(kernel, dilation, stride, (P, Q)):
        padded[:, :, rows, columns] += cols[:, :, r, s, :, :]
    out = xp.empty(output_shape, dtype=cols.dtype) if out is None else out
    return deliver(crop(padded, padding), out)
