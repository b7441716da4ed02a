"""MLflow: a fitted plan and the model of its features, logged and loaded as one pyfunc.

The plan is kept as its `.fastfeat` file, and the model by MLflow's own flavor of it; nothing of
fastfeat is pickled. Rows to predict are a pandas frame: MLflow checks it by the signature, which
comes from the plan, and the plan checks what MLflow cannot.

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
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastfeat.api.plan import FittedPlan, load
from fastfeat.calls.arguments import explaining_as, explaining_methods
from fastfeat.errors import ArtifactError, InvalidPlan
from fastfeat.execute.call_rows import CallRows, call_rows
from fastfeat.execute.history import is_batch
from fastfeat.execute.lookup_tables import resolve_tables
from fastfeat.integrations.handover import check_fitted, without_kept
from fastfeat.integrations.library import library
from fastfeat.integrations.mlflow_models import (
    FLAVORS,
    Features,
    check_model,
    flavor_of,
    requirements,
)
from fastfeat.integrations.mlflow_signature import signature_of
from fastfeat.io.arrow import Table, pa
from fastfeat.io.sources.read import read_table
from fastfeat.version import __version__

__all__ = ["PlanModel", "load_model", "log_model", "save_model"]

with warnings.catch_warnings():  # it warns of annotations of its own, where it is first used
    warnings.simplefilter("ignore")
    _mlflow = library("mlflow")
    library("mlflow.pyfunc", "mlflow")
_PLAN, _MODEL, _KEPT, _HISTORY = "plan.fastfeat", "model", "kept.json", "history.arrow"
_VERSION = 1


@explaining_as("mlflow.", {})
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
    """Log a fitted plan and the model of its features as one model of MLflow; return its ModelInfo.

    Args:
        fitted: the plan.
        model: what was trained on its features, all and in order: of XGBoost, LightGBM, CatBoost,
            scikit-learn, or a torch Module, which takes a float32 tensor of them.
        name: of the logged model.
        method: of the model, which `predict` of the pyfunc calls, such as "predict_proba".
        history: earlier rows, which windows see: they are kept with the model. "batch" where rows
            to predict hold their own past. `predict(frame, params={"history": path})` takes others.
        tables: the tables that the plan reads, by name: they are kept with the model.
        not_missing: columns of integers or bools that are never missing. MLflow checks their type;
            that of others only the plan does, for MLflow has none that may be missing.
        input_example: a few rows, which MLflow shows; the types of the output are told by them.
        model_options: what the flavor of the model takes beside when it saves,
            `{"serialization_format": "skops"}`.
        **options: what `mlflow.pyfunc.log_model` takes beside: registered_model_name, metadata,
            params, tags, extra_pip_requirements.

    Raises:
        InvalidPlan: the model was trained on other features, or the plan reads tables, or earlier
            rows, that are not given.
        TypeMismatch: the model is of another library, or has no such method.
    """
    whole = _whole(fitted, model, method, call_rows(None, None, history, tables))
    with TemporaryDirectory() as folder:
        data, given = _written(Path(folder), whole, not_missing, input_example, model_options)
        with _signed():
            return _mlflow.pyfunc.log_model(
                name=name, loader_module=__name__, data_path=data, **given, **options
            )


@explaining_as("mlflow.", {})
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
    """Write a fitted plan and the model of its features to a folder, as one model of MLflow.

    Args:
        fitted: as in `log_model`, as the following are.
        model: what was trained on its features.
        path: of a folder that is not there yet.
        method: of the model, which `predict` calls.
        history: earlier rows, which windows see.
        tables: the tables that the plan reads, by name.
        not_missing: columns of integers or bools that are never missing.
        input_example: a few rows, which MLflow shows.
        model_options: what the flavor of the model takes beside.
        **options: what `mlflow.pyfunc.save_model` takes beside.

    Raises:
        FastfeatError: as `log_model`.
    """
    whole = _whole(fitted, model, method, call_rows(None, None, history, tables))
    with TemporaryDirectory() as folder:
        data, given = _written(Path(folder), whole, not_missing, input_example, model_options)
        with _signed():
            _mlflow.pyfunc.save_model(
                os.fspath(path), loader_module=__name__, data_path=data, **given, **options
            )


@explaining_as("mlflow.", {})
def load_model(model_uri: str | os.PathLike[str]) -> tuple[FittedPlan, Any]:
    """Return the fitted plan and the model that `log_model` or `save_model` has written.

    Args:
        model_uri: an address as MLflow has it, such as `info.model_uri`, or the path of a folder.

    Raises:
        ArtifactError: it is another model of MLflow.
    """
    uri = os.fspath(model_uri)
    folder = Path(_mlflow.artifacts.download_artifacts(uri))
    flavors = _mlflow.models.Model.load(str(folder)).flavors
    kept = flavors.get("python_function", {})
    if kept.get("loader_module") != __name__:
        raise ArtifactError(
            f"{uri}: this model was not logged by fastfeat, but by "
            f"{kept.get('loader_module')}: load it by mlflow.pyfunc.load_model"
        )
    loaded = _load_pyfunc(folder / kept["data"])
    return loaded.fitted, loaded.model


@explaining_methods(lambda model: "model.")
@dataclass(frozen=True, slots=True)
class PlanModel:
    """A fitted plan and a model, as MLflow loads them: from rows to predictions.

    Args:
        fitted: the plan.
        bare: the same without kept columns.
        model: of its features.
        flavor: the name of the model's.
        method: of the model, which is called.
        history: earlier rows, "batch", or None.
        tables: of lookups, by name.
    """

    fitted: FittedPlan
    bare: FittedPlan
    model: Any
    flavor: str
    method: str
    history: Any
    tables: Mapping[str, Table]

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return the predictions of the model for rows, as it gives them.

        Args:
            model_input: the rows, as in `FittedPlan.transform`.
            params: `{"history": path}` for a file of earlier rows instead of those that are kept;
                `{"history": "batch"}` where the rows hold their own past.

        Raises:
            FastfeatError: as `FittedPlan.transform`.
        """
        path = (params or {}).get("history")
        history = self.history if path is None else path if is_batch(path) else read_table(path)
        features = Features(self.bare, model_input, history, self.tables)
        return FLAVORS[self.flavor].predict(self.model, features, self.method)


def _load_pyfunc(path: str | os.PathLike[str]) -> PlanModel:
    """Return the plan and the model of a folder; MLflow calls this by its name.

    Raises:
        ArtifactError: a later version of fastfeat wrote it, or a file was altered or is missing.
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
    """Return the document that is written of a model beside its files.

    Raises:
        ArtifactError: a later version of fastfeat wrote it, or something else did.
    """
    try:
        kept: Any = json.loads((folder / _KEPT).read_text("utf-8"))
        version, flavor = kept["version"], kept["flavor"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArtifactError(
            f"{folder / _KEPT}: this is not what fastfeat wrote: {error}"
        ) from error
    if version != _VERSION or flavor not in FLAVORS:
        raise ArtifactError(
            f"{folder}: version {version}, flavor {flavor!r}; this fastfeat reads version "
            f"{_VERSION} of {', '.join(FLAVORS)}. Install the one that wrote it"
        )
    return kept


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Raise where a file is another than was written: a plan and a model belong together.

    Raises:
        ArtifactError: it names the file.
    """
    for name, digest in files.items():
        try:
            found = _digest(folder / name)
        except OSError as error:
            raise ArtifactError(f"{folder / name}: cannot be read: {error}") from error
        if found != digest:
            raise ArtifactError(
                f"{folder / name}: the file was altered or replaced since it was written with "
                "the others: its SHA-256 is another. Save plan and model together"
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _whole(fitted: FittedPlan, model: Any, method: str, beside: CallRows) -> PlanModel:
    """Return a plan and a model that belong together, with what the plan needs beside the rows.

    Raises:
        InvalidPlan: it looks up in tables, or its windows see earlier rows, that are not given; or
            the model was trained on other features.
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
            f"the plan looks up in the table {min(lacking)!r}. Pass it: "
            f"tables={{{min(lacking)!r}: ...}}, which is kept with the model"
        )
    plan = fitted.plan
    if plan.declaration.past_columns and history is None:
        raise InvalidPlan(
            "windows of the plan see earlier rows. Pass history=, which is kept with the model, or "
            "history='batch' where the rows to predict hold their own past"
        )
    if not plan.declaration.past_columns:
        history = None  # no window sees one
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
    """Write a plan, a model and what they need to a folder.

    Returns:
        Its path, and what MLflow is told of it: requirements, signature, example.
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
    """Silence MLflow where it asks for an example of the input: the plan has told its types."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        yield


def _table(k: int) -> str:
    """Return the name of the file of a table: that of a lookup may be any text."""
    return f"table_{k}.arrow"


def _write_table(table: Table, path: Path) -> None:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
