"""The recipes of docs/live.md that need more than Python: files to deploy, figures, Feast."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fastfeat_tests.docs.pages import ROOT, blocks, run_blocks
from fastfeat_tests.patience import PATIENCE_S

PAGE = ROOT / "docs" / "live.md"
FEAST = Path(os.environ.get("FEAST_PYTHON") or ROOT / ".venv-feast" / "bin" / "python")


def test_the_deployed_configuration_is_one() -> None:
    from fastfeat.apps.stream import read_config

    config = read_config(ROOT / "docs" / "deploy" / "stream.toml")
    assert config.events.topic == "flights"
    compose = (ROOT / "docs" / "deploy" / "compose.yaml").read_text("utf-8")
    topics = [config.events.topic]
    topics += [config.dead_letters.topic] if config.dead_letters else []
    topics += [config.outcomes.topic] if config.outcomes else []
    topics += [config.out.kafka.topic] if config.out.kafka else []
    topics += [table.source.topic for table in config.tables.values() if table.source]
    created = re.findall(r"for topic in ([a-z -]+); do", compose)[0].split()
    assert sorted(created) == sorted(filter(None, topics))
    assert config.kafka.brokers in compose


def test_the_live_figures_are_those_of_the_results() -> None:
    from bench import live, live_figures

    text = live.PAGE.read_text("utf-8")
    found = json.loads((live.FOLDER / "live.json").read_text("utf-8"))
    assert live_figures.refreshed(text, found) == text


def test_the_live_benchmark_compares_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    from bench import live

    live.main(["--smoke", "--only", "batches"])
    assert "live.process(batch), in memory" in capsys.readouterr().out


@pytest.mark.large
def test_feast_gives_back_the_bits_that_were_served(
    demo_folder: Path,
) -> None:
    if not FEAST.exists():
        pytest.skip(f"there is no {FEAST}: make {FEAST.parents[1].name}/feast.installed")
    run_blocks(PAGE, blocks(PAGE, "python"))
    (recipe,) = blocks(PAGE, "py")
    (demo_folder / "recipe.py").write_text(f"{recipe}\nimport json\nprint(json.dumps(found))\n")
    environment = os.environ | {"PYTHONPATH": "", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [FEAST, "recipe.py"], capture_output=True, text=True, env=environment, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    served = pq.read_table("demo/served.parquet").to_pylist()
    latest = {row["card"]: row for row in served}  # in order of time
    assert found["card"] == ["card 0", "card 1", "card 2"]
    for name in ("n_1h", "mean_1h", "fraud_7d"):
        assert found[name] == [latest[card][name] for card in found["card"]], name
