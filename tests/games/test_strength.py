"""Strength is measured on positions of its own, and every figure in the report can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from clew.core.errors import ClewError, EvidenceError, UsageError
from clew.core.randomness import generator
from clew.games import positions
from clew.games.perfect import ILLEGAL, ConnectFourSolver, best_moves, optimal_moves, outcomes_of
from clew.games.positions import FIRST_PLY
from clew.games.rules import ONGOING, States, find_game
from clew.games.strength import (
    PHASES,
    PositionSet,
    load_positions,
    measure,
    never_loses,
    open_positions,
    position_set,
    raw_moves,
    save_positions,
    searched_moves,
    table,
)

CONNECT4, TICTACTOE, OTHELLO = find_game("connect4"), find_game("tictactoe"), find_game("othello")


class EverythingIsDrawn:
    """Stands in for the solver where only the positions matter."""

    def scores(self, states: States) -> np.ndarray:
        return np.where(CONNECT4.legal_mask(states), 0, ILLEGAL).astype(np.int8)

    outcomes = scores


@pytest.fixture(scope="module")
def made() -> PositionSet:
    return position_set(CONNECT4, size=700, solver=EverythingIsDrawn())


def mirrored(states: States) -> States:
    """Connect4 boards seen from behind, by way of their stored form."""
    turned = []
    for state in states:
        blob = CONNECT4.to_blob(state)
        rows = [blob[start : start + 7][::-1] for start in range(0, 42, 7)]
        turned.append(CONNECT4.from_blob(b"".join(rows) + blob[42:]))
    return np.stack(turned)


def test_connect4_positions_go_on_and_are_spread_over_the_game(made: PositionSet) -> None:
    assert 0.95 * 700 <= len(made) <= 700
    assert (CONNECT4.winner(made.states) == ONGOING).all()
    counts = np.bincount(made.ply, minlength=42)
    assert counts[:FIRST_PLY].sum() == counts[41] == 0
    assert (counts[FIRST_PLY:10] >= 6).all()
    assert (counts[10:36] >= 20).all()
    np.testing.assert_array_equal(made.seat, made.ply % 2)
    assert [made.ply[made.phase == phase].max() for phase in range(3)] == [13, 25, made.ply.max()]
    for state in made.states[::50]:
        # Reached by legal play: neither colour is a stone ahead of what its turns gave.
        stones = [int(word).bit_count() for word in state[:2]]
        assert stones[0] - stones[1] == int(state[2])


def test_no_two_positions_are_alike_or_mirrored(made: PositionSet) -> None:
    boards = {state.tobytes() for state in made.states}
    images = {state.tobytes() for state in mirrored(made.states)}
    assert len(boards) == len(made)
    symmetric = {state.tobytes() for state in made.states if (mirrored(state[None])[0] == state).all()}
    assert boards & images == symmetric


def test_a_ply_that_has_few_positions_gives_each_of_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "FIRST_PLY", 0)
    monkeypatch.setattr(positions, "FULL_FROM", 0)
    made = position_set(CONNECT4, size=500, solver=EverythingIsDrawn())
    # An empty board; four columns, the others being their mirror images.
    assert np.bincount(made.ply)[:2].tolist() == [1, 4]


def test_the_seed_decides_the_set(made: PositionSet) -> None:
    again = position_set(CONNECT4, size=700, solver=EverythingIsDrawn())
    other = position_set(CONNECT4, size=700, seed=1, solver=EverythingIsDrawn())
    assert again.digest() == made.digest() != other.digest()
    shared = {state.tobytes() for state in made.states} & {state.tobytes() for state in other.states}
    assert len(shared) < len(made) / 10


def test_positions_carry_the_exact_scores_of_their_moves() -> None:
    exact = ConnectFourSolver(table_bits=18)

    class ExactFromFourteen(EverythingIsDrawn):
        def scores(self, states: States) -> np.ndarray:
            late = np.bitwise_count(states[0, 0] | states[0, 1]) >= 14
            return exact.scores(states) if late else super().scores(states)

        def outcomes(self, states: States) -> np.ndarray:
            return exact.outcomes(states)

    shown: list[tuple[int, int]] = []
    made = position_set(
        CONNECT4,
        size=150,
        solver=ExactFromFourteen(),
        progress=lambda done, total: shown.append((done, total)),
    )
    late = made.ply >= 14
    np.testing.assert_array_equal(made.scores[late], exact.scores(made.states[late]))
    assert (outcomes_of(made.scores[~late]).max(axis=1) == 0).all()
    assert 0 < np.count_nonzero(made.decisive) < np.count_nonzero(late)
    assert shown == [(done, len(made)) for done in range(1, len(made) + 1)]


def test_positions_of_the_training_data_are_taken_out_as_they_are_and_mirrored(made: PositionSet) -> None:
    seen = np.concatenate([made.states[:5], mirrored(made.states[5:12]), CONNECT4.initial()])
    left = made.exclude(seen)
    assert (len(left), left.dropped) == (len(made) - 12, 12)
    np.testing.assert_array_equal(left.states, made.states[12:])
    np.testing.assert_array_equal(left.scores, made.scores[12:])
    assert left.exclude(made.states[12:13]).dropped == 13
    assert made.exclude(CONNECT4.initial(0)).dropped == 0
    with pytest.raises(UsageError, match="all of them stand in the training data"):
        measure(CONNECT4, lambda states: states[:, 0].astype(np.int64), made.exclude(made.states))


def test_the_set_of_tictactoe_is_every_position_there_is() -> None:
    every = position_set(TICTACTOE, size=3)
    assert len(every) == 4520
    assert (TICTACTOE.winner(every.states) == ONGOING).all()
    assert len({state.tobytes() for state in every.states}) == 4520
    assert [int(np.count_nonzero(every.phase == phase)) for phase in range(3)] == [82, 2148, 2290]


def test_a_game_without_a_solver_and_an_empty_set_are_refused() -> None:
    with pytest.raises(UsageError, match="There is no solver for othello"):
        position_set(OTHELLO)
    with pytest.raises(UsageError, match="A set of 0 positions is none"):
        position_set(CONNECT4, size=0)


def test_a_set_is_read_as_it_was_written(tmp_path: Path, made: PositionSet) -> None:
    path = tmp_path / "set.npz"
    save_positions(path, made.exclude(made.states[:3]))
    read = load_positions(path, CONNECT4)
    assert (read.env_id, read.seed, read.dropped) == ("connect4", 0, 3)
    assert read.digest() == made.exclude(made.states[:3]).digest()
    np.testing.assert_array_equal(read.states, made.states[3:])
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(EvidenceError, match="holds positions of connect4, not of tictactoe"):
        load_positions(path, TICTACTOE)


def test_a_broken_set_is_refused_with_a_sentence(tmp_path: Path, made: PositionSet) -> None:
    path = tmp_path / "set.npz"
    save_positions(path, made)
    whole = path.read_bytes()
    for content in (b"", b"no set", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(EvidenceError, match=r"is not a set of solved positions, or is cut short\. Remove it"):
            load_positions(path, CONNECT4)
    with np.load(_written(path, whole)) as file:
        arrays = dict(file)
    arrays["scores"] = arrays["scores"].copy()
    arrays["scores"][0, 0] = 5
    np.savez(path, **arrays)
    with pytest.raises(EvidenceError, match="is altered: its hash does not fit"):
        load_positions(path, CONNECT4)
    with pytest.raises(ClewError, match="There is no such file"):
        load_positions(tmp_path / "none.npz", CONNECT4)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_set_is_solved_once_and_then_read(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "set.npz"
    first = open_positions(path, TICTACTOE)
    changed = path.stat().st_mtime_ns
    assert open_positions(path, TICTACTOE, seed=5).digest() == first.digest()
    assert path.stat().st_mtime_ns == changed


def by_hand() -> PositionSet:
    """Four tictactoe positions whose scores say something plain, whatever the solver thinks of them."""
    empty = TICTACTOE.initial()
    one = TICTACTOE.play(empty, [0])
    states = np.concatenate([empty, one, TICTACTOE.play(one, [4]), TICTACTOE.play(one, [8])])
    scores = np.full((4, 9), ILLEGAL, np.int8)
    scores[0, :3] = [3, 0, -2]
    scores[1, 1:4] = [0, -1, 0]
    scores[2, 1:4] = [2, 1, 2]
    scores[3, 1:4] = [-1, -2, -2]
    return PositionSet("tictactoe", 0, states, scores)


def test_each_figure_of_a_report_is_as_counted_by_hand() -> None:
    written = by_hand()
    assert written.ply.tolist() == [0, 1, 2, 2]
    # A win thrown away for a loss; a draw kept; a win kept but later; a loss hurried.
    report = measure(TICTACTOE, lambda states: np.array([2, 1, 2, 2]), written, player="mine")
    row = report.overall
    assert (row.phase, row.seat) == ("all", "both")
    assert (row.value_optimal.successes, row.value_optimal.cases) == (3, 4)
    assert (row.exactly_best.successes, row.exactly_best.cases) == (1, 4)
    assert (row.decisive_value_optimal.successes, row.decisive_value_optimal.cases) == (1, 2)
    assert (row.decisive_exactly_best.successes, row.blunders.successes, row.blunders.cases) == (1, 1, 2)
    assert (row.win_to_draw, row.win_to_loss, row.draw_to_loss) == (0, 1, 0)
    first, second = report.rows[1], report.rows[2]
    assert (first.seat, first.value_optimal.cases, first.value_optimal.successes) == ("first", 3, 2)
    assert (second.seat, second.value_optimal.cases, second.exactly_best.successes) == ("second", 1, 1)

    worse = measure(TICTACTOE, lambda states: np.array([1, 2, 1, 1]), written).overall
    assert (worse.win_to_draw, worse.win_to_loss, worse.draw_to_loss) == (1, 0, 1)
    assert (worse.value_optimal.successes, worse.exactly_best.successes, worse.blunders.value) == (2, 2, 1.0)
    empty = next(row for row in report.rows if row.phase == "end" and row.seat == "both")
    assert (empty.value_optimal.cases, empty.value_optimal.low, empty.value_optimal.high) == (0, 0.0, 1.0)


def test_rows_cover_phases_and_seats_and_add_up() -> None:
    every = position_set(TICTACTOE)
    random = generator(0, "rows")
    masks = TICTACTOE.legal_mask(every.states)
    moves = np.where(masks, random.random(masks.shape), -1).argmax(axis=1)
    report = measure(TICTACTOE, lambda states: moves, every)
    rows = {(row.phase, row.seat): row for row in report.rows}
    assert len(rows) == len(report.rows) == 12
    for count in ("value_optimal", "exactly_best", "blunders", "decisive_exactly_best"):
        total = getattr(report.overall, count)
        parts = [getattr(rows[phase, seat], count) for phase in PHASES for seat in ("first", "second")]
        assert (total.successes, total.cases) == (sum(p.successes for p in parts), sum(p.cases for p in parts))
    row = report.overall
    assert row.blunders.successes == row.win_to_draw + row.win_to_loss + row.draw_to_loss
    assert row.value_optimal.cases - row.value_optimal.successes == row.blunders.successes
    assert row.value_optimal.successes == int(optimal_moves(every.scores)[np.arange(4520), moves].sum())
    assert row.exactly_best.successes == int(best_moves(every.scores)[np.arange(4520), moves].sum())
    interval = binomtest(row.blunders.successes, row.blunders.cases).proportion_ci(method="wilson")
    assert (row.blunders.low, row.blunders.high) == pytest.approx((interval.low, interval.high))


def test_a_report_is_plain_values_and_a_table() -> None:
    report = measure(TICTACTOE, lambda states: np.array([2, 1, 2, 2]), by_hand(), player="raw net")
    values = json.loads(json.dumps(report.as_json()))
    assert (values["player"], values["positions"], values["digest"]) == ("raw net", 4, by_hand().digest())
    assert values["rows"][0]["value_optimal"]["value"] == 0.75
    lines = table([report, report]).splitlines()
    assert len(lines) == 2 + 2 * 12
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| raw net | all | both | 75.0% (")
    assert "none of 0" in lines[-1]


@pytest.mark.parametrize("moves", [[3, 1, 2, 2], [0, 0, 0, 9], [0, 0, 0, -1], [0, 0, 0]])
def test_a_player_that_breaks_the_rules_is_named(moves: list[int]) -> None:
    states = np.concatenate([TICTACTOE.play(TICTACTOE.initial(1), [3]), TICTACTOE.initial(3)])
    some = PositionSet("tictactoe", 0, states, find_game("tictactoe").solver().scores(states))
    with pytest.raises(ClewError, match=r"^'cheat' "):
        measure(TICTACTOE, lambda _: np.array(moves), some, player="cheat")
    with pytest.raises(UsageError, match="of tictactoe, not of connect4"):
        measure(CONNECT4, lambda _: np.zeros(4, np.int64), some)


def uniform(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((len(observations), 9), np.float32), np.zeros(len(observations), np.float32)


def states_of(observations: np.ndarray) -> States:
    """Tictactoe boards, read off the planes."""
    planes = observations[:, :18].reshape(-1, 2, 9).astype(np.uint64)
    words = (planes << np.arange(9, dtype=np.uint64)).sum(axis=2, dtype=np.uint64)
    return np.concatenate([words, observations[:, 28:29].astype(np.uint64)], axis=1)


def perfect(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    outcomes = find_game("tictactoe").solver().outcomes(states_of(observations))
    # An illegal move has the highest logit of all: the mask must keep it out.
    return np.where(outcomes == ILLEGAL, 99, outcomes).astype(np.float32), np.zeros(len(outcomes), np.float32)


def test_the_raw_net_plays_its_highest_legal_logit() -> None:
    every = position_set(TICTACTOE)
    assert measure(TICTACTOE, lambda states: raw_moves(TICTACTOE, perfect, states), every).overall.blunders.value == 0
    states = TICTACTOE.play(TICTACTOE.initial(3), [0, 1, 8])
    assert raw_moves(TICTACTOE, uniform, states).tolist() == [1, 0, 0]


def test_a_net_that_is_not_a_number_is_refused() -> None:
    def broken(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, values = uniform(observations)
        logits[-1, 4] = np.nan
        return logits, values

    with pytest.raises(ClewError, match="policy that is not a number"):
        raw_moves(TICTACTOE, broken, TICTACTOE.initial(2))


def test_a_search_without_a_net_errs_less_than_the_first_legal_move() -> None:
    every = position_set(TICTACTOE)
    some = PositionSet("tictactoe", 0, every.states[::20], every.scores[::20])

    def chosen(states: States) -> np.ndarray:
        return searched_moves(TICTACTOE, uniform, states, 64)

    np.testing.assert_array_equal(chosen(some.states), chosen(some.states))
    searched = measure(TICTACTOE, chosen, some).overall
    raw = measure(TICTACTOE, lambda states: raw_moves(TICTACTOE, uniform, states), some).overall
    assert searched.value_optimal.value > 0.95 > 0.7 > raw.value_optimal.value


def test_never_loses_is_proved_by_playing_every_game() -> None:
    sound = never_loses(TICTACTOE, perfect)
    assert (sound.never_loses, sound.always_optimal, sound.positions) == (True, True, 4520)
    first_legal = never_loses(TICTACTOE, uniform)
    assert not first_legal.never_loses
    assert first_legal.value_optimal < 4520
    assert (first_legal.lost_ends, first_legal.drawn_ends, first_legal.won_ends) == _ends_of_the_first_legal_move()
    with pytest.raises(UsageError, match="Only tictactoe is small enough"):
        never_loses(CONNECT4, uniform)


def _ends_of_the_first_legal_move() -> tuple[tuple[int, int], ...]:
    """The different final boards of a player who takes the first empty cell, counted on plain strings."""
    lines = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
    counts = {"lost": [0, 0], "drawn": [0, 0], "won": [0, 0]}
    for seat in (0, 1):
        ends: dict[str, str] = {}
        stack = ["........."]
        while stack:
            board = stack.pop()
            ply = 9 - board.count(".")
            winner = next((board[a] for a, b, c in lines if board[a] == board[b] == board[c] != "."), None)
            if winner or ply == 9:
                ends[board] = "drawn" if not winner else "won" if winner == "xo"[seat] else "lost"
                continue
            empty = [cell for cell in range(9) if board[cell] == "."]
            for cell in empty[:1] if ply % 2 == seat else empty:
                stack.append(board[:cell] + "xo"[ply % 2] + board[cell + 1 :])
        for result in ends.values():
            counts[result][seat] += 1
    return tuple((each[0], each[1]) for each in counts.values())
