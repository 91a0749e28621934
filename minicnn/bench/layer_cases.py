"""Convolutions and linear layers: the cases in which nearly all FLOPs of a network are."""

from __future__ import annotations

from minicnn.bench.cases import Batches, Case, Shapes, traffic
from minicnn.bench.model_cases import FIRST, network
from minicnn.kernels.shapes import conv_output_size

Layer = tuple[int, int, int, int, int, int]  # channels in, filters, input side, kernel, stride, pad

BATCH = 32
# The convolutions of the two course networks, AlexNet (at 224²) and cat/dog 1.3 (at 160²).
SEEDS: tuple[Layer, ...] = (
    (3, 64, 224, 11, 4, 2),
    (64, 192, 27, 5, 1, 2),
    (192, 384, 13, 3, 1, 1),
    (384, 256, 6, 3, 1, 1),
    (256, 256, 6, 3, 1, 1),
    (3, 32, 160, 3, 1, 0),
    (32, 32, 79, 3, 1, 0),
    (32, 32, 38, 3, 1, 0),
)
PASSES = ("forward", "input gradient", "weight gradient")  # of a convolution
IMAGE_CHANNELS = (1, 3)  # a first layer has them, and needs no input gradient
SMALL: tuple[Layer, ...] = ((1, 32, 28, 3, 1, 0), (32, 32, 13, 3, 1, 0))  # cat/dog at 28²
MORE: tuple[tuple[Layer, int], ...] = (  # and groups: 1×1, strided, depthwise, grouped
    ((64, 256, 28, 1, 1, 0), 1),
    ((256, 64, 28, 1, 1, 0), 1),
    ((64, 128, 56, 3, 2, 1), 1),
    ((144, 144, 28, 3, 1, 1), 144),
    ((96, 96, 28, 3, 2, 1), 96),
    ((64, 128, 28, 3, 1, 1), 4),
)
LINEAR = ((9216, 4096), (4096, 4096), (10368, 64))


def seeds(batches: Batches) -> list[Case]:
    """The eight convolutions of the two course networks, with the passes that training needs."""
    return [
        case
        for batch in batches or (BATCH,)
        for layer in SEEDS
        for case in convolution("seeds", layer, batch)
    ]


def layers(batches: Batches) -> list[Case]:
    """The seeds' convolutions and other kinds of them, and linear layers."""
    found = []
    for batch in batches or (BATCH,):
        for layer in (*SEEDS, *SMALL):
            found += convolution("layers", layer, batch)
        for layer, groups in MORE:
            found += convolution("layers", layer, batch, groups)
        for features in LINEAR:
            found += linear("layers", features, batch)
    return found


def ladder(batches: Batches) -> list[Case]:
    """For a picture of the rungs: small convolutions to large ones, and a small network's training.

    The smallest is there for one image, too: the textbook's loops take a second for what the
    others do in a millisecond.
    """
    found = convolution("ladder", SMALL[0], 1)
    for batch in batches or (BATCH,):
        for layer in (*SMALL, SEEDS[5], SEEDS[6], *SEEDS[:3]):
            found += convolution("ladder", layer, batch)
        found += network("ladder", FIRST, batch)[1:]
    return list({case.key: case for case in found}.values())  # --batch 1: the smallest once


def convolution(suite: str, layer: Layer, batch: int, groups: int = 1) -> list[Case]:
    """The passes of one convolution that training needs."""
    C, K, side, kernel, stride, padding = layer
    P = conv_output_size(side, kernel, stride, padding)
    x, y = (batch, C, side, side), (batch, K, P, P)
    w, b = (K, C // groups, kernel, kernel), (K,)
    name = f"conv {C}→{K} {side}² k{kernel}"
    name += f" s{stride}" * (stride > 1) + f" p{padding}" * (padding > 0)
    name += f" g{groups}" * (groups > 1)
    arguments = {"stride": stride, "padding": padding, "groups": groups}
    flops = 2 * batch * K * P * P * (C // groups) * kernel * kernel
    backward: Shapes = {"x": x, "w": w, "dy": y}

    def case(pass_: str, tensors: Shapes, moved: int) -> Case:
        return Case(suite, name, "conv2d", pass_, batch, arguments, tensors, flops, moved)

    cases = [case("forward", {"x": x, "w": w, "b": b}, traffic(x, w, b, y))]
    if C not in IMAGE_CHANNELS:
        cases.append(case("input gradient", backward, traffic(y, w, x)))
    cases.append(case("weight gradient", backward, traffic(y, x, w)))
    return cases


def linear(suite: str, features: tuple[int, int], batch: int) -> list[Case]:
    """The passes of y = x wᵀ + b."""
    C, K = features
    x, y, w, b = (batch, C), (batch, K), (K, C), (K,)
    flops, name = 2 * batch * C * K, f"linear {C}→{K}"

    def case(pass_: str, tensors: Shapes, moved: int) -> Case:
        return Case(suite, name, "linear", pass_, batch, {}, tensors, flops, moved)

    backward: Shapes = {"x": x, "w": w, "dy": y}
    return [
        case("forward", {"x": x, "w": w, "b": b}, traffic(x, w, b, y)),
        case("input gradient", backward, traffic(y, w, x)),
        case("weight gradient", backward, traffic(y, x, w)),
    ]
