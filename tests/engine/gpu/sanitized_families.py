"""All operator families on the emulator under a sanitizer; run as a program.

`python sanitized_families.py address|thread ORDER FAULT FAMILY...` prints a line `FAMILY DIGEST`
for each: the digest of what was learnt and computed, for a comparison with the CPU backend. First a
fault, or "none", is put into the text of the kernels.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any, cast

import pyarrow as pa

import fastfeat as ff
from fastfeat.backends import emulated
from fastfeat.engine.gpu.device.emulated import EmulatedRuntime, ThreadOrder
from fastfeat.engine.gpu.runtime import SHARED_LIMIT, Geometry, Module
from fastfeat.steps.keys.gpu import grouped_ranks, grouped_scan
from fastfeat_tests.operators.operator_features import plan_of
from fastfeat_tests.operators.operator_tables import (
    bits_of,
    extreme_table,
    missing_table,
    small_table,
)

FAULTS = {
    "none": ("", ""),
    "sums_without_barrier": ("limbs[k] = 0;\n    __syncthreads();", "limbs[k] = 0;"),
    "groups_without_atomics": ("if (amount) atomicAdd(limb, amount);", "*limb += amount;"),
    "groups_without_barrier": (
        "{\n    __syncthreads();\n    const int n_shared",
        "{\n    const int n_shared",
    ),
    "ranks_without_atomics": ("atomicAdd(own + place, 1u);", "own[place] += 1;"),
    "counts_without_atomics": ("atomicAdd(shared + at, 1u);", "shared[at] += 1;"),
    "keys_without_compare_and_swap": (
        "there = atomicCAS(slots + slot, FREE, mine);",
        "slots[slot] = mine;",
    ),
    "keys_counted_before_the_barrier": ("amounts[k] = 0;\n    __syncthreads();", "amounts[k] = 0;"),
    "status_without_atomics": (
        "ff_atomic_or(FF_GLOBAL(i64, table[0]), status);",
        "*FF_GLOBAL(i64, table[0]) = status;",
    ),
    "slices_without_atomics": (
        "atomicOr(FF_GLOBAL(u32, bitmap) + (k >> 5), 1u << (k & 31));",
        "FF_GLOBAL(u32, bitmap)[k >> 5] |= 1u << (k & 31);",
    ),
    "scans_without_barrier": ("held[me] = own;\n    __syncthreads();", "held[me] = own;"),
    "rows_moved_without_barrier": (
        "(u64)__popc(same);\n            __syncthreads();",
        "(u64)__popc(same);",
    ),
    "counts_beyond_the_rows": ("if (counts[k + 1] != counts[k]) FF", "if (counts[k + 2]) FF"),
    "match_beyond_the_row": ("i + pattern.n <= text.n;", "i + pattern.n <= text.n + 8;"),
    "bits_by_every_thread": ("ff_write_bits(m0,", "if (live) m0[i >> 5] |= 0; ff_write_bits(m0,"),
}
"""What stands in the text of a kernel, and what is put there: a race, or a read beyond a row."""
CROSSES = "crosses"
PER_KEY, PER_KEY_UNSHARED = KEYED = ("per key", "per key, no line in shared memory")
RAGGED = "text and lists"
WINDOWED = "windows"
TEXTS = ["é", "aⱥ", "😀", "", None, "\0", "ıKß ẞ", "\u3000x\u3000", "12", "-7", "1.5e300", "x" * 99]
N_EVENTS = 600
N_TURNS = 3
"""Of the extreme rows: enough for three blocks of 64 threads."""


def plan_named(family: str) -> ff.Plan:
    """Return the plan of a family, of keys of several parts, or of aggregates per key."""
    if family in KEYED:
        return _per_key()
    if family == RAGGED:
        return _ragged()
    if family == WINDOWED:
        return _windowed()
    return _crosses() if family == CROSSES else plan_of(family)


def _ragged() -> ff.Plan:
    """Return functions of text and lists that end at the end of a row, or begin there."""
    x, numbers, flags = ff.col("text").str, ff.col("numbers").list, ff.col("flags").list
    return ff.Plan(
        {
            "chars": x.len_chars(),
            "tokens": x.token_count(),
            "lower": x.to_lowercase().str.strip_chars_end("x").hash(),
            "upper": x.to_uppercase().str.strip_chars().str.slice(-2).hash(),
            "found": x.contains("xx", literal=True) | x.ends_with("ß") | x.starts_with("é"),
            "matches": x.count_matches("xxx", literal=True),
            "integer": x.to_integer(strict=False),
            "float": x.to_float(strict=False),
            "grams": x.hash_ngrams(2, 3),
            "words": x.hash_tokens(2, seed=7),
            "sliced": numbers.slice(1).list.sum() + flags.slice(-2).list.sum(),
            "contains": numbers.contains(3),
        }
    )


def _windowed() -> ff.Plan:
    """Return functions over windows of columns of several types, and an as-of join."""
    week = ff.window(70, time="t", by="key", tie="float")
    so_far = ff.window(time="t", by=["key", "flag"], closed="right", rows=9)
    x, whole, flag = ff.col("float"), ff.col("whole"), ff.col("flag")
    return ff.Plan(
        {
            "sum": x.sum(over=week) + whole.sum(over=week),
            "std": x.std(over=so_far) + whole.var(over=so_far),
            "mean": x.mean(over=so_far),
            "ends": x.min(over=week) + whole.max(over=so_far),
            "any": flag.max(over=week),
            "picked": x.first(over=week) + x.last(over=so_far) + whole.lag(2, over=week),
            "since": ff.time_since_last(over=week),
            "rows": ff.count(over=so_far) + whole.null_count(over=week),
            "joined": ff.asof("table", time="t", by="key", tolerance=50).col("float"),
        }
    )


def _events(n: int) -> pa.Table:
    """Return rows of some entities, enough for several tiles of a sort."""
    return pa.table(
        {
            "t": pa.array([None if k % 41 == 0 else k * 7919 % 311 for k in range(n)]),
            "key": pa.array([["a", "b", None, "c"][k * 31 % 97 % 4] for k in range(n)]),
            "float": pa.array([None if k % 7 == 0 else (k * 37 % 101) / 8 for k in range(n)]),
            "whole": pa.array([None if k % 5 == 0 else k * 53 % 103 - 50 for k in range(n)]),
            "flag": pa.array([None if k % 11 == 0 else k % 3 == 0 for k in range(n)]),
        }
    )


def _crosses() -> ff.Plan:
    text, whole, number = ff.col("text"), ff.col("i64"), ff.col("f64")
    return ff.Plan(
        {
            "codes": ff.cross(text, number).ordinal_encode(max_categories=3, n_unseen_buckets=5),
            "counts": ff.cross(whole, text).count_encode(),
            "mean": number.mean(by=["text", "flag"]),
            "hashes": ff.cross(text, ff.col("i8"), ff.col("f32")).hash(),
        }
    )


def _per_key() -> ff.Plan:
    """Return aggregates per key of columns of every type."""
    features: dict[str, ff.Expr] = {}
    for name in ("f64", "f32", "i64", "i8", "flag"):
        x = ff.col(name)
        features |= {f"mean {name}": x.mean(by="text"), f"std {name}": x.std(by="flag")}
        features |= {f"min {name}": x.min(by="i8"), f"count {name}": x.count(by="text")}
        features[f"median {name}"] = x.cast("float64").median(by="text")
    return ff.Plan(features)


def inputs(family: str) -> Iterator[tuple[Any, Any]]:
    """Yield what is learnt from, and the rows that are computed."""
    if family == RAGGED:
        rows = pa.table(
            {
                "text": pa.chunked_array([TEXTS * 20, TEXTS[::-1]], pa.string()),
                "numbers": pa.array([[1, None, 3], [], None] * 84, pa.list_(pa.int16())),
                "flags": pa.array([[], [True], [False, None, True]] * 84, pa.list_(pa.bool_())),
            }
        )
        yield rows, rows.slice(7)
        return
    if family == WINDOWED:
        yield _events(20), _events(N_EVENTS)
        return
    small, extreme = small_table(), extreme_table()
    many = pa.concat_tables([extreme] * N_TURNS).combine_chunks()
    yield small, many
    if family in KEYED:
        yield many, small
    yield pa.concat_tables([small] * 20).combine_chunks().slice(5), many.slice(13, 70)
    yield missing_table(3), missing_table(70).slice(33)


def digest_of(family: str, backend: str) -> str:
    """Return a digest of what a backend learns and computes."""
    found, plan = hashlib.sha256(), plan_named(family)
    tables = {"table": _events(N_EVENTS // 2)} if family == WINDOWED else None
    for train, rows in inputs(family):
        fitted = plan.fit(train, tables=tables, backend=backend)
        found.update(repr(fitted.learnt()).encode())
        result = fitted.transform(rows, tables=tables, backend=backend)
        for name in result.column_names:
            found.update(repr((name, bits_of(result[name]))).encode())
    return found.hexdigest()[:16]


class Faulty(EmulatedRuntime):
    """A device whose kernels have a fault."""

    fault = "none"

    def module(self, text: str) -> Module:
        """Return the kernels of a text, with the fault."""
        sound, faulty = FAULTS[self.fault]
        return super().module(text.replace(sound, faulty) if sound else text)


def main(sanitizer: str, order: str, fault: str, families: list[str]) -> None:
    """Run families under a sanitizer, which reports to the standard error."""
    assert sanitizer == "address" or sanitizer == "thread"
    warnings.simplefilter("ignore")
    geometry = Geometry(block=64, most_blocks=2, rows_per_thread=1)
    runtime = Faulty(cast(ThreadOrder, order), sanitizer=sanitizer, geometry=geometry)
    runtime.fault = fault
    with emulated.use_runtime(runtime):
        for family in families:
            limit = 0 if family == PER_KEY_UNSHARED else SHARED_LIMIT
            grouped_scan.SHARED_LIMIT = grouped_ranks.SHARED_LIMIT = limit
            print(family, digest_of(family, "emulated"), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
