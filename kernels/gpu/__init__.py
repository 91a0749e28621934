"""The rung "cupy": kernels written in CUDA C, one .cu file an op family, launched through CuPy.

Its one idea over "numba": **thousands of threads, each with one number of the result**. A core of
a CPU hides the wait for memory behind caches; a GPU hides it behind other threads, so the code of
one thread is the inside of the textbook's loops, and the loops over the outputs are the grid.

What predicts its speed: a kernel takes the longest of its bytes at the speed of the memory (an
H100: 3.3 TB/s), its FLOPs at the speed of the units (67 TFLOP/s in float32, 400 in TF32 on tensor
cores), and about 5 us to be launched. Each .cu file begins with this sum. What this rung lacks, the
numpy rung computes on the same CuPy arrays; matrix products are cuBLAS, through CuPy's matmul.

Every kernel gives the same bits each time: sums have one order, no floats are added atomically.
"""

from .unfold import fold, unfold

__all__ = [
    "fold",
    "unfold",
]
