"""Lightning's trainer over batches of a plan: epochs, and a checkpoint in the middle of one."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col

pytestmark = [
    pytest.mark.large,
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning's own, of torch 2.13
]
torch: Any = pytest.importorskip("torch")
lightning: Any = pytest.importorskip("lightning")
integration: Any = pytest.importorskip("fastfeat.integrations.torch")

N = 1000
ROWS = pa.table(
    {
        "id": np.arange(N),
        "x": np.random.default_rng(0).normal(size=N),
        "city": np.random.default_rng(1).choice(["Bern", "Basel"], N),
        "y": np.random.default_rng(2).integers(0, 2, N).astype(float),
    }
)


def data_module() -> Any:
    """Return the data module that the documentation shows."""
    text = textwrap.dedent(integration.__doc__)
    code = textwrap.dedent(text[text.index("    class Flights(") :])
    names: dict[str, Any] = {"lightning": lightning, "FeatureBatches": integration.FeatureBatches}
    exec(code, names)
    return names["Flights"]


class Model(lightning.LightningModule):
    """A layer of embeddings and a linear one, which notes the rows that it sees."""

    def __init__(self, sizes: dict[str, tuple[int, int]], stops_after: int = 10**9) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Embedding(*size) for size in sizes.values()])
        self.linear = torch.nn.Linear(1 + sum(width for _, width in sizes.values()), 1)
        self.seen: list[tuple[int, list[int]]] = []
        self.validated: list[int] = []
        self.stops_after = stops_after

    def forward(self, batch: dict[str, Any]) -> Any:
        embedded = [of(batch["codes"][:, k]) for k, of in enumerate(self.layers)]
        return self.linear(torch.cat([batch["dense"], *embedded], dim=1))[:, 0]

    def training_step(self, batch: dict[str, Any], _: int) -> Any:
        self.seen.append((self.current_epoch, batch["keep"]["id"].tolist()))
        if len(self.seen) == self.stops_after:
            self.trainer.save_checkpoint(self.trainer.default_root_dir + "/middle.ckpt")
            raise KeyboardInterrupt
        return torch.nn.functional.binary_cross_entropy_with_logits(self(batch), batch["label"])

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        self.validated += batch["keep"]["id"].tolist()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


def trainer(folder: Path, **options: Any) -> Any:
    return lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(folder),
        **options,
    )


@pytest.fixture
def flights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
        pq.write_table(ROWS, tmp_path / folder / "rows.parquet", row_group_size=150)
    monkeypatch.chdir(tmp_path)
    plan = ff.Plan(
        {"x": col("x").standard_scale(), "city": col("city").ordinal_encode()},
        label="y",
        keep=["id"],
    )
    return data_module()(plan.fit(ROWS))


def test_a_trainer_sees_each_row_once_an_epoch(flights: Any, tmp_path: Path) -> None:
    model = Model(integration.embedding_sizes(flights.fitted))
    trainer(tmp_path, max_epochs=3, num_sanity_val_steps=1).fit(model, flights)
    assert [epoch for epoch, _ in model.seen] == [0] * 10 + [1] * 10 + [2] * 10
    of_epochs = [[i for e, rows in model.seen if e == k for i in rows] for k in range(3)]
    assert all(sorted(rows) == list(range(N)) for rows in of_epochs)
    assert len({tuple(rows) for rows in of_epochs}) == 3
    assert model.validated[-N:] == list(range(N))
    assert len(model.validated) == 3 * N + 100


def test_a_checkpoint_in_an_epoch_goes_on_with_the_rows_not_seen(
    flights: Any, tmp_path: Path
) -> None:
    sizes = integration.embedding_sizes(flights.fitted)
    whole = Model(sizes)
    trainer(tmp_path, max_epochs=3).fit(whole, flights)
    broken = Model(sizes, stops_after=14)
    with pytest.raises(SystemExit):
        trainer(tmp_path, max_epochs=3).fit(broken, flights)
    resumed = Model(sizes)
    trainer(tmp_path, max_epochs=3).fit(
        resumed, flights, ckpt_path=tmp_path / "middle.ckpt", weights_only=False
    )
    assert broken.seen == whole.seen[:14]
    assert resumed.seen == whole.seen[14:]
