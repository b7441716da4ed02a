"""MLflow: a fitted plan and a model of its features, logged and loaded together as one pyfunc.

The plan is stored as its `.fastfeat` file, and the model by its own MLflow flavor; nothing of
fastfeat is pickled. Rows to predict are a pandas DataFrame. MLflow checks it by a signature that
comes from the plan, and the plan checks the types that MLflow cannot.

    from fastfeat.integrations import mlflow as ff_mlflow

    with mlflow.start_run():
        info = ff_mlflow.log_model(fitted, model, method="predict_proba")
    mlflow.pyfunc.load_model(info.model_uri).predict(frame)  # anywhere: the same bits
    fitted, model = ff_mlflow.load_model(info.model_uri)
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.api.plan import FittedPlan, load
from fastfeat.calls.arguments import with_argument_errors_as, with_method_errors
from fastfeat.errors import ArtifactError, InvalidPlan
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.history import is_batch
from fastfeat.execute.lookup_tables import resolve_tables
from fastfeat.integrations.library import library
from fastfeat.integrations.library_data import check_fitted, without_kept
from fastfeat.integrations.mlflow_models import (
    FLAVORS,
    ModelFeatures,
    check_model,
    flavor_of,
    requirements,
)
from fastfeat.integrations.mlflow_signature import signature_of
from fastfeat.io.arrow import Table, pa
from fastfeat.io.sources.read import read_table
from fastfeat.version import __version__

__all__ = ["PlanModel", "load_model", "log_model", "save_model"]

with warnings.catch_warnings():  # its first import warns about its own annotations
    warnings.simplefilter("ignore")
    _mlflow = library("mlflow")
    library("mlflow.pyfunc", "mlflow")
_PLAN, _MODEL, _KEPT, _HISTORY = "plan.fastfeat", "model", "kept.json", "history.arrow"
_VERSION = 1


@with_argument_errors_as("mlflow.", {})
def log_model(
    fitted: FittedPlan,
    model: Any,
    *,
    name: str = "model",
    method: str = "predict",
    history: Any = None,
    tables: Mapping[str, Any] | None = None,
    not_missing: Sequence[str] = (),
    input_example: Any = None,
    model_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Log a fitted plan and the model of its features as one MLflow model; return its ModelInfo.

    Args:
        fitted: The fitted plan.
        model: The model, trained on all features of the plan in their order: of XGBoost, LightGBM,
            CatBoost or scikit-learn, or a torch Module that takes a float32 tensor of shape
            (n_rows, n_features).
        name: The name of the logged model.
        method: The method of the model that the pyfunc's `predict` calls, such as "predict_proba".
        history: Earlier rows, which windows see; they are stored with the model. "batch" declares
            that rows to predict contain their own past. `predict(frame, params={"history": path})`
            uses another history.
        tables: The lookup tables that the plan reads, by name; they are stored with the model.
        not_missing: Columns of integers or bools that are never missing. MLflow checks their type.
            The types of other integers and bools are only checked by the plan, because MLflow has
            no type for them that allows missing values.
        input_example: A few rows that MLflow shows as an example. The output types of the signature
            come from their predictions.
        model_options: Further arguments of the `save_model` function of the model's flavor, such as
            `{"serialization_format": "skops"}`.
        **options: Further arguments of `mlflow.pyfunc.log_model`: registered_model_name, metadata,
            params, tags, extra_pip_requirements.

    Raises:
        InvalidPlan: The model was trained on other features, or tables or earlier rows that the
            plan reads are not given.
        TypeMismatch: The model belongs to another library, or has no such method.
    """
    whole = _whole(fitted, model, method, CallRows(None, None, history, tables))
    with TemporaryDirectory() as folder:
        data, given = _written(Path(folder), whole, not_missing, input_example, model_options)
        with _signed():
            return _mlflow.pyfunc.log_model(
                name=name, loader_module=__name__, data_path=data, **given, **options
            )


@with_argument_errors_as("mlflow.", {})
def save_model(
    fitted: FittedPlan,
    model: Any,
    path: str | os.PathLike[str],
    *,
    method: str = "predict",
    history: Any = None,
    tables: Mapping[str, Any] | None = None,
    not_missing: Sequence[str] = (),
    input_example: Any = None,
    model_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Write a fitted plan and the model of its features to a folder, as one MLflow model.

    Args:
        fitted: The fitted plan.
        model: The model, trained on all features of the plan in their order: of XGBoost, LightGBM,
            CatBoost or scikit-learn, or a torch Module that takes a float32 tensor of shape
            (n_rows, n_features).
        path: A folder that does not exist yet.
        method: The method of the model that the pyfunc's `predict` calls, such as "predict_proba".
        history: Earlier rows, which windows see; they are stored with the model. "batch" declares
            that rows to predict contain their own past. `predict(frame, params={"history": path})`
            uses another history.
        tables: The lookup tables that the plan reads, by name; they are stored with the model.
        not_missing: Columns of integers or bools that are never missing. MLflow checks their type.
            The types of other integers and bools are only checked by the plan, because MLflow has
            no type for them that allows missing values.
        input_example: A few rows that MLflow shows as an example. The output types of the signature
            come from their predictions.
        model_options: Further arguments of the `save_model` function of the model's flavor, such as
            `{"serialization_format": "skops"}`.
        **options: Further arguments of `mlflow.pyfunc.save_model`.

    Raises:
        InvalidPlan: The model was trained on other features, or tables or earlier rows that the
            plan reads are not given.
        TypeMismatch: The model belongs to another library, or has no such method.
    """
    whole = _whole(fitted, model, method, CallRows(None, None, history, tables))
    with TemporaryDirectory() as folder:
        data, given = _written(Path(folder), whole, not_missing, input_example, model_options)
        with _signed():
            _mlflow.pyfunc.save_model(
                os.fspath(path), loader_module=__name__, data_path=data, **given, **options
            )


@with_argument_errors_as("mlflow.", {})
def load_model(model_uri: str | os.PathLike[str]) -> tuple[FittedPlan, Any]:
    """Return the fitted plan and the model that `log_model` or `save_model` stored.

    Args:
        model_uri: An address in the form of MLflow, such as `info.model_uri`, or the path of a
            folder.

    Raises:
        ArtifactError: It is another MLflow model, a later version of fastfeat wrote it, or a file
            was altered or is absent.
    """
    uri = os.fspath(model_uri)
    folder = Path(_mlflow.artifacts.download_artifacts(uri))
    flavors = _mlflow.models.Model.load(str(folder)).flavors
    kept = flavors.get("python_function", {})
    if kept.get("loader_module") != __name__:
        raise ArtifactError(
            f"{uri}: this model was not logged by fastfeat, but by "
            f"{kept.get('loader_module')}: load it with mlflow.pyfunc.load_model"
        )
    loaded = _load_pyfunc(folder / kept["data"])
    return loaded.fitted, loaded.model


@with_method_errors(lambda model: "model.")
@dataclass(frozen=True, slots=True)
class PlanModel:
    """A fitted plan and a model, as MLflow loads them: they turn rows into predictions.

    Args:
        fitted: The fitted plan.
        bare: The same plan without columns that are passed through.
        model: The model of its features.
        flavor: The name of the model's flavor.
        method: The method of the model to call.
        history: Earlier rows, "batch", or None.
        tables: Lookup tables by name.
    """

    fitted: FittedPlan
    bare: FittedPlan
    model: Any
    flavor: str
    method: str
    history: Any
    tables: Mapping[str, Table]

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return the predictions of the model for rows, in the form that the model returns.

        Args:
            model_input: The rows, in any form that `FittedPlan.transform` takes, such as a
                DataFrame.
            params: `{"history": path}` for a file of earlier rows instead of the stored ones, or
                `{"history": "batch"}` if the rows contain their own past.

        Raises:
            FastfeatError: Any error of `FittedPlan.transform`.
        """
        path = (params or {}).get("history")
        history = self.history if path is None else path if is_batch(path) else read_table(path)
        features = ModelFeatures(self.bare, model_input, history, self.tables)
        return FLAVORS[self.flavor].predict(self.model, features, self.method)


def _load_pyfunc(path: str | os.PathLike[str]) -> PlanModel:
    """Return the plan and the model of a folder; MLflow calls this function by its name.

    Raises:
        ArtifactError: A later version of fastfeat wrote it, or a file was altered or is absent.
    """
    folder = Path(path)
    kept = _kept(folder)
    _check_files(folder, kept["files"])
    history = read_table(folder / _HISTORY) if kept["history"] == "kept" else kept["history"]
    tables = {name: read_table(folder / _table(k)) for k, name in enumerate(kept["tables"])}
    model = FLAVORS[kept["flavor"]].load(folder / _MODEL)
    fitted = load(folder / _PLAN)
    bare = without_kept(fitted)
    return PlanModel(fitted, bare, model, kept["flavor"], kept["method"], history, tables)


def _kept(folder: Path) -> dict[str, Any]:
    """Return the JSON document that lists the stored files, read from a model's folder.

    Raises:
        ArtifactError: A later version of fastfeat, or another program, wrote it.
    """
    try:
        kept: Any = json.loads((folder / _KEPT).read_text("utf-8"))
        version, flavor = kept["version"], kept["flavor"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArtifactError(
            f"{folder / _KEPT}: cannot be read as a file that fastfeat wrote: {error}"
        ) from error
    if version != _VERSION or flavor not in FLAVORS:
        raise ArtifactError(
            f"{folder}: this model was saved in format version {version} with flavor {flavor!r}, "
            f"but this fastfeat reads version {_VERSION} with flavor {' or '.join(FLAVORS)}. "
            "Install the version of fastfeat that saved it"
        )
    return kept


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Raise if a stored file is absent, or was altered since it was written.

    Raises:
        ArtifactError: The message names the file.
    """
    for name, digest in files.items():
        try:
            found = _digest(folder / name)
        except OSError as error:
            raise ArtifactError(f"{folder / name}: cannot be read: {error}") from error
        if found != digest:
            raise ArtifactError(
                f"{folder / name}: the file was altered or replaced after it was written with "
                "the others: its SHA-256 does not match. Save plan and model together"
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _whole(fitted: FittedPlan, model: Any, method: str, beside: CallRows) -> PlanModel:
    """Check a plan, its model, the history and the tables, and return them as a `PlanModel`.

    Raises:
        InvalidPlan: The plan's tables, or the history for its windows, are not given; or the model
            was trained on other features.
    """
    check_fitted(fitted)
    flavor = flavor_of(model)
    check_model(fitted, model, method)
    looked_up = {column.table for column in fitted.record.table_columns}
    history, given = beside.history, resolve_tables(beside.tables)
    known = {name: read_table(table) for name, table in given.items() if name in looked_up}
    lacking = looked_up - set(known)
    if lacking:
        raise InvalidPlan(
            f"the plan looks up values in the table {min(lacking)!r}. Pass it: "
            f"tables={{{min(lacking)!r}: ...}}, which is saved with the model"
        )
    plan = fitted.plan
    if plan.declaration.past_columns and history is None:
        raise InvalidPlan(
            "windows of the plan see earlier rows. Pass history=, which is saved with the model, "
            "or history='batch' if the rows to predict contain their own past"
        )
    if not plan.declaration.past_columns:
        history = None  # no window needs it
    elif not is_batch(history):
        history = read_table(history, [*plan.declaration.past_columns, *plan.declaration.row_ids])
    return PlanModel(fitted, without_kept(fitted), model, flavor, method, history, known)


def _written(
    folder: Path,
    whole: PlanModel,
    not_missing: Sequence[str],
    input_example: Any,
    model_options: Mapping[str, Any] | None,
) -> tuple[str, dict[str, Any]]:
    """Write plan, model, history and lookup tables to a folder, for MLflow to copy.

    Returns:
        The path of the files, and the arguments for MLflow: requirements, signature and example.
    """
    data = folder / "plan_and_model"
    data.mkdir()
    whole.fitted.save(data / _PLAN)
    flavor = FLAVORS[whole.flavor]
    n_features = len(whole.fitted.feature_names)
    flavor.save(whole.model, n_features, data / _MODEL, dict(model_options or {}))
    for k, table in enumerate(whole.tables.values()):
        _write_table(table, data / _table(k))
    is_kept = whole.history is not None and not is_batch(whole.history)
    if is_kept:
        _write_table(whole.history, data / _HISTORY)
    kept = {
        "version": _VERSION,
        "flavor": whole.flavor,
        "method": whole.method,
        "history": "kept" if is_kept else whole.history,
        "tables": list(whole.tables),
        "files": {
            str(path.relative_to(data).as_posix()): _digest(path)
            for path in sorted(data.rglob("*"))
            if path.is_file()
        },
    }
    (data / _KEPT).write_text(json.dumps(kept, indent=1), "utf-8")
    versions = [f"fastfeat=={__version__}", f"pyarrow=={pa.__version__}"]
    outputs = None if input_example is None else whole.predict(input_example)
    return str(data), {
        "signature": signature_of(whole.fitted, not_missing, outputs),
        "input_example": input_example,
        "pip_requirements": [*versions, *requirements(whole.model)],
    }


@contextmanager
def _signed() -> Generator[None]:
    """Within the block, silence MLflow's advice to pass an example: types come from the plan."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        yield


def _table(k: int) -> str:
    """Return the file name of the k-th lookup table; the table's own name could be any text."""
    return f"table_{k}.arrow"


def _write_table(table: Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
