"""Batches from worker processes: each row once, in any context, resumed, and after a death."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData

pytestmark = pytest.mark.large
torch: Any = pytest.importorskip("torch")
integration: Any = pytest.importorskip("fastfeat.integrations.torch")
FeatureBatches = integration.FeatureBatches

N = 2000
TABLE = pa.table(
    {
        "id": np.arange(N),
        "x": np.random.default_rng(0).normal(size=N),
        "city": np.random.default_rng(1).choice(["Bern", "Basel", "Chur"], N),
        "y": np.random.default_rng(2).integers(0, 2, N),
    }
)
PLAN = ff.Plan(
    {"x": col("x").standard_scale(), "city": col("city").ordinal_encode()}, label="y", keep=["id"]
)
FITTED = PLAN.fit(TABLE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a Parquet file of ten row groups."""
    pq.write_table(TABLE, tmp_path / "rows.parquet", row_group_size=200)
    return tmp_path / "rows.parquet"


def ids(loader: Any) -> list[list[int]]:
    return [batch["keep"]["id"].tolist() for batch in loader]


def open_reader() -> Iterator[pa.RecordBatch]:
    """Return a reader, as a function at the top of a module does, which pickle finds."""
    return iter(TABLE.to_batches(max_chunksize=300))


def check_rows(batches: list[dict[str, Any]]) -> None:
    """Check that each row came once, with its features and label."""
    order = np.argsort(np.concatenate([batch["keep"]["id"] for batch in batches]))
    found = {
        key: torch.cat([batch[key] for batch in batches]).numpy()[order]
        for key in ("dense", "codes", "label")
    }
    assert len(order) == N
    expected = FITTED.transform(TABLE)
    np.testing.assert_array_equal(found["dense"][:, 0], expected["x"].cast("float32"))
    np.testing.assert_array_equal(found["codes"][:, 0], expected["city"])
    np.testing.assert_array_equal(found["label"], TABLE["y"])


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", ["table", "file", "reader", "ready"])
def test_each_row_comes_once_from_forked_workers(
    num_workers: int, shuffle: bool, kind: str, path: Path
) -> None:
    if kind == "ready":
        made = ready(shuffle=shuffle)
    else:
        data = {"table": TABLE, "file": path, "reader": open_reader}[kind]
        made = FeatureBatches(FITTED, data, 64, piece_rows=150, shuffle=shuffle)
    loader = made.loader(num_workers=num_workers, context="fork")
    batches = list(loader)
    assert [len(batch["dense"]) for batch in batches] == [64] * 31 + [16]
    check_rows(batches)
    if not shuffle:
        assert list(chain(*[batch["keep"]["id"].tolist() for batch in batches])) == list(range(N))
    else:
        again = list(loader)
        check_rows(again)
        assert again[0]["keep"]["id"].tolist() != batches[0]["keep"]["id"].tolist()


def ready(**options: Any) -> Any:
    """Return batches of features that are in memory."""
    features = PLAN.fit_transform(TABLE)[1]
    return FeatureBatches.of_features(FITTED, features, 64, label=TABLE["y"], **options)


@pytest.mark.parametrize(("context", "kind"), [("forkserver", "ready"), ("spawn", "file")])
def test_each_row_comes_once_from_workers_that_begin_anew(
    context: str, kind: str, path: Path
) -> None:
    """Two workers of one rank; the other has the rest of the rows."""
    ranks = [{"rank": rank, "world_size": 2} for rank in range(2)]
    first, second = (
        ready(**of) if kind == "ready" else FeatureBatches(FITTED, path, 64, **of) for of in ranks
    )
    loader = first.loader(num_workers=2, context=context)
    batches = list(loader)
    assert len(batches) == len(loader) == 16
    check_rows([*batches, *second])
    assert ids(loader) != [batch["keep"]["id"].tolist() for batch in batches]


@pytest.mark.parametrize("data", [TABLE, open_reader])
def test_pickled_batches_give_each_row_once(data: Any) -> None:
    made = FeatureBatches(FITTED, data, 64, piece_rows=150)
    check_rows(list(pickle.loads(pickle.dumps(made))))


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_loader_with_workers_goes_on_after_the_batches_that_it_gave(
    world_size: int, path: Path
) -> None:
    """Not after those that workers have made ahead, and with the same workers alive."""

    def loader_of(rank: int) -> Any:
        made = FeatureBatches(FITTED, path, 64, rank=rank, world_size=world_size, even="pad")
        return made.loader(num_workers=2, context="fork", prefetch_factor=4)

    for rank in range(world_size):
        loader = loader_of(rank)
        first, second, third = ids(loader), ids(loader), ids(loader)
        for n in (3, len(first)):
            loader = loader_of(rank)
            ids(loader)
            taken = ids(islice(loader, n))
            assert taken == second[:n]
            state = loader.state_dict()
            for other in (loader, loader_of(rank)):
                other.load_state_dict(state)
                if n < len(first):
                    assert ids(other) == second[n:]
                assert ids(other) == third
        with pytest.raises(InvalidData, match="num_workers was 2, and is now 1"):
            FeatureBatches(FITTED, path, 64, rank=rank, world_size=world_size, even="pad").loader(
                num_workers=1
            ).load_state_dict(state)


def test_epochs_reach_workers_that_stay_alive_in_a_loader_of_torch(path: Path) -> None:
    made = FeatureBatches(FITTED, path, 64)
    loader = torch.utils.data.DataLoader(
        made,
        batch_size=None,
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context="fork",
    )
    of_epochs: list[list[list[int]]] = []
    for epoch in (0, 1, 0):
        made.set_epoch(epoch)
        of_epochs.append(ids(loader))
    assert of_epochs[0] == of_epochs[2] != of_epochs[1]
    assert sorted(chain(*of_epochs[1])) == list(range(N))


def n_threads() -> Iterator[dict[str, Any]]:
    """Yield a row that says how many threads kernels use in this process."""
    yield {"n": [float(ff.num_threads())]}


def test_a_worker_has_one_thread() -> None:
    fitted = ff.Plan({"n": col("n")}).fit({"n": [1.0]})
    made = FeatureBatches(fitted, n_threads)
    (batch,) = made.loader(num_workers=1, context="fork")
    assert batch["dense"].tolist() == [[1.0]]
    (batch,) = made.loader()
    assert batch["dense"].tolist() == [[float(ff.num_threads())]]


def dying_reader() -> Iterator[pa.Table]:
    """Yield rows; where the file that a variable names is there, a worker is killed on its way."""
    yield TABLE.slice(0, 1000)
    if torch.utils.data.get_worker_info() is not None and os.path.exists(os.environ["DIES"]):
        os.kill(os.getpid(), signal.SIGKILL)
    yield TABLE.slice(1000)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_is_killed_ends_the_loop_and_the_loader_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "dies"
    monkeypatch.setenv("DIES", str(flag))
    expected = ids(FeatureBatches(FITTED, dying_reader, 64, mix=1).loader(num_workers=1))
    loader = FeatureBatches(FITTED, dying_reader, 64, mix=1).loader(num_workers=1)
    flag.touch()
    found: list[list[int]] = []
    with pytest.raises(RuntimeError, match=r"DataLoader worker .*(exited|killed)") as caught:
        found.extend(batch["keep"]["id"].tolist() for batch in loader)
    assert any("loader.load_state_dict(loader.state_dict())" in n for n in caught.value.__notes__)
    flag.unlink()
    loader.load_state_dict(loader.state_dict())
    found += ids(loader)
    assert found == expected


def test_an_error_in_a_worker_keeps_its_kind(path: Path) -> None:
    loader = FeatureBatches(FITTED, path, 64).loader(num_workers=2, context="fork")
    ids(loader)
    pq.write_table(TABLE.slice(0, 100), path)
    with pytest.raises(InvalidData, match=r"rows\.parquet was rewritten"):
        ids(loader)


def train(rank: int, folder: str) -> None:
    """Train a model in one of two processes, as DistributedDataParallel does, and note its rows."""
    torch.set_num_threads(1)
    file = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=file, rank=rank, world_size=2)
    part = TABLE.slice(0, 1985)  # 992 and 993 rows: 31 and 32 batches of 32
    loader = FeatureBatches(FITTED, part, 32, even="pad").loader(num_workers=1, context="fork")
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
    seen: list[int] = []
    for _ in range(2):
        for batch in loader:
            model(batch["dense"]).sum().backward()
            seen += batch["keep"]["id"].tolist()
    np.save(f"{folder}/{rank}.npy", seen)
    torch.distributed.destroy_process_group()


def test_two_ranks_train_one_model(tmp_path: Path) -> None:
    torch.multiprocessing.start_processes(train, (str(tmp_path),), nprocs=2, start_method="fork")
    seen = [np.load(tmp_path / f"{rank}.npy") for rank in range(2)]
    assert len(seen[0]) == len(seen[1]) == 2 * 993
    for epoch in (slice(0, 993), slice(993, None)):
        assert set(np.concatenate([rank[epoch] for rank in seen])) == set(range(1985))
