"""How fast programs run: the references of the tasks that ship, on their own examples.

One run is one program on one example. `with_compiling`: from the tree, as labels are made of ever new programs;
`compiled`: programs and arguments prepared; `plain`: the plain interpreter that judges the machine in the tests.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from common import emit, figure, median_seconds

from clew.programs.interpret import compile_program, run_on
from clew.programs.task import shipped_tasks

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from plain_meaning import meaning


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="more repeats")
    repeats = 15 if parser.parse_args().full else 3
    work = []
    for task in shipped_tasks():
        assert task.reference is not None
        program = compile_program(task.reference, task.inputs)
        work.append((task, program, program.pack([example.arguments for example in task.examples])))
    runs = sum(len(task.examples) for task, _, _ in work)

    def with_compiling() -> None:
        for task, program, cases in work:
            run_on(compile_program(program.expr, task.inputs), cases)

    def compiled() -> None:
        for _, program, cases in work:
            run_on(program, cases)

    def plain() -> None:
        for task, program, _ in work:
            names = tuple(name for name, _ in task.inputs)
            for example in task.examples:
                meaning(program.expr, names, example.arguments, 1_000_000)

    figures = {
        "runs_per_second_with_compiling": figure(
            runs / median_seconds(with_compiling, repeats=repeats), "runs/s", target=50_000
        ),
        "runs_per_second_compiled": figure(runs / median_seconds(compiled, repeats=repeats), "runs/s"),
        "runs_per_second_plain": figure(runs / median_seconds(plain, repeats=repeats), "runs/s"),
    }
    emit("program_runs", figures)


if __name__ == "__main__":
    main()
