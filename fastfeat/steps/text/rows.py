"""Functions of text that hand-written kernels compute: lengths, case, pieces, literals, numbers.

The references here are those of the kernels, on one row at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fastfeat_kernels.text import reference

from fastfeat.dtypes import BOOL, COUNTS, FLOAT64, INT32, INT64, UTF8, DType
from fastfeat.errors import Overflow, TypeMismatch
from fastfeat.io.columns.strings import content_of
from fastfeat.ir.parameters import FARTHEST, is_flag, is_text, or_none, takes, whole
from fastfeat.scalars.hashing import LARGEST_SEED, MOST_BUCKETS
from fastfeat.scalars.text import advice_on_bytes
from fastfeat.scalars.value import TypeRule
from fastfeat.steps.step import Argument, Reference, StepFailed, StepFunction

NOT_UTF8: Final = (
    "the text is not UTF-8, and its characters are needed. Decode it again, with its right encoding"
)
_LONGEST = 40


def of_text(dtype: DType) -> TypeRule:
    """Return the type rule of a function of text."""

    def result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
        if types[0].name not in ("utf8", "null"):
            raise TypeMismatch(f"needs text, got {types[0]}{advice_on_bytes(types[0])}")
        return dtype

    return result


def of_content(dtype: DType) -> TypeRule:
    """Return the type rule of a function of text or bytes."""

    def result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
        if types[0].name not in ("utf8", "binary", "null"):
            raise TypeMismatch(f"needs text or bytes, got {types[0]}")
        return dtype

    return result


def not_parseable(row: int, text: bytes, what: str) -> StepFailed:
    """Return the error of a row whose text is no number."""
    return StepFailed(row, f"{_shown(text)} is not {what}. strict=False makes it missing")


def out_of_range(row: int, text: bytes, dtype: str) -> StepFailed:
    """Return the error of a row whose text is a number that its type does not hold."""
    told = f"{_shown(text)} is outside the range of {dtype}. strict=False makes it missing"
    return StepFailed(row, told, Overflow)


def _shown(text: bytes) -> str:
    shown = repr(text.decode(errors="replace"))
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def integer_text(base: int) -> str:
    """Return what `to_integer` reads, for messages."""
    return "an integer" if base == 10 else f"an integer in base {base}"


def _each(function: Callable[..., Any]) -> Reference:
    """Return the reference of a function of the bytes of a row."""

    def of_rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
        found: list[Any] = []
        for row, value in enumerate(args[0].values):
            try:
                result = None if value is None else function(content_of(value), **params)
            except UnicodeDecodeError:
                raise StepFailed(row, NOT_UTF8) from None
            is_text = isinstance(result, bytes)
            found.append(result.decode(errors="surrogateescape") if is_text else result)
        return found

    return of_rows


def _literal(function: Callable[[bytes, bytes], Any]) -> Callable[..., Any]:
    def with_literal(text: bytes, pattern: str) -> Any:
        return function(text, pattern.encode())

    return with_literal


def _to_integer(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    base = params["base"]
    return _parsed(
        args[0], lambda text: reference.to_integer(text, base), params, integer_text(base), "int64"
    )


def _to_float(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    return _parsed(args[0], reference.to_float, params, "a number", "float64")


def _parsed(
    argument: Argument,
    parse: Callable[[bytes], Any],
    params: Mapping[str, Any],
    what: str,
    dtype: str,
) -> list[Any]:
    found: list[Any] = []
    for row, value in enumerate(argument.values):
        result = None
        if value is not None:
            text = content_of(value)
            try:
                result = parse(text)
            except (reference.NotParseable, OverflowError) as error:
                if params["strict"]:
                    beyond = isinstance(error, OverflowError)
                    raise (
                        out_of_range(row, text, dtype) if beyond else not_parseable(row, text, what)
                    ) from None
        found.append(result)
    return found


def _bucket_count(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    bucket = params["bucket"]
    return [None if counts is None else counts[bucket] for counts in args[0].values]


def _bucket_count_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    assert types == [COUNTS]
    return INT32


HAS_PATTERN = takes(pattern=is_text)
_STRIPS = takes(characters=or_none(is_text))
_BUCKETS = {"n_buckets": whole(1, MOST_BUCKETS), "seed": whole(0, LARGEST_SEED)}

_OF_TEXT: dict[str, StepFunction] = {
    "str.contains_literal": StepFunction(
        of_content(BOOL), _each(_literal(reference.contains)), valid=HAS_PATTERN
    ),
    "str.count_matches_literal": StepFunction(
        of_content(INT64), _each(_literal(reference.count_matches)), valid=HAS_PATTERN
    ),
    "str.ends_with": StepFunction(
        of_content(BOOL), _each(_literal(reference.ends_with)), valid=HAS_PATTERN
    ),
    "str.hash_ngrams": StepFunction(
        of_text(COUNTS), _each(reference.ngram_hash_counts), valid=takes(n=whole(1), **_BUCKETS)
    ),
    "str.hash_tokens": StepFunction(
        of_text(COUNTS), _each(reference.token_hash_counts), valid=takes(**_BUCKETS)
    ),
    "str.len_bytes": StepFunction(of_content(INT64), _each(reference.len_bytes)),
    "str.len_chars": StepFunction(of_text(INT64), _each(reference.len_chars)),
    "str.slice": StepFunction(
        of_text(UTF8),
        _each(reference.slice_chars),
        valid=takes(length=or_none(whole(0)), offset=whole(-FARTHEST)),
    ),
    "str.starts_with": StepFunction(
        of_content(BOOL), _each(_literal(reference.starts_with)), valid=HAS_PATTERN
    ),
    "str.strip_chars": StepFunction(of_text(UTF8), _each(reference.strip_chars), valid=_STRIPS),
    "str.strip_chars_end": StepFunction(
        of_text(UTF8), _each(reference.strip_chars_end), valid=_STRIPS
    ),
    "str.strip_chars_start": StepFunction(
        of_text(UTF8), _each(reference.strip_chars_start), valid=_STRIPS
    ),
    "str.to_float": StepFunction(of_text(FLOAT64), _to_float, valid=takes(strict=is_flag)),
    "str.to_integer": StepFunction(
        of_text(INT64), _to_integer, valid=takes(base=whole(2, 36), strict=is_flag)
    ),
    "str.to_lowercase": StepFunction(of_text(UTF8), _each(reference.to_lowercase)),
    "str.to_uppercase": StepFunction(of_text(UTF8), _each(reference.to_uppercase)),
    "str.token_count": StepFunction(of_text(INT64), _each(reference.token_count)),
}

STEPS: dict[str, StepFunction] = {
    "bucket_count": StepFunction(_bucket_count_type, _bucket_count, valid=takes(bucket=whole(0))),
    **{name: replace(function, narrow=True) for name, function in _OF_TEXT.items()},
}
