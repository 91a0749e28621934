"""Photographs as planes: generated and hard cases, and what torch computes from them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from helpers_kernel_oracle import Arrays
from helpers_kernels import Case, merged
from hypothesis import strategies as st

from minicnn.contract.families import image


class UnitPlanes(image.UnitPlanes):
    """unit_planes: torch permutes and divides, as torchvision does."""

    cases = merged(
        size=st.tuples(st.integers(0, 9), st.integers(1, 40)),
        depth=st.integers(3, 4),
        channels=st.integers(1, 3),
        seed=st.integers(0, 255),
    )
    hard: ClassVar[dict[str, Case]] = {
        "as Pillow keeps colours": {"size": (31, 67), "depth": 4, "channels": 3},
        "one of five bytes": {"size": (3, 67), "depth": 5, "channels": 1},
    }

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        dtype = torch.from_numpy(arrays["like"]).dtype
        planes = torch.from_numpy(arrays["pixels"]).permute(2, 0, 1)[: case["channels"]]
        return {"y": planes.to(dtype).div(255).numpy()}


class BytePlanes(image.BytePlanes):
    """byte_planes: torch permutes."""

    cases, hard = UnitPlanes.cases, UnitPlanes.hard

    @staticmethod
    def theirs(case: Case, **arrays: Any) -> Arrays:
        planes = torch.from_numpy(arrays["pixels"]).permute(2, 0, 1)[: case["channels"]]
        return {"y": planes.contiguous().numpy()}
