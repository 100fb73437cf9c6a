"""Many environments stepped side by side in this process, into buffers that are allocated once.

An episode that ends is followed by the next at once (same-step autoreset): `observations` then holds its first
observation, and `finals` the last one of the episode that ended, which the value of a truncated episode needs. Each
episode begins with a seed of its own, a function of run seed, place and number of the episode, so an environment that
is deterministic given its seed can be rebuilt at any time from the actions of its episode.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium import Env
from numpy.typing import NDArray

from clew.core.randomness import key
from clew.environments.making import EnvironmentFaultError, fault
from clew.environments.spaces import Actions, Observations, actions_of, mask_source, observations_of
from clew.environments.wrapped import given, gives_state, limit, masks_of, take_back

LONGEST_EPISODE = 100_000
"""Steps after which an episode without a limit is taken for one that never ends."""
REMEMBERED = 100
"""Finished episodes that statistics are over."""

Way = Literal["state", "replay", "none"]
"""How an environment is rebuilt in a resumed run: from the state that it gives, by replaying the actions of its
episode, or not at all."""


class Final(NamedTuple):
    """An episode that ended in the last step."""

    env: int
    observation: NDArray[np.float32]
    truncated: bool
    """Whether it was broken off, so that what would have followed still has a value."""


class Environments:
    """`count` environments. After `reset` or `restore`, `step` them; the arrays are overwritten by each step."""

    def __init__(
        self, make: Callable[[], Env[Any, Any]], count: int, *, seed: int, purpose: str = "episode", keeps: bool = True
    ) -> None:
        """`keeps`: whether environments that give and take their state are seeded once, and then follow their own
        course from episode to episode (a curriculum); the others are seeded for every episode.
        """
        self._envs = [make() for _ in range(count)]
        first = self._envs[0]
        self.name = first.spec.id if first.spec else type(first.unwrapped).__name__
        self.actions: Actions = actions_of(first.action_space, self.name)
        self.layout: Observations = observations_of(first.observation_space, self.name)
        self.count, self._seed, self._purpose = count, seed, purpose
        self._decode, self._write = self.actions.decoder(), self.layout.writer()
        self._steps = [env.step for env in self._envs]
        self.observations: NDArray[np.float32] = np.zeros((count, self.layout.size), np.float32)
        self.rewards: NDArray[np.float64] = np.zeros(count)
        self.terminated: NDArray[np.bool_] = np.zeros(count, np.bool_)
        self.truncated: NDArray[np.bool_] = np.zeros(count, np.bool_)
        self.finals: list[Final] = []
        self.told: list[dict[str, Any]] = [{} for _ in range(count)]
        """The info of each environment's last step, or of the reset after it."""
        self.told_at_step: list[dict[str, Any]] = [{} for _ in range(count)]
        """The info of each environment's last step."""
        self.masks: NDArray[np.bool_] | None = None
        """bool [count, outputs]: which actions are legal now; None where the environment does not say."""
        self._masked: Literal["info", "method", None] = None
        self.episodes = np.zeros(count, np.int64)
        """Number of the episode that each environment is in."""
        self._lengths: list[int] = [0] * count
        self._returns: list[float] = [0.0] * count
        self.finished: deque[tuple[float, int]] = deque(maxlen=REMEMBERED)
        """Return and length of the last episodes that ended."""
        self.steps_taken = 0
        self._log: list[NDArray[Any]] = []
        self._begun = [0] * count
        self._seeded = [False] * count
        self._keeps = keeps and self.way == "state"
        self._limited = all(limit(env) is not None for env in self._envs)

    def reset(self) -> None:
        """Begin the first episode of each. Raises `EnvironmentFaultError`."""
        for place in range(self.count):
            self._begin(place)
        self._find_masks()

    @property
    def unwrapped(self) -> Any:
        """The first environment without its wrappers."""
        return self._envs[0].unwrapped

    def close(self) -> None:
        """Let go of what the environments hold (windows, processes)."""
        for env in self._envs:
            env.close()

    def step(self, rows: NDArray[Any]) -> None:
        """Step each environment by its row of actions [count, columns].

        Raises `EnvironmentFaultError`, naming environment, step and action, where one raises, gives NaN or infinity,
        or goes on past `LONGEST_EPISODE` without a limit.
        """
        self._log.append(rows.copy())
        acts = self._decode(rows)
        observations, rewards, write = self.observations, self.rewards, self._write
        terminated, truncated, told, returns, lengths = (
            self.terminated,
            self.truncated,
            self.told,
            self._returns,
            self._lengths,
        )
        self.finals = []
        ended: list[int] = []
        place = 0
        try:
            for place, take in enumerate(self._steps):
                observation, reward, terminated[place], truncated[place], told[place] = take(acts[place])
                write(observation, observations[place])
                rewards[place] = reward
                returns[place] += float(reward)
                lengths[place] += 1
                if terminated[place] or truncated[place]:
                    ended.append(place)
        except Exception as error:  # an environment may raise anything
            raise fault(self.name, self._where(place, rows), error) from error
        self.steps_taken += self.count
        # A sum is no number where one of its terms is none; it may also overflow, so each is looked at then.
        if not math.isfinite(float(observations.sum()) + float(rewards.sum())):
            self._check_finite(rows)
        if not self._limited and max(lengths) >= LONGEST_EPISODE:
            self._complain_of_length()
        if ended:
            self.told_at_step = list(told)
        else:
            self.told_at_step = told
        for place in ended:
            final = Final(place, observations[place].copy(), not terminated[place])
            self.finals.append(final)
            self.finished.append((returns[place], lengths[place]))
            self.episodes[place] += 1
            self._begin(place)
        if ended and len(self._log) > 4096:
            self._forget()
        if self._masked:
            self._take_masks()

    @property
    def way(self) -> Way:
        """How these environments are rebuilt, where they are deterministic."""
        return "state" if all(gives_state(env) for env in self._envs) else "replay"

    def state(self) -> dict[str, Any]:
        """Where each environment stands, as JSON: its state or the actions of its episode, and the statistics."""
        way, stop = self.way, len(self._log)
        places = []
        for place, env in enumerate(self._envs):
            kept: dict[str, Any] = {
                "episode": int(self.episodes[place]),
                "length": self._lengths[place],
                "return": self._returns[place],
            }
            if way == "state":
                kept["state"] = given(env)
            else:
                kept["actions"] = [self._log[at][place].tolist() for at in range(self._begun[place], stop)]
            kept["observation"] = self.observations[place].tolist()
            if self.masks is not None:
                kept["mask"] = self.masks[place].astype(int).tolist()
            places.append(kept)
        return {"environments": places, "finished": list(self.finished), "steps_taken": self.steps_taken}

    def restore(self, state: Mapping[str, Any]) -> list[int]:
        """Take back what `state` gave, and return the places whose environments could not be brought to where they
        were: these begin a new episode. Raises `EnvironmentFaultError`, and `ValueError` for another count."""
        places = state["environments"]
        if len(places) != self.count:
            raise ValueError(f"the state of {len(places)} environments where there are {self.count}")
        lost = []
        self._log, self._begun = [], [0] * self.count
        histories = []
        for place, kept in enumerate(places):
            self.episodes[place] = int(kept["episode"])
            self._begin(place)
        self._find_masks()
        for place, kept in enumerate(places):
            histories.append(kept.get("actions", []))
            if "state" in kept:
                take_back(self._envs[place], kept["state"], int(kept["length"]))
                self.observations[place] = np.asarray(kept["observation"], np.float32)
            elif not self._replayed(place, kept):
                lost.append(place)
                histories[place] = []
                self.episodes[place] += 1
                self._begin(place)
                continue
            self._lengths[place], self._returns[place] = int(kept["length"]), float(kept["return"])
        self._remember(histories)
        self.finished = deque(((float(each), int(length)) for each, length in state["finished"]), maxlen=REMEMBERED)
        self.steps_taken = int(state["steps_taken"])
        if self.masks is not None:
            for place, kept in enumerate(places):
                if place in lost and self._masked == "info":
                    self.masks[place] = np.asarray(self.told[place]["action_mask"]).reshape(-1)
                elif place not in lost:
                    self.masks[place] = np.asarray(kept["mask"], np.bool_)
        return lost

    def _replayed(self, place: int, kept: Mapping[str, Any]) -> bool:
        """Take the actions of the episode again; whether that came to the same observation, bit for bit."""
        rows = _rows(kept["actions"], self.actions)
        acts, take = self._decode(rows), self._steps[place]
        observation = None
        for at, act in enumerate(acts):
            try:
                observation, _, terminated, truncated, self.told[place] = take(act)
            except Exception as error:
                raise fault(self.name, f"when step {at + 1} of an episode was taken again", error) from error
            if terminated or truncated:
                return False
        if observation is not None:
            self._write(observation, self.observations[place])
        return bool(np.array_equal(self.observations[place], np.asarray(kept["observation"], np.float32)))

    def _remember(self, histories: list[list[list[float]]]) -> None:
        """Lay the actions of the episodes that go on out as if they had been taken just now."""
        longest = max(len(history) for history in histories)
        kind = np.float32 if self.actions.kind == "box" else np.int64
        log = np.zeros((longest, self.count, self.actions.columns), kind)
        for place, history in enumerate(histories):
            self._begun[place] = longest - len(history)
            if history:
                log[longest - len(history) :, place] = _rows(history, self.actions)
        self._log = list(log)

    def _forget(self) -> None:
        oldest = min(self._begun)
        if oldest > len(self._log) // 2:
            del self._log[:oldest]
            self._begun = [each - oldest for each in self._begun]

    def _begin(self, place: int) -> None:
        seed = key(self._seed, self._purpose, place, int(self.episodes[place])) % 2**31
        again = self._keeps and self._seeded[place]
        self._seeded[place] = True
        try:
            observation, self.told[place] = self._envs[place].reset(seed=None if again else seed)
            self._write(observation, self.observations[place])
        except Exception as error:
            raise fault(self.name, f"at the reset before episode {self.episodes[place]}", error) from error
        if not np.isfinite(self.observations[place]).all():
            raise EnvironmentFaultError(
                f"The environment {self.name} (number {place}) gave NaN or infinity in its first observation of "
                f"episode {self.episodes[place]}. Mend it, or clip its observations with a wrapper."
            )
        self._lengths[place], self._returns[place], self._begun[place] = 0, 0.0, len(self._log)

    def _find_masks(self) -> None:
        """See whether the environments tell which actions are legal; from then on they must."""
        if self.actions.kind != "box":
            self._masked = mask_source(self._envs[0], self.told[0])
        if self._masked:
            self.masks = np.ones((self.count, self.actions.outputs), np.bool_)
            self._take_masks()

    def _take_masks(self) -> None:
        assert self.masks is not None
        for place, env in enumerate(self._envs):
            try:
                told = self.told[place]["action_mask"] if self._masked == "info" else masks_of(env)
                self.masks[place] = np.asarray(told).reshape(-1)
            except (KeyError, ValueError, TypeError) as error:
                raise EnvironmentFaultError(
                    f"The environment {self.name} (number {place}) told no action mask of {self.actions.outputs} "
                    f"booleans at step {self._lengths[place]} of episode {self.episodes[place]}, though it did before: "
                    f"{type(error).__name__} {error}."
                ) from error
        at = 0
        for size in self.actions.sizes:
            if not self.masks[:, at : at + size].any(axis=1).all():
                place = int(np.argmin(self.masks[:, at : at + size].any(axis=1)))
                raise EnvironmentFaultError(
                    f"The environment {self.name} (number {place}) allows no action at all at step "
                    f"{self._lengths[place]} of episode {self.episodes[place]}. An episode in which nothing can be "
                    "done must end (terminated)."
                )
            at += size

    def _where(self, place: int, rows: NDArray[Any]) -> str:
        return (
            f"(number {place} of {self.count}) at step {self._lengths[place] + 1} of episode {self.episodes[place]}, "
            f"for the action {rows[place].tolist()}"
        )

    def _check_finite(self, rows: NDArray[Any]) -> None:
        for place in range(self.count):
            for what, values in (("reward", self.rewards[place]), ("observation", self.observations[place])):
                if not np.isfinite(values).all():
                    self._lengths[place] -= 1
                    raise EnvironmentFaultError(
                        f"The environment {self.name} {self._where(place, rows)} gave NaN or infinity as its {what}. "
                        "The run stopped there, and what was saved before is whole. Mend the environment."
                    )

    def _complain_of_length(self) -> None:
        place = int(np.argmax(self._lengths))
        raise EnvironmentFaultError(
            f"The environment {self.name} (number {place}) has not ended its episode {self.episodes[place]} within "
            f"{LONGEST_EPISODE:,} steps, and has no limit. Give it one: --max-episode-steps 1000."
        )


def _rows(actions: list[list[float]], layout: Actions) -> NDArray[Any]:
    kind = np.float32 if layout.kind == "box" else np.int64
    return np.array(actions, kind).reshape(-1, layout.columns)
