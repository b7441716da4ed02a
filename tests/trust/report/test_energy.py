"""Energy is what the counters of a machine say, and nothing where there are none."""

from __future__ import annotations

from pathlib import Path

from fastfeat.trust.report.energy import energy_meter


def counter(path: Path, value: int) -> None:
    """Write a file of the system as it shows them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")


def test_packages_are_added_and_their_parts_left_out(tmp_path: Path) -> None:
    for zone, value in {"intel-rapl:0": 100, "intel-rapl:1": 900, "intel-rapl:0:0": 50}.items():
        counter(tmp_path / "powercap" / zone / "energy_uj", value)
        counter(tmp_path / "powercap" / zone / "max_energy_range_uj", 1_000)
    (tmp_path / "powercap" / "intel-rapl:0" / "name").write_text("package-0\n")
    taken = energy_meter(tmp_path)
    counter(tmp_path / "powercap" / "intel-rapl:0" / "energy_uj", 400)
    counter(tmp_path / "powercap" / "intel-rapl:1" / "energy_uj", 100)  # has begun anew
    found = taken()
    assert found.joules == (300 + 200) * 1e-6
    assert found.source == "powercap (package-0, intel-rapl:1)"
    counters = "powercap (package-0, intel-rapl:1)"
    assert str(found) == f"0.0005 J used by the whole machine, measured by {counters}"


def test_sensors_count_where_there_are_no_packages(tmp_path: Path) -> None:
    path = tmp_path / "hwmon" / "hwmon0" / "energy1_input"
    counter(path, 1_000_000)
    taken = energy_meter(tmp_path)
    counter(path, 3_000_000)
    assert taken().joules == 2.0


def test_no_counter_is_told_and_never_estimated(tmp_path: Path) -> None:
    assert energy_meter(tmp_path)().joules is None
    path = tmp_path / "hwmon" / "hwmon0" / "energy1_input"
    counter(path, 1)
    taken = energy_meter(tmp_path)
    path.unlink()
    assert str(taken()) == f"unavailable: {path} can no longer be read"
    path.write_text("no number")
    assert str(energy_meter(tmp_path)()) == f"unavailable: {path} does not contain a number"
