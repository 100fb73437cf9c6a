"""A server in this process, over a store of its own; and one as a process, that listens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from clew.serve.app import create_app
from clew.serve.house import House, open_house
from clew.traces.store import TraceStore
from live_server import LiveServer


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty store, and jobs that nobody looks after."""
    with TraceStore.open(tmp_path / "traces.db") as store:
        yield open_house(store, tmp_path / "runs")


@pytest.fixture
def client(house: House) -> TestClient:
    """A client of this machine. What would be a traceback for a server's operator is an answer to it."""
    return TestClient(create_app(house), base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """`clew serve`, shared by the tests of a file."""
    with LiveServer(tmp_path_factory.mktemp("served")) as server:
        yield server
