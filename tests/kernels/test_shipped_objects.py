"""Kernels that come compiled with the package: found, loaded, and refused where damaged."""

from __future__ import annotations

import json
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastfeat_kernels import elf, objects, processor
from fastfeat_kernels.load import load_known
from hypothesis import given
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import col
from fastfeat.engine.cpu import cache, compiled, kernels, ship
from fastfeat.engine.cpu.kernels import sources_of_written
from fastfeat.engine.kernel_cache import observe_kernels

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="kernels are compiled before on x86-64 Linux alone",
)
SMALL = [("hashing", "buckets"), ("windows", "check")]
ONE, OTHER = (".".join(names) for names in SMALL)
DATA = {"k": ["a", "b", "a"], "t": np.array([1, 2, 3], "M8[s]"), "x": [1.0, 2.0, 4.0]}
PLAN = ff.Plan({"h": col("k").hash(8), "s": col("x").sum(over=ff.window("5s", by="k", time="t"))})


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two objects and their manifest."""
    folder = tmp_path_factory.mktemp("objects")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ship, "_entries", lambda: SMALL)
        assert ship.ship(folder) == 2
        assert ship.ship(folder) == 0  # they are there
    return folder


@pytest.fixture
def copy(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that folder, in which this process looks for objects."""
    for path in [shipped / objects.MANIFEST, *shipped.glob("*/*.o")]:
        target = tmp_path / path.relative_to(shipped)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    monkeypatch.setattr(objects, "FOLDER", tmp_path)
    return tmp_path


def find(name: str = ONE) -> objects.CompiledObject | None:
    return objects.found(name, sources_of_written(*name.split(".")))


def path_of(folder: Path, name: str = ONE) -> Path:
    return objects.file_of(name, "x86-64-v3", folder)


def test_an_object_is_found_by_its_entry_and_its_sources(copy: Path) -> None:
    found = find()
    assert found is not None
    assert found.code == path_of(copy).read_bytes()
    assert objects.found(ONE, sources_of_written(*SMALL[1])) is None
    assert objects.found("hashing.nothing", sources_of_written(*SMALL[0])) is None


def test_kernels_of_the_package_are_run_and_no_folder_keeps_them(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = PLAN.fit(DATA).transform(DATA, history="batch")
    folder = tmp_path / "kernels"
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(folder))
    monkeypatch.setattr(cache, "_loaded", {})
    kernels.forget_kernels()
    compiled.forget_loops()
    with observe_kernels() as used:
        kernels.written_kernel(*SMALL[0])
    assert [(kernel.name, kernel.is_compiled, kernel.is_kept) for kernel in used.values()] == [
        (ONE, False, True)
    ]
    assert not folder.exists()
    assert kernels.is_written_kernel_compiled(*SMALL[0])
    monkeypatch.undo()
    kernels.forget_kernels()
    assert PLAN.fit(DATA).transform(DATA, history="batch").equals(expected)


@pytest.mark.parametrize("setting", ["NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT"])
def test_a_setting_of_numba_asks_for_other_code(
    setting: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = cache.recipe_of_written(*SMALL[0])
    assert cache._shipped(text) is not None  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setenv(setting, "1")
    assert cache._shipped(text) is None  # pyright: ignore[reportPrivateUsage]


def test_settings_of_numba_do_not_change_what_is_shipped(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "_entries", lambda: SMALL[:1])
    monkeypatch.setenv("NUMBA_OPT", "0")
    monkeypatch.setenv("NUMBA_LOOP_VECTORIZE", "0")
    assert ship.ship(tmp_path) == 1
    assert path_of(tmp_path).read_bytes() == path_of(shipped).read_bytes()


@pytest.mark.parametrize("flag", ["avx2", "fma", "bmi2", "movbe"])
def test_a_processor_that_lacks_an_instruction_gets_no_object(
    flag: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "flags", lambda: processor.V3 - {flag})
    assert find() is None
    monkeypatch.setattr(processor, "flags", lambda: processor.V3)
    assert find() is not None


def _swap(folder: Path) -> None:
    one, other = path_of(folder).read_bytes(), path_of(folder, OTHER).read_bytes()
    path_of(folder).write_bytes(other)
    path_of(folder, OTHER).write_bytes(one)


def _altered(folder: Path) -> None:
    content = bytearray(path_of(folder).read_bytes())
    content[200] ^= 1
    path_of(folder).write_bytes(content)


def _manifest(change: Any) -> Any:
    def damage(folder: Path) -> None:
        path = folder / objects.MANIFEST
        content = json.loads(path.read_bytes())
        path.write_text(change(content))

    return damage


def _without(content: Any, *names: str) -> str:
    inner = content
    for name in names[:-1]:
        inner = inner[name]
    del inner[names[-1]]
    return json.dumps(content)


DAMAGES: dict[str, Any] = {
    "swapped": _swap,
    "altered": _altered,
    "cut off": lambda folder: path_of(folder).write_bytes(path_of(folder).read_bytes()[:-9]),
    "empty": lambda folder: path_of(folder).write_bytes(b""),
    "gone": lambda folder: path_of(folder).unlink(),
    "a folder": lambda folder: (path_of(folder).unlink(), path_of(folder).mkdir()),
    "no manifest": lambda folder: (folder / objects.MANIFEST).unlink(),
    "half a manifest": lambda folder: (folder / objects.MANIFEST).write_bytes(
        (folder / objects.MANIFEST).read_bytes()[:300]
    ),
    "another format": _manifest(lambda content: json.dumps({**content, "format": 2})),
    "a list": _manifest(lambda content: "[]"),
    "a number": _manifest(lambda content: "7"),
    "deep": _manifest(lambda content: "[" * 100_000),
    "no digest": _manifest(
        lambda content: _without(content, "kernels", ONE, "targets", "x86-64-v3", "digest")
    ),
    "no symbol": _manifest(
        lambda content: _without(content, "kernels", ONE, "targets", "x86-64-v3", "symbol")
    ),
    "no sources": _manifest(lambda content: _without(content, "kernels", ONE, "sources")),
    "a digest that is a number": _manifest(
        lambda content: json.dumps(content).replace('"digest": "', '"digest": 5, "d": "')
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_or_swapped_is_not_found(damage: str, copy: Path) -> None:
    DAMAGES[damage](copy)
    objects.manifest_of.cache_clear()
    assert find() is None


def test_an_object_that_the_loader_does_not_know_is_compiled(
    copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = bytearray(path_of(copy).read_bytes())
    content[18:20] = struct.pack("<H", 183)  # another processor
    path_of(copy).write_bytes(content)
    path = copy / objects.MANIFEST
    manifest = json.loads(path.read_bytes())
    listed = manifest["kernels"][ONE]["targets"]["x86-64-v3"]
    listed |= objects.entry_of(bytes(content), listed["symbol"])
    path.write_text(json.dumps(manifest))
    objects.manifest_of.cache_clear()
    assert find() is not None
    monkeypatch.setattr(cache, "_loaded", {})
    monkeypatch.setenv("FASTFEAT_CACHE_DIR", str(tmp_path / "kernels"))
    kernels.written_kernel(*SMALL[0])
    assert [path.suffix for path in sorted((tmp_path / "kernels").iterdir())] == [".kernel", ".py"]


@pytest.mark.parametrize("name", ["sources", "compiler"])
def test_kernels_of_former_sources_or_compilers_are_compiled_again(
    name: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "_entries", lambda: SMALL[:1])
    path = copy / objects.MANIFEST
    manifest = json.loads(path.read_bytes())
    manifest["kernels"][ONE][name] = "former"
    path.write_text(json.dumps(manifest))
    objects.manifest_of.cache_clear()
    assert (find() is None) is (name == "sources")  # who runs it does not ask for the compiler
    assert ship.ship(copy) == 1
    assert find() is not None
    assert not path_of(copy, OTHER).exists()
    assert ship.ship(copy) == 0


def test_pages_of_code_are_never_writable_too(shipped: Path) -> None:
    found = json.loads((shipped / objects.MANIFEST).read_bytes())["kernels"][ONE]["targets"]
    symbol = found["x86-64-v3"]["symbol"]
    address = elf.load(path_of(shipped).read_bytes(), symbol)
    lines = Path("/proc/self/maps").read_text().splitlines()
    parts = [line.split() for line in lines]
    rights = [
        part[1]
        for part in parts
        for low, high in [part[0].split("-")]
        if int(low, 16) <= address < int(high, 16)
    ]
    assert rights == ["r-xp"]


def test_a_symbol_of_constants_is_no_function(shipped: Path) -> None:
    code = bytearray(path_of(shipped).read_bytes())
    listed = json.loads((shipped / objects.MANIFEST).read_bytes())["kernels"][ONE]["targets"]
    (start,), (size, n) = struct.unpack_from("<Q", code, 40), struct.unpack_from("<HH", code, 58)
    for place in range(start + 8, start + 8 + n * size, size):  # the flags of each section
        code[place] &= ~4  # of code
    with pytest.raises(elf.UnknownObject, match="is not a function"):
        elf.load(bytes(code), listed["x86-64-v3"]["symbol"])


REFUSED = """
import ctypes, sys
import fastfeat as ff
from fastfeat import col
if "refused" in sys.argv and ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, of Linux 6.3
    print("not known here")
else:
    try:
        ff.Plan({"y": col("x") + 1}).fit({"x": [1.0]}).transform({"x": [1.0]})
    except ff.errors.BackendUnavailable as error:
        print(error)
"""


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_system_that_allows_no_new_code_is_named(is_compiled: bool, tmp_path: Path) -> None:
    folder = {} if is_compiled else {"FASTFEAT_CACHE_DIR": str(tmp_path)}

    def output(argument: str) -> str:
        command = [sys.executable, "-c", REFUSED, argument]
        done = subprocess.run(command, text=True, capture_output=True, env={**os.environ, **folder})
        assert done.returncode == 0, done.stderr
        return done.stdout

    if is_compiled:
        assert output("allowed") == ""
    found = output("refused")
    if "not known here" in found:
        pytest.skip("the system cannot forbid new code to a process")
    assert "does not let this process run new code" in found


@given(st.data())
def test_no_damaged_object_ends_the_process(shipped: Path, data: st.DataObject) -> None:
    """It is loaded, or refused: what is loaded is not run, as its digest differs."""
    name = data.draw(st.sampled_from([ONE, OTHER]))
    content = bytearray(path_of(shipped, name).read_bytes())
    manifest = json.loads((shipped / objects.MANIFEST).read_bytes())
    symbol = manifest["kernels"][name]["targets"]["x86-64-v3"]["symbol"]
    header = st.integers(0, 63)
    (sections,) = struct.unpack_from("<Q", content, 40)
    places = header | st.integers(sections, len(content) - 1) | st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=6)):
        content[place] = data.draw(st.sampled_from([0, 1, 4, 9, 127, 128, 255]))
    code = bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    try:
        load_known(code, symbol)
    except elf.UnknownObject:
        return


NATIVE = """
import warnings
from pathlib import Path
from fastfeat_kernels import objects
objects.FOLDER = Path("none")
from fastfeat.errors import FastfeatWarning
from fastfeat.engine.kernel_cache import observe_kernels
from fastfeat.trust.selfcheck.digests import FILE_OF_PAST, digests_of_live, digests_of_past
from fastfeat.trust.selfcheck.digests import golden_digests
from fastfeat.trust.selfcheck.past_plans import live_plan, past_plans
from fastfeat.trust.selfcheck.tables import past_tables
warnings.simplefilter("ignore", FastfeatWarning)
past, golden = past_tables(), golden_digests(FILE_OF_PAST)
with observe_kernels() as used:
    found = {name: digests_of_past(plan, past) for name, plan in past_plans().items()}
    found["live"] = digests_of_live(live_plan(), past)
assert found == golden, [n for n in golden if found.get(n) != golden[n]]
print(*sorted({kernel.name for kernel in used.values()}))
"""


def test_bits_are_those_of_kernels_compiled_for_this_processor() -> None:
    """The golden digests hold for these; that they hold for shipped ones `test_selfcheck` shows."""
    done = subprocess.run([sys.executable, "-c", NATIVE], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "windows.compute" in done.stdout.split()
