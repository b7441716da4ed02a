"""The tutorial: its Python runs, its service is started by its command, its requests are sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat_tests.docs.pages import ROOT, blocks, files, run_blocks
from fastfeat_tests.docs.served import asked, of_curl, started

PAGE = ROOT / "docs" / "ten_minutes.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the Python of the page leaves, with the service as a file."""
    folder = tmp_path_factory.mktemp("ten_minutes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = blocks(PAGE, "python")
        ((name, service),) = files(found).items()
        names = run_blocks(PAGE, [block for block in found if block != service])
    (folder / name).write_text(service)
    said = re.search(r"The area is about (\.\d+|0\.\d+)", PAGE.read_text("utf-8"))
    assert said is not None
    assert abs(names["area"] - float(said[1])) < 0.01
    counts = re.search(r"# (\d+) (\d+)\n", "".join(found))
    assert counts is not None
    assert counts.groups() == (str(names["train"].num_rows), str(names["test"].num_rows))
    return folder


def test_the_service_answers_as_the_page_says(folder: Path) -> None:
    install, serve, *requests = blocks(PAGE, "sh")
    assert "'.[demo,serve,sklearn]' fastapi" in install
    command = serve.strip().replace("8000", "0").split()
    with started(folder, *command, says=r"running on http://127.0.0.1:(\d+)") as port:
        (url, flight), (drift_url, nothing) = (of_curl(line, port) for line in requests)
        status, answer = asked(url, flight)
        assert (status, answer["late"] > 0.8) == (200, True), answer
        status, answer = asked(url, flight | {"dep_delay": -5})
        assert (status, answer["late"] < 0.3) == (200, True), answer
        status, answer = asked(url, flight | {"time_hour": "2013-01-01T12:00:00Z"})
        assert status == 422
        assert "N14228" in answer["detail"], answer
        assert asked(drift_url, nothing) == (200, {"drifted": []})
        for _ in range(300):
            asked(url, flight | {"dep_delay": 900})
        status, answer = asked(drift_url, nothing)
        assert "delay" in answer["drifted"], answer
        status, described = asked(url.replace("/late", "/openapi.json"))
        assert set(described["paths"]) == {"/late", "/drift"}


def test_the_service_answers_with_the_bits_of_transform(folder: Path) -> None:
    fitted = ff.load(folder / "flights.fastfeat")
    live = fitted.online(path=folder / "flights.state")
    row: dict[str, Any] = {
        "time_hour": pa.scalar(1_390_000_000, pa.timestamp("s", "UTC")).as_py(),
        "tailnum": "N14228", "carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400,
        "dep_delay": None,
    }  # fmt: skip
    past = live.history()
    alone = live.process(row)
    live.close()
    table = pa.Table.from_pylist([row])
    delay = table["dep_delay"].cast("int64")
    table = table.set_column(table.column_names.index("dep_delay"), "dep_delay", delay)
    expected = fitted.transform(table, history=past, to="numpy")[0]
    assert alone.tobytes() == expected.astype(alone.dtype).tobytes()
