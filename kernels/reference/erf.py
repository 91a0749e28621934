"""The error function erf(x) = 2/√π · ∫₀ˣ exp(-t²) dt, which NumPy lacks.

For m ≥ 0, erf(m) = 1 - exp(-m²)·p, and p = exp(m²)·erfc(m) is so smooth in u = (5 - 16/(m+2))/3
that a polynomial gives it to the last digit. u runs from -1 at m = 0 to 1 at m = 6, beyond which
erf is 1 in float64. The coefficients are not typed in but interpolated, on import, from the
standard library's `math.erfc`, which takes one number at a time. The largest error of erf is 3e-15
in float64 and 3e-7 in float32. Source: Schonfelder 1978, "Chebyshev expansions for the error and
related functions", Mathematics of Computation 32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from .. import Array, namespace

END = 6.0


def _coefficients(degree: int) -> list[float]:
    """Those of p(u), the lowest power first."""

    def p(u: Any) -> Any:
        return np.array([math.exp(m * m) * math.erfc(m) for m in (16 / (5 - 3 * u) - 2).tolist()])

    return chebyshev.cheb2poly(chebyshev.chebinterpolate(p, degree)).tolist()


_DOUBLE, _SINGLE = _coefficients(18), _coefficients(8)


def coefficients(dtype: Any) -> list[float]:
    """Return those of p(u), the lowest power first, for float32 or float64."""
    return _DOUBLE if dtype == np.float64 else _SINGLE


def erf(x: Array) -> Array:
    """Return erf of each element of a floating-point array; NaN stays NaN."""
    xp = namespace(x)
    m = xp.minimum(xp.abs(x), END)
    u = (5 - 16 / (m + 2)) / 3
    first, *others = reversed(_DOUBLE if x.dtype == xp.float64 else _SINGLE)
    p = u * 0 + first
    for coefficient in others:  # Horner's scheme
        p *= u
        p += coefficient
    return xp.copysign(1 - xp.exp(-m * m) * p, x)
