"""Who may ask: with a token those that send it; without one this machine, and no page of another site."""

from __future__ import annotations

import dataclasses

import pytest
from starlette.testclient import TestClient

from clew.core.errors import UsageError
from clew.serve.app import create_app
from clew.serve.authentication import find_token, is_loopback

pytest_plugins = ("serving",)

TOKEN = "0123456789abcdef-of-signs"


@pytest.fixture
def guarded(house):
    """A server beyond this machine, with a token."""
    return TestClient(create_app(dataclasses.replace(house, token=TOKEN)), base_url="http://traces.example.org")


def test_the_token_opens_and_nothing_else_does(guarded):
    assert guarded.get("/api/traces", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    wrong = [
        "",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer",
        "Bearer ",
        "Bearer \xff",
    ]
    for value in wrong:
        answer = guarded.get("/api/traces", headers={"Authorization": value.encode("latin-1")})
        assert answer.status_code == 401, value
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text
    assert guarded.get("/openapi.json").status_code == 401
    assert guarded.get("/nothing").status_code == 401
    assert guarded.post("/api/traces", content=b"x" * 2**21).status_code == 401
    assert guarded.get("/api/health").status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "127.3.2.1"])
def test_without_a_token_this_machine_is_answered(house, host):
    client = TestClient(create_app(house), base_url="http://127.0.0.1")
    assert client.get("/api/traces", headers={"Host": host}).status_code == 200
    assert client.get("/api/traces", headers={"Host": host, "Origin": "http://localhost:3000"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example:8000"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": ""},
        {"Host": "["},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_without_a_token_a_page_of_another_site_is_not(house, headers):
    client = TestClient(create_app(house), base_url="http://127.0.0.1")
    answer = client.post("/api/ungar/high-card-duel/generate", json={"count": 1}, headers=headers)
    assert answer.status_code == 403
    assert house.store.count() == 0


def test_where_a_token_is_found(tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n", encoding="utf-8")
    monkeypatch.delenv("CLEW_TOKEN", raising=False)
    assert find_token("", None) is None
    assert find_token("", path) == TOKEN
    assert find_token(TOKEN, None) == TOKEN
    monkeypatch.setenv("CLEW_TOKEN", TOKEN + "2")
    assert find_token("", None) == TOKEN + "2"
    assert find_token("", path) == TOKEN
    with pytest.raises(UsageError, match="Leave one of them out"):
        find_token(TOKEN, path)


@pytest.mark.parametrize(
    "content", ["", "short", "with a space and long enough", "ümläuts-are-no-signs-here", "x" * 20 + "\ny"]
)
def test_a_token_that_protects_nothing_is_refused(tmp_path, content):
    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="16 characters") as told:
        find_token("", path)
    assert not content or content not in str(told.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_what_only_this_machine_reaches(host, expected):
    assert is_loopback(host) is expected
