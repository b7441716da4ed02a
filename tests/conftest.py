"""What all tests share: profiles, a seed for each run, sampled tests, a cache of compiled kernels.

Tests that need a card, or a compiler for one, are skipped where it is missing, with the reason.

A run draws its Hypothesis examples and its sampled tests by one seed, new in each run, which its
header names: `--hypothesis-seed=SEED`, or the variable FASTFEAT_TEST_SEED, repeats it. Profile
`smoke` runs a file of each folder, `full` the tests of large libraries too, `engines` those of Ray
and Spark alone, and `nightly` every test but those.
"""

from __future__ import annotations

import gc
import hashlib
import os
import random
import signal
from collections import defaultdict
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from fastfeat_tests.smoke import SMOKE

# Threads of OpenMP, as of boosted trees, wait for each other by spinning: beside other processes
# of tests that takes minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The first example of a plan compiles it: no deadline, and slow is not unhealthy.
# `dev` is for a person who waits, `ci` for `make test`, `smoke` for a file of each folder in two
# minutes, `full` for tests marked `large` too, `engines` for those marked `engines`, `nightly` to
# search.
settings.register_profile(
    "dev",
    max_examples=25,
    deadline=None,
    derandomize=False,  # as Hypothesis would, where it finds itself in CI
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("dev"), max_examples=12)  # new ones each run
settings.register_profile("smoke", settings.get_profile("ci"), max_examples=2)
settings.register_profile("full", settings.get_profile("ci"))
settings.register_profile("engines", settings.get_profile("ci"))
settings.register_profile("nightly", settings.get_profile("dev"), max_examples=5000)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "dev")
settings.load_profile(PROFILE)

# Where a machine is busy, any test may compile for longer than a second, which is told on stderr.
os.environ.setdefault("FASTFEAT_PROGRESS", "0")

# pandera sets this variable where it is not set, and pyarrow then takes local times for UTC: tests
# that come later in the same process would build other rows.
os.environ.setdefault("PYARROW_IGNORE_TIMEZONE", "")

SEED = "FASTFEAT_TEST_SEED"
OF_LIBRARIES = {"full": "integrations", "engines": "engines"}
"""The folder whose tests skip nothing in a profile, which has the libraries of all of them."""
SHARE = 10
"""Of the sampled tests of a file, one in so many runs; all in `nightly`, or if named by `::`."""
FIRST = "apps", "test_progress.py", "test_seeded_faults.py"
"""Folders and files whose tests wait, or take long: at the end all others would wait for them."""


# A shell that starts pytest in the background ignores Ctrl-C for it, and for all programs that it
# starts: tests that interrupt one would then wait for an end that never comes.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # Hypothesis reads the option as it is configured
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed, which workers are given."""
    chosen = config.option.hypothesis_seed or os.environ.get(SEED)
    seed = chosen or str(random.SystemRandom().randrange(10**9))
    config.option.hypothesis_seed = os.environ[SEED] = seed  # workers have this environment


@pytest.hookimpl(tryfirst=True)  # before workers are started, which have this environment
def pytest_sessionstart(session: pytest.Session) -> None:
    """Keep kernels beside pytest's own cache: between runs, and away from those of the user."""
    cache = getattr(session.config, "cache", None)  # none with -p no:cacheprovider
    if cache is not None:
        os.environ.setdefault("FASTFEAT_CACHE_DIR", str(cache.mkdir("kernels")))


def pytest_report_header(config: pytest.Config) -> str:
    """Return how to repeat this run."""
    return f"profile {PROFILE}; to repeat: {_repeating(config)}"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Say again, below the failures, how to repeat this run."""
    if exitstatus == pytest.ExitCode.TESTS_FAILED:
        terminalreporter.write_line(f"to repeat: {_repeating(config)}")


def _repeating(config: pytest.Config) -> str:
    return f"make test PROFILE={PROFILE} ARGS=--hypothesis-seed={config.option.hypothesis_seed}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what `smoke` does not name, where no argument names it: importing takes time."""
    if PROFILE != "smoke" or config.args_source != pytest.Config.ArgsSource.TESTPATHS:
        return None
    name = collection_path.relative_to(Path(__file__).parent).as_posix()
    return True if collection_path.is_file() and name not in SMOKE else None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail where a profile lacks a library that it tests: what is skipped is not tested."""
    report = yield
    if collector.path.parent.name == OF_LIBRARIES.get(PROFILE) and report.outcome == "skipped":
        report.outcome = "failed"
    return report


@pytest.hookimpl(tryfirst=True)  # before -k and -m, so that they do not change what is drawn
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the profile does not run, and all but one in SHARE of what is `sampled`."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(here).parts[0] not in FIRST)
    if any("::" in argument for argument in config.args):
        return
    left_out: set[pytest.Item] = set()
    if PROFILE == "engines":
        left_out |= {item for item in items if not item.get_closest_marker("engines")}
    else:
        left_out |= {item for item in items if item.get_closest_marker("engines")}
    if PROFILE != "full":
        left_out |= {item for item in items if item.get_closest_marker("large")}
    if PROFILE != "nightly":
        left_out |= {item for item in items if item.get_closest_marker("slow")}
        left_out |= _not_drawn(config, items)
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """Look for no garbage in what is there now: modules and tests live as long as the run."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose compiler, or card, is missing."""
    if not any(map(item.get_closest_marker, ("emulator", "sanitizer", "cuda_compile", "gpu"))):
        return
    # not above: numbers of threads must be set before NumPy is imported
    from fastfeat.engine.gpu.compile import nvrtc
    from fastfeat.engine.gpu.compile.gcc import find_compiler
    from fastfeat.engine.gpu.device.current import current_runtime
    from fastfeat.errors import BackendUnavailable

    try:
        if item.get_closest_marker("emulator") or item.get_closest_marker("sanitizer"):
            find_compiler()
        if item.get_closest_marker("cuda_compile"):
            nvrtc.version()
        if item.get_closest_marker("gpu"):
            current_runtime()
    except BackendUnavailable as error:
        pytest.skip(str(error))


def _not_drawn(config: pytest.Config, items: list[pytest.Item]) -> set[pytest.Item]:
    """Return what is `sampled` and not drawn by the seed of this run."""
    names: dict[tuple[Path, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        marker = item.get_closest_marker("sampled")
        if marker is not None:
            name = str(marker.args[0]) if marker.args else item.nodeid
            names[item.path, name].append(item)
    drawn = _drawn(config.option.hypothesis_seed, names)
    return {item for key, found in names.items() if key not in drawn for item in found}


def _drawn(seed: str, names: Iterable[tuple[Path, str]]) -> set[tuple[Path, str]]:
    """Return one in SHARE of the names of each file, and one at least."""

    def chance(key: tuple[Path, str]) -> bytes:
        return hashlib.sha256(f"{seed} {key[0].name} {key[1]}".encode()).digest()

    of_files: dict[Path, list[tuple[Path, str]]] = defaultdict(list)
    for key in sorted(names, key=chance):
        of_files[key[0]].append(key)
    return {key for keys in of_files.values() for key in keys[: max(1, len(keys) // SHARE)]}
