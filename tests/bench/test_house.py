"""The figures of the code: what counts as code, and what each figure counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import house

ONE = '''"""A module.

Of four lines of docstring.
"""
import a  # one
from b import (
    c,
)

# a comment
Rows = list[int]
"""A line of a constant."""
LIMIT = 3
T = TypeVar("T")


class Words:
    def run(self, history: Any, tables: list[Any], *, n: int = 1) -> None:
        """A line."""
        options: Any = {"n": n}
        text = """no
docstring"""
        bind_constants(history, **options)
        first(**options)
'''
TWO = """
class Rows: ...
async def many(a, b, c, d, e, f, g, h, i, /, j, history=None): ...
def few(options: Any, **more: Any):
    def inner():
        kept: Any = {}
    table.bind_constants(**options, **more, **kept)
"""
EXPECTED = {
    "files": 2,
    "lines of code": 14 + 6,
    "lines of code in the median file": 10,
    "lines of docstrings": 6,
    "imports, % of code": 20.0,
    "modules that call bind_constants": 2,
    "functions with history and tables": 1,
    "calls by ** of a variable of type Any": 2,
    "functions of 10 parameters or more": 1,
    "parameters with Any, %": 75.0,
    "type names of several modules, %": 50.0,
}


def test_each_figure_counts_what_it_says() -> None:
    assert house.figures({"one.py": ONE, "two.py": TWO}) == EXPECTED


def test_no_files_have_figures() -> None:
    assert set(house.figures({}).values()) == {0}


def test_demos_are_a_part_wherever_they_stand(tmp_path: Path) -> None:
    places = {
        "fastfeat/plan/x.py": "fastfeat",
        "fastfeat/demo/live.py": "demos",
        "fastfeat/cli/trust_demo.py": "demos",
        "docs/demos/train.py": "demos",
        "kernels/fastfeat_kernels/y.py": "kernels",
        "tests/demo/test_x.py": "tests",
    }
    for name in places:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = house.sources_of(tmp_path)
    assert {name: part for part, names in found.items() for name in names} == places
    assert list(found) == list(house.PARTS)


def test_the_figures_are_printed_as_a_table_and_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(house, "sources_of", lambda: {"fastfeat": {"one.py": ONE}, "demos": {}})
    assert house.main(["--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fastfeat"]["lines of code"] == 14
    assert found["fastfeat"]["public names"] > 250
    assert "public names" not in found["demos"]
    assert house.main([]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("files")]
    assert row.split() == ["files", "1", "0"]
    with pytest.raises(SystemExit, match="--jsn"):
        house.main(["--jsn"])
