"""The search as its callers see it: settings, results, and the loop over waves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from clew.core.errors import ClewError, UsageError
from clew.games.game import Game
from clew.games.search.descent import Rules
from clew.games.search.kernels import Wave, back_up_wave, begin_run, search_uniform, select_wave
from clew.games.search.layout import EDGE, LANE, LEAF, NODE, ROOT_MOVE, SCORE, STEP
from clew.games.search.results import fill_results, line_from
from clew.games.search.tree import Tree, begin_lanes, keep_subtrees
from clew.games.states import States

Evaluate = Callable[[npt.NDArray[np.float32]], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
"""observations float32[batch, obs_size] -> policy logits float32[batch, num_actions], not masked, and values
float32[batch] in [-1, 1] for the player to move."""

_TREES_KEPT = 4
"""Room of a lane, in runs of max_simulations: kept subtrees beside new simulations."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How to search. Raises `UsageError` for a value out of range."""

    @classmethod
    def of(cls, section: Any) -> SearchSettings:
        """Whatever `section` says of a search, under the names that it has here; the rest by default."""
        return cls(**{each.name: getattr(section, each.name) for each in fields(cls) if hasattr(section, each.name)})

    simulations: int = 64
    """Descents from the root a move."""
    method: Literal["gumbel", "puct"] = "gumbel"
    """gumbel: for few simulations (Danihelka et al. 2022); puct: AlphaZero's (Silver et al. 2018)."""
    c_puct: float = 1.25
    """PUCT: weight of the prior against the value."""
    dirichlet_alpha: float = 0.3
    """PUCT: concentration of the root noise."""
    root_noise: float = 0.25
    """PUCT: share of the noise in the root's priors where noise is on. (Gumbel draws are not scaled.)"""
    considered_actions: int = 16
    """Gumbel: moves that sequential halving begins with."""
    c_visit: float = 50.0
    """Gumbel: visits added to the largest count in the scale of values."""
    c_scale: float = 1.0
    """Gumbel: scale of values against logits; values are in [0, 1] there."""
    leaves_per_wave: int = 1
    """Leaves of one game evaluated together, kept apart by virtual loss."""
    proofs: bool = True
    """Whether results that are certain are propagated to the parents and believed."""
    foresight: bool = False
    """Whether a leaf in which the player to move can win by one move is settled without asking the net."""

    def __post_init__(self) -> None:
        for name in ("simulations", "considered_actions", "leaves_per_wave"):
            if getattr(self, name) < 1:
                raise UsageError(f"The search needs at least one for {name}, and was given {getattr(self, name)}.")
        if self.method not in ("gumbel", "puct"):
            raise UsageError(f"There is no search method '{self.method}': it is gumbel or puct.")
        if self.dirichlet_alpha <= 0.0 or not 0.0 <= self.root_noise <= 1.0:
            raise UsageError("dirichlet_alpha must be above 0, and root_noise within 0 and 1.")


@dataclass(frozen=True)
class SearchResult:
    """What the searches say, one row a lane. Lanes whose game is over: zeros, NaN action values, action -1."""

    visits: npt.NDArray[np.int32]
    """int32[games, num_actions]: visits of the root's moves, those of a kept tree included."""
    policy: npt.NDArray[np.float32]
    """float32[games, num_actions]: the training target; sums to 1 over the legal moves. PUCT: shares of the visits;
    Gumbel: the improved policy. Moves proven lost have none while another is left; a proven root has all of it on
    the moves that reach its result."""
    value: npt.NDArray[np.float32]
    """float32[games]: value of the root for the player to move."""
    action_values: npt.NDArray[np.float32]
    """float32[games, num_actions] for the player to move; NaN where never visited."""
    action: npt.NDArray[np.int64]
    """int64[games]: what the search itself would play, no temperature."""
    simulations: npt.NDArray[np.int32]
    """int32[games]: simulations that were run: fewer than asked for where the root was proven."""


class UniformEvaluator:
    """Equal logits and value 0: the search as it is without a net. `Search.run` knows it and stays compiled."""

    def __init__(self, game: Game) -> None:
        self.game = game

    def __call__(
        self, observations: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        count = len(observations)
        return np.zeros((count, self.game.num_actions), np.float32), np.zeros(count, np.float32)


def uniform(game: Game) -> Evaluate:
    """The evaluator that knows nothing: equal logits, value 0."""
    return UniformEvaluator(game)


class Search:
    """Trees of `games` lanes, allocated once, searched in lockstep.

    max_simulations: the most that a call of `run` may ask for; default settings.simulations.
    """

    def __init__(self, game: Game, games: int, settings: SearchSettings, *, max_simulations: int | None = None) -> None:
        self.game, self.games, self.settings = game, games, settings
        self.max_simulations = settings.simulations if max_simulations is None else max_simulations
        nodes_per_lane = _TREES_KEPT * self.max_simulations + 1
        # Where a lane runs out of edges, leaves are evaluated and counted but not kept.
        edges_per_lane = nodes_per_lane * game.legal_at_once
        # Links tell a node or three results of it in 32 bits.
        if 3 * games * edges_per_lane >= 2**31:
            raise UsageError(
                f"{games} games of {self.max_simulations} simulations are more than one search holds: "
                "search fewer games at a time."
            )
        self._longest = game.longest_line(nodes_per_lane)
        rows = games * settings.leaves_per_wave
        self._lanes = np.zeros(games, LANE)
        self._observations = np.zeros((rows, game.obs_size), np.float32)
        self._leaves = np.zeros(rows + 1, LEAF)
        # Pages that are never written cost no memory: rooms can be large.
        self._kept = [
            np.zeros(games * nodes_per_lane, NODE),
            np.zeros(games * edges_per_lane, EDGE),
            np.zeros(games * game.num_actions, ROOT_MOVE),
            np.zeros((rows + 1) * self._longest, STEP),
            np.zeros(game.num_actions, SCORE),
        ]
        nodes, edges, root_moves, steps, scores = (array.ctypes.data for array in self._kept)
        self._tree = Tree(
            nodes, edges, self._lanes.ctypes.data, root_moves, nodes_per_lane, edges_per_lane, game.num_actions
        )
        self._wave = Wave(self._leaves.ctypes.data, steps, self._longest, scores)
        self._actions = np.full(games, -1, np.int64)
        self.reset()

    def run(
        self,
        states: States,
        evaluate: Evaluate,
        *,
        seeds: npt.NDArray[np.uint64],
        simulations: npt.NDArray[np.int32] | None = None,
        noise: bool | npt.NDArray[np.bool_] = False,
    ) -> SearchResult:
        """Search every lane that is not at its end: the result, and trees that `advance` can keep.

        states: uint64[games, 3]. A lane whose kept tree has this very state as its root goes on in it: `simulations`
        are added. seeds: uint64[games]: all random draws of a lane are a function of its seed.
        simulations: int32[games], up to max_simulations; default settings.simulations. noise: whether the root has
        noise, bool or bool[games].

        Raises `UsageError` for arrays of wrong shape, `ClewError` for an evaluator that gives NaN or infinity, and
        for rules that fail.
        """
        asked = self._checked(states, seeds, simulations)
        rules = self._rules(batched=self.settings.leaves_per_wave > 1 and not isinstance(evaluate, UniformEvaluator))
        begin_lanes(
            self._tree,
            np.ascontiguousarray(states, np.uint64),
            asked,
            np.ascontiguousarray(seeds, np.uint64),
            np.ascontiguousarray(np.broadcast_to(np.asarray(noise, np.bool_), (self.games,))),
        )
        try:
            begin_run(self._tree, rules, self.games)
            if isinstance(evaluate, UniformEvaluator):
                search_uniform(self._tree, rules, self._wave, self.games)
                self.game.raise_error()
            else:
                self._search_in_waves(rules, evaluate)
        except BaseException:
            # Trees with leaves that wait for ever are of no use.
            self.reset()
            raise
        return self._result(rules)

    def advance(self, actions: npt.NDArray[np.int64]) -> None:
        """Keep, in each lane, the tree below the action played, int64[games]; -1: forget the lane's tree."""
        if np.shape(actions) != (self.games,):
            raise UsageError(f"advance needs one action for each of {self.games} games.")
        keep_subtrees(self._tree, np.asarray(actions, np.int64))

    def reset(self) -> None:
        """Forget all trees."""
        self._lanes["root"] = -1

    def principal_variation(self, lane: int) -> list[int]:
        """The actions that the lane's last search expects, its own choice first; empty without a tree."""
        line = np.zeros(self._longest, np.int64)
        length = line_from(self._tree, self._rules(batched=False), lane, int(self._actions[lane]), line)
        return [int(action) for action in line[:length]]

    def _search_in_waves(self, rules: Rules, evaluate: Evaluate) -> None:
        game, leaves = self.game, self.settings.leaves_per_wave
        while True:
            rows = select_wave(self._tree, rules, self._wave, self.games, leaves, game.cells, self._observations)
            game.raise_error()
            if rows == 0:
                return
            logits, values = evaluate(self._observations[:rows])
            if np.shape(logits) != (rows, game.num_actions) or np.shape(values) != (rows,):
                raise ClewError(
                    f"The evaluator gave logits {np.shape(logits)} and values {np.shape(values)} for {rows} positions "
                    f"of {game.display_name}, where ({rows}, {game.num_actions}) and ({rows},) are due. "
                    "Is it a model of another game?"
                )
            broken = back_up_wave(
                self._tree,
                rules,
                self._wave,
                rows,
                np.ascontiguousarray(logits, np.float32),
                np.ascontiguousarray(values, np.float32),
            )
            if broken >= 0:
                raise ClewError(
                    f"The evaluator gave a number that is not finite for a position of {game.display_name} in lane "
                    f"{broken}. The model is broken: use another one."
                )

    def _checked(
        self, states: States, seeds: npt.NDArray[np.uint64], simulations: npt.NDArray[np.int32] | None
    ) -> npt.NDArray[np.int32]:
        games = self.games
        if np.shape(states) != (games, 3):
            raise UsageError(f"This search takes states of shape ({games}, 3), and was given {np.shape(states)}.")
        if np.shape(seeds) != (games,):
            raise UsageError(f"This search takes one seed for each of {games} games.")
        asked = np.full(games, self.settings.simulations) if simulations is None else np.asarray(simulations)
        if asked.shape != (games,) or asked.min(initial=0) < 0 or asked.max(initial=0) > self.max_simulations:
            raise UsageError(
                f"This search takes simulations for each of {games} games, up to {self.max_simulations} each; "
                "give max_simulations when it is made for more."
            )
        return asked.astype(np.int32)

    def _rules(self, *, batched: bool) -> Rules:
        settings = self.settings
        return Rules(
            game=self.game.code,
            gumbel=settings.method == "gumbel",
            proofs=settings.proofs,
            foresight=settings.foresight,
            batched=batched,
            considered=settings.considered_actions,
            c_puct=np.float32(settings.c_puct),
            c_visit=float(settings.c_visit),
            c_scale=float(settings.c_scale),
            dirichlet_alpha=float(settings.dirichlet_alpha),
            root_noise=float(settings.root_noise),
        )

    def _result(self, rules: Rules) -> SearchResult:
        shape = (self.games, self.game.num_actions)
        result = SearchResult(
            visits=np.zeros(shape, np.int32),
            policy=np.zeros(shape, np.float32),
            value=np.zeros(self.games, np.float32),
            action_values=np.full(shape, np.nan, np.float32),
            action=np.full(self.games, -1, np.int64),
            simulations=np.zeros(self.games, np.int32),
        )
        fill_results(
            self._tree,
            rules,
            self._wave.scores,
            result.visits,
            result.policy,
            result.value,
            result.action_values,
            result.action,
            result.simulations,
        )
        self._actions = result.action
        return result
