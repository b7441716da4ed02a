"""Thresholds of gates: what a file may say, and how all else is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from fastfeat.calls.options import type_of, words_of
from fastfeat.errors import InvalidConfig
from fastfeat.trust.quality.thresholds import SECTIONS, thresholds

FILE = """
[check]
at_most = 0.001
warnings = true
[check.rules."tail number"]
at_most = 0
[drift]
psi = 0.2
[drift.columns]
"a.b".psi = 0.5
[diff]
findings = ["major", "minor"]
"""


def test_a_word_is_that_of_a_name_or_of_all_or_the_default(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(FILE)
    limits = thresholds(path, "check")
    assert limits["warnings"]
    assert [limits.of(name, "at_most") for name in ("tail number", "x")] == [0, 0.001]
    drift = thresholds(str(path), "drift")
    assert [drift.of(name, "psi") for name in ("a.b", "a")] == [0.5, 0.2]
    assert drift.of("a.b", "ks") == SECTIONS["drift"].words["ks"].default
    assert thresholds(path, "diff")["findings"] == ("major", "minor")
    for section, row in SECTIONS.items():
        nothing = thresholds(None, section)
        assert {word: nothing[word] for word in row.words} == {
            word: of.default for word, of in row.words.items()
        }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cheack": {}}, r"unknown section 'cheack'\. The sections are .*Did you mean 'check'\?"),
        ({"check": 1}, r"\[check\]: must be a table, got 1"),
        ({"check": {"rules": 1}}, r"\[check.rules\]: must be a table, got 1"),
        ({"check": {"rules": {"x": 0.1}}}, r"\[check.rules.x\]: must be a table, got 0.1"),
        ({"check": {"rule": {}}}, r"\[check\]: unknown key 'rule'. Did you mean 'rules'\?"),
        (
            {"check": {"rules": {"x": {"warnings": True}}}},
            "unknown key 'warnings'. The keys are at_most",
        ),
        ({"check": {"at_most": 1.1}}, "at_most: must be a number from 0 to 1, got 1.1"),
        ({"check": {"at_most": "5 %"}}, "at_most: must be a number from 0 to 1, got '5 %'"),
        ({"check": {"at_most": True}}, "at_most: must be a number from 0 to 1, got True"),
        ({"drift": {"psi": 10**400}}, "psi: must be a number of at least 0, got 1000"),
        ({"check": {"at_most": float("nan")}}, "at_most: must be a number from 0 to 1, got nan"),
        ({"check": {"warnings": 1}}, "warnings: must be true or false, got 1"),
        ({"drift": {"psi": -1}}, "psi: must be a number of at least 0, got -1"),
        ({"diff": {"findings": "major"}}, "findings: must be a list of strings, got 'major'"),
        ({"diff": {"findings": ["majr"]}}, "got 'majr'. Did you mean 'major'"),
        ({"diff": {"columns": {}}}, "unknown key 'columns'"),
    ],
)
def test_what_is_unknown_is_refused_by_every_gate(given: Any, message: str) -> None:
    for section in SECTIONS:
        with pytest.raises(InvalidConfig, match=message):
            thresholds(given, section)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    with pytest.raises(InvalidConfig, match=r"cannot read .*gates.toml: No such file"):
        thresholds(path, "check")
    for content in (b"[check", b"\xff", b"x = " + 2000 * b"[", b"x = " + 5000 * b"9"):
        path.write_bytes(content)
        with pytest.raises(InvalidConfig, match=r"gates\.toml is not TOML"):
            thresholds(path, "check")
    path.write_text("[check]\nat_most = 2")
    with pytest.raises(InvalidConfig, match=r"gates.toml: \[check\] at_most: must be a number"):
        thresholds(path, "check")


def test_what_is_neither_mapping_nor_path_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="takes a mapping, or the path of a file, got 3"):
        thresholds(cast(Any, 3), "drift")


def test_a_name_that_is_not_there_is_refused() -> None:
    limits = thresholds({"check": {"rules": {"sizee": {"at_most": 0.1}}}}, "check")
    limits.check_names(["sizee", "x"])
    with pytest.raises(InvalidConfig, match=r"\[check.rules\]: there is no rule 'sizee'.*'size'"):
        limits.check_names(["size", "x"])


def test_each_word_has_a_meaning() -> None:
    for section in SECTIONS.values():
        assert set(section.named) <= set(section.words)
        assert bool(section.named) == bool(section.of_names)
        for word in section.words.values():
            assert word.about.endswith(".")
            assert words_of(type_of(word))
