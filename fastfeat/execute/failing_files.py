"""Failing rows in files: an error with a row number over all files also names the row's file."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from fastfeat.errors import FastfeatError, InvalidData, Overflow, TypeMismatch
from fastfeat.io.sources import dataset as datasets
from fastfeat.io.sources import scan as scanning
from fastfeat.io.sources.read import is_in_parts

F = TypeVar("F", bound=Callable[..., Any])


def naming_files(method: F) -> F:
    """Decorate a method: its errors about a row name the file that holds the row.

    Applies if the data is several files. The method has the arguments `self`, `data` and perhaps
    `history=`.
    """

    @wraps(method)
    def called(*args: Any, **options: Any) -> Any:
        try:
            return method(*args, **options)
        except (InvalidData, Overflow, TypeMismatch) as error:
            data = args[1] if len(args) > 1 else options.get("data")
            told = _placed(error, data, options.get("history"))
            if told is error:
                raise
            raise told from error

    return cast(F, called)


def _placed(error: FastfeatError, data: Any, history: Any) -> FastfeatError:
    """Return the error with the file that holds its row added; unchanged if no file is found."""
    given, rows = (
        history if scanning.is_of_history(error) else data,
        scanning.numbers_of_rows(error),
    )
    if not rows or not is_in_parts(given) or callable(given):
        return error
    try:
        dataset = datasets.dataset_of(given)
        pieces = (
            list(scanning.scan(dataset, [], stop=rows[0] + 1)) if len(dataset.parts) > 1 else []
        )
    except FastfeatError:  # the files cannot be read: keep the original error
        return error
    if not pieces or pieces[-1].first_row + pieces[-1].table.num_rows <= rows[0]:
        return error
    return scanning.with_place(error, pieces[-1], rows[0])
