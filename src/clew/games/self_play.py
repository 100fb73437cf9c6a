"""Self-play: many games in lockstep, each move by search, each finished game an episode of the replay database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from clew.core.randomness import generator, key
from clew.games.game import Game
from clew.games.replay import Transition
from clew.games.search import Evaluate, Search, SearchSettings
from clew.games.states import ONGOING, States
from clew.recipes.alphazero import Actor


@dataclass
class _Lane:
    """A game under way."""

    episode: int
    states: list[States] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    policies: list[npt.NDArray[np.float32]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


class SelfPlay:
    """Plays `settings.lanes` games at once, as the section `actor` of a recipe says.

    All draws are keyed by `seed` and the number of the episode.

    `actor` and `began` (unix seconds) go into the ids of the rows, so that two actors, or two lives of one, never
    write the same id.
    """

    def __init__(self, game: Game, settings: Actor, *, actor: str, began: int, seed: int) -> None:
        self._game, self._settings = game, settings
        self._actor, self._began, self._seed = actor, began, seed
        self.simulations = settings.simulations
        """Simulations of a full search; may be changed between moves."""
        most = max(settings.max_simulations, settings.simulations, settings.cheap_simulations)
        self._search = Search(game, settings.lanes, SearchSettings.of(settings), max_simulations=most)
        self._lanes = [_Lane(number) for number in range(settings.lanes)]
        self._states = np.concatenate([self._first_state(lane) for lane in self._lanes])
        self._next_episode = settings.lanes
        self.moves = 0
        """Moves played so far."""

    def step(self, evaluate: Evaluate | None, *, timestamp: int) -> list[list[Transition]]:
        """Play one move in every game; return the episodes that ended with it.

        `evaluate` None: there is no model yet, and moves are drawn uniformly from the legal ones.
        """
        actions, policies, values = self._random_moves() if evaluate is None else self._searched_moves(evaluate)
        played = self._game.play(self._states, actions)
        over = self._game.winner(played) != ONGOING
        episodes = []
        for index, lane in enumerate(self._lanes):
            lane.states.append(self._states[index])
            lane.actions.append(int(actions[index]))
            lane.policies.append(policies[index])
            lane.values.append(float(values[index]))
            if over[index]:
                episodes.append(self._episode(lane, played[index], timestamp))
                self._lanes[index] = _Lane(self._next_episode)
                self._next_episode += 1
                played[index] = self._first_state(self._lanes[index])[0]
            else:
                self._game.check_length(len(lane.actions))
        self.moves += len(actions)
        self._states = played
        self._search.advance(np.where(over, -1, actions))
        return episodes

    def _first_state(self, lane: _Lane) -> States:
        """Where a game begins: the first position, or an ongoing one after a random opening; uint64[1, 3]."""
        settings, random = self._settings, generator(self._seed, "opening", lane.episode)
        state = self._game.initial()
        if random.random() >= settings.opening_share:
            return state
        for _ in range(int(random.integers(1, settings.opening_plies + 1))):
            after = self._game.play(state, [random.choice(np.flatnonzero(self._game.legal_mask(state)[0]))])
            if self._game.winner(after)[0] != ONGOING:
                break
            state = after
        return state

    def _random_moves(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        legal = self._game.legal_mask(self._states)
        policies = (legal / legal.sum(axis=1, keepdims=True)).astype(np.float32)
        draws = np.array([self._random("move", lane).random() for lane in self._lanes])
        return drawn(policies, draws), policies, np.zeros(len(policies), np.float32)

    def _searched_moves(
        self, evaluate: Evaluate
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        settings = self._settings
        plies = np.array([len(lane.actions) for lane in self._lanes])
        draws = np.array([self._random("move", lane).random(2) for lane in self._lanes])
        full = draws[:, 0] < settings.full_search_share
        exploring = plies < settings.temp_threshold
        gumbel = settings.method == "gumbel"
        found = self._search.run(
            self._states,
            evaluate,
            seeds=np.array(
                [key(self._seed, "search", lane.episode, len(lane.actions)) % 2**64 for lane in self._lanes], np.uint64
            ),
            simulations=np.where(full, self.simulations, settings.cheap_simulations).astype(np.int32),
            # Gumbel's noise is its temperature; Dirichlet noise is for all of a game.
            noise=full & exploring if gumbel else full,
        )
        actions = found.action.copy()
        if not gumbel and exploring.any():
            actions[exploring] = drawn(found.policy[exploring], draws[exploring, 1])
        return actions, found.policy, found.value

    def _random(self, purpose: str, lane: _Lane) -> np.random.Generator:
        return generator(self._seed, purpose, lane.episode, len(lane.actions))

    def _episode(self, lane: _Lane, last: States, timestamp: int) -> list[Transition]:
        states = np.stack([*lane.states, last])
        observations = self._game.observe(states)
        blobs = [blob.tobytes() for blob in self._game.codec.to_blobs(states)]
        final_reward = float(self._game.rewards(last[None])[0])
        count = len(lane.actions)
        episode_id = f"{self._actor}-ep-{lane.episode}-{self._began}"
        return [
            Transition(
                id=f"{episode_id}-step-{step}",
                env_id=self._game.env_id,
                episode_id=episode_id,
                step_number=step,
                state=blobs[step],
                action=lane.actions[step],
                next_state=blobs[step + 1],
                observation=observations[step],
                next_observation=observations[step + 1],
                reward=final_reward if step == count - 1 else 0.0,
                done=step == count - 1,
                timestamp=timestamp,
                policy_probs=lane.policies[step],
                mcts_value=lane.values[step],
                # The view of the player to move in the observation: the player changes with each step.
                game_outcome=final_reward * (-1.0) ** (count - 1 - step),
            )
            for step in range(count)
        ]


def drawn(
    probabilities: npt.NDArray[np.floating], draws: Sequence[float] | npt.NDArray[np.floating]
) -> npt.NDArray[np.int64]:
    """An index of each row of `probabilities` [rows, actions] for its draw in [0, 1); never one of probability 0."""
    cumulative = np.cumsum(np.asarray(probabilities, np.float64), axis=1)
    thresholds = np.asarray(draws)[:, None] * cumulative[:, -1:]
    indices: npt.NDArray[np.int64] = (cumulative <= thresholds).sum(axis=1).astype(np.int64)
    return indices
