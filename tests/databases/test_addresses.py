"""Where a database is: what is taken for a file, and that no password is shown or written."""

from __future__ import annotations

import itertools
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from clew.core.errors import UsageError, without_passwords
from clew.databases import is_file, split_password, without_password
from clew.games.replay import Replay

SECRET = "s3cret/ täg@1:%?#&"
LIBPQ = f"host=db.example port=5432 user=clew password='{SECRET}' dbname=replay"


def urls() -> list[str]:
    """URLs with a password, in each place that libpq knows."""
    secret = quote(SECRET, safe="")
    made = [
        f"{scheme}://clew:{secret}@{host}/replay{parameters}"
        for scheme, host, parameters in itertools.product(
            ("postgresql", "postgres"),
            ("localhost", "db.example:5433", "[::1]:5432", "one:1,two:2"),
            ("", "?sslmode=require", "?options=-csearch_path%3Dreplay1&connect_timeout=3"),
        )
    ]
    made += [
        f"postgresql://clew@db.example/replay?password={secret}",
        f"postgresql:///replay?user=clew&password={secret}",
    ]
    return [*made, f"postgresql://clew:{secret}@db.example/replay?sslpassword={secret}&sslmode=require"]


@pytest.mark.parametrize("url", urls())
def test_a_url_without_its_password_connects_to_the_same_place(url):
    clean, password = split_password(url)
    assert password == SECRET
    wanted = psycopg.conninfo.conninfo_to_dict(url)
    assert psycopg.conninfo.conninfo_to_dict(clean) == {
        key: value for key, value in wanted.items() if key not in ("password", "sslpassword")
    }
    for shown in (clean, without_password(url)):
        assert "s3cret" not in shown


@pytest.mark.parametrize("where", ["data/replay.db", "sqlite:///data/replay.db", "postgresql://clew@host/replay"])
def test_what_has_no_password_stays_as_it_is(where):
    assert split_password(where) == (where, None)
    assert without_password(where) == where


def test_a_password_that_cannot_be_told_apart_is_refused_without_it():
    for url in ("postgresql://clew:s3cret/replay", "postgresql://clew:1?s3cret@host/replay"):
        with pytest.raises(UsageError, match="cannot be read") as raised:
            split_password(url)
        assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "where", [LIBPQ, Path(LIBPQ), " password=s3cret", "service=x sslpassword=s3cret", "PASSWORD = s3cret"]
)
def test_a_libpq_string_is_refused_and_not_echoed(where):
    assert not is_file(where)
    for attempt in (Replay.open, split_password):
        with pytest.raises(UsageError, match="Write such a string as a URL") as raised:
            attempt(where)
        assert "s3cret" not in str(raised.value)
    assert "s3cret" not in without_password(where)


@pytest.mark.parametrize(
    "text",
    [
        LIBPQ,
        "--db=host=db password=s3cret",
        "could not connect: host = x sslpassword = 's3cret \\' more s3cret' dbname=y",
        "PGPASSWORD=s3cret clew actor",
        "postgresql://clew:s3cret@host/replay",
        "postgresql://clew@host/replay?password=s3cret&sslmode=require",
        "postgresql://clew@host/replay?sslpassword=s3cret",
    ],
)
def test_a_text_that_is_shown_has_no_password_in_either_form(text):
    assert "s3cret" not in without_passwords(text)
    assert "s3cret" not in repr(without_passwords(text))


def test_a_text_without_passwords_stays_as_it_is():
    for text in ("data/replay.db: 3 rows", "the password may stand in PGPASSWORD or in ~/.pgpass", "user=x a=b"):
        assert without_passwords(text) == text
