"""The apps of docs/apps.md answer real requests; a real worker takes the task of Celery."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import fastfeat as ff
from fastfeat_tests.docs.pages import ROOT, blocks, files, run_blocks
from fastfeat_tests.docs.served import asked, started
from fastfeat_tests.patience import PATIENCE_S

PAGE = ROOT / "docs" / "apps.md"
ROW = {"distance": 1400, "dep_delay": 45, "carrier": "UA"}
COMMANDS = {
    "with_fastapi": ("uvicorn", "with_fastapi:app", "--port", "0"),
    "with_flask": ("flask", "--app", "with_flask", "run", "--port", "0"),
    "with_starlette": ("uvicorn", "with_starlette:app", "--port", "0"),
}


@pytest.fixture
def folder(demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with the fitted plan and the files of the page."""
    found = blocks(PAGE, "python")
    apps = files(found)
    run_blocks(PAGE, [block for block in found if block not in apps.values()])
    for name, text in apps.items():
        (demo_folder / name).write_text(text)
    assert set(apps) == {"features.py", "with_celery.py", *(f"{name}.py" for name in COMMANDS)}
    monkeypatch.syspath_prepend(str(demo_folder))
    return demo_folder


@pytest.mark.parametrize("name", COMMANDS)
def test_a_web_app_answers_with_the_bits_of_transform(name: str, folder: Path) -> None:
    fitted = ff.load("flights.fastfeat")
    command = COMMANDS[name]
    told = " ".join(word for word in command if word not in ("--port", "0"))
    assert f"`{told}`" in PAGE.read_text("utf-8")
    with started(folder, *command, says=r"(?i)running on http://127.0.0.1:(\d+)") as port:
        url = f"http://127.0.0.1:{port}/features"
        (expected,) = fitted.transform([ROW]).to_pylist()
        assert asked(url, ROW) == (200, expected)
        status, answer = asked(url, ROW | {"dep_delay": None})
        assert (status, answer["delay"]) == (200, None)
        status, answer = asked(url, ROW | {"carrier": 7})
        assert status == 422
        assert "carrier" in answer["detail"]
        assert "7" in answer["detail"]


@pytest.fixture
def tasks(folder: Path) -> Generator[Any]:
    """Yield the module of the Celery app, with a broker in memory."""
    module = importlib.import_module("with_celery")
    module.app.conf.update(broker_url="memory://", result_backend="cache+memory://")
    yield module
    for name in ("with_celery", "features"):
        sys.modules.pop(name)


@pytest.mark.filterwarnings("ignore")  # of Celery and its broker
def test_a_worker_of_celery_answers_with_the_bits_of_transform(tasks: Any) -> None:
    from celery.contrib.testing.worker import start_worker

    rows = [ROW, ROW | {"dep_delay": None}]
    worker: Any = start_worker(tasks.app, pool="solo", perform_ping_check=False)
    with worker:
        found = tasks.features.delay(rows).get(timeout=PATIENCE_S)
        with pytest.raises(Exception, match="carrier"):
            tasks.features.delay([ROW | {"carrier": 7}]).get(timeout=PATIENCE_S)
    assert found == tasks.fitted.transform(rows).to_pylist()
