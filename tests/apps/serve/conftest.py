"""Servers that the tests of a run share; each ends with it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from fastfeat_tests.apps.serve.served_plan import HISTORY, SHOPS, Files, Server, fitted, server


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("served")
    found = Files(folder / "cards.fastfeat", folder / "history.parquet", folder / "shops.parquet")
    fitted().save(found.artifact)
    pq.write_table(HISTORY, found.history)
    pq.write_table(SHOPS, found.shops)
    return found


@pytest.fixture(scope="session")
def asked(files: Files) -> Iterator[Server]:
    """A server whose state the tests leave as it is."""
    with server(**files.options, flight_port=0) as found:
        found.wait_for("ready with")
        yield found
