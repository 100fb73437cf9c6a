"""High Card Duel: the cards that the game's own server deals for the same seeds."""

from __future__ import annotations

import pytest

from clew.core.errors import UsageError
from clew.traces.generators import find_generator
from clew.traces.generators.high_card_duel import Episode, play
from clew.traces.schema import InvalidError

DUEL = find_generator("high_card_duel")

CONTRACT = [
    (42, "TS", "JH", "loss"),
    (43, "2H", "QH", "loss"),
    (44, "AH", "5S", "win"),
    (45, "QC", "8D", "win"),
    (46, "3C", "7D", "loss"),
    (47, "9S", "3H", "win"),
]


@pytest.mark.parametrize(("seed", "mine", "other", "result"), CONTRACT)
def test_the_cards_of_a_seed_are_those_of_the_contract(seed, mine, other, result):
    episode = play(seed)
    assert (episode.my_card, episode.opponent_card, episode.result) == (mine, other, result)


def test_an_episode_has_the_seed_of_its_place():
    traces = list(DUEL.traces(6, 42))
    told = [(t.meta["seed"], t.meta["my_card"], t.meta["opponent_card"], t.meta["result"]) for t in traces]
    assert told == CONTRACT
    assert [trace.meta["episode_index"] for trace in traces] == list(range(6))


def test_a_trace_is_that_of_the_contract_word_for_word():
    (trace,) = DUEL.traces(1, 44)
    assert trace.prompt == "High Card Duel: You have 1 hidden card. Action: reveal."
    assert [(step.type, step.content) for step in trace.steps] == [
        ("legal_moves", "Legal moves: [reveal]"),
        ("observation", "My hand: AH"),
        ("unseen", "Unseen cards: 51"),
        ("decision", "Action chosen: reveal"),
    ]
    assert trace.final_answer == "reveal"
    assert trace.meta == {
        "source": "ungar",
        "game": "high_card_duel",
        "episode_index": 0,
        "my_card": "AH",
        "opponent_card": "5S",
        "result": "win",
        "seed": 44,
    }


def test_an_ace_is_high_and_suits_do_not_count():
    assert Episode(0, "AS", "KD").result == "win"
    assert Episode(0, "TS", "JH").result == "loss"
    assert Episode(0, "7S", "7C").result == "tie"


def test_what_cannot_be_learnt_is_not_evaluated():
    with pytest.raises(InvalidError, match="would measure nothing"):
        DUEL.questions(1, 0)
    with pytest.raises(UsageError, match="none can be held out"):
        DUEL.traces(1, 0, split="evaluation")


def test_steps_are_judged():
    (trace,) = DUEL.traces(1, 44)
    steps = [step.content for step in trace.steps]
    assert DUEL.check_steps(trace.prompt, steps, "reveal") == []
    assert DUEL.check_steps(trace.prompt, ["My hand: 1H" if "hand" in step else step for step in steps], "reveal")
    assert DUEL.check_steps(trace.prompt, steps[:3], "reveal")
    assert DUEL.check_steps(trace.prompt, steps, "hide")
