"""RE2 regular expressions in the form that Arrow accepts: checked, with every group named."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from fastfeat.errors import InvalidPlan
from fastfeat.io.arrow import call, options_of, pa
from fastfeat.io.columns.strings import text_array

_TOKEN = re.compile(
    r"""
      \\Q .*? (?: \\E | \Z )                       # quoted
    | \\ .                                         # escaped
    | \[ \^? \]? (?: \[:\^?\w+:\] | \\. | [^\]\\] )* \]   # a class of characters
    | \( (?: \?P?< (?P<name> \w+ ) > )?            # a group
      (?P<flags> \?[^<P] )?
    | .
    """,
    re.VERBOSE | re.DOTALL,
)


class GroupedPattern(NamedTuple):
    """A regular expression in which every group has a name.

    Args:
        pattern: An equivalent pattern; the whole match is a group too, the first.
        names: The user's name for each group, by number; "" if unnamed.
    """

    pattern: str
    names: tuple[str, ...]


@lru_cache(maxsize=256)
def grouped_pattern(pattern: str) -> GroupedPattern:
    """Return an equivalent regular expression in which every group has a name.

    Raises:
        InvalidPlan: RE2 does not accept it.

    Example:
        >>> grouped_pattern(r"(a)(?P<n>b)[(]")
        GroupedPattern(pattern='(?P<g0>(?P<g1>a)(?P<g2>b)[(])', names=('', '', 'n'))
    """
    names = [""]

    def named(found: re.Match[str]) -> str:
        token = found.group()
        if token[0] != "(" or found.group("flags"):
            return token
        names.append(found.group("name") or "")
        return f"(?P<g{len(names) - 1}>"

    text = f"(?P<g0>{_TOKEN.sub(named, pattern)})"
    try:
        call("extract_regex", text_array([]), options=options_of("ExtractRegexOptions", text))
    except pa.ArrowInvalid as error:
        told = str(error).replace("Invalid regular expression: ", "")
        raise InvalidPlan(
            f"{pattern!r} is not a valid RE2 pattern: {told}. For plain text, pass literal=True"
        ) from None
    return GroupedPattern(text, tuple(names))


def matches_nothing(pattern: str) -> bool:
    """Return whether a pattern matches the empty text."""
    options = options_of("MatchSubstringOptions", pattern)
    return call("match_substring_regex", text_array([""]), options=options)[0].as_py()


_WRITTEN = re.compile(r"\\(.?)", re.DOTALL)


def groups_of_replacement(value: str) -> list[int]:
    r"""Return the numbers of the groups in a replacement in RE2's syntax.

    Raises:
        InvalidPlan: A backslash is not followed by a group number or a backslash.

    Example:
        >>> groups_of_replacement(r"<\1> \\ \2")
        [1, 2]
    """
    escaped = [token for token in _WRITTEN.findall(value) if token != "\\"]
    if not all(token.isdecimal() and token.isascii() for token in escaped):
        raise InvalidPlan(f"{value!r} has a backslash without a group number")
    return [int(token) for token in escaped]


def without_groups(value: str) -> str:
    r"""Return a replacement in RE2's syntax with its group references removed.

    Example:
        >>> without_groups(r"<\1> \\ \2")
        '<> \\ '
    """
    return _WRITTEN.sub(lambda found: "\\" if found.group(1) == "\\" else "", value)


_REFERENCE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+)|)|\\")


def replacement(value: str, pattern: str) -> str:
    r"""Return a replacement in RE2's syntax, from one with $1, ${1}, $name, and $$ for a dollar.

    Raises:
        InvalidPlan: The pattern does not have a referenced group.

    Example:
        >>> replacement("<$1> ${n} $$", r"(a)(?P<n>b)")
        '<\\1> \\2 $'
    """
    names = grouped_pattern(pattern).names

    def written(found: re.Match[str]) -> str:
        token, group = found.group(), found.group(1) or found.group(2)
        if group is None:
            return {"\\": r"\\", "$$": "$"}.get(token, token)
        number = int(group) if group.isdecimal() else names.index(group) if group in names else -1
        if not 0 <= number < min(len(names), 10):
            if 10 <= number < len(names):
                raise InvalidPlan(f"{value!r} uses group {group!r}: only groups 0 to 9 can be used")
            raise InvalidPlan(
                f"{value!r} uses group {group!r}, which the pattern {pattern!r} does not have"
            )
        return f"\\{number}"

    return _REFERENCE.sub(written, value)
