"""Faults that the tests must find, each seeded in a copy of the tree; see `seed_faults.py`."""

from __future__ import annotations

import pytest

from fastfeat_tests.seed_faults import FAULTS, ROOT, outcome


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_can_be_seeded(name: str) -> None:
    fault = FAULTS[name]
    assert (ROOT / fault.path).read_text("utf-8").count(fault.sound) == 1
    assert fault.faulty != fault.sound


@pytest.mark.sampled
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name: str) -> None:
    is_found, what = outcome(FAULTS[name])
    assert is_found, what
