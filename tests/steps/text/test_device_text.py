"""Steps of text on a device in whole plans: the bits of the CPU, and no kernel of the CPU."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.backends import emulated, step_kernels
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime
from fastfeat.errors import FastfeatError
from fastfeat_tests.operators.operator_tables import bits_of

pytestmark = pytest.mark.emulator

X: Any = col("x").str
TEXTS = ["Straße 7", None, "", " two  tokens ", "a\0b", "ⱥß", "12", "-3.5e1", "1" * 40] * 9
PLAN = ff.Plan(
    {
        "bytes": X.len_bytes(),
        "chars": X.len_chars() * 2,
        "tokens": X.token_count().mean(),
        "starts": X.starts_with("S") | X.ends_with("e1"),
        "contains": X.contains("o", literal=True).fill_null(False),
        "matches": X.count_matches("ß", literal=True) + 1,
        "at": X.find("o", literal=True).fill_null(-2),
        "lower": X.to_lowercase().str.strip_chars().ordinal_encode(),
        "upper": X.to_uppercase().str.slice(-3, 2).str.len_bytes(),
        "number": X.to_float(strict=False).standard_scale(),
        "integer": X.to_integer(strict=False),
        "grams": X.hash_ngrams(2, 3, seed=1),
        "hash": col("x").hash(100),
        "key": X.len_chars().ordinal_encode(),
        "per_key": X.len_bytes().mean(by="k"),
        "by_length": col("k").max(by=X.len_bytes()),
    }
)


def table(texts: list[str | None]) -> pa.Table:
    """Return texts in chunks, and a number of each row."""
    column = pa.chunked_array([texts[:5], texts[5:7], texts[7:]], pa.string())
    return pa.table({"x": column, "k": pa.array([n % 3 for n in range(len(texts))], pa.int64())})


@pytest.fixture
def no_host_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the steps that have a kernel of the device fail on the host."""

    def fail(*args: Any) -> None:
        raise AssertionError("runs on the host")

    for name in step_kernels("gpu"):
        monkeypatch.setitem(step_kernels("cpu"), name, fail)


@pytest.mark.usefixtures("no_host_kernels")
def test_the_host_kernels_are_replaced() -> None:
    with pytest.raises(AssertionError, match="runs on the host"):
        PLAN.fit(table(TEXTS))


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
def test_plans_have_the_bits_of_the_cpu(order: Any, request: pytest.FixtureRequest) -> None:
    rows = table(TEXTS)
    fitted = PLAN.fit(rows)
    expected = [fitted.transform(data) for data in (rows, rows.slice(3, 7), rows.slice(0, 0))]
    request.getfixturevalue("no_host_kernels")
    with emulated.use_runtime(EmulatedRuntime(order)):
        on_device = PLAN.fit(rows, backend="emulated")
        found = [
            on_device.transform(data, backend="emulated")
            for data in (rows, rows.slice(3, 7), rows.slice(0, 0))
        ]
    assert [bits(one) for one in found] == [bits(one) for one in expected]


def bits(features: pa.Table) -> list[Any]:
    return [features.schema, *(bits_of(features[name]) for name in features.column_names)]


@pytest.mark.parametrize(
    "feature",
    [
        X.to_integer(),
        X.to_integer(base=2),
        X.to_float() + 1,
        X.len_bytes() * 2**62,
        X.to_float(strict=False).cast("int8"),
    ],
)
def test_errors_are_those_of_the_cpu(feature: Any) -> None:
    rows, plan = table(TEXTS), ff.Plan({"f": feature})
    told: list[str] = []
    for backend in ("cpu", "emulated"):
        with pytest.raises(FastfeatError) as caught:
            plan.fit(rows, backend=backend).transform(rows, backend=backend)
        told.append(f"{caught.type.__name__}: {caught.value}")
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "feature", [X.len_chars(), X.to_lowercase().str.len_bytes(), X.strip_chars().str.len_bytes()]
)
def test_text_that_is_not_utf8_is_the_error_of_the_cpu(feature: Any) -> None:
    texts = pa.array([b"a", b"\xc3", b"\xff"], pa.binary()).view(pa.string())
    rows, plan = pa.table({"x": texts}), ff.Plan({"f": feature})
    fitted = plan.fit(rows.slice(0, 1))
    told: list[str] = []
    for backend in ("cpu", "emulated"):
        with pytest.raises(FastfeatError, match="row 1: the text is not UTF-8") as caught:
            fitted.transform(rows, backend=backend)
        told.append(str(caught.value))
    assert told[0] == told[1]
