"""Energy use of the machine, from its own counters (powercap or hwmon), never estimated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fastfeat_kernels.records import dataclass

SYS = Path("/sys/class")
_MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class Energy:
    """The energy that the machine used during a run.

    Args:
        joules: Energy of everything on the machine; None if it has no counters.
        source: The counters as text, or why there are none.
    """

    joules: float | None
    source: str

    def __str__(self) -> str:
        """Return the energy and its source as text."""
        if self.joules is None:
            return f"unavailable: {self.source}"
        return f"{self.joules:.3g} J used by the whole machine, measured by {self.source}"


@dataclass(frozen=True, slots=True)
class _Counters:
    """Readings of counters, in microjoules.

    Args:
        values: Reading of each counter, by the path of its file.
        ranges: Value at which each counter wraps around to 0, by path; 0 if unknown.
        source: Names of the counters, or why there are none.
    """

    values: Mapping[Path, int]
    ranges: Mapping[Path, int]
    source: str


def energy_meter(folder: Path = SYS) -> Callable[[], Energy]:
    """Start to measure energy; return a function that returns the energy used since this call.

    `folder` is the directory in which the system has its energy counters.

    Example:
        >>> str(energy_meter(Path("nowhere"))())
        'unavailable: this machine has no energy counter'
    """
    before = _counters(folder)

    def taken() -> Energy:
        if not before.values:
            return Energy(None, before.source)
        after = _counters(folder)
        lost = before.values.keys() - after.values.keys()
        if lost:
            return Energy(None, f"{min(lost)} can no longer be read")
        steps = [_step(before, after, path) for path in before.values]
        return Energy(sum(steps) * _MICRO, before.source)

    return taken


def _step(before: _Counters, after: _Counters, path: Path) -> int:
    step = after.values[path] - before.values[path]
    return step if step >= 0 else step + before.ranges.get(path, 0)


def _counters(folder: Path) -> _Counters:
    """Return the readings of the processors' counters; if there are none, those of sensors."""
    packages = [
        zone / "energy_uj"
        for zone in sorted(folder.glob("powercap/*"))
        if zone.name.count(":") == 1 and (zone / "energy_uj").exists()
    ]
    sensors = sorted(folder.glob("hwmon/*/energy*_input"))
    paths, source = (packages, "powercap") if packages else (sensors, "hwmon")
    if not paths:
        return _Counters({}, {}, "this machine has no energy counter")
    values: dict[Path, int] = {}
    for path in paths:
        try:
            values[path] = int(path.read_text())
        except OSError as error:
            return _Counters({}, {}, f"{path} cannot be read: {error.strerror}")
        except ValueError:
            return _Counters({}, {}, f"{path} does not contain a number")
    ranges = {path: _range_of(path) for path in packages}
    return _Counters(values, ranges, f"{source} ({', '.join(map(_name_of, paths))})")


def _range_of(path: Path) -> int:
    try:
        return int((path.parent / "max_energy_range_uj").read_text())
    except (OSError, ValueError):
        return 0


def _name_of(path: Path) -> str:
    try:
        return (path.parent / "name").read_text().strip()
    except OSError:
        return path.parent.name
