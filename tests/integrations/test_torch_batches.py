"""Features of a plan as tensors, in one process: what batches hold, epochs, states, arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch

pytestmark = pytest.mark.large
torch: Any = pytest.importorskip("torch")
integration: Any = pytest.importorskip("fastfeat.integrations.torch")
FeatureBatches, FeatureLoader = integration.FeatureBatches, integration.FeatureLoader
embedding_sizes = integration.embedding_sizes

N = 500
RNG = np.random.default_rng(0)
TABLE = pa.table(
    {
        "id": np.arange(N),
        "x": pa.array(RNG.normal(size=N), mask=np.arange(N) % 7 == 3),
        "city": RNG.choice(["Bern", "Basel", "Chur"], N),
        "tags": [list(RNG.choice(["a", "b", "c"], k)) for k in RNG.integers(0, 4, N)],
        "y": RNG.integers(0, 2, N),
    }
)
PLAN = ff.Plan(
    {
        "x": col("x").standard_scale(),
        "city": col("city").ordinal_encode(),
        "tag": col("tags").list.ordinal_encode(width=3),
    },
    label={"y": col("y") > 0},
    keep=["id"],
)
FITTED = PLAN.fit(TABLE)


def batches(**options: Any) -> Any:
    return FeatureBatches(FITTED, TABLE, 64, piece_rows=100, **options)


def ids(loader: Any) -> list[list[int]]:
    return [batch["keep"]["id"].tolist() for batch in loader]


def test_batches_are_dicts_of_tensors() -> None:
    made = batches(bags=["tag"], keep=["id", "city"], shuffle=False)
    first = next(iter(made))
    assert list(first) == ["dense", "codes", "bags", "keep", "label"]
    assert (first["dense"].dtype, tuple(first["dense"].shape)) == (torch.float32, (64, 1))
    assert (first["codes"].dtype, tuple(first["codes"].shape)) == (torch.int64, (64, 1))
    assert (first["label"].dtype, tuple(first["label"].shape)) == (torch.float32, (64,))
    assert first["keep"]["city"] == TABLE["city"].to_pylist()[:64]
    assert torch.equal(first["keep"]["id"], torch.arange(64))
    expected = FITTED.transform(TABLE)
    assert torch.isnan(first["dense"][3, 0])
    dense = expected["x"].cast("float32").to_numpy()[:64]
    np.testing.assert_array_equal(first["dense"][:, 0].numpy(), dense)
    np.testing.assert_array_equal(first["codes"][:, 0].numpy(), expected["city"].to_numpy()[:64])
    assert (made.n_rows, made.n_batches, made.dense_names) == (N, 8, ["x"])
    assert repr(made) == "FeatureBatches(500 rows, 8 batches of 64: 1 number, 4 codes, label)"


def test_bags_are_what_embedding_bags_take() -> None:
    made = batches(bags=["tag"], shuffle=False)
    layer = torch.nn.EmbeddingBag(made.n_bag_codes["tag"], 4, mode="sum")
    tags = FITTED.transform(TABLE)
    codes = np.column_stack([tags[f"tag_{k}"].to_numpy() for k in range(3)])
    for k, batch in enumerate(made):
        bag = batch["bags"]["tag"]
        assert (bag["codes"].dtype, bag["offsets"].dtype) == (torch.int64, torch.int64)
        found = layer(bag["codes"], bag["offsets"])
        rows = codes[64 * k : 64 * (k + 1)]
        expected = [layer.weight[row[row != 0]].sum(0) for row in rows]
        torch.testing.assert_close(found, torch.stack(expected))


def test_a_matrix_comes_alone_or_with_its_label() -> None:
    matrix, label = next(iter(batches(form="matrix")))
    assert tuple(matrix.shape) == (64, 5)
    assert tuple(label.shape) == (64,)
    matrix = next(iter(batches(form="matrix", label=False, dtype="float64")))
    assert matrix.dtype == torch.float64


def test_tensors_own_their_memory() -> None:
    """What a loop writes into a batch is not in the next epoch."""
    _, features = PLAN.fit_transform(TABLE)
    for made in (batches(), FeatureBatches.of_features(FITTED, features, 64, label=TABLE["y"])):
        first = [batch["dense"].clone() for batch in made]
        for batch in made:
            batch["dense"].zero_()
            batch["label"].zero_()
            batch["keep"]["id"].zero_()
        for batch, before in zip(made, first, strict=True):
            assert torch.equal(batch["dense"].nan_to_num(), before.nan_to_num())


def test_sizes_of_embeddings_are_of_codes_and_bags() -> None:
    made = batches(bags=["tag"])
    assert made.n_codes == {"city": 5}
    assert embedding_sizes(made) == {"city": (5, 4), "tag": (5, 4)}
    assert embedding_sizes(FITTED)["tag_2"] == (5, 4)
    assert embedding_sizes({"a": 10**6}, widest=50) == {"a": (10**6, 50)}
    for batch in made:
        assert batch["codes"].max() < 5
    with pytest.raises(TypeMismatch, match="takes FeatureBatches, a fitted plan"):
        embedding_sizes([3])


def test_a_model_with_embeddings_learns() -> None:
    torch.manual_seed(0)
    data = {"c": list("abcd") * 200, "y": [0.0, 1.0, 1.0, 0.0] * 200}
    plan = ff.Plan({"c": col("c").ordinal_encode()}, label="y")
    loader = FeatureBatches(plan.fit(data), data, 50, piece_rows=100).loader()
    (size,) = embedding_sizes(loader.batches).values()
    model = torch.nn.Sequential(torch.nn.Embedding(*size), torch.nn.Linear(size[1], 1))
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    loss = torch.tensor(1.0)
    for _ in range(6):
        for batch in loader:
            optimizer.zero_grad()
            out = model(batch["codes"][:, 0])[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(out, batch["label"])
            loss.backward()
            optimizer.step()
    assert loader.epoch == 5
    assert loss.item() < 0.1


def test_each_pass_is_an_epoch_and_one_broken_off_is_over() -> None:
    loader = batches().loader()
    assert iter(loader) is not None  # nothing was taken: no epoch is over
    first, second = ids(loader), ids(loader)
    assert first != second
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(N))
    assert loader.epoch == 1
    next(iter(loader))
    assert loader.epoch == 2
    third = ids(loader)
    assert loader.epoch == 3
    loader.set_epoch(1)
    assert ids(loader) == second
    loader.set_epoch(3)
    assert ids(loader) == third
    assert ids(FeatureBatches(FITTED, TABLE, 64, piece_rows=100)) == first
    other = batches()
    other.set_epoch(1)
    assert ids(torch.utils.data.DataLoader(other, batch_size=None)) == second


def test_a_loader_goes_on_where_its_state_was() -> None:
    loader = batches().loader()
    epochs = [ids(loader) for _ in range(2)]
    loader = batches().loader()
    ids(loader)
    for k, _ in enumerate(loader):
        if k == 4:
            break
    state = json.loads(json.dumps(loader.state_dict()))
    assert (state["epoch"], state["batches"]) == (1, 5)
    other = batches().loader()
    other.load_state_dict(state)
    other.set_epoch(1)  # as trainers do before each epoch
    assert ids(other) == epochs[1][5:]
    assert ids(other) == ids_of_epoch(2)
    at_end = other.state_dict()
    assert (at_end["epoch"], at_end["batches"]) == (3, 0)


def ids_of_epoch(epoch: int) -> list[list[int]]:
    loader = batches().loader()
    loader.set_epoch(epoch)
    return ids(loader)


def test_a_state_of_another_loader_is_refused() -> None:
    state = batches().loader().state_dict()
    with pytest.raises(InvalidData, match="num_workers was 0, and is now 1"):
        batches().loader(num_workers=1).load_state_dict(state)
    with pytest.raises(InvalidData, match="world_size was 1, and is now 2"):
        batches(rank=0, world_size=2).loader().load_state_dict(state)
    with pytest.raises(InvalidData, match="seed was 0, and is now 1"):
        batches(seed=1).loader().load_state_dict(state)
    with pytest.raises(InvalidData, match="not a state of a FeatureLoader"):
        batches().loader().load_state_dict({"epoch": 1})


def test_a_later_pass_ends_an_earlier_one() -> None:
    loader = batches().loader()
    earlier = iter(loader)
    next(earlier)
    later = iter(loader)
    next(later)
    with pytest.raises(RuntimeError, match="a later pass over the loader has started"):
        next(earlier)
    assert len([*later]) == len(loader) - 1


def test_ranks_have_equally_many_batches_where_that_is_asked(monkeypatch: Any) -> None:
    def of_ranks(even: str | None) -> list[list[list[int]]]:
        return [
            ids(FeatureBatches(FITTED, TABLE.slice(0, 129), 64, rank=k, world_size=2, even=even))
            for k in range(2)
        ]

    assert [len(rank) for rank in of_ranks("pad")] == [2, 2]
    assert [len(rank) for rank in of_ranks("drop")] == [1, 1]
    assert sorted(map(len, of_ranks(None))) == [1, 2]
    assert sorted(chain(*chain(*of_ranks(None)))) == list(range(129))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert ids(FeatureBatches(FITTED, TABLE.slice(0, 129), 64)) == of_ranks(None)[1]


def test_pinned_memory_is_for_cards() -> None:
    assert batches().loader()._options["pin_memory"] is torch.cuda.is_available()
    assert batches().loader(pin_memory=True)._options["pin_memory"] is True


@pytest.mark.parametrize(
    ("make", "kind", "told"),
    [
        (lambda: FeatureBatches(PLAN, TABLE), TypeMismatch, "Write FeatureBatches(plan.fit(train)"),
        (lambda: FeatureBatches(FITTED), TypeMismatch, "lacks data="),
        (lambda: batches(bach=3), TypeMismatch, "has no parameter 'bach'"),
        (lambda: batches(form="list"), InvalidPlan, "form='list'"),
        (lambda: batches(dtype="float16"), InvalidPlan, "dtype='float16'"),
        (lambda: batches(even="odd"), InvalidPlan, "takes 'pad' or 'drop'"),
        (lambda: batches(keep="id"), InvalidPlan, "keep must be a list of column names, got 'id'"),
        (lambda: batches(bags="tag"), InvalidPlan, "bags must be a list of column names"),
        (lambda: batches(codes=["city"]), TypeMismatch, "codes= takes the number of codes"),
        (lambda: batches(tables=TABLE), TypeMismatch, "tables= must be a dict of tables by name"),
        (lambda: batches(seed=-1), InvalidPlan, "seed=-1"),
        (lambda: batches(mix=0), InvalidPlan, "mix=0"),
        (lambda: batches(shuffle="no"), InvalidPlan, "shuffle='no'"),
        (lambda: FeatureBatches(FITTED, TABLE, 0), InvalidPlan, "batch_size=0"),
        (lambda: batches(rank=1), InvalidPlan, "pass both"),
        (lambda: batches(rank=2, world_size=2), InvalidPlan, "from 0 to 1"),
        (lambda: batches().loader(num_workers=-1), InvalidPlan, "num_workers=-1"),
        (lambda: batches().loader(num_workers=1, context="thread"), InvalidPlan, "'forkserver'"),
        (lambda: batches().loader(workers=2), TypeMismatch, "has no parameter 'workers'"),
        (lambda: batches().loader(pin_memory="yes"), InvalidPlan, "pin_memory='yes'"),
        (lambda: batches().set_epoch(-1), InvalidPlan, "epoch=-1"),
        (lambda: FeatureLoader(TABLE), TypeMismatch, "takes FeatureBatches, got Table"),
        (
            lambda: FeatureBatches(FITTED, lambda: [TABLE]).loader(num_workers=1, context="spawn"),
            InvalidPlan,
            "Define it at the top of a module",
        ),
    ],
)
def test_what_is_wrong_is_told(make: Callable[[], Any], kind: Any, told: str) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        make()


def test_examples_in_docstrings_run() -> None:
    import doctest
    from importlib import import_module
    from pkgutil import iter_modules

    attempted = 0
    for module in iter_modules(integration.__path__, "fastfeat.integrations.torch."):
        found = import_module(module.name)
        result = doctest.testmod(found, extraglobs={"ff": ff, "col": col})
        assert result.failed == 0, module.name
        attempted += result.attempted
    assert attempted > 0
