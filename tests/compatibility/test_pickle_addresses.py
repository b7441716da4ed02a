"""Pickles: those of plans name addresses that stay, and every protocol keeps what it was given."""

from __future__ import annotations

import pickle
import pickletools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import pickles
from fastfeat_tests.compatibility.pickled_values import VALUES, plain

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ADDRESSES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "plan": ("plan_of", ff.Plan.to_json),
    "fitted plan": ("fitted_of", lambda fitted: fitted),
    "contract": ("contract_of", ff.Contract.to_json),
}
"""For each value that is pickled by an address that stays: the function, and what it keeps."""


def addresses_in(content: bytes) -> set[str]:
    """Return what a pickle of protocol 0 names of fastfeat: an address is an opcode there."""
    named = [str(arg) for op, arg, _ in pickletools.genops(content) if op.name == "GLOBAL"]
    return {address for address in named if address.startswith("fastfeat")}


@pytest.mark.parametrize("name", VALUES)
def test_every_protocol_keeps_a_value(name: str) -> None:
    value = VALUES[name]()
    for protocol in PROTOCOLS:
        assert plain(pickle.loads(pickle.dumps(value, protocol))) == plain(value)


@pytest.mark.parametrize("name", ADDRESSES)
def test_plans_are_pickled_by_addresses_that_stay(name: str) -> None:
    function, kept = ADDRESSES[name]
    value = VALUES[name]()
    for protocol in PROTOCOLS:
        content = pickle.dumps(value, protocol)
        assert kept(pickle.loads(content)) == kept(value)
        assert b"fastfeat.pickles" in content
    assert addresses_in(pickle.dumps(value, 0)) == {f"fastfeat.pickles {function}"}


@pytest.mark.parametrize("name", ["online", "replay", "lookup", "leak_test", "load"])
def test_a_function_is_pickled_by_an_address_that_imports(name: str) -> None:
    (address,) = addresses_in(pickle.dumps(getattr(ff, name), 0))
    module, _, function = address.partition(" ")
    assert getattr(import_module(module), function) is getattr(ff, name)


@dataclass(frozen=True, slots=True)
class Later:
    """A record of a later version, with fields that an earlier one lacked."""

    first: int
    second: str = "none"
    __setstate__ = pickles.set_fields


def test_newer_fields_of_a_pickled_record_take_their_defaults() -> None:
    assert pickle.loads(pickle.dumps(Later(3, "b"))) == Later(3, "b")
    earlier = Later(0)
    earlier.__setstate__([7])
    assert earlier == Later(7, "none")


def test_the_package_is_a_plain_module_that_pickles_find() -> None:
    script = """
import pickle, sys
import fastfeat.live.live
import fastfeat as ff
assert ff.online.__module__ == "fastfeat.api.online"
assert pickle.loads(pickle.dumps(ff.online)) is ff.online
print(type(ff).__name__, [finder for finder in sys.meta_path if "pickles" in finder.__module__])
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "module []\n"
