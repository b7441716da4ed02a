"""A broker for all tests of streams of one worker, and Valkey; skipped where they cannot be had."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import pytest

from docs.demos.services import Service, ServiceUnavailable, running_broker, running_valkey
from fastfeat_tests.apps.stream.topics import Topics


@pytest.fixture(scope="session")
def broker() -> Generator[Service]:
    """A broker that speaks Kafka's protocol; topics are each test's own."""
    try:
        with running_broker() as service:
            yield service
    except ServiceUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    """A Valkey server."""
    folder: Path = tmp_path_factory.mktemp("valkey")
    try:
        with running_valkey(folder) as service:
            yield service
    except ServiceUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def topics(broker: Service, tmp_path: Path) -> Topics:
    """Topics of a test, with two partitions."""
    found = Topics(broker.address, f"t{uuid4().hex}", tmp_path)
    found.create()
    return found
