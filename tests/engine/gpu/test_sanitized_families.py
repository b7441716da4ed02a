"""The sanitizers are silent about every kernel of every family, and not about faulty ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastfeat.engine.gpu.compile.gcc import Sanitizer, sanitizer_environment
from fastfeat.errors import BackendUnavailable
from fastfeat_tests.engine.gpu.sanitized_families import (
    CROSSES,
    FAULTS,
    KEYED,
    PER_KEY,
    RAGGED,
    WINDOWED,
    digest_of,
)
from fastfeat_tests.operators.operator_features import families
from fastfeat_tests.patience import PATIENCE_S

pytestmark = [
    pytest.mark.sanitizer,
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]
PROGRAM = Path(__file__).with_name("sanitized_families.py")
FAMILIES = [*families(learnt=False), *families(learnt=True), CROSSES, RAGGED, WINDOWED, *KEYED]
TOGETHER = 4  # families of a process: it takes seconds to start
SEEDED = {
    "sums_without_barrier": "aggregates",
    "groups_without_atomics": PER_KEY,
    "groups_without_barrier": PER_KEY,
    "ranks_without_atomics": PER_KEY,
    "counts_without_atomics": "aggregates",
    "keys_without_compare_and_swap": "categories",
    "keys_counted_before_the_barrier": "categories",
    "status_without_atomics": "trigonometry",
    "slices_without_atomics": RAGGED,
    "scans_without_barrier": WINDOWED,
    "rows_moved_without_barrier": WINDOWED,
    "bits_by_every_thread": "trigonometry",
}
BEYOND = {"match_beyond_the_row": RAGGED, "counts_beyond_the_rows": WINDOWED}


def run(sanitizer: Sanitizer, order: str, fault: str, *names: str) -> tuple[int, str, str]:
    """Return exit status, output and report of a process that runs families."""
    try:
        environment = {**os.environ, **sanitizer_environment(sanitizer)}
    except BackendUnavailable as error:
        pytest.skip(str(error))
    command = [sys.executable, str(PROGRAM), sanitizer, order, fault, *names]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.sampled
@pytest.mark.parametrize("some", range(0, len(FAMILIES), TOGETHER))
@pytest.mark.parametrize(
    ("sanitizer", "order"), [("address", "forward"), ("address", "reverse"), ("thread", "random")]
)
def test_a_sanitizer_is_silent_and_the_bits_are_those_of_the_cpu(
    sanitizer: Sanitizer, order: str, some: int
) -> None:
    names = FAMILIES[some : some + TOGETHER]
    status, output, report = run(sanitizer, order, "none", *names)
    assert (status, report) == (0, ""), report[-4000:]
    assert output.splitlines() == [f"{name} {digest_of(name, 'cpu')}" for name in names]


@pytest.mark.sampled
@pytest.mark.parametrize("fault", SEEDED)
def test_thread_sanitizer_sees_a_fault_in_our_kernels(fault: str) -> None:
    status, _, report = run("thread", "random", fault, SEEDED[fault])
    assert status == 66, report
    assert "WARNING: ThreadSanitizer: data race" in report
    assert re.search(r"kernel\.cu:\d+", report)


@pytest.mark.sampled
@pytest.mark.parametrize("fault", BEYOND)
def test_address_sanitizer_sees_a_read_beyond_a_row(fault: str) -> None:
    status, _, report = run("address", "forward", fault, BEYOND[fault])
    assert status != 0
    assert re.search(r"AddressSanitizer: heap-buffer-overflow", report), report
    assert re.search(r"kernel\.cu:\d+", report)


def test_every_fault_is_seeded() -> None:
    assert {*SEEDED, *BEYOND, "none"} == set(FAULTS)
