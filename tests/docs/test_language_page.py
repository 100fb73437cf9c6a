"""docs/language.md says what is so: its primitives, its snippet, the sentences it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clew.programs.contracts import sound
from clew.programs.parse import parse_expression
from clew.programs.primitives import LARGEST, LONGEST, PRIMITIVES
from clew.programs.syntax import ProgramError
from clew.programs.task import parse_task, shipped_tasks

TEXT = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
HEAD = "task a (k: int, xs: list) -> int\n\n\n"


def test_the_page_tells_of_every_primitive_and_limit() -> None:
    told = set(re.findall(r"`([^`]+)`", re.sub(r"(?s)```.*?```", "", TEXT).replace("\\|", "|")))
    assert {each.symbol or each.name for each in PRIMITIVES.values()} <= told
    assert f"from 0 than {LARGEST} " in TEXT
    assert f"more than {LONGEST} elements" in TEXT
    assert f"each of the {len(shipped_tasks())} tasks that ship" in TEXT


def test_the_python_snippet_gives_what_it_says() -> None:
    names: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(snippet, "language.md", "exec"), names)
    assert str(names["outcome"]) == "Outcome(value=3, error='', steps=13)"
    assert names["values"] == [3, 0, 5]


def test_every_line_that_is_shown_is_an_expression() -> None:
    block = TEXT[TEXT.index("## Expressions") :].split("```")[1]
    lines = [re.split(r"\s{4,}", line)[0] for line in block.strip().splitlines()]
    assert len(lines) == 5
    for line in lines:
        parse_expression(line, ("k", "n", "xs", "ys"))


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "reference sum (take k)\n",
        HEAD + "\n\n\nreference sorted xs\n",
        HEAD + "\n\n\nreference sum (take xs k)\n",
        HEAD + "\nexample 1, [4] -> 4\nexample 1, [4] -> 5\n",
        HEAD + "\nexample 0, [] -> 0\nrequires 0 < k\n",
        HEAD + "\nexample 2, [3, 1] -> 3\nreference sum xs\n",
    ],
)
def test_every_sentence_that_is_shown_is_said(text: str) -> None:
    with pytest.raises(ProgramError) as caught:
        sound(parse_task(text, "tasks/a.dsl"))
    assert str(caught.value) in TEXT.splitlines()
