"""conv1d, conv2d, conv3d: validate, pad, call the rung's 2-d kernel, know the gradient.

A row is an image of height 1. A volume is a batch of images: slice p of the output is one 2-d
convolution of the slices that the kernel covers there, put side by side as channels.

The gradient needs the input and the weights only. The im2col matrix, nine times the input for a
3x3 kernel, is built again where a rung wants it: memory is dearer than the second packing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.autograd import Function, Variable
from minicnn.kernels import shapes
from minicnn.kernels.shapes import Pair, integer, integers
from minicnn.ops.batching import with_batch
from minicnn.ops.elementwise import require_float
from minicnn.ops.pad import pad
from minicnn.ops.shaping import c_order, squeeze, unsqueeze

Sizes = tuple[int, ...]


class Conv2dFunction(Function):
    """y[n,k] = b[k] + Σ_c w[k,c] ⋆ x[n,c]; see `conv2d`."""

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, w, b, *geometry):
        x, w, b = _prepared(ctx, x, w, b, geometry)
        need_x, need_w = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if need_w else None, w if need_x else None)
        return ctx.backend.conv2d(x, w, b, *geometry)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return _gradients(ctx, c_order(dy), x, w)


def _prepared(ctx, x, w, b, geometry):
    """The arrays as kernels take them; their sizes and the geometry are kept for backward."""
    ctx.geometry, ctx.shapes = geometry, (x.shape, w.shape)
    return c_order(x), c_order(w), None if b is None else c_order(b)


def _gradients(ctx, dy, x, w):
    x_shape, w_shape = ctx.shapes
    dx = dw = db = None
    if ctx.needs_input_grad[0]:
        dx = ctx.backend.conv2d_input_grad(dy, w, x_shape, *ctx.geometry)
    if ctx.needs_input_grad[1]:
        dw = ctx.backend.conv2d_weight_grad(dy, x, w_shape, *ctx.geometry)
    if ctx.needs_input_grad[2]:
        db = ctx.backend.conv2d_bias_grad(dy)
    return dx, dw, db, None, None, None, None


class Conv2dReluFunction(Function):
    """max(conv2d(x, w, b), 0): on rungs that can, with one trip to memory instead of two.

    Messages and `grad_fn` call it by the name of its last step.
    """

    fresh_gradients = True

    @classmethod
    def _name(cls):
        return "Relu"

    @staticmethod
    def forward(ctx, x, w, b, *geometry):
        x, w, b = _prepared(ctx, x, w, b, geometry)
        backend = ctx.backend
        if backend.source_of("conv2d_relu") == backend.source_of("conv2d"):
            y = backend.conv2d_relu(x, w, b, *geometry)
        else:
            y = backend.relu(backend.conv2d(x, w, b, *geometry))
        need_x, need_w = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if need_w else None, w if need_x else None, y)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, w, y = ctx.saved_tensors
        return _gradients(ctx, ctx.backend.relu_grad(c_order(dy), y), x, w)


class Conv3dFunction(Function):
    """y[n,k,e] = b[k] + Σ_{c,t} w[k,c,t] ⋆ x[n,c,e·stride + t·dilation - padding]: a sum over c·t.

    Along the depth: D of x (N,C,D,H,W), T of w (K,C/groups,T,R,S), E of y (N,K,E,P,Q).
    """

    fresh_gradients = True

    @staticmethod
    def forward(ctx, x, w, b, stride, padding, dilation, groups):
        x, w = c_order(x), c_order(w)
        b = None if b is None else c_order(b)
        ctx.along = (w.shape[2], 1), (dilation[0], 1), (padding[0], 0), (stride[0], 1)
        ctx.geometry = stride[1:], padding[1:], dilation[1:], groups
        ctx.shapes = x.shape, w.shape
        need_x, need_w = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if need_w else None, w if need_x else None)
        columns = _unfold_depth(ctx.backend, x, ctx.along)
        images, E = _as_images(columns), columns.shape[2]
        y = ctx.backend.conv2d(images, w.reshape(_flat(w.shape)), b, *ctx.geometry)
        return _as_volumes(y, x.shape[0], E)

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        (N, C, D, H, W), w_shape = ctx.shapes
        E, T = dy.shape[2], w_shape[2]
        dy = _as_images(dy)
        dx = dw = db = None
        if ctx.needs_input_grad[0]:
            w, shape = w.reshape(_flat(w_shape)), (N * E, C * T, H, W)
            columns = ctx.backend.conv2d_input_grad(dy, w, shape, *ctx.geometry)
            columns = _as_volumes(columns, N, E).reshape(N, C * T, E * H * W)
            dx = ctx.backend.fold(columns, (N, C, D, H * W), *ctx.along).reshape(N, C, D, H, W)
        if ctx.needs_input_grad[1]:
            images = _as_images(_unfold_depth(ctx.backend, x, ctx.along))
            dw = ctx.backend.conv2d_weight_grad(dy, images, _flat(w_shape), *ctx.geometry)
            dw = dw.reshape(w_shape)
        if ctx.needs_input_grad[2]:
            db = ctx.backend.conv2d_bias_grad(dy)
        return dx, dw, db, None, None, None, None


def _flat(w_shape: Sizes) -> Sizes:
    """(K, C/groups, T, R, S) with the T slices of a channel as channels: (K, C/groups·T, R, S)."""
    K, C_group, T, R, S = w_shape
    return K, C_group * T, R, S


def _unfold_depth(backend: Any, x: Any, along: tuple[Pair, ...]) -> Any:
    """(N, C, D, H, W) → (N, C·T, E, H, W): for each of E outputs, the T slices that it sees."""
    N, C, D, H, W = x.shape
    columns = backend.unfold(x.reshape(N, C, D, H * W), *along)  # (N, C·T, E·H·W)
    return columns.reshape(N, columns.shape[1], columns.shape[2] // (H * W), H, W)


def _as_images(x: Any) -> Any:
    """(N, C, D, H, W) → (N·D, C, H, W), a copy."""
    N, C, D, H, W = x.shape
    return c_order(x.swapaxes(1, 2)).reshape(N * D, C, H, W)


def _as_volumes(x: Any, N: int, D: int) -> Any:
    """(N·D, C, H, W) → (N, C, D, H, W), a copy."""
    return c_order(x.reshape(N, D, *x.shape[1:]).swapaxes(1, 2))


def _apply1d(x: Variable, w: Variable, b: Variable | None, *geometry: Any) -> Any:
    """Conv2dFunction on rows as images of height 1."""
    stride, padding, dilation, groups = geometry
    geometry = (1, *stride), (0, *padding), (1, *dilation), groups
    return squeeze(Conv2dFunction.apply(unsqueeze(x, 2), unsqueeze(w, 2), b, *geometry), 2)


_apply = {1: _apply1d, 2: Conv2dFunction.apply, 3: Conv3dFunction.apply}


def convolve(
    axes: int,
    input: Variable,
    weight: Variable,
    bias: Variable | None,
    stride: int | Sequence[int],
    padding: str | int | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
    padding_mode: str = "zeros",
    *,
    then_relu: bool = False,
) -> Any:
    """conv1d, conv2d or conv3d by the number of axes, with any padding of `minicnn.ops.pad`.

    `then_relu`, of a conv2d: its result is the ReLU's.
    """
    op = f"conv{axes}d"
    require_float(op, input, weight=weight, bias=bias)
    strides = integers(stride, axes, "stride", op=op)
    named = shapes.padding_argument(padding, axes, op=op)
    dilations = integers(dilation, axes, "dilation", op=op)
    groups = integer(groups, "groups", op=op)
    x_shape, w_shape = input.array.shape, weight.array.shape
    b_shape = None if bias is None else bias.array.shape
    shapes.check_conv(x_shape, w_shape, b_shape, strides, named, dilations, groups, op=op)
    around = shapes.conv_padding(named, x_shape[-axes:], w_shape[2:], strides, dilations)
    input, zeros = _padded(input, around, padding_mode)
    geometry = strides, zeros, dilations, groups
    apply = Conv2dReluFunction.apply if then_relu else _apply[axes]
    return with_batch(lambda x: apply(x, weight, bias, *geometry), input, axes)


def _padded(x: Variable, around: Sequence[Pair], mode: str) -> tuple[Variable, Sizes]:
    """`x` with the pixels that the kernels cannot add, and how many zeros they shall add.

    Kernels add zeros, as many before as after: all that an odd "same" leaves is one pixel.
    """
    zeros = tuple(min(pair) if mode == "zeros" else 0 for pair in around)
    rest = [n - m for pair, m in zip(around[::-1], zeros[::-1], strict=True) for n in pair]
    if any(rest):
        x = pad(x, rest, "constant" if mode == "zeros" else mode)
    return x, zeros


def conv1d(
    input: Variable,
    weight: Variable,
    bias: Variable | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Any:
    """`conv2d` of rows: input (N, C, L) or (C, L), weight (K, C/groups, S); gives (N, K, Q)."""
    return convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Variable,
    weight: Variable,
    bias: Variable | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Any:
    """Slide each filter over the image and take the dot product at every position.

    y[n,k,p,q] = b[k] + Σ_{c,r,s} w[k,c,r,s] · x[n, c, p·stride + r·dilation - padding, q·… + s·…]

    (a cross-correlation: the filter is not flipped), with output height
    P = ⌊(H + 2·padding - dilation·(R-1) - 1)/stride⌋ + 1, and likewise the width Q.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image; float32 or float64.
        weight: (K, C/groups, R, S), of the same dtype.
        bias: (K,), or None.
        stride, dilation: an integer, or (along height, along width).
        padding: zeros around the image: such integers, or "valid" for none, or "same" for as many
            as keep the size, the odd one after (stride 1 only), or "keras_same" for Keras's "same",
            which takes any stride: ⌈H/stride⌉ outputs, the odd zero after (`shapes.same_padding`).
        groups: input and output channels are cut into this many groups that do not mix.

    Returns:
        (N, K, P, Q), or (K, P, Q).

    Raises:
        ShapeError, ArgumentError: sizes that do not fit; the message has the formula's numbers.
        DtypeError: dtypes that differ or are not float32 or float64.
    """
    return convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Variable,
    weight: Variable,
    bias: Variable | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Any:
    """`conv2d` of volumes: a sum of 2-d convolutions over the slices of the kernel's depth.

    Input (N, C, D, H, W) or (C, D, H, W), weight (K, C/groups, T, R, S); gives (N, K, E, P, Q).
    """
    return convolve(3, input, weight, bias, stride, padding, dilation, groups)
