"""A search that is slow and plain, written from the papers, against which the compiled one is held.

Nodes are objects, moves a dict by action; nothing is incremental that can be computed anew. It holds to the same rules
where the papers leave a choice:

- Q of a move that was never visited is 0 (PUCT); the node's own evaluation counts as one of its visits.
- Of equal scores the lowest action is taken.
- Statistics are in single precision, Gumbel's scores in double precision; its values are in [0, 1].
- A descent ends at a terminal position, at a proven result, or by expanding one node. A leaf that waits for its
  evaluation already ends the wave.

Run as a program it writes `golden/search.json`.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from clew.games.rules import GAMES, Game, find_game
from clew.games.search import SearchSettings

GOLDEN = Path(__file__).parent / "golden" / "search.json"
F32 = np.float32


class HashEvaluator:
    """Logits and values that look random and depend on nothing but the position and the salt."""

    def __init__(self, game: Game, salt: int, *, spread: float = 1.0) -> None:
        self.game, self.salt, self.spread = game, salt, spread
        self.batches: list[int] = []

    def __call__(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.batches.append(len(observations))
        logits = np.empty((len(observations), self.game.num_actions), F32)
        values = np.empty(len(observations), F32)
        for row, observation in enumerate(observations):
            digest = hashlib.blake2b(observation.tobytes(), digest_size=16, salt=self.salt.to_bytes(8, "little"))
            draws = np.random.Generator(np.random.SFC64(int.from_bytes(digest.digest(), "little")))
            logits[row] = draws.normal(size=self.game.num_actions) * self.spread
            values[row] = draws.uniform(-0.9, 0.9)
        return logits, values


@dataclass
class Move:
    """One legal move at a node; values in the view of the player to move there."""

    logit: float
    prior: np.float32
    visits: int = 0
    pending: int = 0
    total: np.float32 = field(default_factory=F32)
    child: Node | None = None
    outcome: int | None = None
    """1 won, 0 drawn, -1 lost where the move ends the game."""
    proof: int | None = None

    def mean(self) -> np.float32:
        """Mean value, each pending descent a loss; what is proven is proven."""
        if self.proof is not None:
            return F32(self.proof)
        tried = self.visits + self.pending
        return (self.total - F32(self.pending)) / F32(tried) if tried else F32(0)


@dataclass
class Node:
    state: np.ndarray
    player: int
    value: np.float32
    moves: dict[int, Move] = field(default_factory=dict)

    def proof(self) -> int | None:
        """The best proven result, where it is a win or everything is proven."""
        proofs = [move.proof for move in self.moves.values()]
        if 1 in proofs:
            return 1
        return None if None in proofs else max(proof for proof in proofs if proof is not None)


class PlainSearch:
    """One game's search, with the settings of `SearchSettings` and no noise."""

    def __init__(self, game: Game, state: np.ndarray, evaluate: Any, settings: SearchSettings) -> None:
        self.game, self.evaluate, self.settings = game, evaluate, settings
        self.root = self.expand(state)
        self.done = 0

    def expand(self, state: np.ndarray) -> Node:
        board = state[None]
        logits, values = self.evaluate(self.game.observe(board))
        legal = [int(action) for action in np.flatnonzero(self.game.legal_mask(board)[0])]
        highest = max(float(logits[0, action]) for action in legal)
        total = sum(math.exp(float(logits[0, action]) - highest) for action in legal)
        node = Node(state, int(self.game.mover(board)[0]), values[0])
        for action in legal:
            logit = float(logits[0, action])
            node.moves[action] = Move(logit, F32(math.exp(logit - highest) / total))
        return node

    def run(self, simulations: int) -> None:
        """That many simulations more, or until the root is proven."""
        leaves = self.settings.leaves_per_wave
        self.done, self.asked = 0, simulations
        self.before = {action: move.visits for action, move in self.root.moves.items()}
        while True:
            waiting: list[list[tuple[Node, Move]]] = []
            while len(waiting) < leaves and self.done < simulations and not self.finished():
                path = self.descend()
                node, move = path[-1]
                if move.proof is not None or move.outcome is not None:
                    result = move.proof if move.proof is not None else move.outcome
                    self.done += 1
                    self.back_up(path, F32(result if node.player == 0 else -result))
                    continue
                if move.pending:
                    break
                if leaves > 1:
                    for _, passed in path:
                        passed.pending += 1
                self.done += 1
                waiting.append(path)
            if not waiting:
                return
            for path in waiting:
                if leaves > 1:
                    for _, passed in path:
                        passed.pending -= 1
            for path in waiting:
                node, move = path[-1]
                state = self.game.play(node.state[None], [self.action_of(node, move)])[0]
                move.child = self.expand(state)
                value = move.child.value
                self.back_up(path, value if move.child.player == 0 else -value)

    def finished(self) -> bool:
        return self.settings.proofs and self.root.proof() is not None

    @staticmethod
    def action_of(node: Node, wanted: Move) -> int:
        return next(action for action, move in node.moves.items() if move is wanted)

    def descend(self) -> list[tuple[Node, Move]]:
        node, path = self.root, []
        while True:
            move = node.moves[self.select(node)]
            path.append((node, move))
            if move.proof is not None or move.outcome is not None:
                return path
            if move.child is None:
                board = self.game.play(node.state[None], [self.action_of(node, move)])
                won_by = int(self.game.winner(board)[0])
                if won_by:
                    move.outcome = 0 if won_by == 3 else 1 if won_by == node.player + 1 else -1
                return path
            node = move.child

    def back_up(self, path: list[tuple[Node, Move]], value: np.float32) -> None:
        """`value` in the view of the first player."""
        for node, move in reversed(path):
            move.visits += 1
            move.total = F32(move.total + (value if node.player == 0 else -value))
            if not self.settings.proofs:
                continue
            known = node.proof()
            if move.outcome is not None:
                move.proof = move.outcome
            elif move.child is not None and move.child.proof() is not None:
                below = move.child.proof()
                move.proof = below if move.child.player == node.player else -below
            proven = node.proof()
            if known is None and proven is not None:
                value = F32(proven if node.player == 0 else -proven)

    def select(self, node: Node) -> int:
        if self.settings.method == "puct":
            return self.select_puct(node)
        return self.select_at_root() if node is self.root else self.select_inner(node)

    def select_puct(self, node: Node) -> int:
        tried = 1 + sum(move.visits + move.pending for move in node.moves.values())
        weight = F32(self.settings.c_puct) * np.sqrt(F32(tried))

        def score(action: int) -> np.float32:
            move = node.moves[action]
            if move.proof == -1:
                return F32(-np.inf)
            return move.mean() + weight * (move.prior / F32(1 + move.visits + move.pending))

        return max(node.moves, key=score)

    def scores(self, node: Node) -> dict[int, float]:
        """logit + sigma(completed Q) (Danihelka et al. 2022, section 4 and appendix D)."""
        tried = {action: move.visits + move.pending for action, move in node.moves.items()}
        total = sum(tried.values())
        mixed = float(node.value)
        prior_sum = weighted = 0.0
        for action, move in node.moves.items():
            if tried[action]:
                prior_sum += float(move.prior)
                weighted += float(move.prior) * float(move.mean())
        if prior_sum > 0:
            mixed = (mixed + total * (weighted / prior_sum)) / (1 + total)
        scale = (self.settings.c_visit + max(tried.values())) * self.settings.c_scale
        return {
            action: move.logit + scale * (0.5 * ((float(move.mean()) if tried[action] else mixed) + 1.0))
            for action, move in node.moves.items()
        }

    def softmax(self, scores: dict[int, float]) -> dict[int, float]:
        highest = max(scores.values())
        powers = {action: math.exp(score - highest) for action, score in scores.items()}
        total = sum(powers.values())
        return {action: power / total for action, power in powers.items()}

    def select_inner(self, node: Node) -> int:
        open_moves = {action: score for action, score in self.scores(node).items() if node.moves[action].proof != -1}
        improved = self.softmax(open_moves)
        total = sum(move.visits + move.pending for move in node.moves.values())
        return max(
            improved,
            key=lambda action: (
                improved[action] - (node.moves[action].visits + node.moves[action].pending) / (1 + total)
            ),
        )

    def select_at_root(self) -> int:
        moves = self.root.moves
        wanted = halving(min(self.settings.considered_actions, len(moves)), self.asked)[self.done]
        scores = self.scores(self.root)
        open_moves = [action for action in moves if moves[action].proof != -1]
        return min(
            open_moves,
            key=lambda action: (
                abs(moves[action].visits + moves[action].pending - self.before[action] - wanted),
                -scores[action],
            ),
        )

    def playable(self) -> list[int]:
        """Moves that keep the root's proven result, or that are not proven lost."""
        moves = self.root.moves
        if not self.settings.proofs:
            return list(moves)
        proof = self.root.proof()
        if proof is not None:
            return [action for action in moves if moves[action].proof == proof]
        return [action for action in moves if moves[action].proof != -1]

    def policy(self) -> dict[int, float]:
        playable = self.playable()
        if self.settings.method == "gumbel":
            scores = self.scores(self.root)
            return self.softmax({action: scores[action] for action in playable})
        visits = {action: self.root.moves[action].visits for action in playable}
        total = sum(visits.values())
        if total:
            return {action: count / total for action, count in visits.items()}
        priors = {action: float(self.root.moves[action].prior) for action in playable}
        return {action: prior / sum(priors.values()) for action, prior in priors.items()}

    def action(self) -> int:
        moves = self.root.moves
        if self.settings.method == "gumbel":
            scores = self.scores(self.root)
            return max(self.playable(), key=lambda action: (moves[action].visits - self.before[action], scores[action]))
        return max(
            self.playable(),
            key=lambda action: (
                moves[action].visits,
                float(moves[action].mean() if moves[action].visits else moves[action].prior),
            ),
        )

    def value(self) -> float:
        proof = self.root.proof()
        if proof is not None and self.settings.proofs:
            return float(proof)
        total, count = float(self.root.value), 1
        for move in self.root.moves.values():
            if move.visits and move.proof != -1:
                total += move.visits * float(move.mean())
                count += move.visits
        return total / count


def halving(considered: int, simulations: int) -> list[int]:
    """For each simulation the visits that the move it goes to has had: sequential halving, played through."""
    if considered == 1:
        return list(range(simulations))
    phases = math.ceil(math.log2(considered))
    visits = [0] * considered
    left, schedule = considered, []
    while len(schedule) < simulations:
        for _ in range(max(1, simulations // (phases * left))):
            for place in range(left):
                schedule.append(visits[place])
                visits[place] += 1
        left = max(2, left // 2)
    return schedule[:simulations]


def random_position(game: Game, plies: int, seed: int) -> np.ndarray:
    """An ongoing position after at most `plies` random moves, uint64[3]."""
    draws = np.random.default_rng([seed, plies])
    board = game.initial()
    for _ in range(plies):
        following = game.play(board, [draws.choice(np.flatnonzero(game.legal_mask(board)[0]))])
        if game.winner(following)[0]:
            break
        board = following
    return board[0]


def plain_result(game: Game, state: np.ndarray, evaluate: Any, settings: SearchSettings) -> dict[str, Any]:
    """What `SearchResult` says of one lane, as JSON."""
    search = PlainSearch(game, state, evaluate, settings)
    search.run(settings.simulations)
    return described(search)


def described(search: PlainSearch) -> dict[str, Any]:
    moves = search.root.moves
    return {
        "visits": {str(action): move.visits for action, move in moves.items()},
        "means": {str(action): float(move.mean()) for action, move in moves.items() if move.visits},
        "policy": {str(action): share for action, share in search.policy().items()},
        "value": search.value(),
        "action": search.action(),
        "simulations": search.done,
    }


def golden_cases() -> list[dict[str, Any]]:
    """Settings and positions of the golden file, without results."""
    cases = []
    for game in GAMES.values():
        for seed in range(12):
            plies = [0, 3, 5, 12, 20, 30][seed % 6] if game.env_id != "tictactoe" else seed % 6
            for method in ("puct", "gumbel"):
                settings = {
                    "method": method,
                    "simulations": [1, 7, 16, 40, 90][(seed + (method == "puct")) % 5],
                    "leaves_per_wave": [1, 1, 3, 8][seed % 4],
                    "proofs": seed % 3 != 0,
                    "considered_actions": [4, 16][seed % 2],
                }
                cases.append({"env_id": game.env_id, "plies": plies, "seed": seed, "settings": settings})
    return cases


def solve_case(case: dict[str, Any]) -> dict[str, Any]:
    game = find_game(case["env_id"])
    state = random_position(game, case["plies"], case["seed"])
    return plain_result(game, state, HashEvaluator(game, case["seed"]), SearchSettings(**case["settings"]))


if __name__ == "__main__":
    cases = golden_cases()
    GOLDEN.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps({**case, "result": solve_case(case)}) for case in cases)
    GOLDEN.write_text(f"[\n{lines}\n]\n")
