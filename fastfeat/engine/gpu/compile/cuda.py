"""Compile CUDA text to machine code for a card: a cubin file, named by its content.

The text is the same for every card; machine code is for one architecture. The module compiled on a
machine without a card is the module launched on a machine with one.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from fastfeat.engine.gpu.compile import nvrtc
from fastfeat.engine.gpu.compile.cache import cached_file, key_of
from fastfeat.engine.gpu.compile.nvrtc import CompiledModule
from fastfeat.engine.gpu.runtime import KERNEL_FILE, PRELUDE
from fastfeat.errors import BackendUnavailable

LEAST_ARCHITECTURE = 75
"""Turing: threads of a warp advance independently, and CUDA 13 still compiles for it."""
FLAGS = (
    "-fmad=false",  # a product and a sum round separately, unless the text says __fma_rn
    "-ftz=false",  # subnormal float32 numbers are kept
    "-prec-div=true",
    "-prec-sqrt=true",
    "-std=c++17",
    "--ptxas-options=-v",  # resources of each kernel, in the log
)


def cubin_file(text: str, architecture: int) -> Path:
    """Return the path of the machine code of a CUDA text, which is compiled if it is not cached.

    `text` is CUDA C++ without the prelude. `architecture` is that of the card, such as 90 for
    sm_90. Raises KernelFailed, with NVRTC's message, if NVRTC rejects the text, and
    BackendUnavailable if there is no NVRTC that knows the architecture.
    """
    source, options = _question(text, architecture)
    key = key_of(source, _prelude(), nvrtc.version(), *options)
    return cached_file(key, ".cubin", lambda: compile_module(text, architecture).cubin)


def compile_module(text: str, architecture: int) -> CompiledModule:
    """Compile a CUDA text without the cache; `cubin_file` caches the machine code."""
    source, options = _question(text, architecture)
    return nvrtc.compile_text(source, KERNEL_FILE, {PRELUDE: _prelude()}, options)


def _question(text: str, architecture: int) -> tuple[str, tuple[str, ...]]:
    """Return the input of NVRTC besides the prelude: CUDA source, and compiler options."""
    target = target_for(architecture, nvrtc.architectures(), nvrtc.version())
    source = f'#include "{PRELUDE}"\n#line 1 "{KERNEL_FILE}"\n{text}'
    return source, (f"-arch=sm_{target}", *FLAGS)


def target_for(architecture: int, known: Sequence[int], version: str) -> int:
    """Return the architecture to compile for: the card's own, or one whose code the card runs.

    Machine code runs on later minor revisions of its architecture: sm_100 on sm_103.

    Args:
        architecture: Architecture of the card.
        known: Architectures that NVRTC compiles for.
        version: Version of NVRTC, for messages.

    Raises:
        BackendUnavailable: NVRTC is too old for the card, or too new.

    Example:
        >>> target_for(89, [75, 80, 86, 90], "12.4")
        86
    """
    fitting = [k for k in known if k // 10 == architecture // 10 and k <= architecture]
    if fitting:
        return max(fitting)
    if architecture < min(known):
        what, do = (
            "no longer compiles for it",
            "an older one: pip install 'fastfeat[gpu-cuda12]'",
        )
    else:
        what, do = "does not support it yet", "a newer nvidia-cuda-nvrtc, and a driver as new"
    raise BackendUnavailable(
        f"the card has architecture sm_{architecture}, but NVRTC {version} {what}: it compiles "
        f"for sm_{min(known)} to sm_{max(known)}. Install {do}"
    )


def _prelude() -> str:
    return (files("fastfeat_kernels.cuda") / PRELUDE).read_text("utf-8")
