"""Pickles: those of version 0.1 load, by whatever they name; new ones name an address that stays.

`pickles_0_1.json` was written by that version: for each value of `pickled_values` its pickle, of
protocol 4, and the addresses in it. It is never written anew.
"""

from __future__ import annotations

import base64
import json
import pickle
import pickletools
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pickled_values import VALUES, plain

from fastfeat import pickles

KEPT: dict[str, Any] = json.loads(Path(__file__).with_name("pickles_0_1.json").read_text())
ADDRESSES = sorted({address for kept in KEPT.values() for address in kept["addresses"]})


def addresses_in(content: bytes) -> set[str]:
    """Return what a pickle of protocol 0 names of fastfeat: an address is an opcode there."""
    named = [str(arg) for op, arg, _ in pickletools.genops(content) if op.name == "GLOBAL"]
    return {address for address in named if address.startswith("fastfeat")}


@pytest.mark.parametrize("name", KEPT)
def test_a_pickle_of_version_0_1_loads(name: str) -> None:
    if name not in VALUES:
        pytest.skip("scikit-learn is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn tells that another of its versions wrote it
        found = pickle.loads(base64.b64decode(KEPT[name]["pickle"]))
    assert plain(found) == plain(VALUES[name]())


def test_every_value_has_a_pickle_of_version_0_1() -> None:
    assert {*KEPT} - {*VALUES} <= {"scikit-learn's"}  # what came later has none
    assert len(ADDRESSES) > 60


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_of_version_0_1_is_found(address: str) -> None:
    module, _, names = address.partition(" ")
    if "sklearn" in module:
        pytest.importorskip("sklearn")
    found: Any = import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    assert callable(found)


def test_plans_are_pickled_by_addresses_that_stay() -> None:
    for name, address in (("plan", "plan_of"), ("fitted plan", "fitted_of")):
        value = VALUES[name]()
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            content = pickle.dumps(value, protocol)
            assert pickle.loads(content) == value
            assert b"fastfeat.pickles" in content
        assert addresses_in(pickle.dumps(value, 0)) == {f"fastfeat.pickles {address}"}


@pytest.mark.parametrize("old", pickles.OLD)
def test_a_moved_module_has_the_names_of_its_row_and_no_other(old: str) -> None:
    name = f"fastfeat.{old}"
    spec = pickles.OldAddresses.find_spec(name)
    assert spec is not None
    module = ModuleType(name)
    pickles.OldAddresses.exec_module(module)
    assert {*vars(module)} - {*vars(ModuleType(name))} == {*pickles.OLD[old]}
    for part in pickles.OLD[old]:
        assert getattr(module, part) is getattr(import_module(name), part)


def test_no_other_module_is_found_as_moved() -> None:
    for name in ("plan.plan", "other.plan.plan", "fastfeat.plan.pla", "fastfeat", "fastfeat.x"):
        assert pickles.OldAddresses.find_spec(name) is None
    with pytest.raises(ModuleNotFoundError, match=r"fastfeat\.plan\.artefact"):
        import_module("fastfeat.plan.artefact")


def test_a_pickle_loads_where_its_modules_are_gone(tmp_path: Path) -> None:
    """In a process of its own: a folder and a module of the table have no file any more."""
    script = """
import sys, pickle, fastfeat
from fastfeat import pickles
home = "fastfeat.api.plan.Plan"
pickles.OLD = {"gone.since": {"Plan": home}, "plan.since": {"Plan": home}}
for module in (b"fastfeat.gone.since", b"fastfeat.plan.since"):
    assert pickle.loads(b"c" + module + b"\\nPlan\\n.") is fastfeat.Plan
try:
    from fastfeat.plan.since import FittedPlan
except ImportError as error:
    print(error)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot import name 'FittedPlan' from 'fastfeat.plan.since'" in done.stdout
