"""Compile kernels by g++: CUDA text becomes a shared object, which the emulated device runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from fastfeat.engine.gpu.compile.cache import cached_file, key_of
from fastfeat.engine.gpu.runtime import KERNEL_FILE, PRELUDE
from fastfeat.errors import BackendUnavailable, KernelFailed

Sanitizer = Literal["address", "thread"]

_HEADERS = ("emulator.h", PRELUDE)
_INCLUDE = re.compile(r'^#include "(.+)"$', re.MULTILINE)
# No contraction, because each operation rounds; -fno-math-errno lets sqrt be an instruction.
_FLAGS = (
    *("-std=c++17", "-shared", "-fPIC", "-w", "-pipe", "-Wl,-Bsymbolic"),
    *("-ffp-contract=off", "-fno-strict-aliasing", "-fno-math-errno"),
)
_MODES: dict[Sanitizer | None, tuple[str, ...]] = {
    None: ("-Og",),  # compiles in half the time of -O1, and runs nearly as fast
    "address": (
        *("-O0", "-g", "-fsanitize=address,undefined,float-cast-overflow"),
        "-fno-sanitize-recover=all",
    ),
    "thread": ("-O0", "-g", "-fsanitize=thread"),
}
_LIBRARIES: dict[Sanitizer, tuple[str, ...]] = {
    "address": ("libasan.so", "libubsan.so"),
    "thread": ("libtsan.so",),
}


def shared_object(text: str, sanitizer: Sanitizer | None) -> Path:
    """Return the path of the shared object of a CUDA text, which is compiled on first use.

    Raises BackendUnavailable if there is no working g++, or no folder for the result, and
    KernelFailed, with g++'s message, if g++ rejects the text.
    """
    compiler = find_compiler()
    flags = (*_FLAGS, *_MODES[sanitizer], *_flags_of_processor())
    source = _source(text)
    key = key_of(source, *headers_of(source, _folder()), _version(compiler), *flags)
    return cached_file(key, ".so", lambda: _build(compiler, flags, text))


def headers_of(source: str, folder: Path) -> list[str]:
    """Return the text of each of this project's headers that a source includes, also indirectly.

    `folder` has the headers.
    """
    found: dict[str, str] = {}
    waiting = _INCLUDE.findall(source)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = (folder / name).read_text("utf-8")
            waiting.extend(_INCLUDE.findall(found[name]))
    return [found[name] for name in sorted(found)]


def find_compiler() -> str:
    """Return the path of g++; raise BackendUnavailable if there is none."""
    found = shutil.which("g++")
    if found is None:
        raise BackendUnavailable(
            "the emulated backend needs g++, which is not on the PATH. Install it (Debian, "
            "Ubuntu: apt-get install g++), or use backend='cpu'"
        )
    return found


def sanitizer_environment(sanitizer: Sanitizer) -> dict[str, str]:
    """Return the environment variables that a Python process needs for modules with a sanitizer.

    The sanitizer's library must be loaded before Python itself, so start another process with
    these. Leaks are not checked, because Python has many. Accesses of libraries are not checked,
    because libraries do not know about fibers. Raises BackendUnavailable if there is no g++, or it
    lacks that sanitizer.
    """
    paths = [_library(name) for name in _LIBRARIES[sanitizer]]
    return {
        "LD_PRELOAD": " ".join(paths),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "exitcode=66 ignore_interceptors_accesses=1",
    }


def check_preloaded(sanitizer: Sanitizer) -> None:
    """Raise BackendUnavailable unless the process was started with `sanitizer_environment`.

    Loading a module with a sanitizer would otherwise end the process.
    """
    preloaded = os.environ.get("LD_PRELOAD", "")
    if any(name not in preloaded for name in _LIBRARIES[sanitizer]):
        raise BackendUnavailable(
            f"sanitizer={sanitizer!r} needs a separate process, started with the environment "
            "variables that sanitizer_environment returns"
        )


def _source(text: str) -> str:
    """Return the C++ source that g++ compiles for a CUDA text."""
    included = "".join(f'#include "{name}"\n' for name in _HEADERS)
    return f'{included}#line 1 "{KERNEL_FILE}"\n{text}'


def _build(compiler: str, flags: tuple[str, ...], text: str) -> bytes:
    source = _source(text)
    try:
        with tempfile.TemporaryDirectory(prefix="fastfeat-") as folder:
            result = Path(folder) / "module.so"
            options = (*flags, f"-I{_folder()}", "-x", "c++", "-", "-o", str(result), "-lm")
            done = _run((compiler, *options), source)
            if done.returncode != 0:
                raise KernelFailed(f"g++ cannot compile a kernel:\n{_said(done)}")
            return result.read_bytes()
    except OSError as error:
        raise BackendUnavailable(
            f"the emulated backend cannot store the output of g++: {error}. Set TMPDIR to a "
            "writable folder, or use backend='cpu'"
        ) from None


def _run(command: Sequence[str], source: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run g++ and return the finished process; raise BackendUnavailable if it cannot be started."""
    try:
        return subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    except OSError as error:
        raise BackendUnavailable(
            f"the emulated backend needs g++, but {command[0]} cannot be started: "
            f"{error.strerror or error}. Reinstall it, or use backend='cpu'"
        ) from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the message that g++ wrote when it failed."""
    said = done.stderr.decode("utf-8", "replace").strip()
    return said or f"it printed nothing, and ended with exit code {done.returncode}"


def _answer(command: Sequence[str]) -> str:
    """Return the output of g++ for an option that asks about itself.

    Raises BackendUnavailable if g++ fails.
    """
    done = _run(command)
    if done.returncode != 0:
        raise BackendUnavailable(
            f"the emulated backend needs g++, but {command[0]} fails: {_said(done)}. Reinstall "
            "it, or use backend='cpu'"
        )
    return done.stdout.decode("utf-8", "replace")


def _folder() -> Path:
    return Path(str(files("fastfeat_kernels.cuda")))


@cache
def _version(compiler: str) -> str:
    return _answer((compiler, "-dumpfullversion", "-dumpmachine"))


def _library(name: str) -> str:
    path = _answer((find_compiler(), f"-print-file-name={name}")).strip()
    if not os.path.isabs(path):  # g++ returns the bare name if it has no such file
        raise BackendUnavailable(f"g++ has no {name}, a sanitizer's library. Install it")
    return path


@cache
def _flags_of_processor() -> tuple[str, ...]:
    """Return compiler flags that make fma, floor and the like single instructions.

    The bits of results are the same.
    """
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return ()
    return tuple(flag for flag, word in (("-mfma", "fma"), ("-msse4.1", "sse4_1")) if word in words)
