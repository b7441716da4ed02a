"""Encoders, hashes, learnt keys and texts in exported C: the bits of `transform`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat_tests.export.compiled_exports import STRICT, assert_same_bits, compiled

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler"),
    pytest.mark.filterwarnings("ignore::fastfeat.errors.FastfeatWarning"),
]
WORDS = ["a", "bb", "ccc", "", "größe", "zz", "a text of more than thirty-two bytes, for lanes"]
SANITIZED = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")


def keyed_rows(n_rows: int, seed: int) -> pa.Table:
    drawn = np.random.default_rng(seed)

    def some(values: Any, kind: Any = None) -> Any:
        return pa.array(values, kind, mask=drawn.random(n_rows) < 0.1)

    def words() -> Any:
        return some([WORDS[k] for k in drawn.integers(0, len(WORDS), n_rows)])

    return pa.table(
        {
            "s": words(),
            "s2": words(),
            "i": some(drawn.integers(-5, 20, n_rows)),
            "x": some(drawn.integers(-3, 3, n_rows) / 2),
            "y": drawn.normal(size=n_rows),
            "flag": some(drawn.random(n_rows) < 0.5),
            "day": some(drawn.integers(0, 30, n_rows), pa.int32()).cast(pa.date32()),
            "label": drawn.integers(0, 2, n_rows),
        }
    )


def keyed_plan() -> ff.Plan:
    s, i, x, y, flag = col("s"), col("i"), col("x"), col("y"), col("flag")
    return ff.Plan(
        {
            "text": s.ordinal_encode(),
            "whole": i.ordinal_encode(min_frequency=60),
            "float": x.ordinal_encode(),
            "flags": flag.ordinal_encode(),
            "days": col("day").ordinal_encode(),
            "listed": s.ordinal_encode(vocabulary=["a", "bb"]),
            "one_hot": s.one_hot_encode(),
            "count": s.count_encode(),
            "cross": ff.cross(s, i).ordinal_encode(),
            "unseen": s.ordinal_encode(n_unseen_buckets=5, max_categories=3),
            "unseen_cross": ff.cross(s, i).ordinal_encode(n_unseen_buckets=5, max_categories=3),
            "target": s.target_encode("label", folds=3),
            "less_mean": y - y.mean(by="s"),
            "spread": y.std(by=["s", "i"]),
            "hash": s.hash(n_buckets=100),
            "hash_whole": i.hash(n_buckets=10),
            "hash_cross": ff.cross(s, x, i).hash(n_buckets=1000),
            "equal": s == "bb",
            "among": s.is_in(["a", "zz"]),
            "same": s == col("s2"),
            "is_null": s.is_null(),
            "filled": s.fill_null("a").ordinal_encode(),
            "chosen": ff.when(flag).then(s).otherwise(ff.lit("zz")).ordinal_encode(),
            "bytes": s.str.len_bytes(),
            "characters": s.str.len_chars(),
            "starts": s.str.starts_with("b"),
            "ends": s.str.ends_with("e"),
            "contains": s.str.contains("text", literal=True),
        },
        label="label",
    )


@pytest.mark.parametrize("options", [(), SANITIZED])
def test_keys_have_the_bits_of_transform(options: tuple[str, ...], tmp_path: Path) -> None:
    fitted = keyed_plan().fit(keyed_rows(1000, 3))
    export = fitted.export("c", tmp_path, name="keys")
    library = compiled(export, (*STRICT, *options))
    assert library.selftest().code == 0
    assert assert_same_bits(fitted, library, keyed_rows(5000, 4)) == 5000


def test_text_that_is_not_utf8_is_an_error_of_its_row_and_input(tmp_path: Path) -> None:
    fitted = ff.Plan({"n": col("s").str.len_bytes()}).fit({"s": ["a", "é"]})
    library = compiled(fitted.export("c", tmp_path))
    for wrong in (b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\x80"):
        rows = pa.table({"s": pa.array([b"fine", "größe".encode(), wrong])})
        out, failure = library.batch(rows)
        assert (failure.code, failure.input, failure.row) == (5, 0, 2), wrong
        assert out[:2, 0].tolist() == [4.0, 7.0]


def test_a_vocabulary_too_large_is_refused_by_name(tmp_path: Path) -> None:
    keys = np.arange(600_000)
    fitted = ff.Plan({"code": col("k").ordinal_encode()}).fit({"k": keys})
    with pytest.raises(ff.errors.NotExportable, match=r"'code'.*4,800,000 bytes"):
        fitted.export("c", tmp_path)
