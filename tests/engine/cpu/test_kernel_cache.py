"""The cache of kernels: what is damaged is compiled again, and no cache is no hindrance."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from fastfeat_kernels import load, objects

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.cpu import cache, compiled
from fastfeat.engine.cpu.words import ENTRY
from fastfeat.io.sinks import atomic
from fastfeat_tests.engine.cpu.swapped_kernels import PLANS
from fastfeat_tests.operators.sampling import first_always
from fastfeat_tests.patience import PATIENCE_S, halted

ROWS = {"x": [1.0, None, 3.0]}
EXPECTED = [2.25, None, 4.25]
RECIPE, OTHER_RECIPE = (
    f"from fastfeat_kernels.load import LoadedKernel\n\n{k}\n" for k in range(2)
)
SESSION = os.environ.get("FASTFEAT_CACHE_DIR")  # what other tests have compiled


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch) -> Path:
    """Begin with an empty folder, no shipped kernel, and as if this process had loaded nothing."""
    folder = tmp_path / "kernels"
    monkeypatch.setattr(objects, "FOLDER", tmp_path / "none")
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(folder))
    forget(monkeypatch)
    return folder


def forget(monkeypatch) -> None:
    """Forget every kernel that this process has loaded."""
    monkeypatch.setattr(cache, "_loaded", {})
    monkeypatch.setattr(cache, "_warned", set())
    for remembered in (compiled.compiled, compiled._loops, compiled.driver):
        remembered.cache_clear()


def transform() -> list[float | None]:
    return ff.Plan({"y": col("x") + 1.25}).fit(ROWS).transform(ROWS)["y"].to_pylist()


def compiles(monkeypatch) -> list[str]:
    """Return a list that grows with each kernel compiled."""
    from fastfeat.engine.cpu import kernels

    names: list[str] = []
    by_numba, by_llvm = kernels._compile, compiled._compile
    monkeypatch.setattr(kernels, "_compile", lambda f, e: (names.append(e), by_numba(f, e))[1])
    monkeypatch.setattr(
        compiled, "_compile", lambda text: (names.append("entry"), by_llvm(text))[1]
    )
    return names


def test_a_kernel_is_compiled_once_and_then_loaded(empty_cache, monkeypatch):
    compiled = compiles(monkeypatch)
    assert transform() == EXPECTED
    assert sorted(compiled) == ["blocks", "entry"]
    files = {file.suffix for file in empty_cache.iterdir()}
    assert files == {".kernel", ".py", ".ll"}
    assert empty_cache.stat().st_mode & 0o077 == 0
    forget(monkeypatch)
    assert transform() == EXPECTED
    assert len(compiled) == 2


def test_the_loader_of_llvm_loads_what_ours_does_not_know(empty_cache, monkeypatch):
    monkeypatch.setattr(load, "_IS_KNOWN", False)
    loaded: list[str] = []
    by_llvm = load.load_by_llvm
    monkeypatch.setattr(load, "load_by_llvm", lambda c, s: (loaded.append(s), by_llvm(c, s))[1])
    assert transform() == EXPECTED
    assert ENTRY in loaded
    forget(monkeypatch)
    assert transform() == EXPECTED
    assert loaded.count(ENTRY) == 2


def test_a_refit_compiles_nothing(monkeypatch):
    plan = ff.Plan({"y": col("x") - col("x").mean(), "z": col("x") > 2.0})
    plan.fit(ROWS).transform(ROWS)
    compiled = compiles(monkeypatch)
    other = {"x": [5.0, 7.0]}
    assert plan.fit(other).transform(other)["y"].to_pylist() == [-1.0, 1.0]
    ff.Plan({"w": col("v") - col("v").mean(), "z": col("v") > 9.5}).fit({"v": [1.0]})
    assert compiled == []


@pytest.fixture(scope="module")
def tiny() -> tuple[bytes, str]:
    """Return the object code and symbol of a kernel that adds its last two arguments."""
    from fastfeat_kernels.compile import compile_entry

    def add(table, first, n):
        return first + n

    return compile_entry(add)


@pytest.fixture
def add(tiny):
    """Return what adds through the cache; `add.compiled` counts how often that compiled."""

    def compile_tiny() -> tuple[bytes, str]:
        call.compiled += 1
        return tiny

    def add_up(x: int, y: int) -> int:
        return cache.cached_kernel(RECIPE, compile_tiny)(0, x, y)

    call: Any = add_up  # a function that carries its own count
    call.compiled = 0
    return call


DAMAGES = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "truncated": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "altered": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "garbage": lambda content: os.urandom(len(content)),
    "longer": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "other version": lambda content: content.replace(b"kernel 2", b"kernel 0", 1),
    "first version": lambda content: first_version(content),
}


def first_version(content: bytes) -> bytes:
    """Return a file as it was kept when the digest was that of the body alone."""
    body = content.split(b"\n", 1)[1][64:]
    return b"fastfeat kernel 1\n" + hashlib.sha256(body).hexdigest().encode() + body


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_again(damage, add, empty_cache, monkeypatch):
    assert add(2, 3) == 5
    (file,) = empty_cache.glob("*.kernel")
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    forget(monkeypatch)
    assert add(2, 3) == 5
    assert add.compiled == 2
    assert file.read_bytes() == whole
    forget(monkeypatch)
    assert add(2, 3) == 5
    assert add.compiled == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="each run is a fork")
@pytest.mark.parametrize("name", first_always(PLANS))  # of rows: a few seconds
def test_files_at_each_other_s_names_are_compiled_again(name: str, tmp_path: Path) -> None:
    program = Path(__file__).with_name("swapped_kernels.py")
    environment = {**os.environ, "FASTFEAT_CACHE_DIR": SESSION or str(tmp_path / "kernels")}
    command = [sys.executable, str(program), name, str(tmp_path)]
    subprocess.run(command, check=True, timeout=PATIENCE_S, env=environment)
    keys = sorted(file.stem for file in (tmp_path / "whole").glob("*.kernel"))
    assert len(keys) >= 2
    for step in range(1, len(keys)):  # in all of them, each file is once at the name of each other
        told = tmp_path / f"{step}.json"
        assert told.exists(), f"the run with files rotated by {step} died"
        assert json.loads(told.read_text()) == {"compiled": keys, "is_right": True}


def test_a_folder_in_place_of_a_file_is_no_hindrance(add, empty_cache, monkeypatch):
    (empty_cache / f"{cache.kernel_key(RECIPE)}.kernel").mkdir(parents=True)
    with pytest.warns(ff.FastfeatWarning, match="cannot be kept"):
        assert add(2, 3) == 5


def assert_works_with_one_warning(add, match: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert add(2, 3) == 5
        assert add(3, 4) == 7
        assert cache.cached_kernel(OTHER_RECIPE, lambda: add) is add
        cache._loaded.clear()
        assert add(4, 5) == 9
    assert add.compiled == 2
    warned = [w for w in caught if w.category is ff.errors.KernelsNotKept]
    messages = [str(w.message) for w in warned]
    assert len(messages) == 1
    assert warned[0].filename == __file__  # the line of the user, not one of ours
    assert match in messages[0]
    assert "Set FASTFEAT_CACHE_DIR to a writable folder" in messages[0]


def test_a_folder_that_cannot_be_made_costs_one_warning(add, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(tmp_path / "file" / "kernels"))
    assert_works_with_one_warning(add, "Not a directory")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert transform() == EXPECTED


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that root cannot write")
def test_a_folder_that_cannot_be_written_costs_one_warning(add, monkeypatch):
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", "/proc/self")
    assert_works_with_one_warning(add, "/proc/self")


def test_a_full_disk_costs_one_warning(add, empty_cache, monkeypatch):
    def full(path: Path, content: bytes, *, private: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "write_bytes", full)
    assert_works_with_one_warning(add, "No space left on device")
    assert list(empty_cache.iterdir()) == []


def test_a_write_that_fails_half_way_leaves_nothing(add, empty_cache, monkeypatch):
    def fail(*paths: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    assert_works_with_one_warning(add, "Input/output error")
    assert list(empty_cache.iterdir()) == []


def test_a_numba_that_is_not_known_costs_one_warning(empty_cache, monkeypatch):
    from fastfeat_kernels import compile as kernel_compile

    def moved(entry: Any) -> Any:
        raise AttributeError("'CPUCodeLibrary' object has no attribute '_final_module'")

    monkeypatch.setattr(kernel_compile, "compile_entry", moved)
    with pytest.warns(ff.FastfeatWarning, match="cannot be kept for other processes") as caught:
        results = [transform(), transform()]
    assert results == [EXPECTED, EXPECTED]
    assert len(caught) == 1
    assert "no attribute '_final_module'" in str(caught[0].message)
    assert "Results are the same" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert len(list(empty_cache.glob("*.kernel"))) == 1  # the features, which Numba never sees


def test_a_user_without_a_home_costs_one_warning(add, monkeypatch):
    monkeypatch.delenv("FASTFEAT_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert_works_with_one_warning(add, "Could not determine home directory")
    with pytest.raises(ff.FastfeatError, match="Set FASTFEAT_CACHE_DIR"):
        cache.cache_folder()


def test_the_key_tells_machines_compilers_settings_and_texts_apart(monkeypatch):
    keys = {cache.kernel_key(RECIPE), cache.kernel_key(OTHER_RECIPE)}
    machine = cache._machine(False)
    for other in (machine.replace("llvmlite", "llvm 1"), f"{machine},+avx512f", "another cpu"):
        monkeypatch.setattr(cache, "_machine", lambda is_by_numba, other=other: other)
        keys.add(cache.kernel_key(RECIPE))
    monkeypatch.undo()
    monkeypatch.setattr(cache, "digest_of_sources", lambda recipe: "other sources")
    keys.add(cache.kernel_key(RECIPE))
    assert len(keys) == 6


@pytest.mark.parametrize("setting", cache._SETTINGS)
def test_settings_of_numba_name_what_it_compiles_and_those_of_the_target_all(setting, monkeypatch):
    machine = cache._machine.__wrapped__
    by_llvm, by_numba = machine(False), machine(True)
    assert "numba" not in by_llvm.lower().replace("numba_cpu_", "")
    monkeypatch.setenv(setting, "generic")
    assert (machine(False) != by_llvm) == (setting in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"))
    assert machine(True) != by_numba


def test_code_of_another_cpu_is_left_alone(add, empty_cache, monkeypatch):
    assert add(2, 3) == 5
    monkeypatch.setattr(cache, "_machine", lambda is_by_numba: "another cpu")
    assert add(2, 3) == 5
    assert add.compiled == 2
    assert len(list(empty_cache.glob("*.kernel"))) == 2


def test_threads_compile_a_kernel_once(add):
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(add(2, 3))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [5] * 8
    assert add.compiled == 1


PROGRAM = """
import fastfeat as ff
from fastfeat import col
rows = {"x": [1.0, None, 3.0]}
plan = ff.Plan({"y": col("x") + 1.25})
from fastfeat.engine.kernel_cache import observe_kernels
with observe_kernels() as used:
    print(plan.fit(rows).transform(rows).to_pydict(), flush=True)
print(sum(kernel.is_compiled for kernel in used.values()))
"""


def start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM], stdout=subprocess.PIPE, text=True
    )


def test_processes_fill_one_cache_at_once(empty_cache):
    outputs = [process.communicate(timeout=PATIENCE_S)[0] for process in [start(), start()]]
    features, compiled = zip(*(output.splitlines() for output in outputs), strict=True)
    assert "'y': [2.25, None, 4.25]" in features[0]
    assert features[0] == features[1]
    n_kernels = len(list(empty_cache.glob("*.kernel")))
    assert sum(map(int, compiled)) == n_kernels  # each by one of them: the other one has waited
    # with .py where hand-written kernels do not come with the package
    assert {file.suffix for file in empty_cache.iterdir()} - {".py"} == {".kernel", ".ll"}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("place", ["io.sinks.atomic.write_bytes", "io.sinks.atomic.os.replace"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_process_killed_while_it_fills_the_cache_leaves_a_good_one(empty_cache, place, nth):
    with halted(f"fastfeat.{place}", PROGRAM, nth=nth) as process:
        assert any(empty_cache.iterdir())  # the lock, at least
        process.kill()
        process.wait()
    again = start()
    assert "'y': [2.25, None, 4.25]" in again.communicate(timeout=PATIENCE_S)[0]
    assert again.returncode == 0


def test_a_lock_that_nobody_gives_back_is_waited_for_and_then_passed_by(
    add, empty_cache, monkeypatch
):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(cache, "_LONGEST_WAIT", 0.1)
    empty_cache.mkdir()
    path = cache._path(cache.kernel_key(RECIPE))
    assert path is not None
    with open(path.with_suffix(".lock"), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert add(2, 3) == 5
    assert add.compiled == 1


def test_the_text_beside_a_kernel_is_that_of_explain(empty_cache):
    fitted = ff.Plan({"y": col("x") + 1.25}).fit(ROWS)
    fitted.transform(ROWS)
    texts = [file.read_text() for file in empty_cache.glob("*.ll")]
    comment, _, text = fitted.explain("cpu").partition("\n")
    assert comment == "; loop 0: y0 y <- x0 x"
    assert text in texts
