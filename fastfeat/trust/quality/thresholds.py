"""Thresholds of gates, from a TOML file with one section per gate.

A gate is a check that passes or fails, such as "drift" or "check". An entry of `SECTIONS` lists the
keys of a gate's section and produces all its error messages. All gates share one file, so each of
them rejects keys that no gate knows.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, cast

from fastfeat_kernels.records import dataclass

from fastfeat.calls.options import Option, OptionRows, Unfit, read_value, table_at, type_of
from fastfeat.errors import InvalidConfig, did_you_mean, shortened
from fastfeat.ir.parameters import BoolChoice, FreeText, Real, Several, TextChoice
from fastfeat.trust.quality.changes.record import VERDICTS

ThresholdsSource = Mapping[str, Any] | str | os.PathLike[str] | None
"""Thresholds from a user: a mapping with the structure of the file, a path, or None."""


@dataclass(frozen=True, slots=True)
class GateSection:
    """The keys in the section of a gate.

    Args:
        words: Row of each key, by name; a default of None leaves the value to the gate.
        of_names: Name of the subtable with thresholds for single columns or rules, such as
            "columns"; "" without such a table.
        named: Keys that may occur in this subtable.
    """

    words: OptionRows
    of_names: str = ""
    named: tuple[str, ...] = ()


_SHARE = Real(0.0, 1.0)
_AMOUNT = Real(0.0)
SECTIONS: Mapping[str, GateSection] = {
    "check": GateSection(
        {
            "at_most": Option("The share of rows that may break a rule.", _SHARE, 0.0),
            "warnings": Option(
                "Whether rules that only warn are findings.", BoolChoice(), default=False
            ),
        },
        "rules",
        ("at_most",),
    ),
    "drift": GateSection(
        {
            "psi": Option("The population stability index.", _AMOUNT, 0.1),
            "ks": Option("The Kolmogorov-Smirnov statistic.", _SHARE, None),
            "wasserstein": Option(
                "The Wasserstein distance, in standard deviations of training.", _AMOUNT, 0.1
            ),
            "jensen_shannon": Option("The Jensen-Shannon distance.", _SHARE, None),
            "missing": Option("The change of the share of missing values.", _SHARE, 0.02),
            "unseen": Option("The growth of the share of unseen categories.", _SHARE, 0.02),
            "beyond": Option(
                "The growth of the share of numbers outside the earlier range.", _SHARE, 0.002
            ),
            "ignore": Option(
                "Columns that are reported, but are not findings.", Several(FreeText()), ()
            ),
        },
        "columns",
        ("psi", "ks", "wasserstein", "jensen_shannon", "missing", "unseen", "beyond"),
    ),
    "diff": GateSection(
        {
            "findings": Option(
                "The verdicts that are findings.", Several(TextChoice(VERDICTS)), ("major",)
            )
        },
    ),
}
"""The sections of a thresholds file, by name of gate."""


@dataclass(frozen=True, slots=True)
class GateThresholds:
    """The thresholds of a gate.

    Args:
        section: Name of the gate.
        values: Given values by key.
        named: Given values for single columns or rules, by their names.
        source: The file; "" if the values came from elsewhere.
    """

    section: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    source: str = ""

    def __getitem__(self, word: str) -> Any:
        """Return the given value of a key, else its default."""
        return self.values.get(word, SECTIONS[self.section].words[word].default)

    def of(self, name: str, word: str) -> Any:
        """Return the value of a key for one column or rule, else for all, else its default."""
        own = self.named.get(name, {})
        return own[word] if word in own else self[word]

    def check_names(self, known: Iterable[str]) -> None:
        """Raise InvalidConfig if the thresholds name a column or rule that is not in `known`."""
        names = list(known)
        for name in self.named:
            if name not in names:
                key = SECTIONS[self.section].of_names
                hint = did_you_mean(name, names)
                hint = hint or f" The known ones are {shortened(names)}" if names else ""
                place = f"{self.source}: " if self.source else ""
                what = f"there is no {key.removesuffix('s')} {name!r}"
                raise InvalidConfig(f"{place}[{self.section}.{key}]: {what}.{hint}")


def thresholds(given: ThresholdsSource, section: str) -> GateThresholds:
    """Return the thresholds of a gate, from a mapping or a file; the defaults for None.

    Raises:
        InvalidConfig: The file cannot be read, a section or key is unknown, or a value is invalid.

    Example:
        >>> limits = thresholds({"check": {"rules": {"size": {"at_most": 0.01}}}}, "check")
        >>> limits.of("size", "at_most"), limits.of("kind", "at_most")
        (0.01, 0.0)
        >>> thresholds({"check": {"at_moost": 1}}, "check")
        Traceback (most recent call last):
            ...
        fastfeat.errors.InvalidConfig: [check]: unknown key 'at_moost'. Did you mean 'at_most'?
    """
    if given is None:
        return GateThresholds(section)
    if isinstance(given, Mapping):
        return _sections(given)[section]
    if not isinstance(cast(object, given), str | os.PathLike):
        raise InvalidConfig(f"thresholds= takes a mapping, or the path of a file, got {given!r}")
    source = Path(given)
    try:
        document = tomllib.loads(source.read_text("utf-8"))
    except OSError as error:
        raise InvalidConfig(f"cannot read {source}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # invalid TOML, UTF-8 or digits, and deep nesting
        raise InvalidConfig(f"{source} is not TOML: {error}") from None
    try:
        return replace(_sections(document)[section], source=str(source))
    except InvalidConfig as error:
        raise InvalidConfig(f"{source}: {error}") from None


def _sections(document: Mapping[str, Any]) -> dict[str, GateThresholds]:
    for name in document:
        if name not in SECTIONS:
            known = ", ".join(f"[{each}]" for each in SECTIONS)
            hint = did_you_mean(str(name), SECTIONS)
            raise InvalidConfig(f"unknown section {name!r}. The sections are {known}.{hint}")
    return {name: _limits(name, document.get(name, {})) for name in SECTIONS}


def _limits(name: str, given: object) -> GateThresholds:
    section, table = SECTIONS[name], _table(f"[{name}]", given)
    own = {key: of for key, of in table.items() if key != section.of_names or not section.of_names}
    values = _values(f"[{name}]", own, section.words, [*section.words, section.of_names])
    named: dict[str, Mapping[str, Any]] = {}
    if section.of_names:
        of_names = f"{name}.{section.of_names}"
        words = {word: section.words[word] for word in section.named}
        for thing, of in _table(f"[{of_names}]", table.get(section.of_names, {})).items():
            place = f"[{of_names}.{thing}]"
            named[thing] = _values(place, _table(place, of), words, list(words))
    return GateThresholds(name, values, named)


def _values(
    place: str, table: Mapping[str, Any], words: OptionRows, known: Sequence[str]
) -> dict[str, Any]:
    for word in table:
        if word not in words:
            hint = did_you_mean(word, [each for each in known if each])
            hint = hint or f" The keys are {', '.join(each for each in known if each)}"
            raise InvalidConfig(f"{place}: unknown key {word!r}.{hint}")
    try:
        return {
            word: read_value(type_of(words[word]), given, f"{place} {word}")
            for word, given in table.items()
        }
    except Unfit as unfit:
        raise InvalidConfig(str(unfit)) from None


def _table(place: str, given: object) -> Mapping[str, Any]:
    try:
        return table_at(place, given)
    except Unfit as unfit:
        raise InvalidConfig(str(unfit)) from None
