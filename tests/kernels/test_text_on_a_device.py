"""Functions of text on an emulated device: those of the reference, for any chunks and pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from fastfeat_kernels.hashing.reference import xxh64
from fastfeat_kernels.text import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeat.backends import step_kernels
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.engine.gpu.pieces.run import on_host
from fastfeat.engine.gpu.runtime import Runtime
from fastfeat.errors import OutOfDeviceMemory
from fastfeat.io.device import DeviceArray
from fastfeat.ir.dtypes import BINARY
from fastfeat.steps.on_device import column_in_host
from fastfeat.steps.step import Argument, StepFailed
from fastfeat.steps.text.gpu.hashes import DeviceCounts
from fastfeat.steps.text.rows import NOT_UTF8
from fastfeat_tests.kernels.device_chunks import ORDERS, runtime_of
from fastfeat_tests.kernels.kernel_columns import cuts
from fastfeat_tests.kernels.test_text_kernel import (
    ARGUMENTS,
    DECIMALS,
    FIXED_ARGUMENTS,
    OF_BYTES,
    OF_CHARACTERS,
    decimals,
    integers,
)
from fastfeat_tests.kernels.text_columns import (
    FILLER,
    INVALID,
    Text,
    text_columns,
    texts_bytes,
    texts_utf8,
)

pytestmark = pytest.mark.emulator

SMALL = 80 << 10  # bytes of device memory: some more than the table of code points
MANY = 9000  # rows that do not fit there
STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "len_bytes": ("str.len_bytes", ()),
    "starts_with": ("str.starts_with", ("pattern",)),
    "ends_with": ("str.ends_with", ("pattern",)),
    "contains": ("str.contains_literal", ("pattern",)),
    "count_matches": ("str.count_matches_literal", ("pattern",)),
    "find": ("str.find_literal", ("pattern",)),
    "len_chars": ("str.len_chars", ()),
    "token_count": ("str.token_count", ()),
    "to_lowercase": ("str.to_lowercase", ()),
    "to_uppercase": ("str.to_uppercase", ()),
    "slice_chars": ("str.slice", ("offset", "length")),
    "strip_chars": ("str.strip_chars", ("characters",)),
    "strip_chars_start": ("str.strip_chars_start", ("characters",)),
    "strip_chars_end": ("str.strip_chars_end", ("characters",)),
    "ngram_hash_counts": ("str.hash_ngrams", ("n", "n_buckets", "seed")),
    "token_hash_counts": ("str.hash_tokens", ("n_buckets", "seed")),
}
"""The step of each function of the kernels, and the names of its parameters."""
orders = st.sampled_from(ORDERS)


class Literal(bytes):
    """Bytes that stand for a text, which may not be UTF-8."""

    def encode(self) -> bytes:
        return self


def column_of(texts: list[Text], pieces: list[slice], shift: int = 0) -> pa.ChunkedArray:
    """Return rows in chunks, each a slice of a longer array; a missing row may have bytes."""
    chunks = [_chunk(texts[cut], (shift + k) % 3) for k, cut in enumerate(pieces)]
    return pa.chunked_array(chunks, pa.large_binary())


def _chunk(texts: list[Text], shift: int) -> pa.Array:
    before: list[Text] = [b"before", None, FILLER][:shift]
    whole = [*before, *texts, FILLER]
    stored = [FILLER if text is None else text for text in whole]
    _, offsets, data = pa.array(stored, pa.large_binary()).buffers()
    bitmap = pa.array([None if text is None else 0 for text in whole], pa.int8()).buffers()[0]
    array = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(whole), [bitmap, offsets, data])
    return array.slice(shift, len(texts))


def stepped(runtime: Runtime, step: str, column: Any, **params: Any) -> Any:
    """Return what a step makes of a column."""
    return step_kernels("gpu")[step].run(runtime, [Argument(column, BINARY)], params, len(column))


def made(runtime: Runtime, name: str, column: Any, arguments: tuple[Any, ...]) -> Any:
    """Return what the step of a function makes of a column."""
    step, names = STEPS[name]
    texts = [Literal(a) if isinstance(a, bytes) else a for a in arguments]
    return stepped(runtime, step, column, **dict(zip(names, texts, strict=True)))


def values_of(runtime: Runtime, made_column: Any) -> list[Any]:
    """Return the rows of a made column; text as bytes, counts as lists."""
    if isinstance(made_column, DeviceCounts):
        columns = [values_of(runtime, bucket) for bucket in made_column.buckets]
        return [None if None in row else [*row] for row in zip(*columns, strict=True)]
    column = column_in_host(runtime, made_column)
    if pa.types.is_struct(column.type):
        rows = [[*counts.values()] for counts in column.to_pylist()]
        return [None if None in row else row for row in rows]
    if pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    return column.to_pylist()


def by_reference(name: str, texts: list[Text], arguments: tuple[Any, ...]) -> list[Any]:
    function: Callable[..., Any] = getattr(reference, name)
    return [None if text is None else function(text, *arguments) for text in texts]


@pytest.mark.parametrize("name", STEPS)
@given(data=st.data(), order=orders)
def test_functions_on_a_device_equal_their_reference(
    name: str, data: st.DataObject, order: Any
) -> None:
    runtime = runtime_of(order)
    texts = data.draw(text_columns(texts_bytes() if name in OF_BYTES else texts_utf8()))
    arguments = data.draw(ARGUMENTS[name])
    column = column_of(texts, data.draw(cuts(len(texts))), data.draw(st.integers(0, 2)))
    found = values_of(runtime, made(runtime, name, column, arguments))
    assert found == by_reference(name, texts, arguments)


@pytest.mark.parametrize("name", [name for name in OF_CHARACTERS if name in STEPS])
@given(data=st.data(), order=orders, invalid=st.sampled_from(INVALID))
def test_the_first_row_that_is_not_utf8_is_named(
    name: str, data: st.DataObject, order: Any, invalid: bytes
) -> None:
    before, after = data.draw(text_columns(texts_utf8())), data.draw(text_columns(texts_bytes()))
    texts = [*before, invalid, *after]
    column = column_of(texts, data.draw(cuts(len(texts))))
    with pytest.raises(StepFailed) as caught:
        made(runtime_of(order), name, column, data.draw(ARGUMENTS[name]))
    assert caught.value.args[:2] == (len(before), NOT_UTF8)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("texts", [[], [None], [b""], [None] * 130, [b""] * 130], ids=str)
def test_columns_of_nothing(name: str, texts: list[Text]) -> None:
    runtime, arguments = runtime_of("forward"), FIXED_ARGUMENTS[name]
    for column in (column_of(texts, [slice(0, len(texts))]), column_of(texts, [])):
        found = values_of(runtime, made(runtime, name, column, arguments))
        assert found == by_reference(name, texts[: len(column)], arguments)


@pytest.mark.parametrize("unit", ["a", "B ", "é", "ȺA", "aaab", "\x00"])
@pytest.mark.parametrize("name", STEPS)
def test_long_rows(name: str, unit: str) -> None:
    n, runtime, arguments = 250_000, runtime_of("forward"), FIXED_ARGUMENTS[name]
    texts: list[Text] = [b"x", (unit * n).encode(), None, b"ab"]
    found = values_of(runtime, made(runtime, name, column_of(texts, [slice(0, 4)]), arguments))
    if name in ("to_lowercase", "to_uppercase"):  # the reference takes its time
        texts[1] = unit.encode()
        found[1], rest = found[1][: len(found[1]) // n], found[1][len(found[1]) // n :]
        assert rest == found[1] * (n - 1)
    assert found == by_reference(name, texts, arguments)


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=5)
@given(data=st.data())
def test_a_column_that_does_not_fit_goes_in_pieces(name: str, data: st.DataObject) -> None:
    runtime = EmulatedRuntime(n_bytes=SMALL)
    few = data.draw(st.lists(st.none() | st.text(max_size=4).map(str.encode), min_size=1))
    n_times = MANY // len(few)
    arguments = data.draw(ARGUMENTS[name])
    column = column_of(few * n_times, data.draw(cuts(len(few) * n_times)))
    result = made(runtime, name, column, arguments)
    assert isinstance(result, pa.ChunkedArray)
    assert values_of(runtime, result) == by_reference(name, few, arguments) * n_times


@pytest.mark.parametrize("n_bytes", [1 << 30, SMALL])
@pytest.mark.parametrize("n_buckets", [None, 7])
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_hashes_are_xxh64_of_the_bytes(n_bytes: int, n_buckets: int | None, seed: int) -> None:
    few: list[Text] = [*INVALID, None, b"", b"\0" * 7, b"abcdefgh" * 13, *map(str.encode, "aé中😀")]
    runtime, n_times = EmulatedRuntime(n_bytes=n_bytes), 6000 // len(few)
    column = column_of(few * n_times, [slice(0, 5), slice(5, len(few) * n_times)])
    hashes = [None if text is None else xxh64(text, seed) for text in few]
    if n_buckets is not None:
        hashes = [None if h is None else h * n_buckets >> 64 for h in hashes]
    found = stepped(runtime, "hash", column, n_buckets=n_buckets, seed=seed)
    assert isinstance(found, DeviceArray) == (n_bytes > SMALL)
    assert values_of(runtime, found) == hashes * n_times


def test_rows_that_do_not_fit_at_all_are_an_error() -> None:
    runtime = EmulatedRuntime(n_bytes=SMALL)
    column = column_of([b"a" * 2 * SMALL], [slice(0, 1)])
    with pytest.raises(OutOfDeviceMemory, match="1 row of text or lists needs"):
        made(runtime, "len_chars", column, ())


def test_a_dictionary_is_worked_on_by_entry() -> None:
    runtime = runtime_of("forward")
    column = pa.chunked_array([pa.array([b"aB", None, b"aB", b"", b"c"] * 9).dictionary_encode()])
    assert values_of(runtime, made(runtime, "len_bytes", column, ())) == [2, None, 2, 0, 1] * 9
    upper = column_in_host(runtime, made(runtime, "to_uppercase", column, ()))
    assert upper.to_pylist() == ["AB", None, "AB", "", "C"] * 9


def parsed(texts: list[Text], function: Callable[[bytes], Any]) -> list[Any]:
    """Return values by the reference; what is no number is missing."""
    rows: list[Any] = []
    for text in texts:
        try:
            rows.append(None if text is None else function(text))
        except (OverflowError, ValueError):
            rows.append(None)
    return rows


def first_wrong(texts: list[Text], function: Callable[[bytes], Any]) -> int | None:
    for row, text in enumerate(texts):
        try:
            if text is not None:
                function(text)
        except (OverflowError, ValueError):
            return row
    return None


def check_numbers(
    runtime: Runtime, step: str, column: Any, texts: list[Text], function: Any, **params: Any
) -> None:
    """Check what a step parses, and the row that it names where it is strict."""
    expected, wrong = parsed(texts, function), first_wrong(texts, function)
    found = values_of(runtime, stepped(runtime, step, column, strict=False, **params))
    assert [repr(value) for value in found] == [repr(value) for value in expected]
    if wrong is None:
        strict = values_of(runtime, stepped(runtime, step, column, strict=True, **params))
        assert repr(strict) == repr(expected)
        return
    with pytest.raises(StepFailed) as caught:
        stepped(runtime, step, column, strict=True, **params)
    assert caught.value.args[0] == wrong


@given(data=st.data(), base=st.one_of(st.just(10), st.integers(2, 36)), order=orders)
def test_integers_equal_the_reference(data: st.DataObject, base: int, order: Any) -> None:
    texts = data.draw(text_columns(integers))
    column = column_of(texts, data.draw(cuts(len(texts))))

    def function(text: bytes) -> int:
        return reference.to_integer(text, base)

    check_numbers(runtime_of(order), "str.to_integer", column, texts, function, base=base)


@given(data=st.data(), order=orders)
def test_floats_equal_the_reference(data: st.DataObject, order: Any) -> None:
    texts = data.draw(text_columns(decimals))
    column = column_of(texts, data.draw(cuts(len(texts))))
    check_numbers(runtime_of(order), "str.to_float", column, texts, reference.to_float)


@pytest.mark.parametrize("n_bytes", [1 << 30, SMALL])
def test_floats_near_to_ties_equal_the_reference(n_bytes: int) -> None:
    texts: list[Text] = [*DECIMALS * 150]
    runtime = EmulatedRuntime(n_bytes=n_bytes)
    column = column_of(texts, [slice(0, 100), slice(100, len(texts))])
    check_numbers(runtime, "str.to_float", column, texts, reference.to_float)


UNDECIDED = [b"9007199254740993.00000000000000000000000000000000001", b"8.98846567431158e307"]
TOO_LARGE = b"1.797693134862315807937289714053034150799341327100378e308"


def test_an_undecided_row_may_be_the_first_that_is_wrong() -> None:
    texts: list[Text] = [b"1", *UNDECIDED, None, TOO_LARGE, b"x"]
    column = column_of(texts, [slice(0, len(texts))])
    check_numbers(runtime_of("forward"), "str.to_float", column, texts, reference.to_float)


def test_counts_and_flags_and_numbers_stay_on_the_device() -> None:
    runtime = runtime_of("forward")
    column = column_of([b"12", None, b"3"], [slice(0, 3)])
    for name in ("len_bytes", "starts_with", "token_count"):
        result = made(runtime, name, column, FIXED_ARGUMENTS[name])
        assert isinstance(result, DeviceArray)
        assert on_host(runtime, result, "x").null_count == 1
    number = stepped(runtime, "str.to_integer", column, base=10, strict=True)
    assert isinstance(number, DeviceArray)
    assert values_of(runtime, number) == [12, None, 3]
