"""Check of a backend: its digests are compared with the golden ones, which each backend must give.

If a digest differs, the CPU backend computes the feature too, to find the row.
"""

from __future__ import annotations

import json
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.api.plan import Plan
from fastfeat.backends import DEVICE_NAMES, backend_named, device_of
from fastfeat.engine.gpu.device.driver import driver_version
from fastfeat.errors import FastfeatWarning
from fastfeat.trust.selfcheck.bandwidth import Bandwidth, measure_bandwidth
from fastfeat.trust.selfcheck.digests import LEARNT, digests_of, golden_digests
from fastfeat.trust.selfcheck.plans import contract_plans
from fastfeat.trust.selfcheck.tables import N_ROWS, check_table, training_table
from fastfeat.trust.verify.comparison import first_difference

MOST_SHOWN = 5
_PACKAGES = ("fastfeat", "numpy", "pyarrow", "numba", "cupy-cuda13x", "cupy-cuda12x")
_PACKAGES_OF_NVIDIA = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The result of checking one plan on a backend.

    Args:
        name: Name of the plan.
        n_features: Number of output columns.
        seconds: Time to fit and compute on the backend, compilation included.
        differences: Features that differ from the golden digest, each with the first row that
            differs from the CPU; or the error that ended the plan.
    """

    name: str
    n_features: int
    seconds: float
    differences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SelfCheckReport:
    """The result of a check of a backend.

    Args:
        backend: Name of the backend.
        device: Name of the device.
        versions: Versions of software that results depend on.
        n_rows: Number of computed rows.
        plans: Result of each plan.
        bandwidth: Speed of a row plan; None if not measured.
    """

    backend: str
    device: str
    versions: dict[str, str]
    n_rows: int
    plans: tuple[PlanResult, ...]
    bandwidth: Bandwidth | None

    @property
    def ok(self) -> bool:
        """Whether every bit agrees."""
        agreed = self.bandwidth is None or self.bandwidth.difference is None
        return agreed and all(not plan.differences for plan in self.plans)

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps({"ok": self.ok, **asdict(self)}, indent=2) + "\n"


def check(backend: str, step: Callable[[str], None], *, n_rows: int = 1 << 27) -> SelfCheckReport:
    """Return the results of all plans on a backend.

    `step` is called with a description of each step. `n_rows` is the number of rows to measure the
    speed with, which is reduced if memory is short; 0 skips it.

    Raises:
        BackendUnavailable: The backend cannot run here.
    """
    backend_named(backend)
    train, rows = training_table(), check_table()
    results: list[PlanResult] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)  # about constant columns
        for name, plan in contract_plans().items():
            step(f"Checking {name}")
            results.append(_check_plan(name, plan, backend, train, rows))
    device, bandwidth = platform.processor() or platform.machine(), None
    if backend in DEVICE_NAMES:
        device = device_of(backend_named(backend)).name
        if n_rows:
            step("Measuring the speed of a row plan")
            bandwidth = measure_bandwidth(backend, n_rows)
    return SelfCheckReport(backend, device, _versions(), N_ROWS, tuple(results), bandwidth)


def _check_plan(name: str, plan: Plan, backend: str, train: Any, rows: Any) -> PlanResult:
    begin = time.perf_counter()
    try:
        fitted = plan.fit(train, backend=backend)
        features = fitted.transform(rows, backend=backend)
    except Exception as error:  # one failing plan must not hide the others' results
        said = f"{type(error).__name__}: {error}"
        return PlanResult(name, len(plan.declaration.nodes), time.perf_counter() - begin, (said,))
    seconds = time.perf_counter() - begin
    found, golden = digests_of(fitted, features), golden_digests()[name]
    wrong = [feature for feature, digest in found.items() if golden.get(feature) != digest]
    if not wrong:
        return PlanResult(name, len(plan.declaration.nodes), seconds, ())
    on_cpu = plan.fit(train)
    expected = on_cpu.transform(rows)
    differences = [
        _difference_learnt(on_cpu.learnt(), fitted.learnt())
        if feature == LEARNT
        else _difference(feature, expected, features)
        for feature in wrong
    ]
    return PlanResult(name, len(plan.declaration.nodes), seconds, tuple(differences))


def _difference(feature: str, expected: Any, features: Any) -> str:
    one, other = expected[feature].combine_chunks(), features[feature].combine_chunks()
    row = first_difference(one, other)
    if row is None:
        return f"{feature}: equal to the result of this CPU; both differ from the golden digest"
    return f"{feature}: row {row} is {other[row].as_py()!r}, but {one[row].as_py()!r} on the CPU"


def _difference_learnt(expected: dict[str, Any], learnt: dict[str, Any]) -> str:
    wrong = [name for name, value in expected.items() if repr(learnt.get(name)) != repr(value)]
    if not wrong:
        return f"{LEARNT}: equal to the result of this CPU; both differ from the golden digest"
    name = wrong[0]
    return f"{LEARNT}: {name} is {learnt.get(name)!r}, but {expected[name]!r} on the CPU"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.platform()}
    driver = driver_version()
    if driver is not None:
        found["CUDA driver"] = f"{driver[0]}.{driver[1]}"
    for package in (*_PACKAGES, *_PACKAGES_OF_NVIDIA):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
