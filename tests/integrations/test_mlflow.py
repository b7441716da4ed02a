"""MLflow: plan and model as one pyfunc, its signature, and the same bits in a fresh process."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import ArtifactError, InvalidPlan, TypeMismatch
from fastfeat_tests.integrations.training_rows import CODED, PLAN, TEST, TRAIN, label_of

pytestmark = pytest.mark.large
mlflow: Any = pytest.importorskip("mlflow")
ours: Any = pytest.importorskip("fastfeat.integrations.mlflow")

FITTED, FEATURES = PLAN.fit_transform(TRAIN)
MATRIX = PLAN.fit_transform(TRAIN, to="numpy")[1]
Y = label_of(TRAIN)
FRAME = TEST.drop_columns(["spent", "weight", "id"]).to_pandas()


def of_xgboost() -> tuple[Any, str, Any]:
    xgboost: Any = pytest.importorskip("xgboost")

    from fastfeat.integrations.xgboost import dmatrix

    matrix = dmatrix(FITTED, features=FEATURES, label=Y)
    model = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, 3)
    return model, "predict", model.predict(dmatrix(FITTED, TEST, label=False))


def of_xgboost_classifier() -> tuple[Any, str, Any]:
    xgboost: Any = pytest.importorskip("xgboost")

    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(MATRIX, Y)
    expected = model.predict_proba(FITTED.transform(TEST, to="numpy"))
    return model, "predict_proba", expected


def of_lightgbm() -> tuple[Any, str, Any]:
    lightgbm: Any = pytest.importorskip("lightgbm")

    from fastfeat.integrations.lightgbm import dataset, features

    params = {"objective": "binary", "verbose": -1, "num_threads": 1}
    model = lightgbm.train(params, dataset(FITTED, features=FEATURES, label=Y), 3)
    return model, "predict", model.predict(features(FITTED, TEST))


def of_lightgbm_classifier() -> tuple[Any, str, Any]:
    lightgbm: Any = pytest.importorskip("lightgbm")

    model = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(MATRIX, Y)
    expected = model.booster_.predict(FITTED.transform(TEST, to="numpy"))
    return model, "predict_proba", np.column_stack([1 - expected, expected])


def of_catboost() -> tuple[Any, str, Any]:
    catboost: Any = pytest.importorskip("catboost")

    from fastfeat.integrations.catboost import pool

    model = catboost.CatBoostClassifier(
        iterations=3, verbose=False, thread_count=1, allow_writing_files=False
    )
    model.fit(pool(FITTED, features=FEATURES, label=Y))
    return model, "predict_proba", model.predict_proba(pool(FITTED, TEST, label=False))


def of_sklearn() -> tuple[Any, str, Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=3).fit(MATRIX, Y)
    return model, "predict_proba", model.predict_proba(FITTED.transform(TEST, to="numpy"))


def of_sklearn_and_a_frame() -> tuple[Any, str, Any]:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.tree import DecisionTreeClassifier

    model = make_pipeline(SimpleImputer(), DecisionTreeClassifier(max_depth=4, random_state=0))
    model.fit(PLAN.fit_transform(TRAIN, to="pandas")[1].drop(columns="id"), Y)
    frame = FITTED.transform(TEST, to="pandas").drop(columns="id")
    return model, "predict", model.predict(frame)


def of_torch() -> tuple[Any, str, Any]:
    torch: Any = pytest.importorskip("torch")

    torch.manual_seed(0)
    layers = torch.nn.Linear(MATRIX.shape[1], 1), torch.nn.Dropout(), torch.nn.Sigmoid()
    model: Any = torch.nn.Sequential(*layers).eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(np.ascontiguousarray(known_matrix()))).numpy()
    return model, "predict", expected


def known_matrix() -> Any:
    return FITTED.transform(TEST, to="numpy")


MODELS: dict[str, Callable[[], tuple[Any, str, Any]]] = {
    "xgboost": of_xgboost,
    "xgboost_classifier": of_xgboost_classifier,
    "lightgbm": of_lightgbm,
    "lightgbm_classifier": of_lightgbm_classifier,
    "catboost": of_catboost,
    "sklearn": of_sklearn,
    "sklearn_and_a_frame": of_sklearn_and_a_frame,
    "torch": of_torch,
}

LOADING = """
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

folder = Path(sys.argv[1])
frame = pd.read_parquet(folder / "rows.parquet")
models = {path.name: mlflow.pyfunc.load_model(str(path)) for path in (folder / "models").iterdir()}
np.savez(folder / "out.npz", **{name: model.predict(frame) for name, model in models.items()})
assert "fastfeat.integrations.mlflow" in sys.modules
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a folder of saved models, and what each predicts of the test rows."""
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "models").mkdir()
    predictions: dict[str, Any] = {}
    for name, make in MODELS.items():
        model, method, predictions[name] = make()
        ours.save_model(FITTED, model, folder / "models" / name, method=method)
    return folder, predictions


def test_a_fresh_process_predicts_the_same_bits(expected: tuple[Path, dict[str, Any]]) -> None:
    folder, predictions = expected
    FRAME.to_parquet(folder / "rows.parquet")
    done = subprocess.run(
        [sys.executable, "-c", LOADING, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "out.npz") as got:
        for name, wanted in predictions.items():
            assert np.array_equal(got[name], wanted, equal_nan=name == "torch"), name


@pytest.mark.parametrize("name", MODELS)
def test_nothing_of_fastfeat_is_pickled_and_no_host_is_named(
    name: str, expected: tuple[Path, dict[str, Any]]
) -> None:
    folder = expected[0] / "models" / name
    assert (folder / "data/plan_and_model/plan.fastfeat").exists()
    pickled = [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".pth")]
    assert not any(b"fastfeat" in path.read_bytes() for path in pickled)
    requirements = (folder / "requirements.txt").read_text()
    assert f"fastfeat=={ff.__version__}" in requirements
    assert "://" not in requirements
    assert "+" not in requirements


def test_plan_and_model_load_apart(expected: tuple[Path, dict[str, Any]]) -> None:
    folder, predictions = expected
    fitted, model = ours.load_model(folder / "models" / "sklearn")
    assert fitted.plan.to_json() == PLAN.to_json()
    got = model.predict_proba(fitted.transform(FRAME, to="numpy"))
    assert np.array_equal(got, predictions["sklearn"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of SQLAlchemy, by MLflow's store
def test_a_model_is_logged_to_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/store.db")
    try:
        mlflow.create_experiment("flights", artifact_location=(tmp_path / "artifacts").as_uri())
        mlflow.set_experiment("flights")
        model = HistGradientBoostingClassifier(max_iter=2).fit(MATRIX, Y)
        with mlflow.start_run():
            info = ours.log_model(
                FITTED,
                model,
                name="bought",
                method="predict_proba",
                input_example=FRAME.head(3),
                registered_model_name="bought",
                metadata={"team": "a"},
            )
        assert str(info.signature.outputs) == "[Tensor('float64', (-1, 2))]"
        wanted = model.predict_proba(known_matrix())
        for uri in (info.model_uri, "models:/bought/1"):
            assert np.array_equal(mlflow.pyfunc.load_model(uri).predict(FRAME), wanted)
        fitted, loaded = ours.load_model(info.model_uri)
        assert np.array_equal(loaded.predict_proba(fitted.transform(FRAME, to="numpy")), wanted)
    finally:
        mlflow.set_tracking_uri(None)


KINDS = pa.table(
    {
        "text": ["a", None, "c"],
        "flag": pa.array([True, None, False]),
        "int": pa.array([1, None, 3], pa.int64()),
        "small": pa.array([1, 2, 3], pa.int8()),
        "half": pa.array([0.5, None, 2.0], pa.float32()),
        "float": [0.25, None, 2.0],
        "naive": pa.array([0, None, 2], pa.timestamp("us")),
        "zoned": pa.array([0, None, 2], pa.timestamp("ms", "Europe/Berlin")),
        "day": pa.array([0, None, 2], pa.date32()),
        "parts": pa.array([[1.0], None, []], pa.list_(pa.float64())),
        "y": [0.0, 1.0, 0.0],
    }
)
OF_KINDS = ff.Plan(
    {
        "text": col("text").ordinal_encode(),
        "flag": col("flag"),
        "int": col("int").impute("median"),
        "small": col("small"),
        "half": col("half"),
        "float": col("float"),
        "naive": col("naive").dt.epoch("us"),
        "zoned": col("zoned").dt.hour(),
        "day": col("day").dt.year(),
        "parts": col("parts").list.sum(),
    },
    label="y",
)


def linear_model(n_features: int) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    X = np.random.default_rng(0).normal(size=(50, n_features))
    fill = SimpleImputer(strategy="constant", fill_value=0.0)
    return make_pipeline(fill, LinearRegression()).fit(X, X.sum(axis=1))


def saved(fitted: Any, folder: Path, **options: Any) -> tuple[Any, Any]:
    """Return a model of the features of a plan, and what MLflow loads of it."""
    model = linear_model(len(fitted.feature_names))
    ours.save_model(fitted, model, folder / "model", **options)
    return model, mlflow.pyfunc.load_model(str(folder / "model"))


def test_the_signature_is_that_of_the_plan(tmp_path: Path) -> None:
    fitted = OF_KINDS.fit(KINDS)
    model, loaded = saved(fitted, tmp_path, not_missing=["small"])
    inputs = loaded.metadata.signature.inputs
    assert [(spec.name, str(spec.type), spec.required) for spec in inputs] == [
        ("text", "Any", True),
        ("flag", "Any", True),
        ("int", "Any", True),
        ("small", "DataType.long", True),
        ("half", "DataType.double", True),
        ("float", "DataType.double", True),
        ("naive", "DataType.datetime", True),
        ("zoned", "Any", True),
        ("day", "Any", True),
        ("parts", "Any", True),
    ]
    wanted = model.predict(fitted.transform(KINDS, to="numpy"))
    rows = KINDS.drop_columns("y")
    coded = rows.to_pandas().astype({"text": "category"})
    for frame in (rows.to_pandas(), rows.to_pandas(types_mapper=nullable), coded):
        assert np.array_equal(loaded.predict(frame), wanted)


def nullable(kind: pa.DataType) -> Any:
    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return kinds.get(kind, pd.StringDtype() if kind == pa.string() else None)


def test_columns_that_are_never_missing_have_types(tmp_path: Path) -> None:
    whole = KINDS.drop_columns("flag").append_column("flag", pa.array([True, False, True]))
    _, loaded = saved(OF_KINDS.fit(whole), tmp_path, not_missing=["small", "flag"])
    inputs = loaded.metadata.signature.inputs.input_dict()
    assert [str(inputs[name].type) for name in ("small", "flag")] == [
        "DataType.long",
        "DataType.boolean",
    ]


def test_what_mlflow_cannot_check_the_plan_does(tmp_path: Path) -> None:
    _, loaded = saved(OF_KINDS.fit(KINDS), tmp_path)
    frame = KINDS.to_pandas()
    with pytest.raises(TypeMismatch, match='col\\("int"\\): fit saw int64'):
        loaded.predict(frame.assign(int=["1", "x", "3"]))
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        loaded.predict(frame.drop(columns="int"))


def test_windows_see_the_history_that_is_kept_or_given(tmp_path: Path) -> None:
    times = pa.array(range(len(TRAIN)), pa.timestamp("s"))
    data = TRAIN.append_column("at", times)
    past = ff.window("30m", by="street", time="at")
    plan = ff.Plan({"mean": col("spent").mean(over=past), "age": col("age")}, outcomes=["spent"])
    fitted = plan.fit(data)
    earlier, later = data.slice(0, 3_000), data.slice(3_000).drop_columns("spent")
    model, loaded = saved(fitted, tmp_path, history=earlier)
    inputs = loaded.metadata.signature.inputs
    assert {spec.name for spec in inputs if not spec.required} == {"spent"}
    wanted = model.predict(fitted.transform(later, history=earlier, to="numpy"))
    frame = later.to_pandas()
    assert np.array_equal(loaded.predict(frame), wanted)
    half = earlier.slice(1_500)
    other = model.predict(fitted.transform(later, history=half, to="numpy"))
    half.to_pandas().to_parquet(tmp_path / "half.parquet")
    given = loaded.predict(frame, params={"history": str(tmp_path / "half.parquet")})
    assert np.array_equal(given, other)
    assert not np.array_equal(given, wanted)


def test_windows_may_see_the_rows_to_predict_alone(tmp_path: Path) -> None:
    past = ff.window(rows=2, by="street", time="id")
    fitted = ff.Plan({"mean": col("age").mean(over=past)}).fit(TRAIN)
    model, loaded = saved(fitted, tmp_path, history="batch")
    wanted = model.predict(fitted.transform(TEST, history="batch", to="numpy"))
    assert np.array_equal(loaded.predict(TEST.to_pandas()), wanted)
    ours.save_model(fitted, model, tmp_path / "with", history=TRAIN)
    other = mlflow.pyfunc.load_model(str(tmp_path / "with"))
    alone = other.predict(TEST.to_pandas(), params={"history": "batch"})
    assert np.array_equal(alone, wanted)


def test_tables_are_kept(tmp_path: Path) -> None:
    streets = pa.table({"street": [f"street {k}" for k in range(40)], "length": range(40)})
    street = ff.lookup("streets", by="street")
    fitted = ff.Plan({"length": street.col("length")}).fit(TRAIN, tables={"streets": streets})
    model, loaded = saved(fitted, tmp_path, tables={"streets": streets.to_pandas()})
    wanted = model.predict(fitted.transform(TEST, tables={"streets": streets}, to="numpy"))
    assert np.array_equal(loaded.predict(TEST.to_pandas()), wanted)


LOOKING_UP = ff.Plan({"n": ff.lookup("t", by="street").col("n")})
OF_PAST = ff.Plan({"n": ff.count(over=ff.window(rows=2, by="street", time="id"))})
T = pa.table({"street": ["street 1"], "n": [1]})


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        (lambda to: ours.save_model(PLAN, linear_model(1), to), TypeMismatch, "fit(data) first"),
        (lambda to: ours.save_model(FITTED, 3, to), TypeMismatch, "a builtins.int, not a model"),
        (
            lambda to: ours.save_model(FITTED, linear_model(2), to),
            InvalidPlan,
            "the model was trained on 2 features, but the plan has 10",
        ),
        (
            lambda to: ours.save_model(FITTED, of_sklearn_and_a_frame()[0], to, method="score_all"),
            TypeMismatch,
            "method='score_all': a Pipeline has no such method",
        ),
        (
            lambda to: ours.save_model(
                FITTED.select([*FITTED.feature_names[1:], "size"]), of_lightgbm()[0], to
            ),
            InvalidPlan,
            "in another order: it has 'size' where the plan has 'age'",
        ),
        (
            lambda to: ours.save_model(LOOKING_UP.fit(TRAIN, tables={"t": T}), linear_model(1), to),
            InvalidPlan,
            "the plan looks up values in the table 't'. Pass it: tables={'t': ...}",
        ),
        (
            lambda to: ours.save_model(FITTED, linear_model(10), to, tables=T),
            TypeMismatch,
            "tables= must be a dict of tables by name, got a Table",
        ),
        (
            lambda to: ours.save_model(OF_PAST.fit(TRAIN), linear_model(1), to),
            InvalidPlan,
            "Pass history=, which is saved with the model, or history='batch'",
        ),
        (
            lambda to: ours.save_model(FITTED, linear_model(10), to, not_missing="city"),
            InvalidPlan,
            "not_missing must be a list of column names, got 'city'",
        ),
        (
            lambda to: ours.save_model(FITTED, linear_model(10), to, not_missing=["cty"]),
            InvalidPlan,
            "Did you mean 'city'?",
        ),
        (
            lambda to: ours.save_model(FITTED, of_torch()[0].train(), to),
            InvalidPlan,
            "call model.eval() before",
        ),
        (
            lambda to: ours.save_model(FITTED, to),
            TypeMismatch,
            "lacks path=. Write mlflow.save_model(",
        ),
    ],
)
def test_what_cannot_be_kept_is_told(
    call: Callable[[Path], Any], kind: type[Exception], told: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        call(tmp_path / "model")
    assert not (tmp_path / "model").exists()


ALTERED: dict[str, Callable[[Path], Any]] = {
    "another plan": lambda of: PLAN.fit(TEST).save(of / "plan.fastfeat"),
    "no plan": lambda of: (of / "plan.fastfeat").unlink(),
    "no model": lambda of: (of / "model" / "MLmodel").unlink(),
    "another history": lambda of: (of / "history.arrow").write_bytes(b""),
    "no json": lambda of: (of / "kept.json").write_text("{"),
    "empty json": lambda of: (of / "kept.json").write_text("{}"),
    "list": lambda of: (of / "kept.json").write_text("[]"),
    "nothing": lambda of: (of / "kept.json").unlink(),
}


@pytest.mark.parametrize("altered", ALTERED)
def test_files_that_were_altered_or_swapped_are_refused(altered: str, tmp_path: Path) -> None:
    fitted = OF_PAST.fit(TRAIN)
    ours.save_model(fitted, linear_model(1), tmp_path / "model", history=TRAIN)
    (kept,) = (tmp_path / "model").rglob("kept.json")
    ALTERED[altered](kept.parent)
    with pytest.raises(
        ArtifactError, match=r"altered or replaced|cannot be read|not what fastfeat"
    ):
        ours.load_model(tmp_path / "model")


def test_what_a_plan_does_not_see_is_not_kept(tmp_path: Path) -> None:
    model, loaded = saved(OF_KINDS.fit(KINDS), tmp_path, history=KINDS, tables={"t": T})
    assert not [*(tmp_path / "model").rglob("*.arrow")]
    wanted = model.predict(OF_KINDS.fit(KINDS).transform(KINDS, to="numpy"))
    assert np.array_equal(loaded.predict(KINDS.to_pandas()), wanted)


def test_a_model_that_was_not_trained_is_told(tmp_path: Path) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.linear_model import LinearRegression

    with pytest.raises(NotFittedError, match="LinearRegression instance is not fitted yet"):
        ours.save_model(FITTED, LinearRegression(), tmp_path / "model")


def test_another_model_of_mlflow_is_told(tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    mlflow.sklearn.save_model(model, str(tmp_path / "other"), pip_requirements=["scikit-learn"])
    with pytest.raises(ArtifactError, match=r"not logged by fastfeat, but by mlflow\.sklearn"):
        ours.load_model(tmp_path / "other")


def test_codes_are_categories_in_the_loaded_model(expected: tuple[Path, dict[str, Any]]) -> None:
    _, model = ours.load_model(expected[0] / "models" / "catboost")
    names = model.feature_names_
    assert [names[place] for place in model.get_cat_feature_indices()] == CODED
