"""A server in this process, over a store of its own; and one as a process, that listens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from clew.serve.app import create_app
from clew.serve.house import House, open_house
from clew.traces.store import TraceStore
from live_server import LiveServer


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store without anything in it, to be copied: making the tables takes longer than most tests."""
    path = tmp_path_factory.mktemp("store") / "traces.db"
    TraceStore.open(path).close()
    return path


@pytest.fixture
def house(tmp_path: Path, empty_store: Path) -> Iterator[House]:
    """An empty store, and jobs that nobody looks after."""
    shutil.copy(empty_store, tmp_path / "traces.db")
    with TraceStore.open(tmp_path / "traces.db") as store:
        yield open_house(store, tmp_path / "runs")


@pytest.fixture(scope="session")
def served() -> FastAPI:
    """The application, made once; each test gives it a house of its own."""
    return create_app(cast(House, SimpleNamespace(token=None)))


@pytest.fixture
def client(house: House, served: FastAPI) -> TestClient:
    """A client of this machine. What would be a traceback for a server's operator is an answer to it."""
    served.state.house = house
    return TestClient(served, base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """`clew serve`, shared by the tests of a file."""
    with LiveServer(tmp_path_factory.mktemp("served")) as server:
        yield server
