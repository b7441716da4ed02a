"""Arguments that a function does not take: what is wrong with them, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypeVar, cast

from fastfeat.errors import TypeMismatch, did_you_mean

F = TypeVar("F", bound=Callable[..., Any])

_WRITTEN = {
    "by": "'key'",
    "condition": "col('x') > 0",
    "gap": "'30m'",
    "over": "ff.window(time='t', by='card')",
    "target": "'y'",
    "time": "'t'",
}
"""How a parameter that has no default may be written, for examples in messages."""


def explaining(function: F, *, prefix: str = "ff.") -> F:
    """Return a function that says which arguments it lacks, or does not take, and what to write.

    Args:
        function: an operator, or what makes a window or a lookup.
        prefix: what stands before its name in code; "" for a method, whose first argument does.

    Example:
        >>> explaining(lambda *, over: over)()
        Traceback (most recent call last):
            ...
        fastfeat.errors.TypeMismatch: ff.<lambda>(): lacks over=. Write \
ff.<lambda>(over=ff.window(time='t', by='card'))
    """

    @wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except TypeError:
            told = _wrong_with(function, prefix, args, options)
            if told is None:  # raised by what the function does
                raise
        raise TypeMismatch(told)

    return cast(F, called)


def _wrong_with(
    function: Callable[..., Any], prefix: str, args: Sequence[Any], options: Mapping[str, Any]
) -> str | None:
    """Return what is wrong with the arguments of a call, and what to write.

    None where nothing is wrong, and for a method that is called without an expression.
    """
    if not prefix and not args:
        return None
    expected = signature(function)
    own = [*expected.parameters][0 if prefix else 1 :]
    shown, others = f"{prefix}{function.__name__}", args
    if not prefix:
        shown, others = f"{args[0]!r}.{function.__name__}", args[1:]
    written = [*map(repr, others), *(f"{name}={value!r}" for name, value in options.items())]
    told = f"{shown}({', '.join(written)})"
    unknown = next((name for name in options if name not in own), None)
    if unknown is not None:
        hint = did_you_mean(unknown, own) or f" It takes {', '.join(own) or 'none'}"
        return f"{told}: has no parameter {unknown!r}.{hint}"
    try:
        given = expected.bind_partial(*args, **options).arguments
    except TypeError as error:
        names = ", ".join(f"{name}=" for name in own)
        return f"{told}: {error}. Name the parameters: {names}"
    required = [p.name for p in expected.parameters.values() if p.default is Parameter.empty]
    lacking = [name for name in required if name not in given]
    if not lacking:
        return None
    example = [*written, *(f"{name}={_WRITTEN.get(name, '...')}" for name in lacking)]
    names = ", ".join(f"{name}=" for name in lacking)
    return f"{told}: lacks {names}. Write {shown}({', '.join(example)})"
