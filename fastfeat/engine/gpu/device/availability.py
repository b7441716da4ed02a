"""Whether this process can use a card; if not, the missing part and the remedy."""

from __future__ import annotations

from fastfeat_kernels.records import dataclass

from fastfeat.engine.gpu.compile.cuda import LEAST_ARCHITECTURE

LEAST_CUPY = 14
_ELSE = ", or use backend='cpu', which gives the same bits"
_EXTRA = "pip install 'fastfeat[gpu]', or 'fastfeat[gpu-cuda12]' for a CUDA 12 driver"
_INSTALL = f"Install it with {_EXTRA}"
_INSTALL_DRIVER = (
    "Install the driver; in a container, start it with the cards (docker run --gpus all)"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The software and hardware that were found, in the order in which they are needed.

    Args:
        platform: `sys.platform`.
        cupy: Version of CuPy, "" if it is not installed.
        cupy_error: Error of the import of CuPy.
        cupy_cuda: Version of CUDA that CuPy was built with.
        driver: Version of CUDA that the driver is for.
        n_devices: Number of cards that the driver shows.
        device_error: Reason why it shows none.
        visible: The environment variable CUDA_VISIBLE_DEVICES.
        device: Name of the current card.
        architecture: Architecture of the current card, such as 90.
    """

    platform: str
    cupy: str = ""
    cupy_error: str | None = None
    cupy_cuda: tuple[int, int] | None = None
    driver: tuple[int, int] | None = None
    n_devices: int = 0
    device_error: str | None = None
    visible: str | None = None
    device: str = ""
    architecture: int = 0


def missing(found: Surroundings) -> str | None:
    """Return the reason why the GPU backend cannot run, and the remedy; None if it can run."""
    reason = _missing_software(found) or _missing_device(found)
    return None if reason is None else f"backend 'gpu' {reason}{_ELSE}"


def _missing_software(found: Surroundings) -> str | None:
    if found.platform != "linux":
        return f"runs on Linux (or WSL), but this is {found.platform}. Use another machine"
    if not found.cupy and found.driver is None:
        return (
            "needs a card with NVIDIA's driver, but libcuda.so.1 was not found. It also needs the "
            f"package cupy, which is not installed. {_INSTALL_DRIVER}; then {_EXTRA}"
        )
    if not found.cupy:
        return f"needs the package cupy, which is not installed. {_INSTALL}"
    if found.cupy_error is not None:
        return f"needs CuPy, which cannot be imported: {found.cupy_error}. {_INSTALL}"
    if int(found.cupy.partition(".")[0]) < LEAST_CUPY:
        return f"needs CuPy {LEAST_CUPY} or later, but {found.cupy} is installed. {_INSTALL}"
    if found.driver is None:
        return f"needs NVIDIA's driver, but libcuda.so.1 was not found. {_INSTALL_DRIVER}"
    cupy_cuda = found.cupy_cuda or (0, 0)
    if found.driver[0] < cupy_cuda[0]:
        other = ", or pip install 'fastfeat[gpu-cuda12]' in place of 'fastfeat[gpu]'"
        return (
            f"needs a driver for CUDA {cupy_cuda[0]}, because the installed CuPy is built for it, "
            f"but the driver is for CUDA {found.driver[0]}.{found.driver[1]}. Update the driver"
            f"{other if found.driver[0] == 12 else ''}"
        )
    return None


def _missing_device(found: Surroundings) -> str | None:
    if found.n_devices == 0 or found.device_error is not None:
        said = f" ({found.device_error})" if found.device_error else ""
        hint = "Check the list that nvidia-smi prints"
        if found.visible is not None:
            hint = f"CUDA_VISIBLE_DEVICES is {found.visible!r}; unset it, or name a card"
        elif "nitialization" in said:
            hint = "If CUDA was in use before this process was forked, spawn the process instead"
        return f"needs a card, but the driver finds none{said}. {hint}"
    if found.architecture < LEAST_ARCHITECTURE:
        return (
            f"needs a card of architecture sm_{LEAST_ARCHITECTURE} (Turing) or later, but "
            f"{found.device} is sm_{found.architecture}. Choose another card "
            "(CUDA_VISIBLE_DEVICES)"
        )
    return None
