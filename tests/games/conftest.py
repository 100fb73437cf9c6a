"""A PostgreSQL server of the tests' own, started when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from postgres_server import NoPostgresError, Server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server. Without PostgreSQL's binaries the tests that need it fail, with a sentence about how to get them."""
    try:
        server = Server()
    except NoPostgresError as error:
        pytest.fail(str(error), pytrace=False)
    yield server
    server.close()
