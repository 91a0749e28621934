"""unfold and fold of the GPU rung, on the host, against the numpy rung."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_kernels import windows
from host_driver import HostDriver
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels import gpu, reference
from minicnn.kernels.gpu import _cuda


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(case=windows(), batch=st.integers(0, 3), seed=st.integers(0, 3))
def test_like_the_numpy_rung(case, batch, seed, dtype):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, 2, *case["size"])).astype(dtype)
    how = case["kernel"], case["dilation"], case["padding"], case["stride"]
    with _cuda.use_driver(HostDriver(seed=seed)):
        cols = gpu.unfold(x, *how)
        np.testing.assert_array_equal(cols, reference.unfold(x, *how))
        back = gpu.fold(cols, x.shape, *how)
        np.testing.assert_array_equal(back, reference.fold(cols, x.shape, *how))
