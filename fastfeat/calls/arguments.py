"""Errors for calls with wrong arguments: which argument is wrong, and how to write the call.

Every public function is wrapped by `with_argument_errors`, every public class by
`with_method_errors`. The wrapper turns Python's TypeError into a TypeMismatch with such a message.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, isfunction, signature
from typing import Any, TypeVar, cast

from fastfeat.errors import TypeMismatch, did_you_mean
from fastfeat.first_use import OnFirstUse, import_object

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)
CallPrefix = str | Callable[[Any], str]
Hints = Mapping[str, str]
"""Parameter name to the advice for it; TOO_MANY stands for surplus positional arguments."""

TOO_MANY = "*"
_WRITTEN = {
    "by": "'key'",
    "condition": "col('x') > 0",
    "cv": "5",
    "data": "data",
    "features": "{'name': col('x')}",
    "fitted": "plan.fit(data)",
    "gap": "'30m'",
    "name": "'x'",
    "over": "ff.window(time='t', by='card')",
    "path": "'plan.fastfeat'",
    "row": "{'x': 1.0}",
    "target": "'y'",
    "time": "'t'",
}
"""Example values in messages, for parameters without a default."""
_MOST_SHOWN = 80
_OF_ANY_NUMBER = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def with_argument_errors(
    function: F, *, prefix: CallPrefix = "ff.", hints: Hints | None = None
) -> F:
    """Return the function, wrapped so that errors for wrong arguments say how to write the call.

    Example:
        >>> with_argument_errors(lambda *, over: over)()
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
            told = _describe_mistake(function, prefix, args, options, hints or {})
            if told is None:  # raised inside the function
                raise
        raise TypeMismatch(told)

    return cast(F, called)


def with_argument_errors_as(prefix: CallPrefix, hints: Hints) -> Callable[[F], F]:
    """Return a decorator that applies `with_argument_errors` with these arguments."""
    return lambda function: with_argument_errors(function, prefix=prefix, hints=hints)


def with_method_errors(
    prefix: CallPrefix,
    hints: Mapping[str, Hints] | None = None,
    *,
    made_by: str = "ff.",
    elsewhere: Mapping[str, str] | None = None,
) -> Callable[[C], C]:
    """Return a class decorator that applies `with_argument_errors` to the public methods."""

    told_of = hints or {}
    modules = {name: at for at, names in (elsewhere or {}).items() for name in names.split()}

    def imported(name: str) -> Any:
        method = import_object(f"{modules[name]}:{name}")
        return with_argument_errors(method, prefix=prefix, hints=told_of.get(name))

    def of_making(_: object) -> str:
        return made_by

    def explained(cls: C) -> C:
        for name, found in list(vars(cls).items()):
            told = told_of.get(name)
            if isinstance(found, staticmethod):
                of_class = with_argument_errors(
                    found.__func__, prefix=f"{made_by}{cls.__name__}.", hints=told
                )
                setattr(cls, name, staticmethod(of_class))
            elif isfunction(found) and (not name.startswith("_") or name in told_of):
                before = of_making if name == "__init__" else prefix
                setattr(cls, name, with_argument_errors(found, prefix=before, hints=told))
        for name in modules:
            setattr(cls, name, OnFirstUse(cls, name, imported))
        return cls

    return explained


def _describe_mistake(
    function: Callable[..., Any],
    prefix: CallPrefix,
    args: Sequence[Any],
    options: Mapping[str, Any],
    hints: Hints,
) -> str | None:
    """Return a message about the mistake in a call's arguments; None if there is no mistake.

    Also None for a method that is called without its first argument (`self`).
    """
    is_method = callable(prefix)
    if is_method and not args:
        return None
    expected = signature(function)
    takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in expected.parameters.values())
    own = [*expected.parameters][is_method:]
    unknown = None if takes_any else next((name for name in options if name not in own), None)
    takes = f"It takes {', '.join(own)}" if own else "It takes no parameters"
    if unknown is not None:
        hint = hints.get(unknown) or did_you_mean(unknown, own).strip() or takes
        return f"{_call(function, prefix, args, options)}: has no parameter {unknown!r}. {hint}"
    try:
        given = expected.bind_partial(*args, **options).arguments
    except TypeError as error:
        too_many = hints.get(TOO_MANY) if "too many" in str(error) else None
        named = f"Name the parameters: {', '.join(f'{name}=' for name in own)}" if own else takes
        return f"{_call(function, prefix, args, options)}: {error}. {too_many or named}"
    required = [
        p.name
        for p in expected.parameters.values()
        if p.default is Parameter.empty and p.kind not in _OF_ANY_NUMBER
    ]
    lacking = [name for name in required if name not in given]
    if not lacking:
        return None
    names = ", ".join(f"{name}=" for name in lacking)
    example = {name: _WRITTEN.get(name, "...") for name in lacking}
    told = _call(function, prefix, args, options)
    return f"{told}: lacks {names}. Write {_call(function, prefix, args, options, example)}"


def _call(
    function: Callable[..., Any],
    prefix: CallPrefix,
    args: Sequence[Any],
    options: Mapping[str, Any],
    more: Mapping[str, str] | None = None,
) -> str:
    """Return the text of a call; `more` has further arguments, name to value, both as text."""
    before, others = (prefix(args[0]), args[1:]) if callable(prefix) else (prefix, args)
    name = function.__name__
    if name == "__init__":
        name = type(args[0]).__name__
    named = {key: _shown(value) for key, value in options.items()} | dict(more or {})
    written = [*map(_shown, others), *(f"{key}={value}" for key, value in named.items())]
    return f"{before}{name}({', '.join(written)})"


def _shown(value: object) -> str:
    """Return a value for a message: its repr if short and on one line, otherwise "<type name>"."""
    is_collection = type(value).__module__ == "builtins" and not isinstance(value, str)
    shown = reprlib.repr(value) if is_collection else repr(value)
    return shown if len(shown) <= _MOST_SHOWN and "\n" not in shown else f"<{type(value).__name__}>"
