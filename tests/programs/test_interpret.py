"""The compiled machine means what the plain interpreter means: values, errors and steps, over thousands of programs."""

from __future__ import annotations

from collections import Counter

import pytest

from clew.core.randomness import generator
from clew.programs import machine
from clew.programs.interpret import Arguments, Limits, compile_program, execute, run_on
from clew.programs.parse import parse_expression
from clew.programs.primitives import LARGEST, LONGEST, PRIMITIVES, Type
from clew.programs.syntax import Call, ProgramError, nodes
from plain_meaning import meaning
from random_programs import INPUTS, random_arguments, random_expr

ERRORS = {
    "": machine.FINE,
    "empty": machine.EMPTY,
    "position": machine.POSITION,
    "zero": machine.ZERO,
    "large": machine.TOO_LARGE,
    "long": machine.TOO_LONG,
    "steps": machine.TOO_MANY_STEPS,
}
NAMES = tuple(name for name, _ in INPUTS)


@pytest.mark.parametrize("limit", [100, 5_000])
def test_thousands_of_random_programs_mean_the_same_in_plain_python(limit: int) -> None:
    seen: Counter[str] = Counter()
    used: Counter[str] = Counter()
    types = list(Type)
    for trial in range(1200):
        rng = generator(7, "program", trial, limit)
        expr = random_expr(rng, types[trial % 3], int(rng.integers(1, 6)))
        cases = [random_arguments(rng) for _ in range(4)]
        program = compile_program(expr, INPUTS)
        packed = program.pack(cases)
        results = execute(program, packed, Limits(limit))
        values, steps = run_on(program, packed, Limits(limit))
        for case, value, counted, error in zip(cases, values, steps, results[:, machine.ERROR], strict=True):
            wanted, stopped, cost = meaning(expr, NAMES, case, limit)
            assert (value, error) == (wanted, ERRORS[stopped]), (expr, case)
            assert type(value) is type(wanted)
            assert counted == cost, (expr, case)
            seen[stopped] += 1
        used.update(node.primitive for node in nodes(expr) if isinstance(node, Call))
    assert set(used) == set(PRIMITIVES), "every primitive was tried"
    assert len(seen) == len(ERRORS), f"every way to stop was met: {seen}"


@pytest.mark.parametrize(
    ("text", "value", "steps"),
    [
        ("n + 1", 5, 1),
        ("sum xs", 6, 1 + 3),
        ("length xs", 3, 1),
        ("take 2 xs", (3, 1), 1 + 2),
        ("sort xs", (1, 2, 3), 1 + 3 * 2),
        (r"map (\x -> x * 2 + n) xs", (10, 6, 8), 1 + 3 * (1 + 2)),
        (r"scan (\x y -> x + y) xs", (3, 4, 6), 1 + 3 + 2),
        (r"any (\x -> x == 1) xs", True, 1 + 2 * 2),
        ("if (n < 9) 1 (sum xs)", 1, 2),
        ("n < 9 || is_empty xs", True, 2),
        (r"map (\x -> sum (filter (\y -> y < x) xs)) xs", (3, 0, 1), 1 + 3 * (1 + 1 + 3 * 2 + 1) + 2 + 0 + 1),
        ("-7 / 2", -4, 1),
        ("-7 % 2", 1, 1),
        ("7 % -2", -1, 1),
    ],
)
def test_values_and_steps_counted_by_hand(text: str, value: object, steps: int) -> None:
    inputs = (("n", Type.INT), ("xs", Type.LIST))
    outcome = compile_program(parse_expression(text, ("n", "xs")), inputs).run((4, [3, 1, 2]))
    assert (outcome.value, outcome.error, outcome.steps) == (value, "", steps)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("head (drop 3 xs)", "the list is empty in head (drop 3 xs)"),
        ("at n xs", "there is no element at that position in at n xs"),
        ("n / (n - 4)", "the divisor is 0 in n / (n - 4)"),
        (r"fold (\x y -> x * 70000) 1 (range n)", f"the number is further from 0 than {LARGEST} in x * 70000"),
        ("length (range 257)", f"the list is longer than {LONGEST} in range 257"),
        (
            r"sum (map (\x -> sum (map (\y -> sum (range y)) (range 250))) (range 250))",
            "more than 1,000,000 steps: stopped in",
        ),
    ],
)
def test_what_stops_a_program_is_a_sentence_that_shows_the_place(text: str, said: str) -> None:
    inputs = (("n", Type.INT), ("xs", Type.LIST))
    outcome = compile_program(parse_expression(text, ("n", "xs")), inputs).run((4, [3, 1, 2]))
    assert outcome.value is None
    assert outcome.error.startswith(said)


def test_arguments_packed_once_serve_many_programs_and_stay_as_they_were() -> None:
    inputs = (("xs", Type.LIST),)
    packed = Arguments([Type.LIST], [([3, 1, 2],), ([],), (list(range(LONGEST)),)])
    for _ in range(2):
        for text, wanted in (
            ("sort xs", ((1, 2, 3), (), tuple(range(LONGEST)))),
            ("append xs xs", ((3, 1, 2, 3, 1, 2), (), None)),
            ("is_empty xs", (False, True, False)),
            ("maximum xs", (3, None, LONGEST - 1)),
        ):
            program = compile_program(parse_expression(text, ("xs",)), inputs)
            assert tuple(run_on(program, packed)[0]) == wanted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((3, 4), "is not a list"),
        (([1], [2]), "is not a whole number"),
        ((True, [2]), "is not a whole number"),
        ((1, [True]), "is not a list"),
        ((1, [1.5]), "is not a list"),
        ((1,), "2 arguments are needed"),
        ((LARGEST + 1, []), "further from 0"),
        ((0, [-LARGEST - 1]), "further from 0"),
        ((0, [0] * (LONGEST + 1)), "longer than"),
    ],
)
def test_arguments_that_fit_no_input_are_refused_with_a_sentence(arguments: tuple[object, ...], said: str) -> None:
    program = compile_program(parse_expression("take n xs", ("n", "xs")), (("n", Type.INT), ("xs", Type.LIST)))
    with pytest.raises(ProgramError, match=said):
        program.run(arguments)


def test_a_program_without_inputs_runs() -> None:
    program = compile_program(parse_expression("sum (range 5)", ()), ())
    assert program.run(()).value == 10
