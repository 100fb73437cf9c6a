"""Self-play: what its episodes say is what the rules and the search said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from clew.games.codec import Codec
from clew.games.rules import find_game
from clew.games.search import SearchSettings, uniform
from clew.games.self_play import SelfPlay, drawn
from clew.recipes.alphazero import Actor


def leaning(game):
    """An evaluator that prefers low actions and the side of the first player, so that nothing is symmetric."""

    def evaluate(observations):
        logits = np.tile(-0.3 * np.arange(game.num_actions, dtype=np.float32), (len(observations), 1))
        values = 0.2 - 0.4 * observations[:, -1]
        return logits, values.astype(np.float32)

    return evaluate


def episodes_of(env_id: str, *, moves: int, model=True, seed: int = 5, actor: str = "a", **settings):
    game = find_game(env_id)
    made = Actor(lanes=6, **{"simulations": 12, "foresight": False, **settings})
    play = SelfPlay(game, made, actor=actor, began=1_700_000_000, seed=seed)
    found = []
    for _ in range(moves):
        found += play.step(leaning(game) if model else None, timestamp=1_700_000_123)
    return game, found


@pytest.mark.parametrize(("env_id", "moves"), [("tictactoe", 14), ("connect4", 60), ("othello", 70)])
def test_an_episode_is_a_game_by_the_rules_with_outcomes_seen_by_the_player_to_move(env_id, moves):
    game, episodes = episodes_of(env_id, moves=moves)
    assert len(episodes) >= 4
    for rows in episodes:
        state = game.initial()
        assert [row.step_number for row in rows] == list(range(len(rows)))
        assert [row.done for row in rows] == [False] * (len(rows) - 1) + [True]
        for row in rows:
            assert row.state == game.to_blob(state[0])
            np.testing.assert_array_equal(row.observation, game.observe(state)[0])
            state = game.play(state, [row.action])
            assert row.next_state == game.to_blob(state[0])
            np.testing.assert_array_equal(row.next_observation, game.observe(state)[0])
        winner = game.winner(state)[0]
        for row in rows:
            mover = 1 if row.observation[-2] == 1.0 else 2
            assert row.game_outcome == (0.0 if winner == 3 else 1.0 if winner == mover else -1.0)
        # Who has moved last was the player to move in the last observation.
        assert rows[-1].reward == rows[-1].game_outcome
        assert {row.reward for row in rows[:-1]} <= {0.0}


def test_the_stored_policy_is_the_search_s_distribution():
    """The same search, done again by itself, gives the stored rows bit for bit."""
    settings = {"simulations": 24, "method": "puct", "root_noise": 0.0}
    game, episodes = episodes_of("connect4", moves=45, **settings)
    for rows in episodes[:3]:
        for row in rows:
            policy = row.policy_probs
            assert policy.sum() == pytest.approx(1.0, abs=1e-5)
            assert (policy[~game.legal_mask(game.from_blob(row.state)[None])[0]] == 0).all()
    openings = [rows[0].policy_probs for rows in episodes]
    for policy in openings[1:]:
        np.testing.assert_allclose(policy, openings[0], atol=1e-6)
    # 24 visits: shares of as many parts.
    shares = openings[0] * 24
    np.testing.assert_allclose(shares, np.round(shares), atol=1e-4)


def test_ids_are_the_contract_s_and_two_actors_never_write_the_same():
    _, one = episodes_of("tictactoe", moves=12, actor="one")
    _, two = episodes_of("tictactoe", moves=12, actor="two")
    ids = [row.id for rows in (*one, *two) for row in rows]
    assert len(set(ids)) == len(ids)
    first = one[0][2]
    number = first.episode_id.split("-ep-")[1].split("-")[0]
    assert first.episode_id == f"one-ep-{number}-1700000000"
    assert first.id == f"one-ep-{number}-1700000000-step-2"


def test_without_a_model_moves_are_uniform_over_the_legal_ones():
    _, episodes = episodes_of("connect4", moves=400, model=False, seed=1)
    first_moves = np.bincount([rows[0].action for rows in episodes], minlength=7)
    expected = len(episodes) / 7
    assert ((first_moves - expected) ** 2 / expected).sum() < 22.5, "chi-square, 6 degrees of freedom, 0.1%"
    np.testing.assert_allclose(episodes[0][0].policy_probs, np.full(7, 1 / 7), rtol=1e-6)


def test_the_same_seed_plays_the_same_games_and_another_seed_others():
    def actions(**changes):
        return [[row.action for row in rows] for rows in episodes_of("connect4", moves=40, **changes)[1]]

    assert actions() == actions()
    assert actions() != actions(seed=6)


def test_a_random_opening_begins_an_episode_in_an_ongoing_position_of_its_own():
    _, episodes = episodes_of("connect4", moves=60, opening_share=1.0, opening_plies=6)
    stones = [np.count_nonzero(np.frombuffer(rows[0].state, np.uint8)[:42]) for rows in episodes]
    assert set(stones) <= set(range(1, 7))
    assert len(set(stones)) > 2
    for rows in episodes:
        assert rows[0].step_number == 0
        assert rows[0].observation[84:91].any()


def test_cheap_moves_have_the_simulations_of_cheap_moves():
    """Playout-cap randomisation: how often the evaluator is asked says how much was searched."""
    game = find_game("connect4")
    asked = []

    def counting(observations):
        asked.append(len(observations))
        return uniform(game)(observations)

    settings = Actor(lanes=8, simulations=40, full_search_share=0.25, cheap_simulations=4, foresight=False)
    play = SelfPlay(game, settings, actor="a", began=0, seed=3)
    totals = []
    for _ in range(12):
        asked.clear()
        play.step(counting, timestamp=0)
        totals.append(sum(asked) / 8)
    assert 4 < np.mean(totals) < 30, "between all cheap and all full"


def test_drawn_never_draws_what_has_no_probability():
    probabilities = np.array([[0.0, 0.5, 0.0, 0.5], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    for draw in (0.0, 0.25, 0.4999, 0.5, 0.999999):
        chosen = drawn(probabilities, np.full(3, draw))
        assert (probabilities[np.arange(3), chosen] > 0).all()
    assert drawn(probabilities, [0.1, 0.1, 0.1]).tolist() == [1, 0, 3]
    assert drawn(probabilities, [0.7, 0.7, 0.7]).tolist() == [3, 0, 3]


def test_every_setting_of_the_section_that_a_search_has_reaches_it():
    other = {"method": "puct", "foresight": False}
    names = {each.name for each in dataclasses.fields(SearchSettings)} & set(Actor.model_fields)
    assert len(names) >= 7
    for name in names:
        value = other[name] if name in other else 0.5 if name == "root_noise" else 3 * getattr(Actor(), name)
        changed = Actor.model_construct(**{name: value})
        assert getattr(SearchSettings.of(changed), name) == value != getattr(SearchSettings.of(Actor()), name)


def test_the_states_of_an_episode_are_stored_together(monkeypatch):
    """One call a game, and not one a state and a loop over its cells."""
    asked = []
    to_blobs = Codec.to_blobs

    def counting(codec, states):
        asked.append(len(states))
        return to_blobs(codec, states)

    monkeypatch.setattr(Codec, "to_blobs", counting)
    _, episodes = episodes_of("othello", moves=70)
    assert asked == [len(rows) + 1 for rows in episodes]
    assert len(episodes) >= 4
