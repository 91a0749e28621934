"""A compiler of CUDA C that needs no GPU: NVRTC from a pip package, or else nvcc."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from minicnn.kernels.gpu._source import Source


class Nvrtc:
    """NVRTC by its C interface, given the library's path; the very compiler that CuPy calls."""

    def __init__(self, library: Path) -> None:
        self.name = library.name
        self._nvrtc = ctypes.CDLL(str(library))

    def compile(self, source: Source, options: tuple[str, ...]) -> tuple[bytes, str]:
        """Return the cubin, empty if there is none, and all that the compiler says."""
        names = (ctypes.c_char_p * len(source.headers))(*map(str.encode, source.headers))
        texts = (ctypes.c_char_p * len(source.headers))(*map(str.encode, source.headers.values()))
        program = ctypes.c_void_p()
        self._check(
            self._nvrtc.nvrtcCreateProgram(
                ctypes.byref(program), source.text.encode(), source.name.encode(),
                len(source.headers), texts, names,
            )
        )  # fmt: skip
        try:
            given = (ctypes.c_char_p * len(options))(*map(str.encode, options))
            failed = self._nvrtc.nvrtcCompileProgram(program, len(options), given)
            log = self._read(program, "ProgramLog").rstrip(b"\0").decode()
            return b"" if failed else self._read(program, "CUBIN"), log
        finally:
            self._nvrtc.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._check(getattr(self._nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        content = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._nvrtc, f"nvrtcGet{what}")(program, content))
        return content.raw

    @staticmethod
    def _check(code: int) -> None:
        assert code == 0, f"NVRTC: error {code}"


class Nvcc:
    """The command-line compiler of the CUDA toolkit."""

    def __init__(self, program: str) -> None:
        self.name, self._program = "nvcc", program

    def compile(self, source: Source, options: tuple[str, ...]) -> tuple[bytes, str]:
        """Return the cubin, empty if there is none, and all that the compiler says."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {source.name: source.text, **source.headers}.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            command = [self._program, "-cubin", *options, "-o", "out.cubin", source.name]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            code = b"" if done.returncode else Path(folder, "out.cubin").read_bytes()
            return code, done.stdout + done.stderr


@cache
def find() -> Nvrtc | Nvcc | None:
    """Return a compiler of this machine; NVRTC where there is one."""
    nvidia = importlib.util.find_spec("nvidia")
    for folder in nvidia.submodule_search_locations or () if nvidia else ():
        for library in sorted(Path(folder).glob("*/lib/libnvrtc.so.*")):
            return Nvrtc(library)
    program = shutil.which("nvcc")
    return Nvcc(program) if program else None
