"""Functions of text that hand-written kernels compute: lengths, case, pieces, literals, numbers.

What a function means, gives and asks of the kernels is its row of `text.requests`; of that follow
its type rule and its reference here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastfeat_kernels.text.reference import NotParseable
from fastfeat_kernels.text.requests import REQUESTS, Gives, Request

from fastfeat.dtypes import BOOL, COUNTS, FLOAT64, INT32, INT64, UTF8, DType
from fastfeat.errors import Overflow, TypeMismatch
from fastfeat.io.columns.strings import content_of
from fastfeat.ir.parameters import (
    FARTHEST,
    ValidParams,
    is_flag,
    is_text,
    or_none,
    takes,
    takes_none,
    whole,
)
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


def number_text(request: Request, params: Mapping[str, Any]) -> str:
    """Return the name of the numbers that a function reads, for messages."""
    if request.gives == "parsed_float":
        return "a number"
    base = params["base"]
    return "an integer" if base == 10 else f"an integer in base {base}"


def kernel_params(request: Request, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a step as its kernel and their reference take them."""
    return {k: v.encode() if k in request.literals else v for k, v in params.items()}


def _each(request: Request) -> Reference:
    """Return the reference of a function of the bytes of a row."""

    def of_rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
        found, own = list[Any](), kernel_params(request, params)
        for row, value in enumerate(args[0].values):
            try:
                result = None if value is None else request.reference(content_of(value), **own)
            except UnicodeDecodeError:
                raise StepFailed(row, NOT_UTF8) from None
            is_text = isinstance(result, bytes)
            found.append(result.decode(errors="surrogateescape") if is_text else result)
        return found

    return of_rows


def _parsed(request: Request) -> Reference:
    """Return the reference of a function that reads numbers."""

    def of_rows(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
        found, what = list[Any](), number_text(request, params)
        own = {name: value for name, value in params.items() if name != "strict"}
        for row, value in enumerate(args[0].values):
            text = None if value is None else content_of(value)
            try:
                found.append(None if text is None else request.reference(text, **own))
            except (NotParseable, OverflowError) as error:
                if params["strict"] and text is not None:
                    raise _wrong_number(request, row, text, what, error) from None
                found.append(None)
        return found

    return of_rows


def _wrong_number(
    request: Request, row: int, text: bytes, what: str, error: Exception
) -> StepFailed:
    if isinstance(error, OverflowError):
        return out_of_range(row, text, NUMBERS[request.gives].name)
    return not_parseable(row, text, what)


def _bucket_count(args: Sequence[Argument], params: Mapping[str, Any], n_rows: int) -> list[Any]:
    bucket = params["bucket"]
    return [None if counts is None else counts[bucket] for counts in args[0].values]


def _bucket_count_type(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
    assert types == [COUNTS]
    return INT32


NUMBERS: dict[Gives, DType] = {"parsed_integer": INT64, "parsed_float": FLOAT64}
"""The type of the numbers that a function reads."""
_TYPES: dict[Gives, DType] = {
    "count": INT64,
    "flag": BOOL,
    "text": UTF8,
    "piece": UTF8,
    "bucket_counts": COUNTS,
    **NUMBERS,
}


def _row(name: str, valid: ValidParams = takes_none) -> StepFunction:
    """Return the step of a row of the table of the kernels."""
    request = REQUESTS[name]
    of_rows = of_content if request.takes == "bytes" else of_text
    reference = _parsed(request) if request.gives in NUMBERS else _each(request)
    result = of_rows(_TYPES[request.gives])
    return StepFunction(result, reference, narrow=True, valid=valid, request=request)


HAS_PATTERN = takes(pattern=is_text)
_STRIPS = takes(characters=or_none(is_text))
_BUCKETS = {"n_buckets": whole(1, MOST_BUCKETS), "seed": whole(0, LARGEST_SEED)}

STEPS: dict[str, StepFunction] = {
    "bucket_count": StepFunction(_bucket_count_type, _bucket_count, valid=takes(bucket=whole(0))),
    "str.contains_literal": _row("contains_literal", HAS_PATTERN),
    "str.count_matches_literal": _row("count_matches_literal", HAS_PATTERN),
    "str.ends_with": _row("ends_with", HAS_PATTERN),
    "str.hash_ngrams": _row("hash_ngrams", takes(n=whole(1), **_BUCKETS)),
    "str.hash_tokens": _row("hash_tokens", takes(**_BUCKETS)),
    "str.len_bytes": _row("len_bytes"),
    "str.len_chars": _row("len_chars"),
    "str.slice": _row("slice", takes(length=or_none(whole(0)), offset=whole(-FARTHEST))),
    "str.starts_with": _row("starts_with", HAS_PATTERN),
    "str.strip_chars": _row("strip_chars", _STRIPS),
    "str.strip_chars_end": _row("strip_chars_end", _STRIPS),
    "str.strip_chars_start": _row("strip_chars_start", _STRIPS),
    "str.to_float": _row("to_float", takes(strict=is_flag)),
    "str.to_integer": _row("to_integer", takes(base=whole(2, 36), strict=is_flag)),
    "str.to_lowercase": _row("to_lowercase"),
    "str.to_uppercase": _row("to_uppercase"),
    "str.token_count": _row("token_count"),
}
REQUESTED: dict[str, Request] = {
    name: row.request for name, row in STEPS.items() if isinstance(row.request, Request)
}
"""What the functions of text ask of the kernels, by the names of the steps."""
