"""The benchmark of growing data: its rows, and a row of its table."""

from __future__ import annotations

import pytest

from bench import growth


def test_rows_are_as_many_as_asked() -> None:
    sizes = [batch.num_rows for batch in growth.batches(300_000, 3)]
    assert sizes == [125_000, 125_000, 50_000]


@pytest.mark.parametrize("kind", growth.SIZES)
def test_a_size_is_measured(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "BUDGET", "64GiB")
    cells = growth.measure(kind, 1_000).strip("| ").split(" | ")
    assert cells[:2] == [kind, "0 M"]
    assert len(cells) == 6
