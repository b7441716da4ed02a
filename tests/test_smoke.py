"""The profile `smoke` has a file of each folder of tests."""

from __future__ import annotations

from pathlib import Path

from fastfeat_tests.smoke import NOT_IN_SMOKE, SMOKE

HERE = Path(__file__).parent


def test_each_folder_has_a_file_in_smoke() -> None:
    files = [HERE / name for name in SMOKE]
    assert [file for file in files if not file.is_file()] == []
    folders = {path.parent for path in HERE.rglob("test_*.py")}
    folders -= {HERE / folder for folder in NOT_IN_SMOKE}
    assert sorted(file.parent for file in files) == sorted(folders)
