"""2-D convolution and its gradients on the GPU: launch sizes and arguments; the ideas are in *.cu.

A layer takes 2*N*K*P*Q*(C/groups)*R*S FLOPs forward and as many for each gradient. The rungs of
this ladder do the same FLOPs, each with fewer reads of slow memory than the one before:

    direct    one thread per number, all operands from memory          conv_direct.cu
    tiled     patches of the image in shared memory, 8 filters a read   conv_tiled.cu
    unfold    im2col, written out, and a matrix product by cuBLAS       unfold.cu
    implicit  that product without im2col, 8 x 8 sums in registers      conv_implicit.cu
    tensor    the same on tensor cores, three or one TF32 products      conv_tensor.cu

`_conv_paths` chooses by the shapes; `forced` and MINICNN_CUDA_CONV choose for it. Each path has one
order for every sum, so it gives the same bits each time. Where a path pads a window with zeros, an
infinite weight makes NaN of them, as im2col does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import Array, namespace
from ..reference.activation import relu
from ..reference.unfold import deliver
from ..shapes import Pair, Shape4
from . import _conv_paths as paths
from . import _cuda
from ._conv_paths import Layer, Product, product_of
from .unfold import fold, unfold

_COLUMNS = 2**28  # numbers that the path "unfold" may hold beside the images: 1 GB in float32


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
    """y[n,k,p,q] = b[k] + sum over c,r,s of w[k,c,r,s] * padded x[n,c,p*stride + r*dilation, ...].

    x (N,C,H,W), w (K,C/groups,R,S), b (K,) or None give y (N,K,P,Q). Filters k of group g see the
    channels of group g only.
    """
    return _forward(x, w, b, Layer(x.shape, w.shape, stride, padding, dilation, groups), False, out)


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
    """y = max(conv2d(x, w, b, ...), 0), before it goes to memory; a NaN stays NaN."""
    return _forward(x, w, b, Layer(x.shape, w.shape, stride, padding, dilation, groups), True, out)


def _forward(
    x: Array, w: Array, b: Array | None, layer: Layer, clip: bool, out: Array | None
) -> Array:
    y = _cuda.empty((layer.x[0], layer.w[0], *layer.outputs), x.dtype) if out is None else out
    path = paths.choose(layer, x.dtype.itemsize)
    for part, images in _parts(layer, path):
        if path == "unfold":
            _unfolded(part, x[images], w, b, clip, y[images])
        else:
            _correlate(path, part, "", (x[images], w, b, y[images]), (int(clip),))
    return y


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
    """Return dx (N,C,H,W) = input_shape: each phase of it is a stride-1 convolution of dy."""
    N, C, H, W = input_shape
    layer = Layer((N, C, H, W), w.shape, stride, padding, dilation, groups)
    dx = _cuda.empty(layer.x, dy.dtype) if out is None else out
    path = paths.choose(layer, dy.dtype.itemsize, "input")
    for part, images in _parts(layer, path):
        if path == "unfold":
            _unfolded_input_grad(part, dy[images], w, dx[images])
        else:
            _correlate(path, part, "input", (dy[images], w, dx[images]))
    return dx


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
    """Return dw (K,C/groups,R,S) = weight_shape: dy times the pixels that each weight met."""
    K, C_group, R, S = weight_shape
    layer = Layer(x.shape, (K, C_group, R, S), stride, padding, dilation, groups)
    path = paths.choose(layer, x.dtype.itemsize, "weight")
    dw = None
    for part, images in _parts(layer, path):
        if path == "unfold":
            of_part = _unfolded_weight_grad(part, dy[images], x[images])
        else:
            of_part = _weight_grad(path, part, dy[images], x[images])
        dw = of_part if dw is None else dw + of_part
    return deliver(_cuda.zeros(layer.w, x.dtype) if dw is None else dw, out)


def conv2d_bias_grad(dy: Array, *, out: Array | None = None) -> Array:
    """Return db (K,): dy (N,K,P,Q) summed over positions, which lie side by side, then images."""
    xp = namespace(dy)
    N, K, P, Q = dy.shape
    return deliver(xp.sum(xp.sum(xp.reshape(dy, (N, K, P * Q)), axis=2), axis=0), out)


def _parts(layer: Layer, path: str) -> Iterator[tuple[Layer, slice]]:
    """Yield the batch in parts that the path can take at once, nearly always one."""
    N, (K, C_group, R, S), (P, Q) = layer.x[0], layer.w, layer.outputs
    largest, most = paths.largest_image(layer), paths.MOST
    if path == "unfold":
        largest, most = max(layer.groups * C_group * R * S * P * Q, K * C_group * R * S), _COLUMNS
    step = N if path == "direct" else max(most // largest, 1)
    for first in range(0, N, step or 1):
        images = slice(first, min(first + step, N))
        yield layer.with_batch(images.stop - first), images


# ------------------------------------------------------------------------------ kernels of ours


def _correlate(
    path: str, layer: Layer, grad_of: str, arrays: tuple[Any, ...], more: tuple[int, ...] = ()
) -> None:
    """Launch the kernel of a path that gives images, the last array: y, or dx."""
    product, images = product_of(layer, grad_of), arrays[-1]
    kernel = "conv2d_input_grad" if grad_of else "conv2d"
    args = *arrays, *layer.numbers(), *more
    if path == "direct":
        _launch_direct(kernel, images.size, layer, *args)
    elif path == "tiled":
        rows, columns = product.image
        tiles = layer.x[0] * -(-rows // paths.TILE_P) * -(-columns // paths.TILE_Q)
        grid = tiles, -(-product.filters // product.share), product.repeats
        _launch_tiled(kernel, grid, layer, product, grad_of, *args)
    else:
        _launch_gemm(path, kernel, product.repeats, product, *args)


def _weight_grad(path: str, layer: Layer, dy: Array, x: Array) -> Array:
    """Return dw by the kernel of a path, in parts that are added up if the layer is long."""
    product, kernel = product_of(layer, "weight"), "conv2d_weight_grad"
    if path == "direct":
        dw = _cuda.empty(layer.w, x.dtype)
        _launch_direct(kernel, dw.size, layer, dy, x, dw, *layer.numbers())
        return dw
    if path == "tiled":
        blocks = -(-product.filters // product.share), layer.w[1]
        items, least, step = layer.x[0], 1, 1
    else:
        blocks = paths.tiling(path, product)[1:3]
        items, least, step = product.steps, paths.LENGTH, paths.TILE_K
    count, length = paths.ranges(items, blocks[0] * blocks[1], layer.groups, least, step)
    parts = _cuda.empty((count, *layer.w), x.dtype)
    args = dy, x, parts, *layer.numbers(), length
    if path == "tiled":
        grid = *blocks, layer.groups * count
        _launch_tiled(kernel, grid, layer, product, "weight", *args)
    else:
        _launch_gemm(path, kernel, layer.groups * count, product, *args)
    return parts[0] if count == 1 else namespace(parts).sum(parts, axis=0)


def _launch_direct(kernel: str, threads: int, layer: Layer, *args: Any) -> None:
    fits_int = layer.x[0] * paths.largest_image(layer) <= paths.MOST
    index = "int" if fits_int else "long long"
    _cuda.spread("conv_direct", kernel, threads, *args, INDEX=index)


def _launch_tiled(
    kernel: str, grid: tuple[int, ...], layer: Layer, product: Product, grad_of: str, *args: Any
) -> None:
    shared = paths.shared_bytes(layer, args[0].dtype.itemsize, grad_of)
    _cuda.launch(
        "conv_tiled", kernel, grid, paths.THREADS, *args, shared=shared, FILTERS=product.share
    )


def _launch_gemm(path: str, kernel: str, deep: int, product: Product, *args: Any) -> None:
    """`path` is "implicit" or "tensor"; `deep` is how often the tiles of the product are needed."""
    tile = paths.tiling(path, product)
    defines = {"TILE_M": tile.m}
    if path == "tensor":
        defines["PRODUCTS"] = 1 if paths.allows_tf32() else 3
    grid = tile.along_columns, tile.along_filters, deep
    _cuda.launch(f"conv_{path}", kernel, grid, tile.threads, *args, **defines)


# ------------------------------------------------------------------------------ im2col and cuBLAS


def _unfolded(layer: Layer, x: Array, w: Array, b: Array | None, clip: bool, y: Array) -> None:
    """Y = W X, image by image."""
    xp = namespace(x)
    xp.matmul(_by_group(layer, w), _columns(layer, x), out=_places(layer, y))
    if b is not None:
        y += xp.reshape(b, (1, -1, 1, 1))
    if clip:
        relu(y, out=y)


def _unfolded_input_grad(layer: Layer, dy: Array, w: Array, dx: Array) -> None:
    """dX = W' dY, folded back."""
    xp, (N, C, H, W), (R, S) = namespace(dy), layer.x, layer.w[2:]
    w = xp.matrix_transpose(_by_group(layer, w))
    if layer.is_product:
        xp.matmul(w, _places(layer, dy), out=xp.reshape(dx, (N, layer.groups, -1, H * W)))
        return
    cols = xp.reshape(xp.matmul(w, _places(layer, dy)), (N, C * R * S, -1))
    fold(cols, layer.x, (R, S), layer.dilation, layer.padding, layer.stride, out=dx)


def _unfolded_weight_grad(layer: Layer, dy: Array, x: Array) -> Array:
    """dW' = X dY' of each image, added up: CuPy copies what is transposed, and X is the larger."""
    xp = namespace(x)
    dw = xp.matmul(_columns(layer, x), xp.matrix_transpose(_places(layer, dy)))
    dw = xp.matrix_transpose(xp.sum(dw, axis=0))  # (groups, K/groups, C/groups*R*S)
    return xp.reshape(xp.ascontiguousarray(dw), layer.w)


def _columns(layer: Layer, x: Array) -> Array:
    """Return im2col of x by group: (N, groups, C/groups*R*S, P*Q). Of a 1x1 kernel it is x."""
    (N, *_), (_, C_group, R, S), (P, Q) = layer.x, layer.w, layer.outputs
    if not layer.is_product:
        x = unfold(x, (R, S), layer.dilation, layer.padding, layer.stride)
    return namespace(x).reshape(x, (N, layer.groups, C_group * R * S, P * Q))


def _places(layer: Layer, y: Array) -> Array:
    """Return y (N,K,P,Q) by group: (N, groups, K/groups, P*Q)."""
    N, K, P, Q = y.shape
    return namespace(y).reshape(y, (N, layer.groups, K // layer.groups, P * Q))


def _by_group(layer: Layer, w: Array) -> Array:
    """Return the weights as one matrix per group: (groups, K/groups, C/groups*R*S)."""
    K, C_group, R, S = w.shape
    return namespace(w).reshape(w, (layer.groups, K // layer.groups, C_group * R * S))
