"""No leakage, seen by a model: labels of pure noise cannot be predicted from training features.

A model is trained on some of the rows that `fit_transform` gives, and ranks the labels of the
others: an AUC of .5, but for its error, since the labels are drawn by a coin.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler, TargetEncoder
from threadpoolctl import threadpool_limits

import fastfeat as ff
from fastfeat import Expr, col
from fastfeat.errors import FastfeatWarning, Leakage

N_ROWS = 2000
ERROR = (1 / (3 * N_ROWS)) ** 0.5
"""The standard deviation of an AUC of noise, of half as many rows of each class."""
Columns = dict[str, NDArray[Any]]


def noise(seed: int, n_categories: int = 100, n_rows: int = N_ROWS) -> Columns:
    rng = np.random.default_rng(seed)
    return {
        "t": rng.permutation(n_rows) // 2,  # two rows an instant
        "id": rng.permutation(n_rows),
        "k": rng.integers(0, n_categories, n_rows),
        "card": rng.integers(0, 60, n_rows),
        "one": np.zeros(n_rows, np.int64),
        "x": rng.normal(size=n_rows),
        "y": rng.integers(0, 2, n_rows),
    }


def boosting(seed: int) -> Any:
    return HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, random_state=seed)


def logistic(seed: int) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))


def auc(model: Callable[[int], Any], matrix: Any, y: NDArray[Any], seed: int, cv: int = 3) -> float:
    """Return how well a model ranks the labels of rows that it was not trained on."""
    folds = StratifiedKFold(cv, shuffle=True, random_state=seed)
    filled = np.nan_to_num(matrix, nan=-9.0)
    with threadpool_limits(1):  # more wait for each other beside other tests
        told: Any = cross_val_predict(model(seed), filled, y, cv=folds, method="predict_proba")
    return float(roc_auc_score(y, told[:, 1]))


def trained(features: dict[str, Expr], data: Columns, **late: Any) -> NDArray[Any]:
    """Return the features of the training rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        plan = ff.Plan(features, **{"label": "y", **late})
        return plan.fit_transform(data, tables={"self": data}, to="numpy")[1]


def window(rng: random.Random, **more: Any) -> Any:
    return ff.window(
        rng.choice([None, 50, 400]),
        time="t",
        by=rng.choice([None, "k", "card"]),
        closed=rng.choice(["left", "neither", "right", "both"]),
        offset=rng.choice([None, None, 1, 7]),
        **more,
    )


def part(rng: random.Random, depth: int = 0) -> Expr:
    """Return what windows, joins and folds by time make of the label, and what is made of that."""
    inside = col("y") + rng.choice([0, col("x")])
    of_past = depth == 0 and rng.random() < 0.4
    if of_past:
        inside = part(rng, 1) + rng.choice([0, col("x")])
    key = rng.choice([col("k"), col("card"), col("one"), ff.cross("k", "card")])
    match rng.randrange(9):
        case 0 | 1:
            return rng.choice([Expr.mean, Expr.sum, Expr.last, Expr.lag])(inside, over=window(rng))
        case 2:
            return inside.mean(over=window(rng, **({} if of_past else {"table": "self"})))
        case 3:
            return ff.time_since(inside > 0.5, over=window(rng))
        case 4:
            return inside.ewm_mean(alpha=0.3, over=ff.window(time="t", by="card"))
        case 5:
            return ff.lookup("self", by="id").col(rng.choice(["x", "y"])) * 1.0
        case 6:
            return ff.asof("self", by="k", time="t").col(rng.choice(["x", "y"])) - col("x")
        case _:
            encode = rng.choice([Expr.target_encode, Expr.woe_encode])
            return encode(key, "y", time="t", folds=rng.choice([5, 50, 400]))


def composed(rng: random.Random) -> dict[str, Expr]:
    """Return features that build, beside the code of a category and a column of noise."""
    features: dict[str, Expr] = {"code": col("k").ordinal_encode(), "x": col("x")}
    while len(features) < 7:
        one = part(rng)
        one = rng.choice([one, one - one.mean(), one.standard_scale(), one * col("x")])
        try:
            ff.Plan({"f": one}, label="y")
        except Leakage:
            continue
        features[f"f{len(features)}"] = one
    return features


def check_composed(seed: int) -> None:
    data = noise(seed)
    matrix = trained(composed(random.Random(seed)), data)
    for model in (boosting, logistic):
        assert auc(model, matrix, data["y"], seed) < 0.5 + 5 * ERROR, (model, seed)


def scikit_learn(data: Columns, cv: int) -> NDArray[Any]:
    """Return scikit-learn's encoding of the category out of fold, beside its code."""
    k = data["k"][:, None]
    shuffled: Any = StratifiedKFold(cv, shuffle=True, random_state=0)
    encoder = TargetEncoder(cv=shuffled)
    return np.hstack([encoder.fit_transform(k, data["y"]), OrdinalEncoder().fit_transform(k)])


def beside_code(**folds: Any) -> dict[str, Expr]:
    return {"f": col("k").target_encode("y", **folds), "code": col("k").ordinal_encode()}


def check_folds(seed: int, n_categories: int) -> None:
    """The folds of an encoding beside the code of its category leak as scikit-learn's do."""
    data = noise(seed, n_categories)
    ours = auc(boosting, trained(beside_code(), data), data["y"], seed)
    theirs = auc(boosting, scikit_learn(data, 5), data["y"], seed)
    assert ours < max(theirs, 0.5) + 0.03 + 2 * ERROR


@pytest.mark.parametrize("k", range(6))
def test_random_compositions_tell_nothing_of_noise(k: int) -> None:
    seed = random.randrange(10**9)
    print("seed", seed)
    check_composed(seed)


def test_folds_tell_no_more_of_noise_than_those_of_scikit_learn() -> None:
    seed = random.randrange(10**9)
    print("seed", seed)
    check_folds(seed, 200)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_many_random_compositions_tell_nothing_of_noise(seed: int) -> None:
    check_composed(seed)


class Encoded(NamedTuple):
    """A way to encode a category, and how well models rank labels of noise by it at most.

    Args:
        folds: options of the encoder.
        linear: the most AUC of a logistic regression, mean of three seeds.
        boosted: that of boosted trees.
        key: the category.
        n_categories: how many there are.
        has_code: whether the code of the category stands beside its encoding.
        encode: the encoder.
    """

    folds: dict[str, Any]
    linear: float
    boosted: float
    key: str = "k"
    n_categories: int = 50
    has_code: bool = False
    encode: Callable[..., Expr] = Expr.target_encode


ROWS = [
    Encoded({}, 0.54, 0.54),
    Encoded({}, 0.54, 0.57, has_code=True),
    Encoded({"folds": 50}, 0.56, 0.80),
    Encoded({"folds": 1000}, 0.56, 0.97),
    Encoded({"fold": "id"}, 0.56, 1.0),
    Encoded({}, 0.56, 0.55, "one"),
    Encoded({"folds": 1000}, 0.88, 0.90, "one"),
    Encoded({"folds": 1000, "fold_by": "id"}, 0.88, 0.90, "one"),
    Encoded({"fold": "id"}, 1.0, 1.0, "one"),
    Encoded({"fold": "id"}, 1.0, 1.0, "one", encode=Expr.woe_encode),
    Encoded({}, 0.54, 0.60, n_categories=100, has_code=True),
    Encoded({}, 0.54, 0.63, n_categories=200, has_code=True),
    Encoded({}, 0.54, 0.63, n_categories=400, has_code=True),
    Encoded({}, 0.54, 0.63, n_categories=1000, has_code=True),
    Encoded({"smooth": 0}, 0.54, 0.65, n_categories=200, has_code=True),
    Encoded({"folds": 20}, 0.56, 0.76, n_categories=100, has_code=True),
    Encoded({"folds": 50}, 0.56, 0.87, n_categories=100, has_code=True),
    Encoded({"fold": "id"}, 0.56, 1.0, n_categories=100, has_code=True),
    Encoded({"time": "t"}, 0.54, 0.54),
    Encoded({"time": "t", "folds": 1000}, 0.54, 0.54, has_code=True),
    Encoded({"time": "t", "folds": 1000}, 0.54, 0.54, "one"),
]


def told(row: Encoded) -> str:
    options = ", ".join(f"{name}={value!r}" for name, value in row.folds.items())
    code = " beside its code" if row.has_code else ""
    return f"{row.encode.__name__}({options}) of {row.key}, {row.n_categories} categories{code}"


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=told)
def test_what_folds_tell_of_noise(row: Encoded) -> None:
    """`-s` prints the figures, of which the docstring of `target_encode` has some."""
    found: dict[Callable[[int], Any], list[float]] = {logistic: [], boosting: []}
    for seed in range(3):
        data = noise(seed, row.n_categories)
        features = {"f": row.encode(col(row.key), "y", **row.folds)}
        if row.has_code:
            features["code"] = col("k").ordinal_encode()
        matrix = trained(features, data)
        for model, values in found.items():
            values.append(auc(model, matrix, data["y"], seed, cv=5))
    linear, boosted = (float(np.mean(values)) for values in found.values())
    print(f"{told(row)}: logistic {linear:.3f}, boosting {boosted:.3f}")
    assert linear <= row.linear
    assert boosted <= row.boosted


@pytest.mark.slow
@pytest.mark.parametrize("cv", [5, 20, 50])
def test_folds_tell_of_noise_what_those_of_scikit_learn_do(cv: int) -> None:
    ours, theirs = list[float](), list[float]()
    for seed in range(3):
        data = noise(seed)
        ours.append(auc(boosting, trained(beside_code(folds=cv), data), data["y"], seed, 5))
        theirs.append(auc(boosting, scikit_learn(data, cv), data["y"], seed, 5))
    means = float(np.mean(ours)), float(np.mean(theirs))
    print(f"{cv} folds beside the code: ours {means[0]:.3f}, scikit-learn {means[1]:.3f}")
    assert means[0] < means[1] + 0.03
