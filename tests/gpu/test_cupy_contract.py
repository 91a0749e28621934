"""The kernel contract's test body as it runs on a GPU, where arrays go there and results come back.

Without a GPU it skips the rung "cupy". Here a stand-in for CuPy lets it through, so that the body
is known to work where one answers.
"""

from __future__ import annotations

import pytest
from helpers_kernels import assert_agree
from kernel_families import FAMILIES
from test_kernel_contract import on_rung


@pytest.mark.usefixtures("kernels_run")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_body_runs_on_arrays_of_another_kind(family) -> None:
    case = {"seed": 7, **next(iter(FAMILIES[family].hard.values()))}
    arrays = FAMILIES[family].arrays(case, "float32")
    got = on_rung(FAMILIES[family], "cupy", case, arrays)
    assert_agree(got, FAMILIES[family].theirs(case, **arrays), "torch")
