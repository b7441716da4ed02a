"""Functions of text by hand-written kernels: lengths, case, slices, literals, numbers.

`text.requests` has a row for each function, with its definition, its kind of result and its kernel.
The type rule and the reference here are derived from that row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastfeat_kernels.text.reference import NotParseable
from fastfeat_kernels.text.requests import REQUESTS, Gives, Request
from fastfeat_kernels.text.unicode_table import WHITE_SPACE

from fastfeat.errors import Overflow, TypeMismatch
from fastfeat.io.columns.strings import content_of
from fastfeat.ir.dtypes import BOOL, COUNTS, FLOAT64, INT32, INT64, UTF8, DType
from fastfeat.ir.node import Call
from fastfeat.ir.parameters import (
    Belongs,
    BoolChoice,
    FreeText,
    Parameter,
    Parameters,
    Whole,
    always,
)
from fastfeat.ir.writing import Texts, Writer, method_text
from fastfeat.scalars.hashing import SEED
from fastfeat.scalars.value import TypeRule, advice_on_bytes
from fastfeat.steps.step import Argument, OfRow, StepFailed, StepFunction, StepReference

NOT_UTF8: Final = (
    "the text is not UTF-8, so its characters are unknown. Decode it again with the right encoding"
)
_LONGEST = 40
_OF_STEPS = ("literal", "max_memory")
"""Parameters that kernels and definitions do not take."""
_SPECIAL = frozenset("\\.^$*+?{}[]|()")
"""Characters with a meaning in regular expressions."""
OfAscii = Callable[[Mapping[str, Any]], Callable[[str], Any]]
"""`parameters -> function of one ASCII text`."""


def of_text(dtype: DType) -> TypeRule:
    """Return a type rule that accepts text and gives `dtype`."""

    def result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
        if types[0].name not in ("utf8", "null"):
            raise TypeMismatch(f"needs text, got {types[0]}{advice_on_bytes(types[0])}")
        return dtype

    return result


def of_content(dtype: DType) -> TypeRule:
    """Return a type rule that accepts text or bytes and gives `dtype`."""

    def result(types: Sequence[DType], params: Mapping[str, Any]) -> DType:
        if types[0].name not in ("utf8", "binary", "null"):
            raise TypeMismatch(f"needs text or bytes, got {types[0]}")
        return dtype

    return result


def is_plain(pattern: str) -> bool:
    """Return whether a regular expression has no special characters, so it matches itself alone."""
    return _SPECIAL.isdisjoint(pattern)


def not_parseable(row: int, text: bytes, what: str) -> StepFailed:
    """Return the error about a row with text that is not a number."""
    return StepFailed(row, f"{_shown(text)} is not {what}. strict=False makes it missing")


def out_of_range(row: int, text: bytes, dtype: str) -> StepFailed:
    """Return the error about a row with a number outside the range of `dtype`."""
    told = f"{_shown(text)} is outside the range of {dtype}. strict=False makes it missing"
    return StepFailed(row, told, Overflow)


def _shown(text: bytes) -> str:
    shown = repr(text.decode(errors="replace"))
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def number_text(request: Request, params: Mapping[str, Any]) -> str:
    """Return the name of the kind of number that a function parses, for messages."""
    if request.gives == "parsed_float":
        return "a number"
    base = params["base"]
    return "an integer" if base == 10 else f"an integer in base {base}"


def kernel_params(request: Request, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a step as its kernel and its reference take them."""
    return {
        k: v.encode() if k in request.literals else v
        for k, v in params.items()
        if k not in _OF_STEPS
    }


def each(request: Request) -> StepReference:
    """Return a column function that applies the request's definition to the bytes of each row."""

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


def _each_of_row(request: Request, of_ascii: OfAscii | None) -> OfRow:
    """Return a function of one text: `of_ascii` computes ASCII, the definition any other text."""

    def of_row(args: Sequence[Argument], params: Mapping[str, Any]) -> Callable[..., Any]:
        own = kernel_params(request, params)
        fast = None if of_ascii is None else of_ascii(params)

        def of_value(value: Any) -> Any:
            if value is None:
                return None
            if fast is not None and type(value) is str and value.isascii():
                return fast(value)
            result = request.reference(content_of(value), **own)
            is_text = isinstance(result, bytes)
            return result.decode(errors="surrogateescape") if is_text else result

        return of_value

    return of_row


def _stripping(method: Callable[[str, str], str]) -> OfAscii:
    """Return a function of ASCII text that strips characters, by a method such as `str.strip`."""

    def of_ascii(params: Mapping[str, Any]) -> Callable[[str], Any]:
        given: str | None = params["characters"]
        characters = "".join(map(chr, WHITE_SPACE)) if given is None else given
        return lambda text: method(text, characters)

    return of_ascii


def _slicing(params: Mapping[str, Any]) -> Callable[[str], Any]:
    offset, length = params["offset"], params["length"]

    def sliced(text: str) -> str:
        begin = offset if offset >= 0 else len(text) + offset
        end = len(text) if length is None else begin + length
        return text[max(begin, 0) : max(end, 0)]

    return sliced


def _with_pattern(method: Callable[[str, str], Any]) -> OfAscii:
    """Return a function of ASCII text that searches for a plain text, by a method of `str`."""

    def of_ascii(params: Mapping[str, Any]) -> Callable[[str], Any]:
        pattern = params["pattern"]
        return lambda text: method(text, pattern)

    return of_ascii


def _parsed(request: Request) -> StepReference:
    """Return a column function that parses numbers by the request's definition."""

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


def _plain_text(function: str) -> Writer:
    """Return a function that writes a call as Python text, with its pattern marked as literal."""

    def written(node: Call, texts: Texts) -> str:
        given = [*texts.options(node), "literal=True"]
        return method_text(function, node.args, given, texts)

    return written


def _bucket_text(node: Call, texts: Texts) -> str | None:
    match node.params:
        case (("bucket", bucket),):
            return f"{texts[node.args[0]]}[{bucket}]"
        case _:
            return None


def _is_bucket_count(call: Call) -> bool:
    (counts,) = call.args
    return (
        isinstance(counts, Call)
        and counts.function in ("str.hash_ngrams", "str.hash_tokens")
        and dict(call.params)["bucket"] < dict(counts.params)["n_buckets"]
    )


def _has_literal(call: Call) -> bool:
    return dict(call.params)["pattern"] != ""


NUMBERS: dict[Gives, DType] = {"parsed_integer": INT64, "parsed_float": FLOAT64}
"""Type of the numbers that a function reads."""
_TYPES: dict[Gives, DType] = {
    "count": INT64,
    "flag": BOOL,
    "text": UTF8,
    "piece": UTF8,
    "grown_text": UTF8,
    "bucket_counts": COUNTS,
    **NUMBERS,
}


def _row(
    name: str,
    parameters: Parameters = (),
    belongs: Belongs = always,
    written: Writer | None = None,
    of_ascii: OfAscii | None = None,
) -> StepFunction:
    """Return the step for a row of the kernels' table of requests."""
    request = REQUESTS[name]
    of_rows = of_content if request.takes == "bytes" else of_text
    reference = _parsed(request) if request.gives in NUMBERS else each(request)
    return StepFunction(
        of_rows(_TYPES[request.gives]),
        reference,
        narrow=True,
        parameters=parameters,
        belongs=belongs,
        of_row=None if request.gives in NUMBERS else _each_of_row(request, of_ascii),
        request=request,
        written=written,
    )


_MOST_CHARACTERS = 2**60
_PLAIN = Parameter("pattern", FreeText(), "Plain text to find")
_STRIPPED = (
    Parameter(
        "characters",
        FreeText(),
        "Characters to strip; None for white space",
        None,
        or_none=True,
        hidden=True,
    ),
)
_N_COLUMNS = Parameter("n_buckets", Whole(1, 2**16), "Number of columns")
STRICT = Parameter(
    "strict", BoolChoice(), "Whether other text is an error; False makes it missing", True
)

STEPS: dict[str, StepFunction] = {
    "bucket_count": StepFunction(
        _bucket_count_type,
        _bucket_count,
        belongs=_is_bucket_count,
        written=_bucket_text,
        parameters=(Parameter("bucket", Whole(0), user_name=None),),
    ),
    "str.contains_literal": _row(
        "contains_literal",
        (_PLAIN,),
        written=_plain_text("str.contains"),
        of_ascii=_with_pattern(str.__contains__),
    ),
    "str.count_matches_literal": _row(
        "count_matches_literal",
        (_PLAIN,),
        _has_literal,
        _plain_text("str.count_matches"),
        _with_pattern(str.count),
    ),
    "str.ends_with": _row(
        "ends_with",
        (Parameter("pattern", FreeText(), "Plain text at the end", user_name="suffix"),),
        of_ascii=_with_pattern(str.endswith),
    ),
    "str.find_literal": _row(
        "find_literal",
        (_PLAIN,),
        written=_plain_text("str.find"),
        of_ascii=_with_pattern(str.find),
    ),
    "str.hash_ngrams": _row(
        "hash_ngrams",
        (
            Parameter("n", Whole(1, _MOST_CHARACTERS), "Number of characters per n-gram"),
            _N_COLUMNS,
            SEED,
        ),
    ),
    "str.hash_tokens": _row("hash_tokens", (_N_COLUMNS, SEED)),
    "str.len_bytes": _row("len_bytes", of_ascii=lambda _: len),
    "str.len_chars": _row("len_chars", of_ascii=lambda _: len),
    "str.slice": _row(
        "slice",
        (
            Parameter(
                "offset",
                Whole(-_MOST_CHARACTERS, _MOST_CHARACTERS),
                "Position of the first character, from 0; negative counts from the end",
            ),
            Parameter(
                "length",
                Whole(0, _MOST_CHARACTERS),
                "Maximum number of characters; None takes all that follow",
                None,
                or_none=True,
                hidden=True,
            ),
        ),
        of_ascii=_slicing,
    ),
    "str.starts_with": _row(
        "starts_with",
        (Parameter("pattern", FreeText(), "Plain text at the start", user_name="prefix"),),
        of_ascii=_with_pattern(str.startswith),
    ),
    "str.strip_chars": _row("strip_chars", _STRIPPED, of_ascii=_stripping(str.strip)),
    "str.strip_chars_end": _row("strip_chars_end", _STRIPPED, of_ascii=_stripping(str.rstrip)),
    "str.strip_chars_start": _row("strip_chars_start", _STRIPPED, of_ascii=_stripping(str.lstrip)),
    "str.to_float": _row("to_float", (STRICT,)),
    "str.to_integer": _row(
        "to_integer", (Parameter("base", Whole(2, 36), "Base of the digits", 10), STRICT)
    ),
    "str.to_lowercase": _row("to_lowercase", of_ascii=lambda _: str.lower),
    "str.to_uppercase": _row("to_uppercase", of_ascii=lambda _: str.upper),
    "str.token_count": _row("token_count"),
}
REQUESTED: dict[str, Request] = {
    "str.replace": REQUESTS["replace"],  # of plain text; `patterns` has the step
    **{name: row.request for name, row in STEPS.items() if isinstance(row.request, Request)},
}
"""Requests of the functions of text to the kernels, by the names of the steps."""
