"""Seeds faults in a copy of the tree, one at a time, and tells which of them the tests find.

`python tests/seed_faults.py` seeds all of them, `python tests/seed_faults.py NAME...` some. For
each the files that should find it run, as `make test` runs them, which shows that they pass without
a fault. The exit status is 1 where one is missed. In `test_seeded_faults.py` each is a test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ("README.md", "docs")
COPIED = ("fastfeat", "kernels", "tests", "bench", "pyproject.toml", "Makefile", *DOCS)
PATIENCE_S = 1800


@dataclass(frozen=True, slots=True)
class Fault:
    """A change of one place, after which tests must fail.

    Args:
        path: of the file, from the root.
        sound: text that is there once.
        faulty: what is put in its place.
        tests: arguments of pytest: files that should find it.
    """

    path: str
    sound: str
    faulty: str
    tests: tuple[str, ...]


KERNELS = "kernels/fastfeat_kernels"
FAULTS = {
    "half_is_rounded_up": Fault(
        "fastfeat/scalars/rounding.py",
        "rounded = op.round_even(x) if",
        "rounded = op.floor(x + 0.5) if",
        ("tests/operators/test_operators.py", "-k", "round"),
    ),
    "a_product_is_rounded_twice": Fault(
        "fastfeat/scalars/elementary/floats.py",
        "return high, fma(x, y, -high)",
        "return high, x * y - high",
        ("tests/scalars/test_elementary_accuracy.py",),
    ),
    "a_sum_loses_its_carry": Fault(
        f"{KERNELS}/moments/cpu/integers.py",
        "    limbs[n - 1] += carry\n",
        "    limbs[n - 1] += 0\n",
        ("tests/kernels/test_moments_kernel.py",),
    ),
    "a_window_loses_its_carry": Fault(
        f"{KERNELS}/windows/cpu/sums.py",
        "high, low = highs[j] + (lows[j] >> layout.LIMB_BITS), lows[j] & LOW\n        fits",
        "high, low = highs[j], lows[j] & LOW\n        fits",
        ("tests/kernels/test_windows_kernel_sums.py",),
    ),
    "a_barrier_is_missing": Fault(
        f"{KERNELS}/windows/cuda/scans.cu",
        "        held[me] = own;\n        __syncthreads();\n",
        "        held[me] = own;\n",
        ("tests/steps/windows/test_device_windows.py",),
    ),
    "products_are_fused_on_a_card": Fault(
        "fastfeat/engine/gpu/compile/cuda.py",
        '"-fmad=false"',
        '"-fmad=true"',
        ("tests/engine/gpu/test_machine_code.py", "-k", "lint"),
    ),
    "a_window_ends_a_row_early": Fault(
        f"{KERNELS}/windows/cpu/bounds.py",
        "(seen[j] < limit) | (seen[j - 1] >= limit)",
        "(seen[j] < limit) | (seen[j - 1] > limit)",
        ("tests/kernels/test_windows_in_runs.py",),
    ),
    "a_missing_value_is_dropped": Fault(
        "fastfeat/scalars/arithmetic.py",
        "value = Value(INT64, result, x.ok & y.ok, join_status(x, y))",
        "value = Value(INT64, result, x.ok, join_status(x, y))",
        ("tests/operators/test_expressions.py",),
    ),
    "ties_stand_as_they_come": Fault(
        f"{KERNELS}/windows/cpu/sorting.py",
        "falls_tied = ties[i64(arrivals[at])] < ties[i64(arrivals[at - 1])]",
        "falls_tied = ties[i64(arrivals[at])] > ties[i64(arrivals[at - 1])]",
        ("tests/kernels/test_windows_kernel.py", "-k", "ties"),
    ),
    "a_product_may_wrap": Fault(
        "fastfeat/scalars/integers.py",
        "return op.magnitude(error) > TWO_63",
        "return op.magnitude(error) > TWO_63 * 2.0**66",
        ("tests/execute/test_overflow.py", "tests/scalars/test_rules.py"),
    ),
    "a_fold_sees_itself": Fault(
        f"{KERNELS}/grouped/state.py",
        "yield subtract(total, part(moments, fold * n_keys, (fold + 1) * n_keys))",
        "yield total",
        ("tests/steps/targets/test_targets.py",),
    ),
    "a_window_holds_its_own_label": Fault(
        "fastfeat/ir/scope.py",
        'params["closed"] in ("right", "both") and not params["offset"]',
        'params["closed"] in ("right",) and not params["offset"]',
        ("tests/plan/declare/test_leakage.py",),
    ),
    "a_key_of_the_cache_omits_the_machine": Fault(
        "fastfeat/engine/cpu/cache.py",
        "[_machine(is_by_numba), digest_of_sources(recipe), recipe]",
        "[digest_of_sources(recipe), recipe]",
        ("tests/engine/cpu/test_kernel_cache.py",),
    ),
    "a_kernel_runs_under_another_name": Fault(
        "fastfeat/engine/cpu/cache.py",
        'hashlib.sha256(key.encode() + b"\\n" + body)',
        "hashlib.sha256(body)",
        ("tests/engine/cpu/test_kernel_cache.py",),
    ),
    "an_offset_changes_a_tick_late": Fault(
        "fastfeat/scalars/local_time.py",
        "passed = op.from_bool(x >= change)",
        "passed = op.from_bool(x > change)",
        ("tests/scalars/test_zones.py", "tests/scalars/test_calendar_parts.py"),
    ),
    "a_window_begins_a_tick_early": Fault(
        "fastfeat/steps/windows/function.py",
        "else 1 + (-reach // tick)",
        "else (-reach // tick)",
        ("tests/trust/selfcheck/test_selfcheck.py", "-k", "past and cpu"),
    ),
    "an_error_is_told_otherwise": Fault(
        "fastfeat/calls/checks.py",
        'f"takes a whole number {allowed}"',
        'f"takes a whole number, {allowed}"',
        ("tests/compatibility/test_recorded_errors.py", "-k", "calls"),
    ),
    "a_finding_ends_with_0": Fault(
        "fastfeat/apps/cli/gates.py",
        "(FOUND if judged.findings else OK) if",
        "OK if",
        ("tests/apps/cli/test_gates.py",),
    ),
    "rows_that_warn_are_not_counted": Fault(
        "fastfeat/execute/guard.py",
        "            _tell(text, rule, on_violation, broken)\n    return broken",
        "            _tell(text, rule, on_violation, broken)\n    return {}",
        ("tests/live/test_live_contract.py",),
    ),
}


@contextmanager
def copy_of_tree() -> Iterator[Path]:
    """Make a copy of what the tests need, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="fastfeat-faults-") as folder:
        ignored = shutil.ignore_patterns("results")  # what was compiled has the times of its files
        for name in COPIED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=ignored)
            else:
                shutil.copy(source, target)
        (Path(folder) / ".paths").mkdir()
        (Path(folder) / ".paths" / "fastfeat_tests").symlink_to("../tests")
        yield Path(folder)


def seed(tree: Path, fault: Fault) -> None:
    """Put a fault into a copy of the tree.

    Raises:
        ValueError: its text is not there, or more than once.
    """
    path = tree / fault.path
    text = path.read_text("utf-8")
    if text.count(fault.sound) != 1:
        raise ValueError(f"{fault.path} has {text.count(fault.sound)} times: {fault.sound}")
    path.write_text(text.replace(fault.sound, fault.faulty), "utf-8")
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()  # the file may be of the same length, within the same second


def run_tests(tree: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run tests of a tree with profile `ci`, until one fails."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(tree / name) for name in ("", "kernels", ".paths")),
        "HYPOTHESIS_PROFILE": "ci",
        "PYTHONDONTWRITEBYTECODE": "1",  # files change within the second
    }
    environment.setdefault("FASTFEAT_CACHE_DIR", str(ROOT / ".pytest_cache" / "d" / "kernels"))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=no", *tests]
    return subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False,
        timeout=PATIENCE_S,
    )  # fmt: skip


def outcome(fault: Fault) -> tuple[bool, str]:
    """Return whether tests fail with a fault, or die of it; and which, or what pytest says."""
    with copy_of_tree() as tree:
        seed(tree, fault)
        done = run_tests(tree, fault.tests)
    failed = re.search(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    if done.returncode == 1 and failed is not None:
        return True, failed[1]
    if done.returncode < 0:
        return True, f"ended by signal {-done.returncode}"
    return False, (done.stdout + done.stderr)[-2000:]


def main(names: Sequence[str]) -> int:
    """Seed faults and print what finds them; return the exit status."""
    chosen = names or list(FAULTS)
    n_missed = 0
    for name in chosen:
        began = time.monotonic()
        is_found, what = outcome(FAULTS[name])
        n_missed += not is_found
        seconds = time.monotonic() - began
        told = "found " if is_found else "MISSED"
        print(f"{told} {name:38} {seconds:4.0f} s  {what}", flush=True)
    print(f"{len(chosen) - n_missed} of {len(chosen)} faults found")
    return int(n_missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
