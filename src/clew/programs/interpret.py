"""Running programs: a tree is compiled to code for `machine`, once, and run on many arguments.

**Steps** (the latency of a program): one for each primitive that is applied, and one for each element that it touches.
Literals, inputs and parameters cost nothing. Touched are: all elements of the list for `sum`, `product`, `minimum`,
`maximum`, `contains`, `reverse`, `unique`; for `map`, `filter`, `count`, `fold`, `scan`, `zip` each element that the
lambda is called for (beside the steps of its body; `scan` touches the first element too), for `all` and `any` those up
to the one that decides; the elements of the result for `take`, `drop`, `append`, `cons`, `range`; and for `sort` each
element as often as the list's length has binary digits. What is not computed (the other branch of `if`) costs nothing.

**Errors**: what a primitive's table entry says; a number further from 0 than `LARGEST`, in every partial sum and
product too; a list longer than `LONGEST`; more steps than the limit. Arguments are computed from left to right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clew.programs import machine
from clew.programs.check import SPOKEN, type_of
from clew.programs.machine import Words
from clew.programs.pretty import pretty
from clew.programs.primitives import LARGEST, LONGEST, PRIMITIVES, FunctionType, Type
from clew.programs.syntax import Call, Expr, Inputs, Lambda, Literal, ProgramError, Value, Variable, type_of_value


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a program may run."""

    steps: int = 1_000_000


LIMITS = Limits()

_SENTENCES = {
    machine.EMPTY: "the list is empty",
    machine.POSITION: "there is no element at that position",
    machine.ZERO: "the divisor is 0",
    machine.TOO_LARGE: f"the number is further from 0 than {LARGEST}",
    machine.TOO_LONG: f"the list is longer than {LONGEST}",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave: a value, or None and a sentence that says what stopped it; and its steps until then."""

    value: Value | None
    error: str
    steps: int


class Arguments:
    """Arguments of many runs in the machine's form, so that many programs run on them without making them again.

    `values` is [cases, inputs]. Raises `ProgramError` where one is not of its input's type or is past the limits.
    """

    def __init__(self, types: Sequence[Type], cases: Sequence[Sequence[Any]]) -> None:
        self.types = tuple(types)
        elements: list[int] = []
        words: list[list[int]] = []
        for case in cases:
            if len(case) != len(self.types):
                raise ProgramError(f"{len(self.types)} arguments are needed, one an input, here {len(case)}.")
            row: list[int] = []
            for type_, value in zip(self.types, case, strict=True):
                _check_value(type_, value)
                if type_ is Type.LIST:
                    row.append(len(elements) << machine.ROOM | len(value))
                    elements.extend(value)
                else:
                    row.append(int(value))
            words.append(row)
        self.values: Words = np.array(words, np.int64).reshape(len(words), len(self.types))
        self.used = len(elements)
        self._heap: Words = np.array(elements, np.int64)
        self.lists: Words = np.empty((len(words), LONGEST), np.int64)
        """Room for the results of programs that give lists."""

    def __len__(self) -> int:
        return len(self.values)

    def heap(self, room: int) -> Words:
        """The heap, with at least `room` free words behind the arguments."""
        if len(self._heap) < self.used + room:
            larger = np.empty(self.used + 2 * room, np.int64)
            larger[: self.used] = self._heap[: self.used]
            self._heap = larger
        return self._heap


def _check_value(type_: Type, value: Any) -> None:
    if type_of_value(value) is not type_:
        raise ProgramError(f"The argument {_short(value)} is not {SPOKEN[type_]}, which the input is.")
    if type_ is Type.LIST and len(value) > LONGEST:
        raise ProgramError(f"A list of {len(value)} elements is longer than {LONGEST}, which no list may be.")
    for each in value if type_ is Type.LIST else (value,):
        if abs(each) > LARGEST:
            raise ProgramError(f"The number {each} is further from 0 than {LARGEST}, which no number may be.")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled program. `code` is for `machine`; `origins` has the node that each row of it came from."""

    expr: Expr
    inputs: Inputs
    output: Type
    code: Words
    sizes: tuple[int, int, int]
    room: int
    origins: tuple[Expr, ...]

    def run(self, arguments: Sequence[Any], limits: Limits = LIMITS) -> Outcome:
        """Run on one argument an input. Raises `ProgramError` for arguments that do not fit the inputs."""
        packed = self.pack([arguments])
        results = execute(self, packed, limits)
        value = _values(self, packed, results)[0]
        return Outcome(value, self.sentence(results[0], limits), int(results[0, machine.STEPS]))

    def pack(self, cases: Sequence[Sequence[Any]]) -> Arguments:
        """Arguments of many runs, checked."""
        return Arguments([type_ for _, type_ in self.inputs], cases)

    def sentence(self, result: Words, limits: Limits = LIMITS) -> str:
        """What stopped a run, from its row of `execute`; empty where nothing did."""
        error = int(result[machine.ERROR])
        if error == machine.FINE:
            return ""
        text = pretty(self.origins[int(result[machine.WHERE])])
        text = text if len(text) <= 80 else f"{text[:77]}..."
        if error == machine.TOO_MANY_STEPS:
            return f"more than {limits.steps:,} steps: stopped in {text}"
        return f"{_SENTENCES[error]} in {text}"


def execute(program: Program, arguments: Arguments, limits: Limits = LIMITS) -> Words:
    """Run a program on packed arguments: int64 [cases, 4], the columns of `machine` (value, steps, error, where).

    The value of a list is its length; its elements stand in `arguments.lists` until the next call.
    """
    results = np.empty((len(arguments), 4), np.int64)
    lists = arguments.lists if program.output is Type.LIST else arguments.lists[:0]
    heap = arguments.heap(program.room)
    machine.run_cases(program.code, arguments.values, heap, arguments.used, program.sizes, limits.steps, results, lists)
    return results


def _values(program: Program, arguments: Arguments, results: Words) -> list[Value | None]:
    fine = [error == machine.FINE for error in results[:, machine.ERROR].tolist()]
    numbers = results[:, machine.VALUE].tolist()
    if program.output is Type.LIST:
        lists = arguments.lists
        return [tuple(lists[case, : numbers[case]].tolist()) if fine[case] else None for case in range(len(fine))]
    if program.output is Type.BOOL:
        return [bool(number) if ran else None for number, ran in zip(numbers, fine, strict=True)]
    return [number if ran else None for number, ran in zip(numbers, fine, strict=True)]


def run_on(
    program: Program, arguments: Sequence[Sequence[Any]] | Arguments, limits: Limits = LIMITS
) -> tuple[list[Value | None], Words]:
    """Run on many arguments: their values (None where an error or the limit stopped it), and steps, int64 [cases].

    `Arguments` that were packed once (`program.pack`, or `Arguments(types, cases)`) serve any number of programs with
    the same inputs. Raises `ProgramError` for arguments that do not fit the inputs.
    """
    packed = arguments if isinstance(arguments, Arguments) else program.pack(arguments)
    if packed.types != tuple(type_ for _, type_ in program.inputs):
        raise ProgramError("The packed arguments are of other types than the program's inputs.")
    results = execute(program, packed, limits)
    return _values(program, packed, results), results[:, machine.STEPS]


def compile_program(expr: Expr, inputs: Inputs) -> Program:
    """Compile a tree over these inputs. Raises `ProgramError` where its types are wrong."""
    output = type_of(expr, inputs)
    compiler = _Compiler()
    compiler.emit(expr, {name: slot for slot, (name, _) in enumerate(inputs)}, 0, len(inputs))
    code = np.array(compiler.code, np.int64)
    sizes = (len(compiler.code) + 1, compiler.slots + len(inputs) + 1, compiler.loops + 1)
    return Program(expr, inputs, output, code, sizes, compiler.lists * LONGEST, tuple(compiler.origins))


_NUMBERS = {name: number for number, name in enumerate(PRIMITIVES)}
_FUNCTION = {
    name: any(isinstance(parameter, FunctionType) for parameter in primitive.parameters)
    for name, primitive in PRIMITIVES.items()
}
_LISTS = {name for name, primitive in PRIMITIVES.items() if primitive.result is Type.LIST}


class _Compiler:
    """Gathers rows of code. A lambda's parameters have slots of their own, and a loop the number of loops around it."""

    def __init__(self) -> None:
        self.code: list[list[int]] = []
        self.origins: list[Expr] = []
        self.slots = self.loops = 0
        self.lists = 1

    def _row(self, origin: Expr, operation: int, argument: int = 0, slot: int = 0, loop: int = 0, body: int = 0) -> int:
        self.code.append([operation, argument, slot, loop, body])
        self.origins.append(origin)
        return len(self.code) - 1

    def emit(self, expr: Expr, scope: dict[str, int], loop: int, free: int) -> None:
        """Rows that leave the value on the stack; `loop` loops stand around it, slots from `free` on are free."""
        if isinstance(expr, Literal):
            self._row(expr, machine.LITERAL, int(expr.value))
        elif isinstance(expr, Variable):
            self._row(expr, machine.LOAD, scope[expr.name])
        elif isinstance(expr, Call):
            number = _NUMBERS[expr.primitive]
            self.lists += expr.primitive in _LISTS
            if _FUNCTION[expr.primitive]:
                self._loop(expr, number, scope, loop, free)
            elif expr.primitive in ("if", "and", "or"):
                self._branch(expr, number, scope, loop, free)
            else:
                for argument in expr.arguments:
                    self.emit(argument, scope, loop, free)
                self._row(expr, number)

    def _branch(self, expr: Call, number: int, scope: dict[str, int], loop: int, free: int) -> None:
        self.emit(expr.arguments[0], scope, loop, free)
        choice = self._row(expr, number)
        self.emit(expr.arguments[1], scope, loop, free)
        if expr.primitive == "if":
            end = self._row(expr, machine.JUMP)
            self.code[choice][1] = len(self.code)
            self.emit(expr.arguments[2], scope, loop, free)
            self.code[end][1] = len(self.code)
        else:
            self.code[choice][1] = len(self.code)

    def _loop(self, expr: Call, number: int, scope: dict[str, int], loop: int, free: int) -> None:
        function, *others = expr.arguments
        assert isinstance(function, Lambda)
        for argument in others:
            self.emit(argument, scope, loop, free)
        begin = self._row(expr, number, 0, free, loop)
        inner = {**scope, **{name: free + place for place, name in enumerate(function.parameters)}}
        self.slots, self.loops = max(self.slots, free + 2), max(self.loops, loop + 1)
        self.emit(function.body, inner, loop + 1, free + 2)
        self._row(expr, machine.NEXT, number, free, loop, begin + 1)
        self.code[begin][1] = len(self.code)
