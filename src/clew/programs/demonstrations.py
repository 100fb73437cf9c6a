"""Demonstrations on disk: tasks with a program that does each, and states of the search with what is right in them.

A file is JSON lines. The first says what the file is; every other is one task: `name`, `inputs`, `output`, `examples`,
`requires`, `ensures`, `program` as in a `.dsl` file, and `states`, each as a list

    [path, action, value, guard, steps]

`path` are the actions taken so far. `action` is the right one, -1 where the path has left the way to the program.
`value`: 1 where one of the cheapest completions of the state fits the examples. `guard` and `steps` are about one of
these completions: 1 where a run-time error or an unmet contract fails it on an example, and the steps that it ran on
all examples, null where an error stopped it. A file without states holds tasks alone (held-out tasks).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from clew.core import files
from clew.core.errors import EvidenceError, UsageError
from clew.programs.check import check_type
from clew.programs.grammar import GRAMMARS, Grammar
from clew.programs.parse import parse_expression
from clew.programs.pretty import pretty
from clew.programs.primitives import Type
from clew.programs.search.problem import Problem, of_task
from clew.programs.states import derivation
from clew.programs.syntax import Expr, Inputs, ProgramError, freeze, type_of_value
from clew.programs.task import Example, Task

FORMAT = "clew demonstrations"
VERSION = 1
OUTPUT = files.json_lines_output("a file of demonstrations", "format", "grammar", "actions")


class Seen(NamedTuple):
    """A state of the search, with what is right in it."""

    path: tuple[int, ...]
    """The actions taken so far."""
    action: int
    """The demonstration's next action; -1 where the path has left its way."""
    value: int
    """1: one of the cheapest completions fits the examples; 0: none does."""
    guard: int
    """1: a run-time error or an unmet contract fails the completion that was drawn; 0: nothing does."""
    steps: int | None
    """Steps of that completion on all examples together; None where an error stopped it."""


@dataclass(frozen=True)
class Demonstration:
    """A task, the leftmost derivation of a program that does it, and states along and off it."""

    task: Task
    actions: tuple[int, ...]
    states: tuple[Seen, ...] = ()

    @property
    def problem(self) -> Problem:
        """The task as a search is given it."""
        return of_task(self.task)


@dataclass(frozen=True)
class Demonstrations:
    """Demonstrations of one grammar, and how they were made."""

    grammar: Grammar
    items: tuple[Demonstration, ...]
    made: dict[str, Any] = field(default_factory=dict)
    """How they were made: seed, budget of the labels, and so on."""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def states(self) -> int:
        """How many states they hold."""
        return sum(len(each.states) for each in self.items)


def lines(found: Demonstrations) -> Iterator[str]:
    """The lines of a file, without their ends."""
    head = {"format": FORMAT, "version": VERSION, "grammar": found.grammar.name}
    yield json.dumps({**head, "actions": [str(each) for each in found.grammar.productions], **found.made})
    for each in found.items:
        yield line_of(each)


def line_of(found: Demonstration) -> str:
    """One demonstration as a line."""
    task = found.task
    row: dict[str, Any] = {
        "name": task.name,
        "inputs": [[name, type_.value] for name, type_ in task.inputs],
        "output": task.output.value,
        "examples": [[example.arguments, example.result] for example in task.examples],
        "requires": [pretty(each) for each in task.requires],
        "ensures": [pretty(each) for each in task.ensures],
        "program": pretty(task.reference) if task.reference is not None else "",
    }
    if found.states:
        row["states"] = found.states
    return json.dumps(row, separators=(",", ":"))


def write(path: Path, found: Demonstrations) -> None:
    """Write a file whole or not at all; one that is there is replaced where it is one of demonstrations."""
    with files.whole_file(path, replaces=OUTPUT) as file:
        for line in lines(found):
            file.write(line.encode("utf-8") + b"\n")


def read(path: Path) -> Demonstrations:
    """Read a file. Raises `EvidenceError` with file and line of the first fault."""
    with files.sentences_for(path, "read"):
        content = path.read_bytes()
    if not content.strip():
        raise EvidenceError(f"{path} is empty; `clew programs demonstrate -o {path}` makes demonstrations.")
    rows = content.splitlines()
    head = _json(rows[0], f"{path}:1")
    grammar = _checked_head(head, f"{path}:1")
    made = {key: value for key, value in head.items() if key not in ("format", "version", "grammar", "actions")}
    items = []
    for number, row in enumerate(rows[1:], start=2):
        if row.strip():
            where = f"{path}:{number}"
            items.append(demonstration_of(_json(row, where), grammar, where))
    if not items:
        raise EvidenceError(f"{path} has a head and no task. Make the demonstrations again.")
    return Demonstrations(grammar, tuple(items), made)


def _json(row: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(row)
    except (ValueError, RecursionError):
        raise EvidenceError(f"{where}: the line is not valid JSON; was the file cut short? Make it again.") from None
    if not isinstance(value, dict):
        raise EvidenceError(f"{where}: the line is no JSON object with keys; every line of demonstrations is one.")
    return value


def _checked_head(head: dict[str, Any], where: str) -> Grammar:
    if head.get("format") != FORMAT:
        raise EvidenceError(
            f"{where}: this is no file of demonstrations: its first line does not say "
            f'"format": "{FORMAT}". `clew programs demonstrate` makes such files.'
        )
    if head.get("version") != VERSION:
        raise EvidenceError(
            f"{where}: the file is of version {head.get('version')!r}, this Clew reads {VERSION}. Make it again."
        )
    grammar = GRAMMARS.get(str(head.get("grammar")))
    if grammar is None:
        raise EvidenceError(f"{where}: the grammar is {head.get('grammar')!r}; there are {', '.join(GRAMMARS)}.")
    if head.get("actions") != [str(each) for each in grammar.productions]:
        raise EvidenceError(
            f"{where}: the file was made with other actions than the grammar '{grammar.name}' has now. Make it again."
        )
    return grammar


def demonstration_of(row: dict[str, Any], grammar: Grammar, where: str) -> Demonstration:
    """The demonstration of a line's object. Raises `EvidenceError` that begins with `where`."""
    for key in ("name", "inputs", "output", "examples", "program"):
        if key not in row:
            raise EvidenceError(f"{where}: the key '{key}' is missing.")
    inputs, output = _signature(row, where)
    examples = _examples(row["examples"], inputs, output, where)
    judged = (*inputs, ("result", output))
    try:
        reference = _parsed(row["program"], inputs, output) if row["program"] else None
        requires = tuple(_parsed(each, inputs, Type.BOOL) for each in _texts(row, "requires", where))
        ensures = tuple(_parsed(each, judged, Type.BOOL) for each in _texts(row, "ensures", where))
    except ProgramError as error:
        raise EvidenceError(f"{where}: {error}") from None
    task = Task(str(row["name"]), inputs, output, examples, requires=requires, ensures=ensures, reference=reference)
    if reference is None:
        return Demonstration(task, ())
    try:
        actions = tuple(derivation(reference, task, grammar))
    except UsageError as error:
        raise EvidenceError(f"{where}: {error}") from None
    return Demonstration(task, actions, _states(row.get("states", []), grammar, where))


def _signature(row: dict[str, Any], where: str) -> tuple[Inputs, Type]:
    try:
        inputs = tuple((str(name), Type(type_)) for name, type_ in row["inputs"])
        return inputs, Type(row["output"])
    except (TypeError, ValueError):
        known = ", ".join(each.value for each in Type)
        raise EvidenceError(f"{where}: 'inputs' are pairs of a name and a type, 'output' is one of {known}.") from None


def _examples(rows: Any, inputs: Inputs, output: Type, where: str) -> tuple[Example, ...]:
    found = []
    if not isinstance(rows, list) or not rows:
        raise EvidenceError(f"{where}: 'examples' is no list of examples.")
    for row in rows:
        if not isinstance(row, list) or len(row) != 2 or not isinstance(row[0], list) or len(row[0]) != len(inputs):
            raise EvidenceError(f"{where}: an example is [[an argument for each of {len(inputs)} inputs], result].")
        types = [type_ for _, type_ in inputs]
        for value, type_ in zip([*row[0], row[1]], [*types, output], strict=True):
            if type_of_value(value) is not type_:
                raise EvidenceError(
                    f"{where}: an example has {str(value)[:40]} where a value of type {type_.value} is due."
                )
        found.append(Example(tuple(freeze(value) for value in row[0]), freeze(row[1])))
    return tuple(found)


def _texts(row: dict[str, Any], key: str, where: str) -> Sequence[str]:
    found = row.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise EvidenceError(f"{where}: '{key}' is no list of texts.")
    return found


@lru_cache(maxsize=65536)
def _parsed(text: str, inputs: Inputs, wanted: Type) -> Expr:
    expr = parse_expression(text, [name for name, _ in inputs])
    check_type(expr, inputs, wanted, "the text")
    return expr


def _states(rows: Any, grammar: Grammar, where: str) -> tuple[Seen, ...]:
    try:
        found = tuple(Seen(tuple(path), action, value, guard, steps) for path, action, value, guard, steps in rows)
        good = all(
            -1 <= each.action < grammar.actions
            and each.value in (0, 1)
            and each.guard in (0, 1)
            and (each.steps is None or each.steps >= 0)
            and all(0 <= action < grammar.actions for action in each.path)
            for each in found
        )
    except (TypeError, ValueError):
        good = False
    if not good:
        raise EvidenceError(f"{where}: a state is [path, action, value 0 or 1, guard 0 or 1, steps or null].")
    return found


def fingerprint(found: Demonstrations) -> str:
    """SHA-256 of the file that `write` would write."""
    return files.sha256_of("\n".join(lines(found)))


def problems(found: Iterable[Demonstration]) -> list[Problem]:
    """The tasks as a search is given them."""
    return [each.problem for each in found]


def figures(found: Demonstrations) -> dict[str, Any]:
    """Counts and shares: tasks, states, sizes of programs, labels on and off the way."""
    states = [seen for each in found.items for seen in each.states]
    on, off = ([seen for seen in states if (seen.action >= 0) is way] for way in (True, False))
    sizes = Counter(len(each.actions) for each in found.items)
    return {
        "tasks": len(found),
        "states": len(states),
        "grammar": found.grammar.name,
        "sizes": {str(size): sizes[size] for size in sorted(sizes)},
        "solvable": sum(seen.value for seen in on) / max(1, len(on)),
        "solvable_off_path": sum(seen.value for seen in off) / max(1, len(off)),
        "failing": sum(seen.guard for seen in states) / max(1, len(states)),
    }
