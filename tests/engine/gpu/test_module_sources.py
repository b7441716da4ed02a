"""What names a module for a device: every file of C++ that its compiler reads."""

from __future__ import annotations

from pathlib import Path

import fastfeat_kernels
import pytest

from fastfeat.engine.gpu.compile import cuda as compiling
from fastfeat.engine.gpu.compile import gcc, nvrtc
from fastfeat_tests.engine.gpu.device_modules import HAND_WRITTEN, PRELUDE_TEXT, module_text

FILES = [
    path
    for path in Path(fastfeat_kernels.__path__[0]).rglob("*")
    if path.suffix in (".cu", ".cuh", ".h")
]


def parts_of_keys(monkeypatch: pytest.MonkeyPatch, text: str) -> tuple[list[str], list[str]]:
    """Return what the keys of a text are made from: by g++, and by NVRTC."""
    seen: list[list[str]] = []

    def key_of(*parts: str) -> str:
        seen.append(list(parts))
        return "key"

    for module in (gcc, compiling):
        monkeypatch.setattr(module, "key_of", key_of)
        monkeypatch.setattr(module, "cached_file", lambda *_: Path())
    monkeypatch.setattr(gcc, "find_compiler", lambda: "g++")
    monkeypatch.setattr(gcc, "_version", lambda compiler: f"{compiler} 14")
    monkeypatch.setattr(nvrtc, "version", lambda: "13.0")
    monkeypatch.setattr(nvrtc, "architectures", lambda: [75, 90])
    gcc.shared_object(text, None)
    compiling.cubin_file(text, 90)
    by_gcc, by_nvrtc = seen
    return by_gcc, by_nvrtc


def test_each_file_of_cuda_is_in_the_key_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(FILES) > 15
    texts = [module_text(name) for name in HAND_WRITTEN if name != "primitives"]
    read = "\0".join("\0".join(part) for t in texts for part in parts_of_keys(monkeypatch, t))
    for path in FILES:
        lines = path.read_text().splitlines()
        missing = [line for line in lines if line not in read and "WIDTH" not in line]
        assert not missing, path  # a template says WIDTH, which `windows.text` fills in


def test_keys_hold_all_that_a_compiler_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    by_gcc, by_nvrtc = parts_of_keys(monkeypatch, "the text")
    assert by_gcc[0].endswith("the text")
    assert PRELUDE_TEXT in by_gcc
    assert {"g++ 14", "-std=c++17", "-Og"} <= {*by_gcc}
    assert by_nvrtc[0].endswith("the text")
    assert by_nvrtc[1:4] == [PRELUDE_TEXT, "13.0", "-arch=sm_90"]
    assert by_nvrtc[4:] == [*compiling.FLAGS]


def test_each_header_that_is_included_is_among_them(tmp_path: Path) -> None:
    (tmp_path / "a.h").write_text('#include <math.h>\n#include "b.h"\n')
    (tmp_path / "b.h").write_text('#include "c.cuh"\nint b;\n')
    (tmp_path / "c.cuh").write_text('#include "a.h"\n')
    (tmp_path / "d.h").write_text("int d;\n")
    source = '#include "a.h"\nint x;\n'
    whole = gcc.headers_of(source, tmp_path)
    assert len(whole) == 3
    for name, is_included in (("a.h", True), ("b.h", True), ("c.cuh", True), ("d.h", False)):
        path = tmp_path / name
        text = path.read_text()
        path.write_text(f"{text}\n")
        assert (gcc.headers_of(source, tmp_path) != whole) == is_included, name
        path.write_text(text)
    (tmp_path / "b.h").unlink()
    with pytest.raises(FileNotFoundError):
        gcc.headers_of(source, tmp_path)
