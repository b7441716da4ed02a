"""Compiling for a card that is not here: which library, which architecture, which file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastfeat.engine.gpu.compile import nvrtc
from fastfeat.engine.gpu.compile.cuda import LEAST_ARCHITECTURE, cubin_file, target_for
from fastfeat.engine.gpu.device.driver import version_of
from fastfeat.errors import BackendUnavailable, KernelFailed
from fastfeat_tests.engine.gpu.device_kernels import ARGUMENTS, KERNEL

TEXT = f"{KERNEL} kernel{ARGUMENTS} {{\n    ((i64*)table[0])[0] = n;\n}}"
OF_13, OF_12 = "nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.cuda_compile
def test_machine_code_is_kept_and_found_again(cache: Path) -> None:
    path = cubin_file(TEXT, 90)
    assert path.parent == cache
    assert path.read_bytes()[:4] == b"\x7fELF"
    written = path.stat().st_mtime_ns
    assert cubin_file(TEXT, 90) == path
    assert path.stat().st_mtime_ns == written
    assert cubin_file(TEXT, 80) != path
    assert cubin_file(TEXT + "\n", 90) != path


@pytest.mark.cuda_compile
@pytest.mark.parametrize("fault", ["truncated", "altered", "gone"])
def test_machine_code_that_is_not_whole_is_compiled_again(cache: Path, fault: str) -> None:
    path = cubin_file(TEXT, 90)
    content = path.read_bytes()
    match fault:
        case "truncated":
            path.write_bytes(content[:100])
        case "altered":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case _:
            path.unlink()
    assert cubin_file(TEXT, 90).read_bytes() == content


@pytest.mark.cuda_compile
def test_text_that_nvrtc_refuses_names_the_line() -> None:
    with pytest.raises(
        KernelFailed, match=r"NVRTC \d+\.\d+ cannot compile .*\n.*kernel\.cu\(2\): error"
    ):
        cubin_file("\nint x = ;", 90)


@pytest.mark.cuda_compile
def test_this_nvrtc_compiles_for_what_fastfeat_runs_on() -> None:
    known = nvrtc.architectures()
    assert min(known) <= LEAST_ARCHITECTURE
    assert {75, 80, 90, 100, 120} <= set(known)


@pytest.mark.parametrize(
    ("architecture", "known", "target"),
    [(90, (75, 80, 90), 90), (89, (80, 86, 90), 86), (103, (90, 100, 110), 100)],
)
def test_a_card_runs_what_is_compiled_for_an_earlier_minor_revision(
    architecture: int, known: tuple[int, ...], target: int
) -> None:
    assert target_for(architecture, known, "13.0") == target


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (70, r"sm_70, but NVRTC 13.0 no longer compiles for it: .* sm_75 to sm_90.*cuda12"),
        (120, r"sm_120, but NVRTC 13.0 does not support it yet: .* sm_75 to sm_90.* newer"),
    ],
)
def test_nvrtc_of_the_wrong_age_says_what_to_install(architecture: int, message: str) -> None:
    with pytest.raises(BackendUnavailable, match=message):
        target_for(architecture, (75, 80, 90), "13.0")


@pytest.mark.parametrize(
    ("wheels", "driver", "chosen"),
    [
        ([OF_13, OF_12], None, OF_13),
        ([OF_13, OF_12], (13, 0), OF_13),
        ([OF_13, OF_12], (12, 4), OF_12),
        ([OF_12], (14, 1), OF_12),
    ],
)
def test_the_library_is_the_newest_that_the_driver_takes(
    tmp_path: Path, wheels: list[str], driver: tuple[int, int] | None, chosen: str
) -> None:
    for wheel in wheels:
        (tmp_path / wheel).parent.mkdir(parents=True)
        (tmp_path / wheel).touch()
    folders = [tmp_path / "empty", tmp_path]
    assert nvrtc.library_path(folders, driver) == tmp_path / chosen


def test_a_library_that_is_missing_or_too_new_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"with pip install 'fastfeat\[gpu\]'"):
        nvrtc.library_path([tmp_path], None)
    (tmp_path / OF_13).parent.mkdir(parents=True)
    (tmp_path / OF_13).touch()
    with pytest.raises(BackendUnavailable, match=r"CUDA 13, but the driver .* CUDA 12\.4 .*cuda12"):
        nvrtc.library_path([tmp_path], (12, 4))


def test_versions_of_cuda_are_read() -> None:
    assert [version_of(n) for n in (12080, 13000, 13020)] == [(12, 8), (13, 0), (13, 2)]
