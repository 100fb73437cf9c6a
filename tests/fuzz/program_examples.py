"""Good examples of what the commands of program search, curricula and releases read, made where one works."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from clew.cli.main import main

RECIPES = Path(__file__).parents[2] / "recipes"
TASK = """# What stands behind a # is a comment.
task sum_of_smallest (k: int, xs: list) -> int
about     The sum of the k smallest elements.
requires  0 <= k && k <= length xs
ensures   k != 1 || result == minimum xs
example   2, [3, 1, 2] -> 3
example   0, [] -> 0
example   1, [5, -4]
          -> -4
reference sum (take k (sort xs))
"""
OTHERS = {
    "doubled": "task doubled (xs: list) -> list\nexample [1, 2] -> [2, 4]\nexample [] -> []\n"
    "reference map (\\x -> x * 2) (filter (\\x -> 0 < x) xs)\n",
    "largest": "task largest (xs: list) -> int\nrequires 0 < length xs\nexample [1, 7, 2] -> 7\nreference maximum xs\n",
}


def make_programs() -> None:
    """Tasks, a curriculum of them, and a release of the runs that are there."""
    Path("tasks").mkdir()
    Path("tasks/sum_of_smallest.dsl").write_text(TASK)
    for name, text in OTHERS.items():
        Path(f"tasks/{name}.dsl").write_text(text)
    _good("curriculum", "seed", "--source", "tasks", "--output", "curriculum")
    _good("release", "--root", "runs", "--output", "exports")
    Path("exports").rename("first")
    _good("release", "--root", "runs", "--output", "exports")
    for place in ("first", "exports"):
        (made,) = Path(place).glob("export_*")
        made.rename(f"{place}/export_20260102_030405")
        latest = Path(place) / "latest.json"
        latest.write_text(latest.read_text().replace(made.name, "export_20260102_030405"))
    _good("programs", "demonstrate", "-o", "demonstrations.jsonl", "--count", "12", "--grammar", "small")
    _good("programs", "demonstrate", "-o", "held_out.jsonl", "--count", "3", "--kind", "held_out")
    rows: list[dict[str, Any]] = [
        {"prompt": f"What is {a} + {b}?", "chosen": f"Answer: {a + b}", "rejected": f"Answer: {a - b}"}
        for a, b in ((1, 2), (27, 35), (9, 9), (4, 40), (12, 1), (6, 3))
    ]
    said = ("user", "Hi"), ("assistant", "Hello!"), ("assistant", "What?")
    turns = [[{"role": role, "content": text}] for role, text in said]
    rows.append(dict(zip(("prompt", "chosen", "rejected"), turns, strict=True)))
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("supervised", "rl", "preference"):
        shutil.copy(RECIPES / f"{name}.yaml", f"{name}.yaml")


def _good(*arguments: str) -> None:
    assert main(arguments) == 0, arguments
