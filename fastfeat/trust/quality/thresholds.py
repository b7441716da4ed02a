"""Thresholds: what is a finding of gates, as a TOML file says it, a section a gate.

What a section may say stands in a row of `SECTIONS`, from which every refusal is made: one file is
for all gates, so each of them refuses what any of them does not know.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from fastfeat.errors import InvalidConfig, did_you_mean, shortened
from fastfeat.trust.quality.changes.record import VERDICTS

Given = Mapping[str, Any] | str | os.PathLike[str] | None
"""Thresholds as users give them: a mapping of the file's form, its path, or nothing."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number between two bounds, which belong to it.

    Args:
        told: what it limits.
        low: the least.
        high: the greatest.
        default: where nothing is said; None leaves it to the gate.
    """

    told: str
    low: float = 0.0
    high: float = math.inf
    default: float | None = None

    def read(self, place: str, given: object) -> float:
        """Return the number.

        Raises:
            InvalidConfig: it is none, or beyond the bounds.
        """
        number = _float_of(given)
        if not self.low <= number <= self.high:
            above = math.isinf(self.high)
            bounds = f"from {self.low:g} on" if above else f"from {self.low:g} to {self.high:g}"
            raise InvalidConfig(f"{place}: is a number {bounds}, got {given!r}")
        return number


@dataclass(frozen=True, slots=True)
class Flag:
    """A yes or no.

    Args:
        told: what it says.
        default: where nothing is said.
    """

    told: str
    default: bool = False

    def read(self, place: str, given: object) -> bool:
        """Return the flag.

        Raises:
            InvalidConfig: it is none.
        """
        if not isinstance(given, bool):
            raise InvalidConfig(f"{place}: is true or false, got {given!r}")
        return given


@dataclass(frozen=True, slots=True)
class Words:
    """A list of words.

    Args:
        told: what they are.
        known: those that there are; none where any name may stand there.
        default: where nothing is said.
    """

    told: str
    known: tuple[str, ...] = ()
    default: tuple[str, ...] = ()

    def read(self, place: str, given: object) -> tuple[str, ...]:
        """Return the words.

        Raises:
            InvalidConfig: it is no list of words, or one is unknown.
        """
        is_list = isinstance(given, Sequence) and not isinstance(given, str)
        words = cast("Sequence[Any]", given) if is_list else ()
        if not is_list or not all(isinstance(word, str) for word in words):
            raise InvalidConfig(f"{place}: is a list of text, got {given!r}")
        for word in words:
            if self.known and word not in self.known:
                hint = did_you_mean(word, self.known)
                known = ", ".join(map(repr, self.known))
                raise InvalidConfig(f"{place}: is of {known}, got {word!r}.{hint}".rstrip("."))
        return tuple(words)


Word = Number | Flag | Words


@dataclass(frozen=True, slots=True)
class Section:
    """The words that thresholds of a gate may have.

    Args:
        words: by name.
        of_names: under this key words of single things stand, by their name; "" for no such key.
        named: which of the words these may be.
    """

    words: Mapping[str, Word]
    of_names: str = ""
    named: tuple[str, ...] = ()


_SHARE = 1.0
SECTIONS: Mapping[str, Section] = {
    "check": Section(
        {
            "at_most": Number("The share of rows that may break a rule.", 0.0, _SHARE, 0.0),
            "warnings": Flag("Whether rules that only warn are findings."),
        },
        "rules",
        ("at_most",),
    ),
    "drift": Section(
        {
            "psi": Number("The population stability index.", default=0.1),
            "ks": Number("The Kolmogorov-Smirnov statistic.", 0.0, _SHARE),
            "wasserstein": Number(
                "The Wasserstein distance, in standard deviations of training.", default=0.1
            ),
            "jensen_shannon": Number("The Jensen-Shannon distance.", 0.0, _SHARE),
            "missing": Number("The change of the share of missing values.", 0.0, _SHARE, 0.02),
            "unseen": Number("The growth of the share of unseen categories.", 0.0, _SHARE, 0.02),
            "beyond": Number(
                "The growth of the share of numbers beyond all before.", 0.0, _SHARE, 0.002
            ),
            "ignore": Words("Columns that are reported, and are no finding."),
        },
        "columns",
        ("psi", "ks", "wasserstein", "jensen_shannon", "missing", "unseen", "beyond"),
    ),
    "diff": Section(
        {"findings": Words("The verdicts that are findings.", VERDICTS, ("major",))},
    ),
}
"""The sections of a file of thresholds, by the name of their gate."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of a gate.

    Args:
        section: its name.
        values: what was said, by word.
        named: the same of single things, by their name.
        source: the file that said so; "" where it was none.
    """

    section: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    source: str = ""

    def __getitem__(self, word: str) -> Any:
        """Return the value that was given for a word, else its default."""
        return self.values.get(word, SECTIONS[self.section].words[word].default)

    def of(self, name: str, word: str) -> Any:
        """Return the value of a word for one thing, else for all of them, else its default."""
        own = self.named.get(name, {})
        return own[word] if word in own else self[word]

    def check_names(self, known: Iterable[str]) -> None:
        """Raise where a thing is named that is not there.

        Args:
            known: the names that there are.

        Raises:
            InvalidConfig: the first such name.
        """
        names = list(known)
        for name in self.named:
            if name not in names:
                key = SECTIONS[self.section].of_names
                hint = did_you_mean(name, names)
                hint = hint or f" There are {shortened(names)}" if names else ""
                place = f"{self.source}: " if self.source else ""
                what = f"there is no {key.removesuffix('s')} {name!r}"
                raise InvalidConfig(f"{place}[{self.section}.{key}]: {what}.{hint}")


def thresholds(given: Given, section: str) -> Limits:
    """Return the thresholds of a gate; without any those that it has by default.

    Args:
        given: a mapping of the file's form, a path, or None.
        section: the name of the gate.

    Raises:
        InvalidConfig: the file cannot be read; a section or a word is unknown, or a value is none
            of its word.

    Example:
        >>> limits = thresholds({"check": {"rules": {"size": {"at_most": 0.01}}}}, "check")
        >>> limits.of("size", "at_most"), limits.of("kind", "at_most")
        (0.01, 0.0)
        >>> thresholds({"check": {"at_moost": 1}}, "check")
        Traceback (most recent call last):
            ...
        fastfeat.errors.InvalidConfig: [check]: unknown word 'at_moost'. Did you mean 'at_most'?
    """
    if given is None:
        return Limits(section)
    if isinstance(given, Mapping):
        return _sections(given)[section]
    if not isinstance(cast(object, given), str | os.PathLike):
        raise InvalidConfig(f"thresholds= takes a mapping, or the path of a file, got {given!r}")
    source = Path(given)
    try:
        document = tomllib.loads(source.read_text("utf-8"))
    except OSError as error:
        raise InvalidConfig(f"cannot read {source}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # of TOML, UTF-8, digits, and depth
        raise InvalidConfig(f"{source} is not TOML: {error}") from None
    try:
        return replace(_sections(document)[section], source=str(source))
    except InvalidConfig as error:
        raise InvalidConfig(f"{source}: {error}") from None


def _sections(document: Mapping[str, Any]) -> dict[str, Limits]:
    """Return the thresholds of all gates."""
    for name in document:
        if name not in SECTIONS:
            known = ", ".join(f"[{each}]" for each in SECTIONS)
            hint = did_you_mean(str(name), SECTIONS)
            raise InvalidConfig(f"unknown section {name!r}: it has {known}.{hint}")
    return {name: _limits(name, document.get(name, {})) for name in SECTIONS}


def _limits(name: str, given: object) -> Limits:
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
    return Limits(name, values, named)


def _float_of(given: object) -> float:
    """Return a number as a float; NaN of what is none, or beyond all floats."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return math.nan
    try:
        return float(given)
    except OverflowError:
        return math.nan


def _values(
    place: str, table: Mapping[str, Any], words: Mapping[str, Word], known: Sequence[str]
) -> dict[str, Any]:
    for word in table:
        if word not in words:
            hint = did_you_mean(word, [each for each in known if each])
            hint = hint or f" It has {', '.join(each for each in known if each)}"
            raise InvalidConfig(f"{place}: unknown word {word!r}.{hint}")
    return {word: words[word].read(f"{place} {word}", given) for word, given in table.items()}


def _table(place: str, given: object) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidConfig(f"{place}: is a table, got {given!r}")
    return cast("Mapping[str, Any]", given)
