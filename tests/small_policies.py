"""Environments of a few lines, and PPO recipes whose steps take milliseconds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

SMALL = {
    "count": 4,
    "rollout_steps": 16,
    "max_epochs": 2,
    "batch_size": 16,
    "hidden": (8, 8),
    "eval_episodes": 2,
    "log_every": 1,
    "evaluate_every": 1000,
    "checkpoint_every": 1000,
    "threads": 1,
    "device": "cpu",
}
"""A recipe with every part of the loop in use: a rollout of 64 rows, updates of eight steps."""


class Corridor(gymnasium.Env):
    """Five places in a row, the goal at the right end: right earns 1 there, and nothing may be done but what a mask
    allows. Observations, actions and faults are the arguments'."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self, actions: str = "discrete", fault: str = "", masks: str = "", tells: bool = False, keeps: bool = False
    ):
        self.observation_space = spaces.Box(-1, 5, (2,), np.float32)
        self.action_space = {
            "discrete": spaces.Discrete(3, start=-1),
            "multi": spaces.MultiDiscrete([3, 2]),
            "box": spaces.Box(-1, 1, (2,), np.float32),
            "text": spaces.Text(3),
        }[actions]
        self._fault, self._tells, self._told = fault, tells, masks == "info"
        if masks == "method":
            self.action_masks = self._legal
        if keeps:
            self.get_state = lambda: {
                "place": self.place,
                "number": self.number,
                "random": self.np_random.bit_generator.state["state"],
            }
            self.set_state = self._set
        self.taken: list[Any] = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.number = 0, float(self.np_random.random())
        return self._seen(), self._info()

    def step(self, action):
        self.taken.append(action)
        way = int(np.sign(action)) if np.ndim(action) == 0 else int(np.sign(np.reshape(action, -1)[0]))
        if self._fault == "raises" and self.place == 2:
            raise RuntimeError("the floor gave way")
        if self._fault == "clock":
            self.number = float(np.random.default_rng().random())
        self.place = int(np.clip(self.place + way, 0, 4))
        reward = float("nan") if self._fault == "nan" and self.place == 2 else float(self.place == 4) - 0.01
        ends = self.place == 4 and self._fault != "endless"
        return self._seen(), reward, ends, False, self._info()

    def _seen(self):
        return np.array([self.place, self.number], np.float32)

    def _legal(self):
        return np.array([self.place > 0, True, True])

    def _info(self):
        told = {"action_mask": self._legal()} if self._told else {}
        return told | ({"guard": float(self.place > 1), "latency": float(self.place)} if self._tells else {})

    def _set(self, state):
        self.place, self.number = state["place"], state["number"]
        kept = self.np_random.bit_generator.state
        self.np_random.bit_generator.state = {**kept, "state": state["random"]}


def register() -> None:
    """Let `gymnasium.make` know the corridor, with and without a limit."""
    for name, limit in (("small_policies/Corridor-v0", 20), ("small_policies/Endless-v0", None)):
        if name not in gymnasium.registry:
            gymnasium.register(name, Corridor, max_episode_steps=limit)


register()
CORRIDOR = "small_policies:small_policies/Corridor-v0"
ENDLESS = "small_policies:small_policies/Endless-v0"


def flags(**changed: Any) -> list[str]:
    """The small recipe as flags, with `changed` laid over it."""
    found = []
    for name, value in (SMALL | changed).items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
            continue
        found.append(f"--{flag}")
        found += [str(each) for each in value] if isinstance(value, tuple) else [str(value)]
    return found
