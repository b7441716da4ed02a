"""NVIDIA's run-time compiler, from its wheel: CUDA C++ becomes machine code without a driver.

CuPy's compiler is not used, because it appends -ftz=true to all options.
"""

from __future__ import annotations

import ctypes
import re
import site
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.engine.gpu.device.driver import driver_version
from fastfeat.errors import BackendUnavailable, KernelFailed

_PLACES = {
    13: "nvidia/cu13/lib/libnvrtc.so.13",
    12: "nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
}
"""Path of the library in the wheel for each version of CUDA, newest first."""
_MISSING = (
    "the GPU backend needs NVRTC, NVIDIA's kernel compiler, which is not installed. Install it "
    "with pip install 'fastfeat[gpu]' for a CUDA 13 driver, or 'fastfeat[gpu-cuda12]' for CUDA 12; "
    "to compile without a card, nvidia-cuda-nvrtc alone is enough"
)


@dataclass(frozen=True, slots=True)
class CompiledModule:
    """A compiled module: machine code, readable assembly, and the compiler's log.

    Args:
        cubin: Machine code for one architecture.
        ptx: The assembly from which it was made.
        log: Messages of the compiler, including the resources of each kernel.
    """

    cubin: bytes
    ptx: str
    log: str


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources that a thread, or a block, of a kernel takes.

    Args:
        registers: Registers per thread.
        spilled_bytes: Bytes per thread that are stored because registers do not suffice.
        stack_bytes: Bytes of local memory per thread.
        shared_bytes: Bytes of shared memory per block, without the dynamic array.
    """

    registers: int
    spilled_bytes: int
    stack_bytes: int
    shared_bytes: int


def version() -> str:
    """Return the version of NVRTC, such as "13.0"; raise BackendUnavailable if there is none."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def architectures() -> list[int]:
    """Return the architectures that this NVRTC knows, such as 90 for sm_90."""
    count = ctypes.c_int()
    _call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
    numbers = (ctypes.c_int * count.value)()
    _call("nvrtcGetSupportedArchs", numbers)
    return list(numbers)


def compile_text(
    text: str, name: str, headers: Mapping[str, str], options: tuple[str, ...]
) -> CompiledModule:
    """Return the compiled module of a text of CUDA C++.

    Messages call the text `name`. `headers` has the text of each file that it may include.
    `options` are options of NVRTC, with an architecture. Raises KernelFailed, with the compiler's
    message, if the compiler rejects the text, and BackendUnavailable if there is no compiler.
    """
    program = ctypes.c_void_p()
    _call(
        "nvrtcCreateProgram",
        ctypes.byref(program),
        text.encode(),
        name.encode(),
        len(headers),
        _strings(headers.values()),
        _strings(headers),
    )
    try:
        status = _library().nvrtcCompileProgram(program, len(options), _strings(options))
        log = _output(program, "ProgramLog").rstrip(b"\0").decode("utf-8", "replace")
        if status:
            raise KernelFailed(f"NVRTC {version()} cannot compile a kernel:\n{log}")
        ptx = _output(program, "PTX").rstrip(b"\0").decode()
        return CompiledModule(_output(program, "CUBIN"), ptx, log)
    finally:
        _call("nvrtcDestroyProgram", ctypes.byref(program))


def resources_of(log: str) -> dict[str, Resources]:
    """Return each kernel's resources, from the log of a compilation with --ptxas-options=-v."""
    found: dict[str, Resources] = {}
    parts = re.split(r"Compiling entry function '(\w+)'", log)[1:]
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        found[name] = Resources(
            registers=_number(r"Used (\d+) registers", part),
            spilled_bytes=_number(r"(\d+) bytes spill stores", part),
            stack_bytes=_number(r"(\d+) bytes stack frame", part),
            shared_bytes=_number(r"(\d+) bytes smem", part),
        )
    return found


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return 0 if match is None else int(match[1])


def _strings(values: Any) -> Any:
    encoded = [value.encode() for value in values]
    return (ctypes.c_char_p * len(encoded))(*encoded)


def _output(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
    content = ctypes.create_string_buffer(size.value)
    _call(f"nvrtcGet{what}", program, content)
    return content.raw


def _call(function: str, *arguments: object) -> None:
    status = getattr(_library(), function)(*arguments)
    if status:
        said = _library().nvrtcGetErrorString(status).decode()
        raise KernelFailed(f"NVRTC's function {function} failed: {said}")


@cache
def _library() -> Any:
    path = library_path(_folders(), driver_version())
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise BackendUnavailable(f"{path} cannot be loaded: {error}") from None
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library


def library_path(folders: Sequence[Path], driver: tuple[int, int] | None) -> Path:
    """Return the newest NVRTC library that makes machine code for the driver.

    `folders` may have wheels. `driver` is the CUDA version of the driver; None without one, so that
    any library will do. Raises BackendUnavailable, with a package to install, if there is none.
    """
    paths = {
        k: folder / place
        for k, place in _PLACES.items()
        for folder in reversed(folders)
        if (folder / place).is_file()
    }
    if not paths:
        raise BackendUnavailable(_MISSING)
    fitting = [path for major, path in paths.items() if driver is None or major <= driver[0]]
    if not fitting:
        assert driver is not None
        raise BackendUnavailable(
            f"the installed NVRTC is for CUDA {min(paths)}, but the driver is for CUDA "
            f"{driver[0]}.{driver[1]} and cannot run its machine code. Update the driver, or pip "
            "install 'fastfeat[gpu-cuda12]'"
        )
    return fitting[0]


def _folders() -> list[Path]:
    """Return the folders in which wheels may have been installed."""
    spec = find_spec("nvidia")  # a namespace: the wheels of NVIDIA share it
    held = list(spec.submodule_search_locations or ()) if spec is not None else []
    return [*(Path(folder).parent for folder in held), *map(Path, [*site.getsitepackages()])]
