"""A log as events: each line once, in order, however often the connection breaks."""

from __future__ import annotations

import asyncio

import pytest

from clew.serve.events import follow, resumed_at
from clew.traces.schema import InvalidError


async def gathered(log, place=0, outcome=lambda: {"status": "completed"}, closing=lambda: False, most=1000):
    events = []
    async for piece in follow(log, place, outcome, closing):
        text = piece.decode()
        if not text.startswith(("retry:", ":")):
            events.append(parsed(text))
        if len(events) >= most:
            break
    return events


def parsed(text):
    """(kind, id, data) as the specification of server-sent events has it."""
    assert text.endswith("\n\n")
    kind, place, data = "message", None, []
    for line in text.rstrip("\n").split("\n"):
        name, _, value = line.partition(": ") if ": " in line else (line.rstrip(":"), "", "")
        if name == "event":
            kind = value
        elif name == "id":
            place = int(value)
        elif name == "data":
            data.append(value)
    return kind, place, "\n".join(data)


LINES = ["one", "", "drei \N{SNOWMAN}", "four: 4", "  spaces  "]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    return path


def test_each_line_is_an_event_and_the_end_is_told(log):
    events = asyncio.run(gathered(log))
    assert [data for kind, _, data in events[:-1]] == LINES
    assert events[-1][0] == "end"
    assert events[-1][2] == '{"status": "completed"}'


def test_from_any_event_on_the_others_follow(log):
    events = asyncio.run(gathered(log))
    for number, (_, place, _) in enumerate(events[:-1]):
        assert asyncio.run(gathered(log, resumed_at(str(place)))) == events[number + 1 :]
    assert resumed_at(None) == 0
    assert asyncio.run(gathered(log, 10**9))[0][0] == "end"


@pytest.mark.parametrize("event_id", ["x", "-1", "1.5", "9" * 30, "²"])
def test_an_id_of_no_event_is_refused(event_id):
    with pytest.raises(InvalidError, match="Last-Event-ID"):
        resumed_at(event_id)


def test_a_line_is_told_when_it_is_whole_and_the_last_one_at_the_end(tmp_path):
    log = tmp_path / "log.txt"

    async def scene():
        over = None
        following = asyncio.create_task(gathered(log, outcome=lambda: over))
        await asyncio.sleep(0.05)  # there is no file yet
        log.write_bytes(b"begun\nhal")
        await asyncio.sleep(0.4)
        with log.open("ab") as file:
            file.write(b"f a line\nno end")
        over = {"status": "failed"}
        return await asyncio.wait_for(following, 5)

    assert [data for _, _, data in asyncio.run(scene())] == ["begun", "half a line", "no end", '{"status": "failed"}']


def test_a_server_that_ends_breaks_off_without_an_end(log):
    closes = iter([False, False, True])
    events = asyncio.run(gathered(log, outcome=lambda: None, closing=lambda: next(closes)))
    assert [kind for kind, _, _ in events] == ["message"] * len(LINES)


def test_bytes_that_are_no_text_and_lines_without_end_are_shown(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"\xff\xfe\n" + b"x" * 600_000 + b"\n")
    events = asyncio.run(gathered(log))
    assert events[0][2] == "\N{REPLACEMENT CHARACTER}" * 2
    assert "".join(data for kind, _, data in events[1:] if kind == "message") == "x" * 600_000
