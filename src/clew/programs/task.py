"""A task: what a program is asked to do, as a signature, examples, contracts, and, where one is known, a program.

    task sum_of_smallest (k: int, xs: list) -> int
    about     The sum of the k smallest elements.
    requires  0 <= k && k <= length xs
    ensures   k != 1 || result == minimum xs
    example   2, [3, 1, 2] -> 3
    example   0, [] -> 0
    reference sum (take k (sort xs))

A line begins with a keyword; one that begins with a blank goes on with the line above it. What stands behind `#` is a
comment. `requires`, `ensures` and `example` may stand any number of times, `about` and `reference` once or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from clew.core import files
from clew.core.errors import nearest
from clew.programs.check import SPOKEN, check_type
from clew.programs.parse import Reader, Source, names_of, parse_part, tokens_of
from clew.programs.pretty import pretty, pretty_value
from clew.programs.primitives import LONGEST, Type
from clew.programs.syntax import NOWHERE, PARAMETERS, Expr, Inputs, ProgramError, Value, size

SUFFIX = ".dsl"
TASKS = Path(__file__).parent / "tasks"
"""The folder of the tasks that ship."""

RESULT = "result"
"""What `ensures` calls the result."""

_KEYWORDS = ("task", "about", "requires", "ensures", "example", "reference")
_ONCE = ("task", "about", "reference")
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Example:
    """Arguments, one an input, and the result that is wanted for them."""

    arguments: tuple[Value, ...]
    result: Value
    place: int = field(default=NOWHERE, repr=False, compare=False)

    def __str__(self) -> str:
        """As a task file has it: `2, [3, 1] -> 4`."""
        return f"{', '.join(map(pretty_value, self.arguments))} -> {pretty_value(self.result)}"


@dataclass(frozen=True)
class Task:
    """One task. Two are equal where they ask the same, wherever they were read from."""

    name: str
    inputs: Inputs
    output: Type
    examples: tuple[Example, ...]
    about: str = ""
    """One line."""
    requires: tuple[Expr, ...] = ()
    """What must hold of the inputs: truth values over their names, all of which must hold."""
    ensures: tuple[Expr, ...] = ()
    """What must hold of the inputs and of `result`."""
    reference: Expr | None = None
    """A program that does it."""
    source: Source = field(default=Source("the task", ""), compare=False, repr=False)
    """The text it was read from: the places in its trees and examples count from the beginning of it."""

    @property
    def types(self) -> tuple[Type, ...]:
        """The types of the inputs."""
        return tuple(type_ for _, type_ in self.inputs)

    @property
    def judged(self) -> Inputs:
        """What `ensures` is about: the inputs, and `result`."""
        return (*self.inputs, (RESULT, self.output))

    @property
    def level(self) -> int:
        """How hard it is: the size of the reference, 0 where there is none."""
        return 0 if self.reference is None else size(self.reference)


def parse_task(text: str, where: str = "the task") -> Task:
    """The task that a text says: its syntax, names and types are checked, and that no two examples contradict.

    `contracts.contradictions` finds what else does not fit together. Raises `ProgramError` as `where:line:column: ...`.
    """
    source = Source(where, text.replace("\r\n", "\n"))
    sections = list(_sections(source))
    if not sections or sections[0].keyword != "task":
        raise source.fault(
            sections[0].place if sections else 0, "expected 'task NAME (input: type, ...) -> type' as the first line."
        )
    for earlier, section in enumerate(sections):
        if section.keyword in _ONCE and any(each.keyword == section.keyword for each in sections[:earlier]):
            raise source.fault(section.place, f"'{section.keyword}' stands a second time; a task has one.")
    name, inputs, output = _signature(source, sections[0])
    judged: Inputs = (*inputs, (RESULT, output))

    def expression(section: _Section, inputs: Inputs, wanted: Type) -> Expr:
        expr = parse_part(source, names_of(inputs), section.start, section.end)
        check_type(expr, inputs, wanted, f"what stands behind '{section.keyword}'", fault=source.fault)
        return expr

    of = {keyword: [each for each in sections if each.keyword == keyword] for keyword in _KEYWORDS}
    examples = [_example(source, each, inputs, output) for each in of["example"]]
    _check_examples(source, examples)
    return Task(
        name,
        inputs,
        output,
        tuple(examples),
        about=next((_plain(source.text[each.start : each.end]) for each in of["about"]), ""),
        requires=tuple(expression(each, inputs, Type.BOOL) for each in of["requires"]),
        ensures=tuple(expression(each, judged, Type.BOOL) for each in of["ensures"]),
        reference=next((expression(each, inputs, output) for each in of["reference"]), None),
        source=source,
    )


def load_task(path: Path) -> Task:
    """Read a `.dsl` file as `parse_task` reads its text. Raises `ProgramError`; `ClewError` where it cannot be read."""
    where = files.printable(path)
    with files.sentences_for(path, "read"), path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ProgramError(f"{where} holds more than {_MOST_BYTES:,} bytes, which no task does.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ProgramError(
            f"{where}:{line}: the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8."
        ) from error
    return parse_task(text, where)


def format_task(task: Task) -> str:
    """The text of a task file; `parse_task` gives the same task back."""
    inputs = ", ".join(f"{name}: {type_.value}" for name, type_ in task.inputs)
    lines = [f"task {task.name} ({inputs}) -> {task.output.value}"]
    lines += [f"about     {_plain(task.about)}"] if task.about else []
    lines += [f"requires  {pretty(expr)}" for expr in task.requires]
    lines += [f"ensures   {pretty(expr)}" for expr in task.ensures]
    lines += [f"example   {example}" for example in task.examples]
    lines += [f"reference {pretty(task.reference)}"] if task.reference is not None else []
    return "".join(f"{line}\n" for line in lines)


@cache
def shipped_tasks() -> tuple[Task, ...]:
    """The tasks that ship, from the easiest to the hardest: by the size of the reference, then by name."""
    return load_folder(TASKS)


def files_of(path: Path) -> list[Path]:
    """The file itself, or the `.dsl` files of a folder by name. Raises `ProgramError` for a folder without any."""
    if not files.is_folder(path):
        return [path]
    with files.sentences_for(path, "read"):
        found = sorted(path.glob(f"*{SUFFIX}"))
    if not found:
        raise ProgramError(f"The folder {files.printable(path)} holds no {SUFFIX} files.")
    return found


def load_folder(folder: Path) -> tuple[Task, ...]:
    """The tasks of a folder, by the size of the reference, then by name. Raises `ProgramError`, also for none."""
    return tuple(sorted(map(load_task, files_of(folder)), key=lambda task: (task.level, task.name)))


def find_task(name: str) -> Task:
    """The task of a `.dsl` file, or the one of that name that ships. Raises `ProgramError` for neither."""
    path = Path(name)
    if name.endswith(SUFFIX) or files.exists(path):
        return load_task(path)
    if files.is_file(TASKS / f"{name}{SUFFIX}") and re.fullmatch(r"\w+", name):
        return load_task(TASKS / f"{name}{SUFFIX}")
    known = [task.stem for task in TASKS.glob(f"*{SUFFIX}")]
    raise ProgramError(
        f"There is no file {name}, and no task of that name ships.{nearest(name, known)} `clew programs list` shows "
        "those that do."
    )


@dataclass(frozen=True, slots=True)
class _Section:
    """A keyword and the part of the text behind it."""

    keyword: str
    place: int
    start: int
    end: int


def _sections(source: Source) -> Iterator[_Section]:
    begun: tuple[str, int, int] | None = None
    place = 0
    for line in source.text.splitlines(keepends=True) or [""]:
        if line.strip() and line[0] not in " \t#":
            if begun is not None:
                yield _Section(*begun, place)
            word = re.match(r"\w*", line)
            keyword = word[0] if word else ""
            if keyword not in _KEYWORDS:
                said = f"'{keyword or line.strip()[:20]}'"
                raise source.fault(
                    place,
                    f"a line begins with {', '.join(_KEYWORDS[:-1])} or {_KEYWORDS[-1]}, or with a blank where it goes "
                    f"on with the line above; here {said}.{nearest(keyword, list(_KEYWORDS))}",
                )
            begun = (keyword, place, place + len(keyword))
        elif begun is None and line.strip() and line[0] in " \t" and not line.lstrip().startswith("#"):
            raise source.fault(place, "the first line begins with a blank, and there is none above it to go on with.")
        place += len(line)
    if begun is not None:
        yield _Section(*begun, place)


def _signature(source: Source, section: _Section) -> tuple[str, Inputs, Type]:
    reader = Reader(source, tokens_of(source, section.start, section.end))
    name = reader.new_name("the name of the task").text
    reader.expect("(", "before the inputs")
    inputs: list[tuple[str, Type]] = []
    while True:
        word = reader.new_name("the name of an input")
        if word.text in (*PARAMETERS, RESULT):
            meant = "what 'ensures' calls the result" if word.text == RESULT else "what lambdas call their parameters"
            raise reader.fault(f"'{word.text}' is {meant}; choose another name for the input.", word)
        if any(word.text == other for other, _ in inputs):
            raise reader.fault(f"'{word.text}' is an input already; choose another name.", word)
        reader.expect(":", "between the name of an input and its type")
        inputs.append((word.text, _type(reader)))
        if not reader.at(","):
            break
        reader.take()
    reader.expect(")", "or ',' behind an input")
    reader.expect("->", "before the type of the result")
    output = _type(reader)
    reader.finish("the end of the signature")
    return name, tuple(inputs), output


def _plain(text: str) -> str:
    """The words of a text without its comments, on one line."""
    return " ".join(re.sub(r"#[^\n]*", "", text).split())


def _type(reader: Reader) -> Type:
    known = [type_.value for type_ in Type]
    token = reader.next
    if token.kind != "word" or token.text not in known:
        raise reader.fault(f"expected a type ({', '.join(known)}), here {token}.{nearest(token.text, known)}")
    return Type(reader.take().text)


def _example(source: Source, section: _Section, inputs: Inputs, output: Type) -> Example:
    reader = Reader(source, tokens_of(source, section.start, section.end))
    arguments = _arguments(reader, inputs)
    reader.expect("->", "between arguments and result")
    result = read_value(reader, output, "the result")
    reader.finish("the end of the example")
    return Example(arguments, result, section.place)


def _arguments(reader: Reader, inputs: Inputs) -> tuple[Value, ...]:
    values: list[Value] = []
    for position, (name, type_) in enumerate(inputs):
        if position:
            reader.expect(",", f"before the value of the input '{name}'")
        values.append(read_value(reader, type_, f"the input '{name}'"))
    return tuple(values)


def read_value(reader: Reader, type_: Type, what: str) -> Value:
    """Read a value of this type. Raises `ProgramError`, which calls it `what`."""
    if type_ is Type.LIST and reader.at("["):
        start = reader.take()
        elements: list[int] = []
        while not reader.at("]"):
            if elements:
                reader.expect(",", "or ']' behind an element")
            elements.append(reader.number()[0])
        reader.take()
        if len(elements) > LONGEST:
            raise reader.fault(f"a list of {len(elements)} elements; no list is longer than {LONGEST}.", start)
        return tuple(elements)
    if type_ is Type.BOOL and reader.at("true", "false"):
        return reader.take().text == "true"
    if type_ is Type.INT and (reader.next.kind == "number" or reader.at("-")):
        return reader.number()[0]
    form = {Type.LIST: ", as [1, 2]", Type.BOOL: ", true or false", Type.INT: ""}[type_]
    raise reader.fault(f"{what} is {SPOKEN[type_]}{form}; here {reader.next}.")


def parse_arguments(text: str, inputs: Inputs, where: str = "the input") -> tuple[Value, ...]:
    """The arguments that a text such as `2, [3, 1, 2]` says. Raises `ProgramError`."""
    reader = Reader(Source(where, text), tokens_of(Source(where, text)))
    values = _arguments(reader, inputs)
    reader.finish("no more arguments")
    return values


def _check_examples(source: Source, examples: list[Example]) -> None:
    seen: dict[tuple[Value, ...], Example] = {}
    for example in examples:
        earlier = seen.setdefault(example.arguments, example)
        if earlier.result != example.result:
            line = source.text.count("\n", 0, earlier.place) + 1
            raise source.fault(
                example.place,
                f"the example {example} contradicts the one of line {line}, which wants "
                f"{pretty_value(earlier.result)} for the same arguments.",
            )
