"""Configurations: every key is known, and every error names it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fastfeat.apps.stream.config_file import config_of, read_config
from fastfeat.errors import InvalidConfig
from fastfeat_tests.docs.options import toml_example
from fastfeat_tests.patience import PATIENCE_S

MINIMAL = """
artifact = "plan.fastfeat"
state = "state"
group = "g"
[kafka]
brokers = "127.0.0.1:9092"
[events]
topic = "events"
"""


def with_line(line: str, section: str = "") -> dict[str, Any]:
    """Return the smallest configuration with another line, in a section."""
    return tomllib.loads(f"{line}\n{MINIMAL}" if not section else f"{MINIMAL}\n[{section}]\n{line}")


def test_documented_example_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "stream.toml").write_text(toml_example())
    found = read_config(tmp_path / "stream.toml")
    assert found.artifacts == {"": tmp_path / "flights.fastfeat"}
    assert found.late == "dead_letter"
    assert found.batch.wait_s == pytest.approx(0.02)
    assert found.kafka.consumer == {"session.timeout.ms": 6000}
    assert found.events.columns == {"tailnum": "tail"}
    assert found.tables["weather"].path == tmp_path / "weather.parquet"
    assert found.tables["weather"].source is not None
    assert found.out.valkey is not None
    assert found.out.valkey.ttl_s == 7 * 86400
    assert found.out.kafka is not None
    assert found.out.kafka.buffer_bytes == 32 << 20
    assert found.metrics == ("127.0.0.1", 9464)
    assert found.drift_s == 3600
    assert found.history == tmp_path / "history/{partition}.parquet"


def test_documented_example_has_every_key(tmp_path: Path) -> None:
    """A key that the example lacked would be one that nobody finds."""
    said = toml_example()
    (tmp_path / "stream.toml").write_text(said)
    for key in ("artifact", "lock_wait", "start", "schema", "framing", "types", "ttl", "buffer"):
        assert f"\n{key} = " in f"\n{said}"


@pytest.mark.parametrize(
    ("line", "section", "told"),
    [
        ('lat = "drop"', "", "lat: a stream has no such option. Did you mean 'late'"),
        (
            'late = "never"',
            "",
            "late: must be 'error', 'insert', 'drop' or 'dead_letter', got 'never'",
        ),
        ("late = 3", "", "late: must be text, got 3"),
        ('checkpoint = "1"', "", "checkpoint: must be a duration, such as '20ms'"),
        (
            "checkpoint = 1",
            "",
            "checkpoint: must be a duration, such as '20ms', '1s', '5m' or '7d', got",
        ),
        ('checkpoint = "0s"', "", "checkpoint: must be a duration"),
        ("metrics = 70000", "", "metrics: must be a port or 'host:port'"),
        ("metrics = true", "", "metrics: must be a port or 'host:port'"),
        ("keep = true", "", "keep: must be text or a whole number"),
        ("rows = 0", "batch", "batch.rows: must be a whole number from 1"),
        ("rows = true", "batch", "batch.rows: must be a whole number"),
        ('topics = "x"', "out.kafka", "out.kafka.topic: is missing; it must be text"),
        ('topic = "x"\nbuffer = "3 floppies"', "out.kafka", "out.kafka.buffer: must be a size"),
        ('topic = "x"\nformat = "xml"', "outcomes", "outcomes.format: must be 'json', 'arrow' or"),
        ('topic = "x"\nformat = "avro"', "outcomes", "outcomes.schema: is missing"),
        ('topic = "x"\ncolumns = { a = 1 }', "outcomes", "outcomes.columns.a: must be text, got 1"),
        ('url = "redis://h"\nkeys = []', "out.valkey", "out.valkey.keys: must be a list of at"),
        ('url = "redis://h"\nkeys = "a"', "out.valkey", "out.valkey.keys: must be a list of at"),
        ('topic = ""', "dead_letters", "dead_letters.topic: must not be empty"),
        ('folder = "f"', "out.files", "out.files: a stream has no such option"),
        ('options = ["a"]', "tables.weather", "weather.options: a stream has no such option"),
    ],
)
def test_error_names_the_key(line: str, section: str, told: str) -> None:
    with pytest.raises(InvalidConfig) as raised:
        config_of(with_line(line, section))
    assert told in str(raised.value)


def test_lacking_sections_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"\[kafka\] is missing"):
        config_of({"artifact": "a", "state": "s", "group": "g"})
    with pytest.raises(InvalidConfig, match="cannot read"):
        read_config(tmp_path / "none.toml")
    for text in ("a = ", "a = " + 2000 * "["):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(InvalidConfig, match=r"bad\.toml is not TOML"):
            read_config(tmp_path / "bad.toml")
    with pytest.raises(InvalidConfig, match="write artifact or artifacts, not both"):
        config_of(tomllib.loads(MINIMAL + '[artifacts]\na = "b"'))


def test_a_stream_needs_no_library_of_servers() -> None:
    code = "import sys; sys.modules['uvicorn'] = None; import fastfeat.apps.stream.runner"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S)
