"""The recipes of docs/live.md are true: their Python runs, and their files are read."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]
RECIPES = (ROOT / "docs" / "live.md").read_text("utf-8")
FEAST = Path(os.environ.get("FEAST_PYTHON") or ROOT / ".venv-feast" / "bin" / "python")


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", RECIPES, re.DOTALL | re.MULTILINE)


def run_python_blocks() -> dict[str, Any]:
    """Run them in one namespace, in the current folder."""
    names: dict[str, Any] = {"__name__": "recipes"}
    for block in blocks("python"):
        exec(compile(block, "docs/live.md", "exec"), names)
    return names


def test_every_python_block_of_the_recipes_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(blocks("python")) >= 6
    run_python_blocks()
    assert "card" in capsys.readouterr().out  # what a late row says


def test_every_file_and_heading_that_the_recipes_link_to_exists() -> None:
    links = re.findall(r"\]\(([^)]+)\)", RECIPES)
    titles = re.findall(r"^## (.+)$", RECIPES, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert len(links) >= 10
    for link in links:
        assert link in anchors if link.startswith("#") else (ROOT / "docs" / link).exists(), link


def test_the_deployed_configuration_is_one() -> None:
    from fastfeat.stream import read_config

    config = read_config(ROOT / "docs" / "deploy" / "stream.toml")
    assert config.events.topic == "flights"
    compose = (ROOT / "docs" / "deploy" / "compose.yaml").read_text("utf-8")
    topics = [config.events.topic, config.dead_letters]
    topics += [config.outcomes.topic] if config.outcomes else []
    topics += [config.kafka_out.topic] if config.kafka_out else []
    topics += [table.source.topic for table in config.tables.values() if table.source]
    created = re.findall(r"for topic in ([a-z -]+); do", compose)[0].split()
    assert sorted(created) == sorted(filter(None, topics))
    assert config.kafka.brokers in compose


def test_the_figures_in_the_readme_are_those_of_the_results() -> None:
    from bench import live, live_readme

    text = live.README.read_text("utf-8")
    found = json.loads((live.FOLDER / "live.json").read_text("utf-8"))
    assert live_readme.refreshed(text, found) == text


def test_the_live_benchmark_compares_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    from bench import live

    live.main(["--smoke", "--only", "batches"])
    assert "live.process(batch), in memory" in capsys.readouterr().out


@pytest.mark.large
def test_feast_gives_back_the_bits_that_were_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not FEAST.exists():
        pytest.skip(f"there is no {FEAST}: make {FEAST.parents[1].name}/feast.installed")
    monkeypatch.chdir(tmp_path)
    run_python_blocks()
    (recipe,) = blocks("py")
    (tmp_path / "recipe.py").write_text(f"{recipe}\nimport json\nprint(json.dumps(found))\n")
    environment = os.environ | {"PYTHONPATH": "", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [FEAST, "recipe.py"], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    served = pq.read_table("served.parquet").to_pylist()
    latest = {row["card"]: row for row in served}  # in order of time
    assert found["card"] == ["card 0", "card 1", "card 2"]
    for name in ("n_1h", "mean_1h", "fraud_7d"):
        assert found[name] == [latest[card][name] for card in found["card"]], name
