"""What a search is given and what it gives back: the examples of a task, a budget, and a truthful account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING

from clew.programs.grammar import FULL, INPUTS, NONTERMINALS, Grammar, Nonterminal
from clew.programs.primitives import LARGEST, LONGEST, Type
from clew.programs.syntax import PARAMETERS, Expr, ProgramError, Value

if TYPE_CHECKING:
    from clew.programs.task import Task


@dataclass(frozen=True)
class Problem:
    """Examples that a program must fit: argument values [examples][inputs] and one result each.

    `results` may be empty: then there is nothing to find, and only `bank` can be asked.
    Raises `ProgramError` for more inputs than the search's grammar has, and for values that are no values.
    """

    name: str
    inputs: tuple[tuple[str, Type], ...]
    output: Type
    arguments: tuple[tuple[Value, ...], ...]
    results: tuple[Value, ...] = ()
    requires: tuple[Expr, ...] = ()
    """What the task's contract says of the inputs; no search needs it, a model may be told."""
    ensures: tuple[Expr, ...] = ()
    """What the task's contract says of inputs and result."""

    def __post_init__(self) -> None:
        if len(self.inputs) > INPUTS:
            raise ProgramError(
                f"{self.name} has {len(self.inputs)} inputs; the search knows at most {INPUTS}. Leave some out."
            )
        for name, _ in self.inputs:
            if name in PARAMETERS:
                raise ProgramError(f"{self.name}: the input {name} has the name of a lambda's parameter. Rename it.")
        if not self.arguments:
            raise ProgramError(f"{self.name} has no examples, so every program would fit it. Add one at least.")
        if self.results and len(self.results) != len(self.arguments):
            raise ProgramError(f"{self.name} has {len(self.arguments)} examples and {len(self.results)} results.")
        for values in self.arguments:
            if len(values) != len(self.inputs):
                raise ProgramError(
                    f"{self.name}: an example has {len(values)} arguments where {len(self.inputs)} are due."
                )
            for value, (name, type_) in zip(values, self.inputs, strict=True):
                _check(value, type_, f"{self.name}: the input {name}")
        for value in self.results:
            _check(value, self.output, f"{self.name}: a result")

    @cached_property
    def input_types(self) -> tuple[Type, ...]:
        """The types of the inputs, in order."""
        return tuple(type_ for _, type_ in self.inputs)

    @property
    def goal(self) -> int:
        """The place in `NONTERMINALS` of the whole program's hole."""
        return NONTERMINALS.index(Nonterminal(self.output, 0))


def of_task(task: Task) -> Problem:
    """The examples of a task as a problem."""
    return Problem(
        task.name,
        tuple(task.inputs),
        task.output,
        tuple(example.arguments for example in task.examples),
        tuple(example.result for example in task.examples),
        task.requires,
        task.ensures,
    )


def _check(value: Value, type_: Type, where: str) -> None:
    if type_ is Type.LIST:
        fits = isinstance(value, tuple) and len(value) <= LONGEST and all(abs(each) <= LARGEST for each in value)
    elif type_ is Type.BOOL:
        fits = isinstance(value, bool)
    else:
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST
    if not fits:
        raise ProgramError(f"{where} is {value!r}, which is no {type_.value} of this language.")


@dataclass(frozen=True)
class Budget:
    """When a search gives up: after so many nodes, seconds, or bytes of terms kept, whichever comes first."""

    nodes: int = 10_000_000
    seconds: float = 10.0
    memory: int = 512 * 2**20


@dataclass(frozen=True)
class Line:
    """One line of `--trace`: what stood when a level of cost (or a round of a beam) was done."""

    cost: float
    nodes: int
    kept: int
    seconds: float
    best: str = ""
    """The likeliest partial program, where the search has any."""


@dataclass(frozen=True)
class Found:
    """The outcome of a search, true whether it found a program or not.

    `nodes`: candidate programs built (bottom-up) or states expanded (top-down). `programs_run`: complete programs
    whose values were computed. `stopped`: "found", or the bound that was met: "nodes", "seconds", "memory",
    "cost" (every program up to the largest cost was looked at), "interrupted".
    """

    program: Expr | None
    nodes: int
    programs_run: int
    seconds: float
    stopped: str
    search: str
    cost: float = 0.0
    kept: int = 0
    trace: Sequence[Line] = field(default=())

    @property
    def solved(self) -> bool:
        """Whether a program was found."""
        return self.program is not None


def legal_of(problem: Problem, grammar: Grammar = FULL) -> tuple[tuple[int, ...], ...]:
    """The legal actions for each place in `NONTERMINALS`."""
    return _legal(grammar, problem.input_types)


@cache
def _legal(grammar: Grammar, inputs: tuple[Type, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(grammar.legal(place, inputs) for place in range(len(NONTERMINALS)))
