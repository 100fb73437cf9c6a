"""The search for programs as a Gymnasium environment: `clew/Synthesis-v0`.

    import clew.programs.environment
    environment = gymnasium.make("clew/Synthesis-v0", tasks="held_out.jsonl")

A step fills the leftmost open place of a partial program. An episode ends when the program is complete: the reward is 1
where it fits all examples of the task, else 0. It is truncated where the program cannot be completed within `max_size`
nodes. `info["action_mask"]` says which actions the grammar allows; another one ends the episode without reward. With
the program complete, `info` also tells its `guard` (1: an error stopped it, or it breaks the contract) and `latency`.

Tasks are drawn by weight, and weights follow success: a task that is solved now and then is drawn most, one that always
or never is comes up less (`TaskSampler`). What is drawn is a function of seed, episode and the outcomes before it, and
all of it is saved and restored (`get_state`, `set_state`), so that a run that was killed goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from clew.core.errors import UsageError
from clew.core.randomness import generator
from clew.programs import features, machine
from clew.programs.demonstrations import read
from clew.programs.execution import Runner
from clew.programs.grammar import GRAMMARS, Grammar
from clew.programs.judging import Judge, results_of
from clew.programs.pretty import pretty
from clew.programs.search.problem import Problem
from clew.programs.states import State, legal_actions, start

ID = "clew/Synthesis-v0"
GENERATED = 64
"""Tasks that are made where none are named."""


class TaskSampler:
    """Draws tasks by weight; the weight of a task follows how often it is solved.

    With s the moving share of solved attempts, a task has the weight `floor + 4 s (1 - s)`, and 1 before the first
    attempt: tasks at the edge of what a policy can do teach it most (so Florensa et al. 2018, "Automatic goal
    generation", take goals of intermediate difficulty). `floor` keeps every task in play.
    """

    def __init__(self, tasks: int, *, floor: float = 0.1, memory: float = 0.9) -> None:
        """Raises `UsageError` for no task, a floor that is not above 0, or a memory not in [0, 1)."""
        if tasks < 1 or not floor > 0 or not 0 <= memory < 1:
            raise UsageError("A sampler needs a task at least, a floor above 0 and a memory from 0 to below 1.")
        self._floor, self._memory = floor, memory
        self.attempts: NDArray[np.int64] = np.zeros(tasks, np.int64)
        self.success: NDArray[np.float64] = np.zeros(tasks)
        """[tasks] the moving share of solved attempts; 0 before the first."""

    def __len__(self) -> int:
        return len(self.attempts)

    @property
    def weights(self) -> NDArray[np.float64]:
        """[tasks] how much each task is drawn."""
        found: NDArray[np.float64] = self._floor + 4 * self.success * (1 - self.success)
        return np.where(self.attempts == 0, 1.0, found)

    def draw(self, random: np.random.Generator) -> int:
        """A task's place."""
        sums = np.cumsum(self.weights)
        return min(int(np.searchsorted(sums, random.random() * sums[-1], side="right")), len(self) - 1)

    def update(self, task: int, solved: bool) -> None:
        """An attempt at `task` has ended."""
        first = self.attempts[task] == 0
        self.success[task] = solved if first else self._memory * self.success[task] + (1 - self._memory) * solved
        self.attempts[task] += 1

    def get_state(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {"attempts": self.attempts.tolist(), "success": self.success.tolist()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `get_state` gave. Raises `UsageError` for a state of another number of tasks."""
        if len(state["attempts"]) != len(self) or len(state["success"]) != len(self):
            raise UsageError(f"The state is of {len(state['attempts'])} tasks; here are {len(self)}.")
        self.attempts = np.array(state["attempts"], np.int64)
        self.success = np.array(state["success"], np.float64)


class SynthesisEnv(gymnasium.Env[NDArray[np.float32], np.int64]):
    """`clew/Synthesis-v0`; the module says what a step, an episode and a reward are."""

    metadata: dict[str, Any] = {  # noqa: RUF012 (gymnasium declares it of instances)
        "render_modes": ["ansi"],
        "render_fps": 4,
    }

    def __init__(
        self,
        tasks: str | Path | Sequence[Problem] | None = None,
        *,
        grammar: str | Grammar = "full",
        max_size: int = 12,
        shaping: float = 0.0,
        reweight: bool = True,
        task_seed: int = 0,
        generated: int = GENERATED,
        render_mode: str | None = None,
    ) -> None:
        """`tasks`: problems, or a file of demonstrations or held-out tasks (its grammar is then taken); none: as many
        as `generated` says are made from `task_seed`. `max_size`: nodes of the longest program. `shaping`: reward of a
        complete program that fits some of the examples, times their share (0: none). `reweight`: whether the weights of
        tasks follow success. Raises `ClewError` for files that are wrong, `UsageError` for settings that are.
        """
        if render_mode not in (None, "ansi"):
            raise UsageError(f"There is no render mode '{render_mode}'; there is 'ansi', the program so far as text.")
        if not 1 <= max_size <= 60 or not 0 <= shaping < 1:
            raise UsageError("max_size must be from 1 to 60, and shaping from 0 to below 1.")
        self.grammar = GRAMMARS[grammar] if isinstance(grammar, str) else grammar
        if tasks is None:
            tasks = _generated(generated, task_seed, self.grammar)
        elif isinstance(tasks, str | Path):
            path = Path(tasks)
            about = path.stat() if path.is_file() else None
            written = (about.st_mtime_ns, about.st_size) if about else (0, 0)
            self.grammar, tasks = _read(path, written)
        if not tasks:
            raise UsageError("The environment needs a task at least.")
        self.problems: tuple[Problem, ...] = tasks if isinstance(tasks, tuple) else tuple(tasks)
        shared = _shared(self.problems, self.grammar)
        self._tasks, self._judges = shared.tasks, shared.judges
        self.render_mode, self.max_size, self.shaping, self.reweight = render_mode, max_size, shaping, reweight
        self.sampler = TaskSampler(len(self.problems))
        self._width, self._split = features.input_dim(self.grammar), features.layout(self.grammar).task
        self.observation_space = gymnasium.spaces.Box(-16.0, 64.0, (self._width,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(self.grammar.actions)
        self._masks: dict[tuple[int, int], NDArray[np.int8]] = {}
        self._none = np.zeros(self.grammar.actions, np.int8)
        self._seed = self._episode = self.task = 0
        self._state: State = start(self.problems[0], self.grammar)
        self._over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; with `seed` draws and weights begin anew. `options={"task": k}` names the task."""
        super().reset(seed=seed)
        if seed is not None:
            self._seed, self._episode = seed, 0
            self.sampler = TaskSampler(len(self.problems))
        random = generator(self._seed, "task of an episode", self._episode)
        self._episode += 1
        named = (options or {}).get("task")
        if named is not None and not 0 <= int(named) < len(self.problems):
            raise UsageError(f"There is no task {named}; there are {len(self.problems)}, counted from 0.")
        self.task = self.sampler.draw(random) if named is None else int(named)
        self._state = start(self.problems[self.task], self.grammar)
        self._over = False
        return self._observation(), self._info()

    def step(self, action: np.int64 | int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Fill the leftmost open place. Raises `UsageError` when no episode is under way."""
        if self._over:
            raise UsageError("The episode is over, or none has begun: call reset.")
        chosen, reward, terminated, truncated, solved = int(action), 0.0, False, False, False
        outcome: dict[str, float] = {}
        if self._mask()[chosen] == 0:
            terminated = True
        else:
            self._state = self._state.apply(chosen)
            if self._state.complete:
                terminated = True
                share = self._share()
                solved = share == 1.0
                outcome = self._outcome()
                reward = 1.0 if solved else self.shaping * share
            else:
                truncated = self._state.size + len(self._state.holes) > self.max_size
        self._over = terminated or truncated
        if self._over and self.reweight:
            self.sampler.update(self.task, solved)
        info = self._info()
        if self._over:
            info["solved"] = solved
            info |= outcome
        return self._observation(), reward, terminated, truncated, info

    @property
    def about(self) -> dict[str, Any]:
        """What observations and actions are, for the bundle of a policy: the same as of any guide of the grammar."""
        return features.about(self.grammar)

    def render(self) -> Any:
        """The program so far, its open places as `?`."""
        names = [name for name, _ in self.problems[self.task].inputs]
        return pretty(self._state.expression(names))

    def get_state(self) -> dict[str, Any]:
        """Where the environment stands, as JSON: draws, weights, task and partial program."""
        return {
            "seed": self._seed,
            "episode": self._episode,
            "task": self.task,
            "actions": list(self._state.actions),
            "over": self._over,
            "sampler": self.sampler.get_state(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` gave in an environment of the same tasks. Raises `UsageError` for another."""
        if not 0 <= state["task"] < len(self.problems):
            raise UsageError(f"The state is of task {state['task']}; here are {len(self.problems)}.")
        self.sampler.set_state(state["sampler"])
        self._seed, self._episode, self.task = int(state["seed"]), int(state["episode"]), int(state["task"])
        self._state = start(self.problems[self.task], self.grammar).follow(state["actions"])
        self._over = bool(state["over"])

    def observation(self) -> NDArray[np.float32]:
        """What is seen of the state that the environment stands in."""
        return self._observation()

    def _observation(self) -> NDArray[np.float32]:
        row = np.empty(self._width, np.float32)
        row[: self._split] = self._prepared()[0]
        row[self._split :] = features.state_row(self._state)
        return row

    def _mask(self) -> NDArray[np.int8]:
        if self._over or not self._state.holes:
            return self._none
        problem, place = self.problems[self.task], self._state.holes[-1].nonterminal
        found = self._masks.get((self.task, place))
        if found is None:
            found = np.zeros(self.grammar.actions, np.int8)
            found[list(legal_actions(self.grammar, place, problem.input_types))] = 1
            self._masks[self.task, place] = found
        return found

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._mask().copy(), "task": self.task}

    def _prepared(self) -> tuple[NDArray[np.float32], Runner]:
        """The task's part of an observation and its examples, made once."""
        found = self._tasks.get(self.task)
        if found is None:
            problem = self.problems[self.task]
            found = self._tasks[self.task] = features.of_task(problem, self.grammar), Runner(problem, self.grammar)
        return found

    def _outcome(self) -> dict[str, float]:
        """Guard and latency of the complete program that was just run: as demonstrations have them of a completion."""
        runner = self._prepared()[1]
        rows = runner.room.results
        if (rows[:, machine.ERROR] != machine.FINE).any():
            return {"guard": 1.0}
        problem = self.problems[self.task]
        judge = self._judges.get(self.task)
        if judge is None:
            judge = self._judges[self.task] = Judge(problem.inputs, problem.output, problem.ensures, problem.arguments)
        steps = float(rows[:, machine.STEPS].sum()) / len(rows)
        fails = judge.fails(results_of(rows, runner.room.lists, problem.output))
        return {"guard": float(fails), "latency": features.latency_of(steps)}

    def _share(self) -> float:
        """The share of the examples that the complete program fits."""
        return self._prepared()[1].share(self._state.actions)


class _Shared:
    """What was prepared of the tasks that several environments of one process have in common."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        self.tasks: dict[int, tuple[NDArray[np.float32], Runner]] = {}
        self.judges: dict[int, Judge] = {}


_KNOWN: dict[str, _Shared] = {}
"""The last tasks of each grammar: environments that are stepped side by side have the same."""


def _shared(problems: tuple[Problem, ...], grammar: Grammar) -> _Shared:
    found = _KNOWN.get(grammar.name)
    if found is None or found.problems is not problems:
        found = _KNOWN[grammar.name] = _Shared(problems)
    return found


@lru_cache(maxsize=4)
def _generated(count: int, seed: int, grammar: Grammar) -> tuple[Problem, ...]:
    """The same tasks for each of the environments that are stepped side by side."""
    from clew.programs.demonstrating import draw_tasks
    from clew.programs.search.problem import of_task

    made = draw_tasks(count, seed, grammar, purpose="tasks of the environment")
    return tuple(of_task(each.task) for each in made)


@lru_cache(maxsize=4)
def _read(path: Path, written: tuple[int, int]) -> tuple[Grammar, tuple[Problem, ...]]:
    """The tasks of a file; `written`: its time and size, by which a file that was replaced is read again."""
    file = read(path)
    return file.grammar, tuple(each.problem for each in file.items)


gymnasium.register(id=ID, entry_point="clew.programs.environment:SynthesisEnv")
