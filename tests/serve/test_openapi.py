"""What the server says of itself in OpenAPI is so: schemathesis sends every operation what fits and what does not."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from clew.serve.app import create_app
from clew.serve.house import open_house
from clew.traces.store import TraceStore


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """The server's own description, over a store with some traces and a dataset."""
    folder = tmp_path_factory.mktemp("openapi")
    with TraceStore.open(folder / "traces.db") as store:
        app = create_app(open_house(store, folder / "runs"))
        yield schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "127.0.0.1"})


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_every_operation_answers_as_it_is_described(described, mode):
    for found in described.get_all_operations():
        operation = found.ok()
        try:
            strategy = operation.as_strategy(generation_mode=mode)
            send(strategy)()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # whatever is sent fits what takes nothing


def send(cases):
    """Send each case and hold the answer against the description."""

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=cases)
    def sent(case):
        case.call_and_validate(headers={"Host": "127.0.0.1"}, checks=CHECKS)

    return sent


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


def test_the_description_is_whole(described):
    """Each operation says what it does, has an example of its body, and declares the faults that it may tell."""
    raw = described.raw_schema
    count = 0
    for path, methods in raw["paths"].items():
        for method, operation in methods.items():
            count += 1
            assert operation["summary"], path
            assert operation["description"], path
            if path == "/api/health":
                continue
            assert {"400", "401", "403", "422", "503"} <= set(operation["responses"]), (path, method)
            assert "{" not in path or path.count("{name}") or "404" in operation["responses"], path
            for status, answer in operation["responses"].items():
                if status >= "4":
                    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Fault"}
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                assert "example" in str(body), path
    assert count >= 25
