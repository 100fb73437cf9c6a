"""Recipe of the objective `alphazero`: a policy/value net that learns from self-play in a replay database."""

from __future__ import annotations

from typing import Literal, Self

import pydantic

from clew.databases import split_password
from clew.recipes.base import LARGEST, MOST_LAYERS, Decay, Recipe, Section, Training


class ReplayData(Section):
    """The evidence: a replay database that actors write while the learner reads."""

    db: str = "data/replay.db"
    """Path of an SQLite file, or a postgresql:// URL."""
    env_id: str = "tictactoe"
    """The game; any that the database describes in game_metadata."""
    replay_window: int = pydantic.Field(default=0, ge=0)
    """Train on the newest so many rows; 0: on all."""
    replay_cleanup_interval: int = pydantic.Field(default=0, ge=0)
    """Steps after which rows older than the window are deleted from the database; 0: never."""
    clear_replay: bool = False
    """Delete the game's rows from the database before training begins."""
    max_reuse: float = pydantic.Field(default=0.0, ge=0)
    """How often a row is trained on at most, on average: the learner waits for new rows beyond it. 0: no limit."""
    episodes: int = pydantic.Field(default=0, ge=0)
    """Episodes that must have come for each checkpoint interval before its steps are taken. 0: no such limit."""
    refresh_every: int = pydantic.Field(default=10, ge=1)
    """Steps between looks for new rows."""
    held_out_fraction: float = pydantic.Field(default=0.02, ge=0, lt=1)
    """Share of the episodes that are evaluated on and never trained on."""
    wait_interval: float = pydantic.Field(default=2.0, gt=0)
    """Longest pause in seconds between looks while there is too little to train on; it begins shorter."""
    max_wait: float = pydantic.Field(default=300.0, gt=0)
    """Seconds without any new row after which waiting is given up (exit code 2)."""


class Outputs(Section):
    """Files that other programs read."""

    model_dir: str = "data/models"
    """Folder of model_step_000100.onnx, ..., latest.onnx and best.onnx."""
    stats: str = "data/stats.json"
    """What a page polls."""
    max_checkpoints: int = pydantic.Field(default=10, ge=1)
    """How many of the newest step files stay in the model folder."""
    stats_interval: int = pydantic.Field(default=10, ge=1)
    """Steps between updates of the stats file."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """WARNING and ERROR leave the progress lines out."""
    start_step: int = pydantic.Field(default=0, ge=0)
    """Added to the steps in file names and statistics: steps that an earlier run has taken."""


class Net(Section):
    """The policy/value net; what is 0 or auto follows from the size of the board."""

    kind: Literal["auto", "mlp", "tower"] = "auto"
    """mlp: a perceptron. tower: residual blocks. auto: mlp for boards of up to 16 cells or none, tower for larger."""
    width: int = pydantic.Field(default=0, ge=0, le=LARGEST)
    """Units or channels. 0: 128, or 256 for boards of more than 49 cells."""
    depth: int = pydantic.Field(default=0, ge=0, le=MOST_LAYERS)
    """Layers or blocks. 0: 2 layers; 4 blocks, or 6 for boards of more than 49 cells."""


class Targets(Section):
    """What the net is taught."""

    value_weight: float = pydantic.Field(default=1.0, ge=0)
    """Weight of the value's squared error beside the policy's cross-entropy."""
    root_value_share: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Value target: this share of the search's root value, the rest the outcome of the game."""
    symmetry: Literal["auto", "none", "mirror", "all"] = "auto"
    """Reflections of the board that rows are shown in: mirror: left and right; all: the eight of a square.
    auto: what the game allows, none for a game whose rules are not known here."""


class GameEvaluation(Section):
    """Games that the net plays at each evaluation, where the rules are known here."""

    eval_games: int = pydantic.Field(default=50, ge=0, multiple_of=2)
    """Games against the champion, or against random play while there is none; 0: none."""
    eval_simulations: int = pydantic.Field(default=0, ge=0)
    """Simulations a move in these games; 0: the net's own choice."""
    eval_win_threshold: float = pydantic.Field(default=0.55, gt=0, lt=1)
    """Score (a draw counts half) above which the net becomes the champion, best.onnx."""


class Actor(Section):
    """How actors play: `clew actor`, and the actors of `clew loop`."""

    lanes: int = pydantic.Field(default=64, ge=1, le=LARGEST)
    """Games played side by side; the positions of all are one batch of the net."""
    method: Literal["gumbel", "puct"] = "gumbel"
    """Search: gumbel (good from few simulations on) or puct."""
    simulations: int = pydantic.Field(default=32, ge=1)
    """Simulations a move, at first."""
    max_simulations: int = pydantic.Field(default=0, ge=0)
    """Simulations a move, in the end. 0: as at first."""
    simulation_ramp: int = pydantic.Field(default=0, ge=0)
    """Simulations that each iteration adds (an iteration: the steps between two models)."""
    full_search_share: float = pydantic.Field(default=1.0, gt=0, le=1)
    """Playout-cap randomisation: share of the moves with all simulations."""
    cheap_simulations: int = pydantic.Field(default=8, ge=1)
    """Simulations of the other moves."""
    temp_threshold: int = pydantic.Field(default=15, ge=0)
    """Plies during which moves are drawn at temperature 1; afterwards the best one is played."""
    opening_share: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Share of the games that begin after random moves, so that the net also learns what follows mistakes."""
    opening_plies: int = pydantic.Field(default=4, ge=1)
    """The most random moves of such an opening; they are not part of the episode."""
    c_puct: float = pydantic.Field(default=1.25, gt=0)
    """Exploration constant of puct."""
    dirichlet_alpha: float = pydantic.Field(default=0.3, gt=0)
    """Noise at the root of puct."""
    root_noise: float = pydantic.Field(default=0.25, ge=0, le=1)
    """Share of the noise at the root of puct."""
    foresight: bool = True
    """Whether leaves in which one move wins are settled without asking the net."""
    considered_actions: int = pydantic.Field(default=16, ge=2)
    """Actions that gumbel considers at the root."""

    def simulations_at(self, iteration: int) -> int:
        """Simulations a move in iteration 0, 1, 2, ..."""
        return min(max(self.simulations, self.max_simulations), self.simulations + self.simulation_ramp * iteration)


class LearnerTraining(Training):
    """What the loop does, with the defaults that users of self-play trainers know."""

    max_steps: int = pydantic.Field(default=1000, ge=1)
    """Optimiser steps to plan."""
    batch_size: int = pydantic.Field(default=64, ge=1, le=LARGEST)
    """Rows in one optimiser step."""
    learning_rate: float = pydantic.Field(default=1e-3, gt=0)
    """Peak learning rate."""
    min_learning_rate: float = pydantic.Field(default=1e-4, ge=0)
    """Learning rate at the end of the planned steps."""
    warmup_steps: int = pydantic.Field(default=100, ge=0)
    """Steps over which the learning rate rises linearly to its peak."""
    warmup_start_ratio: float = pydantic.Field(default=0.1, ge=0, le=1)
    """Where the warm-up begins, as a share of the peak."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """AdamW's decay rates of the first and second moment."""
    weight_decay: float = pydantic.Field(default=1e-4, ge=0)
    """Decoupled weight decay, on matrices only."""
    evaluate_every: int = pydantic.Field(default=100, ge=1)
    """Steps between evaluations."""
    patience: int = pydantic.Field(default=0, ge=0)
    """Evaluations without improvement after which the run stops early; 0: never."""
    checkpoint_every: int = pydantic.Field(default=100, ge=1)
    """Steps between checkpoints, each with its model file."""


class AlphaZeroRecipe(Recipe):
    """A policy/value net that learns from self-play: the search's distribution and the outcome of the game."""

    objective: Literal["alphazero"] = "alphazero"
    """What "better" means: cross-entropy and squared error on held-out episodes."""
    name: str = pydantic.Field(default="alphazero", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """Name of the model; run folders begin with it."""
    training: LearnerTraining = LearnerTraining()
    """What the loop does."""
    data: ReplayData = ReplayData()
    """The evidence."""
    outputs: Outputs = Outputs()
    """Files that other programs read."""
    net: Net = Net()
    """The policy/value net."""
    targets: Targets = Targets()
    """What the net is taught."""
    games: GameEvaluation = GameEvaluation()
    """Games at each evaluation."""
    actor: Actor = Actor()
    """How the actors of `clew loop` play."""

    def without_secrets(self) -> Self:
        """This recipe without the password of its database."""
        data = self.data.model_copy(update={"db": split_password(self.data.db)[0]})
        return self.model_copy(update={"data": data})
