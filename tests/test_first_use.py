"""Imports on first use: tables know their rows, modules of the list are run once they are used."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import first_use, operators
from fastfeat.aggregates import AGGREGATES
from fastfeat.backends import cpu, step_calls, step_kernels
from fastfeat.first_use import DEFERRED, LazyRows, LazyTypeTable, import_object
from fastfeat.operators import FAMILIES, NAMESPACES, OPERATORS, OTHERS
from fastfeat.scalars import LAYOUTS, SCALARS
from fastfeat.steps import registry
from fastfeat_tests.patience import PATIENCE_S
from fastfeat_tests.test_imports import circles, imported, modules

ROOT = Path(__file__).resolve().parent.parent
TABLES: dict[str, LazyRows[Any]] = {
    "AGGREGATES": AGGREGATES,
    "CALLS": step_calls(),
    "LAYOUTS": LAYOUTS,
    "OF_CONTENT": registry.OF_CONTENT,
    "OPERATORS": OPERATORS,
    "OTHERS": OTHERS,
    "SCALARS": SCALARS,
    "STEPS": registry.STEPS,
}
PLACES = {
    "AGGREGATES": ("fastfeat.aggregates", "FUNCTIONS"),
    "CALLS": ("fastfeat.steps", "CALLS"),
    "LAYOUTS": ("fastfeat.scalars", "LAYOUTS"),
    "OF_CONTENT": ("fastfeat.steps", "OF_CONTENT"),
    "OPERATORS": ("fastfeat.operators", "OPERATORS"),
    "SCALARS": ("fastfeat.scalars", "FUNCTIONS"),
    "STEPS": ("fastfeat.steps", "STEPS"),
}
"""For each table, the package of its modules, and the name of the table in each of them."""


def tables_of_modules(package: str, table: str) -> Iterator[Any]:
    """Yield the tables of that name in the modules of a package."""
    for name in modules():
        if name.startswith(f"{package}."):
            found = vars(importlib.import_module(name)).get(table)
            if found is not None and not isinstance(found, LazyRows):
                yield found


def names_in(table: Any) -> set[str]:
    """Return the names of the rows of a table of a module."""
    return set(table) if isinstance(table, Mapping) else {row.name for row in table}


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_found(name: str) -> None:
    assert all(row is not None for row in TABLES[name].values())


@pytest.mark.parametrize("name", PLACES)
def test_the_names_of_a_table_are_those_of_its_modules(name: str) -> None:
    tables = [names_in(table) for table in tables_of_modules(*PLACES[name])]
    of_lists = (
        names_in(import_object("fastfeat.steps.lists.rows:LISTS"))
        if name == "STEPS"
        else set[str]()
    )
    assert set(TABLES[name]) == set().union(*tables, of_lists)


def test_methods_of_expressions_are_those_of_the_tables() -> None:
    methods = {name for name, row in OPERATORS.items() if row.method}
    wanted = {*methods, *OTHERS, *NAMESPACES}
    written = {name for name in vars(ff.Expr) if name in wanted}
    assert written == wanted
    assert all(not isinstance(getattr(ff.Expr, name), first_use.OnFirstUse) for name in wanted)


def test_writers_are_those_of_the_families() -> None:
    for family in FAMILIES:
        module = importlib.import_module(f"fastfeat.operators.{family}")
        for table, known in (
            ("WRITTEN", operators.WRITTEN),
            ("WRITTEN_TOGETHER", operators.WRITTEN_TOGETHER),
        ):
            assert set(vars(module).get(table, {})) == set(known.get(family, "").split()), family


def test_families_are_the_modules_that_have_operators_or_record_calls() -> None:
    others = {"durations", "other_libraries", "hints", "operator"}
    names = {
        name.rpartition(".")[2] for name in modules() if name.startswith("fastfeat.operators.")
    }
    assert set(FAMILIES) == names - others


def test_parts_of_windows_are_what_steps_end_with() -> None:
    parts = {part for step in registry.STEPS.values() for part in step.ends_with}
    assert parts == registry.PARTS_OF_WINDOWS


@pytest.mark.parametrize("table", [cpu.BACKEND.functions, cpu.BACKEND.learners])
def test_every_kind_of_task_has_what_runs_it(table: LazyTypeTable[Any]) -> None:
    assert all(isinstance(kind, type) and table[kind] is not None for kind in table)
    assert object not in table
    with pytest.raises(KeyError):
        table[object]


def test_rows_are_put_in_and_taken_out() -> None:
    rows: LazyRows[Any] = LazyRows("fastfeat.scalars.{}:FUNCTIONS", {"boolean": "and or"})
    rows["new"] = 1
    assert (list(rows), rows["new"], len(rows)) == (["and", "or", "new"], 1, 3)
    del rows["new"]
    assert "new" not in rows
    assert rows.get("new") is None


def test_a_value_is_of_the_type_at_its_address_alone() -> None:
    assert first_use.is_a(ff.col("x"), "fastfeat.expr:Expr")
    assert not first_use.is_a(True, "builtins:int")


def test_modules_of_the_list_are_modules_without_parts() -> None:
    paths = modules()
    assert paths.keys() >= DEFERRED
    assert all(paths[name].name != "__init__.py" for name in DEFERRED)


def test_addresses_are_imports_that_run_one_way() -> None:
    paths = modules()
    edges = {name: imported(name, path, paths) for name, path in paths.items()}
    for owner, address in addresses():
        module = address.partition(":")[0]
        assert module in paths
        edges[owner] |= {module} - {owner}
    edges["fastfeat.expr"] -= {name for name in paths if name.startswith("fastfeat.operators.")}
    assert circles(edges) == []


def addresses() -> Iterator[tuple[str, str]]:
    """Yield each address in a table, with the module that has the table."""
    owners = {"AGGREGATES": "fastfeat.aggregates", "CALLS": "fastfeat.backends"}
    owners |= dict.fromkeys(("LAYOUTS", "SCALARS"), "fastfeat.scalars")
    owners |= dict.fromkeys(("OPERATORS", "OTHERS"), "fastfeat.operators")
    for name, table in TABLES.items():
        for address in filter(None, table.addresses.values()):  # a row put in by hand has none
            yield owners.get(name, "fastfeat.steps.registry"), address
    for address in filter(None, step_kernels("cpu").addresses.values()):
        yield "fastfeat.backends.cpu", address
    for table in (cpu.BACKEND.functions, cpu.BACKEND.learners):
        assert isinstance(table, LazyTypeTable)
        for pair in table.addresses.items():
            yield from (("fastfeat.backends.cpu", address) for address in pair if address)


@pytest.fixture
def deferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module on the list, which is not imported yet."""
    name = "deferred_for_a_test"
    (tmp_path / f"{name}.py").write_text(
        "import builtins\n"
        "getattr(builtins, 'begun', lambda: None)()\n"
        "RUNS = globals().get('RUNS', 0) + 1\n"
        "def own():\n    return RUNS\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(first_use, "DEFERRED", frozenset({name}))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def is_unused(module: ModuleType) -> bool:
    """Return whether the file of a module is not run yet."""
    return type(module) is not ModuleType


def test_a_module_of_the_list_is_run_by_its_first_use(deferred: str) -> None:
    module = importlib.import_module(deferred)
    assert is_unused(importlib.import_module(deferred))
    assert not hasattr(module, "__file__")
    assert is_unused(module)
    assert module.own() == 1
    assert type(module) is ModuleType
    assert module.__file__ is not None
    assert importlib.reload(module).own() == 2


def test_names_that_are_imported_are_a_use(deferred: str) -> None:
    names: dict[str, Any] = {}
    exec(f"from {deferred} import own", names)
    assert names["own"]() == 1


def test_an_error_of_a_module_is_that_of_its_use_and_the_next_use_runs_it_again(
    deferred: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ImportError("not today")

    module = importlib.import_module(deferred)
    monkeypatch.setattr("builtins.begun", fail, raising=False)
    with pytest.raises(ImportError, match="not today"):
        module.own()
    monkeypatch.delattr("builtins.begun")
    assert module.own() == 1


def test_threads_wait_for_the_one_that_runs_a_module(
    deferred: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(deferred)
    begun, go_on, found = threading.Event(), threading.Event(), list[int]()

    def wait() -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    monkeypatch.setattr("builtins.begun", wait, raising=False)
    threads = [threading.Thread(target=lambda: found.append(module.own())) for _ in range(4)]
    threads[0].start()
    assert begun.wait(PATIENCE_S)
    for thread in threads[1:]:
        thread.start()
    assert not found
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert found == [1] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_fork_waits_for_the_imports_of_other_threads(
    deferred: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(deferred)
    begun, is_waited_for = threading.Event(), threading.Event()
    imports = first_use._Imports()

    def wait() -> None:
        begun.set()
        assert is_waited_for.wait(PATIENCE_S)

    def wait_for(is_so: Callable[[], bool], _patience_s: float) -> bool:
        is_waited_for.set()
        return waiting(is_so, PATIENCE_S)

    waiting = imports.changed.wait_for
    monkeypatch.setattr(imports.changed, "wait_for", wait_for)
    monkeypatch.setattr(first_use, "_IMPORTS", imports)
    monkeypatch.setattr("builtins.begun", wait, raising=False)
    thread = threading.Thread(target=lambda: module.own())
    thread.start()
    assert begun.wait(PATIENCE_S)
    imports.wait()  # as a fork does
    assert not is_unused(module)
    imports.go_on()
    thread.join(PATIENCE_S)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_runs_what_a_thread_of_its_parent_was_running(
    deferred: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(deferred)
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)

    monkeypatch.setattr("builtins.begun", wait, raising=False)
    monkeypatch.setattr(first_use._IMPORTS, "patience_s", 0)
    thread = threading.Thread(target=lambda: module.own())
    thread.start()
    assert begun.wait(PATIENCE_S)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        delattr(sys.modules["builtins"], "begun")
        os.write(write, str(module.own()).encode())
        os._exit(0)
    try:
        assert os.read(read, 8) == b"1"
    finally:
        go_on.set()
        thread.join(PATIENCE_S)
        os.waitpid(child, 0)
        os.close(read)
        os.close(write)


COUNTED = """
import json, sys
import numpy as np, pyarrow as pa
import fastfeat as ff
from fastfeat import col, first_use

def run():
    x = np.arange(1000.0)
    {run}

run()
files = [
    module.__file__ for name, module in sys.modules.items()
    if name.partition(".")[0] in ("fastfeat", "fastfeat_kernels") and hasattr(module, "__file__")
]
print(json.dumps({{
    "modules": len(files),
    "lines": sum(len(open(file, "rb").readlines()) for file in files),
    "used": [n for n in first_use.DEFERRED if hasattr(sys.modules.get(n), "__file__")],
    "others": [n for n in ("numba", "llvmlite", "pandas") if n in sys.modules],
}}))
"""
ROW_PLAN = 'plan = ff.Plan({"a": col("x").log1p(), "b": col("x") * 2 + col("y")})'
COLUMN = "pa.Array.from_buffers(pa.float64(), len(x), [None, pa.py_buffer(x)])"
FORMS = {
    "numpy": '{"x": x, "y": x}',
    "arrow": f'pa.table([{COLUMN}, {COLUMN}], ["x", "y"])',  # pa.array(x) imports pandas
}


def counted(run: str) -> dict[str, Any]:
    """Return what a fresh process with warm caches has imported after some work."""
    code = COUNTED.format(run=run)
    command = [sys.executable, "-W", "ignore", "-c", code]
    texts: list[str] = []
    for _ in range(2):  # the first one fills the cache of kernels
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        texts.append(done.stdout)
    return json.loads(texts[-1])


@pytest.mark.parametrize("form", FORMS)
def test_a_plan_of_rows_imports_what_it_needs(form: str) -> None:
    found = counted(f"data = {FORMS[form]}; {ROW_PLAN}; plan.fit(data).transform(data)")
    assert found["lines"] <= 21_050, found  # 20,808 in 128 modules when this was written
    assert found["modules"] <= 135, found
    assert not found["others"]
    subjects = ("windows", "keys", "targets", "tables", "lists", "text")
    folders = tuple(f"fastfeat.steps.{subject}." for subject in subjects)
    assert not [name for name in found["used"] if name.startswith(folders)]
    assert not [
        name for name in found["used"] if name.startswith(("fastfeat.tell", "fastfeat.io.sources"))
    ]


KEYED = '{"x": x, "t": x.astype("int64"), "k": (x % 7).astype("int64")}'
TEXTS = (
    "pa.table([pa.Array.from_buffers(pa.large_string(), 1000, [None, pa.py_buffer("
    'np.arange(1001)), pa.py_buffer(b"ab" * 500)])], ["s"])'
)
WINDOW = 'ff.window(time="t", by="k", last=9)'
KINDS = {  # the data, the features, other tables, and the most lines and modules
    "scaler": ('{"x": x}', '{"a": col("x").standard_scale()}', "", 25_400, 153),
    "imputer": ('{"x": x}', '{"a": col("x").impute("median")}', "", 25_750, 154),
    "text": (TEXTS, '{"n": col("s").str.to_lowercase().str.len_chars()}', "", 25_350, 152),
    "codes": (KEYED, '{"a": col("k").ordinal_encode()}', "", 27_750, 162),
    "key": (KEYED, '{"a": col("x").mean(by="k")}', "", 31_450, 181),
    "window": (KEYED, f'{{"a": col("x").mean(over={WINDOW})}}', "", 29_150, 163),
    "asof": (KEYED, '{"a": ff.asof("w", by="k", time="t").col("x")}', '{"w": data}', 28_250, 167),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_of_one_kind_imports_what_it_needs(kind: str) -> None:
    data, features, tables, most_lines, most_modules = KINDS[kind]
    more = f", tables={tables}" if tables else ""
    run = f"plan = ff.Plan({features}); plan.fit(data{more}).transform(data{more})"
    found = counted(f"data = {data}; {run}")
    assert found["lines"] <= most_lines, found
    assert found["modules"] <= most_modules, found
    assert not found["others"]


def test_a_plan_with_a_window_and_an_encoder_imports_what_they_need() -> None:
    data = '{"x": x, "t": x.astype("int64"), "k": (x % 7).astype("int64")}'
    features = (
        '"w": col("x").mean(over=ff.window(time="t", by="k", last=9)), "e": col("k").count_encode()'
    )
    found = counted(f"data = {data}; ff.Plan({{{features}}}).fit_transform(data)")
    assert found["lines"] <= 34_850, found  # 34,627 in 188 modules when this was written
    assert found["modules"] <= 192, found
    assert not found["others"]
