"""Libraries that modules of integrations are for: what is told where one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastfeat.integrations.library import library


def test_a_library_that_is_missing_is_told_with_its_extra() -> None:
    told = r"no_such_library is not installed: pip install 'fastfeat\[boosters\]'"
    with pytest.raises(ModuleNotFoundError, match=told) as failure:
        library("no_such_library", "boosters")
    assert failure.value.name == "no_such_library"


def test_what_a_library_lacks_itself_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_installed.py").write_text("import no_such_part\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_part'"):
        library("half_installed")
