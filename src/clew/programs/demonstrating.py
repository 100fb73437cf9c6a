"""Making demonstrations: tasks from random programs, and labelled states on and off the way to each program.

On the way are the states of the program's leftmost derivation. Off it are states after a wrong action that the grammar
allows, and after more random ones. Guard and latency of a state are those of one completion: the demonstrated program
itself for half of the states on the way, else one that is drawn from the cheapest completions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clew.core.errors import UsageError
from clew.core.randomness import generator
from clew.programs import machine
from clew.programs.behaviour import behaviour, shipped
from clew.programs.completions import BUDGET, Labeller
from clew.programs.demonstrations import Demonstration, Demonstrations, Seen
from clew.programs.drawing import SIZES, Drawn, Pool, draw_inputs
from clew.programs.grammar import FULL, Grammar
from clew.programs.heads import NO_ACTION
from clew.programs.interpret import Limits
from clew.programs.judging import Judge, results_of
from clew.programs.promises import contract_of
from clew.programs.states import State, begin, derivation, start
from clew.programs.task import Example, Task

SMALL_SIZES = {2: 0.15, 3: 0.25, 4: 0.25, 5: 0.2, 6: 0.15}
POOL = 96
"""Programs that are drawn from one bank."""
OFF_PATH = 0.6
"""Wrong turns that are taken, for each state on the way."""
CHEAPEST = 24
"""Guard and latency are those of one of so many completions, the cheaper the more often."""
SMALL_BUDGET = 1000
"""Both of these in the small grammar: so many completions, since its cheapest hardly ever fail."""
_FARTHER = 0.5
_OWN = 0.5
_SMALL_BANK = 5
"""Size of the fillers where a bank serves one task alone: the cheapest completions hold none that are larger."""
_IDLE_POOLS = 40
"""So many pools in a row without a new program end the draw."""
_LIMITS = Limits(steps=20_000)


@dataclass(frozen=True)
class Made:
    """A task that was drawn, and the pool that it is from."""

    task: Task
    drawn: Drawn
    pool: Pool
    behaviour: str


def draw_tasks(
    count: int,
    seed: int,
    grammar: Grammar,
    *,
    purpose: str = "demonstrations",
    sizes: Mapping[int, float] | None = None,
    exclude: frozenset[str] = frozenset(),
    per_pool: int = POOL,
    tell: Callable[[], None] = lambda: None,
) -> Iterator[Made]:
    """`count` tasks: no two compute the same, none what a task that ships does, none what is in `exclude`.

    A function of `seed` and `purpose`. Raises `UsageError` where there are not so many.
    """
    shares = dict(sizes or (SIZES if grammar.name == FULL.name else SMALL_SIZES))
    seen, made, idle = set(exclude | shipped()), 0, 0
    for number in range(2**31):
        random = generator(seed, purpose, number)
        inputs, arguments = draw_inputs(random, grammar)
        pool = Pool(inputs, arguments, grammar)
        before = made
        drawn_sizes = random.choice(list(shares), per_pool, p=np.array(list(shares.values())) / sum(shares.values()))
        for size in drawn_sizes.tolist():
            drawn = pool.draw(random, size)
            if drawn is None:
                continue
            state = begin(pool.types, drawn.output, grammar).follow(drawn.actions)
            program = state.expression([name for name, _ in inputs])
            does = behaviour(program, inputs)
            if does in seen:
                continue
            seen.add(does)
            requires, ensures = contract_of(random, program, inputs, arguments, drawn.results)
            examples = tuple(Example(row, result) for row, result in zip(arguments, drawn.results, strict=True))
            task = Task(f"random_{does}", inputs, drawn.output, examples, "", requires, ensures, program)
            yield Made(task, drawn, pool, does)
            tell()
            made += 1
            if made == count:
                return
        idle = idle + 1 if made == before else 0
        if idle == _IDLE_POOLS:
            raise UsageError(
                f"There are no {count:,} different tasks of these sizes in the grammar '{grammar.name}': "
                f"{made:,} were found. Ask for fewer."
            )


def demonstrate(
    count: int,
    seed: int,
    grammar: Grammar = FULL,
    *,
    exclude: frozenset[str] = frozenset(),
    sizes: Mapping[int, float] | None = None,
    per_pool: int = POOL,
    budget: int | None = None,
    tell: Callable[[], None] = lambda: None,
) -> Demonstrations:
    """`count` demonstrations of `grammar`, a function of `seed`. `tell` is called after each.

    `exclude`: what held-out tasks compute (`behaviour`). `sizes`: shares of the programs' sizes. `per_pool`:
    programs drawn for the same arguments. `budget`: completions of a state that its value is about; None: as many as
    suit the grammar.
    """
    tried = budget or (BUDGET if grammar.name == FULL.name else SMALL_BUDGET)
    items = []
    for number, made in enumerate(
        draw_tasks(count, seed, grammar, sizes=sizes, exclude=exclude, per_pool=per_pool, tell=tell)
    ):
        random = generator(seed, "states", number)
        labeller = made.pool.labeller(made.drawn, tried)
        states = tuple(_states(random, made.task, made.drawn.actions, labeller, grammar))
        items.append(Demonstration(made.task, made.drawn.actions, states))
    return Demonstrations(grammar, tuple(items), {"seed": seed, "budget": tried})


def demonstration(task: Task, seed: int, grammar: Grammar = FULL, *, budget: int = BUDGET) -> Demonstration:
    """The demonstration of a task's reference, such as a program that a search found; a function of `seed`.

    Raises `UsageError` for a program that is none of the grammar, or that errs on an example.
    """
    if task.reference is None:
        raise UsageError(f"{task.name} has no reference to demonstrate.")
    actions = tuple(derivation(task.reference, task, grammar))
    arguments = tuple(example.arguments for example in task.examples)
    pool = Pool(task.inputs, arguments, grammar, size=_SMALL_BANK)
    results = pool.results(actions, task.output)
    if results is None:
        raise UsageError(f"The reference of {task.name} errs on an example, so it demonstrates nothing.")
    labeller = pool.labeller(Drawn(task.output, actions, results), budget)
    random = generator(seed, "states", task.name)
    return Demonstration(task, actions, tuple(_states(random, task, actions, labeller, grammar)))


def _states(
    random: np.random.Generator, task: Task, actions: Sequence[int], labeller: Labeller, grammar: Grammar
) -> Iterator[Seen]:
    arguments = [example.arguments for example in task.examples]
    judge, state = Judge(task.inputs, task.output, task.ensures, arguments), start(task, grammar)
    for action in actions:
        own = tuple(actions) if random.random() < _OWN else None
        seen = _seen(random, state, action, task, labeller, judge, own)
        if seen is not None:
            yield seen
        legal = [each for each in state.legal() if each != action]
        if legal and random.random() < OFF_PATH:
            astray = state.apply(legal[int(random.integers(len(legal)))])
            while not astray.complete:
                seen = _seen(random, astray, NO_ACTION, task, labeller, judge, None)
                if seen is not None:
                    yield seen
                if random.random() > _FARTHER:
                    break
                legal = list(astray.legal())
                astray = astray.apply(legal[int(random.integers(len(legal)))])
        state = state.apply(action)


def _seen(
    random: np.random.Generator,
    state: State,
    action: int,
    task: Task,
    labeller: Labeller,
    judge: Judge,
    own: tuple[int, ...] | None,
) -> Seen | None:
    """The state with its labels; None where it has no completion to tell of, since the bank has nothing that fits."""
    full = state.grammar.name == FULL.name
    draw = int(CHEAPEST * random.random() ** 2) if full else int(SMALL_BUDGET * random.random() ** 3)
    value, drawn, _ = labeller.completions(state, draw)
    program = own or drawn
    if not program:
        return None
    rows, _ = labeller.run(program)
    if (rows[:, machine.ERROR] != machine.FINE).any():
        return Seen(state.actions, action, value, 1, None)
    steps = int(rows[:, machine.STEPS].sum())
    results = results_of(rows, labeller.room.lists, task.output)
    return Seen(state.actions, action, value, int(judge.fails(results)), steps)
