"""The sanitizers find what was seeded, at its line, and nothing in what is sound."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from fastfeat.engine.gpu.compile.gcc import Sanitizer, sanitizer_environment
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.errors import BackendUnavailable
from fastfeat_tests.engine.gpu.seeded_faults import BAD_ACCESSES, RACES, SOUND
from fastfeat_tests.patience import PATIENCE_S

pytestmark = pytest.mark.sanitizer
of_threads, of_addresses = pytest.mark.sampled("threads"), pytest.mark.sampled("addresses")

PROGRAM = Path(__file__).with_name("seeded_faults.py")


def _run(sanitizer: Sanitizer, *names: str) -> tuple[int, str]:
    """Return exit status and report of a process that launches kernels."""
    try:
        environment = {**os.environ, **sanitizer_environment(sanitizer)}
    except BackendUnavailable as error:
        pytest.skip(str(error))
    command = [sys.executable, str(PROGRAM), sanitizer, *names]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    return done.returncode, done.stderr


@cache
def _reports(sanitizer: Sanitizer, *names: str) -> tuple[int, dict[str, str]]:
    """Return the exit status, and what a sanitizer said about each kernel."""
    status, report = _run(sanitizer, *names)
    sections = re.split(r"^== ", report, flags=re.MULTILINE)[1:]
    assert sections[-1].strip().startswith("end"), report
    return status, dict(section.split("\n", 1) for section in sections)


@of_threads
@pytest.mark.parametrize("name", RACES)
def test_thread_sanitizer_reports_a_seeded_race(name: str) -> None:
    status, reports = _reports("thread", *SOUND, *RACES)
    assert status == 66
    assert "WARNING: ThreadSanitizer: data race" in reports[name]
    assert re.search(r"kernel\.cu:\d+", reports[name])


@of_threads
@pytest.mark.parametrize("name", SOUND)
def test_thread_sanitizer_is_silent_about_a_sound_kernel(name: str) -> None:
    assert _reports("thread", *SOUND, *RACES)[1][name] == ""


@of_addresses
@pytest.mark.parametrize("name", SOUND)
def test_address_sanitizer_is_silent_about_a_sound_kernel(name: str) -> None:
    assert _reports("address", *SOUND, *BAD_ACCESSES)[1][name] == "exit 0\n"


@of_addresses
@pytest.mark.parametrize("name", BAD_ACCESSES)
def test_address_sanitizer_and_ubsan_stop_at_a_fault(name: str) -> None:
    report = _reports("address", *SOUND, *BAD_ACCESSES)[1][name]
    assert "exit 0" not in report
    assert re.search(r"AddressSanitizer: .*(overflow|poison)|runtime error", report), report
    assert re.search(r"kernel\.cu:[23]|prelude\.cuh:\d+", report), report


def test_a_sanitizer_needs_a_process_of_its_own() -> None:
    with pytest.raises(BackendUnavailable, match="sanitizer_environment"):
        EmulatedRuntime(sanitizer="address")
