"""`clew replay show|stats|check`: what is in a database, and every fault that a row can have."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
import struct
from pathlib import Path
from typing import Any

import pytest

from clew.cli.main import main
from clew.games.replay import Replay
from clew.games.rules import GAMES, GameInfo, find_game
from episodes import COLUMNS, by_hand, foreign_database, random_episode


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The last line that was printed, read as JSON."""
    document: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return document


@pytest.fixture
def three_games(tmp_path) -> Path:
    """Four episodes of each game, by Clew."""
    path = tmp_path / "replay.db"
    with Replay.open(path, create=True) as replay:
        for env_id in GAMES:
            replay.upsert_metadata(find_game(env_id))
            for number in range(4):
                replay.append(random_episode(number, env_id, actor=env_id))
    return path


def test_sound_databases_check_clean(three_games, capsys):
    assert main(["replay", "check", str(three_games), "--json"]) == 0
    report = last_json(capsys)
    assert report["clean"]
    assert [(game["env_id"], game["faults"], game["notices"]) for game in report["games"]] == [
        (env_id, [], []) for env_id in sorted(GAMES)
    ]
    assert main(["replay", "check", str(three_games)]) == 0
    assert capsys.readouterr().out.count("nothing is broken") == 3


def test_statistics_are_those_of_the_games(three_games, capsys):
    assert main(["replay", "stats", str(three_games), "--json"]) == 0
    report = last_json(capsys)
    for game in report["games"]:
        rules = find_game(game["env_id"])
        episodes = [random_episode(number, rules.env_id, actor=rules.env_id) for number in range(4)]
        winners = [rules.from_blob(episode[-1].next_state)[2] >> 8 & 3 for episode in episodes]
        found = (game["first_player_wins"], game["second_player_wins"], game["draws"])
        assert found == tuple(winners.count(each) for each in (1, 2, 3))
        assert game["rows"] == sum(map(len, episodes))
        assert (game["episodes"], game["whole_games"], game["actors"]) == (4, 4, 1)
        assert game["length"]["mean"] == pytest.approx(game["rows"] / 4, abs=1e-4)
        assert game["length"]["most"] == max(map(len, episodes))
    assert main(["replay", "stats", str(three_games), "--env-id", "connect4"]) == 0
    said = capsys.readouterr().out
    assert "connect4" in said
    assert "othello" not in said


def winner_of(episode: list[Any]) -> int:
    """1, 2, or 3 for a draw, as the last state has it behind its cells and its player."""
    cells = {11: 9, 44: 42, 67: 64}[len(episode[-1].next_state)]
    winner: int = episode[-1].next_state[cells + 1]
    return winner


@pytest.mark.parametrize("env_id", GAMES)
@pytest.mark.parametrize("opening", [1, 2, 3])
def test_wins_are_the_winners_where_games_begin_with_random_openings(tmp_path, capsys, env_id, opening):
    path = tmp_path / "replay.db"
    episodes = [random_episode(number, env_id, opening=opening) for number in range(12)]
    with Replay.open(path, create=True) as replay:
        for episode in episodes:
            replay.append(episode)
    winners = [winner_of(episode) for episode in episodes]
    assert winners.count(1) != winners.count(2)
    assert main(["replay", "stats", str(path), "--json"]) == 0
    (game,) = last_json(capsys)["games"]
    found = (game["first_player_wins"], game["second_player_wins"], game["draws"])
    assert found == tuple(winners.count(each) for each in (1, 2, 3))
    assert game["seats_guessed"] == 0
    assert main(["replay", "show", str(path)]) == 0
    said = capsys.readouterr().out
    players = [("first", "second")[row.state[-2 if env_id != "othello" else -3] - 1] for row in episodes[-1]]
    assert [line.split()[2] for line in said.splitlines() if " plays " in line] == players


def test_a_row_whose_observation_is_broken_tells_the_seat_by_its_state(tmp_path, capsys):
    rows = [by_hand(row) for row in random_episode(3, opening=1)]
    rows[-1]["observation"] = b"short"
    path = foreign_database(tmp_path / "replay.db", rows)
    assert main(["replay", "stats", str(path), "--json"]) == 0
    game = last_json(capsys)["games"][0]
    winner = winner_of(random_episode(3, opening=1))
    assert (game["first_player_wins"], game["second_player_wins"]) == (int(winner == 1), int(winner == 2))


def test_seats_that_no_row_tells_are_by_turns_and_said_to_be(tmp_path, capsys):
    """A game of which nothing is known but a description, and whose observation ends with the legal moves."""
    path = tmp_path / "replay.db"
    with Replay.open(path, create=True) as replay:
        replay.upsert_metadata(GameInfo("nim", "Nim", 3, 3, 9, 27, 18))
    rows = [by_hand(row) | {"env_id": "nim"} for row in random_episode(0)]
    with sqlite3.connect(path) as connection:
        for row in rows:
            row |= {"observation": row["observation"][: 4 * 27], "next_observation": row["next_observation"][: 4 * 27]}
            connection.execute(
                f"INSERT INTO transitions ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
            )
    connection.close()
    assert main(["replay", "stats", str(path), "--json"]) == 0
    said = capsys.readouterr().out
    assert "seats by turns         1 games, whose rows do not tell who moves" in said
    assert json.loads(said.splitlines()[-1])["games"][0]["seats_guessed"] == 1


def test_entropy_is_that_of_the_policies(tmp_path, capsys):
    rows = [by_hand(row) for row in random_episode(0)]
    sure, even = struct.pack("<9f", *[0.0] * rows[0]["action"][0], 1.0, *[0.0] * (8 - rows[0]["action"][0])), None
    even = struct.pack("<9f", *[1 / 9] * 9)
    first, other = rows[0], by_hand(random_episode(1)[0])
    first["policy_probs"], other["policy_probs"] = sure, even
    path = foreign_database(tmp_path / "replay.db", [first, other])
    assert main(["replay", "stats", str(path), "--json"]) == 0
    entropy = last_json(capsys)["games"][0]["policy_entropy_nats"]
    assert (entropy["least"], entropy["most"]) == (0.0, 2.1972)


def test_a_game_is_shown_move_by_move(three_games, capsys):
    episode = random_episode(2, "tictactoe", actor="tictactoe")
    assert main(["replay", "show", str(three_games), "--episode", episode[0].episode_id]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{episode[0].episode_id}: tictactoe, {len(episode)} moves")
    assert [line.split(".")[0].strip() for line in said.splitlines() if " plays " in line] == [
        str(step) for step in range(len(episode))
    ]
    cells = [" X" if cell == 1 else " O" for cell in episode[-1].next_state[:9] if cell]
    board = said.split("plays")[-1]
    assert (board.count(" X"), board.count(" O")) == (cells.count(" X"), cells.count(" O"))
    assert main(["replay", "show", str(three_games), "--env-id", "othello"]) == 0
    assert capsys.readouterr().out.startswith("othello-ep-3-1700000000: othello")


def test_which_game_to_show_must_be_clear(three_games, capsys):
    assert main(["replay", "show", str(three_games)]) == 2
    assert "Choose a game with --env-id" in capsys.readouterr().err
    assert main(["replay", "show", str(three_games), "--env-id", "conect4"]) == 1
    assert "Did you mean 'connect4'?" in capsys.readouterr().err
    assert main(["replay", "show", str(three_games), "--env-id", "othello", "--episode", "x"]) == 1
    assert "holds no episode x of othello" in capsys.readouterr().err


def with_fault(fault: str) -> list[dict[str, Any]]:
    """Two games of tictactoe as another program writes them; the first has the fault."""
    first, second = ([by_hand(row) for row in random_episode(number)] for number in (0, 1))
    row, end = first[1], first[-1]
    taken = first[0]["action"][0]

    def policy(*values: float) -> bytes:
        return struct.pack("<9f", *values)

    one_hot = policy(*[float(cell == row["action"][0]) for cell in range(9)])
    weights = [0.5 * (cell in (taken, row["action"][0])) for cell in range(9)]
    changes: dict[str, dict[str, Any]] = {
        "its state or next_state has another length": {"state": b"\0" * 10},
        "its state or next_state holds a cell": {"next_state": b"\7" + row["next_state"][1:]},
        "its observation is not what its state looks like": {"state": second[2]["state"]},
        "its next_state is not what its action leads to": {"next_state": row["state"]},
        "its action is not stored in 4 bytes": {"action": b"\1"},
        "its action is beyond the 9 actions": {"action": struct.pack("<I", 9)},
        "its action is not legal in its observation": {"action": first[0]["action"]},
        "its observation is not 29 float32 long": {"observation": row["observation"][:-4]},
        "its next_observation is not 29 float32 long": {"next_observation": b""},
        "its observation holds values that are no numbers": {"observation": b"\xff" * 116},
        "no move is legal in its observation": {"observation": end["next_observation"]},
        "its policy has the wrong length": {"policy_probs": b"\0" * 28},
        "its policy holds values that are no numbers": {"policy_probs": b"\xff" * 36},
        "its policy has negative values": {"policy_probs": policy(-1, 2, *[0.0] * 7)},
        "its policy does not sum to 1": {"policy_probs": one_hot.replace(struct.pack("<f", 1), struct.pack("<f", 2))},
        "its policy puts weight on illegal moves": {"policy_probs": policy(*weights)},
        "its game_outcome is not final reward": {"game_outcome": -row["game_outcome"] or 1.0},
        "its game_outcome is no number from -1 to 1": {"game_outcome": 3.0},
        "its mcts_value is no number from -1 to 1": {"mcts_value": 1e30},
        "it has a reward before the end": {"reward": 1.0},
        "its reward is no number from -1 to 1": {"reward": -7.5},
        "its episode goes on after it said done": {"done": 1},
        "its step is in its episode twice": {"step_number": 0},
        "steps of its episode are missing before it": {"step_number": 90},
        "its step_number cannot be": {"step_number": -3},
    }
    if fault == "its episode ends without done":
        end["done"] = 0
    else:
        row |= changes[fault]
    return [*first, *second]


FAULTS = [
    "its state or next_state has another length",
    "its state or next_state holds a cell",
    "its observation is not what its state looks like",
    "its next_state is not what its action leads to",
    "its action is not stored in 4 bytes",
    "its action is beyond the 9 actions",
    "its action is not legal in its observation",
    "its observation is not 29 float32 long",
    "its next_observation is not 29 float32 long",
    "its observation holds values that are no numbers",
    "no move is legal in its observation",
    "its policy has the wrong length",
    "its policy holds values that are no numbers",
    "its policy has negative values",
    "its policy does not sum to 1",
    "its policy puts weight on illegal moves",
    "its game_outcome is not final reward",
    "its game_outcome is no number from -1 to 1",
    "its mcts_value is no number from -1 to 1",
    "it has a reward before the end",
    "its reward is no number from -1 to 1",
    "its episode goes on after it said done",
    "its episode ends without done",
    "its step is in its episode twice",
    "steps of its episode are missing before it",
    "its step_number cannot be",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_counted_and_exemplified(tmp_path, capsys, fault):
    rows = with_fault(fault)
    path = foreign_database(tmp_path / "replay.db", rows)
    assert main(["replay", "check", str(path), "--json"]) == 1
    report = last_json(capsys)
    assert not report["clean"]
    found = {each["what"]: each for each in report["games"][0]["faults"]}
    (this,) = [each for what, each in found.items() if what.startswith(fault)]
    broken = random_episode(0)
    expected = broken[-1].id if fault == "its episode ends without done" else broken[1].id
    step = "-step-90" if "missing" in fault else "-step-0" if "twice" in fault else expected[expected.index("-step-") :]
    assert this["count"] >= 1
    assert broken[0].episode_id + step in this["examples"]


def test_what_is_worth_knowing_breaks_nothing(tmp_path, capsys):
    first, second, third = ([by_hand(row) for row in random_episode(number)] for number in range(3))
    first[0]["policy_probs"] = None
    for row in second:
        row["timestamp"] -= 100_000
    for row in third:
        row["game_outcome"] = None
    copy = [row | {"id": f"other-ep-9-0-step-{row['step_number']}", "episode_id": "other-ep-9-0"} for row in third]
    path = foreign_database(tmp_path / "replay.db", [*first, *second, *third, *copy])
    assert main(["replay", "check", str(path), "--json"]) == 0
    notices = {each["what"].split(":")[0]: each for each in last_json(capsys)["games"][0]["notices"]}
    assert notices["rows have no policy"]["count"] == 1
    assert notices["rows have no game_outcome"]["count"] == 2 * len(third)
    assert notices["rows are older than their actor's rows before them"]["examples"] == [second[0]["id"]]
    assert notices["episodes have the very moves, policies and values of an earlier one under another name"][
        "examples"
    ] == ["other-ep-9-0"]


@pytest.mark.parametrize(
    ("env_id", "change", "told"),
    [
        ("tictactoe", {"player_count": 2**62}, "says player_count = 4611686018427387904 for 'tictactoe'"),
        ("tictactoe", {"board_width": 2}, "says board_width = 2 of their game, whose rules here have 3"),
        ("tictactoe", {"player_count": 3}, "says player_count = 3 of their game, whose rules here have 2"),
        ("tictactoe", {"num_actions": -1}, "says num_actions = -1"),
        ("tictactoe", {"legal_mask_offset": 2**40}, "says legal_mask_offset = 1099511627776"),
        ("tictactoe", {"legal_mask_offset": 21}, "they do not fit"),
        ("tictactoe", {"obs_size": b"\x1d"}, "says obs_size = b'\\x1d'"),
        ("tictactoe", {"board_height": "three"}, "says board_height = 'three'"),
        ("tictactoe", {"display_name": b"\xff" * 500}, "says display_name = b'\\xff"),
        ("nim", {"board_width": 7, "board_height": 5}, "a board of 7 x 5 cells, and an observation of 29 numbers"),
    ],
)
def test_a_description_that_cannot_be_is_found(tmp_path, capsys, env_id, change, told):
    path = tmp_path / "replay.db"
    info = find_game("tictactoe")
    sizes = (3, 3, info.num_actions, info.obs_size, info.legal_mask_offset)
    with Replay.open(path, create=True) as replay:
        replay.upsert_metadata(GameInfo(env_id, "A Game", *sizes))
        for number in range(2):
            replay.append([dataclasses.replace(row, env_id=env_id) for row in random_episode(number)])
            replay.append(random_episode(number, "connect4", actor="other"))
    assert main(["replay", "check", str(path)]) == 0
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for column, value in change.items():
            connection.execute(f"UPDATE game_metadata SET {column} = ?", [value])
    capsys.readouterr()
    assert main(["replay", "check", str(path)]) == 1
    said = capsys.readouterr().out
    assert told in said
    assert len(said) < 2000
    # One description that is wrong keeps no other game from being looked at.
    assert "connect4: " in said
    assert said.count("nothing is broken") == 1


def test_another_game_of_a_known_name_is_taken_as_it_is_described(tmp_path, capsys):
    """Othello on a board of 6 x 6: the database says what it is, and no table of games here knows better."""
    path = tmp_path / "replay.db"
    with Replay.open(path, create=True) as replay:
        replay.upsert_metadata(GameInfo("othello", "Small Othello", 3, 3, 9, 29, 18))
        replay.append([dataclasses.replace(row, env_id="othello") for row in random_episode(0)])
    assert main(["replay", "check", str(path)]) == 0
    assert "note: " in capsys.readouterr().out


def test_rows_whose_env_id_is_no_text_are_a_sentence_and_the_others_are_checked(tmp_path, capsys):
    rows = [by_hand(row) | {"env_id": b"tic\xff"} for row in random_episode(0)]
    rows += [by_hand(row) for row in random_episode(1)]
    path = foreign_database(tmp_path / "replay.db", rows)
    assert main(["replay", "check", str(path)]) == 1
    said = capsys.readouterr().out
    assert f"the env_id of {len(random_episode(0))} rows is no text" in said
    assert "nothing is broken" in said
    for command in ("stats", "show"):
        assert main(["replay", command, str(path)]) == 0
        assert "tictactoe" in capsys.readouterr().out


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "env_id"])
@pytest.mark.parametrize("value", [b"\xff\0", "text", 2**62, -1e300])
def test_a_cell_of_a_wrong_type_ends_in_no_traceback(tmp_path, capsys, column, value):
    rows = [by_hand(row) for row in (*random_episode(0), *random_episode(1))]
    rows[1][column] = value
    path = foreign_database(tmp_path / "replay.db", rows)
    # An id is a name and no more, and nothing is trained on a time, or on a done within a game but the last.
    found = main(["replay", "check", str(path)])
    assert found == 1 or (found == 0 and column in ("id", "done", "timestamp"))
    assert main(["replay", "stats", str(path)]) == 0
    assert main(["replay", "show", str(path), "--episode", random_episode(0)[0].episode_id]) == 0
    capsys.readouterr()


def test_a_game_that_is_not_described_is_a_fault_and_the_others_are_checked(tmp_path, capsys):
    rows = [by_hand(row) | {"env_id": "go"} for row in random_episode(0)] + [by_hand(row) for row in random_episode(1)]
    path = foreign_database(tmp_path / "replay.db", rows)
    assert main(["replay", "check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "does not describe the game 'go'" in said
    assert "tictactoe: " in said
    assert "nothing is broken" in said


def test_a_game_known_by_its_description_only_is_checked_and_shown(tmp_path, capsys):
    path = tmp_path / "replay.db"
    info = find_game("tictactoe")
    with Replay.open(path, create=True) as replay:
        replay.upsert_metadata(GameInfo("nim", "Nim", 3, 3, info.num_actions, info.obs_size, info.legal_mask_offset))
    foreign = [by_hand(row) | {"env_id": "nim", "state": b"", "next_state": b"xyz"} for row in random_episode(0)]
    with sqlite3.connect(path) as connection:
        for row in foreign:
            connection.execute(
                f"INSERT INTO transitions ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
            )
    connection.close()
    assert main(["replay", "check", str(path)]) == 0
    assert main(["replay", "show", str(path)]) == 0
    assert main(["replay", "stats", str(path)]) == 0
    assert "nim" in capsys.readouterr().out


def test_databases_that_cannot_be_read_are_sentences(tmp_path, capsys):
    for command in ("show", "stats", "check"):
        assert main(["replay", command, str(tmp_path / "none.db")]) == 1
        assert "There is no replay database" in capsys.readouterr().err
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"nothing of the kind" * 1000)
    assert main(["replay", "check", str(broken)]) == 1
    assert "file is not a database" in capsys.readouterr().err
    assert main(["replay", "check", "postgresql://clew:secret@127.0.0.1:1/none"]) == 1
    said = capsys.readouterr().err
    assert "does not answer" in said
    assert "secret" not in said


def test_an_empty_database_has_no_figures(tmp_path, capsys):
    path = tmp_path / "replay.db"
    with Replay.open(path, create=True):
        pass
    assert main(["replay", "stats", str(path)]) == 0
    assert main(["replay", "check", str(path)]) == 0
    assert "no rows" in capsys.readouterr().out
