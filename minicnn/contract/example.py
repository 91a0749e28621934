"""My own convolution kernel for minicnn.

    minicnn check mykernels.py        is it right?

    import minicnn, mykernels         then train with it:
    with minicnn.use_backend(mykernels):
        ...

A kernel gets NumPy arrays and returns new ones. What this file does not have (the gradients, the
pooling, ...) comes from minicnn's numpy rung, so one function is enough to begin with.
"""

import numpy as np


def conv2d(x, w, b, stride, padding, dilation, groups, *, out=None):
    """Slide every filter over every image.

    x (N, C, H, W) images, w (K, C/groups, R, S) filters, b (K,) bias or None; stride, padding and
    dilation are pairs: (along the height, along the width). Returns y (N, K, P, Q).
    """
    N, C, H, W = x.shape
    K, C_group, R, S = w.shape

    # 1. A frame of zeros around the images.
    top, left = padding
    padded = np.zeros((N, C, H + 2 * top, W + 2 * left), dtype=x.dtype)
    padded[:, :, top : top + H, left : left + W] = x

    # 2. How often the filter fits: minicnn shapes conv --help
    P = (H + 2 * top - dilation[0] * (R - 1) - 1) // stride[0] + 1
    Q = (W + 2 * left - dilation[1] * (S - 1) - 1) // stride[1] + 1

    # 3. For each output pixel: what lies under the filter, times the filter, added up.
    y = np.zeros((N, K, P, Q), dtype=x.dtype) if out is None else out
    for n in range(N):
        for k in range(K):
            first = k // (K // groups) * C_group  # the channels that filter k's group sees
            for p in range(P):
                for q in range(Q):
                    h, v = p * stride[0], q * stride[1]
                    under = padded[
                        n,
                        first : first + C_group,
                        h : h + dilation[0] * (R - 1) + 1 : dilation[0],
                        v : v + dilation[1] * (S - 1) + 1 : dilation[1],
                    ]
                    y[n, k, p, q] = np.sum(under * w[k]) + (0 if b is None else b[k])
    return y
