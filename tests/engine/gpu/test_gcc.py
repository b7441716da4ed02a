"""What g++ is asked, and what is said where it fails, or has no folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from fastfeat.engine.gpu.compile import gcc
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.errors import BackendUnavailable, KernelFailed

pytestmark = pytest.mark.emulator

TEXT = 'extern "C" __global__ void nothing(const i64* table, i64 first, i64 n) {}'


@pytest.fixture(autouse=True)
def new_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be compiled yet."""
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(tmp_path / "cache"))


def _compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put another g++ before the real one."""
    path = tmp_path / "bin" / "g++"
    path.parent.mkdir()
    path.write_text(script)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")


def test_a_compiler_that_cannot_name_its_version_is_told_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _compiler(tmp_path, monkeypatch, "#!/bin/sh\necho 'the licence is over' >&2\nexit 1\n")
    with pytest.raises(BackendUnavailable, match=r"bin/g\+\+ fails: the licence is over\. Reinst"):
        gcc.shared_object(TEXT, None)


def test_a_compiler_that_cannot_be_started_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _compiler(tmp_path, monkeypatch, "#!/nowhere/sh\n")
    with pytest.raises(BackendUnavailable, match=r"g\+\+ cannot be started: No such file"):
        gcc.shared_object(TEXT, None)


@pytest.mark.parametrize(
    ("ending", "said"),
    [("echo cc1plus: no >&2; exit 1", "cc1plus: no"), ("exit 4", "with exit code 4")],
)
def test_a_compilation_that_fails_is_told_in_the_compiler_s_words(
    ending: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f'#!/bin/sh\ncase "$1" in -dump*) echo 13;; *) {ending};; esac\n'
    _compiler(tmp_path, monkeypatch, script)
    with pytest.raises(KernelFailed, match=said):
        gcc.shared_object(TEXT, None)


def test_a_missing_temporary_folder_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(BackendUnavailable, match=r"No such file .*nowhere.* Set TMPDIR"):
        gcc.shared_object(TEXT, None)


def test_no_folder_at_all_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setattr(gcc, "_build", lambda *_: b"content")
    with (
        pytest.warns(match="compiles its own"),
        pytest.raises(BackendUnavailable, match="a temporary folder cannot be created either"),
    ):
        gcc.shared_object(TEXT, None)


def test_a_module_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    path = gcc.shared_object(TEXT, None)
    path.write_bytes(b"no program")
    monkeypatch.setattr("fastfeat.engine.gpu.device.emulated.shared_object", lambda *_: path)
    with pytest.raises(BackendUnavailable, match=r"cannot be loaded: .* FASTFEAT_CACHE_DIR"):
        EmulatedRuntime().module(TEXT)
