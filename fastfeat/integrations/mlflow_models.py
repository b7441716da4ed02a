"""The models that MLflow stores beside a fitted plan: how each is saved, and how it predicts.

A flavor is MLflow's word for the format of a library's models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fastfeat_kernels.records import dataclass
from numpy.typing import NDArray

from fastfeat.api.plan import FittedPlan
from fastfeat.errors import InvalidPlan, TypeMismatch, counted
from fastfeat.integrations.library import library
from fastfeat.integrations.library_data import check_types
from fastfeat.io.arrow import Table
from fastfeat.io.sources.frames import class_names


@dataclass(frozen=True, slots=True)
class ModelFeatures:
    """The features of rows to predict, in the form that a model requests.

    Args:
        fitted: The fitted plan, without kept columns.
        data: The rows, in any form that `FittedPlan.transform` takes.
        history: Earlier rows, "batch", or None.
        tables: Lookup tables by name.
    """

    fitted: FittedPlan
    data: Any
    history: Any
    tables: Any

    def table(self) -> Table:
        """Return the features as a table of numbers."""
        table = self._transformed("arrow")
        check_types(table)
        return table

    def matrix(self) -> NDArray[Any]:
        """Return the features as a matrix of shape (n_rows, n_features)."""
        return self._transformed("numpy")

    def frame(self) -> Any:
        """Return the features as a pandas DataFrame, as `to="pandas"` gives them for training."""
        return self._transformed("pandas")

    def _transformed(self, to: str) -> Any:
        return self.fitted.transform(self.data, history=self.history, tables=self.tables, to=to)


Options = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Flavor:
    """The format of a library's models in MLflow: how they are stored, and how they predict.

    Args:
        classes: Classes by package and name. The first flavor that lists a class of the model
            applies.
        module: The module of MLflow that saves and loads the models.
        predict: `(model, features, method) -> predictions`.
        saving: `(model, n_features) -> options` of `save_model`, unless the user chooses a format.
    """

    classes: tuple[str, ...]
    module: str
    predict: Callable[[Any, ModelFeatures, str], Any]
    saving: Callable[[Any, int], Options] = lambda model, n_features: {}

    def save(self, model: Any, n_features: int, path: Path, options: Options) -> None:
        """Write a model to a folder, by MLflow's module for its library."""
        save = library(self.module, "mlflow").save_model
        told = {} if "serialization_format" in options else self.saving(model, n_features)
        known = {name: told[name] for name in told if name in signature(save).parameters}
        save(model, str(path), **{"pip_requirements": requirements(model), **known, **options})

    def load(self, path: Path) -> Any:
        """Return a model that `save` wrote to a folder."""
        return library(self.module, "mlflow").load_model(str(path))


def requirements(model: Any) -> list[str]:
    """Return the pip requirements of a model: its packages and those of the estimators in it.

    MLflow would load the model in a separate process to find them, and would name a build of torch.
    """
    params: dict[str, Any] = model.get_params(deep=True) if _is_estimator(model) else {}
    parts = [model, *params.values()]
    names = {module for part in parts for module in _packages(part)}
    if _is_estimator(model) and find_spec("skops") is not None:
        names.add("skops")
    found = _distributions()
    needed = {package for name in names for package in found.get(name, ())}
    return sorted(f"{package}=={version(package).partition('+')[0]}" for package in needed)


_distributions = cache(packages_distributions)  # .3 s


def _is_estimator(model: object) -> bool:
    return "sklearn.BaseEstimator" in class_names(model)


def _packages(part: object) -> set[str]:
    """Return the names of the packages that an object's classes come from."""
    return {name.partition(".")[0] for name in class_names(part)}


def _trusted(model: Any, n_features: int) -> Options:
    """Return options that name the types which skops should trust when it writes an estimator.

    Only types of numerical libraries are named. For other types MLflow's error tells the user how
    to trust them.
    """
    if not _is_estimator(model):
        return {}
    skops = library("skops.io", "mlflow")
    unknown: list[str] = skops.get_untrusted_types(data=skops.dumps(model))
    return {"skops_trusted_types": [t for t in unknown if t.partition(".")[0] in _NUMERICAL]}


def _traced(model: Any, n_features: int) -> Options:
    """Return options for a torch module: an example input of two rows, and its signature."""
    example = np.zeros((2, n_features), np.float32)
    types = library("mlflow.types.schema", "mlflow")
    inputs = types.Schema([types.TensorSpec(example.dtype, (-1, n_features))])
    made = library("mlflow.models", "mlflow").ModelSignature(inputs)
    return {"input_example": example, "signature": made}


_NUMERICAL = {"catboost", "lightgbm", "numpy", "scipy", "sklearn", "xgboost"}


def _sklearn(model: Any, features: ModelFeatures, method: str) -> Any:
    """Return predictions from a matrix, or from a DataFrame if the model has feature names."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return getattr(model, method)(features.matrix())
    if list(names) == features.fitted.feature_names:
        return getattr(model, method)(features.frame())
    # LightGBM names the columns of a matrix, and then warns about a matrix without names
    frame = library("pandas").DataFrame(features.matrix(), columns=names)
    return getattr(model, method)(frame)


def _xgboost(model: Any, features: ModelFeatures, method: str) -> Any:
    """Return predictions from a matrix with the names and types that a Booster was trained with."""
    if _is_estimator(model):
        return _sklearn(model, features, method)
    matrix = library("xgboost").DMatrix(
        features.matrix(),
        feature_names=model.feature_names,
        feature_types=model.feature_types,
        enable_categorical=True,
    )
    return getattr(model, method)(matrix)


def _lightgbm(model: Any, features: ModelFeatures, method: str) -> Any:
    """Return predictions: from an Arrow table for a Booster, otherwise as for scikit-learn."""
    if _is_estimator(model):
        return _sklearn(model, features, method)
    return getattr(model, method)(features.table())


def _catboost(model: Any, features: ModelFeatures, method: str) -> Any:
    """Return predictions from a Pool with the categories that the model was trained with."""
    pool = library("fastfeat.integrations.catboost").pool
    names = features.fitted.feature_names
    coded: list[str] = [names[place] for place in model.get_cat_feature_indices()]
    table = features.table()
    return getattr(model, method)(
        pool(features.fitted, features=table, label=False, categories=coded)
    )


def _torch(model: Any, features: ModelFeatures, method: str) -> Any:
    """Return predictions from a float32 tensor of shape (n_rows, n_features)."""
    torch = library("torch")
    matrix = np.ascontiguousarray(features.matrix(), dtype=np.float32)
    with torch.no_grad():
        asked = model if method == "predict" else getattr(model, method)
        return asked(torch.from_numpy(matrix)).numpy()


FLAVORS: dict[str, Flavor] = {
    "xgboost": Flavor(("xgboost.Booster", "xgboost.XGBModel"), "mlflow.xgboost", _xgboost),
    "lightgbm": Flavor(
        ("lightgbm.Booster", "lightgbm.LGBMModel"), "mlflow.lightgbm", _lightgbm, _trusted
    ),
    "catboost": Flavor(("catboost.CatBoost",), "mlflow.catboost", _catboost),
    "torch": Flavor(("torch.Module",), "mlflow.pytorch", _torch, _traced),
    "sklearn": Flavor(("sklearn.BaseEstimator",), "mlflow.sklearn", _sklearn, _trusted),
}
"""Flavors by the name that is stored with a model.

The first match counts: some models of other flavors are also scikit-learn estimators.
"""


def flavor_of(model: object) -> str:
    """Return the name of the flavor for a model, such as "xgboost".

    Raises:
        TypeMismatch: No flavor matches.
    """
    classes = class_names(model)
    for name, flavor in FLAVORS.items():
        if not classes.isdisjoint(flavor.classes):
            return name
    raise TypeMismatch(
        f"model= is a {type(model).__module__}.{type(model).__name__}, not a model of XGBoost, "
        "LightGBM, CatBoost, torch or scikit-learn. Log it with one of MLflow's own flavors, and "
        "log the plan too: mlflow.log_artifact('plan.fastfeat')"
    )


def check_model(fitted: FittedPlan, model: Any, method: str) -> None:
    """Raise if a model was not trained on a plan's features, or lacks the method.

    Raises:
        InvalidPlan: The model was trained on another number of features, or on other names; or a
            torch Module is in training mode.
        TypeMismatch: The model has no such method.
        NotFittedError: scikit-learn's own error, for an estimator that was not trained.
    """
    is_module = "torch.Module" in class_names(model)
    if not hasattr(model, method) and not (is_module and method == "predict"):
        raise TypeMismatch(f"method={method!r}: a {type(model).__name__} has no such method")
    if is_module and model.training:
        raise InvalidPlan("the module is in training mode: call model.eval() before you log it")
    if _is_estimator(model):
        library("sklearn.utils.validation", "sklearn").check_is_fitted(model)
    names = _trained_on(model)
    expected = fitted.feature_names
    if names is None:
        return
    made = all(name in (f"Column_{k}", str(k)) for k, name in enumerate(names))  # from a matrix
    if len(names) != len(expected) or (names != expected and not made):
        raise InvalidPlan(
            f"{_difference(names, expected, made)}. Log the model with the fitted plan that gave "
            "its training features, such as fitted.select([...])"
        )


def _difference(names: Sequence[str], expected: Sequence[str], made: bool) -> str:
    """Return text about the difference between a model's training features and a plan's."""
    told = f"the model was trained on {counted(len(names), 'feature')}"
    lacking = [name for name in names if name not in expected]
    if not made and set(names) == set(expected):
        place = next(k for k, name in enumerate(names) if name != expected[k])
        stands = f"it has {names[place]!r} where the plan has {expected[place]!r}"
        return f"{told} in another order: {stands}"
    lacks = f", without {lacking[0]!r}" if lacking and not made else ""
    return f"{told}, but the plan has {len(expected)}{lacks}"


def _trained_on(model: Any) -> list[str] | None:
    """Return the names of a model's training features; None if they are unknown.

    If only their number is known, the names are "Column_0", "Column_1" and so on.
    """
    for attribute in ("feature_names_in_", "feature_names_", "feature_names", "feature_name"):
        found: Any = getattr(model, attribute, None)
        names: Any = found() if callable(found) else found
        if names is not None:
            return [str(name) for name in names]
    n_features: int | Literal[False] = getattr(model, "n_features_in_", False)
    return None if n_features is False else [f"Column_{k}" for k in range(n_features)]
