"""Max pooling as a running maximum over the R*S taps of the window, and its gradient."""

from __future__ import annotations

from typing import Any

from .. import Array, namespace
from ..shapes import Pair, pool_output_size, span
from .unfold import taps


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """y[n,c,p,q] = max over r,s of padded x[n, c, p*stride + r*dilation, q*stride + s*dilation].

    x (N,C,H,W) gives y (N,C,P,Q) and the winners' places h*W + w (int32) in the unpadded plane.
    The padding is -inf; the first of equals wins; a NaN wins over all that came before it.
    """
    xp = namespace(x)
    N, C, H, W = x.shape
    P, Q = map(pool_output_size, (H, W), kernel, stride, padding, dilation, (ceil_mode,) * 2)
    padded = _pad_with_minus_infinity(x, kernel, stride, padding, dilation, (P, Q))
    top, left = (_starts(xp, *axis) for axis in zip((P, Q), stride, padding, strict=True))
    # A window of -inf alone has its first pixel as winner: padding never wins.
    first = _first_inside(xp, top, dilation[0])[:, None] * W + _first_inside(xp, left, dilation[1])
    y = xp.full((N, C, P, Q), -xp.inf, dtype=x.dtype)
    indices = xp.zeros((N, C, P, Q), dtype=xp.int32) + first
    for r, s, rows, columns in taps(kernel, dilation, stride, (P, Q)):
        value = padded[:, :, rows, columns]
        place = (top + r * dilation[0])[:, None] * W + (left + s * dilation[1])
        wins = (value > y) | xp.isnan(value)
        y = xp.where(wins, value, y)
        indices = xp.where(wins, place, indices)
    return y, indices


def max_pool2d_grad(dy: Array, indices: Array, input_shape: tuple[int, int, int, int]) -> Array:
    """dx[n,c,h,w] = sum of dy[n,c,p,q] over the windows whose winner is (h, w).

    Windows may share a winner, so a plain scatter would lose terms. Write a winner's row as
    h = p*step + a: outputs with equal offsets (a, b) have different winners, so each pair of
    offsets is one strided slice. Any step is right; the pooling's own needs the fewest offsets.
    """
    xp = namespace(dy)
    dx = xp.zeros(input_shape, dtype=dy.dtype)
    if dy.size == 0:
        return dx
    (H, W), (P, Q) = input_shape[2:], dy.shape[2:]
    step_h, step_w = max(1, round(H / P)), max(1, round(W / Q))
    a = indices // W - step_h * xp.arange(P, dtype=xp.int32)[:, None]
    b = indices % W - step_w * xp.arange(Q, dtype=xp.int32)
    for offset_h in range(int(xp.min(a)), int(xp.max(a)) + 1):
        p, rows = _matching(offset_h, step_h, P, H)
        in_rows = a[:, :, p, :] == offset_h
        for offset_w in range(int(xp.min(b)), int(xp.max(b)) + 1):
            q, columns = _matching(offset_w, step_w, Q, W)
            won = in_rows[:, :, :, q] & (b[:, :, p, q] == offset_w)
            dx[:, :, rows, columns] += xp.where(won, dy[:, :, p, q], 0)
    return dx


def _pad_with_minus_infinity(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, output: Pair
) -> Array:
    """Return x framed in -inf, far enough right and down for the windows that ceil_mode adds."""
    N, C, H, W = x.shape
    (top, left), xp = padding, namespace(x)
    reach_h, reach_w = (
        (count - 1) * step + span(size, gap)
        for count, step, size, gap in zip(output, stride, kernel, dilation, strict=True)
    )
    shape = (N, C, max(H + 2 * top, reach_h), max(W + 2 * left, reach_w))
    padded = xp.full(shape, -xp.inf, dtype=x.dtype)
    padded[:, :, top : top + H, left : left + W] = x
    return padded


def _starts(xp: Any, output: int, stride: int, padding: int) -> Array:
    """Return each window's first row (or column) in the unpadded plane; negative in the padding."""
    return xp.arange(output, dtype=xp.int32) * stride - padding


def _first_inside(xp: Any, start: Array, dilation: int) -> Array:
    """Return the first of start, start + dilation, ... that is not negative."""
    return xp.where(start < 0, start % dilation, start)


def _matching(offset: int, step: int, outputs: int, size: int) -> tuple[slice, slice]:
    """Return the outputs p with 0 <= p*step + offset < size, and the pixels they match."""
    first = max(0, -(offset // step))
    last = min(outputs - 1, (size - 1 - offset) // step)
    start = first * step + offset
    return slice(first, last + 1), slice(start, last * step + offset + 1, step)
