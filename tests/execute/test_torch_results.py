"""`to="torch"`: the features as a tensor, row after row in memory, and tensors to write to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch

torch: Any = pytest.importorskip("torch")
pytestmark = pytest.mark.large

N_ROWS = 300
_rng = np.random.default_rng(5)
ROWS = {
    "x": np.where(_rng.random(N_ROWS) < 0.2, np.nan, _rng.normal(size=N_ROWS)),
    "i": _rng.integers(0, 9, N_ROWS),
    "y": _rng.integers(0, 2, N_ROWS),
}
FEATURES = {
    "double": col("x") * 2,
    "above": col("x") > 0,
    "code": col("i").ordinal_encode(),
    **{f"f{k}": col("x") + k for k in range(9)},
}
FITTED = {dtype: ff.Plan(FEATURES, dtype=dtype).fit(ROWS) for dtype in ("float32", "float64")}


def same(tensor: Any, matrix: np.ndarray) -> bool:
    """Return whether a tensor has the bits of a matrix."""
    return tensor.numpy().tobytes() == matrix.tobytes()


@pytest.mark.parametrize("n_rows", [0, 1, N_ROWS])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", FITTED)
def test_a_tensor_is_the_matrix_row_after_row(dtype, backend, n_rows):
    data = {name: values[:n_rows] for name, values in ROWS.items()}
    expected = FITTED[dtype].transform(data, to="numpy")
    tensor = FITTED[dtype].transform(data, to="torch", backend=backend)
    assert tensor.dtype == getattr(torch, dtype)
    assert tensor.shape == expected.shape
    assert tensor.is_contiguous()
    assert same(tensor, expected)
    tensor += 1  # it is not read-only


@pytest.mark.filterwarnings("ignore::fastfeat.errors.RowsWithoutLabel")
@pytest.mark.parametrize("rows", [None, list(range(0, N_ROWS, 3))], ids=["all", "some"])
def test_training_rows_come_as_a_tensor(rows):
    data = {**ROWS, "t": np.arange(N_ROWS).astype("M8[D]")}
    late = ff.count(over=ff.ahead("20d", by="i", time="t")) > 2
    encoded = {"rate": col("i").target_encode("late", fold_by=["i"]), "x": col("x")}
    for plan in (
        ff.Plan(encoded, label={"late": late}),
        ff.Plan({**FEATURES, "rate": col("i").target_encode("y")}, label="y"),
    ):
        expected = plan.fit_transform(data, rows=rows, to="numpy")[1]
        tensor = plan.fit_transform(data, rows=rows, to="torch")[1]
        assert tensor.is_contiguous()
        assert same(tensor, expected)


def test_a_tensor_that_is_given_is_written():
    fitted, n_features = FITTED["float32"], len(FEATURES)
    expected = fitted.transform(ROWS, to="numpy")
    wide = torch.full((N_ROWS, 2 * n_features), 7.0)
    for out in (torch.empty(N_ROWS, n_features), torch.empty(n_features, N_ROWS).T, wide[:, ::2]):
        assert fitted.transform(ROWS, to="torch", out=out) is out
        assert same(out, expected)
    assert (wide[:, 1::2] == 7.0).all()


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (np.empty((N_ROWS, 12), np.float32), TypeMismatch, "must be a torch tensor for to='torch'"),
        (torch.empty(N_ROWS, 3), InvalidData, "must have shape"),
        (torch.empty(N_ROWS, 12, dtype=torch.float64), InvalidData, "got .* and float64"),
        (torch.empty(N_ROWS, 12, requires_grad=True), TypeMismatch, "requires_grad=True"),
        (torch.empty(N_ROWS, 12, device="meta"), TypeMismatch, "on meta"),
        (torch.empty(N_ROWS, 12).to_sparse(), TypeMismatch, "of layout torch.sparse_coo"),
        (torch.empty(N_ROWS, 1).expand(N_ROWS, 12), InvalidData, "must not overlap itself"),
    ],
)
def test_a_tensor_that_cannot_take_the_features_is_refused(out, error, message):
    with pytest.raises(error, match=message):
        FITTED["float32"].transform(ROWS, to="torch", out=out)


def test_a_tensor_for_an_array_and_categories_are_refused():
    with pytest.raises(TypeMismatch, match="must be a NumPy array, got Tensor"):
        FITTED["float32"].transform(ROWS, to="numpy", out=torch.empty(N_ROWS, 12))
    with pytest.raises(InvalidPlan, match="categories=True is for"):
        FITTED["float32"].transform(ROWS, to="torch", categories=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_tensor_has_the_small_type_of_the_plan(dtype: str) -> None:
    fitted = ff.Plan({"x": col("x"), "y": col("x") * 3}, dtype=dtype).fit(ROWS)
    found = fitted.transform(ROWS, to="torch")
    kind = getattr(torch, dtype)
    assert found.dtype is kind
    assert torch.equal(found[:, 0].nan_to_num(7), torch.tensor(ROWS["x"]).to(kind).nan_to_num(7))
    out = torch.empty(found.shape, dtype=kind)
    assert fitted.transform(ROWS, to="torch", out=out) is out
    assert torch.equal(out.nan_to_num(7), found.nan_to_num(7))
    with pytest.raises(InvalidData, match=dtype):
        fitted.transform(ROWS, to="torch", out=torch.empty(found.shape))
    with fitted.online() as live:
        assert live.process(ROWS, to="torch").dtype is kind
