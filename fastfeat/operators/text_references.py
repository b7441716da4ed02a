"""What the functions of `.str` mean, by Python's own methods of text, for the generic tests."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from fastfeat.operators.hashing import xxh64
from fastfeat.operators.operator import Values, each

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def _lower(text: str) -> str:
    return "".join(character.lower()[0] for character in text)


def _upper(text: str) -> str:
    """Return the simple mapping: where Python's is longer, the title case of one character."""
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
    """Return the reference of a function that counts pieces into buckets."""

    def reference(
        train: Sequence[Values],
        rows: Sequence[Values],
        n_buckets: int,
        seed: int = 0,
        **params: Any,
    ) -> tuple[list[Any], ...]:
        counts: list[Counter[int] | None] = []
        for text in rows[0]:
            found = [] if text is None else [p for p in pieces(text, **params) if p]
            hashes = [xxh64(piece.encode(), seed) for piece in found]
            counts.append(None if text is None else Counter(h * n_buckets // 2**64 for h in hashes))
        return tuple([None if c is None else c[k] for c in counts] for k in range(n_buckets))

    return reference


def _n_bytes(text: str) -> int:
    return len(text.encode())


def _n_tokens(text: str) -> int:
    return len([token for token in _tokens(text) if token])


def _strip(text: str, characters: str = _SPACE) -> str:
    return text.strip(characters)


def _strip_start(text: str, characters: str = _SPACE) -> str:
    return text.lstrip(characters)


def _strip_end(text: str, characters: str = _SPACE) -> str:
    return text.rstrip(characters)


def _starts_with(text: str, prefix: str) -> bool:
    return text.startswith(prefix)


def _ends_with(text: str, suffix: str) -> bool:
    return text.endswith(suffix)


def _contains(text: str, pattern: str, literal: bool = False) -> bool:
    return _finds(pattern, literal).search(text) is not None


def _count_matches(text: str, pattern: str, literal: bool = False) -> int:
    return len(_finds(pattern, literal).findall(text))


def _replace(text: str, pattern: str, value: str, literal: bool = False) -> str:
    return _replaced(text, pattern, value, literal, 1)


def _replace_all(text: str, pattern: str, value: str, literal: bool = False) -> str:
    return _replaced(text, pattern, value, literal, 0)


def _datetime(text: str, format: str, strict: bool = True) -> int | None:
    """Return microseconds since 1970."""
    if not text.isascii():
        return None
    try:
        since = datetime.datetime.strptime(text, format) - datetime.datetime(1970, 1, 1)
    except ValueError:
        return None
    return since // datetime.timedelta(microseconds=1)


def _ngrams(text: str, n: int) -> list[str]:
    return [text[k : k + n] for k in range(len(text) - n + 1)]


len_bytes = each(_n_bytes)
len_chars = each(len)
token_count = each(_n_tokens)
to_lowercase = each(_lower)
to_uppercase = each(_upper)
strip_chars = each(_strip)
strip_chars_start = each(_strip_start)
strip_chars_end = each(_strip_end)
slice_ = each(_slice)
starts_with = each(_starts_with)
ends_with = each(_ends_with)
contains = each(_contains)
count_matches = each(_count_matches)
extract = each(_extract)
replace = each(_replace)
replace_all = each(_replace_all)
to_integer = each(_integer)
to_float = each(_float)
to_datetime = each(_datetime)
hash_ngrams = _by_bucket(_ngrams)
hash_tokens = _by_bucket(_tokens)
