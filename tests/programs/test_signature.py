"""Property signatures, against properties worked out in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from clew.core.randomness import generator
from clew.programs import features, signature
from clew.programs.execution import MEASURES
from clew.programs.grammar import FULL, SMALL
from clew.programs.parse import parse_expression
from clew.programs.primitives import Type
from clew.programs.search.problem import Problem
from clew.programs.states import NONE, derivation, start

LIST, INT, BOOL = Type.LIST, Type.INT, Type.BOOL
NAMES = signature.names()


def problem(inputs, output, examples, **contract):
    named = tuple((name, type_) for name, type_ in zip(("xs", "ys", "n"), inputs, strict=False))
    named = tuple((("n", INT) if type_ is INT else (name, type_)) for name, type_ in named)
    arguments = tuple(tuple(row) for row, _ in examples)
    return Problem("a task", named, output, arguments, tuple(result for _, result in examples), **contract)


def holds(task, name):
    return float(features.of_task(task, FULL)[features.task_names(FULL).index(name)])


def random_lists(count=6):
    random = generator(0, "lists for the signature")
    return [tuple(random.integers(-9, 15, random.integers(1, 9)).tolist()) for _ in range(count)]


def is_part(small, large):
    left = list(large)
    for each in small:
        if each not in left:
            return False
        left.remove(each)
    return True


def in_order(small, large):
    rest = iter(large)
    return all(any(each == other for other in rest) for each in small)


BASES = {
    "A": lambda xs: xs,
    "sort A": lambda xs: tuple(sorted(xs)),
    "reverse A": lambda xs: xs[::-1],
    "unique A": lambda xs: tuple(dict.fromkeys(xs)),
    "drop 1 A": lambda xs: xs[1:],
    "init A": lambda xs: xs[:-1],
    "A * 2": lambda xs: tuple(2 * x for x in xs),
    "A / 2": lambda xs: tuple(x // 2 for x in xs),
    "A % 3": lambda xs: tuple(x % 3 for x in xs),
    "even A": lambda xs: tuple(x for x in xs if x % 2 == 0),
    "A < 0": lambda xs: tuple(x for x in xs if x < 0),
    "A + A'": lambda xs: tuple(x + y for x, y in zip(xs, xs[::-1], strict=True)),
    "scan + A": lambda xs: tuple(sum(xs[: at + 1]) for at in range(len(xs))),
    "scan max A": lambda xs: tuple(max(xs[: at + 1]) for at in range(len(xs))),
    "take 2 A": lambda xs: xs[:2],
    "range (length A)": lambda xs: tuple(range(len(xs))),
}
RELATIONS = {
    "is": lambda out, base: out == base,
    "rearranges": lambda out, base: sorted(out) == sorted(base),
    "is part of": is_part,
    "keeps the order of": in_order,
    "begins": lambda out, base: out == base[: len(out)],
}
REDUCTIONS = {
    "sums": lambda out, base: out == sum(base),
    "is the maximum of": lambda out, base: out == max(base),
    "is the minimum of": lambda out, base: out == min(base),
    "is the length of": lambda out, base: out == len(base),
    "is first of": lambda out, base: out == base[0],
    "is last of": lambda out, base: out == base[-1],
}


def shared(truths):
    """As `properties` says it: 1 for all, -1 for none, between them for some, 0 for nowhere defined."""
    if not truths:
        return 0.0
    share = sum(truths) / len(truths)
    return 1.0 if share == 1 else -1.0 if share == 0 else share - 0.5


@pytest.mark.parametrize("made", BASES)
def test_the_relations_of_a_list_to_every_base_are_those_of_plain_python(made):
    lists = random_lists()
    task = problem((LIST,), LIST, [((xs,), BASES[made](xs)) for xs in lists])
    for base, make in BASES.items():
        for relation, test in RELATIONS.items():
            expected = shared([test(BASES[made](xs), make(xs)) for xs in lists])
            assert holds(task, f"the result {relation} {base}") == pytest.approx(expected), (relation, base)


@pytest.mark.parametrize("made", ["sum", "max", "len"])
def test_the_reductions_of_every_base_are_those_of_plain_python(made):
    reduce, lists = {"sum": sum, "max": max, "len": len}[made], random_lists()
    task = problem((LIST,), INT, [((xs,), reduce(xs)) for xs in lists])
    for base, make in BASES.items():
        for relation, test in REDUCTIONS.items():
            defined = [(xs, make(xs)) for xs in lists if make(xs) or relation in ("sums", "is the length of")]
            expected = shared([test(reduce(xs), other) for xs, other in defined])
            assert holds(task, f"the result {relation} {base}") == pytest.approx(expected), (relation, base)


def test_numbers_are_compared_over_all_examples_together():
    lists = random_lists()
    task = problem((LIST,), INT, [((xs,), 3 * sum(xs)) for xs in lists])
    assert holds(task, "the result is as many times always sum A") == 1
    assert holds(task, "the result is as far always from sum A") == -1
    task = problem((LIST,), INT, [((xs,), len(xs) + 4) for xs in lists])
    assert holds(task, "the result is as far always from length A") == 1
    assert holds(task, "the result is length A") == -1


def test_truth_values_are_compared_with_truth_values():
    lists = random_lists(12)
    task = problem((LIST,), BOOL, [((xs,), any(x < 0 for x in xs)) for xs in lists])
    assert holds(task, "the result tells whether any A it < 0") == 1
    assert holds(task, "the result tells whether minimum A it < 0") == 1
    assert abs(holds(task, "the result tells whether A sorted")) < 1


def test_a_property_of_an_input_that_is_not_there_is_not_defined():
    task = problem((LIST,), LIST, [((xs,), xs) for xs in random_lists()])
    for name in ("the result is A + n", "the result is B", "the result is append A B", "the result: n in it"):
        assert holds(task, name) == 0


def test_roles_not_places_are_compared():
    lists = random_lists()
    one = problem((LIST, INT), LIST, [((xs, 2), xs[:2]) for xs in lists])
    other = Problem("turned", (("n", INT), ("xs", LIST)), LIST, tuple((2, xs) for xs in lists), one.results)
    at = signature.PROPERTIES
    assert np.array_equal(features.of_task(one, FULL)[:at], features.of_task(other, FULL)[:at])
    assert holds(other, "input 0 is int") == 1
    assert holds(one, "the result is take n A") == 1


def test_contracts_are_told_by_what_they_speak_of():
    lists = random_lists()
    ensures = (parse_expression("length result == length xs", ["xs", "result"]),)
    task = problem((LIST,), LIST, [((xs,), xs) for xs in lists], ensures=ensures)
    assert holds(task, "ensures speaks of length") == 1
    assert holds(task, "ensures speaks of eq") == 1
    assert holds(task, "ensures speaks of sum") == 0


def test_longest_lists_and_largest_numbers_give_finite_numbers():
    big = tuple([2**31 - 1] * 256)
    for output, result in ((LIST, big), (INT, -(2**31) + 1), (BOOL, True)):
        task = problem((LIST, LIST, INT), output, [((big, big, 2**31 - 1), result), (((), (), 0), result)])
        row = features.of_task(task, FULL)
        assert np.isfinite(row).all()
        assert np.abs(row).max() < 5


def test_rows_are_task_then_state_and_grammar_mode_leaves_the_partial_program_out():
    task = problem((LIST, INT), LIST, [((xs, 2), xs[:2]) for xs in random_lists()])
    told, layout = features.of_task(task, FULL), features.layout(FULL)
    state = start(task, FULL).follow(derivation(parse_expression("take n xs", ["xs", "n"]), task, FULL)[:1])
    row = features.of_state(told, state)
    rows = features.of_contexts(told, FULL)
    assert row.shape == (features.input_dim(FULL),) == (layout.task + layout.state,)
    assert rows.shape == (len(FULL.contexts), layout.width)
    assert np.array_equal(row[: layout.task], told)
    alone = rows[state.hole.context]
    flag = layout.width - len(MEASURES) - 1
    assert row[flag] == 1
    assert alone[flag] == 0
    # What the context says is said alike in both; nothing else of the state is said in grammar mode.
    same = alone[layout.task :] != 0
    assert np.array_equal(row[layout.task :][same], alone[layout.task :][same])
    assert same.sum() == 3
    assert len({each.tobytes() for each in rows}) == len(rows)


def test_the_small_grammar_has_the_sizes_of_the_contract():
    task = problem((LIST,), LIST, [((xs,), tuple(sorted(xs))) for xs in random_lists()])
    told = features.of_task(task, SMALL)
    state = start(task, SMALL)
    assert (features.input_dim(SMALL), SMALL.actions) == (32, 8)
    assert features.of_state(told, state).shape == (32,)
    assert told[features.task_names(SMALL).index("the result is sort A")] == 1
    # No program of the small grammar is a truth value: that root alone looks like another.
    assert len({each.tobytes() for each in features.of_contexts(told, SMALL)}) == len(SMALL.contexts) - 1
    assert state.hole.left == NONE


def test_a_partial_program_is_told_by_what_it_gives_when_it_is_filled_plainly():
    """Worked by hand: `sort ?` is run as `sort xs`, which gives one of the three results."""
    wanted = ((1, 2, 3), (5, 4), (6,))
    ensures = (parse_expression("0 < length result && length result < 3", ["xs", "result"]),)
    task = problem((LIST,), LIST, list(zip((((3, 1, 2),), ((4, 5),), ((6, 6),)), wanted, strict=True)), ensures=ensures)
    state = start(task, FULL).apply(derivation(parse_expression("sort xs", ["xs"]), task, FULL)[0])
    told = dict(zip(MEASURES, features.state_row(state)[-len(MEASURES) :].tolist(), strict=True))
    expected = {
        "errs": 0,
        "gives the result": 1 / 3,
        "as long": 2 / 3,
        "rearranged": 2 / 3,
        "result is a part of it": 1,
        "it is a part of the result": 2 / 3,
        "longer than the result": 1 / 3,
        "sorted": 1,
        "no repeats": 2 / 3,
        "same sum": 2 / 3,
        "elements in place": (1 + 0 + 1 / 2) / 3,
        "unmet": 1 / 3,
    }
    assert {name: told[name] for name in expected} == pytest.approx(expected)
    # sort costs its length times the binary digits of it, and one: 3 * 2 + 1, 2 * 2 + 1, 2 * 2 + 1.
    assert told["steps"] == pytest.approx(np.log1p(17 / 3) / 8)
    errs = start(task, FULL).follow(derivation(parse_expression(r"map (\x -> x / 0) xs", ["xs"]), task, FULL)[:4])
    assert features.state_row(errs)[-len(MEASURES)] == 1


def test_latencies_come_back():
    assert features.steps_of(features.latency_of(123)) == pytest.approx(123)
