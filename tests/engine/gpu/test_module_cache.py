"""Modules on disk: a file is loaded under its own name only, however restored files are mixed."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastfeat.engine.gpu.compile.cache import cached_file, key_of
from fastfeat.engine.gpu.compile.cuda import cubin_file
from fastfeat.engine.gpu.compile.gcc import shared_object
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat_tests.engine.gpu.device_kernels import ARGUMENTS, KERNEL, run_kernel

Mix = Callable[[Path, Path], None]


def content(one: Path, other: Path) -> None:
    """Put the content of another module at the name of one."""
    shutil.copy(other, one)


def digest(one: Path, other: Path) -> None:
    """Put the digest of another module at the name of one."""
    shutil.copy(_digest_of(other), _digest_of(one))


def both(one: Path, other: Path) -> None:
    """Put content and digest of another module at the names of one."""
    content(one, other)
    digest(one, other)


def renamed(one: Path, other: Path) -> None:
    """Put content and digest of another at the key of one, with the digest in the name."""
    digest(one, other)
    shutil.copy(other, one.with_name(f"{_key_of(one)}-{other.stem.split('-')[1]}{one.suffix}"))


def first_version(one: Path, other: Path) -> None:
    """Keep another at the key of one as when the digest was that of the content alone."""
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    _digest_of(one).write_text(digest)
    shutil.copy(other, one.with_name(f"{_key_of(one)}-{digest[:16]}{one.suffix}"))


def _key_of(path: Path) -> str:
    return path.stem.split("-")[0]


def _digest_of(path: Path) -> Path:
    return path.with_name(f"{_key_of(path)}{path.suffix}.digest")


MIXES: list[Mix] = [content, digest, both, renamed, first_version]
mixed = pytest.mark.parametrize("mix", MIXES)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(tmp_path))
    return tmp_path


@mixed
def test_a_module_of_another_key_or_kind_is_built_again(mix: Mix) -> None:
    modules = [(key_of(name), suffix) for name in ("one", "other") for suffix in (".so", ".cubin")]
    built: list[tuple[str, str]] = []

    def file_of(key: str, suffix: str) -> Path:
        def build() -> bytes:
            built.append((key, suffix))
            return f"{key}{suffix}".encode()

        return cached_file(key, suffix, build)

    for one, other in itertools.permutations(modules, 2):
        mix(file_of(*one), file_of(*other))
        built.clear()
        path = file_of(*one)
        assert built == [one]
        assert path.read_bytes() == "".join(one).encode()
        assert file_of(*one) == path
        assert built == [one]


def gives(number: int) -> str:
    return f"{KERNEL} kernel{ARGUMENTS} {{\n    ((i64*)table[0])[0] = {number};\n}}"


@pytest.mark.cuda_compile
@mixed
def test_machine_code_of_another_text_or_card_is_compiled_again(mix: Mix) -> None:
    modules = [(gives(1), 80), (gives(2), 80), (gives(1), 90)]
    whole = {one: cubin_file(*one).read_bytes() for one in modules}
    assert len(set(whole.values())) == 3
    for one, other in itertools.permutations(modules, 2):
        mix(cubin_file(*one), cubin_file(*other))
        assert cubin_file(*one).read_bytes() == whole[one]


@pytest.mark.emulator
@mixed
def test_a_kernel_of_another_text_is_never_run(mix: Mix) -> None:
    def found_of(number: int) -> int:
        (found,) = run_kernel(EmulatedRuntime(), gives(number), [np.zeros(1, np.int64)], n=1)
        return found.tolist()[0]

    one, other = MIXES.index(mix) + 10, MIXES.index(mix) + 20
    mix(shared_object(gives(one), None), shared_object(gives(other), None))
    assert found_of(one) == one
    assert found_of(other) == other
