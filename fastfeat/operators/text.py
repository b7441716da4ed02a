"""The `.str` namespace: lengths, case, pieces, patterns, numbers, dates and hashed counts of text.

Only numbers and bools can be features. So a text result must be followed by an encoder, `hash`,
`==`, `is_in`, `replace_strict` or a method of `.str` that gives a number; more methods of `.str`
and `fill_null` may come before. The reference functions of the generic tests are written here with
Python's own string methods.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.calls import checks
from fastfeat.calls.arguments import with_method_errors
from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr, call, several_columns
from fastfeat.ir.node import Call, Literal, Node
from fastfeat.ir.parameters import MAX_MEMORY
from fastfeat.ir.writing import SeveralWriter, Texts, Writer
from fastfeat.operators.hashing import xxh64
from fastfeat.operators.operator import (
    Case,
    Operator,
    OperatorReference,
    ReferenceColumn,
    check_parameters,
    each,
    parameters_of,
)

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


@with_method_errors(lambda of: f"{of.expr!r}.str.")
@dataclass(frozen=True, slots=True)
class TextFunctions:
    """Functions of text: `col("s").str`.

    Missing text gives a missing result in every method. Characters are code points. Invalid UTF-8
    is an error in methods that look at characters. Methods of bytes accept it, and also accept
    columns of bytes: `len_bytes`, `starts_with`, `ends_with`, `split_count`, and `contains`,
    `count_matches` and `find` with plain text. Patterns are RE2 regular expressions, which Arrow
    runs on the host.

    Example:
        >>> from fastfeat import col
        >>> col("s").str.strip_chars().str.to_lowercase()
        col('s').str.strip_chars().str.to_lowercase()
    """

    expr: Expr

    def len_bytes(self) -> Expr:
        """Return the number of bytes, int64.

        Example:
            >>> col("s").str.len_bytes()
            col('s').str.len_bytes()
        """
        return call("str.len_bytes", self.expr)

    def len_chars(self) -> Expr:
        """Return the number of characters, int64.

        Example:
            >>> col("s").str.len_chars()
            col('s').str.len_chars()
        """
        return call("str.len_chars", self.expr)

    def token_count(self) -> Expr:
        """Return the number of tokens, int64: maximal runs of characters without white space.

        Example:
            >>> col("s").str.token_count()
            col('s').str.token_count()
        """
        return call("str.token_count", self.expr)

    def to_lowercase(self) -> Expr:
        """Return the text in lower case, mapped character by character (Unicode's simple mapping).

        Example:
            >>> col("s").str.to_lowercase()
            col('s').str.to_lowercase()
        """
        return call("str.to_lowercase", self.expr)

    def to_uppercase(self) -> Expr:
        """Return the text in upper case, mapped character by character (Unicode's simple mapping).

        "ß" has no upper-case form of one character and stays as it is. (Polars turns it into "SS".)

        Example:
            >>> col("s").str.to_uppercase()
            col('s').str.to_uppercase()
        """
        return call("str.to_uppercase", self.expr)

    def strip_chars(self, characters: str | None = None) -> Expr:
        """Return the text with the characters of a set removed from both ends.

        Args:
            characters: The set, as text. None for white space.

        Example:
            >>> col("s").str.strip_chars("()")
            col('s').str.strip_chars(characters='()')
        """
        return _strip("strip_chars", self.expr, characters)

    def strip_chars_start(self, characters: str | None = None) -> Expr:
        """Return the text with the characters of a set removed from its start.

        Args:
            characters: The set, as text. None for white space.

        Example:
            >>> col("s").str.strip_chars_start("0")
            col('s').str.strip_chars_start(characters='0')
        """
        return _strip("strip_chars_start", self.expr, characters)

    def strip_chars_end(self, characters: str | None = None) -> Expr:
        """Return the text with the characters of a set removed from its end.

        Args:
            characters: The set, as text. None for white space.

        Example:
            >>> col("s").str.strip_chars_end()
            col('s').str.strip_chars_end()
        """
        return _strip("strip_chars_end", self.expr, characters)

    def slice(self, offset: int, length: int | None = None) -> Expr:
        """Return a slice of the text, counted in characters.

        Args:
            offset: Position of the first character, from 0; negative counts from the end.
            length: Number of characters. None takes all up to the end.

        Example:
            >>> col("s").str.slice(0, 2)
            col('s').str.slice(length=2, offset=0)
        """
        given = check_parameters("slice", parameters_of("str.slice"), offset=offset, length=length)
        return call("str.slice", self.expr, **given)

    def starts_with(self, prefix: str) -> Expr:
        """Return whether the text starts with a plain text.

        Args:
            prefix: The plain text.

        Example:
            >>> col("s").str.starts_with("N")
            col('s').str.starts_with(prefix='N')
        """
        given = check_parameters("starts_with", parameters_of("str.starts_with"), prefix=prefix)
        return call("str.starts_with", self.expr, **given)

    def ends_with(self, suffix: str) -> Expr:
        """Return whether the text ends with a plain text.

        Args:
            suffix: The plain text.

        Example:
            >>> col("s").str.ends_with(".csv")
            col('s').str.ends_with(suffix='.csv')
        """
        given = check_parameters("ends_with", parameters_of("str.ends_with"), suffix=suffix)
        return call("str.ends_with", self.expr, **given)

    def contains(self, pattern: str, *, literal: bool = False) -> Expr:
        """Return whether a pattern matches anywhere in the text.

        Args:
            pattern: An RE2 regular expression. \\w, \\d, \\s and \\b match ASCII only, unlike in
                Python and Polars, where they match all of Unicode. For a letter of any script write
                \\pL.
            literal: Whether `pattern` is plain text instead.

        Raises:
            InvalidPlan: `pattern` is not a regular expression.

        Example:
            >>> col("s").str.contains("^N[0-9]+$")
            col('s').str.contains(pattern='^N[0-9]+$')
        """
        pattern, is_plain = _pattern("contains", pattern, literal)
        function = "str.contains_literal" if is_plain else "str.contains"
        return call(function, self.expr, pattern=pattern)

    def count_matches(self, pattern: str, *, literal: bool = False) -> Expr:
        """Return the number of matches of a pattern, int64, from left to right without overlap.

        Args:
            pattern: An RE2 regular expression that does not match the empty text.
            literal: Whether `pattern` is plain text instead.

        Raises:
            InvalidPlan: `pattern` is not a regular expression, or matches the empty text.

        Example:
            >>> col("s").str.count_matches("[0-9]")
            col('s').str.count_matches(pattern='[0-9]')
        """
        pattern, is_plain = _pattern("count_matches", pattern, literal)
        if not pattern or (not is_plain and _matches_nothing(pattern)):
            advice = "Write a pattern with at least one character"
            if pattern:
                advice = (
                    f"To count {pattern!r} itself write count_matches({pattern!r}, literal=True); "
                    f"to count pieces, split_count({pattern!r})"
                )
            raise InvalidPlan(
                f"count_matches({pattern!r}): the regular expression matches the empty text, so it "
                f"would match everywhere. {advice}"
            )
        function = "str.count_matches_literal" if is_plain else "str.count_matches"
        return call(function, self.expr, pattern=pattern)

    def find(self, pattern: str, *, literal: bool = False) -> Expr:
        """Return the byte position of the first match of a pattern, int64, from 0; missing if none.

        Like in Polars, the position counts bytes of UTF-8. In ASCII text that is the character.

        Args:
            pattern: An RE2 regular expression.
            literal: Whether `pattern` is plain text instead.

        Raises:
            InvalidPlan: `pattern` is not a regular expression.

        Example:
            >>> plan = ff.Plan({"at": col("s").str.find("-")})
            >>> fitted = plan.fit({"s": ["N12-3", "7"]})
            >>> fitted.transform({"s": ["a-b-c", "é-", "b"]}, backend="reference")["at"].to_pylist()
            [1, 2, None]
        """
        pattern, is_plain = _pattern("find", pattern, literal)
        at = call("str.find_literal" if is_plain else "str.find", self.expr, pattern=pattern)
        return call("when", at >= 0, at, None)

    def split_count(self, by: str) -> Expr:
        """Return the number of pieces between separators, int64: the length of Polars' `split`.

        The empty text is one piece, and so is a text without the separator.

        Args:
            by: The separator, plain text that is not empty.

        Raises:
            InvalidPlan: The separator is empty.

        Example:
            >>> plan = ff.Plan({"n": col("s").str.split_count(",")})
            >>> fitted = plan.fit({"s": ["a"]})
            >>> fitted.transform({"s": ["a,b,,c", "", None]}, backend="reference")["n"].to_pylist()
            [4, 1, None]
        """
        if not checks.text("split_count", "by", by):
            raise InvalidPlan(
                "split_count(by=''): the separator is empty. Count characters with len_chars()"
            )
        return self.count_matches(by, literal=True) + 1

    def extract(self, pattern: str, group_index: int = 1) -> Expr:
        """Return the text of a group in the first match of a pattern; missing if nothing matches.

        A group that takes no part in the match gives the empty text.

        Args:
            pattern: An RE2 regular expression.
            group_index: Number of the group, from 1; 0 is the whole match.

        Raises:
            InvalidPlan: `pattern` is not a regular expression, or has no such group.

        Example:
            >>> col("s").str.extract("-([0-9]+)")
            col('s').str.extract(group_index=1, pattern='-([0-9]+)')
        """
        groups = _names_of_groups(checks.text("extract", "pattern", pattern))
        group = checks.whole_number("extract", "group_index", group_index, 0, len(groups) - 1)
        return call("str.extract", self.expr, pattern=pattern, group_index=group)

    def replace(
        self, pattern: str, value: str, *, literal: bool = False, max_memory: int = MAX_MEMORY
    ) -> Expr:
        """Return the text with the first match of a pattern replaced.

        Args:
            pattern: An RE2 regular expression.
            value: The replacement. $1 or ${1} inserts the match of the first group, $name that of a
                named group, $$ a dollar sign.
            literal: Whether `pattern` and `value` are plain text instead.
            max_memory: Bytes that the text may take while it grows, twice its final size.

        Raises:
            InvalidPlan: `pattern` is not a regular expression, or lacks a group that `value` names.
            InvalidData: At fit and transform, if the text would grow beyond `max_memory`.

        Example:
            >>> col("s").str.replace("[0-9]+", "#")
            col('s').str.replace(pattern='[0-9]+', value='#')
        """
        return _replace("replace", self.expr, pattern, value, 1, literal, max_memory)

    def replace_all(
        self, pattern: str, value: str, *, literal: bool = False, max_memory: int = MAX_MEMORY
    ) -> Expr:
        """Return the text with every match of a pattern replaced, from left to right.

        Args:
            pattern: An RE2 regular expression.
            value: The replacement. $1 or ${1} inserts the match of the first group, $name the match
                of a named group, $$ a dollar sign.
            literal: Whether `pattern` and `value` are plain text instead.
            max_memory: Bytes that the text may take while it grows, twice its final size.

        Raises:
            InvalidPlan: `pattern` is not a regular expression, or lacks a group that `value` names.
            InvalidData: At fit and transform, if the text would grow beyond `max_memory`.

        Example:
            >>> col("s").str.replace_all(",", "", literal=True)
            col('s').str.replace_all(literal=True, pattern=',', value='')
        """
        return _replace("replace_all", self.expr, pattern, value, -1, literal, max_memory)

    def to_integer(self, *, base: int = 10, strict: bool = True) -> Expr:
        """Return the text parsed as an int64: digits with an optional sign and nothing else.

        Args:
            base: Base from 2 to 36. Digits above 9 are letters of either case.
            strict: Whether other text is an error. False makes it missing.

        Raises:
            InvalidPlan: `base` is out of range.

        Example:
            >>> col("s").str.to_integer(base=16, strict=False)
            col('s').str.to_integer(base=16, strict=False)
        """
        given = check_parameters(
            "to_integer", parameters_of("str.to_integer"), base=base, strict=strict
        )
        return call("str.to_integer", self.expr, **given)

    def to_float(self, *, strict: bool = True) -> Expr:
        """Return the text parsed as a decimal number, the nearest float64; also "inf" and "nan".

        Args:
            strict: Whether other text is an error. False makes it missing.

        Example:
            >>> col("s").str.to_float()
            col('s').str.to_float(strict=True)
        """
        given = check_parameters("to_float", parameters_of("str.to_float"), strict=strict)
        return call("str.to_float", self.expr, **given)

    def to_datetime(self, format: str, *, strict: bool = True) -> Expr:
        """Return the text parsed as a date or time: timestamp[us] without a zone.

        Parts that the format lacks take their first value, like in Python's `strptime`: "%b-%Y"
        gives the first day of the month, "%Y" the first of January, both at midnight. Missing stays
        missing.

        Args:
            format: The directives %Y %y %m %b %B %d %j %H %I %p %M %S %f %T %F %D %h and %% of
                `strptime`, with English month names. Other characters stand for themselves. A day,
                %d, may have one digit.
            strict: Whether other text is an error. False makes it missing.

        Raises:
            InvalidPlan: The format has no year, has a day but no month, has an unknown directive,
                or has two directives for the same part.
            InvalidData: At transform, with strict=True, if a text does not match the format.

        Example:
            >>> col("s").str.to_datetime("%d.%m.%Y").dt.year()
            col('s').str.to_datetime(format='%d.%m.%Y', strict=True).dt.year()
        """
        from fastfeat.io.columns.dates import date_format  # imports PyArrow

        date_format(checks.text("to_datetime", "format", format))
        given = check_parameters(
            "to_datetime", parameters_of("str.to_datetime"), format=format, strict=strict
        )
        return call("str.to_datetime", self.expr, **given)

    def hash_ngrams(self, n: int, n_buckets: int, *, seed: int = 0) -> Expr:
        """Return the number of n-grams in each bucket, int32: columns "_0", "_1" and so on.

        An n-gram is n consecutive characters. `hash` gives its bucket. A missing text is missing in
        every column; with `.fill_null("")` all its counts are 0.

        Args:
            n: Number of characters. A shorter text has no n-grams.
            n_buckets: Number of columns.
            seed: Seed of the hash.

        Raises:
            InvalidPlan: A parameter is out of range or has the wrong type.

        Source:
            scikit-learn's HashingVectorizer(analyzer="char"), with another hash and no signs.

        Example:
            >>> plan = ff.Plan({"s": col("s").str.hash_ngrams(2, 4)})
            >>> fitted = plan.fit({"s": ["abab"]})
            >>> fitted.transform({"s": ["abab"]}, backend="reference").to_pydict()
            {'s_0': [0], 's_1': [2], 's_2': [1], 's_3': [0]}
        """
        return _counts("hash_ngrams", self.expr, n=n, n_buckets=n_buckets, seed=seed)

    def hash_tokens(self, n_buckets: int, *, seed: int = 0) -> Expr:
        """Return the number of tokens in each bucket, int32: columns "_0", "_1" and so on.

        Tokens are maximal runs of characters without white space. `hash` gives the bucket of a
        token. A missing text is missing in every column; with `.fill_null("")` all its counts are
        0.

        Args:
            n_buckets: Number of columns.
            seed: Seed of the hash.

        Raises:
            InvalidPlan: A parameter is out of range or has the wrong type.

        Source:
            scikit-learn's HashingVectorizer, with another hash and no signs.

        Example:
            >>> plan = ff.Plan({"s": col("s").str.hash_tokens(2)})
            >>> fitted = plan.fit({"s": ["a b a"]})
            >>> fitted.transform({"s": ["a b a"]}, backend="reference").to_pydict()
            {'s_0': [1], 's_1': [2]}
        """
        return _counts("hash_tokens", self.expr, n_buckets=n_buckets, seed=seed)


def _pattern(operator: str, pattern: object, literal: object) -> tuple[str, bool]:
    """Return (the pattern, whether it is plain text).

    A pattern is plain text if `literal` says so, or if it has no special characters. Raises
    InvalidPlan if the pattern is neither plain text nor a regular expression.
    """
    from fastfeat.steps.text.rows import is_plain

    pattern = checks.text(operator, "pattern", pattern)
    if checks.switch(operator, "literal", literal) or is_plain(pattern):
        return pattern, True
    _names_of_groups(pattern)
    return pattern, False


def _names_of_groups(pattern: str) -> tuple[str, ...]:
    """Return the names of a pattern's groups in order; "" for groups without a name.

    The first name stands for the whole match.
    """
    from fastfeat.io.columns.regex import grouped_pattern  # imports PyArrow

    return grouped_pattern(pattern).names


def _matches_nothing(pattern: str) -> bool:
    from fastfeat.io.columns.regex import matches_nothing  # imports PyArrow

    return matches_nothing(pattern)


def _strip(operator: str, x: Expr, characters: str | None) -> Expr:
    function = f"str.{operator}"
    return call(
        function, x, **check_parameters(operator, parameters_of(function), characters=characters)
    )


def _replace(
    operator: str, x: Expr, pattern: str, value: str, n: int, literal: bool, max_memory: int
) -> Expr:
    """Return text with the first `n` matches replaced; the node omits a default `max_memory`."""
    parameters = parameters_of("str.replace")
    room = check_parameters(operator, parameters, max_memory=max_memory)
    given = check_parameters(operator, parameters, pattern=pattern, value=value, literal=literal)
    if given["literal"] and not pattern:
        raise InvalidPlan(f"{operator}(pattern=''): the empty text would match everywhere")
    if not given["literal"]:
        from fastfeat.io.columns.regex import replacement  # imports PyArrow

        given["value"] = replacement(value, pattern)
    return call("str.replace", x, n=n, **given, **room)


def _counts(operator: str, x: Expr, **params: Any) -> Expr:
    """Return one column per bucket; all of them read one node that counts."""
    function = f"str.{operator}"
    given = check_parameters(operator, parameters_of(function), **params)
    counts = call(function, x, **given)
    buckets = range(given["n_buckets"])
    return several_columns({f"_{k}": call("bucket_count", counts, bucket=k) for k in buckets})


@property
def str_(expr: Expr) -> TextFunctions:
    """Functions of text, such as `col("s").str.len_chars()`."""
    return TextFunctions(expr)


def _operator(
    method: Callable[..., Expr],
    meaning: OperatorReference,
    params: Sequence[dict[str, Any]],
    *,
    gives_text: bool,
) -> Operator:
    """Return the registry entry of a method of `.str`; `meaning` is its reference function."""

    @wraps(method)
    def define(x: Expr, **given: Any) -> Expr:
        return method(TextFunctions(x), **given)

    cases = tuple(Case(("text",), given) for given in params)
    return Operator(define, meaning, cases, method=False, gives_text=gives_text)


def _lower(text: str) -> str:
    return "".join(character.lower()[0] for character in text)


def _upper(text: str) -> str:
    """Return text in upper case as Unicode's simple mapping does, one character for one.

    Where Python's `upper` gives more characters, the title case is used if it is a single one.
    """
    pairs = [(c, c.upper(), c.title()) for c in text]
    return "".join(
        upper if len(upper) == 1 else title if len(title) == 1 else c for c, upper, title in pairs
    )


def _tokens(text: str) -> list[str]:
    return "".join(" " if character in _SPACE else character for character in text).split(" ")


def _slice(text: str, offset: int, length: int | None = None) -> str:
    start = offset if offset >= 0 else len(text) + offset
    end = len(text) if length is None else start + length
    return text[max(start, 0) : max(end, 0)]


def _finds(pattern: str, literal: bool) -> re.Pattern[str]:
    return re.compile(re.escape(pattern) if literal else pattern.replace("$", r"\Z"))


def _extract(text: str, pattern: str, group_index: int = 1) -> str | None:
    found = re.search(pattern, text)
    return None if found is None else found.group(group_index) or ""


def _replaced(text: str, pattern: str, value: str, literal: bool, count: int) -> str:
    written = value if literal else None

    def one(found: re.Match[str]) -> str:
        if written is not None:
            return written
        return value.replace("$1", found.group(min(1, found.re.groups))).replace("$$", "$")

    return _finds(pattern, literal).sub(one, text, count=count)


def _integer(text: str, base: int = 10, strict: bool = True) -> int | None:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"[:base]
    plain = text[1:] if text[:1] in ("+", "-") else text
    if not plain or not plain.isascii() or any(c not in digits for c in plain.lower()):
        return None
    value = int(text, base)
    return value if -(2**63) <= value < 2**63 else None


def _float(text: str, strict: bool = True) -> float | None:
    if not text.isascii() or text.strip() != text or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    named = text.lower().lstrip("+-") in ("inf", "infinity")
    return value if named or abs(value) != float("inf") else None


def _by_bucket(pieces: Callable[..., list[str]]) -> Callable[..., tuple[list[Any], ...]]:
    """Return the reference function of an operator that counts pieces of text per hash bucket."""

    def reference(
        train: Sequence[ReferenceColumn],
        rows: Sequence[ReferenceColumn],
        n_buckets: int,
        seed: int = 0,
        **params: Any,
    ) -> tuple[list[Any], ...]:
        counts: list[Counter[int] | None] = []
        for row in rows[0]:
            found = [] if row is None else [p for p in pieces(row, **params) if p]
            hashes = [xxh64(piece.encode(), seed) for piece in found]
            counts.append(None if row is None else Counter(h * n_buckets // 2**64 for h in hashes))
        return tuple([None if c is None else c[k] for c in counts] for k in range(n_buckets))

    return reference


def _n_bytes(text: str) -> int:
    return len(text.encode())


def _n_tokens(text: str) -> int:
    return len([token for token in _tokens(text) if token])


def _stripped(text: str, characters: str = _SPACE) -> str:
    return text.strip(characters)


def _stripped_start(text: str, characters: str = _SPACE) -> str:
    return text.lstrip(characters)


def _stripped_end(text: str, characters: str = _SPACE) -> str:
    return text.rstrip(characters)


def _starts_with(text: str, prefix: str) -> bool:
    return text.startswith(prefix)


def _ends_with(text: str, suffix: str) -> bool:
    return text.endswith(suffix)


def _contains(text: str, pattern: str, literal: bool = False) -> bool:
    return _finds(pattern, literal).search(text) is not None


def _count_matches(text: str, pattern: str, literal: bool = False) -> int:
    return len(_finds(pattern, literal).findall(text))


def _find(text: str, pattern: str, literal: bool = False) -> int | None:
    found = _finds(pattern, literal).search(text)
    return None if found is None else len(text[: found.start()].encode())


def _split_count(text: str, by: str) -> int:
    return len(text.split(by))


def _replaced_once(text: str, pattern: str, value: str, literal: bool = False) -> str:
    return _replaced(text, pattern, value, literal, 1)


def _replace_all(text: str, pattern: str, value: str, literal: bool = False) -> str:
    return _replaced(text, pattern, value, literal, 0)


def _datetime(text: str, format: str, strict: bool = True) -> int | None:
    """Return the parsed date or time, in microseconds since 1970; None if it does not match."""
    if not text.isascii():
        return None
    try:
        since = datetime.datetime.strptime(text, format) - datetime.datetime(1970, 1, 1)
    except ValueError:
        return None
    return since // datetime.timedelta(microseconds=1)


def _ngrams(text: str, n: int) -> list[str]:
    return [text[k : k + n] for k in range(len(text) - n + 1)]


_STRIPPED: tuple[dict[str, Any], ...] = ({}, {"characters": "azé"})
_LITERAL = {"pattern": "z", "literal": True}
_SLICES = ({"offset": 1}, {"offset": -2, "length": 1}, {"offset": -9, "length": 8})
_DOUBLED = {"pattern": "([a-z])", "value": "$1$1"}
_GROUPS = ({"pattern": "(z)[^z]*(z)"}, {"pattern": "[a-z]", "group_index": 0})
_GIVING_TEXT: dict[Callable[..., Expr], tuple[OperatorReference, tuple[dict[str, Any], ...]]] = {
    TextFunctions.to_lowercase: (each(_lower), ({},)),
    TextFunctions.to_uppercase: (each(_upper), ({},)),
    TextFunctions.strip_chars: (each(_stripped), _STRIPPED),
    TextFunctions.strip_chars_start: (each(_stripped_start), _STRIPPED),
    TextFunctions.strip_chars_end: (each(_stripped_end), _STRIPPED),
    TextFunctions.slice: (each(_slice), _SLICES),
    TextFunctions.extract: (each(_extract), _GROUPS),
    TextFunctions.replace: (each(_replaced_once), ({"pattern": "z", "value": "$$"},)),
    TextFunctions.replace_all: (
        each(_replace_all),
        (_DOUBLED, {"value": "\\", **_LITERAL}),
    ),
}
_GIVING_NUMBERS: dict[Callable[..., Expr], tuple[OperatorReference, tuple[dict[str, Any], ...]]] = {
    TextFunctions.len_bytes: (each(_n_bytes), ({},)),
    TextFunctions.len_chars: (each(len), ({},)),
    TextFunctions.token_count: (each(_n_tokens), ({},)),
    TextFunctions.starts_with: (each(_starts_with), ({"prefix": "z"}, {"prefix": ""})),
    TextFunctions.ends_with: (each(_ends_with), ({"suffix": "é"},)),
    TextFunctions.contains: (each(_contains), (_LITERAL, {"pattern": "^[ab]$"})),
    TextFunctions.count_matches: (each(_count_matches), (_LITERAL, {"pattern": "[az]"})),
    TextFunctions.find: (each(_find), (_LITERAL, {"pattern": ""}, {"pattern": "[az]$"})),
    TextFunctions.split_count: (each(_split_count), ({"by": "z"},)),
    TextFunctions.to_integer: (
        each(_integer),
        ({"strict": False}, {"strict": False, "base": 36}),
    ),
    TextFunctions.to_float: (each(_float), ({"strict": False},)),
    TextFunctions.to_datetime: (
        each(_datetime),
        ({"format": "%Y", "strict": False},),
    ),
    TextFunctions.hash_ngrams: (
        _by_bucket(_ngrams),
        ({"n": 1, "n_buckets": 3}, {"n": 2, "n_buckets": 2, "seed": 5}),
    ),
    TextFunctions.hash_tokens: (_by_bucket(_tokens), ({"n_buckets": 3},)),
}


def _counts_text(nodes: Sequence[Node], texts: Texts) -> str | None:
    match nodes:
        case [Call(_, (counts,)), *_] if all(node.args == (counts,) for node in nodes):
            return texts[counts]
        case _:
            return None


def _found_text(node: Call, texts: Texts) -> str | None:
    match node.args:
        case (Call("ge", (at, Literal(0))), Call(function) as found, Literal(None)) if (
            at is found and function in ("str.find", "str.find_literal")
        ):
            return texts[found]
        case _:
            return None


WRITTEN: dict[str, Writer] = {"when": _found_text}
"""Writers (see `ir.writing`) of `find`, by the function of the last node."""
WRITTEN_TOGETHER: dict[str, SeveralWriter] = {"bucket_count": _counts_text}
"""Writers (see `ir.writing`) of columns of hashed counts, by the function of the first column."""


OPERATORS: dict[str, Operator] = {
    f"str.{method.__name__}": _operator(method, meaning, cases, gives_text=gives_text)
    for gives_text, listed in ((True, _GIVING_TEXT), (False, _GIVING_NUMBERS))
    for method, (meaning, cases) in listed.items()
}
