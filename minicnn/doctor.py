"""What this machine offers and what minicnn makes of it: the facts behind `minicnn doctor`.

Every function looks, and none fails: what cannot be found out is said in words.
"""

from __future__ import annotations

import ctypes
import difflib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minicnn.errors import MiniCNNError

Facts = dict[str, str]

# Bits of a vector register by the CPU feature that brings it, widest first.
_VECTORS = (
    ("avx512f", 512, "AVX-512"),
    ("avx2", 256, "AVX2"),
    ("avx", 256, "AVX"),
    ("sse2", 128, "SSE2"),
    ("sve", 128, "SVE (at least)"),
    ("neon", 128, "NEON"),
    ("fp-armv8", 128, "NEON"),
)
_MISSING = "not installed"
# CuPy's packages, and the CUDA that each is built for.
_CUPYS = {"cupy-cuda11x": 11, "cupy-cuda12x": 12, "cupy-cuda13x": 13}
_OLDEST_DRIVER = 12000  # CuPy 14 is built for CUDA 12 and 13
# What minicnn itself reads from the environment.
KNOWN = (
    "MINICNN_BACKEND", "MINICNN_NUM_THREADS", "MINICNN_CACHE_DIR", "MINICNN_DATA_DIR",
    "MINICNN_DEBUG", "MINICNN_CONV", "MINICNN_SIMD", "MINICNN_CUDA_CONV", "MINICNN_CUDA_TF32",
)  # fmt: skip
_VARIABLES = ("MINICNN_", "NUMBA_", "OMP_", "OPENBLAS_", "MKL_", "CUDA_VISIBLE_DEVICES")


def examine() -> dict[str, Facts]:
    """All facts, by section: versions, processor, GPU, caches, kernels, settings."""
    return {
        "Versions": versions(),
        "Processor": processor(),
        "GPU": gpu(),
        "Caches": {**caches(), **fetched()},
        "Kernels": kernels(),
        "Settings": settings() or {"": "no variable is set: all defaults"},
    }


def versions() -> Facts:
    """minicnn, Python and the libraries that compute."""
    return {
        "minicnn": f"{_version('minicnn-engine')}, in {Path(__file__).parent}",
        "python": f"{platform.python_version()}, in {sys.prefix}",
        "system": f"{platform.system()} {platform.release()} on {platform.machine()}",
        "numpy": _version("numpy"),
        "numba": f"{_version('numba')}, with llvmlite {_version('llvmlite')}",
        "BLAS": _blas(),
    }


def processor() -> Facts:
    """Its name, the cores that we may use, the threads in use, and the vector registers."""
    from minicnn.kernels import threads

    usable = threads.available()
    try:
        used = f"{threads.get_num_threads()} (--threads and MINICNN_NUM_THREADS change that)"
    except MiniCNNError as error:
        used = f"none: {error}"
    return {
        "name": _processor_name(),
        "cores": f"{os.cpu_count()}, of which this process may use {usable}",
        "threads": used,
        "SIMD": _simd(),
    }


def gpu() -> Facts:
    """The NVIDIA GPUs that the driver shows, and whether minicnn computes on them, or why not."""
    found, reason = _nvidia()
    if not found:
        return {"found": f"none: {reason}"}
    speaks = _driver_speaks()
    reason = _why_unused(speaks)
    return {
        "found": "; ".join(found),
        "driver": f"for CUDA {_dotted(speaks)} and older" if speaks else "of unknown version",
        "used": f"no: {reason}" if reason else f'with --device cuda or .to("cuda"), by {_cupy()}',
    }


def caches() -> Facts:
    """Where compiled kernels are kept, how much it is, and whether we may write there."""
    try:
        from minicnn.kernels.cpu import _jit
    except ImportError as error:
        return {"kernels": f"none: {error}"}
    state = _jit.cache_state()
    if state["folder"] is None:
        problem = f"off: {state['problem']}. Set MINICNN_CACHE_DIR to a folder you may write in."
        return {"kernels": problem, "effect": "kernels are compiled anew in every process"}
    place = Path(state["folder"])
    older = [folder for folder in place.parent.glob("kernels-*") if folder != place]
    return {
        "kernels": str(place),
        "holds": f"{state['functions']} compiled functions, {_size(state['bytes'])}; "
        + (state["problem"] or "writable"),
        "older": f"{len(older)} of other versions, {_size(sum(map(_bytes_in, older)))}; "
        "deleted after a month unused",
    }


def fetched() -> Facts:
    """Where fetched data sets are kept, which are there, and how much that is."""
    from minicnn.datasets.published import PUBLISHED, data_folder

    folder = data_folder()
    ready = [name for name, data in PUBLISHED.items() if data.ready(folder)]
    try:
        size = _size(_bytes_in(folder))
    except OSError as error:
        size = f"cannot be read: {error}"
    return {"data": str(folder), "fetched": f"{', '.join(ready) or 'no data set'}; {size}"}


def kernels() -> Facts:
    """The rung in force, and which rung each kernel really comes from."""
    from minicnn.kernels import available_backends, current_backend, kernel_names

    try:
        backend = current_backend()
        sources: dict[str, list[str]] = {}
        for kernel in kernel_names():
            sources.setdefault(backend.source_of(kernel), []).append(kernel)
    except (MiniCNNError, ImportError) as error:
        return {"backend": f"none: {error}"}
    facts = {"backend": f"{backend.name}, of {', '.join(available_backends())}"}
    for source, names in sources.items():
        facts[f"from {source}"] = ", ".join(names)
    return facts


def settings() -> Facts:
    """The environment variables that are set and change something here."""
    found = {k: v for k, v in sorted(os.environ.items()) if k.startswith(_VARIABLES)}
    for name in found:
        if name.startswith("MINICNN_") and name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            found[name] += f" (unknown, and without effect{hint})"
    return found


def problems() -> list[str]:
    """What is wrong here so that nothing could be computed, a line each."""
    from minicnn.kernels import current_backend, threads

    found = []
    for ask in (threads.get_num_threads, lambda: current_backend().source_of("conv2d")):
        try:
            ask()
        except (MiniCNNError, ImportError) as error:
            found.append(str(error))
    return found


# ------------------------------------------------------------------------------- compiling ahead


def warm(dtypes: tuple[str, ...]) -> None:
    """Compile the numba rung's kernels for these dtypes, or load them from the cache."""
    import numpy as np

    from minicnn.kernels import cpu

    for dtype in dtypes:
        cpu.warm(np.dtype(dtype).type)


def compiled() -> int:
    """How many functions of the numba rung are ready in this process, each dtype counted."""
    return sum(len(function.signatures) for function in _functions())


def built() -> int:
    """How many of these were compiled here, as the cache on the disk did not have them."""
    return sum(sum(function.stats.cache_misses.values()) for function in _functions())


def compilable() -> int:
    """How many functions the numba rung has."""
    from minicnn.kernels import cpu  # noqa: F401 - so that they are there to be counted

    return len(_functions())


def _functions() -> list[Any]:
    """Numba's objects for all functions of the rung; each knows what it was compiled for."""
    found: dict[int, Any] = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("minicnn.kernels.cpu"):
            for value in list(vars(module).values()):
                function = getattr(value, "compiled", value)
                if hasattr(function, "py_func") and hasattr(function, "signatures"):
                    found[id(function)] = function
    return list(found.values())


# ------------------------------------------------------------------------------------ looking


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return _MISSING


def _blas() -> str:
    """NumPy's BLAS: its name, version, and the processor that it chose its code for."""
    import numpy as np
    from threadpoolctl import threadpool_info

    for library in threadpool_info():
        if library["user_api"] == "blas":
            kind = library.get("architecture")
            code = f", code for {kind}" if kind else ""
            return f"{library['internal_api']} {library['version']}{code}"
    try:
        built: Any = np.show_config("dicts")
        blas = built["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']} (its threads cannot be set)"
    except (KeyError, TypeError):
        return "unknown"


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _simd() -> str:
    """The widest vector registers that the compiler may use, as "AVX-512: 16 float32 at a time"."""
    try:
        from llvmlite import binding

        features = binding.get_host_cpu_features()
    except (ImportError, RuntimeError) as error:
        return f"unknown: {error}"
    fused = ", fused multiply-add" if features.get("fma") or features.get("fp-armv8") else ""
    for feature, bits, name in _VECTORS:
        if features.get(feature):
            return f"{name}: {bits // 32} float32 in a register{fused}"
    return "none found: one number at a time"


def _nvidia() -> tuple[list[str], str]:
    """(the GPUs that the CUDA driver lists, why there are none)."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        return [], (
            f"no NVIDIA driver ({library} is not there). For an NVIDIA GPU, install its driver"
        )
    code = driver.cuInit(0)
    if code:
        return [], f"the NVIDIA driver refuses (cuInit: error {code}). See what nvidia-smi says"
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    found = list(_devices(driver, count.value))
    return found, "" if found else "the NVIDIA driver lists no device (CUDA_VISIBLE_DEVICES?)"


def _devices(driver: Any, count: int) -> Iterator[str]:
    name, memory = ctypes.create_string_buffer(100), ctypes.c_size_t()
    for i in range(count):
        device = ctypes.c_int()
        driver.cuDeviceGet(ctypes.byref(device), i)
        driver.cuDeviceGetName(name, len(name), device)
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        yield f"{name.value.decode(errors='replace')}, {_size(memory.value)}"


def _driver_speaks() -> int:
    """The newest CUDA that the driver knows, 12020 for 12.2; 0 if it does not say."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    version = ctypes.c_int()
    try:
        ctypes.CDLL(library).cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return 0
    return version.value


def _why_unused(speaks: int) -> str:
    """Why minicnn does not compute on the GPU that is there, and what mends it; "" if it does."""
    from minicnn.kernels import why_no_gpu

    if 0 < speaks < _OLDEST_DRIVER:
        return (
            f"the driver is for CUDA {_dotted(speaks)}, and CuPy needs "
            f"{_dotted(_OLDEST_DRIVER)}. Install a newer NVIDIA driver"
        )
    made_for = {name: major for name, major in _CUPYS.items() if _version(name) != _MISSING}
    if len(made_for) > 1:
        names = " ".join(made_for)
        extra = _extra(speaks)
        return (
            f"CuPy is installed {len(made_for)} times, which spoils it. "
            f"pip uninstall {names}, then pip install 'minicnn-engine[{extra}]'"
        )
    for name, major in made_for.items():
        if speaks and major > speaks // 1000:
            return (
                f"the driver is for CUDA {_dotted(speaks)}, but {name} is for CUDA {major}. "
                f"pip uninstall {name}, then pip install 'minicnn-engine[{_extra(speaks)}]'"
            )
    return why_no_gpu().replace("minicnn-engine[gpu]", f"minicnn-engine[{_extra(speaks)}]")


def _extra(speaks: int) -> str:
    """Which of our extras fits a driver: what is installed already, else the one for CUDA 12."""
    has_13 = _version("cupy-cuda13x") != _MISSING and _version("cupy-cuda12x") == _MISSING
    return "gpu-cuda13" if has_13 and speaks >= 13000 else "gpu"


def _cupy() -> str:
    names = [name for name in _CUPYS if _version(name) != _MISSING] or ["cupy"]
    return f"{names[0]} {_version(names[0])}"


def _dotted(version: int) -> str:
    """12020 as "12.2"."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _size(n: int) -> str:
    """Bytes as "3.4 MiB"."""
    value = float(n)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
