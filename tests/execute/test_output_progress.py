"""Progress of an output: rows, bytes, rate and the time that is left, on one line."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.progress import rate_text


def test_an_output_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    @contextmanager
    def doing(text: str) -> Generator[Any]:
        told.append(text)
        yield told.append

    monkeypatch.setattr("fastfeat.execute.to_files.show_progress", doing)
    fitted = ff.Plan({"y": col("x") * 2.0}).fit({"x": [1.0]})
    fitted.transform_to({"x": [0.5] * 3_000}, tmp_path / "out", part_rows=1_000)
    out = tmp_path / "out"
    assert told[0] == f"writing {out}"
    counts = [text.removeprefix(f"writing {out}, ").split(" rows")[0] for text in told[1:]]
    assert counts == ["1,000 of 3,000", "2,000 of 3,000", "3,000 of 3,000"]
    assert "0 s left" in told[-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((0, None, 0, 0.0), "0 rows, 0 MiB"),
        ((10, None, 3 << 20, 2.0), "10 rows, 3 MiB, 2 MiB/s"),
        ((10, 1_000, 1 << 20, 4.0), "10 of 1,000 rows, 1 MiB, 0 MiB/s, 7 min left"),
        ((50, 100, 1 << 20, 4.0, 40), "50 of 100 rows, 1 MiB, 0 MiB/s, 20 s left"),
    ],
)
def test_a_rate_is_told_of_what_was_done_now(arguments: Any, told: str) -> None:
    assert rate_text(*arguments) == told
