# pyright: basic, reportMissingImports=false, reportArgumentType=false
"""Five models of the training demo: the hand-over of features to each library, and its training.

Each takes the features of a fold from fastfeat's hand-over, and a matrix from other libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import catboost
import lightgbm
import numpy as np
import torch
import xgboost
from sklearn.ensemble import HistGradientBoostingClassifier
from torch.utils.data import DataLoader, TensorDataset

from docs.demos import in_polars
from fastfeat.api.plan import FittedPlan
from fastfeat.integrations import catboost as ff_catboost
from fastfeat.integrations import lightgbm as ff_lightgbm
from fastfeat.integrations import xgboost as ff_xgboost
from fastfeat.integrations.torch import FeatureBatches, embedding_sizes
from fastfeat.io.arrow import Table

N_TREES, RATE, N_THREADS, BATCH = 100, 0.1, 2, 1024
CODES = "carrier"
"""The feature that is a category."""

Matrix = np.ndarray


@dataclass(frozen=True, slots=True)
class Model:
    """The functions by which one library takes features, and learns.

    Args:
        name: Name of the library.
        of_plan: Hands features of a plan over: (fitted, features, label or None) -> its data.
        of_matrix: Hands a matrix over: (matrix, label or None) -> its data; column 0 is a category.
        train: Returns the trained model for its data.
        predict: Returns a score for each row of its data, shape (n_rows,).
    """

    name: str
    of_plan: Callable[[FittedPlan, Table, Any], Any]
    of_matrix: Callable[[Matrix, Any], Any]
    train: Callable[[Any], Any]
    predict: Callable[[Any, Any], Matrix]


@dataclass(frozen=True, slots=True)
class Rows:
    """A matrix, its label, and its categories.

    Args:
        matrix: Shape (n_rows, n_features).
        label: Shape (n_rows,), or None.
        categorical: Places of columns that are categories.
    """

    matrix: Matrix
    label: Any
    categorical: list[int]


def _matrix_of(fitted: FittedPlan, features: Table, label: Any) -> Rows:
    matrix = np.empty(features.shape, np.float32, order="F")
    for k, column in enumerate(features.columns):
        matrix[:, k] = column.to_numpy()
    return Rows(matrix, _numbers(label), [fitted.feature_names.index(CODES)])


def _numbers(label: Any) -> Any:
    """Return a label as numbers."""
    return None if label is None else np.array(label, np.float32)  # torch wants its own memory


def _train_scikit_learn(rows: Rows) -> Any:
    model = HistGradientBoostingClassifier(
        max_iter=N_TREES,
        learning_rate=RATE,
        early_stopping=False,
        categorical_features=rows.categorical,
        random_state=0,
    )
    return model.fit(rows.matrix, rows.label)


SCIKIT_LEARN = Model(
    "scikit-learn",
    _matrix_of,
    lambda matrix, label: Rows(matrix, _numbers(label), [in_polars.CARRIER]),
    _train_scikit_learn,
    lambda model, rows: model.predict_proba(rows.matrix)[:, 1],
)


def _xgboost_of_matrix(matrix: Matrix, label: Any) -> Any:
    kinds = ["c" if k == in_polars.CARRIER else "float" for k in range(matrix.shape[1])]
    codes = matrix.copy()
    codes[:, in_polars.CARRIER] += 1  # unknown ones are -1
    made = xgboost.DMatrix if label is None else xgboost.QuantileDMatrix
    return made(codes, label, feature_types=kinds, enable_categorical=True)


XGBOOST = Model(
    "XGBoost",
    lambda fitted, features, label: ff_xgboost.dmatrix(
        fitted,
        features=features,
        label=False if label is None else label,
        quantile=label is not None,
    ),
    _xgboost_of_matrix,
    lambda data: xgboost.train(
        {"objective": "binary:logistic", "eta": RATE, "nthread": N_THREADS}, data, N_TREES
    ),
    lambda model, data: model.predict(data),
)


def _lightgbm_of_plan(fitted: FittedPlan, features: Table, label: Any) -> Any:
    if label is None:
        return features
    return ff_lightgbm.dataset(
        fitted, features=features, label=label, params={"verbose": -1, "num_threads": N_THREADS}
    ).construct()


def _lightgbm_of_matrix(matrix: Matrix, label: Any) -> Any:
    if label is None:
        return matrix
    return lightgbm.Dataset(
        matrix,
        label,
        categorical_feature=[in_polars.CARRIER],
        params={"verbose": -1, "num_threads": N_THREADS},
    ).construct()


_LIGHTGBM = {"objective": "binary", "learning_rate": RATE, "verbose": -1, "num_threads": N_THREADS}
LIGHTGBM = Model(
    "LightGBM",
    _lightgbm_of_plan,
    _lightgbm_of_matrix,
    lambda data: lightgbm.train(_LIGHTGBM, data, N_TREES),
    lambda model, data: model.predict(data),
)


def _catboost_of_matrix(matrix: Matrix, label: Any) -> Any:
    import pandas as pd

    frame = pd.DataFrame(matrix, copy=False)
    codes = frame[in_polars.CARRIER].astype(np.int32).astype("category")
    return catboost.Pool(
        frame.assign(carrier=codes).drop(columns=in_polars.CARRIER).rename(columns=str),
        label,
        cat_features=["carrier"],
        thread_count=N_THREADS,
    )


def _train_catboost(data: Any) -> Any:
    model = catboost.CatBoostClassifier(
        iterations=N_TREES,
        learning_rate=RATE,
        thread_count=N_THREADS,
        verbose=False,
        allow_writing_files=False,
        random_seed=0,
    )
    return model.fit(data)


CATBOOST = Model(
    "CatBoost",
    lambda fitted, features, label: ff_catboost.pool(
        fitted,
        features=features,
        label=False if label is None else label,
        thread_count=N_THREADS,
    ),
    _catboost_of_matrix,
    _train_catboost,
    lambda model, data: model.predict_proba(data)[:, 1],
)


class Network(torch.nn.Module):
    """Embeddings of codes, and two layers over them and the numbers, with 0 for missing.

    Args:
        n_dense: Number of numeric features of a row.
        sizes: Size of each embedding table: codes, and its width.
    """

    def __init__(self, n_dense: int, sizes: list[tuple[int, int]]) -> None:
        """Create the layers; numbers are normalized by each batch."""
        super().__init__()
        self.embeddings = torch.nn.ModuleList(torch.nn.Embedding(*size) for size in sizes)
        width = n_dense + sum(size for _, size in sizes)
        self.normal = torch.nn.BatchNorm1d(n_dense)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(width, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1)
        )

    def forward(self, dense: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return a logit for each row, shape (n_rows,)."""
        made = [layer(codes[:, k]) for k, layer in enumerate(self.embeddings)]
        numbers = self.normal(dense.nan_to_num())
        return self.layers(torch.cat([numbers, *made], dim=1))[:, 0]


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches that a network learns from, or predicts: (dense, codes, label or None).

    Args:
        loader: Yields dicts, or tuples.
        n_dense: Number of numeric features of a row.
        sizes: Sizes of embeddings.
    """

    loader: Any
    n_dense: int
    sizes: list[tuple[int, int]]

    def __iter__(self) -> Any:
        """Return an iterator over the batches."""
        for batch in self.loader:
            if isinstance(batch, dict):
                yield batch["dense"], batch["codes"], batch.get("label")
            else:
                yield (*batch, None)[:3]


def _torch_of_plan(fitted: FittedPlan, features: Table, label: Any) -> Batches:
    given = None if label is None else label.cast("float32")
    batches = FeatureBatches.of_features(
        fitted, features, BATCH, label=given, shuffle=label is not None
    )
    sizes = list(embedding_sizes(batches).values())
    return Batches(batches.loader(), len(batches.dense_names), sizes)


def _torch_of_matrix(matrix: Matrix, label: Any) -> Batches:
    whole = torch.from_numpy(np.ascontiguousarray(matrix))
    codes = whole[:, [in_polars.CARRIER]].long() + 1
    parts = [whole[:, in_polars.CARRIER + 1 :], codes]
    if label is not None:
        parts.append(torch.from_numpy(_numbers(label)))
    loader = DataLoader(TensorDataset(*parts), BATCH, shuffle=label is not None)
    return Batches(loader, matrix.shape[1] - 1, [(32, 8)])


def _train_torch(batches: Batches) -> Network:
    torch.manual_seed(0)
    network = Network(batches.n_dense, batches.sizes)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    loss = torch.nn.BCEWithLogitsLoss()
    network.train()
    for dense, codes, label in batches:
        optimizer.zero_grad()
        loss(network(dense, codes), label).backward()
        optimizer.step()
    return network.eval()


def _predict_torch(network: Network, batches: Batches) -> Matrix:
    with torch.no_grad():
        return np.concatenate([network(dense, codes).numpy() for dense, codes, _ in batches])


TORCH = Model("torch", _torch_of_plan, _torch_of_matrix, _train_torch, _predict_torch)

MODELS = (SCIKIT_LEARN, XGBOOST, LIGHTGBM, CATBOOST, TORCH)
